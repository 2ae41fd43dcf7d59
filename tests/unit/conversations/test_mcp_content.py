"""What a model is told of calls of MCP servers: by the name that it knows, with what came of them, in the order in which they were made."""

from __future__ import annotations

from typing import Any

import pytest

from hausgeist.conversations.content import messages_of
from hausgeist.conversations.mcp.naming import function_name

CALL = {"type": "mcp_call", "id": "mcp_1", "server_label": "home", "name": "add", "arguments": '{"a": 1}', "status": "completed", "output": "3"}
REQUEST = {"type": "mcp_approval_request", "id": "mcpr_1", "server_label": "home", "name": "odd name", "arguments": "{}"}


def told(*items: dict[str, Any]) -> list[tuple[str, str, str]]:
    """Name of the function, and what came of it, for each call in the messages; ids belong together."""
    messages = messages_of([{"type": "message", "role": "user", "content": "hi"}, *items])[1:]
    found = []
    for asked, result in zip(messages[::2], messages[1::2], strict=True):
        (call,) = asked["tool_calls"]
        assert (asked["role"], result["role"], result["tool_call_id"]) == ("assistant", "tool", call["id"])
        found.append((call["function"]["name"], call["function"]["arguments"], result["content"]))
    return found


def test_calls_have_the_names_under_which_they_are_offered() -> None:
    assert told(CALL, {**CALL, "id": "mcp_2", "name": "sub"}) == [("home__add", '{"a": 1}', "3"), ("home__sub", '{"a": 1}', "3")]


@pytest.mark.parametrize(
    ("fields", "says"),
    [
        ({"error": {"type": "http_error", "code": 504, "message": "too slow"}, "output": None}, "The call failed: too slow"),
        (
            {"error": {"type": "mcp_tool_execution_error", "content": [{"type": "text", "text": "no milk"}]}, "output": None},
            "The call failed: no milk",
        ),
        ({"error": {"type": "mcp_tool_execution_error", "content": []}, "output": None}, "The call failed: no reason was given"),
        ({"error": "gone"}, "The call failed: gone"),
        ({"status": "incomplete", "output": None}, "The call was interrupted; nobody knows whether it was done."),
        ({"output": None}, ""),
    ],
)
def test_what_came_of_a_call_is_told(fields: dict[str, Any], says: str) -> None:
    assert told({**CALL, **fields}) == [("home__add", '{"a": 1}', says)]


def test_only_refusals_of_approvals_are_told() -> None:
    answer = {"type": "mcp_approval_response", "approval_request_id": "mcpr_1", "approve": True}
    assert told(REQUEST) == []
    assert told(REQUEST, answer, {**CALL, "approval_request_id": "mcpr_1"}) == [("home__add", '{"a": 1}', "3")]
    refused = {**answer, "approve": False}
    assert told(REQUEST, refused) == [(function_name("home", "odd name"), "{}", "The user did not allow this call, so it was not made.")]
    assert told(refused) == [], "what was asked is not there any more"
