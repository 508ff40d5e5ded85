"""Which checkpoints were deployed under each name, kept in the state directory: what can be gone back to."""

import fcntl
import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path

from pydantic import TypeAdapter, ValidationError

from common.errors import UserError
from common.private_files import make_private_directory

FILE = "deployed.json"
KEPT = 20
"""Checkpoints that are remembered of a name."""


@dataclass(frozen=True, slots=True)
class ServedCheckpoint:
    """One checkpoint, and how its engine was started."""

    checkpoint: str
    args: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class DeployHistory:
    """What became of one name."""

    served: tuple[ServedCheckpoint, ...] = ()
    """The last one is what serves it now."""
    canary: ServedCheckpoint | None = None

    def now(self, served: ServedCheckpoint) -> "DeployHistory":
        """With this checkpoint in service, and no canary."""
        if self.served and self.served[-1] == served:
            return replace(self, canary=None)
        return DeployHistory((*self.served, served)[-KEPT:])

    def back(self) -> "DeployHistory":
        """With the one before in service again. There must be one."""
        return DeployHistory(self.served[:-1])


@dataclass(frozen=True, slots=True)
class Deployed:
    """The file of one state directory."""

    state_dir: Path
    _form: TypeAdapter[dict[str, DeployHistory]] = field(
        default_factory=lambda: TypeAdapter(dict[str, DeployHistory]), repr=False
    )

    def of(self, name: str) -> DeployHistory:
        """What is remembered of a name. Raises UserError when the file is broken."""
        return self._read().get(name, DeployHistory())

    def remember(self, name: str, history: DeployHistory) -> None:
        """Replace what is remembered of a name, in one step. Raises UserError."""
        path = self.state_dir / FILE
        try:
            make_private_directory(self.state_dir)
            with self._alone():
                self._write(self._read() | {name: history}, path)
        except OSError as error:
            raise UserError(f"{path} cannot be written: {error.strerror}.") from error

    @contextmanager
    def _alone(self) -> Iterator[None]:
        """Two commands on two names at the same time: neither forgets what the other has written."""
        descriptor = os.open(self.state_dir / f".{FILE}.lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX)
            yield
        finally:
            os.close(descriptor)

    def _write(self, known: dict[str, DeployHistory], path: Path) -> None:
        temporary = path.with_suffix(".tmp")
        descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        with os.fdopen(descriptor, "w", encoding="utf-8") as file:
            json.dump(self._form.dump_python(known, mode="json"), file, ensure_ascii=False, indent=2)
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)

    def _read(self) -> dict[str, DeployHistory]:
        path = self.state_dir / FILE
        try:
            return self._form.validate_json(path.read_bytes())
        except FileNotFoundError:
            return {}
        except (OSError, ValidationError) as error:
            raise UserError(
                f"{path} cannot be read.", hint="It says which checkpoints were served before; move it away."
            ) from error
