"""Engines' replies into Ollama's; what is told of models."""

from __future__ import annotations

import json
import re
from datetime import datetime
from typing import Any

import pytest
from ollama import ChatResponse, GenerateResponse, ListResponse, ProcessResponse
from starlette.requests import Request

from hausgeist.errors import Busy, ContextExceeded, InvalidRequest, ModelNotFound, NotSupported
from hausgeist.gateway.ollama import describe
from hausgeist.gateway.ollama.durations import now
from hausgeist.gateway.ollama.embed import unit
from hausgeist.gateway.ollama.encode import Lines, answer, idle, timings
from hausgeist.gateway.ollama.errors import OLLAMA, failure_line
from hausgeist.library.modelfile import parse
from hausgeist.model import Footprint, InstalledModel, LaunchPlan, ModelOptions, Shape, Usage
from hausgeist.serving import Loaded

USAGE = Usage(prompt_tokens=5, completion_tokens=7, prompt_ms=2.5, completion_ms=10, load_ms=1, total_ms=14)
MODEL = InstalledModel(
    id="Tiny",
    engine="llamacpp",
    path=None,
    digest="ab" * 32,
    modified=1_700_000_000.25,
    shape=Shape(architecture="llama", parameters=494_030_000, quantization="Q4_K_M", size=99, chat_template="{% if tools %}<think>"),
    system='say "hi"',
    parameters={"stop": ["<|end|>", "\n"], "temperature": 0.5},
)


def lines(*chunks: dict[str, Any], chat: bool = True) -> list[dict[str, Any]]:
    stream = Lines("asked", chat=chat, alternatives=1)
    raw = b"".join([*(stream.feed(chunk) for chunk in chunks), stream.end(USAGE)])
    found = [json.loads(one) for one in raw.splitlines()]
    for one in found:
        (ChatResponse if chat else GenerateResponse)(**one)
        assert one["model"] == "asked"
        assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}Z", one["created_at"])
    assert [one["done"] for one in found] == [False] * (len(found) - 1) + [True]
    return found


def chunk(finish: str | None = None, logprobs: Any = None, **delta: Any) -> dict[str, Any]:
    return {"choices": [{"index": 0, "finish_reason": finish, "delta": delta, "logprobs": logprobs}]}


LOGPROBS = {"content": [{"token": "a", "logprob": -0.5, "bytes": [97], "top_logprobs": [{"token": "b", "logprob": -1.0, "bytes": [98]}]}]}


def test_a_chat_in_lines() -> None:
    found = lines(chunk(role="assistant", content=None), chunk(reasoning_content="hm"), chunk(content="ä\n", logprobs=LOGPROBS), chunk("length"))
    assert [one["message"] for one in found] == [
        {"role": "assistant", "content": "", "thinking": "hm"},
        {"role": "assistant", "content": "ä\n"},
        {"role": "assistant", "content": ""},
    ]
    assert found[1]["logprobs"] == [{"token": "a", "logprob": -0.5, "bytes": [97], "top_logprobs": [{"token": "b", "logprob": -1.0, "bytes": [98]}]}]
    assert found[-1]["done_reason"] == "length"
    assert (found[-1]["total_duration"], found[-1]["eval_count"], found[-1]["prompt_eval_duration"]) == (14_000_000, 7, 2_500_000)


def test_tool_calls_leave_whole() -> None:
    def piece(index: int, arguments: str, **more: Any) -> dict[str, Any]:
        return {"index": index, "function": {"arguments": arguments, **more}, "id": f"c{index}"}

    found = lines(
        chunk(tool_calls=[piece(0, "", name="add")]),
        chunk(tool_calls=[piece(0, '{"a":')]),
        chunk(tool_calls=[piece(0, "1}")]),
        chunk(tool_calls=[piece(1, "{}", name="sub")]),
        chunk("tool_calls"),
    )
    calls = [call for one in found for call in one["message"].get("tool_calls", ())]
    assert calls == [
        {"id": "c0", "function": {"index": 0, "name": "add", "arguments": {"a": 1}}},
        {"id": "c1", "function": {"index": 1, "name": "sub", "arguments": {}}},
    ]
    assert found[-1]["done_reason"] == "stop"


def test_a_prompt_in_lines_from_chat_completion_and_infill() -> None:
    assert [one["response"] for one in lines(chunk(content="a"), chunk("stop"), chat=False)] == ["a", ""]
    text = {"choices": [{"index": 0, "text": "b", "finish_reason": None, "logprobs": LOGPROBS}]}
    found = lines(text, {"choices": [{"index": 0, "text": "", "finish_reason": "length"}]}, chat=False)
    assert [one["response"] for one in found] == ["b", ""]
    assert found[0]["logprobs"][0]["token"] == "a"
    assert found[-1]["done_reason"] == "length"
    fill = lines({"content": "c", "stop": True, "stop_type": "limit"}, chat=False)
    assert (fill[0]["response"], fill[-1]["done_reason"]) == ("c", "length")


def test_whole_answers() -> None:
    said = {
        "role": "assistant",
        "content": "x",
        "reasoning_content": "hm",
        "tool_calls": [{"id": "c", "function": {"name": "f", "arguments": "{bad"}}],
    }
    given = {"choices": [{"index": 0, "finish_reason": "length", "message": said}]}
    made = answer("asked", given, USAGE, chat=True)
    assert made["message"] == {
        "role": "assistant",
        "content": "x",
        "thinking": "hm",
        "tool_calls": [{"id": "c", "function": {"index": 0, "name": "f", "arguments": {}}}],
    }
    assert (made["done"], made["done_reason"]) == (True, "length")
    filled = answer("asked", {"content": "fill", "stop": True, "stop_type": "eos"}, USAGE, chat=False)
    assert (filled["response"], filled["done_reason"]) == ("fill", "stop")


def test_time_is_told_even_where_the_engine_measures_nothing() -> None:
    told = timings(Usage(completion_tokens=4, first_token_ms=30, load_ms=10, total_ms=100))
    assert (told["prompt_eval_duration"], told["eval_duration"]) == (20_000_000, 70_000_000)


def test_loading() -> None:
    assert idle("m", chat=True, reason="load")["message"] == {"role": "assistant", "content": ""}
    assert idle("m", chat=False, reason="unload")["response"] == ""


@pytest.mark.parametrize(("name", "shown"), [("x", "x:latest"), ("x:4b", "x:4b"), ("o/x", "o/x:latest"), ("fake:/a b/c.jsonl", "fake:/a b/c.jsonl")])
def test_names_are_listed_with_a_tag(name: str, shown: str) -> None:
    assert describe.tagged(name) == shown


def test_models_as_listed() -> None:
    made = describe.summary(MODEL)
    (parsed,) = ListResponse(models=[made]).models
    assert parsed.model == "Tiny:latest"
    assert parsed.details.parameter_size == "494.03M"
    assert re.fullmatch(r"[0-9a-f]{64}", parsed.digest)
    assert made["modified_at"] == "2023-11-14T22:13:20.250000Z"


def test_models_in_memory() -> None:
    plan = LaunchPlan(model=MODEL, task="generate", context=2048, slots=2)
    more = {"measured": None, "pid": 1, "running": 0, "waiting": 0, "loaded_at": 0.0}
    one = Loaded(model=MODEL, plan=plan, footprint=Footprint(host=10, devices={"gpu0": 5}), expires_at=1_700_000_000.0, **more)
    made = describe.loaded(one)
    (parsed,) = ProcessResponse(models=[made]).models
    assert (int(parsed.size), int(parsed.size_vram), parsed.context_length) == (15, 5, 2048)
    assert made["expires_at"].startswith("2023-11-14T22:13:20")
    for_ever = describe.loaded(Loaded(model=MODEL, plan=plan, footprint=Footprint(host=1), expires_at=None, **more))
    assert datetime.fromisoformat(for_ever["expires_at"]).year > 2200


def test_what_a_model_can() -> None:
    assert describe.capabilities(MODEL, fills=True) == ["completion", "tools", "insert", "thinking"]
    seeing = InstalledModel(id="e", engine="llamacpp", path=None, digest="", modified=0, options=ModelOptions(), shape=Shape(vision=True))
    assert "vision" in describe.capabilities(seeing, fills=False)
    embedder = InstalledModel(id="e", engine="llamacpp", path=None, digest="", modified=0, tasks=("embed",))
    assert describe.capabilities(embedder, fills=False) == ["embedding"]


def test_parameters_and_modelfile() -> None:
    assert describe.parameter_text(MODEL.parameters).splitlines()[0].split(maxsplit=1) == ["stop", '"<|end|>"']
    made = describe.modelfile(MODEL)
    assert "FROM Tiny\n" in made
    assert parse(made).parameters["stop"] == MODEL.parameters["stop"]
    assert 'SYSTEM """say "hi""""' in made


def test_unit_vectors() -> None:
    assert unit([3.0, 4.0]) == [0.6, 0.8]
    assert unit([3.0, 4.0, 100.0], 2) == [0.6, 0.8]
    assert unit([0.0, 0.0]) == [0.0, 0.0]
    with pytest.raises(InvalidRequest):
        unit([1.0], 2)
    with pytest.raises(NotSupported):
        unit([[1.0]])  # type: ignore[list-item]


@pytest.mark.parametrize(
    ("error", "status", "said"),
    [
        (ModelNotFound("x"), 404, "model 'x' not found"),
        (ContextExceeded(9, 8), 400, "9 tokens"),
        (NotSupported("no"), 501, "no"),
        (Busy("full", retry_after=3), 429, "full"),
        (RuntimeError("secret"), 500, "log"),
    ],
)
def test_errors_in_the_tongue(error: Exception, status: int, said: str) -> None:
    response = OLLAMA.error(Request({"type": "http", "headers": []}), error)
    body = json.loads(bytes(response.body))
    assert response.status_code == status
    assert set(body) == {"error"}
    assert said in body["error"]
    assert "secret" not in body["error"]
    assert json.loads(failure_line(error)) == body


def test_now_is_in_utc() -> None:
    assert datetime.fromisoformat(now()).utcoffset() is not None
