"""Personas and prompts that people keep, and what it took to make the answers of a chat."""

from __future__ import annotations

from alembic import op
from sqlalchemy import Column, Float, ForeignKey, Index, Integer, Text

revision = "0008"
down_revision = "0007"

# Of answers that were made before. What was not noted then is not known.
_FIGURES = """
    INSERT INTO response_figures (conversation, response, body)
    SELECT conversation, id, json_object(
      'model', model, 'created', created, 'completed', finished, 'status', status, 'background', json(iif(background, 'true', 'false')),
      'input_tokens', json_extract(body, '$.usage.input_tokens'), 'output_tokens', json_extract(body, '$.usage.output_tokens'),
      'cached_tokens', json_extract(body, '$.usage.input_tokens_details.cached_tokens'), 'first_token_ms', NULL,
      'mode', json_extract(body, '$.metadata.mode'), 'error', json_extract(body, '$.error'))
    FROM responses WHERE conversation IS NOT NULL AND finished IS NOT NULL AND json_valid(body)
    """


def upgrade() -> None:
    op.create_table(
        "personas",
        Column("id", Text, primary_key=True),
        Column("project", Text, ForeignKey("projects.id", ondelete="CASCADE"), nullable=False),
        Column("user", Text, nullable=False),
        Column("created", Float, nullable=False),
        Column("changed", Float, nullable=False),
        Column("name", Text, nullable=False),
        Column("name_key", Text, nullable=False),
        Column("shared", Integer, nullable=False),
        Column("model", Text),
        Column("instructions", Text, nullable=False),
        Column("settings", Text, nullable=False),
        Index("personas_project", "project", "name_key", "id"),
        Index("personas_user", "user", "project"),
    )
    op.create_table(
        "prompts",
        Column("id", Text, primary_key=True),
        Column("project", Text, ForeignKey("projects.id", ondelete="CASCADE"), nullable=False),
        Column("user", Text, nullable=False),
        Column("created", Float, nullable=False),
        Column("changed", Float, nullable=False),
        Column("name", Text, nullable=False),
        Column("name_key", Text, nullable=False),
        Column("shared", Integer, nullable=False),
        Column("text", Text, nullable=False),
        # Name and text as they are searched: without case and the like.
        Column("folded", Text, nullable=False),
        Index("prompts_project", "project", "name_key", "id"),
        Index("prompts_user", "user", "project"),
    )
    # By chat, so that those of a whole chat are read at once, and beside the responses, whose rows may hold images.
    op.create_table(
        "response_figures",
        Column("conversation", Text, primary_key=True),
        Column("response", Text, ForeignKey("responses.id", ondelete="CASCADE"), primary_key=True),
        Column("body", Text, nullable=False),
        Index("response_figures_response", "response"),
        sqlite_with_rowid=False,
    )
    op.execute(_FIGURES)


def downgrade() -> None:
    raise NotImplementedError("Hausgeist does not migrate backwards; restore a backup.")
