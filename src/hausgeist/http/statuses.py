"""Which HTTP status each error is answered with, in every tongue alike. How the body says it is the dialect's."""

from __future__ import annotations

import math

from starlette.exceptions import HTTPException

from hausgeist.errors import (
    Busy,
    Conflict,
    DiskFull,
    EgressRefused,
    EngineCrashed,
    EngineFailed,
    HausgeistError,
    InvalidRequest,
    NotAllowed,
    NotAuthenticated,
    NotFound,
    NotSupported,
    TooLarge,
    Unavailable,
)

__all__ = ["headers_of", "message_of", "status_of"]

_STATUS: tuple[tuple[type[Exception], int], ...] = (
    (NotSupported, 501),
    (InvalidRequest, 400),
    (NotAuthenticated, 401),
    (NotAllowed, 403),
    (EgressRefused, 403),
    (NotFound, 404),
    (Conflict, 409),
    (TooLarge, 413),
    (Busy, 429),
    (EngineCrashed, 502),
    (EngineFailed, 502),
    (Unavailable, 503),
    (DiskFull, 507),
)
"""The first class that fits; all else is 500."""


def status_of(error: Exception) -> int:
    """The status for an exception."""
    if isinstance(error, HTTPException):
        return error.status_code
    return next((status for kind, status in _STATUS if isinstance(error, kind)), 500)


def headers_of(error: Exception) -> dict[str, str]:
    """Headers that go with it. The official SDKs retry every 5xx unless told that it will not help."""
    headers = dict(error.headers or {}) if isinstance(error, HTTPException) else {}
    if isinstance(error, NotAuthenticated):
        headers["www-authenticate"] = "Bearer"
    if isinstance(error, Busy):
        headers["retry-after"] = str(max(1, math.ceil(error.retry_after)))
    if status_of(error) in (501, 507):
        headers["x-should-retry"] = "false"
    return headers


def message_of(error: Exception) -> str:
    """What the caller is told. Of an error that nobody foresaw, nothing but that it is in the log."""
    if isinstance(error, HausgeistError):
        return error.message
    if isinstance(error, HTTPException):
        return str(error.detail)
    return HausgeistError().message
