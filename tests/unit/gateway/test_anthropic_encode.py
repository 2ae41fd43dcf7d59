"""Engines' replies into Anthropic's: what comes out parses into the SDK's own types, strictly."""

from __future__ import annotations

import json
from typing import Any

import pytest
from anthropic.types import Message, RawMessageStreamEvent
from anthropic.types.beta import BetaMessage, BetaRawMessageStreamEvent
from pydantic import TypeAdapter
from starlette.requests import Request

from hausgeist.errors import (
    Busy,
    ContextExceeded,
    EngineCrashed,
    EngineFailed,
    InvalidRequest,
    LoadFailed,
    ModelNotFound,
    NotAllowed,
    NotAuthenticated,
    NotSupported,
    TooLarge,
)
from hausgeist.gateway.anthropic.encode import MessageEvents, message
from hausgeist.gateway.anthropic.errors import ANTHROPIC, failure_event
from hausgeist.gateway.anthropic.schema import MessagesRequest
from hausgeist.identity import Origin
from hausgeist.model import Usage

USAGE = Usage(prompt_tokens=12, completion_tokens=3, cached_tokens=8)


def wanted(**more: Any) -> MessagesRequest:
    return MessagesRequest(model="asked", max_tokens=100, messages=[{"role": "user", "content": "hi"}], **more)


def reply(finish: str = "stop", stop_reason: str | None = None, **said: Any) -> dict[str, Any]:
    return {"choices": [{"index": 0, "finish_reason": finish, "stop_reason": stop_reason, "message": {"role": "assistant", "content": "ok", **said}}]}


def whole(given: dict[str, Any], request: MessagesRequest | None = None, usage: Usage = USAGE, context: int = 4096) -> Message:
    made = message(request or wanted(), given, usage, context=context)
    BetaMessage.model_validate(made)
    return Message.model_validate(made)


def call(name: str, arguments: str, identifier: str | None = "c1") -> dict[str, Any]:
    return {"id": identifier, "type": "function", "function": {"name": name, "arguments": arguments}}


def test_a_whole_message() -> None:
    made = whole(reply())
    assert made.id.startswith("msg_")
    assert made.model == "asked"
    assert made.content[0].type == "text"
    assert (made.stop_reason, made.stop_sequence) == ("end_turn", None)
    assert (made.usage.input_tokens, made.usage.cache_read_input_tokens, made.usage.output_tokens) == (4, 8, 3)


def test_thinking_text_and_tools_in_their_order() -> None:
    made = whole(reply("tool_calls", reasoning_content="hm", tool_calls=[call("add", '{"a": 1}'), call("sub", "", None)]))
    assert [block.type for block in made.content] == ["thinking", "text", "tool_use", "tool_use"]
    assert made.stop_reason == "tool_use"
    thought, _, first, second = made.content
    assert thought.thinking == "hm"
    assert thought.signature
    assert (first.id, first.input) == ("c1", {"a": 1})
    assert second.id.startswith("toolu_")
    assert second.input == {}


def test_hidden_thinking_keeps_its_signature() -> None:
    made = whole(reply(reasoning_content="hm"), wanted(thinking={"type": "adaptive", "display": "omitted"}))
    assert made.content[0].thinking == ""
    assert made.content[0].signature == whole(reply(reasoning_content="hm")).content[0].signature


@pytest.mark.parametrize(("arguments", "given"), [('{"a": ', {}), ("[1]", {"value": [1]}), ("  ", {}), ('{"a": {"b": null}}', {"a": {"b": None}})])
def test_arguments_are_always_an_object(arguments: str, given: dict[str, Any]) -> None:
    assert whole(reply("length", content=None, tool_calls=[call("add", arguments)])).content[0].input == given


def test_an_empty_answer_has_no_blocks() -> None:
    assert whole(reply(content="")).content == []


@pytest.mark.parametrize(
    ("given", "request_", "reason", "sequence"),
    [
        (reply("stop", "END"), wanted(stop_sequences=["END"]), "stop_sequence", "END"),
        (reply("stop", "<|im_end|>"), wanted(stop_sequences=["END"]), "end_turn", None),
        (reply("stop", 17), wanted(stop_sequences=["END"]), "end_turn", None),
        (reply("stop"), wanted(), "end_turn", None),
        (reply("length"), wanted(), "max_tokens", None),
        (reply("content_filter"), wanted(), "refusal", None),
        (reply("stop", tool_calls=[call("a", "{}")]), wanted(), "tool_use", None),
    ],
)
def test_why_it_stopped(given: dict[str, Any], request_: MessagesRequest, reason: str, sequence: str | None) -> None:
    made = whole(given, request_)
    assert (made.stop_reason, made.stop_sequence) == (reason, sequence)


def test_a_full_context_is_told_from_a_limit() -> None:
    assert whole(reply("length"), context=15).stop_reason == "model_context_window_exceeded"
    assert whole(reply("length"), usage=Usage(prompt_tokens=12, completion_tokens=100), context=112).stop_reason == "max_tokens"


# -- streams ----------------------------------------------------------------------------------------------------------------------------


def chunk(finish: str | None = None, stop_reason: str | None = None, **delta: Any) -> dict[str, Any]:
    return {"choices": [{"index": 0, "finish_reason": finish, "stop_reason": stop_reason, "delta": delta}]}


def piece(index: int, arguments: str | None = None, name: str | None = None, identifier: str | None = None) -> dict[str, Any]:
    function = {key: value for key, value in (("name", name), ("arguments", arguments)) if value is not None}
    return {"index": index, "function": function, **({"id": identifier} if identifier else {})}


def events(*chunks: dict[str, Any], request: MessagesRequest | None = None, usage: Usage = USAGE) -> list[Any]:
    stream = MessageEvents(request or wanted(), context=4096)
    raw = b"".join([*(stream.feed(one) for one in chunks), stream.end(usage)])
    found = []
    for event in raw.decode().split("\n\n")[:-1]:
        name, data = event.split("\n")
        parsed = json.loads(data.removeprefix("data: "))
        assert name == f"event: {parsed['type']}"
        if parsed["type"] != "ping":
            TypeAdapter(BetaRawMessageStreamEvent).validate_python(parsed)
            found.append(TypeAdapter(RawMessageStreamEvent).validate_python(parsed))
    return found


def kinds(found: list[Any]) -> list[str]:
    return [event.type for event in found]


def test_a_stream_of_text() -> None:
    progress = {"choices": [{"index": 0, "finish_reason": None, "delta": {"role": "assistant", "content": None}}]}
    progress["prompt_progress"] = {"total": 12, "cache": 8, "processed": 12}
    found = events(progress, chunk(content="He\n"), chunk(content='l"lö'), chunk("stop"))
    assert kinds(found) == [
        "message_start",
        "content_block_start",
        *["content_block_delta"] * 2,
        "content_block_stop",
        "message_delta",
        "message_stop",
    ]
    start, closing = found[0].message, found[-2]
    assert (start.usage.input_tokens, start.usage.cache_read_input_tokens, start.stop_reason) == (4, 8, None)
    assert "".join(event.delta.text for event in found[2:4]) == 'He\nl"lö'
    assert (closing.delta.stop_reason, closing.usage.input_tokens, closing.usage.output_tokens) == ("end_turn", 4, 3)


def test_a_stream_with_thinking_and_parallel_tools() -> None:
    found = events(
        chunk(role="assistant", content=None),
        chunk(reasoning_content="h"),
        chunk(reasoning_content="m"),
        chunk(content="Look:"),
        chunk(tool_calls=[piece(0, "", "add", "c1")]),
        chunk(tool_calls=[piece(0, '{"a"')]),
        chunk(tool_calls=[piece(0, ":1}")]),
        chunk(tool_calls=[piece(1, '{"b":2}', "sub", "c2")]),
        chunk("tool_calls"),
    )
    starts = [event for event in found if event.type == "content_block_start"]
    assert [(event.index, event.content_block.type) for event in starts] == [(0, "thinking"), (1, "text"), (2, "tool_use"), (3, "tool_use")]
    stops = [event.index for event in found if event.type == "content_block_stop"]
    assert stops == [0, 1, 2, 3]
    deltas = [event for event in found if event.type == "content_block_delta"]
    assert [event.delta.type for event in deltas if event.index == 0] == ["thinking_delta", "thinking_delta", "signature_delta"]
    assert "".join(event.delta.partial_json for event in deltas if event.index == 2) == '{"a":1}'
    assert starts[3].content_block.name == "sub"
    assert found[-2].delta.stop_reason == "tool_use"


def test_hidden_thinking_streams_a_signature_only() -> None:
    found = events(
        chunk(reasoning_content="h"), chunk(content="x"), chunk("stop"), request=wanted(thinking={"type": "adaptive", "display": "omitted"})
    )
    assert [event.delta.type for event in found if event.type == "content_block_delta"] == ["signature_delta", "text_delta"]


def test_a_stream_says_which_sequence_stopped_it() -> None:
    found = events(chunk(content="a"), chunk("stop", "END"), request=wanted(stop_sequences=["END"]))
    assert (found[-2].delta.stop_reason, found[-2].delta.stop_sequence) == ("stop_sequence", "END")


def test_a_stream_without_a_word_is_whole_all_the_same() -> None:
    assert kinds(events()) == ["message_start", "message_delta", "message_stop"]
    assert kinds(events({"choices": []}, chunk("length"))) == ["message_start", "message_delta", "message_stop"]


def test_arguments_of_a_call_that_was_closed_are_an_error_not_a_mixture() -> None:
    with pytest.raises(EngineFailed):
        events(chunk(tool_calls=[piece(0, "", "a", "1")]), chunk(tool_calls=[piece(1, "", "b", "2")]), chunk(tool_calls=[piece(0, "{}")]))


# -- errors -----------------------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("error", "status", "kind"),
    [
        (InvalidRequest("x"), 400, "invalid_request_error"),
        (NotSupported("x"), 501, "invalid_request_error"),
        (NotAuthenticated(), 401, "authentication_error"),
        (NotAllowed(), 403, "permission_error"),
        (ModelNotFound("x"), 404, "not_found_error"),
        (TooLarge(), 413, "request_too_large"),
        (Busy(retry_after=2.2), 429, "rate_limit_error"),
        (LoadFailed(), 503, "overloaded_error"),
        (EngineCrashed(), 502, "api_error"),
        (RuntimeError("secret"), 500, "api_error"),
    ],
)
def test_errors_in_the_tongue(error: Exception, status: int, kind: str) -> None:
    request = Request({"type": "http", "headers": [], "state": {"origin": Origin("::1", request_id="req_7")}})
    response = ANTHROPIC.error(request, error)
    body = json.loads(bytes(response.body))
    assert response.status_code == status
    assert (body["type"], body["error"]["type"], body["request_id"]) == ("error", kind, "req_7")
    assert response.headers["request-id"] == "req_7"
    assert "secret" not in body["error"]["message"]
    if isinstance(error, Busy):
        assert response.headers["retry-after"] == "3"
    event, data, *_ = failure_event(error, "req_7").decode().split("\n")
    assert event == "event: error"
    assert json.loads(data.removeprefix("data: ")) == body


def test_over_the_context_is_said_as_clients_look_for_it() -> None:
    response = ANTHROPIC.error(Request({"type": "http", "headers": []}), ContextExceeded(5000, 4096))
    assert response.status_code == 400
    assert json.loads(bytes(response.body))["error"]["message"] == "prompt is too long: 5000 tokens > 4096 maximum"
