"""Ollama's requests into engines' bodies: every field served or refused by name."""

from __future__ import annotations

import base64
import io
import json
from typing import Any

import ollama
import pytest
from ollama import _types as sdk
from PIL import Image

from hausgeist.errors import InvalidRequest, NotSupported
from hausgeist.gateway.bodies import parse
from hausgeist.gateway.ollama import decode, schema
from hausgeist.gateway.ollama.durations import seconds
from hausgeist.gateway.ollama.options import checked, context_of, embedding_context
from hausgeist.model import InstalledModel, Shape

PLAIN = InstalledModel(id="m", engine="fake", path=None, digest="0" * 64, modified=0.0)
LOCAL = InstalledModel(id="m", engine="llamacpp", path=None, digest="0" * 64, modified=0.0, shape=Shape(chat_template="{{ messages }}"))


def png() -> str:
    out = io.BytesIO()
    Image.new("RGB", (2, 2)).save(out, "PNG")
    return base64.b64encode(out.getvalue()).decode()


def generate(model: InstalledModel = PLAIN, **more: Any) -> tuple[str, dict[str, Any]]:
    return decode.generate(parse(json.dumps({"model": "m", "prompt": "hi", **more}).encode(), schema.GenerateRequest), model)


def chat(model: InstalledModel = PLAIN, **more: Any) -> dict[str, Any]:
    body = {"model": "m", "messages": [{"role": "user", "content": "hi"}], **more}
    return decode.chat(parse(json.dumps(body).encode(), schema.ChatRequest), model)


def options(**given: Any) -> schema.Options:
    return parse(json.dumps(given).encode(), schema.Options)


@pytest.mark.parametrize(
    ("theirs", "mine"),
    [
        (sdk.GenerateRequest, schema.GenerateRequest),
        (sdk.ChatRequest, schema.ChatRequest),
        (sdk.EmbedRequest, schema.EmbedRequest),
        (sdk.EmbeddingsRequest, schema.EmbeddingsRequest),
        (sdk.CreateRequest, schema.CreateRequest),
        (sdk.CopyRequest, schema.CopyRequest),
        (sdk.ShowRequest, schema.ShowRequest),
        (sdk.DeleteRequest, schema.ModelRequest),
        (sdk.PullRequest, schema.TransferRequest),
        (sdk.PushRequest, schema.TransferRequest),
        (sdk.Options, schema.Options),
        (sdk.Message, schema.Message),
        (sdk.Message.ToolCall, schema.ToolCall),
        (sdk.Tool, schema.Tool),
        (sdk.Tool.Function, schema.ToolFunction),
    ],
)
def test_the_models_know_every_field_of_the_sdk(theirs: Any, mine: Any) -> None:
    assert set(theirs.model_fields) <= set(mine.model_fields)


def test_a_prompt_is_a_chat() -> None:
    kind, body = generate(system="be brief", images=None)
    assert kind == "chat"
    assert body == {"messages": [{"role": "system", "content": "be brief"}, {"role": "user", "content": "hi"}]}


def test_what_the_model_brings_along() -> None:
    brings = InstalledModel(
        id="m", engine="fake", path=None, digest="0" * 64, modified=0.0, system="kind", parameters={"temperature": 0.1, "top_k": 3}
    )
    _, body = generate(brings, options={"temperature": 0.7})
    assert body["messages"][0]["content"] == "kind"
    assert (body["temperature"], body["top_k"]) == (0.7, 3)
    assert generate(brings, system="own")[1]["messages"][0]["content"] == "own"
    assert chat(brings)["messages"][0] == {"role": "system", "content": "kind"}
    kind, raw = generate(brings, raw=True)
    assert (kind, raw) == ("completion", {"prompt": "hi", "temperature": 0.1, "top_k": 3})
    kind, fill = generate(brings, suffix=" end")
    assert kind == "infill"
    assert fill == {"input_prefix": "hi", "input_suffix": " end", "prompt": "", "temperature": 0.1, "top_k": 3}


def test_formats() -> None:
    form = {"type": "object", "properties": {"a": {"type": "integer"}}}
    assert chat(format="json")["response_format"] == {"type": "json_object"}
    assert chat(format=form)["response_format"]["json_schema"]["schema"] == form
    assert "response_format" not in chat(format="")
    assert generate(raw=True, format=form)[1]["json_schema"] == form
    assert generate(suffix="x", format="json")[1]["json_schema"] == {"type": "object"}


def test_log_probabilities() -> None:
    assert chat(logprobs=True, top_logprobs=2)["top_logprobs"] == 2
    assert (chat(logprobs=True)["logprobs"], chat(logprobs=True)["top_logprobs"]) == (True, 1)
    assert generate(raw=True, logprobs=True, top_logprobs=4)[1]["logprobs"] == 4
    assert "logprobs" not in chat(logprobs=False)


def test_thinking() -> None:
    assert chat(think=True)["chat_template_kwargs"] == {"enable_thinking": True}
    assert chat(think=False)["chat_template_kwargs"] == {"enable_thinking": False}
    assert chat(think="low")["reasoning_effort"] == "low"
    with pytest.raises(InvalidRequest, match="does not support thinking"):
        chat(LOCAL, think=True)
    chat(LOCAL, think=False)
    boolean = InstalledModel(id="m", engine="llamacpp", path=None, digest="0" * 64, modified=0.0, shape=Shape(chat_template="<think>"))
    with pytest.raises(InvalidRequest, match='think value "high"'):
        chat(boolean, think="high")


def test_tools_get_ids_by_which_results_find_them() -> None:
    calls = [{"function": {"name": name, "arguments": {"n": number}}} for number, name in enumerate(("add", "sub", "add"))]
    messages = [
        {"role": "user", "content": "?"},
        {"role": "assistant", "thinking": "hm", "tool_calls": calls},
        {"role": "tool", "tool_name": "sub", "content": "1"},
        {"role": "tool", "tool_name": "add", "content": "2"},
        {"role": "tool", "content": "3"},
        {"role": "tool", "tool_name": "other", "content": "4"},
    ]
    _, assistant, *results = chat(messages=messages)["messages"]
    ids = [call["id"] for call in assistant["tool_calls"]]
    assert len(set(ids)) == 3
    assert assistant["reasoning_content"] == "hm"
    assert json.loads(assistant["tool_calls"][1]["function"]["arguments"]) == {"n": 1}
    assert [(result["tool_call_id"], result["name"]) for result in results[:3]] == [(ids[1], "sub"), (ids[0], "add"), (ids[2], "add")]
    assert results[3]["name"] == "other"


def test_tools_of_the_sdk_are_taken() -> None:
    def add(a: int, b: int) -> int:
        """Add.

        Args:
          a: one
          b: other
        """
        return a + b

    sent = sdk.ChatRequest(
        model="m", messages=[ollama.Message(role="user", content="x")], tools=[ollama._utils.convert_function_to_tool(add)], keep_alive=1
    ).model_dump(exclude_none=True)
    (tool,) = chat(tools=sent["tools"])["tools"]
    assert tool["function"]["name"] == "add"
    assert set(tool["function"]["parameters"]["properties"]) == {"a", "b"}


def test_images() -> None:
    _, body = generate(images=[png()])
    assert [part["type"] for part in body["messages"][0]["content"]] == ["text", "image_url"]
    with pytest.raises(InvalidRequest, match="cannot see") as caught:
        chat(LOCAL, messages=[{"role": "user", "content": "x", "images": [png()]}])
    assert caught.value.param == "messages.0.images"


def test_a_last_word_of_the_assistant_is_continued() -> None:
    body = chat(messages=[{"role": "user", "content": "q"}, {"role": "assistant", "content": "It is"}])
    assert (body["continue_final_message"], body["add_generation_prompt"]) == (True, False)


def test_asking_nothing_only_loads() -> None:
    for body in ({"prompt": ""}, {}, {"prompt": None, "system": "x"}):
        assert decode.only_loads(schema.GenerateRequest(model="m", **body))
    assert not decode.only_loads(schema.GenerateRequest(model="m", suffix="x"))
    assert decode.only_loads(schema.ChatRequest(model="m", messages=[]))
    assert decode.only_loads(schema.ChatRequest(model="m"))


def test_options_of_loading() -> None:
    assert context_of(options(num_ctx=64)) == 64
    usual = {"num_batch": 512, "num_gpu": -1, "main_gpu": 0, "num_thread": 0, "numa": False, "use_mmap": True, "use_mlock": False, "low_vram": False}
    usual |= {"f16_kv": True, "logits_all": False, "vocab_only": False, "embedding_only": False, "penalize_newline": True, "tfs_z": 1.0}
    assert checked(options(**usual, top_k=2), PLAIN) == {"top_k": 2}
    for name, value in usual.items():
        other = not value if isinstance(value, bool) else 7
        with pytest.raises(NotSupported, match=name) as caught:
            checked(options(**{name: other}), PLAIN)
        assert caught.value.param == f"options.{name}"
    assert checked(options(stop="a"), PLAIN) == {"stop": ["a"]}
    assert embedding_context(options(num_ctx=5), PLAIN) == 5
    with pytest.raises(InvalidRequest, match="temperature"):
        embedding_context(options(temperature=1), PLAIN)


def test_every_option_of_the_sdk_is_served_or_refused() -> None:
    for name in sdk.Options.model_fields:
        value: Any = ["x"] if name == "stop" else 2
        switch = "bool" in str(sdk.Options.model_fields[name].annotation)
        given = parse(json.dumps({name: (name not in ("f16_kv", "use_mmap", "penalize_newline")) if switch else value}).encode(), schema.Options)
        if context_of(given):
            continue
        try:
            served = checked(given, LOCAL)
        except NotSupported as error:
            served = {"refused": error.message} if name in error.message else {}
        assert served


@pytest.mark.parametrize(
    ("fields", "param"),
    [
        ({"context": [1, 2]}, "context"),
        ({"template": "{{ .Prompt }}"}, "template"),
        ({"width": 64}, "width"),
        ({"height": 64}, "height"),
        ({"steps": 4}, "steps"),
        ({"truncate": True}, "truncate"),
        ({"shift": True}, "shift"),
    ],
)
def test_known_and_not_served_is_501_by_name(fields: dict[str, Any], param: str) -> None:
    with pytest.raises(NotSupported) as caught:
        generate(**fields)
    assert caught.value.param == param


@pytest.mark.parametrize(
    ("fields", "param"),
    [
        ({"suffix": "x", "system": "y"}, "system"),
        ({"suffix": "x", "images": [png()]}, "images"),
        ({"suffix": "x", "logprobs": True}, "logprobs"),
        ({"raw": True, "system": "y"}, "system"),
        ({"raw": True, "images": [png()]}, "images"),
        ({"raw": True, "think": True}, "think"),
        ({"top_logprobs": 3}, "top_logprobs"),
        ({"top_logprobs": 21}, "top_logprobs"),
        ({"format": "yaml"}, "format"),
        ({"options": {"nonsense": 1}}, "options.nonsense"),
        ({"options": {"temperature": "hot"}}, "options.temperature"),
        ({"options": {"temperature": -1}}, "options.temperature"),
        ({"options": {"num_predict": 2**40}}, "options.num_predict"),
        ({"options": {"num_ctx": 0}}, "options.num_ctx"),
        ({"options": {"num_ctx": 10**30}}, "options.num_ctx"),
        ({"images": ["!!"]}, "images"),
        ({"prompt": 5}, "prompt"),
        ({"nonsense": 1}, "nonsense"),
    ],
)
def test_wrong_is_400_with_its_place(fields: dict[str, Any], param: str) -> None:
    with pytest.raises(InvalidRequest) as caught:
        generate(**fields)
    assert not isinstance(caught.value, NotSupported)
    assert caught.value.param == param


@pytest.mark.parametrize(
    "messages",
    [
        [{"role": "robot", "content": "x"}],
        [{"role": "user", "content": "x", "tool_calls": [{"function": {"name": "a", "arguments": {}}}]}],
        [{"role": "user", "content": "x", "tool_name": "a"}],
        [{"role": "assistant", "tool_calls": [{"function": {"name": "a", "arguments": {}}}]}],
        [{"role": "assistant", "tool_calls": [{"function": {"name": "a", "arguments": "{}"}}]}],
    ],
)
def test_wrong_messages_are_refused(messages: list[dict[str, Any]]) -> None:
    with pytest.raises(InvalidRequest, match="message"):
        chat(messages=messages)


@pytest.mark.parametrize(
    ("value", "length"),
    [
        (None, None),
        (0, 0),
        ("0", 0),
        (5, 5),
        (2.5, 2.5),
        ("5m", 300),
        ("1h30m", 5400),
        ("1h30m5.5s", 5405.5),
        ("300ms", 0.3),
        ("-1", -1),
        (-1, -1),
        ("-1m", -1),
        ("300", 300),
        (" 24h ", 86400),
        (1e300, 292 * 365 * 86400),
    ],
)
def test_keep_alive(value: Any, length: float | None) -> None:
    assert seconds(value) == length


@pytest.mark.parametrize("value", ["", "soon", "5x", "m5", "5m 3s", "--1", "1e3", "∞", "5" * 100, float("nan"), float("inf"), "5m" * 100])
def test_keep_alive_that_is_none(value: Any) -> None:
    with pytest.raises(InvalidRequest) as caught:
        seconds(value)
    assert caught.value.param == "keep_alive"
