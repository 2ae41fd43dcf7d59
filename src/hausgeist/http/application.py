"""The ASGI application: endpoints behind the gate."""

from __future__ import annotations

from collections.abc import Sequence

from starlette.routing import compile_path
from starlette.types import ASGIApp

from hausgeist.governance.service import Governor
from hausgeist.http.access import Identities
from hausgeist.http.endpoint import Endpoint
from hausgeist.http.gate import Gate
from hausgeist.http.routing import Router
from hausgeist.http.rules import BindingRules
from hausgeist.http.tongues import Tongues
from hausgeist.settings import Settings
from hausgeist.telemetry import Metrics

__all__ = ["application"]


def application(
    endpoints: Sequence[Endpoint],
    *,
    settings: Settings,
    workspace: Identities,
    governor: Governor,
    metrics: Metrics,
    tongues: Tongues,
    owner_token: str = "",
) -> ASGIApp:
    """Raises `InvalidRequest` for settings that cannot be understood. `owner_token`: see `BindingRules`."""
    uploads = tuple(compile_path(endpoint.path)[0] for endpoint in endpoints if endpoint.upload)
    return Gate(
        Router(endpoints, governor=governor, tongues=tongues),
        rules=BindingRules.of(settings, owner_token=owner_token),
        workspace=workspace,
        governor=governor,
        tongues=tongues,
        metrics=metrics,
        body_limit=settings.body_limit,
        uploads=uploads,
    )
