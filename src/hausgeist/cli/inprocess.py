"""The application inside this process, behind `httpx`'s transport: for commands that need no running server.

Bodies stream in both directions, so that a pull shows how far it is and a model of any size passes through. The event loop runs only while the
command waits for something, and Ctrl-C ends that waiting and nothing in the middle of its work.
"""

from __future__ import annotations

import asyncio
import contextlib
import signal
from collections.abc import Awaitable, Callable, Coroutine, Iterable, Iterator, MutableMapping
from typing import TYPE_CHECKING, Any, TypeVar, cast

import httpx

from hausgeist.cli.running import HomeLock

if TYPE_CHECKING:
    from hausgeist.app import App
    from hausgeist.settings import Settings

__all__ = ["InProcess", "as_local_owner"]

T = TypeVar("T")
Message = MutableMapping[str, Any]
_WAITING = 4
"""Pieces of a reply that are kept for a command that is slower."""


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

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        if self._loop is None:
            self._lock = HomeLock(self._settings.home)  # a server that starts now waits for us
            self._loop = asyncio.new_event_loop()
        if self._app is None:
            from hausgeist.app import build

            self._app = build(self._settings)
            _run(self._loop, self._app.start(working=False))
        exchange = _Exchange(self._loop, self._app.asgi, request)
        try:
            return exchange.begin()
        except BaseException:
            exchange.close()
            raise

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


class _Exchange(httpx.SyncByteStream):
    """One request and its reply, as a server would carry them."""

    def __init__(self, loop: asyncio.AbstractEventLoop, app: Callable[..., Awaitable[None]], request: httpx.Request) -> None:
        self._loop = loop
        self._body: Iterator[bytes] | None = iter(cast("Iterable[bytes]", request.stream))
        self._left = asyncio.Event()
        self._said: asyncio.Queue[Message] = asyncio.Queue(_WAITING)
        self._work = loop.create_task(self._answer(app, _scope(request)))
        self._more = True

    def begin(self) -> httpx.Response:
        start = _run(self._loop, self._next())
        return httpx.Response(start["status"], headers=start["headers"], stream=self)

    def __iter__(self) -> Iterator[bytes]:
        while self._more:
            message = _run(self._loop, self._next())
            self._more = message.get("more_body", False)
            if body := message.get("body"):
                yield body

    def close(self) -> None:
        """Leave: the application notices as it does when a client closes its connection, and ends what it does for us."""
        self._left.set()
        self._more = False
        if not self._loop.is_closed():
            self._loop.run_until_complete(self._end())

    async def _answer(self, app: Callable[..., Awaitable[None]], scope: dict[str, Any]) -> None:
        await app(scope, self._receive, self._send)

    async def _receive(self) -> Message:
        if self._body is not None:
            chunk = next(self._body, None)
            if chunk is None:
                self._body = None
                return {"type": "http.request", "body": b"", "more_body": False}
            return {"type": "http.request", "body": chunk, "more_body": True}
        await self._left.wait()
        return {"type": "http.disconnect"}

    async def _send(self, message: Message) -> None:
        if not self._left.is_set():
            await self._said.put(message)

    async def _next(self) -> Message:
        getting = asyncio.ensure_future(self._said.get())
        try:
            await asyncio.wait({getting, self._work}, return_when=asyncio.FIRST_COMPLETED)
            if getting.done():
                return getting.result()
            await self._work  # it failed, or ended without a word
            raise httpx.RemoteProtocolError("the application ended its answer in the middle")
        finally:
            getting.cancel()

    async def _end(self) -> None:
        while not self._work.done():
            while not self._said.empty():
                self._said.get_nowait()
            await asyncio.wait({self._work}, timeout=0.05)
        with contextlib.suppress(Exception):
            self._work.result()


def _run(loop: asyncio.AbstractEventLoop, work: Coroutine[Any, Any, T]) -> T:
    """Until it is done, or Ctrl-C: that cancels `work` alone, where the default would raise within whatever happens to run."""
    task = loop.create_task(work)
    interrupted = False

    def interrupt() -> None:
        nonlocal interrupted
        interrupted = True
        task.cancel()

    watching = False
    with contextlib.suppress(NotImplementedError, RuntimeError, ValueError):  # Windows, or not the main thread
        loop.add_signal_handler(signal.SIGINT, interrupt)
        watching = True
    try:
        return loop.run_until_complete(task)
    except asyncio.CancelledError:
        if interrupted:
            raise KeyboardInterrupt from None
        raise
    finally:
        if watching:
            loop.remove_signal_handler(signal.SIGINT)


def _scope(request: httpx.Request) -> dict[str, Any]:
    return {
        "type": "http",
        "asgi": {"version": "3.0"},
        "http_version": "1.1",
        "method": request.method,
        "headers": [(name.lower(), value) for name, value in request.headers.raw],
        "scheme": request.url.scheme,
        "path": request.url.path,
        "raw_path": request.url.raw_path.split(b"?")[0],
        "query_string": request.url.query,
        "server": (request.url.host, request.url.port),
        "client": ("127.0.0.1", 1),
        "root_path": "",
    }
