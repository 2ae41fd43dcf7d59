"""Request bodies of the dialects: parsed and checked as `http.bodies` does; parameters that are known but not served are refused by name."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pydantic import BaseModel

from hausgeist.errors import NotSupported
from hausgeist.http.bodies import Body, announced, json_body, parse

__all__ = ["MOST_MESSAGES", "Body", "announced", "json_body", "parse", "refuse"]

MOST_MESSAGES = 10_000
"""In one conversation, in every tongue: far more than any client sends, and few enough for a template to go through."""


def refuse(body: BaseModel, reasons: Mapping[str, str]) -> None:
    """Raise NotSupported for the first field of `reasons` that the caller has set to something: known, but not served here."""
    for name, reason in reasons.items():
        value: Any = getattr(body, name)
        if value is not None and value is not False and value not in ([], {}):
            raise NotSupported(f"'{name}' is not supported here: {reason}", param=name)
