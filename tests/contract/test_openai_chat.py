"""Chat completions through the official SDK, against a running server: each parameter does what it says, or is refused by name."""

from __future__ import annotations

import asyncio
import base64
import io
import json
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, Literal

import httpx
import openai
import pytest
from openai import pydantic_function_tool
from openai.types.chat import ChatCompletion
from pydantic import BaseModel

from tests.contract.conftest import Live


class Weather(BaseModel):
    """The weather somewhere."""

    city: Literal["Bonn", "Rome"]
    days: int


def says(text: str) -> Any:
    return [{"role": "user", "content": text}]


WEATHER: Any = pydantic_function_tool(Weather, name="weather")
TIME: Any = {"type": "function", "function": {"name": "time", "description": "The time.", "parameters": {"type": "object", "properties": {}}}}


@pytest.fixture
def client(live: Live) -> openai.OpenAI:
    return live.openai()


def picture(width: int = 8, height: int = 6) -> str:
    from PIL import Image

    body = io.BytesIO()
    Image.new("RGB", (width, height), "red").save(body, "PNG")
    return "data:image/png;base64," + base64.b64encode(body.getvalue()).decode()


def test_tools_are_called_and_their_results_understood(client: openai.OpenAI) -> None:
    messages = says('call weather {"city": "Bonn", "days": 2}\ncall time {}')
    answer = client.chat.completions.create(model="fake:obeys", messages=messages, tools=[WEATHER, TIME])
    choice = answer.choices[0]
    assert choice.finish_reason == "tool_calls"
    assert choice.message.content is None
    calls = choice.message.tool_calls or []
    assert [(call.type, call.function.name) for call in calls if call.type == "function"] == [("function", "weather"), ("function", "time")]
    messages += [choice.message, *({"role": "tool", "tool_call_id": call.id, "content": f"result {number}"} for number, call in enumerate(calls))]
    answer = client.chat.completions.create(model="fake:obeys", messages=messages, tools=[WEATHER, TIME])
    assert answer.choices[0].message.content == "result 0\nresult 1"


def test_one_tool_at_a_time(client: openai.OpenAI) -> None:
    messages = says("call weather\ncall time")
    answer = client.chat.completions.create(model="fake:obeys", messages=messages, tools=[WEATHER, TIME], parallel_tool_calls=False)
    assert len(answer.choices[0].message.tool_calls or []) == 1


@pytest.mark.parametrize("model", ["fake:echo", "tiny"])
def test_a_named_tool_is_called(client: openai.OpenAI, model: str) -> None:
    choice: Any = {"type": "function", "function": {"name": "weather"}}
    answer = client.chat.completions.create(model=model, messages=says("hello"), tools=[TIME, WEATHER], tool_choice=choice, max_tokens=400, seed=1)
    calls = answer.choices[0].message.tool_calls or []
    assert calls
    for call in calls:
        assert call.type == "function"
        assert call.function.name == "weather"
        Weather.model_validate_json(call.function.arguments)


def test_allowed_tools_only(client: openai.OpenAI) -> None:
    choice: Any = {"type": "allowed_tools", "allowed_tools": {"mode": "required", "tools": [{"type": "function", "function": {"name": "time"}}]}}
    answer = client.chat.completions.create(model="fake:echo", messages=says("hello"), tools=[WEATHER, TIME], tool_choice=choice)
    assert [call.function.name for call in answer.choices[0].message.tool_calls or [] if call.type == "function"] == ["time"]


def test_no_tool_when_none_is_wanted(client: openai.OpenAI) -> None:
    answer = client.chat.completions.create(model="fake:obeys", messages=says("call time"), tools=[TIME], tool_choice="none")
    assert not answer.choices[0].message.tool_calls


def test_tool_calls_in_a_stream(client: openai.OpenAI) -> None:
    messages = says('call weather {"city": "Bonn", "days": 2}\ncall time {}')
    with client.chat.completions.stream(model="fake:obeys", messages=messages, tools=[WEATHER, TIME]) as stream:
        done = [event for event in stream if event.type == "tool_calls.function.arguments.done"]
        final = stream.get_final_completion()
    assert [event.name for event in done] == ["weather", "time"]
    calls = final.choices[0].message.tool_calls or []
    assert isinstance(calls[0].function.parsed_arguments, Weather)
    # What the SDK adds to an answer (`parsed`, `parsed_arguments`) may be sent back with it.
    again = [*messages, final.choices[0].message, *({"role": "tool", "tool_call_id": call.id, "content": "x"} for call in calls)]
    assert client.chat.completions.create(model="fake:obeys", messages=again, tools=[WEATHER, TIME]).choices[0].message.content == "x\nx"


def test_an_answer_in_a_schema(client: openai.OpenAI) -> None:
    for model in ("fake:echo", "tiny"):
        answer = client.chat.completions.parse(model=model, messages=says("hello"), response_format=Weather, max_tokens=400, seed=2)
        assert isinstance(answer.choices[0].message.parsed, Weather)
        streamed = client.chat.completions.stream(model=model, messages=says("hello"), response_format=Weather, max_tokens=400, seed=2)
        with streamed as stream:
            assert isinstance(stream.get_final_completion().choices[0].message.parsed, Weather)


def test_an_answer_in_json(client: openai.OpenAI) -> None:
    answer = client.chat.completions.create(model="fake:obeys", messages=says('json {"a": 1}'), response_format={"type": "json_object"})
    assert isinstance(json.loads(answer.choices[0].message.content or ""), dict)


def test_an_answer_is_continued(client: openai.OpenAI) -> None:
    """The engine's whole reply repeats the beginning, its stream does not."""
    messages: Any = [*says("tell me a story"), {"role": "assistant", "content": "Once upon a time"}]
    whole = client.chat.completions.create(model="tiny", messages=messages, max_tokens=5, seed=4)
    streamed = client.chat.completions.create(model="tiny", messages=messages, max_tokens=5, seed=4, stream=True)
    text = "".join(choice.delta.content or "" for chunk in streamed for choice in chunk.choices)
    assert whole.choices[0].message.content == text
    assert not text.startswith("Once upon a time")
    assert whole.usage is not None
    assert whole.usage.completion_tokens > 0


def test_log_probabilities(client: openai.OpenAI) -> None:
    answer = client.chat.completions.create(model="tiny", messages=says("hello"), max_tokens=4, logprobs=True, top_logprobs=3, temperature=0)
    assert answer.choices[0].logprobs is not None
    tokens = answer.choices[0].logprobs.content or []
    assert 0 < len(tokens) <= 4
    for token in tokens:
        assert token.model_extra == {}
        assert len(token.top_logprobs) == 3
        assert token.logprob == max(other.logprob for other in token.top_logprobs) <= 0
    bare = client.chat.completions.create(model="tiny", messages=says("hello"), max_tokens=4, logprobs=True, temperature=0)
    assert bare.choices[0].logprobs is not None
    assert [token.top_logprobs for token in bare.choices[0].logprobs.content or []] == [[]] * len(tokens)
    stream = client.chat.completions.create(model="tiny", messages=says("hello"), max_tokens=4, logprobs=True, temperature=0, stream=True)
    found = [token for chunk in stream for choice in chunk.choices if choice.logprobs for token in choice.logprobs.content or []]
    assert [token.token for token in found] == [token.token for token in tokens]


def test_a_seed_repeats_an_answer(client: openai.OpenAI) -> None:
    def text(seed: int) -> str | None:
        return client.chat.completions.create(model="tiny", messages=says("hello"), max_tokens=12, seed=seed).choices[0].message.content

    assert text(7) == text(7)
    assert len({text(seed) for seed in (-1, 7, 2**40)}) > 1
    assert text(-1) == text(-1)


def test_stop_strings_end_an_answer(client: openai.OpenAI) -> None:
    for stop in ("4", ["nothing", "4"]):
        answer = client.chat.completions.create(model="fake:obeys", messages=says("count 9"), stop=stop)
        assert answer.choices[0].message.content == "1 2 3 "
        assert answer.choices[0].finish_reason == "stop"


@pytest.mark.parametrize("name", ["max_tokens", "max_completion_tokens"])
def test_a_limit_of_tokens(client: openai.OpenAI, name: str) -> None:
    limit: Any = {name: 3}
    answer = client.chat.completions.create(model="fake:obeys", messages=says("count 9"), **limit)
    assert answer.choices[0].finish_reason == "length"
    assert answer.usage is not None
    assert answer.usage.completion_tokens == 3


@pytest.mark.parametrize("model", ["fake:echo", "tiny"])
def test_several_answers_at_once(client: openai.OpenAI, model: str) -> None:
    answer = client.chat.completions.create(model=model, messages=says("hello there"), n=3, max_tokens=5, seed=3)
    assert [choice.index for choice in answer.choices] == [0, 1, 2]
    one = client.chat.completions.create(model=model, messages=says("hello there"), max_tokens=5, seed=3)
    assert answer.usage is not None
    assert one.usage is not None
    assert answer.usage.prompt_tokens == one.usage.prompt_tokens
    # Seeds differ from answer to answer; the first is that of a single one.
    assert answer.choices[0].message.content == one.choices[0].message.content
    assert one.usage.completion_tokens < answer.usage.completion_tokens <= 15
    if model == "tiny":
        assert len({choice.message.content for choice in answer.choices}) > 1
    stream = client.chat.completions.create(
        model=model, messages=says("hello there"), n=3, max_tokens=5, seed=3, stream=True, stream_options={"include_usage": True}
    )
    texts = ["", "", ""]
    usage = []
    for chunk in stream:
        for part in chunk.choices:
            texts[part.index] += part.delta.content or ""
        usage += [chunk.usage] if chunk.usage else []
    assert [told.completion_tokens for told in usage] == [answer.usage.completion_tokens]
    if model == "fake:echo":
        assert texts == ["hello there"] * 3


def test_more_answers_than_slots_are_refused(client: openai.OpenAI) -> None:
    with pytest.raises(openai.BadRequestError, match="side by side"):
        client.chat.completions.create(model="fake:echo", messages=says("hello"), n=100)


def test_usage_in_a_stream_comes_when_asked_for(client: openai.OpenAI) -> None:
    chunks = list(client.chat.completions.create(model="fake:echo", messages=says("hello"), stream=True))
    assert all(chunk.usage is None and chunk.choices for chunk in chunks)
    chunks = list(client.chat.completions.create(model="fake:echo", messages=says("hello"), stream=True, stream_options={"include_usage": True}))
    assert chunks[-1].choices == []
    assert chunks[-1].usage is not None
    assert chunks[-1].usage.total_tokens > 0
    assert len({chunk.id for chunk in chunks}) == 1


def test_the_tier_is_told_when_asked_for(client: openai.OpenAI) -> None:
    assert client.chat.completions.create(model="fake:echo", messages=says("hello")).service_tier is None
    assert client.chat.completions.create(model="fake:echo", messages=says("hello"), service_tier="auto").service_tier == "default"
    tricky = says('"object":"chat.completion.chunk"')
    chunks = list(client.chat.completions.create(model="fake:echo", messages=tricky, service_tier="default", stream=True))
    assert {chunk.service_tier for chunk in chunks} == {"default"}
    assert "".join(chunk.choices[0].delta.content or "" for chunk in chunks) == tricky[0]["content"]


def test_end_users_are_in_the_audit_table(live: Live, client: openai.OpenAI) -> None:
    client.chat.completions.create(model="fake:echo", messages=says("hello"), user="ada@example.com")
    client.chat.completions.create(model="fake:echo", messages=says("hello"), safety_identifier="f00d")
    live.run(live.app.governor.flush())
    agents = [entry.agent or "" for entry in live.app.governor.audit.entries(action="model.use", limit=5)]
    assert any(agent.startswith("user ada@example.com via OpenAI") for agent in agents)
    assert any(agent.startswith("user f00d via") for agent in agents)


def test_participants_have_names(client: openai.OpenAI) -> None:
    messages: Any = [{"role": "user", "name": "Ada", "content": "hello"}]
    assert client.chat.completions.create(model="fake:echo", messages=messages).choices[0].message.content == "Ada: hello"


def test_reasoning_is_told_apart(client: openai.OpenAI) -> None:
    message = client.chat.completions.create(model="fake:obeys", messages=says("think hard then say done")).choices[0].message
    assert message.content == "done"
    assert (message.model_extra or {})["reasoning_content"] == "hard"


def test_images_reach_models_that_see(client: openai.OpenAI) -> None:
    parts: Any = [{"type": "text", "text": "look:"}, {"type": "image_url", "image_url": {"url": picture(), "detail": "auto"}}]
    answer = client.chat.completions.create(model="fake:echo", messages=[{"role": "user", "content": parts}])
    assert "[image image/png" in (answer.choices[0].message.content or "")
    with pytest.raises(openai.BadRequestError, match="cannot see images") as caught:
        client.chat.completions.create(model="tiny", messages=[{"role": "user", "content": parts}])
    assert caught.value.param == "messages.0.content.1.image_url"


@pytest.mark.parametrize(
    ("url", "match"),
    [
        ("https://example.com/a.png", "remote_images"),
        ("http://127.0.0.1:9/a.png", "remote_images"),
        ("file:///etc/passwd", "data: URL"),
        ("/etc/passwd", "data: URL"),
        ("data:image/png;base64,AAAA", "not an image"),
        ("data:image/png;base64,%%%", "base64"),
        ("data:audio/wav;base64,AAAA", "image"),
        ("AAAA", "data: URL"),
    ],
)
def test_images_that_are_none_or_elsewhere(client: openai.OpenAI, url: str, match: str) -> None:
    content: Any = [{"type": "image_url", "image_url": {"url": url}}]
    with pytest.raises(openai.BadRequestError, match=match) as caught:
        client.chat.completions.create(model="fake:echo", messages=[{"role": "user", "content": content}])
    assert caught.value.param == "messages.0.content.0.image_url"


class Pictures(BaseHTTPRequestHandler):
    """A host with one picture."""

    def do_GET(self) -> None:
        body = base64.b64decode(picture().partition(",")[2])
        self.send_response(200)
        self.send_header("content-type", "image/png")
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *args: Any) -> None:
        """Not into the output of the tests."""


def test_images_elsewhere_are_fetched_where_that_is_allowed(tmp_path: Path) -> None:
    with ThreadingHTTPServer(("127.0.0.1", 0), Pictures) as host:
        threading.Thread(target=host.serve_forever, daemon=True).start()
        address = f"127.0.0.1:{host.server_port}"
        live = Live(home=tmp_path, settings={"remote_images": True, "allow": (address,)})
        live.start()
        try:
            for url, seen in ((f"http://{address}/a.png", True), ("http://127.0.0.1:9/a.png", False)):
                messages: Any = [{"role": "user", "content": [{"type": "image_url", "image_url": {"url": url}}]}]
                if seen:
                    answer = live.openai().chat.completions.create(model="fake:echo", messages=messages)
                    assert "[image image/png" in (answer.choices[0].message.content or "")
                else:
                    with pytest.raises(openai.PermissionDeniedError) as caught:
                        live.openai().chat.completions.create(model="fake:echo", messages=messages)
                    assert caught.value.code == "egress_refused"
        finally:
            live.stop()
            host.shutdown()


def test_a_context_can_be_asked_for(client: openai.OpenAI) -> None:
    """What a client of OpenAI's API cannot say elsewhere."""
    long = says("word " * 1500)
    with pytest.raises(openai.BadRequestError) as caught:
        client.chat.completions.create(model="tiny", messages=says("word " * 9000), max_tokens=1)
    assert caught.value.code == "context_length_exceeded"
    assert "4096" in caught.value.message
    answer = client.chat.completions.create(model="tiny", messages=long, max_tokens=1, extra_body={"num_ctx": 8192, "keep_alive": 60})
    assert answer.usage is not None
    assert answer.usage.prompt_tokens > 4096


def test_unknown_models_keys_and_fields(client: openai.OpenAI) -> None:
    with pytest.raises(openai.NotFoundError) as missing:
        client.chat.completions.create(model="gpt-6", messages=says("hello"))
    assert (missing.value.code, missing.value.param) == ("model_not_found", "model")
    with pytest.raises(openai.AuthenticationError) as unknown:
        client.with_options(api_key="hg-wrong").chat.completions.create(model="fake:echo", messages=says("hello"))
    assert unknown.value.code == "invalid_api_key"
    with pytest.raises(openai.BadRequestError) as private:
        client.chat.completions.create(model="fake:echo", messages=says("hello"), extra_body={"id_slot": 0})
    assert private.value.param == "id_slot"


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"null",
        b"[]",
        b"{",
        b'{"model": "fake:echo", "messages": NaN}',
        b'{"model": "fake:echo", "messages": [{"role": "user", "content": "\\ud800"}]}',
        b'{"model": "fake:echo", "messages": [{"role": "user", "content": "\xff"}]}',
        b'{"model": "fake:echo", "messages": ' + b"[" * 10_000,
        b'{"model": "fake:echo", "messages": [{"role": "user", "content": "x"}], "seed": ' + b"9" * 5000 + b"}",
        b'{"model": "fake:echo", "messages": [{"role": "user", "content": "x"}], "temperature": 1e999}',
        b'{"model": "fake:echo", "messages": [{"role": "user", "content": "x"}], "tools": [{"type": "function", "function": '
        b'{"name": "f", "parameters": {"maximum": 1e999}}}]}',
    ],
    ids=lambda body: repr(body[:60]),
)
def test_bodies_that_are_none(live: Live, body: bytes) -> None:
    response = httpx.post(f"{live.url}/v1/chat/completions", content=body)
    assert response.status_code == 400
    assert response.json()["error"]["type"] == "invalid_request_error"


def test_an_engine_that_dies_in_the_middle_is_an_error_of_the_stream(client: openai.OpenAI) -> None:
    stream = client.chat.completions.create(model="fake:dies", messages=says("hello"), stream=True)
    with pytest.raises(openai.APIError) as caught:
        list(stream)
    assert caught.value.code == "engine_crashed"
    with pytest.raises(openai.APIStatusError) as whole:
        client.chat.completions.create(model="fake:dies", messages=says("hello"))
    assert whole.value.status_code == 502


def test_an_error_before_the_first_word_is_a_response(client: openai.OpenAI) -> None:
    with pytest.raises(openai.APIStatusError):
        client.chat.completions.create(model="fake:obeys", messages=says("fail 503 not now"), stream=True)


def free_again(client: openai.OpenAI) -> float:
    """Seconds until a model whose slots were all taken answers somebody else."""
    started = time.monotonic()
    with client.chat.completions.create(model="fake:stalls", messages=says("hello"), stream=True) as stream:
        next(iter(stream))
    return time.monotonic() - started


def test_a_client_that_leaves_a_stream_frees_its_slot(client: openai.OpenAI) -> None:
    streams = [client.chat.completions.create(model="fake:stalls", messages=says("hello"), stream=True) for _ in range(4)]
    for stream in streams:
        next(iter(stream))
        stream.close()
    assert free_again(client) < 1.5


async def test_a_client_that_leaves_before_its_answer_frees_its_slot(live: Live) -> None:
    async with live.async_openai() as client:
        waiting = [asyncio.create_task(client.chat.completions.create(model="fake:stalls", messages=says("hello"))) for _ in range(4)]
        await asyncio.sleep(0.4)
        for task in waiting:
            task.cancel()
        await asyncio.gather(*waiting, return_exceptions=True)
    assert await asyncio.to_thread(free_again, live.openai()) < 1.5


async def test_many_ask_at_once(live: Live) -> None:
    async with live.async_openai() as client:

        async def ask(number: int) -> str:
            stream = await client.chat.completions.create(model="fake:echo", messages=says(f"number {number}"), stream=True)
            return "".join([chunk.choices[0].delta.content or "" async for chunk in stream])

        assert await asyncio.gather(*(ask(number) for number in range(12))) == [f"number {number}" for number in range(12)]
        answer = await client.chat.completions.create(model="tiny", messages=says("hello"), max_tokens=3)
        assert isinstance(answer, ChatCompletion)
        parsed = await client.chat.completions.parse(model="fake:echo", messages=says("hello"), response_format=Weather)
        assert isinstance(parsed.choices[0].message.parsed, Weather)
