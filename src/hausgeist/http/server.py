"""The server process: listens, serves, drains. Owns sockets, TLS and signals; what is served is an ASGI application handed in."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import signal
import socket
import ssl
from collections.abc import AsyncIterator, Callable, Coroutine, Iterator
from typing import TYPE_CHECKING, Any, TypeVar

from starlette.types import ASGIApp

from hausgeist.errors import Conflict
from hausgeist.http.sockets import listen, raise_file_limit, urls
from hausgeist.http.tls import Certificates
from hausgeist.settings import Settings

if TYPE_CHECKING:
    import uvicorn

__all__ = ["Server", "run"]

log = logging.getLogger(__name__)
T = TypeVar("T")

_KEEP_ALIVE_SECONDS = 75
"""Longer than clients keep idle connections: whoever closes first must be the client, or its next request may fail."""
_RENEWAL_SECONDS = 12 * 3600.0
_LAST_SECONDS = 5.0
"""What handlers get to clean up after they were cancelled."""


class Server:
    """`bind`, `start`, `wait` (until a signal or `stop_soon`), `stop`; or `run` for all of it."""

    def __init__(self, app: ASGIApp, settings: Settings, *, on_drain: Callable[[], None] | None = None) -> None:
        """`on_drain` is called when no more requests are taken and the running ones are being finished."""
        self._app = app
        self._settings = settings
        self._on_drain = on_drain
        self._sockets: list[socket.socket] = []
        self._own_port: list[socket.socket] = []
        self._server: uvicorn.Server | None = None
        self._serving: asyncio.Task[None] | None = None
        self._renewing: asyncio.Task[None] | None = None
        self._stopping = asyncio.Event()

    def bind(self) -> None:
        """Open the ports. Raises `Conflict` (in use), `InvalidRequest` (not of this machine)."""
        if self._sockets:
            return
        settings = self._settings
        if settings.ollama_port is not None and settings.ollama_port == settings.port != 0:
            raise Conflict(f"port and ollama_port are both {settings.port}; clients of Ollama can use that port as it is.")
        self._own_port = listen(settings.host, settings.port)
        self._sockets = [*self._own_port]
        if settings.ollama_port is not None:
            try:
                self._sockets += listen(settings.host, settings.ollama_port)
            except BaseException:
                self._close_sockets()
                raise

    @property
    def addresses(self) -> list[str]:
        """Where it listens, as URLs, the main port first. After `bind`."""
        return urls(self._sockets, tls=self._settings.tls_on)

    @property
    def port(self) -> int:
        """The main port, as it was opened. After `bind`."""
        return int(self._own_port[0].getsockname()[1])

    async def start(self) -> None:
        """Accept connections. Raises what `bind` and `Certificates.context` raise."""
        import uvicorn

        from hausgeist.http.protocol import Protocol

        self.bind()
        try:
            raise_file_limit()
            context = await self._tls()
            config = uvicorn.Config(
                self._app,
                http=Protocol,
                ws="none",
                lifespan="off",
                log_config=None,
                access_log=False,
                proxy_headers=False,
                server_header=False,
                timeout_keep_alive=_KEEP_ALIVE_SECONDS,
                # How long to drain is decided in `stop`, when it is known why.
                timeout_graceful_shutdown=None,
            )
            config.load()
            config.ssl = context
        except BaseException:
            self._close_sockets()
            raise
        self._server = _uvicorn(config)
        self._serving = asyncio.create_task(self._server.serve(self._sockets))
        while not self._server.started and not self._serving.done():
            await asyncio.sleep(0.005)
        if self._serving.done():
            self._serving.result()

    async def wait(self) -> None:
        """Until a signal (SIGTERM, SIGINT) or `stop_soon`. From then on a second signal ends what is still running at once."""
        async with self._signals():
            await self._stopping.wait()

    def stop_soon(self) -> None:
        """End `wait`; called again, end the draining. From the event loop's thread."""
        if self._stopping.is_set() and self._server is not None:
            self._server.force_exit = True
        self._stopping.set()

    async def stop(self, *, drain: float | None = None) -> None:
        """Take no more requests, let the running ones finish for `drain` seconds (default: the setting), then cut them off. Idempotent."""
        self._stopping.set()
        if self._renewing is not None:
            self._renewing.cancel()
        server, serving = self._server, self._serving
        if server is None or serving is None:
            self._close_sockets()
            return
        if serving.done():
            return
        if self._on_drain is not None:
            self._on_drain()
        async with self._signals():
            server.config.timeout_graceful_shutdown = None
            server.should_exit = True
            limit = self._settings.drain if drain is None else drain
            done, _ = await asyncio.wait({serving}, timeout=max(0.3, limit))
            if not done:
                log.warning("%d requests were still running after %.0f s and were cut off", len(server.server_state.tasks), limit)
            await self._cut_off(server, serving)

    async def run(self) -> None:
        """Serve until a signal, and drain."""
        await self.start()
        try:
            await self.wait()
        finally:
            await self.stop()

    async def _cut_off(self, server: uvicorn.Server, serving: asyncio.Task[None]) -> None:
        server.force_exit = True
        left = list(server.server_state.tasks)
        for task in left:
            task.cancel()
        if left:
            await asyncio.wait(left, timeout=_LAST_SECONDS)
        for connection in list(server.server_state.connections):
            transport = getattr(connection, "transport", None)
            if transport is not None:
                transport.abort()
        done, _ = await asyncio.wait({serving}, timeout=_LAST_SECONDS)
        if not done:
            serving.cancel()
            await asyncio.wait({serving}, timeout=_LAST_SECONDS)

    async def _tls(self) -> ssl.SSLContext | None:
        if not self._settings.tls_on:
            return None
        certificates = Certificates(self._settings)
        context = await asyncio.to_thread(certificates.context)
        self._renewing = asyncio.create_task(_renew(certificates, context))
        return context

    @contextlib.asynccontextmanager
    async def _signals(self) -> AsyncIterator[None]:
        loop = asyncio.get_running_loop()
        taken: list[signal.Signals] = []
        for one in (signal.SIGTERM, signal.SIGINT):
            # Not on Windows, not in other threads: there Ctrl-C raises KeyboardInterrupt as usual.
            with contextlib.suppress(NotImplementedError, ValueError, RuntimeError):
                loop.add_signal_handler(one, self.stop_soon)
                taken.append(one)
        try:
            yield
        finally:
            for one in taken:
                loop.remove_signal_handler(one)

    def _close_sockets(self) -> None:
        for one in self._sockets or self._own_port:
            one.close()
        self._sockets, self._own_port = [], []


def run(main: Coroutine[Any, Any, T]) -> T:
    """`asyncio.run`, on uvloop where it is installed."""
    try:
        import uvloop
    except ImportError:
        return asyncio.run(main)
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        return runner.run(main)


async def _renew(certificates: Certificates, context: ssl.SSLContext) -> None:
    """A server that runs for a year must not wake up with an expired certificate; one that the owner renews is picked up as well."""
    while True:
        await asyncio.sleep(_RENEWAL_SECONDS)
        try:
            await asyncio.to_thread(certificates.refresh, context)
        except Exception as error:
            log.error("the certificate could not be renewed: %s", error)


def _uvicorn(config: uvicorn.Config) -> uvicorn.Server:
    import uvicorn

    class WithoutSignals(uvicorn.Server):
        """Signals are ours: what they mean depends on what else is running."""

        @contextlib.contextmanager
        def capture_signals(self) -> Iterator[None]:
            yield

    return WithoutSignals(config)
