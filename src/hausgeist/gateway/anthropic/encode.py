"""From the engine's chat reply to Anthropic's: a whole message, or the events of a stream. Pure."""

from __future__ import annotations

import base64
import hashlib
import json
import uuid
from collections.abc import Sequence
from typing import Any

from hausgeist.errors import EngineFailed
from hausgeist.gateway.anthropic.schema import MessagesRequest
from hausgeist.model import Usage

__all__ = ["MessageEvents", "message"]

_OPEN: dict[str, dict[str, Any]] = {
    "text": {"type": "text", "text": "", "citations": None},
    "thinking": {"type": "thinking", "thinking": "", "signature": ""},
}
_DELTA = {"text": ("text_delta", "text"), "thinking": ("thinking_delta", "thinking"), "tool_use": ("input_json_delta", "partial_json")}


def message(request: MessagesRequest, reply: dict[str, Any], usage: Usage, *, context: int) -> dict[str, Any]:
    """Anthropic's Message for a chat completion."""
    choice = reply["choices"][0]
    said = choice["message"] if request.max_tokens else {}
    content: list[dict[str, Any]] = []
    if thought := said.get("reasoning_content") or said.get("reasoning"):
        shown = "" if _hidden(request) else thought
        content.append({"type": "thinking", "thinking": shown, "signature": _signature(thought)})
    if said.get("content"):
        content.append({"type": "text", "text": said["content"], "citations": None})
    calls = said.get("tool_calls") or ()
    for call in calls:
        function = call["function"]
        content.append(
            {"type": "tool_use", "id": call.get("id") or _id("toolu"), "name": function["name"], "input": _arguments(function.get("arguments") or "")}
        )
    reason, sequence = _stop(request, choice, usage, context, called=bool(calls))
    return _message(request.model, content, reason, sequence, _usage(usage, request))


class MessageEvents:
    """Chat completion chunks in, server-sent events out: `feed` each chunk, then `end` once."""

    def __init__(self, request: MessagesRequest, *, context: int) -> None:
        self._request = request
        self._context = context
        self._hidden = _hidden(request)
        self._started = False
        self._kind = ""
        self._index = -1
        self._call = -1
        self._thought: list[str] = []
        self._choice: dict[str, Any] = {}
        self._called = False

    def feed(self, chunk: dict[str, Any]) -> bytes:
        """The events that this chunk makes; often one, sometimes none."""
        out: list[bytes] = []
        if not self._started:
            out += self._start(chunk)
        for choice in chunk.get("choices") or ():
            delta = (choice.get("delta") or {}) if self._request.max_tokens else {}
            if thought := delta.get("reasoning_content") or delta.get("reasoning"):
                self._say(out, "thinking", thought)
            if text := delta.get("content"):
                self._say(out, "text", text)
            for call in delta.get("tool_calls") or ():
                self._tool(out, call)
            if choice.get("finish_reason") is not None:
                self._choice = choice
        return b"".join(out)

    def end(self, usage: Usage) -> bytes:
        """The closing events, when the engine has said its last."""
        out = [] if self._started else self._start({})
        self._close(out)
        reason, sequence = _stop(self._request, self._choice, usage, self._context, called=self._called)
        delta = {"stop_reason": reason, "stop_sequence": sequence, "stop_details": None, "container": None}
        out.append(_event("message_delta", {"type": "message_delta", "delta": delta, "usage": _usage(usage, self._request)}))
        out.append(_event("message_stop", {"type": "message_stop"}))
        return b"".join(out)

    def _start(self, chunk: dict[str, Any]) -> list[bytes]:
        self._started = True
        progress = chunk.get("prompt_progress") or {}
        counted = _usage(Usage(prompt_tokens=int(progress.get("total") or 0), cached_tokens=int(progress.get("cache") or 0)), self._request)
        begun = _message(self._request.model, [], None, None, counted)
        return [_event("message_start", {"type": "message_start", "message": begun}), _event("ping", {"type": "ping"})]

    def _say(self, out: list[bytes], kind: str, text: str) -> None:
        if self._kind != kind:
            self._open(out, kind, dict(_OPEN[kind]))
        if kind == "thinking":
            self._thought.append(text)
            if self._hidden:
                return
        out.append(self._delta(text))

    def _tool(self, out: list[bytes], call: dict[str, Any]) -> None:
        number = call.get("index") or 0
        function = call.get("function") or {}
        if self._kind != "tool_use" or number != self._call:
            if not function.get("name"):
                raise EngineFailed("The engine mixed up the arguments of several tool calls.")
            self._called = True
            self._call = number
            self._open(out, "tool_use", {"type": "tool_use", "id": call.get("id") or _id("toolu"), "name": function["name"], "input": {}})
        if arguments := function.get("arguments"):
            out.append(self._delta(arguments))

    def _open(self, out: list[bytes], kind: str, block: dict[str, Any]) -> None:
        self._close(out)
        self._kind = kind
        self._index += 1
        out.append(_event("content_block_start", {"type": "content_block_start", "index": self._index, "content_block": block}))

    def _close(self, out: list[bytes]) -> None:
        if not self._kind:
            return
        if self._kind == "thinking":
            signature = {"type": "signature_delta", "signature": _signature("".join(self._thought))}
            out.append(_event("content_block_delta", {"type": "content_block_delta", "index": self._index, "delta": signature}))
            self._thought.clear()
        out.append(_event("content_block_stop", {"type": "content_block_stop", "index": self._index}))
        self._kind = ""

    def _delta(self, text: str) -> bytes:
        kind, field = _DELTA[self._kind]
        return b'event: content_block_delta\ndata: {"type":"content_block_delta","index":%d,"delta":{"type":"%b","%b":%b}}\n\n' % (
            self._index,
            kind.encode(),
            field.encode(),
            json.dumps(text, ensure_ascii=False).encode("utf-8", "replace"),
        )


def _message(model: str, content: Sequence[dict[str, Any]], reason: str | None, sequence: str | None, usage: dict[str, Any]) -> dict[str, Any]:
    return {
        "id": _id("msg"),
        "type": "message",
        "role": "assistant",
        "model": model,
        "content": list(content),
        "stop_reason": reason,
        "stop_sequence": sequence,
        "stop_details": None,
        "container": None,
        "usage": usage,
    }


def _stop(request: MessagesRequest, choice: dict[str, Any], usage: Usage, context: int, *, called: bool) -> tuple[str, str | None]:
    """Anthropic's stop_reason and stop_sequence."""
    reason = choice.get("finish_reason")
    if reason == "length":
        full = usage.prompt_tokens + usage.completion_tokens >= context > 0 and usage.completion_tokens < request.max_tokens
        return ("model_context_window_exceeded" if full else "max_tokens"), None
    if called or reason == "tool_calls":
        return "tool_use", None
    if reason == "content_filter":
        return "refusal", None
    matched = choice.get("stop_reason")
    if isinstance(matched, str) and matched in (request.stop_sequences or ()):
        return "stop_sequence", matched
    return "end_turn", None


def _usage(usage: Usage, request: MessagesRequest) -> dict[str, Any]:
    return {
        "input_tokens": max(0, usage.prompt_tokens - usage.cached_tokens),
        "cache_creation_input_tokens": 0,
        "cache_read_input_tokens": usage.cached_tokens,
        # With `max_tokens` 0 only the prompt is read; engines say a token all the same, which nobody sees.
        "output_tokens": usage.completion_tokens if request.max_tokens else 0,
        "service_tier": "standard",
    }


def _arguments(text: str) -> dict[str, Any]:
    """The input of a tool call. An answer that was cut off has broken arguments; its stop_reason says so."""
    try:
        parsed = json.loads(text) if text.strip() else {}
    except ValueError:
        return {}
    return parsed if isinstance(parsed, dict) else {"value": parsed}


def _hidden(request: MessagesRequest) -> bool:
    return request.thinking is not None and request.thinking.display == "omitted"


def _signature(thought: str) -> str:
    """Clients keep thinking only with a signature, and send it back with it. Nothing is verified by it here."""
    return base64.b64encode(hashlib.sha256(thought.encode("utf-8", "replace")).digest()).decode()


def _id(prefix: str) -> str:
    return f"{prefix}_{uuid.uuid4().hex[:24]}"


def _event(name: str, data: dict[str, Any]) -> bytes:
    return b"event: %b\ndata: %b\n\n" % (name.encode(), json.dumps(data, ensure_ascii=False, separators=(",", ":")).encode("utf-8", "replace"))
