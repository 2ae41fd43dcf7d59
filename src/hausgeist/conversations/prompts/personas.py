"""Personas: named instructions, with the model and the settings that go with them. A chat takes them over when it begins; later changes of the
persona do not reach it."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any, Final

from sqlalchemy import Row

from hausgeist.conversations.prompts.records import Persona, personas
from hausgeist.conversations.prompts.shelf import Listed, Shelf, parse_name
from hausgeist.conversations.service import SETTINGS_BYTES
from hausgeist.errors import InvalidRequest
from hausgeist.identity import Principal
from hausgeist.store.database import Database

__all__ = ["Personas"]

_MOST: Final = 500
_ELSEWHERE: Final = ("instructions", "model")
"""Fields of a persona that are not among its settings."""


class Personas:
    """Raises as `Shelf` does."""

    def __init__(self, database: Database) -> None:
        self._shelf: Shelf[Persona] = Shelf(database, personas, _of_row, noun="persona", most=_MOST)

    def listed(self, who: Principal, *, after: str | None = None, limit: int = 200) -> Listed[Persona]:
        """One's own and those that are shared in the project, by name."""
        return self._shelf.listed(who, after=after, limit=limit)

    def get(self, who: Principal, persona: str) -> Persona:
        return self._shelf.get(who, persona)

    async def create(
        self, who: Principal, *, name: str, instructions: str = "", model: str | None = None, settings: Mapping[str, Any] | None = None,
        shared: bool = False,
    ) -> Persona:  # fmt: skip
        """Raises `InvalidRequest` for what is too large for a chat, and where there are too many."""
        fields = {"name": name, "instructions": instructions, "model": model, "settings": settings or {}, "shared": shared}
        _demand_room(instructions, settings or {})
        return await self._shelf.create(who, **_columns(fields))

    async def update(self, who: Principal, persona: str, **fields: Any) -> Persona:
        """`fields`: name, instructions, model, settings, shared."""

        def change(found: Persona) -> Mapping[str, Any]:
            _demand_room(fields.get("instructions", found.instructions), fields.get("settings", found.settings))
            return _columns(fields)

        return await self._shelf.update(who, persona, change)

    async def delete(self, who: Principal, persona: str) -> None:
        await self._shelf.delete(who, persona)


def _demand_room(instructions: str, settings: Mapping[str, Any]) -> None:
    """Raise `InvalidRequest` for what would not fit the settings of a chat, where it shall go."""
    for name in _ELSEWHERE:
        if name in settings:
            raise InvalidRequest(f"'{name}' is a field of the persona itself; leave it out of its settings.", param=f"settings.{name}")
    if len(json.dumps({**settings, "instructions": instructions})) > SETTINGS_BYTES:
        raise InvalidRequest(f"The instructions and settings of a persona take at most {SETTINGS_BYTES} bytes together.", param="instructions")


def _columns(fields: Mapping[str, Any]) -> dict[str, Any]:
    columns = dict(fields)
    if "name" in fields:
        columns["name"], columns["name_key"] = parse_name(fields["name"], "persona")
    if "settings" in fields:
        columns["settings"] = json.dumps(dict(fields["settings"]), ensure_ascii=False)
    if "shared" in fields:
        columns["shared"] = int(fields["shared"])
    return columns


def _of_row(row: Row[Any]) -> Persona:
    return Persona(
        id=row.id, project=row.project, user=row.user, created=row.created, changed=row.changed, name=row.name, shared=bool(row.shared),
        model=row.model, instructions=row.instructions, settings=json.loads(row.settings),
    )  # fmt: skip
