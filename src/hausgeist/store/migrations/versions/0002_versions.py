"""Versions of models that were replaced, and what is known of each model besides its definition: pinned, and which version has answered."""

from __future__ import annotations

from alembic import op
from sqlalchemy import Column, Float, Integer, Text

revision = "0002"
down_revision = "0001"


def upgrade() -> None:
    op.create_table(
        "model_versions",
        Column("model", Text, primary_key=True),
        Column("digest", Text, primary_key=True),
        Column("definition", Text, nullable=False),
        Column("modified", Float, nullable=False),
        Column("replaced", Float, nullable=False),
    )
    op.create_table(
        "model_states",
        Column("model", Text, primary_key=True),
        Column("pinned", Integer, nullable=False),
        Column("answered", Text, nullable=False),
    )


def downgrade() -> None:
    raise NotImplementedError("Hausgeist does not migrate backwards; restore a backup.")
