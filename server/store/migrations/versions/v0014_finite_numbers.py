"""Numbers that earlier versions took and JSON does not know (NaN, Infinity) become null.

SQLite would not look into such a row, and so told no results of any, and no answer to a client could hold it.
PostgreSQL never took them.
"""

import json

import sqlalchemy as sa
from alembic import op

revision = "0014"
down_revision = "0013"
branch_labels = None
depends_on = None

JUDGED = (("votes", "left"), ("votes", "right"), ("ratings", "answer"))


def upgrade() -> None:
    connection = op.get_bind()
    if connection.dialect.name != "sqlite":
        return
    for name, judged in JUDGED:
        table = sa.table(name, *map(sa.column, ("key_id", "id", judged)))
        unreadable = sa.select(table).where(sa.func.json_valid(table.c[judged]) == 0)
        for row in connection.execute(unreadable).mappings().all():
            known = json.loads(row[judged], parse_constant=lambda _: None)
            which = (table.c.key_id == row["key_id"]) & (table.c.id == row["id"])
            text = json.dumps(known, ensure_ascii=False)
            connection.execute(table.update().where(which).values({judged: text}))


def downgrade() -> None:
    """Nothing was lost: they were no numbers."""
