"""Bytes pass, except what is ours to say: the model's name, usage, stop strings and errors."""

import json
from collections.abc import AsyncIterator, Sequence
from pathlib import Path

import pytest

from hausgeist.engines import WorkerGone
from hausgeist.errors import ContextExceeded, EngineCrashed, EngineFailed, InvalidRequest
from hausgeist.identity import Origin
from hausgeist.model import InstalledModel, Usage
from hausgeist.serving.answer import EngineAnswer
from hausgeist.serving.calls import Call

MODEL = InstalledModel(id="m", engine="fake", path=Path("m"), digest="0", modified=0.0)


class Scripted:
    """A reply of given pieces; a piece that is an exception is raised."""

    def __init__(self, pieces: Sequence[bytes | Exception], status: int = 200) -> None:
        self.status = status
        self.streaming = True
        self.closed = 0
        self._pieces = pieces

    async def chunks(self) -> AsyncIterator[bytes]:
        for piece in self._pieces:
            if isinstance(piece, Exception):
                raise piece
            yield piece

    async def read(self) -> bytes:
        return b"".join([piece async for piece in self.chunks()])

    async def close(self) -> None:
        self.closed += 1


def _answer(reply: Scripted, **call: object) -> tuple[EngineAnswer, list[tuple[Usage, str, bool]]]:
    ends: list[tuple[Usage, str, bool]] = []

    async def finish(usage: Usage, outcome: str, complete: bool) -> None:
        ends.append((usage, outcome, complete))

    made = Call(**{"model": "m", "operation": "chat", "body": {}, "origin": Origin("t"), "stream": True, **call})  # type: ignore[arg-type]
    return EngineAnswer(call=made, model=MODEL, context=10, reply=reply, started=0.0, load_ms=0.0, finish=finish), ends


def _event(**data: object) -> bytes:
    return b"data: " + json.dumps(data, separators=(",", ":")).encode() + b"\n\n"


CONTENT = _event(choices=[{"index": 0, "delta": {"content": 'hé "usage" "model":"x"'}, "finish_reason": None}], model="m")
FINISH = _event(choices=[{"index": 0, "delta": {}, "finish_reason": "stop"}], model="m")
USAGE = _event(
    choices=[],
    model="m",
    usage={"prompt_tokens": 7, "completion_tokens": 3, "prompt_tokens_details": {"cached_tokens": 2}},
    timings={"prompt_ms": 1.5, "predicted_ms": 2.5},
)
DONE = b"data: [DONE]\n\n"


async def _collect(answer: EngineAnswer) -> bytes:
    async with answer:
        return b"".join([chunk async for chunk in answer.chunks()])


async def test_content_passes_untouched_and_usage_is_counted_but_not_shown() -> None:
    answer, ends = _answer(Scripted([CONTENT, FINISH + USAGE + DONE]))
    assert await _collect(answer) == CONTENT + FINISH + DONE
    usage, outcome, complete = ends[0]
    assert (usage.prompt_tokens, usage.completion_tokens, usage.cached_tokens, usage.completion_ms) == (7, 3, 2, 2.5)
    assert (outcome, complete) == ("ok", True)


@pytest.mark.parametrize("said", [float("inf"), float("nan"), -5, 10**400, "many", None])
async def test_what_is_no_count_becomes_none_or_the_largest(said: object) -> None:
    """One such call would make all sums that it is part of useless, or keep the rows that are written with it from being kept."""
    last = _event(choices=[], model="m", usage={"prompt_tokens": said, "completion_tokens": said}, timings={"predicted_ms": said})
    answer, ends = _answer(Scripted([CONTENT, FINISH, last, DONE]))
    await _collect(answer)
    usage, outcome, _ = ends[0]
    assert usage.prompt_tokens == usage.completion_tokens == usage.completion_ms
    assert usage.completion_ms in (0, 2**40)
    assert outcome == "ok"


async def test_usage_is_shown_to_who_asked_without_engine_timings() -> None:
    answer, _ = _answer(Scripted([CONTENT, FINISH, USAGE, DONE]), stream_usage=True)
    text = await _collect(answer)
    assert b'"prompt_tokens":7' in text
    assert b"timings" not in text


@pytest.mark.parametrize("size", [1, 2, 3, 7, 50])
async def test_events_are_whole_however_the_bytes_arrive(size: int) -> None:
    whole = CONTENT + FINISH + USAGE + DONE
    pieces = [whole[start : start + size] for start in range(0, len(whole), size)]
    answer, _ = _answer(Scripted(pieces))
    async with answer:
        chunks = [chunk async for chunk in answer.chunks()]
    assert b"".join(chunks) == CONTENT + FINISH + DONE
    assert all(chunk.endswith(b"\n\n") for chunk in chunks)


async def test_the_model_is_named_as_it_was_asked_for() -> None:
    answer, _ = _answer(Scripted([CONTENT, FINISH, DONE]), model='alias "q"')
    events = []
    async with answer:
        events = [event async for event in answer.events()]
    assert {event["model"] for event in events} == {'alias "q"'}
    assert events[0]["choices"][0]["delta"]["content"] == 'hé "usage" "model":"x"'


async def test_a_worker_that_dies_in_the_middle_is_an_error() -> None:
    for pieces in ([CONTENT, WorkerGone()], [CONTENT]):
        reply = Scripted(pieces)
        answer, ends = _answer(reply)
        with pytest.raises(EngineCrashed):
            await _collect(answer)
        assert ends[0][1:] == ("failed: EngineCrashed", False)
        assert reply.closed == 1


async def test_leaving_early_closes_and_is_called_cancelled() -> None:
    reply = Scripted([CONTENT, FINISH, DONE])
    answer, ends = _answer(reply)
    async with answer:
        async for _ in answer.chunks():
            break
    assert reply.closed == 1
    assert ends[0][1:] == ("cancelled", False)
    await answer.close()
    assert len(ends) == 1


@pytest.mark.parametrize(
    ("event", "kind"),
    [
        (_event(error={"code": 400, "type": "exceed_context_size_error", "message": "x", "n_prompt_tokens": 9, "n_ctx": 8}), ContextExceeded),
        (_event(error={"code": 500, "message": "boom"}), EngineFailed),
        (b'error: {"code":400,"message":"no"}\n\n', InvalidRequest),
    ],
)
async def test_errors_in_a_stream_are_raised(event: bytes, kind: type[Exception]) -> None:
    answer, _ = _answer(Scripted([CONTENT, event]))
    with pytest.raises(kind):
        await _collect(answer)


@pytest.mark.parametrize("body", [b"", b"<html>", b'{"error":"text"}', b'{"error":{"message":null}}', b"[1]", b"\xff"])
async def test_any_error_body_is_an_error_in_words(body: bytes) -> None:
    answer, _ = _answer(Scripted([body], status=500), stream=False)
    async with answer:
        with pytest.raises(EngineFailed) as raised:
            await answer.json()
    assert str(raised.value)


async def test_the_stop_string_is_told_where_it_was_asked_for() -> None:
    verbose = _event(
        choices=[{"index": 0, "delta": {"content": ""}, "finish_reason": None}], model="m", __verbose={"stopping_word": "END", "prompt": "p"}
    )
    answer, _ = _answer(Scripted([CONTENT, verbose, FINISH, DONE]), report_stop=True)
    async with answer:
        events = [event async for event in answer.events()]
    assert events[-1]["choices"][0]["stop_reason"] == "END"
    assert not any("__verbose" in event for event in events)


async def test_a_whole_reply_is_counted_and_named() -> None:
    body = json.dumps({"model": "m", "choices": [], "usage": {"prompt_tokens": 1, "completion_tokens": 2}}).encode()
    answer, ends = _answer(Scripted([body]), stream=False, model="alias")
    async with answer:
        assert (await answer.json())["model"] == "alias"
    assert ends[0][0].completion_tokens == 2


async def test_several_answers_are_counted_together_and_their_prompt_once() -> None:
    answer, ends = _answer(Scripted([CONTENT, FINISH, USAGE, USAGE, DONE]))
    await _collect(answer)
    assert (ends[0][0].prompt_tokens, ends[0][0].completion_tokens) == (7, 6)


async def test_a_templates_complaint_is_the_callers_to_mend() -> None:
    body = json.dumps({"error": {"code": 500, "message": "Unable to generate parser\n------\nJinja Exception: roles must alternate"}}).encode()
    answer, _ = _answer(Scripted([body], status=500), stream=False)
    async with answer:
        with pytest.raises(InvalidRequest, match=r"^roles must alternate$"):
            await answer.json()
