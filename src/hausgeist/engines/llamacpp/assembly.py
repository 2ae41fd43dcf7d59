"""From the events of a stream to the reply that the same request would have got without streaming. Pure.

Why: while other requests are answered, llama-server notices that a client has left only when it has something to send to that client. So every
answer is asked for as a stream (`replies.py`), also where the caller wants it whole.
"""

from __future__ import annotations

import json
from typing import Any

__all__ = ["Assembly"]


class Assembly:
    """Takes the events of one request as they come; `result()` is the whole reply."""

    def __init__(self, operation: str, *, answers: int = 1) -> None:
        """`answers`: how many were asked for per prompt (`n`)."""
        self._operation = operation
        self._answers = max(1, answers)
        self._choices: dict[int, dict[str, Any]] = {}
        self._parts: dict[int, dict[str, list[str]]] = {}
        self._last: dict[str, Any] = {}
        self._usages: list[tuple[int, dict[str, Any]]] = []
        self._details: dict[str, Any] = {}
        self.error: dict[str, Any] | None = None
        """The error that ended the stream."""
        self.complete = False

    def add(self, data: bytes) -> None:
        """One event's data. Raises `ValueError` for what is not an event of llama-server."""
        if data == b"[DONE]":
            self.complete = True
            return
        event = json.loads(data)
        if not isinstance(event, dict):
            raise ValueError("the event is not an object")
        if isinstance(event.get("error"), dict):
            self.error = event["error"]
            self.complete = True
        elif self._operation == "infill":
            self._add_infill(event)
        else:
            self._add_choices(event)

    def result(self) -> Any:
        """The reply's body as a JSON value."""
        if self.error is not None:
            return {"error": self.error}
        choices = [self._finished(index) for index in sorted(self._choices)]
        if self._operation == "infill":
            return choices[0] if len(choices) == 1 else choices
        shared = {name: value for name, value in self._last.items() if name not in ("choices", "usage", "object", "prompt_progress")}
        kind = "chat.completion" if self._operation == "chat" else "text_completion"
        reply = {"choices": choices, **shared, "object": kind, **self._details}
        if self._usages:
            reply["usage"] = self._usage()
        return reply

    def _add_choices(self, event: dict[str, Any]) -> None:
        self._last = {**self._last, **event}
        if isinstance(event.get("usage"), dict):
            first: dict[str, Any] = next(iter(event.get("choices", ())), {})
            self._usages.append((int(first.get("index", 0)) // self._answers, event["usage"]))
        if "__verbose" in event:
            self._details.setdefault("__verbose", event["__verbose"])
        for told in event.get("choices", ()):
            index = int(told.get("index", 0))
            choice = self._choices.setdefault(index, {"finish_reason": None, "index": index})
            parts = self._parts.setdefault(index, {})
            if told.get("finish_reason"):
                choice["finish_reason"] = told["finish_reason"]
            if isinstance(told.get("logprobs"), dict):
                logprobs = choice.setdefault("logprobs", {"content": []})
                logprobs["content"] += told["logprobs"].get("content") or ()
            if isinstance(text := told.get("text"), str):
                parts.setdefault("text", []).append(text)
            self._add_delta(choice, parts, told.get("delta") or {})

    @staticmethod
    def _add_delta(choice: dict[str, Any], parts: dict[str, list[str]], delta: dict[str, Any]) -> None:
        for name in ("content", "reasoning_content"):
            if isinstance(text := delta.get(name), str):
                parts.setdefault(name, []).append(text)
        calls = choice.setdefault("tool_calls", {}) if delta.get("tool_calls") else {}
        for told in delta.get("tool_calls") or ():
            position = int(told.get("index", 0))
            call = calls.setdefault(position, {"type": "function", "function": {"name": "", "arguments": ""}})
            if told.get("id"):
                call["id"] = told["id"]
            function = told.get("function") or {}
            call["function"]["name"] += function.get("name") or ""
            parts.setdefault(f"arguments {position}", []).append(function.get("arguments") or "")

    def _add_infill(self, event: dict[str, Any]) -> None:
        index = int(event.get("index", 0))
        parts = self._parts.setdefault(index, {})
        parts.setdefault("content", []).append(event.get("content") or "")
        choice = self._choices.setdefault(index, {})
        probabilities = [*choice.get("completion_probabilities", ()), *event.get("completion_probabilities", ())]
        if event.get("stop"):
            choice.update(event)
        if probabilities:
            choice["completion_probabilities"] = probabilities
        self.complete = bool(self._choices) and all(one.get("stop") for one in self._choices.values())

    def _finished(self, index: int) -> dict[str, Any]:
        choice, parts = dict(self._choices[index]), self._parts.get(index, {})
        text = {name: "".join(pieces) for name, pieces in parts.items()}
        if self._operation == "infill":
            return {**choice, "content": text.get("content", "")}
        if self._operation == "completion":
            return {"text": text.get("text", ""), "logprobs": None, **choice}
        calls = choice.pop("tool_calls", {})
        message: dict[str, Any] = {"role": "assistant", "content": text.get("content", "")}
        if "reasoning_content" in text:
            message["reasoning_content"] = text["reasoning_content"]
        if calls:
            for position, call in calls.items():
                call["function"]["arguments"] = text.get(f"arguments {position}", "")
            message["tool_calls"] = [calls[position] for position in sorted(calls)]
            message["content"] = message["content"] or None
        return {**choice, "message": message}

    def _usage(self) -> dict[str, Any]:
        """One usage for all answers; llama-server tells one per answer. A prompt is read once for the answers that it gets."""
        prompts: dict[int, int] = {}
        for number, usage in self._usages:
            prompts[number] = max(prompts.get(number, 0), int(usage.get("prompt_tokens", 0)))
        prompt = sum(prompts.values())
        completion = sum(int(usage.get("completion_tokens", 0)) for _, usage in self._usages)
        return {**self._usages[0][1], "completion_tokens": completion, "prompt_tokens": prompt, "total_tokens": prompt + completion}
