"""How large functions and classes may become: what fits on no screen is searched, not read."""

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PARTS = (
    "common",
    "documents",
    "moderation",
    "controller",
    "server",
    "worker",
    "webui",
    "finetune",
    "kodolly",
)
LONGEST_FUNCTION, LONGEST_CLASS = 40, 200
"""Lines, from the signature to the end."""
LARGER = {
    "common/http_protocol.py:BoundedProtocol": "one protocol and its parser's call-backs",
    "finetune/files/json_spans.py:feed": "the loop over every bracket of a large file; calls would slow it",
    "server/store/migrations/versions/v0002_keys.py:upgrade": "tables, written once and never changed",
    "server/upstreams/connection.py:Connection": "one protocol and its parser's call-backs",
    "webui/pages/chat/layout.py:build_chat": "a page's layout, from top to bottom",
    "webui/pages/compare/events.py:CompareEvents": "the listeners of one page",
    "webui/pages/compare/layout.py:build_compare": "a page's layout, from top to bottom",
    "webui/store/migrations/versions/v0001_conversations.py:upgrade": "tables, written once, never changed",
}
"""What may be larger, and why. This list only shrinks."""


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


@pytest.mark.parametrize("part", PARTS)
def test_functions_and_classes_fit_on_a_screen_or_two(part: str) -> None:
    assert set(too_large(part)) == {name for name in LARGER if name.startswith(f"{part}/")}
