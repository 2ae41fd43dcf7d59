"""/house/v1 and the state routes, as a client sees them."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, cast

import httpx
import pytest

from hausgeist.conversations.erasure import eraser, leave
from hausgeist.conversations.responses import Responses
from hausgeist.conversations.retention import Retention
from hausgeist.errors import Busy
from hausgeist.files import Files
from hausgeist.governance import Consumption, Governor
from hausgeist.governance.erasure import Erasure
from hausgeist.http.application import application
from hausgeist.http.endpoint import Endpoint
from hausgeist.http.house import HOUSE
from hausgeist.http.tongues import Tongues
from hausgeist.knowledge.parse.process import Parsers
from hausgeist.knowledge.stores.documents import Documents
from hausgeist.knowledge.stores.search import Search
from hausgeist.knowledge.stores.service import Stores
from hausgeist.library.push import Pusher
from hausgeist.library.upkeep.parts import Upkeep
from hausgeist.serving.machine import Machine
from hausgeist.serving.sizing import Sizing
from hausgeist.settings import Settings
from hausgeist.store.database import Database
from hausgeist.telemetry import Metrics
from hausgeist.web import Parts, endpoints
from hausgeist.web.house.throttle import SignInThrottle
from hausgeist.workspace.service import Workspace

PASSWORD = "correct horse battery staple"
OWN = {"origin": "http://localhost"}


@dataclass
class House:
    database: Database
    workspace: Workspace
    governor: Governor
    erasure: Erasure
    ready: bool = True
    clients: list[httpx.AsyncClient] = field(default_factory=list)

    def client(self, secret: str = "", *, peer: str = "127.0.0.1", base: str = "http://localhost", **fields: Any) -> httpx.AsyncClient:
        settings = Settings(home=Path("/nonexistent"), **fields)
        routes: list[Endpoint] = []
        parts = Parts(
            settings=settings,
            database=self.database,
            workspace=self.workspace,
            governor=self.governor,
            consumption=Consumption(self.database),
            machine=cast("Machine", None),
            erasure=self.erasure,
            retention=Retention(self.database),
            metrics=Metrics(),
            upkeep=cast("Upkeep", None),  # models have tests of their own
            pusher=cast("Pusher", None),
            responses=cast("Responses", None),  # these, and documents, too
            files=cast("Files", None),
            documents=cast("Documents", None),
            parsers=lambda: cast("Parsers", None),
            stores=cast("Stores", None),
            search=cast("Search", None),
            sizing=lambda: cast("Sizing", None),
            ready=lambda: self.ready,
            every=lambda: routes,
        )
        routes += endpoints(parts)
        tongues = Tongues(openai=HOUSE, anthropic=HOUSE, ollama=HOUSE)
        app = application(routes, settings=settings, workspace=self.workspace, governor=self.governor, metrics=parts.metrics, tongues=tongues)
        headers = {"authorization": f"Bearer {secret}"} if secret else {}
        client = httpx.AsyncClient(transport=httpx.ASGITransport(app=app, client=(peer, 1)), base_url=base, headers=headers)
        self.clients.append(client)
        return client

    async def person(self, name: str, role: Any = "member") -> str:
        await self.workspace.create_user(name, role=role, password=PASSWORD)
        return (await self.workspace.create_key(project="default", name=f"{name}'s", role=role, user=name))[1]


@pytest.fixture
async def house(tmp_path: Path) -> AsyncIterator[House]:
    database = Database.open(tmp_path)
    governor = Governor(database)
    house = House(database, Workspace(database, leaving=[leave]), governor, Erasure(governor))
    house.erasure.register("conversations", eraser(database))
    yield house
    for client in house.clients:
        await client.aclose()
    await house.governor.flush()
    database.close()


async def test_sign_in_by_name_and_out(house: House) -> None:
    await house.person("ada")
    client = house.client(keys_required=True)
    assert (await client.get("/house/v1/session")).status_code == 401
    response = await client.post("/house/v1/session", json={"name": "Ada", "password": PASSWORD})
    assert response.status_code == 201
    assert response.json() | {"user": "", "id": ""} == {
        **{"kind": "user", "id": "", "name": "ada", "user": "", "role": "member", "house_role": "member", "project": "default"}
    }
    cookie = response.headers["set-cookie"]
    assert cookie.startswith("hausgeist_session=")
    for attribute in ("HttpOnly", "SameSite=strict", "Path=/", "Max-Age=2592000"):
        assert attribute in cookie
    assert "Secure" not in cookie
    assert (await client.get("/house/v1/session")).json()["name"] == "ada"
    # What changes something needs the browser's word that the page is ours.
    assert (await client.post("/house/v1/keys", json={"name": "k"})).status_code == 401
    assert (await client.post("/house/v1/keys", json={"name": "k"}, headers=OWN)).status_code == 403
    token = client.cookies["hausgeist_session"]
    response = await client.delete("/house/v1/session", headers=OWN)
    assert response.status_code == 204
    assert "hausgeist_session" not in client.cookies
    assert (await client.get("/house/v1/session", headers={"cookie": f"hausgeist_session={token}"})).status_code == 401
    await house.governor.flush()
    done = [(row.action, row.outcome, row.target) for row in house.governor.audit.entries(action="session.")]
    assert ("session.create", "allowed", "Ada") in done
    assert ("session.delete", "allowed", "") in done


async def test_the_cookie_under_tls_is_bound_to_the_host(house: House) -> None:
    secret = await house.person("ada")
    client = house.client(base="https://localhost", tls=True, keys_required=True)
    response = await client.post("/house/v1/session", json={"key": secret})
    assert response.headers["set-cookie"].startswith("__Host-hausgeist_session=")
    assert "Secure" in response.headers["set-cookie"]
    assert (await client.get("/house/v1/session")).json()["kind"] == "key"


async def test_sign_in_by_link_once(house: House) -> None:
    user = await house.workspace.create_user("bob")
    link = await house.workspace.invite(user.id)
    client = house.client(keys_required=True)
    response = await client.post("/house/v1/session", json={"link": link})
    assert (response.status_code, response.json()["error"]["param"]) == (400, "password")
    assert (await client.post("/house/v1/session", json={"link": link, "password": PASSWORD})).status_code == 201
    assert (await client.post("/house/v1/session", json={"link": link, "password": PASSWORD})).status_code == 401
    assert (await client.post("/house/v1/session", json={"name": "bob", "password": PASSWORD})).status_code == 201


@pytest.mark.parametrize(
    "body",
    [
        {},
        {"name": "ada"},
        {"password": PASSWORD},
        {"key": "hg-x", "name": "ada"},
        {"key": "hg-x", "password": PASSWORD},
        {"link": "x", "key": "hg-x"},
        {"name": "ada", "password": PASSWORD, "more": 1},
        {"name": 3, "password": PASSWORD},
        {"name": "ada", "password": "p" * 5000},
        [],
        "text",
    ],
)
async def test_strange_sign_ins(house: House, body: Any) -> None:
    response = await house.client().post("/house/v1/session", json=body)
    assert response.status_code == 400
    assert response.json()["error"]["type"] == "invalid_request"
    assert PASSWORD not in response.text


@pytest.mark.parametrize("body", [b"", b"{", b'{"name": "\\ud800"}', b"[" * 100_000, b"\xff", b'{"name": NaN}'])
async def test_what_is_no_json(house: House, body: bytes) -> None:
    assert (await house.client().post("/house/v1/session", content=body)).status_code == 400


async def test_guessing_is_slowed_down_and_written_down(house: House) -> None:
    await house.person("ada")
    client = house.client(keys_required=True)
    answers = [(await client.post("/house/v1/session", json={"name": "ADA", "password": f"guess {number}"})).status_code for number in range(7)]
    assert answers[:5] == [401] * 5
    assert answers[5:] == [429] * 2
    response = await client.post("/house/v1/session", json={"name": "ada", "password": PASSWORD})
    assert response.status_code == 429
    assert int(response.headers["retry-after"]) >= 1
    await house.governor.flush()
    rows = house.governor.audit.entries(action="session.create", outcome="refused")
    assert len(rows) == 8
    assert all(PASSWORD not in row.detail and "guess" not in row.detail for row in rows)


def test_the_throttle_waits_longer_each_time_and_forgets() -> None:
    now = 1000.0
    throttle = SignInThrottle(clock=lambda: now)
    waits = []
    for _ in range(20):
        try:
            throttle.check("ada", "::1")
        except Busy as error:
            waits.append(error.retry_after)
            now += error.retry_after
        throttle.failed("ada", "::1")
    assert waits[0] >= 1
    assert waits == sorted(waits)
    assert max(waits) == 900
    throttle.check("ada", "2001:db8::1")
    now += 4000
    throttle.failed("ada", "::1")
    throttle.check("ada", "::1")


def test_the_throttle_counts_addresses_over_all_names_and_is_bounded() -> None:
    throttle = SignInThrottle(clock=lambda: 5.0)
    for number in range(25):
        throttle.failed(f"name {number}", "192.0.2.1")
    with pytest.raises(Busy):
        throttle.check("somebody", "192.0.2.1")
    throttle.succeeded("name 1", "192.0.2.1")
    with pytest.raises(Busy):
        throttle.check("somebody", "192.0.2.1")


def test_the_throttle_takes_a_network_of_ipv6_for_one_place() -> None:
    throttle = SignInThrottle(clock=lambda: 5.0)
    for number in range(25):
        throttle.failed("ada", f"2001:db8::{number:x}")
    with pytest.raises(Busy):
        throttle.check("ada", "2001:db8::ffff")
    throttle.check("ada", "2001:db8:0:1::1")
    for number in range(30_000):
        throttle.failed("x", f"address {number}")
    assert len(throttle._failures) <= 20_000


async def test_keys_are_made_listed_used_and_revoked(house: House) -> None:
    owner = house.client()
    response = await owner.post("/house/v1/keys", json={"name": "laptop", "role": "reader"})
    assert response.status_code == 201
    made = response.json()
    secret = made.pop("key")
    assert secret.startswith("hg-")
    assert made["project"] == "default"
    listed = (await owner.get("/house/v1/keys")).json()["data"]
    assert listed == [made]
    assert secret not in str(listed)
    reader = house.client(secret)
    assert (await reader.get("/house/v1/session")).json()["role"] == "reader"
    assert (await reader.get("/house/v1/keys")).status_code == 403
    assert (await reader.delete(f"/house/v1/keys/{made['id']}")).status_code == 403
    assert (await owner.delete(f"/house/v1/keys/{made['id']}")).status_code == 204
    assert (await owner.delete(f"/house/v1/keys/{made['id']}")).status_code == 404
    assert (await reader.get("/house/v1/session")).status_code == 401
    assert (await owner.delete("/house/v1/keys/key_none")).status_code == 404
    assert (await owner.post("/house/v1/keys", json={"name": "x", "role": "king"})).status_code == 400
    assert (await owner.post("/house/v1/keys", json={"name": "x", "project": "nowhere"})).status_code == 404
    await house.governor.flush()
    actions = [row.action for row in house.governor.audit.entries(outcome="allowed")]
    assert actions.count("key.create") == 1
    assert actions.count("key.delete") == 1


async def test_a_project_owner_keeps_to_the_project(house: House) -> None:
    await house.person("ada")
    await house.person("bob")
    papers = await house.workspace.create_project("papers", owner="ada")
    await house.workspace.create_project("secret")
    _, anywhere = await house.workspace.create_key(project=None, name="ada's", role="owner", user="ada")
    ada = house.client(anywhere)
    assert [project["name"] for project in (await ada.get("/house/v1/projects")).json()["data"]] == ["default", "papers"]
    # In papers she is owner, although the request itself is made in default, where she is a member.
    assert (await ada.patch("/house/v1/projects/papers", json={"name": "letters"})).json()["name"] == "letters"
    assert (await ada.put("/house/v1/projects/letters/members/bob", json={"role": "reader"})).json()["role"] == "reader"
    members = (await ada.get(f"/house/v1/projects/{papers.id}/members")).json()["data"]
    assert [(member["name"], member["role"]) for member in members] == [("ada", "owner"), ("bob", "reader")]
    response = await ada.post("/house/v1/keys", json={"name": "mine", "project": "letters", "role": "member"})
    assert response.status_code == 201
    # A key of papers opens nothing else, and bob's name is not hers to use.
    bound = house.client(response.json()["key"])
    assert [project["name"] for project in (await bound.get("/house/v1/projects")).json()["data"]] == ["letters"]
    assert (await bound.get("/house/v1/projects/default")).status_code == 404
    assert (await bound.patch("/house/v1/projects/letters", json={"name": "x"})).status_code == 403
    assert (await ada.post("/house/v1/keys", json={"name": "x", "project": "letters", "role": "reader", "user": "bob"})).status_code == 403
    assert (await ada.get("/house/v1/projects/secret")).status_code == 404
    assert (await ada.delete("/house/v1/projects/letters")).status_code == 403
    assert (await ada.post("/house/v1/projects", json={"name": "mine"})).status_code == 403
    assert (await ada.patch("/house/v1/projects/default", json={"name": "x"})).status_code == 403
    assert (await ada.get("/metrics")).status_code == 403
    assert (await ada.delete("/house/v1/projects/letters/members/bob")).status_code == 204


async def test_projects_of_the_owner_of_the_house(house: House) -> None:
    owner = house.client()
    made = (await owner.post("/house/v1/projects", json={"name": "papers"})).json()
    assert (await owner.get(f"/house/v1/projects/{made['id']}")).json() == made
    assert (await owner.post("/house/v1/projects", json={"name": "Papers"})).status_code == 409
    assert (await owner.post("/house/v1/keys", json={"name": "k", "project": "papers", "role": "member"})).status_code == 201
    assert len((await owner.get("/house/v1/keys?project=papers")).json()["data"]) == 1
    gone = await owner.delete("/house/v1/projects/papers")
    assert (gone.status_code, gone.json()["id"], gone.json()["erasure"]["project"]) == (200, made["id"], made["id"])
    assert (await owner.delete("/house/v1/projects/papers")).status_code == 404
    assert (await owner.delete("/house/v1/projects/default")).status_code == 409


async def test_health_ready_metrics(house: House) -> None:
    client = house.client(keys_required=True)
    assert (await client.get("/health")).json()["status"] == "ok"
    assert (await client.get("/ready")).json() == {"ready": True}
    house.ready = False
    response = await client.get("/ready")
    assert (response.status_code, response.json()["ready"]) == (503, False)
    house.ready = True
    house.workspace._database.close()
    response = await client.get("/ready")
    assert (response.status_code, "closed" in response.json()["reason"]) == (503, True)
    assert (await client.get("/health")).status_code == 200
    assert (await client.get("/metrics")).status_code == 401
    response = await house.client().get("/metrics")
    assert response.headers["content-type"].startswith("text/plain; version=")
    assert b"hausgeist_info" in response.content


async def test_the_root_is_what_ollama_clients_expect_and_leads_people_to_sign_in(house: House) -> None:
    client = house.client(keys_required=True)
    response = await client.get("/")
    assert response.text == "Ollama is running"
    assert (await client.head("/")).status_code == 200
    response = await client.get("/", headers={"accept": "text/html,*/*"})
    assert (response.status_code, response.headers["location"]) == (303, "/sign-in?next=%2F")


async def test_openapi_describes_every_route(house: House) -> None:
    document = (await house.client().get("/openapi.json")).json()
    assert document["openapi"] == "3.1.0"
    assert set(document["paths"]["/house/v1/projects/{project}/members/{user}"]) == {"put", "delete"}
    put = document["paths"]["/house/v1/projects/{project}/members/{user}"]["put"]
    assert [parameter["name"] for parameter in put["parameters"]] == ["project", "user"]
    reference = document["paths"]["/house/v1/session"]["post"]["requestBody"]["content"]["application/json"]["schema"]["$ref"]
    assert reference.removeprefix("#/components/schemas/") in document["components"]["schemas"]
    names = [operation["operationId"] for path in document["paths"].values() for operation in path.values()]
    assert len(names) == len(set(names))
    assert document["paths"]["/health"]["get"]["security"] == []


async def test_simultaneous_sign_ins_with_one_link(house: House) -> None:
    user = await house.workspace.create_user("bob")
    link = await house.workspace.invite(user.id)
    body = {"link": link, "password": PASSWORD}
    answers = await asyncio.gather(*(house.client(keys_required=True).post("/house/v1/session", json=body) for _ in range(3)))
    assert sorted(answer.status_code for answer in answers) == [201, 401, 401]


async def test_openapi_knows_uploads_and_queries(house: House) -> None:
    paths = (await house.client().get("/openapi.json")).json()["paths"]
    models = {path.removeprefix("/house/v1/models"): methods for path, methods in paths.items() if path.startswith("/house/v1/models")}
    assert {"", "/adopt", "/adoptable", "/catalogue", "/pull", "/import", "/export", "/verify", "/gc"} <= set(models)
    assert list(models["/import"]["post"]["requestBody"]["content"]) == ["application/octet-stream"]
    assert {one["name"]: one["required"] for one in models["/catalogue"]["get"]["parameters"]} == dict.fromkeys(
        ("words", "use", "fits", "licence"), False
    )


async def test_the_catalogue_is_searched(house: House) -> None:
    client = house.client()

    async def ask(**query: str) -> Any:
        response = await client.get("/house/v1/models/catalogue", params=query)
        return response.json()["data"] if response.status_code == 200 else response

    everything = await ask()
    assert len(everything) > 200
    (exact,) = await ask(words="gemma3:4b")
    assert (exact["name"], exact["install"][0]) == ("gemma3:4b", "gemma3:4b")
    small = await ask(words="code", fits="2gb")
    assert 0 < len(small) < len(everything)
    assert small == await ask(words="code 2gb") == await ask(use="code", fits="2000000000")
    assert all("code" in one["use"] and one["size"] <= 2e9 for one in small)
    for wrong in ({"fits": "much"}, {"fits": "-1"}, {"fits": "٣"}, {"use": "war"}, {"words": "1gb 2gb"}):
        assert (await ask(**wrong)).status_code == 400, wrong
    assert await ask(words="x" * 5000) == []


async def test_only_owners_of_the_house_see_and_adopt_what_other_tools_have(house: House) -> None:
    client = house.client(await house.person("ada"), keys_required=True)
    assert (await client.get("/house/v1/models/adoptable")).status_code == 403
    response = await client.post("/house/v1/models/adopt", json={"model": "tiny"})
    assert (response.status_code, "error" in response.json()) == (403, True)
    owner = house.client(await house.person("eve", "owner"), keys_required=True)
    for body in ({"model": "tiny", "path": "/etc/passwd"}, {"model": "tiny", "tool": "vim"}, {}):
        assert (await owner.post("/house/v1/models/adopt", json=body)).status_code == 400, body
