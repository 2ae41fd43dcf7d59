"""Where the bytes are: HOME/files, one file for each id, readable by its owner only. A name is there whole, or it is not there.

Each id has bytes of its own, even where two are the same: nobody learns from a second upload whether somebody has that file already, and what is
erased is gone. What comes in is a draft first; its name is given within the transaction that writes its row, and is taken after the one that
forgets it. So a name without a row is what a crash left behind, seen by whoever holds the writers' lock.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator, Callable, Iterable
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Final

from hausgeist.errors import TooLarge
from hausgeist.store.disk import sync_folder
from hausgeist.store.drafts import Draft, sweep
from hausgeist.store.failures import file_failures
from hausgeist.store.space import Space
from hausgeist.store.threads import to_its_end

__all__ = ["Folder"]

_BUFFER: Final = 1 << 20
_PREFIX: Final = ".draft-"


class Folder:
    """Names are ids that were made here: nothing that a client sends ever becomes a path."""

    def __init__(self, home: Path, *, space: Space) -> None:
        """`space`: of the disk that the home is on."""
        self.folder = home / "files"
        self.space = space
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
            draft = await asyncio.to_thread(Draft, self.folder, _PREFIX)
            try:
                buffer = bytearray()

                async def write() -> None:
                    coming(len(buffer))
                    self.space.require(len(buffer), whose={claim})
                    await to_its_end(draft.write, bytes(buffer))
                    self.space.promise(claim, size - draft.size)
                    buffer.clear()

                async for chunk in chunks:
                    if draft.size + len(buffer) + len(chunk) > limit:
                        raise TooLarge(f"The file is larger than {limit} bytes, the limit here.")
                    buffer += chunk
                    if len(buffer) >= _BUFFER:
                        await write()
                await write()
                await to_its_end(draft.flush)
                yield draft
            finally:
                draft.discard()

    def draft(self) -> Draft:
        """One to be filled by the caller."""
        return Draft(self.folder, _PREFIX)

    def name(self, source: Path, name: str) -> None:
        """Give a finished file its name, within the transaction that writes its row. What it was called before stays: should the transaction not
        end well, nothing is lost."""
        target = self.path(name)
        with file_failures(target):
            try:
                os.link(source, target)
            except OSError:
                os.replace(source, target)
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
