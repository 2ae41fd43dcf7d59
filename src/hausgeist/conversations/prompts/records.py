"""Rows of personas and prompts: the tables as they are read here (a migration made them), and the values that callers get."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from sqlalchemy import Column, Float, Integer, MetaData, Table, Text

__all__ = ["Persona", "Prompt", "metadata", "personas", "prompts"]

metadata = MetaData()

personas = Table(
    "personas",
    metadata,
    Column("id", Text, primary_key=True),
    Column("project", Text, nullable=False),
    Column("user", Text, nullable=False),
    Column("created", Float, nullable=False),
    Column("changed", Float, nullable=False),
    Column("name", Text, nullable=False),
    Column("name_key", Text, nullable=False),
    Column("shared", Integer, nullable=False),
    Column("model", Text),
    Column("instructions", Text, nullable=False),
    Column("settings", Text, nullable=False),
)
prompts = Table(
    "prompts",
    metadata,
    Column("id", Text, primary_key=True),
    Column("project", Text, nullable=False),
    Column("user", Text, nullable=False),
    Column("created", Float, nullable=False),
    Column("changed", Float, nullable=False),
    Column("name", Text, nullable=False),
    Column("name_key", Text, nullable=False),
    Column("shared", Integer, nullable=False),
    Column("text", Text, nullable=False),
    Column("folded", Text, nullable=False),
)
_GAP: Final = re.compile(r"\{\{([^{}\n]{1,64})\}\}")


@dataclass(frozen=True, slots=True, kw_only=True)
class Persona:
    """A chat that begins with these instructions and settings. Times are Unix times."""

    id: str
    project: str
    user: str
    """Who wrote it."""
    created: float
    changed: float
    name: str
    shared: bool
    """All members of the project see it."""
    model: str | None = None
    """`None`: whichever the chat has."""
    instructions: str = ""
    settings: Mapping[str, Any] = field(default_factory=dict)
    """Temperature and the like, as a request of responses has them."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Prompt:
    """A text with gaps, {{like this}}, that somebody fills in and sends."""

    id: str
    project: str
    user: str
    created: float
    changed: float
    name: str
    shared: bool
    text: str = ""

    @property
    def variables(self) -> Sequence[str]:
        """The names of its gaps, each once, in the order of the text."""
        return list(dict.fromkeys(name for found in _GAP.findall(self.text) if (name := found.strip())))
