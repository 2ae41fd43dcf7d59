"""The verb of the downloader: `Downloads.fetch` brings one file of a release into the blobs, whole and verified, or leaves no blob at all.

What has come of a file stays in a partial file, through cancellation, failure and kill -9, until it is complete or given up (`sweep`).
"""

from __future__ import annotations

import asyncio
import hashlib
import logging
import time
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from hausgeist.errors import HausgeistError, StoreError, Unavailable, shown
from hausgeist.identity import Origin as Asker
from hausgeist.identity import Principal
from hausgeist.library.download.crew import Crew
from hausgeist.library.download.journal import Journal, Origin
from hausgeist.library.download.outbound import Outbound, Patience
from hausgeist.library.download.pace import Pace
from hausgeist.library.download.partial import PREFIX, Partial, journal_of
from hausgeist.library.download.upstream import Changed, Upstream
from hausgeist.library.download.ways import Way, Ways
from hausgeist.library.sources.base import Part, Source
from hausgeist.library.transfer import Progress, Stage
from hausgeist.store.blobs import Blobs, parse_digest
from hausgeist.store.failures import file_failures
from hausgeist.store.threads import to_its_end

__all__ = ["Downloads"]

_GIVEN_UP_SECONDS = 14 * 86400.0
_THREADS = 3
"""One that writes, one that flushes, one that waits for the hash."""
_REPORT_SECONDS = 0.1
_ELSEWHERE_SECONDS = 0.5
_STILL = "to be fetched"
_LONGEST = 2 << 40
"""Bytes that are taken from an upstream that does not say how many will come: more than any file of a model has. Nor more than were free when it
began: zeros take no space, and would never end."""
Report = Callable[[Progress], None]

log = logging.getLogger(__name__)


class Downloads:
    """One instance per process; several processes may share a home, and fetch each file once between them."""

    def __init__(self, blobs: Blobs, outbound: Outbound, *, patience: Patience | None = None) -> None:
        self._blobs = blobs
        self._outbound = outbound
        self._patience = patience or Patience()
        self._running: dict[str, _Download] = {}

    async def fetch(
        self,
        part: Part,
        source: Source,
        *,
        progress: Report | None = None,
        who: Principal | None = None,
        origin: Asker | None = None,
        recorded: set[str] | None = None,
        anew: bool = False,
    ) -> str:
        """The digest of the part, which is a blob now. Who asks for a file that is on its way already joins in, and helps where they know another
        address of it; when nobody waits any more (cancellation), it stops and what has come is kept.

        `recorded`: hosts that have their row in the audit table. `anew`: the blob that is there is damaged; it stays until the good one is here.

        Raises `DiskFull`, `EgressRefused`, `NotFound` and `NotAllowed` (upstream says so), `Unavailable` (cannot be reached, keeps failing,
        changes, or sends something whose digest is another).
        """

        def ask() -> Upstream:
            return Upstream(part, source, self._outbound, self._patience, who=who, asker=origin, recorded=recorded)

        key = _key(part)
        running = self._running.get(key)
        if running is None:
            running = self._running[key] = _Download(self, self._blobs, part, anew=anew)
        way = running.ways.join(part, ask)
        return await running.join(way, progress)

    async def missing(self, parts: Iterable[Part]) -> int:
        """Bytes still to be fetched, as far as sizes are known; a file that several parts share counts once."""
        return await asyncio.to_thread(self._missing, {_key(part): part for part in parts})

    async def check_space(self, parts: Iterable[Part]) -> None:
        """Raises `DiskFull` when the parts do not fit on the disk beside what else is on its way."""
        wanted = {_key(part): part for part in parts}
        running = [self._running[key] for key in wanted if key in self._running]
        await asyncio.to_thread(self._blobs.space.require, await self.missing(wanted.values()), whose=running, still=_STILL)

    async def discard(self, part: Part) -> bool:
        """Remove what has come of a part; False when there is nothing, or somebody is working on it."""
        return await asyncio.to_thread(_remove, self._path(part)) is not None

    async def sweep(self, older_than: float = _GIVEN_UP_SECONDS) -> int:
        """Remove what nobody has worked on for so many seconds. Returns the bytes freed."""
        return await asyncio.to_thread(self._sweep, older_than)

    def _path(self, part: Part) -> Path:
        return self._blobs.folder / f"{PREFIX}{_key(part)}"

    def _missing(self, parts: dict[str, Part]) -> int:
        rest = 0
        for part in parts.values():
            if not (part.sha256 and self._blobs.has(part.sha256)):
                rest += max(0, part.size - Journal.peek(journal_of(self._path(part))))
        return rest

    def _sweep(self, older_than: float) -> int:
        freed, before = 0, time.time() - older_than
        with file_failures(self._blobs.folder):
            for path in list(self._blobs.folder.glob(f"{PREFIX}*")):
                data = path.with_name(path.name.removesuffix(".new").removesuffix(".journal"))
                times = [file.stat().st_mtime for file in (data, journal_of(data)) if file.exists()]
                if not times or max(times) <= before:
                    freed += _remove(data) or 0
        return freed

    def forget(self, running: _Download) -> None:
        """Whoever asks from now on gets a download of their own."""
        if self._running.get(running.key) is running:
            del self._running[running.key]


class _Next(Exception):
    """It is the turn of another way."""


class _Download:
    """One file on its way, and those who wait for it."""

    def __init__(self, downloads: Downloads, blobs: Blobs, part: Part, *, anew: bool) -> None:
        self.key = _key(part)
        self.ways = Ways()
        self._sha256 = parse_digest(part.sha256) if part.sha256 else ""
        self._downloads = downloads
        self._blobs = blobs
        self._damaged = self._inode() if anew else 0
        self._begun = False
        self._reports: list[Report | None] = []
        self._said: Progress | None = None
        self._said_at = 0.0
        blobs.space.promise(self, part.size)
        self._task = asyncio.get_running_loop().create_task(self._run(part))
        self._task.add_done_callback(self._ended)

    async def join(self, way: Way, report: Report | None) -> str:
        self._reports.append(report)
        if report is not None and self._said is not None:
            report(self._said)
        try:
            return await asyncio.shield(self._task)
        except HausgeistError as error:
            if way.error is not None and way.error is not error:
                # Of what others named, this one knows nothing.
                raise way.error from error
            raise
        finally:
            self.ways.leave(way)
            self._reports.remove(report)
            if not self._reports and not self._task.done():
                self._downloads.forget(self)
                self._task.cancel()
                await asyncio.wait({self._task})

    def _ended(self, task: asyncio.Task[str]) -> None:
        self._downloads.forget(self)
        self._blobs.space.promise(self, 0)
        if not task.cancelled():
            # Those who waited may all have left.
            task.exception()

    def _inode(self) -> int:
        """Of the blob; 0: it is not there."""
        try:
            return self._blobs.path(self._sha256).stat().st_ino if self._sha256 else 0
        except OSError:
            return 0

    def _is_here(self) -> bool:
        return bool(self._sha256) and self._inode() != self._damaged and self._blobs.keep(self._sha256)

    async def _run(self, part: Part) -> str:
        partial = None
        path = self._blobs.folder / f"{PREFIX}{self.key}"
        while partial is None:
            if await to_its_end(self._is_here):
                size = self._blobs.size(self._sha256)
                self._say(part, "done", size, size)
                return self._sha256
            partial = await to_its_end(Partial.open, path)
            if partial is None:
                # Another process is at it.
                self._say(part, "downloading", await asyncio.to_thread(Journal.peek, journal_of(path)), part.size)
                await asyncio.sleep(_ELSEWHERE_SECONDS)
        pool = ThreadPoolExecutor(_THREADS, "hausgeist-download")
        try:
            digest = await self._obtain(partial, pool)
            self._say(part, "installing", partial.done.total, partial.done.total)
            await to_its_end(partial.release)
            await to_its_end(self._blobs.publish, partial.path, digest, anew=bool(self._damaged))
            await to_its_end(partial.published)
            self._say(part, "done", size := self._blobs.size(digest), size, digest=digest)
            return digest
        finally:
            # Whoever knows another way comes too late to help.
            self._downloads.forget(self)
            # Whatever happens, no thread may write to a file that others can have.
            await to_its_end(pool.shutdown)
            await to_its_end(partial.close)

    async def _obtain(self, partial: Partial, pool: ThreadPoolExecutor) -> str:
        """All of the file, from the best way at each moment. Returns its digest.

        A file that changes meanwhile, or turns out to be another one, is fetched anew once, and by one way alone: of bytes that came by several,
        nobody could tell whose were wrong.
        """
        failure: HausgeistError = Unavailable()
        alone = False
        while (way := self.ways.best()) is not None:
            try:
                await self._bring(way, partial, pool, alone=alone)
                return await self._verify(way.part, partial, pool)
            except _Next:
                continue
            except Changed as error:
                log.warning("%s; starting over", error)
                await self._start_over(partial)
                if alone:
                    way.error = failure = Unavailable(f"{error} twice in a row; try again later.")
                    failure.__cause__ = error
                alone = True
            except StoreError:
                raise
            except HausgeistError as error:
                way.error = failure = error
                if self.ways.best() is not None:
                    log.warning("%s Going on with another source of it.", error.message)
                    if alone:
                        await self._start_over(partial)
        if isinstance(failure.__cause__, Changed):
            await to_its_end(partial.remove)
        raise failure

    async def _start_over(self, partial: Partial) -> None:
        self._begun = False
        await to_its_end(partial.reset)

    async def _bring(self, way: Way, partial: Partial, pool: ThreadPoolExecutor, *, alone: bool) -> None:
        """What is missing into the partial file. Raises `_Next` when another way should go on."""
        known, space, clock = partial.origin, self._blobs.space, asyncio.get_running_loop().time
        if known is not None and known.size and partial.done.total == known.size and way.part.size in {0, known.size}:
            if not self._begun:
                await to_its_end(partial.begin, known)
                self._begun = True
            return
        upstream = way.ask()
        most = _LONGEST

        async def begin(origin: Origin) -> None:
            nonlocal most
            if partial.origin is not None and partial.done.total:
                upstream.hold(partial.origin, origin)
            space.promise(self, rest := max(0, origin.size - partial.done.total))
            await asyncio.to_thread(space.require, rest, whose={self}, still=_STILL)
            most = min(_LONGEST, partial.done.total + await asyncio.to_thread(space.free))
            if not self._begun:
                await to_its_end(partial.begin, origin)
                self._begun = True

        pace, started, before = Pace(partial.done.total), clock(), partial.done.total

        def look() -> None:
            fetched, total = crew.fetched, upstream.size
            if upstream.origin is not None and not total:
                # Nobody knows where it ends, so it could not be seen beforehand whether it fits.
                space.require(1, whose={self}, still=_STILL)
                if fetched > most:
                    raise Unavailable(upstream.endless(fetched))
            pace.update(fetched)
            space.promise(self, total - partial.done.total)
            self._say(way.part, "downloading", fetched, total, pace)

        def tick() -> None:
            look()
            if not alone and self.ways.turn(way, fetched=crew.fetched - before, seconds=clock() - started, left=pace.left(upstream.size)):
                raise _Next

        crew = Crew(upstream, partial, pool, begin=begin, tick=tick, straight=not alone)
        await crew.run()
        look()

    async def _verify(self, part: Part, partial: Partial, pool: ThreadPoolExecutor) -> str:
        """The digest, once everything is hashed and on the disk. Raises `Changed` when it is not the one that was announced."""
        loop = asyncio.get_running_loop()
        total, pace = partial.done.total, Pace(partial.hashed)
        flushing = loop.run_in_executor(pool, partial.sync)
        while not await loop.run_in_executor(pool, partial.wait_hashed, _REPORT_SECONDS):
            pace.update(partial.hashed)
            self._say(part, "verifying", partial.hashed, total, pace)
        await flushing
        digest = partial.hexdigest()
        if self._sha256 and digest != self._sha256:
            raise Changed(f"{shown(part.filename)} does not match its digest: expected sha256:{self._sha256}, got sha256:{digest}")
        return digest

    def _say(self, part: Part, stage: Stage, done: int, total: int, pace: Pace | None = None, *, digest: str = "") -> None:
        now = time.monotonic()
        if self._said is not None and self._said.stage == stage and now - self._said_at < _REPORT_SECONDS and done != total:
            return
        self._said_at = now
        self._said = Progress(
            stage=stage,
            name=part.filename,
            digest=digest or part.sha256,
            done=done,
            total=total,
            rate=pace.rate if pace is not None else 0.0,
            left=pace.left(total) if pace is not None else None,
        )
        for report in self._reports:
            if report is not None:
                report(self._said)


def _key(part: Part) -> str:
    """What the partial file of a part is called: by its digest, or by its address where there is none. Never text of somebody else's."""
    return parse_digest(part.sha256) if part.sha256 else f"url-{hashlib.sha256(part.url.encode()).hexdigest()[:32]}"


def _remove(path: Path) -> int | None:
    """Remove a partial file and its journal. Returns the bytes freed, or None when it is not there or somebody is working on it."""
    with file_failures(path):
        if not path.exists():
            for left in (journal_of(path), journal_of(path).with_name(f"{journal_of(path).name}.new")):
                left.unlink(missing_ok=True)
            return None
    partial = Partial.open(path)
    if partial is None:
        return None
    try:
        freed = getattr(path.stat(), "st_blocks", 0) * 512
        partial.remove()
    finally:
        partial.close()
    return freed
