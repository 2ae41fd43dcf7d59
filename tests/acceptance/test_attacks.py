"""What hostile callers tried, on a whole server with real sockets: strangers without a key, and readers who have one and want more."""

from __future__ import annotations

import asyncio
import base64
import json
import struct
import time
import zlib
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any

import httpx
import psutil
import pytest

from hausgeist.app import App, build
from hausgeist.http.server import Server
from hausgeist.settings import load_settings

ASK = [{"role": "user", "content": "hello"}]
OPENAI, ANTHROPIC, OLLAMA = "/v1/chat/completions", "/v1/messages", "/api/chat"


class House:
    """A running server that demands keys."""

    def __init__(self, app: App, server: Server) -> None:
        self.app = app
        self.url = server.addresses[0]
        self.port = server.port

    async def client(self, role: Any = "reader", *, project: str = "default", user: str = "local") -> httpx.AsyncClient:
        _, key = await self.app.workspace.create_key(project=project, name=role, role=role, user=user)
        return httpx.AsyncClient(base_url=self.url, headers={"authorization": f"Bearer {key}"}, timeout=30)

    def stranger(self) -> httpx.AsyncClient:
        return httpx.AsyncClient(base_url=self.url, timeout=30)


@asynccontextmanager
async def running(home: Path, *files: Path, **fields: Any) -> AsyncIterator[House]:
    settings = load_settings(home=home, port=0, keys_required=True, **{"fake": True, **fields})
    app = build(settings)
    server = Server(app.asgi, settings)
    await server.start()
    await app.start(files)
    try:
        yield House(app, server)
    finally:
        await server.stop(drain=0)
        await app.stop(drain=0)


@pytest.fixture
async def house(tmp_path: Path) -> AsyncIterator[House]:
    async with running(tmp_path) as one:
        yield one


@asynccontextmanager
async def pulse(house: House) -> AsyncIterator[list[float]]:
    """How long the others wait meanwhile: seconds of each request for /health."""
    waits: list[float] = []

    async def beat() -> None:
        async with house.stranger() as client:
            while True:
                began = time.perf_counter()
                await client.get("/health")
                waits.append(time.perf_counter() - began)
                await asyncio.sleep(0.02)

    beating = asyncio.create_task(beat())
    await asyncio.sleep(0.1)
    try:
        yield waits
        await asyncio.sleep(0.1)
    finally:
        beating.cancel()
        with suppress(asyncio.CancelledError):
            await beating


# -- a stranger on the network ------------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("trailer", [b"a:b\r\n" * 13_000, b"a" * 65_000], ids=["many", "one without an end"])
async def test_trailers_of_a_request_do_not_fill_the_memory(house: House, trailer: bytes) -> None:
    reader, writer = await asyncio.open_connection("127.0.0.1", house.port)
    writer.write(b"POST /house/v1/session HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n1\r\n{\r\n0\r\n")
    before, sent = psutil.Process().memory_info().rss, 0
    with suppress(ConnectionError, TimeoutError):
        async with asyncio.timeout(10):
            while sent < 40 * 2**20:
                writer.write(trailer)
                await writer.drain()
                sent += len(trailer)
    writer.close()
    assert sent < 40 * 2**20, "the server went on reading"
    assert psutil.Process().memory_info().rss - before < 200 * 2**20


async def test_trailers_say_nothing_about_who_asks(house: House) -> None:
    body = json.dumps({"name": "ada", "password": "wrong"}).encode()
    reader, writer = await asyncio.open_connection("127.0.0.1", house.port)
    writer.write(b"POST /house/v1/session HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\nTransfer-Encoding: chunked\r\n\r\n")
    writer.write(b"%x\r\n%b\r\n0\r\nx-forwarded-for: 192.0.2.1\r\nhost: evil.example\r\n\r\n" % (len(body), body))
    assert (await asyncio.wait_for(reader.read(), 10)).startswith(b"HTTP/1.1 401")
    writer.close()


async def test_a_stranger_sends_a_small_body_or_none(house: House) -> None:
    async with house.stranger() as client:
        response = await client.post("/house/v1/session", content=b"[" + b"1," * 500_000 + b"1]")
        assert response.status_code == 413
        assert "without a key" in response.json()["error"]["message"]
        assert (await client.post("/house/v1/session", json={"key": "hg-wrong"})).status_code == 401
        assert (await client.post(OPENAI, content=b"x" * 500_000)).status_code == 401


async def test_a_stranger_cannot_fill_the_audit_table_by_signing_in(house: House) -> None:
    async with house.stranger() as client:
        for number in range(200):
            await client.post("/house/v1/session", json={"key": f"hg-{number}"})
    await house.app.governor.flush()
    rows = house.app.governor.audit.entries(action="session.create", limit=1000)
    assert 40 <= len(rows) <= 100


# -- bodies that keep everybody waiting -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "body",
    [
        b'{"model":"fake:echo","messages":[' + b"1," * 5_000_000 + b"1]}",
        b'{"model":"fake:echo","messages":[' + b"{}," * 3_000_000 + b"{}]}",
        b"{" + b",".join(b'"%d":1' % number for number in range(1_000_000)) + b"}",
        b'"' + b'\\"' * 5_000_000,
    ],
    ids=["numbers", "objects", "fields", "quotes"],
)
@pytest.mark.parametrize("path", [OPENAI, ANTHROPIC, OLLAMA])
async def test_a_body_of_many_values_is_refused_before_it_is_read(house: House, path: str, body: bytes) -> None:
    async with await house.client() as client, pulse(house) as waits:
        assert (await client.post(path, content=body)).status_code in {400, 413}
    assert max(waits) < 2


async def test_long_texts_are_no_values(house: House) -> None:
    text = "if (a, b) { return [c, d]; } " * 60_000
    async with await house.client() as client:
        response = await client.post("/v1/completions", json={"model": "fake:echo", "prompt": text, "max_tokens": 1})
    assert response.status_code != 413


def _image(width: int, height: int) -> str:
    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    rows = zlib.compress(b"\0" * ((width + 7) // 8 + 1) * height)
    png = b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 1, 0, 0, 0, 0)) + chunk(b"IDAT", rows) + chunk(b"IEND", b"")
    return base64.b64encode(png).decode()


async def test_a_jpeg_that_never_comes_to_its_size(house: House) -> None:
    image = base64.b64encode(b"\xff\xd8\xff" + b"\xff" * 14_000_000).decode()
    async with await house.client() as client, pulse(house) as waits:
        response = await client.post(OLLAMA, json={"model": "fake:echo", "stream": False, "messages": [{**ASK[0], "images": [image, image]}]})
        assert response.status_code == 400
    assert max(waits) < 2


async def test_images_that_are_small_only_until_they_are_unpacked(house: House) -> None:
    image = _image(10_000, 10_000)
    assert len(image) < 50_000
    async with await house.client() as client:
        for count, status in ((1, 200), (3, 400)):
            ollama = {"model": "fake:echo", "stream": False, "messages": [{**ASK[0], "images": [image] * count}]}
            assert (await client.post(OLLAMA, json=ollama)).status_code == status
            generate = {"model": "fake:echo", "stream": False, "prompt": "hello", "images": [image] * count}
            assert (await client.post("/api/generate", json=generate)).status_code == status
            block = {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": image}}
            anthropic = {"model": "fake:echo", "max_tokens": 5, "messages": [{"role": "user", "content": [block] * count}]}
            assert (await client.post(ANTHROPIC, json=anthropic)).status_code == status


# -- schemas that engines never come back from ---------------------------------------------------------------------------------------------------


def _doubling(levels: int) -> dict[str, Any]:
    both = {f"d{level}": {"anyOf": [{"$ref": f"#/$defs/d{level + 1}"}] * 2} for level in range(levels)}
    return {"$defs": {**both, f"d{levels}": {"type": "string"}}, "$ref": "#/$defs/d0"}


BOMBS: dict[str, dict[str, Any]] = {
    "refers to itself": {"$defs": {"a": {"$ref": "#/$defs/a"}}, "allOf": [{"$ref": "#/$defs/a"}]},
    "doubles": _doubling(40),
    "many optional": {"type": "object", "properties": {f"p{number}": {"type": "string"} for number in range(1000)}},
    "long enum": {"enum": [f"value {number}" for number in range(19_000)]},
    "optional letters": {"type": "string", "pattern": "^" + "a?" * 30 + "b$"},
    "nested repetitions": {"type": "string", "pattern": "^((a{0,40}){0,40}){0,40}$"},
    "empty branches": {"type": "string", "pattern": "^" + "(a|)" * 30 + "b$"},
}
FINE: dict[str, dict[str, Any]] = {
    "tree": {
        "$defs": {"node": {"type": "object", "properties": {"value": {"type": "integer"}, "next": {"$ref": "#/$defs/node"}}}},
        "$ref": "#/$defs/node",
    },
    "nullable": {"type": "object", "properties": {"a": {"anyOf": [{"type": "string"}, {"type": "null"}]}}, "required": ["a"]},
    "pattern": {"type": "string", "pattern": r"^(?:\d{4}-\d\d-\d\d)(?:T\d\d:\d\d(?::\d\d(?:\.\d+)?)?(?:Z|[+-]\d\d:\d\d)?)?$"},
    "phone": {"type": "string", "pattern": r"^\+?\d{0,3}[ -]?\d{3}[ -]?\d{4}$"},
    "levels": _doubling(8),
}


def _asking(schema: dict[str, Any]) -> list[tuple[str, dict[str, Any]]]:
    wrapped = {"type": "object", "properties": {"x": schema}, **({"$defs": schema["$defs"]} if "$defs" in schema else {})}
    function = {"type": "function", "function": {"name": "t", "parameters": wrapped}}
    return [
        (OLLAMA, {"model": "fake:echo", "stream": False, "messages": ASK, "format": schema}),
        (OLLAMA, {"model": "fake:echo", "stream": False, "messages": ASK, "tools": [function]}),
        ("/api/generate", {"model": "fake:echo", "stream": False, "prompt": "x", "raw": True, "format": schema}),
        (ANTHROPIC, {"model": "fake:echo", "max_tokens": 5, "messages": ASK, "tools": [{"name": "t", "input_schema": wrapped}]}),
        (ANTHROPIC, {"model": "fake:echo", "max_tokens": 5, "messages": ASK, "output_config": {"format": {"type": "json_schema", "schema": schema}}}),
    ]


@pytest.mark.parametrize("name", BOMBS)
async def test_a_schema_that_would_hang_the_engine_never_reaches_it(house: House, name: str) -> None:
    async with await house.client() as client:
        for path, body in _asking(BOMBS[name]):
            response = await client.post(path, json=body)
            assert (response.status_code, "the schema" in response.text) == (400, True), (path, body)


@pytest.mark.parametrize("name", FINE)
async def test_schemas_as_people_write_them_are_no_bombs(house: House, name: str) -> None:
    async with await house.client() as client:
        for path, body in _asking(FINE[name]):
            assert "the schema" not in (await client.post(path, json=body)).text


async def test_stop_strings_by_thousands(house: House) -> None:
    words = [f"stop {number}" for number in range(5000)]
    async with await house.client() as client:
        assert (await client.post(OLLAMA, json={"model": "fake:echo", "messages": ASK, "options": {"stop": words}})).status_code == 400
        body = {"model": "fake:echo", "max_tokens": 5, "messages": ASK, "stop_sequences": words}
        assert (await client.post(ANTHROPIC, json=body)).status_code == 400


# -- a reader who wants more ----------------------------------------------------------------------------------------------------------------------


async def test_a_reader_gets_nothing_of_the_house_nor_of_other_projects(house: House) -> None:
    workspace = house.app.workspace
    await workspace.create_project("theirs")
    theirs, _ = await workspace.create_key(project="theirs", name="k", role="member", user="local")
    attempts: list[tuple[str, str, Any]] = [
        ("GET", "/metrics", None),
        ("GET", "/house/v1/keys", None),
        ("GET", "/house/v1/keys?project=theirs", None),
        ("GET", "/house/v1/projects/theirs/members", None),
        ("DELETE", f"/house/v1/keys/{theirs.id}", None),
        ("POST", "/house/v1/keys", {"name": "x", "role": "owner"}),
        ("POST", "/house/v1/keys", {"name": "x", "project": "theirs"}),
        ("POST", "/house/v1/projects", {"name": "x"}),
        ("DELETE", "/house/v1/projects/theirs", None),
        ("POST", "/api/create", {"model": "x", "files": {"a": "/etc/passwd"}}),
        ("POST", "/api/create", {"model": "x", "from": "fake:echo"}),
        ("POST", "/api/copy", {"source": "fake:echo", "destination": "x"}),
        ("POST", f"/api/blobs/sha256:{'0' * 64}", {}),
        ("DELETE", "/api/delete", {"model": "fake:echo"}),
        ("POST", "/api/generate", {"model": "fake:echo", "keep_alive": 0}),
    ]
    async with await house.client("reader") as client:
        for method, path, body in attempts:
            response = await client.request(method, path, json=body)
            assert response.status_code in {403, 404}, (method, path, response.text)
        assert [one["name"] for one in (await client.get("/house/v1/projects")).json()["data"]] == ["default"]
    assert [key.id for key in workspace.keys("theirs")] == [theirs.id]


async def test_no_caller_names_files_of_the_server(tmp_path: Path) -> None:
    async with running(tmp_path) as house:
        _, key = await house.app.workspace.create_key(project=None, name="house", role="owner")
        async with httpx.AsyncClient(base_url=house.url, headers={"authorization": f"Bearer {key}"}) as owner:
            for body in (
                {"files": {"a": "/etc/passwd"}},
                {"files": {"a": "../../etc/passwd"}},
                {"files": {"../a": f"sha256:{'0' * 64}"}},
                {"from": "fake:echo", "adapters": {"a": "/etc/passwd"}},
                {"from": "/etc/passwd"},
            ):
                response = await owner.post("/api/create", json={"model": "x", "stream": False, **body})
                assert response.status_code in {400, 404, 501}, response.text
        await house.app.governor.flush()
        assert "x from /etc/passwd" in {row.target for row in house.app.governor.audit.entries(action="model.create")}
