"""A client that leaves: how soon its place is free again, in generation and in prefill, measured on a model of real size (random weights).

The figures are printed (`pytest -s`) and attached to the test report, for docs/lab.md.
"""

from __future__ import annotations

import json
import os
import socket
import statistics
import time
from collections.abc import Callable, Iterator
from typing import Any
from urllib.parse import urlsplit

import httpx
import pytest

from tests.acceptance.support import HALF_A_BILLION, LONG, ServerProcess, gauge, needs_linux, prompt_of, shaped, until

MODEL = "half-a-billion"
IN_GENERATION = 1.5
"""Seconds within which the place is free, as promised."""
SLACK = 1.5
"""What a busy machine may add to what was computed from its own speed a moment ago."""
PROMPT = 3200
pytestmark = pytest.mark.timeout(240)

Leave = Callable[[str, dict[str, Any], Callable[[bytes], bool]], float]


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServerProcess]:
    needs_linux()
    home = tmp_path_factory.mktemp("leaves") / "home"
    arguments = ["--offline", "--slots", "1", "--context", "8192", "--keep-alive", "-1"]
    with ServerProcess(home, shaped(MODEL, HALF_A_BILLION), arguments=arguments) as one:
        yield one.start()


@pytest.fixture(scope="module")
def client(server: ServerProcess) -> Iterator[httpx.Client]:
    with server.client(timeout=120) as one:
        yield one


@pytest.fixture(scope="module")
def speed(client: httpx.Client) -> dict[str, float]:
    """Tokens per second of this machine now, and seconds that a load takes."""
    asked = {"model": MODEL, "prompt": prompt_of(400), "stream": False, "raw": True, "options": {"num_predict": 16, **LONG}}
    answer = client.post("/api/generate", json=asked).raise_for_status().json()
    return {
        "prefill": answer["prompt_eval_count"] / answer["prompt_eval_duration"] * 1e9,
        "generation": answer["eval_count"] / answer["eval_duration"] * 1e9,
        "load": answer["load_duration"] / 1e9,
        "tokens_per_word": answer["prompt_eval_count"] / 400,
    }


def leave(server: ServerProcess, path: str, body: dict[str, Any], far_enough: Callable[[bytes], bool]) -> float:
    """Ask, go away in the middle (the connection is reset, as when a process is killed), and return when that was."""
    address = urlsplit(server.url)
    data = json.dumps({"model": MODEL, **body}).encode()
    head = f"POST {path} HTTP/1.1\r\nHost: {address.netloc}\r\nContent-Type: application/json\r\nContent-Length: {len(data)}\r\n\r\n"
    with socket.create_connection((address.hostname or "", address.port or 0), 10) as connection:
        connection.sendall(head.encode() + data)
        connection.settimeout(0.05)
        got = b""
        deadline = time.monotonic() + 60
        while not far_enough(got):
            assert time.monotonic() < deadline, got[-300:]
            try:
                block = connection.recv(65536)
                assert block, f"the answer ended too early: {got[-300:]!r}"
                got += block
            except TimeoutError:
                continue
    return time.monotonic()


def free(server: ServerProcess, client: httpx.Client, since: float, within: float) -> float:
    """Seconds until the place was free."""
    until(lambda: gauge(server, client, "hausgeist_active_requests", MODEL) == 0, within, "a free place", pause=0.02)
    return time.monotonic() - since


CALLS = {
    "openai": ("/v1/chat/completions", {"messages": [{"role": "user", "content": "go on"}], "max_tokens": 4000, **LONG}),
    "anthropic": ("/v1/messages", {"messages": [{"role": "user", "content": "go on"}], "max_tokens": 4000, **LONG}),
    "ollama": ("/api/generate", {"prompt": "go on", "options": {"num_predict": 4000, **LONG}}),
}


@pytest.mark.parametrize("stream", [True, False], ids=["stream", "whole"])
@pytest.mark.parametrize("tongue", CALLS)
def test_in_generation(
    server: ServerProcess, client: httpx.Client, speed: dict[str, float], tongue: str, stream: bool, record_property: Callable[[str, object], None]
) -> None:
    path, body = CALLS[tongue]
    began = time.monotonic()

    def in_generation(got: bytes) -> bool:
        """Some events have come; a whole answer shows nothing, so wait until the prompt must be done."""
        return got.count(b"\n\n" if b"data:" in got else b"}\n") > 3 if stream else time.monotonic() - began > 1.0 + 20 / speed["prefill"]

    left = leave(server, path, {**body, "stream": stream}, in_generation)
    seconds = free(server, client, left, 10)
    record_property("seconds_until_free", round(seconds, 3))
    print(f"\nleft {tongue} in generation ({'stream' if stream else 'whole answer'}): free after {seconds:.2f} s")
    assert seconds <= IN_GENERATION
    asked = time.monotonic()
    again = client.post("/v1/completions", json={"model": MODEL, "prompt": "a", "max_tokens": 1, "stream": False})
    assert again.status_code == 200
    # The engine itself is free, too, and does not make the next one wait behind the one that left.
    assert time.monotonic() - asked < IN_GENERATION


@pytest.mark.parametrize("stream", [True, False], ids=["stream", "whole"])
def test_in_prefill(
    server: ServerProcess, client: httpx.Client, speed: dict[str, float], stream: bool, record_property: Callable[[str, object], None]
) -> None:
    """Free after the step of the prefill that was running (256 tokens), or after a restart of the worker: whichever is shorter."""
    text = f"{os.urandom(4).hex()} " + prompt_of(int(PROMPT / speed["tokens_per_word"]))
    whole, step = PROMPT / speed["prefill"], 256 / speed["prefill"]
    began = time.monotonic()
    body = {"prompt": text, "max_tokens": 8, "stream": stream}
    left = leave(server, "/v1/completions", body, lambda got: time.monotonic() - began > min(1.0 + whole / 10, whole / 2))
    remained = whole - (left - began)
    seconds = free(server, client, left, 60)
    record_property("seconds_until_free", round(seconds, 3))
    record_property("seconds_remaining_of_prefill", round(remained, 1))
    print(
        f"\nleft in prefill ({'stream' if stream else 'whole answer'}): free after {seconds:.2f} s; {remained:.1f} s of prefill were left at "
        f"{speed['prefill']:.0f} tokens/s, a step of 256 tokens takes {step:.2f} s, a load {speed['load']:.1f} s"
    )
    assert seconds <= min(remained, max(step * 2, speed["load"] + 1)) + SLACK
    asked = time.monotonic()
    assert client.post("/v1/completions", json={"model": MODEL, "prompt": "a", "max_tokens": 1}).status_code == 200
    assert time.monotonic() - asked < IN_GENERATION + speed["load"]


def test_others_go_on(server: ServerProcess, client: httpx.Client) -> None:
    """Many who leave at once give all their places back, those in the queue included."""
    path, body = CALLS["openai"]
    waits = []
    for _ in range(5):
        left = leave(server, path, {**body, "stream": True, "max_tokens": 50}, lambda got: True)
        waits.append(time.monotonic() - left)
    free(server, client, time.monotonic(), 10)
    until(lambda: gauge(server, client, "hausgeist_queue_requests", MODEL) == 0, 2, "an empty queue")
    assert statistics.median(waits) < 1
    assert client.post(path, json={"model": MODEL, **body, "max_tokens": 1}).status_code == 200
