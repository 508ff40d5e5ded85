"""What stands in docker/, read once for the tests, and what the code knows of the same things."""

import re
from pathlib import Path
from typing import Any

import yaml

from common.settings import PartSettings
from controller.settings import ControllerSettings
from documents.service.settings import DocumentsSettings
from server.settings import OPENAI, GatewaySettings
from webui.settings import WebuiSettings
from worker.settings import WorkerSettings

ROOT = Path(__file__).parents[2]
DOCKER = ROOT / "docker"
COMPOSE = yaml.safe_load((DOCKER / "compose.yaml").read_text(encoding="utf-8"))
SERVICES: dict[str, dict[str, Any]] = COMPOSE["services"]
IMAGES = ("gateway", "documents", "webui", "worker-cpu", "worker-gpu")
PROFILES = (
    "",
    "demo",
    "cpu",
    "gpu",
    "documents",
    "openai",
    "postgres",
    "monitoring",
    "tls",
    "demo,documents,openai,postgres,monitoring,tls",
)
PARTS: dict[str, type[PartSettings]] = {
    "controller": ControllerSettings,
    "gateway": GatewaySettings,
    "documents": DocumentsSettings,
    "webui": WebuiSettings,
    "worker": WorkerSettings,
}
OWN = {name: service for name, service in SERVICES.items() if "build" in service}
COMPOSE_OWN = {"COMPOSE_PROFILES"}
"""Variables of Compose itself, and of libraries whose names we do not choose."""
LIBRARIES = {
    "HTTPS_PROXY",
    "HTTP_PROXY",
    "NO_PROXY",
    "FORWARDED_ALLOW_IPS",
    "POSTGRES_USER",
    "POSTGRES_DB",
    "POSTGRES_PASSWORD",
    "NVIDIA_VISIBLE_DEVICES",
}


def environment(service: dict[str, Any]) -> dict[str, str]:
    return {name: str(value) for name, value in service.get("environment", {}).items()}


def variables(part: str) -> set[str]:
    """Every environment variable that a part reads."""
    settings = PARTS[part]
    prefix = settings.model_config["env_prefix"]
    names = {f"{prefix}{name}".upper() for name in settings.model_fields}
    for field in settings.model_fields.values():
        names |= {str(choice) for choice in getattr(field.validation_alias, "choices", ())}
    return names | ({OPENAI.key_env} if part == "gateway" else set())


def part_of(service: dict[str, Any]) -> str:
    return str(service["command"][0])


def seconds(text: str) -> int:
    found = re.fullmatch(r"(?:(\d+)m)?(?:(\d+)s)?", text)
    assert found, text
    return 60 * int(found[1] or 0) + int(found[2] or 0)
