"""How large functions and classes may become: what fits on no screen is searched, not read."""

import ast
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).parents[1]
LONGEST_FUNCTION, LONGEST_CLASS = 40, 200
"""Lines, from the signature to the end."""
LARGER = {
    "server/store/migrations/versions/v0002_keys.py:upgrade": "tables, written once and never changed",
    "server/upstreams/connection.py:Connection": "one protocol and its parser's call-backs",
}
"""What may be larger in server/, and why. This list only shrinks."""


def too_large(part: str) -> Iterator[str]:
    """path:name of every function and class that is over the limit."""
    for path in sorted((ROOT / part).rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
                limit = LONGEST_FUNCTION
            elif isinstance(node, ast.ClassDef):
                limit = LONGEST_CLASS
            else:
                continue
            assert node.end_lineno is not None
            if node.end_lineno - node.lineno + 1 > limit:
                yield f"{path.relative_to(ROOT)}:{node.name}"


def test_functions_and_classes_of_the_server_fit_on_a_screen_or_two() -> None:
    assert set(too_large("server")) == set(LARGER)
