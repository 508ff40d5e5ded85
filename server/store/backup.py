"""What a backup keeps of the gateway: keys, usage ledger, votes, ratings and kept conversations."""

import sqlalchemy as sa

from common.store_backup import KeptStore
from server.store.opening import SCHEMA
from server.store.tables import (
    api_keys,
    conversations,
    key_changes,
    ratings,
    turns,
    usage,
    usage_batches,
    votes,
)


def _have_keys_read_again(live: sa.Connection, kept: sa.Connection) -> None:
    """A version that no gateway has seen: those that run follow within two seconds."""
    version = sa.select(sa.func.max(key_changes.c.version))
    newest = max(live.execute(version).scalar() or 0, kept.execute(version).scalar() or 0)
    live.execute(key_changes.update().values(version=newest + 1))


GATEWAY_STORE = KeptStore(
    file="kodolly.db",
    schema=SCHEMA,
    tables=(api_keys, usage, usage_batches, votes, ratings, conversations, turns),
    copied=(key_changes,),
    after_restore=_have_keys_read_again,
)
