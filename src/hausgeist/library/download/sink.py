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
    """For the bytes of one piece, in order. `count` is told how many bytes were added to what is gathered, or taken from it.

    Two buffers take turns. They are used again and again: memory that is handed back and asked for anew costs a page fault per page.
    """

    def __init__(self, partial: Partial, piece: Piece, pool: Executor, count: Callable[[int], None]) -> None:
        self._partial = partial
        self._piece = piece
        self._pool = pool
        self._count = count
        self._offset = piece.start
        self._buffer, self._spare = bytearray(_FLUSH), bytearray(_FLUSH)
        self._size = 0
        self._writing: asyncio.Future[int] | None = None

    async def put(self, data: bytes) -> None:
        view = memoryview(data)
        while view:
            room = self.room()
            taken = view[: len(room)]
            room[: len(taken)] = taken
            self.filled(len(taken))
            view = view[len(taken) :]
            if len(taken) == len(room):
                await self._send()

    def widen(self, size: int) -> None:
        """Write so much at a time from here on. What is gathered stays."""
        wide = bytearray(size)
        wide[: self._size] = self._buffer[: self._size]
        self._buffer, self._spare = wide, bytearray(size)

    def room(self) -> memoryview:
        """What is free of the buffer that is being filled. Never empty: a full buffer is sent with `flush`."""
        # A write ends where a block does, or holes would be missed where writes meet.
        return memoryview(self._buffer)[self._size : len(self._buffer) - self._offset % BLOCK]

    def filled(self, size: int) -> None:
        """So many bytes were put into `room`."""
        self._size += size
        self._count(size)

    async def flush(self) -> None:
        """Let the buffer be written, and go on with the other one as soon as that is free."""
        if self._size:
            await self._send()

    async def end(self) -> None:
        """Write the rest, and wait until it is written."""
        await self.flush()
        await self._written()

    async def _send(self) -> None:
        await self._written()
        buffer, offset, size = self._buffer, self._offset, self._size
        self._buffer, self._spare = self._spare, buffer
        self._offset, self._size = offset + size, 0

        def write() -> int:
            self._partial.write(offset, buffer, size)
            return size

        self._writing = asyncio.get_running_loop().run_in_executor(self._pool, write)

    async def _written(self) -> None:
        writing, self._writing = self._writing, None
        if writing is not None:
            try:
                size = await asyncio.shield(writing)
            except asyncio.CancelledError:
                await asyncio.wait({writing})
                raise
            self._piece.start += size
            self._count(-size)
