"""Pulls that go on by themselves, what fits, and a model as a file: over /house/v1/models."""

from __future__ import annotations

import gzip
import json
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from hausgeist.engines.specimen import write_specimen
from tests.contract.conftest import Live
from tests.registry import Registry

PULLS = "/house/v1/models/pulls"


@pytest.fixture(scope="module")
def registry(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Registry]:
    folder = tmp_path_factory.mktemp("registry")
    weights = write_specimen(folder / "tiny.gguf")
    with Registry(folder) as registry:
        registry.push("library/small", [("model", weights)])
        yield registry


@pytest.fixture(scope="module")
def server(registry: Registry, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Live]:
    server = Live(home=tmp_path_factory.mktemp("home"), settings={"registry": registry.url})
    server.start()
    yield server
    server.stop()


@pytest.fixture
def http(server: Live) -> Iterator[httpx.Client]:
    with httpx.Client(base_url=server.url, timeout=30) as client:
        yield client


def ended(http: httpx.Client, pull: str) -> dict[str, Any]:
    deadline = time.monotonic() + 20
    while (found := http.get(f"{PULLS}/{pull}").json())["status"] in ("queued", "running"):
        assert time.monotonic() < deadline, found
        time.sleep(0.05)
    return dict(found)


def test_a_pull_goes_on_by_itself(http: httpx.Client) -> None:
    answer = http.post(PULLS, json={"model": "small"})
    assert answer.status_code == 202
    pull = answer.json()
    assert answer.headers["location"] == f"{PULLS}/{pull['id']}"
    assert (pull["model"], pull["reference"], pull["error"]) == ("small", "small", None)
    assert ended(http, pull["id"])["status"] == "done"
    assert "small" in {one["id"] for one in http.get("/house/v1/models").json()["data"]}
    assert pull["id"] in {one["id"] for one in http.get(PULLS).json()["data"]}
    again = http.post(PULLS, json={"model": "small", "upgrade": True}).json()
    assert ended(http, again["id"])["status"] == "done"
    assert http.delete(f"{PULLS}/{again['id']}").json()["status"] == "done"


def test_what_is_wrong_is_said(http: httpx.Client) -> None:
    for body, status in (
        ({"model": "/etc/passwd"}, 400),
        ({"model": ""}, 400),
        ({"model": "x" * 500}, 400),
        ({"model": "small", "upgrade": True, "name": "other"}, 400),
        ({"model": "nowhere", "upgrade": True}, 404),
    ):
        answer = http.post(PULLS, json=body)
        assert answer.status_code == status, (body, answer.text)
        assert answer.json()["error"]["message"]
    assert http.get(f"{PULLS}/job_none").status_code == 404
    assert http.delete(f"{PULLS}/job_none").status_code == 404
    failed = ended(http, http.post(PULLS, json={"model": "nothing-like-it"}).json()["id"])
    assert failed["status"] == "failed"
    assert "nothing-like-it" in failed["error"]


def test_offline_a_pull_fails_at_once_and_says_what_to_do(tmp_path: Path) -> None:
    server = Live(home=tmp_path, settings={"offline": True})
    server.start()
    try:
        with httpx.Client(base_url=server.url, timeout=30) as client:
            failed = ended(client, client.post(PULLS, json={"model": "qwen3:0.6b"}).json()["id"])
            assert (failed["status"], failed["attempts"]) == ("failed", 1)
            assert "offline = false" in failed["error"]
            assert "hausgeist import" in failed["error"]
    finally:
        server.stop()


def test_only_owners_of_the_house_pull(server: Live) -> None:
    _, key = server.run(server.app.workspace.create_key(project="default", name="owner of a project", role="owner"))
    with httpx.Client(base_url=server.url, timeout=30, headers={"authorization": f"Bearer {key}"}) as client:
        assert client.post(PULLS, json={"model": "small"}).status_code == 403
        assert client.get(PULLS).status_code == 200
        pulls = client.get(PULLS).json()["data"]
        assert_no_path(server, client, pulls[0]["id"])
        assert client.delete(f"{PULLS}/{pulls[0]['id']}").status_code == 403
        assert client.get("/house/v1/models/export?model=small").status_code == 403
        assert client.get("/house/v1/models/fits?model=qwen3:8b").status_code == 200
        assert client.get("/house/v1/models/catalogue?words=qwen3:8b").json()["data"][0]["name"] == "qwen3:8b"


def assert_no_path(server: Live, member: httpx.Client, pull: str) -> None:
    """What went wrong with a file names its folder to the owner of the house, and to no member."""
    why = "'/srv/secret place/a.gguf' cannot be read"
    query = "UPDATE jobs SET error = ?, payload = json_set(payload, '$.reference', ?) WHERE id = ?"
    where = (why, "/srv/secret place/a.gguf", pull)
    server.app.database.write_sync(lambda connection: connection.exec_driver_sql(query, where).rowcount)
    with httpx.Client(base_url=server.url, timeout=30) as owner:
        told = owner.get(f"{PULLS}/{pull}").json()
        assert (told["error"], told["reference"]) == (why, "/srv/secret place/a.gguf")
    for answer in (member.get(f"{PULLS}/{pull}"), member.get(PULLS), member.get("/house/v1/models/pushes")):
        assert answer.status_code == 200
        assert "secret place" not in answer.text
    told = member.get(f"{PULLS}/{pull}").json()
    assert (told["error"], told["reference"]) == ("'a.gguf' cannot be read", "a.gguf")


def test_what_fits(http: httpx.Client) -> None:
    told = http.get("/house/v1/models/fits", params={"model": ["qwen3:0.6b", "deepseek-r1:671b", "none:1b"]}).json()
    assert told["machine"]["memory_bytes"] > 0
    small, large, none = told["data"]
    assert (small["model"], small["placed"], small["fits"]) == ("qwen3:0.6b", "wholly", True)
    assert small["generate_tokens_per_second"] > 0
    assert large["missing_bytes"] > 0 or large["fits"]
    assert set(none) == {"model", "error"}
    each = http.get("/house/v1/models/fits", params={"model": "qwen3:0.6b", "precisions": "yes"}).json()
    assert each["chosen"] in {one["precision"] for one in each["data"]}
    assert http.get("/house/v1/models/fits").json()["data"] == []


@pytest.mark.parametrize(
    "query", ["modle=x", "context=0", "context=abc", "precisions=yes", "model=a&model=b&precisions=yes", "&".join(["model=a"] * 65)]
)
def test_questions_that_are_none(http: httpx.Client, query: str) -> None:
    answer = http.get(f"/house/v1/models/fits?{query}")
    assert answer.status_code == 400
    assert answer.json()["error"]["param"]


def test_long_documents_are_compressed_where_that_is_understood(http: httpx.Client) -> None:
    plain = http.get("/house/v1/models/catalogue", headers={"accept-encoding": "identity"})
    assert "content-encoding" not in plain.headers
    with http.stream("GET", "/house/v1/models/catalogue", headers={"accept-encoding": "gzip"}) as packed:
        raw = b"".join(packed.iter_raw())
    assert packed.headers["vary"] == "Accept-Encoding"
    assert json.loads(gzip.decompress(raw)) == plain.json()
    assert len(raw) < 60_000


def test_a_model_as_a_file_for_a_browser(http: httpx.Client, tmp_path: Path) -> None:
    ended(http, http.post(PULLS, json={"model": "small"}).json()["id"])
    answer = http.get("/house/v1/models/export", params={"model": "small"})
    assert answer.headers["content-disposition"] == 'attachment; filename="small.tar"'
    assert len(answer.content) == int(answer.headers["content-length"])
    brought = http.post("/house/v1/models/import", content=answer.content)
    assert (brought.status_code, brought.json()["data"][0]["id"]) == (201, "small")
    for query, status in (("", 404), ("?model=nowhere", 404), ("?model=small&x=1", 400)):
        assert http.get(f"/house/v1/models/export{query}").status_code in (status, 400), query


def test_a_gguf_file_is_brought_under_a_name(http: httpx.Client, tmp_path: Path) -> None:
    content = write_specimen(tmp_path / "tiny.gguf").read_bytes()
    brought = http.post("/house/v1/models/import", params={"name": "mine"}, content=content)
    assert (brought.status_code, brought.json()["data"][0]["id"]) == (201, "mine")
    refused = http.post("/house/v1/models/import", params={"name": "other"}, content=b"<html>")
    assert refused.status_code == 400
    assert "GGUF" in refused.json()["error"]["message"]
