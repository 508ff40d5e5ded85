"""Files, vector stores, and the indexes of all stores."""

from alembic import op

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None

# Sizes are `integer`, so that their sums are `bigint`, which arrives as a number.
_CATALOGUE = """
CREATE TABLE files (
    place BIGINT GENERATED ALWAYS AS IDENTITY PRIMARY KEY, id TEXT NOT NULL UNIQUE, owner TEXT NOT NULL,
    filename TEXT NOT NULL, bytes INTEGER NOT NULL, purpose TEXT NOT NULL, created_at BIGINT NOT NULL,
    expires_at BIGINT
);
CREATE TABLE contents (
    file TEXT PRIMARY KEY REFERENCES files (id) ON DELETE CASCADE, content BYTEA NOT NULL
);
CREATE TABLE stores (
    place BIGINT GENERATED ALWAYS AS IDENTITY PRIMARY KEY, id TEXT NOT NULL UNIQUE, owner TEXT NOT NULL,
    name TEXT NOT NULL, description TEXT NOT NULL, metadata TEXT NOT NULL, shared_with TEXT NOT NULL,
    created_at BIGINT NOT NULL, last_active_at BIGINT NOT NULL, expires_days INTEGER
);
CREATE TABLE attached (
    place BIGINT GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    store TEXT NOT NULL REFERENCES stores (id) ON DELETE CASCADE,
    file TEXT NOT NULL REFERENCES files (id) ON DELETE CASCADE,
    batch TEXT, status TEXT NOT NULL, error_code TEXT NOT NULL, error_message TEXT NOT NULL,
    attributes TEXT NOT NULL, chunk_tokens INTEGER NOT NULL, usage_bytes INTEGER NOT NULL,
    created_at BIGINT NOT NULL, UNIQUE (store, file)
);
CREATE INDEX attached_files ON attached (file);
CREATE INDEX attached_status ON attached (status, place);
CREATE TABLE batches (
    place BIGINT GENERATED ALWAYS AS IDENTITY PRIMARY KEY, id TEXT NOT NULL UNIQUE,
    store TEXT NOT NULL REFERENCES stores (id) ON DELETE CASCADE, created_at BIGINT NOT NULL,
    cancelled INTEGER NOT NULL
);
CREATE TABLE bindings (
    place BIGINT GENERATED ALWAYS AS IDENTITY PRIMARY KEY, name TEXT NOT NULL UNIQUE, model TEXT NOT NULL,
    store TEXT NOT NULL, created_at BIGINT NOT NULL
);
"""
_INDEXES = """
CREATE TABLE indexes (
    id BIGINT GENERATED ALWAYS AS IDENTITY PRIMARY KEY, name TEXT NOT NULL UNIQUE,
    chunks BIGINT NOT NULL DEFAULT 0, terms BIGINT NOT NULL DEFAULT 0
);
CREATE TABLE facts (
    index_id BIGINT NOT NULL REFERENCES indexes ON DELETE CASCADE, name TEXT NOT NULL, value TEXT NOT NULL,
    PRIMARY KEY (index_id, name)
);
CREATE TABLE documents (
    id BIGINT GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    index_id BIGINT NOT NULL REFERENCES indexes ON DELETE CASCADE, source TEXT NOT NULL, name TEXT NOT NULL,
    format TEXT NOT NULL, title TEXT NOT NULL, sha256 TEXT NOT NULL, chunk_size INTEGER NOT NULL,
    hidden_characters INTEGER NOT NULL, added TEXT NOT NULL, UNIQUE (index_id, source)
);
CREATE TABLE pages (
    document BIGINT NOT NULL REFERENCES documents ON DELETE CASCADE, place INTEGER NOT NULL, number INTEGER,
    text TEXT NOT NULL, lines TEXT NOT NULL, problem TEXT NOT NULL, PRIMARY KEY (document, place)
);
CREATE TABLE chunks (
    id BIGINT GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    index_id BIGINT NOT NULL REFERENCES indexes ON DELETE CASCADE,
    document BIGINT NOT NULL REFERENCES documents ON DELETE CASCADE,
    text TEXT NOT NULL, headings TEXT NOT NULL, spans TEXT NOT NULL,
    length INTEGER NOT NULL, terms TSVECTOR NOT NULL
);
CREATE INDEX chunks_of_index ON chunks (index_id, id);
CREATE INDEX chunks_of_document ON chunks (document);
CREATE INDEX chunks_by_terms ON chunks USING gin (terms);
CREATE TABLE frequencies (
    index_id BIGINT NOT NULL REFERENCES indexes ON DELETE CASCADE, term TEXT NOT NULL,
    chunks INTEGER NOT NULL, PRIMARY KEY (index_id, term)
);
CREATE TABLE vectors (
    chunk BIGINT PRIMARY KEY REFERENCES chunks ON DELETE CASCADE,
    index_id BIGINT NOT NULL REFERENCES indexes ON DELETE CASCADE, vector BYTEA NOT NULL
);
CREATE INDEX vectors_of_index ON vectors (index_id, chunk);
"""


def upgrade() -> None:
    op.execute("CREATE SCHEMA kodolly_documents")
    op.execute("SET LOCAL search_path TO kodolly_documents")
    for statement in filter(str.strip, (_CATALOGUE + _INDEXES).split(";\n")):
        op.execute(statement)
    op.execute("SET LOCAL search_path TO DEFAULT")


def downgrade() -> None:
    op.execute("DROP SCHEMA kodolly_documents CASCADE")
