"""A server on loopback that is told by webhooks, and answers as tests want it to."""

from __future__ import annotations

import asyncio
import json
import socket
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import openai
from aiohttp import web

__all__ = ["HANG", "Receiver", "Told", "receiving"]

HANG = -1
"""For a status: no answer at all."""


@dataclass(frozen=True)
class Told:
    path: str
    headers: Mapping[str, str]
    body: bytes

    @property
    def event(self) -> dict[str, Any]:
        return dict(json.loads(self.body))

    def unwrap(self, secret: str) -> Any:
        """What OpenAI's SDK makes of it. Raises `InvalidWebhookSignatureError`."""
        with openai.OpenAI(api_key="x") as client:
            return client.webhooks.unwrap(self.body, self.headers, secret=secret)


@dataclass
class Receiver:
    """The n-th request gets the n-th of `statuses`, later ones `always`."""

    statuses: list[int] = field(default_factory=list)
    always: int = 200
    told: list[Told] = field(default_factory=list)
    together: int = 0
    """Nobody is answered before so many have come."""
    port: int = 0

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}/hook"

    async def handle(self, request: web.Request) -> web.StreamResponse:
        body = await request.read()
        self.told.append(Told(request.path, {name.lower(): value for name, value in request.headers.items()}, body))
        status = self.statuses.pop(0) if self.statuses else self.always
        await self.wait(self.together)
        if status == HANG:
            await asyncio.sleep(60)
        return web.Response(status=status, headers={"Location": f"{self.url}-elsewhere"} if 300 <= status < 400 else {})

    async def wait(self, count: int, seconds: float = 10.0) -> list[Told]:
        """What it was told, once it was told so often."""
        async with asyncio.timeout(seconds):
            while len(self.told) < count:
                await asyncio.sleep(0.01)
        return self.told


@asynccontextmanager
async def receiving(*statuses: int, always: int = 200) -> AsyncIterator[Receiver]:
    receiver = Receiver(list(statuses), always)
    app = web.Application()
    app.router.add_route("*", "/{any:.*}", receiver.handle)
    runner = web.AppRunner(app, shutdown_timeout=0.1)
    await runner.setup()
    listener = socket.create_server(("127.0.0.1", 0))
    receiver.port = listener.getsockname()[1]
    await web.SockSite(runner, listener).start()
    try:
        yield receiver
    finally:
        await runner.cleanup()
