"""What the gateway hears from a controller that it follows."""

import asyncio
import os
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from common.registry import Delta, ModelCard, Snapshot, WorkerLoad, WorkerRecord
from common.settings import load_settings
from server.settings import GatewaySettings
from server.upstreams.directory import Directory
from server.upstreams.follow import follow_controllers, snapshot_path
from tests.support.until import until

RECORD = WorkerRecord(
    worker_id="w1",
    incarnation="incarnation-1",
    url="http://127.0.0.1:9100",
    models=(ModelCard(name="dolly"),),
    state="ready",
    detail="읽는 중\u2028다음 줄",  # ends no line of an event
)


@asynccontextmanager
async def followed(known: Directory, path: Path) -> AsyncIterator[Callable[[str], None]]:
    """A controller that `known` follows; what is called with a text sends it."""
    said: asyncio.Queue[bytes] = asyncio.Queue()
    ended = asyncio.Event()

    async def controller(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\n\r\n")
        while line := await said.get():
            writer.write(line)
        writer.close()
        await writer.wait_closed()
        ended.set()

    server = await asyncio.start_server(controller, "127.0.0.1", 0)
    url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    settings = load_settings(GatewaySettings, {"controllers": (url,), "state_dir": path})
    async with server:
        following = asyncio.create_task(follow_controllers(known, settings))
        try:
            yield lambda text: said.put_nowait(text.encode())
        finally:
            following.cancel()
            said.put_nowait(b"")
            await ended.wait()
            await asyncio.gather(following, return_exceptions=True)


def snapshot() -> str:
    content = Snapshot(epoch="e", version=1, workers=(RECORD,)).model_dump_json()
    return f"event: snapshot\ndata: {content}\n\n"


async def test_keep_alives_of_a_controller_are_signs_of_life_of_its_workers(tmp_path: Path) -> None:
    times = iter(range(1000, 2000))
    known = Directory(clock=lambda: float(next(times)))

    def seen() -> float:
        worker = known.workers.get("w1")
        return worker.seen or 0.0 if worker is not None else 0.0

    async with followed(known, tmp_path) as say:
        say(snapshot())
        await until(lambda: seen() > 0.0)
        first = seen()
        say(": keep-alive\n\n")
        await until(lambda: seen() > first)


async def test_a_disk_that_takes_its_time_keeps_no_news_from_requests(tmp_path: Path) -> None:
    known = Directory()
    # Who opens a pipe for writing waits for a reader: so does the write of the snapshot.
    disk = snapshot_path(GatewaySettings(state_dir=tmp_path)).with_suffix(f".{os.getpid()}.tmp")
    os.mkfifo(disk)
    async with followed(known, tmp_path) as say:
        try:
            say(snapshot())
            await until(lambda: "w1" in known.workers)
            for version, state in ((2, "draining"), (3, "ready"), (4, "draining")):
                changed = RECORD.model_copy(update={"state": state})
                delta = Delta(epoch="e", version=version, changed=(changed,))
                say(f"event: delta\ndata: {delta.model_dump_json()}\n\n")
                await until(lambda version=version: known.version == version)  # type: ignore[misc]
                assert known.workers["w1"].state == state
        finally:
            os.close(os.open(disk, os.O_RDONLY | os.O_NONBLOCK))


async def test_what_a_full_disk_did_not_take_is_saved_once_there_is_room(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    known, path = Directory(), snapshot_path(GatewaySettings(state_dir=tmp_path))
    disk = path.with_suffix(f".{os.getpid()}.tmp")
    disk.mkdir()  # no file can be opened there
    async with followed(known, tmp_path) as say:
        say(snapshot())
        await until(lambda: "cannot be saved" in caplog.text)
        disk.rmdir()
        assert not path.exists()
        running = RECORD.model_copy(update={"load": WorkerLoad(running=1)})
        say(f"event: delta\ndata: {Delta(epoch='e', version=2, changed=(running,)).model_dump_json()}\n\n")
        await until(path.exists)
    assert caplog.text.count("cannot be saved") == 1
    assert [worker.worker_id for worker in Snapshot.model_validate_json(path.read_text()).workers] == ["w1"]
