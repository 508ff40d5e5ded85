"""Keys, votes and logs on disk are for the user that runs kodolly alone, whatever the umask says."""

import os
import stat
from pathlib import Path

from common.errors import UserError

OURS = ("kodolly.db", "webui.db", "join-token", "workers-*.json", "aliases-*.json", "*.log", "logs/*.log")
"""What tells that a directory is kodolly's own."""


def make_private_directory(directory: Path) -> None:
    """Create `directory` with mode 0700; an existing one is closed by `close_directory`. Raises OSError."""
    try:
        directory.mkdir(mode=0o700)
    except FileNotFoundError:
        _make_parents(directory.parent)
        directory.mkdir(mode=0o700, exist_ok=True)
    except FileExistsError:
        if not directory.is_dir():
            raise
    close_directory(directory)


def make_state_directory(directory: Path) -> None:
    """`make_private_directory` for the directory that KODOLLY_STATE_DIR names. Raises UserError."""
    try:
        make_private_directory(directory)
    except OSError as error:
        raise UserError(
            f"The state directory {directory} cannot be written: {error.strerror or error}.",
            hint="Free some disk, or choose another one with KODOLLY_STATE_DIR.",
        ) from error


def close_directory(directory: Path) -> None:
    """Close an existing directory to others if it is this user's, and empty or kodolly's. Raises nothing.
    A setting that names /tmp or a home directory must not lock it. Files in it are private by themselves.
    """
    try:
        if _is_ours(directory):
            _close(directory)
    except OSError:
        pass  # not there, not readable, or a file system without modes


def make_private_file(path: Path) -> None:
    """An empty file with mode 0600, or the existing one, closed to others. Raises OSError."""
    try:
        os.close(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600))
    except FileExistsError:
        close_to_others(path)


def close_to_others(path: Path) -> None:
    """Take from others what they may do with a file, if it is there and this user's. Raises nothing."""
    try:
        if path.stat().st_uid == os.geteuid():
            _close(path)
    except OSError:
        pass  # gone meanwhile, or a file system without modes


def _close(path: Path) -> None:
    mode = stat.S_IMODE(path.stat().st_mode)
    if mode & 0o077:
        path.chmod(mode & ~0o077)


def _make_parents(directory: Path) -> None:
    """As `mkdir -p` under the usual umask: others may look in, but not write."""
    if not directory.is_dir():
        _make_parents(directory.parent)
        directory.mkdir(mode=0o755, exist_ok=True)


def _is_ours(directory: Path) -> bool:
    found = directory.stat()
    if found.st_uid != os.geteuid() or found.st_mode & stat.S_ISVTX:
        return False
    whole = directory.resolve()
    # `expanduser` leaves "~" where a container's user has no home; `Path.home` would raise.
    if any(place.is_relative_to(whole) for place in (Path.cwd(), Path(os.path.expanduser("~")))):
        return False
    empty = next(directory.iterdir(), None) is None
    return empty or any(next(directory.glob(pattern), None) is not None for pattern in OURS)
