"""Estimates of a request's tokens: a picture or a recording is not its base64 read as text."""

import base64
import io
import json
import os
import struct
import wave
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from server.client.form import parse_form_head
from server.inference.token_estimate import estimated_request_tokens, image_size, image_tokens
from server.inference.usage import UNTIL_COUNTED

NOISE = os.urandom(300_000)
JPEG = b"\xff\xd8\xff\xe1" + struct.pack(">H", 30_000) + bytes(29_998)
FILES = {
    "png": b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR" + struct.pack(">II", 1024, 512),
    "gif": b"GIF89a" + struct.pack("<HH", 1024, 512),
    "jpeg": JPEG + b"\xff\xc2\0\x11\x08" + struct.pack(">HH", 512, 1024),
    "webp": b"RIFF\0\0\0\0WEBPVP8X" + bytes(8) + (1023).to_bytes(3, "little") + (511).to_bytes(3, "little"),
}


def url(kind: str, data: bytes) -> str:
    return f"data:{kind};base64,{base64.b64encode(data).decode()}"


def tokens(part: dict[str, Any]) -> int:
    text = {"type": "text", "text": "무엇이 보이나요?"}
    body = {"model": "m", "messages": [{"role": "user", "content": [text, part]}]}
    compact = json.dumps(body, separators=(",", ":")).encode()
    escaped = json.dumps(body).replace("/", "\\/").encode()
    assert estimated_request_tokens(escaped) == pytest.approx(estimated_request_tokens(compact), rel=0.1)
    return estimated_request_tokens(compact)


@pytest.mark.parametrize("kind", FILES)
def test_a_picture_costs_what_its_pixels_cost(kind: str) -> None:
    data = FILES[kind] + NOISE
    assert image_size(data[:65_000]) == (1024, 512)
    high = {"type": "image_url", "image_url": {"url": url(f"image/{kind}", data)}}
    assert 425 <= tokens(high) < 425 + 100
    low = {"type": "image_url", "image_url": {"url": url(f"image/{kind}", data), "detail": "low"}}
    assert 85 <= tokens(low) < 85 + 100
    first = {"type": "input_image", "detail": "low", "image_url": url(f"image/{kind}", data)}
    assert 85 <= tokens(first) < 85 + 100
    source = {"type": "base64", "media_type": f"image/{kind}", "data": base64.b64encode(data).decode()}
    assert 425 <= tokens({"type": "image", "source": source}) < 425 + 100


@pytest.mark.parametrize(
    ("size", "cost"), [((1024, 1024), 765), ((2048, 4096), 1105), ((1, 1), 255), ((4096, 8192), 1105)]
)
def test_tiles_are_counted_as_published(size: tuple[int, int], cost: int) -> None:
    assert image_tokens(*size) == cost


def recording(seconds: int) -> bytes:
    file = io.BytesIO()
    with wave.open(file, "wb") as sound:
        sound.setnchannels(1)
        sound.setsampwidth(2)
        sound.setframerate(16_000)
        sound.writeframes(bytes(32_000 * seconds))
    return file.getvalue()


def test_sound_costs_what_its_seconds_cost() -> None:
    given = {"data": base64.b64encode(recording(30)).decode(), "format": "wav"}
    assert 750 <= tokens({"type": "input_audio", "input_audio": given}) < 850


async def test_sound_in_a_form_costs_the_same() -> None:
    form = b'--b\r\ncontent-disposition: form-data; name="file"; filename="a.wav"\r\n\r\n' + recording(30)
    form += b'\r\n--b\r\ncontent-disposition: form-data; name="model"\r\n\r\nwhisper\r\n--b--\r\n'
    for name in (b"a.wav", b"a.mp3"):
        body = form.replace(b"a.wav", name)
        head = await parse_form_head("multipart/form-data; boundary=b", body)
        assert body[slice(*head.file_at)] == recording(30)
        assert 750 <= estimated_request_tokens(body, head.file_at) < 850


def test_what_cannot_be_read_costs_a_fixed_sum_and_documents_by_their_pages() -> None:
    unknown = {"type": "image_url", "image_url": {"url": url("image/avif", NOISE)}}
    assert 765 <= tokens(unknown) < 865
    document = {"type": "file", "file": {"file_data": url("application/pdf", b"%PDF-1.7" + NOISE)}}
    assert 1_000 < tokens(document) < 10_000
    nested = {"type": "input_audio", "input_audio": {"data": url("audio/mpeg", b"ID3" + NOISE)}}
    assert 700 < tokens(nested) < 1_100


def test_text_counts_as_text() -> None:
    for text in ("데이터 " * 500, '{"data": "x"} ' * 900, "data:image/png;base64 은 주소입니다. " * 90):
        body = json.dumps({"messages": [{"content": text}], "data": text}).encode()
        assert estimated_request_tokens(body) == int(len(body) * UNTIL_COUNTED)


PIECES = st.sampled_from(
    [b'"data', b'"', b":", b";base64,", b"image/png", b"A" * 300, b"{", b"\\", b"\r\n\r\n"]
)


@given(st.lists(PIECES | st.binary(max_size=9)), st.booleans())
def test_any_body_has_an_estimate(pieces: list[bytes], is_form: bool) -> None:
    body = b"".join(pieces)
    file_at = (0, len(body)) if is_form else None
    assert 0 <= estimated_request_tokens(body, file_at) <= len(body) + 2_000 * (1 + len(pieces))
