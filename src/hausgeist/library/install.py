"""From a reference to an installed model: find it, see that it fits on the disk, fetch its files, look into them, write one row.

A pull is a durable job: one that a dead process left behind is gone on with at the next start. Pulls of one name are one. Those who follow a
pull keep it running: when the last one leaves, it is cancelled, and what was fetched stays for the next attempt.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncGenerator, Callable, Mapping, Sequence
from contextlib import aclosing, asynccontextmanager, suppress
from dataclasses import asdict, replace
from typing import Any, Final, Protocol

from hausgeist.errors import Conflict, HausgeistError, InvalidRequest, NotFound, StoreError, Unavailable
from hausgeist.identity import Origin, Principal
from hausgeist.library.assembly import Fetched, assemble
from hausgeist.library.catalog.naming import did_you_mean, meanings
from hausgeist.library.definition import Definition
from hausgeist.library.following import Followed
from hausgeist.library.reference import Reference, public
from hausgeist.library.service import Library
from hausgeist.library.sources.base import Part, Release, Source
from hausgeist.library.transfer import Progress
from hausgeist.store.blobs import Blobs
from hausgeist.store.jobs import Job, Jobs, Task

__all__ = ["PULL", "Fetching", "Installer"]

log = logging.getLogger(__name__)

PULL: Final = "pull"
"""The kind of these jobs."""
_ATTEMPTS: Final = 10
_LOOK: Final = 0.5
_ROUNDS: Final = 3
"""How often files that vanish while others are fetched are fetched again."""


class Fetching(Protocol):
    """What brings files here (`library.download`)."""

    async def fetch(
        self,
        part: Part,
        source: Source,
        *,
        progress: Callable[[Progress], None] | None = None,
        who: Principal | None = None,
        origin: Origin | None = None,
    ) -> str:
        """Returns the digest, in hex, once the whole file is a blob. Cancelled, it keeps what it has."""

    async def check_space(self, parts: Sequence[Part]) -> None:
        """Raises `DiskFull` when what is missing of the parts does not fit."""


class Installer:
    """`register` it with the queue before that is started; `closing` before it is stopped."""

    def __init__(self, *, library: Library, blobs: Blobs, source: Callable[[Reference], Source], downloads: Fetching, jobs: Jobs) -> None:
        """`source`: where a reference points to."""
        self._library = library
        self._blobs = blobs
        self._source = source
        self._downloads = downloads
        self._jobs = jobs
        self._pulls: dict[str, Followed] = {}
        self._stopping: set[str] = set()
        self._closing = False

    def register(self) -> None:
        self._jobs.register(PULL, self._run)

    def source(self, reference: Reference) -> Source:
        """Where it points to. Raises `InvalidRequest` for what cannot be pulled: files on this machine are never read for a caller."""
        if reference.kind == "path":
            raise InvalidRequest(
                f"'{reference}' is a file and no name. 'hausgeist run FILE' talks to a model in a file, 'hausgeist serve FILE' offers it.",
                param="model",
            )
        return self._source(reference)

    @property
    def waiting(self) -> list[Job]:
        """Pulls that are not finished."""
        return [*self._jobs.list(kind=PULL, status="running"), *self._jobs.list(kind=PULL, status="queued")]

    def lately(self, limit: int = 50) -> list[Job]:
        """Pulls, the newest first, finished or not."""
        return self._jobs.list(kind=PULL, limit=limit)

    def closing(self) -> None:
        """The server stops: followers are told, and their leaving cancels nothing."""
        self._closing = True
        for pull in self._pulls.values():
            pull.end(Unavailable("The server is stopping. The pull goes on when it is started again."))

    async def pull(
        self, reference: Reference, *, name: str = "", who: Principal | None = None, origin: Origin | None = None
    ) -> AsyncGenerator[Progress, None]:
        """Install a model under `name` (default: the reference's own), or what its source has now in place of the one that is there.

        What is told along the way ends with the stage `done`. Closing the generator leaves the pull. Raises `NotFound`, `NotAllowed`,
        `EgressRefused`, `Unavailable`, `DiskFull`, `InvalidRequest`, `Conflict`.
        """
        self.source(reference)
        called = self._library.check_name(name or str(reference.name))
        payload = {"reference": str(reference), "name": str(called), **_asker(who, origin)}
        job = await self._enqueue(called.key, payload)
        if Reference.parse(other := str(self._jobs.get(job).payload["reference"])) != reference:
            raise Conflict(f"'{called}' is being pulled from {public(other)} at the moment; wait for that, or stop it.")
        async with self._following(job) as pull, aclosing(pull.follow()) as told:
            async for progress in told:
                yield progress

    async def _enqueue(self, key: str, payload: Mapping[str, Any]) -> str:
        """The job that pulls this name, which may be there already. One that is being stopped is waited for."""
        await self._jobs.start()
        while True:
            job = await self._jobs.enqueue(PULL, payload, key=key, max_attempts=_ATTEMPTS)
            if job not in self._stopping and not self._jobs.get(job).cancelling:
                return job
            await self._jobs.wait(job)

    @asynccontextmanager
    async def _following(self, job: str) -> AsyncGenerator[Followed, None]:
        pull = self._pulls.setdefault(job, Followed())
        pull.followers += 1
        watcher = asyncio.create_task(self._watch(job, pull), name=f"watch {job}")
        try:
            yield pull
        finally:
            watcher.cancel()
            pull.followers -= 1
            if not pull.followers:
                self._pulls.pop(job, None)
                if not self._closing:
                    # Asked of a finished one, this changes nothing. Noted at once: whoever pulls it now waits for the end of this one.
                    self._stopping.add(job)
                    await asyncio.shield(self._cancel(job))

    async def _watch(self, job: str, pull: Followed) -> None:
        """A job may run, and end, in another process of this home, or not begin for long."""
        while not pull.ended:
            await asyncio.sleep(_LOOK)
            try:
                found = self._jobs.get(job)
            except NotFound:
                pull.end(Unavailable("The pull was forgotten; start it again."))
                return
            if found.status in {"cancelled", "failed"}:
                pull.end(Unavailable(found.error or "The pull was stopped. Started again, it goes on where it was."))
            elif found.status == "done":
                pull.tell(Progress(stage="done"))
                pull.end()

    async def _cancel(self, job: str) -> None:
        try:
            with suppress(NotFound, StoreError):
                await self._jobs.cancel(job)
        finally:
            self._stopping.discard(job)

    async def _run(self, task: Task) -> Mapping[str, Any]:
        """The job. Its followers hear of a failure at once; without any, the queue tries again later."""
        pull = self._pulls.setdefault(task.job.id, Followed())
        saving = asyncio.create_task(_save(task, pull))
        try:
            digest = await self._install(task.payload, pull)
        except asyncio.CancelledError:
            pull.end(Unavailable("The pull was stopped. Started again, it goes on where it was."))
            raise
        except HausgeistError as error:
            pull.end(error)
            raise
        except Exception:
            pull.end(HausgeistError())
            raise
        else:
            pull.end()
        finally:
            saving.cancel()
            if not pull.followers:
                self._pulls.pop(task.job.id, None)
        return {"digest": digest}

    async def _install(self, payload: Mapping[str, Any], pull: Followed) -> str:
        reference, name = Reference.parse(str(payload["reference"])), str(payload["name"])
        who, origin = _asked(payload)
        pull.tell(Progress(stage="resolving", name=public(str(reference))))
        source, release = await self._found(reference, who, origin)
        if (known := self._library.stored(name)) is None or not self._is(known, release):
            known = await self._bring(source, release, name, pull, who, origin)
        pull.tell(Progress(stage="done", name=name, digest=known.digest))
        return known.digest

    async def _found(self, reference: Reference, who: Principal | None, origin: Origin | None) -> tuple[Source, Release]:
        """What was meant. Raises `NotFound`, with names that are near."""
        missing: list[NotFound] = []
        for meant in await asyncio.to_thread(meanings, reference):
            source = self.source(meant)
            try:
                return source, await source.find(meant, who=who, origin=origin)
            except NotFound as error:
                missing.append(error)
        if reference.kind != "registry" or reference.host:
            raise missing[0]
        installed = [model.id for model in self._library.models()]
        raise NotFound(missing[0].message + await asyncio.to_thread(did_you_mean, str(reference), installed)) from missing[0]

    def _is(self, known: Definition, release: Release) -> bool:
        """Whether what is installed is what the source has."""
        same = release.version and known.version == release.version and known.reference and Reference.parse(known.reference) == release.reference
        return bool(same) and all(ref.at(self._blobs.path).is_file() for ref in known.refs())

    async def _bring(self, source: Source, release: Release, name: str, pull: Followed, who: Principal | None, origin: Origin | None) -> Definition:
        known = [part.sha256 for part in release.parts if part.sha256]
        with self._library.holding(known) as hold:
            await self._downloads.check_space(release.parts)
            for _ in range(_ROUNDS):
                fetched = await self._fetch(source, release, pull, hold, who, origin)
                # Another process may have taken away what no model mentioned yet.
                if all(self._blobs.has(blob) for blob in fetched.blobs):
                    break
            pull.tell(Progress(stage="installing", name=name))
            definition = await asyncio.to_thread(assemble, self._blobs, fetched)
            await self._library.install(name, definition)
            return definition

    async def _fetch(
        self, source: Source, release: Release, pull: Followed, hold: Callable[[str], None], who: Principal | None, origin: Origin | None
    ) -> Fetched:
        digests: list[str] = []
        done: dict[str, str] = {}
        for part in release.parts:
            if part.url not in done:
                pull.tell(Progress(stage="downloading", name=part.filename, digest=part.sha256, total=part.size))
                done[part.url] = await self._downloads.fetch(part, source, progress=_named(pull, part), who=who, origin=origin)
                hold(done[part.url])
                size = self._blobs.size(done[part.url])
                pull.tell(Progress(stage="downloading", name=part.filename, digest=done[part.url], done=size, total=size))
            digests.append(done[part.url])
        return Fetched.of(release, digests)


def _named(pull: Followed, part: Part) -> Callable[[Progress], None]:
    """What is told of a file, under one name whatever the downloader calls it."""

    def tell(progress: Progress) -> None:
        if progress.stage in {"downloading", "verifying"}:
            pull.tell(replace(progress, name=part.filename, digest=progress.digest or part.sha256))

    return tell


async def _save(task: Task, pull: Followed) -> None:
    """Keep how far it is where other processes and a later start can read it."""
    while True:
        await asyncio.sleep(_LOOK)
        with suppress(StoreError):
            await task.progress(pull.done, pull.total or None, public(str(task.payload["reference"])))


def _asker(who: Principal | None, origin: Origin | None) -> dict[str, Any]:
    """Who asked for it, as the payload keeps it: rows of the audit table name them also after a restart."""
    return {"who": asdict(who) if who is not None else None, "origin": asdict(origin) if origin is not None else None}


def _asked(payload: Mapping[str, Any]) -> tuple[Principal | None, Origin | None]:
    who, origin = payload.get("who"), payload.get("origin")
    return Principal(**who) if who else None, Origin(**origin) if origin else None
