"""What a model is told of an answer that was cut off, and of what went on with it."""

from __future__ import annotations

from typing import Any

from hausgeist.conversations.content import message, messages_of


def cut(text: str) -> dict[str, Any]:
    return {**message("assistant", text), "status": "incomplete"}


def test_an_answer_that_was_gone_on_with_is_one_answer() -> None:
    items = [message("user", "Count."), cut("One, "), {"type": "reasoning", "content": []}, cut("two,"), message("assistant", " three.")]
    assert messages_of(items[:3]) == [{"role": "user", "content": "Count."}, {"role": "assistant", "content": "One, "}]
    told = [{"role": "user", "content": "Count."}, {"role": "assistant", "content": "One, two, three."}]
    assert messages_of(items) == told
    assert messages_of([*items, message("user", "Go on.")]) == [*told, {"role": "user", "content": "Go on."}]
    assert messages_of(items) == told, "the items themselves stay as they were"


def test_answers_that_have_nothing_to_do_with_each_other_stay_apart() -> None:
    whole = [message("assistant", "a"), message("assistant", "b")]
    assert [one["content"] for one in messages_of(whole)] == ["a", "b"]
    asked_again = [cut("a"), message("user", "b"), message("assistant", "c")]
    assert [one["content"] for one in messages_of(asked_again)] == ["a", "b", "c"]


def test_an_answer_that_called_a_tool_is_not_gone_on_with() -> None:
    call = {"type": "function_call", "call_id": "1", "name": "look", "arguments": "{}"}
    result = {"type": "function_call_output", "call_id": "1", "output": "seen"}
    told = messages_of([cut("Let me"), call, message("assistant", "Wait."), result])
    assert [one["role"] for one in told] == ["assistant", "assistant", "tool"]
    assert told[0]["tool_calls"][0]["function"]["name"] == "look"
