"""What the comparison page keeps in the browser."""

import uuid
from collections.abc import Mapping, Sequence
from typing import NamedTuple

from pydantic import Field, ValidationError

from common.feedback import Choice
from webui.conversation import Data, Mark, Side, load_marks, load_side
from webui.pages.compare.layout import Pane


class Shared(Data):
    """What concerns both sides."""

    blind: bool = False
    """The switch: the next new comparison hides the names."""
    hidden: bool = False
    """The names of this comparison are hidden right now."""
    begun: bool = False
    """Something was asked. Before that the switch alone hides the names in the states, so that a refresh on
    its way while the question goes out does not show them again."""
    votes: Mapping[str, Choice] = Field(default_factory=dict)
    rater_id: str = Field(default_factory=lambda: uuid.uuid4().hex, min_length=1, max_length=100)
    """Who judges: a random id that this browser keeps, sent along with votes and ratings."""

    def fresh(self, *, blind: bool, hidden: bool = False, begun: bool = False) -> "Shared":
        """Of the next comparison in the same browser."""
        return Shared(blind=blind, hidden=hidden, begun=begun, rater_id=self.rater_id)


def load_shared(stored: object) -> Shared:
    """As the browser kept it, or a fresh one."""
    try:
        return Shared.model_validate(stored or {})
    except ValidationError:
        return Shared()


class Kept(NamedTuple):
    """Everything that the browser keeps of a comparison."""

    shared: Shared
    left: Side
    right: Side
    left_marks: dict[str, Mark]
    right_marks: dict[str, Mark]

    def side(self, pane: Pane) -> Side:
        return self.left if pane.name == "left" else self.right


def load_kept(stored: Sequence[object]) -> Kept:
    """Out of the five browser states, in the order of `ComparePage.stores`."""
    shared, left, right, left_marks, right_marks = stored
    return Kept(
        load_shared(shared),
        load_side(left),
        load_side(right),
        load_marks(left_marks),
        load_marks(right_marks),
    )
