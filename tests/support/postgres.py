"""A private PostgreSQL server for tests: Debian's package `postgresql`, or the wheel `pgserver`, which has
pgvector."""

import os
import shutil
import subprocess
import tempfile
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path

from tests.support.processes import free_port, running, wait_for


def binaries() -> Path | None:
    """Where initdb and postgres are, if they are installed."""
    found = sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"))
    if found:
        return found[-1].parent
    installed = shutil.which("initdb")
    return Path(installed).resolve().parent if installed else None


def with_pgvector() -> Path:
    """Where those of `pgserver` are. It is not imported: that would look after a server by itself."""
    found = find_spec("pgserver")
    assert found is not None, "install the test group of pyproject.toml"
    assert found.origin is not None
    return Path(found.origin).parent / "pginstall" / "bin"


@contextmanager
def postgres(root: Path, where: Path | None = None) -> Iterator[str]:
    """A server with its data behind `root / "postgres"`; yields the SQLAlchemy URL of an empty database."""
    where = where or binaries()
    assert where is not None, "install Debian's package postgresql"
    # The server refuses to run as root; Debian's package has made a user for it.
    user = "postgres" if os.geteuid() == 0 else None
    # Not under `root`: pytest closes the folder of its user's runs to others, each time one more begins.
    with tempfile.TemporaryDirectory(prefix="kodolly-postgres-") as data:
        (root / "postgres").symlink_to(data)
        if user:
            shutil.chown(data, user)
        subprocess.run(
            [where / "initdb", "-D", data, "-U", "kodolly", "-A", "trust", "-E", "UTF8", "--no-sync"],
            check=True,
            stdout=subprocess.DEVNULL,
            user=user,
            cwd=data,
        )
        with _serving(where, data, user, root / "postgres.log") as url:
            yield url


def new_database(url: str) -> str:
    """The URL of an empty database of the server at `url`."""
    where = binaries()
    assert where is not None
    server, _, _ = url.rpartition("/")
    name = f"test_{uuid.uuid4().hex}"
    maintenance = f"{server}/postgres"
    subprocess.run([where / "createdb", "--maintenance-db", maintenance, "-T", "template0", name], check=True)
    return f"{server}/{name}"


def control(root: Path, url: str, *words: str) -> None:
    """`pg_ctl` with these words for the server that `postgres(root)` has started at `url`."""
    where, data = binaries(), (root / "postgres").resolve()
    assert where is not None
    options = f"-p {url.rpartition(':')[2].partition('/')[0]} -c listen_addresses=127.0.0.1"
    options += " -c unix_socket_directories="
    argv: list[str | Path] = [where / "pg_ctl", "-D", data, "-w", "-o", options, "-l", data / "again.log"]
    user = "postgres" if os.geteuid() == 0 else None
    subprocess.run([*argv, *words], check=True, user=user, stdout=subprocess.DEVNULL, cwd=data)


@contextmanager
def _serving(where: Path, data: str, user: str | None, log: Path) -> Iterator[str]:
    port = free_port()
    argv = [
        *(["setpriv", f"--reuid={user}", f"--regid={user}", "--clear-groups"] if user else []),
        *(str(where / "postgres"), "-D", data, "-p", str(port)),
        *("-c", "listen_addresses=127.0.0.1", "-c", "unix_socket_directories=", "-c", "fsync=off"),
    ]
    with running(argv, log, cwd=Path(data)) as process:
        wait_for(lambda: "ready to accept" in log.read_text(), 30, process, log)
        yield f"postgresql://kodolly@127.0.0.1:{port}/postgres"
