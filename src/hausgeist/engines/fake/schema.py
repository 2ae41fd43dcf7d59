"""The plainest JSON value that a JSON Schema allows."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from typing import Any

from hausgeist.errors import InvalidRequest

__all__ = ["instance"]

_DEPTH = 24
_OPTIONAL_DEPTH = 6
"""Below it only what is required is made, so that types that refer to themselves end."""
_VALUES = 20_000
"""Most values that are made, so that no schema keeps the server busy."""
_FORMATS = {
    "date": "2024-01-31",
    "time": "12:00:00Z",
    "date-time": "2024-01-31T12:00:00Z",
    "duration": "PT1S",
    "email": "ghost@example.com",
    "hostname": "example.com",
    "ipv4": "192.0.2.1",
    "ipv6": "2001:db8::1",
    "uri": "https://example.com/",
    "uuid": "00000000-0000-4000-8000-000000000000",
}
_SAMPLES = (
    "text",
    "a",
    "A",
    "1",
    "12",
    "123",
    "1234",
    "12345",
    "abc",
    "ABC",
    "Abc",
    "a1",
    "A1",
    "a-b",
    "a_b",
    "1.0",
    "1.0.0",
    *_FORMATS.values(),
    "",
)


def instance(schema: Any, hints: Mapping[str, Any] | None = None) -> Any:
    """A value that the schema allows; properties named in `hints` get that value where its type fits. Raises `InvalidRequest`."""
    return _Maker(schema).make(schema, 0, hints or {})


class _Maker:
    def __init__(self, root: Any) -> None:
        self.root = root
        self.left = _VALUES

    def make(self, schema: Any, depth: int, hints: Mapping[str, Any]) -> Any:
        self.left -= 1
        if schema is True or schema == {}:
            return "text"
        if not isinstance(schema, Mapping):
            raise InvalidRequest("This schema allows nothing, or is not a schema.", param="response_format")
        if depth > _DEPTH or self.left < 0:
            raise InvalidRequest("This schema is nested too deeply, or refers to itself without an end.", param="response_format")
        if "const" in schema:
            return schema["const"]
        if isinstance(schema.get("enum"), list) and schema["enum"]:
            return schema["enum"][0]
        if "$ref" in schema:
            return self.make(self._resolve(schema["$ref"]), depth + 1, hints)
        if isinstance(schema.get("allOf"), list):
            return self.make(self._merged(schema), depth + 1, hints)
        for choice in ("anyOf", "oneOf"):
            if isinstance(schema.get(choice), list) and schema[choice]:
                return self._first(schema[choice], depth, hints)
        return self._typed(schema, depth, hints)

    def _first(self, choices: list[Any], depth: int, hints: Mapping[str, Any]) -> Any:
        """The first choice that can be made: a recursive type ends where another choice does."""
        failure: InvalidRequest | None = None
        for choice in sorted(choices, key=lambda part: isinstance(part, Mapping) and part.get("type") == "null" and depth < 3):
            try:
                return self.make(choice, depth + 1, hints)
            except InvalidRequest as error:
                failure = error
        raise failure or InvalidRequest("This schema allows nothing.", param="response_format")

    def _typed(self, schema: Mapping[str, Any], depth: int, hints: Mapping[str, Any]) -> Any:
        kind = schema.get("type")
        if isinstance(kind, list):
            kind = next((item for item in kind if item != "null"), "null")
        if kind is None:
            kind = "object" if "properties" in schema else "array" if "items" in schema else "string"
        match kind:
            case "object":
                return self._object(schema, depth, hints)
            case "array":
                return self._array(schema, depth)
            case "string":
                return _string(schema)
            case "integer" | "number":
                return _number(schema, whole=kind == "integer")
            case "boolean":
                return True
            case "null":
                return None
        raise InvalidRequest(f"This schema has the type {kind!r}, which JSON Schema does not know.", param="response_format")

    def _object(self, schema: Mapping[str, Any], depth: int, hints: Mapping[str, Any]) -> dict[str, Any]:
        properties = schema.get("properties")
        properties = properties if isinstance(properties, Mapping) else {}
        required = [name for name in schema.get("required") or [] if isinstance(name, str)]
        made: dict[str, Any] = {}
        for name, part in properties.items():
            if depth > _OPTIONAL_DEPTH and name not in required:
                continue
            if name in hints and _fits(hints[name], part):
                made[name] = hints[name]
                continue
            try:
                made[name] = self.make(part, depth + 1, {})
            except InvalidRequest:
                if name in required:
                    raise
        for name in required:
            made.setdefault(name, "text")
        return made

    def _array(self, schema: Mapping[str, Any], depth: int) -> list[Any]:
        made = [self.make(part, depth + 1, {}) for part in schema.get("prefixItems") or []]
        least, most = schema.get("minItems", 1), schema.get("maxItems", 1000)
        wanted = min(max(int(least), 0), int(most), 1000)
        items = schema.get("items", True)
        try:
            while len(made) < wanted and items is not False:
                made.append(self.make(items, depth + 1, {}))
        except InvalidRequest:
            if len(made) < int(schema.get("minItems", 0)):
                raise
        return made

    def _resolve(self, reference: Any) -> Any:
        if not isinstance(reference, str) or not reference.startswith("#"):
            raise InvalidRequest("Only references within the schema ('#/$defs/...') can be followed.", param="response_format")
        found = self.root
        for part in filter(None, reference[1:].split("/")):
            key = part.replace("~1", "/").replace("~0", "~")
            if not isinstance(found, Mapping) or key not in found:
                raise InvalidRequest(f"The schema refers to '{reference}', which it does not contain.", param="response_format")
            found = found[key]
        return found

    def _merged(self, schema: Mapping[str, Any]) -> dict[str, Any]:
        merged: dict[str, Any] = {key: value for key, value in schema.items() if key != "allOf"}
        for part in schema["allOf"]:
            part = self._resolve(part["$ref"]) if isinstance(part, Mapping) and "$ref" in part else part
            for key, value in (part if isinstance(part, Mapping) else {}).items():
                known = merged.get(key)
                if key == "properties" and isinstance(known, Mapping) and isinstance(value, Mapping):
                    merged[key] = {**known, **value}
                elif key == "required" and isinstance(known, list) and isinstance(value, list):
                    merged[key] = [*known, *value]
                else:
                    merged[key] = value
        return merged


def _fits(value: Any, schema: Any) -> bool:
    if not isinstance(schema, Mapping):
        return True
    if isinstance(schema.get("enum"), list):
        return value in schema["enum"]
    if "const" in schema:
        return bool(value == schema["const"])
    kinds = schema.get("type")
    if kinds is None:
        return True
    kind = "null" if value is None else "boolean" if isinstance(value, bool) else _KINDS.get(type(value), "")
    allowed = kinds if isinstance(kinds, list) else [kinds]
    return kind in allowed or (kind == "integer" and "number" in allowed)


_KINDS: dict[type, str] = {str: "string", int: "integer", float: "number", list: "array", dict: "object"}


def _string(schema: Mapping[str, Any]) -> str:
    text = _FORMATS.get(str(schema.get("format")), "text")
    if isinstance(pattern := schema.get("pattern"), str):
        try:
            text = next(sample for sample in _SAMPLES if re.search(pattern, sample))
        except (re.error, StopIteration) as error:
            raise InvalidRequest(f"The fake engine knows no text for the pattern {pattern!r}.", param="response_format") from error
    least, most = schema.get("minLength", 0), schema.get("maxLength")
    if isinstance(least, int) and len(text) < min(least, 100_000):
        text = text.ljust(min(least, 100_000), "x")
    return text[:most] if isinstance(most, int) and most >= 0 else text


def _number(schema: Mapping[str, Any], *, whole: bool) -> int | float:
    def bound(*names: str) -> float | None:
        found = [float(schema[name]) for name in names if isinstance(schema.get(name), int | float) and not isinstance(schema.get(name), bool)]
        return found[0] if found else None

    low, above = bound("minimum"), bound("exclusiveMinimum")
    high, below = bound("maximum"), bound("exclusiveMaximum")
    step = bound("multipleOf") or (1.0 if whole else 0.0)
    value = 1.0
    if low is not None or above is not None:
        value = low if low is not None else (above or 0.0) + (step or 1.0)
    elif high is not None or below is not None:
        value = min(value, high if high is not None else (below or 0.0) - (step or 1.0))
    if below is not None and above is not None and value >= below:
        value = (above + below) / 2
    if step:
        value = math.ceil(value / step) * step
    return int(value) if whole or value == int(value) else value
