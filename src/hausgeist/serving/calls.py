"""A call to a model and its answer: the contract between `serving` and everything above it."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass
from typing import Any, Protocol

from hausgeist.engines import Operation
from hausgeist.identity import Origin
from hausgeist.model import InstalledModel, Task, Usage

__all__ = ["Answer", "Call"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Call:
    """One request to a model, parsed and checked by the dialect it came in.

    `body` is what the engine gets, always in OpenAI's shape; the door sets `model` and the engine-private fields, so that no caller can.
    `stream` asks for events. `stream_usage`: the caller wants the closing usage chunk of an OpenAI stream (the door always asks the engine for
    it, to meter, and takes it out for callers who did not).
    """

    model: str
    operation: Operation
    body: Mapping[str, Any]
    origin: Origin
    task: Task = "generate"
    stream: bool = False
    stream_usage: bool = False
    context: int | None = None
    """A context that this request asks for (`num_ctx`); larger than the loaded one: the model is loaded anew."""
    keep_alive: float | None = None
    """Seconds that the model shall stay loaded after this call; 0: unload at once, negative: for ever."""
    share: int = 1
    """Slots that the request takes (`n` answers at once)."""
    report_stop: bool = False
    """The caller must learn which stop string ended a chat: the choice of the last event (or of the reply) then has `stop_reason`, as vLLM's does."""


class Answer(Protocol):
    """What came back. Use it as an async context manager: leaving early stops the engine and frees the slot."""

    @property
    def model(self) -> InstalledModel: ...

    @property
    def context(self) -> int:
        """Tokens per request of the worker that answers."""
        ...

    @property
    def request_id(self) -> str: ...

    @property
    def usage(self) -> Usage:
        """Final once the body was read to its end."""
        ...

    async def json(self) -> dict[str, Any]:
        """The whole reply of a call that does not stream."""
        ...

    def chunks(self) -> AsyncIterator[bytes]:
        """The event stream as bytes, whole events at a time, errors raised as `HausgeistError` (never as an event)."""
        ...

    def events(self) -> AsyncIterator[dict[str, Any]]:
        """The same, parsed: each event's data as a dict, `[DONE]` left out."""
        ...

    async def __aenter__(self) -> Answer: ...

    async def __aexit__(self, *exc: object) -> None: ...
