"""A response on its way, as a tool sees it, without a model: what the tool adds and tells is held against the SDK's own types, strictly."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

from openai.types.responses import ResponseStreamEvent
from openai.types.responses.response_input_item import ResponseInputItem
from openai.types.responses.response_output_item import ResponseOutputItem
from pydantic import BaseModel, TypeAdapter

from hausgeist.conversations.records import new_id
from hausgeist.conversations.service import PREFIXES
from hausgeist.identity import LOCAL_OWNER, Origin, Principal

__all__ = ["Told"]

EVENT: TypeAdapter[Any] = TypeAdapter(ResponseStreamEvent)
OUTPUT: TypeAdapter[Any] = TypeAdapter(ResponseOutputItem)
INPUT: TypeAdapter[Any] = TypeAdapter(ResponseInputItem)


def strictly(adapter: TypeAdapter[Any], value: Mapping[str, Any]) -> None:
    """It is of the SDK's type: nothing unknown, nothing missing, nothing changed by reading it."""
    found = adapter.validate_json(json.dumps(value), strict=True)
    assert found.type == value["type"]
    assert_known(found)
    assert found.to_dict(mode="json", exclude_unset=True, warnings=False) == value


def assert_known(model: BaseModel) -> None:
    assert not model.model_extra, f"{type(model).__name__} does not know {sorted(model.model_extra or {})}"
    for value in model.__dict__.values():
        for inner in value if isinstance(value, list) else [value]:
            if isinstance(inner, BaseModel):
                assert_known(inner)


class Entry:
    def __init__(self, turn: Told, body: dict[str, Any], index: int) -> None:
        self.body = body
        self._turn = turn
        self._index = index
        self._open = True

    def tell(self, event: str, **fields: Any) -> None:
        assert self._open
        self._turn.tell(event, {"item_id": self.body["id"], "output_index": self._index, **fields})

    def done(self) -> None:
        assert self._open
        self._open = False
        strictly(OUTPUT, self.body)
        strictly(INPUT, self.body)
        self._turn.tell("response.output_item.done", {"item": self.body, "output_index": self._index})


class Told:
    """`before`: what was said until now."""

    def __init__(self, *before: Mapping[str, Any], who: Principal = LOCAL_OWNER) -> None:
        self.who = who
        self.origin = Origin("192.0.2.7", "test", "req_1")
        self.include: Sequence[str] = ()
        self.model = "fake:obeys"
        self.context: int | None = None
        self.metadata: Mapping[str, str] = {}
        self.wary = False
        self.noted: dict[str, str] = {}
        self.facts: dict[str, Any] = {}
        self.before = list(before)
        self.output: list[dict[str, Any]] = []
        self.events: list[dict[str, Any]] = []

    @property
    def items(self) -> Sequence[Mapping[str, Any]]:
        return [*self.before, *self.output]

    @property
    def kinds(self) -> list[str]:
        """Of the events, without what all begin with."""
        return [event["type"].removeprefix("response.") for event in self.events]

    def note(self, **metadata: str) -> None:
        self.noted |= metadata

    def keep(self, facts: Mapping[str, Any]) -> None:
        self.facts |= facts

    def add(self, body: Mapping[str, Any]) -> Entry:
        item = {"id": new_id(PREFIXES[body["type"]]), **body}
        self.output.append(item)
        self.tell("response.output_item.added", {"item": item, "output_index": len(self.output) - 1})
        return Entry(self, item, len(self.output) - 1)

    def tell(self, kind: str, fields: Mapping[str, Any]) -> None:
        event = {"type": kind, "sequence_number": len(self.events), **fields}
        strictly(EVENT, event)
        self.events.append(json.loads(json.dumps(event)))
