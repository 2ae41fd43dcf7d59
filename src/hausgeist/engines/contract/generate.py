"""Checks of a model that writes. They hold for any weights, random ones included: what must be said is forced by a schema, or by the settings."""

from __future__ import annotations

import asyncio
import json
import re
import time
from collections.abc import Mapping
from typing import Any

from hausgeist.engines.base import Worker
from hausgeist.engines.contract.checks import ask, ask_well, demand, opened, stream
from hausgeist.errors import NotSupported
from hausgeist.model import LaunchPlan

__all__ = [
    "bad_body",
    "cache",
    "chat",
    "chat_stream",
    "close_early",
    "completion",
    "completion_stream",
    "completion_tokens",
    "count",
    "infill",
    "json_schema",
    "logprobs",
    "max_tokens",
    "over_context",
    "parallel",
    "seed",
    "several",
    "several_stream",
    "stop",
    "stop_told",
    "tokens",
    "tools",
    "tools_stream",
    "unicode",
]

_LONG = "Write out the numbers: one two three four five six seven eight nine ten eleven twelve thirteen fourteen fifteen sixteen seventeen"
_STRANGE = "Grüße, 世界 🦊 é"


def _said(text: str) -> list[dict[str, str]]:
    return [{"role": "user", "content": text}]


def _body(worker: Worker, text: str = _LONG, **more: Any) -> dict[str, Any]:
    """A chat that gives the same answer each time."""
    body: dict[str, Any] = {"model": worker.plan.model.id, "messages": _said(text), "temperature": 0, "seed": 7, **more}
    if worker.private_fields:
        body["cache_prompt"] = False
    return body


def _constant(text: str) -> dict[str, Any]:
    """A response format that leaves one thing to say."""
    schema = {"type": "object", "properties": {"say": {"enum": [text]}}, "required": ["say"], "additionalProperties": False}
    return {"type": "json_schema", "json_schema": {"name": "answer", "strict": True, "schema": schema}}


def _usage(usage: Mapping[str, Any]) -> None:
    prompt, completion, total = usage["prompt_tokens"], usage["completion_tokens"], usage["total_tokens"]
    demand(prompt > 0 and completion >= 0, f"usage counts {prompt} prompt and {completion} completion tokens")
    demand(total == prompt + completion, f"usage: {prompt} + {completion} is not {total}")


async def chat(worker: Worker, plan: LaunchPlan) -> None:
    reply = await ask_well(worker, "chat", _body(worker, max_tokens=8))
    demand(reply["object"] == "chat.completion", f"object is {reply['object']!r}")
    demand(isinstance(reply["id"], str) and reply["id"] and isinstance(reply["created"], int), "id or created is missing")
    [choice] = reply["choices"]
    demand(choice["index"] == 0 and choice["message"]["role"] == "assistant", "the choice is not the assistant's")
    demand(isinstance(choice["message"]["content"], str), "the message has no content")
    demand(choice["finish_reason"] in {"stop", "length"}, f"finish_reason is {choice['finish_reason']!r}")
    _usage(reply["usage"])
    demand(reply["usage"]["completion_tokens"] <= 8, "more tokens than max_tokens")


async def chat_stream(worker: Worker, plan: LaunchPlan) -> None:
    got = await stream(worker, "chat", _body(worker, max_tokens=8, stream_options={"include_usage": True}))
    demand(got.done, "the stream does not end with [DONE]")
    first = got.choices()[0]
    demand(first["delta"].get("role") == "assistant", "the first chunk does not give the role")
    demand({event["object"] for event in got.events} == {"chat.completion.chunk"}, "chunks are not chat.completion.chunk")
    demand(len({event["id"] for event in got.events}) == 1, "chunks of one answer have several ids")
    demand(got.finish() in {"stop", "length"}, f"finish_reason is {got.finish()!r}")
    demand(got.events[-1]["choices"] == [], "the last chunk is not the one with the usage")
    _usage(got.events[-1]["usage"])
    plain = await stream(worker, "chat", _body(worker, max_tokens=8))
    demand(plain.done and plain.finish() is not None, "a stream without usage has no end")


async def max_tokens(worker: Worker, plan: LaunchPlan) -> None:
    for attempt in range(8):  # weights of chance may end at once
        reply = await ask_well(worker, "chat", _body(worker, max_tokens=2, seed=attempt, temperature=1 if attempt else 0))
        if reply["choices"][0]["finish_reason"] == "length":
            demand(reply["usage"]["completion_tokens"] == 2, f"{reply['usage']['completion_tokens']} tokens instead of 2")
            return
    demand(False, "finish_reason is never 'length'")


async def seed(worker: Worker, plan: LaunchPlan) -> None:
    for temperature in (0, 1):
        body = _body(worker, max_tokens=16, temperature=temperature, seed=42)
        one, two = [(await ask_well(worker, "chat", body))["choices"][0]["message"]["content"] for _ in range(2)]
        demand(one == two, f"at temperature {temperature} the same seed gives {one!r} and {two!r}")


async def _stop_word(worker: Worker) -> tuple[str, str]:
    """An answer, and a text that occurs in it later than at its start."""
    text = (await ask_well(worker, "chat", _body(worker, max_tokens=32)))["choices"][0]["message"]["content"]
    for length in (3, 2, 1):
        for start in range(len(text) // 3, len(text) - length):
            word = text[start : start + length]
            if word.strip() and word.isprintable() and "\ufffd" not in word:
                return text, word
    raise NotSupported("This model says too little to be stopped.")


async def stop(worker: Worker, plan: LaunchPlan) -> None:
    text, word = await _stop_word(worker)
    reply = await ask_well(worker, "chat", _body(worker, max_tokens=32, stop=[word]))
    [choice] = reply["choices"]
    demand(choice["finish_reason"] == "stop", f"finish_reason is {choice['finish_reason']!r}")
    said, expected = choice["message"]["content"], text[: text.index(word)]
    demand(said.strip() == expected.strip(), f"stopping {text!r} at {word!r} leaves {said!r}")
    got = await stream(worker, "chat", _body(worker, max_tokens=32, stop=[word]))
    demand(got.finish() == "stop" and got.content().strip() == expected.strip(), f"in a stream, stopping at {word!r} leaves {got.content()!r}")


async def stop_told(worker: Worker, plan: LaunchPlan) -> None:
    """Which stop string ended the answer: `stopping_word` of `__verbose` in the last event, or `stop_reason` of the choice."""
    _, word = await _stop_word(worker)
    more: dict[str, Any] = {"verbose": True} if worker.private_fields else {}
    reply = await ask_well(worker, "chat", _body(worker, max_tokens=32, stop=["\x01never", word], **more))
    got = await stream(worker, "chat", _body(worker, max_tokens=32, stop=["\x01never", word], **more))
    told = [reply.get("__verbose", {}).get("stopping_word") or reply["choices"][0].get("stop_reason")]
    told.append(
        next((event["__verbose"]["stopping_word"] for event in reversed(got.events) if event.get("__verbose", {}).get("stopping_word")), None)
        or got.choices()[-1].get("stop_reason")
    )
    if told == [None, None]:
        raise NotSupported("The engine does not tell which stop string ended an answer.")
    demand(told == [word, word], f"stopped at {word!r}, told {told}")


async def logprobs(worker: Worker, plan: LaunchPlan) -> None:
    reply = await ask_well(worker, "chat", _body(worker, max_tokens=4, logprobs=True, top_logprobs=3))
    entries = reply["choices"][0]["logprobs"]["content"]
    demand(entries, "no log probabilities")
    for entry in entries:
        demand(isinstance(entry["token"], str) and entry["logprob"] <= 1e-3, f"not a log probability: {entry}")
        demand(all(isinstance(byte, int) for byte in entry["bytes"]), "bytes are missing")
        best = [other["logprob"] for other in entry["top_logprobs"]]
        demand(len(best) == 3 and best == sorted(best, reverse=True), f"top_logprobs are {best}")
    got = await stream(worker, "chat", _body(worker, max_tokens=4, logprobs=True, top_logprobs=3))
    streamed = [entry for part in got.choices() for entry in ((part.get("logprobs") or {}).get("content") or ())]
    demand(streamed, "no log probabilities in a stream")


async def json_schema(worker: Worker, plan: LaunchPlan) -> None:
    properties: dict[str, Any] = {
        "fits": {"type": "boolean"},
        "size": {"enum": ["small", "large"]},
        "parts": {"type": "array", "items": {"enum": [1, 2]}, "minItems": 2, "maxItems": 2},
    }
    schema = {"type": "object", "properties": properties, "required": list(properties), "additionalProperties": False}
    form = {"type": "json_schema", "json_schema": {"name": "answer", "strict": True, "schema": schema}}
    reply = await ask_well(worker, "chat", _body(worker, max_tokens=256, response_format=form))
    text = reply["choices"][0]["message"]["content"]
    value = json.loads(text)
    demand(value.keys() == properties.keys(), f"not an instance of the schema: {text!r}")
    demand(isinstance(value["fits"], bool) and value["size"] in {"small", "large"}, f"not an instance of the schema: {text!r}")
    demand(len(value["parts"]) == 2 and set(value["parts"]) <= {1, 2}, f"not an instance of the schema: {text!r}")


_TOOL = {
    "type": "function",
    "function": {
        "name": "get_weather",
        "description": "Current weather in a city",
        "parameters": {
            "type": "object",
            "properties": {"city": {"type": "string", "enum": ["Aachen", "Zwickau"]}},
            "required": ["city"],
            "additionalProperties": False,
        },
    },
}


def _tool_body(worker: Worker) -> dict[str, Any]:
    """Not at temperature 0: before the call any text may stand, and there a model of random weights would go round in circles."""
    wanted: dict[str, Any] = {"max_tokens": 512, "tools": [_TOOL], "tool_choice": "required", "parallel_tool_calls": False, "temperature": 1}
    return _body(worker, "What is the weather in Aachen?", **wanted)


async def tools(worker: Worker, plan: LaunchPlan) -> None:
    reply = await ask_well(worker, "chat", _tool_body(worker))
    [choice] = reply["choices"]
    calls = choice["message"].get("tool_calls") or []
    demand(calls, f"no tool was called although one must be: {choice['message']}")
    demand(choice["finish_reason"] == "tool_calls", f"finish_reason is {choice['finish_reason']!r}")
    for call in calls:
        demand(call["type"] == "function" and call["id"], "a call has no id or type")
        demand(call["function"]["name"] == "get_weather", f"called {call['function']['name']!r}, which was not offered")
        arguments = json.loads(call["function"]["arguments"])
        demand(arguments.get("city") in {"Aachen", "Zwickau"}, f"arguments {arguments} are not what the schema allows")
    answers = [{"role": "tool", "tool_call_id": call["id"], "content": '{"sky": "grey"}'} for call in calls]
    asked = [*_said("What is the weather in Aachen?"), {"role": "assistant", "content": None, "tool_calls": calls}, *answers]
    back = await ask_well(worker, "chat", {**_body(worker, max_tokens=8), "messages": asked, "tools": [_TOOL]})
    demand(back["choices"], "no answer to the result of a tool")


async def tools_stream(worker: Worker, plan: LaunchPlan) -> None:
    got = await stream(worker, "chat", _tool_body(worker))
    deltas = [call for part in got.choices() for call in part["delta"].get("tool_calls") or ()]
    demand(deltas, "no tool was called in the stream")
    demand(deltas[0].get("id") and deltas[0]["function"]["name"] == "get_weather", f"the first delta of a call does not introduce it: {deltas[0]}")
    arguments = "".join(call["function"].get("arguments") or "" for call in deltas if call["index"] == 0)
    demand(json.loads(arguments)["city"] in {"Aachen", "Zwickau"}, f"arguments in pieces make {arguments!r}")
    demand(got.finish() == "tool_calls", f"finish_reason is {got.finish()!r}")


def _prompt(worker: Worker, **more: Any) -> dict[str, Any]:
    return {"model": worker.plan.model.id, "prompt": _LONG, "max_tokens": 8, "temperature": 0, "seed": 7, **more}


async def completion(worker: Worker, plan: LaunchPlan) -> None:
    reply = await ask_well(worker, "completion", _prompt(worker))
    [choice] = reply["choices"]
    demand(reply["object"] == "text_completion" and isinstance(choice["text"], str), "not a text_completion")
    demand(choice["finish_reason"] in {"stop", "length"}, f"finish_reason is {choice['finish_reason']!r}")
    _usage(reply["usage"])


async def completion_stream(worker: Worker, plan: LaunchPlan) -> None:
    got = await stream(worker, "completion", _prompt(worker, stream_options={"include_usage": True}))
    demand(got.done, "the stream does not end with [DONE]")
    demand(all(isinstance(part["text"], str) for part in got.choices()), "a chunk has no text")
    demand(got.finish() in {"stop", "length"}, f"finish_reason is {got.finish()!r}")
    used = [event["usage"] for event in got.events if event.get("usage")]
    demand(used, "the stream does not tell the usage")
    _usage(used[-1])


async def completion_tokens(worker: Worker, plan: LaunchPlan) -> None:
    numbers = (await ask_well(worker, "tokenize", {"content": "Once upon a time"}))["tokens"]
    reply = await ask_well(worker, "completion", {**_prompt(worker), "prompt": numbers})
    demand(reply["choices"], "a prompt of token numbers is not answered")


async def infill(worker: Worker, plan: LaunchPlan) -> None:
    body = {"input_prefix": "def add(a, b):\n    return ", "input_suffix": "\n\nprint(add(1, 2))\n", "n_predict": 8, "temperature": 0}
    reply = await ask_well(worker, "infill", body)
    demand(isinstance(reply["content"], str) and reply["stop"] is True, "not the form of an infill")
    demand(reply["tokens_predicted"] <= 8, "more tokens than n_predict")


async def count(worker: Worker, plan: LaunchPlan) -> None:
    counted = (await ask_well(worker, "count_chat", {"messages": _said(_LONG)}))["input_tokens"]
    used = (await ask_well(worker, "chat", _body(worker, max_tokens=1)))["usage"]["prompt_tokens"]
    demand(counted == used, f"counted {counted} tokens, used {used}")


async def tokens(worker: Worker, plan: LaunchPlan) -> None:
    text = f"one two\n{_STRANGE}"
    numbers = (await ask_well(worker, "tokenize", {"content": text}))["tokens"]
    demand(numbers and all(isinstance(number, int) for number in numbers), "not a list of token numbers")
    back = (await ask_well(worker, "detokenize", {"tokens": numbers}))["content"]
    demand(back.strip() == text, f"{text!r} comes back as {back!r}")


async def over_context(worker: Worker, plan: LaunchPlan) -> None:
    status, reply = await ask(worker, "chat", _body(worker, " word" * (plan.context * 2 + 64), max_tokens=1))
    demand(status == 400, f"a prompt beyond the context answers {status}")
    error = reply["error"]
    numbers = {int(number) for number in re.findall(r"\d{2,}", f"{error['message']} {error.get('n_prompt_tokens', '')} {error.get('n_ctx', '')}")}
    demand(len(numbers) >= 2, f"the error does not name the length of the prompt and the context: {error}")
    await ask_well(worker, "chat", _body(worker, max_tokens=1))


async def close_early(worker: Worker, plan: LaunchPlan) -> None:
    """As many streams as there are slots, left after their first bytes: within two seconds the next request is answered."""

    async def leave() -> None:
        async with opened(worker, "chat", _body(worker, stream=True, max_tokens=max(16, plan.context // 2), temperature=1)) as reply:
            await anext(reply.chunks())

    async def answered() -> float:
        started = time.monotonic()
        await ask_well(worker, "chat", _body(worker, max_tokens=1))
        return time.monotonic() - started

    usual = await answered()
    await asyncio.gather(*(leave() for _ in range(plan.slots)))
    started = time.monotonic()
    taken = await answered()
    demand(taken < 2 + 2 * usual, f"the next request had to wait {taken:.1f} s for a slot that nobody used any more")
    while any(slot.busy for slot in await worker.slots()):
        demand(time.monotonic() - started < 2, "a slot is still busy two seconds after its reader left")
        await asyncio.sleep(0.05)


async def parallel(worker: Worker, plan: LaunchPlan) -> None:
    words = [f"answer-{number}" for number in range(plan.slots * 2)]

    async def one(word: str, *, streaming: bool) -> str:
        body = _body(worker, f"Question {word}", max_tokens=128, response_format=_constant(word))
        if streaming:
            return (await stream(worker, "chat", body)).content()
        return str((await ask_well(worker, "chat", body))["choices"][0]["message"]["content"])

    answers = await asyncio.gather(*(one(word, streaming=bool(number % 2)) for number, word in enumerate(words)))
    for word, answer in zip(words, answers, strict=True):
        demand(json.loads(answer) == {"say": word}, f"the request for {word!r} got {answer!r}")


async def bad_body(worker: Worker, plan: LaunchPlan) -> None:
    bodies: list[dict[str, Any]] = [
        {"model": plan.model.id},
        {"messages": "hello"},
        {"messages": [{"role": "user", "content": 5}]},
        {"messages": _said("x"), "response_format": {"type": "nonsense"}},
    ]
    for body in bodies:
        status, reply = await ask(worker, "chat", body)
        demand(400 <= status < 500, f"{json.dumps(body)} answers {status}")
        demand(reply["error"]["message"], "the error has no message")
    await ask_well(worker, "chat", _body(worker, max_tokens=1))


async def several(worker: Worker, plan: LaunchPlan) -> None:
    _needs_two(plan)
    reply = await ask_well(worker, "chat", _body(worker, max_tokens=4, n=2))
    demand(sorted(choice["index"] for choice in reply["choices"]) == [0, 1], f"n=2 gives {len(reply['choices'])} choices")


async def several_stream(worker: Worker, plan: LaunchPlan) -> None:
    _needs_two(plan)
    got = await stream(worker, "chat", _body(worker, max_tokens=4, n=2))
    demand(got.finish(0) and got.finish(1), "in a stream, n=2 does not end both choices")


def _needs_two(plan: LaunchPlan) -> None:
    if plan.slots < 2:
        raise NotSupported("This worker has a single slot.")


async def unicode(worker: Worker, plan: LaunchPlan) -> None:
    """Characters of several bytes arrive whole, however tokens cut them."""
    got = await stream(worker, "chat", _body(worker, max_tokens=256, response_format=_constant(_STRANGE)))
    demand(json.loads(got.content()) == {"say": _STRANGE}, f"{_STRANGE!r} arrives as {got.content()!r}")


async def cache(worker: Worker, plan: LaunchPlan) -> None:
    """`id_slot` and `cache_prompt` keep what one caller asked from showing in another's `cached_tokens`."""
    if not worker.private_fields:
        raise NotSupported("This engine shares its cache as it likes.")
    body = {**_body(worker, max_tokens=1), "id_slot": 0, "cache_prompt": True}

    async def cached(**more: Any) -> int:
        usage = (await ask_well(worker, "chat", {**body, **more}))["usage"]
        return int((usage.get("prompt_tokens_details") or {}).get("cached_tokens", 0))

    await cached()
    demand(await cached() > 0, "the same prompt in the same slot is computed anew")
    demand(await cached(cache_prompt=False) == 0, "cache_prompt: false still shows cached tokens")
    if plan.slots > 1:
        await cached(messages=_said("Something else entirely, in another slot"), id_slot=1)
        await cached(messages=_said("Something else entirely, in another slot"))
        demand(await cached(messages=_said(f"{_LONG}!"), id_slot=1) < 8, "a slot shows what was asked in another one")
