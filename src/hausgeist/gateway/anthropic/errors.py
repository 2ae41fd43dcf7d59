"""How Anthropic's API says errors: as a response, and as the last event of a stream."""

from __future__ import annotations

import json
from typing import Any

from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from hausgeist.errors import ContextExceeded
from hausgeist.http.endpoint import Dialect
from hausgeist.http.statuses import headers_of, message_of, status_of

__all__ = ["ANTHROPIC", "failure_event", "request_id"]

_TYPES = {
    400: "invalid_request_error",
    401: "authentication_error",
    403: "permission_error",
    404: "not_found_error",
    413: "request_too_large",
    429: "rate_limit_error",
    503: "overloaded_error",
    504: "timeout_error",
}


def request_id(request: Request) -> str:
    """What Anthropic's clients show their users beside an error."""
    origin = getattr(request.state, "origin", None)
    return str(origin.request_id) if origin is not None and origin.request_id else ""


def failure_event(error: Exception, identifier: str) -> bytes:
    """The error as an event, after which the stream ends."""
    return b"event: error\ndata: %b\n\n" % json.dumps(_body(error, identifier), ensure_ascii=False, separators=(",", ":")).encode("utf-8", "replace")


def _respond(request: Request, error: Exception) -> Response:
    identifier = request_id(request)
    headers = headers_of(error) | ({"request-id": identifier} if identifier else {})
    return JSONResponse(_body(error, identifier), status_code=status_of(error), headers=headers)


def _body(error: Exception, identifier: str) -> dict[str, Any]:
    message = message_of(error)
    if isinstance(error, ContextExceeded):
        # Clients look for this very sentence to know that they must shorten the conversation.
        message = f"prompt is too long: {error.prompt_tokens} tokens > {error.context} maximum"
    status = status_of(error)
    # 501 is no fault of the server that would go away: the request asks for what is not there.
    kind = _TYPES.get(status) or ("invalid_request_error" if status < 500 or status == 501 else "api_error")
    return {"type": "error", "error": {"type": kind, "message": message}, "request_id": identifier or None}


ANTHROPIC = Dialect(name="anthropic", error=_respond)
