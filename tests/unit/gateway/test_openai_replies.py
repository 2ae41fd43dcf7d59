"""Answers in OpenAI's shapes: nothing private of the engine is left, usage is added up, errors are what the SDK raises."""

import json
from collections.abc import AsyncIterator
from typing import Any

import pytest
from openai.types import Completion
from openai.types.chat import ChatCompletion, ChatCompletionChunk
from starlette.exceptions import HTTPException
from starlette.requests import Request

from hausgeist import errors
from hausgeist.gateway.openai.errors import OPENAI, error_body, error_event, naming
from hausgeist.gateway.openai.legacy import TextChoice, chosen, pieces
from hausgeist.gateway.openai.replies import ChatFold, Logprobs, Totals, encode_chat, rewritten, usage_of

TOKEN = {
    "id": 5,
    "token": "a",
    "bytes": [97],
    "logprob": -3.4e38,
    "top_logprobs": [{"id": 6, "token": "b", "bytes": [98], "logprob": -1.0}, {"id": 7, "token": "c", "bytes": [99], "logprob": -2.0}],
}


def unknown(model: Any) -> dict[str, Any]:
    """Fields that the SDK's type does not know, at any depth."""
    found = dict(model.model_extra or {})
    for value in model.__dict__.values():
        for inner in value if isinstance(value, list) else [value]:
            if hasattr(inner, "model_extra"):
                found.update(unknown(inner))
    return found


def reply(**message: Any) -> dict[str, Any]:
    """As llama-server answers."""
    return {
        "choices": [{"finish_reason": "stop", "index": 0, "message": {"role": "assistant", **message}, "logprobs": {"content": [TOKEN]}}],
        "created": 1,
        "model": "/models/file.gguf",
        "system_fingerprint": "b1",
        "object": "chat.completion",
        "usage": {"completion_tokens": 2, "prompt_tokens": 3, "total_tokens": 5, "prompt_tokens_details": {"cached_tokens": 1}},
        "id": "chatcmpl-1",
        "timings": {"cache_n": 0},
        "__verbose": {"id_slot": 1},
    }


def test_a_chat_has_the_fields_of_the_sdk_only() -> None:
    encoded = encode_chat(reply(content="hi"), model="m", logprobs=Logprobs(1), tier="default")
    parsed = ChatCompletion.model_validate(encoded)
    assert unknown(parsed) == {}
    assert (parsed.id, parsed.created, parsed.model, parsed.system_fingerprint, parsed.service_tier) == ("chatcmpl-1", 1, "m", "b1", "default")
    assert parsed.usage is not None
    assert (parsed.usage.prompt_tokens, parsed.usage.completion_tokens, parsed.usage.total_tokens) == (3, 2, 5)
    assert encoded["choices"][0]["message"] == {"role": "assistant", "content": "hi", "refusal": None}
    (token,) = encoded["choices"][0]["logprobs"]["content"]
    assert token == {"token": "a", "logprob": -9999.0, "bytes": [97], "top_logprobs": [{"token": "b", "logprob": -1.0, "bytes": [98]}]}
    assert encode_chat(reply(content="hi"), model="m", logprobs=None, tier=None)["choices"][0]["logprobs"] is None


def test_tool_calls_stand_alone() -> None:
    call = {"id": "x", "type": "function", "function": {"name": "f", "arguments": "{}"}, "private": 1}
    message = encode_chat(reply(content="", tool_calls=[call]), model="m", logprobs=None, tier=None)["choices"][0]["message"]
    assert message["content"] is None
    assert message["tool_calls"] == [{"id": "x", "type": "function", "function": {"name": "f", "arguments": "{}"}}]


def test_reasoning_is_told() -> None:
    message = encode_chat(reply(content="hi", reasoning_content="hm"), model="m", logprobs=None, tier=None)["choices"][0]["message"]
    assert message["reasoning_content"] == "hm"


def chunk(index: int, finish: str | None = None, **delta: Any) -> dict[str, Any]:
    return {
        "id": "chatcmpl-1",
        "created": 1,
        "model": "x",
        "object": "chat.completion.chunk",
        "choices": [{"index": index, "delta": delta, "finish_reason": finish}],
    }


def usage(completion: int) -> dict[str, Any]:
    counts = {"prompt_tokens": 7, "completion_tokens": completion, "total_tokens": 7 + completion, "prompt_tokens_details": {"cached_tokens": 2}}
    return {**chunk(0), "choices": [], "usage": counts, "timings": {}}


STREAM = [
    chunk(1, role="assistant", content=None),
    chunk(1, content="B"),
    chunk(0, role="assistant", content=None),
    chunk(0, content="A"),
    chunk(0, tool_calls=[{"index": 0, "id": "t", "type": "function", "function": {"name": "f", "arguments": "{"}}]),
    chunk(1, "length"),
    usage(3),
    chunk(0, tool_calls=[{"index": 0, "function": {"arguments": "}"}}]),
    chunk(0, "tool_calls"),
    usage(4),
]
"""Two answers, each of which the engine tells the usage of."""


def test_several_answers_are_put_together() -> None:
    fold = ChatFold("m")
    for event in STREAM:
        fold.add(event)
    encoded = encode_chat(fold.reply(), model="m", logprobs=None, tier=None)
    first, second = encoded["choices"]
    assert (first["index"], first["finish_reason"], first["message"]["content"]) == (0, "tool_calls", "A")
    assert first["message"]["tool_calls"][0] == {"id": "t", "type": "function", "function": {"name": "f", "arguments": "{}"}}
    assert (second["index"], second["finish_reason"], second["message"]["content"]) == (1, "length", "B")
    assert encoded["usage"] == {"prompt_tokens": 7, "completion_tokens": 7, "total_tokens": 14, "prompt_tokens_details": {"cached_tokens": 2}}


class Told:
    """An answer whose events are known."""

    def __init__(self, events: list[dict[str, Any]]) -> None:
        self._events = events
        self.closed = False

    async def __aenter__(self) -> "Told":
        return self

    async def __aexit__(self, *exc: object) -> None:
        self.closed = True

    async def events(self) -> AsyncIterator[dict[str, Any]]:
        for event in self._events:
            yield json.loads(json.dumps(event))


@pytest.mark.parametrize("asked", [True, False])
async def test_a_stream_of_several_tells_its_usage_once(asked: bool) -> None:
    answer = Told(STREAM)
    sent = [part async for part in rewritten(answer, logprobs=None, usage=asked, tier="default")]  # type: ignore[arg-type]
    assert answer.closed
    assert sent[-1] == b"data: [DONE]\n\n"
    events = [ChatCompletionChunk.model_validate_json(part[6:]) for part in sent[:-1]]
    assert all(event.service_tier == "default" for event in events)
    told = [event.usage for event in events if event.usage is not None]
    assert [event.total_tokens for event in told] == ([14] if asked else [])
    assert events[-1].choices == [] or not asked
    assert all(unknown(event) == {} for event in events)


async def test_log_probabilities_within_a_stream() -> None:
    event = chunk(0, content="a")
    event["choices"][0]["logprobs"] = {"content": [TOKEN]}
    sent = [part async for part in rewritten(Told([event]), logprobs=Logprobs(0), usage=False, tier=None)]  # type: ignore[arg-type]
    (token,) = json.loads(sent[0][6:])["choices"][0]["logprobs"]["content"]
    assert token == {"token": "a", "logprob": -9999.0, "bytes": [97], "top_logprobs": []}


def test_usage_of_one_prompt_counts_it_once() -> None:
    totals = Totals()
    totals.add(usage(1)["usage"], same_prompt=True)
    totals.add(usage(2)["usage"], same_prompt=True)
    assert totals.say()["total_tokens"] == 10
    totals.add(usage(1)["usage"])
    assert totals.say() == {"prompt_tokens": 14, "completion_tokens": 4, "total_tokens": 18, "prompt_tokens_details": {"cached_tokens": 4}}
    assert usage_of(None)["total_tokens"] == 0


def test_pieces_of_completions_and_of_infills() -> None:
    event = {
        "id": "x",
        "choices": [{"text": "a", "index": 1, "logprobs": {"content": [TOKEN]}, "finish_reason": None}],
        "usage": {"prompt_tokens": 1},
    }
    (piece,) = pieces(event)
    assert (piece.index, piece.text, piece.finish, len(piece.tokens), piece.usage) == (1, "a", None, 1, {"prompt_tokens": 1})
    (piece,) = pieces({"choices": [], "usage": {"prompt_tokens": 1}})
    assert piece.index is None
    (piece,) = pieces({"index": 0, "content": "a", "stop": False, "id_slot": 3})
    assert (piece.text, piece.finish, piece.usage) == ("a", None, None)
    last = {"content": "", "stop": True, "stop_type": "limit", "tokens_predicted": 2, "tokens_evaluated": 3, "timings": {"cache_n": 1}}
    (piece,) = pieces(last)
    assert piece.finish == "length"
    assert piece.usage == {"prompt_tokens": 3, "completion_tokens": 2, "prompt_tokens_details": {"cached_tokens": 1}}
    assert next(pieces({**last, "stop_type": "eos"})).finish == "stop"


def test_older_log_probabilities_are_parallel_lists() -> None:
    choice = TextChoice(text="echo ")
    for token in ("ab", "c"):
        (piece,) = pieces({"choices": [{"text": token, "index": 0, "logprobs": {"content": [{**TOKEN, "token": token, "logprob": -0.5}]}}]})
        choice.add(piece)
    said = choice.say(1)
    assert said["text"] == "echo abc"
    assert said["logprobs"] == {
        "tokens": ["ab", "c"],
        "token_logprobs": [-0.5, -0.5],
        "top_logprobs": [{"b": -1.0}, {"b": -1.0}],
        "text_offset": [5, 7],
    }
    whole = {"id": "x", "object": "text_completion", "created": 1, "model": "m", "choices": [said]}
    assert unknown(Completion.model_validate(whole)) == {}
    assert choice.say(None)["logprobs"] is None


def test_the_best_are_the_likeliest() -> None:
    choices = [TextChoice(text=str(value), tokens=[{"logprob": value}]) for value in (-3.0, -1.0, -2.0)]
    assert [choice.text for choice in chosen(choices, 2)] == ["-1.0", "-2.0"]
    assert chosen(choices, 3) == choices


REQUEST = Request({"type": "http", "method": "GET", "path": "/v1/x", "headers": [], "query_string": b"", "server": ("h", 1), "scheme": "http"})


@pytest.mark.parametrize(
    ("error", "status", "kind", "code", "param"),
    [
        (errors.InvalidRequest("x", param="messages.0"), 400, "invalid_request_error", None, "messages.0"),
        (errors.ContextExceeded(9, 5), 400, "invalid_request_error", "context_length_exceeded", "messages"),
        (errors.NotSupported("x", param="audio"), 501, "not_supported_error", "not_supported", "audio"),
        (errors.NotAuthenticated(), 401, "invalid_request_error", "invalid_api_key", None),
        (errors.NotAllowed(), 403, "permission_error", "insufficient_permissions", None),
        (errors.EgressRefused(), 403, "permission_error", "egress_refused", None),
        (errors.ModelNotFound("m"), 404, "invalid_request_error", "model_not_found", "model"),
        (errors.NotFound(), 404, "invalid_request_error", "not_found", None),
        (errors.Conflict(), 409, "invalid_request_error", "conflict", None),
        (errors.TooLarge(), 413, "invalid_request_error", "request_too_large", None),
        (errors.Busy(retry_after=2.1), 429, "rate_limit_error", "rate_limit_exceeded", None),
        (errors.NotEnoughMemory(), 503, "server_error", "not_enough_memory", None),
        (errors.EngineCrashed(), 502, "server_error", "engine_crashed", None),
        (errors.DiskFull(), 507, "server_error", "disk_full", None),
        (HTTPException(405, "no"), 405, "invalid_request_error", "unknown_url", None),
        (ZeroDivisionError("secret"), 500, "server_error", "internal_error", None),
    ],
)
def test_errors_are_said_in_openai_s_shape(error: Exception, status: int, kind: str, code: str | None, param: str | None) -> None:
    response = OPENAI.error(REQUEST, error)
    assert response.status_code == status
    said = json.loads(bytes(response.body))["error"]
    assert said.keys() == {"message", "type", "param", "code"}
    assert (said["type"], said["code"], said["param"]) == (kind, code, param)
    assert "secret" not in said["message"]
    if isinstance(error, errors.Busy):
        assert response.headers["retry-after"] == "3"


def test_too_much_text_is_blamed_on_its_parameter() -> None:
    with pytest.raises(errors.ContextExceeded) as caught, naming("input"):
        raise errors.ContextExceeded(9, 5)
    assert caught.value.param == "input"
    assert "9" in caught.value.message
    assert "5" in caught.value.message


def test_an_error_within_a_stream_is_an_event() -> None:
    event = error_event(errors.EngineCrashed())
    assert event.startswith(b"data: ")
    assert event.endswith(b"\n\n")
    assert json.loads(event[6:]) == error_body(errors.EngineCrashed())
