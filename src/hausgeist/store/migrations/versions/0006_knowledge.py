"""Documents: vector stores, what is in them, and what their files say."""

from __future__ import annotations

from alembic import op
from sqlalchemy import Column, Float, ForeignKey, Index, Integer, LargeBinary, Text

revision = "0006"
down_revision = "0005"

# Files go in many ways: by hand, by their time, with their project, with the person who brought them. Whatever it is, what was made of them goes in
# the same transaction, and the indexes are told what to forget.
_TRIGGERS = (
    """
    CREATE TRIGGER files_said AFTER DELETE ON files
    WHEN NOT EXISTS (SELECT 1 FROM files WHERE project = old.project AND digest = old.digest)
    BEGIN DELETE FROM documents WHERE project = old.project AND digest = old.digest; END
    """,
    """
    CREATE TRIGGER store_files_entry AFTER DELETE ON store_files
    WHEN old.entry IS NOT NULL AND NOT EXISTS (SELECT 1 FROM store_files WHERE entry = old.entry)
    BEGIN DELETE FROM entries WHERE id = old.entry; END
    """,
    """
    CREATE TRIGGER store_files_other_entry AFTER UPDATE OF entry ON store_files
    WHEN old.entry IS NOT NULL AND old.entry IS NOT new.entry AND NOT EXISTS (SELECT 1 FROM store_files WHERE entry = old.entry)
    BEGIN DELETE FROM entries WHERE id = old.entry; END
    """,
    """
    CREATE TRIGGER entries_passages BEFORE DELETE ON entries
    BEGIN INSERT OR IGNORE INTO forgotten_passages (store, passage) SELECT old.store, id FROM passages WHERE entry = old.id; END
    """,
)


def upgrade() -> None:
    op.create_table(
        "vector_stores",
        Column("id", Text, primary_key=True),
        Column("project", Text, ForeignKey("projects.id", ondelete="CASCADE"), nullable=False),
        Column("user", Text, nullable=False),
        Column("created", Float, nullable=False),
        Column("active", Float, nullable=False),
        Column("name", Text, nullable=False),
        Column("description", Text, nullable=False),
        Column("metadata", Text, nullable=False),
        Column("expires_days", Integer),
        Column("embedder", Text, nullable=False),
        Column("mark", Integer, nullable=False),
        Column("gone", Integer, nullable=False),
        Index("vector_stores_project", "project", "created", "id"),
        Index("vector_stores_user", "user"),
    )
    # What a file says, once for each project however often it is uploaded there, as long as one of its files has these bytes.
    op.create_table(
        "documents",
        Column("id", Integer, primary_key=True),
        Column("project", Text, ForeignKey("projects.id", ondelete="CASCADE"), nullable=False),
        Column("digest", Text, nullable=False),
        Column("parser", Text, nullable=False),
        Column("created", Float, nullable=False),
        Column("media_type", Text, nullable=False),
        Column("title", Text, nullable=False),
        Column("properties", Text, nullable=False),
        Column("warnings", Text, nullable=False),
        Column("characters", Integer, nullable=False),
        Column("pages", Integer, nullable=False),
        Column("structure", LargeBinary, nullable=False),
        Index("documents_digest", "project", "digest", unique=True),
        sqlite_autoincrement=True,
    )
    # The text in parts, so that a passage is read without the rest.
    op.create_table(
        "document_parts",
        Column("document", Integer, ForeignKey("documents.id", ondelete="CASCADE"), primary_key=True),
        Column("start", Integer, primary_key=True),
        Column("text", Text, nullable=False),
        sqlite_with_rowid=False,
    )
    op.create_table(
        "document_pages",
        Column("document", Integer, ForeignKey("documents.id", ondelete="CASCADE"), primary_key=True),
        Column("number", Integer, primary_key=True),
        Column("start", Integer, nullable=False),
        Column("end", Integer, nullable=False),
        Column("width", Float, nullable=False),
        Column("height", Float, nullable=False),
        Column("label", Text, nullable=False),
        Column("recognised", Integer, nullable=False),
        Column("lines", LargeBinary, nullable=False),
        sqlite_with_rowid=False,
    )
    # A document as a store has it, cut in one way: what is searched. Files of the same bytes share it.
    op.create_table(
        "entries",
        Column("id", Integer, primary_key=True),
        Column("store", Text, ForeignKey("vector_stores.id", ondelete="CASCADE"), nullable=False),
        Column("document", Integer, ForeignKey("documents.id", ondelete="CASCADE"), nullable=False),
        Column("chunking", Text, nullable=False),
        Column("passages", Integer, nullable=False),
        Column("bytes", Integer, nullable=False),
        Column("first", Integer, nullable=False),
        Column("last", Integer, nullable=False),
        Column("like", Integer),
        Index("entries_store", "store", "document", "chunking", unique=True),
        Index("entries_last", "store", "last"),
        Index("entries_document", "document"),
        sqlite_autoincrement=True,
    )
    op.create_table(
        "passages",
        Column("id", Integer, primary_key=True),
        Column("entry", Integer, ForeignKey("entries.id", ondelete="CASCADE"), nullable=False),
        Column("number", Integer, nullable=False),
        Column("start", Integer, nullable=False),
        Column("end", Integer, nullable=False),
        Column("page", Integer, nullable=False),
        Column("kind", Text, nullable=False),
        Column("language", Text, nullable=False),
        Column("heading", Text, nullable=False),
        Column("tokens", Integer, nullable=False),
        Column("digest", LargeBinary, nullable=False),
        Index("passages_entry", "entry", "number"),
        sqlite_autoincrement=True,
    )
    # What an index has to forget, until nothing of it is on the disk any more.
    op.create_table(
        "forgotten_passages",
        Column("store", Text, primary_key=True),
        Column("passage", Integer, primary_key=True),
        sqlite_with_rowid=False,
    )
    op.create_table(
        "store_files",
        Column("store", Text, ForeignKey("vector_stores.id", ondelete="CASCADE"), primary_key=True),
        Column("file", Text, ForeignKey("files.id", ondelete="CASCADE"), primary_key=True),
        Column("created", Float, nullable=False),
        Column("status", Text, nullable=False),
        Column("error", Text),
        Column("attributes", Text, nullable=False),
        Column("chunking", Text, nullable=False),
        Column("batch", Text),
        Column("entry", Integer),
        Column("replaces", Text),
        Column("started", Float),
        Column("done", Integer, nullable=False),
        Column("total", Integer, nullable=False),
        Index("store_files_list", "store", "created", "file"),
        Index("store_files_status", "store", "status", "created", "file"),
        Index("store_files_file", "file"),
        Index("store_files_batch", "batch"),
        Index("store_files_entry", "entry"),
    )
    op.create_table(
        "file_batches",
        Column("id", Text, primary_key=True),
        Column("store", Text, ForeignKey("vector_stores.id", ondelete="CASCADE"), nullable=False),
        Column("created", Float, nullable=False),
        Column("cancelled", Integer, nullable=False),
        Index("file_batches_store", "store"),
    )
    # What tools keep with a response besides its items: where its citations stand.
    op.add_column("responses", Column("facts", Text))
    op.create_index("files_digest", "files", ["project", "digest"])
    for trigger in _TRIGGERS:
        op.execute(trigger)


def downgrade() -> None:
    raise NotImplementedError("Hausgeist does not migrate backwards; restore a backup.")
