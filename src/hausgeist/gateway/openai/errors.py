"""Errors in OpenAI's shape: `{"error": {"message", "type", "param", "code"}}`, as a response or as an event within a stream."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from hausgeist.errors import (
    Busy,
    Conflict,
    ContextExceeded,
    DiskFull,
    EgressRefused,
    EngineCrashed,
    EngineFailed,
    InvalidRequest,
    LoadFailed,
    Locked,
    ModelNotFound,
    NotAllowed,
    NotAuthenticated,
    NotEnoughMemory,
    NotFound,
    NotSupported,
    TooLarge,
    Unavailable,
)
from hausgeist.http.endpoint import Dialect
from hausgeist.http.statuses import headers_of, message_of, status_of

__all__ = ["OPENAI", "error_body", "error_event", "naming"]

_KINDS: tuple[tuple[type[Exception], str, str | None], ...] = (
    (ContextExceeded, "invalid_request_error", "context_length_exceeded"),
    (NotSupported, "not_supported_error", "not_supported"),
    (InvalidRequest, "invalid_request_error", None),
    (NotAuthenticated, "invalid_request_error", "invalid_api_key"),
    (NotAllowed, "permission_error", "insufficient_permissions"),
    (EgressRefused, "permission_error", "egress_refused"),
    (ModelNotFound, "invalid_request_error", "model_not_found"),
    (NotFound, "invalid_request_error", "not_found"),
    (Locked, "invalid_request_error", "conversation_locked"),
    (Conflict, "invalid_request_error", "conflict"),
    (TooLarge, "invalid_request_error", "request_too_large"),
    (Busy, "rate_limit_error", "rate_limit_exceeded"),
    (NotEnoughMemory, "server_error", "not_enough_memory"),
    (LoadFailed, "server_error", "model_not_loadable"),
    (EngineCrashed, "server_error", "engine_crashed"),
    (EngineFailed, "server_error", "engine_failed"),
    (Unavailable, "server_error", "unavailable"),
    (DiskFull, "server_error", "disk_full"),
)
"""Class, `type`, `code`: the first that fits."""


@contextmanager
def naming(param: str) -> Iterator[None]:
    """An input that is too long is blamed on the parameter that holds it in this operation."""
    try:
        yield
    except ContextExceeded as error:
        error.param = param
        raise


def error_body(error: Exception, *, where: str = "") -> dict[str, Any]:
    """The error as OpenAI's clients parse it. `where` is "METHOD /path", for addresses that do not exist."""
    message, kind, code = message_of(error), "server_error", "internal_error"
    param = getattr(error, "param", None)
    if isinstance(error, HTTPException):
        kind, code = ("invalid_request_error", f"http_{error.status_code}") if error.status_code < 500 else (kind, code)
        if error.status_code in (404, 405) and where:
            message, code = f"There is no {where} here. The base address ends with /v1.", "unknown_url"
    else:
        kind, code = next(((kind, code or "") for known, kind, code in _KINDS if isinstance(error, known)), (kind, code))
    if isinstance(error, ModelNotFound):
        param = "model"
    return {"error": {"message": message, "type": kind, "param": param, "code": code or None}}


def error_event(error: Exception) -> bytes:
    """The same as an event; the official SDK raises it from the stream."""
    return b"data: " + json.dumps(error_body(error), ensure_ascii=False, separators=(",", ":")).encode("utf-8", "replace") + b"\n\n"


def _response(request: Request, error: Exception) -> Response:
    body = error_body(error, where=f"{request.method} {request.url.path}")
    return Response(
        json.dumps(body, ensure_ascii=False).encode("utf-8", "replace"),
        status_code=status_of(error),
        headers=headers_of(error),
        media_type=JSONResponse.media_type,
    )


OPENAI = Dialect(name="openai", error=_response)
