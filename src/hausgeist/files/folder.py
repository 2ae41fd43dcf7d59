"""Where the bytes are: HOME/files, one file for each id, readable by its owner only. A name is there whole, or it is not there.

Each id has bytes of its own, even where two are the same: nobody learns from a second upload whether somebody has that file already, and what is
erased is gone. What comes in is a draft first; its name is given within the transaction that writes its row, and is taken after the one that
forgets it. So a name without a row is what a crash left behind, seen by whoever holds the writers' lock.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator, Callable, Iterable, Sequence
from contextlib import asynccontextmanager, suppress
from itertools import chain
from pathlib import Path
from typing import Final

from sqlalchemy import Connection

from hausgeist.errors import TooLarge
from hausgeist.store.disk import sync_folder
from hausgeist.store.drafts import Draft, sweep
from hausgeist.store.failures import file_failures
from hausgeist.store.space import Space
from hausgeist.store.threads import to_its_end
from hausgeist.store.writer import before_commit

__all__ = ["Folder"]

_BUFFER: Final = 1 << 20
_SHARE: Final = 16
"""Small files that are worth a thread of their own."""
_THREADS: Final = 2
"""That write small files side by side; each waits for the disk most of the time."""
_PREFIX: Final = ".draft-"


class Folder:
    """Names are ids that were made here: nothing that a client sends ever becomes a path."""

    def __init__(self, home: Path, *, space: Space) -> None:
        """`space`: of the disk that the home is on."""
        self.folder = home / "files"
        self._prefix = f"{self.folder}{os.sep}"
        self.space = space
        self._coming: list[tuple[bytes, asyncio.Future[Draft]]] = []
        self._writing: asyncio.Task[None] | None = None
        with file_failures(self.folder):
            self.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            sweep(self.folder, _PREFIX)

    def path(self, name: str) -> Path:
        return self.folder / name

    def names(self) -> list[str]:
        """All that are there."""
        with file_failures(self.folder):
            return [entry.name for entry in self.folder.iterdir() if not entry.name.startswith(".")]

    @asynccontextmanager
    async def receive(
        self, chunks: AsyncIterator[bytes], *, size: int, limit: int, coming: Callable[[int], None] = lambda _: None
    ) -> AsyncIterator[Draft]:
        """Within the block, a draft of what comes in, on the disk; what is not given a name there goes. `size`: bytes announced; 0: none were.
        `coming`: told of each number of bytes before they are written, and may refuse them. Raises `TooLarge`, `DiskFull` (before the first byte
        where the announced ones do not fit)."""
        with self.space.claim(size) as claim:
            # The one; it is put in here by whoever makes it, so that it is known also where this is cancelled at that moment.
            drafts: list[Draft] = []
            try:
                buffer = bytearray()

                async def write() -> None:
                    coming(len(buffer))
                    self.space.require(len(buffer), whose={claim})
                    await to_its_end(drafts[0].write, bytes(buffer))
                    self.space.promise(claim, size - drafts[0].size)
                    buffer.clear()

                async for chunk in chunks:
                    if (drafts[0].size if drafts else 0) + len(buffer) + len(chunk) > limit:
                        raise TooLarge(f"The file is larger than {limit} bytes, the limit here.")
                    buffer += chunk
                    if len(buffer) >= _BUFFER:
                        if not drafts:
                            await to_its_end(lambda: drafts.append(self.draft()))
                        await write()
                if drafts:
                    await write()
                    await to_its_end(drafts[0].flush)
                else:
                    coming(len(buffer))
                    self.space.require(len(buffer), whose={claim})
                    drafts.append(await self._small(bytes(buffer)))
                yield drafts[0]
            finally:
                for draft in drafts:
                    draft.discard()

    async def _small(self, data: bytes) -> Draft:
        """A draft of so few bytes, on the disk. Those that come at the same time are written by a few threads, one after the other: to hand each to
        a thread of its own would take longer than to write it."""
        future: asyncio.Future[Draft] = asyncio.get_running_loop().create_future()
        self._coming.append((data, future))
        if self._writing is None:
            self._writing = asyncio.create_task(self._write_small(), name="small files")
        try:
            return await future
        except asyncio.CancelledError:
            if future.done() and not future.cancelled() and future.exception() is None:
                future.result().discard()  # it was there already when nobody wanted it any more
            raise

    async def _write_small(self) -> None:
        some: list[tuple[bytes, asyncio.Future[Draft]]] = []
        try:
            while self._coming:
                some, self._coming = self._coming[: _SHARE * _THREADS], self._coming[_SHARE * _THREADS :]
                share = max(_SHARE, -(-len(some) // _THREADS))
                shares = [[data for data, _ in some[at : at + share]] for at in range(0, len(some), share)]
                made = await asyncio.gather(*(to_its_end(self._drafts, one) for one in shares))
                for (_, future), draft in zip(some, chain.from_iterable(made), strict=True):
                    if future.cancelled():
                        if isinstance(draft, Draft):
                            draft.discard()
                    elif isinstance(draft, Draft):
                        future.set_result(draft)
                    else:
                        future.set_exception(draft)
        finally:
            self._writing = None
            for _, future in (*some, *self._coming):
                future.cancel()  # the loop ends; of those that are done this changes nothing
            self._coming.clear()

    def _drafts(self, several: Sequence[bytes]) -> list[Draft | Exception]:
        made: list[Draft | Exception] = []
        for data in several:
            draft: Draft | None = None
            try:
                draft = Draft(self.folder, _PREFIX)
                draft.write(data)
                draft.flush_soon()
                made.append(draft)
            except Exception as error:
                if draft is not None:
                    draft.discard()
                made.append(error)
        return [_flushed(one) for one in made]

    def draft(self) -> Draft:
        """One to be filled by the caller."""
        return Draft(self.folder, _PREFIX)

    def name(self, connection: Connection, source: Path, name: str) -> None:
        """Give a finished file its name, within the transaction that writes its row; names are flushed to the disk once, ahead of its commit.
        What it was called before stays: should the transaction not end well, nothing is lost."""
        target = f"{self._prefix}{name}"
        try:
            os.link(source, target)
        except OSError:
            with file_failures(self.folder):
                os.replace(source, target)
        before_commit(connection, self.folder, self._sync)

    def unname(self, names: Iterable[str]) -> None:
        """Take back what was named within a transaction that is being undone."""
        for name in names:
            with suppress(OSError):
                os.unlink(self.path(name))

    def _sync(self) -> None:
        with file_failures(self.folder):
            sync_folder(self.folder)

    async def remove(self, names: Iterable[str]) -> None:
        """After the transaction that forgot their rows. Whoever has one open keeps reading it."""
        gone = list(names)

        def unlink() -> None:
            for name in gone:
                with suppress(FileNotFoundError), file_failures(self.path(name)):
                    self.path(name).unlink(missing_ok=True)

        if gone:
            await to_its_end(unlink)


def _flushed(made: Draft | Exception) -> Draft | Exception:
    if isinstance(made, Draft):
        try:
            made.flush()
        except Exception as error:
            made.discard()
            return error
    return made
