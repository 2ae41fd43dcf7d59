"""Transfers that are durable jobs, and those who follow them: each sees the newest state of every file, however slowly it reads, and nobody holds
another up.

Those who follow a transfer keep it running: when the last one leaves, it is cancelled, unless it was asked for in the `background`. What a transfer
does is `install`'s and `push`'s.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Callable, Mapping
from contextlib import aclosing, asynccontextmanager, suppress
from dataclasses import asdict
from typing import Any, Final

from hausgeist.errors import EgressRefused, HausgeistError, NotFound, StoreError, Unavailable, Unresolved, shown
from hausgeist.identity import Origin, Principal
from hausgeist.library.reference import public
from hausgeist.library.transfer import Progress
from hausgeist.store.jobs import Job, Jobs, Task

__all__ = ["Followed", "Transfers", "asked_by", "asker"]

_ATTEMPTS: Final = 10
_ATTEMPTS_TO_RESOLVE: Final = 3
"""Names that are not known now will hardly be within the hour."""
_LOOK: Final = 0.5
_MOVING: Final = frozenset({"downloading", "uploading"})

Work = Callable[[Mapping[str, Any], "Followed"], Awaitable[Mapping[str, Any]]]
"""Does what a payload says and tells of it; returns the job's result."""


class Followed:
    """What a transfer tells, kept for whoever comes later."""

    def __init__(self) -> None:
        self.followers = 0
        self.ended = False
        self.error: Exception | None = None
        self._latest: dict[tuple[str, str], tuple[int, Progress]] = {}
        self._count = 0
        self._changed = asyncio.Event()

    @property
    def done(self) -> int:
        """Bytes of all files so far."""
        return sum(progress.done for (stage, _), (_, progress) in self._latest.items() if stage in _MOVING)

    @property
    def total(self) -> int:
        return sum(progress.total for (stage, _), (_, progress) in self._latest.items() if stage in _MOVING)

    def tell(self, progress: Progress) -> None:
        self._count += 1
        # Taken out first, so that what was told last also comes last.
        self._latest.pop((progress.stage, progress.name), None)
        self._latest[progress.stage, progress.name] = (self._count, progress)
        self._wake()

    def end(self, error: Exception | None = None) -> None:
        """Nothing more will come. The first end counts."""
        if not self.ended:
            self.ended, self.error = True, error
            self._wake()

    async def follow(self) -> AsyncGenerator[Progress, None]:
        """All that is told, from the state at this moment on. Raises what the transfer failed with."""
        seen = 0
        while True:
            changed = self._changed
            news = sorted((one for one in self._latest.values() if one[0] > seen), key=lambda one: one[0])
            for number, progress in news:
                seen = number
                yield progress
            if news:
                continue
            if self.ended:
                if self.error is not None:
                    raise self.error
                return
            await changed.wait()

    def _wake(self) -> None:
        self._changed.set()
        self._changed = asyncio.Event()


class Transfers:
    """The jobs of one kind. A payload has `reference`, and who asked (`asker`). `register` them before the queue is started."""

    def __init__(self, jobs: Jobs, kind: str) -> None:
        """`kind`: of the jobs, and the word for one of them in messages (pull, push)."""
        self._jobs = jobs
        self._kind = kind
        self._running: dict[str, Followed] = {}
        self._stopping: set[str] = set()
        self._kept: set[str] = set()
        """Those that nobody needs to follow."""
        self._closing = False

    def register(self, work: Work) -> None:
        self._jobs.register(self._kind, lambda task: self._run(task, work), hopeless=_is_hopeless)

    @property
    def waiting(self) -> list[Job]:
        """Those that are not finished."""
        # Asked at once: between two questions, one that is tried again would change sides and be in neither answer. And all: the newest are not those
        # that run.
        return self._jobs.list(kind=self._kind, statuses=("running", "queued"), limit=None)

    def lately(self, limit: int = 50) -> list[Job]:
        """The newest first, finished or not."""
        return self._jobs.list(kind=self._kind, limit=limit)

    def closing(self) -> None:
        """The server stops: followers are told, and their leaving cancels nothing."""
        self._closing = True
        for followed in self._running.values():
            followed.end(Unavailable(f"The server is stopping. The {self._kind} goes on when it is started again."))

    async def enqueue(self, key: str, payload: Mapping[str, Any]) -> Job:
        """The job of this key, which may be there already. One that is being stopped is waited for.

        `background` in a payload: it goes on whether or not anybody follows it.
        """
        await self._jobs.start()
        while True:
            job = await self._jobs.enqueue(self._kind, payload, key=key, max_attempts=_ATTEMPTS)
            found = self._jobs.get(job)
            if job not in self._stopping and not found.cancelling:
                # Also one that somebody follows already: it no longer ends when they leave.
                if payload.get("background") or found.payload.get("background"):
                    self._kept.add(job)
                return found
            await self._jobs.wait(job)

    def find(self, job: str) -> Job:
        """Raises `NotFound`, also for a job of another kind."""
        found = self._jobs.get(job)
        if found.kind != self._kind:
            raise NotFound(f"There is no {self._kind} '{shown(job, 80)}'.")
        return found

    async def stop(self, job: str) -> Job:
        """Cancel one, whoever follows it; what is finished stays as it is. Raises `NotFound`."""
        self.find(job)
        self._kept.discard(job)
        self._stopping.add(job)
        await asyncio.shield(self._cancel(job))
        return self._jobs.get(job)

    async def follow(self, job: str) -> AsyncGenerator[Progress, None]:
        """What is told along the way. Closing the generator leaves it; raises what the transfer failed with."""
        async with self._following(job) as followed, aclosing(followed.follow()) as told:
            async for progress in told:
                yield progress

    @asynccontextmanager
    async def _following(self, job: str) -> AsyncGenerator[Followed, None]:
        followed = self._running.setdefault(job, Followed())
        followed.followers += 1
        watcher = asyncio.create_task(self._watch(job, followed), name=f"watch {job}")
        try:
            yield followed
        finally:
            watcher.cancel()
            followed.followers -= 1
            kept = job in self._kept
            if not followed.followers:
                if followed.ended or not kept:
                    self._running.pop(job, None)
                if not kept and not self._closing:
                    # Asked of a finished one, this changes nothing. Noted at once: whoever asks for it now waits for the end of this one.
                    self._stopping.add(job)
                    await asyncio.shield(self._cancel(job))

    async def _watch(self, job: str, followed: Followed) -> None:
        """A job may run, and end, in another process of this home, or not begin for long."""
        while not followed.ended:
            await asyncio.sleep(_LOOK)
            try:
                found = self._jobs.get(job)
            except NotFound:
                followed.end(Unavailable(f"The {self._kind} was forgotten; start it again."))
                return
            if found.status in {"cancelled", "failed"}:
                followed.end(Unavailable(found.error or self._stopped))
            elif found.status == "done":
                followed.tell(Progress(stage="done"))
                followed.end()

    async def _cancel(self, job: str) -> None:
        try:
            with suppress(NotFound, StoreError):
                await self._jobs.cancel(job)
        finally:
            self._stopping.discard(job)

    async def _run(self, task: Task, work: Work) -> Mapping[str, Any]:
        """The job. Its followers hear of a failure at once; without any, the queue tries again later."""
        followed = self._running.setdefault(task.job.id, Followed())
        saving = asyncio.create_task(_save(task, followed))
        try:
            result = await work(task.payload, followed)
        except asyncio.CancelledError:
            followed.end(Unavailable(self._stopped))
            raise
        except HausgeistError as error:
            followed.end(error)
            raise
        except Exception:
            followed.end(HausgeistError())
            raise
        else:
            followed.end()
        finally:
            saving.cancel()
            if not followed.followers:
                self._running.pop(task.job.id, None)
        return result

    @property
    def _stopped(self) -> str:
        return f"The {self._kind} was stopped. Started again, it goes on where it was."


def _is_hopeless(job: Job, error: Exception) -> bool:
    """What the settings do not allow they allow no sooner than they are changed, and the server started anew."""
    return isinstance(error, EgressRefused) or (isinstance(error, Unresolved) and job.attempts >= _ATTEMPTS_TO_RESOLVE)


async def _save(task: Task, followed: Followed) -> None:
    """Keep how far it is where other processes and a later start can read it."""
    while True:
        await asyncio.sleep(_LOOK)
        with suppress(StoreError):
            await task.progress(followed.done, followed.total or None, public(str(task.payload["reference"])))


def asker(who: Principal | None, origin: Origin | None) -> dict[str, Any]:
    """Who asked for it, as a payload keeps it: rows of the audit table name them also after a restart."""
    return {"who": asdict(who) if who is not None else None, "origin": asdict(origin) if origin is not None else None}


def asked_by(payload: Mapping[str, Any]) -> tuple[Principal | None, Origin | None]:
    """Who asked for what this payload says."""
    who, origin = payload.get("who"), payload.get("origin")
    return Principal(**who) if who else None, Origin(**origin) if origin else None
