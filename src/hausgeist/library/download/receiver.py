"""The rest of an answer's body, straight from the transport into the buffers that are written to the disk.

aiohttp hands out a body as new `bytes` for each read, which is copied twice and paged in anew on the way. That costs more than all else where
the network is faster than some hundred MB/s: loopback, a mirror in the same rack. There the transport, encrypted or not, gets another protocol
once the answer's head is known, as it would for an upgrade to websockets; the connection cannot be used again afterwards.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from hausgeist.library.download.sink import Sink

if TYPE_CHECKING:
    from aiohttp import ClientResponse

__all__ = ["Receiver", "can_receive"]


def can_receive(response: ClientResponse) -> bool:
    """Whether the body is as long as it says, bytes as they are, with nothing between them."""
    headers, connection = response.headers, response.connection
    return (
        connection is not None
        and connection.transport is not None
        and "Content-Length" in headers
        and "Transfer-Encoding" not in headers
        and headers.get("Content-Encoding", "identity").lower() == "identity"
    )


class Receiver(asyncio.BufferedProtocol):
    """Takes an answer for which `can_receive` over from aiohttp. First `begin`, then `more` until `rest` is 0.

    `rest`: bytes of the body that are not in `sink` yet, into which they go.
    """

    def __init__(self, response: ClientResponse, sink: Sink, rest: int) -> None:
        connection = response.connection
        if connection is None or connection.transport is None or connection.protocol is None:
            raise ConnectionResetError("the connection is gone")
        self.rest = rest
        self._sink = sink
        self._view = memoryview(b"")
        self._news = asyncio.Event()
        self._lost = False
        self._failure: Exception | None = None
        self._transport, self._before = connection.transport, connection.protocol
        # What aiohttp has got is taken at one go, so that nothing is left with it. As it is read, aiohttp may let the transport go on.
        self._early: list[bytes] = []
        while data := response.content.read_nowait():
            self._early.append(data)
        # Reading has to begin anew: uvloop decides then which of a protocol's methods it calls.
        if self._transport.is_reading():
            self._transport.pause_reading()
        self._transport.set_protocol(self)

    async def begin(self) -> None:
        """Pass on what aiohttp had got already, and receive from here on."""
        for data in self._early:
            await self._sink.put(data[: self.rest])
            self.rest -= min(len(data), self.rest)
        self._early.clear()
        self._go_on()

    async def more(self) -> None:
        """Wait until a buffer is full, or everything has come, and hand it on. Raises `OSError` when the connection is lost before."""
        await self._news.wait()
        self._news.clear()
        await self._sink.flush()
        if not self.rest:
            return
        if self._lost:
            raise self._failure if isinstance(self._failure, OSError) else ConnectionResetError("the connection is gone")
        self._go_on()

    def _go_on(self) -> None:
        if self.rest:
            self._view = self._sink.room()
            self._transport.resume_reading()

    def get_buffer(self, sizehint: int) -> memoryview:
        """Where the next bytes go; never more than still belong to the body."""
        return self._view[: self.rest]

    def buffer_updated(self, nbytes: int) -> None:
        """So many bytes have come."""
        self.rest -= nbytes
        self._view = self._view[nbytes:]
        self._sink.filled(nbytes)
        if not self._view or not self.rest:
            self._transport.pause_reading()
            self._news.set()

    def eof_received(self) -> bool:
        """Upstream sends no more."""
        return False

    def connection_lost(self, exc: Exception | None) -> None:
        """The connection has ended; aiohttp has to know too."""
        self._lost, self._failure = True, exc
        self._news.set()
        self._before.connection_lost(exc)
