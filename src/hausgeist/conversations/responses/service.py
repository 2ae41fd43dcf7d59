"""Responses: made, kept, found again, followed, cancelled and removed, for whom they belong to; and taken up again after a restart.

A response that is kept has a row from its beginning on, and its events are written down as it goes on, so that the death of the process loses
nothing that was said. Its process holds a lease on it. Nothing is ever written of a response with `store` = false.
"""

from __future__ import annotations

import asyncio
import json
import logging
import time
from collections.abc import AsyncGenerator, Awaitable, Callable, Iterable, Mapping, Sequence
from contextlib import aclosing, nullcontext, suppress
from dataclasses import dataclass, field
from typing import Any, Final

from sqlalchemy import Connection, Row

from hausgeist.conversations.records import new_id
from hausgeist.conversations.responses import keeping
from hausgeist.conversations.responses.ask import Ask, Status, blank, read_back
from hausgeist.conversations.responses.history import before, demand_answers, referred, weight
from hausgeist.conversations.responses.keeping import GOING, Batch
from hausgeist.conversations.responses.run import Run, failure_of
from hausgeist.conversations.responses.runner import Runner
from hausgeist.conversations.responses.sealing import Seal
from hausgeist.errors import Busy, HausgeistError, InvalidRequest, Locked, NotAllowed, NotAuthenticated, NotFound, StoreError, Unavailable
from hausgeist.identity import Origin, Principal
from hausgeist.store.database import Database
from hausgeist.store.processes import this_process
from hausgeist.tools import Tool

__all__ = ["Found", "Notify", "Responses", "Still"]

log = logging.getLogger(__name__)

_AFTERWARDS_SECONDS: Final = 0.01
_NOTE_SECONDS: Final = 0.1
"""Between two writings of events: streaming does not wait for the disk, and a crash loses no more than this."""
_RENEW_SECONDS: Final = 2.0
_LEASE_SECONDS: Final = 30.0
_SWEEP_SECONDS: Final = 10.0
_LOOK_SECONDS: Final = 0.2
_ATTEMPTS: Final = 3
"""Of a background response that begins anew after each crash: it may be what crashes the server."""
_MOST_WAITING: Final = 200
"""Background responses of one person in one project."""
_MOST_WAITING_TEXT: Final = 256 * 2**20
"""Characters of their input, and of what was said before it, together."""
_RESTARTED: Final = {"code": "server_error", "message": "The server was restarted while this response was made. What was said until then is kept."}
_STOPPING: Final = "The server is stopping."

Notify = Callable[[str, str, str], Awaitable[None]]
"""Project, kind of the event ("response.completed"), id of the response."""
Still = Callable[[Principal], Principal]
"""Who that is now. Raises `NotAuthenticated`, `NotAllowed` for somebody whose key was revoked, or who has left."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Found:
    """A response that is kept."""

    response: dict[str, Any]
    input: Sequence[Mapping[str, Any]]
    background: bool
    facts: Mapping[str, Any] = field(default_factory=dict)
    """What tools kept with it."""


class Responses:
    """Everything raises `NotFound` for what is not there or belongs to somebody else."""

    def __init__(
        self, database: Database, runner: Runner, seal: Seal, *, still: Still | None = None, notify: Notify | None = None, seconds: float = 3600.0,
        background: int = 4,
    ) -> None:  # fmt: skip
        """`seconds`: that one response may take; `background`: of those that nobody waits for, how many are made at once."""
        self._database = database
        self._runner = runner
        self._seal = seal
        self._still = still
        self._notify = notify
        self._seconds = seconds
        self._worker = this_process()
        self._turn = asyncio.Semaphore(background)
        self._running: dict[str, Run] = {}
        self._coming: set[Run] = set()
        """Those that are just being begun."""
        self._locked: dict[str, str] = {}
        self._tasks: set[asyncio.Task[Any]] = set()
        self._keeper: asyncio.Task[None] | None = None
        self._sweeper: asyncio.Task[None] | None = None
        self._closing = False

    # Making one

    async def create(self, who: Principal, ask: Ask, origin: Origin) -> Run:
        """Begin to make a response. In the background, it is written down when this returns; otherwise its making stops when nobody follows it.

        Raises `Locked` while another one is made in the conversation, `InvalidRequest` for calls without outputs, `Busy` where too many wait.
        """
        if self._closing:
            raise Unavailable(_STOPPING)
        if ask.conversation is not None:
            self.demand_free(who, ask.conversation)
        run = Run(ask, who, origin, blank(ask, new_id("resp")), seal=self._sealer(ask, who))
        self._demand_patience(run)
        self._lock(run)
        self._coming.add(run)
        try:
            run.before = await self.context(who, ask)
            demand_answers(run.items)
            run.weight = weight(run.before) + weight(ask.input)
            self._demand_patience(run)
            if ask.background:
                run.queue()
                await self._accept(run, flush=True)
        except BaseException:
            self._unlock(run)
            raise
        finally:
            self._coming.discard(run)
        if ask.store and not ask.background:
            run.on_begin = self._accept_later
        self._start(run)
        return run

    def _demand_patience(self, run: Run) -> None:
        """Raise `Busy` where in the background as much waits already as may of one person: in number, and in what it holds in memory."""
        if not run.ask.background:
            return
        waiting = [one for one in (*self._running.values(), *self._coming) if one is not run and one.ask.background and _same(one.who, run.who)]
        if len(waiting) >= _MOST_WAITING:
            raise Busy(f"{_MOST_WAITING} of your background responses are being made or wait already.", retry_after=10.0)
        if waiting and run.weight + sum(one.weight for one in waiting) > _MOST_WAITING_TEXT:
            raise Busy("Your background responses that are being made or wait already are as large as they may be together.", retry_after=10.0)

    async def context(self, who: Principal, ask: Ask, *, without: str | None = None) -> list[Mapping[str, Any]]:
        """What was said before this request. `without`: items of this response are left out. Raises `NotFound`, `Conflict`."""
        if ask.previous is None and ask.conversation is None:
            return []
        # Beside the event loop: a long conversation takes tens of milliseconds to read.
        return await asyncio.to_thread(
            self._database.read,
            lambda connection: before(connection, who, previous=ask.previous, conversation=ask.conversation, without=without),
        )

    async def referred(self, who: Principal, ids: Iterable[str]) -> dict[str, Mapping[str, Any]]:
        """Items that a request names by their ids. Raises `NotFound`, `TooLarge`."""
        return await asyncio.to_thread(self._database.read, lambda connection: referred(connection, who, ids))

    async def count(self, who: Principal, ask: Ask, origin: Origin) -> int:
        """Tokens that the model would read."""
        return await self._runner.count(who, origin, ask, await self.context(who, ask))

    async def compact(self, who: Principal, ask: Ask, origin: Origin) -> tuple[list[dict[str, Any]], dict[str, int]]:
        """What was said, as one item that says it in short; and the tokens that took (`given`, `said`, `cached`)."""
        said = await self.context(who, ask)
        if not said and not ask.input:
            raise InvalidRequest("There is nothing to compact: 'input' or 'previous_response_id' is needed.", param="input")
        summary, usage = await self._runner.summary(who, origin, ask, said)
        return [{"id": new_id("cmp"), "type": "compaction", "encrypted_content": self._seal.close(summary, who)}], usage

    @property
    def tools(self) -> Mapping[str, Tool]:
        """Those that run here, by their type."""
        return self._runner.tools

    def sealed(self, who: Principal, text: str) -> str:
        return self._seal.close(text, who)

    def demand_free(self, who: Principal, conversation: str) -> None:
        """Raise `Locked` while a response is made in this conversation, `NotFound` where there is none."""
        self._database.read(lambda connection: keeping.demand_free(connection, who, conversation))
        if conversation in self._locked:
            raise Locked(f"A response is being made in the conversation '{conversation}'; wait until it has ended, or cancel it.")

    def _sealer(self, ask: Ask, who: Principal) -> Callable[[str], str] | None:
        return (lambda text: self._seal.close(text, who)) if "reasoning.encrypted_content" in ask.include else None

    # What is kept

    def get(self, who: Principal, response: str) -> Found:
        run = self._running.get(response)
        if run is not None and run.ask.store and run.begun and _same(run.who, who):
            run.output.catch_up()
            return Found(response=json.loads(json.dumps(run.response)), input=run.ask.input, background=run.ask.background, facts=run.facts)
        row = self._database.read(lambda connection: keeping.find(connection, who, response))
        facts = json.loads(row.facts) if row.facts else {}
        return Found(response=json.loads(row.body), input=json.loads(row.input), background=bool(row.background), facts=facts)

    async def events(self, who: Principal, response: str, after: int = -1) -> AsyncGenerator[bytes, None]:
        """The events of a background response later than number `after`: those that were, then those that come, to the last."""
        if not self.get(who, response).background:
            raise InvalidRequest("Only responses that were made with 'background': true can be streamed again.", param="stream")
        while True:
            run = self._running.get(response)
            if run is not None and run.first <= after + 1:
                async with aclosing(run.follow(after)) as events:
                    async for chunk in events:
                        yield chunk
                return
            # Asked for first: what ends in between has written its events.
            status = self._database.read(lambda connection: keeping.find(connection, who, response)).status
            if found := self._events_of(response, after):
                after += len(found)
                yield b"".join(found)
            elif status not in GOING:
                return
            else:
                await asyncio.sleep(_LOOK_SECONDS)

    def _events_of(self, response: str, after: int = -1) -> list[bytes]:
        return self._database.read(lambda connection: keeping.events_of(connection, response, after))

    async def cancel(self, who: Principal, response: str) -> Found:
        """End a background response, wherever it is made; what was said is kept. One that has ended stays as it is. Raises `InvalidRequest` for one
        that is not made in the background: that ends when its client leaves."""
        if not self.get(who, response).background:
            raise InvalidRequest("Only responses that were made with 'background': true can be cancelled; others end when the connection is closed.")
        await self._end(who, response)
        return self.get(who, response)

    async def delete(self, who: Principal, response: str) -> None:
        """With its events. What it said in a conversation stays there."""
        self.get(who, response)
        await self._end(who, response)
        await self._database.write(lambda connection: keeping.remove(connection, who, response))

    async def _end(self, who: Principal, response: str) -> None:
        run = self._running.get(response)
        if run is not None and _same(run.who, who):
            run.stop("cancel")
            await run.over()
            return
        row = await self._database.write(lambda connection: keeping.cancel(connection, who, response))
        until = time.monotonic() + _LEASE_SECONDS
        while row.status in GOING and time.monotonic() < until:
            await self._sweep()
            await asyncio.sleep(_LOOK_SECONDS)
            row = self._database.read(lambda connection: keeping.find(connection, who, response))

    # While it is made

    def _start(self, run: Run) -> None:
        self._running[run.id] = run
        run.task = asyncio.create_task(self._make(run), name=f"response {run.id}")
        self._spawn(self._conclude(run))
        if self._keeper is None or self._keeper.done():
            self._keeper = asyncio.create_task(self._keep(), name="responses")

    async def _make(self, run: Run) -> None:
        async with self._turn if run.ask.background else nullcontext(), asyncio.timeout(self._seconds):
            while True:
                try:
                    if run.ask.background and self._still is not None:
                        run.who = self._still(run.who)
                    await self._runner.run(run)
                except Busy as error:
                    # Nobody waits for it, so it can.
                    if not run.ask.background or run.output.said:
                        raise
                    await asyncio.sleep(max(1.0, error.retry_after))
                else:
                    return

    async def _conclude(self, run: Run) -> None:
        """Wait for its end, write that down, and tell it."""
        assert run.task is not None
        await asyncio.wait({run.task})
        try:
            await self._settle(run)
        except StoreError as error:
            log.error("the end of a response could not be written: %s", error.message)
            run.end(error=error)
        except Exception as error:
            log.exception("a response could not be ended")
            run.end(error=error)
        finally:
            self._running.pop(run.id, None)
            self._unlock(run)
        if run.ask.background and self._notify is not None and run.response["status"] not in GOING:
            try:
                await self._notify(run.who.project, f"response.{run.response['status']}", run.id)
            except Exception:
                log.exception("the end of a response could not be told")

    async def _settle(self, run: Run) -> None:
        if run.accepting is not None:
            await run.accepting
        status, failure = self._outcome(run)
        if run.reason == "lost":
            run.end(error=Unavailable("This response was deleted, or taken over by another process of this server."))
            return
        if run.reason == "refused" or (run.cause is not None and not run.begun and not run.ask.background):
            run.end(error=run.cause or Unavailable())
            return
        if status != "completed":
            run.output.close(whole=False)
        if run.reason == "stop" and run.ask.background and not run.output.said:
            await self._write(run, lambda connection, batch: keeping.put_back(connection, run, batch, self._worker))
            run.end(error=Unavailable(f"{_STOPPING} The response is made when it is started again."))
            return
        event = run.settle(status, error=failure)
        if run.kept:
            await self._write(run, lambda connection, batch: keeping.finish(connection, run, batch, self._worker), event)
        run.end(event)

    async def _write(self, run: Run, write: Callable[[Connection, Batch], None], *last: bytes) -> None:
        batch = Batch(run.id, run.noted, [*run.unnoted, *last])
        run.noted = run.next_number
        await self._database.write(lambda connection: write(connection, batch))

    def _outcome(self, run: Run) -> tuple[Status, Mapping[str, Any] | None]:
        assert run.task is not None
        error = None if run.task.cancelled() else run.task.exception()
        match run.reason:
            case "left" | "cancel":
                return "cancelled", None
            case "stop":
                return "failed", _RESTARTED
            case "revoked":
                return "failed", failure_of(Unavailable("Who asked for this response may not ask any more."))
            case _:
                pass
        if isinstance(error, TimeoutError):
            error = Unavailable(f"The response took longer than {self._seconds:g} seconds, the limit of this server (response_seconds).")
        if error is None:
            return ("incomplete" if run.incomplete else "completed"), None
        if not isinstance(error, HausgeistError):
            log.error("a response failed", exc_info=error)
        run.cause = run.cause or (error if isinstance(error, Exception) else Unavailable(_STOPPING))
        return "failed", failure_of(run.cause)

    async def _accept(self, run: Run, *, flush: bool) -> None:
        worker, until = self._worker, time.time() + _LEASE_SECONDS
        await self._database.write(lambda connection: keeping.accept(connection, run, worker, until), flush=flush)
        run.kept = True

    def _accept_later(self, run: Run) -> None:
        """Write it down when the model's first words are on their way: the writing thread would hold them up, if only by being busy."""

        async def accept() -> None:
            assert run.task is not None
            await asyncio.wait({run.task}, timeout=_AFTERWARDS_SECONDS)
            try:
                await self._accept(run, flush=False)
            except Exception as error:
                run.refuse(error)

        run.accepting = asyncio.create_task(accept())

    async def _keep(self) -> None:
        """Write down what the running ones tell, and keep their leases, while there are any."""
        renewed = time.monotonic()
        while self._running:
            await asyncio.sleep(_NOTE_SECONDS)
            try:
                await self._note()
                if time.monotonic() - renewed >= _RENEW_SECONDS:
                    renewed = time.monotonic()
                    await self._renew()
            except StoreError as error:
                log.warning("the events of responses cannot be written at the moment: %s", error.message)
            except Exception:
                log.exception("the events of responses could not be written")

    async def _note(self) -> None:
        batches = []
        for run in self._running.values():
            if run.kept and (events := run.unnoted):
                batches.append(Batch(run.id, run.noted, events))
                run.noted = run.next_number
        if batches:
            await self._database.write(lambda connection: keeping.write_events(connection, batches), flush=False)

    async def _renew(self) -> None:
        for run in list(self._running.values()):
            try:
                if self._still is not None:
                    self._still(run.who)
            except (NotAuthenticated, NotAllowed):
                run.stop("revoked")
        kept = {run.id: run for run in self._running.values() if run.kept}
        if not kept:
            return
        worker, until = self._worker, time.time() + _LEASE_SECONDS
        held, cancelled = await self._database.write(lambda connection: keeping.renew(connection, list(kept), worker, until), flush=False)
        for response, run in kept.items():
            if response not in held:
                run.stop("lost")
            elif response in cancelled:
                run.stop("cancel")

    # From start to stop

    async def start(self) -> None:
        """Take up what a crash or another stop left behind, now and from time to time. Idempotent."""
        if self._sweeper is None:
            await self._sweep()
            self._sweeper = asyncio.create_task(self._sweep_on(), name="sweep responses")

    def closing(self) -> None:
        """No more are begun."""
        self._closing = True
        if self._sweeper is not None:
            self._sweeper.cancel()

    async def stop(self, drain: float = 0.0) -> None:
        """Let those that are being made end for so many seconds, then end them: what has said nothing is put back for the next start."""
        self.closing()
        for run in list(self._running.values()):
            if run.ask.background and not run.output.said:
                run.stop("stop")
        if self._running and drain:
            await asyncio.wait([asyncio.ensure_future(run.over()) for run in self._running.values()], timeout=drain)
        for run in list(self._running.values()):
            run.stop("stop")
        while self._tasks:
            await asyncio.wait(self._tasks)
        for task in (self._keeper, self._sweeper):
            if task is not None:
                task.cancel()
                with suppress(asyncio.CancelledError):
                    await task

    async def _sweep_on(self) -> None:
        while True:
            await asyncio.sleep(_SWEEP_SECONDS)
            try:
                await self._sweep()
            except StoreError as error:
                log.warning("unfinished responses cannot be looked for at the moment: %s", error.message)
            except Exception:
                log.exception("unfinished responses could not be looked for")

    async def _sweep(self) -> None:
        for row in self._database.read(keeping.orphans):
            if row.id not in self._running and await self._claim(row):
                await self._take_up(row)

    async def _claim(self, row: Row[Any]) -> bool:
        worker, until = self._worker, time.time() + _LEASE_SECONDS
        return await self._database.write(lambda connection: keeping.claim(connection, row, worker, until))

    async def _take_up(self, row: Row[Any]) -> None:
        """Make it, if nothing was said yet; otherwise it has failed, and what was said is kept."""
        ask, who, origin = read_back(row.request, row.input)
        events = self._events_of(row.id)
        run = Run(ask, who, origin, json.loads(row.body), seal=self._sealer(ask, who), number=len(events))
        run.kept = True
        run.started = row.created
        run.output.items += (said := keeping.rebuilt(events))
        if row.background and not said and not row.cancelling and row.attempts < _ATTEMPTS and not self._closing:
            run.begun = any(event.startswith(b"event: response.in_progress\n") for event in events)
            try:
                run.before = await self.context(who, ask, without=run.id)
            except NotFound:
                log.warning("what came before a response in the background is gone")
            else:
                self._lock(run)
                self._start(run)
                return
        status: Status = "cancelled" if row.cancelling else "failed"
        event = run.settle(status, error=None if row.cancelling else _RESTARTED)
        await self._write(run, lambda connection, batch: keeping.finish(connection, run, batch, self._worker), event)
        if row.background and self._notify is not None:
            await self._notify(who.project, f"response.{status}", run.id)

    def _spawn(self, work: Any) -> asyncio.Task[Any]:
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return task

    def _lock(self, run: Run) -> None:
        if run.ask.conversation is not None:
            self._locked[run.ask.conversation] = run.id

    def _unlock(self, run: Run) -> None:
        if run.ask.conversation is not None and self._locked.get(run.ask.conversation) == run.id:
            del self._locked[run.ask.conversation]


def _same(one: Principal, other: Principal) -> bool:
    return (one.project, one.user) == (other.project, other.user)
