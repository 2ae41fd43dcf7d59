"""Indexes for those who look: at who did what, and at what calls took."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0007"
down_revision = "0006"


def upgrade() -> None:
    # Most of what is written was allowed, and is not in it: it costs a request nothing.
    op.create_index("audit_outcome", "audit", ["outcome"], sqlite_where=sa.text("outcome <> 'allowed'"))
    op.create_index("usage_user", "usage", ["user", "at"])
    op.create_index("usage_model", "usage", ["model", "at"])


def downgrade() -> None:
    raise NotImplementedError("Hausgeist does not migrate backwards; restore a backup.")
