"""Pushing through the official SDK and /house/v1 to a real OCI registry, and pulling it from there into another house."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import ollama
import pytest

from hausgeist.engines.specimen import write_specimen
from hausgeist.governance.audit import AuditEntry
from tests.contract.conftest import Live
from tests.registry import IMAGE, MANIFEST, Registry
from tests.unit.library.gguf_builder import adapter, projector, split

GO = "{{ if .System }}<s>{{ .System }}{{ end }}<u>{{ .Prompt }}<a>{{ .Response }}"


@pytest.fixture(scope="module")
def registry(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Registry]:
    with Registry(tmp_path_factory.mktemp("registry")) as registry:
        yield registry


@pytest.fixture(scope="module")
def weights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_specimen(tmp_path_factory.mktemp("weights") / "tiny.gguf")


def house(folder: Path, registry: Registry, **more: Any) -> Live:
    server = Live(home=folder, settings={"registries": {registry.host: {}}, **more.pop("settings", {})}, **more)
    server.start()
    return server


@pytest.fixture(scope="module")
def server(registry: Registry, weights: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Live]:
    server = house(tmp_path_factory.mktemp("home"), registry, files=[weights])
    yield server
    server.stop()


@pytest.fixture(scope="module")
def other(registry: Registry, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Live]:
    server = house(tmp_path_factory.mktemp("other"), registry)
    yield server
    server.stop()


@pytest.fixture
def client(server: Live) -> ollama.Client:
    return server.ollama()


def given(client: ollama.Client, path: Path) -> str:
    """A file handed over, so that it is a blob there."""
    return str(client.create_blob(path))


def manifest(registry: Registry, name: str, tag: str) -> dict[str, Any]:
    answer = httpx.get(f"{registry.url}/v2/{name}/manifests/{tag}", headers={"Accept": MANIFEST}, trust_env=False)
    assert answer.status_code == 200
    found: dict[str, Any] = answer.json()
    return found


def rows(server: Live) -> list[AuditEntry]:
    server.run(server.app.governor.flush())
    return server.app.governor.audit.entries(action="model.push")


def test_there_and_back(client: ollama.Client, server: Live, other: Live, registry: Registry, weights: Path) -> None:
    name = f"{registry.host}/team/mario:1"
    client.create(
        name,
        files={"tiny.gguf": given(client, weights)},
        system="You are Mario.",
        template=GO,
        parameters={"temperature": 0.5, "stop": ["END"]},
        messages=[{"role": "user", "content": "hi"}, {"role": "assistant", "content": "It's me"}],
        license="MIT",
    )
    parts = list(client.push(name, stream=True))
    statuses = list(dict.fromkeys(str(part.status) for part in parts))
    digest = hashlib.sha256(weights.read_bytes()).hexdigest()
    assert (statuses[0], statuses[1]) == ("retrieving manifest", f"pushing {digest[:12]}")
    assert statuses[-2:] == ["pushing manifest", "success"]
    sizes = {str(part.digest): (part.completed, part.total) for part in parts if part.digest}
    assert all(done == total for done, total in sizes.values())
    found = manifest(registry, "team/mario", "1")
    assert [layer["mediaType"] for layer in found["layers"]] == [
        IMAGE + kind for kind in ("model", "template", "system", "license", "params", "messages")
    ]
    assert sizes.keys() == {layer["digest"] for layer in (*found["layers"], found["config"])}
    texts = {layer["mediaType"].rpartition(".")[2]: registry.blob(layer["digest"]).read_bytes() for layer in found["layers"][1:]}
    assert (texts["template"], texts["system"], texts["license"]) == (GO.encode(), b"You are Mario.", b"MIT")
    assert json.loads(texts["params"]) == {"temperature": 0.5, "stop": ["END"]}
    config = json.loads(registry.blob(found["config"]["digest"]).read_bytes())
    assert (config["model_format"], config["model_family"]) == ("gguf", "llama")
    there = other.ollama()
    assert there.pull(name).status == "success"
    digests = [{model.model: model.digest for model in one.list().models}[name] for one in (client, there)]
    assert digests[0] == digests[1]
    assert there.show(name).modelfile == client.show(name).modelfile
    assert there.chat(name, [{"role": "user", "content": "yes?"}], options={"num_predict": 2}).done
    # What was pulled can be pushed on, template and all.
    there.copy(name, f"{registry.host}/team/luigi:1")
    there.push(f"{registry.host}/team/luigi:1")
    assert manifest(registry, "team/luigi", "1") == found


def test_what_is_there_is_not_sent(client: ollama.Client, server: Live, registry: Registry, weights: Path) -> None:
    name = f"{registry.host}/team/twice:1"
    client.create(name, files={"tiny.gguf": given(client, weights)}, system="once")
    client.push(name)
    first = manifest(registry, "team/twice", "1")
    client.push(name)
    assert manifest(registry, "team/twice", "1") == first
    size = sum(layer["size"] for layer in (*first["layers"], first["config"]))
    mine = [(row.outcome, row.target, row.detail) for row in rows(server) if "twice" in row.target]
    target = f"{name} to {registry.host}/team/twice:1 ({size} bytes)"
    assert mine[::-1] == [
        ("allowed", target, ""),
        ("done", target, f"{size} bytes sent"),
        ("allowed", target, ""),
        ("done", target, "0 bytes sent"),
    ]
    # Where a model came from, its layers need not be sent either.
    client.delete(name)
    client.pull(name)
    client.copy(name, f"{registry.host}/team/thrice:1")
    with httpx.Client(base_url=server.url, timeout=60) as http:
        told = lines(http, model=name, to=f"{registry.host}/team/mounted:1")
    assert told[-1]["done"] < 2000
    assert manifest(registry, "team/mounted", "1")["layers"] == first["layers"]


def test_all_that_a_model_can_have(client: ollama.Client, other: Live, registry: Registry, tmp_path: Path) -> None:
    for number, part in enumerate(split(tmp_path, "big", 2), start=1):
        part.rename(tmp_path / f"big-{number:05d}-of-00002.gguf")
    (tmp_path / "eyes.gguf").write_bytes(projector().bytes())
    (tmp_path / "lora.gguf").write_bytes(adapter().bytes())
    files = {name: given(client, tmp_path / name) for name in ("big-00001-of-00002.gguf", "big-00002-of-00002.gguf", "eyes.gguf")}
    name = f"{registry.host}/team/all:1"
    client.create(
        name,
        files=files,
        adapters={"lora.gguf": given(client, tmp_path / "lora.gguf")},
        template="{{ bos_token }}{% for m in messages %}{{ m.content }}{% endfor %}",
    )
    client.push(name)
    kinds = [layer["mediaType"] for layer in manifest(registry, "team/all", "1")["layers"]]
    assert kinds == [f"{IMAGE}model", f"{IMAGE}model", f"{IMAGE}projector", f"{IMAGE}adapter", "application/vnd.hausgeist.template.jinja"]
    there = other.ollama()
    there.pull(name)
    digests = [{model.model: model.digest for model in one.list().models}[name] for one in (client, there)]
    assert digests[0] == digests[1]


async def test_asynchronously(server: Live, registry: Registry) -> None:
    async with server.async_ollama() as client:
        await client.copy("tiny", f"{registry.host}/team/later")
        assert [part.status async for part in await client.push(f"{registry.host}/team/later", stream=True)][-1] == "success"


@pytest.mark.parametrize(
    ("name", "complaint", "status"),
    [
        ("tiny", "names no registry and no owner", 400),
        ("nowhere:1", "not found", 404),
        ("fake:echo", "is built into the engine|has no files here", 501),
        ("registry.example/owner/tiny", "Its owner can add it", 403),
        ("hf.co/owner/tiny", "is not a name in a registry", 400),
    ],
)
def test_what_is_not_sent(client: ollama.Client, server: Live, name: str, complaint: str, status: int) -> None:
    if "/" in name:
        client.copy("tiny", name)
    with pytest.raises(ollama.ResponseError, match=complaint) as caught:
        client.push(name)
    assert caught.value.status_code == status
    with pytest.raises(ollama.ResponseError, match=complaint):
        list(client.push(name, stream=True))
    if status == 403:
        assert {row.outcome for row in rows(server) if row.target.startswith(name)} == {"allowed", "failed"}


def test_who_may_push(server: Live, registry: Registry) -> None:
    workspace = server.app.workspace
    server.run(workspace.create_user("mara", role="member", password="a long pass phrase"))
    _, secret = server.run(workspace.create_key(project="default", name="mara's", role="member", user="mara"))
    with httpx.Client(base_url=server.url, headers={"authorization": f"Bearer {secret}"}, timeout=60) as http:
        for path, body in (("/api/push", {"model": "tiny"}), ("/house/v1/models/push", {"model": "tiny", "to": f"{registry.host}/a/b"})):
            answer = http.post(path, json=body)
            assert answer.status_code == 403, answer.text
            assert "send a model to a registry" in answer.text
    assert [row.outcome for row in rows(server)[:2]] == ["refused", "refused"]


def test_offline(registry: Registry, weights: Path, tmp_path: Path) -> None:
    server = house(tmp_path, registry, files=[weights], settings={"offline": True})
    try:
        client = server.ollama()
        client.copy("tiny", f"{registry.host}/team/offline")
        with pytest.raises(ollama.ResponseError, match="offline"):
            client.push(f"{registry.host}/team/offline")
    finally:
        server.stop()


def lines(http: httpx.Client, **body: Any) -> list[dict[str, Any]]:
    answer = http.post("/house/v1/models/push", json=body)
    assert answer.status_code == 200, answer.text
    return [json.loads(line) for line in answer.text.splitlines()]


def test_over_house(server: Live, registry: Registry, weights: Path) -> None:
    before = len(rows(server))
    with httpx.Client(base_url=server.url, timeout=60) as http:
        to = f"{registry.host}/team/house:2"
        plan = http.post("/house/v1/models/push", json={"model": "tiny", "to": to, "dry_run": True}).json()
        assert (plan["model"], plan["reference"], plan["registry"]) == ("tiny", to, registry.host)
        assert plan["size"] > weights.stat().st_size
        assert "no chat template in Ollama's language" in plan["notice"]
        assert httpx.get(f"{registry.url}/v2/team/house/tags/list", trust_env=False).status_code == 404
        told = lines(http, model="tiny", to=to)
        assert list(dict.fromkeys(one["stage"] for one in told)) == ["resolving", "verifying", "uploading", "publishing", "done"]
        assert (
            told[-1]["digest"]
            == hashlib.sha256(
                httpx.get(f"{registry.url}/v2/team/house/manifests/2", headers={"Accept": MANIFEST}, trust_env=False).content
            ).hexdigest()
        )
        job = http.get("/house/v1/models/pushes").json()["data"][0]
        assert (job["model"], job["reference"], job["status"]) == ("tiny", to, "done")
        assert http.post("/house/v1/models/push", json={"model": "tiny"}).status_code == 400
    assert [row.target.endswith("dry run") for row in rows(server)[: len(rows(server)) - before]] == [False, False, True]
