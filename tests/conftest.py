"""What all tests share in being collected."""

from pathlib import Path

import pytest

HERE = Path(__file__).parent


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Print the figures that tests which passed have printed."""
    terminalreporter.section("figures")
    for report in terminalreporter.stats.get("passed", ()):
        if report.capstdout.strip():
            terminalreporter.write_line(report.nodeid.partition("::")[2])
            terminalreporter.write_line(report.capstdout.strip("\n"))


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """With `--dist loadgroup` a file's tests share a process, and all conformance tests one: they share two
    stacks, whose start takes longer than a hundred of them."""
    for item in items:
        package = item.path.parent
        item.add_marker(pytest.mark.xdist_group(item.path.stem if package == HERE else package.name))


def pytest_ignore_collect(collection_path: Path, config: pytest.Config) -> bool | None:
    """Leave files whose tests are all slow alone when no slow test is wanted: many import torch, which takes
    longer than a hundred fast tests."""
    if config.option.markexpr != "not slow" or collection_path.suffix != ".py":
        return None
    lines = collection_path.read_text(encoding="utf-8").splitlines()
    marks = ("pytestmark = pytest.mark.slow", "pytestmark = [pytest.mark.slow")
    return any(line.startswith(marks) for line in lines) or None
