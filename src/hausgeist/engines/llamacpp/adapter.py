"""llama.cpp behind the engine port: one worker process per loaded model, spoken to over HTTP on a socket of its own."""

from __future__ import annotations

import asyncio
import json
import shutil
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from hausgeist.engines.base import Operation, SlotState, WorkerGone
from hausgeist.engines.llamacpp.connection import Connections, Incoming
from hausgeist.engines.llamacpp.parameters import parameters
from hausgeist.engines.llamacpp.process import Process, run_folder
from hausgeist.engines.llamacpp.providers import Provider
from hausgeist.engines.llamacpp.replies import STREAMED, LlamaCppReply, WholeReply, collect, question
from hausgeist.errors import LoadFailed, NotSupported
from hausgeist.model import Footprint, InstalledModel, LaunchPlan

__all__ = ["LlamaCpp", "LlamaCppWorker"]

_PATHS: dict[Operation, str] = {
    "chat": "/v1/chat/completions",
    "completion": "/v1/completions",
    "infill": "/infill",
    "embeddings": "/v1/embeddings",
    "rerank": "/v1/rerank",
    "count_chat": "/v1/chat/completions/input_tokens",
    "tokenize": "/tokenize",
    "detokenize": "/detokenize",
    "apply_template": "/apply-template",
}
_POLL = 0.02
_SLOW_POLL = 0.25


class LlamaCpp:
    """Starts llama.cpp workers. `home`: where their sockets lie; `prompt_cache`: bytes of prefix cache per worker."""

    name = "llamacpp"

    def __init__(self, *, home: Path, provider: Provider, prompt_cache: int = 0) -> None:
        self.provider = provider
        self._home = home
        self._prompt_cache = prompt_cache
        self._folder: Path | None = None
        self._workers: set[LlamaCppWorker] = set()

    async def models(self) -> Sequence[InstalledModel]:
        return ()

    async def fit(self, plan: LaunchPlan) -> Footprint:
        from hausgeist.engines.llamacpp.fit import fit

        return await fit(plan, provider=self.provider, folder=await self._run_folder(), prompt_cache=self._prompt_cache)

    async def load(self, plan: LaunchPlan, progress: Callable[[float], None] | None = None) -> LlamaCppWorker:
        asked = parameters(plan, prompt_cache=self._prompt_cache, accelerated=self.provider.accelerated)
        process = await Process.start(self.provider, asked, folder=await self._run_folder())
        worker = LlamaCppWorker(plan, process, provider=self.provider, forget=self._workers.discard)
        self._workers.add(worker)
        try:
            await worker.ready(progress)
        except BaseException:
            await asyncio.shield(worker.close(patience=0))
            raise
        return worker

    async def close(self) -> None:
        await asyncio.gather(*(worker.close() for worker in list(self._workers)))
        if self._folder is not None and self._folder.parent != self._home:
            await asyncio.to_thread(shutil.rmtree, self._folder, ignore_errors=True)
        self._folder = None

    async def _run_folder(self) -> Path:
        if self._folder is None:
            self._folder = await asyncio.to_thread(run_folder, self._home)
        return self._folder


class LlamaCppWorker:
    """A loaded model in a process of its own."""

    private_fields = True

    def __init__(self, plan: LaunchPlan, process: Process, *, provider: Provider, forget: Callable[[LlamaCppWorker], None]) -> None:
        self._plan = plan
        self._wheel = provider.binary is None
        self._fingerprint = provider.fingerprint
        self._process = process
        self._forget = forget
        self._connections: Connections | None = None

    @property
    def plan(self) -> LaunchPlan:
        return self._plan

    @property
    def pid(self) -> int | None:
        return self._process.pid

    @property
    def alive(self) -> bool:
        return self._process.alive

    async def ready(self, progress: Callable[[float], None] | None = None) -> None:
        """Wait until the model is loaded. Raises `LoadFailed` with the engine's own reason."""
        ended = asyncio.create_task(self._process.ended())
        answers = asyncio.create_task(self._reachable())
        try:
            while not ended.done() and not answers.done():
                await asyncio.wait((ended, answers), timeout=_SLOW_POLL, return_when=asyncio.FIRST_COMPLETED)
                if not answers.done():
                    self._demand_measure()
                if progress is not None and not answers.done():
                    progress(self._loaded_share())
        finally:
            for task in (ended, answers):
                task.cancel()
            await asyncio.gather(ended, answers, return_exceptions=True)
        if not self.alive or answers.cancelled() or answers.exception() is not None:
            await self._process.ended()
            raise LoadFailed(f"The engine could not load '{self._plan.model.id}'. {self._process.reason()}")
        self._process.serving = True
        if progress is not None:
            progress(1.0)

    async def _reachable(self) -> None:
        """The wheel's worker says when it serves; a llama-server has to be asked."""
        if self._wheel:
            self._connect(str((await self._process.reported()).get("address", "")))
            return
        self._connect(self._process.address)
        pause = _POLL
        while not await self._healthy():
            await asyncio.sleep(pause)
            pause = min(pause * 1.5, _SLOW_POLL)

    async def call(self, operation: Operation, body: bytes) -> LlamaCppReply | WholeReply:
        path = _PATHS.get(operation)
        if path is None:
            raise NotSupported(f"This engine does not do '{operation}'.")
        asked = question(operation, body)
        # llama-server closes a connection after each stream without saying so.
        incoming, connections = await self._post(path, asked.body, kept=operation not in STREAMED)
        reply = LlamaCppReply(incoming, connections, progress=asked.progress, fingerprint=self._fingerprint)
        return await collect(reply, operation, answers=asked.answers) if asked.whole else reply

    async def _post(self, path: str, body: bytes, *, kept: bool) -> tuple[Incoming, Connections]:
        """`kept`: on a connection that was used before, if there is one. Such a one may turn out to be stale; a request that got no answer from
        a worker that lives is sent once more, on a connection of its own."""
        for last in (False, True):
            connections = self._connections
            if not self.alive or connections is None:
                break
            try:
                return await connections.request("POST", path, body, kept=kept and not last), connections
            except (OSError, TimeoutError) as error:
                await asyncio.sleep(_POLL)  # a process may be gone a moment before we are told
                if last and self.alive:
                    raise WorkerGone(f"The engine does not answer: {error}") from error
        raise WorkerGone(self._process.reason())

    async def slots(self) -> Sequence[SlotState]:
        told = await self._told("/slots", seconds=None)
        if told is None:
            raise WorkerGone(self._process.reason() if not self.alive else "The engine does not answer.")
        try:
            return [_slot(one) for one in json.loads(told)]
        except ValueError as error:
            raise WorkerGone("The engine does not say what it is doing.") from error

    async def _told(self, path: str, *, seconds: float | None) -> bytes | None:
        """The body of a successful GET; `None` for anything else. `seconds`: how long to wait for it."""
        connections = self._connections
        if not self.alive or connections is None:
            return None
        for kept in (True, False):  # the first may turn out to be stale
            try:
                async with asyncio.timeout(seconds):
                    incoming = await connections.request("GET", path, kept=kept)
                    try:
                        body = await incoming.read()
                        return body if incoming.status == 200 else None
                    finally:
                        connections.give_back(incoming)
            except TimeoutError:
                return None
            except OSError:
                continue
        return None

    def measured(self) -> Footprint:
        return _memory(self._process.pid)

    async def wait(self) -> str:
        await self._process.ended()
        return self._process.reason()

    async def close(self, *, patience: float = 3.0) -> None:
        connections, self._connections = self._connections, None
        try:
            await self._process.close(patience=patience)
        finally:
            self._forget(self)
            if connections is not None:
                connections.close()

    def _connect(self, address: str) -> None:
        socket = self._process.address
        self._connections = Connections(socket if socket.endswith(".sock") else address, key=self._process.key)

    async def _healthy(self) -> bool:
        return await self._told("/health", seconds=2) is not None

    def _demand_measure(self) -> None:
        """A file made to exhaust memory does so while it is loaded. Raises `LoadFailed`."""
        limit, taken = self._plan.memory, _memory(self._process.pid).parts.get("anonymous", 0)
        if limit is not None and taken > limit:
            raise LoadFailed(
                f"Loading '{self._plan.model.id}' took {taken / 2**30:.1f} GiB of memory and was stopped; by its size it should take at most "
                f"{limit / 2**30:.1f} GiB. The file is damaged, or made to do harm."
            )

    def _loaded_share(self) -> float:
        """How much of the file is in memory by now; the engine itself does not tell."""
        size = self._plan.model.shape.size
        return min(0.99, _memory(self._process.pid).host / size) if size else 0.0


def _slot(told: dict[str, Any]) -> SlotState:
    return SlotState(
        id=int(told.get("id", 0)),
        busy=bool(told.get("is_processing")),
        prompt_done=int(told.get("n_prompt_tokens_processed", 0)) + int(told.get("n_prompt_tokens_cache", 0)),
        prompt_total=int(told.get("n_prompt_tokens", 0)),
    )


def _memory(pid: int) -> Footprint:
    """Resident memory of a process, and which part of it is its own (`anonymous`): mapped weights are counted once, and can be dropped."""
    import psutil

    try:
        info = psutil.Process(pid).memory_info()
    except psutil.Error:
        return Footprint(host=0, source="none")
    shared = int(getattr(info, "shared", 0))
    return Footprint(host=int(info.rss), parts={"anonymous": int(info.rss) - shared, "mapped": shared}, source="measured")
