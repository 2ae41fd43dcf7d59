"""Schemas of others, made fit for the engine: what is malformed is left out, for one broken tool must not keep the others from being offered.

The server checks arguments itself, so a schema that says less costs a failed call at worst.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Final

__all__ = ["repaired", "simple"]

_TYPES: Final = ("string", "integer", "number", "boolean", "array", "object", "null")
_PROPERTIES: Final = 100
_NAME: Final = 128


def _is_schema(value: Any) -> bool:
    return isinstance(value, Mapping)


def _are_schemas(value: Any) -> bool:
    return isinstance(value, list) and bool(value) and all(map(_is_schema, value))


def _is_type(value: Any) -> bool:
    return all(one in _TYPES for one in value) and bool(value) if isinstance(value, list) else value in _TYPES if isinstance(value, str) else False


def _is_text(value: Any) -> bool:
    return isinstance(value, str)


def _is_size(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value >= 0


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


_FORMS: Final[Mapping[str, Callable[[Any], bool]]] = {
    "type": _is_type,
    "properties": _is_schema,
    "$defs": _is_schema,
    "definitions": _is_schema,
    "required": lambda value: isinstance(value, list) and all(map(_is_text, value)),
    "enum": lambda value: isinstance(value, list) and bool(value),
    "items": lambda value: _is_schema(value) or _are_schemas(value),
    "prefixItems": _are_schemas,
    "anyOf": _are_schemas,
    "oneOf": _are_schemas,
    "allOf": _are_schemas,
    "additionalProperties": lambda value: isinstance(value, bool) or _is_schema(value),
    **dict.fromkeys(("$ref", "pattern", "format", "description", "title"), _is_text),
    **dict.fromkeys(("minLength", "maxLength", "minItems", "maxItems"), _is_size),
    **dict.fromkeys(("minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum"), _is_number),
}
"""What the value of a keyword has to be. Keywords that are not here mean nothing to the engine."""


def repaired(schema: Mapping[str, Any]) -> dict[str, Any]:
    """The schema without what is malformed in it: keywords whose values cannot be theirs. A property that is no schema may be anything. `schema` is
    bounded in depth."""
    kept = {name: value for name, value in schema.items() if name not in _FORMS or _FORMS[name](value)}
    for name in ("properties", "$defs", "definitions"):
        if name in kept:
            kept[name] = {key: repaired(value) if _is_schema(value) else {} for key, value in kept[name].items() if value is not False}
    for name in ("items", "prefixItems", "anyOf", "oneOf", "allOf", "additionalProperties"):
        if isinstance(value := kept.get(name), list):
            kept[name] = [repaired(one) for one in value]
        elif isinstance(value, Mapping):
            kept[name] = repaired(value)
    return kept


def simple(schema: Mapping[str, Any]) -> dict[str, Any]:
    """Names, plain types and descriptions of the properties, and which are needed."""
    whole = repaired(schema)
    properties: dict[str, Any] = {}
    for name, inner in list(whole.get("properties", {}).items())[:_PROPERTIES]:
        if len(name) <= _NAME:
            kind, about = inner.get("type"), inner.get("description")
            properties[name] = {**({"type": kind} if isinstance(kind, str) else {}), **({"description": about[:200]} if about else {})}
    return {"type": "object", "properties": properties, "required": [name for name in whole.get("required", ()) if name in properties]}
