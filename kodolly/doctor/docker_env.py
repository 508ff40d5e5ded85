"""What stands in docker/.env: values that Compose or a part would stumble over, each with how to mend it."""

import re
import shlex
from collections.abc import Callable, Iterator, Mapping
from ipaddress import ip_address
from pathlib import Path
from urllib.parse import unquote, urlsplit

from common.redact import redacted_url
from kodolly.doctor.doctor import Finding
from server.proxy import parse_proxy

EnvValues = Mapping[str, str | None]
SHORT_SECRET = 16
COMMON_SECRETS = {"changeme", "change-me", "password", "secret", "kodolly", "token", "admin", "test"}
"""How placeholder values in examples begin."""
SECRETS = (
    "KODOLLY_JOIN_TOKEN",
    "KODOLLY_API_KEY",
    "KODOLLY_ADMIN_TOKEN",
    "POSTGRES_PASSWORD",
    "GRAFANA_PASSWORD",
)
PORTS = (
    *("KODOLLY_PORT", "KODOLLY_UI_PORT", "KODOLLY_HTTP_PORT", "KODOLLY_HTTPS_PORT"),
    *("GRAFANA_PORT", "PROMETHEUS_PORT", "ALERTMANAGER_PORT"),
)
MODEL_PROFILES = {"cpu", "gpu"}


def _is_port(value: str) -> bool:
    return value.isascii() and value.isdigit() and 0 < int(value) < 65536


def _is_address(value: str) -> bool:
    try:
        ip_address(value.strip("[]"))
    except ValueError:
        return False
    return True


def _is_count(value: str) -> bool:
    return value.isascii() and value.isdigit() and int(value) > 0


def _is_size(value: str) -> bool:
    return re.fullmatch(r"[1-9]\d*([bkmg]b?)?", value, re.IGNORECASE | re.ASCII) is not None


def _is_url(value: str) -> bool:
    try:
        parts = urlsplit(value)
        return parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
    except ValueError:
        return False


def _are_words(value: str) -> bool:
    try:
        return bool(shlex.split(value))
    except ValueError:
        return False


def _are_gpus(value: str) -> bool:
    ids = value.split(",")
    return len(set(ids)) == len(ids) and all(re.fullmatch(r"all|\d+|(GPU|MIG)-[\w/-]+", one) for one in ids)


def _is_proxy(value: str) -> bool:
    try:
        parse_proxy(value)
    except ValueError:
        return False
    return True


Rule = tuple[Callable[[str], bool], str]
PORT: Rule = (_is_port, "a port is a number from 1 to 65535")
BIND: Rule = (_is_address, "it must be an address of this machine, e.g. 127.0.0.1, or 0.0.0.0 for all")
COUNT: Rule = (_is_count, "it must be a whole number from 1")
SIZE: Rule = (_is_size, "it must be a size such as 512m or 6g")
PROXY: Rule = (_is_proxy, "it must look like http://proxy.example:3128; SOCKS is not supported")
URL: Rule = (_is_url, "it must begin with http:// or https:// and name a host")
RULES: dict[str, Rule] = {
    **dict.fromkeys(PORTS, PORT),
    **dict.fromkeys(("KODOLLY_BIND", "KODOLLY_PUBLIC_BIND"), BIND),
    **dict.fromkeys(
        ("KODOLLY_GATEWAY_PROCESSES", "KODOLLY_WORKER_CPU_THREADS", "KODOLLY_WORKER_CPU_KV_CACHE_GIB"), COUNT
    ),
    **dict.fromkeys((f"KODOLLY_{of}_MEMORY" for of in ("GATEWAY", "WEBUI", "WORKER", "WORKER_GPU")), SIZE),
    **dict.fromkeys(
        ("KODOLLY_PUBLIC_URL", "OPENAI_BASE_URL", "TORCH_INDEX", "PIP_INDEX_URL", "ALERT_WEBHOOK_URL"), URL
    ),
    **dict.fromkeys(("HTTPS_PROXY", "HTTP_PROXY"), PROXY),
    "KODOLLY_LOG_FORMAT": (lambda value: value in ("text", "json"), "it must be text or json"),
    "KODOLLY_WORKER_FLAGS": (_are_words, "quotes must be closed, as in a shell"),
    "KODOLLY_GPU_IDS": (_are_gpus, "name each GPU once, e.g. 0 or 0,1, or all"),
    "KODOLLY_MODEL": (
        lambda value: value.startswith("/models/"),
        "it is the checkpoint as the container sees it: /models/NAME",
    ),
    "ALERT_MAIL_SERVER": (
        lambda value: _is_port(value.rpartition(":")[2]) and bool(value.rpartition(":")[0]),
        "it must look like smtp.example.kr:587",
    ),
}


def examine_values(
    directory: Path, known: set[str], profiles: set[str], values: EnvValues
) -> Iterator[Finding]:
    """Every value by itself, then those that belong together. `known` are the names that Compose reads."""
    for name, (is_right, fix) in RULES.items():
        value = (values.get(name) or "").strip()
        if value and not is_right(value):
            yield Finding("fail", name, f"{redacted_url(value)!r} cannot be used", fix)
    for name in SECRETS:
        yield from _secret(name, (values.get(name) or "").strip())
    yield from _models(directory, profiles, values)
    if "postgres" in profiles:
        yield from _database(values)
    if "monitoring" in profiles:
        yield from _receivers(values)
    for name in sorted(values.keys() - known):
        if re.match(r"KODOLLY_|ALERT_|GRAFANA_|POSTGRES_|PROMETHEUS_", name):
            yield Finding("warn", name, "compose.yaml does not read it", "see .env.example for the names")


HEADER_SECRET = re.compile(r"[!#-\[\]-~]+")
"""A secret that can be sent in a header, and stands in JSON (KODOLLY_API_KEYS of compose.yaml) as it is."""


def _secret(name: str, value: str) -> Iterator[Finding]:
    if not value:
        return
    fix = f"put {name}=$(openssl rand -hex 32) into .env: a secret that can be guessed is none"
    if name.startswith("KODOLLY_") and not HEADER_SECRET.fullmatch(value):
        what = "it holds a blank, a quotation mark, a backslash or a letter that is not ASCII"
        yield Finding(
            "fail", name, what, f"put {name}=$(openssl rand -hex 32) into .env: it goes into a header"
        )
    elif any(value.lower().startswith(word) for word in COMMON_SECRETS):
        yield Finding("fail", name, "it is a word that stands in examples", fix)
    elif len(value) < SHORT_SECRET and name.endswith("TOKEN"):
        yield Finding("fail", name, f"it is shorter than {SHORT_SECRET} characters", fix)
    elif len(value) < SHORT_SECRET:
        yield Finding("warn", name, f"it is shorter than {SHORT_SECRET} characters", fix)


def _models(directory: Path, profiles: set[str], values: EnvValues) -> Iterator[Finding]:
    """Whether the checkpoint to serve is there, for user 10001 to read."""
    models, model = values.get("KODOLLY_MODELS") or "", values.get("KODOLLY_MODEL") or ""
    if not profiles & MODEL_PROFILES:
        if model:
            fix = "add cpu or gpu to COMPOSE_PROFILES; the profile demo serves its own models"
            yield Finding("warn", "KODOLLY_MODEL", "no profile serves it", fix)
        return
    if models and models != "models" and not re.match(r"[./~]", models):
        fix = f"write ./{models} or the whole path: without a slash Compose takes it for a volume"
        yield Finding("fail", "KODOLLY_MODELS", f"there is no volume {models}", fix)
        return
    if not re.match(r"[./~]", models):
        return
    place = (directory / Path(models).expanduser()).resolve()
    try:
        there, mode = place.is_dir(), place.stat().st_mode if place.exists() else 0
        name = model.removeprefix("/models/").strip("/") if model.startswith("/models/") else "current"
        missing = there and not (place / name).exists()
    except OSError as error:
        yield Finding(
            "warn", "KODOLLY_MODELS", f"{place} cannot be looked at: {error.strerror}", "see its rights"
        )
        return
    if not there:
        fix = "make it and put a checkpoint in, or take KODOLLY_MODELS out of .env for a volume"
        yield Finding("fail", "KODOLLY_MODELS", f"there is no directory {models}", fix)
    elif missing:
        yield Finding(
            "fail", "KODOLLY_MODEL", f"{models} holds no {name}", "name a checkpoint that lies in it"
        )
    elif mode & 0o005 != 0o005:
        fix = f"chmod -R o+rX {models}, or give it to user 10001"
        yield Finding(
            "warn", "KODOLLY_MODELS", f"others may not read {models}: user 10001 of the container", fix
        )


def _database(values: EnvValues) -> Iterator[Finding]:
    url, password = values.get("KODOLLY_GATEWAY_DATABASE_URL") or "", values.get("POSTGRES_PASSWORD") or ""
    if not url or not password:
        return  # reported already as a missing value
    what, fix = "KODOLLY_GATEWAY_DATABASE_URL", "postgresql://kodolly:PASSWORD@postgres/kodolly"
    try:
        parts = urlsplit(url)
        in_url = unquote(parts.password or "")
    except ValueError:
        yield Finding("fail", what, "it is no URL; a password with / @ : # must be %-encoded", fix)
        return
    if not parts.scheme.startswith("postgres"):
        yield Finding("fail", what, "the profile postgres is on, but it names another database", fix)
    elif parts.hostname == "postgres" and in_url != password:
        fix = "put the same into both; a new one must be set in the database, too (ALTER USER)"
        yield Finding("fail", what, "its password is not POSTGRES_PASSWORD", fix)


def _receivers(values: EnvValues) -> Iterator[Finding]:
    if values.get("ALERT_MAIL_TO") and not (
        values.get("ALERT_MAIL_SERVER") and values.get("ALERT_MAIL_FROM")
    ):
        fix = "set ALERT_MAIL_SERVER (host:port) and ALERT_MAIL_FROM, too"
        yield Finding("fail", "ALERT_MAIL_TO", "mail needs a server and a sender", fix)
    elif not values.get("ALERT_MAIL_TO") and not values.get("ALERT_WEBHOOK_URL"):
        fix = "set ALERT_WEBHOOK_URL or ALERT_MAIL_TO"
        yield Finding("warn", "alerts", "nobody is told of them", fix)
