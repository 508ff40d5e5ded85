"""What handlers of the comparison page know of the comparison on the screen."""

from webui.conversation import Mark, Side
from webui.store.conversations import Conversation


def left_of(found: Conversation | None) -> Side:
    """The left side; an empty one before the first question."""
    return found.sides["left"] if found else Side()


def right_of(found: Conversation | None) -> Side:
    """The right side."""
    return found.sides["right"] if found else Side()


def side_of(found: Conversation | None, pane: str) -> Side:
    """The side of the pane with this name."""
    return found.sides[pane] if found else Side()


def mark_of(found: Conversation | None, side: Side) -> Mark | None:
    """How the last answer of `side` was rated."""
    return found.marks.get(side.last.id) if found and side.last else None


def hidden_in(found: Conversation | None) -> bool:
    """True while the names are hidden."""
    return bool(found and found.hidden)
