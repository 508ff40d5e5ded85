"""What the gateway hears from a controller that it follows."""

import asyncio
from pathlib import Path

from common.registry import ModelCard, Snapshot, WorkerRecord
from common.settings import load_settings
from server.settings import GatewaySettings
from server.upstreams.directory import Directory
from server.upstreams.follow import follow_controllers
from tests.support.processes import PATIENCE_S


async def test_keep_alives_of_a_controller_are_signs_of_life_of_its_workers(tmp_path: Path) -> None:
    said: asyncio.Queue[bytes] = asyncio.Queue()
    ended = asyncio.Event()
    record = WorkerRecord(
        worker_id="w1",
        incarnation="incarnation-1",
        url="http://127.0.0.1:9100",
        models=(ModelCard(name="dolly"),),
        state="ready",
        detail="읽는 중\u2028다음 줄",  # ends no line of an event
    )
    snapshot = Snapshot(epoch="e", version=1, workers=(record,)).model_dump_json()

    async def controller(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\n\r\n")
        while line := await said.get():
            writer.write(line)
        writer.close()
        await writer.wait_closed()
        ended.set()

    times = iter(range(1000, 2000))
    known = Directory(clock=lambda: float(next(times)))
    server = await asyncio.start_server(controller, "127.0.0.1", 0)
    url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    settings = load_settings(GatewaySettings, {"controllers": (url,), "state_dir": tmp_path})
    async with server:
        following = asyncio.create_task(follow_controllers(known, settings))
        try:
            said.put_nowait(f"event: snapshot\ndata: {snapshot}\n\n".encode())
            first = await seen_after(known, 0.0)
            said.put_nowait(b": keep-alive\n\n")
            assert await seen_after(known, first) > first
        finally:
            following.cancel()
            said.put_nowait(b"")
            await ended.wait()
            await asyncio.gather(following, return_exceptions=True)


async def seen_after(known: Directory, before: float) -> float:
    """The last sign of life of w1, once it is later than `before`."""
    async with asyncio.timeout(PATIENCE_S):
        while True:
            worker = known.workers.get("w1")
            if worker is not None and worker.seen is not None and worker.seen > before:
                return worker.seen
            await asyncio.sleep(0.01)
