"""A durable queue: what must be done even if the process dies in the middle of it.

A job is run at least once. Whoever runs it holds a lease and renews it; when the process is killed the lease runs out and the job is taken
again, here or by another process that has the same home open. So a handler must bear being run twice. A failure is tried again later, each time
after a longer pause, unless trying again cannot help. What a job means is its handler's business.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
import random
import time
from collections.abc import Awaitable, Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection

from hausgeist.errors import HausgeistError, InvalidRequest, NotAllowed, NotAuthenticated, NotFound, StoreError, TooLarge, Unavailable
from hausgeist.store import records
from hausgeist.store.database import Database
from hausgeist.store.processes import is_dead, this_process
from hausgeist.store.records import Job, Status

__all__ = ["Handler", "Job", "Jobs", "Status", "Task"]

_HOPELESS = (InvalidRequest, NotAllowed, NotAuthenticated, NotFound, TooLarge)
"""What fails like this fails again."""
_PROGRESS_SECONDS = 0.5
_LONGEST_PAUSE = 3600.0
_PRUNE_SECONDS = 3600.0

log = logging.getLogger(__name__)

Hopeless = Callable[[Job, Exception], bool]
"""Whether trying again cannot help a job that failed like this."""
Handler = Callable[["Task"], Awaitable[Mapping[str, Any] | None]]
"""Does a job and returns its result. Cancelled like any coroutine; should it go on in a thread, that thread looks at `Task.cancelled`."""


class Task:
    """A job as its handler sees it."""

    def __init__(
        self, job: Job, save: Callable[[float, float | None, str], Awaitable[None]], rested: Callable[[], object] = lambda: None
    ) -> None:  # fmt: skip
        self.job = job
        self.cancelled = False
        self.resting = False
        """Its work is done but for what it waits for together with others: somebody else may begin meanwhile."""
        self.said = False
        """That it is done stands in the database already (`Jobs.done_within`)."""
        self._save = save
        self._rested = rested
        self._saved = 0.0

    @property
    def payload(self) -> Mapping[str, Any]:
        return self.job.payload

    def rest(self) -> None:
        """Count no more among those that run at once; until its handler returns the job is held as before."""
        if not self.resting:
            self.resting = True
            self._rested()

    async def progress(self, done: float, total: float | None = None, message: str = "") -> None:
        """Tell how far it is, as often as convenient: what comes within half a second of the last is not written, except the end."""
        now = time.monotonic()
        if now - self._saved >= _PROGRESS_SECONDS or (total is not None and done >= total):
            self._saved = now
            await self._save(done, total, message)


@dataclass(slots=True)
class _Running:
    task: Task
    runner: asyncio.Task[None]
    reason: str = ""
    """Why it ends: "cancel" (asked for), "stop" (this process ends), "lost" (the lease ran out), "ended" (by itself; now the outcome is written)."""


class Jobs:
    """The queue of a home. Anybody may enqueue and look; a process that called `start` runs the kinds that it has handlers for."""

    def __init__(
        self, database: Database, *, at_once: int = 2, resting: int = 0, lease: float = 30.0, poll: float = 1.0, pause: float = 2.0,
        keep: float = 30 * 86400.0,
    ) -> None:  # fmt: skip
        """`resting`: how many may rest besides (`Task.rest`). Times in seconds. `lease`: how long a dead process's jobs stay
        untouched; `pause`: before the second attempt; `keep`: what is finished."""
        self._database = database
        self._at_once = at_once
        self._most_resting = resting
        self._lease = lease
        self._poll = poll
        self._pause = pause
        self._keep = keep
        self._worker = this_process()
        self._handlers: dict[str, Handler] = {}
        self._hopeless: dict[str, Hopeless] = {}
        self._running: dict[str, _Running] = {}
        self._resting = 0
        self._done: list[str] = []
        self._saying: asyncio.Task[None] | None = None
        self._wake = asyncio.Event()
        self._loop: asyncio.Task[None] | None = None
        self._pruned = 0.0

    def register(self, kind: str, handler: Handler, *, hopeless: Hopeless = lambda job, error: False) -> None:
        """Say who does the jobs of a kind, before `start`. `hopeless`: failures of this kind that are not tried again, besides those that never
        are (what is wrong, not allowed, not there or too large)."""
        if kind in self._handlers:
            raise ValueError(f"jobs of kind {kind!r} have a handler already")
        self._handlers[kind] = handler
        self._hopeless[kind] = hopeless

    async def enqueue(
        self, kind: str, payload: Mapping[str, Any], *, key: str | None = None, priority: int = 0, delay: float = 0.0, max_attempts: int = 5
    ) -> str:
        """Add a job and return its id; it will be done, whatever happens to this process. A higher `priority` comes first.

        `key`: if a job of this kind with the same key is waiting or running, its id is returned and nothing is added.
        """
        job = await self._database.write(
            lambda connection: self.add(connection, kind, payload, key=key, priority=priority, delay=delay, max_attempts=max_attempts)
        )
        self.wake()
        return job

    def add_all(
        self, connection: Connection, kind: str, wanted: Sequence[tuple[str, Mapping[str, Any], int]], *, max_attempts: int = 5
    ) -> None:  # fmt: skip
        """Many within a transaction of the caller's: key, payload and priority of each. See `add`."""
        if max_attempts < 1:
            raise InvalidRequest("A job has at least one attempt.", param="max_attempts")
        texts = [(key, json.dumps(dict(payload)), priority) for key, payload, priority in wanted]
        records.add_all(connection, kind=kind, wanted=texts, run_at=time.time(), max_attempts=max_attempts)

    def add(
        self,
        connection: Connection,
        kind: str,
        payload: Mapping[str, Any],
        *,
        key: str | None = None,
        priority: int = 0,
        delay: float = 0.0,
        max_attempts: int = 5,
    ) -> str:
        """`enqueue` within a transaction of the caller's. It is found by itself soon after, and at once if the caller says so (`wake`)."""
        if max_attempts < 1:
            raise InvalidRequest("A job has at least one attempt.", param="max_attempts")
        text, run_at = json.dumps(dict(payload)), time.time() + delay
        return records.add(connection, kind=kind, payload=text, key=key, priority=priority, run_at=run_at, max_attempts=max_attempts)

    def wake(self) -> None:
        """Look for jobs now. On the event loop only."""
        self._wake.set()

    def get(self, job_id: str) -> Job:
        """Raises `NotFound`."""
        return self._database.read(lambda connection: records.get(connection, job_id))

    def list(self, *, kind: str | None = None, statuses: Collection[Status] = (), limit: int | None = 100) -> list[Job]:
        """Newest first; of all statuses, unless some are named. `limit`: None for all."""
        return self._database.read(lambda connection: records.recent(connection, kind=kind, statuses=statuses, limit=limit))

    async def cancel(self, job_id: str) -> Job:
        """Take a waiting job out, or ask a running one to stop, wherever it runs; what is finished stays as it is. Raises `NotFound`."""
        job = await self._database.write(lambda connection: records.cancel(connection, job_id))
        self._cancel_here(job_id)
        return job

    async def wait(self, job_id: str, *, timeout: float | None = None) -> Job:
        """The job once it is finished. Raises `NotFound`, `TimeoutError`."""
        async with asyncio.timeout(timeout):
            # It may be finished by another process, which wakes nobody here.
            while not (job := self.get(job_id)).finished:
                await asyncio.sleep(min(0.05, self._poll))
        return job

    async def start(self) -> None:
        """Begin to run jobs. Idempotent."""
        if self._loop is None:
            await self._expire_dead()
            self._loop = asyncio.create_task(self._run(), name="jobs")

    async def stop(self) -> None:
        """Stop; what is running is put back, to be taken again at once by the next start. Idempotent."""
        loop, self._loop = self._loop, None
        if loop is not None:
            loop.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await loop
        for running in list(self._running.values()):
            self._end(running, "stop")
        await asyncio.gather(*(running.runner for running in self._running.values()), return_exceptions=True)

    async def _expire_dead(self) -> None:
        """Take over at once from processes of this machine that are gone; of others, only the end of their leases tells."""
        dead = [worker for worker in self._database.read(records.workers) if is_dead(worker)]
        if dead:
            await self._database.write(lambda connection: records.expire(connection, dead))

    async def _run(self) -> None:
        renewed = 0.0
        while True:
            self._wake.clear()
            try:
                if self._running and time.monotonic() - renewed > self._lease / 3:
                    await self._renew()
                    renewed = time.monotonic()
                for job_id in self._database.read(lambda connection: records.cancelling(connection, self._worker)):
                    self._cancel_here(job_id)
                while (room := self._room()) > 0 and self._handlers and self._something_due():
                    if not (claimed := await self._claim(room)):
                        break
                    for job in claimed:
                        self._begin(job)
                await self._prune()
            except StoreError as error:
                log.warning("the job queue cannot be used at the moment: %s", error.message)
                await asyncio.sleep(self._poll)
            # Not wait_for: in Python 3.11 it swallows a cancellation that comes together with what it waits for.
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(min(self._poll, self._lease / 6)):
                    await self._wake.wait()

    def _room(self) -> int:
        """How many more may begin."""
        return self._at_once - len(self._running) + min(self._resting, self._most_resting)

    def _something_due(self) -> bool:
        return self._database.read(lambda connection: records.is_due(connection, tuple(self._handlers)))

    async def _claim(self, most: int) -> Sequence[Job]:
        """Some at once, in one transaction. A power cut may undo it, which costs nothing: nobody's work is lost by being done again."""
        kinds, worker, until = tuple(self._handlers), self._worker, time.time() + self._lease
        return await self._database.write(
            lambda connection: records.claim(connection, kinds=kinds, worker=worker, until=until, most=most), flush=False
        )

    async def _renew(self) -> None:
        """Renew the leases; a job that another process has taken meanwhile (this one slept) is let go."""
        ids, worker, until = list(self._running), self._worker, time.time() + self._lease
        held = await self._database.write(lambda connection: records.renew(connection, ids=ids, worker=worker, until=until), flush=False)
        for job_id in ids:
            if job_id not in held and job_id in self._running:
                self._end(self._running[job_id], "lost")

    async def _prune(self) -> None:
        if time.monotonic() - self._pruned > _PRUNE_SECONDS or not self._pruned:
            self._pruned = time.monotonic()
            before = time.time() - self._keep
            await self._database.write(lambda connection: records.prune(connection, before), flush=False)

    def _begin(self, job: Job) -> None:
        async def save(done: float, total: float | None, message: str) -> None:
            worker = self._worker
            await self._database.write(
                lambda connection: records.save_progress(connection, job.id, worker, done=done, total=total, message=message), flush=False
            )

        def rested() -> None:
            self._resting += 1
            self._wake.set()

        task = Task(job, save, rested)
        self._running[job.id] = _Running(task, asyncio.create_task(self._do(task), name=f"job {job.kind} {job.id}"))

    async def _do(self, task: Task) -> None:
        job, running = task.job, self._running[task.job.id]
        try:
            result = await self._handlers[job.kind](task)
            text = json.dumps(dict(result)) if result is not None else None
            running.reason = running.reason or "ended"
            if text is None and not task.said:
                await self._say_done(job.id)
            elif text is not None:
                await self._settle(job, lambda connection: records.finish(connection, job.id, self._worker, "done", result=text))
        except asyncio.CancelledError:
            await self._after_cancel(running)
        except Exception as error:
            running.reason = running.reason or "ended"
            await self._after_failure(job, error)
        finally:
            del self._running[job.id]
            self._resting -= task.resting
            self._wake.set()

    def done_within(self, connection: Connection, tasks: Sequence[Task]) -> None:
        """Within a transaction of the handlers': these are done, without a result. `Task.said` says so after it, before they return."""
        records.finish_all(connection, [task.job.id for task in tasks], self._worker)

    async def _say_done(self, job: str) -> None:
        """Jobs that are done at the same time say so in one statement."""
        self._done.append(job)
        if self._saying is None:
            self._saying = asyncio.create_task(self._say_all_done(), name="jobs done")
        await asyncio.shield(self._saying)

    async def _say_all_done(self) -> None:
        # Those that others have woken together come in the same round of the loop.
        await asyncio.sleep(0)
        done, self._done, self._saying = self._done, [], None
        try:
            count = await self._database.write(lambda connection: records.finish_all(connection, done, self._worker), flush=False)
            if count < len(done):
                log.warning("%d jobs were taken over by another process before they ended here", len(done) - count)
        except StoreError as error:
            log.error("the outcome of %d jobs could not be written: %s", len(done), error.message)

    async def _after_cancel(self, running: _Running) -> None:
        job = running.task.job
        if running.task.said:
            return
        match running.reason:
            case "cancel":
                await self._settle(job, lambda connection: records.finish(connection, job.id, self._worker, "cancelled"))
            case "stop":
                await self._settle(job, lambda connection: records.put_back(connection, job.id, self._worker))
            case "lost":
                log.warning("job %s (%s) was taken over by another process", job.id, job.kind)
            case _:
                running.reason = "ended"
                await self._after_failure(job, Unavailable("Something that the job waited for was cancelled."))

    async def _after_failure(self, job: Job, error: Exception) -> None:
        if isinstance(error, HausgeistError):
            text = error.message
        else:
            text = f"{type(error).__name__}; the log has the details."
            log.exception("job %s (%s) failed", job.id, job.kind)
        if isinstance(error, _HOPELESS) or job.attempts >= job.max_attempts or self._hopeless[job.kind](job, error):
            await self._settle(job, lambda connection: records.finish(connection, job.id, self._worker, "failed", error=text))
            return
        # The random part keeps jobs that failed together (a server was away) from coming back together.
        pause = min(_LONGEST_PAUSE, self._pause * 2.0 ** (job.attempts - 1)) * random.uniform(0.75, 1.25)  # noqa: S311
        run_at = time.time() + pause
        await self._settle(job, lambda connection: records.retry(connection, job.id, self._worker, run_at=run_at, error=text))

    async def _settle(self, job: Job, write: Callable[[Connection], bool]) -> None:
        """Write the outcome. Should the store refuse (a full disk), the lease runs out and the job is done again; so it is after a power cut that
        undoes the last second."""
        try:
            if not await self._database.write(write, flush=False):
                log.warning("job %s (%s) was taken over by another process before it ended here", job.id, job.kind)
        except StoreError as error:
            log.error("the outcome of job %s (%s) could not be written: %s", job.id, job.kind, error.message)

    def _cancel_here(self, job_id: str) -> None:
        if running := self._running.get(job_id):
            self._end(running, "cancel")

    def _end(self, running: _Running, reason: str) -> None:
        # Once is enough: a second cancellation would interrupt the writing of the outcome.
        if not running.reason:
            running.reason = reason
            running.task.cancelled = True
            running.runner.cancel()
