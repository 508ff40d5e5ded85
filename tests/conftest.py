"""What all tests share in being collected."""

from pathlib import Path

import pytest


def pytest_ignore_collect(collection_path: Path, config: pytest.Config) -> bool | None:
    """Leave files whose tests are all slow alone when no slow test is wanted: many import torch, which takes
    longer than a hundred fast tests."""
    if config.option.markexpr != "not slow" or collection_path.suffix != ".py":
        return None
    lines = collection_path.read_text(encoding="utf-8").splitlines()
    marks = ("pytestmark = pytest.mark.slow", "pytestmark = [pytest.mark.slow")
    return any(line.startswith(marks) for line in lines) or None
