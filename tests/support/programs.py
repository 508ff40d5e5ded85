"""Programs beside Python that tests need."""

import os
import shutil
from typing import NoReturn

import pytest


def absent(what: str) -> NoReturn:
    """Skip the test because `what` is missing; in CI fail, for there nobody reads what was skipped."""
    if os.environ.get("CI"):
        pytest.fail(f"{what} is missing")
    pytest.skip(f"{what} is missing")


def first_installed(*names: str) -> str:
    """The first of these programs that is installed; without any, `absent`."""
    return next((name for name in names if shutil.which(name)), "") or absent(" or ".join(names))
