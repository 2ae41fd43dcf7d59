"""The prompt library: texts that are used again, with gaps to fill in, found by their words."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from sqlalchemy import Row, func

from hausgeist.conversations.prompts.records import Prompt, prompts
from hausgeist.conversations.prompts.shelf import Listed, Shelf, parse_name
from hausgeist.errors import InvalidRequest
from hausgeist.identity import Principal
from hausgeist.store.database import Database

__all__ = ["LONGEST_TEXT", "Prompts"]

LONGEST_TEXT: Final = 32_768
"""Characters."""
_MOST: Final = 2000
_LONGEST_QUERY: Final = 200
_MOST_WORDS: Final = 10


class Prompts:
    """Raises as `Shelf` does."""

    def __init__(self, database: Database) -> None:
        self._shelf: Shelf[Prompt] = Shelf(database, prompts, _of_row, noun="prompt", most=_MOST)

    def listed(self, who: Principal, query: str = "", *, after: str | None = None, limit: int = 200) -> Listed[Prompt]:
        """One's own and those that are shared in the project, by name; of a `query`, those in whose name or text all its words stand."""
        if len(query) > _LONGEST_QUERY:
            raise InvalidRequest(f"'q' has at most {_LONGEST_QUERY} characters.", param="q")
        words = list(dict.fromkeys(query.casefold().split()))[:_MOST_WORDS]
        return self._shelf.listed(who, *(func.instr(prompts.c.folded, word) > 0 for word in words), after=after, limit=limit)

    def get(self, who: Principal, prompt: str) -> Prompt:
        return self._shelf.get(who, prompt)

    async def create(self, who: Principal, *, name: str, text: str, shared: bool = False) -> Prompt:
        """Raises `InvalidRequest` for a text that is too long, and where there are too many."""
        return await self._shelf.create(who, **_columns({"name": name, "text": text, "shared": shared}))

    async def update(self, who: Principal, prompt: str, **fields: Any) -> Prompt:
        """`fields`: name, text, shared."""
        return await self._shelf.update(who, prompt, lambda found: _columns({"name": found.name, "text": found.text, **fields}))

    async def delete(self, who: Principal, prompt: str) -> None:
        await self._shelf.delete(who, prompt)


def _columns(fields: Mapping[str, Any]) -> dict[str, Any]:
    """`fields`: with name and text, of which `folded` is made."""
    name, key = parse_name(fields["name"], "prompt")
    text = fields["text"]
    if not text.strip() or len(text) > LONGEST_TEXT:
        raise InvalidRequest(f"The text of a prompt has 1 to {LONGEST_TEXT:,} characters.", param="text")
    columns = {**fields, "name": name, "name_key": key, "folded": f"{name}\n{text}".casefold()}
    if "shared" in fields:
        columns["shared"] = int(fields["shared"])
    return columns


def _of_row(row: Row[Any]) -> Prompt:
    return Prompt(
        id=row.id, project=row.project, user=row.user, created=row.created, changed=row.changed, name=row.name, shared=bool(row.shared),
        text=row.text,
    )  # fmt: skip
