"""Bodies, defaults and abilities, which all tongues share."""

from __future__ import annotations

from typing import Any

import pytest
from pydantic import Field

from hausgeist.errors import InvalidRequest, NotSupported
from hausgeist.gateway.abilities import calls_tools, demand_thinking, effort_levels, thinks
from hausgeist.gateway.bodies import Body, parse, refuse
from hausgeist.gateway.defaults import sampling, with_defaults
from hausgeist.model import InstalledModel, Shape


class Inner(Body):
    role: str


class Sample(Body):
    count: int = Field(ge=0)
    content: str | list[Inner] | None = None
    odd: Any = None


def model(**more: Any) -> InstalledModel:
    return InstalledModel(**{"id": "m", "engine": "llamacpp", "path": None, "digest": "0" * 64, "modified": 0.0, **more})


@pytest.mark.parametrize(
    ("body", "said"),
    [
        (b"", "not valid JSON"),
        (b"{", "not valid JSON"),
        (b"[]", "JSON object"),
        (b'"x"', "JSON object"),
        (b'{"count": NaN}', "not valid JSON"),
        (b'{"count": 1e999}', "count"),
        (b'{"count": 1, "content": "\\ud800"}', "not valid JSON"),
        (b'{"count": 1, "content": "\xff\xfe"}', "not valid JSON"),
        (b'{"count": ' + b"[" * 5000 + b"]" * 5000 + b"}", "not valid JSON"),
        (b'{"count": ' + b"9" * 5000 + b"}", "count|JSON"),
        (b'{"count": -1}', "count: "),
        (b'{"count": "many"}', "count: "),
        (b"{}", "count: this field is required"),
        (b'{"count": 1, "extra": 2}', "extra: there is no such parameter"),
        (b'{"count": 1, "content": [{"role": "a"}, {"role": 3}]}', r"content\.1\.role"),
    ],
)
def test_faults_are_named_with_their_place(body: bytes, said: str) -> None:
    with pytest.raises(InvalidRequest, match=said):
        parse(body, Sample)


def test_what_is_known_but_not_served_is_refused_only_when_it_is_set() -> None:
    for quiet in (None, [], {}, False):
        refuse(Sample(count=1, odd=quiet), {"odd": "why"})
    for loud in (0, "x", [1], True):
        with pytest.raises(NotSupported, match="why") as caught:
            refuse(Sample(count=1, odd=loud), {"odd": "why"})
        assert caught.value.param == "odd"


def test_ollama_options_become_fields_of_the_body() -> None:
    options = {"temperature": 0.5, "top_k": 4, "num_predict": 7, "seed": 2**40 + 5, "repeat_last_n": -1, "num_keep": 3, "stop": ["x"], "num_ctx": 99}
    assert sampling(options, model(shape=Shape(context_length=512))) == {
        "temperature": 0.5,
        "top_k": 4,
        "max_tokens": 7,
        "seed": 5,
        "repeat_last_n": 512,
        "n_keep": 3,
        "stop": ["x"],
    }


def test_numbers_that_mean_no_limit_or_chance_are_left_out() -> None:
    assert sampling({"num_predict": -1, "seed": -1, "temperature": None}, model()) == {}
    assert sampling({"num_predict": -2}, model()) == {}


def test_a_window_as_large_as_memory_is_not_passed_on() -> None:
    assert sampling({"repeat_last_n": 2**31 - 1}, model())["repeat_last_n"] <= 2**20


def test_what_an_upstream_does_not_know_is_refused() -> None:
    assert sampling({"repeat_penalty": 1.1}, model(engine="remote")) == {"repetition_penalty": 1.1}
    with pytest.raises(NotSupported, match="mirostat"):
        sampling({"mirostat": 2}, model(engine="remote"))
    with pytest.raises(NotSupported, match="nonsense"):
        sampling({"nonsense": 2}, model())


def test_the_request_is_stronger_than_what_the_model_brings() -> None:
    brings = model(system="be kind", parameters={"temperature": 0.1, "num_predict": 5, "stop": ["END"]})
    merged = with_defaults(brings, {"messages": [{"role": "user", "content": "hi"}], "temperature": 0.9, "stop": None})
    assert merged["temperature"] == 0.9
    assert merged["max_tokens"] == 5
    assert merged["stop"] == ["END"]
    assert merged["messages"][0] == {"role": "system", "content": "be kind"}
    for role in ("system", "developer"):
        own = with_defaults(brings, {"messages": [{"role": role, "content": "own"}], "max_completion_tokens": 9})
        assert [message["content"] for message in own["messages"]] == ["own"]
        assert "max_tokens" not in own
    assert "messages" not in with_defaults(brings, {"prompt": "x"})


def test_abilities_are_read_from_the_template() -> None:
    plain = model(shape=Shape(chat_template="{{ messages }}"))
    clever = model(shape=Shape(chat_template="{% if tools %}<think>{{ reasoning_effort }}"))
    assert (thinks(plain), effort_levels(plain), calls_tools(plain)) == (False, False, False)
    assert (thinks(clever), effort_levels(clever), calls_tools(clever)) == (True, True, True)
    assert thinks(model()) is None
    assert thinks(model(engine="fake", shape=Shape(chat_template="x"))) is None
    with pytest.raises(InvalidRequest, match="does not support thinking"):
        demand_thinking(plain, param="think")
    with pytest.raises(InvalidRequest, match="effort"):
        demand_thinking(model(shape=Shape(chat_template="<think>")), effort=True, param="think")
    demand_thinking(model(), effort=True, param="think")
