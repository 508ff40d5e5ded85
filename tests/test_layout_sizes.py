"""How large functions and classes may become, and how often a type may say nothing: what fits on no screen is
searched, not read."""

import ast
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import pytest

from tests.support.product import PARTS

ROOT = Path(__file__).parents[1]
LONGEST_FUNCTION, LONGEST_CLASS = 40, 200
"""Lines, from the signature to the end."""
MOST_ANY = {"server": 30, "finetune": 80}
"""How often a part may write `Any`: where a library's own types say no more. These numbers only shrink."""

MOST_ON_TOP = {"server": 12, "finetune": 16}
"""How many modules and packages may stand side by side on a part's top level."""


@dataclass(frozen=True)
class Measured:
    too_large: frozenset[str]
    """path:name of every function and class that is over the limit."""
    any: dict[str, int]
    """Path -> how often it says `Any`."""


@cache
def measured(part: str) -> Measured:
    large: set[str] = set()
    anys: dict[str, int] = {}
    for path in sorted((ROOT / part).rglob("*.py")):
        place = str(path.relative_to(ROOT))
        for node in ast.walk(ast.parse(path.read_bytes())):
            if isinstance(node, ast.Name) and node.id == "Any":
                anys[place] = anys.get(place, 0) + 1
            large.update(f"{place}:{name}" for name in over_the_limit(node))
    return Measured(frozenset(large), anys)


def over_the_limit(node: ast.AST) -> Iterator[str]:
    if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
        limit = LONGEST_CLASS if isinstance(node, ast.ClassDef) else LONGEST_FUNCTION
        if (node.end_lineno or 0) - node.lineno + 1 > limit:
            yield node.name


@pytest.mark.parametrize("part", PARTS)
def test_functions_and_classes_fit_on_a_screen_or_two(part: str) -> None:
    assert measured(part).too_large == frozenset()


@pytest.mark.parametrize("part", MOST_ANY)
def test_types_say_what_a_value_is(part: str) -> None:
    found = measured(part).any
    assert sum(found.values()) <= MOST_ANY[part], found


@pytest.mark.parametrize("part", MOST_ON_TOP)
def test_the_top_level_of_a_part_is_read_at_a_glance(part: str) -> None:
    modules = {path.stem for path in (ROOT / part).glob("*.py")} - {"__init__"}
    packages = {path.parent.name for path in (ROOT / part).glob("*/__init__.py")}
    assert len(modules | packages) <= MOST_ON_TOP[part], sorted(modules | packages)
