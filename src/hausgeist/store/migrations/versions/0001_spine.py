"""The tables of the spine: who is there, what was done, what is installed, what is still to do."""

from __future__ import annotations

import time

import sqlalchemy as sa
from alembic import op
from sqlalchemy import Column, Float, ForeignKey, Index, Integer, Text

revision = "0001"
down_revision = None


def upgrade() -> None:
    _people()
    _keys_and_sessions()
    _audit()
    _usage()
    op.create_table(
        "models",
        Column("id", Text, primary_key=True),
        Column("engine", Text, nullable=False),
        Column("definition", Text, nullable=False),
        Column("modified", Float, nullable=False),
    )
    _jobs()


def downgrade() -> None:
    raise NotImplementedError("Hausgeist does not migrate backwards; restore a backup.")


def _people() -> None:
    users = op.create_table(
        "users",
        Column("id", Text, primary_key=True),
        Column("name", Text, nullable=False),
        Column("name_key", Text, nullable=False, unique=True),
        Column("role", Text, nullable=False),
        Column("password", Text),
        Column("created", Float, nullable=False),
        Column("last_seen", Float),
    )
    projects = op.create_table(
        "projects",
        Column("id", Text, primary_key=True),
        Column("name", Text, nullable=False),
        Column("name_key", Text, nullable=False, unique=True),
        Column("created", Float, nullable=False),
    )
    op.create_table(
        "project_members",
        Column("project", Text, ForeignKey("projects.id", ondelete="CASCADE"), primary_key=True),
        Column("user", Text, ForeignKey("users.id", ondelete="CASCADE"), primary_key=True),
        Column("role", Text, nullable=False),
        Column("created", Float, nullable=False),
        Index("project_members_user", "user"),
    )
    now = time.time()
    op.bulk_insert(users, [{"id": "local", "name": "local", "name_key": "local", "role": "owner", "created": now}])
    op.bulk_insert(projects, [{"id": "default", "name": "default", "name_key": "default", "created": now}])


def _keys_and_sessions() -> None:
    op.create_table(
        "api_keys",
        Column("id", Text, primary_key=True),
        Column("digest", Text, nullable=False, unique=True),
        Column("name", Text, nullable=False),
        Column("prefix", Text, nullable=False),
        Column("project", Text, ForeignKey("projects.id", ondelete="CASCADE")),
        Column("role", Text, nullable=False),
        Column("user", Text, ForeignKey("users.id", ondelete="CASCADE"), nullable=False),
        Column("created", Float, nullable=False),
        Column("last_used", Float),
        Column("revoked", Float),
        Index("api_keys_project", "project"),
        Index("api_keys_user", "user"),
    )
    op.create_table(
        "sessions",
        Column("digest", Text, primary_key=True),
        Column("user", Text, ForeignKey("users.id", ondelete="CASCADE"), nullable=False),
        Column("key_id", Text, ForeignKey("api_keys.id", ondelete="CASCADE")),
        Column("created", Float, nullable=False),
        Column("last_seen", Float, nullable=False),
        Column("expires", Float, nullable=False),
        Index("sessions_user", "user"),
        Index("sessions_key", "key_id"),
        Index("sessions_expires", "expires"),
    )
    op.create_table(
        "links",
        Column("digest", Text, primary_key=True),
        Column("user", Text, ForeignKey("users.id", ondelete="CASCADE"), nullable=False),
        Column("created", Float, nullable=False),
        Column("expires", Float, nullable=False),
        Column("used", Float),
        Index("links_user", "user"),
        Index("links_expires", "expires"),
    )


def _audit() -> None:
    op.create_table(
        "audit",
        Column("id", Integer, primary_key=True, autoincrement=True),
        Column("at", Float, nullable=False),
        Column("actor", Text),
        Column("actor_name", Text),
        Column("project", Text),
        Column("action", Text, nullable=False),
        Column("target", Text, nullable=False, server_default=""),
        Column("address", Text),
        Column("agent", Text),
        Column("request_id", Text),
        Column("outcome", Text, nullable=False),
        Column("detail", Text, nullable=False, server_default=""),
        Index("audit_at", "at"),
        sqlite_autoincrement=True,
    )
    for verb in ("UPDATE", "DELETE"):
        op.execute(
            sa.text(f"CREATE TRIGGER audit_no_{verb.lower()} BEFORE {verb} ON audit BEGIN SELECT RAISE(ABORT, 'the audit table is append-only'); END")
        )


def _usage() -> None:
    op.create_table(
        "usage",
        Column("id", Integer, primary_key=True, autoincrement=True),
        Column("at", Float, nullable=False),
        Column("actor", Text),
        Column("user", Text),
        Column("key_id", Text),
        Column("project", Text),
        Column("model", Text, nullable=False),
        Column("operation", Text, nullable=False),
        Column("prompt_tokens", Integer, nullable=False, server_default="0"),
        Column("completion_tokens", Integer, nullable=False, server_default="0"),
        Column("cached_tokens", Integer, nullable=False, server_default="0"),
        Column("prompt_ms", Float, nullable=False, server_default="0"),
        Column("completion_ms", Float, nullable=False, server_default="0"),
        Column("first_token_ms", Float, nullable=False, server_default="0"),
        Column("total_ms", Float, nullable=False, server_default="0"),
        Column("status", Text, nullable=False),
        Column("request_id", Text),
        Index("usage_at", "at"),
    )


def _jobs() -> None:
    op.create_table(
        "jobs",
        Column("id", Text, primary_key=True),
        Column("kind", Text, nullable=False),
        Column("key", Text),
        Column("payload", Text, nullable=False),
        Column("priority", Integer, nullable=False, server_default="0"),
        Column("status", Text, nullable=False),
        Column("attempts", Integer, nullable=False, server_default="0"),
        Column("max_attempts", Integer, nullable=False),
        Column("run_at", Float, nullable=False),
        Column("worker", Text),
        Column("lease_until", Float),
        Column("cancelling", Integer, nullable=False, server_default="0"),
        Column("done", Float, nullable=False, server_default="0"),
        Column("total", Float),
        Column("message", Text, nullable=False, server_default=""),
        Column("result", Text),
        Column("error", Text),
        Column("created", Float, nullable=False),
        Column("started", Float),
        Column("finished", Float),
        Index("jobs_waiting", "status", "priority", "run_at"),
        Index("jobs_active_key", "kind", "key", unique=True, sqlite_where=sa.text("key IS NOT NULL AND status IN ('queued', 'running')")),
    )
