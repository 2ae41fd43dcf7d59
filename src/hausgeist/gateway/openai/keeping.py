"""Chats on their way into the store (`store`): put together from what was sent, and written once all of it was said.

The answer comes first. A stream is put together behind each part that has left; only its end waits until the row is on the disk, so that who has
read it to the end finds it. An answer that was broken off, by its client or by a failure, is not kept: it has no end that could be told. What
cannot be written (a full disk) is in the log, and does not take an answer away.
"""

from __future__ import annotations

import json
import logging
from collections.abc import AsyncGenerator, Callable, Mapping, Sequence
from contextlib import aclosing
from dataclasses import dataclass
from typing import Any

from hausgeist.conversations.completions import Completions
from hausgeist.errors import Conflict, StoreError
from hausgeist.gateway.openai.messages import Message
from hausgeist.gateway.openai.replies import ChatFold, Totals
from hausgeist.identity import Principal
from hausgeist.model import Usage

__all__ = ["Keeper", "usage_told"]

log = logging.getLogger(__name__)

_END = b"\n\n"
_TWICE = {"parsed": True, "tool_calls": {"__all__": {"index": True, "function": {"parsed_arguments": True}}}}
"""What the SDK leaves in answers that are sent back, and says again what stands beside it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Keeper:
    """Keeps the answer to one request."""

    completions: Completions
    who: Principal
    model: str
    messages: Sequence[Message]
    metadata: Mapping[str, str]

    async def keep(self, body: Mapping[str, Any]) -> None:
        """A chat completion as its caller gets it."""
        messages = [message.model_dump(exclude_none=True, exclude=_TWICE) for message in self.messages]  # type: ignore[arg-type]
        try:
            await self.completions.keep(self.who, body, messages=messages, metadata=self.metadata)
        except (StoreError, Conflict) as error:
            log.error("an answer of %s was given, but could not be stored: %s", self.model, error.message)

    async def following(self, events: AsyncGenerator[bytes, None], whole: Callable[[ChatFold], Mapping[str, Any]]) -> AsyncGenerator[bytes, None]:
        """The events of a chat as they are, and the answer kept. `whole` makes the chat completion of what they said, after the last of them."""
        fold, ending = ChatFold(self.model), b""
        async with aclosing(events):
            async for chunk in events:
                said, last = _parted(chunk)
                ending += last
                if said:
                    yield said
                    _read(fold, said)
        if ending:
            await self.keep(whole(fold))
            yield ending


def usage_told(usage: Usage) -> dict[str, Any]:
    """What a call took, as OpenAI's `usage`: a stream tells it only to callers who asked."""
    return Totals(usage.prompt_tokens, usage.completion_tokens, usage.cached_tokens).say()


def _parted(chunk: bytes) -> tuple[bytes, bytes]:
    """Whole events, and the one that says that no more will come."""
    if not chunk.rstrip().endswith(b"[DONE]"):
        return chunk, b""
    said, end, last = chunk.rstrip().rpartition(_END)
    # An answer may be about "[DONE]", too.
    return (said + end, last + _END) if last.startswith(b"data:") and last[5:].strip() == b"[DONE]" else (chunk, b"")


def _read(fold: ChatFold, events: bytes) -> None:
    for event in events.split(_END):
        if event.startswith(b"data: {"):
            fold.add(json.loads(event[6:]))
