"""The connections that fetch one file side by side: who fetches what, and what happens when one fails.

Work is handed out in order and in pieces, so that the beginning is there first and can be hashed while it is fresh.
"""

from __future__ import annotations

import asyncio
from bisect import insort
from collections.abc import Awaitable, Callable
from concurrent.futures import Executor
from typing import TYPE_CHECKING

from hausgeist.errors import Unavailable
from hausgeist.library.download.answers import Answer
from hausgeist.library.download.journal import Origin
from hausgeist.library.download.partial import Partial
from hausgeist.library.download.ranges import Ranges
from hausgeist.library.download.receiver import Receiver, can_receive
from hausgeist.library.download.sink import Piece, Sink
from hausgeist.library.download.upstream import Again, Upstream

if TYPE_CHECKING:
    from aiohttp import ClientResponse

__all__ = ["Crew"]

_TICK = 0.2
_SMALLEST, _LARGEST = 4 << 20, 32 << 20
"""Bytes of a piece, which a connection takes at a time."""
_CONNECTIONS = 8
_GROWTH_SECONDS = 1.0
_PAYS = 1.1
"""One connection more is opened as long as the last one made it faster by this factor."""
_SYNC_SECONDS = 0.5
_FURTHER = 256 << 10
"""Bytes after which a connection has got further, and its failures are forgotten."""
_SLOWEST = 1024
"""Bytes per second that are next to nothing."""
_TRIAL = 1 << 20
"""Bytes of a piece after which it is seen whether its connection is swift."""
_STRAIGHT = 256 << 20
"""Bytes of a piece when a single connection is that swift."""
_WIDE = 4 << 20
"""Bytes that are written at a time then: each time, two threads have to wait for one another."""
_SWIFT = 64e6
"""Bytes per second from which on a connection is read past aiohttp, at the price of a new connection for the next piece."""
_AHEAD = 1 << 30
"""Bytes that may be fetched before they are hashed; beyond, they would leave the page cache."""
_UNKNOWN = 1 << 62


class Crew:
    """Fetches what is missing of `partial`. `begin` is called once, with the size (0: not known), before the first byte is written.

    One connection at first, more as long as they pay; one only where that is as swift as the machine. `straight`: such a one may be read
    past aiohttp.
    """

    def __init__(
        self,
        upstream: Upstream,
        partial: Partial,
        pool: Executor,
        *,
        begin: Callable[[Origin], Awaitable[None]],
        tick: Callable[[], None],
        straight: bool,
    ) -> None:
        self._upstream = upstream
        self._partial = partial
        self._pool = pool
        self._begin = begin
        self._tick = tick
        self._tasks: set[asyncio.Task[None]] = set()
        self._news = asyncio.Event()
        known = partial.origin
        self._pending = partial.done.gaps((known.size if known is not None else 0) or _UNKNOWN)
        self._began = False
        self._most = _CONNECTIONS
        self._straight = straight
        self._swift = False
        self._behind = True
        self._buffered = 0
        # Not what the file says of itself: that is changed by the thread that writes, a moment before the buffers know.
        self._written = partial.done.total

    @property
    def fetched(self) -> int:
        """Bytes that have come, in the file or on the way there."""
        return self._written + self._buffered

    async def run(self) -> None:
        """Until everything is there. Raises what cannot be helped; what has come stays in the partial file."""
        now = asyncio.get_running_loop().time
        syncing: asyncio.Future[None] | None = None
        synced = grown = now()
        before, rate = self.fetched, 0.0
        self._hire()
        try:
            while self._tasks:
                await self._something()
                if (took := now() - grown) >= (_GROWTH_SECONDS if rate else _TICK):
                    faster = (self.fetched - before) / took
                    self._swift = self._swift and faster >= _SWIFT
                    helps = faster > rate * _PAYS and not self._swift
                    if helps and len(self._tasks) < self._most and self._began and self._pending:
                        self._hire()
                        rate = faster
                    grown, before = now(), self.fetched
                if self._began and now() - synced >= _SYNC_SECONDS and (syncing is None or syncing.done()):
                    if syncing is not None:
                        syncing.result()
                    syncing, synced = asyncio.get_running_loop().run_in_executor(self._pool, self._partial.sync), now()
                self._tick()
        finally:
            for task in self._tasks:
                task.cancel()
            await asyncio.gather(*self._tasks, return_exceptions=True)
            if syncing is not None:
                await asyncio.wait({syncing})
        if syncing is not None:
            syncing.result()

    async def _something(self) -> None:
        """Wait until a connection has ended, or for a moment; raise what ended it."""
        try:
            async with asyncio.timeout(_TICK):
                await self._news.wait()
        except TimeoutError:
            return
        self._news.clear()
        for task in [one for one in self._tasks if one.done()]:
            self._tasks.discard(task)
            task.result()
        if not self._tasks and self._pending:
            self._hire()

    def _hire(self) -> None:
        task = asyncio.get_running_loop().create_task(self._work())
        self._tasks.add(task)
        task.add_done_callback(lambda _: self._news.set())

    async def _work(self) -> None:
        """One connection: takes pieces until none is left, or until it is better that there are fewer connections."""
        failures, patience = 0, self._upstream.patience
        while (piece := self._take()) is not None:
            began = piece.start
            try:
                await self._keep_pace()
                await self._fetch(piece)
                failures = 0
                continue
            except Again as error:
                failures = 1 if piece.start - began >= _FURTHER else failures + 1
                if failures >= patience.tries:
                    raise Unavailable(
                        f"{self._upstream.name} {error} ({failures} times in a row). What has come is kept; try again later."
                    ) from error
                trouble = error
            finally:
                self._give_back(piece)
            if trouble.busy and len(self._tasks) > 1:
                self._most = max(1, len(self._tasks) - 1)
                return
            if failures > 1 or not trouble.at_once:
                await asyncio.sleep(patience.delay(failures, trouble.wait))

    def _take(self) -> Piece | None:
        if not self._pending:
            return None
        start, end = self._pending.pop(0)
        if self._most > 1:
            rest = sum(last - first for first, last in self._pending) + end - start
            size = max(_SMALLEST, min(_LARGEST, rest // (2 * _CONNECTIONS))) if self._began else _SMALLEST
            if self._swift and len(self._tasks) == 1:
                size = _STRAIGHT
            cut = (start + size) // _SMALLEST * _SMALLEST
            if cut < end:
                self._pending.insert(0, (cut, end))
                end = cut
        return Piece(start, end)

    def _give_back(self, piece: Piece) -> None:
        """What a connection did not get is there for the others."""
        if piece.start < piece.end:
            insort(self._pending, (piece.start, piece.end))

    async def _keep_pace(self) -> None:
        """Wait while much more was fetched than is hashed; after a restart, what was there before is caught up with first."""
        while (ahead := self._partial.done.prefix - self._partial.hashed) > _AHEAD and not self._behind:
            await asyncio.sleep(_TICK / 2)
        self._behind = self._behind and ahead > _AHEAD // 16

    async def _fetch(self, piece: Piece) -> None:
        from aiohttp import ClientError

        try:
            async with self._upstream.ask(piece.start, piece.end) as (response, answer):
                if not self._began:
                    await self._start(piece, answer)
                await self._read(response, answer, piece)
        except TimeoutError as error:
            raise Again("stopped sending") from error
        except (ClientError, OSError) as error:
            raise Again(f"broke the connection off ({type(error).__name__})") from error
        except Unavailable as error:
            if error.__cause__ is None:
                raise
            raise Again(f"gave no answer: {error.message}") from error

    async def _start(self, piece: Piece, answer: Answer) -> None:
        """The first answer says how large the file is, and whether others can help."""
        origin = self._upstream.origin
        if origin is None:
            raise Unavailable
        await self._begin(origin)
        self._began = True
        end = origin.size or _UNKNOWN
        if not answer.ranged:
            self._most, self._pending = 1, []
            piece.start, piece.end = next(iter(self._partial.done.gaps(end)), (end, end))[0], end
            return
        piece.end = min(piece.end, end)
        self._pending = Ranges([*self._partial.done, (piece.start, piece.end)]).gaps(end)

    async def _read(self, response: ClientResponse, answer: Answer, piece: Piece) -> None:
        """Write what belongs to the piece. A server without ranges sends the file from its beginning; what comes before the piece is passed over."""
        now = asyncio.get_running_loop().time
        sink = Sink(self._partial, piece, self._pool, self._count)
        position, asked, began = answer.start, piece.end - piece.start, now()
        window, since = began, 0
        try:
            async for data in response.content.iter_any():
                since += len(data)
                if (took := now() - window) > self._upstream.patience.stall:
                    if since < _SLOWEST * took:
                        raise Again("sends next to nothing")
                    window, since = now(), 0
                skipped = min(len(data), max(0, piece.start - position)) if position < piece.start else 0
                position += len(data)
                fresh = data[skipped:] if skipped else data
                if position > piece.end:
                    fresh = fresh[: len(fresh) - (position - piece.end)]
                if fresh:
                    await sink.put(fresh)
                if position >= piece.end:
                    break
                tried = position - max(answer.start, piece.start)
                if self._straight and tried >= _TRIAL and tried >= _SWIFT * (now() - began) and can_receive(response):
                    self._swift = True
                    await self._receive(response, sink, min(piece.end, answer.end) - position)
                    break
        finally:
            await sink.end()
        if piece.end == _UNKNOWN:
            piece.end = piece.start
        elif piece.start < piece.end and (piece.start < answer.end or answer.end - answer.start < min(asked, _FURTHER)):
            raise Again("ended before all had come")

    async def _receive(self, response: ClientResponse, sink: Sink, rest: int) -> None:
        """The rest of a piece whose connection turned out to be swift."""
        sink.widen(_WIDE)
        receiver, stall = Receiver(response, sink, rest), self._upstream.patience.stall
        await receiver.begin()
        while rest := receiver.rest:
            try:
                async with asyncio.timeout(stall):
                    await receiver.more()
            except TimeoutError:
                if rest - receiver.rest < _SLOWEST * stall:
                    raise Again("sends next to nothing") from None

    def _count(self, size: int) -> None:
        self._buffered += size
        if size < 0:
            self._written -= size
