"""What a model says becomes items, and events about them: the deltas of a chat in, the official stream of responses out. Pure but for the ids.

Owns which events there are for messages, reasoning and function calls, and in which order; the events of tools are told by the tools (`Entry`).
"""

from __future__ import annotations

import secrets
from collections.abc import Callable, Container, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from hausgeist.conversations.records import new_id
from hausgeist.conversations.service import PREFIXES

__all__ = ["Output", "Tell"]

Tell = Callable[[str, dict[str, Any]], None]
"""The type of an event and its fields. They are put into words at once: what is changed later does not change the event."""
_LEAST: Final = -9999.0
"""OpenAI's log probability of a token outside the most likely ones."""


@dataclass(eq=False)
class _Part:
    """A part of a message, or the text of a piece of reasoning, that is still being said."""

    kind: str
    """output_text, refusal or reasoning_text."""
    index: int
    said: list[str] = field(default_factory=list)
    chances: list[dict[str, Any]] = field(default_factory=list)
    notes: list[dict[str, Any]] = field(default_factory=list)
    """Annotations."""
    length: int = 0
    """Characters."""


class Entry:
    """An item of a tool on its way; see `tools.Entry`."""

    def __init__(self, body: dict[str, Any], index: int, tell: Tell) -> None:
        self.body = body
        self.open = True
        self._index = index
        self._tell = tell

    def tell(self, event: str, **fields: Any) -> None:
        self._tell(event, {**fields, "item_id": self.body["id"], "output_index": self._index})

    def done(self) -> None:
        if self.open:
            self.open = False
            self._tell("response.output_item.done", {"item": self.body, "output_index": self._index})


class Output:
    """The output of one response. `feed` it the choices of a chat's stream; `close` after each answer of the model."""

    def __init__(
        self, tell: Tell, *, here: Container[str] = (), top: int | None = None, seal: Callable[[str], str] | None = None,
    ) -> None:  # fmt: skip
        """`here`: functions whose calls are carried out here and become no items. `top`: alternatives per token where log probabilities are
        wanted. `seal`: makes the encrypted content of reasoning, where that is wanted."""
        self.items: list[dict[str, Any]] = []
        self.said = False
        """Whether anything has come from the model or a tool."""
        self._tell = tell
        self._here = here
        self._top = top
        self._seal = seal
        self._item: dict[str, Any] | None = None
        self._part: _Part | None = None
        self._calls: dict[int, tuple[int, dict[str, Any], list[str]]] = {}
        self._held: dict[int, tuple[str, list[str]]] = {}
        self._entries: list[Entry] = []

    def feed(self, delta: Mapping[str, Any], chances: Sequence[Mapping[str, Any]] = ()) -> None:
        """One choice's delta, and the log probabilities of its tokens."""
        if reasoning := delta.get("reasoning_content"):
            self._say("reasoning", "reasoning_text", _clean(reasoning), ())
        if text := delta.get("content"):
            self._say("message", "output_text", _clean(text), chances)
        if refusal := delta.get("refusal"):
            self._say("message", "refusal", _clean(refusal), ())
        for call in delta.get("tool_calls") or ():
            self._feed_call(call)

    def annotate(self, annotation: Mapping[str, Any]) -> None:
        """Note something at the end of what the message says so far."""
        if self._item is None or self._item["type"] != "message" or self._part is None or self._part.kind != "output_text":
            self._say("message", "output_text", "", ())
        assert self._part is not None
        note = {**annotation, "index": self._part.length} if annotation.get("type") == "file_citation" else dict(annotation)
        self._part.notes.append(note)
        self._tell_part("response.output_text.annotation.added", {"annotation": note, "annotation_index": len(self._part.notes) - 1})

    def add(self, body: Mapping[str, Any]) -> Entry:
        """An item of a tool. Raises `ValueError` where it has no type."""
        if not body.get("type"):
            raise ValueError("an item needs a type")
        item = {**body, "id": body.get("id") or new_id(PREFIXES.get(str(body["type"]), "item"))}
        entry = Entry(item, self._begin(item), self._tell)
        self._entries.append(entry)
        return entry

    def close(self, *, whole: bool) -> list[tuple[str, str]]:
        """The model has ended, or was ended: finish what is open. `whole`: it said all it wanted. Returns the calls that are to be done here."""
        self._end_item(whole)
        self._end_calls(whole)
        for entry in self._entries:
            if entry.open and "status" in entry.body and not whole:
                entry.body["status"] = "incomplete"
            entry.done()
        self._entries.clear()
        held = [(name, "".join(arguments)) for name, arguments in self._held.values()]
        self._held.clear()
        return held

    def silence(self) -> None:
        """The model said nothing at all: an empty message."""
        self._item = self._new("message")
        self._begin_part("output_text")
        self._end_item(True)

    def catch_up(self) -> None:
        """Put into the items what was said of them so far, for who looks at them meanwhile."""
        if self._item is not None and self._part is not None:
            self._item["content"][self._part.index] = self._worded(self._part)
        for _, item, arguments in self._calls.values():
            item["arguments"] = "".join(arguments)

    @property
    def waiting(self) -> bool:
        """Whether a function of the client was called, whose result is waited for."""
        return any(item["type"] == "function_call" for item in self.items)

    # Messages and reasoning

    def _say(self, kind: str, part: str, text: str, chances: Sequence[Mapping[str, Any]]) -> None:
        if self._item is None or self._item["type"] != kind:
            self._end_item(True)
            self._end_calls(True)
            self._item = self._new(kind)
        if self._part is None or self._part.kind != part:
            self._end_part()
            self._begin_part(part)
        assert self._part is not None
        self._part.said.append(text)
        self._part.length += len(text)
        if not text:
            return
        event: dict[str, Any] = {"item_id": self._item["id"], "output_index": len(self.items) - 1, "content_index": self._part.index, "delta": text}
        if part == "output_text":
            found = [self._chance(one) for one in chances] if self._top is not None else []
            self._part.chances += found
            event["logprobs"] = [_brief(one) for one in found]
        self._tell(f"response.{part}.delta", event)

    def _new(self, kind: str) -> dict[str, Any]:
        if kind == "reasoning":
            item: dict[str, Any] = {"id": new_id("rs"), "type": "reasoning", "status": "in_progress", "summary": [], "content": []}
        else:
            item = {"id": new_id("msg"), "type": "message", "status": "in_progress", "role": "assistant", "content": []}
        self._begin(item)
        return item

    def _begin(self, item: dict[str, Any]) -> int:
        self.said = True
        self.items.append(item)
        self._tell("response.output_item.added", {"item": item, "output_index": len(self.items) - 1})
        return len(self.items) - 1

    def _begin_part(self, kind: str) -> None:
        assert self._item is not None
        self._part = _Part(kind, len(self._item["content"]))
        self._item["content"].append(self._worded(self._part))
        self._tell_part("response.content_part.added", {"part": self._item["content"][-1]})

    def _end_part(self) -> None:
        if self._part is None or self._item is None:
            return
        part, text = self._part, "".join(self._part.said)
        worded = self._worded(part)
        self._item["content"][part.index] = worded
        match part.kind:
            case "output_text":
                self._tell_part("response.output_text.done", {"text": text, "logprobs": [_brief(one) for one in part.chances]})
            case "refusal":
                self._tell_part("response.refusal.done", {"refusal": text})
            case _:
                self._tell_part("response.reasoning_text.done", {"text": text})
        self._tell_part("response.content_part.done", {"part": worded})
        self._part = None

    def _end_item(self, whole: bool) -> None:
        if self._item is None:
            return
        self._end_part()
        item, self._item = self._item, None
        item["status"] = "completed" if whole else "incomplete"
        if self._seal is not None and item["type"] == "reasoning":
            item["encrypted_content"] = self._seal("".join(part["text"] for part in item["content"]))
        self._tell("response.output_item.done", {"item": item, "output_index": len(self.items) - 1})

    def _tell_part(self, event: str, fields: dict[str, Any]) -> None:
        assert self._item is not None
        assert self._part is not None
        place = {"item_id": self._item["id"], "output_index": len(self.items) - 1, "content_index": self._part.index}
        self._tell(event, {**place, **fields})

    def _worded(self, part: _Part) -> dict[str, Any]:
        text = "".join(part.said)
        match part.kind:
            case "output_text":
                return {"type": "output_text", "text": text, "annotations": list(part.notes), "logprobs": list(part.chances)}
            case "refusal":
                return {"type": "refusal", "refusal": text}
            case _:
                return {"type": "reasoning_text", "text": text}

    def _chance(self, found: Mapping[str, Any]) -> dict[str, Any]:
        return {**_token(found), "top_logprobs": [_token(one) for one in (found.get("top_logprobs") or ())[: self._top]]}

    # Calls

    def _feed_call(self, delta: Mapping[str, Any]) -> None:
        number, function = int(delta.get("index") or 0), delta.get("function") or {}
        if number in self._held:
            self._held[number][1].append(_clean(str(function.get("arguments") or "")))
            return
        if number not in self._calls:
            self._end_item(True)
            name = _clean(str(function.get("name") or ""))
            if name in self._here:
                self.said = True
                self._held[number] = (name, [_clean(str(function.get("arguments") or ""))])
                return
            item = {
                "id": new_id("fc"), "type": "function_call", "status": "in_progress", "name": name, "arguments": "",
                "call_id": _clean(str(delta.get("id") or f"call_{secrets.token_hex(12)}")),
            }  # fmt: skip
            self._calls[number] = (self._begin(item), item, [])
        index, item, arguments = self._calls[number]
        if more := _clean(str(function.get("arguments") or "")):
            arguments.append(more)
            self._tell("response.function_call_arguments.delta", {"item_id": item["id"], "output_index": index, "delta": more})

    def _end_calls(self, whole: bool) -> None:
        """Of calls that were interrupted only the last one is not whole."""
        last = max(self._calls, default=-1)
        for number, (index, item, arguments) in self._calls.items():
            item["arguments"] = "".join(arguments)
            item["status"] = "completed" if whole or number != last else "incomplete"
            told = {"item_id": item["id"], "output_index": index, "arguments": item["arguments"]}
            self._tell("response.function_call_arguments.done", told)
            self._tell("response.output_item.done", {"item": item, "output_index": index})
        self._calls.clear()


def _clean(text: str) -> str:
    """An engine elsewhere may send halves of characters, which nothing can be made of: neither bytes nor a row."""
    return text if text.isascii() else text.encode("utf-8", "replace").decode()


def _token(found: Mapping[str, Any]) -> dict[str, Any]:
    text = _clean(str(found.get("token") or ""))
    return {"token": text, "logprob": max(float(found.get("logprob") or 0.0), _LEAST), "bytes": list(found.get("bytes") or text.encode())}


def _brief(chance: Mapping[str, Any]) -> dict[str, Any]:
    """As events have it: without bytes."""
    tops = [{"token": one["token"], "logprob": one["logprob"]} for one in chance["top_logprobs"]]
    return {"token": chance["token"], "logprob": chance["logprob"], "top_logprobs": tops}
