"""Calls that somebody had to approve, and did: found in what was said, so that each is done once, as it was asked for."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from hausgeist.errors import InvalidRequest, shown

__all__ = ["approved", "demand_done"]


def approved(items: Sequence[Mapping[str, Any]], server_label: str) -> list[Mapping[str, Any]]:
    """The `mcp_approval_request`s for this server that were approved by the newest input and are not done yet, in their order.

    An approval counts until the model has said something after it. Raises `InvalidRequest` for one of something that was not asked, or that was
    answered otherwise."""
    requests = {str(item.get("id")): item for item in _of_type(items, "mcp_approval_request")}
    done = {str(item.get("approval_request_id")) for item in _of_type(items, "mcp_call")}
    denied = {str(item.get("approval_request_id")) for item in _of_type(items, "mcp_approval_response") if item.get("approve") is not True}
    found: dict[str, Mapping[str, Any]] = {}
    for item in _of_type(_newest(items), "mcp_approval_response"):
        wanted = str(item.get("approval_request_id"))
        if wanted not in requests:
            raise InvalidRequest(
                f"There is no approval request '{shown(wanted)}' in what was said so far. Go on with the response that asked, or send its items.",
                param="input",
            )
        if item.get("approve") is not True:
            continue
        if wanted in denied:
            raise InvalidRequest(f"The approval request '{shown(wanted)}' was answered with no.", param="input")
        if wanted not in done and requests[wanted].get("server_label") == server_label:
            found[wanted] = requests[wanted]
    return list(found.values())


def demand_done(items: Sequence[Mapping[str, Any]]) -> None:
    """Raise `InvalidRequest` for a call that the newest input approved and no tool of the request has made: the tool is missing there."""
    requests = {str(item.get("id")): item for item in _of_type(items, "mcp_approval_request")}
    done = {str(item.get("approval_request_id")) for item in _of_type(items, "mcp_call")}
    for item in _of_type(_newest(items), "mcp_approval_response"):
        wanted = str(item.get("approval_request_id"))
        if item.get("approve") is True and wanted not in done:
            label = str(requests.get(wanted, {}).get("server_label", ""))
            raise InvalidRequest(
                f"The call of the approval request '{shown(wanted)}' cannot be made without its tool: name the MCP server "
                f"'{shown(label, 64)}' in 'tools' as before.",
                param="tools",
            )


def _of_type(items: Sequence[Mapping[str, Any]], kind: str) -> list[Mapping[str, Any]]:
    return [item for item in items if item.get("type") == kind]


def _newest(items: Sequence[Mapping[str, Any]]) -> Sequence[Mapping[str, Any]]:
    """What came after the last thing that the model said or did."""
    for number in range(len(items), 0, -1):
        item = items[number - 1]
        match item.get("type", "message"):
            case "message":
                made = item.get("role") == "assistant"
            case "mcp_approval_response" | "function_call_output" | "mcp_list_tools":
                made = False
            case "mcp_call":  # that of an approval is made before the model is asked
                made = not item.get("approval_request_id")
            case _:
                made = True
        if made:
            return items[number:]
    return items
