"""A response that is being made: its events in their order, who follows them, and how it ends. Decides nothing about what is said or kept."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import AsyncGenerator, Callable, Mapping, Sequence
from typing import Any, Final, Literal

from hausgeist.conversations.responses.ask import Ask, Status
from hausgeist.conversations.responses.output import Entry, Output
from hausgeist.errors import Busy, HausgeistError, InvalidRequest
from hausgeist.identity import Origin, Principal
from hausgeist.model import Usage
from hausgeist.tools import Tool

__all__ = ["Reason", "Run", "encode", "failure_of"]

Reason = Literal["left", "cancel", "stop", "lost", "refused", "revoked"]
"""Why a run is ended before it ends by itself: its client left, somebody cancelled it, the server stops, another process took it over, it could
not be written down, who asked may not ask any more."""

_ENDS: Final[Mapping[Status, str]] = {
    "completed": "response.completed", "incomplete": "response.incomplete", "failed": "response.failed", "cancelled": "response.incomplete",
}  # fmt: skip
"""The last event. Cancelled responses have none of their own in the SDK; the status within tells."""


def encode(number: int, kind: str, fields: Mapping[str, Any]) -> bytes:
    """An event of the stream."""
    data = json.dumps({"type": kind, "sequence_number": number, **fields}, ensure_ascii=False, separators=(",", ":"))
    return f"event: {kind}\ndata: {data}\n\n".encode("utf-8", "replace")


def failure_of(error: Exception) -> dict[str, Any]:
    """What the response says of an error; the SDK knows a list of codes, of which these three fit what goes wrong here."""
    message = error.message if isinstance(error, HausgeistError) else "Something went wrong inside the server; its log has the details."
    code = "rate_limit_exceeded" if isinstance(error, Busy) else "invalid_prompt" if isinstance(error, InvalidRequest) else "server_error"
    return {"code": code, "message": message}


class Run:
    """One response on its way. It is also the `tools.Turn` that tools see."""

    def __init__(
        self, ask: Ask, who: Principal, origin: Origin, response: dict[str, Any], *, before: Sequence[Mapping[str, Any]] = (),
        seal: Callable[[str], str] | None = None, number: int = 0,
    ) -> None:  # fmt: skip
        """`before`: what was said before the input. `number`: of the next event, where some were told before a restart."""
        self.ask = ask
        self.who = who
        self.origin = origin
        self.response = response
        self.started = time.time()
        self.first_token_ms: float | None = None
        """From its beginning to the first words, of an answer or of a thought."""
        self.before = before
        self.weight = 0
        """Characters that it holds in memory, about."""
        self.here: dict[str, tuple[Tool, Mapping[str, Any]]] = {}
        """By the name of a function: the tool that carries it out."""
        self.facts: dict[str, Any] = {}
        """What tools keep with it."""
        self.wary = False
        """The model has read what others wrote."""
        self.output = Output(self.tell, here=self.here, top=ask.top, seal=seal)
        response["output"] = self.output.items
        self.begun = False
        self.incomplete: str | None = None
        """Why the answer is not whole, in the API's word."""
        self.reason: Reason | None = None
        self.error: Exception | None = None
        """What its followers are told instead of an end."""
        self.first = number
        self.events: list[bytes] = []
        self.kept = False
        """Whether its row is there."""
        self.noted = number
        """Of its events, the number of the first that is not yet written down."""
        self.cause: Exception | None = None
        """What the response failed with."""
        self.task: asyncio.Task[None] | None = None
        self.on_begin: Callable[[Run], None] | None = None
        self.accepting: asyncio.Task[None] | None = None
        """Writes its row, where that is done beside the first words."""
        self._tokens = [0, 0, 0, 0]
        self._followers = 0
        self._over = asyncio.Event()
        self._waiting: set[asyncio.Future[None]] = set()

    @property
    def id(self) -> str:
        return str(self.response["id"])

    @property
    def unnoted(self) -> list[bytes]:
        return self.events[self.noted - self.first :]

    @property
    def next_number(self) -> int:
        return self.first + len(self.events)

    @property
    def items(self) -> Sequence[Mapping[str, Any]]:
        return [*self.before, *self.ask.input, *self.output.items]

    @property
    def include(self) -> Sequence[str]:
        return self.ask.include

    @property
    def model(self) -> str:
        return self.ask.model

    @property
    def context(self) -> int | None:
        return self.ask.context

    @property
    def metadata(self) -> Mapping[str, str]:
        return self.ask.shown.get("metadata") or {}

    def note(self, **metadata: str) -> None:
        self.response["metadata"] = {**(self.response.get("metadata") or {}), **metadata}

    def keep(self, facts: Mapping[str, Any]) -> None:
        self.facts |= facts

    @property
    def ended(self) -> bool:
        return self._over.is_set()

    @property
    def spent(self) -> int:
        """Tokens that the model has said so far."""
        return self._tokens[1]

    def add(self, body: Mapping[str, Any]) -> Entry:
        self.begin()
        return self.output.add(body)

    # What is told

    def tell(self, kind: str, fields: Mapping[str, Any]) -> None:
        if self.first_token_ms is None and kind.endswith(".delta"):
            self.first_token_ms = (time.time() - self.started) * 1000
        self.events.append(encode(self.next_number, kind, fields))
        self._wake()

    def queue(self) -> None:
        """It was accepted, and its turn will come."""
        self.tell("response.created", {"response": self.response})
        self.tell("response.queued", {"response": self.response})

    def begin(self) -> None:
        """The model, or a tool, has begun. Idempotent."""
        if self.begun:
            return
        self.begun = True
        self.response["status"] = "in_progress"
        if not self.events and not self.first:
            self.tell("response.created", {"response": self.response})
        self.tell("response.in_progress", {"response": self.response})
        if self.on_begin is not None:
            self.on_begin(self)

    def count(self, usage: Usage, reasoning: int) -> None:
        """An answer of the model has come to its end."""
        for place, more in enumerate((usage.prompt_tokens, usage.completion_tokens, usage.cached_tokens, reasoning)):
            self._tokens[place] += more

    def settle(self, status: Status, *, error: Mapping[str, Any] | None = None) -> bytes:
        """Put the outcome into the response; returns the event that says so, to be published when it is kept."""
        response = self.response
        response["status"] = status
        response["error"] = dict(error) if error is not None else None
        if status == "completed":
            response["completed_at"] = int(time.time())
        if status == "incomplete":
            response["incomplete_details"] = {"reason": self.incomplete or "max_output_tokens"}
        given, said, cached, reasoning = self._tokens
        if given or said:
            response["usage"] = {
                "input_tokens": given, "input_tokens_details": {"cached_tokens": cached, "cache_write_tokens": 0},
                "output_tokens": said, "output_tokens_details": {"reasoning_tokens": reasoning}, "total_tokens": given + said,
            }  # fmt: skip
        return encode(self.next_number, _ENDS[status], {"response": response})

    def end(self, event: bytes | None = None, *, error: Exception | None = None) -> None:
        """Nothing more will come but this event, or the error that followers are told."""
        if event is not None:
            self.events.append(event)
        self.error = error
        self._over.set()
        self._wake()

    # Who follows, and who ends it

    async def follow(self, after: int = -1) -> AsyncGenerator[bytes, None]:
        """Events later than number `after`, as they come. Raises what there is instead of an end. A foreground run whose last follower leaves is
        stopped."""
        self._followers += 1
        place = max(0, after + 1 - self.first)
        try:
            while True:
                if place < len(self.events):
                    news, place = self.events[place:], len(self.events)
                    yield b"".join(news)
                elif self.ended:
                    if self.error is not None:
                        raise self.error
                    return
                else:
                    await self._change()
        finally:
            self._followers -= 1
            if not self._followers and not self.ask.background:
                await self.leave()

    async def result(self) -> dict[str, Any]:
        """The response when it has ended. Raises what it failed with where nothing was said; where something was, the response says it."""
        self._followers += 1
        try:
            while not self.ended:
                await self._change()
        finally:
            self._followers -= 1
            if not self._followers and not self.ask.background:
                await self.leave()
        if self.error is not None:
            raise self.error
        if self.cause is not None and not self.output.items:
            raise self.cause
        return self.response

    async def leave(self) -> None:
        """The client has left: stop, if it still runs, and wait until that is written down."""
        self.stop("left")
        await self._over.wait()

    async def over(self) -> None:
        """Wait for the end."""
        await self._over.wait()

    def stop(self, reason: Reason) -> None:
        """End it. The first reason counts."""
        if self.reason is None and not self.ended and self.task is not None and not self.task.done():
            self.reason = reason
            self.task.cancel()

    def refuse(self, error: Exception) -> None:
        """It could not be written down, so it shall not be: end it, though it may have said all that it had to say."""
        self.cause = error
        self.stop("refused")
        self.reason = "refused"

    async def _change(self) -> None:
        waiting = asyncio.get_running_loop().create_future()
        self._waiting.add(waiting)
        try:
            await waiting
        finally:
            self._waiting.discard(waiting)

    def _wake(self) -> None:
        for waiting in self._waiting:
            if not waiting.done():
                waiting.set_result(None)
        self._waiting.clear()
