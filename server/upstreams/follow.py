"""Following the controllers: one task keeps the directory in step with `GET /v1/watch`.

Any controller will do; when one goes, the next is tried, with back-off. Meanwhile the last snapshot
stays in force, also across a restart of the gateway (a 0600 file, since it holds the engines' keys).
"""

import asyncio
import logging
import os
from collections.abc import AsyncIterator
from itertools import cycle
from pathlib import Path

import httpx2
from pydantic import Field, ValidationError

from common.private_files import make_private_directory
from common.registry import Delta, Snapshot, Split, WorkerRecord
from common.sse import SseDecoder
from server.settings import GatewaySettings
from server.upstreams.directory import Directory

logger = logging.getLogger(__name__)

SILENCE_S = 15.0
"""A watch without even a keep-alive comment for this long is dead."""
BACKOFF_S = (0.2, 0.5, 1.0, 2.0, 3.0)


class OutOfStep(Exception):
    """A delta did not follow on; a new watch starts with a full snapshot."""


async def follow_controllers(directory: Directory, settings: GatewaySettings) -> None:
    """Run until cancelled. Aliases of the controllers win over those of the settings."""
    directory.set_aliases(dict(settings.aliases))
    if not settings.controllers:
        return
    saved = SavedSnapshot(directory, settings)
    saved.load()
    async with asyncio.TaskGroup() as group:
        group.create_task(saved.keep())
        group.create_task(_follow(directory, settings, saved))


async def _follow(directory: Directory, settings: GatewaySettings, saved: "SavedSnapshot") -> None:
    token = settings.join_token.get_secret_value()
    # Without one the controller says that it misses it; an empty one would be no header at all.
    headers = {"authorization": f"Bearer {token}"} if token else {}
    timeout = httpx2.Timeout(settings.connect_timeout_s, read=SILENCE_S)
    failures = 0
    # trust_env=False: a proxy variable must not send cluster traffic elsewhere.
    async with httpx2.AsyncClient(headers=headers, timeout=timeout, trust_env=False) as client:
        for url in cycle(settings.controllers):
            try:
                async for _ in _watch(client, url, directory, saved):
                    failures = 0
            except (httpx2.HTTPError, httpx2.InvalidURL, OutOfStep, ValidationError) as error:
                if failures == 0:
                    logger.warning("controller %s: %s; going on with what is known", url, _reason(error))
            directory.controller_connected = False
            await asyncio.sleep(BACKOFF_S[min(failures, len(BACKOFF_S) - 1)])
            failures += 1


async def _watch(
    client: httpx2.AsyncClient, url: str, directory: Directory, saved: "SavedSnapshot"
) -> AsyncIterator[None]:
    """One connection; yields after changes that were applied."""
    async with client.stream("GET", f"{url.rstrip('/')}/v1/watch") as response:
        response.raise_for_status()
        decoder = SseDecoder()
        async for chunk in response.aiter_bytes():
            changes = decoder.feed(chunk)
            for kind, data in changes:
                _apply(directory, saved, kind, data)
            directory.controller_spoke()  # whatever came, be it a comment that only says that it lives
            if changes:
                if not directory.controller_connected:
                    logger.info("following controller %s", url)
                directory.controller_connected = True
                saved.changed.set()
                yield


def _apply(directory: Directory, saved: "SavedSnapshot", kind: str, data: str) -> None:
    if kind == "snapshot":
        snapshot = Snapshot.model_validate_json(data)
        directory.apply_snapshot(snapshot)
        saved.set_aliases(snapshot.aliases, snapshot.splits)
    elif kind == "delta":
        delta = Delta.model_validate_json(data)
        if not directory.apply_delta(delta):
            raise OutOfStep("a change was missed")
        if delta.aliases is not None:
            saved.set_aliases(delta.aliases, delta.splits or {})


def _reason(error: Exception) -> str:
    if isinstance(error, httpx2.HTTPStatusError):
        if error.response.status_code == 401:
            return "it refuses our join token (KODOLLY_JOIN_TOKEN)"
        return f"it answers {error.response.status_code}"
    return str(error) or type(error).__name__


# -- the copy on disk ---------------------------------------------------------------------------


class SavedState(Snapshot):
    """The copy on disk."""

    gone: dict[str, float] = Field(default_factory=dict)
    """Model name that workers served, and none does now -> Unix seconds since when."""


class SavedSnapshot:
    """The copy on disk of what this gateway follows, and the aliases that came with it.

    `keep` writes it beside the watch: a disk that takes its time must not keep the next change from requests.
    """

    def __init__(self, directory: Directory, settings: GatewaySettings) -> None:
        self._directory = directory
        self._configured = settings.aliases
        self._path = snapshot_path(settings)
        self.changed = asyncio.Event()
        """To be set after a change."""
        self._aliases: dict[str, str] = {}
        self._splits: dict[str, Split] = {}

    def set_aliases(self, aliases: dict[str, str], splits: dict[str, Split]) -> None:
        """Those that the controllers know; they are added to the configured ones."""
        self._aliases, self._splits = aliases, splits
        self._directory.set_aliases(dict(self._configured) | aliases, splits)

    def load(self) -> None:
        """Start from the copy on disk, if there is a readable one."""
        snapshot = load_snapshot(self._path)
        if snapshot is not None:
            self._directory.own.recall(snapshot.gone)
            self._directory.apply_snapshot(snapshot)
            self.set_aliases(snapshot.aliases, snapshot.splits)

    async def keep(self) -> None:
        """Write what has changed, until cancelled; load, which changes all the time, is not worth a write."""
        written: tuple[object, ...] = ()
        failing = False
        while True:
            await self.changed.wait()
            self.changed.clear()
            now = directory_snapshot(self._directory).model_copy(
                update={"aliases": self._aliases, "splits": self._splits}
            )
            if _lasting(now) == written:
                continue
            try:
                await asyncio.to_thread(save_snapshot, now, self._path)
                written, failing = _lasting(now), False
            except OSError as error:  # a full disk: the next change, of load at the latest, tries again
                if not failing:
                    logger.warning("the snapshot of workers cannot be saved: %s", error)
                failing = True


def _lasting(snapshot: SavedState) -> tuple[object, ...]:
    """What a restarted gateway needs; of versions it would get a new snapshot anyway."""
    return snapshot.epoch, snapshot.workers, snapshot.aliases, snapshot.splits, snapshot.gone


def snapshot_path(settings: GatewaySettings) -> Path:
    """Where the last snapshot lies."""
    return settings.state_dir / f"workers-{settings.port}.json"


def directory_snapshot(directory: Directory) -> SavedState:
    """What the directory knows of workers and names, as a snapshot."""
    workers = tuple(
        WorkerRecord(
            worker_id=up.id,
            incarnation=up.reported.incarnation,
            url=up.reported.url,
            engine_key=up.reported.key,
            models=tuple(up.reported.models.values()),
            state=up.reported.state,
            progress=up.reported.progress,
            detail=up.reported.detail,
            capacity=up.reported.capacity,
        )
        for up in directory.workers.values()
    )
    return SavedState(
        epoch=directory.epoch, version=directory.version, workers=workers, gone=directory.own.gone()
    )


def save_snapshot(snapshot: Snapshot, path: Path) -> None:
    """Replace the copy on disk in one step. Raises OSError."""
    text = snapshot.model_dump_json()
    temporary = path.with_suffix(f".{os.getpid()}.tmp")  # the gateway may have several processes
    make_private_directory(path.parent)
    descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(descriptor, "w", encoding="utf-8") as file:
        file.write(text)
    temporary.replace(path)


def load_snapshot(path: Path) -> SavedState | None:
    """The copy on disk; None when there is no readable one."""
    try:
        return SavedState.model_validate_json(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return None
    except (OSError, ValueError) as error:
        logger.warning("the saved snapshot of workers is ignored: %s", error)
        return None
