"""The verbs of webhooks: set up, changed and removed by the owners of a project; told of what happens there.

Whether a caller may do these things is decided at the door (`governance`); which hosts may be told, by the settings (`allow`).
"""

from __future__ import annotations

import secrets
import time
from collections.abc import Sequence
from dataclasses import replace

from sqlalchemy import Connection

from hausgeist.errors import Conflict, InvalidRequest
from hausgeist.identity import Origin, Principal
from hausgeist.store.database import Database
from hausgeist.store.jobs import Jobs
from hausgeist.webhooks import records
from hausgeist.webhooks.delivery import ATTEMPTS, KIND, Courier
from hausgeist.webhooks.events import EVENT_TYPES, new_event, sample
from hausgeist.webhooks.records import Endpoint
from hausgeist.webhooks.signing import new_secret

__all__ = ["Webhooks"]

_MOST = 20
"""Endpoints of a project: enough for anybody, and too few for addresses that never answer to hold up everybody else's."""
_GRACE = 24 * 3600.0


class Webhooks:
    """Of one home. Everything about an endpoint raises `NotFound` outside its project."""

    def __init__(self, database: Database, jobs: Jobs, courier: Courier) -> None:
        self._database = database
        self._jobs = jobs
        self._courier = courier

    async def create(self, who: Principal, *, name: str, url: str, events: Sequence[str], origin: Origin) -> Endpoint:
        """Raises `EgressRefused` for a host that is not to be contacted, `InvalidRequest`, `Conflict` where there are too many."""
        now = time.time()
        made = Endpoint(
            id=f"we_{secrets.token_hex(24)}", project=who.project, user=who.user, created=now, changed=now, name=name,
            url=self._courier.permitted(url, who=who, origin=origin), events=tuple(dict.fromkeys(events)), secret=new_secret(),
        )  # fmt: skip

        def write(connection: Connection) -> Endpoint:
            if len(records.all_of(connection, who.project)) >= _MOST:
                raise Conflict(f"A project has at most {_MOST} webhook endpoints; remove one that is not used any more.")
            records.add(connection, made)
            return made

        return await self._database.write(write)

    def get(self, who: Principal, endpoint: str) -> Endpoint:
        return self._database.read(lambda connection: records.find(connection, who.project, endpoint))

    def page(self, who: Principal, *, after: str | None = None, limit: int = 20) -> tuple[Sequence[Endpoint], bool]:
        """The newest first; and whether there are more."""
        found = self._database.read(lambda connection: records.page(connection, who.project, after=after, limit=limit + 1))
        return found[:limit], len(found) > limit

    async def update(
        self, who: Principal, endpoint: str, *, name: str | None = None, url: str | None = None, events: Sequence[str] | None = None, origin: Origin
    ) -> Endpoint:
        """What is `None` stays as it is. Raises `EgressRefused`, `InvalidRequest`."""
        address = self._courier.permitted(url, who=who, origin=origin) if url is not None else None

        def write(connection: Connection) -> Endpoint:
            found = records.find(connection, who.project, endpoint)
            wanted = tuple(dict.fromkeys(events)) if events is not None else found.events
            changed = replace(found, name=name if name is not None else found.name, url=address or found.url, events=wanted)
            if changed == found:
                return found
            changed = replace(changed, changed=time.time())
            records.save(connection, changed)
            return changed

        changed = await self._database.write(write)
        self._courier.forget(endpoint)
        return changed

    async def rotate_secret(self, who: Principal, endpoint: str, *, keep_old: bool) -> Endpoint:
        """A new secret. `keep_old`: what is sent within the next 24 hours is signed by the old one as well; else that is void at once."""

        def write(connection: Connection) -> Endpoint:
            found, now = records.find(connection, who.project, endpoint), time.time()
            old = {"before": found.secret, "before_until": now + _GRACE} if keep_old else {"before": None, "before_until": None}
            changed = replace(found, secret=new_secret(), changed=now, **old)
            records.save(connection, changed)
            return changed

        return await self._database.write(write)

    async def delete(self, who: Principal, endpoint: str) -> None:
        """What is still to be told, it is not told any more."""

        def write(connection: Connection) -> None:
            records.find(connection, who.project, endpoint)
            records.remove(connection, endpoint)

        await self._database.write(write)
        self._courier.forget(endpoint)

    async def test(self, who: Principal, endpoint: str, kind: str, *, origin: Origin) -> int:
        """Tell it of something made up, now and once; returns the status that it answers with. Raises `EgressRefused`, `Unavailable`."""
        status = await self._courier.carry(self.get(who, endpoint), sample(_known(kind)), who=who, origin=origin)
        # Whatever the answer: somebody is at work there, so what is waiting may be tried again.
        self._courier.forget(endpoint)
        return status

    async def notify(self, project: str, kind: str, object_id: str) -> None:
        """Tell the endpoints of a project that want to know. When this returns, they will be told, whatever happens to this process.

        `kind`: one of `EVENT_TYPES`; `object_id`: of the response, batch, ... that it is about. Raises `StoreError`.
        """
        _known(kind)
        if any(kind in one.events for one in self._database.read(lambda connection: records.all_of(connection, project))):
            await self._database.write(lambda connection: self.tell(connection, project, kind, object_id))
            self._jobs.wake()

    def tell(self, connection: Connection, project: str, kind: str, object_id: str) -> None:
        """`notify` within a transaction of the caller's: what happened and that it will be told are written at once, or neither."""
        event = new_event(_known(kind), object_id)
        for endpoint in records.all_of(connection, project):
            if kind in endpoint.events:
                self._jobs.add(connection, KIND, {"endpoint": endpoint.id, "event": event}, max_attempts=ATTEMPTS)


def _known(kind: str) -> str:
    if kind not in EVENT_TYPES:
        raise InvalidRequest(f"There is no event '{kind}' here; there are {', '.join(EVENT_TYPES)}.", param="event_type")
    return kind
