"""Files that arrive in parts."""

from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None

_TABLES = """
CREATE TABLE uploads (
    place BIGINT GENERATED ALWAYS AS IDENTITY PRIMARY KEY, id TEXT NOT NULL UNIQUE, owner TEXT NOT NULL,
    filename TEXT NOT NULL, bytes INTEGER NOT NULL, purpose TEXT NOT NULL, status TEXT NOT NULL,
    created_at BIGINT NOT NULL, expires_at BIGINT NOT NULL, life_s INTEGER
);
CREATE TABLE parts (
    place BIGINT GENERATED ALWAYS AS IDENTITY PRIMARY KEY, id TEXT NOT NULL UNIQUE,
    upload TEXT NOT NULL REFERENCES uploads (id) ON DELETE CASCADE, bytes INTEGER NOT NULL,
    created_at BIGINT NOT NULL
);
CREATE INDEX parts_of_upload ON parts (upload);
CREATE TABLE part_contents (
    part TEXT PRIMARY KEY REFERENCES parts (id) ON DELETE CASCADE, content BYTEA NOT NULL
);
"""


def upgrade() -> None:
    op.execute("SET LOCAL search_path TO kodolly_documents")
    for statement in filter(str.strip, _TABLES.split(";\n")):
        op.execute(statement)
    op.execute("SET LOCAL search_path TO DEFAULT")


def downgrade() -> None:
    for table in ("part_contents", "parts", "uploads"):
        op.execute(f"DROP TABLE kodolly_documents.{table}")
