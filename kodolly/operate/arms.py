"""Splits of a name's traffic, as people write and read them."""

from collections.abc import Sequence

from pydantic import ValidationError

from common.errors import UserError
from common.registry import BUCKETS, Alias, Arm, Snapshot, Split, Sticky


def alias_of(targets: Sequence[str], sticky: Sticky) -> Alias:
    """The alias that `TARGET`, or `TARGET=PERCENT TARGET=PERCENT`, describes. Raises UserError."""
    if len(targets) == 1 and _percent(targets[0]) in (None, 100.0):
        return Alias(target=targets[0] if _percent(targets[0]) is None else targets[0].rpartition("=")[0])
    arms = []
    for word in targets:
        percent = _percent(word)
        if percent is None:
            raise UserError(f"{word} has no share.", hint="Write NAME=PERCENT for each, such as my-dolly=90.")
        arms.append((word.rpartition("=")[0], percent))
    return split_of(arms, sticky)


def split_of(arms: Sequence[tuple[str, float]], sticky: Sticky) -> Alias:
    """A split by percent, to a hundredth; the first arm is the stable one. Raises UserError."""
    try:
        made = tuple(Arm(model=model, buckets=round(percent * BUCKETS / 100)) for model, percent in arms)
        return Alias(target=made[0].model, split=Split(arms=made, sticky=sticky))
    except ValidationError as error:
        message = error.errors()[0]["msg"].removeprefix("Value error, ")
        raise UserError(f"The traffic cannot be split like this: {message}.") from error


def names_in_words(snapshot: Snapshot) -> dict[str, str]:
    """Name -> where it leads."""
    return dict(snapshot.aliases) | {name: _in_words(split) for name, split in snapshot.splits.items()}


def _in_words(split: Split) -> str:
    shares = ", ".join(f"{arm.model} {arm.buckets * 100 / BUCKETS:g}%" for arm in split.arms)
    return f"{shares} (by {split.sticky})"


def _percent(word: str) -> float | None:
    name, equals, number = word.rpartition("=")
    try:
        percent = float(number) if name and equals else None
    except ValueError:
        return None
    return percent if percent is not None and 0 <= percent <= 100 else None
