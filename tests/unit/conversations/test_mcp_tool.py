"""The tool of type "mcp" against servers that lie, stall, leak and overdo it; what comes out is of the SDK's types and harms nobody."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web
from openai.types.responses import tool_param
from typing_extensions import get_type_hints

from hausgeist.conversations.content import messages_of
from hausgeist.conversations.mcp import McpTools
from hausgeist.conversations.mcp.approvals import demand_done
from hausgeist.conversations.mcp.schemas import repaired
from hausgeist.conversations.mcp.spec import Approval, Filter, Spec, parse_spec
from hausgeist.errors import EgressRefused, HausgeistError, InvalidRequest, NotAllowed, NotFound, NotSupported, Unavailable
from hausgeist.gateway.openai.schemas import check_schema
from hausgeist.identity import LOCAL_OWNER
from tests.mcp_liar import ADD, READ, USER, Kit, Liar, Respond, Result, respond, stream, text
from tests.turn import Told

DONE = b'data: {"jsonrpc": "2.0", "id": ID, "result": {"content": [{"type": "text", "text": "3"}]}}\n\n'


@pytest.fixture
async def server() -> AsyncIterator[Liar]:
    async with Liar() as server:
        yield server


@pytest.fixture
async def kit(tmp_path: Path) -> AsyncIterator[Kit]:
    kit = Kit(tmp_path)
    yield kit
    await kit.close()


def spec(**fields: Any) -> dict[str, Any]:
    return {"type": "mcp", "server_label": "home", "require_approval": "never", **fields}


async def hang(request: web.Request, message: dict[str, Any]) -> web.StreamResponse:
    await asyncio.sleep(60)
    raise AssertionError


async def call(tools: McpTools, turn: Told, name: str = "home__add", arguments: str = '{"a": 1}', **fields: Any) -> dict[str, Any]:
    """The item that a call makes, in a turn that has been offered the tools."""
    given = tools.check(spec(**fields), "tools.0")
    await tools.offer(given, turn)
    assert await tools.call(given, name, arguments, turn)
    return turn.output[-1]


async def test_tools_are_listed_offered_and_called(kit: Kit, server: Liar) -> None:
    tools, turn, given = kit.tools(server.url), Told(USER), spec()
    tools.check(given, "tools.0")
    functions = await tools.offer(given, turn)
    assert [(one.name, one.description) for one in functions] == [("home__add", "Add."), ("home__read", "read of home")]
    assert functions[0].parameters == ADD["inputSchema"]
    assert await tools.call(given, "home__add", '{"a": 1}', turn)
    await tools.finish(turn)
    listed, called = turn.output
    assert [(tool["name"], tool["annotations"]) for tool in listed["tools"]] == [("add", None), ("read", {"readOnlyHint": True, "title": "Read"})]
    assert {name: value for name, value in called.items() if name != "id"} == {
        "type": "mcp_call", "status": "completed", "server_label": "home", "name": "add", "arguments": '{"a": 1}', "approval_request_id": None,
        "output": "3", "error": None,
    }  # fmt: skip
    assert turn.kinds == [
        "output_item.added", "mcp_list_tools.in_progress", "mcp_list_tools.completed", "output_item.done", "output_item.added",
        "mcp_call.in_progress", "mcp_call_arguments.delta", "mcp_call_arguments.done", "mcp_call.completed", "output_item.done",
    ]  # fmt: skip
    assert turn.events[0]["item"]["tools"] == []
    assert (turn.events[4]["item"]["arguments"], turn.events[6]["delta"], turn.events[7]["arguments"]) == ("", '{"a": 1}', '{"a": 1}')
    assert server.methods() == ["server/discover", "tools/list", "tools/call"]
    assert server.seen[-1][1]["params"]["arguments"] == {"a": 1}
    assert {server.seen[-1][2][name] for name in ("Mcp-Method", "Mcp-Name")} == {"tools/call", "add"}
    assert ("tool.use", "allowed", "home/add") in await kit.rows()


async def test_a_list_that_was_made_before_is_used_again(kit: Kit, server: Liar) -> None:
    tools, first = kit.tools(server.url), Told(USER)
    await tools.offer(spec(), first)
    server.answers["tools/list"] = {"tools": [{**ADD, "description": "Something else now."}]}
    again = Told(USER, *first.output, USER)
    assert [one.description for one in await tools.offer(spec(), again)] == ["Add.", "read of home"]
    assert (again.output, server.methods().count("tools/list")) == ([], 1)
    wider = Told(USER, *first.output, USER)
    await tools.offer(spec(allowed_tools=["add", "new"]), wider)
    assert [tool["description"] for tool in wider.output[0]["tools"]] == ["Something else now."]


async def test_only_what_request_and_owner_allow_is_offered(kit: Kit, server: Liar) -> None:
    async def offered(given: dict[str, Any], **fields: Any) -> list[str]:
        return [one.name for one in await kit.tools(server.url, **fields).offer(given, Told(USER))]

    assert await offered(spec(allowed_tools=["read", "absent"])) == ["home__read"]
    assert await offered(spec(allowed_tools={"read_only": True})) == ["home__read"]
    assert await offered(spec(allowed_tools={"read_only": False})) == ["home__add"]
    assert await offered(spec(allowed_tools={"tool_names": ["add"], "read_only": True})) == []
    assert await offered(spec(allowed_tools=[])) == []
    assert await offered(spec(), tools=("add",)) == ["home__add"]


# Approvals


async def ask(tools: McpTools, turn: Told, given: dict[str, Any], name: str = "home__add") -> dict[str, Any]:
    await tools.offer(given, turn)
    assert await tools.call(given, name, '{"a": 1}', turn) is False
    return turn.output[-1]


def answer(request: dict[str, Any], approve: bool = True, **fields: Any) -> dict[str, Any]:
    return {"type": "mcp_approval_response", "id": "mcpa_1", "approval_request_id": request["id"], "approve": approve, **fields}


@pytest.mark.parametrize(
    "approval", [None, "always", {"never": {"tool_names": ["read"]}}, {"never": {"read_only": True}}, {"always": {"read_only": False}}, {}]
)
async def test_a_call_waits_until_it_is_approved_and_is_made_once(kit: Kit, server: Liar, approval: Any) -> None:
    tools, turn, given = kit.tools(server.url), Told(USER), spec(require_approval=approval)
    request = await ask(tools, turn, given)
    assert {name: value for name, value in request.items() if name != "id"} == {
        "type": "mcp_approval_request", "server_label": "home", "name": "add", "arguments": '{"a": 1}',
    }  # fmt: skip
    assert turn.kinds[-2:] == ["output_item.added", "output_item.done"]
    assert "tools/call" not in server.methods()

    second = Told(USER, *turn.output, answer(request))
    await tools.offer(given, second)
    (called,) = second.output
    assert (called["approval_request_id"], called["output"], called["arguments"]) == (request["id"], "3", '{"a": 1}')
    assert server.methods().count("tools/call") == 1

    third = Told(*second.items, USER)
    replayed = Told(*second.items)
    for turn in (third, replayed, Told(*second.items, answer(request))):
        await tools.offer(given, turn)
        assert turn.output == []
    assert server.methods().count("tools/call") == 1


@pytest.mark.parametrize("approval", ["never", {"never": {"tool_names": ["add"]}}, {"always": {"read_only": True}, "never": {"read_only": False}}])
async def test_a_call_that_needs_no_approval_is_made(kit: Kit, server: Liar, approval: Any) -> None:
    item = await call(kit.tools(server.url), Told(USER), require_approval=approval)
    assert item["output"] == "3"


async def test_every_call_needs_an_approval_once_the_model_has_read_what_others_wrote(kit: Kit, server: Liar) -> None:
    turn = Told(USER)
    turn.wary = True
    tools, given = kit.tools(server.url), spec(require_approval="never")
    (add, *_) = await tools.offer(given, turn)
    assert not await tools.call(given, add.name, '{"a": 1, "b": 2}', turn)
    assert turn.output[-1]["type"] == "mcp_approval_request"
    assert "tools/call" not in server.methods()


def test_what_is_named_twice_needs_an_approval() -> None:
    both = Approval(always=Filter(tool_names=["add"]), never=Filter(tool_names=["add"]))
    assert Spec(type="mcp", server_label="home", require_approval=both).needs_approval("add", read_only=True)
    unsaid = Spec(type="mcp", server_label="home", require_approval=Approval(never=Filter()))
    assert unsaid.needs_approval("add", read_only=True)


async def test_a_call_that_was_refused_is_not_made_and_the_model_is_told(kit: Kit, server: Liar) -> None:
    tools, turn, given = kit.tools(server.url), Told(USER), spec(require_approval="always")
    request = await ask(tools, turn, given)
    second = Told(USER, *turn.output, answer(request, approve=False, reason="too dear"))
    await tools.offer(given, second)
    assert "tools/call" not in server.methods()
    assistant, result = messages_of(second.items)[-2:]
    assert assistant["tool_calls"][0]["function"] == {"name": "home__add", "arguments": '{"a": 1}'}
    assert result["content"] == "The user did not allow this call, so it was not made. The reason: too dear"
    later = Told(*second.items, answer(request))
    with pytest.raises(InvalidRequest, match="answered with no"):
        await tools.offer(given, later)
    assert "tools/call" not in server.methods()


@pytest.mark.parametrize(
    "after",
    [
        {"type": "message", "role": "assistant", "content": [{"type": "output_text", "text": "Well"}]},
        {"type": "mcp_call", "id": "mcp_9", "name": "read", "server_label": "home", "arguments": "{}"},
        {"type": "reasoning", "id": "rs_1", "summary": []},
        {"type": "function_call", "id": "fc_1", "call_id": "c", "name": "f", "arguments": "{}"},
    ],
)
async def test_an_old_approval_does_not_count_any_more(kit: Kit, server: Liar, after: dict[str, Any]) -> None:
    tools, turn, given = kit.tools(server.url), Told(USER), spec(require_approval="always")
    request = await ask(tools, turn, given)
    await tools.offer(given, Told(USER, *turn.output, answer(request), after, USER))
    assert "tools/call" not in server.methods()


async def test_approvals_of_nothing_are_refused(kit: Kit, server: Liar) -> None:
    tools, turn, given = kit.tools(server.url), Told(USER), spec(require_approval="always")
    with pytest.raises(InvalidRequest, match="no approval request 'mcpr_1'"):
        await tools.offer(given, Told(USER, answer({"id": "mcpr_1"})))
    request = await ask(tools, turn, given)
    with pytest.raises(InvalidRequest, match="does not allow that tool"):
        await tools.offer(spec(allowed_tools=["read"]), Told(USER, *turn.output, answer(request)))
    other = Told(USER, *turn.output, answer(request))
    await tools.offer(spec(server_label="elsewhere", server_url=server.url), other)
    assert [item["type"] for item in other.output] == ["mcp_list_tools"], "an approval is for the server whose call was shown"
    assert "tools/call" not in server.methods()


def test_an_approval_whose_tool_is_not_there_is_not_passed_over() -> None:
    request = {"type": "mcp_approval_request", "id": "mcpr_1", "server_label": "home", "name": "add", "arguments": "{}"}
    with pytest.raises(InvalidRequest, match=r"MCP server 'home' in 'tools'"):
        demand_done([USER, request, answer(request), USER])
    done = {"type": "mcp_call", "id": "mcp_1", "approval_request_id": "mcpr_1"}
    said = {"type": "message", "role": "assistant", "content": []}
    for items in ([request], [request, answer(request, approve=False)], [request, answer(request), done], [request, answer(request), said, USER]):
        demand_done(items)


# Servers that fail and lie


@pytest.mark.parametrize(
    ("behaviour", "kind", "code", "says"),
    [
        (respond(500), "http_error", 500, "status 500"),
        (respond(401, WWW_Authenticate="Bearer"), "http_error", 401, "authorization"),
        (respond(307, Location="http://127.0.0.1:1/"), "http_error", 307, "redirects"),
        (respond(202, b""), "mcp_protocol_error", -32600, "status 202"),
        (respond(200, b"<html>login</html>", "text/html"), "mcp_protocol_error", -32600, "text/html"),
        (respond(200, b"{"), "mcp_protocol_error", -32600, "not valid JSON"),
        (respond(200, b"[" * 200_000), "mcp_protocol_error", -32600, "not valid JSON"),
        (respond(200, b'{"jsonrpc": "2.0", "id": 999, "result": {}}'), "mcp_protocol_error", -32600, "before it was complete"),
        (respond(200, b'{"jsonrpc": "2.0", "id": true, "result": {}}'), "mcp_protocol_error", -32600, "before it was complete"),
        (respond(200, b'{"jsonrpc": "2.0", "id": ID, "result": 5}'), "mcp_protocol_error", -32600, "no object"),
        (respond(200, b'{"jsonrpc": "2.0", "id": ID, "error": "no"}'), "mcp_protocol_error", -32600, "did not explain"),
        (respond(200, b'{"jsonrpc": "2.0", "id": ID, "error": {"code": 1e99, "message": ["x"]}}'), "mcp_protocol_error", -32603, "x"),
        (
            respond(400, b'{"jsonrpc": "2.0", "id": null, "error": {"code": -32602, "message": "a\\u001b[31m bad"}}'),
            "mcp_protocol_error",
            -32602,
            "a bad",
        ),
        (respond(200, b"x" * (5 * 2**20)), "mcp_protocol_error", -32600, "more than is taken"),
        (respond(200, b'{"jsonrpc": "2.0", "id": ID, "result": {"a": 1e999}}'), "mcp_protocol_error", -32600, "finite"),
        (stream(b"data: x\n\n"), "mcp_protocol_error", -32600, "not valid JSON"),
        (stream(b": nothing\n\n"), "mcp_protocol_error", -32600, "before it was complete"),
        (stream(b"data: " + b"x" * (5 * 2**20)), "mcp_protocol_error", -32600, "4 MiB"),
        (stream(*[{"method": "notifications/message", "params": {"data": "x" * 2**20}}] * 17), "mcp_protocol_error", -32600, "more than is taken"),
        (stream(*[{"id": n, "method": "sampling/createMessage"} for n in range(60)]), "mcp_protocol_error", -32600, "too many times"),
    ],
)
async def test_a_call_that_goes_wrong_says_how(kit: Kit, server: Liar, behaviour: Respond, kind: str, code: int, says: str) -> None:
    server.answers["tools/call"] = behaviour
    turn = Told(USER)
    item = await call(kit.tools(server.url), turn)
    assert (item["status"], item["output"]) == ("failed", None)
    assert (item["error"]["type"], item["error"]["code"]) == (kind, code)
    assert says in item["error"]["message"]
    assert turn.kinds[-2:] == ["mcp_call.failed", "output_item.done"]
    assert says in messages_of(turn.items)[-1]["content"]
    assert server.methods().count("tools/call") == 1, "a call is never made twice"


@pytest.mark.parametrize("behaviour", [stream(end=False), stream(*[b": ping\n\n"] * 100, after=0.1), hang], ids=["endless", "slow", "hanging"])
async def test_a_server_that_does_not_come_to_an_end_is_given_up(kit: Kit, server: Liar, behaviour: Respond) -> None:
    server.answers["tools/call"] = behaviour
    started = time.monotonic()
    item = await call(kit.tools(server.url, timeout=2), Told(USER))
    assert (item["error"]["code"], item["error"]["message"]) == (504, "The server of tools did not answer within 2 s.")
    assert time.monotonic() - started < 8


async def test_a_connection_that_breaks_is_an_error_of_the_call(kit: Kit, server: Liar) -> None:
    async def cut(request: web.Request, message: dict[str, Any]) -> web.StreamResponse:
        response = web.StreamResponse(headers={"Content-Type": "application/json", "Content-Length": "1000"})
        await response.prepare(request)
        await response.write(b"{")
        assert request.transport is not None
        request.transport.abort()
        return response

    server.answers["tools/call"] = cut
    item = await call(kit.tools(server.url), Told(USER))
    assert (item["error"]["type"], item["error"]["code"]) == ("http_error", 502)


async def test_notes_and_questions_on_the_way_are_no_answer(kit: Kit, server: Liar) -> None:
    server.answers["tools/call"] = stream(
        {"method": "notifications/progress", "params": {"progress": 1}}, {"id": "p", "method": "ping"}, {"id": 77, "result": text("other")},
        {"id": 5, "method": "elicitation/create", "params": {}}, DONE, {"id": 1, "result": text("late")},
    )  # fmt: skip
    assert (await call(kit.tools(server.url), Told(USER)))["output"] == "3"
    replies = {message["id"]: message for method, message, _ in server.seen if method == "POST"}
    assert replies["p"]["result"] == {}
    assert replies[5]["error"]["code"] == -32601


async def test_results_are_clean_and_bounded(kit: Kit, server: Liar) -> None:
    server.answers["tools/call"] = text("\x1b[2J<script>alert(1)</script>\ud800", "y" * 500)
    item = await call(kit.tools(server.url, result_limit=100), Told(USER))
    assert item["output"].startswith("<script>alert(1)</script>\nyyy")
    assert item["output"].endswith("[Cut here: the result has 526 characters, of which 100 are kept.]")


@pytest.mark.parametrize("arguments", ["", "{", "[1]", "null", "[" * 100_000, '"x"'])
async def test_arguments_that_are_no_object_are_not_sent(kit: Kit, server: Liar, arguments: str) -> None:
    turn = Told(USER)
    item = await call(kit.tools(server.url), turn, arguments=arguments, require_approval="always" if arguments else "never")
    if not arguments:
        assert (item["arguments"], item["output"]) == ("{}", "3")
        return
    assert (item["status"], item["error"]["code"]) == ("failed", -32602)
    assert "tools/call" not in server.methods()


# Lists that are wrong


@pytest.mark.parametrize(
    ("behaviour", "says"),
    [
        (respond(500), "status 500"),
        ({"tools": "none"}, "is none"),
        ({"tools": [{**ADD, "name": f"t{n}"} for n in range(129)]}, "129 tools"),
        ({"tools": [], "nextCursor": "same"}, "does not end"),
        ({"tools": [], "nextCursor": 5}, "does not end"),
        ({"tools": [{**ADD, "x": [[0] * 300] * 300}]}, "too many"),
    ],
)
async def test_a_list_that_cannot_be_had_fails_the_response_and_says_why(kit: Kit, server: Liar, behaviour: Any, says: str) -> None:
    server.answers["tools/list"] = behaviour
    turn = Told(USER)
    with pytest.raises(Unavailable, match=says):
        await kit.tools(server.url).offer(spec(), turn)
    assert turn.kinds == ["output_item.added", "mcp_list_tools.in_progress", "mcp_list_tools.failed", "output_item.done"]
    assert says in turn.output[0]["error"]
    assert turn.output[0]["tools"] == []


async def test_a_list_without_end_ends(kit: Kit, server: Liar) -> None:
    async def page(request: web.Request, message: dict[str, Any]) -> Result:
        return {"tools": [], "nextCursor": str(message["id"])}

    server.answers["tools/list"] = page
    with pytest.raises(Unavailable, match="50 pages"):
        await kit.tools(server.url).offer(spec(), Told(USER))
    assert server.methods().count("tools/list") == 50


async def test_pages_are_put_together(kit: Kit, server: Liar) -> None:
    async def page(request: web.Request, message: dict[str, Any]) -> Result:
        return {"tools": [READ]} if message["params"].get("cursor") == "two" else {"tools": [ADD], "nextCursor": "two"}

    server.answers["tools/list"] = page
    assert [one.name for one in await kit.tools(server.url).offer(spec(), Told(USER))] == ["home__add", "home__read"]


HOSTILE = [
    {"type": "object", "properties": {"a": {"type": "string", "pattern": "(a?){50}" * 40}}},
    {"type": "object", "properties": {"a": {"$ref": "https://evil.example/schema"}}},
    {"type": "object", "properties": {"a": {"$ref": "#/properties/a"}}},
    {"type": "object", "properties": {"a": {"anyOf": [{"const": n} for n in range(1500)]}}},
    {"type": "object", "properties": {"a": {"enum": ["x" * 100] * 900}}},
    {"type": "object", "properties": {"a": False}},
    {"type": "object", "properties": {"a": "string", "b": {"type": ["integer"], "description": 5}}, "required": [["a"]]},
    {"type": "string"},
    {"properties": [1, 2]},
    {},
    None,
    "object",
]


@pytest.mark.parametrize("schema", HOSTILE, ids=str)
async def test_schemas_that_would_break_the_engine_are_made_simple(kit: Kit, server: Liar, schema: Any) -> None:
    server.answers["tools/list"] = {"tools": [{"name": "evil", "inputSchema": schema}, ADD]}
    evil, add = await kit.tools(server.url).offer(spec(), Told(USER))
    check_schema(evil.parameters, "tools", strict=False)
    assert evil.parameters["type"] == "object"
    assert add.parameters == ADD["inputSchema"], "the others stay as they are"
    if isinstance(schema, dict) and isinstance(schema.get("properties"), dict):
        assert (schema["properties"]["a"] is not False) == ("a" in evil.parameters["properties"])


def test_only_what_is_malformed_is_left_out_of_a_schema() -> None:
    schema = {
        "type": "object",
        "properties": {
            "age": {"type": "integer", "minimum": 0, "exclusiveMinimum": True, "description": None},
            "name": {"type": "string", "pattern": ["a"], "minLength": -1, "maxLength": 5},
            "tags": {"type": "array", "items": {"type": "unheard of", "enum": []}, "minItems": "1"},
            "any": {"anyOf": [{"type": "string"}, {"type": ["null", "integer"]}], "x-mcp-header": "Any"},
            "all": True,
            "none": False,
        },
        "required": ["age"],
        "additionalProperties": None,
    }
    assert repaired(schema) == {
        "type": "object",
        "properties": {
            "age": {"type": "integer", "minimum": 0},
            "name": {"type": "string", "maxLength": 5},
            "tags": {"type": "array", "items": {}},
            "any": {"anyOf": [{"type": "string"}, {"type": ["null", "integer"]}], "x-mcp-header": "Any"},
            "all": {},
        },
        "required": ["age"],
    }
    assert repaired(ADD["inputSchema"]) == ADD["inputSchema"]


async def test_tools_that_make_no_sense_are_left_out(kit: Kit, server: Liar) -> None:
    odd = [5, {}, {"name": ""}, {"name": 5}, {"name": "x" * 129}, {"name": "a\nb"}, {"name": "add", "description": "the second of this name"}]
    server.answers["tools/list"] = {"tools": [ADD, *odd, {"name": "lörem ipsum.2", "description": "d" * 5000, "annotations": [1]}]}
    add, named = await kit.tools(server.url).offer(spec(), Told(USER))
    assert (add.description, len(named.description)) == ("Add.", 2000)
    assert named.name.startswith("home__l_rem_ipsum_2_")


# Who may, and where to


async def test_servers_that_the_owner_has_not_named_are_not_asked(kit: Kit, server: Liar) -> None:
    tools = kit.tools(server.url)
    with pytest.raises(NotFound, match=r"no MCP server 'other' is known here.*\[mcp.other\]"):
        tools.check(spec(server_label="other"), "tools.3")
    for url in (
        f"http://127.0.0.1:{server.port}/other",
        "http://169.254.169.254/mcp",
        "file:///etc/passwd",
        f"http://user@127.0.0.1:{server.port}/mcp",
        "::",
    ):
        with pytest.raises(NotFound, match=r"'tools.0'.*hausgeist.toml"):
            tools.check(spec(server_url=url), "tools.0")
    for url in (server.url, server.url + "/", server.url.replace("http", "HTTP")):
        tools.check(spec(server_label="whatever", server_url=url), "tools.0")
    assert server.seen == []


async def test_projects_and_roles_that_may_not_use_a_server(kit: Kit, server: Liar) -> None:
    tools = kit.tools(server.url, projects=("proj_law",))
    with pytest.raises(NotAllowed, match=r"mcp\.home\.projects"):
        await tools.offer(spec(), Told(USER))
    await tools.offer(spec(), Told(USER, who=replace(LOCAL_OWNER, project="proj_law")))
    reader = replace(LOCAL_OWNER, kind="key", role="reader", house_role="reader", project="proj_law")
    with pytest.raises(NotAllowed):
        await tools.offer(spec(), Told(USER, who=reader))
    assert ("tool.use", "refused", "home") in await kit.rows()


async def test_offline_reaches_this_machine_only(kit: Kit, server: Liar) -> None:
    assert (await call(kit.tools(server.url, offline=True), Told(USER)))["output"] == "3"
    turn = Told(USER)
    with pytest.raises(EgressRefused, match="offline"):
        await kit.tools("https://mcp.example.com/mcp", offline=True).offer(spec(), turn)
    assert ("egress.connect", "refused", "https://mcp.example.com:443") in await kit.rows()


async def test_a_name_that_leads_into_the_house_counts_as_named(kit: Kit, server: Liar) -> None:
    tools = kit.tools(server.url.replace("127.0.0.1", "localhost"))
    assert (await call(tools, Told(USER)))["output"] == "3"
    assert [row for row in await kit.rows() if row[0] == "egress.connect"] == [], "this machine is not outside"


async def test_secrets_go_to_the_server_and_nowhere_else(kit: Kit, server: Liar) -> None:
    tools = kit.tools(server.url, headers={"X-Tenant": "law"})
    given = spec(authorization="s3cr3t", headers={"X-Token": "t0ken"})
    await call(tools, Told(USER), **given)
    headers = server.seen[-1][2]
    assert (headers["Authorization"], headers["X-Token"], headers["X-Tenant"]) == ("Bearer s3cr3t", "t0ken", "law")
    checked = tools.check(given, "tools.0")
    assert "s3cr3t" not in json.dumps(checked)
    assert "t0ken" not in json.dumps(checked)
    shown = tools.shown(checked)
    assert "authorization" not in shown
    assert shown["headers"] == {"X-Token": "<redacted>"}
    server.answers["tools/call"] = respond(401)
    item = await call(tools, turn := Told(USER), **given)
    assert "s3cr3t" not in json.dumps([item, turn.events])
    with pytest.raises(InvalidRequest, match="x-tenant"):
        await tools.offer(tools.check(spec(headers={"x-tenant": "other"}), "tools.0"), Told(USER))
    owned = kit.tools(server.url, key="owners")
    with pytest.raises(InvalidRequest, match=r"authorization.*Leave it out"):
        await owned.offer(owned.check(given, "tools.0"), Told(USER))
    restarted = kit.tools(server.url)
    with pytest.raises(Unavailable, match="Send the request again"):
        await restarted.offer(checked, Told(USER))


async def test_redirects_are_not_followed_with_secrets(kit: Kit, server: Liar) -> None:
    async def away(request: web.Request, message: dict[str, Any]) -> web.StreamResponse:
        raise web.HTTPTemporaryRedirect(f"http://localhost:{server.port}/stolen")

    server.answers["tools/call"] = away
    item = await call(kit.tools(server.url, key="s3cr3t"), Told(USER))
    assert item["error"]["code"] == 307
    assert server.methods() == ["server/discover", "tools/list", "tools/call"]


@pytest.mark.parametrize(
    ("fields", "error", "param"),
    [
        ({"server_label": "9"}, InvalidRequest, "tools.0.server_label"),
        ({"server_label": None}, InvalidRequest, "tools.0.server_label"),
        ({"unheard": 1}, InvalidRequest, "tools.0"),
        ({"headers": {"Host": "x"}}, InvalidRequest, "tools.0.headers"),
        ({"headers": {"Mcp-Session-Id": "x"}}, InvalidRequest, "tools.0.headers"),
        ({"headers": {"X": "a\r\nHost: b"}}, InvalidRequest, "tools.0.headers"),
        ({"headers": {"X": "a", "x": "b"}}, InvalidRequest, "tools.0.headers"),
        ({"headers": {"X": 5}}, InvalidRequest, "tools.0.headers"),
        ({"authorization": "a\nb"}, InvalidRequest, "tools.0.authorization"),
        ({"require_approval": "sometimes"}, InvalidRequest, "tools.0.require_approval"),
        ({"require_approval": {"never": {"names": []}}}, InvalidRequest, "tools.0"),
        ({"allowed_tools": "all"}, InvalidRequest, "tools.0.allowed_tools"),
        ({"connector_id": "connector_gmail"}, NotSupported, "tools.0.connector_id"),
        ({"tunnel_id": "x"}, NotSupported, "tools.0.tunnel_id"),
        ({"defer_loading": True}, NotSupported, "tools.0.defer_loading"),
        ({"allowed_callers": ["programmatic"]}, NotSupported, "tools.0.allowed_callers"),
    ],
)
def test_what_a_request_says_wrong_is_named(fields: dict[str, Any], error: type[HausgeistError], param: str) -> None:
    with pytest.raises(error) as caught:
        parse_spec(spec(**fields), "tools.0")
    assert getattr(caught.value, "param", None) == param


def test_the_fields_are_those_of_the_sdk() -> None:
    assert set(Spec.model_fields) == set(get_type_hints(tool_param.Mcp))
    assert set(Filter.model_fields) == set(get_type_hints(tool_param.McpAllowedToolsMcpToolFilter))
    assert set(Approval.model_fields) == set(get_type_hints(tool_param.McpRequireApprovalMcpToolApprovalFilter))


async def test_labels_are_used_once(kit: Kit, server: Liar) -> None:
    tools, turn = kit.tools(server.url), Told(USER)
    await tools.offer(spec(), turn)
    with pytest.raises(InvalidRequest, match="label"):
        await tools.offer(spec(), turn)
    await tools.finish(turn)
    await tools.finish(turn)
