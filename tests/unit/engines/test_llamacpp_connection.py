"""Requests over a socket of our own: kept connections, back-pressure, every way in which a server can break off."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from hausgeist.engines.llamacpp.connection import Connections, Incoming

Answer = Callable[[bytes, asyncio.StreamWriter], Awaitable[bool]]


@asynccontextmanager
async def serving(folder: Path, answer: Answer) -> AsyncIterator[tuple[Connections, list[bytes]]]:
    """A server that hands each request to `answer` (false: close the connection), and the requests that it got."""
    seen: list[bytes] = []
    serving: set[asyncio.Task[None] | None] = set()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        serving.add(asyncio.current_task())
        try:
            while True:
                head = await reader.readuntil(b"\r\n\r\n")
                length = int(head.lower().partition(b"content-length: ")[2].partition(b"\r\n")[0])
                seen.append(head + await reader.readexactly(length))
                if not await answer(seen[-1], writer):
                    break
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        finally:
            writer.close()

    path = folder / "engine.sock"
    server = await asyncio.start_unix_server(serve, path)
    connections = Connections(str(path), key="secret")
    try:
        yield connections, seen
    finally:
        connections.close()
        server.close()
        await asyncio.wait_for(asyncio.gather(*filter(None, serving)), 5)


async def whole(request: bytes, writer: asyncio.StreamWriter) -> bool:
    body = request.partition(b"\r\n\r\n")[2]
    writer.write(b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n%s" % (len(body), body))
    return True


async def test_a_connection_is_kept_and_carries_key_and_body(tmp_path: Path) -> None:
    async with serving(tmp_path, whole) as (connections, seen):
        first = await connections.request("POST", "/echo", b'{"a":1}', kept=True)
        assert (first.status, first.content_type, await first.read()) == (200, "application/json", b'{"a":1}')
        connections.give_back(first)
        second = await connections.request("POST", "/echo", b"2", kept=True)
        assert second is first
        assert await second.read() == b"2"
        connections.give_back(second)
        assert b"authorization: bearer secret" in seen[0].lower()
        assert b"connection: close" not in seen[0].lower()


async def test_streams_get_a_connection_of_their_own(tmp_path: Path) -> None:
    async def stream(request: bytes, writer: asyncio.StreamWriter) -> bool:
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n")
        for number in range(3):
            writer.write(b"7\r\nevent %d\r\n" % number)
            await asyncio.sleep(0.01)
        writer.write(b"0\r\n\r\n")
        return False

    async with serving(tmp_path, stream) as (connections, seen):
        incoming = await connections.request("POST", "/", b"", kept=False)
        pieces = []
        while piece := await incoming.some():
            pieces.append(piece)
        assert b"".join(pieces) == b"event 0event 1event 2"
        assert len(pieces) > 1
        connections.give_back(incoming)
        assert connections._kept == []
        assert b"connection: close" in seen[0].lower()


@pytest.mark.parametrize(
    "sent",
    [
        b"",
        b"HTTP/1.1 200",
        b"nonsense\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nshort",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nshort\r\n",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nno chunk\r\n",
    ],
)
async def test_a_broken_response_is_an_error(tmp_path: Path, sent: bytes) -> None:
    async def broken(request: bytes, writer: asyncio.StreamWriter) -> bool:
        writer.write(sent)
        return False

    async with serving(tmp_path, broken) as (connections, _):

        async def ask() -> bytes:
            return await (await connections.request("POST", "/", b"", kept=True)).read()

        with pytest.raises(ConnectionError):
            await asyncio.wait_for(ask(), 5)


async def test_the_end_of_the_connection_is_the_end_of_a_response_without_a_length(tmp_path: Path) -> None:
    async def endless(request: bytes, writer: asyncio.StreamWriter) -> bool:
        writer.write(b"HTTP/1.0 200 OK\r\n\r\nall of it")
        return False

    async with serving(tmp_path, endless) as (connections, _):
        incoming = await connections.request("GET", "/", kept=True)
        assert await incoming.read() == b"all of it"


async def test_a_reader_that_is_slow_holds_the_server_up(tmp_path: Path) -> None:
    size, written = 64 * 2**20, 0

    async def much(request: bytes, writer: asyncio.StreamWriter) -> bool:
        nonlocal written
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % size)
        while written < size:
            writer.write(bytes(2**18))
            await writer.drain()
            written += 2**18
        return True

    async with serving(tmp_path, much) as (connections, _):
        incoming = await connections.request("POST", "/", b"", kept=True)
        await asyncio.sleep(0.3)
        assert written < 16 * 2**20
        assert len(await incoming.read()) == size
        connections.give_back(incoming)


async def test_who_leaves_closes_the_connection(tmp_path: Path) -> None:
    left = asyncio.Event()

    async def waiting(request: bytes, writer: asyncio.StreamWriter) -> bool:
        writer.write(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
        await writer.drain()
        try:
            while True:
                writer.write(b"1\r\n.\r\n")
                await writer.drain()
                await asyncio.sleep(0.01)
        finally:
            left.set()

    async with serving(tmp_path, waiting) as (connections, _):
        incoming = await connections.request("POST", "/", b"", kept=False)
        assert await incoming.some()
        connections.give_back(incoming)
        async with asyncio.timeout(5):
            await left.wait()


async def test_a_request_that_is_given_up_closes_the_connection(tmp_path: Path) -> None:
    left = asyncio.Event()

    async def silent(request: bytes, writer: asyncio.StreamWriter) -> bool:
        await asyncio.sleep(0.2)
        left.set()
        return False

    async with serving(tmp_path, silent) as (connections, _):
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.05):
                await connections.request("GET", "/", kept=True)
        assert connections._kept == []
        await left.wait()


async def test_nothing_is_kept_after_the_end(tmp_path: Path) -> None:
    async with serving(tmp_path, whole) as (connections, _):
        incoming: Incoming = await connections.request("POST", "/", b"x", kept=True)
        connections.close()
        assert await incoming.read() == b"x"
        connections.give_back(incoming)
        assert connections._kept == []
