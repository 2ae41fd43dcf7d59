"""Requests for responses: every parameter, item and tool of the SDK is known by name; each is served, or refused by name when it is set."""

from __future__ import annotations

import json
from typing import Any, get_args, get_origin

import pytest
import typing_extensions
from openai.types import responses as theirs
from openai.types.conversations import conversation_create_params, conversation_update_params, item_create_params
from openai.types.responses import input_token_count_params, response_compact_params, response_create_params, tool_param
from openai.types.responses.response_includable import ResponseIncludable
from openai.types.responses.response_input_item_param import ResponseInputItemParam
from pydantic import BaseModel
from typing_extensions import get_type_hints, is_typeddict

from hausgeist.errors import InvalidRequest, NotSupported
from hausgeist.gateway.bodies import parse
from hausgeist.gateway.openai import conversations, items, wishes
from hausgeist.gateway.openai.sampling import EXTRAS
from hausgeist.model import InstalledModel, Shape

RESPONSE = response_create_params.ResponseCreateParamsStreaming
OURS = {"num_ctx", "keep_alive", "seed", "stop"} | set(EXTRAS)
"""What is let through beyond OpenAI's own parameters."""
TEMPLATE = "{% if tools %}{{ tools }}{% endif %}{% if enable_thinking %}<think>{% endif %}{{ messages }}"
CAPABLE = InstalledModel(id="m", engine="llamacpp", path=None, digest="", modified=0, shape=Shape(chat_template=TEMPLATE, vision=True))
PLAIN = InstalledModel(id="plain", engine="llamacpp", path=None, digest="", modified=0, shape=Shape(chat_template="{{ messages }}"))
FUNCTION = {"type": "function", "name": "f", "description": "d", "parameters": {"type": "object", "properties": {}}, "strict": False}
OFFERED = {"type": "function", "function": {"name": "f", "description": "d", "parameters": {"type": "object", "properties": {}}, "strict": False}}
SCHEMA = {"type": "object", "properties": {"a": {"type": "string"}}, "required": ["a"], "additionalProperties": False}


def fields(model: type[BaseModel]) -> set[str]:
    return {info.alias or name for name, info in model.model_fields.items()}


def typed_dicts(annotation: Any) -> list[Any]:
    if is_typeddict(annotation):
        return [annotation]
    return [found for inner in get_args(annotation) for found in typed_dicts(inner)]


def literals(annotation: Any) -> set[str]:
    if get_origin(annotation) is typing_extensions.Literal:
        return {str(value) for value in get_args(annotation)}
    return {found for inner in get_args(annotation) for found in literals(inner)}


def keys(typed: Any) -> set[str]:
    return set(get_type_hints(typed))


@pytest.mark.parametrize(
    ("sdk", "ours", "beyond"),
    [
        (RESPONSE, wishes.ResponseRequest, OURS),
        (input_token_count_params.InputTokenCountParams, wishes.CountRequest, set()),
        (response_compact_params.ResponseCompactParams, wishes.CompactRequest, set()),
        (conversation_create_params.ConversationCreateParams, conversations.ConversationRequest, set()),
        (conversation_update_params.ConversationUpdateParams, conversations.UpdateRequest, set()),
    ],
)
def test_requests_have_the_parameters_of_the_sdk(sdk: Any, ours: type[BaseModel], beyond: set[str]) -> None:
    assert fields(ours) - beyond == keys(sdk)
    assert beyond <= fields(ours)


def test_nested_parameters_are_those_of_the_sdk() -> None:
    hints = get_type_hints(RESPONSE)
    assert fields(wishes.Reasoning) == set().union(*(keys(found) for found in typed_dicts(hints["reasoning"])))
    (text,) = typed_dicts(hints["text"])
    assert fields(wishes.TextConfig) == keys(text)
    assert fields(wishes.TextFormat) == set().union(*(keys(found) for found in typed_dicts(get_type_hints(text)["format"])))
    choices = typed_dicts(hints["tool_choice"])
    assert fields(wishes.ToolChoice) == set().union(*(keys(found) for found in choices))
    assert set(get_args(ResponseIncludable)) == set(wishes.INCLUDES)
    assert keys(item_create_params.ItemCreateParams) - {"include"} == fields(conversations.ItemsRequest)


@pytest.mark.parametrize("name", ["service_tier", "prompt_cache_retention", "truncation"])
def test_values_are_those_of_the_sdk(name: str) -> None:
    assert literals(wishes.ResponseRequest.model_fields[name].annotation) >= literals(get_type_hints(RESPONSE)[name])


def test_items_are_those_of_the_sdk() -> None:
    seen: dict[str, set[str]] = {}
    for typed in typed_dicts(ResponseInputItemParam):
        hints = get_type_hints(typed)
        (kind,) = literals(hints["type"])
        seen.setdefault(kind, set()).update(keys(typed))
    assert set(seen) == set(items.ITEMS) | set(items.UNSERVED)
    for kind, model in items.ITEMS.items():
        assert fields(model) - {"parsed_arguments"} == seen[kind], kind


def test_parts_are_those_of_the_sdk() -> None:
    parts = [
        theirs.ResponseInputTextParam, theirs.ResponseInputImageParam, theirs.ResponseInputFileParam, theirs.ResponseOutputTextParam,
        theirs.ResponseOutputRefusalParam,
    ]  # fmt: skip
    for part in parts:
        (kind,) = literals(get_type_hints(part)["type"])
        assert items.PARTS[kind] - {"parsed"} == keys(part) - {"type"}, kind
        assert keys(part) <= fields(items.Content)


def test_tools_are_those_of_the_sdk() -> None:
    known = set()
    for typed in typed_dicts(tool_param.ToolParam):
        kinds = literals(get_type_hints(typed)["type"])
        known |= kinds
        if kinds == {"function"}:
            assert fields(wishes.FunctionTool) == keys(typed)
    assert known - {"function"} <= set(wishes.UNSERVED_TOOLS)


def decoded(model: InstalledModel = CAPABLE, **parameters: Any) -> Any:
    body = json.dumps({"model": "m", "input": "x", **parameters}).encode()
    return wishes.decode(parse(body, wishes.ResponseRequest), model, [], {})


SERVED: list[tuple[dict[str, Any], dict[str, Any]]] = [
    ({}, {}),
    ({"temperature": 0, "top_p": 0.5}, {"temperature": 0.0, "top_p": 0.5}),
    ({"seed": -1, "stop": "a", "top_k": 5}, {"seed": 0xFFFF_FFFE, "stop": ["a"], "top_k": 5}),
    ({"tools": [FUNCTION]}, {"tools": [OFFERED]}),
    ({"tools": [FUNCTION], "tool_choice": "required"}, {"tools": [OFFERED], "tool_choice": "required"}),
    (
        {"tools": [FUNCTION], "tool_choice": {"type": "function", "name": "f"}},
        {"tools": [OFFERED], "tool_choice": "required", "parallel_tool_calls": False},
    ),
    (
        {"tools": [FUNCTION], "tool_choice": {"type": "allowed_tools", "mode": "auto", "tools": [{"type": "function", "name": "f"}]}},
        {"tools": [OFFERED]},
    ),
    ({"tools": [FUNCTION], "tool_choice": "none"}, {}),
    ({"tools": [FUNCTION], "parallel_tool_calls": False}, {"tools": [OFFERED], "parallel_tool_calls": False}),
    ({"text": {"format": {"type": "json_object"}}}, {"response_format": {"type": "json_object"}}),
    (
        {"text": {"format": {"type": "json_schema", "name": "x", "schema": SCHEMA, "strict": True}}},
        {"response_format": {"type": "json_schema", "json_schema": {"name": "x", "schema": SCHEMA, "strict": True}}},
    ),
    ({"reasoning": {"effort": "low"}}, {"reasoning_budget_tokens": 1024}),
    ({"reasoning": {"effort": "none", "summary": "auto"}}, {"reasoning_effort": "none"}),
    ({"include": ["message.output_text.logprobs"]}, {"logprobs": True, "top_logprobs": 1}),
    ({"include": ["message.output_text.logprobs"], "top_logprobs": 5}, {"logprobs": True, "top_logprobs": 5}),
]


@pytest.mark.parametrize(("parameters", "body"), SERVED, ids=str)
def test_what_is_served_reaches_the_engine(parameters: dict[str, Any], body: dict[str, Any]) -> None:
    assert decoded(**parameters).body == body


def test_what_reaches_the_runner() -> None:
    ask = decoded(
        store=False, max_output_tokens=5, max_tool_calls=2, truncation="auto", instructions="i", previous_response_id="resp_1", num_ctx=64,
        text={"format": {"type": "json_schema", "name": "x", "schema": SCHEMA, "description": "A colour."}},
    )  # fmt: skip
    assert (ask.store, ask.background, ask.max_output_tokens, ask.max_tool_calls) == (False, False, 5, 2)
    assert (ask.truncation, ask.previous, ask.context) == ("auto", "resp_1", 64)
    assert ask.instructions == 'i\n\nAnswer in the JSON format "x": A colour.'
    assert decoded(conversation={"id": "conv_1"}).conversation == decoded(conversation="conv_1").conversation == "conv_1"


@pytest.mark.parametrize(
    ("parameters", "param"),
    [
        ({"tools": [FUNCTION], "text": {"format": {"type": "json_object"}}}, "text.format"),
        ({"tools": [FUNCTION], "include": ["message.output_text.logprobs"]}, "include"),
        ({"tools": [{**FUNCTION, "async": True}]}, "tools.0"),
        ({"tools": [{**FUNCTION, "defer_loading": True}]}, "tools.0"),
        ({"tools": [{**FUNCTION, "allowed_callers": ["programmatic"]}]}, "tools.0"),
        ({"reasoning": {"mode": "pro"}}, "reasoning.mode"),
        ({"reasoning": {"context": "all_turns"}}, "reasoning.context"),
        ({"prompt_cache_retention": "24h"}, "prompt_cache_retention"),
        ({"prompt_cache_options": {"mode": "explicit"}}, "prompt_cache_options"),
        ({"image": {"context_compression": "enabled"}}, "image"),
        ({"access_programs": {"cyber": "standard"}}, "access_programs"),
        ({"stream": True, "stream_options": {"include_obfuscation": True}}, "stream_options"),
    ],
    ids=str,
)
def test_what_is_not_served_is_refused_by_name(parameters: dict[str, Any], param: str) -> None:
    with pytest.raises(NotSupported) as caught:
        decoded(**parameters)
    assert caught.value.param == param


def test_models_that_do_not_reason_or_call_tools_say_so() -> None:
    with pytest.raises(InvalidRequest, match="does not reason"):
        decoded(PLAIN, reasoning={"effort": "high"})
    with pytest.raises(NotSupported, match="cannot call tools"):
        decoded(PLAIN, tools=[FUNCTION])
