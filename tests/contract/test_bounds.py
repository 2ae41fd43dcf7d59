"""What is bounded is bounded in every tongue alike, and said in its own shape."""

from typing import Any

import httpx
import pytest

from hausgeist.gateway.bodies import MOST_MESSAGES
from tests.contract.conftest import Live

MANY = [{"role": "user" if number % 2 == 0 else "assistant", "content": "a"} for number in range(MOST_MESSAGES + 1)]


@pytest.mark.parametrize(
    ("path", "more", "told"),
    [
        ("/v1/chat/completions", {}, lambda body: (body["error"]["type"], body["error"]["param"], body["error"]["message"])),
        ("/v1/messages", {"max_tokens": 1}, lambda body: (body["type"], body["error"]["type"], body["error"]["message"])),
        ("/api/chat", {}, lambda body: ("", "", body["error"])),
    ],
)
def test_messages_are_limited_in_number(live: Live, path: str, more: dict[str, Any], told: Any) -> None:
    reply = httpx.post(live.url + path, json={"model": "fake:echo", "messages": MANY, **more}, timeout=60)
    assert reply.status_code == 400
    expected = {
        "/v1/chat/completions": ("invalid_request_error", "messages"),
        "/v1/messages": ("error", "invalid_request_error"),
        "/api/chat": ("", ""),
    }
    *shape, message = told(reply.json())
    assert tuple(shape) == expected[path]
    assert "messages" in message
    assert str(MOST_MESSAGES) in message


@pytest.mark.parametrize(("path", "more"), [("/v1/chat/completions", {}), ("/v1/messages", {"max_tokens": 1}), ("/api/chat", {})])
def test_long_conversations_are_none_of_them(live: Live, path: str, more: dict[str, Any]) -> None:
    reply = httpx.post(live.url + path, json={"model": "fake:echo", "messages": MANY[:501], "stream": False, **more}, timeout=60)
    assert reply.status_code == 200, reply.text
