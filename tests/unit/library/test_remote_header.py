"""The header of a file on a server: the same as on disk, in few requests, and nothing that a server says is believed."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from aiohttp import ClientSession, web
from aiohttp.test_utils import TestServer

from hausgeist.errors import HausgeistError, InvalidRequest, NotAllowed, NotFound, Unavailable
from hausgeist.library.gguf.header import Header, read_header
from hausgeist.library.reference import Reference
from hausgeist.library.sources import Part, Release, Variant
from hausgeist.library.sources import remote_header as remote
from hausgeist.library.sources.remote_header import read_remote_header
from tests.unit.library.gguf_builder import Gguf, model

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


class Tokens:
    """A source that knows nothing but a token, and another one when that is refused."""

    def __init__(self) -> None:
        self.renewed = 0

    async def find(self, reference: Reference) -> Release:
        raise NotImplementedError

    async def variants(self, reference: Reference) -> Sequence[Variant]:
        raise NotImplementedError

    async def headers(self, part: Part, *, renew: bool = False) -> Mapping[str, str]:
        self.renewed += renew
        return {"Authorization": "Bearer new" if renew else "Bearer old"}


class Client:
    def __init__(self, session: ClientSession) -> None:
        self.session = session
        self.asked: list[str] = []

    @asynccontextmanager
    async def request(self, method: str, url: str, *, purpose: str, headers: Mapping[str, str] | None = None, timeout: Any = None) -> Any:
        assert purpose
        assert timeout
        assert headers is not None
        self.asked.append(headers["Range"])
        async with self.session.request(method, url, headers=headers) as response:
            yield response


@asynccontextmanager
async def serving(handler: Handler) -> AsyncIterator[tuple[str, Client]]:
    application = web.Application()
    application.router.add_get("/{name}", handler)
    async with TestServer(application) as server, ClientSession() as session:
        yield str(server.make_url("/model.gguf")), Client(session)


async def read(handler: Handler, *, size: int = 0) -> tuple[Header, Client]:
    async with serving(handler) as (url, client):
        return await read_remote_header(Part(role="weights", url=url, filename="model.gguf", size=size), Tokens(), client), client


def of(path: Path) -> Handler:
    async def answer(request: web.Request) -> web.StreamResponse:
        return web.FileResponse(path)

    return answer


def large(path: Path) -> Path:
    """A vocabulary as large as Gemma's, and weights of 300 MB that are a hole."""
    words = [f"token number {number}" for number in range(262_144)]
    pairs = [*model().pairs, ("tokenizer.ggml.merges", "array", ("string", words)), ("tokenizer.ggml.token_type", "array", ("i32", [1] * len(words)))]
    file = Gguf(pairs, [("token_embd.weight", (256, 2_000_000), 12)])
    path.write_bytes(file.bytes(data=False))
    with path.open("r+b") as whole:
        whole.truncate(path.stat().st_size + 256 * 2_000_000 // 256 * 144)
    return path


async def test_it_is_the_same_as_on_disk(tmp_path: Path) -> None:
    path = model().write(tmp_path / "model.gguf")
    header, client = await read(of(path))
    assert header == read_header(path)
    assert client.asked == ["bytes=0-1048575"]
    again, _ = await read(of(path), size=path.stat().st_size)
    assert again == header


async def test_a_large_vocabulary_takes_few_requests(tmp_path: Path) -> None:
    path = large(tmp_path / "model.gguf")
    header, client = await read(of(path))
    assert header == read_header(path)
    assert header.size == path.stat().st_size > 280 * 2**20
    assert len(client.asked) <= 6


async def test_a_server_without_ranges_is_asked_once(tmp_path: Path) -> None:
    path = model().write(tmp_path / "model.gguf")

    async def answer(request: web.Request) -> web.StreamResponse:
        return web.Response(body=path.read_bytes())

    header, _ = await read(answer)
    assert header == read_header(path)
    far = large(tmp_path / "large.gguf").read_bytes()[: 3 * 2**20]

    async def whole(request: web.Request) -> web.StreamResponse:
        return web.Response(body=far)

    with pytest.raises(Unavailable, match="part of a file"):
        await read(whole)


async def test_a_refused_token_is_renewed_once(tmp_path: Path) -> None:
    path = model().write(tmp_path / "model.gguf")

    async def answer(request: web.Request) -> web.StreamResponse:
        return web.FileResponse(path) if request.headers["Authorization"] == "Bearer new" else web.Response(status=401)

    header, client = await read(answer)
    assert header == read_header(path)
    assert len(client.asked) == 2

    async def never(request: web.Request) -> web.StreamResponse:
        return web.Response(status=403)

    with pytest.raises(NotAllowed):
        await read(never)


@pytest.mark.parametrize(
    ("status", "headers", "body", "error"),
    [
        (404, {}, b"", NotFound),
        (500, {}, b"", Unavailable),
        (416, {}, b"", Unavailable),
        (206, {}, b"GGUF", Unavailable),
        (206, {"Content-Range": "bytes 5-9/100"}, b"GGUF!", Unavailable),
        (206, {"Content-Range": "bytes 0-9/*"}, b"0123456789", Unavailable),
        (206, {"Content-Range": "bytes 0-9/10"}, b"0123456789", InvalidRequest),
        (206, {"Content-Range": f"bytes 0-1048575/{'9' * 30}"}, b"GGUF" * 2**18, Unavailable),
        (206, {"Content-Range": "bytes 0-1048575/0"}, b"GGUF" * 2**18, Unavailable),
        (200, {}, b"<html>please sign in</html>", InvalidRequest),
        (200, {}, b"", Unavailable),
    ],
)
async def test_what_a_server_may_answer_instead(status: int, headers: dict[str, str], body: bytes, error: type[HausgeistError]) -> None:
    async def answer(request: web.Request) -> web.StreamResponse:
        return web.Response(status=status, headers=headers, body=body)

    with pytest.raises(error):
        await read(answer)


async def test_a_file_that_changes_meanwhile(tmp_path: Path) -> None:
    path = model().write(tmp_path / "model.gguf")
    with pytest.raises(Unavailable, match="changed"):
        await read(of(path), size=path.stat().st_size + 1)


async def test_a_header_without_end_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    """A server that makes up text for ever: a string of 8 MiB after the other, in a file said to be huge."""
    monkeypatch.setattr(remote, "_MOST", 8 * 2**20)
    start = Gguf([], []).bytes(data=False, keys=60_000)[:24]
    pair = b"".join((b"\1\0\0\0\0\0\0\0k", (8).to_bytes(4, "little"), (2**20).to_bytes(8, "little")))
    sent = 0

    async def answer(request: web.Request) -> web.StreamResponse:
        nonlocal sent
        wanted = request.http_range
        length = (wanted.stop or 0) - (wanted.start or 0)
        sent += length
        body = (start + pair + b"x" * length)[:length] if not wanted.start else b"x" * length
        return web.Response(status=206, headers={"Content-Range": f"bytes {wanted.start}-{wanted.stop - 1}/{2**40}"}, body=body)

    with pytest.raises(InvalidRequest):
        await read(answer)
    assert sent <= 8 * 2**20


async def test_a_body_that_ends_early(tmp_path: Path) -> None:
    async def answer(request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse(status=206, headers={"Content-Range": "bytes 0-1048575/5000000"})
        response.enable_chunked_encoding()
        await response.prepare(request)
        await response.write(b"GGUF")
        await response.write_eof()
        return response

    with pytest.raises(Unavailable, match="ended after 4"):
        await read(answer)
