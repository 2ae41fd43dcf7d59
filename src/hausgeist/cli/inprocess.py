"""The application inside this process, behind `httpx`'s transport: for commands that need no running server."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import httpx

from hausgeist.cli.running import HomeLock

if TYPE_CHECKING:
    from hausgeist.app import App
    from hausgeist.settings import Settings

__all__ = ["InProcess", "as_local_owner"]


def as_local_owner(settings: Settings) -> Settings:
    """The settings for whoever sits at this terminal: may read the home folder, so needs no key."""
    return settings.model_copy(
        update={"host": "127.0.0.1", "keys_required": False, "tls": False, "behind_proxy": False, "ollama_port": None, "log_level": "error"}
    )


class InProcess(httpx.BaseTransport):
    """Runs requests on an event loop of its own. The application is built with the first request and stopped at the end."""

    def __init__(self, settings: Settings) -> None:
        self._settings = as_local_owner(settings)
        self._lock: HomeLock | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._app: App | None = None
        self._asgi: httpx.ASGITransport | None = None

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        if self._loop is None:
            self._lock = HomeLock(self._settings.home)  # a server that starts now waits for us
            self._loop = asyncio.new_event_loop()
        return self._loop.run_until_complete(self._handle(request))

    async def _handle(self, request: httpx.Request) -> httpx.Response:
        if self._asgi is None:
            from hausgeist.app import build

            self._app = build(self._settings)
            await self._app.start()
            self._asgi = httpx.ASGITransport(app=self._app.asgi, client=("127.0.0.1", 1))
        body = request.read()
        inner = httpx.Request(request.method, request.url, headers=request.headers, content=body)
        response = await self._asgi.handle_async_request(inner)
        return httpx.Response(response.status_code, headers=response.headers, content=await response.aread())

    def close(self) -> None:
        if self._loop is None:
            return
        try:
            if self._app is not None:
                self._loop.run_until_complete(self._app.stop())
        finally:
            self._loop.close()
            self._loop = None
            if self._lock is not None:
                self._lock.release()
