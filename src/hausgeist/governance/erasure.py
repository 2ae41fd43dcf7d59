"""Erasure: everything that is kept of what a person or a project has said goes, wherever it is kept, and a receipt says what went.

Owns the list of erasers and the receipt. What there is to erase, and how, is known by those who keep it; `app` registers them here.
"""

from __future__ import annotations

import json
import logging
import secrets
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field

from hausgeist.errors import HausgeistError, InvalidRequest
from hausgeist.governance.audit import Outcome
from hausgeist.governance.service import Governor
from hausgeist.identity import Origin, Principal

__all__ = ["Erased", "Eraser", "Erasure", "Receipt", "Subject", "new_receipt", "write_down"]

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class Subject:
    """Whose traces go: ids of a user, a project, or a user in a project. Raises `InvalidRequest` for nobody's."""

    user: str | None = None
    project: str | None = None

    def __post_init__(self) -> None:
        if self.user is None and self.project is None:
            raise InvalidRequest("Say whose traces are to be erased: those of a user, of a project, or of a user in a project.")

    def __str__(self) -> str:
        return " in ".join(part for part in (self.user, self.project) if part is not None)


@dataclass(frozen=True, slots=True)
class Erased:
    """What one eraser has done: how many of each kind went, and, in sentences, what it knows of and cannot reach."""

    counts: Mapping[str, int] = field(default_factory=dict)
    remains: Sequence[str] = ()


Eraser = Callable[[Subject], Awaitable[Erased]]
"""Returns when nothing of it can be read here any more. Bears being called again for what has gone already."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Receipt:
    """What an erasure did. Its id, counts and failures stand in the audit table, too."""

    id: str
    subject: Subject
    at: float
    """Unix time of its end."""
    seconds: float
    counts: Mapping[str, int]
    remains: Sequence[str]
    failed: Mapping[str, str]
    """Why, by the name of the eraser; empty: everything went."""


class Erasure:
    """Erasers run in the order in which they were registered; one that fails holds up no other."""

    def __init__(self, governor: Governor) -> None:
        self._governor = governor
        self._erasers: dict[str, Eraser] = {}

    def register(self, name: str, eraser: Eraser) -> None:
        if name in self._erasers:
            raise ValueError(f"there is an eraser called {name!r} already")
        self._erasers[name] = eraser

    async def erase(self, who: Principal, action: str, subject: Subject, *, origin: Origin) -> Receipt:
        """Demand `action`, then erase. The receipt is in the audit table when this returns. Raises `NotAllowed`."""
        receipt = new_receipt()
        await self._governor.demand(who, action, target=f"{receipt}: {subject}", origin=origin, project=subject.project)
        began = time.monotonic()
        counts: dict[str, int] = {}
        remains: list[str] = []
        failed: dict[str, str] = {}
        for name, eraser in self._erasers.items():
            try:
                erased = await eraser(subject)
            except Exception as error:
                log.exception("the eraser of %s failed", name)
                failed[name] = error.message if isinstance(error, HausgeistError) else HausgeistError().message
                continue
            for kind, count in erased.counts.items():
                counts[kind] = counts.get(kind, 0) + count
            remains += erased.remains
        done = Receipt(
            id=receipt, subject=subject, at=time.time(), seconds=time.monotonic() - began, counts=counts, remains=remains, failed=failed
        )  # fmt: skip
        await write_down(self._governor, who, action, done, origin=origin)
        return done


def new_receipt() -> str:
    """An id."""
    return f"erasure_{secrets.token_hex(12)}"


async def write_down(governor: Governor, who: Principal, action: str, receipt: Receipt, *, origin: Origin) -> None:
    """The receipt is in the audit table when this returns."""
    detail = json.dumps({"counts": dict(receipt.counts), **({"failed": dict(receipt.failed)} if receipt.failed else {})})
    outcome: Outcome = "failed" if receipt.failed else "done"
    await governor.record(who, action, target=f"{receipt.id}: {receipt.subject}", origin=origin, outcome=outcome, detail=detail)
