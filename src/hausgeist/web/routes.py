"""The table of all routes of `web`."""

from __future__ import annotations

from hausgeist.http.endpoint import Endpoint
from hausgeist.web import keys, models, pages, plan, projects, session, state
from hausgeist.web.parts import Parts

__all__ = ["Parts", "endpoints"]


def endpoints(parts: Parts) -> list[Endpoint]:
    """For `http.application`."""
    return [endpoint for module in (session, keys, projects, models, plan, state, pages) for endpoint in module.endpoints(parts)]
