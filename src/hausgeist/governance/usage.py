"""What calls took: one row per call that reached an engine, and sums by user, key, model or project. Never what was said."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

from sqlalchemy import ColumnElement, Connection, func, select

from hausgeist.governance.journal import Journal, clean
from hausgeist.governance.records import usage
from hausgeist.model import Usage
from hausgeist.store.database import Database

__all__ = ["UsageLog", "UsageRow", "UsageTotal"]

_PATIENCE = 0.05
"""Seconds that a row waits for others: answers do not wait for their usage rows."""
_COLUMNS = {"user": usage.c.user, "key": usage.c.key_id, "model": usage.c.model, "project": usage.c.project}


@dataclass(frozen=True, slots=True, kw_only=True)
class UsageRow:
    """One call. `status` is how it ended: "ok", "cancelled", "failed: EngineCrashed"."""

    at: float
    actor: str | None
    user: str | None
    key_id: str | None = None
    project: str | None
    model: str
    operation: str
    usage: Usage = field(default_factory=Usage)
    status: str
    request_id: str = ""


@dataclass(frozen=True, slots=True)
class UsageTotal:
    """What all calls of one user, key, model or project took together."""

    of: str
    calls: int
    prompt_tokens: int
    completion_tokens: int
    cached_tokens: int
    total_ms: float


class UsageLog:
    """Appends and adds up."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._journal = Journal(database, usage, patience=_PATIENCE)

    async def append(self, row: UsageRow) -> None:
        """Done when the row is committed. Raises `StoreError`."""
        took = row.usage
        await self._journal.append(
            (
                row.at,
                row.actor,
                row.user,
                row.key_id,
                row.project,
                clean(row.model, 500),
                row.operation,
                took.prompt_tokens,
                took.completion_tokens,
                took.cached_tokens,
                took.prompt_ms,
                took.completion_ms,
                took.first_token_ms,
                took.total_ms,
                clean(row.status, 200),
                clean(row.request_id, 100),
            ),
            flush=False,
        )

    def totals(
        self, by: Literal["user", "key", "model", "project"], *, since: float | None = None, until: float | None = None, project: str | None = None
    ) -> list[UsageTotal]:
        """Sums, the largest consumer of tokens first; calls without a key have no part in `by="key"`."""
        column: ColumnElement[str | None] = _COLUMNS[by]
        tokens = func.sum(usage.c.prompt_tokens + usage.c.completion_tokens)
        query = (
            select(
                column,
                func.count(),
                func.sum(usage.c.prompt_tokens),
                func.sum(usage.c.completion_tokens),
                func.sum(usage.c.cached_tokens),
                func.sum(usage.c.total_ms),
            )
            .where(column.is_not(None))
            .group_by(column)
            .order_by(tokens.desc(), column)
        )
        if since is not None:
            query = query.where(usage.c.at >= since)
        if until is not None:
            query = query.where(usage.c.at < until)
        if project is not None:
            query = query.where(usage.c.project == project)

        def read(connection: Connection) -> list[UsageTotal]:
            return [UsageTotal(*row) for row in connection.execute(query)]

        return self._database.read(read)

    async def flush(self) -> None:
        """Wait for the rows that are on their way."""
        await self._journal.flush()
