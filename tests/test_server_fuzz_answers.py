"""Thousands of answers in every manner, cut anywhere, many of them damaged: a client never gets half a truth.

Streams recorded from vLLM are written as other servers would, in random combinations of manners, and then
half of them are changed. KODOLLY_FUZZ_SEED and KODOLLY_FUZZ_COUNT change the run.
"""

import json
import os
import random
import re
import socket
from collections import Counter
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import httpx2
import pytest

from tests.support.conformance.endpoint import Engine, encoded
from tests.support.conformance.record_streams import Recording, recordings
from tests.support.conformance.wire import parse_events
from tests.support.processes import PATIENCE_S, free_port, kodolly, running, scripted_engine, wait_for
from tests.support.scripted_manners import MANNERS, combined

pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]

COUNT = int(os.environ.get("KODOLLY_FUZZ_COUNT", "20000")) // 10
SEED = int(os.environ.get("KODOLLY_FUZZ_SEED", "20261128"))
MIXED = sorted(MANNERS.keys() - {"plain"})
SPICE = [
    b"\n",
    b"\n\n",
    b"\r",
    b"\r\n\r\n",
    b"\x00",
    b"\xff",
    b"data: ",
    b"data: [DONE]\n\n",
    b": x\n\n",
    b'"error"',
    b'"error":{"message":"boom","code":503},',
    b'"usage":',
    b'"finish_reason":"abort"',
    b"{" * 2000,
    b"HTTP/1.1 200 OK\r\n\r\n",
    b"0\r\n\r\n",
    "\ufeff".encode(),
    b"9" * 400,
]
ENDS = {"[DONE]", "message_stop", "response.completed", "response.incomplete", "response.failed", "error"}


def damaged(rng: random.Random, stream: bytes) -> bytes:
    """The stream with up to three changes."""
    data = bytearray(stream)
    for _ in range(rng.choice((1, 1, 2, 3))):
        at = rng.randrange(len(data) + 1)
        match rng.randrange(4):
            case 0:
                data[at:at] = rng.choice(SPICE)
            case 1:
                del data[at : at + rng.randrange(1, 40)]
            case 2:
                data[at:at] = data[at : at + rng.randrange(1, 80)]
            case _:
                del data[at:]
    return bytes(data)


def exchanged(url: str, path: str, body: bytes) -> bytes:
    """All bytes that a client gets on a connection of its own."""
    address = urlsplit(url)
    head = f"POST {path} HTTP/1.1\r\nhost: {address.netloc}\r\nconnection: close\r\n"
    head += f"content-type: application/json\r\ncontent-length: {len(body)}\r\n\r\n"
    said = b""
    with socket.create_connection((address.hostname, address.port), timeout=PATIENCE_S) as connection:
        connection.sendall(head.encode() + body)
        while part := connection.recv(1 << 16):
            said += part
    return said


def body_of(answer: bytes) -> tuple[int, bytes]:
    """Status and body of what must be exactly one whole answer."""
    head, mark, rest = answer.partition(b"\r\n\r\n")
    assert mark, answer[:200]
    assert re.match(rb"HTTP/1\.1 \d{3} ", head), head
    status = int(head[9:12])
    if b"transfer-encoding: chunked" not in head.lower():
        (length,) = re.findall(rb"(?i)content-length: (\d+)", head)
        assert len(rest) == int(length)
        return status, rest
    body = b""
    while True:
        line, _, rest = rest.partition(b"\r\n")
        size = int(line, 16)
        body, end, rest = body + rest[:size], rest[size : size + 2], rest[size + 2 :]
        assert end == b"\r\n"
        if not size:
            assert not rest, "something comes after the answer"
            return status, body


def payloads(body: bytes) -> list[Any]:
    """What the events say, without what says nothing."""
    return [event.json() if event.data != "[DONE]" else event.data for event in parse_events(body)]


def last_word(body: bytes) -> str:
    """How a stream ends, in whatever was made of it."""
    data = [line[5:].strip() for line in body.split(b"\n") if line.startswith(b"data:")]
    if data[-1] == b"[DONE]":
        return "[DONE]"
    value = json.loads(data[-1])
    return str(value.get("type"))


def test_no_answer_however_it_is_written_or_damaged_is_taken_for_another(tmp_path: Path) -> None:
    rng = random.Random(SEED)
    statuses: Counter[int] = Counter()
    with ExitStack() as stack:
        engine = Engine(stack.enter_context(scripted_engine(tmp_path, "dolly")))
        url = f"http://127.0.0.1:{free_port()}"
        env = {"KODOLLY_STATE_DIR": str(tmp_path / "state"), "KODOLLY_GATEWAY_ACCESS_LOG": "false"}
        argv = kodolly("gateway", "--port", url.rpartition(":")[2], "--static", f"dolly={engine.url}")
        log = tmp_path / "gateway.log"
        process = stack.enter_context(running(argv, log, f"{url}/healthz", env, tmp_path))
        models = f"{url}/v1/models"
        wait_for(lambda: "dolly" in httpx2.get(models, trust_env=False).text, 10, what="the engine")
        for number in range(COUNT):
            recording: Recording = rng.choice(recordings())
            manners = rng.sample(MIXED, rng.choice((1, 1, 2, 3)))
            dressed = replace(combined(*manners), mark="")  # which the engine sends by itself
            stream = dressed.stream(recording.stream.decode()).encode()
            harmed = number % 2 == 1
            if harmed:
                stream = damaged(rng, stream)
            engine.replay(stream, manner="+".join(manners))
            places = range(1, max(1, len(stream)))
            cuts = sorted(rng.sample(places, min(len(places), rng.choice((0, 1, 5, 40)))))
            asked = encoded(recording.request | {"model": "dolly", "stream": True, "x_cuts": cuts})
            status, body = body_of(exchanged(url, recording.path, asked))
            statuses[status] += 1
            case = (number, recording.name, manners, cuts)
            if not harmed:
                assert status == 200, case
                assert payloads(body) == payloads(recording.stream), case
            elif status == 200:
                assert last_word(body) in ENDS, (*case, body[-300:])
        print(f"\n{COUNT} answers, seed {SEED}: {dict(sorted(statuses.items()))}")
        assert process.poll() is None

        def in_flight() -> float:
            lines = httpx2.get(f"{url}/metrics", trust_env=False).text.splitlines()
            found = [line for line in lines if line.startswith("kodolly_gateway_upstream_in_flight")]
            return sum(float(line.rpartition(" ")[2]) for line in found)

        wait_for(lambda: in_flight() == 0, 10, what="no request in flight")
        text = log.read_text(encoding="utf-8")
        assert "Traceback" not in text, text[-3000:]
