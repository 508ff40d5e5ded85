"""What handlers of the comparison page know of the comparison on the screen."""

from webui.comparison_votes import comparison_key
from webui.conversation import ComparisonChoice, Mark, Side
from webui.store.conversations import Conversation


def side_of(found: Conversation | None, pane: str) -> Side:
    """The side of the pane with this name; an empty one before the first question."""
    return found.sides.get(pane, Side()) if found else Side()


def sides_of(found: Conversation | None) -> list[Side]:
    """All sides that are shown; none before the first question."""
    return list(found.sides.values()) if found else []


def choice_of(found: Conversation) -> ComparisonChoice | None:
    """What was said of the last answers."""
    return found.votes.get(comparison_key(side.last for side in found.sides.values()))


def may_vote(found: Conversation | None) -> bool:
    """Whether every side has a whole answer."""
    return found is not None and all(side.last and side.last.complete for side in found.sides.values())


def mark_of(found: Conversation | None, side: Side) -> Mark | None:
    """How the last answer of `side` was rated."""
    return found.marks.get(side.last.id) if found and side.last else None


def hidden_in(found: Conversation | None) -> bool:
    """True while the names are hidden."""
    return bool(found and found.hidden)
