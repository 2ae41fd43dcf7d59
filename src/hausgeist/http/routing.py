"""From endpoints (data) to an ASGI application: finds the one that is meant, asks the governor, runs it, and says errors in its tongue."""

from __future__ import annotations

import logging
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from starlette.convertors import Convertor
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect, Request
from starlette.routing import compile_path
from starlette.types import Receive, Scope, Send

from hausgeist.errors import HausgeistError, NotAuthenticated, NotFound, shown
from hausgeist.governance.service import Governor
from hausgeist.http.endpoint import Endpoint
from hausgeist.http.statuses import status_of
from hausgeist.http.tongues import Tongues

__all__ = ["Router"]

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class _Resource:
    """All that is at one path. Several tongues may share a method: then a header decides."""

    path: str
    pattern: re.Pattern[str]
    convertors: Mapping[str, Convertor[Any]]
    methods: dict[str, dict[str, Endpoint]] = field(default_factory=dict)


class Router:
    """Raises `ValueError` for two endpoints of one tongue with the same method and path.

    Needs `principal`, `origin` and, where there is no principal, `refusal` in the scope's state, as `gate.Gate` puts them there; leaves the
    endpoint in `endpoint`.
    """

    def __init__(self, endpoints: Sequence[Endpoint], *, governor: Governor, tongues: Tongues) -> None:
        self._governor = governor
        self._tongues = tongues
        self._plain: dict[str, _Resource] = {}
        self._patterns: list[_Resource] = []
        by_path: dict[str, _Resource] = {}
        for endpoint in endpoints:
            resource = by_path.get(endpoint.path)
            if resource is None:
                pattern, _, convertors = compile_path(endpoint.path)
                resource = by_path[endpoint.path] = _Resource(endpoint.path, pattern, convertors)
                if convertors:
                    self._patterns.append(resource)
                else:
                    self._plain[endpoint.path] = resource
            tongue = resource.methods.setdefault(endpoint.method, {})
            if endpoint.dialect.name in tongue:
                raise ValueError(f"two endpoints for {endpoint.method} {endpoint.path} in the tongue {endpoint.dialect.name}")
            tongue[endpoint.dialect.name] = endpoint

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        request = Request(scope, receive, send)
        try:
            endpoint, parameters = self._find(request)
        except (HTTPException, NotFound) as error:
            response = self._tongues.of(request.url.path, request.headers).error(request, error)
            await response(scope, receive, send)
            return
        scope["path_params"] = parameters
        state: dict[str, Any] = scope["state"]
        state["endpoint"] = endpoint
        try:
            await self._authorise(endpoint, state, parameters, request)
            response = await endpoint.handle(request)
        except ClientDisconnect:
            raise
        except Exception as error:
            if not isinstance(error, HausgeistError) and status_of(error) == 500:
                log.exception("%s %s failed", endpoint.method, endpoint.path)
            response = endpoint.dialect.error(request, error)
        await response(scope, receive, send)

    async def _authorise(self, endpoint: Endpoint, state: dict[str, Any], parameters: Mapping[str, Any], request: Request) -> None:
        who = state.get("principal")
        if who is None:
            if endpoint.open:
                return
            state["refused"] = refusal = state.get("refusal") or NotAuthenticated()
            raise refusal
        if endpoint.action is not None:
            target = ", ".join(str(value) for value in parameters.values()) or request.url.path
            await self._governor.demand(who, endpoint.action, target=target, origin=state["origin"])

    def _find(self, request: Request) -> tuple[Endpoint, dict[str, Any]]:
        path: str = request.scope["path"]
        method = request.method
        allowed: set[str] = set()
        for resource, parameters in self._candidates(path):
            tongues = resource.methods.get(method) or (resource.methods.get("GET") if method == "HEAD" else None)
            if tongues is not None:
                preferred = self._tongues.of(path, request.headers).name
                return tongues.get(preferred) or next(iter(tongues.values())), parameters
            allowed.update(resource.methods)
            if "GET" in resource.methods:
                allowed.add("HEAD")
        if allowed:
            raise HTTPException(405, f"{method} is not possible here; {', '.join(sorted(allowed))} is.", {"Allow": ", ".join(sorted(allowed))})
        raise NotFound(f"There is nothing at {method} {shown(path, 200)}.")

    def _candidates(self, path: str) -> Iterator[tuple[_Resource, dict[str, Any]]]:
        """Resources whose path fits: literal ones first, then patterns in their order; a final slash means nothing."""
        paths = [path, path.rstrip("/")] if path.endswith("/") and len(path) > 1 else [path]
        for one in paths:
            if one in self._plain:
                yield self._plain[one], {}
        for one in reversed(paths):
            for resource in self._patterns:
                match = resource.pattern.match(one)
                if match is None:
                    continue
                try:
                    yield resource, {name: resource.convertors[name].convert(value) for name, value in match.groupdict().items()}
                except ValueError:
                    continue
