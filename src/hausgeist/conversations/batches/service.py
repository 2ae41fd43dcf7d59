"""Batches of a person in a project: made, asked about, stopped; worked on as durable jobs that go on where a crash or a restart left them.

A batch is a row, its results so far (`results`), and a job. The row says how it ends, in the same transaction in which the results become files.
"""

from __future__ import annotations

import asyncio
import json
import logging
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any, BinaryIO, Final

from sqlalchemy import Connection, and_, delete, func, insert, select, tuple_

from hausgeist.conversations.batches.lines import MOST_BYTES, check
from hausgeist.conversations.batches.records import ENDED, Batch, Status, as_batch, as_row, batches, change, read
from hausgeist.conversations.batches.results import KINDS, Results
from hausgeist.conversations.batches.run import Perform, Run
from hausgeist.conversations.records import new_id, owned
from hausgeist.errors import Conflict, HausgeistError, InvalidRequest, NotAllowed, NotAuthenticated, NotFound, TooLarge, shown
from hausgeist.files import Files
from hausgeist.files.service import ANSWERS
from hausgeist.identity import Origin, Principal
from hausgeist.store.database import Database
from hausgeist.store.failures import file_failures
from hausgeist.store.jobs import Jobs, Task

__all__ = ["WINDOW", "Batches", "Page"]

log = logging.getLogger(__name__)

WINDOW: Final = 86400.0
"""Seconds that a batch has."""
_KIND: Final = "batch"
_SIDE_BY_SIDE: Final = 8
"""Batches that are worked on at once; how many requests that is, the setting says."""
_ATTEMPTS: Final = 20
_MOST_WAITING: Final = 100
"""Unfinished batches of one project."""
_PROGRESS_SECONDS: Final = 1.0
_LOOK_SECONDS: Final = 60.0

Notify = Callable[[str, str, str], Awaitable[None]]
"""Told of a project, a kind of event such as "batch.completed", and the id of what it is about."""


class Page(list[Batch]):
    """Some of a list. `more`: others come after it."""

    more: bool = False


class Batches:
    """Everything raises `NotFound` for a batch that is not there or belongs to somebody else."""

    def __init__(
        self, database: Database, files: Files, home: Path, *, perform: Callable[[], Perform],
        still: Callable[[Principal], Principal], at_once: int, longest: int, notify: Notify | None = None, window: float = WINDOW,
        pause: float = 1.0,
    ) -> None:  # fmt: skip
        """`still`: a caller with the rights of now, or an error. `at_once`: requests of all batches; `longest`: bytes of one of them."""
        self.notify = notify
        self._database = database
        self._files = files
        # A queue of its own: what takes hours keeps no download waiting, and none keeps it waiting.
        self._jobs = Jobs(database, at_once=_SIDE_BY_SIDE)
        self._jobs.register(_KIND, self._work)
        self._folder = home / "batches"
        self._perform = perform
        self._still = still
        self._slots = asyncio.Semaphore(at_once)
        self._longest = longest
        self._window = window
        self._pause = pause
        self._looking: asyncio.Task[None] | None = None
        with file_failures(self._folder):
            self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)

    # Asking

    async def create(
        self, who: Principal, origin: Origin, *, input_file: str, endpoint: str, metadata: Mapping[str, str] | None = None,
        output_seconds: int | None = None,
    ) -> Batch:  # fmt: skip
        """A batch of the requests in a file, each a line. What is wrong with the lines it says itself, a little later.

        Raises `InvalidRequest` for a file or an endpoint that cannot be one's, `TooLarge`.
        """
        if endpoint not in self._perform().endpoints:
            served = ", ".join(sorted(self._perform().endpoints))
            raise InvalidRequest(f"Requests to '{shown(endpoint)}' cannot be batched here; those to {served} can.", param="endpoint")
        file = self._files.get(who, input_file)
        if file.purpose != "batch":
            raise InvalidRequest(f"The file was uploaded for '{file.purpose}'; upload it with the purpose 'batch'.", param="input_file_id")
        if file.bytes > MOST_BYTES:
            raise TooLarge(f"A file of requests has at most {MOST_BYTES} bytes; this one has {file.bytes}. Make several.")
        self._files.demand_room(who.project, 0)
        now = time.time()
        made = Batch(
            id=new_id("batch"), project=who.project, user=who.user, created=now, status="validating", endpoint=endpoint, input_file=input_file,
            expires=now + self._window, metadata=metadata, output_seconds=output_seconds,
        )  # fmt: skip
        principal = json.dumps({"who": asdict(who), "origin": asdict(origin)})

        def write(connection: Connection) -> Batch:
            waiting = select(func.count()).select_from(batches).where(batches.c.project == who.project, batches.c.status.not_in(ENDED))
            if connection.execute(waiting).scalar_one() >= _MOST_WAITING:
                raise TooLarge(f"{_MOST_WAITING} batches of this project are not finished. Wait for some, or cancel them.")
            job = self._jobs.add(connection, _KIND, {"batch": made.id}, key=made.id, priority=-10, max_attempts=_ATTEMPTS)
            full = replace(made, job=job)
            connection.execute(insert(batches).values(**as_row(full), principal=principal))
            return full

        batch = await self._database.write(write)
        self._jobs.wake()
        return batch

    def get(self, who: Principal, batch: str) -> Batch:
        return self._database.read(lambda connection: _of(connection, who, batch))

    def list(self, who: Principal, *, after: str | None = None, limit: int = 20) -> Page:
        """The newest first, those that follow `after`."""

        def find(connection: Connection) -> Page:
            query = select(batches).where(owned(batches, who))
            if after is not None:
                last = _of(connection, who, after)
                query = query.where(tuple_(batches.c.created, batches.c.id) < (last.created, last.id))
            rows = connection.execute(query.order_by(batches.c.created.desc(), batches.c.id.desc()).limit(limit + 1)).all()
            page = Page(as_batch(row) for row in rows[:limit])
            page.more = len(rows) > limit
            return page

        return self._database.read(find)

    async def cancel(self, who: Principal, batch: str) -> Batch:
        """Ask no more; what was answered becomes a file all the same. Said again, it changes nothing. Raises `Conflict` for one that has ended."""

        def how(found: Batch) -> Batch:
            if found.status in {"cancelling", "cancelled"}:
                return found
            if found.ended or found.status == "finalizing":
                raise Conflict(f"The batch is {found.status} and cannot be cancelled any more.")
            return found.now("cancelling", time.time())

        def write(connection: Connection) -> Batch:
            return change(connection, _of(connection, who, batch).id, how)

        found = await self._database.write(write)
        if not found.ended:
            job = await self._jobs.cancel(found.job)
            if job.status == "cancelled":
                # Nobody had begun, or had gone on, with it: so it ends here.
                return await self._finish(found, "cancelled")
        return self.get(who, batch)

    async def erase(self, *, project: str | None = None, user: str | None = None) -> int:
        """All batches of a project, of a person, or of a person in a project, unfinished ones with their results so far. Returns how many. Files
        of requests and answers are `Files`' to erase."""
        if project is None and user is None:
            raise ValueError("say whose")
        which = and_(*(batches.c[name] == value for name, value in (("project", project), ("user", user)) if value is not None))

        def write(connection: Connection) -> Sequence[Batch]:
            found = [as_batch(row) for row in connection.execute(select(batches).where(which))]
            connection.execute(delete(batches).where(which))
            return found

        gone = await self._database.write(write)
        for batch in gone:
            with suppress(NotFound, TimeoutError):
                if not batch.ended and not (await self._jobs.cancel(batch.job)).finished:
                    await self._jobs.wait(batch.job, timeout=30.0)
        await self.settle()
        return len(gone)

    # Working

    async def _work(self, task: Task) -> None:
        try:
            batch = self._read(str(task.payload["batch"]))
        except NotFound:
            return  # it went with the person, or the project, that it belonged to
        if batch.ended:
            await self._tell(batch)
            return
        try:
            await self._go(batch)
        except asyncio.CancelledError:
            # Of a server that stops, the batch goes on with the next one; one that was erased is gone.
            with suppress(NotFound):
                batch = self._read(batch.id)
                if batch.status == "cancelling":
                    await self._finish(batch, "cancelled")
            raise

    async def _go(self, batch: Batch) -> None:
        who, origin = self._asked_by(batch)
        try:
            path = self._files.open(who, batch.input_file)
            with file_failures(path), path.open("rb") as file:
                await self._through(batch, who, origin, file, path)
        except (NotFound, FileNotFoundError):
            await self._fail(batch, "input_file_missing", "The file of requests was removed.")
        except (NotAuthenticated, NotAllowed) as error:
            await self._fail(batch, "not_allowed", f"Who began this batch may not go on with it: {error.message}")

    async def _through(self, batch: Batch, who: Principal, origin: Origin, file: BinaryIO, path: Path) -> None:
        if batch.status == "validating":
            found = await asyncio.to_thread(check, path, batch.endpoint, longest=self._longest)
            if found.errors:
                await self._finish(batch, "failed", errors=found.errors)
                return
            batch = await self._change(batch.id, lambda one: _into(one, "in_progress", total=found.total, model=found.model))
        if batch.status == "cancelling":
            await self._finish(batch, "cancelled")
            return
        async with self._results(batch) as results:
            run = Run(
                batch, results, who=who, origin=origin, perform=self._perform(), still=self._still, slots=self._slots,
                progress=self._progress(batch, results), pause=self._pause,
            )  # fmt: skip
            await run.all(file)
            status: Status = "completed"
            if run.over and len(results.done) < batch.total:
                status = "expired"
                file.seek(0)
                await run.expire(file)
        batch = await self._change(batch.id, lambda one: _into(one, "finalizing"))
        await self._finish(batch, "cancelled" if batch.status == "cancelling" else status)

    def _progress(self, batch: Batch, results: Results) -> Callable[[], None]:
        """Called with each result; what comes within a second of the last is not written."""
        written = time.monotonic()

        def tell() -> None:
            nonlocal written
            if time.monotonic() - written >= _PROGRESS_SECONDS:
                written = time.monotonic()
                counts = _counts(results)
                self._database.post(lambda connection: _save(connection, batch.id, counts))

        return tell

    async def _fail(self, batch: Batch, code: str, message: str) -> None:
        await self._finish(batch, "failed", errors=[{"code": code, "line": None, "message": message, "param": None}])

    async def _finish(self, batch: Batch, status: Status, *, errors: Sequence[Mapping[str, Any]] = ()) -> Batch:
        """Make files of the results and say so in the row, at once; tell of it. Nothing changes for one that has ended."""
        async with self._results(batch) as results:
            digests = {kind: await asyncio.to_thread(results.digest, kind) for kind in KINDS if results.size(kind)}

            def write(connection: Connection) -> Batch:
                if (found := read(connection, batch.id)).ended:
                    return found
                made = {
                    kind: self._files.adopt(
                        connection, results.path(kind), project=batch.project, user=batch.user, filename=f"{batch.id}_{kind}.jsonl",
                        purpose=ANSWERS, size=results.size(kind), digest=digest, seconds=batch.output_seconds,
                    ).id
                    for kind, digest in digests.items()
                }  # fmt: skip
                names = {"output_file": made.get("output"), "error_file": made.get("errors")}
                return change(connection, batch.id, lambda one: one.now(status, time.time(), errors=errors, **names, **_counts(results)))

            ended = await self._database.write(write)
            await asyncio.to_thread(results.remove)
        await self._tell(ended)
        return ended

    async def _tell(self, batch: Batch) -> None:
        """At least once, whatever is killed when."""
        if not batch.told:
            if self.notify is not None:
                await self.notify(batch.project, f"batch.{batch.status}", batch.id)
            await self._change(batch.id, lambda one: replace(one, told=True))

    @asynccontextmanager
    async def _results(self, batch: Batch) -> AsyncIterator[Results]:
        """What there is so far, read in a thread; closed in any case."""
        opening = asyncio.ensure_future(asyncio.to_thread(Results, self._folder, batch.id, space=self._files.folder.space))
        try:
            results = await asyncio.shield(opening)
        except asyncio.CancelledError:
            await asyncio.wait({opening})
            if opening.exception() is None:
                opening.result().close()
            raise
        try:
            yield results
        finally:
            results.close()

    def _read(self, batch: str) -> Batch:
        return self._database.read(lambda connection: read(connection, batch))

    async def _change(self, batch: str, how: Callable[[Batch], Batch]) -> Batch:
        return await self._database.write(lambda connection: change(connection, batch, how))

    def _asked_by(self, batch: Batch) -> tuple[Principal, Origin]:
        query = select(batches.c.principal).where(batches.c.id == batch.id)
        said = json.loads(self._database.read(lambda connection: connection.execute(query).scalar_one()))
        origin = Origin(**said["origin"])
        return Principal(**said["who"]), replace(origin, agent=f"{batch.id[:24]} of {origin.agent}"[:200])

    # Upkeep

    async def start(self) -> None:
        """Go on with what is not finished, and look after batches whose jobs are gone. Idempotent."""
        await self._jobs.start()
        if self._looking is None:
            self._looking = asyncio.create_task(self._look(), name="batches")

    async def stop(self) -> None:
        """What is being asked is given up, and asked again by the next start."""
        looking, self._looking = self._looking, None
        if looking is not None:
            looking.cancel()
            with suppress(asyncio.CancelledError):
                await looking
        await self._jobs.stop()

    async def _look(self) -> None:
        while True:
            try:
                await self.settle()
            except HausgeistError as error:
                log.warning("unfinished batches could not be looked after: %s", error.message)
            await asyncio.sleep(_LOOK_SECONDS)

    async def settle(self) -> None:
        """End batches whose jobs have ended without them, and remove results of which nobody knows any more."""
        unfinished = select(batches).where(batches.c.status.not_in(ENDED))
        found = self._database.read(lambda connection: [as_batch(row) for row in connection.execute(unfinished)])
        for batch in found:
            try:
                if not self._jobs.get(batch.job).finished:
                    continue
            except NotFound:
                pass
            if batch.status == "cancelling":
                await self._finish(batch, "cancelled")
            else:
                await self._fail(batch, "server_error", "The batch was tried again and again, and failed each time.")
        known = {batch.id for batch in found}
        left = [path for path in await asyncio.to_thread(lambda: list(self._folder.iterdir())) if path.name.partition(".")[0] not in known]
        for path in left:
            if not self._exists(path.name.partition(".")[0]):
                path.unlink(missing_ok=True)

    def _exists(self, batch: str) -> bool:
        """Whether it is there and has not ended."""
        with suppress(NotFound):
            return not self._read(batch).ended
        return False


def _of(connection: Connection, who: Principal, batch: str) -> Batch:
    row = connection.execute(select(batches).where(batches.c.id == batch, owned(batches, who))).one_or_none()
    if row is None:
        raise NotFound(f"There is no batch '{shown(batch)}'.")
    return as_batch(row)


def _save(connection: Connection, batch: str, counts: Mapping[str, Any]) -> None:
    """How far it is; nothing for one that has ended or was erased meanwhile."""
    with suppress(NotFound):
        change(connection, batch, lambda one: one if one.ended else replace(one, **counts))


def _into(batch: Batch, status: Status, **more: Any) -> Batch:
    """The next status, unless it is to be cancelled."""
    return batch if batch.status == "cancelling" or batch.ended else batch.now(status, time.time(), **more)


def _counts(results: Results) -> dict[str, Any]:
    return {"completed": results.counts["output"], "failed": results.counts["errors"], "usage": dict(results.usage)}
