"""What every request passes first: finds out who asks, limits the body, counts and logs. Plain ASGI, so that streamed chunks cost little."""

from __future__ import annotations

import logging
import re
import secrets
import sys
import time
from collections.abc import Sequence
from typing import Any

from starlette.requests import ClientDisconnect, Request
from starlette.types import ASGIApp, Receive, Scope, Send

from hausgeist.errors import HausgeistError, NotAllowed, NotAuthenticated
from hausgeist.governance.refusals import Refusals
from hausgeist.governance.service import Governor
from hausgeist.http.access import Identities, client_of, identify, site_of
from hausgeist.http.cors import allowing, is_preflight, preflight
from hausgeist.http.endpoint import Endpoint
from hausgeist.http.exchange import Exchange
from hausgeist.http.facts import RequestFacts
from hausgeist.http.rules import BindingRules
from hausgeist.http.statuses import status_of
from hausgeist.http.tongues import Tongues
from hausgeist.identity import Origin
from hausgeist.telemetry import Metrics

__all__ = ["Gate"]

log = logging.getLogger(__name__)
access_log = logging.getLogger("hausgeist.access")

_CLIENT_LEFT = 499


class Gate:
    """Wraps the router. Puts `principal` (or `refusal`), `origin`, `request_id` and `rules` into the scope's state."""

    def __init__(
        self,
        app: ASGIApp,
        *,
        rules: BindingRules,
        workspace: Identities,
        governor: Governor,
        tongues: Tongues,
        metrics: Metrics,
        body_limit: int,
        uploads: Sequence[re.Pattern[str]] = (),
    ) -> None:
        """`uploads`: paths whose bodies have no limit."""
        self._app = app
        self._rules = rules
        self._workspace = workspace
        self._tongues = tongues
        self._metrics = metrics
        self._body_limit = body_limit
        self._uploads = uploads
        self._refusals = Refusals(governor, "server.enter")

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "websocket":
            await _no_websocket(scope, receive, send)
            return
        if scope["type"] != "http":
            return
        started = time.perf_counter()
        facts = RequestFacts.of(scope, f"req_{secrets.token_hex(12)}")
        state: dict[str, Any] = scope.setdefault("state", {})
        exchange = Exchange(receive, send, headers=facts.headers, body_limit=self._limit(facts.path))
        exchange.extra.append((b"x-request-id", facts.request_id.encode()))
        try:
            await self._answer(scope, facts, exchange)
        except ClientDisconnect:
            exchange.status = exchange.status or _CLIENT_LEFT
        except OSError as error:
            # The connection broke under a send.
            exchange.status = exchange.status or _CLIENT_LEFT
            log.debug("connection lost: %s", type(error).__name__)
        finally:
            if refused := state.get("refused"):
                self._refusals.record(f"{facts.method} {facts.path}", state["origin"], refused)
            self._note(facts, state, exchange.status, time.perf_counter() - started)

    def _limit(self, path: str) -> int:
        return sys.maxsize if any(pattern.match(path) for pattern in self._uploads) else self._body_limit

    async def _answer(self, scope: Scope, facts: RequestFacts, exchange: Exchange) -> None:
        try:
            if await self._admit(scope, facts, exchange):
                await self._app(scope, exchange.receive, exchange.send)
        except ClientDisconnect:
            raise
        except Exception as error:
            if isinstance(error, OSError) and exchange.started:
                raise
            if not isinstance(error, HausgeistError) and status_of(error) == 500:
                log.exception("a request failed")
            if exchange.started:
                # The server then closes the connection before the response's end, which is how HTTP says it.
                raise HausgeistError("The response broke off; the log has the reason.") from None
            request = Request(scope, exchange.receive)
            response = self._tongues.of(facts.path, facts.headers).error(request, error)
            await response(scope, exchange.receive, exchange.send)

    async def _admit(self, scope: Scope, facts: RequestFacts, exchange: Exchange) -> bool:
        """Find out who asks; false: answered already."""
        state: dict[str, Any] = scope["state"]
        # Set before anything can be refused: what says errors reads them.
        state.update(principal=None, origin=Origin(address=facts.peer or "unknown", request_id=facts.request_id), request_id=facts.request_id)
        state["rules"] = self._rules
        try:
            exchange.check()
            state["origin"] = client_of(facts, self._rules)
            site = site_of(facts, self._rules)
            exchange.extra += allowing(site)
            if is_preflight(facts):
                await preflight(facts)(scope, exchange.receive, exchange.send)
                return False
            state["principal"], state["origin"] = identify(facts, self._rules, self._workspace, site=site)
        except NotAuthenticated as error:
            # Some routes are open to nobody in particular, so the router decides.
            state["refusal"] = error
            exchange.restrict()
        except NotAllowed as error:
            state["refused"] = error
            raise
        return True

    def _note(self, facts: RequestFacts, state: dict[str, Any], status: int, seconds: float) -> None:
        endpoint: Endpoint | None = state.get("endpoint")
        dialect = endpoint.dialect.name if endpoint is not None else self._tongues.of(facts.path, facts.headers).name
        operation = "none" if endpoint is None else endpoint.operations[0] if endpoint.operations else f"{endpoint.method} {endpoint.path}"
        self._metrics.request(dialect, operation, status, seconds)
        if access_log.isEnabledFor(logging.INFO):
            who = state.get("principal")
            fields = {
                "status": status,
                "ms": round(seconds * 1000, 1),
                "client": state["origin"].address if "origin" in state else facts.peer,
                "who": who.id if who is not None else "-",
                "request": facts.request_id,
            }
            access_log.info("%s %s", facts.method, facts.path, extra={"fields": fields})


async def _no_websocket(scope: Scope, receive: Receive, send: Send) -> None:
    await receive()
    if "websocket.http.response" in scope.get("extensions", {}):
        await send({"type": "websocket.http.response.start", "status": 404, "headers": [(b"content-length", b"0")]})
        await send({"type": "websocket.http.response.body", "body": b""})
    else:
        await send({"type": "websocket.close", "code": 1000})
