"""Variables of the environment and of `.env` that look like settings, but are none: nothing heeds them.

They are named, not refused: Compose has names of its own in the same `.env`, Kubernetes sets variables for
each service, and a newer version's settings should not keep an older one from starting.
"""

import logging
import os
import re
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from difflib import get_close_matches
from pathlib import Path

from common.settings import PartSettings, environment_names

logger = logging.getLogger(__name__)

PREFIX = "KODOLLY_"
COMPOSE = frozenset(
    f"{PREFIX}{name}"
    for name in [
        "ALLOWED_HOSTS",
        "BASE_IMAGE",
        "BIND",
        "DOCUMENTS_MEMORY",
        "GATEWAY_MEMORY",
        "GPU_IDS",
        "HTTPS_PORT",
        "HTTP_PORT",
        "IMAGE_PREFIX",
        "LOG_FORMAT",
        "MODEL",
        "MODELS",
        "MODEL_NAME",
        "PORT",
        "PUBLIC_BIND",
        "PUBLIC_URL",
        "SITE",
        "TAG",
        "UI_PORT",
        "WEBUI_MEMORY",
        "WORKER_FLAGS",
        "WORKER_GPU_MEMORY",
        "WORKER_MEMORY",
    ]
)
"""What docker/.env.example and the Compose files know."""
SERVICE_LINK = re.compile(r"_SERVICE_(?:HOST|PORT)(?:_|$)|_PORT_\d+_(?:TCP|UDP|SCTP)(?:_|$)")
"""Kubernetes tells each pod of all services so (its documentation: Service, Environment variables)."""


@dataclass(frozen=True, slots=True)
class UnknownName:
    """A variable that is no setting."""

    name: str
    source: str
    """`environment` or the path of the file."""
    meant: str = ""
    """The nearest setting's variable; "" when there is none."""
    part: str = ""
    """The section of that setting."""

    def __str__(self) -> str:
        meant = f" Did you mean {self.meant}?" if self.meant else " `kodolly config show` lists the settings."
        return f"{self.name} (from {self.source}) is no setting and changes nothing.{meant}"


def unknown_names(file: Path = Path(".env")) -> list[UnknownName]:
    """All of them, by name. A file that cannot be read has none: the settings say what is wrong with it."""
    from dotenv import dotenv_values

    from kodolly.stack.heartbeat import READY_FD
    from kodolly.stack.prefork import PROCESS, SOCKET_FD

    owners = _owners()
    known = owners.keys() | COMPOSE | {READY_FD, PROCESS, SOCKET_FD}
    given = dict.fromkeys(os.environ, "environment")
    if file.is_file():
        with suppress(OSError, UnicodeDecodeError):
            given = dict.fromkeys(dotenv_values(file), str(file)) | given
    found = []
    for name, source in sorted(given.items()):
        upper = name.upper()
        if not upper.startswith(PREFIX) or upper in known or SERVICE_LINK.search(upper):
            continue
        meant = next(iter(get_close_matches(upper[:100], sorted(known), n=1, cutoff=0.75)), "")
        found.append(UnknownName(name, source, meant, owners.get(meant, "")))
    return found


def warn_of_unknown_names(part: str) -> None:
    """Log those that may have been meant for this part: of several on one machine, one says each."""
    for unknown in unknown_names():
        if unknown.part in ("", part):
            logger.warning("%s", unknown)


def _owners() -> dict[str, str]:
    """The variable of every setting -> its part."""
    return {name: cls.section for cls in _parts() for name in environment_names(cls)}


def _parts() -> Iterator[type[PartSettings]]:
    from controller.settings import ControllerSettings
    from documents.service.settings import DocumentsSettings
    from kodolly.stack.parts import UpSettings
    from server.settings import GatewaySettings
    from webui.settings import WebuiSettings
    from worker.settings import WorkerSettings

    yield from (UpSettings, ControllerSettings, WorkerSettings, WebuiSettings, DocumentsSettings)
    yield GatewaySettings
