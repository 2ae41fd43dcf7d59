"""The table of all routes of `web`."""

from __future__ import annotations

from hausgeist.http.endpoint import Endpoint
from hausgeist.web import keys, models, pages, projects, session, state
from hausgeist.web.parts import Parts

__all__ = ["Parts", "endpoints"]


def endpoints(parts: Parts) -> list[Endpoint]:
    """For `http.application`."""
    return [endpoint for module in (session, keys, projects, models, state, pages) for endpoint in module.endpoints(parts)]
