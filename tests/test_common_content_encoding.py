"""Compressed request bodies: what is taken, what is refused, and that none makes more than the limit."""

import asyncio
import contextlib
import gzip
import zlib
from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from common import zstd
from common.content_encoding import MOST_MEMBERS, STEP_BYTES, decoded
from common.errors import BadRequest, PayloadTooLarge, UnsupportedMediaType

LIMIT = 1 << 20
BODY = '{"model": "dolly", "prompt": "안녕"}'.encode()


def raw_deflate(body: bytes) -> bytes:
    compressor = zlib.compressobj(wbits=-zlib.MAX_WBITS)
    return compressor.compress(body) + compressor.flush()


@pytest.mark.parametrize(
    ("coding", "body"),
    [
        ("gzip", gzip.compress(BODY)),
        ("GZIP", gzip.compress(BODY)),
        ("x-gzip", gzip.compress(BODY)),
        ("gzip", gzip.compress(BODY[:9]) + gzip.compress(BODY[9:])),
        ("deflate", zlib.compress(BODY)),
        ("deflate", raw_deflate(BODY)),
        ("zstd", zstd.compress(BODY)),
        ("zstd", zstd.compress(BODY[:9]) + zstd.compress(BODY[9:])),
        ("identity", BODY),
        ("", BODY),
        ("deflate, gzip", gzip.compress(zlib.compress(BODY))),
    ],
    ids=lambda value: value if isinstance(value, str) else "",  # gzip's bytes hold the time
)
async def test_what_clients_send_is_decoded(coding: str, body: bytes) -> None:
    assert await decoded(body, coding, LIMIT) == BODY


@pytest.mark.parametrize(
    ("coding", "compress"),
    [("gzip", gzip.compress), ("deflate", zlib.compress), ("zstd", zstd.compress)],
)
async def test_a_bomb_ends_at_the_limit(coding: str, compress: Callable[[bytes], bytes]) -> None:
    with pytest.raises(PayloadTooLarge, match=str(LIMIT)):
        await decoded(compress(b"\0" * (64 * LIMIT)), coding, LIMIT)
    assert len(await decoded(compress(b"\0" * LIMIT), coding, LIMIT)) == LIMIT >= STEP_BYTES


@pytest.mark.parametrize("coding", ["br", "compress", "gzip, gzip, gzip", "kodolly"])
async def test_other_codings_are_told_what_works(coding: str) -> None:
    with pytest.raises(UnsupportedMediaType, match="Send one of gzip, x-gzip, deflate, zstd") as refused:
        await decoded(b"x", coding, LIMIT)
    assert "gzip" in refused.value.headers["accept-encoding"]


@given(st.sampled_from(["gzip", "deflate", "zstd"]), st.binary(max_size=60))
def test_what_is_not_coded_so_is_refused_or_decoded_but_nothing_else(coding: str, body: bytes) -> None:
    assert asyncio.run(outcome(body, coding)) in ("decoded", "invalid_encoding")


async def outcome(body: bytes, coding: str) -> str | None:
    try:
        await decoded(body, coding, LIMIT)
    except BadRequest as error:
        return error.code
    return "decoded"


PACKED = [("gzip", gzip.compress(BODY)), ("deflate", zlib.compress(BODY)), ("zstd", zstd.compress(BODY))]


@pytest.mark.parametrize(("coding", "body"), PACKED, ids=["gzip", "deflate", "zstd"])
async def test_a_body_that_was_cut_is_told_so_wherever_it_ends(coding: str, body: bytes) -> None:
    for end in range(1, len(body)):
        with pytest.raises(BadRequest, match=f"The {coding} body ends early"):
            await decoded(body[:end], coding, LIMIT)


@pytest.mark.parametrize(("coding", "body"), PACKED, ids=["gzip", "deflate", "zstd"])
async def test_another_body_in_that_coding_is_told_so(coding: str, body: bytes) -> None:
    for wrong in (BODY, b"\xff" * len(body)):
        with pytest.raises(BadRequest, match=f"not valid {coding}"):
            await decoded(wrong, coding, LIMIT)


async def turns_of_others(body: bytes, coding: str) -> int:
    """How often another task of the loop runs while the body is decoded."""
    turns = 0

    async def count() -> None:
        nonlocal turns
        while True:
            turns += 1
            await asyncio.sleep(0)

    counting = asyncio.create_task(count())
    with contextlib.suppress(BadRequest, PayloadTooLarge):
        await decoded(body, coding, LIMIT)
    counting.cancel()
    return turns


EMPTY_BLOCK = b"\x00\x00\x00\xff\xff"
NOTHING = {
    "empty members": ("gzip", gzip.compress(b"") * 100_000, MOST_MEMBERS),
    "empty frames": ("zstd", zstd.compress(b"") * 100_000, MOST_MEMBERS),
    "empty blocks": ("deflate", EMPTY_BLOCK * 1_000_000, 5_000_000 // STEP_BYTES),
    "empty blocks of a member": (
        "gzip",
        gzip.compress(b"")[:10] + EMPTY_BLOCK * 1_000_000,
        5_000_000 // STEP_BYTES,
    ),
}
"""Coding, body, and in how many pieces at least it must be read."""


@pytest.mark.parametrize("kind", NOTHING)
async def test_a_long_body_that_stands_for_nothing_holds_nobody_up(kind: str) -> None:
    coding, body, pieces = NOTHING[kind]
    assert await turns_of_others(body, coding) >= pieces


@pytest.mark.parametrize("coding", ["gzip", "zstd"])
async def test_bodies_in_very_many_parts_are_refused(coding: str) -> None:
    part = {"gzip": gzip.compress(b"a"), "zstd": zstd.compress(b"a")}[coding]
    assert await decoded(part * MOST_MEMBERS, coding, LIMIT) == b"a" * MOST_MEMBERS
    with pytest.raises(BadRequest):
        await decoded(part * (MOST_MEMBERS + 1), coding, LIMIT)
