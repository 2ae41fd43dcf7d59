"""Reads all files of a model again and compares them with what they were: disks forget. Damaged ones can be fetched anew."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import AsyncGenerator, Callable, Iterator
from contextlib import aclosing
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, Final

from hausgeist.errors import Conflict, HausgeistError, InvalidRequest, NotFound
from hausgeist.identity import Origin, Principal
from hausgeist.library.definition import Definition, FileRef, file_in_place
from hausgeist.library.gguf.header import read_header
from hausgeist.library.install import Fetching
from hausgeist.library.reference import Reference
from hausgeist.library.service import Library
from hausgeist.library.sources.base import Part, Source
from hausgeist.library.transfer import Progress
from hausgeist.store.blobs import Blobs

__all__ = ["Damage", "Verdict", "Verification"]

_STEP: Final = 64 * 2**20
_CHUNK: Final = 2**20


@dataclass(frozen=True, slots=True)
class Damage:
    """A file that is not what it was, and whether it was fetched anew."""

    file: str
    reason: str
    repaired: bool = False


@dataclass(frozen=True, slots=True)
class Verdict:
    """What came of it."""

    model: str
    files: int
    damages: tuple[Damage, ...] = ()

    @property
    def sound(self) -> bool:
        return all(damage.repaired for damage in self.damages)


class Verification:
    """Of the models of a library."""

    def __init__(self, *, library: Library, blobs: Blobs, source: Callable[[Reference], Source], downloads: Fetching) -> None:
        self._library = library
        self._blobs = blobs
        self._source = source
        self._downloads = downloads

    async def verify(
        self, name: str, *, repair: bool = False, who: Principal | None = None, origin: Origin | None = None
    ) -> AsyncGenerator[Progress | Verdict, None]:
        """How far it is, and at last the verdict. Raises `ModelNotFound`, `Conflict` for models that are not stored here."""
        model = self._library.get(name)
        definition = self._library.stored(model.id)
        if definition is None:
            raise Conflict(f"'{model.id}' is not stored here: it comes with the server, or from a file that is offered where it lies.")
        refs = list(_labelled(definition))
        damages: list[Damage] = []
        with self._library.holding(definition.blobs):
            for label, ref in refs:
                reason = ""
                async with aclosing(self._check(label, ref)) as checking:
                    async for told in checking:
                        if isinstance(told, Progress):
                            yield told
                        else:
                            reason = told
                if not reason:
                    continue
                damage = Damage(label, reason)
                if repair and ref.blob:
                    async with aclosing(self._repair(definition, damage, ref, who, origin)) as repairing:
                        async for step in repairing:
                            if isinstance(step, Progress):
                                yield step
                            else:
                                damage = step
                damages.append(damage)
        yield Verdict(model.id, len(refs), tuple(damages))

    async def _check(self, label: str, ref: FileRef) -> AsyncGenerator[Progress | str, None]:
        """Progress, and a sentence if the file is damaged."""
        path = ref.at(self._blobs.path)
        if not ref.blob:
            if reason := await asyncio.to_thread(_changed_in_place, ref, path):
                yield reason
            return
        try:
            size = path.stat().st_size
            file = path.open("rb")
        except FileNotFoundError:
            yield "it is gone"
            return
        except OSError as error:
            yield f"it cannot be read ({error.strerror or error})"
            return
        digest = hashlib.sha256()
        with file:
            done = 0
            while True:
                yield Progress(stage="verifying", name=label, digest=ref.blob, done=done, total=size)
                try:
                    count = await asyncio.to_thread(_feed, file, digest)
                except OSError as error:
                    yield f"it cannot be read at byte {done} and after ({error.strerror or error})"
                    return
                if not count:
                    break
                done += count
        if digest.hexdigest() != ref.blob:
            yield f"its digest should be sha256:{ref.blob} and is sha256:{digest.hexdigest()}"

    async def _repair(
        self, definition: Definition, damage: Damage, ref: FileRef, who: Principal | None, origin: Origin | None
    ) -> AsyncGenerator[Progress | Damage, None]:
        """Fetch this very file again. The damaged one stays until the good one takes its place: a model that half works is better than none."""
        told: asyncio.Queue[Progress] = asyncio.Queue()
        try:
            source, part = await self._part(definition, ref)
            fetching = asyncio.ensure_future(self._downloads.fetch(part, source, progress=told.put_nowait, who=who, origin=origin, anew=True))
            try:
                while not fetching.done():
                    waiting = asyncio.ensure_future(told.get())
                    await asyncio.wait({fetching, waiting}, return_when=asyncio.FIRST_COMPLETED)
                    if waiting.done():
                        yield waiting.result()
                    waiting.cancel()
                await fetching
            finally:
                fetching.cancel()
                await asyncio.wait({fetching})
            await asyncio.to_thread(self._library.relink)
        except HausgeistError as error:
            left = "it is still damaged, and in use as it is" if self._blobs.has(ref.blob) else "it is still gone"
            yield Damage(damage.file, f"{damage.reason}; it could not be fetched anew, so {left}: {error.message}")
            return
        yield Damage(damage.file, damage.reason, repaired=True)

    async def _part(self, definition: Definition, ref: FileRef) -> tuple[Source, Part]:
        if not definition.reference:
            raise InvalidRequest("the model was made or imported here, so no source has its files.")
        reference = Reference.parse(definition.reference)
        source = self._source(reference)
        release = await source.find(reference)
        for part in release.parts:
            if part.sha256 == ref.blob:
                return source, part
        raise NotFound(f"{definition.reference} is another version at its source now; 'hausgeist upgrade' gets that.")


def _labelled(definition: Definition) -> Iterator[tuple[str, FileRef]]:
    for number, ref in enumerate(definition.files, start=1):
        yield "weights" if len(definition.files) == 1 else f"weights {number} of {len(definition.files)}", ref
    if definition.projector is not None:
        yield "projector", definition.projector
    for number, adapter in enumerate(definition.adapters, start=1):
        yield f"adapter {number}", adapter.file


def _feed(file: BinaryIO, digest: hashlib._Hash) -> int:
    count = 0
    while count < _STEP and (chunk := file.read(_CHUNK)):
        digest.update(chunk)
        count += len(chunk)
    return count


def _changed_in_place(ref: FileRef, path: Path) -> str:
    """Of a file that is not ours, size, time and header are known."""
    try:
        now = file_in_place(path, read_header(path))
    except InvalidRequest as error:
        return error.message
    if now.header != ref.header or now.size != ref.size:
        return f"{path} is another file than it was"
    return ""
