"""The table of all routes of `web`."""

from __future__ import annotations

from hausgeist.http.endpoint import Endpoint
from hausgeist.web import house, pages
from hausgeist.web.parts import Parts

__all__ = ["Parts", "endpoints"]


def endpoints(parts: Parts) -> list[Endpoint]:
    """For `http.application`."""
    return [*house.endpoints(parts), *pages.endpoints(parts)]
