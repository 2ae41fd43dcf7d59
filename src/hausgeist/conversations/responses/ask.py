"""A request for a response, whichever tongue it came in: checked, its sampling already in the engine's words. And the response as it begins."""

from __future__ import annotations

import json
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from typing import Any, Literal

from hausgeist.identity import Origin, Principal

__all__ = ["Ask", "Status", "blank", "kept", "read_back"]

Status = Literal["queued", "in_progress", "completed", "incomplete", "failed", "cancelled"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Ask:
    """What shall be answered, and how. Everything in it is JSON, so that it can be asked again after a restart."""

    model: str
    input: Sequence[Mapping[str, Any]]
    """Items as they are kept: with `id` and `type`, references resolved, images as `data:` addresses."""
    body: Mapping[str, Any] = field(default_factory=dict)
    """The engine's chat, without its messages: sampling, `tools` of the client, `tool_choice`, `response_format`."""
    shown: Mapping[str, Any] = field(default_factory=dict)
    """What the response repeats of its request: `temperature`, `tools`, `text`, `metadata`, ..."""
    tools: Sequence[Mapping[str, Any]] = ()
    """Tools that run here, as `Tool.check` gave them back."""
    choice: Any = "auto"
    """`tool_choice` as far as it is about these: "auto", "none", "required", or an object that names a tool by its type."""
    instructions: str | None = None
    previous: str | None = None
    """The response that this one follows."""
    conversation: str | None = None
    """The conversation that it goes on with; not together with `previous`."""
    store: bool = True
    background: bool = False
    truncation: Literal["auto", "disabled"] = "disabled"
    include: Sequence[str] = ()
    max_output_tokens: int | None = None
    """Of all answers of the model together."""
    max_tool_calls: int | None = None
    top: int | None = None
    """Alternatives per token, where log probabilities are wanted."""
    context: int | None = None
    keep_alive: float | None = None

    def with_input(self, items: Sequence[Mapping[str, Any]]) -> Ask:
        return replace(self, input=items)


def blank(ask: Ask, response: str) -> dict[str, Any]:
    """The response before anything was said, as the API has it."""
    return {
        "id": response,
        "object": "response",
        "created_at": int(time.time()),
        "status": "queued" if ask.background else "in_progress",
        "background": ask.background,
        "completed_at": None,
        "conversation": {"id": ask.conversation} if ask.conversation else None,
        "error": None,
        "incomplete_details": None,
        "instructions": ask.instructions,
        "max_output_tokens": ask.max_output_tokens,
        "max_tool_calls": ask.max_tool_calls,
        "model": ask.model,
        "output": [],
        "previous_response_id": ask.previous,
        "truncation": ask.truncation,
        "usage": None,
        **ask.shown,
    }


def kept(ask: Ask, who: Principal, origin: Origin) -> str:
    """The request as its row keeps it: with who asked. Its input has a column of its own."""
    return json.dumps({"ask": asdict(replace(ask, input=())), "who": asdict(who), "origin": asdict(origin)}, ensure_ascii=False)


def read_back(request: str, items: str) -> tuple[Ask, Principal, Origin]:
    """What `kept` wrote, with the input."""
    parsed = json.loads(request)
    return Ask(**{**parsed["ask"], "input": json.loads(items)}), Principal(**parsed["who"]), Origin(**parsed["origin"])
