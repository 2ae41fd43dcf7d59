"""The fake engine: its manners, the little language of `obeys`, pacing, slots, scripts, and bodies that are wrong on purpose."""

import asyncio
import json
import math
import time
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hausgeist.engines import WorkerGone
from hausgeist.engines.fake import Fake
from hausgeist.engines.fake.schema import instance
from hausgeist.engines.fake.text import detokenize, embed, pieces, relevance, tokenize
from hausgeist.errors import InvalidRequest, LoadFailed, NotSupported
from hausgeist.model import LaunchPlan, Task

WEATHER = {
    "type": "function",
    "function": {"name": "weather", "parameters": {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]}},
}


async def load(name: str = "fake:obeys", *, task: Task = "generate", context: int = 4096, slots: int = 4, fake: Fake | None = None):
    engine = fake or Fake()
    model = engine.model(name)
    assert model is not None, name
    return await engine.load(LaunchPlan(model=model, task=task, context=context, slots=slots))


async def ask(worker, operation: str = "chat", **body: Any) -> tuple[int, Any]:
    reply = await worker.call(operation, json.dumps(body).encode())
    try:
        return reply.status, json.loads(await reply.read())
    finally:
        await reply.close()


async def say(worker, text: str, **body: Any) -> dict[str, Any]:
    status, reply = await ask(worker, messages=[{"role": "user", "content": text}], **body)
    assert status == 200, reply
    return reply["choices"][0]


async def content(worker, text: str, **body: Any) -> str:
    return (await say(worker, text, **body))["message"]["content"]


async def events(worker, text: str, **body: Any) -> list[dict[str, Any]]:
    reply = await worker.call("chat", json.dumps({"messages": [{"role": "user", "content": text}], "stream": True, **body}).encode())
    assert reply.streaming
    raw = await reply.read()
    await reply.close()
    assert raw.endswith(b"data: [DONE]\n\n")
    return [json.loads(block[6:]) for block in raw.decode().split("\n\n") if block and block != "data: [DONE]"]


async def test_models_are_listed_and_others_made_on_demand(tmp_path: Path) -> None:
    fake = Fake(home=tmp_path)
    assert [model.id for model in await fake.models()] == [f"fake:{name}" for name in ("echo", "obeys", "misquotes", "invents", "stalls", "dies")]
    paced = fake.model("fake:echo@50")
    assert paced is not None
    assert paced.id == "fake:echo@50"
    assert not paced.removable
    assert fake.model("fake:nothing") is None
    assert fake.model("echo") is None
    assert fake.model("fake:") is None
    assert fake.model("fake:a\0b") is None


async def test_echo_repeats_what_the_user_said_last() -> None:
    worker = await load("fake:echo")
    messages = [{"role": "user", "content": "one"}, {"role": "assistant", "content": "two"}, {"role": "user", "content": "Grüße,  世界\n🦊"}]
    status, reply = await ask(worker, messages=messages)
    assert status == 200
    assert reply["choices"][0]["message"] == {"role": "assistant", "content": "Grüße,  世界\n🦊"}
    assert reply["model"] == "fake:echo"
    assert reply["usage"]["prompt_tokens"] > reply["usage"]["completion_tokens"] > 3


async def test_echo_sees_parts_and_images() -> None:
    worker = await load("fake:echo")
    parts = [{"type": "text", "text": "look"}, {"type": "image_url", "image_url": {"url": "data:image/png;base64,AAAA"}}]
    _, reply = await ask(worker, messages=[{"role": "user", "content": parts}])
    assert reply["choices"][0]["message"]["content"] == "look\n[image image/png, 3 bytes]"
    status, _ = await ask(worker, messages=[{"role": "user", "content": [{"type": "image_url", "image_url": {"url": "http://x/y.png"}}]}])
    assert status == 400


@pytest.mark.parametrize(
    ("told", "said"),
    [
        ("say hello  there", "hello  there"),
        ("Say: hello", "hello"),
        ("say a\nsay b", "a\nb"),
        ("count 5", "1 2 3 4 5"),
        ("length 3", " la la la"),
        ("length 0", ""),
        ('json {"a": [1, 2]}', '{"a": [1, 2]}'),
        ("json", "{}"),
        ("call weather {}", "I have no tool called 'weather'."),
    ],
)
async def test_obeys_does_what_it_is_told(told: str, said: str) -> None:
    assert await content(await load(), told) == said


async def test_obeys_lists_what_it_understands_when_it_does_not() -> None:
    assert "count N" in await content(await load(), "dance")


async def test_obeys_thinks_before_it_speaks_unless_told_not_to() -> None:
    worker = await load()
    choice = await say(worker, "think carefully now then say done")
    assert choice["message"]["reasoning_content"] == "carefully now"
    assert choice["message"]["content"] == "done"
    for off in ({"reasoning_effort": "none"}, {"chat_template_kwargs": {"enable_thinking": False}}, {"reasoning_budget_tokens": 0}):
        assert (await say(worker, "think x then say done", **off))["message"] == {"role": "assistant", "content": "done"}
    deltas = [event["choices"][0]["delta"] for event in await events(worker, "think hm then say done")]
    assert deltas == [{"role": "assistant", "content": None}, {"reasoning_content": "hm"}, {"content": "done"}, {}]


async def test_obeys_calls_tools_side_by_side_and_then_goes_on() -> None:
    worker = await load()
    told = 'call weather {"city": "Bonn"}\ncall weather\nsay both asked'
    first = await say(worker, told, tools=[WEATHER])
    assert first["finish_reason"] == "tool_calls"
    calls = first["message"]["tool_calls"]
    assert [json.loads(call["function"]["arguments"]) for call in calls] == [{"city": "Bonn"}, {"city": "text"}]
    assert len({call["id"] for call in calls}) == 2
    messages = [
        {"role": "user", "content": told},
        {"role": "assistant", "content": None, "tool_calls": calls},
        {"role": "tool", "tool_call_id": calls[0]["id"], "content": "rain"},
    ]
    _, reply = await ask(worker, messages=messages, tools=[WEATHER])
    assert reply["choices"][0]["message"]["content"] == "both asked"
    messages[0]["content"] = "call weather"
    _, reply = await ask(worker, messages=messages, tools=[WEATHER])
    assert reply["choices"][0]["message"]["content"] == "rain"


async def test_tool_choice_is_obeyed() -> None:
    worker = await load()
    other = {"type": "function", "function": {"name": "clock", "parameters": {"type": "object", "properties": {"zone": {"enum": ["CET"]}}}}}
    required = await say(worker, "say hi", tools=[WEATHER], tool_choice="required")
    assert required["message"]["tool_calls"][0]["function"] == {"name": "weather", "arguments": '{"city": "text"}'}
    named = await say(worker, "call weather", tools=[WEATHER, other], tool_choice={"type": "function", "function": {"name": "clock"}})
    assert [call["function"] for call in named["message"]["tool_calls"]] == [{"name": "clock", "arguments": '{"zone": "CET"}'}]
    assert "tool_calls" not in (await say(worker, "call weather {}", tools=[WEATHER], tool_choice="none"))["message"]
    single = await say(worker, "call weather\ncall weather", tools=[WEATHER], parallel_tool_calls=False)
    assert len(single["message"]["tool_calls"]) == 1
    status, _ = await ask(
        worker, messages=[{"role": "user", "content": "x"}], tools=[WEATHER], tool_choice={"type": "function", "function": {"name": "?"}}
    )
    assert status == 400


async def test_schema_is_obeyed_with_the_values_that_fit() -> None:
    schema = {"type": "object", "properties": {"name": {"type": "string"}, "age": {"type": "integer", "minimum": 18}}, "required": ["name", "age"]}
    form = {"type": "json_schema", "json_schema": {"name": "x", "schema": schema}}
    worker = await load()
    assert json.loads(await content(worker, "json", response_format=form)) == {"name": "text", "age": 18}
    assert json.loads(await content(worker, 'json {"name": "Ada", "age": "old"}', response_format=form)) == {"name": "Ada", "age": 18}
    assert json.loads(await content(worker, "say nothing of the kind", response_format={"type": "json_object"})) == {}
    assert json.loads(await content(await load("fake:echo"), "x", response_format=form)) == {"name": "text", "age": 18}


async def test_failures_are_told_before_and_within_a_stream() -> None:
    worker = await load()
    body = {"messages": [{"role": "user", "content": "fail 503 out of order"}]}
    for more in ({}, {"stream": True}):
        status, reply = await ask(worker, **body, **more)
        assert (status, reply["error"]["message"], reply["error"]["type"]) == (503, "out of order", "unavailable_error")
    reply = await worker.call("chat", json.dumps({"messages": [{"role": "user", "content": "say a\nfail"}], "stream": True}).encode())
    raw = (await reply.read()).decode()
    assert '"content":"a"' in raw
    assert json.loads(raw.strip().split("data: ")[-1])["error"]["code"] == 500
    assert not any(slot.busy for slot in await worker.slots())


async def test_misquotes_changes_a_word_of_what_it_was_given() -> None:
    worker = await load("fake:misquotes")
    source = "The tower was built by seven masons."
    said = await content(worker, f"[1] {source}\n[2] It has 300 steps in all.\n\nWho built it?")
    assert source not in said
    assert "300" not in said
    assert '"The tower was built by seven' in said
    assert "[1]" in said
    assert "[2]" in said
    assert "quote" in await content(worker, "Who?")


async def test_invents_cites_what_is_not_there() -> None:
    said = await content(await load("fake:invents"), "[1] a\n[7] b\nWhat?")
    assert said.endswith("[11].")


async def test_limits_end_the_answer_and_say_why() -> None:
    worker = await load()
    cut = await say(worker, "count 50", max_tokens=3)
    assert (cut["message"]["content"], cut["finish_reason"]) == ("1 2 3", "length")
    assert (await say(worker, "count 50", max_completion_tokens=0))["finish_reason"] == "length"
    assert (await say(worker, "count 3", max_tokens=-1))["finish_reason"] == "stop"
    small = await load(context=40)
    assert (await say(small, "length 500"))["finish_reason"] == "length"


async def test_stop_is_never_said_and_is_told() -> None:
    worker = await load()
    status, reply = await ask(worker, messages=[{"role": "user", "content": "say ab\nsay cd"}], stop=["x", "b\nc"], verbose=True)
    assert status == 200
    assert reply["choices"][0]["message"]["content"] == "a"
    assert reply["__verbose"]["stopping_word"] == "b\nc"
    streamed = await events(worker, "count 9", stop="5", verbose=True)
    assert "".join(event["choices"][0]["delta"].get("content") or "" for event in streamed) == "1 2 3 4 "
    assert streamed[-1]["__verbose"]["stopping_word"] == "5"


async def test_several_choices_share_slots_and_usage() -> None:
    worker = await load(slots=3)
    _, reply = await ask(worker, messages=[{"role": "user", "content": "count 4"}], n=3)
    assert [choice["index"] for choice in reply["choices"]] == [0, 1, 2]
    assert reply["usage"]["completion_tokens"] == 12
    status, reply = await ask(worker, messages=[{"role": "user", "content": "count 4"}], n=4)
    assert status == 400
    assert "3" in reply["error"]["message"]


async def test_stream_has_the_form_of_llama_servers() -> None:
    streamed = await events(await load(), "count 2", stream_options={"include_usage": True})
    assert streamed[0]["choices"][0]["delta"] == {"role": "assistant", "content": None}
    assert [event["choices"][0]["finish_reason"] for event in streamed[:-1]] == [None, None, None, "stop"]
    assert streamed[-1]["choices"] == []
    assert streamed[-1]["usage"]["completion_tokens"] == 2
    assert streamed[-1]["timings"]["predicted_n"] == 2


async def test_pace_is_steady() -> None:
    worker = await load("fake:obeys@100", slots=8)
    started = time.monotonic()
    answers = await asyncio.gather(*(say(worker, "length 30") for _ in range(8)))
    taken = time.monotonic() - started
    assert len(answers) == 8
    assert 0.29 < taken < 1.5, "30 tokens at 100 a second, eight side by side"
    unpaced = await load("fake:obeys")
    started = time.monotonic()
    await say(unpaced, "length 2000")
    assert time.monotonic() - started < 1


async def test_wait_waits() -> None:
    started = time.monotonic()
    assert await content(await load(), "wait 0.2\nsay late") == "late"
    assert time.monotonic() - started >= 0.2


async def test_slots_queue_in_order_and_are_freed_by_closing() -> None:
    worker = await load("fake:stalls", slots=1)
    body = json.dumps({"messages": [{"role": "user", "content": "x"}], "stream": True}).encode()
    first = await worker.call("chat", body)
    chunks = first.chunks()
    await anext(chunks)
    assert [slot.busy for slot in await worker.slots()] == [True]
    waiting = asyncio.create_task(worker.call("chat", body))
    given_up = asyncio.create_task(worker.call("chat", body))
    await asyncio.sleep(0.02)
    assert not waiting.done()
    given_up.cancel()
    await asyncio.gather(given_up, return_exceptions=True)
    await first.close()
    second = await asyncio.wait_for(waiting, 1)
    assert [chunk async for chunk in chunks][-1:] != [b"data: [DONE]\n\n"], "a closed answer just ends"
    await second.close()
    assert [slot.busy for slot in await worker.slots()] == [False]


async def test_a_cancelled_call_leaves_no_slot_taken() -> None:
    worker = await load("fake:stalls", slots=1)
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.05):
            await ask(worker, messages=[{"role": "user", "content": "x"}])
    assert [slot.busy for slot in await worker.slots()] == [False]


async def test_reading_ends_when_another_task_closes() -> None:
    worker = await load("fake:stalls")
    reply = await worker.call("chat", json.dumps({"messages": [{"role": "user", "content": "x"}], "stream": True}).encode())
    reading = asyncio.create_task(reply.read())
    await asyncio.sleep(0.02)
    await reply.close()
    assert b"[DONE]" not in await asyncio.wait_for(reading, 1)


async def test_dying_takes_every_answer_with_it() -> None:
    worker = await load("fake:obeys@100")
    ended = asyncio.create_task(worker.wait())
    other = await worker.call("chat", json.dumps({"messages": [{"role": "user", "content": "length 900"}], "stream": True}).encode())
    with pytest.raises(WorkerGone, match="told to"):
        await say(worker, "say goodbye\ndie")
    with pytest.raises(WorkerGone):
        await other.read()
    assert not worker.alive
    assert "told to" in await asyncio.wait_for(ended, 1)
    with pytest.raises(WorkerGone):
        await say(worker, "say x")
    assert not any(slot.busy for slot in await worker.slots())


async def test_closing_a_worker_interrupts_its_answers() -> None:
    worker = await load("fake:stalls")
    running = asyncio.create_task(say(worker, "x"))
    await asyncio.sleep(0.02)
    await worker.close()
    await worker.close()
    with pytest.raises(WorkerGone, match="closed"):
        await running


async def test_caches_are_kept_per_slot() -> None:
    worker = await load(slots=2)

    async def cached(text: str, **more: Any) -> int:
        _, reply = await ask(worker, messages=[{"role": "user", "content": text}], **more)
        return reply["usage"]["prompt_tokens_details"]["cached_tokens"]

    long = "say " + "word " * 50
    assert await cached(long, id_slot=0) == 0
    assert await cached(long, id_slot=0) > 50
    assert await cached(long, id_slot=1) < 10
    assert await cached(long, id_slot=0, cache_prompt=False) == 0


async def test_completion_and_infill() -> None:
    worker = await load()
    status, reply = await ask(worker, "completion", prompt=["say a", tokenize("say b")], n=2)
    assert status == 200
    assert [choice["text"] for choice in reply["choices"]] == ["a", "a", "b", "b"]
    status, reply = await ask(worker, "infill", input_prefix="x = 1\n# say y = 2", input_suffix="\n")
    assert (status, reply["content"], reply["stop_type"]) == (200, "y = 2", "eos")


async def test_tasks_are_kept_apart() -> None:
    with pytest.raises(NotSupported):
        await (await load(task="embed")).call("chat", b"{}")
    with pytest.raises(NotSupported):
        await (await load()).call("embeddings", b"{}")


async def test_embeddings_and_rerank_follow_the_words() -> None:
    def near(one: str, other: str) -> float:
        return math.fsum(a * b for a, b in zip(embed(one), embed(other), strict=True))

    assert near("the cat sleeps", "a sleeping cat") > near("the cat sleeps", "interest rates rise") + 0.2
    assert relevance("red fox", "the red fox") > relevance("red fox", "the red hen") > relevance("red fox", "a blue hen") == 0
    worker = await load(task="rerank")
    _, reply = await ask(worker, "rerank", query="red fox", documents=["hen", "the fox is red"], top_n=1, return_documents=True)
    assert reply["results"][0]["document"] == {"text": "the fox is red"}
    worker = await load(task="embed")
    _, reply = await ask(worker, "embeddings", input=["", "x"])
    assert reply["error"]["message"] == "Input content cannot be empty"
    _, reply = await ask(worker, "embeddings", input="x y", dimensions=16)
    assert len(reply["data"][0]["embedding"]) == 16


async def test_over_context_is_said_as_llama_server_says_it() -> None:
    status, reply = await ask(await load(context=16), messages=[{"role": "user", "content": "word " * 40}])
    assert status == 400
    error = reply["error"]
    assert (error["code"], error["type"], error["n_ctx"]) == (400, "exceed_context_size_error", 16)
    assert error["n_prompt_tokens"] > 40
    assert f"({error['n_prompt_tokens']} tokens)" in error["message"]


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"[]",
        b"\xff",
        b"[" * 100_000,
        b'{"messages": null}',
        b'{"messages": [1]}',
        b'{"messages": [{"role": "user"}]}',
        b'{"messages": [], "n": 0}',
        b'{"messages": [], "n": 1e400}',
        b'{"messages": [], "stop": [1]}',
        b'{"messages": [], "tools": [1]}',
        b'{"messages": [], "tools": 1}',
        b'{"messages": [], "tool_choice": "perhaps"}',
        b'{"messages": [], "response_format": {"type": "xml"}}',
        b'{"messages": [{"role": "user", "content": "x"}], "response_format": {"type": "json_schema", "json_schema": {"schema": {"type": "?"}}}}',
        b'{"messages": [], "max_tokens": "many"}',
    ],
)
async def test_wrong_bodies_are_refused(body: bytes) -> None:
    worker = await load()
    reply = await worker.call("chat", body)
    assert reply.status == 400
    assert json.loads(await reply.read())["error"]["message"]
    assert not any(slot.busy for slot in await worker.slots())


async def test_scripts_are_said_line_by_line(tmp_path: Path) -> None:
    file = tmp_path / "replies.jsonl"
    lines = [
        '"first"',
        "",
        json.dumps({"content": "second", "reasoning_content": "hm"}),
        json.dumps({"tool_calls": [{"name": "weather", "arguments": {"city": "Ulm"}}]}),
        json.dumps({"when": "rain", "content": "umbrella"}),
        json.dumps({"fail": {"status": 503, "message": "no"}}),
    ]
    file.write_text("\n".join(lines), encoding="utf-8")
    fake = Fake()
    name = f"fake:{file}"
    worker = await load(name, fake=fake)
    assert await content(worker, "x") == "first"
    assert await content(worker, "will it rain?") == "umbrella"
    assert (await say(worker, "x"))["message"] == {"role": "assistant", "content": "second", "reasoning_content": "hm"}
    call = (await say(worker, "x"))["message"]["tool_calls"][0]["function"]
    assert call == {"name": "weather", "arguments": '{"city": "Ulm"}'}
    assert (await ask(worker, messages=[{"role": "user", "content": "x"}]))[0] == 503
    assert await content(worker, "x") == "first"
    before = fake.model(name)
    file.write_text('"changed"', encoding="utf-8")
    after = fake.model(f"{name}@20")
    assert before is not None
    assert after is not None
    assert before.digest != after.digest


async def test_scripts_lie_in_the_home_folder_too(tmp_path: Path) -> None:
    (tmp_path / "fake").mkdir()
    (tmp_path / "fake" / "mine.jsonl").write_text('"hello"', encoding="utf-8")
    assert await content(await load("fake:mine.jsonl", fake=Fake(home=tmp_path)), "x") == "hello"


@pytest.mark.parametrize(
    "text", ["", "secret words", '{"password": "secret"}', "5", '{"tool_calls": [{"nam": "secret"}]}', '{"fail": {"status": 200}}']
)
async def test_a_file_that_is_no_script_does_not_load_and_is_not_quoted(tmp_path: Path, text: str) -> None:
    file = tmp_path / "other.txt"
    file.write_text(text, encoding="utf-8")
    with pytest.raises(LoadFailed) as caught:
        await load(f"fake:{file}")
    assert "secret" not in caught.value.message
    assert "other.txt" in caught.value.message


@settings(deadline=None, max_examples=60)
@given(st.text(max_size=200))
def test_tokens_come_back_as_text(text: str) -> None:
    clean = text.encode("utf-8", "replace").decode()
    assert "".join(pieces(clean)) == clean
    assert detokenize(tokenize(clean)) == clean
    assert all(number < 2**53 for number in tokenize(clean))


@pytest.mark.parametrize("number", [0, -1, 1, 255, 2**60])
def test_numbers_that_are_no_tokens_are_refused(number: int) -> None:
    with pytest.raises(ValueError, match="not a token"):
        detokenize([number])


@pytest.mark.parametrize(
    ("schema", "value"),
    [
        ({"const": 3}, 3),
        ({"type": ["null", "integer"], "minimum": 5}, 5),
        ({"anyOf": [{"type": "null"}, {"type": "boolean"}]}, True),
        ({"type": "number", "exclusiveMinimum": 0, "exclusiveMaximum": 1}, 0.5),
        ({"type": "integer", "multipleOf": 7, "minimum": 10}, 14),
        ({"type": "string", "minLength": 6}, "textxx"),
        ({"type": "string", "format": "date"}, "2024-01-31"),
        ({"type": "string", "pattern": "^[A-Z]{3}$"}, "ABC"),
        ({"type": "array", "items": {"type": "boolean"}, "minItems": 2}, [True, True]),
        ({"type": "array", "prefixItems": [{"const": 1}], "items": False}, [1]),
        ({"$defs": {"a": {"enum": ["x"]}}, "type": "object", "properties": {"p": {"$ref": "#/$defs/a"}}}, {"p": "x"}),
        ({"allOf": [{"properties": {"a": {"const": 1}}}, {"properties": {"b": {"const": 2}}}], "type": "object"}, {"a": 1, "b": 2}),
    ],
)
def test_instances_are_what_the_schema_allows(schema: dict, value: object) -> None:
    assert instance(schema) == value


def test_recursive_schemas_end() -> None:
    tree = {
        "$defs": {"node": {"type": "object", "properties": {"left": {"$ref": "#/$defs/node"}, "right": {"$ref": "#/$defs/node"}}}},
        "$ref": "#/$defs/node",
    }
    started = time.monotonic()
    assert isinstance(instance(tree), dict)
    assert time.monotonic() - started < 2
    with pytest.raises(InvalidRequest):
        instance({"$defs": {"n": {"type": "object", "properties": {"n": {"$ref": "#/$defs/n"}}, "required": ["n"]}}, "$ref": "#/$defs/n"})
    with pytest.raises(InvalidRequest):
        instance({"$ref": "http://elsewhere/schema"})
