"""Hausgeist's own tongue, spoken under /house/v1 and wherever no other applies: `{"error": {"type", "message", "param"}}`."""

from __future__ import annotations

import re
from typing import Any

from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from hausgeist.errors import HausgeistError, InvalidRequest
from hausgeist.http.endpoint import Dialect
from hausgeist.http.statuses import headers_of, message_of, status_of

__all__ = ["HOUSE", "error_body"]

_TYPES = {404: "not_found", 405: "method_not_allowed", 408: "timeout"}


def _error(request: Request, error: Exception) -> Response:
    return JSONResponse(error_body(error), status_of(error), headers_of(error))


def error_body(error: Exception) -> dict[str, Any]:
    """The error as a document, or as the last line of a stream."""
    said = {
        "type": _type(error, status_of(error)),
        "message": message_of(error),
        "param": error.param if isinstance(error, InvalidRequest) else None,
    }
    return {"error": said}


def _type(error: Exception, status: int) -> str:
    """The class of the error in snake case: not_authenticated, invalid_request, busy."""
    if isinstance(error, HausgeistError) and type(error) is not HausgeistError:
        return re.sub(r"(?<!^)(?=[A-Z])", "_", type(error).__name__).lower()
    return _TYPES.get(status, "invalid_request" if status < 500 else "server_error")


HOUSE = Dialect("house", _error)
