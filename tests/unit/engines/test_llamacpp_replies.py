"""Requests are put so that they can be stopped; what comes back is what the caller asked for, whole or as a stream."""

import asyncio
import json
from typing import Any

import pytest

from hausgeist.engines.base import WorkerGone
from hausgeist.engines.llamacpp.assembly import Assembly
from hausgeist.engines.llamacpp.connection import Connections, Incoming
from hausgeist.engines.llamacpp.replies import LlamaCppReply, collect, question


def chunk(delta: dict[str, Any] | None = None, *, index: int = 0, finish: str | None = None, **more: Any) -> dict[str, Any]:
    choices = [] if delta is None else [{"finish_reason": finish, "index": index, "delta": delta}]
    return {"choices": choices, "id": "chatcmpl-1", "model": "m", "object": "chat.completion.chunk", **more}


def usage(prompt: int, completion: int) -> dict[str, Any]:
    return {"prompt_tokens": prompt, "completion_tokens": completion, "total_tokens": prompt + completion}


def assembled(operation: str, events: list[dict[str, Any]], *, answers: int = 1) -> Any:
    assembly = Assembly(operation, answers=answers)
    for event in events:
        assembly.add(json.dumps(event).encode())
    if operation != "infill":
        assembly.add(b"[DONE]")
    assert assembly.complete
    return assembly.result()


def test_a_stream_is_asked_for_with_progress_and_passed_on() -> None:
    body = b' {"stream": true, "messages": []}'
    asked = question("chat", body)
    assert not asked.whole
    assert json.loads(asked.body) == {**json.loads(body), "return_progress": True}


def test_a_whole_answer_is_asked_for_as_a_stream() -> None:
    asked = question("completion", b'{"prompt": "x", "n": 2, "stream": false}')
    assert asked.whole
    assert asked.answers == 2
    sent = json.loads(asked.body)
    assert sent == {"prompt": "x", "n": 2, "stream": True, "stream_options": {"include_usage": True}, "return_progress": True}


@pytest.mark.parametrize("body", [b"", b"[]", b"nonsense", b'{"stream": "yes"}', b"\xff\xfe"])
def test_what_is_not_a_request_goes_through_for_the_engine_to_refuse(body: bytes) -> None:
    assert question("chat", body).body == body


@pytest.mark.parametrize("operation", ["embeddings", "rerank", "tokenize", "count_chat"])
def test_other_operations_are_left_alone(operation) -> None:
    assert question(operation, b'{"stream": true}').body == b'{"stream": true}'


def test_a_chat_is_put_together() -> None:
    reply = assembled(
        "chat",
        [
            chunk({"role": "assistant", "content": None}),
            chunk({"reasoning_content": "hm"}),
            chunk({"reasoning_content": "m"}),
            chunk({"content": "Hel"}),
            chunk({"content": "lo"}),
            chunk({}, finish="stop", created=5, __verbose={"stop_type": "word"}),
            chunk(None, usage=usage(3, 4), timings={"prompt_n": 3}),
        ],
    )
    assert reply["choices"] == [
        {"finish_reason": "stop", "index": 0, "message": {"role": "assistant", "content": "Hello", "reasoning_content": "hmm"}}
    ]
    assert reply["object"] == "chat.completion"
    assert reply["usage"] == usage(3, 4)
    assert (reply["id"], reply["created"], reply["timings"], reply["__verbose"]) == ("chatcmpl-1", 5, {"prompt_n": 3}, {"stop_type": "word"})


def test_tool_calls_are_put_together() -> None:
    def call(index: int, **function: str) -> dict[str, Any]:
        return {"index": index, "function": function} | ({"id": f"call-{index}", "type": "function"} if "name" in function else {})

    reply = assembled(
        "chat",
        [
            chunk({"role": "assistant", "content": None}),
            chunk({"tool_calls": [call(0, name="lamp", arguments="")]}),
            chunk({"tool_calls": [call(0, arguments='{"on":')]}),
            chunk({"tool_calls": [call(0, arguments=" true}")]}),
            chunk({"tool_calls": [call(1, name="door", arguments="{}")]}),
            chunk({}, finish="tool_calls"),
        ],
    )
    [choice] = reply["choices"]
    assert choice["finish_reason"] == "tool_calls"
    assert choice["message"]["content"] is None
    assert choice["message"]["tool_calls"] == [
        {"id": "call-0", "type": "function", "function": {"name": "lamp", "arguments": '{"on": true}'}},
        {"id": "call-1", "type": "function", "function": {"name": "door", "arguments": "{}"}},
    ]


def test_several_answers_keep_apart_and_are_counted_together() -> None:
    reply = assembled(
        "chat",
        [
            chunk({"content": "b"}, index=1),
            chunk({"content": "a"}, index=0),
            chunk({}, index=1, finish="length"),
            chunk(None, usage=usage(7, 2)),
            chunk({}, index=0, finish="stop"),
            chunk(None, usage=usage(7, 3)),
        ],
        answers=2,
    )
    assert [(choice["message"]["content"], choice["finish_reason"]) for choice in reply["choices"]] == [("a", "stop"), ("b", "length")]
    assert reply["usage"] == usage(7, 5)


def test_several_prompts_are_counted_each() -> None:
    def piece(text: str, index: int, **more: Any) -> dict[str, Any]:
        return {"choices": [{"text": text, "index": index, "logprobs": None, "finish_reason": "stop" if more else None}], **more}

    events = [piece(f"t{index}", index) for index in range(4)]
    events += [piece("", index, usage=usage(10 if index < 2 else 20, 1)) for index in range(4)]
    reply = assembled("completion", events, answers=2)
    assert [choice["text"] for choice in reply["choices"]] == ["t0", "t1", "t2", "t3"]
    assert reply["object"] == "text_completion"
    assert reply["usage"] == usage(30, 4)


def test_log_probabilities_are_joined() -> None:
    events = [{"choices": [{"text": text, "index": 0, "logprobs": {"content": [{"token": text}]}, "finish_reason": None}]} for text in "ab"]
    [choice] = assembled("completion", events)["choices"]
    assert choice["logprobs"] == {"content": [{"token": "a"}, {"token": "b"}]}


def test_an_infill_is_the_last_event_with_all_the_text() -> None:
    reply = assembled("infill", [{"index": 0, "content": "x", "stop": False}, {"index": 0, "content": "y", "stop": True, "tokens_predicted": 2}])
    assert reply == {"index": 0, "content": "xy", "stop": True, "tokens_predicted": 2}


class Socket:
    """The transport of a connection, as far as a response looks at it."""

    closed = False

    def abort(self) -> None:
        self.closed = True

    def write(self, data: bytes) -> None:
        raise AssertionError("nothing is asked here")

    def pause_reading(self) -> None:
        raise AssertionError("there is no reason to pause")


class Response:
    """A response whose pieces come one by one, on a connection that breaks after the last if the response has not `ended`."""

    def __init__(self, *chunks: bytes, status: int = 200, content_type: str = "text/event-stream", ended: bool = True) -> None:
        self.socket, self.incoming = Socket(), Incoming(kept=False)
        self.incoming.connection_made(self.socket)  # type: ignore[arg-type]
        head = f"HTTP/1.1 {status} So\r\nContent-Type: {content_type}; charset=utf-8\r\nTransfer-Encoding: chunked\r\n\r\n"
        self.incoming.data_received(head.encode())
        self._pieces = [b"%x\r\n%s\r\n" % (len(chunk), chunk) for chunk in chunks if chunk] + [b"0\r\n\r\n"] * ended
        self._feeding = asyncio.create_task(self._feed())

    async def _feed(self) -> None:
        for piece in self._pieces:
            await asyncio.sleep(0)
            self.incoming.data_received(piece)
        await asyncio.sleep(0)
        self.incoming.connection_lost(None)

    def reply(self) -> LlamaCppReply:
        return LlamaCppReply(self.incoming, Connections("/nowhere.sock", key="none"))

    @property
    def closed(self) -> bool:
        return self.socket.closed


def events(*data: dict[str, Any] | str) -> bytes:
    return b"".join(b"data: " + (one if isinstance(one, str) else json.dumps(one, separators=(",", ":"))).encode() + b"\n\n" for one in data)


PROGRESS = chunk({"role": "assistant"}, prompt_progress={"total": 9, "processed": 3})


@pytest.mark.parametrize("size", [1, 7, 100, 10_000])
async def test_progress_is_taken_out_and_nothing_else(size: int) -> None:
    quoted = chunk({"content": json.dumps({"prompt_progress": {"total": 1}}, separators=(",", ":"))})
    wanted = events(chunk({"content": "a"}), quoted, "[DONE]")
    sent = events(PROGRESS, PROGRESS) + b":\n\n" + wanted[:-14] + events(PROGRESS) + wanted[-14:]
    assert wanted[-14:] == b"data: [DONE]\n\n"
    reply = Response(*(sent[start : start + size] for start in range(0, len(sent), size))).reply()
    assert await reply.read() == b":\n\n" + wanted


async def test_a_build_without_a_name_gets_one() -> None:
    quoted = chunk({"content": '"system_fingerprint":"b0-unknown"'}, system_fingerprint="b0-unknown")
    named = chunk({"content": "a"}, system_fingerprint="b6000-abcdef")
    response = Response(events(quoted, named, "[DONE]"))
    reply = LlamaCppReply(response.incoming, Connections("/nowhere.sock", key="none"), fingerprint="xllamacpp-2026.10")
    assert await reply.read() == events(quoted | {"system_fingerprint": "xllamacpp-2026.10"}, named, "[DONE]")


async def test_an_error_in_the_stream_is_the_status_of_a_whole_answer() -> None:
    response = Response(events(PROGRESS, {"error": {"code": 400, "message": "too long"}}))
    reply = await collect(response.reply(), "chat", answers=1)
    assert reply.status == 400
    assert json.loads(await reply.read()) == {"error": {"code": 400, "message": "too long"}}
    assert response.closed


async def test_an_error_before_the_stream_passes_as_it_is() -> None:
    response = Response(b'{"error":{}}', status=400, content_type="application/json")
    reply = await collect(response.reply(), "chat", answers=1)
    assert (reply.status, await reply.read()) == (400, b'{"error":{}}')


@pytest.mark.parametrize("ended", [False, True])
@pytest.mark.parametrize("sent", [events(chunk({"content": "a"})), b"data: {\n\n", b""])
async def test_a_stream_that_breaks_off_is_no_answer(sent: bytes, ended: bool) -> None:
    response = Response(sent, ended=ended)
    with pytest.raises(WorkerGone):
        await collect(response.reply(), "chat", answers=1)
    assert response.closed
