"""Atomic files and directories: either whole or absent, even when a run is killed."""

import contextlib
import errno
import os
import re
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

from common.errors import UserError
from finetune.files.lock import lock_for


@contextmanager
def whole_file(path: Path) -> Iterator[BinaryIO]:
    """A file to write, which gets the name `path` only when the block ends without an exception. Raises
    UserError when it cannot be written."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        descriptor, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    except OSError as error:
        raise UserError(f"{path} cannot be written: {error.strerror}.") from error
    part = Path(name)
    try:
        with os.fdopen(descriptor, "wb", buffering=1 << 20) as file:
            yield file
        part.chmod(0o666 & ~_umask())
        part.replace(path)
    except OSError as error:
        raise UserError(f"{path} cannot be written: {error.strerror or error}.") from error
    finally:
        part.unlink(missing_ok=True)


def _umask() -> int:
    current = os.umask(0)
    os.umask(current)
    return current


SMALL_FILES = 1_000_000
"""Bytes reckoned for tokenizer, template, configuration and card."""
MARK_FILE = ".mark"
"""File in an unfinished directory that says which run wrote it, so that the same run can resume."""
NO_ROOM = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
NOT_ALLOWED = (errno.EACCES, errno.EROFS, errno.ENOTDIR)


@contextlib.contextmanager
def whole_directory(target: Path, mark: str | None = None) -> Iterator[Path]:
    """An empty directory beside `target`, which gets its name when the block ends without an exception.

    A killed run leaves only `.NAME.partial` behind, which nobody takes for a checkpoint. The next run empties
    it, unless both runs have the same `mark`: then it resumes with what is there. Raises UserError when
    `target` exists, when another run is writing it, and when the disk is full.
    """
    part = target.parent / f".{target.name}.partial"
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        with _held(part, target, mark):
            yield part
            (part / MARK_FILE).unlink(missing_ok=True)
            for path in (*part.rglob("*"), part):
                _sync(path)
            part.rename(target)
            _sync(target.parent)
    except Exception as error:
        reason = _why_not_written(error)
        if reason is None:
            raise
        raise UserError(f"{target} cannot be written: {reason}.", hint="Nothing was left behind.") from error


@contextlib.contextmanager
def _held(part: Path, target: Path, mark: str | None) -> Iterator[None]:
    """Hold `part` locked until the block ends, then remove what is still there under its name. It is empty at
    first, or holds what a run of the same mark left.

    The lock is on the directory itself, so it ends with the process, however that ends, and no run removes
    what another is writing.
    """
    _refuse_existing(target)
    part.mkdir(exist_ok=True)
    descriptor = os.open(part, os.O_RDONLY)
    try:
        lock_for(target, descriptor)
        _refuse_existing(target)  # the other run may have ended between the two lines above
        _empty_unless_marked(part, mark)
        try:
            yield
        finally:
            shutil.rmtree(part, ignore_errors=True)
    finally:
        os.close(descriptor)


def _empty_unless_marked(part: Path, mark: str | None) -> None:
    file = part / MARK_FILE
    if mark is not None and file.is_file() and file.read_text(encoding="utf-8") == mark:
        return
    for left in part.iterdir():
        if left.is_dir():
            shutil.rmtree(left)
        else:
            left.unlink()
    if mark is not None:
        file.write_text(mark, encoding="utf-8")


def _refuse_existing(target: Path) -> None:
    if target.exists():
        raise UserError(f"{target} exists already.", hint="Name another output, or remove it first.")


def require_room(directory: Path, weights: int) -> None:
    """Raises UserError when `weights` bytes, and the small files beside them, do not fit on the disk of
    `directory`.

    Called before the work begins: a disk that is already full should not cost a training run.
    """
    free = shutil.disk_usage(directory).free
    if free < weights + SMALL_FILES:
        raise UserError(
            f"{directory.parent} has {free / 1e6:,.1f} MB free; "
            f"the result needs about {(weights + SMALL_FILES) / 1e6:,.1f} MB.",
            hint="Free some space, or name an output on another disk.",
        )


def _why_not_written(error: Exception) -> str | None:
    """The reason in words when disk space or permissions are at fault, else None."""
    if isinstance(error, OSError) and error.errno in (*NO_ROOM, *NOT_ALLOWED):
        return error.strerror
    # safetensors writes in Rust: its error has no errno, only the text that ends in "(os error 28)".
    found = re.search(r"\(os error (\d+)\)", str(error))
    if type(error).__name__ == "SafetensorError" and found and int(found[1]) in NO_ROOM:
        return os.strerror(int(found[1]))
    return None


def _sync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
