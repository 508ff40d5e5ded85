"""Compressed request bodies (RFC 9110, 8.4): gzip, deflate and zstd.

A body is decoded in steps, between which other requests run, and never beyond the limit of a plain one: a
small body may stand for gigabytes.
"""

import asyncio
import zlib
from collections.abc import Callable, Generator, Iterator, Mapping
from typing import Protocol

from common.errors import BadRequest, PayloadTooLarge, UnsupportedMediaType
from common.zstd import DecompressionParameter, ZstdDecompressor, ZstdError

STEP_BYTES = 1 << 18
"""How much is decoded, and read, before others have their turn: about a millisecond."""
MOST_MEMBERS = 1000
"""Parts of a body that were compressed one by one."""
MOST_CODINGS = 2
"""Codings on top of each other."""
ZSTD_WINDOW: Mapping[int, int] = {DecompressionParameter.window_log_max: 23}
"""8 MB. RFC 9659: what every decoder of HTTP must take, and none need exceed."""


async def decoded(body: bytes, content_encoding: str, limit: int) -> bytes:
    """The body without its codings, which `content_encoding` lists as the header does.

    Raises UnsupportedMediaType for codings that are not known here, BadRequest for what is not coded so, and
    PayloadTooLarge when there are more than `limit` bytes.
    """
    codings = [name for part in content_encoding.split(",") if (name := part.strip().lower())]
    codings = [name for name in codings if name != "identity"]
    if len(codings) > MOST_CODINGS or any(name not in DECODERS for name in codings):
        raise _unsupported(content_encoding)
    for name in reversed(codings):
        body = await _in_steps(DECODERS[name](body), name, limit)
    return body


async def _in_steps(pieces: Iterator[bytes], name: str, limit: int) -> bytes:
    whole = bytearray()
    try:
        for piece in pieces:
            whole += piece
            if len(whole) > limit:
                raise PayloadTooLarge(f"The decoded body is too large; at most {limit} bytes are taken.")
            await asyncio.sleep(0)
    except _Cut as error:
        raise BadRequest(
            f"The {name} body ends early: its last bytes are missing.",
            code="invalid_encoding",
            hint="Close or flush the compressor before the body is sent, and send all that it has given.",
        ) from error
    except _NotCoded as error:
        raise BadRequest(
            f"The body is not valid {name}, as Content-Encoding says it is.", code="invalid_encoding"
        ) from error
    return bytes(whole)


class _NotCoded(ValueError):
    """The bytes are not what their coding says."""


class _Cut(Exception):
    """What is there is coded so, but it has no end."""


def _unsupported(content_encoding: str) -> UnsupportedMediaType:
    accepted = ", ".join(DECODERS)
    return UnsupportedMediaType(
        f"Bodies with Content-Encoding {content_encoding!r} are not taken.",
        hint=f"Send one of {accepted}, or the plain body without that header.",
        headers={"accept-encoding": accepted},
    )


class _Decompressor(Protocol):
    """zlib's, and zstd's in the same words."""

    @property
    def eof(self) -> bool: ...
    @property
    def unused_data(self) -> bytes: ...
    @property
    def unconsumed_tail(self) -> bytes: ...
    def decompress(self, data: bytes | memoryview, max_length: int, /) -> bytes: ...


class _Zstd:
    """A frame's decompressor, which keeps by itself what it has not consumed."""

    unconsumed_tail = b""

    def __init__(self) -> None:
        self._frame = ZstdDecompressor(options=ZSTD_WINDOW)

    @property
    def eof(self) -> bool:
        return self._frame.eof

    @property
    def unused_data(self) -> bytes:
        return self._frame.unused_data

    def decompress(self, data: bytes | memoryview, max_length: int, /) -> bytes:
        return self._frame.decompress(data, max_length)


def _gzip(body: bytes) -> Iterator[bytes]:
    """RFC 1952, 2.2: several members may follow each other."""
    return _members(body, lambda: zlib.decompressobj(zlib.MAX_WBITS | 16))


def _zstd(body: bytes) -> Iterator[bytes]:
    """RFC 8878, 3.1: several frames may follow each other."""
    return _members(body, _Zstd)


def _deflate(body: bytes) -> Iterator[bytes]:
    """RFC 9110, 8.4.1.2: the zlib format; some send its contents alone."""
    is_zlib = len(body) > 1 and body[0] & 0x0F == 8 and int.from_bytes(body[:2], "big") % 31 == 0
    yield from _inflate(zlib.decompressobj(zlib.MAX_WBITS if is_zlib else -zlib.MAX_WBITS), memoryview(body))


def _members(body: bytes, new: Callable[[], _Decompressor]) -> Iterator[bytes]:
    rest = memoryview(body)
    members = 0
    while rest:
        members += 1
        if members > MOST_MEMBERS:
            raise _NotCoded  # each costs time, and may hold nothing
        rest = rest[(yield from _inflate(new(), rest)) :]


def _inflate(decompressor: _Decompressor, body: memoryview) -> Generator[bytes, None, int]:
    """What the body holds; returns how many of its bytes that took. A step reads as little as it gives: a
    long body may also stand for nothing at all."""
    at = 0
    pending: bytes | memoryview = b""
    try:
        while not decompressor.eof:
            if not pending:
                pending, at = body[at : at + STEP_BYTES], at + STEP_BYTES
            ended = not pending
            piece = decompressor.decompress(pending, STEP_BYTES)
            pending = decompressor.unconsumed_tail
            if ended and not piece and not decompressor.eof:
                raise _Cut
            yield piece
    except (zlib.error, ZstdError) as error:
        raise _NotCoded from error
    return min(at, len(body)) - len(decompressor.unused_data)


DECODERS: dict[str, Callable[[bytes], Iterator[bytes]]] = {
    "gzip": _gzip,
    "x-gzip": _gzip,
    "deflate": _deflate,
    "zstd": _zstd,
}
"""By their names in the header."""
