"""The indexes of all stores: opened when they are asked for, closed when others are, brought up from the database, rebuilt where they are lost.

The database holds the truth. Each index knows by its mark how far it has come; what the database has above it is added, what was forgotten is
removed, one writer at a time for each store, while searches go on. Nothing here blocks the event loop.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections import OrderedDict
from collections.abc import AsyncIterator, Callable, Coroutine, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any, Final, Protocol, TypeVar

from sqlalchemy import Connection

from hausgeist.errors import HausgeistError, NotFound, StoreError
from hausgeist.knowledge.embed.base import Embedder
from hausgeist.knowledge.index.base import TextEntry, TextIndex, VectorIndex
from hausgeist.knowledge.stores import passages
from hausgeist.knowledge.stores.passages import Row
from hausgeist.knowledge.stores.shelf import NEW, WORDS, OpenVectors, OpenWords, Part, exchange, open_part, remove_folder, vectors_name
from hausgeist.knowledge.stores.terms import KeptTerms
from hausgeist.store.database import Database
from hausgeist.store.threads import to_its_end

__all__ = ["Embedders", "Indexes", "Reading"]

_ROUND: Final = 2048
"""Passages between two commits at most."""
_EMBEDDED: Final = 256
"""Passages that are embedded at once: as many texts and vectors as are in memory."""
_MOST_OPEN: Final = 64
_PATIENCE: Final = 10.0
"""Seconds that a search waits for indexes that are both lost."""
_REST: Final = 30.0
"""Seconds until an embedding model that failed is asked again. Words go on meanwhile."""

T = TypeVar("T")
log = logging.getLogger(__name__)


class Embedders(Protocol):
    """Which embedders there are."""

    def current(self) -> Embedder:
        """The one that is wanted now. Its `name` may raise, where a model has been removed."""
        ...

    def named(self, name: str) -> Embedder | None:
        """The one whose `name` it is, if it still can be had."""
        ...


@dataclass(frozen=True, slots=True)
class Reading:
    """What a search may ask. `None`: it is lost or being made, and the other one answers alone."""

    words: TextIndex | None
    vectors: VectorIndex | None
    embedder: Embedder | None


@dataclass(eq=False)
class _Shelf:
    """The indexes of one store, open."""

    store: str
    words: Part[TextIndex]
    vectors: Part[VectorIndex]
    embedder: str
    """Whose vectors those are."""
    writing: asyncio.Lock = field(default_factory=asyncio.Lock)
    turning: asyncio.Lock = field(default_factory=asyncio.Lock)
    """Held for the moment in which an index is exchanged or closed, and no search may begin to read."""
    closed: bool = False

    @property
    def mark(self) -> int:
        """Up to which both reach."""
        return min(self.words.index.mark, self.vectors.index.mark)

    @property
    def busy(self) -> bool:
        return bool(self.words.users or self.vectors.users or self.writing.locked())


class Indexes:
    """Of one home. `close` in the end."""

    def __init__(
        self, database: Database, home: Path, *, embedders: Embedders, open_words: OpenWords, open_vectors: OpenVectors, most_open: int = _MOST_OPEN,
        rest: float = _REST,
    ) -> None:  # fmt: skip
        self.folder = home / "indexes"
        self._database = database
        self._embedders = embedders
        self._open_words = open_words
        self._open_vectors = open_vectors
        self._most_open = most_open
        self._rest = rest
        self._resting: set[str] = set()
        """Stores that get no vectors at this moment."""
        self._said: dict[str, str] = {}
        """Of a store, or of all (""), why that is."""
        self._shelves: OrderedDict[str, _Shelf] = OrderedDict()
        self._opening: dict[str, asyncio.Lock] = {}
        self._tasks: dict[tuple[str, str], asyncio.Task[None]] = {}
        self._prepared = KeptTerms()
        self._closed = False

    # Reading

    @asynccontextmanager
    async def reading(self, store: str, *, mark: int | None = None) -> AsyncIterator[Reading]:
        """Within the block, the indexes of a store; they stay open for as long. What is behind is brought up meanwhile, and not waited for. `mark`:
        what the store's row has, where it was just read.

        Raises `NotFound` for a store that is not there."""
        while True:
            shelf = await self._shelf(store)
            reached = self._state(store).mark if mark is None else mark
            async with shelf.turning:
                if not shelf.closed:
                    words, vectors, name = shelf.words, shelf.vectors, shelf.embedder
                    words.users += 1
                    vectors.users += 1
                    break
        wanted, embedder = self._wanted(), self._embedders.named(name)
        resting = ("later", store) in self._tasks
        if words.index.mark < reached or (shelf.mark < reached and not resting):
            self._go_on("up", store, lambda: self.reach(store, reached))
        if wanted is not None and name != wanted.name and not resting:
            self._go_on("renew", store, lambda: self.renew(store))

        def neither() -> bool:
            return not (words.whole or (vectors.whole and embedder is not None))

        try:
            if neither() and (task := self._tasks.get(("up", store))) is not None:
                # Both are lost: to find nothing where there is something would be worse than to wait.
                await asyncio.wait({task}, timeout=_PATIENCE)
            alone = neither()
            yield Reading(
                words.index if words.whole or alone else None,
                vectors.index if embedder is not None and (vectors.whole or alone) else None,
                embedder,
            )
        finally:
            words.users -= 1
            vectors.users -= 1

    def trouble(self, store: str) -> str:
        """Why vectors of a store are not made at this moment, for people; empty: nothing is wrong."""
        return self._said.get(store, "") or self._said.get("", "")

    # Writing

    def prepare(self, last: int, terms: Sequence[tuple[str, str]]) -> None:
        """What the words of passages are, the last of which has this number: who parsed them has made that on the way. Without it, or where it is too
        much, it is made when they are indexed."""
        for number, one in enumerate(terms, last + 1 - len(terms)):
            self._prepared.keep(number, one)

    async def reach(self, store: str, mark: int) -> None:
        """Returns when all passages up to this number are found. Many may wait at once; one of them does the work of all.

        Where the embedding model fails they are found by their words, and vectors are made later."""
        async with self._writing(store) as shelf:
            if shelf.mark < mark:
                await self._guarded(shelf, self._bring_up(shelf, mark))

    async def renew(self, store: str) -> None:
        """Embed all passages anew where the embedder has changed, beside the vectors that serve, and exchange them in the end."""
        shelf, wanted = await self._shelf(store), self._wanted()
        if wanted is None or shelf.embedder == wanted.name:
            return
        folder, dimension = self._home(store) / vectors_name(wanted.name), _dimension(wanted)
        log.info("the passages of %s are embedded anew, by %s", store, wanted.name)
        mark = self._state(store).mark
        fresh = await to_its_end(open_part, folder, lambda path: self._open_vectors(path, dimension), mark=mark)
        served: Part[VectorIndex] = fresh
        try:
            # Most of it without the lock: what is added meanwhile is added to the old one, and here at the end.
            await self._embed_up(store, fresh, wanted)
            async with self._writing(store) as shelf:
                await self._embed_up(store, fresh, wanted)
                gone = await self._read(partial(passages.forgotten, store=store))
                await to_its_end(fresh.index.remove, gone)
                await to_its_end(fresh.index.commit, fresh.index.mark)
                await self._database.write(lambda connection: passages.set_embedder(connection, store, wanted.name))
                fresh.whole = True
                self._well(store)
                served, shelf.vectors, shelf.embedder = shelf.vectors, fresh, wanted.name
                await _left_alone(served)
        except StoreError:
            raise
        except HausgeistError as error:
            self._ill(store, wanted.name, error)
            return
        finally:
            # The one that serves no more: the old one, or this one where something failed.
            await to_its_end(served.index.close)
        await to_its_end(remove_folder, served.folder)

    async def purge(self, store: str) -> int:
        """See to it that nothing can be read in the indexes of what was forgotten; how much that was."""
        async with self._writing(store) as shelf:
            gone = await self._read(partial(passages.forgotten, store=store))
            if not gone:
                return 0
            fresh = [one for one in gone if one not in shelf.words.erased]
            if not self._database.read(partial(passages.alive, store=store)):
                await self._empty(shelf)
            elif fresh:
                await self._guarded(shelf, self._purged(shelf))
                shelf.words.erased.update(gone)
                if self._renewing(shelf):
                    # What is made beside may have it still, and forgets it in the end; until then it stays written down.
                    return len(fresh)
            elif self._renewing(shelf):
                return 0
            await self._database.write(lambda connection: passages.forget(connection, store, gone))
            return len(gone)

    def _renewing(self, shelf: _Shelf) -> bool:
        """Whether vectors of another embedder are being made, or were when a process ended."""
        return any(path.name not in (WORDS, shelf.vectors.folder.name) for path in self._home(shelf.store).iterdir())

    async def remove(self, store: str) -> None:
        """Of a store that is gone. Nothing of it is on the disk when this returns."""
        self._well(store)
        for kind in ("later", "up", "renew"):
            if (task := self._tasks.get((kind, store))) is not None:
                task.cancel()
                await asyncio.wait({task})
        if (shelf := self._shelves.get(store)) is not None:
            async with shelf.writing:
                self._shelves.pop(store, None)
                await self._close(shelf)
        async with self._lock(store):
            await to_its_end(remove_folder, self._home(store))

    def folders(self) -> list[str]:
        """Of which stores there are indexes on the disk."""
        return [entry.name for entry in self.folder.iterdir()] if self.folder.is_dir() else []

    async def close(self) -> None:
        """Stop what goes on in the background, and close all. Idempotent."""
        self._closed = True
        tasks = list(self._tasks.values())
        for task in tasks:
            task.cancel()
        if tasks:
            await asyncio.wait(tasks)
        while self._shelves:
            _, shelf = self._shelves.popitem()
            async with shelf.writing:
                await self._close(shelf)

    # Opening

    @asynccontextmanager
    async def _writing(self, store: str) -> AsyncIterator[_Shelf]:
        """Within the block, the only writer of the indexes of a store."""
        while True:
            shelf = await self._shelf(store)
            async with shelf.writing:
                if not shelf.closed:
                    yield shelf
                    return

    async def _shelf(self, store: str) -> _Shelf:
        if (shelf := self._shelves.get(store)) is not None:
            self._shelves.move_to_end(store)
            return shelf
        async with self._lock(store):
            if (shelf := self._shelves.get(store)) is None:
                shelf = await self._opened(store)
                self._shelves[store] = shelf
        await self._close_some()
        return shelf

    def _lock(self, store: str) -> asyncio.Lock:
        return self._opening.setdefault(store, asyncio.Lock())

    async def _opened(self, store: str) -> _Shelf:
        state = self._state(store)
        wanted, name = self._wanted(), state.embedder
        if wanted is not None and self._embedders.named(name) is None:
            # There are none yet, or none that a question could be compared with any more.
            name = wanted.name
            await self._database.write(lambda connection: passages.set_embedder(connection, store, name))
        home, dimension = self._home(store), _dimension(self._embedders.named(name))
        words = await to_its_end(open_part, home / WORDS, self._open_words, mark=state.mark)
        try:
            vectors = await to_its_end(open_part, home / vectors_name(name), lambda path: self._open_vectors(path, dimension), mark=state.mark)
        except BaseException:
            await to_its_end(words.index.close)
            raise
        if wanted is not None:
            await to_its_end(_remove_others, home, {WORDS, vectors_name(name)}, vectors_name(wanted.name))
        return _Shelf(store, words, vectors, name)

    async def _read(self, fn: Callable[[Connection], T]) -> T:
        return await asyncio.to_thread(self._database.read, fn)

    def _state(self, store: str) -> passages.State:
        found = self._database.read(partial(passages.state, store=store))
        if found is None or self._closed:
            raise NotFound(f"There is no vector store '{store}'.")
        return found

    def _home(self, store: str) -> Path:
        return self.folder / store

    async def _close_some(self) -> None:
        """The ones that were not asked for the longest, where too many are open and nobody is using them."""
        for store in list(self._shelves)[: max(0, len(self._shelves) - self._most_open)]:
            # Another that closes some may have been ahead.
            shelf = self._shelves.get(store)
            if shelf is not None and not shelf.busy:
                del self._shelves[store]
                async with shelf.writing:
                    await self._close(shelf)

    async def _close(self, shelf: _Shelf) -> None:
        async with shelf.turning:
            if not shelf.closed:
                shelf.closed = True
                for part in (shelf.words, shelf.vectors):
                    await _left_alone(part)
                    await to_its_end(part.index.close)

    def _go_on(self, kind: str, store: str, work: Callable[[], Coroutine[Any, Any, None]]) -> None:
        """In the background, once at a time; nobody waits for it, so a failure is logged."""
        if (kind, store) in self._tasks or self._closed:
            return

        async def run() -> None:
            try:
                await work()
            except NotFound:
                pass
            except HausgeistError as error:
                log.warning("the indexes of %s could not be brought up: %s", store, error.message)
            except Exception:
                log.exception("the indexes of %s could not be brought up", store)
            finally:
                del self._tasks[kind, store]

        self._tasks[kind, store] = asyncio.create_task(run(), name=f"indexes {store}")

    # The embedding model

    def _wanted(self) -> Embedder | None:
        """The one of the settings; `None` where it is not there."""
        try:
            wanted = self._embedders.current()
            if wanted.name:
                self._said.pop("", None)
            return wanted
        except HausgeistError as error:
            if self._said.get("") != error.message:
                self._said[""] = error.message
                log.warning("documents are searched by their words only, for the embedding model cannot be used: %s", error.message)
            return None

    def _ill(self, store: str, name: str, error: HausgeistError | None = None) -> None:
        """Vectors of a store cannot be made at this moment: say so once, and try again later."""
        said = error.message if error is not None else f"The embedding model {name or 'of the settings'} is not there."
        if self._said.get(store) != said:
            log.warning("%s gets no new vectors for now, its words are searched: %s", store, said)
        self._said[store] = said
        self._resting.add(store)
        self._go_on("later", store, lambda: self._try_again(store))

    def _well(self, store: str) -> None:
        self._resting.discard(store)
        if self._said.pop(store, None) is not None:
            log.info("the vectors of %s are made again", store)

    async def _try_again(self, store: str) -> None:
        while store in self._resting:
            await asyncio.sleep(self._rest)
            self._resting.discard(store)
            async with self._writing(store) as shelf:
                await self._guarded(shelf, self._bring_up(shelf, self._state(store).mark))
            await self.renew(store)

    # Bringing up

    async def _guarded(self, shelf: _Shelf, work: Coroutine[Any, Any, T]) -> T:
        """What is half written when something fails is not known: so the indexes are closed, and opened at their last mark when they are asked for
        again."""
        try:
            return await work
        except BaseException:
            if self._shelves.get(shelf.store) is shelf:
                del self._shelves[shelf.store]
            with contextlib.suppress(Exception):
                await asyncio.shield(asyncio.ensure_future(self._close(shelf)))
            raise

    async def _bring_up(self, shelf: _Shelf, mark: int) -> None:
        store, words, dense = shelf.store, shelf.words.index, shelf.vectors.index
        embedder = None if store in self._resting else self._embedders.named(shelf.embedder)
        if embedder is None and dense.mark < mark and store not in self._resting:
            self._ill(store, shelf.embedder)
        await self._forget(shelf)
        while (low := words.mark if embedder is None else shelf.mark) < mark:
            state = self._state(store)
            rows = await self._read(partial(passages.above, store=store, mark=low, limit=_ROUND))
            reached = rows[-1].id if rows else max(state.mark, mark)
            if fresh := [row for row in rows if row.id > words.mark]:
                await to_its_end(words.add, [_entry(row, self._prepared.pop(row.id)) for row in fresh])
            try:
                if embedder is not None:
                    await self._embed(dense, embedder, [row for row in rows if row.id > dense.mark])
            except StoreError:
                raise
            except HausgeistError as error:
                self._ill(store, shelf.embedder, error)
                embedder = None
            if words.mark < reached:
                await to_its_end(words.commit, reached)
            if embedder is not None and dense.mark < reached:
                await to_its_end(dense.commit, reached)
        shelf.words.whole = True
        if embedder is not None:
            shelf.vectors.whole = True
            if (wanted := self._wanted()) is not None and wanted.name == shelf.embedder:
                self._well(store)

    async def _embed_up(self, store: str, part: Part[VectorIndex], embedder: Embedder) -> None:
        while part.index.mark < (state := self._state(store)).mark:
            rows = await self._read(partial(passages.above, store=store, mark=part.index.mark, limit=_ROUND))
            await self._embed(part.index, embedder, rows)
            await to_its_end(part.index.commit, rows[-1].id if rows else state.mark)

    async def _embed(self, index: VectorIndex, embedder: Embedder, rows: Sequence[Row]) -> None:
        """Add vectors: those of the same text in an older version of a file where there are any, made by the embedder where not."""
        for at in range(0, len(rows), _EMBEDDED):
            some = rows[at : at + _EMBEDDED]
            some = await self._taken_over(index, some)
            if some:
                made = await embedder.passages([row.embedded for row in some], background=True)
                await to_its_end(index.add, [row.id for row in some], [row.entry for row in some], made)

    async def _taken_over(self, index: VectorIndex, rows: Sequence[Row]) -> list[Row]:
        """Those for which no vector was there already."""
        left: list[Row] = [row for row in rows if row.like is None]
        for twin in {row.like for row in rows if row.like is not None}:
            ours = [row for row in rows if row.like == twin]
            same = await self._read(partial(passages.like, entry=twin, digests={row.digest for row in ours}))
            known = [row for row in ours if row.digest in same]
            try:
                if known:
                    vectors = await to_its_end(index.vectors, [same[row.digest] for row in known])
                    await to_its_end(index.add, [row.id for row in known], [row.entry for row in known], vectors)
            except KeyError:
                known = []
            there = {row.id for row in known}
            left += [row for row in ours if row.id not in there]
        return sorted(left, key=lambda row: row.id)

    async def _forget(self, shelf: _Shelf) -> None:
        """Remove from the indexes what is not in the database any more."""
        gone = await self._read(partial(passages.forgotten, store=shelf.store))
        for part in (shelf.words, shelf.vectors):
            if fresh := [one for one in gone if one not in part.forgot]:
                await to_its_end(part.index.remove, fresh)
                await to_its_end(part.index.commit, part.index.mark)
                part.forgot.update(fresh)

    # Leaving nothing behind

    async def _empty(self, shelf: _Shelf) -> None:
        """Nothing is left in the store: its indexes go as they are, and are made when something comes."""
        async with self._lock(shelf.store):
            self._shelves.pop(shelf.store, None)
            await self._close(shelf)
            await to_its_end(remove_folder, self._home(shelf.store))

    async def _purged(self, shelf: _Shelf) -> None:
        """Vectors are overwritten when they are removed; an index of words keeps its old parts, so one is made anew beside it, and exchanged."""
        await self._forget(shelf)
        part, mark = shelf.words, shelf.mark
        beside = part.folder.with_name(part.folder.name + NEW)
        await to_its_end(remove_folder, beside)
        fresh = await to_its_end(open_part, beside, self._open_words, mark=mark)
        try:
            await self._copy(shelf.store, fresh.index, mark)
        finally:
            await to_its_end(fresh.index.close)
        async with shelf.turning:
            await _left_alone(part)
            await to_its_end(part.index.close)
            await to_its_end(exchange, part.folder)
            shelf.words = await to_its_end(open_part, part.folder, self._open_words, mark=mark)
            shelf.words.whole = part.whole

    async def _copy(self, store: str, index: TextIndex, mark: int) -> None:
        """All words up to a mark, out of the database."""
        low = 0
        while low < mark:
            found = await self._read(partial(passages.above, store=store, mark=low, limit=_ROUND))
            rows = [row for row in found if row.id <= mark]
            if not rows:
                break
            low = rows[-1].id
            await to_its_end(index.add, [_entry(row) for row in rows])
        await to_its_end(index.commit, mark)


def _dimension(embedder: Embedder | None) -> int:
    """0: nobody knows it before the model has made a vector."""
    try:
        return embedder.dimension if embedder is not None else 0
    except HausgeistError:
        return 0


async def _left_alone(part: Part[Any]) -> None:
    """Wait until nobody reads it any more: a matter of milliseconds."""
    while part.users:
        await asyncio.sleep(0.002)


def _entry(row: Row, terms: tuple[str, str] | None = None) -> TextEntry:
    return TextEntry(row.id, row.entry, row.text, row.language, row.heading, row.filename, terms)


def _remove_others(home: Path, kept: set[str], coming: str) -> None:
    """What crashes and former embedders left; `coming` is being made."""
    for entry in home.iterdir():
        if entry.name not in kept and entry.name != coming:
            remove_folder(entry)
