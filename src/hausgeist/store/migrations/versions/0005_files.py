"""Files that people upload, batches that are made of them, and addresses that are told when something is done."""

from __future__ import annotations

from alembic import op
from sqlalchemy import Column, Float, ForeignKey, Index, Integer, Text

revision = "0005"
down_revision = "0004"


def upgrade() -> None:
    op.create_table(
        "files",
        Column("id", Text, primary_key=True),
        Column("project", Text, ForeignKey("projects.id", ondelete="CASCADE"), nullable=False),
        Column("user", Text, nullable=False),
        Column("created", Float, nullable=False),
        Column("expires", Float),
        Column("purpose", Text, nullable=False),
        Column("filename", Text, nullable=False),
        Column("media_type", Text, nullable=False),
        Column("bytes", Integer, nullable=False),
        Column("digest", Text, nullable=False),
        Index("files_project", "project", "created", "id"),
        Index("files_room", "project", "bytes"),
        Index("files_user", "user"),
        Index("files_expires", "expires"),
    )
    op.create_table(
        "uploads",
        Column("id", Text, primary_key=True),
        Column("project", Text, ForeignKey("projects.id", ondelete="CASCADE"), nullable=False),
        Column("user", Text, nullable=False),
        Column("created", Float, nullable=False),
        Column("expires", Float, nullable=False),
        Column("purpose", Text, nullable=False),
        Column("filename", Text, nullable=False),
        Column("media_type", Text, nullable=False),
        Column("bytes", Integer, nullable=False),
        Column("status", Text, nullable=False),
        Column("file", Text),
        Column("keep_seconds", Integer),
        Index("uploads_expires", "expires"),
        Index("uploads_user", "user"),
    )
    op.create_table(
        "upload_parts",
        Column("id", Text, primary_key=True),
        Column("upload", Text, ForeignKey("uploads.id", ondelete="CASCADE"), nullable=False),
        Column("created", Float, nullable=False),
        Column("bytes", Integer, nullable=False),
        Index("upload_parts_upload", "upload"),
    )
    op.create_table(
        "batches",
        Column("id", Text, primary_key=True),
        Column("project", Text, ForeignKey("projects.id", ondelete="CASCADE"), nullable=False),
        Column("user", Text, nullable=False),
        Column("created", Float, nullable=False),
        Column("status", Text, nullable=False),
        Column("body", Text, nullable=False),
        Column("principal", Text, nullable=False),
        Index("batches_owner", "project", "user", "created"),
        Index("batches_user", "user"),
    )
    op.create_table(
        "webhook_endpoints",
        Column("id", Text, primary_key=True),
        Column("project", Text, ForeignKey("projects.id", ondelete="CASCADE"), nullable=False),
        Column("user", Text, nullable=False),
        Column("created", Float, nullable=False),
        Column("changed", Float, nullable=False),
        Column("name", Text, nullable=False),
        Column("url", Text, nullable=False),
        Column("events", Text, nullable=False),
        Column("secret", Text, nullable=False),
        Column("before", Text),
        Column("before_until", Float),
        Index("webhook_endpoints_project", "project", "created"),
        Index("webhook_endpoints_user", "user"),
    )


def downgrade() -> None:
    raise NotImplementedError("Hausgeist does not migrate backwards; restore a backup.")
