"""What a server of tools offers: read from its list, bounded, chosen by the request, and brought into the form in which a model is told of it.

Schemas come from others and end up in the engine: one that it could not use is made simple, since the server checks arguments itself anyway.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from hausgeist.conversations.mcp.naming import function_name
from hausgeist.conversations.mcp.schemas import repaired, simple
from hausgeist.conversations.mcp.session import Session
from hausgeist.conversations.mcp.spec import Spec
from hausgeist.conversations.mcp.wire import Fault, invalid
from hausgeist.errors import InvalidRequest
from hausgeist.tools import Function

__all__ = ["CheckSchema", "Offer", "chosen", "function_of", "list_tools", "offers_of"]

CheckSchema = Callable[[Mapping[str, Any]], None]
"""Raises `InvalidRequest` for a schema that the engine cannot use, or would take too long over."""
_MOST: Final = 128
"""Tools of one server that a model is offered."""
_LISTED: Final = 2000
_PAGES: Final = 50
_NAME: Final = 128
_DESCRIPTION: Final = 2000
_SCHEMA: Final = 16 * 2**10
_HINTS: Final = {"title": str, "readOnlyHint": bool, "destructiveHint": bool, "idempotentHint": bool, "openWorldHint": bool}


@dataclass(frozen=True, slots=True, kw_only=True)
class Offer:
    """One tool, as its server describes it."""

    name: str
    description: str
    schema: Mapping[str, Any]
    annotations: Mapping[str, Any]

    @property
    def read_only(self) -> bool:
        """What the server says of it."""
        return self.annotations.get("readOnlyHint") is True

    def item(self) -> dict[str, Any]:
        """As `mcp_list_tools` has it."""
        return {
            "name": self.name, "description": self.description or None, "input_schema": dict(self.schema),
            "annotations": dict(self.annotations) or None,
        }  # fmt: skip


async def list_tools(session: Session, *, timeout: float) -> list[Offer]:
    """All tools of a server, within `timeout` seconds. Raises `Fault`, also for a list without end."""
    until = time.monotonic() + timeout
    found: list[Any] = []
    cursors: set[str] = set()
    params: dict[str, Any] = {}
    for _ in range(_PAGES):
        page = await session.request("tools/list", params, timeout=max(until - time.monotonic(), 0.1))
        if not isinstance(tools := page.get("tools"), list):
            raise invalid("The server of tools sent a list that is none.")
        found += tools
        cursor = page.get("nextCursor")
        if cursor is None:
            return _read(found)
        if not isinstance(cursor, str) or cursor in cursors or len(cursor) > 4096 or len(found) > _LISTED:
            break
        cursors.add(cursor)
        params = {"cursor": cursor}
    raise invalid(f"The list of tools does not end after {len(cursors)} pages and {len(found)} tools.")


def offers_of(item: Mapping[str, Any]) -> list[Offer]:
    """The tools in an item `mcp_list_tools` that was made before; the client may have sent it, so it is read like a server's list."""
    tools = item.get("tools")
    renamed = [{**tool, "inputSchema": tool.get("input_schema")} for tool in tools if isinstance(tool, Mapping)] if isinstance(tools, list) else []
    return _read(renamed)


def chosen(offers: Iterable[Offer], spec: Spec, allowed: frozenset[str]) -> list[Offer]:
    """Those that the request and the owner allow. Raises `Fault` for more than a model can be told of."""
    found = [
        offer for offer in offers if (not allowed or offer.name in allowed) and spec.allows(offer.name, read_only=offer.read_only)
    ]  # fmt: skip
    if len(found) > _MOST:
        raise Fault(
            f"The server of tools offers {len(found)} tools, and a model is told of {_MOST} at most. Choose some with 'allowed_tools'.",
            code=-32600, protocol=True,
        )  # fmt: skip
    return found


def function_of(offer: Offer, spec: Spec, check: CheckSchema) -> Function:
    """As the model is told of it."""
    about = offer.description or f"{offer.name} of {spec.server_label}"
    return Function(name=function_name(spec.server_label, offer.name), description=about, parameters=_usable(offer.schema, check))


def _read(tools: Sequence[Any]) -> list[Offer]:
    """Those that make sense; of two with one name the first."""
    offers: dict[str, Offer] = {}
    for tool in tools[:_LISTED]:
        name = tool.get("name") if isinstance(tool, Mapping) else None
        if not isinstance(name, str) or not 0 < len(name) <= _NAME or not name.isprintable() or name in offers:
            continue
        description, schema, hints = tool.get("description"), tool.get("inputSchema"), tool.get("annotations")
        text = description if isinstance(description, str) else ""
        given = hints if isinstance(hints, Mapping) else {}
        offers[name] = Offer(
            name=name,
            description=text if len(text) <= _DESCRIPTION else text[: _DESCRIPTION - 1] + "…",
            schema=_bounded(schema if isinstance(schema, Mapping) else {}),
            annotations={hint: _short(given[hint]) for hint, kind in _HINTS.items() if isinstance(given.get(hint), kind)},
        )
    return list(offers.values())


def _short(hint: Any) -> Any:
    return hint[:200] if isinstance(hint, str) else hint


def _bounded(schema: Mapping[str, Any]) -> Mapping[str, Any]:
    if len(json.dumps(schema, ensure_ascii=False, default=str)) <= _SCHEMA:
        return schema
    return simple(schema)


def _usable(schema: Mapping[str, Any], check: CheckSchema) -> Mapping[str, Any]:
    """The schema with an object at its root, if the engine can use it; else what its first level says; else any object."""
    for form in (repaired({**schema, "type": "object"}), simple(schema)):
        try:
            check(form)
        except InvalidRequest:
            continue
        return form
    return {"type": "object", "properties": {}}
