"""Both forms of the protocol: which one a server speaks, sessions that get lost, streams that are taken up again, calls that are given up."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web

from hausgeist.conversations.mcp import McpTools
from hausgeist.errors import Unavailable
from tests.mcp_liar import USER, Kit, Liar, Result, respond, stream, text
from tests.turn import Told

SPEC = {"type": "mcp", "server_label": "home", "require_approval": "never"}
AGREED = b'{"jsonrpc": "2.0", "id": ID, "result": {"protocolVersion": "2025-06-18"}}'
OPENING = ["initialize", "notifications/initialized"]


@pytest.fixture
async def server() -> AsyncIterator[Liar]:
    """One of before July 2026, with sessions."""
    async with Liar() as server:
        sessions = 0

        async def initialize(request: web.Request, message: dict[str, Any]) -> web.StreamResponse:
            nonlocal sessions
            sessions += 1
            result = {"protocolVersion": "2025-06-18", "capabilities": {}, "serverInfo": {"name": "x", "version": "1"}}
            return web.json_response({"jsonrpc": "2.0", "id": message["id"], "result": result}, headers={"Mcp-Session-Id": f"session-{sessions}"})

        del server.answers["server/discover"]
        server.answers |= {"initialize": initialize, "notifications/initialized": respond(202, b""), "DELETE": respond(204, b"")}
        yield server


@pytest.fixture
async def kit(tmp_path: Path) -> AsyncIterator[Kit]:
    kit = Kit(tmp_path)
    yield kit
    await kit.close()


async def call(tools: McpTools, turn: Told) -> dict[str, Any]:
    await tools.offer(SPEC, turn)
    assert await tools.call(SPEC, "home__add", '{"a": 1}', turn)
    await tools.finish(turn)
    return turn.output[-1]


async def test_a_session_is_opened_used_and_ended(kit: Kit, server: Liar) -> None:
    tools = kit.tools(server.url)
    assert (await call(tools, Told(USER)))["output"] == "3"
    assert server.methods() == ["server/discover", *OPENING, "tools/list", "tools/call", "DELETE"]
    assert server.seen[1][1]["params"]["protocolVersion"] == "2025-11-25"
    for _, _, headers in server.seen[3:]:
        assert (headers["Mcp-Session-Id"], headers["MCP-Protocol-Version"]) == ("session-1", "2025-06-18")
    assert "Mcp-Session-Id" not in server.seen[1][2]
    await call(tools, Told(USER))
    assert server.methods().count("server/discover") == 1, "which form a server speaks is remembered"
    assert server.seen[-1][2]["Mcp-Session-Id"] == "session-2"


async def test_a_session_that_the_server_forgot_is_opened_anew(kit: Kit, server: Liar) -> None:
    async def forgetful(request: web.Request, message: dict[str, Any]) -> web.StreamResponse | Result:
        if request.headers["Mcp-Session-Id"] == "session-1":
            return web.json_response({"jsonrpc": "2.0", "id": "server-error", "error": {"code": -32600, "message": "Session not found"}}, status=404)
        return text("3")

    server.answers["tools/call"] = forgetful
    assert (await call(kit.tools(server.url), Told(USER)))["output"] == "3"
    server.answers["tools/call"] = respond(404)
    item = await call(kit.tools(server.url), Told(USER))
    assert item["error"]["code"] == 404
    assert server.methods().count("tools/call") == 4, "it is tried once more, not for ever"


async def test_a_stream_that_ends_early_is_taken_up_where_it_ended(kit: Kit, server: Liar) -> None:
    server.answers["tools/call"] = stream(b"id: e-1\nretry: 10\ndata:\n\n")
    places = []

    async def rest(request: web.Request, message: dict[str, Any]) -> web.StreamResponse:
        places.append((request.headers["Last-Event-ID"], request.headers["Mcp-Session-Id"]))
        number = next(message["id"] for method, message, _ in server.seen if method == "tools/call")
        if len(places) < 3:
            return web.Response(body=f"id: e-{len(places) + 1}\ndata:\n\n".encode(), content_type="text/event-stream")
        body = b'data: {"jsonrpc": "2.0", "id": %d, "result": {"content": [{"type": "text", "text": "at last"}]}}\n\n' % number
        return web.Response(body=body, content_type="text/event-stream")

    server.answers["GET"] = rest
    assert (await call(kit.tools(server.url), Told(USER)))["output"] == "at last"
    assert places == [("e-1", "session-1"), ("e-2", "session-1"), ("e-3", "session-1")]
    server.answers["GET"] = stream(b"id: again\ndata:\n\n")
    item = await call(kit.tools(server.url, timeout=30), Told(USER))
    assert "before it was complete" in item["error"]["message"]
    server.answers["GET"] = respond(405)
    assert (await call(kit.tools(server.url), Told(USER)))["error"]["code"] == 405


async def test_the_server_is_told_when_nobody_waits_any_longer(kit: Kit, server: Liar) -> None:
    begun = asyncio.Event()

    async def hang(request: web.Request, message: dict[str, Any]) -> web.StreamResponse:
        begun.set()
        await asyncio.sleep(60)
        raise AssertionError

    server.answers |= {"tools/call": hang, "notifications/cancelled": respond(202, b"")}
    tools, turn = kit.tools(server.url), Told(USER)
    await tools.offer(SPEC, turn)
    calling = asyncio.create_task(tools.call(SPEC, "home__add", "{}", turn))
    await begun.wait()
    calling.cancel()
    with pytest.raises(asyncio.CancelledError):
        await calling
    await tools.finish(turn)
    number = next(message["id"] for method, message, _ in server.seen if method == "tools/call")
    told = next(message for method, message, _ in server.seen if method == "notifications/cancelled")
    assert told["params"] == {"requestId": number}
    assert server.methods()[-1] == "DELETE"


async def test_a_server_that_does_not_take_a_farewell_holds_nobody_up(kit: Kit, server: Liar) -> None:
    for behaviour in (respond(405), stream(end=False)):
        server.answers["DELETE"] = behaviour
        assert (await asyncio.wait_for(call(kit.tools(server.url), Told(USER)), 10))["output"] == "3"


@pytest.mark.parametrize(
    "probe",
    [
        respond(400),
        respond(404, b"<html>", "text/html"),
        respond(405),
        respond(500),
        respond(200, b"{}"),
        {"x": 1},
        {"supportedVersions": ["2025-11-25"]},
    ],
)
async def test_whatever_an_older_server_answers_to_the_newest_form_it_is_asked_in_its_own(kit: Kit, server: Liar, probe: Any) -> None:
    server.answers["server/discover"] = probe
    assert (await call(kit.tools(server.url), Told(USER)))["output"] == "3"


@pytest.mark.parametrize(
    ("initialize", "says"),
    [
        ({"protocolVersion": "2099-01-01"}, "not known here"),
        ({}, "not known here"),
        (respond(500), "status 500"),
        (respond(200, AGREED, **{"Mcp-Session-Id": "a b"}), "named its session"),
        (respond(200, AGREED, **{"Mcp-Session-Id": "x" * 2000}), "named its session"),
    ],
)
async def test_a_handshake_that_fails_is_explained(kit: Kit, server: Liar, initialize: Any, says: str) -> None:
    server.answers["initialize"] = initialize
    with pytest.raises(Unavailable, match=says):
        await kit.tools(server.url).offer(SPEC, Told(USER))


async def test_a_newer_server_than_is_known_is_named(kit: Kit, server: Liar) -> None:
    error = b'{"jsonrpc": "2.0", "id": ID, "error": {"code": -32022, "message": "Unsupported", "data": {"supported": ["2031-01-01"]}}}'
    server.answers["server/discover"] = respond(400, error)
    with pytest.raises(Unavailable, match="Unsupported"):
        await kit.tools(server.url).offer(SPEC, Told(USER))
    assert "initialize" not in server.methods()


async def test_nobody_there_is_said_at_once(kit: Kit, server: Liar) -> None:
    tools = kit.tools("http://127.0.0.1:1/mcp")
    with pytest.raises(Unavailable, match="cannot be reached"):
        await tools.offer(SPEC, Told(USER))


async def test_a_server_that_changed_its_form_is_asked_again(kit: Kit, server: Liar) -> None:
    tools = kit.tools(server.url)
    await call(tools, Told(USER))
    error = b'{"jsonrpc": "2.0", "id": ID, "error": {"code": -32022, "message": "Unsupported", "data": {"supported": ["2026-07-28"]}}}'
    server.answers |= {"initialize": respond(400, error), "server/discover": {"supportedVersions": ["2026-07-28"]}}
    assert (await call(tools, Told(USER)))["output"] == "3"
