"""Answers in OpenAI's shapes: the engine's private fields taken out, its usage of several answers added up, log probabilities as OpenAI has them."""

from __future__ import annotations

import json
import time
import uuid
from collections.abc import AsyncGenerator, Mapping
from dataclasses import dataclass, field
from typing import Any

from hausgeist.serving.calls import Answer

__all__ = ["DONE", "ChatFold", "Logprobs", "Totals", "encode_chat", "event", "new_id", "rewritten", "usage_of"]

DONE = b"data: [DONE]\n\n"
_HEAD = {"id", "object", "created", "model", "system_fingerprint", "service_tier"}
_LEAST = -9999.0
"""OpenAI's log probability of a token outside the most likely ones; the engine says -3.4e38, or leaves it out."""


def event(data: Mapping[str, Any]) -> bytes:
    return b"data: " + json.dumps(data, ensure_ascii=False, separators=(",", ":")).encode("utf-8", "replace") + b"\n\n"


def new_id(prefix: str) -> str:
    return f"{prefix}-{uuid.uuid4().hex}"


@dataclass
class Totals:
    """Token counts of several answers; those of one prompt count it once."""

    prompt: int = 0
    completion: int = 0
    cached: int = 0

    def add(self, usage: Mapping[str, Any] | None, *, same_prompt: bool = False) -> None:
        usage = usage or {}
        prompt = int(usage.get("prompt_tokens") or 0)
        cached = int((usage.get("prompt_tokens_details") or {}).get("cached_tokens") or 0)
        if same_prompt:
            # The first answer processes the prompt, the others share it: their engine-side "cached" says no more than that.
            self.cached = min(self.cached, cached) if self.prompt else cached
            self.prompt = max(self.prompt, prompt)
        else:
            self.prompt += prompt
            self.cached += cached
        self.completion += int(usage.get("completion_tokens") or 0)

    def say(self) -> dict[str, Any]:
        return {
            "prompt_tokens": self.prompt,
            "completion_tokens": self.completion,
            "total_tokens": self.prompt + self.completion,
            "prompt_tokens_details": {"cached_tokens": self.cached},
        }


def usage_of(usage: Mapping[str, Any] | None) -> dict[str, Any]:
    """One answer's usage, with OpenAI's fields only."""
    totals = Totals()
    totals.add(usage)
    said = totals.say()
    details = (usage or {}).get("completion_tokens_details")
    if isinstance(details, Mapping):
        said["completion_tokens_details"] = dict(details)
    return said


@dataclass(frozen=True)
class Logprobs:
    """Log probabilities with `top` alternatives per token, as the engine's chat shape gives them."""

    top: int

    def clean(self, found: Any) -> dict[str, Any] | None:
        """OpenAI's shape of a choice's `logprobs`."""
        if not isinstance(found, Mapping) or not isinstance(found.get("content"), list):
            return None
        return {"content": [{**self._token(token), "top_logprobs": self._tops(token)} for token in found["content"]], "refusal": None}

    def _tops(self, token: Mapping[str, Any]) -> list[dict[str, Any]]:
        return [self._token(other) for other in (token.get("top_logprobs") or [])[: self.top]]

    @staticmethod
    def _token(token: Mapping[str, Any]) -> dict[str, Any]:
        return {"token": token.get("token", ""), "logprob": max(float(token.get("logprob") or 0.0), _LEAST), "bytes": token.get("bytes")}


def encode_chat(reply: Mapping[str, Any], *, model: str, logprobs: Logprobs | None, tier: str | None) -> dict[str, Any]:
    """A chat completion with the fields that the SDK knows (and `reasoning_content`, which no SDK type has and every client of such models reads)."""
    encoded: dict[str, Any] = {
        "id": str(reply.get("id") or new_id("chatcmpl")),
        "object": "chat.completion",
        "created": int(reply.get("created") or time.time()),
        "model": model,
        "choices": [_choice(choice, number, logprobs) for number, choice in enumerate(reply.get("choices") or [])],
        "usage": usage_of(reply.get("usage")),
        "system_fingerprint": reply.get("system_fingerprint"),
    }
    if tier is not None:
        encoded["service_tier"] = tier
    return encoded


def _choice(choice: Mapping[str, Any], number: int, logprobs: Logprobs | None) -> dict[str, Any]:
    said = choice.get("message") or {}
    calls = said.get("tool_calls") or []
    message: dict[str, Any] = {"role": "assistant", "content": said.get("content"), "refusal": None}
    if calls:
        message["content"] = said.get("content") or None
        message["tool_calls"] = [
            {
                "id": call.get("id") or new_id("call"),
                "type": "function",
                "function": {"name": call["function"].get("name", ""), "arguments": call["function"].get("arguments", "")},
            }
            for call in calls
        ]
    elif message["content"] is None:
        message["content"] = ""
    if said.get("reasoning_content"):
        message["reasoning_content"] = said["reasoning_content"]
    return {
        "index": int(choice.get("index", number)),
        "message": message,
        "logprobs": logprobs.clean(choice.get("logprobs")) if logprobs else None,
        "finish_reason": choice.get("finish_reason") or "stop",
    }


async def rewritten(answer: Answer, *, logprobs: Logprobs | None, usage: bool, tier: str | None) -> AsyncGenerator[bytes, None]:
    """A chat's events, each taken apart: for log probabilities, and for several answers, whose usage comes once and added up."""
    totals = Totals()
    last: dict[str, Any] = {}
    async with answer:
        async for data in answer.events():
            if tier is not None:
                data["service_tier"] = tier
            if data.get("usage") is not None:
                totals.add(data["usage"], same_prompt=True)
                if not data.get("choices"):
                    last = data
                    continue
                del data["usage"]
            for choice in data.get("choices") or ():
                if logprobs is not None:
                    choice["logprobs"] = logprobs.clean(choice.get("logprobs"))
            last = data
            yield event(data)
        if usage:
            closing = {name: value for name, value in last.items() if name in _HEAD}
            yield event({**closing, "choices": [], "usage": totals.say()})
        yield DONE


@dataclass
class ChatFold:
    """Several answers of one chat, put together from their common stream."""

    model: str
    totals: Totals = field(default_factory=Totals)
    head: dict[str, Any] = field(default_factory=dict)
    choices: dict[int, dict[str, Any]] = field(default_factory=dict)

    def add(self, data: Mapping[str, Any]) -> None:
        self.head = self.head or {name: data[name] for name in ("id", "created", "system_fingerprint") if name in data}
        if data.get("usage") is not None:
            self.totals.add(data["usage"], same_prompt=True)
        for part in data.get("choices") or ():
            choice = self.choices.setdefault(int(part.get("index", 0)), {"message": {}, "finish_reason": None})
            _extend(choice["message"], part.get("delta") or {})
            if isinstance(part.get("logprobs"), Mapping):
                choice.setdefault("logprobs", {"content": []})["content"] += part["logprobs"].get("content") or []
            choice["finish_reason"] = part.get("finish_reason") or choice["finish_reason"]

    def reply(self) -> dict[str, Any]:
        choices = [{"index": index, **self.choices[index]} for index in sorted(self.choices)]
        return {**self.head, "model": self.model, "choices": choices, "usage": self.totals.say()}


def _extend(message: dict[str, Any], delta: Mapping[str, Any]) -> None:
    for name in ("content", "reasoning_content"):
        if delta.get(name):
            message[name] = message.get(name, "") + delta[name]
    for part in delta.get("tool_calls") or ():
        calls = message.setdefault("tool_calls", [])
        index = int(part.get("index", 0))
        while len(calls) <= index:
            calls.append({"id": "", "function": {"name": "", "arguments": ""}})
        calls[index]["id"] = part.get("id") or calls[index]["id"]
        function = part.get("function") or {}
        calls[index]["function"]["name"] += function.get("name") or ""
        calls[index]["function"]["arguments"] += function.get("arguments") or ""
