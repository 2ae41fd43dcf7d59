"""/house/v1/personas and /house/v1/prompts over HTTP, on a server that runs."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import httpx
import pytest

from tests.contract.conftest import Live

PERSONAS, PROMPTS = "/house/v1/personas", "/house/v1/prompts"


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Live]:
    live = Live(home=tmp_path_factory.mktemp("home"))
    live.start()
    yield live
    live.stop()


class People:
    """Clients by name: of a member, another one, a reader, an owner of the project, the member in another project."""

    def __init__(self, live: Live) -> None:
        workspace = live.app.workspace
        number = len(workspace.users())
        users = {name: live.run(workspace.create_user(f"{name} {number}")).id for name in ("ada", "eve", "rita", "owen")}
        self.project = live.run(workspace.create_project(f"papers {number}", owner=users["owen"])).id
        self.abroad_project = live.run(workspace.create_project(f"abroad {number}", owner=users["ada"])).id
        for name, role in (("ada", "member"), ("eve", "member"), ("rita", "reader")):
            live.run(workspace.set_member(self.project, users[name], role))  # type: ignore[arg-type]
        self.users = users
        self.clients: list[httpx.Client] = []

        def client(name: str, user: str, project: str, role: Any) -> httpx.Client:
            key = live.run(workspace.create_key(project=project, name=name, role=role, user=users[user]))[1]
            self.clients.append(httpx.Client(base_url=live.url, headers={"authorization": f"Bearer {key}"}, timeout=60))
            return self.clients[-1]

        self.ada, self.eve = client("ada", "ada", self.project, "member"), client("eve", "eve", self.project, "member")
        self.rita, self.owen = client("rita", "rita", self.project, "reader"), client("owen", "owen", self.project, "owner")
        self.abroad = client("abroad", "ada", self.abroad_project, "owner")


@pytest.fixture
def people(server: Live) -> Iterator[People]:
    people = People(server)
    yield people
    for client in people.clients:
        client.close()


def ok(answer: httpx.Response, status: int = 200) -> Any:
    assert answer.status_code == status, answer.text
    return answer.json() if answer.content else None


def body(path: str, **fields: Any) -> dict[str, Any]:
    return {"name": "Counsel", **({"text": "Dear {{name}}"} if path == PROMPTS else {"instructions": "Be exact."}), **fields}


def test_the_life_of_a_persona(people: People) -> None:
    settings = {"temperature": 0.2, "reasoning": {"effort": "low"}}
    made = ok(people.ada.post(PERSONAS, json=body(PERSONAS, model="fake:echo", settings=settings)), 201)
    assert made == {
        "id": made["id"], "name": "Counsel", "instructions": "Be exact.", "model": "fake:echo", "settings": settings, "shared": False, "mine": True,
        "created": made["created"], "changed": made["created"],
    }  # fmt: skip
    assert ok(people.ada.get(PERSONAS)) == {"data": [made], "next": None}
    assert ok(people.ada.get(f"{PERSONAS}/{made['id']}")) == made
    changed = ok(people.ada.patch(f"{PERSONAS}/{made['id']}", json={"shared": True, "model": None, "instructions": ""}))
    assert (changed["shared"], changed["model"], changed["instructions"], changed["settings"]) == (True, None, "", settings)
    assert ok(people.rita.get(PERSONAS))["data"] == [{**changed, "mine": False}]
    # A chat takes it over as it is.
    chat = ok(people.rita.post("/house/v1/chats", json={"settings": {**changed["settings"], "instructions": changed["instructions"]}}), 201)
    assert chat["settings"]["temperature"] == 0.2
    ok(people.ada.delete(f"{PERSONAS}/{made['id']}"), 204)
    assert ok(people.rita.get(PERSONAS))["data"] == []


def test_the_life_of_a_prompt(people: People) -> None:
    made = ok(people.ada.post(PROMPTS, json=body(PROMPTS, text="Dear {{name}}, by {{date}}")), 201)
    assert made == {
        "id": made["id"], "name": "Counsel", "text": "Dear {{name}}, by {{date}}", "variables": ["name", "date"], "shared": False, "mine": True,
        "created": made["created"], "changed": made["created"],
    }  # fmt: skip
    for name in ("b", "a"):
        ok(people.ada.post(PROMPTS, json=body(PROMPTS, name=name, text="other")), 201)
    assert [one["name"] for one in ok(people.ada.get(PROMPTS))["data"]] == ["a", "b", "Counsel"]
    assert ok(people.ada.get(PROMPTS, params={"q": "DEAR date"}))["data"] == [made]
    page = ok(people.ada.get(PROMPTS, params={"limit": 2}))
    assert [one["name"] for one in page["data"]] == ["a", "b"]
    assert ok(people.ada.get(PROMPTS, params={"limit": 2, "after": page["next"]})) == {"data": [made], "next": None}
    ok(people.ada.delete(f"{PROMPTS}/{made['id']}"), 204)
    assert people.ada.get(f"{PROMPTS}/{made['id']}").status_code == 404


@pytest.mark.parametrize("path", [PERSONAS, PROMPTS])
def test_whose_they_are(server: Live, people: People, path: str) -> None:
    private = ok(people.ada.post(path, json=body(path, name="Kassenbuch")), 201)
    shared = ok(people.ada.post(path, json=body(path, name="for all", shared=True)), 201)
    routes = [
        (method.upper(), one) for one, methods in ok(people.ada.get("/openapi.json"))["paths"].items() if one.startswith(path) for method in methods
    ]
    assert len(routes) == 5
    for client in (people.eve, people.rita, people.owen, people.abroad):
        for method, route in routes:
            where = route.replace(route[route.find("{") :], private["id"]) if "{" in route else route
            answer = client.request(method, where, json={"name": "x"} if method == "PATCH" else None)
            if where != route:
                assert answer.status_code == 404, f"{method} {route}"
            assert "Kassenbuch" not in answer.text
    assert people.abroad.get(f"{path}/{shared['id']}").status_code == 404
    for client in (people.eve, people.rita):
        assert client.get(f"{path}/{shared['id']}").json()["mine"] is False
        assert client.patch(f"{path}/{shared['id']}", json={"name": "x"}).status_code == 403
        assert client.delete(f"{path}/{shared['id']}").status_code == 403
    assert ok(people.owen.patch(f"{path}/{shared['id']}", json={"name": "by the owner"}))["mine"] is False
    # A reader keeps own ones, and shares none.
    own = ok(people.rita.post(path, json=body(path)), 201)
    assert people.rita.post(path, json=body(path, shared=True)).status_code == 403
    assert people.rita.patch(f"{path}/{own['id']}", json={"shared": True}).status_code == 403
    assert ok(people.rita.patch(f"{path}/{own['id']}", json={"name": "mine"}))["name"] == "mine"
    ok(people.rita.delete(f"{path}/{own['id']}"), 204)
    ok(people.owen.delete(f"{path}/{shared['id']}"), 204)
    server.run(server.app.governor.flush())
    kind = "persona" if path == PERSONAS else "prompt"
    shares = server.app.governor.audit.entries(action=f"{kind}.share", project=people.project)
    assert sorted({row.outcome for row in shares}) == ["allowed", "refused"]
    assert ok(people.ada.get(path))["data"] == [private]


@pytest.mark.parametrize(
    ("path", "fields", "param"),
    [
        (PERSONAS, {"name": ""}, "name"),
        (PERSONAS, {"name": "a\nb"}, "name"),
        (PERSONAS, {"name": "x" * 101}, "name"),
        (PERSONAS, {"instructions": "x" * 70_000}, "instructions"),
        (PERSONAS, {"settings": {"model": "x"}}, "settings.model"),
        (PERSONAS, {"settings": []}, "settings"),
        (PERSONAS, {"user": "eve"}, "user"),
        (PROMPTS, {"text": ""}, "text"),
        (PROMPTS, {"text": "  "}, "text"),
        (PROMPTS, {"text": "x" * 40_000}, "text"),
        (PROMPTS, {"shared": "perhaps"}, "shared"),
    ],
)
def test_what_makes_no_sense_is_refused(people: People, path: str, fields: dict[str, Any], param: str) -> None:
    made = ok(people.ada.post(path, json=body(path)), 201)
    for answer in (people.ada.post(path, json=body(path, **fields)), people.ada.patch(f"{path}/{made['id']}", json=fields)):
        assert answer.status_code == 400, answer.text
        assert answer.json()["error"]["param"] == param
    assert people.ada.patch(f"{path}/{made['id']}", json={}).status_code == 400
    assert ok(people.ada.get(path))["data"] == [made]


@pytest.mark.parametrize("query", ["?limit=0", "?limit=201", "?after=x", "?page=2", "?limit=1&limit=2"])
def test_a_query_is_read_strictly(people: People, query: str) -> None:
    for path in (PERSONAS, PROMPTS):
        assert people.ada.get(path + query).status_code == 400


def test_they_are_erased_with_the_person_and_the_project(server: Live, people: People) -> None:
    for path in (PERSONAS, PROMPTS):
        for client in (people.ada, people.abroad, people.eve):
            ok(client.post(path, json=body(path, shared=True)), 201)
    receipt = ok(people.ada.post("/house/v1/erasures", json={"user": "me"}), 201)
    assert (receipt["erased"]["personas"], receipt["erased"]["prompts"]) == (1, 1)
    assert [one["mine"] for one in ok(people.ada.get(PERSONAS))["data"]] == [False], "what Eve shares is Eve's"
    assert len(ok(people.abroad.get(PROMPTS))["data"]) == 1
    server.run(server.app.workspace.remove_user(people.users["eve"]))
    assert ok(people.ada.get(PROMPTS))["data"] == []
    with httpx.Client(base_url=server.url) as owner:
        ok(owner.delete(f"/house/v1/projects/{people.abroad_project}"))
    for table in ("personas", "prompts"):
        query = f"SELECT count(*) FROM {table} WHERE project IN (?, ?)"
        assert (
            server.app.database.read(
                lambda connection, query=query: connection.exec_driver_sql(query, (people.project, people.abroad_project)).scalar()
            )
            == 0
        )
