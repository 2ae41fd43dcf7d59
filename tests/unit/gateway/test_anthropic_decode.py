"""Anthropic's requests into chat bodies: every field served or refused by name."""

from __future__ import annotations

import base64
import io
import json
import typing
from typing import Any

import pytest
from anthropic.types import message_count_tokens_params, message_create_params
from anthropic.types.beta import message_count_tokens_params as beta_count_params
from anthropic.types.beta import message_create_params as beta_create_params
from PIL import Image

from hausgeist.errors import InvalidRequest, NotSupported
from hausgeist.gateway.anthropic.decode import cache_seconds, decode, image_addresses
from hausgeist.gateway.anthropic.schema import CountTokensRequest, MessagesRequest
from hausgeist.gateway.bodies import parse
from hausgeist.model import InstalledModel, Shape

PLAIN = InstalledModel(id="m", engine="fake", path=None, digest="0" * 64, modified=0.0)
HEADERS = {"betas", "user_profile_id", "workspace_id"}
"""Parameters that the SDK sends as headers."""


def png() -> str:
    out = io.BytesIO()
    Image.new("RGB", (2, 2)).save(out, "PNG")
    return base64.b64encode(out.getvalue()).decode()


def request(**more: Any) -> MessagesRequest:
    body = {"model": "m", "max_tokens": 10, "messages": [{"role": "user", "content": "hi"}], **more}
    return parse(json.dumps(body).encode(), MessagesRequest)


def chat(model: InstalledModel = PLAIN, images: dict[str, str] | None = None, **more: Any) -> dict[str, Any]:
    return decode(request(**more), model, images or {})


def sdk_fields(*kinds: Any) -> set[str]:
    return {name for kind in kinds for name in typing.get_type_hints(kind)} - HEADERS


def test_the_models_know_every_field_of_the_sdk() -> None:
    create = sdk_fields(
        message_create_params.MessageCreateParamsBase,
        message_create_params.MessageCreateParamsStreaming,
        beta_create_params.MessageCreateParamsBase,
    )
    count = sdk_fields(message_count_tokens_params.MessageCountTokensParams, beta_count_params.MessageCountTokensParams)
    assert create <= set(MessagesRequest.model_fields)
    assert count <= set(CountTokensRequest.model_fields)
    older = {"temperature", "top_p", "top_k", "output_format"}
    assert set(MessagesRequest.model_fields) - create == older


@pytest.mark.parametrize(("module", "mine"), [("tool_param", "Tool"), ("text_block_param", "TextBlock"), ("image_block_param", "ImageBlock")])
def test_blocks_and_tools_know_every_field_of_the_sdk(module: str, mine: str) -> None:
    import importlib

    from hausgeist.gateway.anthropic import schema

    theirs = getattr(importlib.import_module(f"anthropic.types.{module}"), f"{mine}Param")
    assert set(typing.get_type_hints(theirs)) <= set(getattr(schema, mine).model_fields)


def test_the_simplest_request() -> None:
    assert chat() == {"messages": [{"role": "user", "content": "hi"}], "max_tokens": 10}


def test_limits_and_sampling() -> None:
    body = chat(stop_sequences=["a", "b"], temperature=0.3, top_p=0.9, top_k=-1, service_tier="auto", speed="standard")
    assert body["stop"] == ["a", "b"]
    assert (body["temperature"], body["top_p"], body["top_k"]) == (0.3, 0.9, 0)


def test_system_prompts_are_joined_at_the_front() -> None:
    blocks = [{"type": "text", "text": "one", "cache_control": {"type": "ephemeral"}}, {"type": "text", "text": "two"}]
    leading = [{"role": "system", "content": "three"}, {"role": "user", "content": "hi"}]
    assert chat(system=blocks, messages=leading)["messages"] == [
        {"role": "system", "content": "one\n\ntwo\n\nthree"},
        {"role": "user", "content": "hi"},
    ]
    assert chat(system="")["messages"] == [{"role": "user", "content": "hi"}]


def test_turns_of_one_role_become_one() -> None:
    messages = [{"role": "user", "content": "a"}, {"role": "user", "content": [{"type": "text", "text": "b"}]}, {"role": "assistant", "content": "c"}]
    messages += [{"role": "assistant", "content": "d"}, {"role": "user", "content": "e"}]
    assert [(one["role"], one["content"]) for one in chat(messages=messages)["messages"]] == [("user", "a\n\nb"), ("assistant", "cd"), ("user", "e")]


def test_results_stand_right_after_their_calls_and_before_what_is_said_to_them() -> None:
    messages = [
        {"role": "user", "content": "weather?"},
        {
            "role": "assistant",
            "content": [
                {"type": "thinking", "thinking": "hm", "signature": "s"},
                {"type": "text", "text": "I look."},
                {"type": "tool_use", "id": "t1", "name": "look", "input": {"city": "Köln"}},
                {"type": "tool_use", "id": "t2", "name": "ask", "input": {}},
            ],
        },
        {
            "role": "user",
            "content": [
                {"type": "text", "text": "here"},
                {"type": "tool_result", "tool_use_id": "t1", "content": [{"type": "text", "text": "rain"}]},
                {"type": "tool_result", "tool_use_id": "t2", "content": "no line", "is_error": True},
            ],
        },
    ]
    _, assistant, first, second, user = chat(messages=messages)["messages"]
    assert assistant["content"] == "I look."
    assert assistant["reasoning_content"] == "hm"
    assert [call["function"] for call in assistant["tool_calls"]] == [
        {"name": "look", "arguments": '{"city": "Köln"}'},
        {"name": "ask", "arguments": "{}"},
    ]
    assert first == {"role": "tool", "tool_call_id": "t1", "name": "look", "content": "rain"}
    assert second["content"] == "Error: no line"
    assert user == {"role": "user", "content": "here"}


def test_images_in_messages_and_results() -> None:
    image = {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": png()}}
    far = {"type": "image", "source": {"type": "url", "url": "https://h/x.png"}}
    use = {"type": "tool_use", "id": "t1", "name": "look", "input": {}}
    messages = [
        {"role": "user", "content": [image, {"type": "text", "text": "?"}, far]},
        {"role": "assistant", "content": [use]},
        {"role": "user", "content": [{"type": "tool_result", "tool_use_id": "t1", "content": [far], "is_error": True}]},
    ]
    assert list(image_addresses(request(messages=messages))) == [
        ("https://h/x.png", "messages.0.content.2"),
        ("https://h/x.png", "messages.2.content.0"),
    ]
    user, _, result = chat(messages=messages, images={"https://h/x.png": "data:image/png;base64,AA"})["messages"]
    assert [part["type"] for part in user["content"]] == ["image_url", "text", "image_url"]
    assert user["content"][0]["image_url"]["url"] == f"data:image/png;base64,{png()}"
    assert result["content"] == [{"type": "text", "text": "Error:"}, {"type": "image_url", "image_url": {"url": "data:image/png;base64,AA"}}]


def test_a_last_word_of_the_assistant_is_continued() -> None:
    body = chat(messages=[{"role": "user", "content": "q"}, {"role": "assistant", "content": "The answer is ("}])
    assert body["messages"][-1] == {"role": "assistant", "content": "The answer is ("}
    assert (body["continue_final_message"], body["add_generation_prompt"]) == (True, False)
    assert "continue_final_message" not in chat(messages=[{"role": "user", "content": "q"}, {"role": "assistant", "content": ""}])


TOOLS = [
    {"name": "add", "description": "adds", "input_schema": {"type": "object"}, "strict": True, "eager_input_streaming": True},
    {"name": "sub", "type": "custom", "input_schema": {"type": "object"}, "input_examples": [{"a": 1}], "allowed_callers": ["direct"]},
]


def test_tools() -> None:
    add, sub = chat(tools=TOOLS)["tools"]
    assert add == {"type": "function", "function": {"name": "add", "description": "adds", "parameters": {"type": "object"}, "strict": True}}
    assert '{"a": 1}' in sub["function"]["description"]


@pytest.mark.parametrize(("kind", "said"), [("auto", "auto"), ("any", "required"), ("none", "none")])
def test_tool_choice(kind: str, said: str) -> None:
    body = chat(tools=TOOLS, tool_choice={"type": kind, "disable_parallel_tool_use": True})
    assert body["tool_choice"] == said
    assert body["parallel_tool_calls"] is False


def test_a_named_tool_is_the_only_one() -> None:
    body = chat(tools=TOOLS, tool_choice={"type": "tool", "name": "sub"})
    assert [tool["function"]["name"] for tool in body["tools"]] == ["sub"]
    assert body["tool_choice"] == "required"


def test_structured_output() -> None:
    schema = {"type": "object", "properties": {"a": {"type": "integer"}}}
    for field in (
        {"output_config": {"format": {"type": "json_schema", "schema": schema}}},
        {"output_format": {"type": "json_schema", "schema": schema}},
    ):
        assert chat(**field)["response_format"]["json_schema"]["schema"] == schema


def test_thinking_and_effort() -> None:
    on = chat(max_tokens=5000, thinking={"type": "enabled", "budget_tokens": 2000})
    assert on["chat_template_kwargs"] == {"enable_thinking": True}
    assert on["thinking_budget_tokens"] == 2000
    assert chat(thinking={"type": "disabled"})["chat_template_kwargs"] == {"enable_thinking": False}
    assert "chat_template_kwargs" not in chat(thinking={"type": "adaptive"})
    assert chat(output_config={"effort": "max"})["reasoning_effort"] == "high"


def test_a_model_that_thinks_does_so_when_asked() -> None:
    clever = InstalledModel(
        id="m", engine="llamacpp", path=None, digest="0" * 64, modified=0.0, shape=Shape(chat_template="<think>{{ reasoning_effort }}")
    )
    assert chat(clever)["chat_template_kwargs"] == {"enable_thinking": False}
    assert "chat_template_kwargs" not in chat(clever, thinking={"type": "adaptive"})
    assert chat(clever, output_config={"effort": "low"})["reasoning_effort"] == "low"
    assert "chat_template_kwargs" not in chat(clever, output_config={"effort": "low"})
    far = InstalledModel(id="m", engine="remote", path=None, digest="0" * 64, modified=0.0)
    with pytest.raises(NotSupported, match="budget"):
        chat(far, max_tokens=5000, thinking={"type": "enabled", "budget_tokens": 2000})


def test_cache_control_asks_for_time() -> None:
    assert cache_seconds(request()) == 0
    assert cache_seconds(request(cache_control={"type": "ephemeral"})) == 300
    blocks = [{"type": "text", "text": "x", "cache_control": {"type": "ephemeral", "ttl": "1h"}}]
    assert cache_seconds(request(system=blocks)) == 3600
    assert cache_seconds(request(messages=[{"role": "user", "content": blocks}])) == 3600


def test_the_length_of_the_prompt_is_asked_of_llama_in_streams_only() -> None:
    local = InstalledModel(id="m", engine="llamacpp", path=None, digest="0" * 64, modified=0.0)
    assert chat(local, stream=True)["return_progress"] is True
    assert "return_progress" not in chat(local)
    assert "return_progress" not in chat(stream=True)


def user(*blocks: dict[str, Any]) -> list[dict[str, Any]]:
    return [{"role": "user", "content": list(blocks)}]


@pytest.mark.parametrize(
    ("fields", "param"),
    [
        ({"container": "c"}, "container"),
        ({"mcp_servers": [{"type": "url"}]}, "mcp_servers"),
        ({"context_management": {"edits": [1]}}, "context_management"),
        ({"compaction": {"x": 1}}, "compaction"),
        ({"diagnostics": {"previous_message_id": "m"}}, "diagnostics"),
        ({"inference_geo": "eu"}, "inference_geo"),
        ({"billing_policy": {"x": 1}}, "billing_policy"),
        ({"fallbacks": ["m"]}, "fallbacks"),
        ({"fallback_credit_token": "t"}, "fallback_credit_token"),
        ({"thread": {"id": "t"}}, "thread"),
        ({"speed": "fast"}, "speed"),
        ({"output_config": {"task_budget": {"type": "tokens", "total": 5}}}, "output_config.task_budget"),
        ({"thinking": {"type": "between_tools", "budget_tokens": 1024}}, "thinking.type"),
        ({"tools": [{"type": "web_search_20250305", "name": "web_search"}]}, "tools.0"),
        ({"tools": [{"type": "bash_20250124", "name": "bash"}]}, "tools.0"),
        ({"tools": [{"name": "a", "input_schema": {}, "defer_loading": True}]}, "tools.0.defer_loading"),
        ({"tools": [{"name": "a", "input_schema": {}, "allowed_callers": ["code_execution_20250825"]}]}, "tools.0.allowed_callers"),
        ({"messages": user({"type": "document", "source": {"type": "text", "data": "x", "media_type": "text/plain"}})}, "messages.0.content.0"),
        ({"messages": user({"type": "search_result", "content": [], "source": "s", "title": "t"})}, "messages.0.content.0"),
        ({"messages": user({"type": "container_upload", "file_id": "f"})}, "messages.0.content.0"),
        ({"messages": user({"type": "image", "source": {"type": "file", "file_id": "f"}})}, "messages.0.content.0"),
        ({"messages": user({"type": "text", "text": "x", "citations": [{"type": "char_location"}]})}, "messages.0.content.0"),
    ],
)
def test_known_and_not_served_is_501_by_name(fields: dict[str, Any], param: str) -> None:
    with pytest.raises(NotSupported) as caught:
        chat(**fields)
    assert caught.value.param == param


@pytest.mark.parametrize(
    ("fields", "param"),
    [
        ({"max_tokens": -1}, "max_tokens"),
        ({"max_tokens": 2**80}, "max_tokens"),
        ({"max_tokens": None}, "max_tokens"),
        ({"messages": []}, "messages"),
        ({"messages": [{"role": "robot", "content": "x"}]}, "messages.0.role"),
        ({"messages": [{"role": "user", "content": ""}]}, "messages.0"),
        ({"messages": [{"role": "user", "content": []}]}, "messages.0"),
        ({"messages": user({"type": "text", "text": ""})}, "messages.0.content.0"),
        ({"messages": user({"type": "tool_use", "id": "a", "name": "b", "input": {}})}, "messages.0.content.0"),
        ({"messages": user({"type": "tool_result", "tool_use_id": "nowhere"})}, "messages.0.content.0"),
        ({"messages": user({"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": "AAAA"}})}, "messages.0.content.0"),
        ({"messages": [{"role": "assistant", "content": [{"type": "redacted_thinking", "data": "x"}]}]}, "messages.0.content.0"),
        ({"messages": [{"role": "assistant", "content": [{"type": "tool_use", "id": "a", "name": "b", "input": {}}]}]}, "messages"),
        ({"messages": [{"role": "system", "content": "only"}]}, "messages"),
        ({"stop_sequences": [""]}, "stop_sequences.0"),
        ({"stop_sequences": "x"}, "stop_sequences"),
        ({"temperature": 9}, "temperature"),
        ({"tool_choice": {"type": "any"}}, "tool_choice"),
        ({"tools": TOOLS, "tool_choice": {"type": "tool", "name": "mul"}}, "tool_choice.name"),
        ({"tools": TOOLS, "tool_choice": {"type": "tool"}}, "tool_choice.name"),
        ({"tools": TOOLS, "tool_choice": {"type": "auto", "name": "add"}}, "tool_choice.name"),
        ({"tools": [TOOLS[0], TOOLS[0]]}, "tools.1"),
        ({"tools": [{"name": "bad name", "input_schema": {}}]}, "tools.0.custom.name"),
        ({"thinking": {"type": "enabled"}}, "thinking.budget_tokens"),
        ({"thinking": {"type": "enabled", "budget_tokens": 1024}}, "max_tokens"),
        ({"thinking": {"type": "adaptive", "budget_tokens": 1024}}, "thinking.budget_tokens"),
        ({"metadata": {"user_id": "x", "email": "y"}}, "metadata.email"),
        ({"service_tier": "priority"}, "service_tier"),
        ({"nonsense": 1}, "nonsense"),
    ],
)
def test_wrong_is_400_with_its_place(fields: dict[str, Any], param: str) -> None:
    with pytest.raises(InvalidRequest) as caught:
        chat(**fields)
    assert not isinstance(caught.value, NotSupported)
    assert caught.value.param == param


def test_a_model_that_cannot_think_or_see_says_so() -> None:
    simple = InstalledModel(id="m", engine="llamacpp", path=None, digest="0" * 64, modified=0.0, shape=Shape(chat_template="{{ messages }}"))
    with pytest.raises(InvalidRequest, match="does not support thinking"):
        chat(simple, max_tokens=3000, thinking={"type": "enabled", "budget_tokens": 1024})
    with pytest.raises(InvalidRequest, match="thinking"):
        chat(simple, output_config={"effort": "low"})
    with pytest.raises(InvalidRequest, match="cannot see"):
        chat(simple, messages=user({"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": png()}}))
