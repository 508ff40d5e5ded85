"""What a user asks of cleaning, as the rules that every process gets."""

import difflib
from collections.abc import Sequence
from pathlib import Path

from common.errors import UserError
from finetune.data.clean.chunk import CleaningRules
from finetune.data.clean.contamination import build_index
from finetune.data.clean.personal_data import KINDS
from finetune.rows.reasons import REJECTED

MUST_REJECT = ("not_utf8", "not_json", "schema", "category", "empty", "licence")
"""Reasons that `--allow` does not take: such lines are no rows, and licences have `--commercial`."""


def rules(
    *,
    allow: Sequence[str] = (),
    against: Sequence[Path] = (),
    commercial: bool = False,
    mask: str = "on",
) -> CleaningRules:
    """The rules for the command's options; `mask` is as `masks` takes it. Raises UserError for a reason that
    does not exist or cannot be allowed, an unknown kind of mask, and an unreadable evaluation set."""
    known = [name for name in REJECTED if name not in MUST_REJECT]
    for name in allow:
        if name not in known:
            near = difflib.get_close_matches(name, known, n=1)
            if name.removeprefix("personal_") in KINDS:
                raise UserError(
                    f"{name} is no reason for which rows go: what it finds is masked.",
                    hint="`--mask off` masks nothing; `--mask rrn,card` masks these kinds alone.",
                )
            raise UserError(
                f"{name!r} is no reason that can be allowed.",
                hint=f"Did you mean {near[0]}?" if near else "There are: " + ", ".join(known) + ".",
            )
    return CleaningRules(
        allow=frozenset(allow),
        commercial=commercial,
        evaluation=build_index(against) if against else None,
        # Whoever wants copies wants near-copies: a copy is one of those, too.
        near_duplicates=not {"duplicate", "near_duplicate"} & set(allow),
        masks=masks(mask),
    )


def masks(asked: str) -> frozenset[str]:
    """The kinds of personal data that `on`, `off` or a list (`rrn,card`) names. Raises UserError."""
    if asked in ("on", "off"):
        return KINDS if asked == "on" else frozenset()
    kinds = frozenset(kind.strip().removeprefix("personal_") for kind in asked.split(",") if kind.strip())
    for kind in sorted(kinds - KINDS) or ([""] if not kinds else []):
        raise UserError(
            f"{kind!r} is no kind of personal data that can be masked.",
            hint=f"`on`, `off`, or some of {', '.join(sorted(KINDS))}, joined by commas.",
        )
    return kinds
