"""Responses through the official SDK, against a running server: events, chains, conversations, the background, what is refused."""

from __future__ import annotations

import asyncio
import base64
import io
import json
import re
import time
from collections.abc import Iterator
from typing import Any, Literal

import httpx
import openai
import pytest
from openai.lib.streaming.responses import ResponseTextDeltaEvent
from openai.types.responses import CompactedResponse, Response, ResponseItemList
from pydantic import BaseModel

from hausgeist.conversations.responses.keeping import rebuilt
from tests.contract.conftest import Live
from tests.contract.strictness import strictly, strictly_event

OBEYS = "fake:obeys"
WEATHER: Any = {
    "type": "function", "name": "weather", "description": "The weather.", "strict": True,
    "parameters": {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"], "additionalProperties": False},
}  # fmt: skip


class Colour(BaseModel):
    name: Literal["red", "blue"]
    strong: bool


def picture() -> str:
    from PIL import Image

    body = io.BytesIO()
    Image.new("RGB", (8, 6), "red").save(body, "PNG")
    return "data:image/png;base64," + base64.b64encode(body.getvalue()).decode()


@pytest.fixture
def client(live: Live) -> openai.OpenAI:
    return live.openai()


@pytest.fixture
def raw(live: Live) -> Iterator[httpx.Client]:
    with httpx.Client(base_url=f"{live.url}/v1", timeout=60) as client:
        yield client


def events_of(raw: httpx.Client, method: str = "POST", path: str = "/responses", **body: Any) -> list[dict[str, Any]]:
    """Every event of a stream, strictly as the SDK has it, numbered without a gap."""
    with raw.stream(method, path, json={**body, "stream": True} if method == "POST" else None) as answer:
        assert answer.status_code == 200, answer.read()
        assert answer.headers["content-type"].startswith("text/event-stream")
        found = []
        for block in "".join(answer.iter_text()).split("\n\n"):
            if block:
                name, data = block.split("\n", 1)
                event = json.loads(data.removeprefix("data: "))
                assert name == f"event: {event['type']}"
                strictly_event(event)
                found.append(event)
    numbers = [event["sequence_number"] for event in found]
    assert numbers == list(range(numbers[0], numbers[0] + len(numbers)))
    return found


ASKED: list[dict[str, Any]] = [
    {"input": "think hm then say hello there"},
    {"input": "say a\nwait 0\nsay b", "instructions": "be brief", "temperature": 0.5, "top_p": 0.9, "metadata": {"a": "b"}, "user": "ada"},
    {"input": "length 40", "max_output_tokens": 5},
    {"input": "call weather", "tools": [WEATHER]},
    {"input": 'call weather {"city": "Bonn"}\ncall weather {"city": "Rome"}', "tools": [WEATHER], "tool_choice": "required"},
    {"input": "say a b", "include": ["message.output_text.logprobs"], "top_logprobs": 3},
    {"input": "think deep then say x", "include": ["reasoning.encrypted_content"], "reasoning": {"effort": "low", "summary": "auto"}},
    {"input": "say one\nfail 500 it broke"},
    {"input": "stop", "text": {"format": {"type": "json_schema", "name": "c", "schema": Colour.model_json_schema()}}},
    {"input": [{"role": "developer", "content": "d"}, {"role": "user", "content": [{"type": "input_text", "text": "say k"}]}], "store": False},
    {"input": "say k", "truncation": "auto", "service_tier": "auto", "prompt_cache_key": "k", "safety_identifier": "s", "max_tool_calls": 3},
    {"input": "count 3", "background": True},
]  # fmt: skip


@pytest.mark.parametrize("body", ASKED, ids=lambda body: str(body["input"])[:30])
def test_everything_is_as_the_sdk_has_it(raw: httpx.Client, body: dict[str, Any]) -> None:
    events = events_of(raw, model=OBEYS, **body)
    assert events[0]["type"] == "response.created"
    last = events[-1]["response"]
    assert last["status"] in ("completed", "incomplete", "failed")
    # What the stream told of piece by piece is what the response holds in the end.
    blocks = [f"event: {event['type']}\ndata: {json.dumps(event)}".encode() for event in events]
    assert rebuilt(blocks) == last["output"]
    assert [item["status"] for item in rebuilt(blocks[:-2]) if "status" in item][:-1] == [
        item["status"] for item in last["output"] if "status" in item
    ][:-1]
    whole = raw.post("/responses", json={**body, "model": OBEYS}).json()
    strictly(Response, whole)
    assert set(whole) == set(last)
    assert [item["type"] for item in whole["output"]] == ([item["type"] for item in last["output"]] if not body.get("background") else [])
    if body.get("store") is not False:
        kept = raw.get(f"/responses/{last['id']}").json()
        strictly(Response, kept)
        assert {**kept, "output": None} == {**last, "output": None}
        strictly(ResponseItemList, raw.get(f"/responses/{last['id']}/input_items").json())


def test_the_shape_of_an_answer(client: openai.OpenAI) -> None:
    answer = client.responses.create(model=OBEYS, input="think hm then say hello there")
    assert answer.output_text == "hello there"
    assert [item.type for item in answer.output] == ["reasoning", "message"]
    assert answer.usage is not None
    assert answer.usage.total_tokens == answer.usage.input_tokens + answer.usage.output_tokens
    assert answer.usage.output_tokens == 3
    cut = client.responses.create(model=OBEYS, input="length 40", max_output_tokens=5)
    assert (cut.status, cut.incomplete_details and cut.incomplete_details.reason) == ("incomplete", "max_output_tokens")
    assert cut.output[0].status == "incomplete"  # type: ignore[union-attr]


def test_the_helpers_of_the_sdk(client: openai.OpenAI) -> None:
    with client.responses.stream(model=OBEYS, input="say one two") as stream:
        text = "".join(event.delta for event in stream if isinstance(event, ResponseTextDeltaEvent))
        assert text == stream.get_final_response().output_text == "one two"
    for model in (OBEYS, "tiny"):
        parsed = client.responses.parse(model=model, input="json", text_format=Colour, max_output_tokens=400, extra_body={"seed": 3})
        assert isinstance(parsed.output_parsed, Colour)
    # What `parse` adds may be sent back.
    again = client.responses.create(model=OBEYS, input=[*parsed.output, {"role": "user", "content": "say ok"}])  # type: ignore[list-item]
    assert again.output_text == "ok"


async def test_the_asynchronous_sdk(live: Live) -> None:
    async with live.async_openai() as client:
        async with client.responses.stream(model=OBEYS, input="say one two") as stream:
            assert (await stream.get_final_response()).output_text == "one two"
        answers = await asyncio.gather(*(client.responses.create(model=OBEYS, input=f"say {n}") for n in range(20)))
        assert [answer.output_text for answer in answers] == [str(n) for n in range(20)]
        assert len({answer.id for answer in answers}) == 20


def test_log_probabilities(client: openai.OpenAI) -> None:
    answer = client.responses.create(model="tiny", input="hi", max_output_tokens=4, include=["message.output_text.logprobs"], top_logprobs=2)
    (part,) = answer.output[0].content  # type: ignore[union-attr]
    assert part.type == "output_text"
    assert part.logprobs
    assert all(len(one.top_logprobs) == 2 for one in part.logprobs)
    assert not client.responses.create(model="tiny", input="hi", max_output_tokens=4).output[0].content[0].logprobs  # type: ignore[union-attr]


# What goes on


def test_responses_follow_one_another(client: openai.OpenAI) -> None:
    first = client.responses.create(model="fake:echo", input="one", instructions="not carried on")
    second = client.responses.create(model="fake:echo", input="two", previous_response_id=first.id)
    counted = client.responses.input_tokens.count(model="fake:echo", input="three", previous_response_id=second.id)
    alone = client.responses.input_tokens.count(model="fake:echo", input="three")
    assert counted.input_tokens > alone.input_tokens
    branch = client.responses.create(model="fake:echo", input="other", previous_response_id=first.id)
    assert branch.previous_response_id == first.id
    assert branch.usage is not None
    assert second.usage is not None
    assert branch.usage.input_tokens == second.usage.input_tokens
    client.responses.delete(first.id)
    with pytest.raises(openai.NotFoundError, match="was deleted"):
        client.responses.create(model="fake:echo", input="x", previous_response_id=second.id)


def test_what_is_not_stored_is_nowhere(client: openai.OpenAI, live: Live) -> None:
    secret = "neverwrittendown"
    answer = client.responses.create(model="fake:echo", input=secret, store=False)
    assert secret in answer.output_text
    for what in (client.responses.retrieve, client.responses.delete, client.responses.cancel):
        with pytest.raises(openai.NotFoundError):
            what(answer.id)
    with pytest.raises(openai.NotFoundError):
        client.responses.create(model="fake:echo", input="x", previous_response_id=answer.id)
    held = b"".join(file.read_bytes() for file in live.home.rglob("hausgeist.db*"))
    assert secret.encode() not in held


def test_functions_of_the_client(client: openai.OpenAI) -> None:
    answer = client.responses.create(model=OBEYS, input='call weather {"city": "Bonn"}', tools=[WEATHER])
    (call,) = answer.output
    assert call.type == "function_call"
    assert (call.name, json.loads(call.arguments), call.status) == ("weather", {"city": "Bonn"}, "completed")
    with pytest.raises(openai.BadRequestError, match="No tool output found"):
        client.responses.create(model=OBEYS, input="so?", previous_response_id=answer.id)
    with pytest.raises(openai.BadRequestError, match="No tool call found"):
        client.responses.create(model=OBEYS, input=[{"type": "function_call_output", "call_id": "call_x", "output": "?"}])
    output: Any = {"type": "function_call_output", "call_id": call.call_id, "output": "sunny"}
    after = client.responses.create(model=OBEYS, input=[output], previous_response_id=answer.id, tools=[WEATHER])
    assert after.output_text == "sunny"
    # The same without anything kept: the client sends it all.
    items: Any = [{"role": "user", "content": 'call weather {"city": "Bonn"}'}, *answer.output, output]
    assert client.responses.create(model=OBEYS, input=items, tools=[WEATHER], store=False).output_text == "sunny"


def test_items_named_by_their_ids(client: openai.OpenAI) -> None:
    first = client.responses.create(model=OBEYS, input="say hello")
    conversation = client.conversations.create(items=[{"role": "user", "content": "from a conversation"}])
    (kept,) = client.conversations.items.list(conversation.id)
    items: Any = [
        {"type": "item_reference", "id": first.output[0].id},
        {"id": kept.id},
        {"role": "user", "content": "say bye"},
    ]
    answer = client.responses.create(model=OBEYS, input=items)
    assert answer.output_text == "bye"
    assert [item.id for item in client.responses.input_items.list(answer.id, order="asc")][:2] == [first.output[0].id, kept.id]
    with pytest.raises(openai.NotFoundError, match="no item"):
        client.responses.create(model=OBEYS, input=[{"type": "item_reference", "id": "msg_nothing"}])


def test_input_items_by_pages(client: openai.OpenAI) -> None:
    items: Any = [{"role": "user", "content": f"{number}"} for number in range(7)]
    answer = client.responses.create(model="fake:echo", input=items)
    listed = [item.content[0].text for item in client.responses.input_items.list(answer.id, limit=3, order="asc")]  # type: ignore[union-attr]
    assert listed == [str(number) for number in range(7)]
    page = client.responses.input_items.list(answer.id, limit=2)
    assert [item.content[0].text for item in page.data] == ["6", "5"]  # type: ignore[union-attr]
    assert page.has_more


def test_a_long_chain_and_a_long_conversation(client: openai.OpenAI) -> None:
    """200 turns each; the first words are still there, and every branch has its own past."""
    last: str | None = None
    conversation = client.conversations.create()
    chain = []
    for turn in range(200):
        answer = client.responses.create(model=OBEYS, input=f"say t{turn}", previous_response_id=last, max_output_tokens=8)
        assert answer.output_text == f"t{turn}"
        last = answer.id
        chain.append(answer)
        assert client.responses.create(model=OBEYS, input=f"say t{turn}", conversation=conversation.id).output_text == f"t{turn}"
    given = [answer.usage.input_tokens for answer in chain if answer.usage]
    assert given == sorted(given)
    assert len(set(given)) == 200
    assert sum(1 for _ in client.conversations.items.list(conversation.id, limit=100)) == 400
    branch = client.responses.create(model=OBEYS, input="say branch", previous_response_id=chain[99].id)
    assert branch.usage is not None
    assert abs(branch.usage.input_tokens - given[100]) < 5
    # A response of a conversation can be gone on with by its id as well: up to there, and no further.
    in_conversation = client.responses.create(model=OBEYS, input="say c", conversation=conversation.id)
    apart = client.responses.create(model=OBEYS, input="say d", previous_response_id=in_conversation.id)
    assert apart.usage is not None
    assert in_conversation.usage is not None
    assert apart.usage.input_tokens > in_conversation.usage.input_tokens
    assert sum(1 for _ in client.conversations.items.list(conversation.id, limit=100)) == 402


# In the background


def test_in_the_background(client: openai.OpenAI, raw: httpx.Client) -> None:
    begun = client.responses.create(model=f"{OBEYS}@60", input="count 30", background=True)
    assert begun.status == "queued"
    live_events = list(client.responses.retrieve(begun.id, stream=True))
    assert live_events[-1].type == "response.completed"
    assert client.responses.retrieve(begun.id).output_text == " ".join(str(n) for n in range(1, 31))
    # Again from what was written down, and from the middle.
    for after in (-1, 0, 17, len(live_events) - 2):
        path = f"/responses/{begun.id}?stream=true" + (f"&starting_after={after}" if after >= 0 else "")
        assert [event["sequence_number"] for event in events_of(raw, "GET", path)] == list(range(after + 1, len(live_events)))
    assert client.responses.cancel(begun.id).status == "completed"


def test_a_background_stream_goes_on_without_its_client(client: openai.OpenAI) -> None:
    stream = client.responses.create(model=f"{OBEYS}@100", input="count 40", background=True, stream=True)
    seen = [next(iter(stream)) for _ in range(8)]
    response = seen[0].response.id  # type: ignore[union-attr]
    stream.close()
    rest = list(client.responses.retrieve(response, stream=True, starting_after=seen[-1].sequence_number))
    assert rest[0].sequence_number == seen[-1].sequence_number + 1
    assert rest[-1].type == "response.completed"


def test_cancelled_in_the_middle(client: openai.OpenAI) -> None:
    begun = client.responses.create(model=f"{OBEYS}@50", input="count 5000", background=True)
    stream = client.responses.retrieve(begun.id, stream=True)
    for event in stream:
        if event.type == "response.output_text.delta" and event.sequence_number > 12:
            break
    assert client.responses.retrieve(begun.id).output_text.startswith("1 2 3")
    cancelled = client.responses.cancel(begun.id)
    assert cancelled.status == "cancelled"
    assert cancelled.output_text.startswith("1 2 3")
    assert cancelled.output[0].status == "incomplete"  # type: ignore[union-attr]
    assert client.responses.cancel(begun.id).status == "cancelled"
    assert [event.type for event in stream][-1] == "response.incomplete"
    # It can be gone on with: what was said counts.
    assert client.responses.create(model=OBEYS, input="say on", previous_response_id=begun.id).output_text == "on"
    waiting = client.responses.create(model=f"{OBEYS}@50", input="wait 30\nsay x", background=True)
    with pytest.raises(openai.ConflictError, match="still being made"):
        client.responses.create(model=OBEYS, input="x", previous_response_id=waiting.id)
    client.responses.delete(waiting.id)
    with pytest.raises(openai.NotFoundError):
        client.responses.retrieve(waiting.id)
    with pytest.raises(openai.BadRequestError, match="background"):
        client.responses.cancel(client.responses.create(model=OBEYS, input="say a").id)


def test_a_client_that_leaves_stops_the_foreground(client: openai.OpenAI) -> None:
    stream = client.responses.create(model=f"{OBEYS}@50", input="count 5000", stream=True)
    seen = [event for _, event in zip(range(12), stream, strict=False)]
    stream.close()
    response = seen[0].response.id  # type: ignore[union-attr]
    until = time.monotonic() + 10
    while (found := client.responses.retrieve(response)).status == "in_progress" and time.monotonic() < until:
        time.sleep(0.05)
    assert found.status == "cancelled"
    assert found.output_text.startswith("1 2")
    with pytest.raises(openai.BadRequestError, match="background"):
        list(client.responses.retrieve(response, stream=True))


def test_a_client_that_leaves_without_a_stream(live: Live, raw: httpx.Client) -> None:
    def rows() -> list[Any]:
        query = "SELECT status, body FROM responses WHERE json_extract(body, '$.metadata.mark') = 'left' ORDER BY rowid"
        return live.app.database.read(lambda connection: list(connection.exec_driver_sql(query)))

    # On a busy machine nothing has begun when a client leaves soon; then there is nothing to be seen.
    for patience in (0.7, 4.0, 15.0):
        with pytest.raises(httpx.ReadTimeout):
            raw.post("/responses", json={"model": f"{OBEYS}@50", "input": "count 5000", "metadata": {"mark": "left"}}, timeout=patience)
        until = time.monotonic() + 10
        while (not (found := rows()) or found[-1][0] == "in_progress") and time.monotonic() < until:
            time.sleep(0.05)
        if found and json.loads(found[-1][1])["output"]:
            break
    status, body = found[-1]
    assert status == "cancelled"
    assert json.loads(body)["output"][0]["content"][0]["text"].startswith("1 2")


def test_one_at_a_time_in_a_conversation(client: openai.OpenAI) -> None:
    conversation = client.conversations.create()
    stream = client.responses.create(model=f"{OBEYS}@50", input="count 200", conversation=conversation.id, stream=True)
    next(iter(stream))
    with pytest.raises(openai.ConflictError) as caught:
        client.responses.create(model=OBEYS, input="say x", conversation=conversation.id)
    assert caught.value.code == "conversation_locked"
    with pytest.raises(openai.ConflictError):
        client.conversations.delete(conversation.id)
    stream.close()
    for _ in range(200):
        try:
            assert client.responses.create(model=OBEYS, input="say x", conversation=conversation.id).output_text == "x"
            break
        except openai.ConflictError:
            time.sleep(0.05)
    texts = [item.content[0].text for item in client.conversations.items.list(conversation.id, order="asc")]  # type: ignore[union-attr]
    assert texts[0] == "count 200"
    assert texts[1].startswith("1")
    assert texts[2:] == ["say x", "x"]


# Failures


def test_a_file_of_text(client: openai.OpenAI, raw: httpx.Client) -> None:
    data = "data:text/plain;base64," + base64.b64encode("say grün".encode()).decode()
    part = {"type": "input_file", "filename": "note.txt", "file_data": data}
    answer = client.responses.create(model="fake:echo", input=[{"role": "user", "content": [part]}])  # type: ignore[list-item]
    assert answer.output_text == "note.txt:\n\nsay grün"
    strictly(ResponseItemList, raw.get(f"/responses/{answer.id}/input_items").json())
    again = client.responses.create(model="fake:echo", input="and?", previous_response_id=answer.id)
    assert again.usage is not None
    assert answer.usage is not None
    assert again.usage.input_tokens > answer.usage.input_tokens


def test_what_fails_before_a_word_is_an_error(client: openai.OpenAI, raw: httpx.Client) -> None:
    for more in ({}, {"stream": True}):
        with pytest.raises(openai.APIStatusError) as caught:
            client.responses.create(model=OBEYS, input="fail 503 not now", **more)  # type: ignore[call-overload]
        assert caught.value.status_code == 503
    begun = client.responses.create(model=OBEYS, input="fail 500 it broke", background=True)
    events = list(client.responses.retrieve(begun.id, stream=True))
    assert events[-1].type == "response.failed"
    failed = client.responses.retrieve(begun.id)
    assert failed.error is not None
    assert (failed.status, failed.error.code) == ("failed", "server_error")
    assert "it broke" in failed.error.message


def test_what_fails_later_keeps_what_was_said(client: openai.OpenAI) -> None:
    answer = client.responses.create(model=OBEYS, input="say one two\nfail 500 it broke")
    assert answer.status == "failed"
    assert answer.error is not None
    assert answer.output_text == "one two"
    assert client.responses.retrieve(answer.id).output_text == "one two"


def test_an_input_that_is_too_long(client: openai.OpenAI) -> None:
    with pytest.raises(openai.BadRequestError) as caught:
        client.responses.create(model="fake:echo", input="word " * 5000)
    assert (caught.value.code, caught.value.param) == ("context_length_exceeded", "input")
    assert "4096" in caught.value.message
    assert "truncation" not in caught.value.message, "there is nothing before it that could be left out"
    words = " ".join(f"w{number}" for number in range(400))
    items: Any = [{"role": "user" if number % 2 == 0 else "assistant", "content": words} for number in range(25)]
    items = [{"role": "developer", "content": "keep this"}, *items]
    with pytest.raises(openai.BadRequestError, match="'truncation': 'auto'"):
        client.responses.create(model="fake:echo", input=items)
    cut = client.responses.create(model="fake:echo", input=items, truncation="auto", max_output_tokens=50)
    assert cut.usage is not None
    assert 1500 < cut.usage.input_tokens < 4096
    with pytest.raises(openai.BadRequestError):
        client.responses.create(model="fake:echo", input="word " * 5000, truncation="auto")


REFUSED: list[tuple[dict[str, Any], str]] = [
    ({"prompt": {"id": "pmpt_1"}}, "prompt"),
    ({"moderation": {"model": "m"}}, "moderation"),
    ({"context_management": [{"type": "compaction"}]}, "context_management"),
    ({"tools": [{"type": "web_search"}]}, "web search|search the web"),
    ({"tools": [{"type": "code_interpreter", "container": {"type": "auto"}}]}, "code interpreter"),
    ({"tools": [{"type": "computer_use_preview", "display_height": 1, "display_width": 1, "environment": "linux"}]}, "computer use"),
    ({"tools": [{"type": "image_generation"}]}, "image generation"),
    ({"tools": [{"type": "custom", "name": "c"}]}, "one string parameter"),
    ({"input": [{"type": "computer_call_output", "call_id": "c", "output": {}}]}, "computer use"),
    ({"input": [{"role": "user", "content": [{"type": "input_file", "file_url": "http://x/y"}]}]}, "other hosts"),
    ({"include": ["web_search_call.results"]}, "include"),
    ({"reasoning": {"summary": "detailed"}}, "summed up"),
    ({"text": {"verbosity": "low"}}, "verbosity"),
    ({"service_tier": "flex"}, "service_tier"),
]


@pytest.mark.parametrize(("body", "says"), REFUSED, ids=lambda value: str(value)[:40])
def test_what_is_not_served_is_refused_by_name(raw: httpx.Client, body: dict[str, Any], says: str) -> None:
    answer = raw.post("/responses", json={"model": OBEYS, "input": "x", **body})
    error = answer.json()["error"]
    assert (answer.status_code, error["type"]) == (501, "not_supported_error"), error
    assert re.search(says, error["message"]), error


WRONG: list[tuple[dict[str, Any], str]] = [
    ({"input": None}, "input"),
    ({"input": []}, "input"),
    ({"input": [{"type": "message", "role": "user"}]}, "input.0.content"),
    ({"input": [{"type": "nonsense"}]}, "input.0.type"),
    ({"input": [{"role": "user", "content": "a", "id": "x"}, {"role": "user", "content": "b", "id": "x"}]}, "input.1"),
    ({"input": [{"role": "user", "content": "a", "id": "../../etc"}]}, "input.0.id"),
    ({"input": [{"type": "function_call", "call_id": "c", "name": "f", "arguments": "not json"}]}, "input.0.arguments"),
    ({"input": [{"type": "compaction", "encrypted_content": "forged"}]}, "input"),
    ({"input": [{"role": "assistant", "content": [{"type": "input_image", "image_url": "data:,x"}]}]}, "input.0"),
    ({"input": [{"role": "user", "content": [{"type": "input_file"}]}]}, "input.0.content.0"),
    ({"input": [{"role": "user", "content": [{"type": "input_file", "file_data": "!!"}]}]}, "input.0.content.0.file_data"),
    ({"nonsense": 1}, "nonsense"),
    ({"conversation": "conv_x", "previous_response_id": "resp_x"}, ""),
    ({"store": False, "background": True}, ""),
    ({"store": False, "conversation": "conv_x"}, ""),
    ({"top_logprobs": 3}, ""),
    ({"max_output_tokens": 0}, "max_output_tokens"),
    ({"metadata": {"a": "b" * 513}}, "metadata.a"),
    ({"metadata": {str(n): "b" for n in range(17)}}, "metadata"),
    ({"tools": [{"type": "nonsense"}]}, "tools.0.type"),
    ({"tools": [WEATHER, WEATHER]}, ""),
    ({"tool_choice": "required"}, "tool_choice"),
    ({"tool_choice": {"type": "function", "name": "f"}, "tools": [WEATHER]}, "tool_choice"),
    ({"include": ["nonsense"]}, "include"),
    ({"temperature": 3}, "temperature"),
    ({"text": {"format": {"type": "json_schema", "name": "a"}}}, "text.format"),
]


@pytest.mark.parametrize(("body", "param"), WRONG, ids=lambda value: str(value)[:40])
def test_what_makes_no_sense_is_refused(raw: httpx.Client, body: dict[str, Any], param: str) -> None:
    answer = raw.post("/responses", json={"model": OBEYS, "input": "x", **body})
    error = answer.json()["error"]
    assert (answer.status_code, error["type"]) == (400, "invalid_request_error"), error
    assert not param or error["param"] == param, error


def test_hostile_inputs(raw: httpx.Client) -> None:
    deep: Any = "x"
    for _ in range(500):
        deep = [deep]
    for content in (deep, {"a": deep}, "x" * 2_000_000, [{"type": "input_text", "text": "x"}] * 50_000):
        answer = raw.post("/responses", json={"model": OBEYS, "input": [{"role": "user", "content": content}]})
        assert 400 <= answer.status_code < 500, answer.text[:200]
    answer = raw.post("/responses", json={"model": OBEYS, "input": [{"role": "user", "content": "x"}] * 20_000})
    assert answer.status_code == 400
    answer = raw.post("/responses", content=b'{"model": "fake:obeys", "input": "say \\ud800"}', headers={"content-type": "application/json"})
    assert answer.status_code == 400
    for path in ("/responses/%2e%2e", "/responses/resp_x%00", "/responses/" + "a" * 5000, "/conversations/' OR 1=1 --"):
        assert raw.get(path).status_code in (404, 414), path
    for query in ("stream=maybe", "stream=true&starting_after=-1", "starting_after=1", "include=nonsense"):
        assert raw.get(f"/responses/resp_x?{query}").status_code == 400
    for query in ("limit=0", "limit=101", "limit=x", "order=up"):
        answer = raw.post("/responses", json={"model": OBEYS, "input": "say x"})
        assert raw.get(f"/responses/{answer.json()['id']}/input_items?{query}").status_code == 400


# Compacting


def test_compacted(client: openai.OpenAI, raw: httpx.Client) -> None:
    first = client.responses.create(model="fake:echo", input="the cat is called Mia")
    compacted = raw.post("/responses/compact", json={"model": "fake:echo", "previous_response_id": first.id}).json()
    strictly(CompactedResponse, compacted)
    (item,) = compacted["output"]
    assert "Sum up" not in item["encrypted_content"]
    short = client.responses.create(model="fake:echo", input=[item, {"role": "user", "content": "and?"}], store=False)
    alone = client.responses.create(model="fake:echo", input="and?", store=False)
    assert short.usage is not None
    assert alone.usage is not None
    assert short.usage.input_tokens > alone.usage.input_tokens
    forged = {**item, "encrypted_content": item["encrypted_content"][:-8] + "AAAAAAA="}
    with pytest.raises(openai.BadRequestError, match="encrypted_content"):
        client.responses.create(model="fake:echo", input=[forged, {"role": "user", "content": "and?"}])


def test_llama_cpp_answers(client: openai.OpenAI) -> None:
    answer = client.responses.create(model="tiny", input="hello", max_output_tokens=5)
    assert answer.status in ("completed", "incomplete")
    after = client.responses.create(model="tiny", input="and then?", max_output_tokens=5, previous_response_id=answer.id)
    assert after.usage is not None
    assert after.usage.input_tokens_details.cached_tokens > 0
    events = list(client.responses.create(model="tiny", input="hello", max_output_tokens=5, stream=True))
    assert events[-1].type in ("response.completed", "response.incomplete")
    assert client.responses.input_tokens.count(model="tiny", input="hello").input_tokens > 0


@pytest.mark.parametrize("data", ["JVBERi0xLjcKAA==", "JVBERi0xLjcK"])
def test_a_damaged_file_is_told_by_its_place(raw: httpx.Client, data: str) -> None:
    content = [{"type": "input_file", "filename": "a.pdf", "file_data": data}, {"type": "input_text", "text": "what is it?"}]
    answer = raw.post("/responses", json={"model": OBEYS, "input": [{"role": "user", "content": content}]})
    error = answer.json()["error"]
    assert (answer.status_code, error["type"], error["param"]) == (400, "invalid_request_error", "input.0.content.0")
    assert "no PDF that can be opened" in error["message"]
