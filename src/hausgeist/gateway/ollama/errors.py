"""How Ollama says errors: an object with one sentence, as a response or as the last line of a stream."""

from __future__ import annotations

import json

from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from hausgeist.errors import ModelNotFound
from hausgeist.http.endpoint import Dialect
from hausgeist.http.statuses import headers_of, message_of, status_of

__all__ = ["OLLAMA", "failure_line"]


def failure_line(error: Exception) -> bytes:
    """The error as a line, after which the stream ends."""
    return json.dumps({"error": _message(error)}, ensure_ascii=False).encode("utf-8", "replace") + b"\n"


def _respond(request: Request, error: Exception) -> Response:
    return JSONResponse({"error": _message(error)}, status_code=status_of(error), headers=headers_of(error))


def _message(error: Exception) -> str:
    if isinstance(error, ModelNotFound):
        # Clients look for these words to offer a download.
        return f"model '{error.model}' not found"
    return message_of(error)


OLLAMA = Dialect(name="ollama", error=_respond)
