"""Decides whether a caller may do something, and writes the decision into the audit table. Asked once for each request."""

from __future__ import annotations

from collections.abc import Awaitable
from contextlib import suppress

from hausgeist.errors import NotAllowed, StoreError
from hausgeist.governance.actions import ACTIONS
from hausgeist.governance.audit import AuditLog, Outcome
from hausgeist.governance.journal import DONE
from hausgeist.governance.policy import Decision, decide
from hausgeist.identity import Origin, Principal
from hausgeist.store.database import Database

__all__ = ["Governor"]


class Governor:
    """Decides, and keeps the audit table."""

    def __init__(self, database: Database) -> None:
        self.audit = AuditLog(database)

    def decide(self, who: Principal, action: str, *, project: str | None = None) -> Decision:
        """Whether `who` may, and why. Writes nothing."""
        return decide(who, action, project)

    def demand(self, who: Principal, action: str, *, target: str = "", origin: Origin, project: str | None = None) -> Awaitable[None]:
        """Raise `NotAllowed` now, or return an awaitable that is done when the row saying that it was allowed is on disk (at once for actions
        that are not audited). A refusal is written in any case; nobody has to wait for that."""
        decision = decide(who, action, project)
        if decision.allowed:
            if not ACTIONS[action].audited:
                return DONE
            return self.audit.append(who, action, target=target, origin=origin, outcome="allowed")
        # The refusal stands, whether or not the disk takes it; the failure is in the log.
        with suppress(StoreError):
            self.audit.append(who, action, target=target, origin=origin, outcome="refused", detail=decision.reason)
        raise NotAllowed(decision.reason)

    def record(
        self, who: Principal | None, action: str, *, target: str = "", origin: Origin | None, outcome: Outcome, detail: str = ""
    ) -> Awaitable[None]:
        """Write down what was decided or done elsewhere. Raises `KeyError` for an unknown action."""
        return self.audit.append(who, ACTIONS[action].name, target=target, origin=origin, outcome=outcome, detail=detail)

    async def flush(self) -> None:
        """Wait for the rows that are on their way, at the end."""
        await self.audit.flush()
