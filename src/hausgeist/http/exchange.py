"""One request and its response on the wire: the body within its limit and in time, the headers that every response carries."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Mapping, MutableMapping, Sequence
from contextlib import suppress
from typing import Any

from starlette.exceptions import HTTPException
from starlette.types import Message, Receive, Send

from hausgeist.errors import InvalidRequest, TooLarge

__all__ = ["Exchange"]

_STALLED = 60.0
"""Seconds that the next piece of a request body may take."""
_DRAIN_SECONDS = 3.0
_STRANGERS_BYTES = 64 * 1024
_STRANGERS_SECONDS = 30.0
"""What somebody gets who has not said who they are: enough for signing in, and too little to fill the memory or to keep connections busy."""

_ALWAYS = [
    (b"x-content-type-options", b"nosniff"),
    (b"referrer-policy", b"no-referrer"),
    (b"cross-origin-resource-policy", b"same-origin"),
]
_NO_STORE = (b"cache-control", b"no-store")


class Exchange:
    """Wraps `receive` and `send` of one request. A chunk on its way out costs one comparison."""

    def __init__(self, receive: Receive, send: Send, *, headers: Mapping[str, Sequence[str]], body_limit: int) -> None:
        self.status = 0
        self.extra: list[tuple[bytes, bytes]] = []
        """Headers for the response, besides those that every one gets."""
        self._receive = receive
        self._send = send
        self._limit = body_limit
        self._received = 0
        self._until: float | None = None
        self._length = headers.get("content-length", ("",))[0]
        self._expecting = "expect" in headers
        self._incomplete = "transfer-encoding" in headers or self._length not in {"", "0"}

    @property
    def started(self) -> bool:
        return self.status != 0

    def check(self) -> None:
        """Refuse a body that says that it is too large, before a byte of it is read. Raises `TooLarge`, `InvalidRequest`."""
        if not self._length:
            return
        if not (self._length.isascii() and self._length.isdigit()):
            raise InvalidRequest("Content-Length is not a number.")
        if len(self._length) > 18 or int(self._length) > self._limit:
            raise self._too_large()

    def restrict(self) -> None:
        """Nobody knows who asks: only a small body is read, and not for long."""
        self._limit = min(self._limit, _STRANGERS_BYTES)
        self._until = time.monotonic() + _STRANGERS_SECONDS

    async def receive(self) -> Message:
        if not self._incomplete:
            return await self._receive()
        patience = _STALLED if self._until is None else min(_STALLED, self._until - time.monotonic())
        try:
            async with asyncio.timeout(patience):
                message = await self._receive()
        except TimeoutError:
            raise HTTPException(408, "The request body did not arrive in time.") from None
        if message["type"] == "http.request":
            self._received += len(message.get("body", b""))
            self._incomplete = message.get("more_body", False)
            if self._received > self._limit:
                raise self._too_large()
        return message

    async def send(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            self._start(message)
        elif self._incomplete and not message.get("more_body", False):
            await self._send({**message, "more_body": True})
            await self._drain()
            message = {"type": "http.response.body", "body": b"", "more_body": False}
        await self._send(message)

    def _start(self, message: MutableMapping[str, Any]) -> None:
        self.status = message["status"]
        headers = [*message.get("headers", ()), *self.extra, *_ALWAYS]
        if not any(name == b"cache-control" for name, _ in headers):
            headers.append(_NO_STORE)
        if self._incomplete:
            headers.append((b"connection", b"close"))
        message["headers"] = headers

    async def _drain(self) -> None:
        """Take what the client is still sending, for a moment: a connection closed over unread data loses the response that explains why."""
        if self._expecting:
            return
        with suppress(TimeoutError):
            async with asyncio.timeout(_DRAIN_SECONDS):
                while self._incomplete:
                    message = await self._receive()
                    self._incomplete = message["type"] == "http.request" and message.get("more_body", False)

    def _too_large(self) -> TooLarge:
        if self._until is not None:
            return TooLarge(f"The request body is larger than {self._limit} bytes, the limit for requests without a key.")
        return TooLarge(f"The request body is larger than {self._limit} bytes, the limit of this server (body_limit).")
