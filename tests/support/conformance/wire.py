"""HTTP/1.1 and server-sent events at the byte level, for what client libraries hide or forbid."""

import json
import socket
import ssl
import time
from collections.abc import Iterable
from dataclasses import dataclass
from io import BufferedReader
from typing import Any
from urllib.parse import urlsplit

TIMEOUT_S = 30.0


@dataclass(frozen=True)
class Answer:
    """One HTTP response as it came."""

    status: int
    headers: list[tuple[str, str]]
    """Names in lower case, duplicates kept."""
    body: bytes

    def header(self, name: str) -> str | None:
        """The first header of that name."""
        return next((value for key, value in self.headers if key == name), None)

    def json(self) -> Any:
        """The body as JSON."""
        return json.loads(self.body)


def talk(
    url: str, *parts: bytes, answers: int = 1, half_close: bool = False, gap_s: float = 0.0
) -> list[Answer]:
    """Send `parts` in packets of their own on one connection, and read up to `answers` responses.

    Fewer come back when the server closes the connection first. A server that does not answer within
    30 s raises TimeoutError.
    """
    target = urlsplit(url)
    port = target.port or (443 if target.scheme == "https" else 80)
    with socket.create_connection((target.hostname or "", port), timeout=TIMEOUT_S) as plain:
        plain.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        secure = target.scheme == "https"
        with _secured(plain, target.hostname) if secure else plain as connection:
            try:
                for part in parts:
                    connection.sendall(part)
                    if gap_s:
                        time.sleep(gap_s)  # so that the parts arrive as parts
                if half_close:
                    connection.shutdown(socket.SHUT_WR)
            except OSError:
                pass  # refused before all was sent; the answer says why
            found: list[Answer] = []
            with connection.makefile("rb") as stream:
                while len(found) < answers and (answer := _read_answer(stream)) is not None:
                    if answer.status >= 200:
                        found.append(answer)
            return found


def _secured(plain: socket.socket, host: str | None) -> ssl.SSLSocket:
    """Reading the system's certificates takes longer than most checks: only where they are needed."""
    return ssl.create_default_context().wrap_socket(plain, server_hostname=host)


def _read_answer(stream: BufferedReader) -> Answer | None:
    try:
        return _parse_answer(stream)
    except ConnectionError:
        return None  # reset: the rest of an answer is lost with it


def _parse_answer(stream: BufferedReader) -> Answer | None:
    line = stream.readline()
    if not line.strip():
        return None
    status = int(line.split()[1])
    headers = []
    while (line := stream.readline()).strip():
        name, _, value = line.decode("latin-1").partition(":")
        headers.append((name.strip().lower(), value.strip()))
    known = dict(headers)
    if status < 200 or status in (204, 304):
        return Answer(status, headers, b"")
    if known.get("transfer-encoding", "").lower() == "chunked":
        body = b""
        while size := int(stream.readline().split(b";")[0] or b"-1", 16):
            assert size > 0, f"the answer ends inside its body: {body[-80:]!r}"
            body += stream.read(size)
            stream.readline()
        stream.readline()
        return Answer(status, headers, body)
    if "content-length" in known:
        return Answer(status, headers, stream.read(int(known["content-length"])))
    return Answer(status, headers, stream.read())


def request(url: str, method: str, path: str, headers: Iterable[str], body: bytes = b"") -> bytes:
    """A request's bytes. `headers` are whole lines; Host is added, Content-Length is not."""
    lines = [f"{method} {path} HTTP/1.1", f"Host: {urlsplit(url).netloc}", *headers]
    return "\r\n".join(lines).encode("latin-1") + b"\r\n\r\n" + body


@dataclass(frozen=True)
class Event:
    """One server-sent event, with the bytes it came in."""

    name: str | None
    data: str
    raw: bytes

    def json(self) -> dict[str, Any]:
        """Its data as an object."""
        value = json.loads(self.data)
        assert isinstance(value, dict), self.data
        return value


def parse_events(body: bytes) -> list[Event]:
    """The events of a stream, comments left out.

    Fails on what the grammar or W2 forbids: a half event, a line that is not `data:`, `event:` or a
    comment, several events glued into one, bytes that are not UTF-8, an event that is not JSON or [DONE].
    """
    assert body.endswith(b"\n\n"), f"the stream ends inside an event: {body[-80:]!r}"
    found = []
    for raw in body.removesuffix(b"\n\n").split(b"\n\n"):
        lines = raw.decode("utf-8").split("\n")
        fields = [line for line in lines if line and not line.startswith(":")]
        if not fields:
            continue
        assert all(line.startswith(("data:", "event:", "id:", "retry:")) for line in fields), raw
        data = [line[5:].removeprefix(" ") for line in fields if line.startswith("data:")]
        assert len(data) == 1, f"not one data line: {raw!r}"
        names = [line[6:].strip() for line in fields if line.startswith("event:")]
        if data[0] != "[DONE]":
            json.loads(data[0])
        found.append(Event(names[0] if names else None, data[0], raw + b"\n\n"))
    return found
