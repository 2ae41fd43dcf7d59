"""Answers of llama-server as they arrive, and how requests are put so that it can be stopped at any time.

llama-server looks whether a client is still there when it has something to send to it, or has heard nothing from any slot for a second: with other
requests running, a client that has left during prefill, or that does not stream, is never noticed. So each generation is asked for as a stream
that reports progress after every step of the prefill; the progress is taken out again, and who did not want a stream gets the whole (`assembly.py`).
"""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Any

from hausgeist.engines.base import Operation, WorkerGone
from hausgeist.engines.llamacpp.assembly import Assembly
from hausgeist.engines.llamacpp.connection import Connections, Incoming

__all__ = ["STREAMED", "LlamaCppReply", "Question", "WholeReply", "collect", "question"]

STREAMED: tuple[Operation, ...] = ("chat", "completion", "infill")
"""Operations that generate text."""

_END = b"\n\n"
_PROGRESS = b'"prompt_progress":{'
"""In the text of an answer the quotes would be escaped."""
_NAMELESS = b'"system_fingerprint":"b0-unknown"'
"""What a build says that was not made from a repository: the wheel's, and those from a source package."""
_LARGEST_EVENT = 64 * 2**20
_BROKEN = "The connection to the engine broke in the middle of an answer."


@dataclass(frozen=True, slots=True)
class Question:
    """A request as the engine gets it. `whole`: the caller wants the answer in one piece, though the engine streams it."""

    body: bytes
    whole: bool = False
    answers: int = 1
    progress: bool = False
    """The caller asked for the progress of the prefill himself."""


def question(operation: Operation, body: bytes) -> Question:
    """Put a request so that it can be stopped. What is not a JSON object goes through as it is: the engine says what is wrong with it."""
    if operation not in STREAMED:
        return Question(body)
    try:
        asked = json.loads(body)
    except ValueError:
        return Question(body)
    if not isinstance(asked, dict):
        return Question(body)
    if asked.get("stream") is True:
        if asked.get("return_progress") is True:
            return Question(body, progress=True)
        start = body.index(b"{") + 1
        return Question(body[:start] + b'"return_progress":true,' + body[start:])
    if "stream" in asked and asked["stream"] not in (False, None):
        return Question(body)
    answers = asked.get("n")
    asked |= {"stream": True, "stream_options": {"include_usage": True}, "return_progress": True}
    return Question(json.dumps(asked).encode(), whole=True, answers=answers if isinstance(answers, int) else 1)


class LlamaCppReply:
    """An answer that may still be arriving. Closing it early closes its connection, which is how the engine learns to stop."""

    def __init__(self, incoming: Incoming, connections: Connections, *, progress: bool = False, fingerprint: str = "") -> None:
        """`progress`: leave the events that tell it in the stream. `fingerprint`: what a build is called that does not know it itself."""
        self._incoming = incoming
        self._connections = connections
        self._progress = progress
        self._fingerprint = b'"system_fingerprint":"%b"' % fingerprint.encode() if fingerprint else _NAMELESS

    @property
    def status(self) -> int:
        return self._incoming.status

    @property
    def streaming(self) -> bool:
        return self._incoming.content_type == "text/event-stream"

    async def chunks(self) -> AsyncIterator[bytes]:
        """Whole events of a stream at a time; any bytes otherwise."""
        events, rest, some = self.streaming, b"", self._incoming.some
        try:
            while chunk := await some():
                if not events:
                    yield chunk
                    continue
                if rest:
                    chunk = rest + chunk
                    rest = b""
                if not chunk.endswith(_END):
                    chunk, end, rest = chunk.rpartition(_END)
                    chunk += end
                    if len(rest) > _LARGEST_EVENT:
                        raise WorkerGone("The engine sent an event without an end.")
                if not self._progress and _PROGRESS in chunk:
                    chunk = b"".join(event + _END for event in chunk.split(_END) if event and _PROGRESS not in event)
                if chunk:
                    yield chunk.replace(_NAMELESS, self._fingerprint)
        except ConnectionError as error:
            raise WorkerGone(_BROKEN) from error
        if rest:
            yield rest

    async def read(self) -> bytes:
        if self.streaming:
            return b"".join([chunk async for chunk in self.chunks()])
        try:
            return await self._incoming.read()
        except ConnectionError as error:
            raise WorkerGone(_BROKEN) from error

    async def close(self) -> None:
        self._connections.give_back(self._incoming)


class WholeReply:
    """An answer that was collected from a stream."""

    streaming = False

    def __init__(self, status: int, body: bytes) -> None:
        self.status = status
        self._body = body

    async def chunks(self) -> AsyncIterator[bytes]:
        yield self._body

    async def read(self) -> bytes:
        return self._body

    async def close(self) -> None:
        return None


async def collect(reply: LlamaCppReply, operation: Operation, *, answers: int) -> WholeReply:
    """Read a stream to its end and make one reply of it. Raises `WorkerGone`; closes the connection whatever happens."""
    try:
        if not reply.streaming:
            return WholeReply(reply.status, await reply.read())
        assembly = Assembly(operation, answers=answers)
        async for chunk in reply.chunks():
            for event in chunk.split(_END):
                if event.startswith((b"data: ", b"error: ")):
                    assembly.add(event.partition(b": ")[2])
    except ValueError as error:
        raise WorkerGone("The engine sent an event that is not JSON.") from error
    finally:
        await reply.close()
    if not assembly.complete:
        raise WorkerGone(_BROKEN)
    return WholeReply(_status(assembly.error), json.dumps(assembly.result()).encode())


def _status(error: dict[str, Any] | None) -> int:
    if error is None:
        return 200
    code = error.get("code")
    return code if isinstance(code, int) and 400 <= code < 600 else 500
