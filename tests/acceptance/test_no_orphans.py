"""No worker outlives its server, however that dies and whatever it was just doing; a server that is asked to end finishes what it has begun;
and a worker that dies costs its requests an error that says so, and nobody else anything."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.acceptance.support import LONG, SLOW, ServerProcess, marked, needs_linux, objects, shaped, tiny, until, wrong_shape

GONE = 5.0
"""Seconds after which nothing may be left of a server that was killed."""
PATIENCE = 60.0
pytestmark = pytest.mark.timeout(180)
MESSAGES = [{"role": "user", "content": "tell me of the house"}]
CALLS: dict[str, tuple[str, dict[str, Any]]] = {
    "openai": ("/v1/chat/completions", {"messages": MESSAGES, "max_tokens": 12000, **LONG}),
    "anthropic": ("/v1/messages", {"messages": MESSAGES, "max_tokens": 12000, **LONG}),
    "ollama": ("/api/chat", {"messages": MESSAGES, "options": {"num_predict": 12000, **LONG}}),
}


@pytest.fixture(autouse=True)
def _linux() -> None:
    needs_linux()


@pytest.fixture
def server(tmp_path: Path) -> Iterator[ServerProcess]:
    with ServerProcess(tmp_path / "home", shaped("slow", SLOW), tiny(), arguments=["--offline", "--context", "16384"]) as one:
        yield one.start()


class Streaming:
    """A request whose answer is being read in the background."""

    def __init__(self, server: ServerProcess, tongue: str = "openai", *, model: str = "slow", stream: bool = True, **more: Any) -> None:
        self.path, body = CALLS[tongue]
        self._body = {"model": model, "stream": stream, **body, **more}
        self._url = server.url
        self.status = 0
        self.lines: list[str] = []
        self.failure: Exception | None = None
        self._thread = threading.Thread(target=self._read, daemon=True)
        self._thread.start()

    def _read(self) -> None:
        try:
            with (
                httpx.Client(base_url=self._url, timeout=PATIENCE, trust_env=False) as client,
                client.stream("POST", self.path, json=self._body) as response,
            ):
                self.status = response.status_code
                for line in response.iter_lines():
                    self.lines.append(line)
        except httpx.HTTPError as error:
            self.failure = error

    def flowing(self) -> None:
        until(lambda: len(self.lines) > 5 or not self._thread.is_alive(), PATIENCE, f"an answer at {self.path}")
        assert self._thread.is_alive(), (self.status, self.lines[:3], self.failure)

    def ended(self, within: float = PATIENCE) -> Streaming:
        self._thread.join(within)
        assert not self._thread.is_alive(), f"the answer at {self.path} neither went on nor ended"
        return self

    @property
    def objects(self) -> list[dict[str, Any]]:
        return objects(iter(self.lines))


def answering(server: ServerProcess, **more: Any) -> Streaming:
    """A model is loaded, another one too, and a stream runs."""
    with server.client() as client:
        assert client.post("/api/generate", json={"model": "tiny"}).status_code == 200
    stream = Streaming(server, **more)
    stream.flowing()
    return stream


def fitting(server: ServerProcess, **more: Any) -> Streaming:
    """The engine is being asked how much memory a model takes: the first process of a load."""
    stream = Streaming(server, **more)
    until(server.workers, PATIENCE, "a fit pass", pause=0.001)
    return stream


def loading(server: ServerProcess, **more: Any) -> Streaming:
    """The second process of a load."""
    stream = Streaming(server, **more)
    (fit,) = until(server.workers, PATIENCE, "a fit pass", pause=0.001)
    until(lambda: [pid for pid in server.workers() if pid != fit], PATIENCE, "a load", pause=0.001)
    return stream


BUSY = {"answering": answering, "fitting": fitting, "loading": loading}


@pytest.mark.parametrize("busy", BUSY)
def test_a_killed_server_takes_its_workers_along(server: ServerProcess, busy: str) -> None:
    stream = BUSY[busy](server)
    assert server.workers()
    server.kill()
    until(lambda: not server.family(), GONE, "the death of all workers")
    assert isinstance(stream.ended().failure, httpx.TransportError)  # cut off, not ended as if it were whole
    server.start()
    with server.client() as client:
        assert client.post("/api/generate", json={"model": "tiny", "prompt": "a", "options": {"num_predict": 2}, "stream": False}).status_code == 200
    assert sorted(path.name for path in (server.home / "run").glob("*.sock")) == [
        path.name for path in (server.home / "run").glob(f"{server.pid}-*.sock")
    ]


def test_even_workers_that_hang(server: ServerProcess) -> None:
    answering(server)
    for worker in server.workers():
        os.kill(worker, signal.SIGSTOP)
    server.kill()
    until(lambda: not server.family(), GONE, "the death of stopped workers")


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP, signal.SIGINT])
def test_a_signal_lets_answers_finish_and_refuses_new_ones(server: ServerProcess, number: int) -> None:
    with server.client() as client:
        stream = Streaming(server, max_tokens=600)
        stream.flowing()
        server.send(number)
        until(lambda: _refused(client), 15, "the refusal of new requests")
    assert server.workers(), "the worker ended before its answer did"
    assert stream.ended().failure is None
    assert stream.lines[-2:] == ["data: [DONE]", ""]
    assert server.wait(15) == 0
    until(lambda: not server.family(), GONE, "the end of all workers")
    assert not list((server.home / "run").glob("*.sock"))


@pytest.mark.parametrize("busy", ["fitting", "loading"])
def test_a_signal_lets_a_load_finish_for_those_who_wait(server: ServerProcess, busy: str) -> None:
    stream = BUSY[busy](server, max_tokens=20)
    server.send(signal.SIGTERM)
    assert stream.ended().status == 200
    assert stream.lines[-2:] == ["data: [DONE]", ""]
    assert server.wait(15) == 0
    until(lambda: not server.family(), GONE, "the end of all workers")


@pytest.mark.parametrize("busy", BUSY)
def test_a_second_signal_ends_it_at_once(server: ServerProcess, busy: str) -> None:
    stream = BUSY[busy](server)
    server.send(signal.SIGTERM)
    time.sleep(0.2)
    assert server.process is not None
    assert server.process.poll() is None
    asked = time.monotonic()
    server.send(signal.SIGTERM)
    assert server.wait(5) == 0
    assert time.monotonic() - asked < 3.0
    until(lambda: not server.family(), GONE, "the end of all workers")
    stream.ended()
    assert "data: [DONE]" not in stream.lines


def _refused(client: httpx.Client) -> bool:
    """A server that ends takes no connections any more, or says that it does not."""
    try:
        return client.post("/v1/chat/completions", json={"model": "tiny", "messages": MESSAGES, "max_tokens": 1}).status_code == 503
    except httpx.TransportError:
        return True


@pytest.mark.parametrize("how", ["killed", "hangup"])
def test_a_chat_whose_terminal_goes_leaves_nothing(tmp_path: Path, how: str) -> None:
    """`hausgeist run` in a shell on a terminal; its shell is killed, or the terminal is closed."""
    import pty

    chat = ServerProcess(tmp_path / "home", shaped("slow", SLOW))
    command = f"{sys.executable} -m hausgeist run {shaped('slow', SLOW)} 'tell me of the house' --temperature 0 --home {chat.home}; true"
    shell, terminal = pty.fork()
    if shell == 0:
        os.execve("/bin/sh", ["sh", "-c", command], chat.environment)
    threading.Thread(target=_drain, args=(terminal,), daemon=True).start()
    try:
        # A request counts as running while its model is still loaded; a moment without any worker lies between fit pass and load.
        until(lambda: b'"slow"' in _metrics(chat) and len(chat.family()) >= 3, PATIENCE, "an answer in the chat", pause=0.1)
        if how == "killed":
            os.kill(shell, signal.SIGKILL)
            os.waitpid(shell, 0)
        else:
            os.close(terminal)
        # The terminal hangs up on the chat, the chat's end is the end of its server, and that of its workers.
        until(lambda: not chat.family(), 2 * GONE, "the end of the chat, its server and its workers")
    finally:
        chat.close()
        if how == "hangup":
            os.waitpid(shell, 0)
        else:
            os.close(terminal)


def test_a_chat_that_is_killed_leaves_nothing(tmp_path: Path) -> None:
    chat = ServerProcess(tmp_path / "home", shaped("slow", SLOW))
    command = [sys.executable, "-m", "hausgeist", "run", str(shaped("slow", SLOW)), "tell me", "--temperature", "0", "--home", str(chat.home)]
    with subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, env=chat.environment) as process:
        try:
            until(lambda: b'"slow"' in _metrics(chat) and len(chat.family()) == 3, PATIENCE, "an answer", pause=0.1)
            process.kill()
            process.wait(5)
            until(lambda: not chat.family(), GONE, "the end of its server and its workers")
        finally:
            chat.close()


def _metrics(chat: ServerProcess) -> bytes:
    """What the chat's server says of running answers; empty before it is up."""
    with contextlib.suppress(OSError, ValueError, httpx.HTTPError, KeyError):
        told = json.loads((chat.home / "run" / "server.json").read_text())
        text = httpx.get(f"{told['address']}/metrics", headers={"authorization": f"Bearer {told['token']}"}, timeout=2, trust_env=False).content
        return b"\n".join(line for line in text.splitlines() if line.startswith(b"hausgeist_active_requests{") and line.endswith(b" 1.0"))
    return b""


def _drain(terminal: int) -> None:
    with contextlib.suppress(OSError):
        while os.read(terminal, 65536):
            pass


@pytest.mark.parametrize("tongue", CALLS)
def test_a_worker_that_dies_in_an_answer(server: ServerProcess, tongue: str) -> None:
    stream = Streaming(server, tongue)
    stream.flowing()
    (before,) = server.workers()
    os.kill(before, signal.SIGKILL)
    stream.ended(10)
    assert stream.failure is None
    last = stream.objects[-1]
    assert not wrong_shape(stream.path, last), last
    assert "stopped" in str(last["error"])
    assert "data: [DONE]" not in stream.lines
    with server.client() as client:
        body = {"model": "slow", "messages": MESSAGES, "max_tokens": 3}
        assert client.post("/v1/chat/completions", json=body).status_code == 200
    (after,) = server.workers()
    assert after != before


@pytest.mark.parametrize("tongue", CALLS)
def test_workers_that_die_again_and_again(server: ServerProcess, tongue: str) -> None:
    """A whole answer is asked of a fresh worker once, at most; then its caller is told."""
    call = Streaming(server, tongue, stream=False)
    seen: set[int] = set()
    while call._thread.is_alive():
        for worker in server.workers():
            # Let it come up, so that it is the answer that fails and not the load.
            if worker not in seen and _serves(server, worker):
                seen.add(worker)
                os.kill(worker, signal.SIGKILL)
        time.sleep(0.02)
    call.ended()
    assert call.status == 502
    assert not wrong_shape(call.path, json.loads("".join(call.lines)))
    assert 1 <= len(seen) <= 2
    with server.client() as client:
        assert client.post("/v1/chat/completions", json={"model": "slow", "messages": MESSAGES, "max_tokens": 3}).status_code == 200


def test_a_fresh_worker_is_counted_from_the_start(server: ServerProcess) -> None:
    """Whoever asks in the very moment of a crash gets a worker that the ledger of memory knows."""
    body = {"model": "slow", "messages": MESSAGES, "max_tokens": 2}
    with server.client() as client:
        for _ in range(4):
            assert client.post("/v1/chat/completions", json=body).status_code == 200
            (shown,) = client.get("/api/ps").json()["models"]
            assert shown["size"] > 0
            (worker,) = server.workers()
            os.kill(worker, signal.SIGKILL)


def _serves(server: ServerProcess, worker: int) -> bool:
    with server.client() as client:
        shown = client.get("/api/ps").json()["models"]
    return bool(shown) and worker in marked(server.mark)
