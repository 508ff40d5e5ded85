"""Metrics of several processes of one gateway in one scrape."""

import asyncio
import contextlib
import os
import socket
import stat
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from common.errors import UserError
from server.telemetry.exposition import merge
from server.telemetry.metrics_peers import Processes, answer_siblings, scrape
from tests.support.metric_samples import OPENMETRICS, Samples, exposition, fresh, samples, value


@pytest.mark.parametrize("accept", ["", OPENMETRICS])
@settings(max_examples=20, deadline=None)
@given(counts=st.lists(st.integers(0, 3), min_size=1, max_size=4))
def test_merging_keeps_every_sample_under_one_header(accept: str, counts: list[int]) -> None:
    async def render_all() -> list[bytes]:
        return [(await fresh(process, n).render(accept))[0] for process, n in enumerate(counts)]

    parts = asyncio.run(render_all())
    text = merge(parts).decode()
    expected: Samples = {}
    for part in parts:
        expected |= samples(part.decode(), without=())
    assert samples(text, without=()) == expected
    names = [line.split(" ")[2] for line in text.splitlines() if line.startswith("# TYPE ")]
    assert len(names) == len(set(names))
    assert text.count("# EOF") == (1 if accept else 0)


def test_merging_one_changes_nothing() -> None:
    text = exposition(fresh(0, 2), OPENMETRICS).encode()
    assert merge([text]) == text
    assert merge([text, b""]) == text


def test_merging_processes_of_two_versions_gives_one_header() -> None:
    old = b'# HELP a Old words.\n# TYPE a gauge\na{process="0"} 1.0\n'
    new = b'# HELP a New words.\n# TYPE a gauge\na{process="1"} 2.0\n# HELP b B.\n# TYPE b gauge\nb 3.0\n'
    assert merge([old, new]).decode().splitlines() == [
        "# HELP a Old words.",
        "# TYPE a gauge",
        'a{process="0"} 1.0',
        'a{process="1"} 2.0',
        "# HELP b B.",
        "# TYPE b gauge",
        "b 3.0",
    ]


@pytest.fixture
def processes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Processes:
    monkeypatch.chdir(tmp_path)
    return Processes(tmp_path, 8000, 3)


def sockets(processes: Processes) -> list[str]:
    return [path.name for path in processes.state_dir.iterdir()]


@pytest.mark.parametrize("accept", ["", OPENMETRICS])
async def test_a_scrape_of_one_process_shows_all(processes: Processes, accept: str) -> None:
    ours = [fresh(number, number) for number in range(3)]
    async with contextlib.AsyncExitStack() as stack:
        for one in ours:
            await stack.enter_async_context(answer_siblings(one, processes))
        body, content_type = await scrape(ours[1], processes, accept)
    assert content_type.startswith("application/openmetrics-text" if accept else "text/plain; version=0.0.4")
    found = samples(body.decode(), without=())
    requests = {
        dict(labels)["process"]: count
        for (name, labels), count in found.items()
        if name == "requests_total" and dict(labels)["model"] == "돌리"
    }
    assert requests == {"0": 1, "1": 1, "2": 1}
    assert value(found, "prompt_tokens_total", model="only-2", process="2") == 200
    assert [value(found, "process_up", process=str(n)) for n in range(3)] == [1, 1, 1]


async def test_a_dead_and_a_hanging_process_are_named_and_the_rest_is_shown(processes: Processes) -> None:
    one = fresh(0, 1)
    with socket.socket(socket.AF_UNIX) as hanging:
        hanging.bind(processes.socket_path(2))
        hanging.listen()  # accepts and never says a word, like a stopped process
        async with answer_siblings(one, processes):
            body, _ = await scrape(one, processes)
    found = samples(body.decode(), without=())
    assert [value(found, "process_up", process=str(n)) for n in range(3)] == [1, 0, 0]
    assert value(found, "prompt_tokens_total", model="only-0", process="0") == 100


async def test_a_cut_off_answer_is_left_out_whole(processes: Processes) -> None:
    async def cut(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readline()
        writer.write(b"1000\n# HELP kodolly_gateway_x x\nkodolly_gateway_x{proc")
        writer.close()

    one = fresh(0, 1)
    server = await asyncio.start_unix_server(cut, processes.socket_path(1))
    async with server:
        body, _ = await scrape(one, processes)
    found = samples(body.decode(), without=())
    assert value(found, "process_up", process="1") == 0


async def test_the_socket_is_for_this_user_alone_replaces_a_stale_one_and_goes(processes: Processes) -> None:
    path = processes.socket_path(0)
    with socket.socket(socket.AF_UNIX) as stale:
        stale.bind(path)
    one = fresh(0, 1)
    before = os.umask(0)
    try:
        async with answer_siblings(one, processes):
            assert stat.S_IMODE(os.stat(path).st_mode) == 0o600
            reader, writer = await asyncio.open_unix_connection(path)
            writer.write(b"\n")
            length = int(await reader.readline())
            assert samples((await reader.readexactly(length)).decode())
            writer.close()
    finally:
        os.umask(before)
    assert sockets(processes) == []


async def test_a_successor_keeps_its_socket_when_its_predecessor_goes(processes: Processes) -> None:
    old, new = fresh(0, 1), fresh(0, 2)
    async with contextlib.AsyncExitStack() as stack:
        async with answer_siblings(old, processes):
            await stack.enter_async_context(answer_siblings(new, processes))
        assert sockets(processes) == ["gateway-8000-0.metrics"]
    assert sockets(processes) == []


async def test_one_process_opens_nothing(tmp_path: Path) -> None:
    alone = Processes(tmp_path, 8000)
    one = fresh(0, 1)
    async with answer_siblings(one, alone):
        body, _ = await scrape(one, alone)
    assert sockets(alone) == []
    assert value(samples(body.decode(), without=()), "process_up", process="0") == 1


async def test_a_state_directory_with_too_long_a_path_says_so(tmp_path: Path) -> None:
    deep = Processes(tmp_path / ("x" * 120), 8000, 2)
    with pytest.raises(UserError, match="too long for a Unix socket"):
        async with answer_siblings(fresh(0, 1), deep):
            raise AssertionError("it must not start")
