"""Which tongue answers where no route does: by path, as clients of each tongue expect it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from hausgeist.http.endpoint import Dialect
from hausgeist.http.house import HOUSE

__all__ = ["Tongues"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Tongues:
    """The dialects, handed down by `app.py`."""

    openai: Dialect
    anthropic: Dialect
    ollama: Dialect
    house: Dialect = HOUSE

    def of(self, path: str, headers: Mapping[str, object]) -> Dialect:
        """The tongue for a path; header names in lower case."""
        if path == "/api" or path.startswith("/api/"):
            return self.ollama
        if path == "/v1" or path.startswith("/v1/"):
            return self.anthropic if "anthropic-version" in headers or path.startswith("/v1/messages") else self.openai
        return self.house
