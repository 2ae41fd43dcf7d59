"""Finds what was said: words in all chats of a person, newest first, and chats by their titles. Nobody else's text is looked at."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Final

from sqlalchemy import Connection, select

from hausgeist.conversations.records import Conversation, conversations, owned
from hausgeist.conversations.service import conversation_of, owner_word
from hausgeist.conversations.words import bare, match_of, places_of
from hausgeist.errors import InvalidRequest
from hausgeist.identity import Principal
from hausgeist.store.database import Database
from hausgeist.store.threads import to_its_end

__all__ = ["Found", "Hit", "Piece", "Search"]

_BEFORE: Final = 60
"""Characters of a snippet before the first place that was found."""
_LONG: Final = 240
_MOST_TITLES: Final = 20
_LOOKED_THROUGH: Final = 20_000
_AT_ONCE: Final = 500
_LATEST: Final = 2**62
_FIND: Final = """
SELECT items.seq, items.id, items.conversation, items.role, items.created, substr(items.text, 1, 200000), conversations.title, conversations.archived
FROM (SELECT rowid AS seq FROM items_words WHERE items_words MATCH ? AND rowid < ? ORDER BY rowid DESC LIMIT ?) AS found
JOIN items ON items.seq = found.seq JOIN conversations ON conversations.id = items.conversation
WHERE conversations.project = ? AND conversations.user = ? ORDER BY items.seq DESC
"""
"""The owner's word is part of the match; what it finds is held against the owner of the chat all the same."""


@dataclass(frozen=True, slots=True)
class Piece:
    """Of a snippet. `found`: it is what was looked for."""

    text: str
    found: bool


@dataclass(frozen=True, slots=True)
class Hit:
    """An item in which the words were found, on whichever branch."""

    chat: str
    title: str
    archived: bool
    item: str
    role: str
    created: float
    snippet: Sequence[Piece]


@dataclass(frozen=True, slots=True)
class Found:
    """`chats`: by title, in a first answer only. `next`: from where it goes on; `None`: nowhere."""

    chats: Sequence[Conversation]
    hits: Sequence[Hit]
    next: str | None


class Search:
    """Over the chats of one person in one project at a time."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def find(self, who: Principal, query: str, *, after: str | None = None, limit: int = 20) -> Found:
        """All words must be there, the last one may go on, what is quoted must stand so. Raises `InvalidRequest` for a query without words."""
        words = match_of(query)
        if not words:
            raise InvalidRequest("'q' should hold a word to look for.", param="q")
        before = _LATEST if after is None else _number(after)
        return await to_its_end(self._find, who, query, words, before, limit)

    def _find(self, who: Principal, query: str, words: str, before: int, limit: int) -> Found:
        match = f"owner : {owner_word(who.project, who.user)} AND words : ({words})"
        places = places_of(query)

        def read(connection: Connection) -> Found:
            rows = connection.exec_driver_sql(_FIND, (match, before, limit + 1, who.project, who.user)).all()
            hits = [_hit(row, places) for row in rows[:limit]]
            chats = _titled(connection, who, places) if before == _LATEST and places else []
            return Found(chats, hits, str(rows[limit - 1][0]) if len(rows) > limit else None)

        return self._database.read(read)


def snippet(text: str, places: Sequence[re.Pattern[str]]) -> list[Piece]:
    """The neighbourhood of the first place, cut into what was found and what stands between."""
    plain = bare(text)
    first = min((place.start() for one in places if (place := one.search(plain)) is not None), default=0)
    start = max(0, first - _BEFORE)
    if start:
        start = text.rfind(" ", max(0, start - 20), start) + 1 or start
    end = min(len(text), start + _LONG)
    pieces = list(_cut(text, plain, start, end, places))
    if start:
        pieces.insert(0, Piece("…", False))
    if end < len(text):
        pieces.append(Piece("…", False))
    return pieces


def _cut(text: str, plain: str, start: int, end: int, places: Sequence[re.Pattern[str]]) -> Iterator[Piece]:
    position = start
    for begin, stop in sorted(place.span() for one in places for place in one.finditer(plain, start, end)):
        if begin < position:  # two terms found the same
            continue
        if begin > position:
            yield Piece(text[position:begin], False)
        yield Piece(text[begin:stop], True)
        position = stop
    if position < end:
        yield Piece(text[position:end], False)


def _hit(row: Any, places: Sequence[re.Pattern[str]]) -> Hit:
    _, item, chat, role, created, text, title, archived = row
    return Hit(chat, title, bool(archived), item, role, created, snippet(text, places))


def _titled(connection: Connection, who: Principal, places: Sequence[re.Pattern[str]]) -> list[Conversation]:
    """Chats in whose titles all of it stands, those first in which something was said last; of the many that were looked through."""
    query = 'SELECT id, title FROM conversations WHERE project = ? AND "user" = ? ORDER BY changed DESC LIMIT ?'
    titles = connection.exec_driver_sql(query, (who.project, who.user, _LOOKED_THROUGH))
    found: list[str] = []
    while len(found) < _MOST_TITLES and (some := titles.fetchmany(_AT_ONCE)):
        # All at once: a call for each would take longer than looking.
        together = bare("\n".join(" ".join(title.split()) for _, title in some))
        if all(place.search(together) for place in places):
            plain = together.split("\n")
            found += [chat for (chat, _), title in zip(some, plain, strict=True) if all(place.search(title) for place in places)]
    del found[_MOST_TITLES:]
    rows = connection.execute(select(conversations).where(conversations.c.id.in_(found), owned(conversations, who)))
    by_id = {row.id: conversation_of(row) for row in rows}
    return [by_id[chat] for chat in found]


def _number(after: str) -> int:
    try:
        return max(-_LATEST, min(int(after), _LATEST))
    except ValueError as error:
        raise InvalidRequest("'after' should be what 'next' of the answer before said.", param="after") from error
