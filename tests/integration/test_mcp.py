"""The tool of type "mcp" against a real server, by the protocol's official package, in each of its ways to answer."""

from __future__ import annotations

import asyncio
import itertools
import json
import time
from collections.abc import AsyncIterator, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from hausgeist.conversations.content import messages_of
from hausgeist.conversations.mcp.offers import Offer, function_of
from hausgeist.conversations.mcp.spec import Spec
from hausgeist.engines.specimen import write_specimen
from hausgeist.errors import Unavailable
from hausgeist.gateway.openai.schemas import check_schema
from tests.contract.conftest import Live
from tests.mcp_liar import USER, Kit
from tests.mcp_server import McpServer
from tests.turn import Told

WAYS: list[dict[str, Any]] = [
    {"era": "bare"}, {"era": "bare", "as_json": True}, {"era": "handshake"}, {"era": "handshake", "as_json": True},
    {"era": "handshake", "stateless": True},
]  # fmt: skip
SPEC = {"type": "mcp", "server_label": "home", "require_approval": "never"}


@pytest.fixture
async def kit(tmp_path: Path) -> AsyncIterator[Kit]:
    kit = Kit(tmp_path)
    yield kit
    await kit.close()


async def call(tools: Any, turn: Told, name: str, arguments: str) -> dict[str, Any]:
    await tools.call(SPEC, f"home__{name}", arguments, turn)
    return turn.output[-1]


@pytest.mark.parametrize("way", WAYS, ids=lambda way: " ".join(map(str, way.values())))
async def test_tools_of_a_real_server_are_listed_and_called(kit: Kit, way: dict[str, Any]) -> None:
    with McpServer(**way) as server:
        tools, turn = kit.tools(server.url, result_limit=1000), Told(USER)
        functions = {one.name: one for one in await tools.offer(SPEC, turn)}
        assert functions["home__add"].description == "Add two numbers."
        assert functions["home__add"].parameters["required"] == ["a", "b"]
        assert turn.output[0]["tools"][0]["annotations"] == {"readOnlyHint": True}
        assert (await call(tools, turn, "add", '{"a": 19, "b": 23}'))["output"] == "42"
        assert [(await call(tools, turn, "note", '{"text": "milk"}'))["output"] for _ in range(2)] == ["note 1: milk", "note 2: milk"]
        assert (await call(tools, turn, "wait", '{"seconds": 0.3}'))["output"] == "waited"
        failed = await call(tools, turn, "fail", '{"why": "no milk"}')
        assert (failed["status"], failed["error"]["type"]) == ("failed", "mcp_tool_execution_error")
        assert "no milk" in messages_of(turn.items)[-1]["content"]
        wrong = await call(tools, turn, "add", '{"a": "one"}')
        assert "valid integer" in wrong["error"]["content"][0]["text"]
        asked = await call(tools, turn, "ask", "{}")
        assert asked["status"] == "failed"
        long = await call(tools, turn, "long", '{"characters": 300000}')
        assert long["output"].endswith("300,000 characters, of which 1,000 are kept.]")
        await tools.finish(turn)
        sessions = {one["headers"].get("mcp-session-id") for one in server.seen()} - {None}
        assert len(sessions) == (1 if way["era"] == "handshake" and not way.get("stateless") else 0)
        assert bool(sessions) == any(one["http"] == "DELETE" for one in server.seen())


KEYWORDS = (
    *("properties", "required", "items", "prefixItems", "enum", "const", "anyOf", "oneOf", "allOf", "type", "additionalProperties", "pattern"),
    *("minLength", "maxLength", "minItems", "maxItems", "minimum", "maximum", "exclusiveMinimum", "format", "$defs", "$ref", "description", "not"),
)
NONSENSE = ("x", [1], {"a": 1}, None, True, -1)


def malformed() -> Iterator[dict[str, Any]]:
    """Schemas in which one keyword has a value that is not its own, at the root and within."""
    for keyword, value in itertools.product(KEYWORDS, NONSENSE):
        yield {"type": "object", "properties": {"p": {"type": "string", keyword: value}, "q": {"type": "array", keyword: value}}, keyword: value}


def test_the_engine_takes_what_was_made_of_malformed_schemas(tmp_path: Path) -> None:
    check = partial(check_schema, param="tools", strict=False)
    spec = Spec(type="mcp", server_label="home")
    made = [function_of(Offer(name="t", description="", schema=schema, annotations={}), spec, check).parameters for schema in malformed()]
    distinct = list({json.dumps(one): one for one in made}.values())
    assert len(distinct) > 20
    live = Live(tmp_path / "home", files=[write_specimen(tmp_path / "tiny.gguf")])
    live.start()
    try:
        client = live.openai()
        for first in range(0, len(distinct), 25):
            some = enumerate(distinct[first : first + 25])
            tools: Any = [{"type": "function", "function": {"name": f"t{number}", "parameters": dict(one)}} for number, one in some]
            client.chat.completions.create(
                model="tiny", messages=[{"role": "user", "content": "hi"}], tools=tools, tool_choice="required", max_tokens=4
            )
    finally:
        live.stop()


@pytest.mark.parametrize("era", ["bare", "handshake"])
async def test_a_call_that_takes_too_long_is_given_up_and_the_server_goes_on(kit: Kit, era: Any) -> None:
    with McpServer(era=era) as server:
        tools, turn = kit.tools(server.url, timeout=2), Told(USER)
        await tools.offer(SPEC, turn)
        started = time.monotonic()
        assert (await call(tools, turn, "wait", '{"seconds": 60}'))["error"]["code"] == 504
        assert time.monotonic() - started < 10
        assert (await call(tools, turn, "add", '{"a": 1, "b": 2}'))["output"] == "3"
        together = await asyncio.gather(*(tools.call(SPEC, "home__add", f'{{"a": {n}, "b": 0}}', turn) for n in range(8)))
        assert together == [True] * 8
        assert sorted(item["output"] for item in turn.output[-8:]) == [str(n) for n in range(8)]


async def test_a_real_server_that_wants_a_token(kit: Kit) -> None:
    with McpServer(token="s3cr3t") as server:
        with pytest.raises(Unavailable, match=r"status 401.*mcp\.NAME\.key"):
            await kit.tools(server.url).offer(SPEC, Told(USER))
        for tools, spec in ((kit.tools(server.url), {**SPEC, "authorization": "s3cr3t"}), (kit.tools(server.url, key="s3cr3t"), SPEC)):
            turn = Told(USER)
            await tools.offer(tools.check(spec, "tools.0"), turn)
            assert (await call(tools, turn, "add", '{"a": 1, "b": 2}'))["output"] == "3"
            await tools.finish(turn)


async def test_a_server_that_dies_fails_the_call_and_comes_back(kit: Kit) -> None:
    with McpServer() as server:
        tools, turn = kit.tools(server.url), Told(USER)
        await tools.offer(SPEC, turn)
        calling = asyncio.create_task(call(tools, turn, "wait", '{"seconds": 60}'))
        await asyncio.sleep(1)
        server.__exit__()
        item = await asyncio.wait_for(calling, 30)
        assert (item["error"]["type"], item["error"]["code"]) == ("http_error", 502)
        await tools.finish(turn)
