"""Compressed request bodies (RFC 9110, 8.4): gzip, deflate and zstd.

A body is decoded in steps, between which other requests run, and never beyond the limit of a plain one: a
small body may stand for gigabytes.
"""

import asyncio
import zlib
from collections.abc import Callable, Iterator, Mapping

from common.errors import BadRequest, PayloadTooLarge, UnsupportedMediaType
from common.zstd import DecompressionParameter, ZstdDecompressor, ZstdError

STEP_BYTES = 1 << 18
"""How much is decoded before others have their turn: about a millisecond."""
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
            if len(piece) == STEP_BYTES:
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


def _gzip(body: bytes) -> Iterator[bytes]:
    while body:  # RFC 1952, 2.2: several members may follow each other
        member = zlib.decompressobj(zlib.MAX_WBITS | 16)
        yield from _inflate(member, body)
        body = member.unused_data


def _deflate(body: bytes) -> Iterator[bytes]:
    """RFC 9110, 8.4.1.2: the zlib format; some send its contents alone."""
    is_zlib = len(body) > 1 and body[0] & 0x0F == 8 and int.from_bytes(body[:2], "big") % 31 == 0
    yield from _inflate(zlib.decompressobj(zlib.MAX_WBITS if is_zlib else -zlib.MAX_WBITS), body)


def _inflate(decompressor: "zlib._Decompress", body: bytes) -> Iterator[bytes]:
    try:
        while not decompressor.eof:
            piece = decompressor.decompress(body, STEP_BYTES)
            body = decompressor.unconsumed_tail
            if not piece and not body and not decompressor.eof:
                raise _Cut
            yield piece
    except zlib.error as error:
        raise _NotCoded from error


def _zstd(body: bytes) -> Iterator[bytes]:
    while body:  # RFC 8878, 3.1: several frames may follow each other
        frame = ZstdDecompressor(options=ZSTD_WINDOW)
        try:
            while not frame.eof:
                piece = frame.decompress(body, STEP_BYTES)
                body = b""
                if not piece and frame.needs_input and not frame.eof:
                    raise _Cut
                yield piece
        except ZstdError as error:
            raise _NotCoded from error
        body = frame.unused_data


DECODERS: dict[str, Callable[[bytes], Iterator[bytes]]] = {
    "gzip": _gzip,
    "x-gzip": _gzip,
    "deflate": _deflate,
    "zstd": _zstd,
}
"""By their names in the header."""
