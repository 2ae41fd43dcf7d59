"""Answers of a fake worker on their way out: paced, stopped by closing them, ended by a death of the worker."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from typing import Any, assert_never

from hausgeist.engines.base import WorkerGone
from hausgeist.engines.fake.steps import Die, Fail, Piece, Stall, Wait
from hausgeist.engines.fake.wire import DONE, Format, dumps, error, event

__all__ = ["Answering", "Failed", "Pace", "Whole"]

_BREATH = 16
"""Without a pace, how many tokens go out before others get a turn."""


class Failed(Exception):
    """The answer is an error with this status and body."""

    def __init__(self, status: int, body: dict[str, Any]) -> None:
        super().__init__(status)
        self.status = status
        self.body = body


class Whole:
    """An answer that is there at once."""

    streaming = False

    def __init__(self, status: int, body: bytes) -> None:
        self.status = status
        self._body = body

    async def chunks(self) -> AsyncIterator[bytes]:
        yield self._body

    async def read(self) -> bytes:
        return self._body

    async def close(self) -> None:
        pass


class Pace:
    """A steady clock: token k is due k/rate seconds after the first, so that a late one does not delay those after it."""

    def __init__(self, rate: float) -> None:
        self._rate = rate
        self._due: float | None = None
        self._count = 0

    def pause(self) -> float:
        """Seconds until the next token is due; negative: none, but let others run."""
        self._count += 1
        if not self._rate:
            return 0.0 if self._count % _BREATH else -1.0
        now = asyncio.get_running_loop().time()
        self._due = (now if self._due is None else self._due) + 1 / self._rate
        return max(self._due - now, -1.0)

    def postpone(self, seconds: float) -> None:
        """The clock stood still for so long."""
        if self._due is not None:
            self._due += seconds


class Answering:
    """One answer with its slots. `begin` waits for what a status line waits for: the first token of a stream, the end of everything else."""

    def __init__(self, answer: Format, pace: Pace, *, streaming: bool, release: Callable[[], None], die: Callable[[str], None]) -> None:
        self.status = 200
        self.streaming = streaming
        self._answer = answer
        self._pace = pace
        self._release = release
        self._die = die
        self._loop = asyncio.get_running_loop()
        self._interrupted: WorkerGone | None = None
        self._closed = False
        self._timer: asyncio.Future[None] | None = None
        self._body = b""
        self._events = self._run()
        self._first: tuple[int, Piece] | None = None

    async def begin(self) -> None:
        """Raises `Failed` when the answer is an error from the start, and `WorkerGone`."""
        if self.streaming:
            self._first = await anext(self._events, None)
            return
        async for _ in self._events:
            pass
        self._body = dumps(self._answer.whole())
        self._finish()

    async def chunks(self) -> AsyncIterator[bytes]:
        if not self.streaming:
            yield self._body
            return
        try:
            opening = self._answer.opening()
            if self._first is not None:
                opening += self._answer.piece(*self._first)
            if opening:
                yield opening
            async for choice, piece in self._events:
                if said := self._answer.piece(choice, piece):
                    yield said
            if not self._closed:
                yield self._answer.closing()
                if self._answer.ends_with_done:
                    yield DONE
        except Failed as failure:
            yield event(failure.body)
        finally:
            self._finish()

    async def read(self) -> bytes:
        return b"".join([chunk async for chunk in self.chunks()])

    async def close(self) -> None:
        self._closed = True
        self._wake()
        self._finish()

    def worker_gone(self, reason: str) -> None:
        """The worker died; whoever reads learns it now."""
        self._interrupted = WorkerGone(reason)
        self._wake()
        self._release()

    def _finish(self) -> None:
        self._answer.clock.ended = self._answer.clock.ended or self._loop.time()
        self._release()

    async def _run(self) -> AsyncIterator[tuple[int, Piece]]:
        """Tokens of all choices in turn, each when it is due."""
        clock = self._answer.clock
        compositions = self._answer.compositions
        for position in range(max((len(composition.pieces) for composition in compositions), default=0)):
            paced = False
            for choice, composition in enumerate(compositions):
                if position >= len(composition.pieces):
                    continue
                piece = composition.pieces[position]
                if piece.step is not None:
                    await self._perform(piece.step, first=choice == 0)
                elif piece.counts and not paced:
                    paced = True
                    await self._pause(self._pace.pause())
                if self._closed:
                    return
                if clock.first is None and piece.step is None:
                    clock.first = self._loop.time()
                yield choice, piece
        if clock.first is None:
            clock.first = self._loop.time()
        clock.ended = self._loop.time()

    async def _perform(self, step: Wait | Fail | Stall | Die, *, first: bool) -> None:
        match step:
            case Wait(seconds):
                if first:
                    await self._pause(seconds)
                    self._pace.postpone(seconds)
            case Fail(status, message):
                raise Failed(status, error(status, message))
            case Stall():
                while not self._closed:
                    await self._pause(3600.0)
            case Die():
                self._die("The fake worker died, as it was told to.")
                await self._pause(0.0)
            case _:
                assert_never(step)

    async def _pause(self, seconds: float) -> None:
        """Sleep, unless closed or interrupted meanwhile. Raises `WorkerGone`."""
        if seconds > 0 and self._interrupted is None and not self._closed:
            self._timer = self._loop.create_future()
            handle = self._loop.call_later(seconds, self._wake)
            try:
                await self._timer
            finally:
                handle.cancel()
                self._timer = None
        elif seconds < 0:
            await asyncio.sleep(0)
        if self._interrupted is not None:
            raise self._interrupted

    def _wake(self) -> None:
        if self._timer is not None and not self._timer.done():
            self._timer.set_result(None)
