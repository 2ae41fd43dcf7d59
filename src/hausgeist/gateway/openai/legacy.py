"""Completions in OpenAI's older shape: pieces of text out of the engine's events, log probabilities as parallel lists, the best of several."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

__all__ = ["Piece", "TextChoice", "chosen", "pieces"]

_LEAST = -9999.0


@dataclass(frozen=True, slots=True)
class Piece:
    """Some text of one answer; `index` is None for an event that carries usage only."""

    index: int | None
    text: str = ""
    finish: str | None = None
    tokens: Sequence[Mapping[str, Any]] = ()
    """Log probabilities in the engine's chat shape."""
    usage: Mapping[str, Any] | None = None
    head: Mapping[str, Any] = field(default_factory=dict)


def pieces(data: Mapping[str, Any]) -> Iterator[Piece]:
    """What an event says: one of a completion (with choices), or one of an infill (the engine's own shape)."""
    if "choices" not in data:
        yield _infilled(data)
        return
    usage = data.get("usage")
    head = {name: data[name] for name in ("id", "created", "system_fingerprint") if data.get(name) is not None}
    choices = data["choices"] or ()
    for number, choice in enumerate(choices):
        tokens = (choice.get("logprobs") or {}).get("content") or ()
        yield Piece(
            index=int(choice.get("index", 0)),
            text=choice.get("text") or "",
            finish=choice.get("finish_reason"),
            tokens=tokens,
            usage=usage if number == 0 else None,
            head=head,
        )
    if not choices and usage is not None:
        yield Piece(index=None, usage=usage, head=head)


def _infilled(data: Mapping[str, Any]) -> Piece:
    finish, usage = None, None
    if data.get("stop"):
        finish = "length" if data.get("stop_type") == "limit" else "stop"
        timings = data.get("timings") or {}
        usage = {
            "prompt_tokens": data.get("tokens_evaluated") or 0,
            "completion_tokens": data.get("tokens_predicted") or 0,
            "prompt_tokens_details": {"cached_tokens": timings.get("cache_n") or 0},
        }
    return Piece(index=0, text=data.get("content") or "", finish=finish, tokens=data.get("completion_probabilities") or (), usage=usage)


@dataclass
class TextChoice:
    """An answer, or a part of one: its text so far, and its tokens."""

    index: int = 0
    text: str = ""
    finish: str | None = None
    tokens: list[Mapping[str, Any]] = field(default_factory=list)
    offset: int = 0
    """Characters of the answer before `text`."""
    _starts: list[int] = field(default_factory=list)

    def add(self, piece: Piece) -> None:
        position = self.offset + len(self.text)
        for token in piece.tokens:
            self.tokens.append(token)
            self._starts.append(position)
            position += len(str(token.get("token", "")))
        self.text += piece.text
        self.finish = piece.finish or self.finish

    def say(self, top: int | None) -> dict[str, Any]:
        """As OpenAI has it; `top`: how many alternatives per token were asked for, None: no log probabilities."""
        logprobs = None
        if top is not None:
            logprobs = {
                "tokens": [token.get("token", "") for token in self.tokens],
                "token_logprobs": [_logprob(token) for token in self.tokens],
                "top_logprobs": [
                    {other.get("token", ""): _logprob(other) for other in (token.get("top_logprobs") or [])[:top]} for token in self.tokens
                ],
                "text_offset": list(self._starts),
            }
        return {"text": self.text, "index": self.index, "logprobs": logprobs, "finish_reason": self.finish or "stop"}

    @property
    def likelihood(self) -> float:
        """Mean log probability of its tokens."""
        return sum(_logprob(token) for token in self.tokens) / len(self.tokens) if self.tokens else _LEAST


def chosen(choices: Sequence[TextChoice], wanted: int) -> list[TextChoice]:
    """The most likely ones, when there are more than wanted."""
    return list(choices) if len(choices) <= wanted else sorted(choices, key=lambda choice: -choice.likelihood)[:wanted]


def _logprob(token: Mapping[str, Any]) -> float:
    return max(float(token.get("logprob") or 0.0), _LEAST)
