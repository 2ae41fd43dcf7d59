"""The judge of malformed requests: it must see what it is there for."""

from __future__ import annotations

import pytest

from tests.soak.judge import judge

OPENAI = b'{"error": {"message": "no", "type": "invalid_request_error", "param": null, "code": null}}'
ANTHROPIC = b'{"type": "error", "error": {"type": "not_found_error", "message": "no"}}'
OLLAMA = b'{"error": "no"}'
HOUSE = b'{"error": {"message": "no", "type": "not_found", "param": null}}'
JSON = "application/json"


@pytest.mark.parametrize(
    ("path", "body"),
    [("/v1/chat/completions", OPENAI), ("/v1/messages", ANTHROPIC), ("/api/chat", OLLAMA), ("/house/v1/keys", HOUSE), ("/v1/models/x", ANTHROPIC)],
)
def test_right(path: str, body: bytes) -> None:
    assert judge("POST", path, {}, 400, JSON, body) == ""


@pytest.mark.parametrize(
    ("path", "status", "kind", "body", "complaint"),
    [
        ("/v1/chat/completions", 500, JSON, OPENAI, "status 500"),
        ("/v1/chat/completions", 502, JSON, OPENAI, "status 502"),
        ("/v1/chat/completions", 400, JSON, OLLAMA, "message, type and param"),
        ("/v1/chat/completions", 400, JSON, HOUSE, "code"),
        ("/v1/messages", 400, JSON, OPENAI, "Anthropic"),
        ("/api/chat", 400, JSON, OPENAI, "Ollama"),
        ("/api/chat", 400, "text/plain", b"no", "text/plain"),
        ("/api/chat", 400, JSON, b"no", "not JSON"),
        ("/api/chat", 400, JSON, b'{"error": "Traceback (most recent call last)"}', "inside"),
        ("/house/v1/keys", 404, JSON, b'{"error": {"message": "", "type": "x", "param": null}}', "message"),
    ],
)
def test_wrong(path: str, status: int, kind: str, body: bytes, complaint: str) -> None:
    assert complaint in judge("POST", path, {}, status, kind, body)
