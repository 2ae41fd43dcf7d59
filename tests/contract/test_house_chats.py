"""/house/v1/chats and what becomes of chats, over HTTP, on a server that runs."""

from __future__ import annotations

import io
import json
import threading
import time
import zipfile
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
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


class People:
    """Clients by name, each with a key of a person; `ada` and `eve` work in one project, `abroad` is Ada in another."""

    def __init__(self, live: Live) -> None:
        self.live = live
        self.clients: list[httpx.Client] = []
        workspace = live.app.workspace
        number = len(workspace.users())
        self.users = {name: live.run(workspace.create_user(f"{name} {number}")).id for name in ("ada", "eve", "bob")}
        self.project = live.run(workspace.create_project(f"abroad {number}", owner=self.users["ada"])).id
        self.keys: dict[str, str] = {}
        for name, user, project, role in (
            ("ada", "ada", "default", "member"), ("eve", "eve", "default", "member"), ("bob", "bob", "default", "reader"),
            ("abroad", "ada", self.project, "owner"),
        ):  # fmt: skip
            given = "reader" if role == "reader" else "member" if project == "default" else role
            self.keys[name] = live.run(workspace.create_key(project=project, name=name, role=given, user=self.users[user]))[1]

    def __getattr__(self, name: str) -> httpx.Client:
        headers = {} if name == "owner" else {"authorization": f"Bearer {self.keys[name]}"}
        client = httpx.Client(base_url=self.live.url, headers=headers, timeout=60)
        self.clients.append(client)
        setattr(self, name, client)
        return client


@pytest.fixture
def people(server: Live) -> Iterator[People]:
    people = People(server)
    yield people
    for client in people.clients:
        client.close()


def ok(answer: httpx.Response, status: int = 200) -> Any:
    assert answer.status_code == status, answer.text
    return answer.json() if answer.content else None


def begin(client: httpx.Client, *messages: str, **fields: Any) -> str:
    roles = ("user", "assistant")
    said = [{"role": roles[number % 2], "content": text} for number, text in enumerate(messages)]
    return str(ok(client.post(CHATS, json={"messages": said, **fields}), 201)["id"])


def texts(told: dict[str, Any]) -> list[str]:
    return [one["item"]["content"][0]["text"] for one in told["items"]]


def test_the_life_of_a_chat(people: People) -> None:
    ada = people.ada
    chat = begin(ada, "What is a cat?", "An animal.", model="tiny", settings={"temperature": 0.2, "instructions": "Be kind."}, metadata={"a": "b"})
    told = ok(ada.get(f"{CHATS}/{chat}"))
    assert texts(told) == ["What is a cat?", "An animal."]
    assert told | {"created": 0, "changed": 0, "items": []} == {
        "id": chat, "title": "What is a cat?", "model": "tiny", "settings": {"temperature": 0.2, "instructions": "Be kind."}, "metadata": {"a": "b"},
        "origin": None, "created": 0, "changed": 0, "pinned": False, "archived": False, "items": [], "running": None,
    }  # fmt: skip
    assert ok(ada.patch(f"{CHATS}/{chat}", json={"title": "Cats", "pinned": True, "settings": {}}))["title"] == "Cats"
    [added] = ok(ada.post(f"{CHATS}/{chat}/messages", json={"messages": [{"content": "And a dog?"}]}), 201)["data"]
    first, second, third = (one["item"]["id"] for one in ok(ada.get(f"{CHATS}/{chat}"))["items"])
    assert added["item"]["id"] == third
    edited = ok(ada.post(f"{CHATS}/{chat}/messages", json={"messages": [{"content": "And a wolf?"}], "instead_of": third}), 201)["data"][0]["item"][
        "id"
    ]
    told = ok(ada.get(f"{CHATS}/{chat}"))
    assert texts(told)[-1] == "And a wolf?"
    assert told["items"][-1]["beside"] == [third, edited]
    assert "beside" not in told["items"][0]
    assert texts(ok(ada.post(f"{CHATS}/{chat}/turn", json={"show": third})))[-1] == "And a dog?"
    assert texts(ok(ada.post(f"{CHATS}/{chat}/turn", json={"instead_of": second}))) == ["What is a cat?"]
    assert texts(ok(ada.post(f"{CHATS}/{chat}/turn", json={"after": None}))) == []
    branch = ok(ada.post(f"{CHATS}/{chat}/branch", json={"item": second, "title": "Elsewhere"}), 201)
    assert (branch["origin"], branch["title"]) == (chat, "Elsewhere")
    assert texts(ok(ada.get(f"{CHATS}/{branch['id']}"))) == ["What is a cat?", "An animal."]
    assert [one["id"] for one in ok(ada.get(CHATS))["data"]] == [chat, branch["id"]]
    assert [one["id"] for one in ok(ada.get(CHATS, params={"pinned": "false"}))["data"]] == [branch["id"]]
    page = ok(ada.get(CHATS, params={"limit": 1}))
    assert [one["id"] for one in ok(ada.get(CHATS, params={"limit": 1, "after": page["next"]}))["data"]] == [branch["id"]]
    ok(ada.patch(f"{CHATS}/{chat}", json={"archived": True}))
    assert [one["id"] for one in ok(ada.get(CHATS, params={"archived": "true"}))["data"]] == [chat]
    found = ok(ada.get(f"{CHATS}/search", params={"q": "wolf"}))
    assert [(hit["chat"], hit["item"], hit["archived"]) for hit in found["data"]] == [(chat, edited, True)]
    assert found["data"][0]["snippet"] == [{"text": "And a ", "found": False}, {"text": "wolf", "found": True}, {"text": "?", "found": False}]
    ok(ada.delete(f"{CHATS}/{chat}"), 204)
    assert ada.get(f"{CHATS}/{chat}").status_code == 404
    assert ok(ada.get(f"{CHATS}/search", params={"q": "wolf"}))["data"] == []
    assert first


@pytest.mark.parametrize(
    ("method", "path", "body", "param"),
    [
        ("POST", "", {"messages": [{"role": "tool", "content": "x"}]}, "messages.0.role"),
        ("POST", "", {"messages": [{"content": ""}]}, "messages.0.content"),
        ("POST", "", {"messages": [{"content": [{"type": "input_file", "file_id": "x"}]}]}, None),
        ("POST", "", {"project": "default"}, "project"),
        ("POST", "", {"settings": {"instructions": "x" * 70_000}}, "settings"),
        ("PATCH", "/{chat}", {}, None),
        ("PATCH", "/{chat}", {"title": ""}, "title"),
        ("PATCH", "/{chat}", {"user": "x"}, "user"),
        ("POST", "/{chat}/turn", {}, None),
        ("POST", "/{chat}/turn", {"show": "a", "after": "b"}, None),
        ("POST", "/{chat}/turn", {"show": None}, None),
        ("POST", "/{chat}/messages", {"messages": []}, "messages"),
        ("POST", "/{chat}/messages", {"messages": [{"content": "x"}], "after": "a", "instead_of": "b"}, None),
        ("GET", "?limit=0", None, "limit"),
        ("GET", "?limit=x", None, "limit"),
        ("GET", "?archived=perhaps", None, "archived"),
        ("GET", "?after=x", None, "after"),
        ("GET", "/search", None, "q"),
        ("GET", "/search?q=!", None, "q"),
        ("GET", "/search?q=a&after=x", None, "after"),
        ("GET", "/export?format=pdf", None, "format"),
        ("POST", "/import", None, None),
    ],
)
def test_what_makes_no_sense_is_refused(people: People, method: str, path: str, body: Any, param: str | None) -> None:
    chat = begin(people.ada, "hello")
    answer = people.ada.request(method, CHATS + path.format(chat=chat), json=body) if body is not None else people.ada.request(method, CHATS + path)
    assert answer.status_code == 400, answer.text
    error = answer.json()["error"]
    assert error["type"] == "invalid_request"
    if param is not None:
        assert error["param"] == param
    assert texts(ok(people.ada.get(f"{CHATS}/{chat}"))) == ["hello"]


def test_no_route_shows_or_changes_the_chat_of_somebody_else(server: Live, people: People) -> None:
    """Every route with a chat in its path, and every one that lists, asked by other people, by the same person elsewhere, by the house's owner."""
    secret = "Kassenbuch"
    chat = begin(people.ada, f"{secret} one", f"{secret} two")
    before = ok(people.ada.get(f"{CHATS}/{chat}"))
    item = before["items"][0]["item"]["id"]
    bodies: dict[tuple[str, str], Any] = {
        ("PATCH", ""): {"title": "mine"},
        ("POST", "/messages"): {"messages": [{"content": "x"}], "after": item},
        ("POST", "/turn"): {"after": item},
        ("POST", "/branch"): {"item": item},
    }
    document = ok(people.ada.get("/openapi.json"))["paths"]
    routes = [(method.upper(), path) for path, methods in document.items() if path.startswith(CHATS) for method in methods]
    aimed = [(method, path) for method, path in routes if "{chat}" in path]
    assert len(aimed) >= 7
    assert len(routes) - len(aimed) >= 5
    for client in (people.eve, people.bob, people.abroad, people.owner):
        for method, path in aimed:
            body = bodies.get((method, path.removeprefix(f"{CHATS}/{{chat}}")))
            assert (body is None) == (method in ("GET", "DELETE")), f"give {method} {path} a body to try"
            answer = client.request(method, path.format(chat=chat), json=body)
            assert answer.status_code == 404, f"{method} {path}"
            assert secret not in answer.text
        own = begin(client, "something of my own")
        answer = client.post(f"{CHATS}/{own}/messages", json={"messages": [{"content": "x"}], "after": item})
        assert answer.status_code == 404, "an item of another chat"
        assert client.post(f"{CHATS}/{own}/branch", json={"item": item}).status_code == 404
        for path in (CHATS, f"{CHATS}?archived=true", f"{CHATS}/search?q={secret.lower()}", f"{CHATS}/export", f"{CHATS}/export?format=markdown"):
            answer = client.get(path)
            assert answer.status_code == 200
            assert secret not in answer.text, path
    assert ok(people.ada.get(f"{CHATS}/{chat}")) == before
    headers = {"openai-project": people.project}
    anywhere = server.run(server.app.workspace.create_key(project=None, name="anywhere", role="member", user=people.users["ada"]))[1]
    with httpx.Client(base_url=server.url, headers={"authorization": f"Bearer {anywhere}"}) as client:
        assert client.get(f"{CHATS}/{chat}").status_code == 200
        assert client.get(f"{CHATS}/{chat}", headers=headers).status_code == 404


def test_files_out_and_in(people: People) -> None:
    chat = begin(people.ada, "Grüße 🐈", "Hallo", title='An "odd" / title')
    for form, kind in (("json", "application/json"), ("markdown", "text/markdown; charset=utf-8")):
        for path in (f"{CHATS}/{chat}/export", f"{CHATS}/export"):
            answer = people.ada.get(path, params={"format": form})
            assert answer.status_code == 200
            assert answer.headers["content-type"] == kind
            assert answer.headers["content-disposition"].startswith('attachment; filename="chat')
            assert "Grüße 🐈" in answer.text
    whole = people.ada.get(f"{CHATS}/export").content
    assert ok(people.ada.post(f"{CHATS}/import", content=whole))["already_there"] == 1
    told = ok(people.eve.post(f"{CHATS}/import", content=whole), 201)
    assert told == {"chats": 1, "already_there": 0, "refused": 0, "reasons": [], "left_out": {}, "stopped": None}
    [copy] = ok(people.eve.get(CHATS))["data"]
    assert (copy["title"], copy["origin"]) == ('An "odd" / title', f"hausgeist:{chat}")
    assert texts(ok(people.eve.get(f"{CHATS}/{copy['id']}"))) == ["Grüße 🐈", "Hallo"]
    buffer = io.BytesIO()
    foreign = {"title": "Z", "mapping": {"a": {"id": "a", "parent": None, "message": {"author": {"role": "user"}, "content": {"parts": ["hi"]}}}}}
    with zipfile.ZipFile(buffer, "w") as archive:
        archive.writestr("conversations.json", json.dumps([foreign, {"x": 1}]))
    told = ok(people.eve.post(f"{CHATS}/import", content=buffer.getvalue()), 201)
    assert (told["chats"], told["refused"], told["reasons"][0]["place"]) == (1, 1, 2)
    assert not list((people.live.home / "incoming").iterdir()), "nothing of it stays behind"


def test_a_file_that_comes_slowly_keeps_nobody_waiting(people: People) -> None:
    begun, leave = threading.Event(), threading.Event()

    def slowly() -> Iterator[bytes]:
        yield b"["
        begun.set()
        leave.wait(30)
        said = {"id": "a", "type": "message", "role": "user", "content": "x"}
        yield json.dumps({"object": "hausgeist.chat", "version": 1, "items": [{"item": said}]}).encode()
        yield b"]"

    with ThreadPoolExecutor() as pool:
        eve = people.eve
        slow = pool.submit(lambda: eve.post(f"{CHATS}/import", content=slowly()))
        assert begun.wait(30)
        whole = json.dumps([{"title": "Z", "mapping": {"a": {"message": {"author": {"role": "user"}, "content": {"parts": ["hi"]}}}}}])
        try:
            deadline = time.monotonic() + 10
            while people.bob.get(CHATS).status_code != 200 or not list((people.live.home / "incoming").glob("*")):
                assert time.monotonic() < deadline
            assert ok(people.bob.post(f"{CHATS}/import", content=whole), 201)["chats"] == 1
            assert httpx.post(f"{people.live.url}{CHATS}/import", content=whole, headers=eve.headers).status_code == 429
        finally:
            leave.set()
        assert ok(slow.result(30), 201)["chats"] == 1


def test_retention_is_set_by_owners_of_the_project(server: Live, people: People) -> None:
    path = f"/house/v1/projects/{people.project}/retention"
    assert ok(people.abroad.get(path)) == {"project": people.project, "days": None}
    assert ok(people.abroad.put(path, json={"days": 30})) == {"project": people.project, "days": 30}
    assert ok(people.abroad.get(path))["days"] == 30
    assert ok(people.abroad.put(path, json={"days": None}))["days"] is None
    for days in (0, -1, 10**6, 1.5, "x"):
        assert people.abroad.put(path, json={"days": days}).status_code == 400
    assert people.abroad.put(path, json={}).status_code == 400
    assert people.eve.put(path, json={"days": 1}).status_code == 404
    assert people.eve.put("/house/v1/projects/default/retention", json={"days": 1}).status_code == 403
    assert ok(people.bob.get("/house/v1/projects/default/retention"))["days"] is None
    rows = server.app.governor.audit.entries(action="retention.update", project=people.project)
    assert [row.target for row in rows][-1] == f"{people.project} 30 days"


def test_a_person_erases_what_they_have_said(server: Live, people: People) -> None:
    mine, elsewhere, others = begin(people.ada, "private matter"), begin(people.abroad, "private, too"), begin(people.eve, "private of Eve")
    receipt = ok(people.ada.post("/house/v1/erasures", json={"user": "me"}), 201)
    assert (receipt["user"], receipt["project"], receipt["complete"]) == (people.users["ada"], "default", True)
    assert receipt["erased"]["chats"] == 1
    assert people.ada.get(f"{CHATS}/{mine}").status_code == 404
    assert people.abroad.get(f"{CHATS}/{elsewhere}").status_code == 200, "a key acts in its project"
    assert people.eve.get(f"{CHATS}/{others}").status_code == 200
    assert ok(people.ada.get(f"{CHATS}/search", params={"q": "private"}))["data"] == []
    for body in ({"user": people.users["eve"]}, {"user": "nobody"}, {"project": "default"}, {"project": people.project}):
        assert people.ada.post("/house/v1/erasures", json=body).status_code == 403
    assert people.ada.post("/house/v1/erasures", json={"user": "me", "project": people.project}).status_code == 404
    assert people.owner.post("/house/v1/erasures", json={}).status_code == 400
    assert people.owner.post("/house/v1/erasures", json={"user": "nobody"}).status_code == 404
    assert people.eve.get(f"{CHATS}/{others}").status_code == 200
    receipt = ok(people.owner.post("/house/v1/erasures", json={"user": people.users["eve"]}), 201)
    assert receipt["erased"]["chats"] == 1
    assert people.eve.get(f"{CHATS}/{others}").status_code == 404
    server.run(server.app.governor.flush())
    row = next(row for row in server.app.governor.audit.entries(action="erasure.create") if receipt["id"] in row.target and row.outcome == "done")
    assert json.loads(row.detail)["counts"] == receipt["erased"]
    assert "private" not in json.dumps([str(row) for row in server.app.governor.audit.entries(limit=500)])


def test_erasing_reaches_the_memory_of_the_engine(server: Live, people: People) -> None:
    """A worker of llama.cpp that was asked by somebody ends, and who asks next gets a fresh one that has nothing of it."""
    chat = server.openai().with_options(default_headers={"authorization": f"Bearer {people.keys['eve']}"})
    prompt = [{"role": "user", "content": "word " * 60}]
    chat.chat.completions.create(model="tiny", messages=prompt, max_tokens=1)
    again = chat.chat.completions.create(model="tiny", messages=prompt, max_tokens=1)
    assert again.usage is not None
    assert again.usage.prompt_tokens_details is not None
    assert again.usage.prompt_tokens_details.cached_tokens
    [before] = [one.pid for one in server.app.pool.loaded()]
    assert ok(people.ada.post("/house/v1/erasures", json={"user": "me"}), 201)["erased"]["workers"] == 0
    assert [one.pid for one in server.app.pool.loaded()] == [before], "it has seen nothing of Ada's"
    assert ok(people.eve.post("/house/v1/erasures", json={"user": "me"}), 201)["erased"]["workers"] == 1
    fresh = chat.chat.completions.create(model="tiny", messages=prompt, max_tokens=1)
    assert fresh.usage is not None
    assert not (fresh.usage.prompt_tokens_details and fresh.usage.prompt_tokens_details.cached_tokens)
    assert [one.pid for one in server.app.pool.loaded()] != [before]


def test_a_project_is_removed_with_all_that_was_said_in_it(server: Live, people: People) -> None:
    begin(people.abroad, "said abroad")
    answer = ok(people.owner.delete(f"/house/v1/projects/{people.project}"))
    assert answer["id"] == people.project
    receipt = answer["erasure"]
    assert (receipt["project"], receipt["user"], receipt["erased"]["chats"], receipt["failed"]) == (people.project, None, 1, {})
    query = "SELECT count(*) FROM conversations WHERE project = ?"
    assert server.app.database.read(lambda connection: connection.exec_driver_sql(query, (people.project,)).scalar()) == 0
    server.run(server.app.governor.flush())
    row = server.app.governor.audit.entries(action="erasure.create", outcome="done")[0]
    assert row.target == f"{receipt['id']}: {people.project}"
    assert json.loads(row.detail)["counts"]["chats"] == 1
    before = begin(people.ada, "still here")
    assert people.owner.delete("/house/v1/projects/default").status_code == 409
    assert people.ada.get(f"{CHATS}/{before}").status_code == 200, "what cannot be removed is not emptied either"


def test_reads_are_not_audited_and_removals_are(server: Live, people: People) -> None:
    chat = begin(people.ada, "x")
    server.run(server.app.governor.flush())
    last = server.app.governor.audit.entries(limit=1)[0].id
    people.ada.get(CHATS)
    people.ada.get(f"{CHATS}/{chat}")
    people.ada.get(f"{CHATS}/search?q=x")
    people.ada.patch(f"{CHATS}/{chat}", json={"title": "secret words"})
    people.ada.get(f"{CHATS}/{chat}/export")
    people.ada.delete(f"{CHATS}/{chat}")
    server.run(server.app.governor.flush())
    rows = [row for row in server.app.governor.audit.entries(limit=50) if row.id > last]
    assert [(row.action, row.target) for row in reversed(rows)] == [("conversation.export", chat), ("conversation.delete", chat)]
