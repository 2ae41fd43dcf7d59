"""Chats from a file: our own, ChatGPT's, Open WebUI's; as JSON, or in a zip. What is broken in one does not stop the others, and is told.

A file may be anything, so everything about it is bounded: what is read at once, what is read at all, how deep it nests, how many chats it has.
The same file twice brings its chats once: each keeps the id that it had elsewhere.
"""

from __future__ import annotations

import threading
import zipfile
import zlib
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from hashlib import sha256
from pathlib import Path
from typing import Any, Final

from pydantic_core import from_json
from sqlalchemy import Connection, select

from hausgeist.conversations.drafts import Draft, numbers_below, write_draft
from hausgeist.conversations.exchange import chatgpt, openwebui, ours
from hausgeist.conversations.exchange.elements import Readable, elements
from hausgeist.conversations.exchange.foreign import Unknown
from hausgeist.conversations.records import conversations, owned
from hausgeist.conversations.service import MOST_ITEMS
from hausgeist.errors import HausgeistError, InvalidRequest, TooLarge, shown
from hausgeist.identity import Principal
from hausgeist.store.database import Database

__all__ = ["Bringing", "Brought", "Refused"]

_READERS: Final = (ours, chatgpt, openwebui)
_MOST_BYTES: Final = 4 * 2**30
"""Of all JSON in a file, unpacked."""
_MOST_MEMBERS: Final = 100_000
_MOST_CHATS: Final = 200_000
_MOST_BROKEN: Final = 1000
"""After so many that were nothing, the file is none of chats."""
_TOLD: Final = 50
_AT_ONCE: Final = 20
"""Chats in a transaction, so that others get to write in between."""
_AT_ONCE_ITEMS: Final = 2000


@dataclass(frozen=True, slots=True)
class Refused:
    """A chat that did not come in. `place`: its number in the file, from 1."""

    place: int
    title: str
    why: str


@dataclass(slots=True)
class Brought:
    """What came of a file. `there`: chats that had been brought before. `left_out`: what of the chats did not come along, counted.
    `stopped`: why the rest of the file was not read; empty: all of it was."""

    chats: int = 0
    there: int = 0
    refused: int = 0
    reasons: list[Refused] = field(default_factory=list)
    left_out: Counter[str] = field(default_factory=Counter)
    stopped: str = ""


@dataclass(frozen=True, slots=True)
class _Read:
    draft: Draft
    left_out: Counter[str]


class Bringing:
    """For threads: works for as long as the file is long."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def bring(self, who: Principal, path: Path, leave: threading.Event | None = None) -> Brought:
        """All chats of the file become this person's. `leave`: set by whoever waits no longer. Raises `InvalidRequest` for a file that holds none,
        `TooLarge`; what had come in until then stays."""
        brought, known = Brought(), self._known(who)
        waiting: list[_Read] = []
        try:
            for place, element in enumerate(_chats(path), 1):
                brought.stopped = _reason_to_stop(place, brought, leave)
                if brought.stopped:
                    break
                read = _read(element, place, brought)
                if read is None:
                    continue
                if read.draft.origin in known:
                    brought.there += 1
                    continue
                known.add(read.draft.origin)
                waiting.append(read)
                if len(waiting) >= _AT_ONCE or sum(len(one.draft.nodes) for one in waiting) >= _AT_ONCE_ITEMS:
                    self._write(who, waiting, brought)
        except HausgeistError as error:
            self._write(who, waiting, brought)
            if not brought.chats and not brought.there:
                raise
            brought.stopped = error.message
        self._write(who, waiting, brought)
        if not brought.chats and not brought.there and brought.reasons:
            raise InvalidRequest(f"The file holds no chat that could be brought. Of the first: {brought.reasons[0].why}")
        return brought

    def _known(self, who: Principal) -> set[str]:
        """Where this person's chats come from; what was exported here and is still here, too."""

        def read(connection: Connection) -> set[str]:
            rows = connection.execute(select(conversations.c.id, conversations.c.origin).where(owned(conversations, who)))
            return {name for row in rows for name in (f"hausgeist:{row.id}", row.origin)}

        return self._database.read(read)

    def _write(self, who: Principal, waiting: list[_Read], brought: Brought) -> None:
        """Those that wait become chats, the oldest first; none waits then."""
        drafts = sorted((one.draft for one in waiting), key=lambda draft: draft.changed)

        def write(connection: Connection) -> None:
            first = numbers_below(connection, sum(len(draft.nodes) for draft in drafts))
            for draft in drafts:
                write_draft(connection, who, draft, first=first)
                first += len(draft.nodes)

        if drafts:
            self._database.write_sync(write)
            brought.chats += len(drafts)
            for one in waiting:
                brought.left_out.update(one.left_out)
            waiting.clear()


def _reason_to_stop(place: int, brought: Brought, leave: threading.Event | None) -> str:
    if leave is not None and leave.is_set():
        return "Nobody waited for it any longer."
    if place > _MOST_CHATS or brought.refused >= _MOST_BROKEN:
        return f"It was given up after {place - 1:,} chats, of which {brought.refused:,} were none."
    return ""


def _read(element: bytes | None, place: int, brought: Brought) -> _Read | None:
    """What becomes of an element; `None`, with the reason told, where nothing does."""
    title, left_out = "", Counter[str]()
    try:
        if element is None:
            raise TooLarge("It is too large for one chat.")
        value = _parsed(element)
        title = str(value.get("title") or "")
        reader = next((one for one in _READERS if one.is_chat(value)), None)
        if reader is None:
            raise Unknown("It is no chat of Hausgeist, ChatGPT or Open WebUI.")
        draft = reader.decode(value, left_out)
        if len(draft.nodes) > MOST_ITEMS:
            raise TooLarge(f"It has {len(draft.nodes):,} items; a chat holds {MOST_ITEMS:,}.")
    except HausgeistError as error:
        brought.refused += 1
        if len(brought.reasons) < _TOLD:
            brought.reasons.append(Refused(place, shown(title, 100), error.message))
        return None
    return _Read(draft if draft.origin else replace(draft, origin=f"file:{sha256(element).hexdigest()}"), left_out)


def _parsed(element: bytes) -> Mapping[str, Any]:
    try:
        value = from_json(element, allow_inf_nan=False, cache_strings="keys")
    except ValueError as error:
        raise InvalidRequest(f"It is not valid JSON: {error}.") from error
    if not isinstance(value, dict):
        raise Unknown("It is no chat of Hausgeist, ChatGPT or Open WebUI.")
    return value


def _chats(path: Path) -> Iterator[bytes | None]:
    """The chats of all files that may hold some. Raises `InvalidRequest`, `TooLarge`."""
    with path.open("rb") as file:
        if file.read(4) != b"PK\x03\x04":
            file.seek(0)
            yield from elements(_Bounded(file, [_MOST_BYTES]))
            return
    left = [_MOST_BYTES]
    try:
        with zipfile.ZipFile(path) as archive:
            for name in _members(archive):
                with archive.open(name) as member:
                    yield from elements(_Bounded(member, left))
    except (zipfile.BadZipFile, zlib.error, NotImplementedError, RuntimeError, EOFError, OSError) as error:
        # Also what is encrypted, or packed in a way that is not known here.
        raise InvalidRequest(f"The zip file cannot be read: {shown(str(error), 200)}.") from error


def _members(archive: zipfile.ZipFile) -> list[zipfile.ZipInfo]:
    """The files that hold chats: conversations.json, also in parts and in folders; else all JSON that lies at the top. Raises `InvalidRequest`."""
    infos = archive.infolist()
    if len(infos) > _MOST_MEMBERS:
        raise TooLarge(f"The zip file holds {len(infos):,} files; that is no export of chats.")
    found = [info for info in infos if info.filename.lower().endswith(".json") and not info.filename.startswith("__MACOSX")]
    named = [info for info in found if info.filename.rpartition("/")[2].lower().startswith(("conversations.", "conversations-"))]
    chosen = named or [info for info in found if "/" not in info.filename]
    if not chosen:
        raise InvalidRequest("The zip file holds no conversations.json, and no other JSON of chats.")
    return sorted(chosen, key=lambda info: info.filename)


class _Bounded:
    """A file, of which all together no more than `left[0]` bytes are read."""

    def __init__(self, file: Readable, left: list[int]) -> None:
        self._file = file
        self._left = left

    def read(self, size: int) -> bytes:
        data = self._file.read(size)
        self._left[0] -= len(data)
        if self._left[0] < 0:
            raise TooLarge(f"The file holds more than {_MOST_BYTES // 2**30} GiB of JSON; bring it in parts.")
        return data
