"""What was said of the memory of each load, and what was measured."""

from __future__ import annotations

from alembic import op
from sqlalchemy import Column, Float, Index, Integer, Text

revision = "0003"
down_revision = "0002"


def upgrade() -> None:
    op.create_table(
        "loads",
        Column("id", Text, primary_key=True),
        Column("at", Float, nullable=False),
        Column("plan", Text, nullable=False),
        Column("model", Text, nullable=False),
        Column("digest", Text, nullable=False),
        Column("architecture", Text, nullable=False),
        Column("task", Text, nullable=False),
        Column("context", Integer, nullable=False),
        Column("slots", Integer, nullable=False),
        Column("cache_type", Text, nullable=False),
        Column("engine", Text, nullable=False),
        Column("arithmetic", Text),
        Column("fit", Text),
        Column("loaded", Text),
        Column("peak", Text),
        Column("filled", Integer, nullable=False),
        Index("loads_plan", "plan", "at"),
        Index("loads_at", "at"),
    )


def downgrade() -> None:
    raise NotImplementedError("Hausgeist does not migrate backwards; restore a backup.")
