"""Which checkpoint came from which, by the turns that were taken."""

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from kodolly.improve.journal import Journal


@dataclass(frozen=True)
class Child:
    """What a turn made, or is making."""

    checkpoint: str
    """Its id; "" while it is not merged."""
    turn: str
    words: str


def lineage(turns: Iterable[Journal], serving: Mapping[str, str]) -> list[str]:
    """A tree for a terminal. `serving` is checkpoint -> the names it answers to."""
    children: dict[str, list[Child]] = defaultdict(list)
    places: dict[str, str] = {}
    for turn in turns:
        content = turn.content
        made = str(content.steps.get("merge", ""))
        places.setdefault(content.plan.checkpoint, content.plan.base)
        places[made] = str(turn.directory / "checkpoint")
        children[content.plan.checkpoint].append(Child(made, turn.directory.name, _words(turn)))
    made_here = {child.checkpoint for many in children.values() for child in many}
    lines: list[str] = []
    for root in [one for one in children if one not in made_here]:
        lines += [f"{root}  {places[root]}{_serves(root, serving)}", *_below(root, children, serving, "")]
    return lines


def _below(
    parent: str, children: Mapping[str, Sequence[Child]], serving: Mapping[str, str], indent: str
) -> Iterator[str]:
    many = children.get(parent, ())
    for n, child in enumerate(many):
        last = n == len(many) - 1
        name = child.checkpoint or "(not merged)"
        served = _serves(child.checkpoint, serving)
        yield f"{indent}{'└─ ' if last else '├─ '}{name}  {child.turn}, {child.words}{served}"
        if child.checkpoint:
            yield from _below(child.checkpoint, children, serving, indent + ("   " if last else "│  "))


def _words(turn: Journal) -> str:
    plan, decision = turn.content.plan, turn.content.decision
    end = "under way" if decision is None else f"{decision} ({turn.content.words})"
    return f"{plan.method}: {end}"


def _serves(checkpoint: str, serving: Mapping[str, str]) -> str:
    return f"  <- serves {serving[checkpoint]}" if checkpoint in serving else ""
