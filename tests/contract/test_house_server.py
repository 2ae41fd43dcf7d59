"""/house/v1/audit, usage, settings, users, machine and models: what the page "Server" is made of, on a server that runs."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import httpx
import pytest

from hausgeist.governance.usage import UsageRow
from hausgeist.model import Usage
from tests.contract.conftest import Live

PASSWORD = "correct horse battery staple"
SECRETS = {
    "hf_token": "SECRET-hub",
    "upstreams": {"gpu": {"url": "http://ada:SECRET-user@gpu.example:8000/base?token=SECRET-query", "key": "SECRET-key"}},
    "registries": {"reg.example:5000": {"user": "bob", "password": "SECRET-registry"}},
    "mcp": {"tools": {"url": "https://mcp.example/mcp?key=SECRET-mcp-query", "key": "SECRET-mcp", "headers": {"x-token": "SECRET-header"}}},
    "models": {"llama3.2:1b": {"context": 512}},
}


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory, specimens: dict[str, Path]) -> Iterator[Live]:
    live = Live(home=tmp_path_factory.mktemp("home"), files=[specimens["tiny"]], settings={"offline": True, **SECRETS})
    live.start()
    yield live
    live.stop()


class House:
    """The local owner, and people with keys and roles of their own."""

    def __init__(self, live: Live) -> None:
        self.live = live
        self.owner = httpx.Client(base_url=live.url, timeout=60)
        self.clients = [self.owner]

    def person(self, name: str, role: Any = "member") -> httpx.Client:
        """With a key that names no project: it may do on the house what they may."""
        workspace = self.live.app.workspace
        with suppress(Exception):
            self.live.run(workspace.remove_user(name))
        user = self.live.run(workspace.create_user(name, role=role, password=PASSWORD))
        _, key = self.live.run(workspace.create_key(project=None, name=f"{name}'s", role=role, user=user.id))
        client = httpx.Client(base_url=self.live.url, headers={"authorization": f"Bearer {key}"}, timeout=60)
        self.clients.append(client)
        return client

    def id(self, name: str) -> str:
        return self.live.app.workspace.user(name).id

    def used(self, *calls: dict[str, Any], **fields: Any) -> None:
        """A call that somebody made, or several that differ."""
        told = {"at": time.time(), "actor": "local", "user": "local", "project": "default", "model": "tiny", "operation": "chat", "status": "ok"}

        async def append() -> None:
            await asyncio.gather(*(self.live.app.usage.append(UsageRow(**{**told, **fields, **one})) for one in calls or ({},)))

        self.live.run(append())

    def rows(self, action: str) -> list[Any]:
        self.live.run(self.live.app.governor.flush())
        return self.live.app.governor.audit.entries(action=action)


@pytest.fixture(scope="module")
def house(server: Live) -> Iterator[House]:
    house = House(server)
    yield house
    for client in house.clients:
        client.close()


def got(client: httpx.Client, path: str, **params: Any) -> Any:
    answer = client.get(f"/house/v1/{path}", params=params)
    assert answer.status_code == 200, answer.text
    return answer.json()


def refused(answer: httpx.Response, status: int, *words: str) -> None:
    assert answer.status_code == status, answer.text
    for word in words:
        assert word in answer.json()["error"]["message"]


# Audit


def test_the_audit_table_is_told_with_meanings_and_in_pages(house: House) -> None:
    for name in ("one", "two", "three"):
        house.owner.post("/house/v1/projects", json={"name": name})
    first = got(house.owner, "audit", action="project.create", limit=2)
    assert [one["target"] for one in first["data"]] == ["three", "two"]
    assert set(first["data"][0]) == {
        *("id", "at", "actor", "actor_name", "project", "action", "meaning", "target", "address", "agent", "request_id", "outcome", "detail")
    }
    assert first["data"][0]["meaning"] == "make a project"
    assert first["data"][0]["actor"] == "local"
    rest = got(house.owner, "audit", action="project.create", limit=2, before=first["next"])
    assert [one["target"] for one in rest["data"]] == ["one"]
    assert rest["next"] is None
    since = first["data"][0]["at"]
    assert [one["target"] for one in got(house.owner, "audit", action="project.", since=since)["data"]] == ["three"]
    assert got(house.owner, "audit", until=1)["data"] == []


def test_refused_connections_are_found(house: House) -> None:
    assert "offline" in house.owner.post("/house/v1/models/pull", json={"model": "hf.co/somebody/something:Q4_K_M"}).text
    found = got(house.owner, "audit", action="egress.connect", outcome="refused")["data"]
    assert "https://huggingface.co:443" in [one["target"] for one in found]
    assert {one["outcome"] for one in found} == {"refused"}


def test_looking_leaves_one_row_however_often_a_page_looks(house: House) -> None:
    eve = house.person("eve", "owner")
    for _ in range(5):
        got(eve, "audit", outcome="failed", since=time.time() - 60)
    got(eve, "audit", actor="local")
    looks = [row.target for row in house.rows("audit.read") if row.actor_name == "eve's"]
    assert looks == ["actor=local", "outcome=failed"]


def test_the_audit_table_is_for_owners_and_each_refusal_is_a_row(house: House) -> None:
    bob = house.person("bob")
    before = len([row for row in house.rows("audit.read") if row.outcome == "refused"])
    for _ in range(3):
        refused(bob.get("/house/v1/audit"), 403, "owner")
    assert len([row for row in house.rows("audit.read") if row.outcome == "refused"]) == before + 3


@pytest.mark.parametrize(
    "asked",
    [{"outcome": "good"}, {"action": "house.burn"}, {"since": "yesterday"}, {"since": "nan"}, {"before": "-1"}, {"limit": "501"}, {"who": "ada"}],
)
def test_what_cannot_be_meant_is_said(house: House, asked: dict[str, str]) -> None:
    answer = house.owner.get("/house/v1/audit", params=asked)
    refused(answer, 400)
    assert answer.json()["error"]["param"] == next(iter(asked))


# Usage


def test_usage_is_added_up_with_rates_and_percentiles(house: House) -> None:
    now = time.time()
    calls = []
    for number in range(1, 101):
        status = "failed: EngineCrashed" if number <= 3 else "cancelled" if number == 4 else "ok"
        took = Usage(prompt_tokens=10, completion_tokens=20, cached_tokens=5, completion_ms=1000.0, first_token_ms=float(number), total_ms=100.0)
        calls.append({"at": now - 7200 - number, "usage": took, "status": status})
    house.used(*calls, model="sums", key_id="key_gone")
    house.used(at=now - 60, model="silent", usage=Usage(prompt_tokens=7))
    told = got(house.owner, "usage", by="model", since=now - 4 * 3600, until=now, step=3600)
    assert (told["by"], told["scope"], told["since"], told["until"]) == ("model", "all", now - 4 * 3600, now)
    sums = next(one for one in told["data"] if one["of"] == "sums")
    assert sums == {
        "of": "sums", "name": "sums", "calls": 100, "failed": 3, "prompt_tokens": 1000, "completion_tokens": 2000, "cached_tokens": 500,
        "total_ms": 10000.0, "first_token_ms": {"p50": 50.0, "p95": 95.0}, "tokens_per_second": 20.0,
    }  # fmt: skip
    silent = next(one for one in told["data"] if one["of"] == "silent")
    assert (silent["first_token_ms"], silent["tokens_per_second"]) == (None, None)
    assert len(told["series"]) == 4
    step = told["series"][1]
    assert step == {
        "at": now - 3 * 3600, "step": 3600, "calls": 100, "failed": 3, "prompt_tokens": 1000, "completion_tokens": 2000, "first_token_ms_p50": 50.0,
    }  # fmt: skip
    assert told["series"][0] | {"at": 0} == {
        "at": 0, "step": 3600, "calls": 0, "failed": 0, "prompt_tokens": 0, "completion_tokens": 0, "first_token_ms_p50": None,
    }  # fmt: skip
    # A key that is gone keeps its id for a name.
    keys = got(house.owner, "usage", by="key", since=now - 4 * 3600)["data"]
    assert [(one["of"], one["name"], one["calls"]) for one in keys] == [("key_gone", "key_gone", 100)]


def test_others_see_their_own_usage_only(house: House) -> None:
    ada, ivy = house.person("ada"), house.person("ivy", "reader")
    house.used(user=house.id("ada"), model="hers", usage=Usage(prompt_tokens=3))
    house.used(user=house.id("ivy"), model="his", usage=Usage(prompt_tokens=4))
    house.used(user=house.id("ada"), model="elsewhere", project="proj_other", usage=Usage(prompt_tokens=9))
    for client, mine in ((ada, {"hers"}), (ivy, {"his"})):
        told = got(client, "usage")
        assert told["scope"] == "own"
        assert {one["of"] for one in told["data"]} == mine
        assert sum(one["calls"] for one in told["series"]) == 1
    assert got(ada, "usage", by="user")["data"][0]["name"] == "ada"
    refused(ada.get("/house/v1/usage", params={"project": "two"}), 404)
    # In person, everything of oneself.
    with httpx.Client(base_url=house.live.url, headers={"origin": house.live.url}) as browser:
        assert browser.post("/house/v1/session", json={"name": "ada", "password": PASSWORD}).status_code == 201
        assert {one["of"] for one in got(browser, "usage")["data"]} == {"hers", "elsewhere"}
    everybody = {one["of"] for one in got(house.owner, "usage")["data"]}
    assert {"hers", "his", "elsewhere"} <= everybody
    assert {one["of"] for one in got(house.owner, "usage", project="default")["data"]} >= {"hers", "his"}
    assert "elsewhere" not in {one["of"] for one in got(house.owner, "usage", project="default")["data"]}


def test_steps_are_bounded(house: House) -> None:
    now = int(time.time())
    assert len(got(house.owner, "usage", since=now - 1000, until=now, step=1)["series"]) == 1000
    refused(house.owner.get("/house/v1/usage", params={"since": now - 1001, "until": now, "step": 1}), 400, "1001 steps", "'step' of 2 or more")
    refused(house.owner.get("/house/v1/usage", params={"since": now, "until": now}), 400, "later")
    refused(house.owner.get("/house/v1/usage", params={"by": "colour"}), 400, "model, user, key, project")
    refused(house.owner.get("/house/v1/usage", params={"since": 0}), 400, "steps")


# Settings


def test_settings_say_what_and_where_from_and_no_secret(house: House) -> None:
    answer = house.owner.get("/house/v1/settings")
    assert "SECRET" not in answer.text
    told = answer.json()
    assert told["file"] == str(house.live.home / "hausgeist.toml")
    rows = {row["name"]: row for row in told["data"]}
    assert rows["offline"] == {
        "name": "offline", "value": True, "default": False, "help": "Refuse every outbound connection.", "type": "`true` or `false`",
        "source": "flag", "variable": "HAUSGEIST_OFFLINE", "secret": False,
    }  # fmt: skip
    assert (rows["guide"]["value"], rows["guide"]["source"]) == (False, "environment")
    assert (rows["slots"]["value"], rows["slots"]["source"], rows["slots"]["type"]) == (4, "default", "a whole number from 1 to 4096")
    for name in ("hf_token", "upstreams.gpu.key", 'registries."reg.example:5000".password', "mcp.tools.key", "mcp.tools.headers"):
        assert (rows[name]["secret"], rows[name]["value"], rows[name]["set"], rows[name]["default"]) == (True, None, True, None)
    assert rows["upstreams"]["value"] == ["gpu"]
    assert rows["upstreams.gpu.url"]["value"] == "http://gpu.example:8000/base?…"
    assert rows["mcp.tools.url"]["value"] == "https://mcp.example/mcp?…"
    assert rows['models."llama3.2:1b".context']["value"] == 512
    assert rows['models."llama3.2:1b".context']["variable"] is None
    assert rows["upstreams.gpu.slots"]["variable"] == "HAUSGEIST_UPSTREAMS__GPU__SLOTS"


def test_settings_are_for_owners(house: House) -> None:
    refused(house.person("bob").get("/house/v1/settings"), 403)


# Users


def test_a_person_is_added_let_in_changed_and_removed(house: House) -> None:
    made = house.owner.post("/house/v1/users", json={"name": "zoe", "role": "reader"})
    assert made.status_code == 201
    user = made.json()
    assert user["link"].startswith(f"{house.live.url}/sign-in#")
    assert 6 * 86400 < user["expires"] - time.time() < 8 * 86400
    assert (user["role"], user["has_password"], user["last_seen"]) == ("reader", False, None)
    assert user["projects"] == [{"id": "default", "name": "default", "role": "reader"}]
    again = house.owner.post(f"/house/v1/users/{user['id']}/invite").json()
    with httpx.Client(base_url=house.live.url) as browser:
        used = {"link": user["link"].partition("#")[2], "password": PASSWORD}
        assert browser.post("/house/v1/session", json=used).status_code == 401  # the second link took its place
        assert browser.post("/house/v1/session", json={**used, "link": again["link"].partition("#")[2]}).status_code == 201
    listed = next(one for one in got(house.owner, "users")["data"] if one["id"] == user["id"])
    assert listed["has_password"]
    assert listed["last_seen"] is not None
    assert house.owner.patch("/house/v1/users/zoe", json={"role": "owner"}).json()["role"] == "owner"
    assert house.owner.post("/house/v1/users", json={"name": "Zoe"}).status_code == 409
    gone = house.owner.delete(f"/house/v1/users/{user['id']}")
    assert gone.status_code == 200
    assert gone.json()["erasure"]["complete"]
    assert house.owner.delete(f"/house/v1/users/{user['id']}").status_code == 404
    assert [row.outcome for row in house.rows("erasure.create")[:2]] == ["done", "allowed"]


def test_what_the_person_said_goes_with_them(house: House) -> None:
    kim = house.person("kim")
    chat = kim.post("/house/v1/chats", json={"title": "private", "messages": [{"content": "my secret"}]}).json()["id"]
    file = kim.post("/v1/files", files={"file": ("diary.txt", b"my secret")}, data={"purpose": "user_data"})
    assert file.status_code == 200, file.text
    told = house.owner.delete(f"/house/v1/users/{house.id('kim')}").json()["erasure"]["erased"]
    assert (told["chats"], told["files"]) == (1, 1)
    assert kim.get(f"/house/v1/chats/{chat}").status_code == 401


def test_the_last_owner_stays(house: House) -> None:
    for user in house.live.app.workspace.users():
        if user.role == "owner" and user.id != "local":
            house.live.run(house.live.app.workspace.set_role(user.id, "member"))
    max_ = house.person("max", "owner")
    me = house.id("max")
    for answer in (max_.patch(f"/house/v1/users/{me}", json={"role": "member"}), max_.delete(f"/house/v1/users/{me}")):
        refused(answer, 409, "last owner who can sign in", "Make somebody else an owner first")
    refused(max_.delete("/house/v1/users/local"), 409, "local owner")
    refused(house.owner.patch("/house/v1/users/local", json={"role": "reader"}), 409, "local owner")
    assert house.live.app.workspace.user("max").role == "owner"
    house.person("eva", "owner")
    assert max_.patch(f"/house/v1/users/{me}", json={"role": "member"}).status_code == 200
    # Who sits at the machine stays an owner whatever happens.
    assert house.owner.patch("/house/v1/users/eva", json={"role": "member"}).status_code == 200


def test_users_are_the_owners_business(house: House) -> None:
    bob = house.person("bob")
    eva = house.id(house.live.app.workspace.users()[0].id)
    for method, path, body in (
        ("GET", "", None),
        ("POST", "", {"name": "x"}),
        ("PATCH", f"/{eva}", {"role": "owner"}),
        ("DELETE", f"/{eva}", None),
        ("DELETE", "/nobody-at-all", None),
        ("POST", f"/{eva}/invite", None),
        ("POST", f"/{eva}/password", {"password": PASSWORD}),
    ):
        answer = bob.request(method, f"/house/v1/users{path}", json=body)
        assert answer.status_code == 403, (method, path, answer.text)


def test_ones_own_password_takes_the_one_so_far(house: House) -> None:
    house.person("pia")
    with httpx.Client(base_url=house.live.url, headers={"origin": house.live.url}) as browser:
        assert browser.post("/house/v1/session", json={"name": "pia", "password": PASSWORD}).status_code == 201
        before = browser.cookies["hausgeist_session"]
        wrong = browser.post("/house/v1/users/me/password", json={"password": "another good one", "current": "guessed wrong"})
        refused(wrong, 400, "current password is wrong")
        assert wrong.json()["error"]["param"] == "current"
        refused(browser.post("/house/v1/users/me/password", json={"password": "another good one"}), 400, "current password is wrong")
        refused(browser.post("/house/v1/users/me/password", json={"password": "short", "current": PASSWORD}), 400, "8 to")
        changed = browser.post("/house/v1/users/pia/password", json={"password": "another good one", "current": PASSWORD})
        assert changed.status_code == 204, changed.text
        assert browser.cookies["hausgeist_session"] != before
        assert got(browser, "session")["name"] == "pia"
        with httpx.Client(base_url=house.live.url, cookies={"hausgeist_session": before}, headers={"origin": house.live.url}) as other:
            assert other.get("/house/v1/session").json()["name"] != "pia"
    assert house.owner.post("/house/v1/users/pia/password", json={"password": PASSWORD}).status_code == 204
    with httpx.Client(base_url=house.live.url) as browser:
        assert browser.post("/house/v1/session", json={"name": "pia", "password": PASSWORD}).status_code == 201
    rows = [(row.outcome, row.target) for row in house.rows("password.update")]
    assert ("failed", house.id("pia")) in rows
    assert PASSWORD not in json.dumps([str(row) for row in house.live.app.governor.audit.entries(limit=500)])


# The machine


def test_the_machine_and_what_is_in_its_memory(house: House) -> None:
    house.owner.post("/api/generate", json={"model": "tiny", "prompt": "hello", "stream": False, "options": {"num_predict": 3}})
    told = got(house.owner, "machine")
    assert told["offline"] is True
    assert told["address"] == house.live.url
    assert 0 <= told["uptime"] <= time.time() - told["started"] + 1
    assert told["memory"]["total"] >= told["memory"]["available"] > 0
    assert told["memory"]["server"] > 2**20
    assert told["memory"]["models"] > 2**20
    assert told["disk"]["total"] >= told["disk"]["free"] > 0
    assert told["processors"]["cores"] >= 1
    assert isinstance(told["devices"], list)
    (tiny,) = [one for one in told["models"] if one["id"] == "tiny"]
    assert set(tiny) == {"id", "state", "memory", "predicted", "context", "slots", "active", "waiting", "last_used", "until"}
    assert (tiny["state"], tiny["active"], tiny["waiting"]) == ("loaded", 0, 0)
    assert tiny["memory"] > 2**20
    assert tiny["predicted"] > 2**20
    assert abs(tiny["last_used"] - time.time()) < 60
    assert tiny["until"] == pytest.approx(tiny["last_used"] + 300)
    deadline = time.monotonic() + 10
    while (size := got(house.owner, "machine")["disk"]["home_bytes"]) is None:
        assert time.monotonic() < deadline
        time.sleep(0.05)
    assert size > 2**16


def test_readers_see_the_machine_without_its_address(house: House) -> None:
    told = got(house.person("rob", "reader"), "machine")
    assert "address" not in told
    assert str(house.live.home) not in json.dumps(told)
    assert told["memory"]["total"] > 0


def test_the_memory_is_remembered(house: House) -> None:
    told = got(house.owner, "machine/history")
    assert told["step"] == 10
    assert told["data"]
    assert set(told["data"][0]) == {"at", "used", "models", "server"}
    assert told["data"][0]["used"] > told["data"][0]["server"] > 0
    assert got(house.owner, "machine/history", since=time.time() + 60)["data"] == []
    refused(house.owner.get("/house/v1/machine/history", params={"since": "now"}), 400, "seconds since 1970")


def test_models_say_what_they_can_and_whether_they_are_loaded(house: House) -> None:
    house.used(model="tiny")
    models = {one["id"]: one for one in got(house.person("rob", "reader"), "models")["data"]}
    tiny = models["tiny"]
    assert tiny["context"] > 0
    assert "completion" in tiny["capabilities"]
    assert abs(tiny["last_used"] - time.time()) < 60
    assert tiny["loaded"] is None or tiny["loaded"]["id"] == "tiny"
    echo = models["fake:echo"]
    assert (echo["last_used"], echo["loaded"]) == (None, None)


def test_all_of_it_is_in_the_openapi_document(house: House) -> None:
    paths = house.owner.get("/openapi.json").json()["paths"]
    for path in ("audit", "usage", "settings", "users", "users/{user}", "users/{user}/invite", "users/{user}/password", "machine", "machine/history"):
        assert f"/house/v1/{path}" in paths
