"""What happens to a gateway when its PostgreSQL server goes and comes back."""

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest

from common.database import StoreFailed
from common.errors import InvalidApiKey
from server.accounts.accounts import Accounts
from server.accounts.keys import Key, KeyStore, new_key_id
from server.record import Usage
from server.store.opening import open_store
from tests.support.postgres import binaries, control, postgres
from tests.support.processes import PATIENCE_S

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(binaries() is None, reason="PostgreSQL is not installed: apt install postgresql"),
]


async def until(check: Callable[[], Awaitable[bool]]) -> None:
    async with asyncio.timeout(PATIENCE_S):
        while not await check():
            await asyncio.sleep(0.05)


async def test_a_gateway_outlives_its_database(tmp_path: Path) -> None:
    with postgres(tmp_path) as url:
        async with open_store(url) as store:
            keys = KeyStore(store.database)
            secret = await keys.create(Key(new_key_id(), "시험"))
            accounts = Accounts(store)
            await accounts.follow_keys()
            owned = asyncio.create_task(accounts.run())
            await asyncio.to_thread(control, tmp_path, url, "-m", "fast", "stop")
            with pytest.raises(StoreFailed):
                await keys.all()
            asking = accounts.authenticate(secret)  # known keys stay in force
            grant = accounts.try_admit(asking, "dolly", 1)
            assert grant is not None
            accounts.settle(grant, "ok", Usage(3, 4))
            with pytest.raises(StoreFailed):
                await accounts._ledger.flush()
            await asyncio.to_thread(control, tmp_path, url, "start")
            try:

                async def booked() -> bool:
                    return [row["completion_tokens"] for row in await accounts.report.rows("key")] == [4]

                await until(booked)
                await keys.revoke(asking.id)

                async def refused() -> bool:
                    try:
                        accounts.authenticate(secret)
                    except InvalidApiKey:
                        return True
                    return False

                await until(refused)
                assert not owned.done()
            finally:
                owned.cancel()
                await asyncio.to_thread(control, tmp_path, url, "-m", "fast", "stop")
