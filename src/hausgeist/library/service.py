"""The library: which models there are, by name. Offers files in place, creates, copies and removes models, keeps the index that requests ask.

A stored model is one row, written last, so a crash leaves blobs that nobody mentions and never half a model; `start` collects those. Several
processes may use one home: the index notices within a quarter of a second what another wrote, and blobs are taken away only within a write
transaction that has seen that no row mentions them.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any, Final

from sqlalchemy import Connection

from hausgeist.errors import Conflict, HausgeistError, InvalidRequest, ModelNotFound, NotSupported, StoreError, shown
from hausgeist.library import guide
from hausgeist.library.creation import Change, FileSource, compose, of_file, projector_ref
from hausgeist.library.definition import Definition, launch_options, launch_tasks
from hausgeist.library.gguf.contents import stem
from hausgeist.library.names import Name
from hausgeist.library.records import (
    Record,
    Version,
    blobs_in_use,
    delete_model,
    forget_past,
    put_model,
    read_models,
    read_versions,
    renew_model,
    set_pinned,
    stamps,
    supersede_model,
)
from hausgeist.library.split import Splits
from hausgeist.model import InstalledModel, ModelOptions
from hausgeist.settings import ModelSection
from hausgeist.store.blobs import Blobs
from hausgeist.store.database import Database

__all__ = ["Library"]

log = logging.getLogger(__name__)

_LOOK_AGAIN: Final = 0.25
"""Seconds between two looks at what other processes may have written."""
_GARBAGE_AGE: Final = 24 * 3600.0
"""Seconds that a blob nobody mentions is kept: its upload may be the first step of a `create` to come."""


class Library:
    """`get` is asked for every request and takes a dictionary look-up. Changes are coroutines, one at a time."""

    def __init__(self, database: Database, blobs: Blobs, sections: Mapping[str, ModelSection] | None = None) -> None:
        """`sections`: `settings.models`, how single models are launched."""
        self._database = database
        self._blobs = blobs
        self._sections = {_key(name): (name, section) for name, section in (sections or {}).items()}
        self._offered: dict[str, tuple[Definition, InstalledModel]] = {}
        self._stored: dict[str, tuple[Definition, InstalledModel]] = {}
        self._brought: dict[str, InstalledModel] = {}
        self._find: Callable[[str], InstalledModel | None] | None = None
        self._index: dict[str, InstalledModel] = {}
        self._list: list[InstalledModel] = []
        self._stamps: frozenset[tuple[str, float]] = frozenset()
        self._next_look = 0.0
        self._changing = asyncio.Lock()
        self._splits = Splits(blobs)
        self._held: Counter[str] = Counter()

    def models(self) -> list[InstalledModel]:
        """All there are, by name."""
        self._look()
        return list(self._list)

    def get(self, name: str) -> InstalledModel:
        """The model of this name in whatever case; `x` is `x:latest`. Raises `ModelNotFound`."""
        if time.monotonic() >= self._next_look:
            self._look()
        model = self._index.get(name) or self._index.get(_key(name))
        if model is None and self._find is not None and (found := self._find(name)) is not None:
            return self._with_section(found)
        if model is None:
            # Another process may have made it a moment ago.
            self._look(now=True)
            model = self._index.get(_key(name))
        if model is None:
            raise ModelNotFound(shown(name, 200))
        return model

    async def start(self, in_use: Callable[[Connection], frozenset[str]] | None = None, *, collecting: bool = True) -> None:
        """Offer the files that the settings name, look anew at stored models whose files changed, and collect garbage (see `collect`).

        `collecting`: not while downloads wait to be gone on with, whose finished files no model mentions yet."""
        for name, section in self._sections.values():
            if section.path is not None:
                try:
                    await self.offer(section.path, name=name)
                except InvalidRequest as error:
                    raise InvalidRequest(f'[models."{name}"] in hausgeist.toml: {error.message}') from error
        async with self._changing:
            await self._renew()
            await asyncio.to_thread(self.relink)
        if collecting:
            await self.collect(in_use=in_use)

    async def offer(
        self,
        path: Path,
        *,
        name: str | None = None,
        notice: str = "",
        parameters: Mapping[str, Any] | None = None,
        options: ModelOptions | None = None,
    ) -> InstalledModel:
        """A file of this start, used where it lies and never deleted, under its stem or `name`; `parameters` as in `InstalledModel`.

        Raises `InvalidRequest`, `Conflict`."""
        path = _whole(path)
        called = Name.parse(name) if name is not None else Name.from_stem(stem(path))
        async with self._changing:
            self._look(now=True)
            known = self._offered.get(called.key) or self._stored.get(called.key)
            if known is not None and known[1].path != path:
                raise Conflict(
                    f"There is a model '{known[1].id}' already: {known[1].path or known[1].source}. "
                    f'To offer {path} as well, name it otherwise: [models.OTHER] with path = "{path}" in hausgeist.toml.'
                )
            if known is not None and called.key in self._stored and called.key not in self._offered:
                return known[1]
            definition = await asyncio.to_thread(_offered, path, notice, self._section(str(called)))
            if parameters is not None:
                definition = replace(definition, parameters=parameters)
            modified = max(ref.mtime_ns for ref in definition.files) / 1e9
            model = self._installed(str(called), definition, modified, options=options, removable=False)
            self._offered[called.key] = (definition, model)
            self._rebuild()
        return model

    async def create(
        self,
        name: str,
        *,
        source: str | None = None,
        files: Mapping[str, FileSource] | None = None,
        adapters: Mapping[str, FileSource] | None = None,
        template: str | None = None,
        system: str | None = None,
        parameters: Mapping[str, Any] | None = None,
        messages: Sequence[Mapping[str, str]] | None = None,
        licence: str | Sequence[str] | None = None,
    ) -> InstalledModel:
        """Make a model from another one (`source`) or from files (name -> digest of a blob, or a `Path` to use in place), as Ollama's `create`.

        One that has this name already is replaced. Raises `InvalidRequest`, `ModelNotFound`, `Conflict`.
        """
        called = Name.parse(name)
        change = Change(
            files=files or {},
            adapters=adapters or {},
            template=template,
            system=system,
            parameters=parameters,
            messages=messages,
            licence=licence,
        )
        async with self._changing:
            self._look(now=True)
            base = self.definition(source) if source is not None else None
            definition = await asyncio.to_thread(compose, self._blobs, base, change, source=source or "")
            return await self._put(called, definition)

    async def install(self, name: str, definition: Definition, *, pinned: bool = False) -> InstalledModel:
        """A model whose blobs are here under this name, all of it or nothing, and `pinned` with it. One that has the name is kept as its version
        before.

        Raises `Conflict`, `InvalidRequest`."""
        called = Name.parse(name)
        async with self._changing:
            self._look(now=True)
            return await self._put(called, definition, superseding=True, pinned=pinned)

    def check_name(self, name: str) -> Name:
        """The name as it would be installed. Raises `Conflict` where that cannot be, `InvalidRequest`."""
        called = Name.parse(name)
        self._look(now=True)
        self._check_free(called)
        return called

    def stored(self, name: str) -> Definition | None:
        """What is stored under this name; `None` for models that are offered where they lie or belong to an engine."""
        self._look()
        known = self._stored.get(_key(name))
        return known[0] if known is not None else None

    @contextmanager
    def holding(self, blobs: Iterable[str]) -> Iterator[Callable[[str], None]]:
        """Within the block these blobs, and those that the function given is called with, are not taken away by this process."""
        mine: Counter[str] = Counter(blobs)
        self._held.update(mine)

        def hold(blob: str) -> None:
            mine[blob] += 1
            self._held[blob] += 1

        try:
            yield hold
        finally:
            self._held -= mine

    async def copy(self, source: str, destination: str) -> InstalledModel:
        """The same model under another name; one that has that name is replaced. Raises `ModelNotFound`, `Conflict`, `InvalidRequest`."""
        called = Name.parse(destination)
        async with self._changing:
            self._look(now=True)
            if called.key == _key(source):
                return self.get(source)
            return await self._put(called, self.definition(source))

    async def remove(self, name: str) -> None:
        """Forget a stored model and delete the blobs that no other one uses. Raises `ModelNotFound`, `Conflict` for what is not stored here."""
        async with self._changing:
            self._look(now=True)
            model = self.get(name)
            key = _key(model.id)
            if key in self._offered and model.path == guide.FILE:
                raise Conflict(f"'{model.id}' is part of Hausgeist; 'guide = false' in hausgeist.toml leaves it out.")
            if key in self._offered:
                raise Conflict(f"'{model.id}' is the file {model.path}, offered where it lies and not deleted here; start without it instead.")
            if key not in self._stored:
                raise Conflict(f"'{model.id}' belongs to the engine '{model.engine}' and cannot be removed.")
            definition, model = self._stored[key]

            def write(connection: Connection) -> frozenset[str]:
                past = frozenset(blob for version in read_versions(connection, key) for blob in version.definition.blobs)
                delete_model(connection, model.id)
                forget_past(connection, key)
                return past

            past = await self._database.write(write)
            self._look(now=True)
            await self.discard(definition.blobs | past)

    def bring(self, models: Sequence[InstalledModel], *, find: Callable[[str], InstalledModel | None] | None = None) -> None:
        """All that engines have themselves, under the very ids they give; replaces what was brought before.

        `find` is asked for names that are not in any list (`fake:FILE`), for as long as no other is given.
        """
        self._brought = {_key(model.id): self._with_section(model) for model in models}
        self._find = find or self._find
        self._rebuild()

    async def collect(self, *, in_use: Callable[[Connection], frozenset[str]] | None = None, older_than: float = _GARBAGE_AGE) -> int:
        """Delete blobs that no model mentions, nor `in_use` (those of other packages), older than this many seconds. Returns how many."""
        digests = await asyncio.to_thread(lambda: frozenset(digest for digest in self._blobs.digests() if self._age(digest) > older_than))
        return len(await self.discard(digests, in_use))

    def garbage(self, older_than: float, *, without: Sequence[Version] = ()) -> frozenset[str]:
        """The blobs that could be deleted, were the versions `without` forgotten; theirs at whatever age."""
        theirs = frozenset(blob for version in without for blob in version.definition.blobs)
        old = frozenset(digest for digest in self._blobs.digests() if digest in theirs or self._age(digest) > older_than)
        return old - frozenset(self._held) - self._database.read(lambda connection: blobs_in_use(connection, old, without=without))

    def _age(self, digest: str) -> float:
        try:
            return time.time() - self._blobs.path(digest).stat().st_mtime
        except OSError:
            return 0.0

    def _check_free(self, called: Name) -> None:
        if (other := self._offered.get(called.key)) is not None:
            raise Conflict(f"'{other[1].id}' is a file that this server offers ({other[1].path}); choose another name.")
        brought = self._brought.get(called.key) or (self._find(str(called)) if self._find is not None else None)
        if brought is not None:
            raise Conflict(f"'{called}' is a model of the engine '{brought.engine}'; choose another name.")

    async def _put(self, called: Name, definition: Definition, *, superseding: bool = False, pinned: bool = False) -> InstalledModel:
        self._check_free(called)
        if definition.parts:
            await asyncio.to_thread(self._splits.ensure, definition.parts)
        before = self._stored.get(called.key)
        record = Record(str(called), definition, time.time())

        def write(connection: Connection) -> frozenset[str]:
            # Within the transaction: another process cannot take them away any more.
            if missing := [blob for blob in definition.blobs if not self._blobs.has(blob)]:
                raise InvalidRequest(f"The file sha256:{missing[0]} was removed meanwhile; upload it again.", param="files")
            if superseding:
                supersede_model(connection, record)
                if pinned:
                    set_pinned(connection, called.key, True)
                return frozenset()
            past = frozenset(blob for version in read_versions(connection, called.key) for blob in version.definition.blobs)
            forget_past(connection, called.key)
            put_model(connection, record)
            return past

        past = await self._database.write(write)
        self._look(now=True)
        if before is not None and not superseding:
            await self.discard((before[0].blobs | past) - definition.blobs)
        return self.get(record.id)

    async def discard(self, blobs: frozenset[str], in_use: Callable[[Connection], frozenset[str]] | None = None) -> frozenset[str]:
        """Delete those that no row mentions and nobody holds. Returns which.

        In a transaction of its own after the rows are gone: deleted files do not come back with a rollback.
        """
        if not blobs:
            return frozenset()

        def write(connection: Connection) -> frozenset[str]:
            held = frozenset(self._held)
            gone = blobs - held - blobs_in_use(connection, blobs) - (in_use(connection) if in_use else frozenset())
            for blob in gone:
                self._blobs.remove(blob)
            if gone:
                self._splits.sweep([*self._split_parts(connection)])
            return gone

        return await self._database.write(write)

    @staticmethod
    def _split_parts(connection: Connection) -> Iterator[tuple[str, ...]]:
        """Of all models and versions that came in several files."""
        definitions = [one.definition for one in read_models(connection)] + [one.definition for one in read_versions(connection)]
        yield from (definition.parts for definition in definitions if definition.parts)

    def relink(self) -> None:
        """Make the links of split models again where they are missing, or lead to files that are no more."""
        for parts in self._database.read(lambda connection: list(self._split_parts(connection))):
            try:
                self._splits.ensure(parts)
            except HausgeistError as error:
                log.warning("a split model cannot be used at the moment: %s", error.message)

    async def _renew(self) -> None:
        """Files in place that were replaced since they were looked at: read them again. What cannot be read stays as it is, and is logged."""
        self._look(now=True)
        for definition, model in list(self._stored.values()):
            try:
                if await asyncio.to_thread(_changed, definition):
                    record = Record(model.id, await asyncio.to_thread(_read_again, definition), time.time())
                    await self._database.write(partial(renew_model, record=record, seen=model.modified))
            except (OSError, HausgeistError) as error:
                log.warning("the model %s cannot be used at the moment: %s", model.id, error)
        self._look(now=True)

    def definition(self, name: str) -> Definition:
        """What a new model starts from. Raises `ModelNotFound`, `NotSupported`."""
        model = self.get(name)
        key = _key(model.id)
        if (known := self._offered.get(key) or self._stored.get(key)) is not None:
            return known[0]
        if not model.upstream:
            raise NotSupported(f"'{model.id}' is built into the engine '{model.engine}'; no other model can be made from it.", param="model")
        return Definition(
            engine=model.engine,
            shape=model.shape,
            tasks=model.tasks,
            system=model.system,
            template=model.template,
            parameters=dict(model.parameters),
            licence=model.licence,
            source=model.source,
            notice=model.notice,
            upstream=model.upstream,
        )

    def _installed(
        self, name: str, definition: Definition, modified: float, *, options: ModelOptions | None = None, removable: bool = True
    ) -> InstalledModel:
        return definition.installed(
            name, modified=modified, blob_path=self._blobs.path, section=self._section(name), options=options, removable=removable
        )

    def _with_section(self, model: InstalledModel) -> InstalledModel:
        if (section := self._section(model.id)) is None:
            return model
        options = launch_options(model.options, section)
        return replace(model, options=options, tasks=launch_tasks(model.tasks, options))

    def _section(self, name: str) -> ModelSection | None:
        return self._sections[key][1] if (key := _key(name)) in self._sections else None

    def _look(self, *, now: bool = False) -> None:
        """Read the table again if another process, or this one, changed it."""
        if not now and time.monotonic() < self._next_look:
            return
        self._next_look = time.monotonic() + _LOOK_AGAIN
        try:
            found = self._database.read(stamps)
            if found == self._stamps:
                return
            records = self._database.read(read_models)
        except StoreError as error:
            # Requests that run while the server stops still find their models.
            log.debug("the models table cannot be read: %s", error)
            return
        self._stamps = found
        self._stored = {_key(one.id): (one.definition, self._installed(one.id, one.definition, one.modified)) for one in records}
        self._rebuild()

    def _rebuild(self) -> None:
        by_key = {
            **self._brought,
            **{key: model for key, (_, model) in self._stored.items()},
            **{key: model for key, (_, model) in self._offered.items()},
        }
        self._index = {**by_key, **{model.id: model for model in by_key.values()}}
        self._list = sorted(by_key.values(), key=lambda model: model.id.lower())


def _offered(path: Path, notice: str, section: ModelSection | None) -> Definition:
    definition = of_file(path, notice=notice)
    if section is not None and section.projector is not None:
        definition = replace(definition, projector=projector_ref(_whole(section.projector)))
    return definition


def _whole(path: Path) -> Path:
    return path.expanduser().absolute()


def _changed(definition: Definition) -> bool:
    """Whether weights that lie in place are no longer what they were. Raises `OSError` where they are gone."""
    times = [(ref.path.stat(), ref) for ref in definition.files if ref.path is not None]
    return any((status.st_size, status.st_mtime_ns) != (ref.size, ref.mtime_ns) for status, ref in times)


def _read_again(definition: Definition) -> Definition:
    path = definition.files[0].path
    assert path is not None
    fresh = of_file(path)
    return replace(definition, files=fresh.files, shape=fresh.shape, tasks=fresh.tasks)


def _key(name: str) -> str:
    """Of a name, or of an engine's own id, which need not be one (`fake:/a/file`)."""
    try:
        return Name.parse(name).key
    except InvalidRequest:
        return name.lower()
