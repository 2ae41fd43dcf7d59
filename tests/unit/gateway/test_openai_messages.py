"""Messages, tools and schemas as the engine gets them: what it ignores or fails on is put right or refused."""

from typing import Any

import pytest
from pydantic import ValidationError

from hausgeist.errors import InvalidRequest, NotSupported
from hausgeist.gateway.openai.messages import Message, decode_messages, images_in, resolve_images
from hausgeist.gateway.openai.schemas import check_plain, check_schema
from hausgeist.gateway.openai.tools import Choice, Tool, decode_tools

IMAGE = {"type": "image_url", "image_url": {"url": "data:image/png;base64,AAAA"}}
CALL = {"id": "c1", "type": "function", "function": {"name": "f", "arguments": '{"a": 1}'}}


def decoded(*messages: dict[str, Any]) -> list[dict[str, Any]]:
    return decode_messages([Message.model_validate(message) for message in messages])


@pytest.mark.parametrize(
    ("messages", "expected"),
    [
        # Roles pass as they are; the engine maps `developer` for templates that do not know it.
        ([{"role": "developer", "content": "d"}], [{"role": "developer", "content": "d"}]),
        # Text in parts becomes a string where templates expect one.
        ([{"role": "system", "content": [{"type": "text", "text": "a"}, {"type": "text", "text": "b"}]}], [{"role": "system", "content": "a\nb"}]),
        (
            [{"role": "user", "content": [{"type": "text", "text": "a"}, IMAGE]}],
            [{"role": "user", "content": [{"type": "text", "text": "a"}, {"type": "image_url", "image_url": IMAGE["image_url"]}]}],
        ),
        # Names of participants, which templates have no place for, are said in the text.
        ([{"role": "user", "name": "Ada", "content": "hi"}], [{"role": "user", "content": "Ada: hi"}]),
        ([{"role": "system", "name": "rules", "content": "x"}], [{"role": "system", "content": "rules: x"}]),
        (
            [{"role": "user", "name": "Ada", "content": [IMAGE]}],
            [{"role": "user", "content": [{"type": "text", "text": "Ada:"}, {"type": "image_url", "image_url": IMAGE["image_url"]}]}],
        ),
        # One assistant is itself; several are told apart.
        ([{"role": "assistant", "name": "bot", "content": "x"}], [{"role": "assistant", "content": "x"}]),
        (
            [{"role": "assistant", "name": "a", "content": "x"}, {"role": "assistant", "name": "b", "content": "y"}],
            [{"role": "assistant", "content": "a: x"}, {"role": "assistant", "content": "b: y"}],
        ),
        # Refusals are what the assistant said.
        ([{"role": "assistant", "content": None, "refusal": "no"}], [{"role": "assistant", "content": "no"}]),
        ([{"role": "assistant", "content": [{"type": "refusal", "refusal": "no"}]}], [{"role": "assistant", "content": "no"}]),
        # Calls without arguments, results in parts, and the name of the tool beside its result.
        (
            [
                {"role": "assistant", "content": None, "tool_calls": [{**CALL, "function": {"name": "f", "arguments": ""}}]},
                {"role": "tool", "tool_call_id": "c1", "content": [{"type": "text", "text": "5"}]},
            ],
            [
                {"role": "assistant", "content": "", "tool_calls": [{"id": "c1", "type": "function", "function": {"name": "f", "arguments": "{}"}}]},
                {"role": "tool", "content": "5", "tool_call_id": "c1", "name": "f"},
            ],
        ),
        # What the SDK adds to an answer that is sent back.
        (
            [
                {
                    "role": "assistant",
                    "content": "x",
                    "refusal": None,
                    "tool_calls": None,
                    "audio": None,
                    "function_call": None,
                    "annotations": [],
                    "parsed": {"a": 1},
                    "reasoning_content": "hm",
                }
            ],
            [{"role": "assistant", "content": "x", "reasoning_content": "hm"}],
        ),
    ],
)
def test_messages_become_what_the_engine_understands(messages: list[dict[str, Any]], expected: list[dict[str, Any]]) -> None:
    assert decoded(*messages) == expected


@pytest.mark.parametrize(
    "message",
    [
        {"role": "wizard", "content": "x"},
        {"role": "user"},
        {"role": "user", "content": None},
        {"role": "user", "content": []},
        {"role": "user", "content": 5},
        {"role": "user", "content": "x", "tool_calls": [CALL]},
        {"role": "user", "content": "x", "id_slot": 1},
        {"role": "user", "content": [{"type": "text"}]},
        {"role": "user", "content": [{"type": "image_url"}]},
        {"role": "user", "content": [{"type": "text", "text": "a", "image_url": {"url": "x"}}]},
        {"role": "user", "content": [{"type": "media_marker", "text": "x"}]},
        {"role": "user", "content": [{"type": "video_url", "video_url": {"url": "x"}}]},
        {"role": "system", "content": [IMAGE]},
        {"role": "tool", "content": "x"},
        {"role": "assistant"},
        {"role": "assistant", "content": None},
        {"role": "assistant", "content": "x", "tool_calls": [{"id": "1", "type": "function", "function": {"name": "f"}}]},
    ],
    ids=str,
)
def test_messages_that_are_none(message: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        decoded(message)


@pytest.mark.parametrize(
    ("message", "param"),
    [
        ({"role": "function", "name": "f", "content": "x"}, "messages.0"),
        ({"role": "assistant", "content": None, "function_call": {"name": "f", "arguments": "{}"}}, "messages.0"),
        ({"role": "assistant", "content": None, "audio": {"id": "a"}}, "messages.0.audio"),
        ({"role": "user", "content": [{"type": "input_audio", "input_audio": {"data": "", "format": "wav"}}]}, "messages.0.content.0"),
        ({"role": "user", "content": [{"type": "file", "file": {"file_id": "x"}}]}, "messages.0.content.0"),
        ({"role": "user", "content": [{"type": "text", "text": "a", "prompt_cache_breakpoint": {"mode": "explicit"}}]}, "messages.0.content.0"),
        ({"role": "user", "content": [{"type": "image_url", "image_url": {"url": "x", "detail": "low"}}]}, "messages.0.content.0"),
        (
            {"role": "assistant", "content": None, "tool_calls": [{"id": "1", "type": "custom", "custom": {"name": "x", "input": ""}}]},
            "messages.0.tool_calls.0",
        ),
    ],
)
def test_messages_that_are_not_served_yet(message: dict[str, Any], param: str) -> None:
    with pytest.raises(NotSupported) as caught:
        decoded(message)
    assert caught.value.param == param


@pytest.mark.parametrize("arguments", ["{", "[1]", "null", "5", "[" * 5000])
def test_arguments_that_no_template_could_read(arguments: str) -> None:
    with pytest.raises(InvalidRequest) as caught:
        decoded({"role": "assistant", "content": None, "tool_calls": [{**CALL, "function": {"name": "f", "arguments": arguments}}]})
    assert caught.value.param == "messages.0.tool_calls.0.function.arguments"


async def test_images_are_found_and_replaced() -> None:
    messages = decoded({"role": "user", "content": "a"}, {"role": "user", "content": [{"type": "text", "text": "a"}, IMAGE]})
    seen = []

    async def resolve(url: str, place: str) -> str:
        seen.append((url, place))
        return "data:checked"

    await resolve_images(messages, resolve)
    assert seen == [("data:image/png;base64,AAAA", "messages.1.content.1.image_url")]
    assert messages[1]["content"][1]["image_url"]["url"] == "data:checked"
    with pytest.raises(InvalidRequest):
        images_in(decoded({"role": "user", "content": [IMAGE] * 65}))


def tool(name: str, **function: Any) -> Tool:
    return Tool.model_validate({"type": "function", "function": {"name": name, **function}})


def names(body: dict[str, Any]) -> list[str]:
    return [entry["function"]["name"] for entry in body["tools"]]


def test_a_named_choice_is_forced() -> None:
    """The engine takes any object for "auto"."""
    choice = Choice.model_validate({"type": "function", "function": {"name": "b"}})
    body = decode_tools([tool("a"), tool("b")], choice, None)
    assert names(body) == ["b"]
    assert body["tool_choice"] == "required"
    assert body["parallel_tool_calls"] is False
    assert decode_tools([tool("a"), tool("b")], choice, True)["parallel_tool_calls"] is True


@pytest.mark.parametrize("entry", [{"type": "function", "function": {"name": "b"}}, {"type": "function", "name": "b"}])
@pytest.mark.parametrize("mode", ["auto", "required"])
def test_only_allowed_tools_are_offered(entry: dict[str, Any], mode: str) -> None:
    choice = Choice.model_validate({"type": "allowed_tools", "allowed_tools": {"mode": mode, "tools": [entry]}})
    body = decode_tools([tool("a"), tool("b")], choice, None)
    assert names(body) == ["b"]
    assert body.get("tool_choice") == ("required" if mode == "required" else None)


def test_no_choice_no_tools() -> None:
    """With tools in its prompt a model may write a call as text."""
    assert decode_tools([tool("a")], "none", None) == {}
    assert decode_tools([], "auto", True) == {}
    assert decode_tools(None, None, None) == {}


def test_tools_of_other_kinds_are_refused() -> None:
    with pytest.raises(NotSupported) as caught:
        decode_tools([Tool.model_validate({"type": "custom", "custom": {"name": "x"}})], None, None)
    assert caught.value.param == "tools.0"
    with pytest.raises(NotSupported):
        decode_tools([tool("a")], Choice.model_validate({"type": "custom", "custom": {"name": "x"}}), None)


def test_a_function_without_parameters_takes_none() -> None:
    assert decode_tools([tool("a")], None, None)["tools"][0]["function"]["parameters"] == {"type": "object", "properties": {}}


ENFORCED = [
    {
        "type": "object",
        "properties": {"a": {"type": "integer", "minimum": 0, "exclusiveMaximum": 9}},
        "required": ["a"],
        "additionalProperties": False,
    },
    {"$ref": "#/$defs/Node", "$defs": {"Node": {"type": "object", "properties": {"next": {"anyOf": [{"$ref": "#/$defs/Node"}, {"type": "null"}]}}}}},
    {"type": "string", "format": "date-time", "title": "t", "description": "d", "default": "x"},
    {"type": "string", "pattern": "^a+$"},
    {"type": ["string", "null"], "maxLength": 5},
    {"type": "array", "items": {"enum": [1, "a"]}, "minItems": 1, "maxItems": 3},
    {"type": "object", "properties": {"format": {"type": "number"}, "not": {"type": "string"}}},
]

LOOSE = [
    {"type": "number", "minimum": 0},
    {"type": "string", "format": "email"},
    {"type": "string", "pattern": "a"},
    {"type": "string", "pattern": "^a$", "maxLength": 3},
    {"type": "array", "items": {"type": "string"}, "uniqueItems": True},
    {"type": "integer", "multipleOf": 3},
    {"type": "object", "properties": {"a": {"not": {"type": "string"}}}},
    {"type": "object", "patternProperties": {"^a": {}}},
    {"anyOf": [{"type": "string"}, {"if": {}, "then": {}}]},
    {"$defs": {"a": {"type": "object", "minProperties": 1}}, "$ref": "#/$defs/a"},
    {"type": "array", "items": {"type": "object", "additionalProperties": {"contains": {}}}},
]


@pytest.mark.parametrize("schema", ENFORCED, ids=str)
def test_schemas_that_a_grammar_keeps(schema: dict[str, Any]) -> None:
    check_schema(schema, "p", strict=True)


@pytest.mark.parametrize("schema", LOOSE, ids=str)
def test_strict_promises_nothing_that_is_not_kept(schema: dict[str, Any]) -> None:
    with pytest.raises(NotSupported) as caught:
        check_schema(schema, "p", strict=True)
    assert caught.value.param == "p"
    check_schema(schema, "p", strict=False)


def deep(levels: int) -> Any:
    value: Any = {}
    for _ in range(levels):
        value = {"items": value}
    return value


@pytest.mark.parametrize(
    "schema",
    [
        {"$ref": "http://example.com/schema"},
        {"$ref": "#"},
        {"$ref": "#/$defs/missing"},
        {"$ref": 5},
        {"type": "object", "properties": {"a": "string"}},
        {"anyOf": [5]},
        {"items": [None]},
        {"type": "integer", "maximum": 10**30},
        {"type": "number", "maximum": float("inf")},
        {"enum": list(range(30_000))},
        deep(80),
    ],
    ids=lambda schema: str(schema)[:40],
)
def test_schemas_that_no_engine_could_use(schema: dict[str, Any]) -> None:
    with pytest.raises(InvalidRequest) as caught:
        check_schema(schema, "p", strict=False)
    assert not isinstance(caught.value, NotSupported)


def test_values_of_a_reasonable_size_pass() -> None:
    check_plain({"a": [1, 2.5, True, None, "x"], "b": deep(20)}, "p")
