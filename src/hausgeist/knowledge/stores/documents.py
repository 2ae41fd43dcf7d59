"""What files say: the document of each is made when it is first wanted, once for all files of the same bytes in a project, and kept as long as one of
those is there."""

from __future__ import annotations

import asyncio
import weakref
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol, TypeVar

from sqlalchemy import Connection, select

from hausgeist.errors import HausgeistError, InvalidRequest, NotFound
from hausgeist.files import File, Files
from hausgeist.files.records import files
from hausgeist.files.service import seen_by
from hausgeist.identity import Principal
from hausgeist.knowledge.hits import Mark, Spot
from hausgeist.knowledge.parsed import Box, Cut, Line, Parsed, Small
from hausgeist.knowledge.records import documents, entries, store_files
from hausgeist.knowledge.stores import filters as filtering
from hausgeist.knowledge.stores import rows, texts
from hausgeist.knowledge.stores.texts import Packed, PageRow, Paper
from hausgeist.knowledge.stores.values import Chunking
from hausgeist.store.database import Database

__all__ = ["Documents", "Found", "Parser", "Told"]

T = TypeVar("T")
_MAILS = ("message/rfc822", "application/vnd.ms-outlook")
"""Pages of what came with these bear numbers that nobody sees: its name says more."""
Progress = Callable[[int, int], None]
Of = Callable[[int, int, int], None]


class Parser(Protocol):
    """Reads files in processes of their own."""

    processes: int
    """At most."""

    def parse(self, path: Path, filename: str, *, progress: Progress | None = None) -> Awaitable[Parsed]:
        """Raises `InvalidRequest` for a file that cannot be read, with a sentence for people."""
        ...

    def cut_all(
        self, files: Sequence[Small], each: Callable[[int, Cut | HausgeistError], Awaitable[None]], *, progress: Of | None = None
    ) -> Awaitable[None]:  # fmt: skip
        """Read and cut small files of one project, one after the other. `each` is told of each, by its number, what it says or why it cannot be
        read, and waited for; `progress` which one is being read, and how far."""
        ...


@dataclass(frozen=True, slots=True)
class Found:
    """A document that is there (`number`), or that has just been made and is to be added (`packed`)."""

    parsed: Parsed
    number: int | None
    packed: Packed | None

    def put(self, connection: Connection, project: str, digest: str) -> int:
        """Within a transaction: its number. Raises `NotFound` where the last file that said this has gone meanwhile."""
        if self.packed is not None:
            return texts.add(connection, project, digest, self.packed)
        number = texts.find(connection, project, digest)
        if number is None or number != self.number:
            raise NotFound("The file was removed.")
        return number


@dataclass(frozen=True, slots=True, kw_only=True)
class Told:
    """A document of a store, whole."""

    file: str
    filename: str
    store: str
    document: int
    attributes: Mapping[str, Any]
    parsed: Parsed


class Documents:
    """`hits.Reader`. Everything raises `NotFound` for a file that the caller does not see, `InvalidRequest` for one that cannot be read."""

    def __init__(self, database: Database, files: Files, parser: Callable[[], Parser], *, version: Callable[[], str]) -> None:
        """`version`: of the parsers. What others have made is made anew when nothing is cut from it."""
        self._database = database
        self._files = files
        self._parser = parser
        self._version = version
        self._locks: weakref.WeakValueDictionary[tuple[str, str], asyncio.Lock] = weakref.WeakValueDictionary()

    async def text(self, who: Principal, file: str) -> str:
        document = await self.document(who, file)
        return await self._read(lambda connection: texts.text(connection, document))

    async def marks(self, who: Principal, file: str, start: int, end: int) -> Sequence[Mark]:
        if not 0 <= start <= end:
            raise InvalidRequest("'start' and 'end' are characters of the text: 0 or more, and 'end' not before 'start'.", param="end")
        document = await self.document(who, file)

        def read(connection: Connection) -> list[Mark]:
            lines = texts.lines_between(connection, document, start, end)
            words = texts.texts(connection, [(document, line.start, line.end) for line in lines])
            return [Mark(line.page, _cut(line, text, start, end)) for line, text in zip(lines, words, strict=True)]

        return await self._read(read)

    async def place(self, who: Principal, file: str, start: int) -> Spot:
        sheets = await self.pages(who, file)
        if not sheets:
            return Spot(counted=False)
        sheet = next((one for one in reversed(sheets) if one.start <= start), sheets[0])
        if sheet.width and not sheet.label:
            return Spot(sheet.number)
        kind = (await self.paper(who, file)).media_type
        if sheet.width and kind not in (*_MAILS, "application/mbox"):
            return Spot(sheet.number)
        mail = sheet.number == 1 and kind in _MAILS
        label = sheet.label if len(sheets) > 1 and not mail else ""
        return Spot(sheet.number, label, counted=len(sheets) > 1 and not label and not mail)

    async def pages(self, who: Principal, file: str) -> list[PageRow]:
        document = await self.document(who, file)
        return await self._read(lambda connection: texts.pages(connection, document))

    async def paper(self, who: Principal, file: str) -> Paper:
        """What is known of it besides its text."""
        document = await self.document(who, file)
        return await self._read(lambda connection: texts.paper(connection, document))

    async def parsed(self, who: Principal, file: str, *, lines: bool = False) -> Parsed:
        """All that a parser made of it; without the lines, unless those are wanted."""
        document = await self.document(who, file)
        return await self._read(lambda connection: texts.parsed(connection, document, lines=lines))

    async def document(self, who: Principal, file: str) -> int:
        """Its number; it is read now where it has not been."""
        found = self._files.get(who, file)
        number = self._database.read(lambda connection: self._current(connection, found.project, found.digest))
        if number is not None:
            return number
        async with self.made(found) as document:

            def write(connection: Connection) -> int:
                # Erased meanwhile: nothing of it is kept.
                if connection.execute(select(files.c.id).where(files.c.id == file)).first() is None:
                    raise NotFound("The file was removed.")
                return document.put(connection, found.project, found.digest)

            return await self._database.write(write)

    @asynccontextmanager
    async def made(self, file: File, *, progress: Progress | None = None) -> AsyncIterator[Found]:
        """Within the block, what a file says, for the caller to `put`; others who want the same wait for its end."""
        key = (file.project, file.digest)
        lock = self._locks.setdefault(key, asyncio.Lock())
        async with lock:
            number = self._database.read(lambda connection: self._current(connection, *key))
            if number is not None:
                known = number
                parsed = await self._read(lambda connection: texts.parsed(connection, known))
                yield Found(parsed, number, None)
                return
            parsed = await self._parser().parse(self._files.folder.path(file.id), file.filename, progress=progress)
            packed = await asyncio.to_thread(self.pack, parsed)
            yield Found(parsed, None, packed)

    @asynccontextmanager
    async def unread(self, wanted: Sequence[File]) -> AsyncIterator[set[int]]:
        """Within the block, nobody else reads these: the numbers of those that nobody has read and nobody is reading, each of other bytes."""
        held: dict[tuple[str, str], int] = {}
        async with AsyncExitStack() as locks:
            for number, file in enumerate(wanted):
                key = (file.project, file.digest)
                lock = self._locks.setdefault(key, asyncio.Lock())
                if key not in held and not lock.locked():
                    await locks.enter_async_context(lock)
                    held[key] = number
            there = self._database.read(lambda connection: texts.there(connection, held.keys()))
            yield {number for key, number in held.items() if key not in there}

    async def cut_all(
        self, files: Sequence[tuple[File, Chunking]], each: Callable[[int, Cut | HausgeistError], Awaitable[None]], progress: Of
    ) -> None:
        """See `Parser.cut_all`."""
        small = [Small(self._files.folder.path(file.id), file.filename, chunking.most, chunking.overlap) for file, chunking in files]
        await self._parser().cut_all(small, each, progress=progress)

    @property
    def readers(self) -> int:
        """How many files are read at the same time."""
        return self._parser().processes

    def pack(self, parsed: Parsed) -> Packed:
        """See `texts.pack`."""
        return texts.pack(parsed, parser=self._version())

    async def all_documents(self, who: Principal, stores: Sequence[str], *, filters: Mapping[str, Any] | None = None) -> AsyncIterator[Told]:
        """Every document of these stores, once each, in the order in which they came: one at a time in memory. Raises as a search does."""
        chosen = self._database.read(lambda connection: rows.of_stores(connection, who, stores))
        condition = filtering.condition(filters)
        told: set[int] = set()
        for store in chosen:
            query = (
                select(store_files.c.file, files.c.filename, store_files.c.attributes, entries.c.document)
                .join(files, files.c.id == store_files.c.file)
                .join(entries, entries.c.id == store_files.c.entry)
                .where(store_files.c.store == store.id, store_files.c.status == "completed", seen_by(who), condition)
                .order_by(store_files.c.created, store_files.c.file)
            )
            found = await self._read(lambda connection, query=query: connection.execute(query).all())  # type: ignore[misc]
            for row in found:
                if row.document in told:
                    continue
                told.add(row.document)
                parsed = await self._read(lambda connection, number=row.document: _whole(connection, number))  # type: ignore[misc]
                if parsed is not None:
                    yield Told(
                        file=row.file, filename=row.filename, store=store.id, document=row.document,
                        attributes=filtering.attributes_of(row.attributes), parsed=parsed,
                    )  # fmt: skip

    def _current(self, connection: Connection, project: str, digest: str) -> int | None:
        """Of a document that these parsers made, or from which passages are cut: those would be in the wrong places in another."""
        row = connection.execute(
            select(documents.c.id, documents.c.parser).where(documents.c.project == project, documents.c.digest == digest)
        ).one_or_none()
        if row is None:
            return None
        if row.parser != self._version():
            used = connection.execute(select(entries.c.id).where(entries.c.document == row.id).limit(1)).first()
            if used is None:
                return None
        return int(row.id)

    async def _read(self, fn: Callable[[Connection], T]) -> T:
        return await asyncio.to_thread(self._database.read, fn)


def _whole(connection: Connection, document: int) -> Parsed | None:
    if connection.execute(select(documents.c.id).where(documents.c.id == document)).first() is None:
        return None
    return texts.parsed(connection, document)


def _cut(line: Line, text: str, start: int, end: int) -> Box:
    """The part of a line between two characters, as if its letters were about as wide as they usually are. `text`: the line's."""
    first, last = max(0, start - line.start), max(0, end - line.start)
    whole, before, within = _wide(text), _wide(text[:first]), _wide(text[first:last])
    box, share = line.box, (line.box.right - line.box.left) / max(1, whole)
    left, right = box.left + share * before, box.left + share * (before + within)
    return Box(round(left, 2), box.top, round(right, 2), box.bottom)


_NARROW, _SLIM, _BROAD = frozenset("ijlI.,;:'!|"), frozenset('tfr()[]{}/\\ -"*'), frozenset("mwMW@%\u2014")


def _wide(text: str) -> int:
    """About how wide a text is in a proportional typeface, in hundredths of the height of its letters (Helvetica's widths, in five steps)."""
    return sum(_width(letter) for letter in text)


def _width(letter: str) -> int:
    if letter in _NARROW:
        return 25
    if letter in _SLIM:
        return 32
    if letter in _BROAD:
        return 85
    if "A" <= letter <= "Z":
        return 68
    return 55 if letter < "\u2e80" else 100
