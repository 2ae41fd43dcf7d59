"""What llama-server ignores or gets wrong, as its source and its answers show, and what this server says instead. One row each."""

from __future__ import annotations

from typing import Any

import httpx
import pytest

from tests.contract.conftest import Live

CHAT, TEXT, VECTORS, RANK = "/v1/chat/completions", "/v1/completions", "/v1/embeddings", "/v1/rerank"
HI: list[Any] = [{"role": "user", "content": "hi"}]
IMAGE = {"type": "image_url", "image_url": {"url": "data:image/png;base64,iVBORw0KGgo="}}
TOOL = {"type": "function", "function": {"name": "f", "parameters": {"type": "object", "properties": {}}}}


def schema(value: Any, **more: Any) -> dict[str, Any]:
    return {"messages": HI, "max_tokens": 40, "response_format": {"type": "json_schema", "json_schema": {"name": "x", "schema": value, **more}}}


FAULTS: list[tuple[str, str, dict[str, Any], int, str | None]] = [
    # what the engine does                                          path   body                                             status  param
    ("500 for a request without messages", CHAT, {}, 400, "messages"),
    ("takes messages that are empty", CHAT, {"messages": []}, 400, "messages"),
    ("500 for messages that are no list", CHAT, {"messages": {"role": "user"}}, 400, "messages"),
    ("500 for a message without a role", CHAT, {"messages": [{"content": "x"}]}, 400, "messages.0.role"),
    ("500 for an image without projector", CHAT, {"messages": [{"role": "user", "content": [IMAGE]}]}, 400, "messages.0.content.0.image_url"),
    ("500 for audio", CHAT, {"messages": [{"role": "user", "content": [{"type": "input_audio", "input_audio": {}}]}]}, 501, "messages.0.content.0"),
    ("refuses files without saying what", CHAT, {"messages": [{"role": "user", "content": [
        {"type": "file", "file": {}}]}]}, 501, "messages.0.content.0"),
    ("500 for arguments that are no JSON", CHAT, {"messages": [*HI, {"role": "assistant", "tool_calls": [
        {"id": "a", "type": "function", "function": {"name": "f", "arguments": "{"}}]}]}, 400, "messages.1.tool_calls.0.function.arguments"),
    ("ignores the role `function`", CHAT, {"messages": [{"role": "function", "name": "f", "content": "x"}]}, 501, "messages.0"),
    ("ignores `metadata`", CHAT, {"messages": HI, "metadata": {"a": "b"}}, 400, "metadata"),
    ("ignores `modalities`", CHAT, {"messages": HI, "modalities": ["text", "audio"]}, 501, "modalities"),
    ("ignores `audio`", CHAT, {"messages": HI, "audio": {"voice": "alloy", "format": "wav"}}, 501, "audio"),
    ("ignores `prediction`", CHAT, {"messages": HI, "prediction": {"type": "content", "content": "x"}}, 501, "prediction"),
    ("ignores `service_tier`", CHAT, {"messages": HI, "service_tier": "flex"}, 501, "service_tier"),
    ("ignores `verbosity`", CHAT, {"messages": HI, "verbosity": "low"}, 501, "verbosity"),
    ("ignores `web_search_options`", CHAT, {"messages": HI, "web_search_options": {}}, 501, "web_search_options"),
    ("ignores `moderation`", CHAT, {"messages": HI, "moderation": {"model": "x"}}, 501, "moderation"),
    ("ignores `functions`", CHAT, {"messages": HI, "functions": [{"name": "f"}]}, 501, "functions"),
    ("ignores `function_call`", CHAT, {"messages": HI, "function_call": "auto"}, 501, "function_call"),
    ("ignores `prompt_cache_key`", CHAT, {"messages": HI, "prompt_cache_key": "k"}, 501, "prompt_cache_key"),
    ("ignores the detail of images", CHAT, {"messages": [{"role": "user", "content": [
        {"type": "image_url", "image_url": {"url": "x", "detail": "low"}}]}]}, 501, "messages.0.content.0"),
    ("takes a tool that is not there for auto", CHAT, {"messages": HI, "tools": [TOOL], "tool_choice": {
        "type": "function", "function": {"name": "other"}}}, 400, "tool_choice"),
    ("takes a choice without tools", CHAT, {"messages": HI, "tool_choice": "required"}, 400, "tool_choice"),
    ("500 for tools of another kind", CHAT, {"messages": HI, "tools": [{"type": "custom", "custom": {"name": "x"}}]}, 501, "tools.0"),
    ("never calls tools when there is a schema", CHAT, {**schema({"type": "object"}), "tools": [TOOL]}, 501, "response_format"),
    ("400 without a name for tools, logprobs and stream", CHAT, {"messages": HI, "tools": [TOOL], "logprobs": True, "stream": True}, 501, "logprobs"),
    ("answers at once with an empty stop string", CHAT, {"messages": HI, "stop": ""}, 400, "stop"),
    ("drops empty stop strings", CHAT, {"messages": HI, "stop": ["a", ""]}, 400, "stop.1"),
    ("answers without end for max_tokens = -1", CHAT, {"messages": HI, "max_tokens": -1}, 400, "max_tokens"),
    ("answers nothing for max_tokens = 0", CHAT, {"messages": HI, "max_tokens": 0}, 400, "max_tokens"),
    ("wraps max_tokens around", CHAT, {"messages": HI, "max_tokens": 2**31}, 400, "max_tokens"),
    ("clamps top_p", CHAT, {"messages": HI, "top_p": 1.5}, 400, "top_p"),
    ("clamps temperature", CHAT, {"messages": HI, "temperature": -1}, 400, "temperature"),
    ("tokenises keys of logit_bias", CHAT, {"messages": HI, "logit_bias": {"the": 1}}, 400, None),
    ("takes any logit_bias", CHAT, {"messages": HI, "logit_bias": {"5": 1000}}, 400, "logit_bias.5"),
    ("lets callers choose slots", CHAT, {"messages": HI, "id_slot": 0}, 400, "id_slot"),
    ("reserves what n_probs says", CHAT, {"messages": HI, "n_probs": 10**6}, 400, "n_probs"),
    ("reserves what repeat_last_n says", CHAT, {"messages": HI, "repeat_last_n": 2**31 - 1}, 400, "repeat_last_n"),
    ("lets callers replace messages in a template", CHAT, {"messages": HI, "chat_template_kwargs": {"messages": []}}, 400, "chat_template_kwargs"),
    ("ignores stream options without a stream", CHAT, {"messages": HI, "stream_options": {"include_usage": True}}, 400, None),
    ("ignores stream_options.include_obfuscation", CHAT, {
        "messages": HI, "stream": True, "stream_options": {"include_obfuscation": True}}, 501, "stream_options"),
    ("ignores what a grammar cannot say, strict or not", CHAT, schema({"type": "number", "minimum": 0}, strict=True), 501,
        "response_format.json_schema.schema"),
    ("takes references to nowhere", CHAT, schema({"$ref": "#/$defs/x"}), 400, "response_format.json_schema.schema"),
    ("takes unknown types", CHAT, schema({"type": "nonsense"}), 400, None),
    ("refuses long repetitions deep inside", CHAT, schema({"type": "string", "minLength": 100_000}), 400, None),
    ("refuses `echo` as 500", TEXT, {"prompt": "a", "echo": True, "logprobs": 1}, 501, "echo"),
    ("answers nothing to an empty prompt", TEXT, {"prompt": ""}, 400, "prompt"),
    ("500 for prompts that are empty", TEXT, {"prompt": []}, 400, "prompt"),
    ("takes texts and tokens mixed", TEXT, {"prompt": ["a", 1]}, 400, None),
    ("takes prompts with media", TEXT, {"prompt": {"prompt_string": "a"}}, 400, "prompt"),
    ("without a name for tokens that are none", TEXT, {"prompt": [10**8]}, 400, None),
    ("500 for an input that is too long", VECTORS, {"input": "word " * 9000}, 400, "input"),
    ("takes other fields than input", VECTORS, {"content": "a"}, 400, "input"),
    ("ignores `dimensions`", VECTORS, {"input": "a", "dimensions": 10**5}, 400, "dimensions"),
    ("takes a negative top_n", RANK, {"query": "a", "documents": ["a"], "top_n": -1}, 400, "top_n"),
]  # fmt: skip
MODELS = {CHAT: "tiny", TEXT: "tiny", VECTORS: "tiny-embed", RANK: "tiny-rank"}


@pytest.mark.parametrize(("fault", "path", "body", "status", "param"), FAULTS, ids=[row[0] for row in FAULTS])
def test_faults_of_the_engine_do_not_show(live: Live, fault: str, path: str, body: dict[str, Any], status: int, param: str | None) -> None:
    response = httpx.post(live.url + path, json={"model": MODELS[path], **body}, timeout=60)
    assert response.status_code == status, f"{fault}: {response.text}"
    error = response.json()["error"]
    assert error["message"]
    if param is not None:
        assert error["param"] == param, error


def test_replies_have_nothing_private(live: Live) -> None:
    """The engine adds timings, its own path and ids of tokens."""
    reply = httpx.post(
        live.url + CHAT, json={"model": "tiny", "messages": HI, "max_tokens": 2, "logprobs": True, "top_logprobs": 1}, timeout=60
    ).json()
    assert reply.keys() == {"id", "object", "created", "model", "choices", "usage", "system_fingerprint"}
    assert reply["choices"][0]["logprobs"]["content"][0].keys() == {"token", "logprob", "bytes", "top_logprobs"}
    assert reply["choices"][0]["message"].keys() == {"role", "content", "refusal"}
    for extra in ({}, {"stream_options": {"include_usage": True}}):
        for path, asked in ((CHAT, {"messages": HI}), (TEXT, {"prompt": "a"})):
            text = httpx.post(live.url + path, json={"model": "tiny", "max_tokens": 2, "stream": True, **asked, **extra}, timeout=60).text
            assert "timings" not in text
            assert ".gguf" not in text
            assert ('"usage"' in text) == bool(extra)
            assert text.endswith("data: [DONE]\n\n")
