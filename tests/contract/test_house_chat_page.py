"""What a chat page does with a chat, step by step, over HTTP: as docs/chat-protocol.md says it."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.contract.conftest import Live

CHATS = "/house/v1/chats"


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory, specimens: dict[str, Path]) -> Iterator[Live]:
    live = Live(home=tmp_path_factory.mktemp("home"), files=[specimens["tiny"]])
    live.start()
    yield live
    live.stop()


class Page:
    """A page with one chat."""

    def __init__(self, client: httpx.Client) -> None:
        self.client = client
        self.chat = client.post(CHATS, json={}).json()["id"]

    def ask(self, question: Any, *, model: str = "fake:echo", **more: Any) -> list[dict[str, Any]]:
        """The events of the answer, to its end."""
        body = {"model": model, "conversation": self.chat, "input": question, "background": True, "stream": True, **more}
        answer = self.client.post("/v1/responses", json=body)
        assert answer.status_code == 200, answer.text
        return events(answer.text)

    def begin(self, question: Any, *, model: str = "fake:obeys") -> str:
        """The id of an answer of which something was said, whose connection then breaks."""
        body = {"model": model, "conversation": self.chat, "input": question, "background": True, "stream": True}
        with self.client.stream("POST", "/v1/responses", json=body) as answer:
            assert answer.status_code == 200, answer.read()
            response = ""
            for line in answer.iter_lines():
                if line.startswith("data: "):
                    event = json.loads(line[6:])
                    response = event["response"]["id"] if "response" in event else response
                    if event["type"] == "response.output_text.delta":
                        break
        return response

    def turn(self, **where: Any) -> dict[str, Any]:
        answer = self.client.post(f"{CHATS}/{self.chat}/turn", json=where)
        assert answer.status_code == 200, answer.text
        told: dict[str, Any] = answer.json()
        return told

    def shown(self) -> dict[str, Any]:
        told: dict[str, Any] = self.client.get(f"{CHATS}/{self.chat}").json()
        return told

    @property
    def items(self) -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = self.shown()["items"]
        return found


def events(text: str) -> list[dict[str, Any]]:
    return [json.loads(line[6:]) for line in text.splitlines() if line.startswith("data: ")]


def said(item: dict[str, Any]) -> str:
    return str(item["item"]["content"][0]["text"])


@pytest.fixture
def page(server: Live) -> Iterator[Page]:
    with httpx.Client(base_url=server.url, timeout=60) as client:
        yield Page(client)


def test_what_an_answer_took_stands_under_it(page: Page) -> None:
    told = page.ask("how are you")
    [question, answer] = page.items
    assert "made" not in question
    made = answer["made"]
    response = told[-1]["response"]
    assert made | {"created": 0, "completed": 0, "first_token_ms": 0} == {
        "model": "fake:echo", "created": 0, "completed": 0, "status": "completed", "background": True, "mode": None, "error": None,
        "input_tokens": response["usage"]["input_tokens"], "output_tokens": response["usage"]["output_tokens"],
        "cached_tokens": response["usage"]["input_tokens_details"]["cached_tokens"], "first_token_ms": 0,
    }  # fmt: skip
    assert made["output_tokens"] > 0
    assert 0 <= made["first_token_ms"] <= (made["completed"] - made["created"]) * 1000 + 1 < 60_000
    assert abs(made["created"] - response["created_at"]) < 2
    assert question["response"] == answer["response"] == response["id"]
    page.client.post(f"{CHATS}/{page.chat}/messages", json={"messages": [{"content": "by hand"}]})
    assert "made" not in page.items[-1]
    assert page.client.delete(f"/v1/responses/{response['id']}").status_code == 200
    assert "made" not in page.items[1], "it goes with the response"


def test_it_stands_once_for_each_answer_at_its_last_item(page: Page) -> None:
    page.ask("think hard then say so", model="fake:obeys")
    page.client.post("/v1/responses", json={"model": "fake:echo", "conversation": page.chat, "input": "in the foreground"})
    items = page.items
    assert [one["item"]["type"] for one in items] == ["message", "reasoning", "message", "message", "message"]
    assert ["made" in one for one in items] == [False, False, True, False, True]
    assert [one["made"]["background"] for one in items if "made" in one] == [True, False]
    assert items[-1]["made"]["model"] == "fake:echo"


def test_an_answer_that_failed_is_told_under_its_question(page: Page) -> None:
    page.ask("fail 500 the lamp is out", model="fake:obeys")
    [question] = page.items
    assert question["made"]["status"] == "failed"
    assert question["made"]["error"]["code"] == "server_error"
    assert question["made"]["error"]["message"]
    assert question["made"]["output_tokens"] is None
    page.ask([], model="fake:echo")
    [question, answer] = page.items
    assert "made" not in question, "it was answered since"
    assert answer["made"]["status"] == "completed"


def test_a_question_is_edited_and_the_branches_are_shown_in_turn(page: Page) -> None:
    page.ask("first")
    question = page.items[0]["item"]["id"]
    assert page.turn(instead_of=question)["items"] == []
    page.ask("second")
    items = page.items
    assert [said(one) for one in items] == ["second", "second"]
    assert items[0]["beside"] == [question, items[0]["item"]["id"]]
    shown = page.turn(show=question)["items"]
    assert [said(one) for one in shown] == ["first", "first"]
    assert shown[0]["beside"] == items[0]["beside"]
    assert shown[1]["made"]["model"] == "fake:echo"


def test_an_answer_is_made_again_with_another_model(page: Page) -> None:
    page.ask("think hard then say so", model="fake:obeys")
    _, thought, answer = page.items
    shown = page.turn(instead_of=thought["item"]["id"])["items"]
    assert [("made" in one, said(one)) for one in shown] == [(False, "think hard then say so")], "what is on another branch is told there"
    page.ask([], model="fake:echo")
    question, again = page.items
    assert again["beside"] == [thought["item"]["id"], again["item"]["id"]]
    assert again["made"]["model"] == "fake:echo"
    assert again["response"] != question["response"] == answer["response"]
    assert "made" not in question
    shown = page.turn(show=thought["item"]["id"])["items"]
    assert [one["item"]["id"] for one in shown][1:] == [thought["item"]["id"], answer["item"]["id"]]


def test_an_answer_that_was_cut_off_goes_on_as_often_as_one_likes(page: Page) -> None:
    for _ in range(4):
        told = page.ask("tell me" if not page.items else [], model="tiny", max_output_tokens=3, temperature=0)
        assert told[-1]["type"] == "response.incomplete"
    items = page.items
    assert [one["item"]["role"] for one in items] == ["user"] + ["assistant"] * 4
    assert {one["item"]["status"] for one in items[1:]} == {"incomplete"}
    assert [one["made"]["status"] for one in items[1:]] == ["incomplete"] * 4
    before = told[-1]["response"]["usage"]["input_tokens"]
    told = page.ask("and now?", model="tiny", max_output_tokens=3)
    assert told[-1]["response"]["usage"]["input_tokens"] > before


def test_a_page_that_is_loaded_anew_finds_the_answer_and_follows_it(page: Page) -> None:
    response = page.begin("say one\nwait 2\nsay two")
    shown = page.shown()
    assert shown["running"] == response
    assert [said(one) for one in shown["items"]] == ["say one\nwait 2\nsay two"]
    listed = page.client.get(CHATS).json()["data"]
    assert {one["id"]: one["running"] for one in listed}[page.chat] == response
    assert [one for one in listed if one["running"]] == [listed[0]]
    locked = page.client.post("/v1/responses", json={"model": "fake:echo", "conversation": page.chat, "input": "x"})
    assert (locked.status_code, locked.json()["error"]["code"]) == (409, "conversation_locked")
    assert page.client.post(f"{CHATS}/{page.chat}/turn", json={"after": None}).json()["error"]["type"] == "locked"
    whole = events(page.client.get(f"/v1/responses/{response}", params={"stream": "true"}).text)
    assert [one["sequence_number"] for one in whole] == list(range(len(whole)))
    assert (whole[0]["type"], whole[-1]["type"]) == ("response.created", "response.completed")
    text = "".join(one["delta"] for one in whole if one["type"] == "response.output_text.delta")
    number = next(one["sequence_number"] for one in whole if one["type"] == "response.output_text.delta")
    rest = events(page.client.get(f"/v1/responses/{response}", params={"stream": "true", "starting_after": number}).text)
    assert rest == whole[number + 1 :]
    shown = page.shown()
    assert shown["running"] is None
    assert said(shown["items"][1]) == text == "one\ntwo"
    assert (
        shown["items"][1]["made"]["first_token_ms"] < 2000 <= (shown["items"][1]["made"]["completed"] - shown["items"][1]["made"]["created"]) * 1000
    )


def test_an_answer_is_stopped_and_what_was_said_stays(page: Page) -> None:
    response = page.begin("say one\nstall")
    stopped = page.client.post(f"/v1/responses/{response}/cancel").json()
    assert stopped["status"] == "cancelled"
    question, answer = page.items
    assert (said(answer), answer["item"]["status"], answer["made"]["status"]) == ("one", "incomplete", "cancelled")
    assert answer["made"]["output_tokens"] is None
    assert page.shown()["running"] is None
    assert page.turn(instead_of=answer["item"]["id"])["items"][-1]["item"]["id"] == question["item"]["id"]


def test_nobody_else_is_told_what_is_running(server: Live, page: Page) -> None:
    user = server.run(server.app.workspace.create_user("mia"))
    key = server.run(server.app.workspace.create_key(project="default", name="mia", role="member", user=user.id))[1]
    response = page.begin("say one\nstall")
    with httpx.Client(base_url=server.url, headers={"authorization": f"Bearer {key}"}) as mia:
        assert mia.get(f"{CHATS}/{page.chat}").status_code == 404
        assert response not in mia.get(CHATS).text
        assert mia.get(f"/v1/responses/{response}", params={"stream": "true"}).status_code == 404
    page.client.post(f"/v1/responses/{response}/cancel")
