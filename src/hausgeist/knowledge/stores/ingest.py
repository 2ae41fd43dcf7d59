"""From a file to passages that are found: durable jobs, one for each file of a store.

file -> document (read once for all files of the same bytes) -> passages -> one transaction -> both indexes -> completed

Small files that wait at the same time go this way together: one parser reads them one after the other, one transaction writes what it made of them,
and one commit of the indexes has them found. Nothing waits for company: a file that comes alone goes alone.

Whatever is killed when, a job begins again and finds what is done already: the document and its passages are written in one transaction, and the
indexes know how far they are. A file that cannot be read ends as failed, with a sentence that says why; the others go on.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections import deque
from collections.abc import Callable, Coroutine, Iterable, Sequence
from contextlib import ExitStack
from typing import Any, Final

from sqlalchemy import Connection

from hausgeist.errors import HausgeistError, InvalidRequest, NotFound, NotSupported, TooLarge, Unavailable
from hausgeist.knowledge.parsed import Parsed
from hausgeist.knowledge.stores import keeping
from hausgeist.knowledge.stores.cutting import Splitter, demand_text, passages_of
from hausgeist.knowledge.stores.documents import Documents
from hausgeist.knowledge.stores.indexes import Indexes
from hausgeist.knowledge.stores.keeping import Made, Wanted
from hausgeist.knowledge.stores.passages import Passage
from hausgeist.knowledge.stores.place import Place
from hausgeist.knowledge.stores.reaching import Reaching, Ready
from hausgeist.knowledge.stores.rounds import Round
from hausgeist.knowledge.stores.telling import Telling
from hausgeist.knowledge.stores.values import Chunking, ErrorCode, failed
from hausgeist.store.database import Database
from hausgeist.store.jobs import Jobs, Task

__all__ = ["Ingest"]

KIND: Final = "document"
_ATTEMPTS: Final = 5
_WAITING: Final = 192
"""Files that may wait to be read besides those that are, so that small ones find company."""
_RESTING: Final = 1024
"""Files that may wait for the indexes together, so that one commit serves them all. Nothing of them is in memory then."""
_TURN: Final = 20
"""Files of one project that are read before it is somebody else's turn."""
_TOGETHER: Final = 64
"""Small files that are read in one go."""
_OF_TEXT: Final = 3
_OF_PASSAGE: Final = 3000
"""Bytes that an entry takes on the disk for each byte of its text, and for each passage with its vector; rather more than less."""
_SMALL: Final = 100_000
"""Characters of a document of which several may be in memory to be written, besides those that are read."""
_REMEMBERED: Final = 200
"""Files over which the rate is taken."""

log = logging.getLogger(__name__)


class Ingest:
    """`start` to begin; anybody may `add` before."""

    def __init__(
        self, database: Database, documents: Documents, indexes: Indexes, *, split: Callable[[], Splitter], at_once: int = 2, pause: float = 2.0,
        replaced: Callable[[], object] = lambda: None, room: Callable[[int], object] = lambda _: None,
    ) -> None:  # fmt: skip
        """`at_once`: files that are read side by side; those that only wait for the indexes do not count. `replaced`: called when something has left
        a store. `room`: raises `DiskFull` where so many bytes more do not fit."""
        # A queue of its own: what is read keeps no download waiting, and none keeps it waiting.
        self.jobs = Jobs(database, at_once=at_once + _WAITING, resting=_RESTING, pause=pause)
        self.jobs.register(KIND, self._work)
        self._free = at_once
        self._rounds = 0
        """How often small files are being read together at this moment."""
        self._line: list[Place] = []
        self._calling: asyncio.Handle | None = None
        self._database = database
        self._documents = documents
        self._indexes = indexes
        self._split = split
        self._room = room
        self._telling = Telling(database)
        self._reaching = Reaching(database, indexes, self.jobs, do=self._do, found=self._count, replaced=replaced)
        self._running: dict[tuple[str, str], asyncio.Future[None]] = {}
        self._tasks: set[asyncio.Task[None]] = set()
        self._ended: dict[str, deque[tuple[float, int]]] = {}
        """Of each store, when some of its files had been found, and how many."""

    def add(self, connection: Connection, store: str, files: Sequence[str], *, waiting: int = 0) -> None:
        """Within a transaction: these files, whose rows say "in_progress", will be taken in. `jobs.wake` after it makes it begin at once. `waiting`:
        how many files of the project wait already; who brings few does not wait for who brings many."""
        wanted = [(f"{store}/{file}", {"store": store, "file": file}, -((waiting + number) // _TURN)) for number, file in enumerate(files)]
        # Once more than they are tried: who finds that the server ended each time says so in the file's row.
        self.jobs.add_all(connection, KIND, wanted, max_attempts=_ATTEMPTS + 1)

    def stop(self, store: str, file: str) -> None:
        """Of a file that is not wanted any more: what is being done for it is broken off."""
        if (running := self._running.get((store, file))) is not None:
            running.cancel()

    def rate(self, store: str) -> float:
        """Files per second, over the last that were finished; 0: nobody knows."""
        ended = self._ended.get(store)
        if ended is None or len(ended) < 2:
            return 0.0
        (began, before), number = ended[0], sum(files for _, files in ended)
        return (number - before) / max(1e-3, time.monotonic() - began)

    def trouble(self, store: str) -> str:
        """See `Indexes.trouble`."""
        return self._indexes.trouble(store)

    async def _work(self, task: Task) -> None:
        place = Place(task, str(task.payload["store"]), str(task.payload["file"]), asyncio.get_running_loop().create_future())
        place.future.add_done_callback(lambda _: self._abandon(place))
        self._running[place.store, place.file] = place.future
        self._line.append(place)
        self._reaching.coming(place)
        self._call()
        try:
            await asyncio.wait({place.future})
        except asyncio.CancelledError:
            place.future.cancel()
            await self._left_alone(place)
            raise
        finally:
            self._running.pop((place.store, place.file), None)
            self._reaching.passed(place)
        if place.future.cancelled():
            # Somebody has cancelled it, and said so in its row; or wants it again by now.
            await self._left_alone(place)
            if not await self._over(place):
                await self._work(task)
        elif (error := place.future.exception()) is not None:
            if place.wanted is None:
                raise error  # nobody could even look what it is
            await self._after(place, error, last=task.job.attempts >= _ATTEMPTS)
        elif not task.said and not await self._over(place):
            await self._work(task)

    async def _over(self, place: Place) -> bool:
        """Whether it is not wanted any more; its job is done then, in the same transaction: who wants it after that makes a new one."""

        def write(connection: Connection) -> bool:
            if keeping.wanted(connection, [(place.store, place.file)]):
                return False
            self.jobs.done_within(connection, [place.task])
            return True

        place.task.said = await self._database.write(write, flush=False)
        return place.task.said

    async def _after(self, place: Place, error: BaseException, *, last: bool) -> None:
        wanted = place.sure
        match error:
            case NotFound() if await self._over(place):
                return  # the file or the store has gone meanwhile
            case NotFound() if not last:
                raise Unavailable(error.message) from error
            case NotSupported():
                await self._fail(place, "unsupported_file", error.message)
            case InvalidRequest() | TooLarge():
                code: ErrorCode = "unsupported_file" if getattr(error, "unsupported", False) else "invalid_file"
                await self._fail(place, code, error.message)
            case _ if last:
                said = error.message if isinstance(error, HausgeistError) else "Something went wrong inside; the log has the details."
                log.error("the file %s could not be taken in", wanted.file.id, exc_info=error)
                await self._fail(place, "server_error", said)
            case _:
                raise error

    # The line

    def _call(self) -> None:
        """Look who is next, once all that come at this moment stand in the line."""
        if self._calling is None:
            self._calling = asyncio.get_running_loop().call_soon(self._called)

    def _called(self) -> None:
        self._calling = None
        while self._free > 0 and (some := self._next()):
            slot = self._slot()
            if len(some) > 1:
                self._rounds += 1
                slot.callback(self._round_over)
            work = self._do(self._alone(some[0], slot) if len(some) == 1 else self._together(some, slot), some)
            # Also where it is cancelled before it has begun.
            work.add_done_callback(lambda _, slot=slot: slot.close())  # type: ignore[misc]

    def _slot(self) -> ExitStack:
        """One of those that read side by side; given back when it is closed."""
        self._free -= 1

        def back() -> None:
            self._free += 1
            self._call()

        slot = ExitStack()
        slot.callback(back)
        return slot

    def _round_over(self) -> None:
        self._rounds -= 1

    def _next(self) -> list[Place]:
        """Who is read next: small files of one project together, others alone. Empty: nobody is there."""
        while True:
            self._line = sorted((one for one in self._line if one.work is None and not one.future.done()), key=lambda one: -one.task.job.priority)
            some = self._line[:_TOGETHER]
            if not some or (self._rounds > self._documents.readers and some[0].wanted is not None and some[0].fits):
                return []
            self._look(some)
            if chosen := self._chosen([one for one in some if not one.future.done() and one.work is None]):
                if chosen[0].fits:
                    readers = self._documents.readers
                    if self._rounds > readers:
                        return []  # one more than are read waits for its turn; the others find more company meanwhile
                    # Each reader gets its share: small files may take long as well, as scans do.
                    chosen = chosen[: -(-len(self._line) // max(1, min(self._free, readers - self._rounds)))]
                gone = set(map(id, chosen))
                self._line = [one for one in self._line if id(one) not in gone]
                return chosen

    def _look(self, some: Sequence[Place]) -> None:
        """What they stand for; those that are not wanted any more are done, and those that only wait for the indexes go on to them."""
        try:
            found = self._database.read(lambda connection: keeping.wanted(connection, ((one.store, one.file) for one in some)))
            written = [one.entry for one in found.values() if one.entry is not None]
            marks = self._database.read(lambda connection: keeping.kept(connection, written)) if written else {}
        except Exception as error:
            for one in some:
                one.fail(error)
            return
        ready: list[Ready] = []
        for one in some:
            one.wanted = found.get((one.store, one.file))
            if one.wanted is None:
                one.end()  # it was cancelled, removed, or had been completed when the process was killed
            elif one.task.job.attempts > _ATTEMPTS:
                one.fail(HausgeistError("The server ended each time while this file was read. Its log may say why."))
            elif one.wanted.entry in marks:
                ready.append(Ready(one, one.wanted.entry, marks[one.wanted.entry]))
        self._reaching.go_on(ready)

    def _chosen(self, some: Sequence[Place]) -> list[Place]:
        if not some:
            return []
        first = some[0]
        if not first.fits:
            return [first]
        # What a parser has seen of one project is nothing that it could tell another.
        return [one for one in some if one.fits and one.sure.file.project == first.sure.file.project]

    def _do(self, work: Coroutine[Any, Any, None], some: Sequence[Place]) -> asyncio.Task[None]:
        """Begin something for some of the line, which ends with a word on each, or hands them on."""
        task = asyncio.create_task(work, name="documents")
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        for one in some:
            one.work, one.company = task, some
        return task

    def _abandon(self, place: Place) -> None:
        """What is done for nobody any more is broken off."""
        if place.future.cancelled() and place.work is not None and place.left:
            place.work.cancel()

    async def _left_alone(self, place: Place) -> None:
        """Wait until nothing is done any more for one that was cancelled, unless it is done for others as well."""
        if place.work is not None and place.left:
            await asyncio.wait({place.work})

    # Together

    async def _together(self, some: Sequence[Place], slot: ExitStack) -> None:
        try:
            with slot:
                async with self._documents.unread([one.sure.file for one in some]) as fresh:
                    self._back(one for number, one in enumerate(some) if number not in fresh)
                    if chosen := [one for number, one in enumerate(some) if number in fresh]:
                        await Round(chosen, slot, documents=self._documents, telling=self._telling, keep=self._keep, do=self._do).run()
        except Exception as error:
            log.warning("files are read one by one, as they could not be read together", exc_info=error)
        # Of these nothing was said. Whose fault it is shows when each is read for itself.
        self._back(one for one in some if one.work is asyncio.current_task() and not one.future.done())

    def _back(self, some: Iterable[Place]) -> None:
        """Into the line again, to be read alone."""
        for one in some:
            one.alone, one.work, one.company = True, None, ()
            self._line.append(one)
        self._call()

    async def _keep(self, made: Sequence[tuple[Place, Made]]) -> None:
        """Write what was made of them, and go on to the indexes. Should one be what cannot be written, only that one fails."""
        try:
            self._room(sum(_OF_TEXT * its.size + _OF_PASSAGE * len(its.passages) for _, its in made))
            places = await self._database.write(lambda connection: keeping.keep_all(connection, [its for _, its in made]))
        except Exception as error:
            if len(made) == 1:
                made[0][0].fail(error)
                return
            for alone in made:
                await self._keep([alone])
            return
        ready: list[Ready] = []
        for (one, what), its in zip(made, places, strict=True):
            if its is None:
                one.end()
            elif not one.future.done():
                self._indexes.prepare(its[1], what.terms)
                ready.append(Ready(one, *its, len(what.passages)))
        self._reaching.go_on(ready)

    # Alone

    async def _alone(self, place: Place, slot: ExitStack) -> None:
        try:
            with slot:
                entry, mark = await self._read(place.sure, slot)
            self._reaching.go_on([Ready(place, entry, mark)])
        except Exception as error:
            place.fail(error)

    async def _read(self, wanted: Wanted, slot: ExitStack) -> tuple[int, int]:
        """The entry of a file, and up to where its passages go."""
        began = time.time()
        telling = self._telling.begun_soon(wanted, began)
        try:
            async with self._documents.made(wanted.file, progress=self._telling.progress(wanted, began)) as found:
                made, size = await asyncio.to_thread(self._pieces, found.parsed, wanted.chunking)
                demand_text(found.parsed, made)
                self._room(_OF_TEXT * size + _OF_PASSAGE * len(made))
                pages = len(found.parsed.pages)
                if len(found.parsed.text) <= _SMALL:
                    # The next is read meanwhile, so that one flush to the disk serves several small files.
                    slot.close()
                return await self._database.write(
                    lambda connection: keeping.keep(connection, wanted, found, made, size=size, pages=pages, began=began)
                )
        finally:
            telling.cancel()

    def _pieces(self, parsed: Parsed, chunking: Chunking) -> tuple[list[Passage], int]:
        return passages_of(parsed, self._split()(parsed, most=chunking.most, overlap=chunking.overlap))

    async def _fail(self, place: Place, code: ErrorCode, message: str) -> None:
        values = {"status": "failed", "error": failed(code, message.encode("utf-8", "replace").decode())}

        def write(connection: Connection) -> None:
            connection.execute(keeping.of_file(place.sure).values(values))
            self.jobs.done_within(connection, [place.task])

        await self._database.write(write, flush=False)
        place.task.said = True
        self._count(place.store, 1)

    def _count(self, store: str, files: int) -> None:
        ended = self._ended.setdefault(store, deque(maxlen=_REMEMBERED))
        ended.append((time.monotonic(), files))
        while len(ended) > 2 and sum(files for _, files in ended) - ended[0][1] > _REMEMBERED:
            ended.popleft()
