"""Whether what the server sent is a value of the SDK's type: nothing that the type does not name, nothing missing, no type bent to fit."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pydantic import BaseModel

__all__ = ["exact", "unknown"]


def exact(model: type[BaseModel], sent: Any) -> Any:
    """The parsed value. `model_validate` complains of what is missing or of another type; the rest is told here."""
    parsed = model.model_validate(sent, strict=True)
    assert not unknown(parsed), f"{model.__name__} has no {', '.join(unknown(parsed))}"
    assert parsed.model_dump(mode="json", by_alias=True, exclude_unset=True) == sent
    return parsed


def unknown(value: Any, place: str = "") -> list[str]:
    """Fields that no type names, however deep."""
    if isinstance(value, BaseModel):
        extra = [f"{place}{name}" for name in value.model_extra or {}]
        return extra + [found for name in type(value).model_fields for found in unknown(getattr(value, name), f"{place}{name}.")]
    if isinstance(value, list):
        return [found for number, one in enumerate(value) for found in unknown(one, f"{place}{number}.")]
    if isinstance(value, Mapping):
        return [found for name, one in value.items() for found in unknown(one, f"{place}{name}.")]
    return []
