"""Stored chat completions through the official SDK: kept when asked for, found again as they were said, changed, removed; nobody else's."""

from __future__ import annotations

import asyncio
import contextlib
import json
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import openai
import pytest
from openai.types.chat import ChatCompletion, ChatCompletionDeleted, ChatCompletionStoreMessage
from pydantic import BaseModel

from hausgeist.errors import DiskFull
from tests.contract.conftest import Live
from tests.contract.exact import exact
from tests.contract.test_openai_chat import TIME, WEATHER, picture, says


@pytest.fixture(scope="module")
def live(tmp_path_factory: pytest.TempPathFactory, specimens: dict[str, Path]) -> Iterator[Live]:
    """A server of its own: what is listed is what these tests stored."""
    server = Live(home=tmp_path_factory.mktemp("home"), files=[specimens["tiny"]])
    server.start()
    yield server
    server.stop()


@pytest.fixture
def client(live: Live) -> openai.OpenAI:
    return live.openai()


def rows(live: Live) -> int:
    return int(live.app.database.read(lambda connection: connection.exec_driver_sql("SELECT count(*) FROM completions").scalar_one()))


def keyed(live: Live, user: str, *, role: Any = "member", project: str = "default") -> openai.OpenAI:
    """Somebody else's client."""
    with contextlib.suppress(Exception):
        live.run(live.app.workspace.create_user(user))
    live.run(live.app.workspace.set_member(project, user, role))
    _, key = live.run(live.app.workspace.create_key(project=project, name=f"{user}'s", role=role, user=user))
    return openai.OpenAI(base_url=f"{live.url}/v1", api_key=key, max_retries=0)


def without_reasoning(text: str) -> Any:
    """What the SDK's types name: the reasoning of models that think is beside them."""
    sent = json.loads(text)
    for choice in sent["choices"]:
        choice["message"].pop("reasoning_content", None)
    return sent


@pytest.mark.parametrize("model", ["fake:echo", "tiny"])
def test_an_answer_is_kept_as_it_was_said(client: openai.OpenAI, model: str) -> None:
    made = client.chat.completions.create(
        model=model, messages=says("hello"), store=True, metadata={"for": "a"}, max_tokens=5, service_tier="auto", logprobs=True, top_logprobs=2
    )
    raw = client.chat.completions.with_raw_response.retrieve(made.id)
    kept = exact(ChatCompletion, json.loads(raw.text))
    assert kept.metadata == {"for": "a"}
    assert kept.model_dump(exclude={"metadata"}) == made.model_dump(exclude={"metadata"})
    assert kept.usage is not None
    assert kept.usage.completion_tokens > 0


def test_nothing_is_kept_unasked(client: openai.OpenAI, live: Live) -> None:
    before = rows(live)
    for store in (None, False):
        made = client.chat.completions.create(model="fake:echo", messages=says("hello"), store=store)
        with pytest.raises(openai.NotFoundError, match="'store': true"):
            client.chat.completions.retrieve(made.id)
    list(client.chat.completions.create(model="fake:echo", messages=says("hello"), stream=True))
    assert rows(live) == before


def test_metadata_belongs_to_what_is_stored(client: openai.OpenAI) -> None:
    with pytest.raises(openai.BadRequestError, match="'metadata' is only allowed when 'store' is true"):
        client.chat.completions.create(model="fake:echo", messages=says("hello"), metadata={"a": "b"})
    wrong: list[dict[str, str]] = [{"k" * 65: "v"}, {"k": "v" * 513}, {str(number): "v" for number in range(17)}, {"": "v"}, {"k": "a\0"}]
    for metadata in wrong:
        with pytest.raises(openai.BadRequestError, match="metadata"):
            client.chat.completions.create(model="fake:echo", messages=says("hello"), store=True, metadata=metadata)


@pytest.mark.parametrize(
    ("model", "asked"),
    [
        ("fake:echo", {"messages": says("what is said in parts, [DONE] too")}),
        ("tiny", {"messages": says("hello"), "max_tokens": 12, "seed": 3}),
        ("fake:echo", {"messages": says("two of them"), "n": 2}),
        ("tiny", {"messages": says("hello"), "max_tokens": 6, "logprobs": True, "top_logprobs": 1}),
        ("fake:obeys", {"messages": says('call weather {"city": "Bonn", "days": 2}\ncall time {}'), "tools": [WEATHER, TIME]}),
        ("fake:obeys", {"messages": says("think hard then say so"), "service_tier": "default"}),
    ],
)
def test_a_stream_is_kept_as_a_whole_answer(client: openai.OpenAI, model: str, asked: Any) -> None:
    with client.chat.completions.stream(model=model, store=True, metadata={"a": "ä"}, stream_options={"include_usage": True}, **asked) as stream:
        try:
            said: ChatCompletion = stream.get_final_completion()
        except openai.LengthFinishReasonError as cut:
            said = cut.completion
    kept = client.chat.completions.retrieve(said.id)
    assert kept.metadata == {"a": "ä"}
    exact(ChatCompletion, without_reasoning(client.chat.completions.with_raw_response.retrieve(said.id).text))
    assert [choice.index for choice in kept.choices] == list(range(asked.get("n", 1)))
    for mine, theirs in zip(kept.choices, said.choices, strict=True):
        assert mine.finish_reason == theirs.finish_reason
        assert (mine.message.content or "") == (theirs.message.content or "")
        assert [call.to_dict() for call in mine.message.tool_calls or []] == [
            {"id": call.id, "type": "function", "function": {"name": call.function.name, "arguments": call.function.arguments}}
            for call in theirs.message.tool_calls or []
        ]
        if asked.get("logprobs"):
            assert mine.logprobs == theirs.logprobs
    assert kept.usage is not None
    assert said.usage is not None
    assert kept.usage.total_tokens == said.usage.total_tokens
    assert kept.service_tier == said.service_tier


def test_several_streamed_answers_are_kept_each_in_its_place(client: openai.OpenAI) -> None:
    asked: Any = {"model": "tiny", "messages": says("two"), "n": 2, "max_tokens": 6, "logprobs": True, "store": True, "stream": True}
    said = {0: "", 1: ""}
    likely: dict[int, list[Any]] = {0: [], 1: []}
    for chunk in client.chat.completions.create(**asked):
        for choice in chunk.choices:
            said[choice.index] += choice.delta.content or ""
            likely[choice.index] += (choice.logprobs.content or []) if choice.logprobs else []
    kept = client.chat.completions.retrieve(chunk.id)
    assert {choice.index: choice.message.content for choice in kept.choices} == said
    assert {choice.index: choice.logprobs.content if choice.logprobs else None for choice in kept.choices} == likely
    # A model of random weights may find an end by chance.
    assert all(len(likely[choice.index]) == 6 or choice.finish_reason == "stop" for choice in kept.choices)


def test_a_stream_that_does_not_tell_its_usage_has_it_in_the_store(client: openai.OpenAI) -> None:
    chunks = list(client.chat.completions.create(model="fake:echo", messages=says("hello there"), store=True, stream=True))
    assert all(chunk.usage is None and chunk.choices for chunk in chunks)
    kept = client.chat.completions.retrieve(chunks[0].id)
    assert kept.usage is not None
    assert kept.usage.completion_tokens == 2


async def test_who_leaves_in_the_middle_keeps_nothing(live: Live) -> None:
    before = rows(live)
    async with live.async_openai() as client:
        stream = await client.chat.completions.create(model="fake:obeys", messages=says("count 3\nstall"), store=True, stream=True)
        async for _ in stream:
            break
        await stream.close()
        with pytest.raises(openai.APITimeoutError):
            await client.with_options(timeout=0.5).chat.completions.create(model="fake:obeys", messages=says("wait 5"), store=True)
        failing = await client.chat.completions.create(model="fake:obeys", messages=says("say a\nfail 500 gone"), store=True, stream=True)
        with pytest.raises(openai.APIError):
            [chunk async for chunk in failing]
        # Behind all of them: what came before has been settled.
        await client.chat.completions.create(model="fake:echo", messages=says("whole"), store=True)
    await asyncio.sleep(0.2)
    assert rows(live) == before + 1


def test_the_messages_of_a_completion(client: openai.OpenAI) -> None:
    messages: Any = [
        {"role": "system", "content": "Be kind."},
        {"role": "user", "content": "call time", "name": "ada"},
        {"role": "assistant", "tool_calls": [{"id": "call_1", "type": "function", "function": {"name": "time", "arguments": "{}"}}]},
        {"role": "tool", "tool_call_id": "call_1", "content": "noon"},
        {"role": "assistant", "content": [{"type": "text", "text": "Noon."}, {"type": "refusal", "refusal": "No more."}]},
        {"role": "user", "content": [{"type": "text", "text": "And now?"}]},
    ]
    made = client.chat.completions.create(model="fake:obeys", messages=messages, store=True)
    first = client.chat.completions.messages.list(made.id, limit=4)
    assert first.has_more
    found = list(first)
    assert [message.id for message in found] == [f"{made.id}-{number}" for number in range(6)]
    assert [str(message.role) for message in found] == [message["role"] for message in messages]
    assert [message.content for message in found] == ["Be kind.", "call time", None, "noon", None, None]
    assert found[2].tool_calls is not None
    assert found[2].tool_calls[0].to_dict() == messages[2]["tool_calls"][0]
    assert found[4].refusal == "No more."
    assert [[part.to_dict() for part in message.content_parts or []] for message in found[4:]] == [
        [{"type": "text", "text": "Noon."}],
        [{"type": "text", "text": "And now?"}],
    ]
    # The SDK's type knows no other role than the assistant's, and neither names nor calls of the others; OpenAI sends them all the same.
    for message in json.loads(client.chat.completions.messages.with_raw_response.list(made.id).text)["data"]:
        beyond = {"name", "tool_call_id"} & message.keys()
        exact(ChatCompletionStoreMessage, {**{name: value for name, value in message.items() if name not in beyond}, "role": "assistant"})
    backwards = client.chat.completions.messages.list(made.id, order="desc", limit=2)
    assert [message.id for message in backwards.data] == [f"{made.id}-5", f"{made.id}-4"]
    with pytest.raises(openai.NotFoundError, match="no message"):
        client.chat.completions.messages.list(made.id, after="msg_other")


def test_images_come_back_as_they_were_sent(live: Live, client: openai.OpenAI) -> None:
    image = {"type": "image_url", "image_url": {"url": picture(), "detail": "high"}}
    made = client.chat.completions.create(model="fake:echo", messages=[{"role": "user", "content": [image]}], store=True)  # type: ignore[list-item,misc]
    (message,) = client.chat.completions.messages.list(made.id).data
    assert [part.to_dict() for part in message.content_parts or []] == [image]


def test_a_list_in_pages(live: Live) -> None:
    with keyed(live, "lister") as client:
        made = [
            client.chat.completions.create(
                model="fake:echo" if number % 2 else "fake:obeys", messages=says("say it"), store=True,
                metadata={"number": str(number), "odd'\"key": "x" if number % 3 else "y%"},
            ).id
            for number in range(7)
        ]  # fmt: skip
        listed = client.chat.completions.list
        assert [one.id for one in listed(limit=3)] == made
        assert [one.id for one in listed(limit=2, order="desc")] == made[::-1]
        assert [one.id for one in listed(after=made[2], limit=2).data] == made[3:5]
        assert [one.id for one in listed(after=made[2], order="desc").data] == made[1::-1]
        assert [one.id for one in listed(model="fake:echo", limit=2)] == made[1::2]
        assert [one.id for one in listed(metadata={"number": "4"})] == made[4:5]
        assert [one.id for one in listed(metadata={"odd'\"key": "y%"}, order="desc")] == [made[6], made[3], made[0]]
        assert [one.id for one in listed(metadata={"odd'\"key": "y%", "number": "3"})] == [made[3]]
        assert listed(metadata={"number": "4", "other": "x"}).data == []
        page = json.loads(client.chat.completions.with_raw_response.list(limit=2).text)
        assert {name: page[name] for name in page if name != "data"} == {
            "object": "list", "first_id": made[0], "last_id": made[1], "has_more": True
        }  # fmt: skip
        for one in page["data"]:
            exact(ChatCompletion, one)
        assert not listed(limit=7).has_more


def test_what_is_wrong_with_a_list_is_said(client: openai.OpenAI, live: Live) -> None:
    wrong: list[tuple[dict[str, str], str]] = [
        ({"limit": "0"}, "limit"), ({"limit": "101"}, "limit"), ({"limit": "x"}, "limit"), ({"order": "up"}, "order"), ({"offset": "1"}, "offset"),
        ({"model[x]": "1"}, "model[x]"),
    ]  # fmt: skip
    for query, param in wrong:
        answer = httpx.get(f"{live.url}/v1/chat/completions", params=query)
        assert answer.status_code == 400, answer.text
        assert answer.json()["error"]["param"] == param
    with pytest.raises(openai.NotFoundError, match="begin again without 'after'"):
        client.chat.completions.list(after="chatcmpl-nothing")


def test_metadata_are_replaced(client: openai.OpenAI) -> None:
    made = client.chat.completions.create(model="fake:echo", messages=says("hello"), store=True, metadata={"a": "1", "b": "2"})
    changed = client.chat.completions.update(made.id, metadata={"c": "3"})
    assert changed.metadata == {"c": "3"}
    assert client.chat.completions.retrieve(made.id).metadata == {"c": "3"}
    assert client.chat.completions.update(made.id, metadata=None).metadata == {}
    with pytest.raises(openai.BadRequestError, match="metadata"):
        client.chat.completions.update(made.id, metadata={"k" * 65: "v"})
    with pytest.raises(openai.NotFoundError):
        client.chat.completions.update("chatcmpl-nothing", metadata={})


def test_what_is_removed_is_gone(client: openai.OpenAI, live: Live) -> None:
    made = client.chat.completions.create(model="fake:echo", messages=says("hello"), store=True)
    exact(ChatCompletionDeleted, json.loads(client.chat.completions.with_raw_response.delete(made.id).text))
    for again in (client.chat.completions.retrieve, client.chat.completions.delete, client.chat.completions.messages.list):
        with pytest.raises(openai.NotFoundError):
            again(made.id)
    live.run(live.app.governor.flush())
    (row,) = live.app.governor.audit.entries(action="completion.delete", limit=1)
    assert (row.target, row.outcome) == (made.id, "allowed")


def test_nobody_sees_what_others_stored(live: Live) -> None:
    live.run(live.app.workspace.create_project("papers"))
    papers = live.app.workspace.project("papers").id
    with keyed(live, "ada") as ada, keyed(live, "bob", role="owner") as bob, keyed(live, "ada", project=papers) as elsewhere:
        made = ada.chat.completions.create(model="fake:echo", messages=says("mine"), store=True, metadata={"a": "b"})
        for other in (bob, elsewhere):
            assert [one.id for one in other.chat.completions.list(metadata={"a": "b"})] == []
            for verb in (other.chat.completions.retrieve, other.chat.completions.delete, other.chat.completions.messages.list):
                with pytest.raises(openai.NotFoundError):
                    verb(made.id)
            with pytest.raises(openai.NotFoundError):
                other.chat.completions.update(made.id, metadata={})
            with pytest.raises(openai.NotFoundError):
                other.chat.completions.list(after=made.id)
        assert ada.chat.completions.retrieve(made.id).metadata == {"a": "b"}


def test_a_full_disk_does_not_take_the_answer_away(
    client: openai.OpenAI, live: Live, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    before = rows(live)
    whole = live.app.database.write

    async def write(fn: Any, **options: Any) -> Any:
        if "Completions" in getattr(fn, "__qualname__", ""):
            raise DiskFull()
        return await whole(fn, **options)

    monkeypatch.setattr(live.app.database, "write", write)
    answer = client.chat.completions.create(model="fake:echo", messages=says("hello"), store=True)
    assert answer.choices[0].message.content == "hello"
    chunks = list(client.chat.completions.create(model="fake:echo", messages=says("hello"), store=True, stream=True))
    assert chunks[-1].choices[0].finish_reason == "stop"
    assert caplog.text.count("could not be stored: The disk is full") == 2
    assert rows(live) == before


def test_the_first_token_does_not_wait_for_the_store(client: openai.OpenAI, live: Live, monkeypatch: pytest.MonkeyPatch) -> None:
    whole = live.app.database.write

    async def write(fn: Any, **options: Any) -> Any:
        if "Completions" in getattr(fn, "__qualname__", ""):
            await asyncio.sleep(0.5)
        return await whole(fn, **options)

    monkeypatch.setattr(live.app.database, "write", write)
    started = time.monotonic()
    came: list[float] = []
    name = ""
    for chunk in client.chat.completions.create(model="fake:echo", messages=says("one two three"), store=True, stream=True):
        came.append(time.monotonic() - started)
        name = chunk.id
    ended = time.monotonic() - started
    assert ended - came[-1] > 0.4, "all that was said came before it was stored, and the end of the stream after it"
    assert client.chat.completions.retrieve(name).choices[0].message.content == "one two three"


async def test_the_asynchronous_client(live: Live) -> None:
    async with live.async_openai() as client:
        made = await client.chat.completions.create(model="fake:echo", messages=says("hi"), store=True, metadata={"how": "async"})
        assert [one.id async for one in client.chat.completions.list(metadata={"how": "async"})] == [made.id]
        assert [message.content async for message in client.chat.completions.messages.list(made.id)] == ["hi"]
        assert (await client.chat.completions.update(made.id, metadata={"how": "so"})).metadata == {"how": "so"}
        assert (await client.chat.completions.retrieve(made.id)).choices[0].message.content == "hi"
        assert (await client.chat.completions.delete(made.id)).deleted


def test_what_the_sdk_adds_to_answers_is_not_kept_with_them(client: openai.OpenAI) -> None:
    call = {"id": "call_1", "type": "function", "index": 0, "function": {"name": "f", "arguments": "{}", "parsed_arguments": {"a": 1}}}
    messages: Any = [
        *says("again"),
        {"role": "assistant", "content": "x", "parsed": {"a": 1}, "tool_calls": [call]},
        {"role": "tool", "tool_call_id": "call_1", "content": "y"},
    ]
    made = client.chat.completions.create(model="fake:echo", messages=messages, store=True)
    kept = client.chat.completions.messages.list(made.id).data[1].to_dict()
    assert "parsed" not in kept
    assert kept["tool_calls"] == [{"id": "call_1", "type": "function", "function": {"name": "f", "arguments": "{}"}}]


def test_a_parsed_answer_is_kept(client: openai.OpenAI) -> None:
    class Colour(BaseModel):
        name: str

    parsed = client.chat.completions.parse(model="fake:obeys", messages=says('json {"name": "red"}'), response_format=Colour, store=True)
    kept = client.chat.completions.retrieve(parsed.id)
    assert Colour.model_validate_json(kept.choices[0].message.content or "") == parsed.choices[0].message.parsed
