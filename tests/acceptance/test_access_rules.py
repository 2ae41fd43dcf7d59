"""The binding rules end to end: the whole server on real sockets, the official clients, and requests that no client would send."""

from __future__ import annotations

import asyncio
import json
import socket
import ssl
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import anthropic
import httpx
import httpx2
import ollama
import openai
import pytest

from hausgeist.app import App, build
from hausgeist.http.server import Server
from hausgeist.http.tls import Certificates
from hausgeist.settings import load_settings


@dataclass
class House:
    """A running server."""

    app: App
    server: Server

    @property
    def url(self) -> str:
        return self.server.addresses[0]

    async def key(self, role: Any = "member") -> str:
        return (await self.app.workspace.create_key(project="default", name="test", role=role))[1]


@asynccontextmanager
async def house(home: Path, **fields: Any) -> AsyncIterator[House]:
    settings = load_settings(home=home, port=0, fake=True, **fields)
    app = build(settings)
    app.owner_token = "the-secret-of-this-start"
    server = Server(app.asgi, settings)
    await server.start()
    await app.start()
    try:
        yield House(app, server)
    finally:
        await server.stop(drain=0)
        await app.stop(drain=0)


@pytest.fixture
async def here(tmp_path: Path) -> AsyncIterator[House]:
    async with house(tmp_path) as running:
        yield running


async def clients(running: House, key: str, *, headers: dict[str, str] | None = None, **http: Any) -> dict[str, Any]:
    """How each official client is told that it may not, or gets its answer."""
    said: dict[str, Any] = {}
    async with AsyncExitStack() as stack:
        sdk = await stack.enter_async_context(
            openai.AsyncOpenAI(base_url=f"{running.url}/v1", api_key=key, max_retries=0, http_client=httpx.AsyncClient(headers=headers, **http))
        )
        claude = await stack.enter_async_context(
            anthropic.AsyncAnthropic(base_url=running.url, api_key=key, max_retries=0, http_client=httpx2.AsyncClient(headers=headers, **http))
        )
        llama = ollama.AsyncClient(host=running.url, headers={"authorization": f"Bearer {key}", **(headers or {})}, **http)
        stack.push_async_callback(llama._client.aclose)
        try:
            reply = await sdk.chat.completions.create(model="fake:echo", messages=[{"role": "user", "content": "hello"}])
            said["openai"] = reply.choices[0].message.content
        except openai.APIStatusError as error:
            said["openai"] = type(error).__name__ if json.loads(error.response.text)["error"]["message"] else "not said"
        try:
            message = await claude.messages.create(model="fake:echo", max_tokens=50, messages=[{"role": "user", "content": "hello"}])
            said["anthropic"] = message.content[0].text
        except anthropic.APIStatusError as error:
            said["anthropic"] = type(error).__name__ if json.loads(error.response.text)["type"] == "error" else "not said"
        try:
            said["ollama"] = (await llama.generate(model="fake:echo", prompt="hello")).response
        except ollama.ResponseError as error:
            said["ollama"] = error.status_code
    return said


ANSWERED = {"openai": "hello", "anthropic": "hello", "ollama": "hello"}
REFUSED = {"openai": "AuthenticationError", "anthropic": "AuthenticationError", "ollama": 401}


async def test_on_loopback_any_foreign_key_will_do_and_ours_must_be_good(here: House) -> None:
    assert await clients(here, "sk-anything") == ANSWERED
    assert await clients(here, await here.key()) == ANSWERED
    assert await clients(here, "hg-made-up") == REFUSED


async def test_what_came_through_a_proxy_needs_a_key(here: House) -> None:
    forwarded = {"x-forwarded-for": "203.0.113.9"}
    assert await clients(here, "sk-anything", headers=forwarded) == REFUSED
    assert await clients(here, await here.key(), headers=forwarded) == ANSWERED


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({"host": "evil.example"}, 403),
        ({"host": "evil.example", "origin": "http://evil.example"}, 403),
        ({"origin": "https://evil.example"}, 403),
        ({"origin": "null"}, 403),
        ({"sec-fetch-site": "cross-site", "sec-fetch-mode": "no-cors"}, 403),
        ({"authorization": "Bearer a", "x-api-key": "b"}, 401),
        ({"host": "local host"}, 400),
    ],
)
@pytest.mark.parametrize("path", ["/v1/models", "/v1/messages", "/api/tags", "/house/v1/projects", "/nowhere"])
async def test_refusals_speak_the_tongue_of_the_path(here: House, path: str, headers: dict[str, str], status: int) -> None:
    async with httpx.AsyncClient(base_url=here.url, headers=headers) as client:
        response = await client.request("POST" if path == "/v1/messages" else "GET", path)
    if path == "/nowhere" and status == 401:
        assert response.status_code == 404  # nothing there for anybody
        return
    assert response.status_code == status
    said = response.json()
    match path:
        case "/v1/messages":
            assert said["type"] == "error"
        case "/api/tags":
            assert isinstance(said["error"], str)
        case _:
            assert said["error"]["message"]


async def test_a_refusal_is_in_the_audit_table(here: House) -> None:
    async with httpx.AsyncClient(base_url=here.url) as client:
        await client.get("/v1/models?api_key=hg-in-the-query", headers={"origin": "https://evil.example", "user-agent": "rebinder/1"})
    await here.app.governor.flush()
    (row,) = here.app.governor.audit.entries(action="server.enter")
    assert (row.outcome, row.target, row.address, row.agent, row.actor) == ("refused", "GET /v1/models", "127.0.0.1", "rebinder/1", None)
    assert "evil.example" in row.detail


async def test_keys_in_the_query_are_not_looked_at(here: House) -> None:
    key = await here.key("reader")
    async with httpx.AsyncClient(base_url=here.url) as client:
        for query in (f"key={key}", f"api_key={key}", f"access_token={key}"):
            assert (await client.get(f"/house/v1/session?{query}")).json()["kind"] == "local"


async def test_a_request_without_host(here: House) -> None:
    for version, status in ((b"1.1", b"400"), (b"1.0", b"400")):
        reader, writer = await asyncio.open_connection("127.0.0.1", here.server.port)
        writer.write(b"GET /v1/models HTTP/" + version + b"\r\nConnection: close\r\n\r\n")
        assert (await asyncio.wait_for(reader.read(), 5)).startswith(b"HTTP/1.1 " + status)
        writer.close()


async def test_smuggled_and_doubled_headers(here: House) -> None:
    for lines in (b"Host: localhost\r\nHost: evil.example", b"Host: localhost\r\nOrigin: http://localhost\r\nOrigin: https://evil.example"):
        reader, writer = await asyncio.open_connection("127.0.0.1", here.server.port)
        writer.write(b"GET /v1/models HTTP/1.1\r\n" + lines + b"\r\nConnection: close\r\n\r\n")
        assert (await asyncio.wait_for(reader.read(), 5)).startswith(b"HTTP/1.1 400")
        writer.close()


async def test_a_body_that_is_too_large_is_said_before_the_client_is_cut_off(tmp_path: Path) -> None:
    async with house(tmp_path, body_limit=100_000) as running, httpx.AsyncClient(base_url=running.url) as client:
        for path, says in (("/v1/chat/completions", "error"), ("/api/chat", "error"), ("/house/v1/session", "error")):
            response = await client.post(path, content=b"x" * 5_000_000)
            assert response.status_code == 413
            assert "100000" in str(response.json()[says])

        async def endless() -> AsyncIterator[bytes]:
            for _ in range(40):
                yield b"x" * 10_000

        assert (await client.post("/v1/chat/completions", content=endless())).status_code == 413
        assert (await client.get("/health")).status_code == 200


async def test_upgrades_are_not_taken(here: House) -> None:
    async with httpx.AsyncClient(base_url=here.url) as client:
        headers = {"connection": "upgrade", "upgrade": "websocket", "sec-websocket-version": "13", "sec-websocket-key": "x"}
        assert (await client.get("/v1/realtime", headers=headers)).status_code in {404, 501}


async def test_a_public_bind_has_tls_and_demands_keys_from_everybody(tmp_path: Path) -> None:
    async with house(tmp_path, host="0.0.0.0", names=("spirit.lan",)) as running:
        assert running.url == f"https://localhost:{running.server.port}"
        context = ssl.create_default_context(cadata=Certificates(running.app.settings).export().decode())
        tls = {"verify": context}
        assert await clients(running, "sk-anything", **tls) == REFUSED
        assert await clients(running, await running.key(), **tls) == ANSWERED
        assert (await clients(running, "the-secret-of-this-start", **tls))["openai"] == "hello"
        async with httpx.AsyncClient(base_url=running.url, verify=context) as client:
            assert (await client.get("/health")).status_code == 200
            assert (await client.get("/v1/models", headers={"host": "spirit.lan"})).status_code == 401
            assert (await client.get("/v1/models", headers={"host": "192.168.7.7:4287"})).status_code == 401
            assert (await client.get("/v1/models", headers={"host": "evil.example"})).status_code == 403
        with socket.create_connection(("127.0.0.1", running.server.port), 5) as plain:
            plain.settimeout(5)
            plain.sendall(b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n")
            await asyncio.sleep(0.2)
            with suppress(ConnectionResetError):
                assert b"200 OK" not in plain.recv(1000)


async def test_a_browser_signs_in_and_other_pages_cannot_use_it(tmp_path: Path) -> None:
    async with house(tmp_path, keys_required=True) as running, httpx.AsyncClient(base_url=running.url) as browser:
        own = {"origin": running.url, "sec-fetch-site": "same-origin"}
        assert (await browser.post("/house/v1/session", json={"key": await running.key("owner")}, headers=own)).status_code == 201
        assert (await browser.get("/house/v1/session")).status_code == 200
        assert (await browser.post("/house/v1/projects", json={"name": "a"}, headers=own)).status_code == 403  # a key of one project
        for foreign, status in (
            ({"origin": "https://evil.example", "sec-fetch-site": "cross-site"}, 403),
            ({"origin": "http://127.0.0.1:3000", "sec-fetch-site": "same-site"}, 403),
            ({"sec-fetch-site": "cross-site"}, 403),
            ({}, 401),
        ):
            assert (await browser.post("/v1/chat/completions", json={}, headers=foreign)).status_code == status
        # The address bar's link to another server's name: the cookie is not sent there, and the name is not ours.
        assert (await browser.get("/house/v1/session", headers={"host": "evil.example"})).status_code == 403


async def test_behind_a_proxy_of_ours(tmp_path: Path) -> None:
    async with house(tmp_path, behind_proxy=True, names=("ai.example",)) as running:
        assert running.url.startswith("http://")
        key = await running.key()
        via = {"host": "ai.example", "x-forwarded-for": "198.51.100.4", "x-forwarded-proto": "https"}
        async with httpx.AsyncClient(base_url=running.url) as client:
            assert (await client.get("/v1/models")).status_code == 401
            assert (await client.get("/v1/models", headers=via)).status_code == 401
            assert (await client.get("/v1/models", headers={**via, "x-api-key": key})).status_code == 200
            own = {**via, "origin": "https://ai.example"}
            response = await client.post("/house/v1/session", json={"key": key}, headers=own)
            assert "Secure" in response.headers["set-cookie"]
            cookie = response.headers["set-cookie"].partition(";")[0]
            assert (await client.get("/house/v1/session", headers={**own, "cookie": cookie})).status_code == 200
        await running.app.governor.flush()
        assert {row.address for row in running.app.governor.audit.entries(action="session.create")} == {"198.51.100.4"}


async def test_ids_with_slashes_reach_every_tongue(here: House) -> None:
    async with httpx.AsyncClient(base_url=here.url) as client:
        for name in ("hf.co%2Fowner%2Frepo:Q5", "hf.co/owner/repo:Q5"):
            for headers in ({}, {"anthropic-version": "2023-06-01"}):
                response = await client.get(f"/v1/models/{name}", headers=headers)
                assert response.status_code == 404
                assert "hf.co/owner/repo:Q5" in response.text
