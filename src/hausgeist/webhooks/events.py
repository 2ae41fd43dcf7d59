"""What is told: the kinds of events, and what one says. Which thing it is about stands in it, and nothing of what was said there."""

from __future__ import annotations

import json
import secrets
import time
from collections.abc import Mapping
from typing import Any, Final

__all__ = ["EVENT_TYPES", "encode", "new_event", "sample"]

EVENT_TYPES: Final[tuple[str, ...]] = (
    "response.completed",
    "response.failed",
    "response.cancelled",
    "response.incomplete",
    "batch.completed",
    "batch.failed",
    "batch.expired",
    "batch.cancelled",
)
"""Of OpenAI's, those of which this server has the things that they are about."""

_PREFIXES: Final[Mapping[str, str]] = {"response": "resp", "batch": "batch"}


def new_event(kind: str, thing: str) -> dict[str, Any]:
    """An event that happens now. `thing`: the id of what it is about."""
    return {"id": f"evt_{secrets.token_hex(24)}", "object": "event", "created_at": int(time.time()), "type": kind, "data": {"id": thing}}


def sample(kind: str) -> dict[str, Any]:
    """An event about nothing, to try an address with."""
    return new_event(kind, f"{_PREFIXES[kind.partition('.')[0]]}_test")


def encode(event: Mapping[str, Any]) -> bytes:
    """As it is sent and signed: the same bytes with each try."""
    return json.dumps(dict(event), separators=(",", ":")).encode()
