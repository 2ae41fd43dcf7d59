"""The state of the server: /health, /ready, /metrics, /openapi.json."""

from __future__ import annotations

from typing import Any

from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from hausgeist import __version__
from hausgeist.errors import StoreError
from hausgeist.http.endpoint import Endpoint
from hausgeist.http.house import HOUSE
from hausgeist.http.openapi import document
from hausgeist.identity import DEFAULT_PROJECT
from hausgeist.telemetry.metrics import CONTENT_TYPE
from hausgeist.web.parts import Parts

__all__ = ["endpoints"]


def endpoints(parts: Parts) -> list[Endpoint]:
    """The routes."""
    made: dict[str, Any] = {}

    async def health(request: Request) -> Response:
        return JSONResponse({"status": "ok", "version": __version__})

    async def ready(request: Request) -> Response:
        reason = _not_ready(parts)
        return JSONResponse({"ready": not reason, **({"reason": reason} if reason else {})}, 503 if reason else 200)

    async def metrics(request: Request) -> Response:
        return Response(parts.metrics.render(), media_type=CONTENT_TYPE)

    async def openapi(request: Request) -> Response:
        if not made:
            made.update(document(parts.every()))
        return JSONResponse(made)

    return [
        Endpoint(method="GET", path="/health", handle=health, dialect=HOUSE, summary="Whether the process answers", open=True),
        Endpoint(method="GET", path="/ready", handle=ready, dialect=HOUSE, summary="Whether requests can be answered", open=True),
        Endpoint(method="GET", path="/metrics", handle=metrics, dialect=HOUSE, summary="Metrics for Prometheus", action="metrics.read"),
        Endpoint(method="GET", path="/openapi.json", handle=openapi, dialect=HOUSE, summary="This document", open=True),
    ]


def _not_ready(parts: Parts) -> str:
    """Why requests cannot be answered; empty if they can."""
    if not parts.ready():
        return "The server is starting or stopping."
    try:
        parts.workspace.project(DEFAULT_PROJECT)
    except StoreError as error:
        return error.message
    return ""
