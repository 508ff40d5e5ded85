"""Where tests and their helpers lie, and how long a file of them may be."""

import re
from pathlib import Path

TESTS = Path(__file__).parent
LONGEST_FILE = 400


def files() -> dict[str, Path]:
    return {path.relative_to(TESTS).as_posix(): path for path in TESTS.rglob("*.py")}


def test_no_file_is_longer_than_one_reads_at_once() -> None:
    lines = {name: len(path.read_text(encoding="utf-8").splitlines()) for name, path in files().items()}
    assert {name for name, count in lines.items() if count > LONGEST_FILE} == set()


def test_helpers_lie_in_tests_support_and_tests_do_not() -> None:
    """Whoever looks for a test finds tests, and whoever needs a server or a sample finds what there is."""
    for name, path in files().items():
        if path.name not in ("__init__.py", "conftest.py"):
            assert path.name.startswith("test_") != name.startswith("support/"), f"tests/{name}"


def test_no_test_imports_another() -> None:
    """A test's file can be changed or taken out alone, and importing a sample does not bring tests along."""
    found = [
        f"tests/{name}:{number}"
        for name, path in files().items()
        for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), start=1)
        if re.match(r"\s*(from|import) tests\.(\w+\.)*test_", line)
    ]
    assert found == []
