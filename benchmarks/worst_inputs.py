"""What clients and upstreams can send that is hardest to read: each of one thing alone, as large as is taken.

Where text matters it comes in Korean too, whose syllables are three bytes in UTF-8 and six in an escape.
"""

import base64
import gzip
import json
from collections.abc import Iterator
from dataclasses import dataclass, field

from benchmarks.worst_texts import error_texts
from server.api.feedback import FEEDBACK_BYTES
from server.api.public import PROMPT_BYTES

BODY_BYTES = 15_800_000
"""Just below the largest body that the gateway takes."""
SMALL_BODY_BYTES = 65_000
"""Just below what the gateway reads in one go."""
BLOCK = 2**18
"""What one read of a socket brings at most."""
CHAT = "/v1/chat/completions"
_START = b'{"model":"%b","stream":true,"stream_options":{},"messages":[{"role":"user","content":"a"}]'


@dataclass(frozen=True, slots=True)
class Request:
    """One request to the gateway, or several at once as raw bytes."""

    body: bytes = b""
    path: str = CHAT
    headers: dict[str, str] = field(default_factory=lambda: {"content-type": "application/json"})
    raw: bytes = b""
    """Sent as it is, in place of all the others."""


def filled(size: int, piece: bytes, before: bytes = b"", after: bytes = b"", model: bytes = b"m") -> bytes:
    """A chat request of `size` bytes that is `piece` again and again, from `before` to `after`."""
    start = _START % model
    room = size - len(start) - len(before) - len(after) - 1
    return start + before + piece * (room // len(piece)) + after + b"}"


def _numbered(size: int, form: bytes) -> bytes:
    """The same with a number in each piece."""
    start = _START % b"m"
    count = (size - len(start)) // (len(form) + 4)
    return start + b"".join(form % number for number in range(count)) + b"}"


def requests() -> Iterator[tuple[str, Request]]:
    """Every request by name."""
    for name, body in large_bodies().items():
        yield name, Request(body)
    for name, body in small_bodies().items():
        yield f"64 KB of {name}", Request(body)
    for name, (content_type, body) in forms().items():
        yield f"form: {name}", Request(body, "/v1/audio/transcriptions", {"content-type": content_type})
    json_type = {"content-type": "application/json"}
    for path in ("/v1/prompt", "/v1/feedback/votes/00000000-0000-4000-8000-000000000000"):
        method_path = path if path.endswith("prompt") else f"PUT {path}"
        size = PROMPT_BYTES if path.endswith("prompt") else FEEDBACK_BYTES
        for name, piece in (("empty objects", b"{},"), ("escapes", b'"\\uac00",'), ("numbers", b"1e9,")):
            body = b'{"model":"m","messages":[%b{}]}' % (piece * (size // len(piece) - 20))
            yield f"{path[:12]}: {name}", Request(body, method_path, json_type)
    yield from raw_requests()


def large_bodies() -> dict[str, bytes]:
    """Chat requests of the largest size."""
    half = (BODY_BYTES - 100) // 2

    def large(piece: bytes, before: bytes = b"", after: bytes = b"") -> bytes:
        return filled(BODY_BYTES, piece, before, after)

    return {
        "a string": large(b"a", b',"x":"', b'"'),
        "한글 문자열": large("가".encode(), b',"x":"', b'"'),
        "numbers": large(b"1,", b',"x":[', b"1]"),
        "one number": large(b"1", b',"x":'),
        "the same key": large(b',"":0'),
        "the key model": large(b',"model":"m"'),
        "the key messages": large(b',"messages":[]'),
        "other keys": _numbered(BODY_BYTES, b',"%d":0'),
        "long fields": b"".join(
            [_START % b"m", *(b',"%d":"%b"' % (n, b"a" * 82_000) for n in range(190)), b"}"]
        ),
        "escaped keys": large(b',"\\u0061\\u0061":0'),
        "한글 이름": large(',"가":0'.encode()),
        "escapes in a string": large(b"\\n", b',"x":"', b'"'),
        "한글 이스케이프": large(b"\\uac00", b',"x":"', b'"'),
        "empty objects": large(b"{},", b',"x":[', b"{}]"),
        "empty strings": large(b'"",', b',"x":[', b'""]'),
        "white space before a value": large(b" ", b',"x":', b"1"),
        "white space before a name": large(b" ", b",", b'"x":1'),
        "white space at the end": large(b" "),
        "white space after it": _START % b"m" + b"}" + b" " * (BODY_BYTES - 200),
        "depth": _START % b"m" + b',"x":' + b"[" * half + b"]" * half + b"}",
        "depth without an end": large(b"["),
        "depth of objects": large(b'{"":[', b',"x":', b"0"),
        "many messages": b'{"model":"m","messages":[' + b"{}," * (BODY_BYTES // 3 - 30) + b"{}]}",
        "한글 대화": b'{"model":"m","messages":['
        + '{"role":"user","content":"안녕하세요"},'.encode() * (BODY_BYTES // 44)
        + b"{}]}",
        "stop words": large(b'"a",', b',"stop":[', b'"a"]'),
        "한글 stop": large('"끝",'.encode(), b',"stop":[', b'"a"]'),
        "tools": large(b'{"type":"function","function":{"name":"f"}},', b',"tools":[', b"{}]"),
        "stream options": large(b"[],", b',"stream_options":{"a":[', b"[]]}"),
        "a model's name": b'{"model":"' + b"m" * (BODY_BYTES - 30) + b'"}',
        "한글 모델 이름": b'{"model":"' + "모델".encode() * (BODY_BYTES // 6 - 10) + b'"}',
        "URLs as a model's name": b'{"model":"' + b"http://a:b@c?key=d&" * (BODY_BYTES // 19 - 10) + b'"}',
        "pictures of many segments": _pictures(480, b"\xff\xd8\xff" + b"\xe0\x00\x02\xff" * 6_000),
        "fields called data": large(b'"data":"",', b',"x":{', b'"a":0}'),
    }


def _pictures(count: int, file: bytes) -> bytes:
    """A chat request with so many pictures."""
    part = b'{"type":"image_url","image_url":{"url":"data:image/jpeg;base64,%b"}},' % base64.b64encode(file)
    return b'{"model":"m","messages":[{"role":"user","content":[%b{}]}]}' % (part * count)


def small_bodies() -> dict[str, bytes]:
    """Chat requests that are read in one go: for an alias, and for a provider's model of another dialect."""
    pieces = {
        "brackets": b"[",
        "closed brackets": b"[],",
        "keys": b',"":0',
        "한글 이스케이프": b',"\\uac00":0',
    }
    found = {}
    for model in (b"alias", b"gpt-5-nano"):
        for name, piece in pieces.items():
            before, after = {b"[": (b',"\\u0061":', b""), b"[],": (b',"\\u0061":[', b"0]")}.get(
                piece, (b"", b"")
            )
            body = filled(SMALL_BODY_BYTES, piece, before, after, model)
            if piece == b"[":
                half = body[: len(body) // 2]
                body = half + b"]" * half[len(_START % model) :].count(b"[") + b"}"
            found[f"{name} for {model.decode()}"] = body
    found["a model's name"] = b'{"model":"' + b"m" * (SMALL_BODY_BYTES - 30) + b'"}'
    found["한글 모델 이름"] = b'{"model":"' + "모델".encode() * (SMALL_BODY_BYTES // 6 - 10) + b'"}'
    return found


def forms() -> dict[str, tuple[str, bytes]]:
    """Multipart forms: content type and body."""
    kind = "multipart/form-data; boundary=b"
    model = b'--b\r\ncontent-disposition: form-data; name="model"\r\n\r\nalias\r\n'

    def parts(piece: bytes) -> bytes:
        return model + piece * (BODY_BYTES // len(piece) - 10) + b"--b--\r\n"

    line = b"content-disposition: form-data; "
    wide = b"--b\r\n" + line + b'name="model"; ' * 1_000_000 + b"\r\n\r\na\r\n"
    return {
        "many fields": (kind, parts(b'--b\r\ncontent-disposition: form-data; name="a"\r\n\r\na\r\n')),
        "한글 필드": (kind, parts('--b\r\ncontent-disposition: form-data; name="가"\r\n\r\n나\r\n'.encode())),
        "a file of line ends": (
            kind,
            model
            + b"--b\r\n"
            + line
            + b'name="file"; filename="a"\r\n\r\n'
            + b"\r\n" * 7_800_000
            + b"\r\n--b--\r\n",
        ),
        "a file of half boundaries": (
            kind,
            model
            + b"--b\r\n"
            + line
            + b'name="file"; filename="a"\r\n\r\n'
            + b"\r\n--" * 3_900_000
            + b"\r\n--b--\r\n",
        ),
        "a file of headers": (
            kind,
            model
            + b"--b\r\n"
            + line
            + b'name="file"; filename="a"\r\n\r\n'
            + (b"\r\n" + line + b'name="model"\r\na:b') * 280_000
            + b"\r\n--b--\r\n",
        ),
        "a wide header": (kind, model + wide + b"--b--\r\n"),
        "many headers": (
            kind,
            model + b"--b\r\n" + b"a: b\r\n" * 2_500_000 + line + b'name="a"\r\n\r\na\r\n--b--\r\n',
        ),
        "quotes in the content type": (
            'multipart/form-data; boundary="' + '\\"' * 30_000,
            model + b"--b--\r\n",
        ),
        "many parameters": (kind + "; a=b" * 12_000, model + b"--b--\r\n"),
    }


def compressed() -> Iterator[tuple[str, bytes, bytes]]:
    """Bodies that stand for very much, or for nothing: in words, coding, bytes."""
    empty = gzip.compress(b"")
    blocks = b"\x00\x00\x00\xff\xff" * (BODY_BYTES // 5 - 10)
    yield "a gigabyte", b"gzip", gzip.compress(bytes(1 << 30), 1)
    yield "many empty members", b"gzip", empty * (BODY_BYTES // len(empty) - 1)
    yield "many empty blocks", b"deflate", blocks
    yield "many empty blocks in a member", b"gzip", empty[:10] + blocks


def raw_requests() -> Iterator[tuple[str, Request]]:
    """Below HTTP: framing, headers, pipelining."""
    head = b"POST /v1/chat/completions HTTP/1.1\r\nhost: a\r\ncontent-type: application/json\r\n"
    get = b"GET /healthz HTTP/1.1\r\nhost: a\r\n"
    yield (
        "chunks of one byte",
        Request(raw=head + b"transfer-encoding: chunked\r\n\r\n" + b"1\r\n \r\n" * 1_000_000),
    )
    for kind, coding, body in compressed():
        coded = b"content-encoding: %b\r\ncontent-length: %d\r\n\r\n" % (coding, len(body))
        yield f"{coding.decode()} of {kind}", Request(raw=head + coded + body)
    yield "header lines", Request(raw=get + b"a:b\r\n" * 1_000_000)
    yield "a header line", Request(raw=get + b"a:" + b"b" * 8_000_000)
    yield "header lines allowed", Request(raw=(get + b"a:b\r\n" * 190 + b"\r\n") * 3_000)
    yield "pipelined requests", Request(raw=(get + b"\r\n") * 15_000)
    yield "pipelined chats", Request(raw=(head + b"content-length: 2\r\n\r\n{}") * 5_000)
    for path in (b"/v1/models/" + b"%ea%b0%80" * 6_000, b"/v1" * 20_000, b"/" * 60_000 + b"v1/models"):
        yield f"path {path[:6].decode()}...", Request(raw=b"GET " + path + b" HTTP/1.1\r\nhost: a\r\n\r\n")


EVENT = b"Content-Type: text/event-stream\r\n\r\n"
PLAIN = b"Content-Type: application/json\r\n\r\n"
CHUNK = b'data: {"choices":[{"index":0,"delta":{"content":"a"},"finish_reason":null}]}\n\n'
HANGUL = 'data: {"choices":[{"index":0,"delta":{"content":"가"},"finish_reason":null}]}\n\n'.encode()
FLOOD_BYTES = 4 * 2**20
"""What an upstream sends of small things: 16 reads."""
ENDLESS_BYTES = 24 * 2**20
"""What it sends of one thing without an end."""


@dataclass(frozen=True, slots=True)
class Answer:
    """What an upstream sends behind its status line: `first`, then `again` so often, then `last`."""

    first: bytes
    again: bytes = b""
    times: int = 0
    last: bytes = b""
    status: bytes = b"200 OK"
    path: str = CHAT
    """What the client asks."""


def flood(first: bytes, piece: bytes, last: bytes = b"", size: int = FLOOD_BYTES, path: str = CHAT) -> Answer:
    """`size` bytes of `piece`."""
    again = piece * max(1, BLOCK // len(piece))
    return Answer(first, again, max(1, size // len(again)), last, path=path)


def answers() -> Iterator[tuple[str, Answer]]:
    """Every answer by name."""
    yield "headers", flood(b"", b"a:b\r\n")
    yield "a header", flood(b"X-A: ", b"a")
    limits = b"".join(b"x-ratelimit-%d: 1\r\n" % number for number in range(3_000))
    yield "limits of a provider", Answer(limits + b"\r\n{}", status=b"429 Too Many Requests")
    yield "a long Retry-After", Answer(b"retry-after: %b\r\n\r\n{}" % (b"9" * 60_000), status=b"503 Busy")
    yield "chunks of one byte", flood(b"Transfer-Encoding: chunked\r\n" + EVENT, b"1\r\na\r\n")
    yield "chunks of one event", flood(b"Transfer-Encoding: chunked\r\n" + EVENT, b"8\r\ndata:1\n\n\r\n")
    for name, answer in streams().items():
        yield f"stream: {name}", answer
    for name, answer in large_events().items():
        yield f"event: {name}", answer
    for name, answer in plain_answers().items():
        yield f"answer: {name}", answer
    for name, text in error_texts().items():
        body = json.dumps({"error": {"message": text, "type": text[:9]}}, ensure_ascii=False).encode()
        yield f"error: {name}", Answer(b"Content-Type: application/json\r\n\r\n" + body, status=b"400 Bad")
        yield f"error event: {name}", Answer(EVENT + b"data: " + body + b"\n\n")


def streams() -> dict[str, Answer]:
    """Many small events, or none."""
    stream = EVENT + CHUNK
    pieces = {
        "tiny events": b"data:1\n\n",
        "한글 이벤트": HANGUL,
        "tiny comments": b":\n\n",
        "empty lines": b"\n",
        "lone CR": b"\r",
        "CRLF": CHUNK.replace(b"\n", b"\r\n"),
        "CRLF alone": b"\r\n",
        "an error word": b'data:{"error":0}\n\n',
        "an abort word": b'data:{"a":"abort"}\n\n',
        "counts": b'data:{"choices":[],"usage":{}}\n\n',
        "counts of a choice": b'data:{"choices":[{}],"usage":{"a":{}}}\n\n',
        "empty data": b"data:\n\n",
        "two data lines": b"data:1\ndata:\n\n",
        "other fields": b"id:1\n\n",
    }
    found = {name: flood(stream, piece) for name, piece in pieces.items()}
    found["comments before it"] = flood(EVENT, b":\n\n")
    found["a cut of tiny events"] = flood(stream, b"data:1\n\n", size=4_000_000)
    for path, kind in (("/v1/responses", "response.created"), ("/v1/messages", "message_delta")):
        piece = b'data: {"type":"%b","error":null,"response":{"object":"response"}}\n\n' % kind.encode()
        found[f"events of {path}"] = flood(EVENT + piece, piece, path=path)
    return found


def large_events() -> dict[str, Answer]:
    """One event without an end, or with one."""
    start = EVENT + CHUNK + b"data: "
    last = b"\n\n" + CHUNK + b"data: [DONE]\n\n"
    found = {
        "endless": flood(start, b"x", size=ENDLESS_BYTES),
        "endless quotes": flood(start, b'"error', size=ENDLESS_BYTES),
        "endless lines": flood(start, b"data:1\n", size=15_000_000),
    }
    pieces = {
        "a string": (b'{"a":"', b"x", b'"}'),
        "한글": (b'{"a":"', "가".encode(), b'"}'),
        "한글 이스케이프": (b'{"a":"', b"\\uac00", b'"}'),
        "escapes": (b'{"error":0,"a":"', b"\\n", b'"}'),
        "numbers": (b'{"error":0,"a":[', b"1,", b"1]}"),
        "lists": (b'{"error":0,"a":[', b"[],", b"1]}"),
        "keys": (b'{"error":0', b',"":0', b"}"),
        "brackets": (b'{"error":0,"a":', b"[", b"}"),
        "data lines": (b"", b"data:1\n", b"data:1"),
        "empty data lines": (b'{"error":\n', b"data:\n", b"data:0}"),
        "comment lines": (b"{}\n", b":\n", b":"),
        "white space": (b'{"error":0', b" ", b"}"),
    }
    for size in (220_000, 900_000, 15_000_000):
        for name, (before, piece, after) in pieces.items():
            whole = before + piece * (size // len(piece)) + after
            found[f"{size // 1000:,} KB of {name}"] = Answer(start + whole + last)
    many = b",".join(b'"%d":{}' % number for number in range(190_000))
    found["2 MB of other keys"] = Answer(start + b'{"error":0,' + many + b"}" + last)
    error = b'{"error":{"message":"a"},"a":[%b1]}' % (b"[]," * 280_000)
    found["an error with a large rest"] = Answer(start + error + last)
    for path in ("/v1/responses", "/v1/messages"):
        whole = b'{"type":"response.output_text.delta","a":[' + b"1," * 450_000 + b"1]}\n\n"
        found[f"of {path}"] = Answer(EVENT + b"data: {}\n\ndata: " + whole, path=path)
    return found


def plain_answers() -> dict[str, Answer]:
    """Answers that are no streams."""
    found = {"endless": flood(PLAIN + b'{"x":"', b"x", size=70_000_000)}
    pieces = {
        "numbers": (b'{"error":0,"a":[', b"1,", b"1]}"),
        "lists": (b'{"error":0,"a":[', b"[],", b"1]}"),
        "keys": (b'{"error":0', b',"":0', b"}"),
        "lines": (b'{"error":0,"a":[', b"1,\n", b"1]}"),
        "texts": (b'{"error":0,"content":[', b'"",', b'""]}'),
        "한글": (b'{"error":0,"content":[', '"가",'.encode(), b'""]}'),
        "choices": (b'{"error":0,"choices":[', b"{},", b"{}]}"),
        "models": (b'{"error":0,"a":[', b'{"model":"m"},', b"{}]}"),
        "stop reasons": (b'{"error":0,"a":[', b'"stop_reason":', b"0]}"),
        "white space": (b'{"error":0', b" ", b"}"),
    }
    for size in (60_000, 1_000_000, 30_000_000):
        for name, (before, piece, after) in pieces.items():
            whole = before + piece * (size // len(piece)) + after
            found[f"{size // 1000:,} KB of {name}"] = Answer(PLAIN + whole)
    return found
