"""How events get to their addresses: one durable job for each, tried for about a day, with longer and longer pauses.

Delivered is what was answered with a status from 200 to 299 within ten seconds. At least once: a process that is killed between the answer and
its note of it sends the same event again, under the same `webhook-id`. Redirects are not followed. An address that fails is left alone for a
while, so that one that hangs does not hold up the others.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Mapping
from typing import Any, Final

from hausgeist.errors import HausgeistError, InvalidRequest, NotFound, Unavailable
from hausgeist.governance.allow import is_near
from hausgeist.governance.egress import Egress
from hausgeist.governance.service import Governor
from hausgeist.identity import Origin, Principal, is_this_machine
from hausgeist.store.database import Database
from hausgeist.store.jobs import Jobs, Task
from hausgeist.webhooks import records
from hausgeist.webhooks.events import encode
from hausgeist.webhooks.records import Endpoint
from hausgeist.webhooks.signing import headers

__all__ = ["ATTEMPTS", "AT_ONCE", "KIND", "PAUSE", "Courier"]

KIND: Final = "webhook"
"""Of the jobs."""
AT_ONCE: Final = 16
PAUSE: Final = 5.0
ATTEMPTS: Final = 34
"""With pauses of 5 seconds that double up to an hour: about 24 hours."""
_PURPOSE: Final = "webhook"
_ACTION: Final = "webhook.deliver"
_SECONDS: Final = 10.0
_LONGEST_REST: Final = 60.0

log = logging.getLogger(__name__)


class Courier:
    """`register` it with the queue before that is started."""

    def __init__(
        self, database: Database, egress: Egress, governor: Governor, *, own_port: int = 0, seconds: float = _SECONDS, rest: float = PAUSE
    ) -> None:
        """`own_port`: of this server, which is not told of anything by itself. `seconds`: that an address has to answer. `rest`: seconds that it is
        left alone after the first failure, twice as long after the next."""
        self._database = database
        self._egress = egress
        self._governor = governor
        self._own_port = own_port
        self._seconds = seconds
        self._rest = rest
        self._failures: dict[str, tuple[int, float]] = {}
        """Of endpoints that failed last: how often in a row, and until when they are left alone."""

    def register(self, jobs: Jobs) -> None:
        jobs.register(KIND, self._deliver)

    def permitted(self, url: str, *, who: Principal | None = None, origin: Origin | None = None) -> str:
        """The address, if it may be told. Raises `EgressRefused` saying which setting would allow it, `InvalidRequest`."""
        target = self._egress.permit(url, purpose=_PURPOSE, who=who, origin=origin)
        host = (target.raw_host or "").lower().rstrip(".")
        if target.fragment:
            raise InvalidRequest("url: leave out what follows the #; it is never sent", param="url")
        if is_this_machine(host) and target.port == self._own_port:
            raise InvalidRequest("url: this is the address of this server itself", param="url")
        if target.scheme != "https" and not is_near(host):
            raise InvalidRequest("url: should begin with https://; http:// is for addresses within your own network", param="url")
        return str(target)

    async def carry(self, endpoint: Endpoint, event: Mapping[str, Any], *, who: Principal | None = None, origin: Origin | None = None) -> int:
        """Send an event once; returns the status of the answer. Raises `EgressRefused`, `Unavailable`."""
        url, body, now = self.permitted(endpoint.url, who=who, origin=origin), encode(event), int(time.time())
        signed = {**headers(str(event["id"]), body, now, endpoint.keys(now)), "Content-Type": "application/json"}
        sending = self._egress.request("POST", url, purpose=_PURPOSE, headers=signed, data=body, timeout=self._seconds, who=who, origin=origin)
        async with sending as response:
            return int(response.status)

    def forget(self, endpoint: str) -> None:
        """It was changed: that it failed says nothing any more."""
        self._failures.pop(endpoint, None)

    async def _deliver(self, task: Task) -> Mapping[str, Any]:
        event: Mapping[str, Any] = task.payload["event"]
        last = task.job.attempts >= task.job.max_attempts
        try:
            endpoint = self._database.read(lambda connection: records.find(connection, None, str(task.payload["endpoint"])))
        except NotFound:
            return {"skipped": "the endpoint was removed"}
        if event["type"] not in endpoint.events:
            return {"skipped": "the endpoint does not want such events any more"}
        _, until = self._failures.get(endpoint.id, (0, 0.0))
        if time.monotonic() < until and not last:
            raise Unavailable("It failed a moment ago and is left alone for a while.")
        try:
            status = await self.carry(endpoint, event)
            if not 200 <= status < 300:
                raise Unavailable(f"It answered with status {status}.")
        except HausgeistError as error:
            self._failed(endpoint)
            if last or isinstance(error, InvalidRequest):
                await self._give_up(endpoint, event, task.job.attempts, error)
            raise
        self.forget(endpoint.id)
        return {"status": status}

    def _failed(self, endpoint: Endpoint) -> None:
        times, until = self._failures.get(endpoint.id, (0, 0.0))
        if time.monotonic() < until:
            return  # of several that were on their way at once, the first has said so
        rest = min(_LONGEST_REST, self._rest * 2.0 ** min(times, 10))
        self._failures[endpoint.id] = (times + 1, time.monotonic() + rest)

    async def _give_up(self, endpoint: Endpoint, event: Mapping[str, Any], attempts: int, error: HausgeistError) -> None:
        log.warning("webhook %s was not told of %s (%s), after %d tries: %s", endpoint.id, event["type"], event["id"], attempts, error.message)
        target = f"{endpoint.id} in {endpoint.project}: {event['type']} {event['id']}"
        await self._governor.record(None, _ACTION, target=target, origin=None, outcome="failed", detail=f"{attempts} tries; {error.message}")
