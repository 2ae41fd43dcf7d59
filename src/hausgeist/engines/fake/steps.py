"""What a fake answer is made of, and how it becomes tokens under the limits of a request."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Literal

from hausgeist.engines.fake.text import clean, pieces

__all__ = ["CallTool", "Composition", "Die", "Fail", "Piece", "Say", "Stall", "Step", "Think", "Wait", "compose"]


@dataclass(frozen=True, slots=True)
class Say:
    text: str


@dataclass(frozen=True, slots=True)
class Think:
    text: str


@dataclass(frozen=True, slots=True)
class CallTool:
    name: str
    arguments: str


@dataclass(frozen=True, slots=True)
class Wait:
    seconds: float


@dataclass(frozen=True, slots=True)
class Fail:
    status: int
    message: str


@dataclass(frozen=True, slots=True)
class Stall:
    """Nothing more comes, and no end either."""


@dataclass(frozen=True, slots=True)
class Die:
    """The worker crashes."""


Step = Say | Think | CallTool | Wait | Fail | Stall | Die


@dataclass(frozen=True, slots=True)
class Piece:
    """One token of an answer, or a pause, failure or end between tokens (`step`)."""

    kind: Literal["content", "reasoning", "call", "arguments", "step"]
    text: str = ""
    """The token; for `call` the name of the tool."""
    call: int = 0
    """Which of the tool calls."""
    step: Wait | Fail | Stall | Die | None = None

    @property
    def counts(self) -> bool:
        """Whether it is a token to be counted and paced."""
        return self.kind in {"content", "reasoning", "arguments"}


@dataclass(frozen=True, slots=True)
class Composition:
    """An answer as it will be said."""

    pieces: Sequence[Piece]
    tokens: int
    finish: Literal["stop", "length", "tool_calls"]
    stop_type: Literal["eos", "word", "limit"]
    stopping_word: str = ""
    content: str = ""
    reasoning: str = ""
    calls: Sequence[tuple[str, str]] = field(default_factory=tuple)


def compose(steps: Iterable[Step], *, stop: Sequence[str] = (), limit: int | None = None) -> Composition:
    """Cut the answer at the first stop string in what is said, and after `limit` tokens."""
    steps, word = _until_stop(list(steps), stop)
    taken: list[Piece] = []
    tokens = 0
    calls: list[list[str]] = []
    cut = False

    def take(kind: Literal["content", "reasoning", "arguments"], text: str) -> bool:
        nonlocal tokens, cut
        for token in pieces(clean(text)):
            if limit is not None and tokens >= limit:
                cut = True
                return False
            taken.append(Piece(kind, token, call=max(0, len(calls) - 1)))
            tokens += 1
        return True

    for step in steps:
        match step:
            case Say(text):
                going = take("content", text)
            case Think(text):
                going = take("reasoning", text)
            case CallTool(name, arguments):
                if limit is not None and tokens >= limit:
                    cut, going = True, False
                else:
                    calls.append([clean(name)])
                    taken.append(Piece("call", clean(name), call=len(calls) - 1))
                    going = take("arguments", arguments)
            case _:
                taken.append(Piece("step", step=step))
                going = True
        if not going:
            break
    joined = [(name, "".join(piece.text for piece in taken if piece.kind == "arguments" and piece.call == i)) for i, (name,) in enumerate(calls)]
    return Composition(
        pieces=taken,
        tokens=tokens,
        finish="length" if cut else "tool_calls" if calls else "stop",
        stop_type="limit" if cut else "word" if word else "eos",
        stopping_word="" if cut else word,
        content="".join(piece.text for piece in taken if piece.kind == "content"),
        reasoning="".join(piece.text for piece in taken if piece.kind == "reasoning"),
        calls=joined,
    )


def _until_stop(steps: list[Step], stop: Sequence[str]) -> tuple[list[Step], str]:
    """The steps up to the first stop string in the text said (it may reach over several steps), and that string."""
    said = "".join(step.text for step in steps if isinstance(step, Say))
    found = [(said.find(word), -len(word), word) for word in stop if word and word in said]
    if not found:
        return steps, ""
    end, _, word = min(found)
    kept: list[Step] = []
    for step in steps:
        if isinstance(step, Say):
            if len(step.text) >= end:
                return [*kept, Say(step.text[:end])], word
            end -= len(step.text)
        kept.append(step)
    return kept, word
