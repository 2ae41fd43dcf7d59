"""The verb of the downloader: `Downloads.fetch` brings one file of a release into the blobs, whole and verified, or leaves no blob at all.

What has come of a file stays in a partial file, through cancellation, failure and kill -9, until it is complete or given up (`sweep`).
"""

from __future__ import annotations

import asyncio
import hashlib
import logging
import shutil
import time
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import ParamSpec, TypeVar

from hausgeist.errors import DiskFull, Unavailable, shown
from hausgeist.identity import Origin as Asker
from hausgeist.identity import Principal
from hausgeist.library.download.crew import Crew
from hausgeist.library.download.journal import Journal, Origin
from hausgeist.library.download.outbound import Outbound, Patience
from hausgeist.library.download.pace import Pace
from hausgeist.library.download.partial import PREFIX, Partial, journal_of
from hausgeist.library.download.upstream import Changed, Upstream
from hausgeist.library.sources.base import Part, Source
from hausgeist.library.transfer import Progress, Stage
from hausgeist.store.blobs import Blobs, parse_digest
from hausgeist.store.failures import file_failures

__all__ = ["Downloads"]

_RESERVE = 256 << 20
_GIVEN_UP_SECONDS = 14 * 86400.0
_THREADS = 3
"""One that writes, one that flushes, one that waits for the hash."""
_REPORT_SECONDS = 0.1
_ELSEWHERE_SECONDS = 0.5
Report = Callable[[Progress], None]
P = ParamSpec("P")
T = TypeVar("T")

log = logging.getLogger(__name__)


class Downloads:
    """One instance per process; several processes may share a home, and fetch each file once between them.

    `reserve`: bytes that have to stay free on the disk.
    """

    def __init__(self, blobs: Blobs, outbound: Outbound, *, patience: Patience | None = None, reserve: int = _RESERVE) -> None:
        self._blobs = blobs
        self._outbound = outbound
        self._patience = patience or Patience()
        self._reserve = reserve
        self._running: dict[str, _Download] = {}

    async def fetch(
        self, part: Part, source: Source, *, progress: Report | None = None, who: Principal | None = None, origin: Asker | None = None
    ) -> str:
        """The digest of the part, which is a blob now. Who asks for a file that is on its way already joins in; when nobody waits any more
        (cancellation), it stops and what has come is kept.

        Raises `DiskFull`, `EgressRefused`, `NotFound` and `NotAllowed` (upstream says so), `Unavailable` (cannot be reached, keeps failing,
        changes, or sends something whose digest is another).
        """
        key = _key(part)
        running = self._running.get(key)
        if running is None:

            def ask() -> Upstream:
                return Upstream(part, source, self._outbound, self._patience, who=who, asker=origin)

            running = self._running[key] = _Download(self, part, self._blobs, ask)
            running.task = asyncio.get_running_loop().create_task(running.run())
            running.task.add_done_callback(lambda task: self._ended(key, running, task))
        return await running.join(progress)

    async def missing(self, parts: Iterable[Part]) -> int:
        """Bytes still to be fetched, as far as sizes are known; a file that several parts share counts once."""
        return await asyncio.to_thread(self._missing, {_key(part): part for part in parts})

    async def check_space(self, parts: Iterable[Part]) -> None:
        """Raises `DiskFull` when the parts do not fit on the disk beside what else is on its way."""
        wanted = {_key(part): part for part in parts}
        await asyncio.to_thread(self.require, await self.missing(wanted.values()), beside=set(wanted))

    async def discard(self, part: Part) -> bool:
        """Remove what has come of a part; False when there is nothing, or somebody is working on it."""
        return await asyncio.to_thread(_remove, self._path(part)) is not None

    async def sweep(self, older_than: float = _GIVEN_UP_SECONDS) -> int:
        """Remove what nobody has worked on for so many seconds. Returns the bytes freed."""
        return await asyncio.to_thread(self._sweep, older_than)

    def require(self, size: int, *, beside: set[str]) -> None:
        """Raises `DiskFull` when so many bytes more do not fit. `beside`: keys of downloads that are counted in already."""
        with file_failures(self._blobs.folder):
            free = shutil.disk_usage(self._blobs.folder).free
        promised = sum(one.rest for key, one in self._running.items() if key not in beside)
        if size and size + promised + self._reserve > free:
            also = f", {_gigabytes(promised)} more are on their way" if promised else ""
            raise DiskFull(
                f"The disk that holds {self._blobs.folder} is too full: {_gigabytes(size)} are still to be fetched{also}, "
                f"{_gigabytes(free)} are free, of which {_gigabytes(self._reserve)} have to stay free. "
                "Free some space there (or choose another folder with --home) and try again."
            )

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

    def _ended(self, key: str, running: _Download, task: asyncio.Task[str]) -> None:
        self.forget(key, running)
        if not task.cancelled():
            # Those who waited may all have left.
            task.exception()

    def forget(self, key: str, running: _Download) -> None:
        """Whoever asks from now on gets a download of their own."""
        if self._running.get(key) is running:
            del self._running[key]


class _Download:
    """One file on its way, and those who wait for it."""

    task: asyncio.Task[str]

    def __init__(self, downloads: Downloads, part: Part, blobs: Blobs, ask: Callable[[], Upstream]) -> None:
        self.part = part
        self.rest = part.size
        """Bytes that will still be written."""
        self._downloads = downloads
        self._blobs = blobs
        self._ask = ask
        self._path = blobs.folder / f"{PREFIX}{_key(part)}"
        self._reports: list[Report | None] = []
        self._said: Progress | None = None
        self._said_at = 0.0

    async def join(self, report: Report | None) -> str:
        self._reports.append(report)
        if report is not None and self._said is not None:
            report(self._said)
        try:
            return await asyncio.shield(self.task)
        finally:
            self._reports.remove(report)
            if not self._reports and not self.task.done():
                self._downloads.forget(_key(self.part), self)
                self.task.cancel()
                await asyncio.wait({self.task})

    async def run(self) -> str:
        partial = None
        while partial is None:
            here = await _whole(self._blobs.keep, self.part.sha256) if self.part.sha256 else False
            if here:
                size = self._blobs.size(self.part.sha256)
                self._say("done", size, size)
                return parse_digest(self.part.sha256)
            partial = await _whole(Partial.open, self._path)
            if partial is None:
                # Another process is at it.
                self._say("downloading", await asyncio.to_thread(Journal.peek, journal_of(self._path)), self.part.size)
                await asyncio.sleep(_ELSEWHERE_SECONDS)
        pool = ThreadPoolExecutor(_THREADS, "hausgeist-download")
        try:
            return await self._twice(partial, pool)
        finally:
            # Whatever happens, no thread may write to a file that others can have.
            await _whole(pool.shutdown)
            await _whole(partial.close)

    async def _twice(self, partial: Partial, pool: ThreadPoolExecutor) -> str:
        """A file that changes while it is fetched, or turns out to be another one, is fetched anew once."""
        for last in (False, True):
            try:
                await self._bring(partial, pool, straight=not last)
                digest = await self._verify(partial, pool)
            except Changed as error:
                await _whole(partial.reset)
                if last:
                    await _whole(partial.remove)
                    raise Unavailable(f"{error} twice in a row; try again later.") from error
                log.warning("%s; starting over", error)
                continue
            self._say("installing", partial.done.total, partial.done.total)
            await _whole(partial.release)
            await _whole(self._blobs.publish, partial.path, digest)
            await _whole(partial.published)
            self._say("done", partial_size := self._blobs.size(digest), partial_size, digest=digest)
            return digest
        raise Unavailable

    async def _bring(self, partial: Partial, pool: ThreadPoolExecutor, *, straight: bool) -> None:
        """All bytes into the partial file."""
        known = partial.origin
        if known is not None and known.size and partial.done.total == known.size and self.part.size in {0, known.size}:
            await _whole(partial.begin, known)
            return
        upstream = self._ask()

        async def begin(origin: Origin) -> None:
            if partial.origin is not None and partial.done.total:
                upstream.hold(partial.origin, origin)
            self.rest = max(0, origin.size - partial.done.total)
            await asyncio.to_thread(self._downloads.require, self.rest, beside={_key(self.part)})
            await _whole(partial.begin, origin)

        pace = Pace(partial.done.total)

        def tick() -> None:
            if upstream.origin is not None and not upstream.origin.size:
                # Nobody knows where it ends, so it could not be seen beforehand whether it fits.
                self._downloads.require(1, beside={_key(self.part)})
            fetched, total = crew.fetched, upstream.origin.size if upstream.origin is not None else self.part.size
            pace.update(fetched)
            self.rest = max(0, total - partial.done.total)
            self._say("downloading", fetched, total, pace)

        crew = Crew(upstream, partial, pool, begin=begin, tick=tick, straight=straight)
        await crew.run()
        tick()

    async def _verify(self, partial: Partial, pool: ThreadPoolExecutor) -> str:
        """The digest, once everything is hashed and on the disk. Raises `Changed` when it is not the one that was announced."""
        loop = asyncio.get_running_loop()
        total, pace = partial.done.total, Pace(partial.hashed)
        flushing = loop.run_in_executor(pool, partial.sync)
        while not await loop.run_in_executor(pool, partial.wait_hashed, _REPORT_SECONDS):
            pace.update(partial.hashed)
            self._say("verifying", partial.hashed, total, pace)
        await flushing
        digest = partial.hexdigest()
        if self.part.sha256 and digest != parse_digest(self.part.sha256):
            raise Changed(
                f"{shown(self.part.filename)} does not match its digest: expected sha256:{parse_digest(self.part.sha256)}, got sha256:{digest}"
            )
        return digest

    def _say(self, stage: Stage, done: int, total: int, pace: Pace | None = None, *, digest: str = "") -> None:
        now = time.monotonic()
        if self._said is not None and self._said.stage == stage and now - self._said_at < _REPORT_SECONDS and done != total:
            return
        self._said_at = now
        self._said = Progress(
            stage=stage,
            name=self.part.filename,
            digest=digest or self.part.sha256,
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


def _gigabytes(size: int) -> str:
    return f"{size / 1e9:.1f} GB" if size >= 1_000_000_000 else f"{size / 1e6:.1f} MB"


async def _whole(fn: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
    """Run `fn` in a thread and wait for its end even when cancelled."""
    task = asyncio.ensure_future(asyncio.to_thread(fn, *args, **kwargs))
    try:
        return await asyncio.shield(task)
    except asyncio.CancelledError:
        await asyncio.wait({task})
        raise
