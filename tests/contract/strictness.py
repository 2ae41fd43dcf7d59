"""Whether what was sent is what the SDK's own types say: every field known, none missing, each of its type."""

from __future__ import annotations

from typing import Any, get_args

from openai.types.responses import ResponseStreamEvent
from pydantic import BaseModel, TypeAdapter

__all__ = ["strictly", "strictly_event"]

_EVENTS: dict[str, type[BaseModel]] = {
    get_args(model.model_fields["type"].annotation)[0]: model for model in get_args(get_args(ResponseStreamEvent)[0])
}


def strictly(kind: Any, data: Any) -> Any:
    """`data` (parsed JSON) as this type of the SDK. Fails for an unknown field, a missing one, or a value of another type."""
    found = TypeAdapter(kind).validate_python(data, strict=True)
    _no_extras(found, getattr(kind, "__name__", str(kind)))
    return found


def strictly_event(data: dict[str, Any]) -> Any:
    """The same for an event of a response's stream."""
    return strictly(_EVENTS[data["type"]], data)


def _no_extras(value: Any, place: str) -> None:
    if isinstance(value, BaseModel):
        assert not value.model_extra, f"{place}: the SDK does not know {sorted(value.model_extra or ())}"
        for name in type(value).model_fields:
            _no_extras(getattr(value, name), f"{place}.{name}")
    elif isinstance(value, list):
        for number, item in enumerate(value):
            _no_extras(item, f"{place}.{number}")
