"""From a file to passages that are found: durable jobs, one for each file of a store.

file -> document (read once for all files of the same bytes) -> passages -> one transaction -> both indexes -> completed

Whatever is killed when, a job begins again and finds what is done already: the document and its passages are written in one transaction, and the
indexes know how far they are. A file that cannot be read ends as failed, with a sentence that says why; the others go on.
"""

from __future__ import annotations

import asyncio
import hashlib
import logging
import time
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass
from typing import Any, Final, Protocol

from sqlalchemy import Connection, bindparam, delete, select, update

from hausgeist.errors import HausgeistError, InvalidRequest, NotFound, NotSupported, TooLarge
from hausgeist.files import File
from hausgeist.files.records import files
from hausgeist.knowledge.parsed import Parsed
from hausgeist.knowledge.records import entries, store_files, vector_stores
from hausgeist.knowledge.stores import passages
from hausgeist.knowledge.stores.documents import Documents, Found
from hausgeist.knowledge.stores.indexes import Indexes
from hausgeist.knowledge.stores.values import Chunking, ErrorCode, failed
from hausgeist.store.database import Database
from hausgeist.store.jobs import Jobs, Task

__all__ = ["Ingest", "Piece", "Splitter"]

KIND: Final = "document"
_ATTEMPTS: Final = 5
_WAITING: Final = 64
"""Files that may wait for the indexes together, so that one commit serves them all. Nothing of them is in memory then."""
_TURN: Final = 20
"""Files of one project that are read before it is somebody else's turn."""
_OF_TEXT: Final = 3
_OF_PASSAGE: Final = 3000
"""Bytes that an entry takes on the disk for each byte of its text, and for each passage with its vector; rather more than less."""
_PROGRESS_SECONDS: Final = 0.5
_SMALL: Final = 100_000
"""Characters of a document of which several may be in memory to be written, besides those that are read."""
_REMEMBERED: Final = 200
"""Files over which the rate is taken."""

log = logging.getLogger(__name__)


class Piece(Protocol):
    """A passage as it was cut."""

    @property
    def start(self) -> int: ...
    @property
    def end(self) -> int: ...
    @property
    def page(self) -> int: ...
    @property
    def kind(self) -> str: ...
    @property
    def heading(self) -> str: ...
    @property
    def tokens(self) -> int: ...
    @property
    def language(self) -> str: ...


class Splitter(Protocol):
    def __call__(self, parsed: Parsed, /, *, most: int = 400, overlap: int = 0) -> Sequence[Piece]: ...


@dataclass(frozen=True, slots=True)
class _Wanted:
    """A file of a store that is to be taken in."""

    store: str
    file: File
    chunking: Chunking
    replaces: str | None
    entry: int | None


class Ingest:
    """`start` to begin; anybody may `add` before."""

    def __init__(
        self, database: Database, documents: Documents, indexes: Indexes, *, split: Callable[[], Splitter], at_once: int = 2, pause: float = 2.0,
        replaced: Callable[[], object] = lambda: None, room: Callable[[int], object] = lambda _: None,
    ) -> None:  # fmt: skip
        """`at_once`: files that are read side by side; those that only wait for the indexes do not count. `replaced`: called when something has left
        a store. `room`: raises `DiskFull` where so many bytes more do not fit."""
        # A queue of its own: what is read keeps no download waiting, and none keeps it waiting.
        self.jobs = Jobs(database, at_once=at_once + _WAITING, pause=pause)
        self.jobs.register(KIND, self._work)
        self._slots = asyncio.Semaphore(at_once)
        self._database = database
        self._documents = documents
        self._indexes = indexes
        self._split = split
        self._replaced = replaced
        self._room = room
        self._running: dict[tuple[str, str], asyncio.Future[None]] = {}
        self._ended: dict[str, deque[float]] = {}

    def add(self, connection: Connection, store: str, file: str, *, waiting: int = 0) -> None:
        """Within a transaction: the file, whose row says "in_progress", will be taken in. `jobs.wake` after it makes it begin at once. `waiting`:
        how many files of the project wait already; who brings few does not wait for who brings many."""
        place = -(waiting // _TURN)
        self.jobs.add(connection, KIND, {"store": store, "file": file}, key=f"{store}/{file}", priority=place, max_attempts=_ATTEMPTS)

    def stop(self, store: str, file: str) -> None:
        """Of a file that is not wanted any more: what is being done for it is broken off."""
        if (running := self._running.get((store, file))) is not None:
            running.cancel()

    def rate(self, store: str) -> float:
        """Files per second, over the last that were finished; 0: nobody knows."""
        times = self._ended.get(store)
        if times is None or len(times) < 2:
            return 0.0
        return len(times) / max(1e-3, time.monotonic() - times[0])

    def trouble(self, store: str) -> str:
        """See `Indexes.trouble`."""
        return self._indexes.trouble(store)

    async def _work(self, task: Task) -> None:
        store, file = str(task.payload["store"]), str(task.payload["file"])
        wanted = self._database.read(lambda connection: _wanted(connection, store, file))
        if wanted is None:
            return  # it was cancelled, removed, or had been completed when the process was killed
        if task.job.attempts > task.job.max_attempts:
            await self._fail(wanted, "server_error", "The server ended each time while this file was read. Its log may say why.")
            return
        work = asyncio.ensure_future(self._take_in(wanted))
        self._running[store, file] = work
        try:
            await asyncio.wait({work})
        except asyncio.CancelledError:
            work.cancel()
            await asyncio.wait({work})
            raise
        finally:
            self._running.pop((store, file), None)
        if work.cancelled():
            return  # somebody has cancelled it, and said so in its row
        if (error := work.exception()) is not None:
            await self._after(wanted, error, last=task.job.attempts >= task.job.max_attempts)

    async def _after(self, wanted: _Wanted, error: BaseException, *, last: bool) -> None:
        match error:
            case NotFound():
                return  # the file or the store has gone meanwhile
            case NotSupported():
                await self._fail(wanted, "unsupported_file", error.message)
            case InvalidRequest() | TooLarge():
                code: ErrorCode = "unsupported_file" if getattr(error, "unsupported", False) else "invalid_file"
                await self._fail(wanted, code, error.message)
            case _ if last:
                said = error.message if isinstance(error, HausgeistError) else "Something went wrong inside; the log has the details."
                log.error("the file %s could not be taken in", wanted.file.id, exc_info=error)
                await self._fail(wanted, "server_error", said)
            case _:
                raise error

    async def _take_in(self, wanted: _Wanted) -> None:
        entry, mark = await self._read(wanted)
        await self._indexes.reach(wanted.store, mark)
        await self._database.write(lambda connection: _complete(connection, wanted, entry), flush=False)
        if wanted.replaces is not None:
            self._replaced()
        self._count(wanted.store)

    async def _read(self, wanted: _Wanted) -> tuple[int, int]:
        """The entry of a file, and up to where its passages go."""
        async with AsyncExitStack() as slot:
            await slot.enter_async_context(self._slots)
            if wanted.entry is not None and (kept := self._database.read(lambda connection: _kept(connection, wanted))) is not None:
                return kept
            began = time.time()
            # Whoever looks sees what is being read; what is read before anybody could look is not worth a write of its own.
            telling = asyncio.get_running_loop().call_later(_PROGRESS_SECONDS / 2, self._begun, wanted, began)
            slot.callback(telling.cancel)
            async with self._documents.made(wanted.file, progress=self._progress(wanted, began)) as found:
                made, size = await asyncio.to_thread(self._pieces, found.parsed, wanted.chunking)
                if not made:
                    raise InvalidRequest(" ".join(found.parsed.warnings) or "There is no text in this file.")
                self._room(_OF_TEXT * size + _OF_PASSAGE * len(made))
                pages = len(found.parsed.pages)
                if len(found.parsed.text) <= _SMALL:
                    # The next is read meanwhile, so that one flush to the disk serves several small files.
                    await slot.aclose()
                return await self._database.write(lambda connection: _keep(connection, wanted, found, made, size, pages, began))

    def _begun(self, wanted: _Wanted, began: float) -> None:
        self._database.post(lambda connection: connection.execute(_row(wanted).values(started=began)))

    def _pieces(self, parsed: Parsed, chunking: Chunking) -> tuple[Sequence[Mapping[str, Any]], int]:
        """Rows of passages, and the bytes of their text."""
        made, size, words = [], 0, parsed.text
        for piece in self._split()(parsed, most=chunking.most, overlap=chunking.overlap):
            text = words[piece.start : piece.end].encode("utf-8", "replace")
            size += len(text)
            heading = piece.heading.encode("utf-8", "replace")
            made.append(
                {
                    "start": piece.start, "end": piece.end, "page": piece.page, "kind": piece.kind, "language": piece.language or "und",
                    "heading": heading.decode(), "tokens": piece.tokens,
                    "digest": hashlib.blake2b(heading + b"\0" + text, digest_size=16).digest(),
                }
            )  # fmt: skip
        return made, size

    def _progress(self, wanted: _Wanted, began: float) -> Callable[[int, int], None]:
        told = 0.0

        def tell(done: int, total: int) -> None:
            nonlocal told
            if time.monotonic() - told >= _PROGRESS_SECONDS or done >= total:
                told = time.monotonic()
                self._database.post(lambda connection: connection.execute(_row(wanted).values(done=done, total=total, started=began)))

        return tell

    async def _fail(self, wanted: _Wanted, code: ErrorCode, message: str) -> None:
        values = {"status": "failed", "error": failed(code, message.encode("utf-8", "replace").decode())}
        await self._database.write(lambda connection: connection.execute(_row(wanted).values(values)), flush=False)
        self._count(wanted.store)

    def _count(self, store: str) -> None:
        self._ended.setdefault(store, deque(maxlen=_REMEMBERED)).append(time.monotonic())


def _row(wanted: _Wanted) -> Any:
    mine = (store_files.c.store == wanted.store, store_files.c.file == wanted.file.id, store_files.c.status == "in_progress")
    return update(store_files).where(*mine)


# Made once, as it is asked twice for each file.
_WANTED: Final = (
    select(files, store_files.c.chunking, store_files.c.replaces, store_files.c.entry)
    .join(store_files, store_files.c.file == files.c.id)
    .join(vector_stores, vector_stores.c.id == store_files.c.store)
    .where(store_files.c.store == bindparam("store"), store_files.c.file == bindparam("file"))
    .where(store_files.c.status == "in_progress", vector_stores.c.gone == 0)
    # A file of another project is in no store; should one ever be, nothing is read of it.
    .where(vector_stores.c.project == files.c.project)
)


def _wanted(connection: Connection, store: str, file: str) -> _Wanted | None:
    row = connection.execute(_WANTED, {"store": store, "file": file}).one_or_none()
    if row is None:
        return None
    values = row._asdict()
    chunking, replaces, entry = values.pop("chunking"), values.pop("replaces"), values.pop("entry")
    return _Wanted(store, File(**values), Chunking.parse(chunking), replaces, entry)


def _kept(connection: Connection, wanted: _Wanted) -> tuple[int, int] | None:
    """The entry that was written ahead of a crash, and up to where its passages go."""
    if wanted.entry is None:
        return None
    row = connection.execute(select(entries.c.id, entries.c.last).where(entries.c.id == wanted.entry)).one_or_none()
    return (row.id, row.last) if row is not None else None


def _keep(
    connection: Connection, wanted: _Wanted, found: Found, made: Sequence[Mapping[str, Any]], size: int, pages: int, began: float
) -> tuple[int, int]:
    """In one transaction: the document, its passages in this store, and that this file has them."""
    if _wanted(connection, wanted.store, wanted.file.id) is None:
        raise NotFound("The file is not wanted any more.")
    document = found.put(connection, wanted.file.project, wanted.file.digest)
    twin = None
    if wanted.replaces is not None:
        old = select(store_files.c.entry).where(store_files.c.store == wanted.store, store_files.c.file == wanted.replaces)
        twin = connection.execute(old).scalar()
    entry, last = passages.remember(connection, wanted.store, document, str(wanted.chunking), made, size=size, twin=twin)
    connection.execute(_row(wanted).values(entry=entry, done=pages, total=pages, started=began))
    return entry, last


def _complete(connection: Connection, wanted: _Wanted, entry: int) -> None:
    """It is found from now on; what it replaces leaves the store, with all that is cut from it."""
    done = connection.execute(_row(wanted).where(store_files.c.entry == entry).values(status="completed"))
    if done.rowcount and wanted.replaces is not None and wanted.replaces != wanted.file.id:
        connection.execute(delete(store_files).where(store_files.c.store == wanted.store, store_files.c.file == wanted.replaces))
