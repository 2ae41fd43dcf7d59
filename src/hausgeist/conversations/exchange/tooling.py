"""What tools left in a chat that comes from a file: calls, what they gave, what was found, and the citations in an answer.

A call that this server could never have kept refuses its chat, and the error says where it is. Of lists that may hold anything, what the rest of the
house cannot show is left out and counted.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping
from typing import Any, Final

from hausgeist.conversations.exchange.foreign import Unknown

__all__ = ["KINDS", "checked", "cited"]

Check = Callable[[Any], bool]


def _text(value: Any) -> bool:
    return isinstance(value, str)


def _text_or_none(value: Any) -> bool:
    return value is None or isinstance(value, str)


def _number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _texts(value: Any) -> bool:
    return isinstance(value, list) and all(isinstance(one, str) for one in value)


def _objects(value: Any) -> bool:
    return isinstance(value, list) and all(isinstance(one, dict) for one in value)


def _output(value: Any) -> bool:
    return isinstance(value, str) or _objects(value)


_SHOULD: Final[Mapping[Check, str]] = {
    _text: "a text",
    _text_or_none: "a text or null",
    _texts: "a list of texts",
    _output: "a text or a list of objects",
}
KINDS: Final[Mapping[str, Mapping[str, Check]]] = {
    "function_call": {"call_id": _text, "name": _text, "arguments": _text, "status": _text_or_none},
    "function_call_output": {"call_id": _text_or_none, "output": _output, "status": _text_or_none},
    "custom_tool_call": {"call_id": _text, "name": _text, "input": _text},
    "custom_tool_call_output": {"call_id": _text_or_none, "output": _output},
    "mcp_call": {
        "name": _text, "arguments": _text, "server_label": _text, "output": _text_or_none, "approval_request_id": _text_or_none,
        "status": _text_or_none,
    },
    "file_search_call": {"queries": _texts, "status": _text_or_none},
}  # fmt: skip
"""The items that are checked here, with what their fields should be."""
_FOUND: Final[Mapping[str, Check]] = {"file_id": _text, "filename": _text, "text": _text, "score": _number}


def checked(body: dict[str, Any], place: int, left_out: Counter[str]) -> dict[str, Any]:
    """An item of one of `KINDS`, the `place`-th of its chat, as it can be kept. Raises `Unknown`, which names the item and its field."""
    kind = body["type"]
    for name, check in KINDS[kind].items():
        if not check(body.get(name)):
            raise Unknown(f"Its item {place} ({kind}) is broken: '{name}' should be {_SHOULD[check]}.")
    if kind != "file_search_call" or body.get("results") is None:
        return body
    if not _objects(body["results"]):
        raise Unknown(f"Its item {place} ({kind}) is broken: 'results' should be a list of objects or null.")
    return {**body, "results": _kept(body["results"], _is_found, "passages that a search found, malformed", left_out)}


def cited(body: dict[str, Any], place: int, left_out: Counter[str]) -> dict[str, Any]:
    """A message, the `place`-th item of its chat, with those citations that can be shown. Its content is a list of parts. Raises `Unknown`."""
    parts = []
    for number, part in enumerate(body["content"], 1):
        for name in ("annotations", "logprobs"):
            if part.get(name) is not None and not _objects(part[name]):
                raise Unknown(f"Its item {place} (message) is broken: '{name}' of part {number} should be a list of objects.")
        notes = part.get("annotations")
        parts.append(part if not notes else {**part, "annotations": _kept(notes, _is_citation, "citations, malformed", left_out)})
    return {**body, "content": parts}


def _kept(values: list[dict[str, Any]], check: Check, name: str, left_out: Counter[str]) -> list[dict[str, Any]]:
    kept = [value for value in values if check(value)]
    if len(kept) < len(values):
        left_out[name] += len(values) - len(kept)
    return kept


def _is_found(value: Mapping[str, Any]) -> bool:
    return all(check(value.get(name)) for name, check in _FOUND.items()) and isinstance(value.get("attributes", {}), dict | None)


def _is_citation(value: Mapping[str, Any]) -> bool:
    if not _text(value.get("type")):
        return False
    if value["type"] != "file_citation":
        return True
    index = value.get("index")
    return _text(value.get("file_id")) and _text(value.get("filename")) and isinstance(index, int) and not isinstance(index, bool) and index >= 0
