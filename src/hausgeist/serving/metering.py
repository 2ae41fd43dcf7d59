"""What each call took: metrics for the operator, a usage row for the account. Never what was said."""

from __future__ import annotations

import asyncio
import logging
import time

from hausgeist.errors import StoreError
from hausgeist.governance.usage import UsageLog, UsageRow
from hausgeist.identity import Principal
from hausgeist.model import Usage
from hausgeist.serving.calls import Call
from hausgeist.telemetry import Metrics

__all__ = ["Meter"]

log = logging.getLogger(__name__)


class Meter:
    """Writes behind: an answer does not wait for its usage row, and a full disk does not take a finished answer away."""

    def __init__(self, *, usage: UsageLog, metrics: Metrics) -> None:
        self._usage = usage
        self._metrics = metrics
        self._pending: set[asyncio.Task[None]] = set()

    def finished(self, who: Principal, call: Call, usage: Usage, outcome: str) -> None:
        """A call that reached an engine has ended, one way or the other."""
        model = call.model
        self._metrics.tokens(model, usage.prompt_tokens, usage.completion_tokens)
        if usage.first_token_ms:
            self._metrics.first_token(model, usage.first_token_ms / 1000)
        if usage.completion_ms and usage.completion_tokens > 1:
            self._metrics.rate(model, usage.completion_tokens * 1000 / usage.completion_ms)
        self._write(
            UsageRow(
                at=time.time(),
                actor=who.id,
                user=who.user,
                key_id=who.id if who.kind == "key" else None,
                project=who.project,
                model=model,
                operation=call.operation,
                usage=usage,
                status=outcome,
                request_id=call.origin.request_id,
            )
        )

    def _write(self, row: UsageRow) -> None:
        async def append() -> None:
            try:
                await self._usage.append(row)
            except StoreError as error:
                log.error("a usage row was lost: %s", error)

        task = asyncio.create_task(append())
        self._pending.add(task)
        task.add_done_callback(self._pending.discard)

    async def flush(self) -> None:
        """Wait for the rows that are on their way."""
        if self._pending:
            await asyncio.gather(*self._pending)
