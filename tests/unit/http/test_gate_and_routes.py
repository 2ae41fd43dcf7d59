"""What every request passes, and how it finds its route."""

from __future__ import annotations

import logging
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import httpx
import pytest
from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse, Response, StreamingResponse

from hausgeist.errors import Busy, HausgeistError, InvalidRequest, NotFound
from hausgeist.governance import Governor
from hausgeist.http import Dialect, Endpoint
from hausgeist.http.application import application
from hausgeist.http.house import HOUSE
from hausgeist.http.routing import Router
from hausgeist.http.statuses import message_of, status_of
from hausgeist.http.tongues import Tongues
from hausgeist.settings import Settings
from hausgeist.store.database import Database
from hausgeist.telemetry import Metrics
from hausgeist.workspace.service import Workspace

Maker = Callable[..., httpx.AsyncClient]


def dialect(name: Any) -> Dialect:
    return Dialect(name, lambda request, error: JSONResponse({"tongue": name, "said": message_of(error)}, status_of(error)))


TONGUES = Tongues(openai=dialect("openai"), anthropic=dialect("anthropic"), ollama=dialect("ollama"))


async def echo(request: Request) -> Response:
    return JSONResponse({"path": request.path_params, "size": len(await request.body()), "who": request.state.principal.name})


async def ignore_body(request: Request) -> Response:
    return PlainTextResponse("ok", headers={"cache-control": "max-age=5"})


async def fail(request: Request) -> Response:
    raise ValueError("the prompt was: my secret diary")


async def busy(request: Request) -> Response:
    raise Busy("later", retry_after=2.5)


async def stream(request: Request) -> Response:
    async def chunks() -> AsyncIterator[bytes]:
        yield b"one"
        raise ValueError("my secret diary")

    return StreamingResponse(chunks())


def route(method: Any, path: str, handle: Any = echo, tongue: Dialect = HOUSE, **more: Any) -> Endpoint:
    return Endpoint(method=method, path=path, handle=handle, dialect=tongue, summary="x", **more)


ROUTES = [
    route("GET", "/v1/models", tongue=TONGUES.openai, operations=("models.list",)),
    route("GET", "/v1/models", ignore_body, TONGUES.anthropic),
    route("GET", "/v1/models/{model:path}", tongue=TONGUES.openai),
    route("DELETE", "/v1/models/{model:path}", tongue=TONGUES.openai, action="model.delete"),
    route("POST", "/v1/echo", tongue=TONGUES.openai),
    route("POST", "/v1/ignore", ignore_body, TONGUES.openai),
    route("GET", "/v1/things/{thing:int}"),
    route("GET", "/house/v1/fail", fail),
    route("GET", "/house/v1/busy", busy),
    route("GET", "/house/v1/stream", stream),
    route("GET", "/house/v1/open", ignore_body, open=True),
    route("GET", "/house/v1/metrics", ignore_body, action="metrics.read"),
]


@pytest.fixture
async def governor(tmp_path: Path) -> AsyncIterator[Governor]:
    database = Database.open(tmp_path)
    governor = Governor(database)
    governor.database = database  # type: ignore[attr-defined]
    yield governor
    await governor.flush()
    database.close()


@pytest.fixture
def metrics() -> Metrics:
    return Metrics()


@pytest.fixture
async def ask(governor: Governor, metrics: Metrics) -> AsyncIterator[Maker]:
    clients = []

    def make(peer: str = "127.0.0.1", **fields: Any) -> httpx.AsyncClient:
        app = application(
            ROUTES,
            settings=Settings(home=Path("/nonexistent"), **{"body_limit": 2000, **fields}),
            workspace=Workspace(governor.database),  # type: ignore[attr-defined]
            governor=governor,
            metrics=metrics,
            tongues=TONGUES,
        )
        transport = httpx.ASGITransport(app=app, client=(peer, 1), raise_app_exceptions=True)
        clients.append(httpx.AsyncClient(transport=transport, base_url="http://localhost"))
        return clients[-1]

    yield make
    for client in clients:
        await client.aclose()


async def test_every_response_carries_an_id_and_is_not_to_be_guessed_at(ask: Maker) -> None:
    for path in ("/v1/models", "/nowhere", "/house/v1/fail"):
        response = await ask().get(path)
        assert response.headers["x-request-id"].startswith("req_")
        assert response.headers["x-content-type-options"] == "nosniff"
        assert response.headers["referrer-policy"] == "no-referrer"
        assert response.headers["cache-control"] == "no-store"
        assert "server" not in response.headers
    assert (await ask().get("/house/v1/open")).headers["cache-control"] == "max-age=5"
    ids = {(await ask().get("/v1/models")).headers["x-request-id"] for _ in range(5)}
    assert len(ids) == 5


@pytest.mark.parametrize(
    ("path", "headers", "tongue"),
    [
        ("/v1/nowhere", {}, "openai"),
        ("/v1/nowhere", {"anthropic-version": "2023-06-01"}, "anthropic"),
        ("/v1/messages", {}, "anthropic"),
        ("/api/nowhere", {}, "ollama"),
        ("/apis", {}, None),
        ("/house/v1/nowhere", {}, None),
        ("/nowhere", {"anthropic-version": "2023-06-01"}, None),
    ],
)
async def test_what_is_not_there_is_said_in_the_tongue_of_its_path(ask: Maker, path: str, headers: dict[str, str], tongue: str | None) -> None:
    response = await ask().get(path, headers=headers)
    assert response.status_code == 404
    if tongue is not None:
        assert response.json()["tongue"] == tongue
    else:
        assert response.json()["error"]["type"] == "not_found"
        assert path in response.json()["error"]["message"]


async def test_methods(ask: Maker) -> None:
    response = await ask().patch("/v1/echo")
    assert (response.status_code, response.headers.get("allow")) == (405, None)  # the dialect of this test drops it
    assert response.json()["tongue"] == "openai"
    response = await ask().post("/house/v1/open")
    assert (response.status_code, response.headers["allow"]) == (405, "GET, HEAD")
    assert response.json()["error"]["type"] == "method_not_allowed"
    assert (await ask().head("/v1/models")).status_code == 200
    assert (await ask().request("OPTIONS", "/v1/models")).status_code == 405
    assert (await ask().request("PURGE", "/v1/models")).status_code == 405


@pytest.mark.parametrize(
    ("path", "model"),
    [
        ("/v1/models/tiny", "tiny"),
        ("/v1/models/hf.co/owner/repo:Q5", "hf.co/owner/repo:Q5"),
        ("/v1/models/hf.co%2Fowner%2Frepo:Q5", "hf.co/owner/repo:Q5"),
        ("/v1/models/a%20b%C3%BC", "a bü"),
        ("/v1/models/a%252Fb", "a%2Fb"),
    ],
)
async def test_ids_may_contain_slashes(ask: Maker, path: str, model: str) -> None:
    assert (await ask().get(path)).json()["path"] == {"model": model}


async def test_two_tongues_share_a_path(ask: Maker) -> None:
    assert (await ask().get("/v1/models")).json()["path"] == {}
    assert (await ask().get("/v1/models", headers={"anthropic-version": "1"})).text == "ok"
    assert (await ask().get("/v1/models/tiny", headers={"anthropic-version": "1"})).json()["path"] == {"model": "tiny"}
    assert (await ask().get("/v1/models/")).json()["path"] == {}
    with pytest.raises(ValueError, match="two endpoints"):
        Router([ROUTES[0], ROUTES[0]], governor=None, tongues=TONGUES)  # type: ignore[arg-type]


async def test_a_number_in_the_path_is_a_number(ask: Maker) -> None:
    assert (await ask().get("/v1/things/7")).json()["path"] == {"thing": 7}
    assert (await ask().get("/v1/things/seven")).status_code == 404


async def test_a_body_over_the_limit(ask: Maker) -> None:
    assert (await ask().post("/v1/echo", content=b"x" * 2000)).json()["size"] == 2000
    for path in ("/v1/echo", "/v1/ignore"):
        response = await ask().post(path, content=b"x" * 2001)
        assert response.status_code == 413
        assert response.json()["tongue"] == "openai"
        assert "2000" in response.json()["said"]

    async def pieces() -> AsyncIterator[bytes]:
        for _ in range(30):
            yield b"x" * 100

    response = await ask().post("/v1/echo", content=pieces())
    assert response.status_code == 413
    assert response.headers["connection"] == "close"
    response = await ask().post("/v1/echo", headers={"content-length": "9" * 5000})
    assert response.status_code == 413
    response = await ask().post("/v1/echo", headers={"content-length": "-1"})
    assert response.status_code == 400


async def test_errors_are_said_and_nothing_private_is_logged(ask: Maker, caplog: pytest.LogCaptureFixture) -> None:
    response = await ask().get("/house/v1/busy")
    assert (response.status_code, response.headers["retry-after"]) == (429, "3")
    assert response.json() == {"error": {"type": "busy", "message": "later", "param": None}}
    with caplog.at_level(logging.INFO, logger="hausgeist"):
        response = await ask().get("/house/v1/fail?q=private")
    assert response.status_code == 500
    assert "secret" not in response.text
    lines = [record.getMessage() for record in caplog.records]
    assert "GET /house/v1/fail failed" in lines
    assert "GET /house/v1/fail" in lines
    assert not any("private" in line for line in lines)


async def test_a_stream_that_breaks_ends_without_its_end(ask: Maker, caplog: pytest.LogCaptureFixture) -> None:
    with pytest.raises(HausgeistError, match="broke off"):
        await ask().get("/house/v1/stream")
    assert "a request failed" in caplog.text


async def test_without_a_key_only_open_routes_answer(ask: Maker, governor: Governor) -> None:
    client = ask(keys_required=True)
    assert (await client.get("/house/v1/open")).status_code == 200
    response = await client.get("/v1/models")
    assert (response.status_code, response.json()["tongue"]) == (401, "openai")
    response = await client.get("/house/v1/metrics", headers={"x-api-key": "hg-wrong"})
    assert (response.status_code, response.headers["www-authenticate"]) == (401, "Bearer")
    assert (await client.get("/house/v1/open", headers={"host": "evil.example"})).status_code == 403
    await governor.flush()
    rows = governor.audit.entries(action="server.enter")
    assert [(row.outcome, row.target) for row in rows] == [
        ("refused", "GET /house/v1/open"),
        ("refused", "GET /house/v1/metrics"),
        ("refused", "GET /v1/models"),
    ]


async def test_a_stranger_cannot_fill_the_disk_with_refusals(ask: Maker, governor: Governor) -> None:
    client = ask(keys_required=True)
    for _ in range(300):
        await client.get("/v1/models")
    await governor.flush()
    assert 40 <= len(governor.audit.entries(limit=1000)) <= 100


async def test_actions_are_decided_before_the_handler_and_written_down(ask: Maker, governor: Governor) -> None:
    assert (await ask().delete("/v1/models/a/b")).status_code == 200
    (row,) = governor.audit.entries()
    assert (row.action, row.target, row.outcome, row.actor) == ("model.delete", "a/b", "allowed", "local")
    workspace = Workspace(governor.database)  # type: ignore[attr-defined]
    await workspace.create_user("ada", role="reader", password="correct horse battery")
    _, secret = await workspace.create_key(project="default", name="k", role="reader", user="ada")
    response = await ask().delete("/v1/models/a", headers={"authorization": f"Bearer {secret}"})
    assert response.status_code == 403
    assert "role owner" in response.json()["said"]


async def test_cross_origin(ask: Maker) -> None:
    client = ask(origins=("https://chat.example",))
    asked = {
        "origin": "https://chat.example",
        "access-control-request-method": "POST",
        "access-control-request-headers": "authorization, x-stainless-os",
    }
    response = await client.options("/v1/echo", headers=asked)
    assert response.status_code == 204
    assert response.headers["access-control-allow-origin"] == "https://chat.example"
    assert response.headers["access-control-allow-headers"] == "authorization, x-stainless-os"
    assert "POST" in response.headers["access-control-allow-methods"]
    assert "access-control-allow-credentials" not in response.headers
    response = await client.post("/v1/echo", headers={"origin": "https://chat.example"})
    assert response.headers["access-control-allow-origin"] == "https://chat.example"
    assert "Origin" in response.headers["vary"]
    response = await client.options("/v1/echo", headers={**asked, "origin": "https://evil.example"})
    assert response.status_code == 403
    assert "access-control-allow-origin" not in response.headers
    response = await client.get("/v1/models")
    assert "access-control-allow-origin" not in response.headers


async def test_metrics_have_routes_for_labels_never_paths(ask: Maker, metrics: Metrics) -> None:
    await ask().get("/v1/models")
    await ask().get("/v1/models/" + "x" * 50)
    await ask().get("/v1/secret-path")
    text = metrics.render().decode()
    assert 'hausgeist_requests_total{dialect="openai",operation="models.list",status="200"} 1.0' in text
    assert 'operation="GET /v1/models/{model:path}"' in text
    assert 'operation="none",status="404"' in text
    assert "secret-path" not in text
    assert "xxx" not in text


async def test_websockets_are_not_here(ask: Maker) -> None:
    app = ask()._transport.app  # type: ignore[attr-defined]
    sent: list[dict[str, Any]] = []

    async def receive() -> dict[str, Any]:
        return {"type": "websocket.connect"}

    async def send(message: dict[str, Any]) -> None:
        sent.append(message)

    scope = {"type": "websocket", "path": "/", "headers": [], "extensions": {"websocket.http.response": {}}}
    await app(scope, receive, send)
    assert sent[0]["status"] == 404
    sent.clear()
    await app({**scope, "extensions": {}}, receive, send)
    assert sent == [{"type": "websocket.close", "code": 1000}]


async def test_house_errors() -> None:
    request = Request({"type": "http", "headers": []})
    said: list[tuple[Exception, int, str]] = [
        (InvalidRequest("no", param="name"), 400, '"param":"name"'),
        (NotFound("gone"), 404, '"type":"not_found"'),
        (ValueError("secret"), 500, '"type":"server_error"'),
    ]
    for error, status, part in said:
        response = HOUSE.error(request, error)
        assert response.status_code == status
        assert part.encode() in bytes(response.body)
        assert b"secret" not in bytes(response.body)
