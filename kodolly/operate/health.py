"""Whether a part answers that it is well: what the containers' health checks ask every few seconds.

It goes straight to the address, whatever HTTP_PROXY says: Docker hands a company's proxy to every container.
It imports nothing but the standard library as long as no settings file has to be read.
"""

import http.client
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

from common.errors import UserError

TIMEOUT_S = 3.0
FIRST_PROCESS = Path("/proc/1/cmdline")
SETTINGS_FILES = (Path("kodolly.yaml"), Path(".env"))
WILDCARDS = {"", "0.0.0.0", "::"}


@dataclass(frozen=True, slots=True)
class HealthAddress:
    """Where a part answers, unless it is told otherwise."""

    port: int
    path: str


DOORS = {
    "controller": HealthAddress(21001, "/healthz"),
    "gateway": HealthAddress(8000, "/healthz"),
    "documents": HealthAddress(21501, "/healthz"),
    "webui": HealthAddress(7860, "/healthz"),
    "worker": HealthAddress(21002, "/health"),
}


def problem(url: str, timeout_s: float = TIMEOUT_S) -> str | None:
    """Why `url` does not say 200; None when it does. Raises UserError when `url` is none."""
    try:
        parts = urlsplit(url)
        host, port = parts.hostname, parts.port
    except ValueError:
        host, port = None, None
    if host is None or parts.scheme not in ("http", "https"):
        raise UserError(f"{url} is no URL.", hint="It must look like http://127.0.0.1:8000/healthz.")
    kind = http.client.HTTPSConnection if parts.scheme == "https" else http.client.HTTPConnection
    connection = kind(host, port, timeout=timeout_s)
    try:
        connection.request("GET", parts.path or "/", headers={"Connection": "close"})
        status = connection.getresponse().status
    except (OSError, http.client.HTTPException) as error:
        return f"{url} does not answer: {error or type(error).__name__}"
    finally:
        connection.close()
    return None if status == 200 else f"{url} answers {status}"


def container_url(
    environ: Mapping[str, str] = os.environ, first_process: Path = FIRST_PROCESS
) -> tuple[str, str]:
    """(part, its health URL) of the part that this container was started as, its flags included.

    Raises UserError when the container's first process is no part.
    """
    try:
        words = first_process.read_bytes().decode("utf-8", "replace").removesuffix("\0").split("\0")
    except OSError:
        words = []
    part = next((word for word in words if word in DOORS), None)
    if part is None:
        raise UserError(
            "This container runs no part of kodolly.", hint="Name a URL: kodolly health http://..."
        )
    flags = words[words.index(part) + 1 :]
    if "--" in flags:  # the engine's own
        flags = flags[: flags.index("--")]
    host, port = _address(part, flags, environ)
    host = "127.0.0.1" if host in WILDCARDS else f"[{host}]" if ":" in host else host
    return part, f"http://{host}:{port}{DOORS[part].path}"


def _address(part: str, flags: Sequence[str], environ: Mapping[str, str]) -> tuple[str, str]:
    if any(file.exists() for file in SETTINGS_FILES) or any(flag.startswith("--config") for flag in flags):
        from kodolly.part_settings import settings_of

        settings = settings_of(part, flags)
        return str(settings.host), str(settings.port)
    found = {}
    for name, default in (("host", ""), ("port", str(DOORS[part].port))):
        variable = environ.get(f"KODOLLY_{part.upper()}_{name.upper()}")
        found[name] = _flag(flags, f"--{name}") or variable or default
    return found["host"], found["port"]


def _flag(flags: Sequence[str], name: str) -> str | None:
    value = None
    for index, word in enumerate(flags):
        if word == name:
            value = next(iter(flags[index + 1 : index + 2]), None)
        elif word.startswith(f"{name}="):
            value = word.removeprefix(f"{name}=")
    return value
