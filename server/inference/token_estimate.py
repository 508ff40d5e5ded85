"""A guess at a request's tokens before an engine has counted them: text by its bytes, pictures by their
pixels, sound by its length. What is searched is searched by `bytes.find`: a body has megabytes of base64."""

import binascii
import re
import struct
from collections.abc import Iterator

from server.inference.usage import UNTIL_COUNTED

MOST_PARTS = 500
"""Files looked at in one request; what comes after them counts as text."""
HEADER_BYTES = 64 * 1024
"""How much base64 is decoded to find a picture's size: cameras put a preview before it."""
ALL_HEADER_BYTES = 1024 * 1024
"""The same for all pictures of a request; the size of those behind is not looked for."""
MOST_SEGMENTS = 100
"""Of a JPEG file before its size; cameras write some 20."""
TILE, TILE_TOKENS, BASE_TOKENS = 512, 170, 85
"""OpenAI's rule (platform.openai.com/docs/guides/images-vision): 85 tokens and 170 for each tile of 512 x 512
pixels, once the picture fits into 2048 x 2048 and its shorter side has 768 at most. Low detail costs 85."""
FITS, SHORTER_SIDE = 2048, 768
UNKNOWN_IMAGE = (1024, 1024)
AUDIO_TOKENS_PER_S = 25
AUDIO_BYTES_PER_S = 8000
"""Of compressed sound: 64 kbit/s."""
VIDEO_TOKENS_PER_BYTE = 0.002
"""250 tokens a second at 1 Mbit/s."""
DOCUMENT_TOKENS_PER_BYTE = 0.02
"""1,000 tokens a page of 50 KB."""

_FILE = b'"data'
"""Where base64 may begin: a field's name, or a URL."""
_VALUE = re.compile(rb'"data(?::([^";,]{0,100})[^",]{0,100}?;base64,|"\s{0,9}:\s{0,9}")')
_BASE64 = re.compile(rb"[A-Za-z0-9+/=_\\-]{256}")
_LOW_DETAIL = re.compile(rb'"detail"\s{0,9}:\s{0,9}"low"')
_NEARBY = 100
_JPEG_SIZES = frozenset((*range(0xC0, 0xC4), *range(0xC5, 0xC8), *range(0xC9, 0xCC), *range(0xCD, 0xD0)))


def estimated_request_tokens(body: bytes, file_at: tuple[int, int] | None = None) -> int:
    """Tokens of a request's prompt, from its whole body: JSON, or a form whose file is at `file_at`."""
    if file_at is None and _FILE not in body:
        return int(len(body) * UNTIL_COUNTED)
    files = _base64_in_json(body) if file_at is None else _file_in_form(body, *file_at)
    file_bytes = tokens = 0
    for size, cost in files:
        file_bytes += size
        tokens += cost
    return int((len(body) - file_bytes) * UNTIL_COUNTED) + tokens


def _base64_in_json(body: bytes) -> Iterator[tuple[int, int]]:
    """(bytes in the body, tokens) of each string of base64: `data:` URLs and fields called `data`."""
    at, left = 0, ALL_HEADER_BYTES
    for _ in range(MOST_PARTS):
        at = body.find(_FILE, at)
        if at < 0:
            return
        match = _VALUE.match(body, at)
        start = match.end() if match else at + 1
        if match is None or (match[1] is None and not _BASE64.match(body, start)):
            at = start - 1 if match else start  # a URL may stand in the field
            at += body[at : at + 6] != b'"data:'
            continue
        end = body.find(b'"', start)
        if end < 0:
            return
        media_type = (match[1] or b"").replace(b"\\", b"").lower()
        head = _decoded(body[start : min(end, start + HEADER_BYTES, start + left)])
        left -= min(end - start, HEADER_BYTES, left)
        low = _is_low_detail(body, at, end)
        yield end - start, _file_tokens(head, (end - start) * 3 // 4, media_type, low_detail=low)
        at = end


def _file_in_form(body: bytes, start: int, end: int) -> Iterator[tuple[int, int]]:
    """The same of the file in a multipart form."""
    if end > start:
        yield end - start, _file_tokens(body[start : min(end, start + HEADER_BYTES)], end - start, b"audio/")


def _is_low_detail(body: bytes, start: int, end: int) -> bool:
    """Whether the JSON object around the value asks for little detail."""
    before = body[max(0, start - _NEARBY) : start].rpartition(b"{")[2]
    after = body[end : end + _NEARBY].partition(b"}")[0]
    return bool(_LOW_DETAIL.search(before) or _LOW_DETAIL.search(after))


def _decoded(encoded: bytes) -> bytes:
    plain = encoded.replace(b"\\", b"").translate(bytes.maketrans(b"-_", b"+/")).rstrip(b"=")
    try:
        return binascii.a2b_base64(plain[: len(plain) // 4 * 4])
    except binascii.Error:
        return b""


def _file_tokens(head: bytes, size: int, media_type: bytes, *, low_detail: bool = False) -> int:
    """What a file costs, by its first bytes, its size and what it is said to be."""
    pixels = image_size(head)
    if pixels is not None or media_type.startswith(b"image/"):
        return BASE_TOKENS if low_detail else image_tokens(*(pixels or UNKNOWN_IMAGE))
    if media_type.startswith(b"audio/") or _is_audio(head):
        return int(size / _bytes_per_second(head) * AUDIO_TOKENS_PER_S) + 1
    if media_type.startswith(b"text/"):
        return int(size * UNTIL_COUNTED)
    per_byte = VIDEO_TOKENS_PER_BYTE if media_type.startswith(b"video/") else DOCUMENT_TOKENS_PER_BYTE
    return int(size * per_byte) + 1


def image_tokens(width: int, height: int) -> int:
    """By OpenAI's rule for high detail."""
    scale = min(1.0, FITS / max(width, height, 1))
    scale = min(scale, SHORTER_SIDE / max(1, min(width, height)))
    across, down = (max(1, -int(-side * scale // TILE)) for side in (width, height))
    return BASE_TOKENS + TILE_TOKENS * across * down


def image_size(head: bytes) -> tuple[int, int] | None:
    """Width and height in pixels from the first bytes of a PNG, GIF, WebP or JPEG file; None for others."""
    if head.startswith(b"\x89PNG\r\n\x1a\n") and len(head) >= 24:
        return struct.unpack_from(">II", head, 16)
    if head.startswith((b"GIF87a", b"GIF89a")) and len(head) >= 10:
        return struct.unpack_from("<HH", head, 6)
    if head.startswith(b"RIFF") and head[8:12] == b"WEBP" and len(head) >= 30:
        return _webp_size(head)
    return _jpeg_size(head) if head.startswith(b"\xff\xd8\xff") else None


def _webp_size(head: bytes) -> tuple[int, int] | None:
    kind = head[12:16]
    if kind == b"VP8X":
        return int.from_bytes(head[24:27], "little") + 1, int.from_bytes(head[27:30], "little") + 1
    if kind == b"VP8L":
        bits = int.from_bytes(head[21:25], "little")
        return (bits & 0x3FFF) + 1, (bits >> 14 & 0x3FFF) + 1
    width, height = struct.unpack_from("<HH", head, 26)
    return width & 0x3FFF, height & 0x3FFF


def _jpeg_size(head: bytes) -> tuple[int, int] | None:
    at = 2
    for _ in range(MOST_SEGMENTS):
        if at + 9 > len(head) or head[at] != 0xFF:
            return None
        if head[at + 1] in _JPEG_SIZES:
            height, width = struct.unpack_from(">HH", head, at + 5)
            return width, height
        at += 2 + max(2, struct.unpack_from(">H", head, at + 2)[0])
    return None


def _is_audio(head: bytes) -> bool:
    return head.startswith((b"ID3", b"fLaC", b"OggS", b"\xff\xfb", b"\xff\xf3")) or head[8:12] == b"WAVE"


def _bytes_per_second(head: bytes) -> int:
    if head[8:12] == b"WAVE" and len(head) >= 32:
        given: int = struct.unpack_from("<I", head, 28)[0]
        return max(given, AUDIO_BYTES_PER_S)
    return AUDIO_BYTES_PER_S
