"""Tools of a real MCP server in responses, through the official SDK: listed, called, approved, refused; nothing secret is kept or shown."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import openai
import pytest

from tests.contract.conftest import Live
from tests.mcp_server import McpServer
from tests.turn import EVENT, strictly

MODEL = "fake:obeys"
SECRET = "t0ps3cr3t"
ADD = 'call home__add {"a": 19, "b": 23}'


def tool(**fields: Any) -> Any:
    return {"type": "mcp", "server_label": "home", "require_approval": "never", **fields}


@pytest.fixture(scope="module")
def server() -> Iterator[McpServer]:
    with McpServer() as server:
        yield server


@pytest.fixture(scope="module")
def house(server: McpServer, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Live]:
    home: Path = tmp_path_factory.mktemp("home")
    live = Live(home, {"mcp": {"home": {"url": server.url}}})
    live.start()
    yield live
    live.stop()


@pytest.fixture
def client(house: Live) -> openai.OpenAI:
    return house.openai()


def test_a_model_calls_a_tool_and_tells_what_came_of_it(client: openai.OpenAI) -> None:
    response = client.responses.create(model=MODEL, input=ADD, tools=[tool()])
    assert [item.type for item in response.output] == ["mcp_list_tools", "mcp_call", "message"]
    assert (response.status, response.output_text) == ("completed", "42")
    following = client.responses.create(model=MODEL, input='call home__note {"text": "milk"}', tools=[tool()], previous_response_id=response.id)
    assert [item.type for item in following.output] == ["mcp_call", "message"], "the tools are listed once"


def test_every_event_is_the_sdks(client: openai.OpenAI) -> None:
    kinds = []
    with client.responses.create(model=MODEL, input=f'{ADD}\ncall home__fail {{"why": "no"}}', tools=[tool()], stream=True) as events:
        for event in events:
            if event.type.startswith("response.mcp") or "output_item" in event.type:
                strictly(EVENT, json.loads(event.to_json(exclude_unset=True)))
            kinds.append(event.type)
    for kind in ("mcp_list_tools.completed", "mcp_call_arguments.done", "mcp_call.completed", "mcp_call.failed"):
        assert f"response.{kind}" in kinds


def test_a_call_that_was_approved_is_made_once(client: openai.OpenAI) -> None:
    asking = client.responses.create(model=MODEL, input='call home__note {"text": "once"}', tools=[tool(require_approval="always")])
    request = asking.output[-1]
    assert request.type == "mcp_approval_request"
    assert (request.name, json.loads(request.arguments)) == ("note", {"text": "once"})
    yes: Any = [{"type": "mcp_approval_response", "approval_request_id": request.id, "approve": True}]
    done = client.responses.create(model=MODEL, input=yes, tools=[tool(require_approval="always")], previous_response_id=asking.id)
    call = done.output[0]
    assert call.type == "mcp_call"
    assert (call.approval_request_id, call.status) == (request.id, "completed")
    assert call.output is not None
    assert call.output.endswith("once")
    again = client.responses.create(model=MODEL, input="say thanks", tools=[tool()], previous_response_id=done.id)
    assert [item.type for item in again.output] == ["message"]


def test_a_call_that_was_refused_is_not_made(client: openai.OpenAI, server: McpServer) -> None:
    asking = client.responses.create(model=MODEL, input='call home__note {"text": "never"}', tools=[tool(require_approval="always")])
    before = sum(one["method"] == "tools/call" for one in server.seen())
    no: Any = [{"type": "mcp_approval_response", "approval_request_id": asking.output[-1].id, "approve": False, "reason": "too late"}]
    done = client.responses.create(model=MODEL, input=no, tools=[tool(require_approval="always")], previous_response_id=asking.id)
    assert done.output_text == "The user did not allow this call, so it was not made. The reason: too late"
    assert sum(one["method"] == "tools/call" for one in server.seen()) == before


def test_an_approval_needs_its_tool(client: openai.OpenAI) -> None:
    asking = client.responses.create(model=MODEL, input=ADD, tools=[tool(require_approval="always")])
    yes: Any = [{"type": "mcp_approval_response", "approval_request_id": asking.output[-1].id, "approve": True}]
    with pytest.raises(openai.BadRequestError, match="'home' in 'tools'"):
        client.responses.create(model=MODEL, input=yes, previous_response_id=asking.id)


def test_a_tool_that_must_be_called_is(client: openai.OpenAI) -> None:
    choice: Any = {"type": "mcp", "server_label": "home", "name": "add"}
    response = client.responses.create(model=MODEL, input="say hello", tools=[tool()], tool_choice=choice)
    calls = [item for item in response.output if item.type == "mcp_call"]
    assert [call.name for call in calls] == ["add"]


def test_sessions_end_with_the_response(client: openai.OpenAI, server: McpServer) -> None:
    client.responses.create(model=MODEL, input=ADD, tools=[tool()])
    assert server.seen()[-1]["http"] == "DELETE"


@pytest.mark.parametrize("background", [False, True])
def test_secrets_are_neither_shown_nor_kept(client: openai.OpenAI, house: Live, server: McpServer, background: bool) -> None:
    given = tool(authorization=SECRET, headers={"X-Token": SECRET})
    response = client.responses.create(model=MODEL, input=ADD, tools=[given], background=background)
    while response.status in ("queued", "in_progress"):
        response = client.responses.retrieve(response.id)
    assert response.output_text == "42"
    assert SECRET not in response.to_json()
    assert any(SECRET in str(one["headers"]) for one in server.seen())
    kept = [path for path in house.home.rglob("*") if path.is_file() and SECRET.encode() in path.read_bytes()]
    assert kept == []


@pytest.mark.parametrize(
    ("fields", "error", "says"),
    [
        ({"server_label": "other"}, openai.NotFoundError, "hausgeist.toml"),
        ({"server_url": "http://169.254.169.254/"}, openai.NotFoundError, "hausgeist.toml"),
        ({"connector_id": "connector_gmail"}, openai.InternalServerError, "connectors"),
        ({"headers": {"Host": "x"}}, openai.BadRequestError, "Host"),
    ],
)
def test_what_cannot_be_is_refused_with_what_to_do(client: openai.OpenAI, fields: dict[str, Any], error: Any, says: str) -> None:
    with pytest.raises(error, match=says):
        client.responses.create(model=MODEL, input="say hi", tools=[tool(**fields)])


def test_a_server_that_is_not_there_fails_the_response_with_its_reason(tmp_path: Path) -> None:
    live = Live(tmp_path, {"mcp": {"home": {"url": "http://127.0.0.1:1/mcp"}}})
    live.start()
    try:
        response = live.openai().responses.create(model=MODEL, input="say hi", tools=[tool()])
        assert response.status == "failed"
        assert response.error is not None
        assert "cannot be reached" in response.error.message
        listed = response.output[0]
        assert listed.type == "mcp_list_tools"
        assert "cannot be reached" in str(listed.error)
    finally:
        live.stop()
