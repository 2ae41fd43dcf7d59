"""Anthropic's Messages API through the official SDK, and over plain HTTP for what the SDK hides."""

from __future__ import annotations

import base64
import io
import json
import time
from collections.abc import Iterator
from typing import Any

import anthropic
import httpx
import pytest
from PIL import Image
from pydantic import BaseModel

from hausgeist.identity import LOCAL_OWNER

HELLO = [{"role": "user", "content": "Hello there"}]
ADD = {"name": "add", "description": "adds", "input_schema": {"type": "object", "properties": {"a": {"type": "integer"}}, "required": ["a"]}}
SUB = {"name": "sub", "input_schema": {"type": "object", "properties": {}}}


def do(*lines: str) -> list[dict[str, Any]]:
    """What `fake:obeys` shall do."""
    return [{"role": "user", "content": "\n".join(lines)}]


def png() -> str:
    out = io.BytesIO()
    Image.new("RGB", (4, 4)).save(out, "PNG")
    return base64.b64encode(out.getvalue()).decode()


@pytest.fixture
def client(live: Any) -> Iterator[anthropic.Anthropic]:
    with live.anthropic() as client:
        yield client


@pytest.fixture
def http(live: Any) -> Iterator[httpx.Client]:
    with httpx.Client(base_url=live.url, headers={"anthropic-version": "2023-06-01"}, timeout=60) as client:
        yield client


# -- create -----------------------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("model", ["fake:echo", "tiny"])
def test_create(client: anthropic.Anthropic, model: str) -> None:
    made = client.messages.create(model=model, max_tokens=8, messages=HELLO)
    assert made.id.startswith("msg_")
    assert (made.type, made.role, made.model) == ("message", "assistant", model)
    assert made.usage.input_tokens + (made.usage.cache_read_input_tokens or 0) > 1
    assert 0 < made.usage.output_tokens <= 8
    assert made.stop_reason in ("end_turn", "max_tokens")
    if model == "fake:echo":
        assert made.content[0].text == "Hello there"


async def test_create_and_stream_asynchronously(live: Any) -> None:
    async with live.async_anthropic() as client:
        made = await client.messages.create(model="fake:echo", max_tokens=8, messages=HELLO)
        assert made.content[0].text == "Hello there"
        async with client.messages.stream(model="fake:echo", max_tokens=8, messages=HELLO) as stream:
            assert "".join([text async for text in stream.text_stream]) == "Hello there"


@pytest.mark.parametrize("model", ["fake:echo", "tiny"])
def test_stream(client: anthropic.Anthropic, model: str) -> None:
    with client.messages.stream(model=model, max_tokens=12, messages=HELLO) as stream:
        kinds = [event.type for event in stream]
        final = stream.get_final_message()
    assert kinds[0] == "message_start"
    assert kinds[-1] == "message_stop"
    assert final.stop_reason
    assert final.usage.output_tokens > 0
    if model == "fake:echo":
        assert final.content[0].text == "Hello there"


def test_message_start_tells_the_length_of_the_prompt(client: anthropic.Anthropic) -> None:
    with client.messages.create(model="tiny", max_tokens=2, messages=HELLO, stream=True) as stream:
        events = list(stream)
    counted = client.messages.count_tokens(model="tiny", messages=HELLO).input_tokens
    start, closing = events[0].message.usage, events[-2].usage
    assert start.input_tokens + start.cache_read_input_tokens == counted
    assert closing.input_tokens + closing.cache_read_input_tokens == counted


def test_system_and_earlier_turns_reach_the_model(client: anthropic.Anthropic) -> None:
    longer = [{"role": "user", "content": "Hello"}, {"role": "assistant", "content": "Yes?"}, *HELLO]
    plain = client.messages.count_tokens(model="tiny", messages=HELLO).input_tokens
    system = client.messages.count_tokens(model="tiny", messages=HELLO, system=[{"type": "text", "text": "Be the house."}]).input_tokens
    assert client.messages.count_tokens(model="tiny", messages=longer).input_tokens > plain
    assert system == client.messages.count_tokens(model="tiny", messages=HELLO, system="Be the house.").input_tokens > plain
    assert client.messages.count_tokens(model="tiny", messages=HELLO, tools=[ADD]).input_tokens > plain


def test_a_limit_of_tokens(client: anthropic.Anthropic) -> None:
    made = client.messages.create(model="fake:obeys", max_tokens=3, messages=do("count 50"))
    assert (made.stop_reason, made.usage.output_tokens) == ("max_tokens", 3)


def test_a_limit_of_none_only_reads_the_prompt(client: anthropic.Anthropic) -> None:
    made = client.messages.create(model="tiny", max_tokens=0, messages=HELLO)
    assert (made.stop_reason, made.content, made.usage.output_tokens) == ("max_tokens", [], 0)
    with client.messages.stream(model="tiny", max_tokens=0, messages=HELLO) as stream:
        made = stream.get_final_message()
    assert (made.stop_reason, made.content, made.usage.output_tokens) == ("max_tokens", [], 0)


@pytest.mark.parametrize("streaming", [False, True])
def test_stop_sequences_are_named(client: anthropic.Anthropic, streaming: bool) -> None:
    asked: dict[str, Any] = {"model": "fake:obeys", "max_tokens": 50, "messages": do("say one two three"), "stop_sequences": ["never", "three"]}
    if streaming:
        with client.messages.stream(**asked) as stream:
            made = stream.get_final_message()
    else:
        made = client.messages.create(**asked)
    assert (made.stop_reason, made.stop_sequence) == ("stop_sequence", "three")
    assert made.content[0].text == "one two "
    assert client.messages.create(**{**asked, "stop_sequences": ["never"]}).stop_reason == "end_turn"


def test_llama_names_its_stop_sequences_too(client: anthropic.Anthropic) -> None:
    options: dict[str, Any] = {"model": "tiny", "max_tokens": 60, "messages": HELLO, "extra_body": {"temperature": 0}}
    text = client.messages.create(**options).content[0].text
    word = text.split()[2]
    for streaming in (False, True):
        if streaming:
            with client.messages.stream(**options, stop_sequences=[word]) as stream:
                made = stream.get_final_message()
        else:
            made = client.messages.create(**options, stop_sequences=[word])
        assert (made.stop_reason, made.stop_sequence) == ("stop_sequence", word)
        assert all(word not in block.text for block in made.content)


def test_the_last_word_of_the_assistant_is_continued(client: anthropic.Anthropic) -> None:
    prefilled = [*HELLO, {"role": "assistant", "content": "The answer is"}]
    asked: dict[str, Any] = {"model": "tiny", "max_tokens": 5, "messages": prefilled, "extra_body": {"temperature": 0}}
    made = client.messages.create(**asked)
    assert "The answer is" not in made.content[0].text
    with client.messages.stream(**asked) as stream:
        assert stream.get_final_text() == made.content[0].text
    plain = client.messages.count_tokens(model="tiny", messages=HELLO).input_tokens
    assert client.messages.count_tokens(model="tiny", messages=prefilled).input_tokens > plain


def test_sampling_options_are_served(client: anthropic.Anthropic) -> None:
    def once(**options: Any) -> str:
        return client.messages.create(model="tiny", max_tokens=12, messages=HELLO, extra_body=options).content[0].text

    assert once(temperature=0) == once(top_k=1) == once(top_k=1, temperature=0.9)


# -- thinking and tools -----------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("streaming", [False, True])
def test_thinking(client: anthropic.Anthropic, streaming: bool) -> None:
    asked: dict[str, Any] = {"model": "fake:obeys", "max_tokens": 4000, "messages": do("think so so", "say yes")}
    asked["thinking"] = {"type": "enabled", "budget_tokens": 1024}
    if streaming:
        with client.messages.stream(**asked) as stream:
            made = stream.get_final_message()
    else:
        made = client.messages.create(**asked)
    assert [block.type for block in made.content] == ["thinking", "text"]
    assert made.content[0].thinking == "so so"
    assert made.content[0].signature
    again = client.messages.create(**{**asked, "messages": [*asked["messages"], {"role": "assistant", "content": made.content}, *do("say ok")]})
    assert again.content[-1].text == "ok"


def test_thinking_can_be_switched_off(client: anthropic.Anthropic) -> None:
    made = client.messages.create(model="fake:obeys", max_tokens=50, messages=do("think so", "say yes"), thinking={"type": "disabled"})
    assert [block.type for block in made.content] == ["text"]


@pytest.mark.parametrize("streaming", [False, True])
def test_a_round_of_tools(client: anthropic.Anthropic, streaming: bool) -> None:
    messages = do('call add {"a": 1}', "call sub {}", "say done")
    asked: dict[str, Any] = {"model": "fake:obeys", "max_tokens": 100, "tools": [ADD, SUB]}
    if streaming:
        with client.messages.stream(**asked, messages=messages) as stream:
            made = stream.get_final_message()
    else:
        made = client.messages.create(**asked, messages=messages)
    assert made.stop_reason == "tool_use"
    assert [(block.name, block.input) for block in made.content] == [("add", {"a": 1}), ("sub", {})]
    results = [{"type": "tool_result", "tool_use_id": block.id, "content": "5"} for block in made.content]
    ended = client.messages.create(
        **asked, messages=[*messages, {"role": "assistant", "content": made.content}, {"role": "user", "content": results}]
    )
    assert (ended.content[0].text, ended.stop_reason) == ("done", "end_turn")


def test_tool_choice(client: anthropic.Anthropic) -> None:
    def once(**options: Any) -> list[str]:
        made = client.messages.create(model="fake:obeys", max_tokens=100, messages=do("call add {}", "call sub {}"), tools=[ADD, SUB], **options)
        return [block.name if block.type == "tool_use" else block.type for block in made.content]

    assert once() == ["add", "sub"]
    assert once(tool_choice={"type": "auto", "disable_parallel_tool_use": True}) == ["add"]
    assert set(once(tool_choice={"type": "tool", "name": "sub"})) == {"sub"}
    assert "add" not in once(tool_choice={"type": "none"})


def test_llama_is_made_to_call_the_named_tool(client: anthropic.Anthropic) -> None:
    made = client.messages.create(
        model="tiny", max_tokens=400, messages=HELLO, tools=[ADD, SUB], tool_choice={"type": "tool", "name": "sub"}, extra_body={"temperature": 0}
    )
    assert {block.name for block in made.content if block.type == "tool_use"} <= {"sub"}
    if made.stop_reason != "max_tokens":
        assert made.stop_reason == "tool_use"


def test_structured_output(client: anthropic.Anthropic) -> None:
    class Town(BaseModel):
        name: str
        people: int

    made = client.messages.parse(model="fake:obeys", max_tokens=100, messages=do('json {"name": "Ulm", "people": 3}'), output_format=Town)
    assert made.parsed_output == Town(name="Ulm", people=3)


def test_images_are_for_models_that_see(client: anthropic.Anthropic) -> None:
    image = {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": png()}}
    asked = [{"role": "user", "content": [image, {"type": "text", "text": "What is it?"}]}]
    assert "What is it?" in client.messages.create(model="fake:echo", max_tokens=50, messages=asked).content[0].text
    with pytest.raises(anthropic.BadRequestError, match="cannot see"):
        client.messages.create(model="tiny", max_tokens=5, messages=asked)
    asked[0]["content"][0] = {"type": "image", "source": {"type": "url", "url": "https://example.org/x.png"}}
    with pytest.raises(anthropic.BadRequestError, match="remote_images"):
        client.messages.create(model="fake:echo", max_tokens=5, messages=asked)


def test_beta(client: anthropic.Anthropic) -> None:
    made = client.beta.messages.create(model="fake:echo", max_tokens=20, messages=HELLO, betas=["interleaved-thinking-2025-05-14"])
    assert made.content[0].text == "Hello there"
    with client.beta.messages.stream(model="fake:echo", max_tokens=20, messages=HELLO) as stream:
        assert stream.get_final_message().content[0].text == "Hello there"
    assert client.beta.messages.count_tokens(model="fake:echo", messages=HELLO).input_tokens > 0
    with pytest.raises(anthropic.APIStatusError, match="mcp_servers") as caught:
        client.beta.messages.create(model="fake:echo", max_tokens=20, messages=HELLO, mcp_servers=[{"type": "url", "name": "x", "url": "https://h"}])
    assert caught.value.status_code == 501


def test_who_an_application_asks_for_is_in_the_audit_table(live: Any, client: anthropic.Anthropic) -> None:
    client.messages.create(model="fake:echo", max_tokens=5, messages=HELLO, metadata={"user_id": "user-4711"})
    live.run(live.app.governor.flush())
    assert any("user-4711" in repr(row) for row in live.app.governor.audit.entries(limit=20))


# -- models -----------------------------------------------------------------------------------------------------------------------------


def test_models(client: anthropic.Anthropic) -> None:
    listed = {model.id: model for model in client.models.list(limit=2)}
    assert {"tiny", "fake:echo", "tiny-embed"} <= set(listed)
    one = client.models.retrieve("tiny")
    assert one == listed["tiny"]
    assert one.max_input_tokens == 4096
    assert one.capabilities is not None
    assert one.capabilities.structured_outputs.supported
    assert client.beta.models.retrieve("fake:echo").id == "fake:echo"
    with pytest.raises(anthropic.NotFoundError):
        client.models.retrieve("nowhere")


def test_pages_of_models(client: anthropic.Anthropic) -> None:
    names = [model.id for model in client.models.list(limit=1000)]
    first = client.models.list(limit=2)
    assert ([model.id for model in first.data], first.has_more, first.last_id) == (names[:2], True, names[1])
    before = client.models.list(limit=1, before_id=names[2])
    assert ([model.id for model in before.data], before.has_more) == ([names[1]], True)
    assert client.models.list(lifecycle=["retired"]).data == []
    for wrong in ({"limit": 0}, {"after_id": "nowhere"}, {"extra_query": {"x": "y"}}):
        with pytest.raises(anthropic.BadRequestError):
            client.models.list(**wrong)


# -- errors -----------------------------------------------------------------------------------------------------------------------------


def test_errors_of_the_sdk(client: anthropic.Anthropic) -> None:
    with pytest.raises(anthropic.NotFoundError) as missing:
        client.messages.create(model="nowhere", max_tokens=5, messages=HELLO)
    assert missing.value.body["error"]["type"] == "not_found_error"
    assert missing.value.request_id
    with pytest.raises(anthropic.BadRequestError, match="max_tokens"):
        client.messages.create(model="tiny", max_tokens=-1, messages=HELLO)
    with pytest.raises(anthropic.BadRequestError, match="cannot generate"):
        client.messages.create(model="tiny-embed", max_tokens=5, messages=HELLO)
    with pytest.raises(anthropic.APIStatusError, match="container") as unserved:
        client.messages.create(model="tiny", max_tokens=5, messages=HELLO, container="c")
    assert unserved.value.status_code == 501
    assert unserved.value.response.headers["x-should-retry"] == "false"
    with pytest.raises(anthropic.APIStatusError, match="workspace"):
        client.messages.create(model="tiny", max_tokens=5, messages=HELLO, workspace_id="w")


@pytest.mark.parametrize("streaming", [False, True])
def test_over_the_context_in_anthropics_words(client: anthropic.Anthropic, streaming: bool) -> None:
    with pytest.raises(anthropic.BadRequestError, match=r"prompt is too long: \d+ tokens > 4096 maximum"):
        client.messages.create(model="tiny", max_tokens=5, messages=[{"role": "user", "content": "word " * 6000}], stream=streaming)


def test_a_full_context_is_told_from_a_limit(client: anthropic.Anthropic) -> None:
    used = client.messages.count_tokens(model="fake:obeys", messages=do("length 3990 ")).input_tokens
    made = client.messages.create(model="fake:obeys", max_tokens=100_000, messages=do(f"length {5000 - used}"))
    assert made.stop_reason == "model_context_window_exceeded"


@pytest.mark.parametrize(("model", "ask"), [("fake:obeys", "say one two\nfail 500 boom"), ("fake:dies", "go")])
def test_an_error_in_the_middle_is_an_event(client: anthropic.Anthropic, http: httpx.Client, model: str, ask: str) -> None:
    said = []
    with (
        pytest.raises(anthropic.APIStatusError),
        client.messages.create(model=model, max_tokens=50, messages=do(ask), stream=True) as stream,
    ):
        said = [event.type for event in stream]
    body = {"model": model, "max_tokens": 50, "stream": True, "messages": do(ask)}
    lines = http.post("/v1/messages", json=body).text.strip().split("\n")
    assert lines[0] == "event: message_start"
    assert lines[-2] == "event: error"
    error = json.loads(lines[-1].removeprefix("data: "))
    assert (error["type"], error["error"]["type"]) == ("error", "api_error")
    assert error["request_id"]
    assert said == []


def test_an_error_before_the_first_word_is_a_status(client: anthropic.Anthropic) -> None:
    with pytest.raises(anthropic.InternalServerError):
        client.messages.create(model="fake:obeys", max_tokens=50, messages=do("fail 500 boom"), stream=True)


# -- plain HTTP -------------------------------------------------------------------------------------------------------------------------


def test_what_goes_over_the_wire(http: httpx.Client) -> None:
    body = {"model": "fake:echo", "max_tokens": 5, "stream": True, "messages": HELLO}
    response = http.post("/v1/messages", json=body)
    assert response.headers["content-type"].startswith("text/event-stream")
    assert response.headers["request-id"]
    names = [line.removeprefix("event: ") for line in response.text.splitlines() if line.startswith("event: ")]
    assert names[:3] == ["message_start", "ping", "content_block_start"]
    assert names[-3:] == ["content_block_stop", "message_delta", "message_stop"]
    assert "[DONE]" not in response.text
    assert "__verbose" not in response.text


def test_who_leaves_makes_room(live: Any, client: anthropic.Anthropic) -> None:
    def running() -> int:
        return sum(one.running for one in live.app.door.loaded(LOCAL_OWNER) if one.model.id == "fake:stalls")

    with client.messages.stream(model="fake:stalls", max_tokens=50, messages=HELLO) as stream:
        next(stream.text_stream)
        assert running() == 1
    with pytest.raises(anthropic.APITimeoutError):
        client.with_options(timeout=0.5).messages.create(model="fake:stalls", max_tokens=50, messages=HELLO)
    deadline = time.monotonic() + 1.5
    while running() and time.monotonic() < deadline:
        time.sleep(0.05)
    assert running() == 0


def test_a_key_in_x_api_key_is_taken(http: httpx.Client) -> None:
    response = http.post("/v1/messages", json={"model": "fake:echo", "max_tokens": 5, "messages": HELLO}, headers={"x-api-key": "hg-unknown"})
    assert response.status_code == 401
    assert response.json()["error"]["type"] == "authentication_error"


def test_models_answer_in_the_tongue_that_asks(http: httpx.Client) -> None:
    mine = http.get("/v1/models").json()
    assert {"has_more", "first_id", "last_id"} <= set(mine)
    assert mine["data"][0]["type"] == "model"
    assert http.get("/v1/models/nowhere").json()["type"] == "error"
    assert http.get("/v1/models/fake%3Aecho").json()["id"] == "fake:echo"
    with httpx.Client(base_url=str(http.base_url)) as other:
        assert other.get("/v1/models").json()["object"] == "list"


HOSTILE: list[bytes] = [
    b"",
    b"null",
    b"[]",
    b"{",
    b'{"model": "tiny"}',
    b"\xff\xfe\x00",
    b'{"model": "tiny", "max_tokens": 5, "messages": [{"role": "user", "content": "\xff"}]}',
    b'{"model": "tiny", "max_tokens": 5, "messages": [{"role": "user", "content": "\\ud800"}]}',
    b'{"model": "tiny", "max_tokens": NaN, "messages": []}',
    b'{"model": "tiny", "max_tokens": 1e999, "messages": []}',
    b'{"model": {"a": 1}, "max_tokens": 5, "messages": [{"role": "user", "content": "x"}]}',
    b'{"model": "tiny\\u0000", "max_tokens": 5, "messages": [{"role": "user", "content": "x"}]}',
    b'{"model": "../../etc/passwd", "max_tokens": 5, "messages": [{"role": "user", "content": "x"}]}',
    b'{"model": "tiny", "max_tokens": 99999999999999999999999, "messages": [{"role": "user", "content": "x"}]}',
    b'{"model": "tiny", "max_tokens": 5, "messages": [{"role": "user", "content": {"type": "text"}}]}',
    b'{"model": "tiny", "max_tokens": 5, "messages": [{"role": "user", "content": [{"type": "text"}]}]}',
    b'{"model": "tiny", "max_tokens": 5, "messages": [{"role": "user", "content": [7]}]}',
    b'{"model": "tiny", "max_tokens": 5, "messages": [{"role": "user", "content": [{}]}]}',
    b'{"model": "tiny", "max_tokens": 5, "messages": [{"role": "user", "content": [{"type": ["text"]}]}]}',
    b'{"model": "tiny", "max_tokens": 5, "messages": [{"role": "user", "content": "x"}], "tools": [{"name": 5}]}',
    b'{"model": "tiny", "max_tokens": 5, "messages": [{"role": "user", "content": "x"}], "tools": [[]]}',
    b'{"model": "tiny", "max_tokens": 5, "messages": [{"role": "user", "content": "x"}], "id_slot": 0}',
    b'{"model": "tiny", "max_tokens": 5, "messages": [{"role": "user", "content": "x"}], "n_probs": 100000}',
    b'{"model": "tiny", "max_tokens": 5, "messages": ' + b"[" * 100_000 + b"]" * 100_000 + b"}",
    b'{"model": "tiny", "max_tokens": 5, "system": ' + b'{"a":' * 150 + b"1" + b"}" * 150 + b', "messages": []}',
]


@pytest.mark.parametrize("path", ["/v1/messages", "/v1/messages/count_tokens"])
@pytest.mark.parametrize("body", HOSTILE)
def test_hostile_bodies_are_4xx_in_the_tongue(http: httpx.Client, path: str, body: bytes) -> None:
    response = http.post(path, content=body, headers={"content-type": "application/json"})
    assert 400 <= response.status_code < 500, response.text
    said = response.json()
    assert said["type"] == "error"
    assert said["error"]["message"]
    assert "Traceback" not in response.text


@pytest.mark.parametrize(
    "schema",
    [
        {"type": "object", "properties": {"a": {"$ref": "#/nowhere"}}},
        {"type": "object", "properties": {"a": {"type": "string", "pattern": "(((((a*)*)*)*)*)["}}},
        {"$ref": "#"},
        {"type": "no such type"},
        {"type": "object", "properties": {"a": {"type": "array", "minItems": 10**9}}},
    ],
)
def test_hostile_schemas_are_never_500_and_the_model_lives_on(client: anthropic.Anthropic, http: httpx.Client, schema: dict[str, Any]) -> None:
    asked: dict[str, Any] = {"model": "tiny", "max_tokens": 5, "messages": HELLO, "tool_choice": {"type": "any"}}
    asked["tools"] = [{"name": "a", "input_schema": schema}]
    assert http.post("/v1/messages", json=asked).status_code in (200, 400)
    assert client.messages.create(model="tiny", max_tokens=2, messages=HELLO).stop_reason


def test_methods_and_paths_that_are_not_there(http: httpx.Client) -> None:
    assert http.get("/v1/messages").status_code == 405
    assert http.get("/v1/messages").json()["type"] == "error"
    assert http.post("/v1/messages/batches", json={}).status_code == 404
    assert http.post("/v1/messages/batches", json={}).json()["error"]["type"] == "not_found_error"
