"""To the indexes: files that are written are found together, and their jobs are done.

A commit of an index takes nearly as long for one passage as for a thousand. So what has been written waits while more of its store is on its way,
but not for long: as long as a few commits take. What comes alone does not wait.
"""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from collections.abc import Callable, Coroutine, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from sqlalchemy import Connection

from hausgeist.knowledge.stores import keeping
from hausgeist.knowledge.stores.indexes import Indexes
from hausgeist.knowledge.stores.place import Place
from hausgeist.store.database import Database
from hausgeist.store.jobs import Jobs

__all__ = ["Do", "Reaching", "Ready"]

Do = Callable[[Coroutine[Any, Any, None], Sequence[Place]], asyncio.Task[None]]
"""Begins something for some of the line."""
_SHORTEST: Final = 0.5
_LONGEST: Final = 4.0
_SHARE: Final = 6
"""How long what is written waits for what is being read: so many times what it took the last time to have something found, within these bounds
(seconds). A machine that is busy with other things would otherwise be busy with commits of a file or two."""
_PASSAGES: Final = 2048
_FILES: Final = 512
"""That wait at most: well below what may wait in all (`ingest._RESTING`), so that others are read while these are being found."""


@dataclass(frozen=True, slots=True)
class Ready:
    """A file that is written: its entry, and up to where its passages go."""

    place: Place
    entry: int
    mark: int
    passages: int = 0
    """How many came with it."""


@dataclass(eq=False, slots=True)
class _Group:
    """Files of a store that will be found together."""

    files: list[Ready] = field(default_factory=list)
    places: list[Place] = field(default_factory=list)
    passages: int = 0
    enough: asyncio.Event = field(default_factory=asyncio.Event)
    """Nobody else is to be waited for."""
    work: asyncio.Task[None] | None = None

    @property
    def left(self) -> bool:
        return all(place.future.done() for place in self.places)


class Reaching:
    """Of all stores."""

    def __init__(
        self, database: Database, indexes: Indexes, jobs: Jobs, *, do: Do, found: Callable[[str, int], object], replaced: Callable[[], object]
    ) -> None:  # fmt: skip
        """`found`: told of each store and how many of its files are found now. `replaced`: called when something has left a store."""
        self._database = database
        self._indexes = indexes
        self._jobs = jobs
        self._do = do
        self._found = found
        self._replaced = replaced
        self._ahead: Counter[str] = Counter()
        """Of each store, how many files are on their way to here."""
        self._groups: dict[str, _Group] = {}
        self._took: dict[str, float] = {}
        """Seconds until the last files of a store that had been written were found."""

    def coming(self, place: Place) -> None:
        """Somebody is on the way: `passed` has to be called for each."""
        self._ahead[place.store] += 1

    def passed(self, place: Place) -> None:
        """Whoever has come, or will not come any more. Said again, it changes nothing."""
        if not place.ahead:
            return
        place.ahead = False
        self._ahead[place.store] -= 1
        if not self._ahead[place.store]:
            del self._ahead[place.store]
            if (group := self._groups.get(place.store)) is not None:
                group.enough.set()

    def go_on(self, ready: Sequence[Ready]) -> None:
        """These are written; each store has them found together."""
        begun: dict[str, _Group] = {}
        for one in ready:
            store = one.place.store
            group = self._groups.get(store)
            if group is None or (group.places and group.left):  # what is done for nobody is being broken off
                group = begun[store] = self._groups[store] = _Group()
            group.files.append(one)
            group.places.append(one.place)
            group.passages += one.passages
            if store not in begun:
                one.place.work, one.place.company = group.work, group.places
        for store, group in begun.items():
            group.work = self._do(self._together(store, group), group.places)
        for one in ready:
            one.place.task.rest()
            self.passed(one.place)
            group = self._groups[one.place.store]
            if group.passages >= _PASSAGES or len(group.files) >= _FILES or not self._ahead[one.place.store]:
                group.enough.set()

    async def _together(self, store: str, group: _Group) -> None:
        try:
            async with asyncio.timeout(max(_SHORTEST, min(_LONGEST, _SHARE * self._took.get(store, 0.0)))):
                await group.enough.wait()
        except TimeoutError:
            pass
        finally:
            if self._groups.get(store) is group:
                del self._groups[store]
        await self.reach(store, group.files)

    async def reach(self, store: str, ready: Sequence[Ready]) -> None:
        """Ends with a word on each."""
        began = time.monotonic()
        try:
            await self._indexes.reach(store, max(one.mark for one in ready))
            done = [(one.place.sure, one.entry) for one in ready]

            def write(connection: Connection) -> None:
                keeping.complete(connection, done)
                # Together, so that whoever finds it completed and wants it anew can have a new job for it.
                self._jobs.done_within(connection, [one.place.task for one in ready])

            await self._database.write(write, flush=False)
            for one in ready:
                one.place.task.said = True
        except Exception as error:
            for one in ready:
                one.place.fail(error)
            return
        self._took[store] = time.monotonic() - began
        if any(one.replaces is not None for one, _ in done):
            self._replaced()
        self._found(store, len(ready))
        for one in ready:
            one.place.end()
