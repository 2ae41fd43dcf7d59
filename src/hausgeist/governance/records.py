"""The tables of governance, as migrations 0001 and 0009 make them: who did what, and what it took.

Triggers keep `audit` append-only, and `usage_days` and `usage_hours` in step with the rows of `usage`.
"""

from __future__ import annotations

from typing import Final

from sqlalchemy import Column, Float, Integer, MetaData, Table, Text

__all__ = ["CLASSES", "WAITED", "audit", "metadata", "usage", "usage_days", "usage_hours"]

CLASSES: Final = (0.0, *(4 * 2 ** (number / 4) for number in range(63)))
"""Milliseconds to the first token from which on each class counts; the last has no end."""
WAITED: Final = tuple(f"waited_{number:02}" for number in range(len(CLASSES)))
"""The columns that say how many calls were in each class."""

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

usage_days = Table(
    "usage_days",
    metadata,
    # In UTC, as Unix time. The ids are '' where a call had none.
    Column("day", Integer, primary_key=True),
    Column("user", Text, primary_key=True),
    Column("key_id", Text, primary_key=True),
    Column("project", Text, primary_key=True),
    Column("model", Text, primary_key=True),
    Column("calls", Integer, nullable=False),
    Column("failed", Integer, nullable=False),
    Column("prompt_tokens", Integer, nullable=False),
    Column("completion_tokens", Integer, nullable=False),
    Column("cached_tokens", Integer, nullable=False),
    Column("total_ms", Float, nullable=False),
    # Of calls whose writing was timed.
    Column("rated_tokens", Integer, nullable=False),
    Column("rated_ms", Float, nullable=False),
    *(Column(name, Integer, nullable=False) for name in WAITED),
)

usage_hours = Table(
    "usage_hours",
    metadata,
    # '' for those of any user, or in any project.
    Column("user", Text, primary_key=True),
    Column("project", Text, primary_key=True),
    Column("hour", Integer, primary_key=True),
    Column("calls", Integer, nullable=False),
    Column("failed", Integer, nullable=False),
    Column("prompt_tokens", Integer, nullable=False),
    Column("completion_tokens", Integer, nullable=False),
    *(Column(name, Integer, nullable=False) for name in WAITED),
)
