"""Answers in llama-server's JSON: event streams and whole bodies of chat, completion and infill, and errors."""

from __future__ import annotations

import json
import secrets
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from hausgeist.engines.fake.steps import Composition, Piece
from hausgeist.engines.fake.text import token_id

__all__ = ["DONE", "Chat", "Clock", "Completion", "Format", "Infill", "dumps", "error", "event", "usage"]

DONE = b"data: [DONE]\n\n"
_FINGERPRINT = "fake"


def dumps(value: Any) -> bytes:
    return json.dumps(value, ensure_ascii=False, separators=(",", ":")).encode("utf-8", "replace")


def event(value: Any) -> bytes:
    return b"data: " + dumps(value) + b"\n\n"


_TYPES = {401: "authentication_error", 403: "permission_error", 404: "not_found_error", 501: "not_supported_error", 503: "unavailable_error"}


def error(status: int, message: str, **more: Any) -> dict[str, Any]:
    """An error as llama-server says it."""
    kind = more.pop("type", None) or _TYPES.get(status) or ("server_error" if status >= 500 else "invalid_request_error")
    return {"error": {"code": status, "message": message, "type": kind, **more}}


def usage(prompt: int, completion: int, cached: int) -> dict[str, Any]:
    return {
        "completion_tokens": completion,
        "prompt_tokens": prompt,
        "total_tokens": prompt + completion,
        "prompt_tokens_details": {"cached_tokens": cached},
    }


@dataclass(slots=True)
class Clock:
    """When things happened, for `timings`. Seconds of the event loop's clock."""

    started: float
    first: float | None = None
    """When the prompt was done and tokens began."""
    ended: float | None = None

    def timings(self, *, prompt: int, cached: int, completion: int) -> dict[str, Any]:
        first = self.first if self.first is not None else self.started
        prompt_ms = (first - self.started) * 1e3
        ended_ms = ((self.ended if self.ended is not None else first) - first) * 1e3
        fresh = prompt - cached
        return {
            "cache_n": cached,
            "prompt_n": fresh,
            "prompt_ms": prompt_ms,
            "prompt_per_token_ms": prompt_ms / fresh if fresh else 0.0,
            "prompt_per_second": fresh / prompt_ms * 1e3 if prompt_ms else 0.0,
            "predicted_n": completion,
            "predicted_ms": ended_ms,
            "predicted_per_token_ms": ended_ms / completion if completion else 0.0,
            "predicted_per_second": completion / ended_ms * 1e3 if ended_ms else 0.0,
        }


@dataclass(kw_only=True)
class Format:
    """One answer of several choices on its way out. Subclasses say it in the shape of their operation."""

    model: str
    compositions: Sequence[Composition]
    prompt: str
    prompt_tokens: int
    cached: int
    clock: Clock
    slot: int
    include_usage: bool
    verbose: bool
    logprobs: int | None
    prefix: str = "cmpl-"
    id: str = field(init=False)
    created: int = field(init=False)
    ends_with_done = True

    def __post_init__(self) -> None:
        self.id = self.prefix + secrets.token_urlsafe(24)
        self.created = int(time.time())
        self._tails = dumps({**self._envelope()})[1:]

    def opening(self) -> bytes:
        """What a stream begins with."""
        return b""

    def piece(self, choice: int, piece: Piece) -> bytes:
        """The event that carries one token."""
        raise NotImplementedError

    def closing(self) -> bytes:
        """What ends a stream."""
        raise NotImplementedError

    def whole(self) -> dict[str, Any]:
        """The body of an answer that does not stream."""
        raise NotImplementedError

    @property
    def completion_tokens(self) -> int:
        return sum(composition.tokens for composition in self.compositions)

    def usage(self) -> dict[str, Any]:
        return usage(self.prompt_tokens, self.completion_tokens, self.cached)

    def timings(self) -> dict[str, Any]:
        return self.clock.timings(prompt=self.prompt_tokens, cached=self.cached, completion=self.completion_tokens)

    def native(self, choice: int, composition: Composition) -> dict[str, Any]:
        """llama-server's own shape: what infill answers, and what `verbose` adds."""
        return {
            "index": choice,
            "content": composition.content,
            "tokens": [],
            "id_slot": self.slot,
            "stop": True,
            "model": self.model,
            "tokens_predicted": composition.tokens,
            "tokens_evaluated": self.prompt_tokens,
            "generation_settings": {},
            "prompt": self.prompt,
            "has_new_line": "\n" in composition.content,
            "truncated": False,
            "stop_type": composition.stop_type,
            "stopping_word": composition.stopping_word,
            "tokens_cached": self.prompt_tokens + composition.tokens,
            "timings": self.timings(),
        }

    def probabilities(self, tokens: Sequence[str]) -> dict[str, Any]:
        """Made-up but well-formed log probabilities: the token said is always the likeliest."""

        def entry(text: str, logprob: float) -> dict[str, Any]:
            return {"id": token_id(text), "token": text, "bytes": list(text.encode()), "logprob": logprob}

        count = self.logprobs or 0
        others = [f" {chr(97 + rank)}" for rank in range(count)]
        return {
            "content": [
                {**entry(text, -0.1), "top_logprobs": [entry(text if not rank else others[rank], -0.1 - rank) for rank in range(count)]}
                for text in tokens
            ]
        }

    def _envelope(self) -> dict[str, Any]:
        raise NotImplementedError


@dataclass(kw_only=True)
class Chat(Format):
    """`/v1/chat/completions`."""

    prefix: str = "chatcmpl-"

    def __post_init__(self) -> None:
        super().__post_init__()
        self._call_ids = [[f"call_{secrets.token_hex(12)}" for _ in composition.calls] for composition in self.compositions]

    def _envelope(self) -> dict[str, Any]:
        return {
            "created": self.created,
            "id": self.id,
            "model": self.model,
            "system_fingerprint": _FINGERPRINT,
            "object": "chat.completion.chunk",
        }

    def _chunk(self, choice: int, delta: bytes, finish: bytes = b"null", more: bytes = b"") -> bytes:
        """Put together from bytes: at 64 streams of 50 tokens a second, `json.dumps` of the whole event would be the dearest part."""
        start = b'data: {"choices":[{"finish_reason":%b,"index":%d,"delta":%b%b}],' % (finish, choice, delta, more)
        return start + self._tails + b"\n\n"

    def opening(self) -> bytes:
        return b"".join(self._chunk(choice, b'{"role":"assistant","content":null}') for choice in range(len(self.compositions)))

    def piece(self, choice: int, piece: Piece) -> bytes:
        match piece.kind:
            case "content":
                more = b"" if self.logprobs is None else b',"logprobs":' + dumps(self.probabilities([piece.text]))
                return self._chunk(choice, b'{"content":%b}' % dumps(piece.text), more=more)
            case "reasoning":
                return self._chunk(choice, b'{"reasoning_content":%b}' % dumps(piece.text))
            case "call":
                head = {"index": piece.call, "id": self._call_ids[choice][piece.call], "type": "function", "function": {"name": piece.text}}
                return self._chunk(choice, dumps({"tool_calls": [head]}))
            case "arguments":
                return self._chunk(choice, dumps({"tool_calls": [{"index": piece.call, "function": {"arguments": piece.text}}]}))
            case "step":
                return b""

    def closing(self) -> bytes:
        ends: list[dict[str, Any]] = []
        for choice, composition in enumerate(self.compositions):
            end = {"choices": [{"finish_reason": composition.finish, "index": choice, "delta": {}}], **self._envelope()}
            if self.verbose:
                end["__verbose"] = self.native(choice, composition)
            ends.append(end)
        if self.include_usage:
            ends.append({"choices": [], **self._envelope(), "usage": self.usage()})
        ends[-1]["timings"] = self.timings()
        return b"".join(event(end) for end in ends)

    def whole(self) -> dict[str, Any]:
        choices = []
        for choice, composition in enumerate(self.compositions):
            message: dict[str, Any] = {"role": "assistant", "content": composition.content}
            if composition.reasoning:
                message["reasoning_content"] = composition.reasoning
            if composition.calls:
                message["tool_calls"] = [
                    {"type": "function", "function": {"name": name, "arguments": arguments}, "id": self._call_ids[choice][index]}
                    for index, (name, arguments) in enumerate(composition.calls)
                ]
            said: dict[str, Any] = {"finish_reason": composition.finish, "index": choice, "message": message}
            if self.logprobs is not None:
                said["logprobs"] = self.probabilities([piece.text for piece in composition.pieces if piece.kind == "content"])
            choices.append(said)
        body = {"choices": choices, **self._envelope(), "object": "chat.completion", "usage": self.usage(), "timings": self.timings()}
        if self.verbose:
            body["__verbose"] = self.native(0, self.compositions[0])
        return body


@dataclass(kw_only=True)
class Completion(Format):
    """`/v1/completions`. The last event of each choice carries the usage."""

    def _envelope(self) -> dict[str, Any]:
        return {"created": self.created, "model": self.model, "system_fingerprint": _FINGERPRINT, "object": "text_completion", "id": self.id}

    def piece(self, choice: int, piece: Piece) -> bytes:
        if piece.kind != "content":
            return b""
        chances = b"null" if self.logprobs is None else dumps(self.probabilities([piece.text]))
        start = b'data: {"choices":[{"text":%b,"index":%d,"logprobs":%b,"finish_reason":null}],' % (dumps(piece.text), choice, chances)
        return start + self._tails + b"\n\n"

    def _choice(self, choice: int, composition: Composition, text: str) -> dict[str, Any]:
        tokens = [piece.text for piece in composition.pieces if piece.kind == "content"]
        chances = self.probabilities(tokens) if self.logprobs is not None and text else None
        return {"text": text, "index": choice, "logprobs": chances, "finish_reason": composition.finish}

    def closing(self) -> bytes:
        ends: list[dict[str, Any]] = []
        for choice, composition in enumerate(self.compositions):
            end = {"choices": [self._choice(choice, composition, "")], **self._envelope()}
            if self.verbose:
                end["__verbose"] = self.native(choice, composition)
            ends.append(end)
        ends[-1].update(usage=self.usage(), timings=self.timings())
        return b"".join(event(end) for end in ends)

    def whole(self) -> dict[str, Any]:
        choices = [self._choice(choice, composition, composition.content) for choice, composition in enumerate(self.compositions)]
        body = {"choices": choices, **self._envelope(), "usage": self.usage(), "timings": self.timings()}
        if self.verbose:
            body["__verbose"] = self.native(0, self.compositions[0])
        return body


@dataclass(kw_only=True)
class Infill(Format):
    """`/infill`: llama-server's own shape, without a closing [DONE]."""

    ends_with_done = False

    def _envelope(self) -> dict[str, Any]:
        return {}

    def piece(self, choice: int, piece: Piece) -> bytes:
        if piece.kind != "content":
            return b""
        return event({"index": choice, "content": piece.text, "tokens": [token_id(piece.text)], "stop": False, "id_slot": self.slot})

    def closing(self) -> bytes:
        return b"".join(event({**self.native(choice, composition), "content": ""}) for choice, composition in enumerate(self.compositions))

    def whole(self) -> dict[str, Any]:
        return self.native(0, self.compositions[0])
