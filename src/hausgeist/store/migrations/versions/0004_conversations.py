"""What is said here and kept: conversations with their items, responses with their events, stored chat completions."""

from __future__ import annotations

import secrets

import sqlalchemy as sa
from alembic import op
from sqlalchemy import Column, Float, ForeignKey, Index, Integer, LargeBinary, Text

revision = "0004"
down_revision = "0003"


def upgrade() -> None:
    op.create_table(
        "conversations",
        Column("id", Text, primary_key=True),
        Column("project", Text, ForeignKey("projects.id", ondelete="CASCADE"), nullable=False),
        Column("user", Text, nullable=False),
        Column("created", Float, nullable=False),
        Column("changed", Float, nullable=False),
        Column("metadata", Text, nullable=False),
        Column("title", Text, nullable=False),
        Column("model", Text, nullable=False),
        Column("settings", Text, nullable=False),
        Column("origin", Text, nullable=False),
        Column("pinned", Integer, nullable=False),
        Column("archived", Integer, nullable=False),
        Column("head", Integer),
        Index("conversations_owner", "project", "user", "archived", "pinned", "changed", "id"),
        Index("conversations_user", "user"),
    )
    op.create_table(
        "items",
        Column("seq", Integer, primary_key=True),
        Column("conversation", Text, ForeignKey("conversations.id", ondelete="CASCADE"), nullable=False),
        Column("id", Text, nullable=False),
        Column("parent", Integer),
        Column("created", Float, nullable=False),
        Column("type", Text, nullable=False),
        Column("role", Text, nullable=False),
        Column("response", Text),
        Column("body", Text, nullable=False),
        Column("text", Text, nullable=False),
        Index("items_conversation", "conversation", "id", unique=True),
        Index("items_id", "id"),
        sqlite_autoincrement=True,
    )
    # Words as `conversations.search` cuts them; `owner` is a word of its own, so that nobody's text is even looked at for others.
    # Beginnings of up to three characters have an index of their own: all words that begin so, looked through one by one, took 75 ms.
    op.execute("CREATE VIRTUAL TABLE items_words USING fts5(owner, words, tokenize = 'unicode61 remove_diacritics 2', prefix = '1 2 3')")
    # No trigger may write there (PRAGMA trusted_schema): whoever deletes items deletes their words, and a sweep takes what was left.
    op.create_table(
        "responses",
        Column("id", Text, primary_key=True),
        Column("project", Text, ForeignKey("projects.id", ondelete="CASCADE"), nullable=False),
        Column("user", Text, nullable=False),
        Column("created", Float, nullable=False),
        Column("finished", Float),
        Column("status", Text, nullable=False),
        Column("background", Integer, nullable=False),
        Column("model", Text, nullable=False),
        Column("conversation", Text),
        Column("previous", Text),
        Column("request", Text, nullable=False),
        Column("input", Text, nullable=False),
        Column("body", Text, nullable=False),
        Column("worker", Text),
        Column("lease_until", Float),
        Column("cancelling", Integer, nullable=False),
        Column("attempts", Integer, nullable=False),
        Index("responses_owner", "project", "user", "created"),
        Index("responses_user", "user"),
        Index("responses_conversation", "conversation", sqlite_where=sa.text("conversation IS NOT NULL")),
        Index("responses_status", "status", sqlite_where=sa.text("status IN ('queued', 'in_progress')")),
    )
    # Which responses an item is in, as input or as output: by it, items are found again that a request names by their id.
    op.create_table(
        "response_items",
        Column("id", Text, primary_key=True),
        Column("response", Text, ForeignKey("responses.id", ondelete="CASCADE"), primary_key=True),
        Index("response_items_response", "response"),
        sqlite_with_rowid=False,
    )
    # Events of the stream, some in a row: `number` is the first one's.
    op.create_table(
        "response_events",
        Column("response", Text, ForeignKey("responses.id", ondelete="CASCADE"), primary_key=True),
        Column("number", Integer, primary_key=True),
        Column("body", Text, nullable=False),
        sqlite_with_rowid=False,
    )
    op.create_table(
        "completions",
        Column("id", Text, primary_key=True),
        Column("project", Text, ForeignKey("projects.id", ondelete="CASCADE"), nullable=False),
        Column("user", Text, nullable=False),
        Column("created", Float, nullable=False),
        Column("model", Text, nullable=False),
        Column("metadata", Text, nullable=False),
        Column("body", Text, nullable=False),
        # Last, because it may hold images: what stands behind it would be read through them.
        Column("messages", Text, nullable=False),
        Index("completions_owner", "project", "user", "created"),
        Index("completions_user", "user"),
    )
    op.create_table(
        "retention",
        Column("project", Text, ForeignKey("projects.id", ondelete="CASCADE"), primary_key=True),
        Column("days", Integer, nullable=False),
    )
    op.create_table("seal", Column("key", LargeBinary, nullable=False))
    op.get_bind().execute(sa.text("INSERT INTO seal (key) VALUES (:key)"), {"key": secrets.token_bytes(32)})


def downgrade() -> None:
    raise NotImplementedError("Hausgeist does not migrate backwards; restore a backup.")
