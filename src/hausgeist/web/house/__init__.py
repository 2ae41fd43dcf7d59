"""The routes of /house/v1: what none of the three APIs has words for. One module for each resource."""

from __future__ import annotations

from hausgeist.http.endpoint import Endpoint
from hausgeist.web.house import (
    audit,
    chat_files,
    chats,
    citations,
    documents,
    erasures,
    fits,
    keys,
    machine,
    models,
    personas,
    plan,
    projects,
    prompts,
    pulls,
    retention,
    session,
    settings,
    state,
    stores,
    usage,
    users,
)
from hausgeist.web.parts import Parts

__all__ = ["endpoints"]

_MODULES = (
    *(session, users, keys, projects, retention, chats, chat_files, citations, personas, prompts, documents, stores, erasures),
    *(models, pulls, fits, plan, machine, usage, audit, settings, state),
)


def endpoints(parts: Parts) -> list[Endpoint]:
    """All of them."""
    return [endpoint for module in _MODULES for endpoint in module.endpoints(parts)]
