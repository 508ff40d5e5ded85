"""One directory in the place of another, in two renames. Whoever opens the place finishes what was killed
between them."""

import shutil
from pathlib import Path

PREFIX = ".restore-"
"""Of the directory beside the place, in which the new one is made."""
_OLD = "old"


def exchange(place: Path, new: Path) -> None:
    """`new`, which is whole and of the same name, in the place of `place`, which is kept beside it until that
    is done. Raises OSError, and then nothing has changed."""
    old = new.parent / _OLD
    if place.exists():
        place.rename(old)
    try:
        new.rename(place)
    except OSError:
        if old.exists():
            old.rename(place)
        raise


def finish_exchange(place: Path) -> None:
    """Put the new directory into its place where a process was killed before it could. Raises OSError."""
    if place.exists():
        return
    for work in place.parent.glob(f"{PREFIX}*"):
        if (work / _OLD).is_dir() and (work / place.name).is_dir():
            (work / place.name).rename(place)
            shutil.rmtree(work, ignore_errors=True)
            return
