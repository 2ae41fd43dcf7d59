"""Who did what, when, from where, and how it ended: rows that are only ever appended, and reading them."""

from __future__ import annotations

import time
from collections.abc import Awaitable
from dataclasses import dataclass
from typing import Literal

from sqlalchemy import Connection, Row, literal_column, select

from hausgeist.governance.actions import ACTIONS
from hausgeist.governance.journal import Journal, clean
from hausgeist.governance.records import audit
from hausgeist.identity import Origin, Principal
from hausgeist.store.database import Database

__all__ = ["AuditEntry", "AuditLog", "Outcome"]

Outcome = Literal["allowed", "refused", "done", "failed"]
"""allowed, refused: what was decided at the door. done, failed: how something ended that was recorded afterwards."""

_MOST = 1000


@dataclass(frozen=True, slots=True)
class AuditEntry:
    """One row."""

    id: int
    at: float
    actor: str | None
    actor_name: str | None
    project: str | None
    action: str
    target: str
    address: str | None
    agent: str | None
    request_id: str | None
    outcome: str
    detail: str


class AuditLog:
    """Appends and lists."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._journal = Journal(database, audit)

    def append(
        self, who: Principal | None, action: str, *, target: str, origin: Origin | None, outcome: Outcome, detail: str = ""
    ) -> Awaitable[None]:
        """Taken at once; the awaitable is done when the row is committed."""
        return self._journal.append(
            (
                time.time(),
                who.id if who else None,
                clean(who.name, 200) if who else None,
                who.project if who else None,
                action,
                clean(target, 500),
                clean(origin.address, 100) if origin else None,
                clean(origin.agent, 200) if origin else None,
                clean(origin.request_id, 100) if origin else None,
                outcome,
                clean(detail, 1000),
            ),
            flush=ACTIONS[action].flushed,
        )

    def entries(
        self,
        *,
        actor: str | None = None,
        action: str | None = None,
        project: str | None = None,
        outcome: str | None = None,
        since: float | None = None,
        until: float | None = None,
        before: int | None = None,
        limit: int = 100,
    ) -> list[AuditEntry]:
        """Newest first. `before` is the id of the last row of the page before; `action` ending in "." takes all that begin so ("key.")."""
        query = select(audit).order_by(audit.c.id.desc()).limit(max(1, min(limit, _MOST)))
        for column, value in ((audit.c.actor, actor), (audit.c.project, project), (audit.c.outcome, outcome)):
            if value is not None:
                query = query.where(column == value)
        if outcome is not None and outcome != "allowed":
            # Said in the words of the index that holds these rows alone, or it is not used.
            query = query.where(audit.c.outcome != literal_column("'allowed'"))
        if action is not None:
            query = query.where(audit.c.action.startswith(action, autoescape=True) if action.endswith(".") else audit.c.action == action)
        if since is not None:
            query = query.where(audit.c.at >= since)
        if until is not None:
            query = query.where(audit.c.at < until)
        if before is not None:
            query = query.where(audit.c.id < before)

        def read(connection: Connection) -> list[AuditEntry]:
            return [_entry(row) for row in connection.execute(query)]

        return self._database.read(read)

    async def flush(self) -> None:
        """Wait for the rows that are on their way."""
        await self._journal.flush()


def _entry(row: Row[tuple[object, ...]]) -> AuditEntry:
    return AuditEntry(**row._mapping)
