"""A client that leaves in the middle of many texts: what has not begun is not begun."""

from __future__ import annotations

import json
import socket
import time
from typing import Any
from urllib.parse import urlsplit

import httpx
import pytest

from tests.contract.conftest import Live

TEXT = "the house was old and the people in it were kind to each other " * 6
MANY = 2048


def read(live: Live, model: str) -> float:
    """Tokens that the model has read so far, counted at the end of each part."""
    lines = httpx.get(f"{live.url}/metrics").text.splitlines()
    return sum(float(line.rpartition(" ")[2]) for line in lines if line.startswith("hausgeist_tokens_total") and f'"{model}"' in line)


@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("/v1/embeddings", {"model": "tiny-embed", "input": [TEXT] * MANY}),
        ("/v1/rerank", {"model": "tiny-rank", "query": "house", "documents": [TEXT] * MANY}),
        ("/api/embed", {"model": "tiny-embed", "input": [TEXT] * MANY}),
    ],
    ids=["embeddings", "rerank", "ollama"],
)
def test_leaving_takes_effect_between_the_parts(live: Live, path: str, body: dict[str, Any]) -> None:
    model = body["model"]
    few = {name: value[:1] if isinstance(value, list) else value for name, value in body.items()}
    assert httpx.post(live.url + path, json=few, timeout=60).status_code == 200
    loaded = read(live, model)
    assert httpx.post(live.url + path, json=few, timeout=60).status_code == 200
    before = read(live, model)
    one = before - loaded
    assert one > 0
    address = urlsplit(live.url)
    data = json.dumps(body).encode()
    head = f"POST {path} HTTP/1.1\r\nHost: {address.netloc}\r\nContent-Type: application/json\r\nContent-Length: {len(data)}\r\n\r\n"
    with socket.create_connection((address.hostname or "", address.port or 0), 10) as connection:
        connection.sendall(head.encode() + data)
        until = time.monotonic() + 60
        while read(live, model) == before:
            assert time.monotonic() < until
            time.sleep(0.01)
    until = time.monotonic() + 30
    while any(shown.running for shown in live.app.pool.loaded() if shown.model.id == model):
        assert time.monotonic() < until, "the part that was running has no end"
        time.sleep(0.05)
    print(f"\n{path}: free {30 - (until - time.monotonic()):.1f} s after leaving")
    soon = read(live, model)
    time.sleep(1.0)
    assert read(live, model) == soon, "it goes on for nobody"
    assert soon - before < MANY * one
