"""Tasks that run as long as a process."""

import asyncio
import logging

import pytest

import common.background
from common.background import Background


async def test_one_that_dies_is_told_and_started_again_and_its_neighbours_go_on(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(common.background, "BACKOFF_S", (0.0,))
    starts, steady, third = [0], [0], asyncio.Event()

    async def dies() -> None:
        starts[0] += 1
        if starts[0] == 3:
            third.set()
            await asyncio.Event().wait()
        raise ValueError("a mistake")

    async def goes_on() -> None:
        steady[0] += 1
        await asyncio.Event().wait()

    with caplog.at_level(logging.ERROR):
        async with Background() as background:
            background.start("steady work", goes_on)
            background.start("work that dies", dies)
            async with asyncio.timeout(20):
                await third.wait()
    assert (starts, steady) == ([3], [1])
    assert [m for m in caplog.messages if m.startswith("work that dies failed")] == caplog.messages
    assert len(caplog.messages) == 2
    assert "a mistake" in caplog.text


async def test_at_the_end_all_have_ended_also_when_the_block_fails() -> None:
    ended: list[str] = []

    async def work() -> None:
        try:
            await asyncio.Event().wait()
        finally:
            ended.append("work")

    with pytest.raises(RuntimeError):
        async with Background() as background:
            background.start("work", work)
            await asyncio.sleep(0)
            raise RuntimeError
    assert ended == ["work"]
