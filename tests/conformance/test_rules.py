"""The suite itself: every rule has checks, and every check says which rule it is of."""

import ast
import re
from pathlib import Path

HERE = Path(__file__).parent


def checks() -> list[ast.FunctionDef]:
    """All checks, as they are written."""
    files = [file for file in sorted(HERE.glob("test_*.py")) if file != Path(__file__)]
    trees = [ast.parse(file.read_text(encoding="utf-8")) for file in files]
    return [
        node
        for tree in trees
        for node in tree.body
        if isinstance(node, ast.FunctionDef) and node.name.startswith("test_")
    ]


def test_every_check_is_named_after_its_rule_and_says_what_it_asks() -> None:
    for check in checks():
        named = re.match(r"test_w(\d\d)_", check.name)
        assert named, check.name
        said = re.match(r"W(\d+)\b", ast.get_docstring(check) or "")
        assert said, f"{check.name} has no docstring that begins with its rule"
        assert int(said.group(1)) == int(named.group(1)), check.name


def test_every_rule_has_a_check_and_a_row_in_the_documentation() -> None:
    rules = {int(check.name[6:8]) for check in checks()}
    assert rules == set(range(1, 30))
    page = (HERE.parents[1] / "docs" / "conformance.md").read_text(encoding="utf-8")
    assert [int(number) for number in re.findall(r"^\| W(\d+) \|", page, re.MULTILINE)] == list(range(1, 30))
