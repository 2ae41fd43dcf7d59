"""Processes that read documents, so that a file that breaks a parser breaks nothing else.

A parser process has no network, can read the one file and write into a scratch folder, and has a limit of memory and of time for each file. What it
sends back is data that is checked (`wire.py`). When it crashes, hangs or takes too much, it is ended, its file is `Unreadable`, and the next file
gets a fresh one. Processes start when they are needed, end when they have been idle for a while, and never outlive the server.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import secrets
import time
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path
from typing import Any, Protocol, TypeVar

from hausgeist.errors import HausgeistError, Unavailable
from hausgeist.knowledge.parse.base import Limits, Unreadable
from hausgeist.knowledge.parse.child import RESULT, Child, Ended, Progress
from hausgeist.knowledge.parse.lending import Tray, clear, empty, lend, sweep
from hausgeist.knowledge.parse.wire import decode, decode_cut
from hausgeist.knowledge.parsed import Cut, Parsed, Small
from hausgeist.store.threads import to_its_end

__all__ = ["Parsers", "Progress"]

log = logging.getLogger(__name__)

_FILES = 5000
"""After so many files a process is replaced, whatever it has leaked."""
_TURN = 1.0
"""Seconds after which small files that are read together let others have the process."""
_AT_ONCE = 64 << 10
"""Bytes of a result that are unpacked faster than they are handed to another thread."""
_PICTURE = 64 << 20
_PNG = b"\x89PNG\r\n\x1a\n"
_SLOTS_OF_PICTURES = 1
"""Besides the others, so that who looks at a page need not wait for a folder that is being read."""


T = TypeVar("T")
R_co = TypeVar("R_co", covariant=True)


class _Unpack(Protocol[R_co]):
    def __call__(self, data: bytes, /, *, characters: int) -> R_co: ...


class Parsers:
    """A pool of parser processes.

    `folder`: for what they need while they work, best on the disk where the files are, which are then linked rather than copied; what earlier
    processes left there is removed. `processes`: most at once; None: half of the processors. `languages`: of OCR, as Tesseract calls them; none: what
    is installed. `idle`: seconds after which a process that has nothing to do ends.
    """

    def __init__(
        self, folder: Path, *, processes: int | None = None, limits: Limits | None = None, languages: Sequence[str] = (), idle: float = 60.0
    ) -> None:
        self._folder = folder
        self._limits = limits or Limits()
        self._languages = tuple(languages)
        self._idle = idle
        self.processes = max(1, processes if processes is not None else (os.cpu_count() or 2) // 2)
        self._free = asyncio.Semaphore(self.processes)
        self._awaited = 0
        """Files that wait for a process by themselves."""
        self._free_for_pictures = asyncio.Semaphore(_SLOTS_OF_PICTURES)
        self._resting: list[Child] = []
        self._all: set[Child] = set()
        self._sweeper: asyncio.Task[None] | None = None
        self._swept = False
        self._closed = asyncio.Event()

    async def parse(self, path: Path, filename: str, *, progress: Progress | None = None) -> Parsed:
        """Read a file. `filename`: as its owner calls it, a hint to what it is. Raises `Unreadable`, saying why and what would help."""
        self._awaited += 1
        try:
            await self._free.acquire()
        finally:
            self._awaited -= 1
        try:
            data = await self._do({"filename": filename}, path, progress, RESULT)
        finally:
            self._free.release()
        return await self._unpacked(decode, data)

    async def cut_all(
        self, files: Sequence[Small], each: Callable[[int, Cut | HausgeistError], Awaitable[None]], *,
        progress: Callable[[int, int, int], None] | None = None,
    ) -> None:  # fmt: skip
        """Read and cut small files of one project in one go. `each`: told of each, by its number, what it says or why it could not be read, as soon
        as that is known. A file that ends its process costs nothing but itself. `progress`: the number of the file that is being read, and pages."""
        left = list(enumerate(files))
        while left:
            tray = Tray(self._folder)
            try:
                laid = await to_its_end(tray.lay, [one for _, one in left])
                async with self._free:
                    left = await self._turn(left, tray, laid, each, progress)
            finally:
                await to_its_end(tray.remove)

    async def _turn(
        self, files: Sequence[tuple[int, Small]], tray: Tray, laid: Sequence[str | Unreadable],
        each: Callable[[int, Cut | HausgeistError], Awaitable[None]], progress: Callable[[int, int, int], None] | None,
    ) -> list[tuple[int, Small]]:  # fmt: skip
        """Read some of them; those that are left."""
        worker = await self._take()
        done = 0
        try:
            at = tray.hand(worker.given)
            jobs = []
            for (number, one), name in zip(files, laid, strict=True):
                if isinstance(name, str):
                    jobs.append((number, {"filename": one.filename, "path": str(at / name), "most": one.most, "overlap": one.overlap}))
                else:
                    await each(number, name)
            try:
                until = time.monotonic() + _TURN
                over = lambda: self._awaited > 0 and time.monotonic() > until  # noqa: E731
                async with contextlib.aclosing(worker.go_through(jobs, progress, self._limits, over)) as answers:
                    async for number, data in answers:
                        await each(number, await self._cut(data) if isinstance(data, bytes) else data)
                        done += 1
            except Ended as error:
                if self._closed.is_set():
                    raise Unavailable("The server is stopping; the file will be read when it runs again.") from error
                await each(jobs[done][0], Unreadable(f"The file {error}"))
                done += 1
        finally:
            tray.take_back()
            await self._give_back(worker)
        left = {number for number, _ in jobs[done:]}
        return [one for one in files if one[0] in left]

    async def _cut(self, data: bytes) -> Cut | HausgeistError:
        try:
            return await self._unpacked(decode_cut, data)
        except Unreadable as error:
            return error

    async def _unpacked(self, unpack: _Unpack[T], data: bytes) -> T:
        most = 2 * self._limits.characters + (1 << 20)
        try:
            if len(data) <= _AT_ONCE:
                return unpack(data, characters=most)
            # Long documents take a while to unpack; the server has other things to do meanwhile.
            return await asyncio.to_thread(unpack, data, characters=most)
        except (ValueError, TypeError, IndexError, KeyError, RecursionError) as error:
            log.warning("a parser sent what no parser says: %s", error)
            raise Unreadable("The file could not be read: its parser did not answer in order.") from error

    async def picture(self, path: Path, page: int, width: int) -> bytes:
        """A page as PNG, `width` pixels wide (fewer, where it would have too many). Pages count from 1.

        Raises `NotFound` for a page that is not there, `NotSupported` for files whose pages have no pictures, `Unreadable` for damaged ones."""
        async with self._free_for_pictures:
            data = await self._do({"page": page, "width": width}, path, None, _PICTURE)
        if not data.startswith(_PNG):
            raise Unreadable("The page could not be drawn.")
        return data

    async def close(self) -> None:
        """End all processes, working ones too; their callers get `Unavailable`. Idempotent."""
        self._closed.set()
        if self._sweeper is not None:
            self._sweeper.cancel()
        await asyncio.gather(*(worker.end() for worker in list(self._all)))
        self._resting.clear()

    async def _do(self, job: dict[str, Any], path: Path, progress: Progress | None, most: int) -> bytes:
        worker = await self._take()
        given = worker.given / secrets.token_hex(8)
        try:
            await asyncio.to_thread(lend, path, given)
            data = await worker.work({**job, "path": str(given)}, progress, self._limits, most)
        except Ended as error:
            if self._closed.is_set():
                raise Unavailable("The server is stopping; the file will be read when it runs again.") from error
            raise Unreadable(f"The file {error}") from error
        finally:
            await self._give_back(worker)
        return data

    async def _give_back(self, worker: Child) -> None:
        # Told to end or tired, or in the middle of something that nobody waits for any more.
        if worker.ready and worker.files < _FILES and not worker.grown() and not self._closed.is_set():
            with contextlib.suppress(OSError):
                if not (empty(worker.given) and empty(worker.scratch)):
                    await asyncio.to_thread(clear, worker.given, worker.scratch)
            worker.since = time.monotonic()
            self._resting.append(worker)
        else:
            await asyncio.shield(self._end(worker))

    async def _take(self) -> Child:
        if self._closed.is_set():
            raise Unavailable("The server is stopping.")
        while self._resting:
            worker = self._resting.pop()
            if worker.alive:
                return worker
            await self._end(worker)
        if not self._swept:
            self._swept = True
            await asyncio.to_thread(sweep, self._folder)
        try:
            worker = await Child.start(self._folder, self._limits, self._languages, self._all)
        except Ended as error:
            raise Unavailable(f"A process to read documents could not be started: it {error}") from error
        except OSError as error:
            raise Unavailable(f"A process to read documents could not be started: {error.strerror or error}.") from error
        if self._closed.is_set():  # meanwhile
            await asyncio.shield(self._end(worker))
            raise Unavailable("The server is stopping.")
        if self._sweeper is None or self._sweeper.done():
            self._sweeper = asyncio.create_task(self._send_home())
        return worker

    async def _send_home(self) -> None:
        """End those that have been idle for long."""
        while self._all:
            await asyncio.sleep(min(self._idle / 4 + 0.05, 5.0))
            until = time.monotonic() - self._idle
            for worker in [one for one in self._resting if one.since < until or not one.alive]:
                self._resting.remove(worker)
                await self._end(worker)

    async def _end(self, worker: Child) -> None:
        await worker.end()
        self._all.discard(worker)
