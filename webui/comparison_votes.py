"""A choice among the answers to one question, and the votes on two answers that the gateway gets of it."""

import uuid
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from itertools import combinations

from common.feedback import Choice, Vote
from webui.conversation import ComparisonChoice, Side, Turn


@dataclass(frozen=True)
class PairVotes:
    """What one choice says of pairs of answers."""

    votes: Mapping[str, Vote]
    """By id."""
    unsaid: tuple[str, ...]
    """Ids of votes on the other pairs, which an earlier choice may have said."""


def comparison_key(answers: Iterable[Turn | None]) -> str:
    """Names the answers to one question: a UUID, the same however often it is asked for. Of two answers it is
    also the id of their vote."""
    ids = ":".join(turn.id if turn else "" for turn in answers)
    return str(uuid.uuid5(uuid.NAMESPACE_OID, ids))


def pair_votes(
    sides: Mapping[str, Side], choice: ComparisonChoice, vote: Callable[[Choice, Side, Side], Vote]
) -> PairVotes:
    """The best is better than each other one; where all are alike, or bad, each pair is. `vote` makes a vote
    of a choice, the left and the right side."""
    key = uuid.UUID(comparison_key(side.last for side in sides.values()))
    several = len(sides) > 2
    said: dict[str, Vote] = {}
    unsaid: list[str] = []
    for left, right in combinations(sides, 2):
        pair = str(uuid.uuid5(key, f"{left}:{right}") if several else key)
        between = _between(left, right, choice)
        if between is None:
            unsaid.append(pair)
        else:
            made = vote(between, sides[left], sides[right])
            said[pair] = made.model_copy(update={"comparison": key}) if several else made
    return PairVotes(said, tuple(unsaid))


def _between(left: str, right: str, choice: ComparisonChoice) -> Choice | None:
    if choice == "tie" or choice == "both_bad":
        return choice
    return {left: "left", right: "right"}.get(choice)  # type: ignore[return-value]  # both are Choices
