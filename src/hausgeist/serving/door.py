"""The one door to a model: authorise, resolve, admit, lease, stream, meter, audit. Everything above asks here and nowhere else."""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
import time
from collections.abc import Callable
from typing import Any, NoReturn

from hausgeist.engines import Reply, WorkerGone
from hausgeist.errors import EngineCrashed, HausgeistError, InvalidRequest, ModelNotFound, NotAllowed
from hausgeist.governance.service import Governor
from hausgeist.identity import Origin, Principal
from hausgeist.library.service import Library
from hausgeist.model import InstalledModel, LaunchPlan, Task, Usage
from hausgeist.serving.answer import EngineAnswer, Finish
from hausgeist.serving.calls import Answer, Call
from hausgeist.serving.metering import Meter
from hausgeist.serving.planning import launch_plan, task_of
from hausgeist.serving.pool import Pool
from hausgeist.serving.resident import Lease, Loaded
from hausgeist.serving.slots import fingerprint
from hausgeist.settings import Settings

__all__ = ["Door"]

log = logging.getLogger(__name__)

_CACHED = {"chat", "completion", "infill"}
"""Operations whose prompt stays in a slot's cache."""


class Door:
    """What the gateway, the pages and the tools of higher packages use to reach models."""

    def __init__(
        self,
        *,
        settings: Settings,
        library: Library,
        pool: Pool,
        governor: Governor,
        meter: Meter,
        answered: Callable[[InstalledModel], None] | None = None,
    ) -> None:
        """`answered`: told of every model that has just answered as it should."""
        self._settings = settings
        self._library = library
        self._pool = pool
        self._governor = governor
        self._meter = meter
        self._answered = answered

    async def call(self, who: Principal, call: Call) -> Answer:
        """Ask a model. Returns as soon as the engine has begun to answer; the caller reads the answer and must leave it as a context manager.

        Raises `NotAllowed`, `ModelNotFound`, `InvalidRequest`, `ContextExceeded`, `Busy`, `NotEnoughMemory`, `LoadFailed`, `EngineCrashed`, ...
        """
        started = time.perf_counter()
        committed = self._authorise(who, "model.use", call.model, call.origin)
        try:
            model = self._resolve(call.model, call.task)
            lease = await self._admit(who, call, model)
        except BaseException:
            # The audit row has to be on disk before the caller hears of the refusal.
            with contextlib.suppress(HausgeistError):
                await committed
            raise
        finish = self._finisher(who, call, model, lease)
        try:
            lease, reply = await self._ask(who, call, model, lease)
            finish = self._finisher(who, call, model, lease)
            await committed
        except BaseException as error:
            await finish(Usage(total_ms=(time.perf_counter() - started) * 1000), _outcome(error), False)
            raise
        answer = EngineAnswer(call=call, model=model, context=lease.plan.context, reply=reply, started=started, load_ms=lease.load_ms, finish=finish)
        if reply.status >= 400:
            await _raise_refusal(answer)
        return answer

    def models(self, who: Principal) -> list[InstalledModel]:
        """The models that this caller may use."""
        return self._library.models() if self._governor.decide(who, "model.list").allowed else []

    def model(self, who: Principal, name: str) -> InstalledModel:
        """One of them. Raises `ModelNotFound`, also for a caller who may not know of any."""
        if not self._governor.decide(who, "model.list").allowed:
            raise ModelNotFound(name)
        return self._library.get(name)

    def loaded(self, who: Principal) -> list[Loaded]:
        """The models in memory."""
        return self._pool.loaded() if self._governor.decide(who, "model.list").allowed else []

    async def load(
        self, who: Principal, name: str, *, origin: Origin, task: Task = "generate", keep_alive: float | None = None, context: int | None = None
    ) -> Loaded:
        """Load a model before it is asked, or change how long it stays."""
        await self._authorise(who, "model.load", name, origin)
        model = self._library.get(name)
        plan = launch_plan(model, task if task in model.tasks else model.tasks[0], self._settings, context=context)
        lease = await self._pool.lease(plan, user=who.user, project=who.project, keep_alive=keep_alive, grow=context is not None)
        shown = lease.resident.shown()
        await self._pool.give_back(lease, complete=True)
        if shown is None:
            raise EngineCrashed()
        return shown

    async def unload(self, who: Principal, name: str, *, origin: Origin) -> bool:
        """Take a model out of memory once its running requests have ended. False: it was not loaded."""
        await self._authorise(who, "model.load", name, origin)
        return await self._pool.unload(self._library.get(name).id)

    async def remove(self, who: Principal, name: str, *, origin: Origin) -> None:
        """Unload a model and remove it from the library."""
        await self._authorise(who, "model.delete", name, origin)
        model = self._library.get(name)
        if model.removable:  # else the library says why not
            await self._pool.unload(model.id)
        await self._library.remove(model.id)

    # The steps, in their order

    def _authorise(self, who: Principal, action: str, target: str, origin: Origin) -> asyncio.Future[None]:
        """Raises `NotAllowed` now; the future is done when the audit row is on disk, which may be while the engine works already."""
        return asyncio.ensure_future(self._governor.demand(who, action, target=target, origin=origin))

    def _resolve(self, name: str, task: Task) -> InstalledModel:
        model = self._library.get(name)
        task_of(model, task)
        return model

    async def _admit(self, who: Principal, call: Call, model: InstalledModel) -> Lease:
        plan = launch_plan(model, call.task, self._settings, context=call.context)
        if call.keep_alive is not None or call.context is not None:
            await self._authorise_wishes(who, call, model, plan)
        prefix = fingerprint(call.body) if call.operation in _CACHED else ()
        return await self._pool.lease(
            plan,
            user=who.user,
            project=who.project,
            prefix=prefix,
            share=call.share,
            keep_alive=call.keep_alive,
            grow=call.context is not None,
            background=call.origin.background,
        )

    async def _authorise_wishes(self, who: Principal, call: Call, model: InstalledModel, plan: LaunchPlan) -> None:
        """Who may ask a model may not, by asking, load it anew or have it stay longer: that takes the right to load it."""
        if not self._pool.changes(plan, launch_plan(model, call.task, self._settings), keep_alive=call.keep_alive):
            return
        try:
            await self._authorise(who, "model.load", call.model, call.origin)
        except NotAllowed as error:
            raise NotAllowed(f"{error.message} Leave out 'keep_alive' and 'num_ctx' to use the model as it is.") from error

    async def _ask(self, who: Principal, call: Call, model: InstalledModel, lease: Lease) -> tuple[Lease, Reply]:
        """The engine's reply, from a fresh worker if the one leased died before it said a word."""
        try:
            return lease, await lease.call(call.operation, _body(call, model, lease))
        except WorkerGone:
            await self._pool.give_back(lease, complete=False)
        log.warning("the worker of %s was gone; asking a fresh one", model.id)
        lease = await self._admit(who, call, model)
        try:
            return lease, await lease.call(call.operation, _body(call, model, lease))
        except WorkerGone as error:
            await self._pool.give_back(lease, complete=False)
            raise EngineCrashed() from error

    def _finisher(self, who: Principal, call: Call, model: InstalledModel, lease: Lease) -> Finish:
        async def finish(usage: Usage, outcome: str, complete: bool) -> None:
            tokens = usage.prompt_tokens + usage.completion_tokens // len(lease.slots)
            await self._pool.give_back(lease, complete=complete, tokens=tokens)
            self._meter.finished(who, call, usage, outcome)
            if self._answered is not None and outcome == "ok":
                self._answered(model)

        return finish


def _body(call: Call, model: InstalledModel, lease: Lease) -> bytes:
    """The request as the engine gets it: its own name of the model, and the fields that only we may set."""
    body: dict[str, Any] = {**call.body, "model": model.id}
    if call.stream:
        body["stream"] = True
        if call.operation in ("chat", "completion"):
            body["stream_options"] = {"include_usage": True}
    if lease.worker.private_fields and call.operation in _CACHED:
        body["id_slot"] = lease.slots[0]
        body["cache_prompt"] = lease.reuse
        if call.report_stop:
            body["verbose"] = True
    try:
        return json.dumps(body, ensure_ascii=False, separators=(",", ":")).encode()
    except UnicodeEncodeError as error:
        raise InvalidRequest("The request contains text that is not valid Unicode (a lone surrogate).") from error


async def _raise_refusal(answer: EngineAnswer) -> NoReturn:
    """The engine said no: raise its reason, with everything given back."""
    async with answer:
        await answer.json()
    raise EngineCrashed("The engine refused the request without saying why.")


def _outcome(error: BaseException) -> str:
    if isinstance(error, asyncio.CancelledError):
        return "cancelled"
    return f"failed: {type(error).__name__}" if isinstance(error, HausgeistError) else "failed"
