"""20,000 malformed and hostile requests: no 5xx, no crash, nothing of the inside in an answer.

Valid requests of every route are cut, flipped, doubled and spliced as bytes: request line, headers and body.
KODOLLY_FUZZ_SEED and KODOLLY_FUZZ_COUNT change the run.
"""

import asyncio
import json
import os
import random
import re
from collections import Counter
from contextlib import ExitStack
from pathlib import Path

import httpx2
import pytest

from tests.support.leaks import INSIDE
from tests.support.processes import free_port, kodolly, running, scripted_engine, wait_for

pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]

COUNT = int(os.environ.get("KODOLLY_FUZZ_COUNT", "20000"))
SEED = int(os.environ.get("KODOLLY_FUZZ_SEED", "20261121"))
AT_ONCE = 150
HALF_A_REQUEST_S = 2.0
MESSAGES = [{"role": "system", "content": "친절하게"}, {"role": "user", "content": "안녕 \U0001f600"}]
BODIES: list[tuple[str, str, object]] = [
    ("POST", "/v1/chat/completions", {"model": "dolly", "messages": MESSAGES, "max_tokens": 2}),
    (
        "POST",
        "/v1/chat/completions",
        {"model": "dolly", "messages": MESSAGES, "max_tokens": 2, "stream": True},
    ),
    ("POST", "/v1/completions", {"model": "dolly", "prompt": "가", "max_tokens": 2, "n": 2}),
    ("POST", "/v1/responses", {"model": "dolly", "input": "가", "max_output_tokens": 2}),
    ("POST", "/v1/messages", {"model": "dolly", "messages": MESSAGES[1:], "max_tokens": 2}),
    ("POST", "/v1/embeddings", {"model": "dolly", "input": ["가", "나"]}),
    ("POST", "/tokenize", {"model": "dolly", "messages": MESSAGES}),
    ("POST", "/v1/prompt", {"model": "dolly", "messages": MESSAGES}),
    ("POST", "/admin/keys", {"name": "열쇠", "requests_per_min": 5}),
    ("PUT", "/v1/feedback/ratings/7b1c6f1e-2f2d-4a55-9d0b-0d6a35b0a111", {"score": 5}),
    ("GET", "/v1/models/dolly", None),
    ("GET", "/v1/usage?by=day&since=2026-01-01", None),
    ("GET", "/v1/responses/resp_0a1b2c3d_00000000000000000000000000000000", None),
    ("GET", "/v1/status", None),
    ("GET", "/metrics", None),
]
SPICE = [
    b"\x00",
    b"\r\n",
    b"\n",
    b"\xff\xfe",
    b"\xed\xa0\x80",
    b'"',
    b"\\",
    b"\\u",
    b"{",
    b"}" * 50,
    b"[" * 3000,
    b"1e999",
    b"-0",
    b"NaN",
    b"null",
    b"true",
    b"../../etc/passwd",
    b"%00",
    b"%2e%2e/",
    b"' OR 1=1 --",
    b"9" * 400,
    b": ",
    b"transfer-encoding: chunked\r\n",
    b"content-length: 7\r\n",
    b"host: a\r\n",
    b"A" * 9000,
    b"expect: 100-continue\r\n",
    b"upgrade: websocket\r\n",
    b"\xef\xbb\xbf",
    "가".encode(),
    b"data: [DONE]\n\n",
]


def request_bytes(method: str, path: str, body: object, key: str) -> bytes:
    content = b"" if body is None else json.dumps(body, ensure_ascii=False).encode()
    head = (
        f"{method} {path} HTTP/1.1\r\nhost: localhost\r\nauthorization: Bearer {key}\r\nconnection: close\r\n"
        f"content-type: application/json\r\ncontent-length: {len(content)}\r\n\r\n"
    )
    return head.encode() + content


def mutate(rng: random.Random, valid: bytes) -> bytes:
    data = bytearray(valid)
    for _ in range(rng.choice((1, 1, 1, 2, 3, 6))):
        at = rng.randrange(len(data) + 1)
        kind = rng.randrange(6)
        if kind == 0:
            data[at:at] = rng.choice(SPICE)
        elif kind == 1:
            del data[at : at + rng.randrange(1, 20)]
        elif kind == 2 and at < len(data):
            data[at] = rng.randrange(256)
        elif kind == 3:
            end = min(len(data), at + rng.randrange(1, 60))
            data[at:at] = data[at:end]
        elif kind == 4:
            data = data[:at] or data
        else:
            # Change the body and keep its length honest, so that more than the parser is tried.
            head, mark, body = bytes(data).partition(b"\r\n\r\n")
            if body:
                place = rng.randrange(len(body))
                body = body[:place] + rng.choice(SPICE) + body[place + rng.randrange(8) :]
                head = re.sub(rb"content-length: \d+", b"content-length: %d" % len(body), head)
            data = bytearray(head + mark + body)
    return bytes(data)


async def send(port: int, data: bytes) -> bytes:
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    try:
        writer.write(data)
        async with asyncio.timeout(HALF_A_REQUEST_S):
            return await reader.read()
    except (ConnectionError, TimeoutError):
        return b""  # it waits for the rest of a request that was cut
    finally:
        writer.close()


def test_hostile_requests_never_hurt_the_gateway(tmp_path: Path) -> None:
    rng = random.Random(SEED)
    port = free_port()
    url = f"http://127.0.0.1:{port}"
    env = {
        "KODOLLY_STATE_DIR": str(tmp_path / "state"),
        "KODOLLY_API_KEYS": '["secret-key"]',
        "KODOLLY_ADMIN_TOKEN": "secret-key",
        "KODOLLY_GATEWAY_ACCESS_LOG": "false",
    }
    statuses: Counter[int] = Counter()
    bad: list[tuple[bytes, bytes]] = []
    with ExitStack() as stack:
        engine = stack.enter_context(scripted_engine(tmp_path, "dolly"))
        log = tmp_path / "gateway.log"
        argv = kodolly("gateway", "--port", str(port), "--static", f"dolly={engine}")
        process = stack.enter_context(running(argv, log, f"{url}/healthz", env, tmp_path))
        seeds = [request_bytes(method, path, body, "secret-key") for method, path, body in BODIES]

        async def run() -> None:
            left = iter(range(COUNT))

            async def one() -> None:
                for _ in left:
                    hostile = mutate(rng, rng.choice(seeds))
                    answer = await send(port, hostile)
                    status = int(answer[9:12]) if re.match(rb"HTTP/1\.1 \d{3}", answer) else 0
                    statuses[status] += 1
                    # A model's own words may echo the request; our errors may not show the inside.
                    shown = INSIDE.search(answer) if status >= 400 else None
                    if status >= 500 or (shown and shown.group() not in hostile):
                        bad.append((hostile, answer))

            await asyncio.gather(*(one() for _ in range(AT_ONCE)))

        asyncio.run(run())
        print(f"\n{COUNT} hostile requests, seed {SEED}: {dict(sorted(statuses.items()))}, {len(bad)} bad")
        for hostile, answer in bad[:5]:
            print(hostile[:600], "->", answer[:400])
        assert not bad
        assert statuses[200] < COUNT / 2, "most must be hostile"
        assert process.poll() is None
        headers = {"authorization": "Bearer secret-key"}
        listed = httpx2.get(f"{url}/v1/models", headers=headers, trust_env=False).json()["data"]
        assert [model["id"] for model in listed] == ["dolly"]

        def in_flight() -> float:
            page = httpx2.get(f"{url}/metrics", trust_env=False).text
            lines = [
                line for line in page.splitlines() if line.startswith("kodolly_gateway_upstream_in_flight")
            ]
            return sum(float(line.rpartition(" ")[2]) for line in lines)

        wait_for(lambda: in_flight() == 0, 10, what="no request in flight")
        text = log.read_text(encoding="utf-8")
        assert "Traceback" not in text, text[-3000:]
        assert "secret-key" not in text
