"""From a reference to an installed model: find it, see that it fits on the disk, fetch its files, look into them, write one row.

A pull is a durable job: one that a dead process left behind is gone on with at the next start. Pulls of one name are one. Those who follow a
pull keep it running: when the last one leaves, it is cancelled, and what was fetched stays for the next attempt. One that was started in the
background (`start`) goes on without them.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Callable, Mapping, Sequence
from contextlib import aclosing
from dataclasses import replace
from typing import Any, Final, Protocol

from hausgeist.errors import Conflict, InvalidRequest, NotFound
from hausgeist.identity import Origin, Principal
from hausgeist.library.assembly import Fetched, assemble
from hausgeist.library.catalog.naming import did_you_mean, meanings
from hausgeist.library.definition import Definition
from hausgeist.library.following import Followed, Transfers, asked_by, asker
from hausgeist.library.reference import Reference, public
from hausgeist.library.service import Library
from hausgeist.library.sources.base import Part, Release, Source
from hausgeist.library.transfer import Progress
from hausgeist.store.blobs import Blobs
from hausgeist.store.jobs import Job, Jobs

__all__ = ["PULL", "Fetching", "Installer"]

PULL: Final = "pull"
"""The kind of these jobs."""
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
        recorded: set[str] | None = None,
        anew: bool = False,
    ) -> str:
        """Returns the digest, in hex, once the whole file is a blob. Cancelled, it keeps what it has.

        `recorded`: hosts that have their row in the audit table. `anew`: the blob that is there is damaged, and stays until the good one is."""

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
        self._transfers = Transfers(jobs, PULL)

    def register(self) -> None:
        self._transfers.register(self._work)

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
        return self._transfers.waiting

    def lately(self, limit: int = 50) -> list[Job]:
        """Pulls, the newest first, finished or not."""
        return self._transfers.lately(limit)

    def closing(self) -> None:
        """The server stops: followers are told, and their leaving cancels nothing."""
        self._transfers.closing()

    async def pull(
        self, reference: Reference, *, name: str = "", who: Principal | None = None, origin: Origin | None = None
    ) -> AsyncGenerator[Progress, None]:
        """Install a model under `name` (default: the reference's own), or what its source has now in place of the one that is there.

        What is told along the way ends with the stage `done`. Closing the generator leaves the pull. Raises `NotFound`, `NotAllowed`,
        `EgressRefused`, `Unavailable`, `DiskFull`, `InvalidRequest`, `Conflict`.
        """
        job = await self._enqueue(reference, name, asker(who, origin))
        async with aclosing(self._transfers.follow(job.id)) as told:
            async for progress in told:
                yield progress

    async def start(self, reference: Reference, *, name: str = "", who: Principal | None = None, origin: Origin | None = None) -> Job:
        """The same with nobody waiting for it: it goes on until it is done, or stopped. What fails for a while is tried again, as `lately` tells.

        Raises `InvalidRequest`, `NotAllowed`, `Conflict`.
        """
        return await self._enqueue(reference, name, {**asker(who, origin), "background": True})

    async def stop(self, job: str) -> Job:
        """Stop a pull, whoever follows it; what was fetched stays for the next attempt. Raises `NotFound`."""
        return await self._transfers.stop(job)

    def find(self, job: str) -> Job:
        """One pull. Raises `NotFound`."""
        return self._transfers.find(job)

    async def _enqueue(self, reference: Reference, name: str, more: Mapping[str, Any]) -> Job:
        self.source(reference)
        called = self._library.check_name(name or str(reference.name))
        job = await self._transfers.enqueue(called.key, {"reference": str(reference), "name": str(called), **more})
        if Reference.parse(other := str(job.payload["reference"])) != reference:
            raise Conflict(f"'{called}' is being pulled from {public(other)} at the moment; wait for that, or stop it.")
        return job

    async def _work(self, payload: Mapping[str, Any], pull: Followed) -> Mapping[str, Any]:
        return {"digest": await self._install(payload, pull)}

    async def _install(self, payload: Mapping[str, Any], pull: Followed) -> str:
        reference, name = Reference.parse(str(payload["reference"])), str(payload["name"])
        who, origin = asked_by(payload)
        pull.tell(Progress(stage="resolving", name=public(str(reference))))
        known = self._library.stored(name)
        source, release = await self._found(reference, known, who, origin)
        if release.choice:
            pull.tell(Progress(stage="resolving", name=public(str(reference)), note=release.choice))
        if known is None or not self._is(known, release):
            known = await self._bring(source, release, name, pull, who, origin)
        pull.tell(Progress(stage="done", name=name, digest=known.digest))
        return known.digest

    async def _found(self, reference: Reference, known: Definition | None, who: Principal | None, origin: Origin | None) -> tuple[Source, Release]:
        """What was meant. Raises `NotFound`, with names that are near."""
        missing: list[NotFound] = []
        for meant in await asyncio.to_thread(meanings, reference):
            meant = _as_before(meant, known)
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
        recorded: set[str] = set()
        for part in release.parts:
            if part.url not in done:
                pull.tell(Progress(stage="downloading", name=part.filename, digest=part.sha256, total=part.size))
                done[part.url] = await self._downloads.fetch(part, source, progress=_named(pull, part), who=who, origin=origin, recorded=recorded)
                hold(done[part.url])
                size = self._blobs.size(done[part.url])
                pull.tell(Progress(stage="downloading", name=part.filename, digest=done[part.url], done=size, total=size))
            digests.append(done[part.url])
        return Fetched.of(release, digests)


def _as_before(meant: Reference, known: Definition | None) -> Reference:
    """A repository without a precision stands for the one that is installed: who pulls again wants what is new, not another file."""
    if meant.kind != "hub" or meant.tag or known is None or not known.reference:
        return meant
    was = Reference.parse(known.reference)
    return was if (was.kind, was.path.lower()) == (meant.kind, meant.path.lower()) else meant


def _named(pull: Followed, part: Part) -> Callable[[Progress], None]:
    """What is told of a file, under one name whatever the downloader calls it."""

    def tell(progress: Progress) -> None:
        if progress.stage in {"downloading", "verifying"}:
            pull.tell(replace(progress, name=part.filename, digest=progress.digest or part.sha256))

    return tell
