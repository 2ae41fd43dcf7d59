"""A streaming HTTP client that costs next to nothing, so that what is measured is the server: raw sockets, no parsing but the search for events."""

from __future__ import annotations

import asyncio
import json
import re
import time
from dataclasses import dataclass, field
from typing import Any

__all__ = ["Address", "Stream", "ask", "stream"]

_END_OF_HEADERS = b"\r\n\r\n"
_EVENT = b"data: "
_TOKENS = re.compile(rb'"completion_tokens":\s*(\d+)')


@dataclass(frozen=True, slots=True)
class Address:
    """Where a server listens: a unix socket, or a host and port; and the key it wants."""

    path: str = ""
    host: str = "127.0.0.1"
    port: int = 0
    key: str = ""

    async def connect(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        if self.path:
            return await asyncio.open_unix_connection(self.path, limit=2**20)
        return await asyncio.open_connection(self.host, self.port, limit=2**20)

    def request(self, path: str, body: dict[str, Any] | None) -> bytes:
        data = json.dumps(body).encode() if body is not None else b""
        lines = [f"{'POST' if data else 'GET'} {path} HTTP/1.1", "Host: localhost", "Connection: close"]
        if data:
            lines += ["Content-Type: application/json", f"Content-Length: {len(data)}"]
        if self.key:
            lines.append(f"Authorization: Bearer {self.key}")
        return "\r\n".join(lines).encode() + _END_OF_HEADERS + data


@dataclass(slots=True)
class Stream:
    """Seconds from sending the request to the first event and to the last, how many events there were (role, usage and [DONE] included), and
    how many tokens the engine says it made (0: it did not say)."""

    first: float
    last: float
    events: int
    tokens: int = 0
    times: list[float] = field(default_factory=list)

    def rate(self) -> float:
        """Tokens per second between the first event and the last; events, where the engine does not count tokens."""
        made = self.tokens or self.events
        return (made - 1) / (self.last - self.first) if made > 1 and self.last > self.first else 0.0


async def stream(address: Address, path: str, body: dict[str, Any], *, keep_times: bool = False) -> Stream:
    """Send one streaming request and read it to its end. Raises RuntimeError with the reply when it is not an event stream."""
    reader, writer = await address.connect()
    try:
        started = time.perf_counter()
        writer.write(address.request(path, {**body, "stream": True}))
        head = await reader.readuntil(_END_OF_HEADERS)
        if b" 200 " not in head.split(b"\r\n", 1)[0]:
            raise RuntimeError((head + await reader.read()).decode("utf-8", "replace"))
        first = last = 0.0
        events = 0
        times: list[float] = []
        tail = b""
        while data := await reader.read(2**16):
            found = data.count(_EVENT)
            tail = (tail + data)[-2048:]
            if found:
                last = time.perf_counter() - started
                first = first or last
                events += found
                if keep_times:
                    times.append(last)
        counted = _TOKENS.search(tail)
        return Stream(first, last, events, int(counted.group(1)) if counted else 0, times)
    finally:
        writer.close()


async def ask(address: Address, path: str, body: dict[str, Any] | None = None) -> float:
    """Seconds that one plain request takes; without a body, a GET."""
    reader, writer = await address.connect()
    try:
        started = time.perf_counter()
        writer.write(address.request(path, body))
        reply = await reader.read()
        if b" 200 " not in reply.split(b"\r\n", 1)[0]:
            raise RuntimeError(reply.decode("utf-8", "replace"))
        return time.perf_counter() - started
    finally:
        writer.close()
