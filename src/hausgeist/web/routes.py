"""The table of all routes of `web`."""

from __future__ import annotations

from hausgeist.http.endpoint import Endpoint
from hausgeist.web import chat_files, chats, citations, documents, erasures, keys, models, pages, plan, projects, retention, session, state, stores
from hausgeist.web.parts import Parts

__all__ = ["Parts", "endpoints"]

_MODULES = (session, keys, projects, retention, chats, chat_files, citations, documents, stores, erasures, models, plan, state, pages)


def endpoints(parts: Parts) -> list[Endpoint]:
    """For `http.application`."""
    return [endpoint for module in _MODULES for endpoint in module.endpoints(parts)]
