"""A server without file descriptors says so once, and serves again when it has some."""

import asyncio
import contextlib
import resource
import socket
import ssl
from pathlib import Path
from urllib.parse import urlsplit

import httpx2
import pytest

from common import descriptors
from common.descriptors import SPARE, Shortage
from server.upstreams.connect import ConnectFailed, open_connection, origin_of
from tests.support.gateway_stack import TOKEN
from tests.support.processes import free_port, kodolly, running, wait_for

LIMIT = 64


def test_a_process_without_descriptors_says_so_once_and_recovers(tmp_path: Path) -> None:
    url = f"http://127.0.0.1:{free_port()}"
    argv = ["bash", "-c", f'ulimit -n {LIMIT}; exec "$@"', "bash"]
    argv += kodolly("controller", "--port", url.rpartition(":")[2])
    log = tmp_path / "controller.log"
    env = {"KODOLLY_JOIN_TOKEN": TOKEN, "KODOLLY_STATE_DIR": str(tmp_path / "state")}
    with running(argv, log, f"{url}/healthz", env, tmp_path):
        parts = urlsplit(url)
        with contextlib.ExitStack() as held:
            for _ in range(2 * LIMIT):
                held.enter_context(socket.create_connection((parts.hostname, parts.port)))
            wait_for(lambda: "FILE DESCRIPTORS" in log.read_text(), 10, log=log, what="the word")
            with pytest.raises(httpx2.TransportError):
                httpx2.get(f"{url}/healthz", trust_env=False, timeout=60)
        wait_for(lambda: is_well(url), 10, log=log, what="the server to recover")
    text = log.read_text()
    assert text.count("OUT OF FILE DESCRIPTORS") == 1
    assert f"all {LIMIT} that" in text
    assert "ulimit -n" in text
    assert "Traceback" not in text


def is_well(url: str) -> bool:
    try:
        return httpx2.get(f"{url}/healthz", trust_env=False).status_code == 200
    except httpx2.TransportError:
        return False


def test_it_is_told_once_a_minute(caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(resource, "getrlimit", lambda _kind: (LIMIT, LIMIT))
    now = [0.0]
    shortage = Shortage(lambda: now[0])
    shortage.saw(LIMIT - SPARE - 1)
    assert not caplog.records
    for moment, told in ((0.0, 1), (59.0, 1), (60.0, 2), (61.0, 2)):
        now[0] = moment
        shortage.saw(LIMIT - SPARE)
        assert len(caplog.records) == told


@pytest.mark.parametrize(
    ("limits", "soft"),
    [((1024, 4096), 4096), ((1024, resource.RLIM_INFINITY), 65_536), ((1 << 20, 1 << 20), None)],
)
def test_the_soft_limit_is_lifted_as_far_as_it_helps(
    monkeypatch: pytest.MonkeyPatch, limits: tuple[int, int], soft: int | None
) -> None:
    asked: list[tuple[int, int]] = []
    monkeypatch.setattr(resource, "getrlimit", lambda _kind: limits)
    monkeypatch.setattr(resource, "setrlimit", lambda _kind, wanted: asked.append(wanted))
    descriptors.raise_limit()
    assert asked == ([] if soft is None else [(soft, limits[1])])


async def test_a_gateway_that_cannot_connect_for_want_of_them_says_why(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(descriptors.shortage, "_quiet_until", 0.0)

    def none_left() -> ssl.SSLContext:
        raise OSError(24, "Too many open files")

    with pytest.raises(ConnectFailed, match="no file descriptor left"):
        await open_connection(origin_of("https://127.0.0.1:9"), asyncio.Protocol, none_left, 60)
    assert "OUT OF FILE DESCRIPTORS" in caplog.text
