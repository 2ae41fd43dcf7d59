"""Between a connection and the partial file: gathers what comes into writes that are large and aligned, and lets the connection read on meanwhile."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from concurrent.futures import Executor
from dataclasses import dataclass

from hausgeist.library.download.partial import BLOCK, Partial

__all__ = ["Piece", "Sink"]

_FLUSH = 1 << 20


@dataclass(slots=True)
class Piece:
    """The bytes [start, end) that one connection is at; `start` moves as they are written."""

    start: int
    end: int


class Sink:
    """For the bytes of one piece, in order. `count` is told how many bytes were added to what is gathered, or taken from it."""

    def __init__(self, partial: Partial, piece: Piece, pool: Executor, count: Callable[[int], None]) -> None:
        self._partial = partial
        self._piece = piece
        self._pool = pool
        self._count = count
        self._offset = piece.start
        self._chunks: list[bytes] = []
        self._size = 0
        self._writing: asyncio.Future[int] | None = None

    async def put(self, data: bytes) -> None:
        self._chunks.append(data)
        self._size += len(data)
        self._count(len(data))
        if self._size >= _FLUSH:
            # What goes beyond the last whole block waits, or holes would be missed where writes meet.
            rest = (self._offset + self._size) % BLOCK
            kept: list[bytes] = []
            while rest and len(self._chunks[-1]) <= rest:
                kept.insert(0, self._chunks.pop())
                rest -= len(kept[0])
            if rest:
                last = self._chunks[-1]
                self._chunks[-1] = last[:-rest]
                kept.insert(0, last[-rest:])
            await self._send(kept)

    async def end(self) -> None:
        """Write the rest, and wait until it is written."""
        if self._size:
            await self._send([])
        await self._written()

    async def _send(self, kept: list[bytes]) -> None:
        await self._written()
        chunks, self._chunks = self._chunks, kept
        offset, size = self._offset, self._size - sum(map(len, kept))
        self._offset, self._size = offset + size, self._size - size

        def write() -> int:
            self._partial.write(offset, b"".join(chunks))
            return size

        self._writing = asyncio.get_running_loop().run_in_executor(self._pool, write)

    async def _written(self) -> None:
        writing, self._writing = self._writing, None
        if writing is not None:
            size = await writing
            self._piece.start += size
            self._count(-size)
