"""Replies from a file, for `fake:FILE`: JSON lines, each a text or an object, said one after the other, from the start again after the last.

An object may have: `content`, `reasoning_content`, `tool_calls` ([{"name": ..., "arguments": {...}}]), `wait` (seconds before it),
`fail` ({"status": 503, "message": ...}), and `when`: a text. A line with `when` is said, each time, if the last message contains that text.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from hausgeist.engines.fake.manners import Question
from hausgeist.engines.fake.steps import CallTool, Fail, Say, Step, Think, Wait
from hausgeist.errors import LoadFailed

__all__ = ["Script", "read_script"]

_LARGEST = 16 * 2**20


@dataclass(frozen=True, slots=True)
class _Line:
    steps: tuple[Step, ...]
    when: str = ""


class Script:
    """Says the lines. One script belongs to one worker, so each load starts at the first line."""

    def __init__(self, lines: Sequence[_Line]) -> None:
        self._when = [line for line in lines if line.when]
        self._turns = [line for line in lines if not line.when]
        self._next = 0

    def __call__(self, question: Question) -> list[Step]:
        for line in self._when:
            if line.when in question.last:
                return list(line.steps)
        if not self._turns:
            return [Say("No line of the script fits.")]
        line = self._turns[self._next % len(self._turns)]
        self._next += 1
        return list(line.steps)


def read_script(path: Path) -> Script:
    """Raises `LoadFailed` naming the line; never quotes it, because the name of the file comes from a request."""
    try:
        if path.stat().st_size > _LARGEST:
            raise LoadFailed(f"{path.name} is larger than {_LARGEST // 2**20} MiB, too large for a script of replies.")
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise LoadFailed(f"{path.name} cannot be read as text.") from error
    lines = [_line(line, f"{path.name}, line {number}") for number, line in enumerate(text.splitlines(), 1) if line.strip()]
    if not lines:
        raise LoadFailed(f"{path.name} has no replies: it should hold one JSON text or object per line.")
    return Script(lines)


def _line(text: str, where: str) -> _Line:
    try:
        value: Any = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise LoadFailed(f"{where}: not JSON.") from error
    if isinstance(value, str):
        return _Line((Say(value),))
    if not isinstance(value, dict) or not value.keys() <= {"content", "reasoning_content", "tool_calls", "wait", "fail", "when"}:
        raise LoadFailed(f"{where}: not a reply. It may be a text, or an object with content, reasoning_content, tool_calls, wait, fail and when.")
    try:
        return _Line(tuple(_steps(value)), when=str(value.get("when") or ""))
    except (TypeError, KeyError, ValueError, AttributeError) as error:
        raise LoadFailed(f"{where}: not a reply of the right form.") from error


def _steps(value: dict[str, Any]) -> list[Step]:
    steps: list[Step] = []
    if value.get("wait") is not None:
        steps.append(Wait(min(max(float(value["wait"]), 0.0), 3600.0)))
    if value.get("reasoning_content"):
        steps.append(Think(str(value["reasoning_content"])))
    if value.get("content"):
        steps.append(Say(str(value["content"])))
    for call in value.get("tool_calls") or []:
        call = call.get("function", call)
        arguments = call.get("arguments", {})
        steps.append(CallTool(str(call["name"]), arguments if isinstance(arguments, str) else json.dumps(arguments, ensure_ascii=False)))
    if (fail := value.get("fail")) is not None:
        status = int(fail.get("status", 500))
        if not 400 <= status <= 599:
            raise ValueError(status)
        steps.append(Fail(status, str(fail.get("message", "The fake engine was told to fail."))))
    return steps
