"""The loop of model and tools, with the fake engine and a tool made for it: what is offered, called, told, bounded and ended."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import event as listening

from hausgeist.app import App, build
from hausgeist.conversations.responses import Responses, history, keeping
from hausgeist.conversations.responses.ask import Ask
from hausgeist.conversations.responses.output import Output
from hausgeist.conversations.responses.run import Run
from hausgeist.conversations.responses.runner import Runner
from hausgeist.conversations.responses.sealing import Seal
from hausgeist.errors import Busy, ContextExceeded, InvalidRequest, Locked, NotAuthenticated, NotFound, Unavailable
from hausgeist.gateway.openai.responses import complete
from hausgeist.identity import LOCAL_OWNER, Origin, Principal
from hausgeist.settings import load_settings
from hausgeist.tools import Function, Turn
from tests.contract.strictness import strictly_event

WHO, ORIGIN = LOCAL_OWNER, Origin("127.0.0.1")
SPEC = {"type": "mcp", "server_label": "clocks"}


class Clocks:
    """A tool with two functions; a call that says "no" has to be approved, one that says "slow" takes long."""

    kind = "mcp"

    def __init__(self) -> None:
        self.calls: list[tuple[str, str]] = []
        self.cancelled = False
        self.finished = 0

    def check(self, spec: Mapping[str, Any], param: str) -> Mapping[str, Any]:
        return spec

    def shown(self, spec: Mapping[str, Any]) -> Mapping[str, Any]:
        return spec

    async def offer(self, spec: Mapping[str, Any], turn: Turn) -> Sequence[Function]:
        entry = turn.add({"type": "mcp_list_tools", "server_label": spec["server_label"], "tools": []})
        entry.tell("response.mcp_list_tools.in_progress")
        entry.body["tools"] = [{"name": name, "input_schema": {"type": "object"}} for name in ("time", "zone")]
        entry.tell("response.mcp_list_tools.completed")
        entry.done()
        return [Function(name="time"), Function(name="zone")]

    async def finish(self, turn: Turn) -> None:
        self.finished += 1

    async def call(self, spec: Mapping[str, Any], function: str, arguments: str, turn: Turn) -> bool:
        self.calls.append((function, arguments))
        label = spec["server_label"]
        if "no" in arguments:
            turn.add({"type": "mcp_approval_request", "server_label": label, "name": function, "arguments": arguments}).done()
            return False
        entry = turn.add({"type": "mcp_call", "server_label": label, "name": function, "arguments": arguments, "status": "in_progress"})
        entry.tell("response.mcp_call.in_progress")
        try:
            await asyncio.sleep(30 if "slow" in arguments else 0)
        except asyncio.CancelledError:
            self.cancelled = True
            raise
        entry.body |= {"output": f"{function} is known", "status": "completed"}
        entry.tell("response.mcp_call.completed")
        entry.done()
        return True


@pytest.fixture
async def app(tmp_path: Path) -> AsyncIterator[App]:
    app = build(load_settings(home=tmp_path / "home", fake=True, guide=False))
    await app.start()
    yield app
    await app.stop(drain=0)


@pytest.fixture
def clocks() -> Clocks:
    return Clocks()


@pytest.fixture
async def responses(app: App, clocks: Clocks) -> AsyncIterator[Responses]:
    seal = Seal(app.database)
    made = Responses(app.database, Runner(door=app.door, complete=complete, seal=seal, tools=[clocks], most_turns=4), seal, seconds=20)
    yield made
    await made.stop()


def says(text: str, number: int = 0) -> dict[str, Any]:
    return {"type": "message", "id": f"msg_{number}", "role": "user", "status": "completed", "content": [{"type": "input_text", "text": text}]}


def ask(text: str, **more: Any) -> Ask:
    shown = {
        "metadata": {}, "parallel_tool_calls": True, "temperature": None, "tool_choice": "auto", "tools": [], "top_p": None,
    }  # fmt: skip
    return Ask(**{"model": "fake:obeys", "input": [says(text)], "shown": shown, **more})


async def told(responses: Responses, wish: Ask) -> list[dict[str, Any]]:
    run = await responses.create(WHO, wish, ORIGIN)
    found = [json.loads(block.split("\ndata: ")[1]) async for chunk in run.follow() for block in chunk.decode().split("\n\n") if block]
    for event in found:
        strictly_event(event)
    assert [event["sequence_number"] for event in found] == list(range(len(found)))
    return found


async def test_a_tool_is_called_and_the_model_goes_on(responses: Responses, clocks: Clocks) -> None:
    events = await told(responses, ask('call time {"at": "Bonn"}', tools=[SPEC]))
    output = events[-1]["response"]["output"]
    assert [item["type"] for item in output] == ["mcp_list_tools", "mcp_call", "message"]
    assert output[2]["content"][0]["text"] == "time is known"
    assert clocks.calls == [("time", '{"at": "Bonn"}')]
    kinds = [event["type"].removeprefix("response.") for event in events]
    assert kinds[:6] == ["created", "in_progress", "output_item.added", "mcp_list_tools.in_progress", "mcp_list_tools.completed", "output_item.done"]
    assert kinds[6:10] == ["output_item.added", "mcp_call.in_progress", "mcp_call.completed", "output_item.done"]
    # Both answers of the model are counted.
    assert events[-1]["response"]["usage"]["output_tokens"] > 3


async def test_calls_beside_one_another(responses: Responses, clocks: Clocks) -> None:
    events = await told(responses, ask("call time {}\ncall zone {}", tools=[SPEC]))
    assert [item["type"] for item in events[-1]["response"]["output"]] == ["mcp_list_tools", "mcp_call", "mcp_call", "message"]
    assert [name for name, _ in clocks.calls] == ["time", "zone"]


async def test_a_function_of_the_client_ends_the_turn(responses: Responses, clocks: Clocks) -> None:
    function = {"type": "function", "function": {"name": "mine", "description": "", "parameters": {"type": "object", "properties": {}}}}
    wish = ask("call time {}\ncall mine {}", tools=[SPEC], body={"tools": [function]})
    output = (await told(responses, wish))[-1]["response"]["output"]
    assert [item["type"] for item in output] == ["mcp_list_tools", "function_call", "mcp_call"]
    assert clocks.calls == [("time", "{}")]
    clash = {"type": "function", "function": {**function["function"], "name": "time"}}
    (failed,) = [event for event in await told(responses, ask("x", tools=[SPEC], body={"tools": [clash]})) if event["type"] == "response.failed"]
    assert "Two tools" in failed["response"]["error"]["message"]


async def test_a_call_that_has_to_be_approved_ends_the_turn(responses: Responses) -> None:
    output = (await told(responses, ask('call time {"say": "no"}', tools=[SPEC])))[-1]["response"]["output"]
    assert [item["type"] for item in output] == ["mcp_list_tools", "mcp_approval_request"]


async def test_tools_are_bounded(responses: Responses, clocks: Clocks, tmp_path: Path, app: App) -> None:
    script = app.settings.home / "fake" / "forever.jsonl"
    script.parent.mkdir()
    script.write_text('{"tool_calls": [{"name": "time", "arguments": {}}]}\n')
    events = await told(responses, ask("x", model="fake:forever.jsonl", tools=[SPEC]))
    # Asked for the last time, the model is offered nothing; what it calls all the same is no call of a tool here.
    assert (len(clocks.calls), clocks.finished) == (3, 1)
    assert events[-1]["response"]["status"] == "completed"
    clocks.calls.clear()
    await told(responses, ask("call time {}\ncall zone {}", tools=[SPEC], max_tool_calls=1))
    assert len(clocks.calls) == 1


async def test_the_choice_among_tools(responses: Responses, clocks: Clocks) -> None:
    await told(responses, ask("say nothing", tools=[SPEC], choice={"type": "mcp", "server_label": "clocks", "name": "zone"}))
    assert [name for name, _ in clocks.calls] == ["zone"]
    clocks.calls.clear()
    await told(responses, ask("call time {}", tools=[SPEC], choice="none"))
    assert clocks.calls == []


async def test_cancelled_while_a_tool_works(responses: Responses, clocks: Clocks) -> None:
    run = await responses.create(WHO, ask('call time {"how": "slow"}', tools=[SPEC], background=True), ORIGIN)
    while not clocks.calls:
        await asyncio.sleep(0.01)
    found = await responses.cancel(WHO, run.id)
    assert clocks.cancelled
    assert found.response["status"] == "cancelled"
    assert [(item["type"], item.get("status")) for item in found.response["output"]] == [("mcp_list_tools", None), ("mcp_call", "incomplete")]


async def test_time_is_bounded(app: App) -> None:
    seal = Seal(app.database)
    hasty = Responses(app.database, Runner(door=app.door, complete=complete, seal=seal), seal, seconds=0.3)
    run = await hasty.create(WHO, ask("say one two\nwait 60\nsay three"), ORIGIN)
    response = await run.result()
    assert response["status"] == "failed"
    assert "response_seconds" in response["error"]["message"]
    assert response["output"][0]["content"][0]["text"] == "one two"
    assert hasty.get(WHO, run.id).response == response
    await hasty.stop()


async def test_tokens_are_bounded(app: App) -> None:
    seal = Seal(app.database)
    short = Responses(app.database, Runner(door=app.door, complete=complete, seal=seal, most_tokens=7), seal)
    response = await (await short.create(WHO, ask("length 50"), ORIGIN)).result()
    assert (response["status"], response["usage"]["output_tokens"]) == ("incomplete", 7)
    await short.stop()


async def test_a_run_of_another_process(app: App, responses: Responses) -> None:
    """Two processes with one home: one follows, cancels and awaits what the other makes."""
    seal = Seal(app.database)
    other = Responses(app.database, Runner(door=app.door, complete=complete, seal=seal), seal)
    run = await responses.create(WHO, ask("count 40", model="fake:obeys@100", background=True), ORIGIN)
    await other.start()
    assert run.id not in other._running
    chunks = [chunk async for chunk in other.events(WHO, run.id)]
    assert b"response.completed" in chunks[-1]
    assert other.get(WHO, run.id).response == responses.get(WHO, run.id).response
    run = await responses.create(WHO, ask("count 4000", model="fake:obeys@100", background=True), ORIGIN)
    while not run.output.said:
        await asyncio.sleep(0.01)
    assert (await other.cancel(WHO, run.id)).response["status"] == "cancelled"
    await other.stop()


async def test_a_conversation_is_locked_for_all_processes(app: App, responses: Responses) -> None:
    seal = Seal(app.database)
    other = Responses(app.database, Runner(door=app.door, complete=complete, seal=seal), seal)
    conversation = await app.conversations.create(WHO)
    run = await responses.create(WHO, ask("wait 60", background=True, conversation=conversation.id), ORIGIN)
    for one in (responses, other):
        with pytest.raises(Locked):
            await one.create(WHO, ask("x", conversation=conversation.id), ORIGIN)
    await responses.delete(WHO, run.id)
    await (await other.create(WHO, ask("say x", conversation=conversation.id, input=[says("say x", 2)]), ORIGIN)).result()
    await other.stop()


async def test_who_may_not_ask_any_more(app: App) -> None:
    seal = Seal(app.database)
    gone = False

    def still(who: Principal) -> Principal:
        if gone:
            raise NotAuthenticated
        return who

    notified: list[tuple[str, str, str]] = []

    async def notify(project: str, kind: str, response: str) -> None:
        notified.append((project, kind, response))

    responses = Responses(app.database, Runner(door=app.door, complete=complete, seal=seal), seal, still=still, notify=notify)
    run = await responses.create(WHO, ask("say x", background=True), ORIGIN)
    await run.over()
    gone = True
    late = await responses.create(WHO, ask("say x", background=True), ORIGIN)
    await late.over()
    assert responses.get(WHO, late.id).response["status"] == "failed"
    gone = False
    # Also of somebody who waits for it, and of what is not kept.
    waited = await responses.create(WHO, ask("count 4000", model="fake:obeys@100", store=False), ORIGIN)
    following = asyncio.ensure_future(waited.result())
    while not waited.output.said:
        await asyncio.sleep(0.01)
    gone = True
    assert (await asyncio.wait_for(following, 10))["status"] == "failed"
    await responses.stop()
    assert notified == [("default", "response.completed", run.id), ("default", "response.failed", late.id)]


async def test_a_conversation_deleted_meanwhile(app: App, responses: Responses) -> None:
    conversation = await app.conversations.create(WHO)
    run = await responses.create(WHO, ask("count 4000", model="fake:obeys@100", conversation=conversation.id), ORIGIN)
    follower = asyncio.ensure_future(run.result())
    while not run.kept:
        await asyncio.sleep(0.01)
    await app.conversations.delete(WHO, conversation.id)
    run.stop("cancel")
    assert (await follower)["status"] == "cancelled"


async def test_what_waits_is_bounded(responses: Responses, monkeypatch: pytest.MonkeyPatch) -> None:
    """In number, also of those that come at once; and in what they hold in memory."""
    monkeypatch.setattr("hausgeist.conversations.responses.service._MOST_WAITING", 3)
    wishes = [ask("wait 60", background=True, input=[says("wait 60", number)]) for number in range(8)]
    begun = await asyncio.gather(*(responses.create(WHO, wish, ORIGIN) for wish in wishes), return_exceptions=True)
    made = [one for one in begun if isinstance(one, Run)]
    assert len(made) == 3
    assert all(isinstance(one, Busy) for one in begun if one not in made)
    for run in made[1:]:
        await responses.delete(WHO, run.id)
    monkeypatch.setattr("hausgeist.conversations.responses.service._MOST_WAITING_TEXT", 1000)
    with pytest.raises(Busy, match="large"):
        await responses.create(WHO, ask("x" * 1001, background=True), ORIGIN)
    assert (await (await responses.create(WHO, ask(f"say k\n{'x' * 1001}"), ORIGIN)).result())["status"] == "completed"
    await responses.delete(WHO, made[0].id)


async def test_what_cannot_be_begun(responses: Responses) -> None:
    with pytest.raises(NotFound):
        await responses.create(WHO, ask("x", previous="resp_nothing"), ORIGIN)
    with pytest.raises(NotFound):
        await responses.create(WHO, ask("x", conversation="conv_nothing"), ORIGIN)
    with pytest.raises(InvalidRequest, match="No tool call found"):
        await responses.create(WHO, ask("x", input=[{"type": "function_call_output", "id": "f", "call_id": "c", "output": ""}]), ORIGIN)
    with pytest.raises(ContextExceeded):
        await (await responses.create(WHO, ask("x " * 6000), ORIGIN)).result()
    responses.closing()
    with pytest.raises(Unavailable):
        await responses.create(WHO, ask("x"), ORIGIN)


async def test_nothing_is_looked_for_among_all_responses(app: App) -> None:
    """Who looks for what is being made reads no row of what is not."""
    plans: list[str] = []

    def explain(connection: Any) -> None:
        @listening.listens_for(connection, "before_cursor_execute")
        def note(connection: Any, cursor: Any, statement: str, parameters: Any, context: Any, executemany: bool) -> None:
            if statement.lstrip().startswith(("SELECT", "WITH")):
                plan = connection.connection.driver_connection.execute("EXPLAIN QUERY PLAN " + statement, parameters)
                plans.extend(str(row[3]) for row in plan)

        keeping.orphans(connection)
        keeping.find_busy(connection, "conv_x")
        keeping.events_of(connection, "resp_x", 5)
        history.chained(connection, WHO, "resp_x")
        history.referred(connection, WHO, [])

    with pytest.raises(NotFound):
        app.database.read(explain)
    assert plans
    assert not [plan for plan in plans if plan.startswith("SCAN") and plan != "SCAN chain"], plans


async def test_halves_of_characters(app: App, responses: Responses) -> None:
    script = app.settings.home / "fake" / "half.jsonl"
    script.parent.mkdir()
    script.write_text('{"content": "a \\ud83d b", "reasoning_content": "\\udc00"}\n')
    run = await responses.create(WHO, ask("x", model="fake:half.jsonl"), ORIGIN)
    await run.result()
    assert responses.get(WHO, run.id).response["status"] == "completed"
    output = Output(lambda kind, fields: None)
    output.feed({"content": "a \ud83d b"})
    output.feed({"tool_calls": [{"index": 0, "id": "\udc00", "function": {"name": "f\udc00", "arguments": "\udc00"}}]})
    output.close(whole=True)
    json.dumps(output.items, ensure_ascii=False).encode()
