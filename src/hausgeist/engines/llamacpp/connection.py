"""Requests to one llama-server over its socket, with as little between the bytes and their reader as there can be.

A general HTTP client spends more on a streamed token than the rest of the way through Hausgeist does (docs/lab.md), and here there is one known
server on a socket of our own: no redirects, cookies, proxies or compression. httptools parses; this owns connections, waiting and back-pressure.
"""

from __future__ import annotations

import asyncio
import time
from functools import partial
from typing import Any, Final, Literal

import httptools

__all__ = ["Connections", "Incoming"]

_CONNECT_SECONDS: Final = 10.0
_IDLE_SECONDS: Final = 4.0
"""llama-server closes connections that were idle for 5 seconds."""
_MOST_BUFFERED: Final = 2**20
"""Bytes that wait for their reader before the server has to."""
_MOST_KEPT: Final = 16


class Incoming(asyncio.Protocol):
    """A response that may still be arriving, and the connection that it arrives on."""

    def __init__(self, *, kept: bool = True) -> None:
        """`kept`: the connection may carry another request after this one."""
        self._keep = kept
        self._used = time.monotonic()
        self._transport: asyncio.Transport | None = None
        self._lost = False
        self._begin()

    def _begin(self) -> None:
        self.status = 0
        self.content_type = ""
        self.ended = False
        """All of it has arrived (some may still wait to be read)."""
        self._parser: Any = httptools.HttpResponseParser(self)
        self._head: asyncio.Future[None] | None = None
        self._wanted: asyncio.Future[None] | None = None
        self._pieces: list[bytes] = []
        self._size = 0
        self._paused = False
        self._sized = False
        self._lasting = False

    @property
    def usable(self) -> bool:
        """Whether another request may be sent on this connection."""
        return self.ended and self._lasting and not self._lost and time.monotonic() - self._used < _IDLE_SECONDS

    async def ask(self, request: bytes) -> None:
        """Send a request and wait for the head of its response. Raises `ConnectionError`."""
        self._begin()
        if self._lost or self._transport is None or self._transport.is_closing():
            raise ConnectionResetError("the connection was closed")
        self._head = asyncio.get_running_loop().create_future()
        self._transport.write(request)
        try:
            await self._head
        except asyncio.CancelledError:
            self.close()
            raise

    async def some(self) -> bytes:
        """What has arrived since the last call, at least a byte; empty at the end. Raises `ConnectionError` when it broke off."""
        if not self._pieces:
            if self.ended:
                return b""
            if self._lost:
                raise ConnectionResetError("the connection broke")
            self._wanted = asyncio.get_running_loop().create_future()
            await self._wanted
            if not self._pieces:
                return await self.some()
        pieces = self._pieces
        self._pieces, self._size = [], 0
        if self._paused and self._transport is not None:
            self._paused = False
            self._transport.resume_reading()
        return pieces[0] if len(pieces) == 1 else b"".join(pieces)

    async def read(self) -> bytes:
        """All that is still to come. Raises `ConnectionError`."""
        found = bytearray()
        while piece := await self.some():
            found += piece
        return bytes(found)

    def close(self) -> None:
        """At once: this is how the server learns that nobody reads any more."""
        if self._transport is not None:
            self._transport.abort()

    # What asyncio calls

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = transport  # type: ignore[assignment]  # uvloop's is none of asyncio's classes

    def data_received(self, data: bytes) -> None:
        try:
            self._parser.feed_data(data)
        except httptools.HttpParserError:
            self.close()
            self.connection_lost(None)
            return
        if self._size > _MOST_BUFFERED and not self._paused and not self.ended and self._transport is not None:
            self._paused = True
            self._transport.pause_reading()
        self._wake()

    def connection_lost(self, exc: Exception | None) -> None:
        self._lost = True
        # Without a length or chunks, the end of the connection is the end of the response.
        if exc is None and self.status and not self._sized and not self.ended:
            self.ended = True
        if self._head is not None and not self._head.done():
            self._head.set_exception(exc if isinstance(exc, ConnectionError) else ConnectionResetError("the connection broke"))
        self._wake()

    def _wake(self) -> None:
        wanted = self._wanted
        if wanted is not None:
            self._wanted = None
            if not wanted.done():
                wanted.set_result(None)

    # What httptools calls

    def on_header(self, name: bytes, value: bytes) -> None:
        match name.lower():
            case b"content-type":
                self.content_type = value.partition(b";")[0].strip().lower().decode("latin-1")
            case b"content-length" | b"transfer-encoding":
                self._sized = True

    def on_headers_complete(self) -> None:
        self.status = self._parser.get_status_code()
        if self._head is not None and not self._head.done():
            self._head.set_result(None)

    def on_body(self, body: bytes) -> None:
        self._pieces.append(body)
        self._size += len(body)

    def on_message_complete(self) -> None:
        self.ended = True
        self._lasting = self._keep and self._parser.should_keep_alive()
        self._used = time.monotonic()


class Connections:
    """All connections to one server. `address`: the path of a unix socket, or host:port."""

    def __init__(self, address: str, *, key: str) -> None:
        self._socket = address if address.endswith(".sock") else ""
        self._host, _, self._port = ("", "", "") if self._socket else address.removeprefix("http://").rpartition(":")
        host = "engine" if self._socket else f"{self._host}:{self._port}"
        self._head = f"Host: {host}\r\nAuthorization: Bearer {key}\r\nContent-Type: application/json\r\n"
        self._kept: list[Incoming] = []
        self._closed = False

    async def request(self, method: Literal["GET", "POST"], path: str, body: bytes = b"", *, kept: bool) -> Incoming:
        """The response, as soon as its head is there.

        `kept`: on a connection that was used before, if there is one; it may turn out to be stale. Raises `ConnectionError`, `OSError`,
        `TimeoutError` (of connecting; answering may take as long as it takes).
        """
        incoming = self._take() if kept else None
        if incoming is None:
            incoming = await self._connect(kept=kept)
        close = "" if kept else "Connection: close\r\n"
        head = f"{method} {path} HTTP/1.1\r\n{self._head}{close}Content-Length: {len(body)}\r\n\r\n".encode()
        await incoming.ask(head + body)
        return incoming

    def give_back(self, incoming: Incoming) -> None:
        """Done with a response: its connection is kept when it has come to its end, and closed when it has not."""
        if not self._closed and incoming.usable and len(self._kept) < _MOST_KEPT:
            self._kept.append(incoming)
        else:
            incoming.close()

    def close(self) -> None:
        """Close what is not in use, and what is given back from now on."""
        self._closed = True
        for incoming in self._kept:
            incoming.close()
        self._kept.clear()

    def _take(self) -> Incoming | None:
        while self._kept:
            incoming = self._kept.pop()
            if incoming.usable:
                return incoming
            incoming.close()
        return None

    async def _connect(self, *, kept: bool) -> Incoming:
        loop = asyncio.get_running_loop()
        make = partial(Incoming, kept=kept)
        async with asyncio.timeout(_CONNECT_SECONDS):
            if self._socket:
                _, incoming = await loop.create_unix_connection(make, self._socket)
            else:
                _, incoming = await loop.create_connection(make, self._host, int(self._port))
        return incoming
