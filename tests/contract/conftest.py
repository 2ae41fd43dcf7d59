"""A running server on loopback as users start it, with its gate and sockets, fake models and tiny ones of random weights."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Coroutine, Iterator
from concurrent.futures import Future
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

import anthropic
import ollama
import openai
import pytest

from hausgeist.app import App, build
from hausgeist.engines.specimen import write_specimen
from hausgeist.http.server import Server
from hausgeist.settings import load_settings

T = TypeVar("T")
C = TypeVar("C")
START, STOP = 60, 30


@dataclass
class Live:
    """The server in a thread of its own, and what tests need to reach it."""

    home: Path
    settings: dict[str, Any] = field(default_factory=dict)
    files: list[Path] = field(default_factory=list)
    wire: Callable[[App], None] = lambda app: None
    """Changes something of the app before it starts."""
    url: str = ""
    _app: App | None = None
    _loop: asyncio.AbstractEventLoop | None = None
    _leave: asyncio.Event | None = None
    _up: Future[None] = field(default_factory=Future)
    _thread: threading.Thread | None = None
    _clients: list[Any] = field(default_factory=list)

    @property
    def app(self) -> App:
        assert self._app is not None
        return self._app

    def run(self, work: Coroutine[Any, Any, T]) -> T:
        """Do something on the server's own event loop."""
        assert self._loop is not None
        return asyncio.run_coroutine_threadsafe(work, self._loop).result(STOP)

    def openai(self, **options: Any) -> openai.OpenAI:
        """A client of the official SDK; closed with the server. The asynchronous ones are for `async with`."""
        return self._kept(openai.OpenAI(base_url=f"{self.url}/v1", api_key="anything", max_retries=0, timeout=60, **options))

    def async_openai(self, **options: Any) -> openai.AsyncOpenAI:
        return openai.AsyncOpenAI(base_url=f"{self.url}/v1", api_key="anything", max_retries=0, timeout=60, **options)

    def anthropic(self, **options: Any) -> anthropic.Anthropic:
        return self._kept(anthropic.Anthropic(base_url=self.url, api_key="anything", max_retries=0, timeout=60, **options))

    def async_anthropic(self, **options: Any) -> anthropic.AsyncAnthropic:
        return anthropic.AsyncAnthropic(base_url=self.url, api_key="anything", max_retries=0, timeout=60, **options)

    def ollama(self, **options: Any) -> ollama.Client:
        return self._kept(ollama.Client(host=self.url, timeout=60, **options))

    def async_ollama(self, **options: Any) -> ollama.AsyncClient:
        return ollama.AsyncClient(host=self.url, timeout=60, **options)

    def _kept(self, client: C) -> C:
        self._clients.append(client)
        return client

    def start(self) -> None:
        self._thread = threading.Thread(target=lambda: asyncio.run(self._serve()), name="server", daemon=True)
        self._thread.start()
        self._up.result(START)

    def stop(self) -> None:
        assert self._loop is not None
        assert self._leave is not None
        assert self._thread is not None
        for client in self._clients:
            client.close()
        self._loop.call_soon_threadsafe(self._leave.set)
        self._thread.join(STOP)
        assert not self._thread.is_alive(), "the server did not stop"

    async def _serve(self) -> None:
        try:
            self._loop, self._leave = asyncio.get_running_loop(), asyncio.Event()
            # Nothing listens there: what is not installed cannot be pulled, and no test asks a registry on the net.
            settings = load_settings(home=self.home, port=0, fake=True, **{"registry": "http://127.0.0.1:9", **self.settings})
            self._app = build(settings)
            self.wire(self._app)
            await self._app.start(self.files)
            server = Server(self._app.asgi, settings)
            await server.start()
            self.url = f"http://127.0.0.1:{server.port}"
        except BaseException as error:
            self._up.set_exception(error)
            return
        self._up.set_result(None)
        await self._leave.wait()
        await server.stop(drain=0)
        await self._app.stop(drain=0)


@pytest.fixture(scope="session")
def specimens(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Files of random weights, by the name under which they are offered."""
    folder = tmp_path_factory.mktemp("specimens")
    return {
        "tiny": write_specimen(folder / "tiny.gguf"),
        "tiny-embed": write_specimen(folder / "tiny-embed.gguf", task="embed"),
        "tiny-rank": write_specimen(folder / "tiny-rank.gguf", task="rerank"),
    }


@pytest.fixture(scope="session")
def live(tmp_path_factory: pytest.TempPathFactory, specimens: dict[str, Path]) -> Iterator[Live]:
    """One server for all contract tests: `fake:echo`, `fake:obeys`, ... and `tiny`, `tiny-embed`, `tiny-rank`."""
    server = Live(home=tmp_path_factory.mktemp("home"), files=list(specimens.values()), settings={"allow": ("127.0.0.1:9",)})
    server.start()
    yield server
    server.stop()
