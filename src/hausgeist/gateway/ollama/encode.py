"""From engines' replies to Ollama's: one object, or lines of a stream. Pure."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from typing import Any

from hausgeist.gateway.ollama.durations import nanoseconds, now
from hausgeist.model import Usage

__all__ = ["Lines", "answer", "idle", "line", "timings"]

Said = dict[str, Any]
"""Part of an answer: `content`, `thinking`, `tool_calls`, `logprobs`, as far as there are."""

Wrap = Callable[[Said], dict[str, Any]]


def line(value: dict[str, Any]) -> bytes:
    return json.dumps(value, ensure_ascii=False, separators=(",", ":")).encode("utf-8", "replace") + b"\n"


def timings(usage: Usage) -> dict[str, int]:
    """Counts and durations. Engines that measure nothing leave the time until the first token, and after it."""
    prompt = usage.prompt_ms or max(0.0, usage.first_token_ms - usage.load_ms)
    completion = usage.completion_ms or max(0.0, usage.total_ms - usage.first_token_ms)
    return {
        "total_duration": nanoseconds(usage.total_ms),
        "load_duration": nanoseconds(usage.load_ms),
        "prompt_eval_count": usage.prompt_tokens,
        "prompt_eval_duration": nanoseconds(prompt),
        "eval_count": usage.completion_tokens,
        "eval_duration": nanoseconds(completion),
    }


def idle(model: str, *, chat: bool, reason: str) -> dict[str, Any]:
    """The reply to a request that asked nothing: the model was loaded ("load") or is leaving ("unload")."""
    return {"model": model, "created_at": now(), **_wrap(chat)({}), "done": True, "done_reason": reason}


def answer(model: str, reply: dict[str, Any], usage: Usage, *, chat: bool, alternatives: int = 0) -> dict[str, Any]:
    """The whole answer at once, from a chat, a completion or an infill. `alternatives`: how many log probabilities beside each token's own."""
    said: Said = {"content": "", "thinking": "", "tool_calls": [], "logprobs": []}
    reason = None
    for part, ended in _parts(reply, alternatives):
        _gather(said, part)
        reason = ended or reason
    calls = [_tool_call(call, index) for index, call in enumerate(said.pop("tool_calls"))]
    whole = {name: value for name, value in said.items() if value}
    if calls:
        whole["tool_calls"] = calls
    return {"model": model, "created_at": now(), **_wrap(chat)(whole), "done": True, "done_reason": _reason(reason), **timings(usage)}


class Lines:
    """A stream: `feed` each event of the engine, then `end` once. Tool calls leave whole, since Ollama's clients get arguments as objects."""

    def __init__(self, model: str, *, chat: bool, alternatives: int = 0) -> None:
        self._model = model
        self._alternatives = alternatives
        self._wrap = _wrap(chat)
        self._calls: list[dict[str, Any]] = []
        self._sent = 0
        self._reason: str | None = None

    def feed(self, event: dict[str, Any]) -> bytes:
        out = b""
        for part, ended in _parts(event, self._alternatives):
            self._reason = ended or self._reason
            _merge(self._calls, part.pop("tool_calls", ()))
            if len(self._calls) > self._sent + 1:
                out += self._flush(len(self._calls) - 1)
            said = {name: value for name, value in part.items() if value}
            if said:
                out += self._line(said)
        return out

    def end(self, usage: Usage) -> bytes:
        closing = {"model": self._model, "created_at": now(), **self._wrap({}), "done": True, "done_reason": _reason(self._reason), **timings(usage)}
        return self._flush(len(self._calls)) + line(closing)

    def _flush(self, until: int) -> bytes:
        """The tool calls that are complete: all but the one that still grows."""
        ready = [_tool_call(self._calls[index], index) for index in range(self._sent, until)]
        self._sent = max(self._sent, until)
        return self._line({"tool_calls": ready}) if ready else b""

    def _line(self, said: Said) -> bytes:
        return line({"model": self._model, "created_at": now(), **self._wrap(said), "done": False})


def _wrap(chat: bool) -> Wrap:
    return _as_message if chat else _as_response


def _as_message(said: Said) -> dict[str, Any]:
    logprobs = {"logprobs": said["logprobs"]} if said.get("logprobs") else {}
    message = {"role": "assistant", "content": said.get("content", "")}
    message |= {name: said[name] for name in ("thinking", "tool_calls") if said.get(name)}
    return {"message": message, **logprobs}


def _as_response(said: Said) -> dict[str, Any]:
    return {"response": said.get("content", ""), **{name: said[name] for name in ("thinking", "logprobs") if said.get(name)}}


def _parts(event: dict[str, Any], alternatives: int) -> list[tuple[Said, str | None]]:
    """What an event or a reply says, and the reason to stop if it was the last."""
    if "choices" not in event:
        # llama-server's own shape, which infill has.
        return [({"content": event.get("content") or ""}, _infill_reason(event))]
    parts: list[tuple[Said, str | None]] = []
    for choice in event["choices"]:
        said = choice.get("delta") or choice.get("message") or {"content": choice.get("text")}
        part: Said = {
            "content": said.get("content") or "",
            "thinking": said.get("reasoning_content") or said.get("reasoning") or "",
            "tool_calls": said.get("tool_calls") or (),
            "logprobs": _logprobs(choice.get("logprobs"), alternatives),
        }
        parts.append((part, choice.get("finish_reason")))
    return parts


def _infill_reason(event: dict[str, Any]) -> str | None:
    if not event.get("stop"):
        return None
    return "length" if event.get("stop_type") == "limit" else "stop"


def _gather(whole: Said, part: Said) -> None:
    whole["content"] += part.get("content", "")
    whole["thinking"] += part.get("thinking", "")
    whole["logprobs"] += part.get("logprobs", ())
    _merge(whole["tool_calls"], part.get("tool_calls", ()))


def _merge(calls: list[dict[str, Any]], deltas: Sequence[dict[str, Any]]) -> None:
    """Add pieces of tool calls to what there is of them; whole calls carry no index."""
    for delta in deltas:
        function = delta.get("function") or {}
        index = delta.get("index")
        if index is None or index >= len(calls):
            calls.append({"id": delta.get("id"), "name": function.get("name") or "", "arguments": ""})
            index = len(calls) - 1
        call = calls[index]
        call["id"] = call["id"] or delta.get("id")
        call["name"] = call["name"] or function.get("name") or ""
        call["arguments"] += function.get("arguments") or ""


def _tool_call(call: dict[str, Any], index: int) -> dict[str, Any]:
    """Arguments of an answer that was cut off may be broken; its done_reason says so."""
    try:
        arguments = json.loads(call["arguments"]) if call["arguments"].strip() else {}
    except ValueError:
        arguments = {}
    if not isinstance(arguments, dict):
        arguments = {"value": arguments}
    identifier = {"id": call["id"]} if call["id"] else {}
    return {**identifier, "function": {"index": index, "name": call["name"], "arguments": arguments}}


def _logprobs(given: dict[str, Any] | None, alternatives: int) -> list[dict[str, Any]]:
    """Chat's and completion's log probabilities alike, in Ollama's shape."""
    found = []
    for token in (given or {}).get("content") or ():
        others = [_token(one) for one in (token.get("top_logprobs") or ())[:alternatives]]
        found.append(_token(token) | ({"top_logprobs": others} if others else {}))
    return found


def _token(token: dict[str, Any]) -> dict[str, Any]:
    return {name: token[name] for name in ("token", "logprob", "bytes") if token.get(name) is not None}


def _reason(finish: str | None) -> str:
    return "length" if finish == "length" else "stop"
