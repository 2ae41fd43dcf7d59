"""Header fields that repeat parts of a request (protocol of July 2026), so that what stands between can route by them: `x-mcp-header` in a schema."""

from __future__ import annotations

import base64
import re
from collections.abc import Iterator, Mapping
from typing import Any, Final

__all__ = ["argument_headers", "encoded"]

_SAFE: Final = re.compile(r"[ -~]*")
_WRAPPED: Final = re.compile(r"=\?base64\?.*\?=")
_TOKEN: Final = re.compile(r"[!#$%&'*+\-.^_`|~0-9A-Za-z]{1,100}")
_DEPTH: Final = 16


def encoded(value: str) -> str:
    """A text as a header carries it."""
    if _SAFE.fullmatch(value) and value == value.strip() and not _WRAPPED.fullmatch(value):
        return value
    return f"=?base64?{base64.b64encode(value.encode('utf-8', 'replace')).decode('ascii')}?="


def argument_headers(schema: Mapping[str, Any], arguments: Mapping[str, Any]) -> dict[str, str]:
    """Those that the schema asks for and the arguments have; none at all where the schema does not keep to the rules."""
    headers: dict[str, str] = {}
    seen: set[str] = set()
    for token, kind, value in _annotated(schema, arguments, _DEPTH):
        if not isinstance(token, str) or not _TOKEN.fullmatch(token) or kind not in ("string", "integer", "boolean") or token.lower() in seen:
            return {}
        seen.add(token.lower())
        if isinstance(value, bool):
            headers[f"Mcp-Param-{token}"] = "true" if value else "false"
        elif isinstance(value, str | int | float):
            headers[f"Mcp-Param-{token}"] = encoded(str(value)[:8192])
    return headers


def _annotated(schema: Any, value: Any, depth: int) -> Iterator[tuple[Any, Any, Any]]:
    """What is annotated on the way through properties: the name of the header, the type of the value, the value."""
    properties = schema.get("properties") if isinstance(schema, Mapping) else None
    if not isinstance(properties, Mapping) or depth == 0:
        return
    for name, inner in properties.items():
        if not isinstance(inner, Mapping):
            continue
        found = value.get(name) if isinstance(value, Mapping) else None
        if "x-mcp-header" in inner:
            yield inner["x-mcp-header"], inner.get("type"), found
        yield from _annotated(inner, found, depth - 1)
