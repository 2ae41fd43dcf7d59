"""The tables of governance, as migration 0001 makes them: who did what, and what it took. Triggers keep `audit` append-only."""

from __future__ import annotations

from sqlalchemy import Column, Float, Integer, MetaData, Table, Text

__all__ = ["audit", "metadata", "usage"]

metadata = MetaData()

audit = Table(
    "audit",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("at", Float, nullable=False),
    Column("actor", Text),
    Column("actor_name", Text),
    Column("project", Text),
    Column("action", Text, nullable=False),
    Column("target", Text, nullable=False),
    Column("address", Text),
    Column("agent", Text),
    Column("request_id", Text),
    Column("outcome", Text, nullable=False),
    Column("detail", Text, nullable=False),
)

usage = Table(
    "usage",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("at", Float, nullable=False),
    Column("actor", Text),
    Column("user", Text),
    Column("key_id", Text),
    Column("project", Text),
    Column("model", Text, nullable=False),
    Column("operation", Text, nullable=False),
    Column("prompt_tokens", Integer, nullable=False),
    Column("completion_tokens", Integer, nullable=False),
    Column("cached_tokens", Integer, nullable=False),
    Column("prompt_ms", Float, nullable=False),
    Column("completion_ms", Float, nullable=False),
    Column("first_token_ms", Float, nullable=False),
    Column("total_ms", Float, nullable=False),
    Column("status", Text, nullable=False),
    Column("request_id", Text),
)
