"""The port to whatever computes: an `Engine` starts `Worker`s, a worker answers operations over HTTP-shaped bytes.

Requests are the OpenAI platform's (chat, completion, embeddings, rerank); an adapter maps an operation to its own path and leaves the body alone.
Replies are passed on as bytes, so that a token costs no parsing on its way through. Engines are never asked in Anthropic's shape: llama-server's
/v1/messages drops `id_slot` and `cache_prompt`, so prefixes would be shared between projects, and turns a named `tool_choice` into "any";
gateway/anthropic translates to chat instead (docs/adr/0004).
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import dataclass
from typing import Literal, Protocol

from hausgeist.errors import LoadFailed
from hausgeist.model import Footprint, InstalledModel, LaunchPlan

__all__ = ["Engine", "FitFailed", "Operation", "Reply", "SlotState", "Worker", "WorkerGone"]

Operation = Literal[
    "chat",
    "completion",
    "infill",
    "embeddings",
    "rerank",
    "count_chat",
    "tokenize",
    "detokenize",
    "apply_template",
]
"""chat, completion, embeddings, rerank: bodies and replies of the OpenAI platform API (rerank: as vLLM, Jina and llama-server share it).
infill, tokenize, detokenize, apply_template, count_chat: llama-server's."""


class FitFailed(LoadFailed):
    """The engine did not say how much memory the model would take. It may load all the same."""


class WorkerGone(Exception):
    """The worker died, or its connection broke, before or while it answered."""


class Reply(Protocol):
    """An answer that may still be arriving. Always close it; closing early tells the engine to stop."""

    @property
    def status(self) -> int: ...

    @property
    def streaming(self) -> bool:
        """True for an event stream (`text/event-stream`)."""
        ...

    def chunks(self) -> AsyncIterator[bytes]:
        """Bytes as they arrive, of any size. Raises `WorkerGone`."""
        ...

    async def read(self) -> bytes:
        """The whole body. Raises `WorkerGone`."""
        ...

    async def close(self) -> None: ...


@dataclass(frozen=True, slots=True)
class SlotState:
    """One of the requests that a worker can run side by side."""

    id: int
    busy: bool
    prompt_done: int = 0
    """Prompt tokens processed so far."""
    prompt_total: int = 0


class Worker(Protocol):
    """A loaded model."""

    @property
    def plan(self) -> LaunchPlan: ...

    @property
    def pid(self) -> int | None: ...

    @property
    def private_fields(self) -> bool:
        """Whether chat, completion and infill bodies may carry `id_slot`, `cache_prompt` and `verbose`."""
        ...

    @property
    def alive(self) -> bool: ...

    async def call(self, operation: Operation, body: bytes) -> Reply:
        """Send a JSON body. Returns once the status line is there. Raises `WorkerGone`, or `NotSupported` for an operation it lacks."""
        ...

    async def slots(self) -> Sequence[SlotState]:
        """Which slots are at work; an empty sequence where the engine does not tell. Takes as long as the engine takes to answer; raises
        `WorkerGone` when it does not."""
        ...

    def measured(self) -> Footprint:
        """Memory in use now."""
        ...

    async def wait(self) -> str:
        """Wait until the worker has ended, and return why in a sentence, with the last words of its log."""
        ...

    async def close(self, *, patience: float = 3.0) -> None:
        """End it: politely first, surely after `patience` seconds. Idempotent."""
        ...


class Engine(Protocol):
    """Starts workers. One instance lives as long as the server."""

    @property
    def name(self) -> str: ...

    async def models(self) -> Sequence[InstalledModel]:
        """Models that the engine brings itself (fake, remote); empty for engines that run files."""
        ...

    async def fit(self, plan: LaunchPlan) -> Footprint:
        """Memory that a worker for this plan will take, without loading it. Raises `LoadFailed` when the file is not usable, `FitFailed` when that is
        not known either."""
        ...

    async def load(self, plan: LaunchPlan, progress: Callable[[float], None] | None = None) -> Worker:
        """Start a worker and return it when it can answer. Raises `LoadFailed`."""
        ...

    async def close(self) -> None: ...
