"""A server of files on loopback that can do everything wrong that servers do: what tests of downloads are run against."""

from __future__ import annotations

import asyncio
import re
import socket
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

from aiohttp import web

__all__ = ["Fault", "Upstream", "serve"]

Fault = Callable[["Upstream", web.Request], Awaitable[web.StreamResponse | None]]
"""What to answer instead; None: as if nothing was wrong."""
_RANGE = re.compile(r"bytes=(\d+)-(\d+)")


class Upstream:
    """`files` by path. The n-th request meets the n-th of `faults`; `always` is met by all that come later."""

    def __init__(self) -> None:
        self.files: dict[str, bytes] = {}
        self.faults: list[Fault | None] = []
        self.always: Fault | None = None
        self.ranges = True
        self.etag = '"1"'
        self.seen: list[web.Request] = []
        self.sent = 0
        """Bytes of bodies."""
        self.pause = 0.0
        """Seconds after each 64 KiB."""
        self.port = 0
        self.scheme = "http"

    @property
    def url(self) -> str:
        return f"{self.scheme}://127.0.0.1:{self.port}"

    async def handle(self, request: web.Request) -> web.StreamResponse:
        self.seen.append(request)
        fault = self.faults.pop(0) if self.faults else self.always
        if fault is not None and (answer := await fault(self, request)) is not None:
            return answer
        return await self.answer(request)

    def asked(self, request: web.Request) -> tuple[int, int] | None:
        match = _RANGE.fullmatch(request.headers.get("Range", ""))
        return (int(match[1]), int(match[2]) + 1) if match and self.ranges else None

    async def answer(
        self, request: web.Request, *, cut: int | None = None, stop: int | None = None, headers: dict[str, str] | None = None
    ) -> web.StreamResponse:
        """The file, or the range of it that is asked for; broken off after `cut` bytes, or with nothing more after `stop`."""
        data = self.files.get(request.path)
        if data is None:
            raise web.HTTPNotFound
        sent = {"ETag": self.etag} if self.etag else {}
        asked = self.asked(request)
        if asked is None:
            status, body = 200, memoryview(data)
        elif asked[0] >= len(data):
            raise web.HTTPRequestRangeNotSatisfiable(headers={"Content-Range": f"bytes */{len(data)}"})
        else:
            start, end = asked[0], min(asked[1], len(data))
            status, body = 206, memoryview(data)[start:end]
            sent["Content-Range"] = f"bytes {start}-{end - 1}/{len(data)}"
        response = web.StreamResponse(status=status, headers={**sent, "Content-Length": str(len(body)), **(headers or {})})
        if response.headers["Content-Length"] == "":
            del response.headers["Content-Length"]
            response.enable_chunked_encoding()
        await response.prepare(request)
        for position in range(0, len(body) if cut is None else min(cut, len(body)), 1 << 16):
            chunk = body[position : min(position + (1 << 16), len(body) if cut is None else cut)]
            self.sent += len(chunk)
            await response.write(bytes(chunk))
            if self.pause:
                await asyncio.sleep(self.pause)
            if stop is not None and position + len(chunk) >= stop:
                await asyncio.sleep(30)
        if cut is not None and request.transport is not None:
            request.transport.close()
        return response


@asynccontextmanager
async def serve(tls: ssl.SSLContext | None = None) -> AsyncIterator[Upstream]:
    upstream = Upstream()
    upstream.scheme = "https" if tls else "http"
    app = web.Application()
    app.router.add_route("*", "/{any:.*}", upstream.handle)
    runner = web.AppRunner(app, shutdown_timeout=0.1)
    await runner.setup()
    listener = socket.create_server(("127.0.0.1", 0))
    upstream.port = listener.getsockname()[1]
    await web.SockSite(runner, listener, ssl_context=tls).start()
    try:
        yield upstream
    finally:
        await runner.cleanup()
