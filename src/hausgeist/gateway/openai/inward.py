"""Requests that no client waits for, answered by the very routes that answer clients: what a batch asks is read, checked and said as ever."""

from __future__ import annotations

import asyncio
import json
import logging
from collections.abc import Collection, Mapping, Sequence
from typing import Any, Final

from starlette.requests import Request
from starlette.types import Message

from hausgeist.errors import HausgeistError, InvalidRequest
from hausgeist.gateway.openai.errors import error_body
from hausgeist.http.endpoint import Endpoint
from hausgeist.http.statuses import status_of
from hausgeist.identity import Origin, Principal

__all__ = ["BATCHED", "Inward"]

log = logging.getLogger(__name__)

BATCHED: Final = ("/v1/responses", "/v1/chat/completions", "/v1/embeddings", "/v1/completions", "/v1/moderations")
"""What OpenAI takes in batches and could be served here."""


class Inward:
    """`conversations.batches.Perform` over the routes of this tongue."""

    def __init__(self, endpoints: Sequence[Endpoint]) -> None:
        self._handlers = {one.path: one.handle for one in endpoints if one.method == "POST" and one.path in BATCHED and one.operations}

    @property
    def endpoints(self) -> Collection[str]:
        return self._handlers.keys()

    async def __call__(self, who: Principal, origin: Origin, endpoint: str, body: Mapping[str, Any]) -> tuple[int, Mapping[str, Any]]:
        """Status and body of the answer; errors are answers, too. Raises `KeyError` for a path that is not one of `endpoints`."""
        handle = self._handlers[endpoint]
        try:
            if body.get("stream"):
                raise InvalidRequest("Nobody reads this answer as it comes; leave 'stream' out.", param="stream")
            response = await handle(_request(who, origin, endpoint, json.dumps(body).encode()))
            return response.status_code, json.loads(bytes(response.body))
        except Exception as error:
            if not isinstance(error, HausgeistError) and status_of(error) == 500:
                log.exception("%s failed", endpoint)
            return status_of(error), error_body(error)


def _request(who: Principal, origin: Origin, path: str, body: bytes) -> Request:
    sent = False

    async def receive() -> Message:
        nonlocal sent
        if sent:
            # A client that never leaves.
            await asyncio.Event().wait()
        sent = True
        return {"type": "http.request", "body": body, "more_body": False}

    scope = {
        "type": "http",
        "http_version": "1.1",
        "method": "POST",
        "scheme": "http",
        "path": path,
        "raw_path": path.encode(),
        "query_string": b"",
        "headers": [(b"content-type", b"application/json"), (b"content-length", str(len(body)).encode())],
        "client": None,
        "server": None,
        "path_params": {},
        "state": {"principal": who, "origin": origin, "request_id": origin.request_id},
    }
    return Request(scope, receive)
