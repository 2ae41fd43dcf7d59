"""What a name stood for, stands for and could stand for: versions that are kept, going back to them, pins, and what its source has now.

The version that an upgrade replaced is kept until the new one has answered, and longer while the model is pinned. Sources are asked only when
somebody asks here.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final

from sqlalchemy import Connection

from hausgeist.errors import Conflict, HausgeistError, InvalidRequest, NotFound
from hausgeist.library.definition import Definition
from hausgeist.library.names import Name
from hausgeist.library.records import State, Version, delete_version, mark_answered, read_states, read_versions, set_pinned
from hausgeist.library.reference import Reference
from hausgeist.library.service import Library
from hausgeist.library.sources.base import Source
from hausgeist.model import InstalledModel
from hausgeist.store.blobs import Blobs
from hausgeist.store.database import Database

__all__ = ["History", "Outlook", "Versions"]

_AT_ONCE: Final = 8
"""Sources that are asked side by side."""


@dataclass(frozen=True, slots=True)
class History:
    """A stored model with what is known of it besides; `before`: the versions that can be gone back to, the last one first."""

    model: InstalledModel
    state: State
    before: tuple[Version, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Outlook:
    """What a source says about a model that was installed from it."""

    model: str
    reference: str
    version: str
    latest: str = ""
    """Empty: could not be found out; `error` says why."""
    size: int = 0
    """Bytes that an upgrade would fetch, as far as that is known."""
    pinned: bool = False
    error: str = ""

    @property
    def outdated(self) -> bool:
        return bool(self.latest) and self.latest != self.version


class Versions:
    """`answered` is called for every answer and is a look into a dictionary."""

    def __init__(self, *, database: Database, library: Library, blobs: Blobs, source: Callable[[Reference], Source]) -> None:
        self._database = database
        self._library = library
        self._blobs = blobs
        self._source = source
        self._answered: dict[str, tuple[str, float]] = {}
        """By name, the version that was noted last and when it was installed: installed anew, it has to answer anew."""

    def answered(self, model: InstalledModel) -> None:
        """This version of the model works: what it replaced may go."""
        installed = (model.digest, model.modified)
        if not model.removable or self._answered.get(model.id) == installed:
            return
        self._answered[model.id] = installed
        key = Name.parse(model.id).key
        self._database.post(lambda connection: mark_answered(connection, key, model.digest))

    def history(self, name: str) -> History:
        """Raises `ModelNotFound`, `Conflict` for a model that is not stored here."""
        model, _ = self._stored(name)
        key = Name.parse(model.id).key
        states, before = self._database.read(lambda connection: (read_states(connection), read_versions(connection, key)))
        return History(model, states.get(key, State()), tuple(before))

    def all(self) -> list[History]:
        """Of all models, by name; those that are not stored here have no past."""
        states, versions = self._database.read(lambda connection: (read_states(connection), read_versions(connection)))
        found = []
        for model in self._library.models():
            key = _key(model.id)
            before = tuple(version for version in versions if version.model == key) if model.removable else ()
            found.append(History(model, states.get(key, State()), before))
        return found

    async def pin(self, name: str, *, pinned: bool) -> None:
        """Keep this version: upgrades of all leave it alone, and what it replaced is kept."""
        model, _ = self._stored(name)
        key = Name.parse(model.id).key
        await self._database.write(lambda connection: set_pinned(connection, key, pinned))

    async def rollback(self, name: str) -> InstalledModel:
        """Go back to the version before, which is pinned then; the one that is left can be gone back to in the same way.

        Raises `NotFound` where none is kept, or its files are gone."""
        history = self.history(name)
        whole = [version for version in history.before if all(self._blobs.has(blob) for blob in version.definition.blobs)]
        if not whole:
            raise NotFound(f"No version of '{history.model.id}' before this one is kept.")
        return await self._library.install(history.model.id, whole[0].definition, pinned=True)

    def upgradable(self, name: str) -> Reference:
        """What to pull for the newest version. Raises `Conflict` for a pinned model, `InvalidRequest` for one that no source has."""
        history = self.history(name)
        if history.state.pinned:
            raise Conflict(f"'{history.model.id}' is pinned; 'hausgeist unpin {history.model.id}' lets it be upgraded.")
        if not history.model.reference:
            raise InvalidRequest(
                f"'{history.model.id}' was made or imported here: there is no source that could have a newer version.", param="model"
            )
        return Reference.parse(history.model.reference)

    async def outdated(self, names: Sequence[str] = ()) -> list[Outlook]:
        """Ask the sources of these models, or of all that have one. A source that cannot be asked is an entry with an error."""
        if names:
            asked = [self.history(name) for name in dict.fromkeys(names)]
            for history in asked:
                if not history.model.reference:
                    raise InvalidRequest(f"'{history.model.id}' was made or imported here: no source has versions of it.", param="models")
        else:
            asked = [history for history in self.all() if history.model.removable and history.model.reference]
        gate = asyncio.Semaphore(_AT_ONCE)

        async def ask(history: History) -> Outlook:
            async with gate:
                return await self._ask(history)

        return list(await asyncio.gather(*(ask(history) for history in asked)))

    async def _ask(self, history: History) -> Outlook:
        model, pinned = history.model, history.state.pinned
        try:
            reference = Reference.parse(model.reference)
            release = await self._source(reference).find(reference)
        except HausgeistError as error:
            return Outlook(model=model.id, reference=model.reference, version=model.version, pinned=pinned, error=error.message)
        missing = {part.url: part.size for part in release.parts if not (part.sha256 and self._blobs.has(part.sha256))}
        size = sum(missing.values()) if release.version != model.version else 0
        return Outlook(model=model.id, reference=model.reference, version=model.version, latest=release.version, size=size, pinned=pinned)

    def spent(self) -> list[Version]:
        """The versions that nobody needs any more: what replaced them has answered, and is not pinned."""
        current = {_key(history.model.id): history for history in self.all() if history.model.removable}

        def is_spent(version: Version) -> bool:
            history = current.get(version.model)
            if history is None:
                return True  # no such model any more
            return history.state.answered == history.model.digest and not history.state.pinned

        return [version for version in self._database.read(read_versions) if is_spent(version)]

    async def forget(self, versions: Sequence[Version]) -> None:
        """Their files are for the garbage collection then."""

        def write(connection: Connection) -> None:
            for version in versions:
                delete_version(connection, version)

        if versions:
            await self._database.write(write)

    def _stored(self, name: str) -> tuple[InstalledModel, Definition]:
        model = self._library.get(name)
        definition = self._library.stored(model.id) if model.removable else None
        if definition is None:
            raise Conflict(f"'{model.id}' is not stored here: it comes with the server, or from a file that is offered where it lies.")
        return model, definition


def _key(name: str) -> str:
    try:
        return Name.parse(name).key
    except InvalidRequest:
        return name.lower()
