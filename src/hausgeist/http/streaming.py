"""How answers leave: event streams that cost little per chunk, and handlers that notice when their client has left.

Owns the ASGI side of streaming for every dialect: headers go out with the first event (so that an error before it is an ordinary HTTP
error), a failure in the middle becomes an event in the dialect's own shape, and a client that leaves, or stops reading, ends the
work at once. What the events say belongs to the dialects.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import AsyncGenerator, Callable, Coroutine, Mapping
from contextlib import suppress
from typing import Any

from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from hausgeist.errors import HausgeistError
from hausgeist.http.endpoint import Handler

__all__ = ["EventStream", "attend"]

_log = logging.getLogger(__name__)
_CLIENT_LEFT = 499
"""nginx's code for a client that closed the connection; nobody receives it, the access log shows it."""
_STALLED = 120.0
"""Seconds that one write may wait for a client that has stopped reading: a sleeping laptop must not hold a slot for ever."""
_LOOK = 10.0


class EventStream(Response):
    """A response whose body is `events`, each sent as it comes. The generator is closed whatever happens; closing it must stop the work.

    `failure` says an error as bytes of the stream; the stream ends after it.
    """

    def __init__(
        self,
        events: AsyncGenerator[bytes, None],
        *,
        failure: Callable[[Exception], bytes],
        first: bytes = b"",
        media_type: str = "text/event-stream",
        headers: Mapping[str, str] | None = None,
    ) -> None:
        self.status_code = 200
        self.media_type = media_type
        self.background = None
        self.body = b""
        self._events = events
        self._first = first
        self._failure = failure
        self._writing_since = 0.0
        self.init_headers({"cache-control": "no-cache", "x-accel-buffering": "no", **(headers or {})})
        # Response counts the empty body as a length; this one has none.
        self.raw_headers = [pair for pair in self.raw_headers if pair[0] != b"content-length"]

    @classmethod
    async def begin(
        cls,
        events: AsyncGenerator[bytes, None],
        *,
        failure: Callable[[Exception], bytes],
        media_type: str = "text/event-stream",
        headers: Mapping[str, str] | None = None,
    ) -> EventStream:
        """Wait for the first event, so that what goes wrong before it is raised here."""
        try:
            first = await anext(events, b"")
        except BaseException:
            await events.aclose()
            raise
        return cls(events, failure=failure, first=first, media_type=media_type, headers=headers)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        pump = asyncio.ensure_future(self._pump(send))
        gone = asyncio.ensure_future(self._gone(receive))
        try:
            await asyncio.wait({pump, gone}, return_when=asyncio.FIRST_COMPLETED)
        finally:
            await _end(gone, pump)
            await self._events.aclose()
        if not pump.cancelled():
            pump.result()

    async def _pump(self, send: Send) -> None:
        clock = time.monotonic
        try:
            self._writing_since = clock()
            await send({"type": "http.response.start", "status": 200, "headers": self.raw_headers})
            if self._first:
                await send({"type": "http.response.body", "body": self._first, "more_body": True})
            self._writing_since = 0.0
            async for event in self._events:
                self._writing_since = clock()
                await send({"type": "http.response.body", "body": event, "more_body": True})
                self._writing_since = 0.0
        except OSError:
            return  # the client has left between two writes
        except Exception as error:
            if not isinstance(error, HausgeistError):
                _log.exception("a stream failed")
            with suppress(OSError):
                await send({"type": "http.response.body", "body": self._failure(error), "more_body": True})
        with suppress(OSError):
            await send({"type": "http.response.body", "body": b"", "more_body": False})

    async def _gone(self, receive: Receive) -> None:
        """Return when the client has left, or has not taken a byte for a long time."""
        left = asyncio.ensure_future(_disconnected(receive))
        try:
            while True:
                done, _ = await asyncio.wait({left}, timeout=_LOOK)
                stalled = self._writing_since and time.monotonic() - self._writing_since > _STALLED
                if done or stalled:
                    return
        finally:
            await _end(left)


def attend(handle: Handler) -> Handler:
    """The handler, cancelled as soon as its client leaves: a reply that nobody waits for is not computed."""

    async def attended(request: Request) -> Response:
        try:
            await request.body()
        except ClientDisconnect:
            return Response(status_code=_CLIENT_LEFT)
        work: asyncio.Future[Response] = asyncio.ensure_future(_as_coroutine(handle, request))
        gone = asyncio.ensure_future(_disconnected(request.receive))
        either: set[asyncio.Future[Any]] = {work, gone}
        try:
            await asyncio.wait(either, return_when=asyncio.FIRST_COMPLETED)
        finally:
            await _end(gone, work)
        return Response(status_code=_CLIENT_LEFT) if work.cancelled() else work.result()

    return attended


def _as_coroutine(handle: Handler, request: Request) -> Coroutine[Any, Any, Response]:
    async def run() -> Response:
        return await handle(request)

    return run()


async def _disconnected(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass


async def _end(*tasks: asyncio.Future[Any]) -> None:
    """Cancel what still runs and wait until it has cleaned up after itself."""
    for task in tasks:
        if not task.done():
            task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
