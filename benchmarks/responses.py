"""What keeping a response costs: the time to its first word with and without, by turns, and next to the same asked as a chat."""

from __future__ import annotations

import http.client
import json
import time
from collections.abc import Mapping
from typing import Any

from benchmarks.report import Figure, median, quantile
from benchmarks.servers import Server, hausgeist

__all__ = ["measure"]

ROUNDS, WARM_UP = 300, 20
_MODEL = "fake:obeys@200"
_INPUT = "count 10"
_ASKED: Mapping[str, tuple[str, dict[str, Any], bytes]] = {
    "chat": ("/v1/chat/completions", {"messages": [{"role": "user", "content": _INPUT}]}, b'"content":"1'),
    "not kept": ("/v1/responses", {"input": _INPUT, "store": False}, b"output_text.delta"),
    "kept": ("/v1/responses", {"input": _INPUT}, b"output_text.delta"),
}


def measure() -> list[Figure]:
    with hausgeist(HAUSGEIST_FAKE="1") as server:
        times: dict[str, list[float]] = {name: [] for name in _ASKED}
        for number in range(ROUNDS + WARM_UP):
            # Each comes after each other one as often, so that what an answer leaves behind burdens all alike.
            names = list(_ASKED) if number % 2 else list(reversed(_ASKED))
            for name in names:
                took = _first_word(server, name)
                if number >= WARM_UP:
                    times[name].append(took)
    added = median(times["kept"]) - median(times["not kept"])
    figures = [Figure(f"first word, {name}", f"{median(found):.2f} ms (p95 {quantile(found, 0.95):.2f})") for name, found in times.items()]
    return [*figures, Figure("keeping adds to the first word", f"{added:.2f} ms", "<= 3 ms", added <= 3)]


def _first_word(server: Server, name: str) -> float:
    """Milliseconds from the request to the first word of the answer."""
    path, body, mark = _ASKED[name]
    data = json.dumps({"model": _MODEL, "stream": True, **body}).encode()
    connection = http.client.HTTPConnection(server.address.host, server.address.port, timeout=60)
    try:
        began = time.perf_counter()
        connection.request("POST", path, data, {"Content-Type": "application/json"})
        answer = connection.getresponse()
        read = b""
        while mark not in read:
            chunk = answer.read1(2**16)
            if not chunk:
                raise RuntimeError(read.decode("utf-8", "replace"))
            read += chunk
        took = (time.perf_counter() - began) * 1000
        answer.read()
        return took
    finally:
        connection.close()
