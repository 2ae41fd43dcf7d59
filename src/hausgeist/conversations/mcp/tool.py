"""The tool of type "mcp": servers of tools that models may call, for the response runner. What it does becomes items and events, as OpenAI has them.

Owns when a server is asked and what comes of it; how it is asked belongs to `session`. A call that needs an approval is never made by what the model
or the server says: it ends the response, and is made when its client has said yes, once, with the arguments that were shown.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final
from weakref import WeakKeyDictionary

from hausgeist.conversations.mcp.approvals import approved
from hausgeist.conversations.mcp.fields import argument_headers
from hausgeist.conversations.mcp.naming import function_name
from hausgeist.conversations.mcp.offers import CheckSchema, Offer, chosen, function_of, list_tools, offers_of
from hausgeist.conversations.mcp.results import outcome
from hausgeist.conversations.mcp.servers import Server, Servers
from hausgeist.conversations.mcp.session import Session
from hausgeist.conversations.mcp.spec import Spec, parse_spec, without_secrets
from hausgeist.conversations.mcp.vault import Vault
from hausgeist.conversations.mcp.wire import Fault
from hausgeist.errors import InvalidRequest, Unavailable, shown
from hausgeist.governance.egress import Egress
from hausgeist.governance.service import Governor
from hausgeist.settings import McpSection
from hausgeist.tools import Entry, Function, Turn

__all__ = ["McpTools"]

_log = logging.getLogger(__name__)

_LISTING: Final = 30.0
"""Seconds that a list of tools may take, page by page."""
_INVALID_PARAMS: Final = -32602


@dataclass(eq=False)
class _Open:
    """One server within one response."""

    spec: Spec
    server: Server
    session: Session
    offers: dict[str, Offer] = field(default_factory=dict)
    """By the name of the function."""


class McpTools:
    """One instance serves all requests; a tool goes through `check` first. `check_schema`: see `CheckSchema`."""

    kind = "mcp"

    def __init__(self, sections: Mapping[str, McpSection], *, egress: Egress, governor: Governor, check_schema: CheckSchema) -> None:
        self._servers = Servers(sections)
        self._egress = egress
        self._governor = governor
        self._check_schema = check_schema
        self._vault = Vault()
        self._eras: dict[str, bool] = {}
        self._open: WeakKeyDictionary[Turn, dict[str, _Open]] = WeakKeyDictionary()

    def check(self, spec: Mapping[str, Any], param: str) -> Mapping[str, Any]:
        """The tool with its secrets locked. Raises `InvalidRequest`, `NotSupported`, and `NotFound` for servers that the owner has not named."""
        found = parse_spec(spec, param)
        self._servers.find(found.server_label, found.server_url, param)
        return self._vault.lock(spec)

    def shown(self, spec: Mapping[str, Any]) -> Mapping[str, Any]:
        return without_secrets(spec)

    async def offer(self, spec: Mapping[str, Any], turn: Turn) -> Sequence[Function]:
        """Raises `NotAllowed`, `EgressRefused`, and `Unavailable` for a server whose tools cannot be listed."""
        parsed = parse_spec(self._vault.open(spec), "tools")
        name = self._servers.find(parsed.server_label, parsed.server_url, "tools")
        server = self._servers.server(name, turn.who, headers=parsed.headers or {}, authorization=parsed.authorization, param="tools")
        if not self._governor.decide(turn.who, "tool.use").allowed:  # what is allowed leaves a row with each call
            await self._governor.demand(turn.who, "tool.use", target=server.name, origin=turn.origin)
        opened = _Open(parsed, server, Session(server, self._egress, self._eras, who=turn.who, origin=turn.origin))
        servers = self._open.setdefault(turn, {})
        if parsed.server_label in servers:
            raise InvalidRequest(f"Two MCP servers have the label '{parsed.server_label}'; give one of them another.", param="tools")
        servers[parsed.server_label] = opened
        waiting = approved(turn.items, parsed.server_label)
        offers = self._listed_before(opened, turn) or await self._list(opened, turn)
        opened.offers = {function_name(parsed.server_label, offer.name): offer for offer in offers}
        for request in waiting:
            await self._call_approved(opened, request, turn)
        return [function_of(offer, parsed, self._check_schema) for offer in offers]

    async def call(self, spec: Mapping[str, Any], function: str, arguments: str, turn: Turn) -> bool:
        opened = self._open[turn][str(spec["server_label"])]
        offer = opened.offers[function]
        given = _parsed(arguments)
        # What the model has read may have told it to call this, so that somebody is asked whatever the request says.
        if given is not None and (turn.wary or opened.spec.needs_approval(offer.name, read_only=offer.read_only)):
            asked = {"type": "mcp_approval_request", "server_label": opened.spec.server_label, "name": offer.name, "arguments": arguments or "{}"}
            turn.add(asked).done()
            return False
        await self._call(opened, offer, arguments or "{}", given, turn)
        return True

    async def finish(self, turn: Turn) -> None:
        """The response has ended: sessions end with it. Never raises."""
        for opened in self._open.pop(turn, {}).values():
            await opened.session.close()

    # Lists

    def _listed_before(self, opened: _Open, turn: Turn) -> list[Offer]:
        """From the newest list of this server in what was said. It is not asked again, so a tool stays the same between an approval and the call."""
        for item in reversed(turn.items):
            if item.get("type") == "mcp_list_tools" and item.get("server_label") == opened.spec.server_label and not item.get("error"):
                offers = offers_of(item)
                if opened.spec.names() - {offer.name for offer in offers}:
                    break  # it was made for a request that allowed less
                try:
                    return chosen(offers, opened.spec, opened.server.tools)
                except Fault as fault:
                    raise InvalidRequest(fault.message, param="tools") from None
        return []

    async def _list(self, opened: _Open, turn: Turn) -> list[Offer]:
        label = opened.spec.server_label
        entry = turn.add({"type": "mcp_list_tools", "server_label": label, "tools": [], "error": None})
        entry.tell("response.mcp_list_tools.in_progress")
        try:
            listed = await list_tools(opened.session, timeout=min(opened.server.timeout, _LISTING))
            offers = chosen(listed, opened.spec, opened.server.tools)
        except Fault as fault:
            _log.warning("the tools of the MCP server '%s' could not be listed: %s", opened.server.name, fault.message)
            entry.body["error"] = fault.message
            entry.tell("response.mcp_list_tools.failed")
            entry.done()
            raise Unavailable(f"The tools of the MCP server '{label}' could not be listed: {fault.message}") from None
        entry.body["tools"] = [offer.item() for offer in offers]
        entry.tell("response.mcp_list_tools.completed")
        entry.done()
        return offers

    # Calls

    async def _call_approved(self, opened: _Open, request: Mapping[str, Any], turn: Turn) -> None:
        """As it was asked for, if it may still be made."""
        name, arguments = str(request.get("name")), str(request.get("arguments") or "{}")
        offer = opened.offers.get(function_name(opened.spec.server_label, name))
        if offer is None:
            raise InvalidRequest(
                f"The call of '{shown(name, 128)}' was approved, but this request does not allow that tool of the MCP server "
                f"'{opened.spec.server_label}' (see 'allowed_tools'), or it is not there.",
                param="tools",
            )
        await self._call(opened, offer, arguments, _parsed(arguments), turn, request=str(request["id"]))

    async def _call(
        self, opened: _Open, offer: Offer, arguments: str, given: dict[str, Any] | None, turn: Turn, *, request: str | None = None
    ) -> None:
        entry = turn.add(
            {
                "type": "mcp_call", "status": "in_progress", "server_label": opened.spec.server_label, "name": offer.name, "arguments": "",
                "approval_request_id": request, "output": None, "error": None,
            }
        )  # fmt: skip
        entry.tell("response.mcp_call.in_progress")
        entry.tell("response.mcp_call_arguments.delta", delta=arguments)
        entry.body["arguments"] = arguments
        entry.tell("response.mcp_call_arguments.done", arguments=arguments)
        if given is None:
            _failed(entry, Fault("The arguments are no JSON object, so the tool was not called.", code=_INVALID_PARAMS, protocol=True).error)
            return
        await self._governor.demand(turn.who, "tool.use", target=f"{opened.server.name}/{offer.name}", origin=turn.origin)
        try:
            result = await opened.session.request(
                "tools/call", {"name": offer.name, "arguments": given}, timeout=opened.server.timeout, name=offer.name,
                headers=argument_headers(offer.schema, given),
            )  # fmt: skip
            output, error = outcome(result, opened.server.result_limit)
        except Fault as fault:
            output, error = None, fault.error
        if error is not None:
            _failed(entry, error)
            return
        entry.body["output"] = output
        entry.body["status"] = "completed"
        entry.tell("response.mcp_call.completed")
        entry.done()


def _failed(entry: Entry, error: Mapping[str, Any]) -> None:
    entry.body["error"] = dict(error)
    entry.body["status"] = "failed"
    entry.tell("response.mcp_call.failed")
    entry.done()


def _parsed(arguments: str) -> dict[str, Any] | None:
    """The arguments of a call; `None` for what is no JSON object."""
    try:
        found = json.loads(arguments or "{}")
    except (ValueError, RecursionError):
        return None
    return found if isinstance(found, dict) else None
