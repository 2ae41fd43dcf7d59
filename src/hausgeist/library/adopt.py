"""Models that other tools have brought onto this machine become models here, with no download.

A file whose tool calls it after its sha256 gets a second name among the blobs, once all of it has been read and is what its name says: it takes
no more space, and outlives the tool. All other files, and those that cannot be shared so, are used where they lie. Which files these are is for
`sources.adoption` to find: nobody names a path here.
"""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import AsyncGenerator, Callable, Sequence
from contextlib import ExitStack, aclosing
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, Final

from hausgeist.errors import InvalidRequest, NotFound, StoreError, shown
from hausgeist.library.assembly import Fetched, assemble
from hausgeist.library.names import Name
from hausgeist.library.service import Library
from hausgeist.library.sources.adoption import Found, Tool
from hausgeist.library.sources.base import Part
from hausgeist.library.transfer import Progress
from hausgeist.store.blobs import Blobs

__all__ = ["Adoptable", "Adopted", "Adoption"]

_STEP: Final = 64 * 2**20
_CHUNK: Final = 2**20


@dataclass(frozen=True, slots=True)
class Adoptable:
    """A model that is there. `installed`: there is one of its name here already."""

    found: Found
    installed: bool


@dataclass(frozen=True, slots=True)
class Adopted:
    """What came of it. `in_place`: its files stay the other tool's, and the model is lost with them."""

    name: str
    digest: str
    size: int
    in_place: bool


class Adoption:
    """Into the models of a library."""

    def __init__(self, *, library: Library, blobs: Blobs, discover: Callable[[], Sequence[Found]]) -> None:
        """`discover`: looks over the machine; called off the event loop."""
        self._library = library
        self._blobs = blobs
        self._discover = discover

    async def all(self) -> list[Adoptable]:
        """What there is, by tool and name."""
        there = {Name.parse(model.id).key for model in self._library.models() if model.removable}
        return [Adoptable(one, one.release.reference.name.key in there) for one in await asyncio.to_thread(self._discover)]

    async def adopt(self, name: str, *, tool: Tool | None = None, called: str = "") -> AsyncGenerator[Progress | Adopted, None]:
        """Install what a tool calls `name`, as `called` (default: the same). How far it is, and at last what came of it.

        Several tools may have it; the first whose files can be shared is taken, unless one is named. Raises `NotFound`, `Conflict`,
        `InvalidRequest` for files that are not what they should be, `DiskFull`.
        """
        wanted = Name.parse(name)
        found = [one.found for one in await self.all() if one.found.release.reference.name.key == wanted.key and tool in (None, one.found.tool)]
        if not found:
            raise NotFound(f"No other tool has a model '{shown(name, 200)}' on this machine. 'hausgeist adopt' lists those that they have.")
        target = self._library.check_name(called or found[0].name)
        with ExitStack() as links, self._library.holding(part.sha256 for one in found for part in one.release.parts if part.sha256):
            chosen, opened = found[0], self._linked(found[0], links)
            for other in found[1:]:
                if opened is None and (opened := self._linked(other, links)) is not None:
                    chosen = other
            files: list[str | Path] = []
            if opened is None:
                files += chosen.names if _in_parts(chosen) else chosen.files
            else:
                for part, file in zip(chosen.release.parts, opened, strict=True):
                    if file is not None and not self._blobs.has(part.sha256):
                        async with aclosing(self._take(part, file)) as taking:
                            async for progress in taking:
                                yield progress
                    files.append(part.sha256)
            yield Progress(stage="installing", name=str(target))
            definition = await asyncio.to_thread(assemble, self._blobs, Fetched.of(chosen.release, files))
            model = await self._library.install(str(target), definition)
        yield Adopted(model.id, model.digest, model.shape.size, in_place=opened is None)

    def _linked(self, found: Found, links: ExitStack) -> list[BinaryIO | None] | None:
        """The files of all parts under second names, `None` for those that are blobs already; `None` for all where one cannot be shared."""
        opened: list[BinaryIO | None] = []
        for part, path in zip(found.release.parts, found.files, strict=True):
            if not part.sha256:
                return None
            if self._blobs.has(part.sha256):
                opened.append(None)
            elif (file := links.enter_context(self._blobs.linked(path))) is not None:
                opened.append(file)
            else:
                return None
        return opened

    async def _take(self, part: Part, file: BinaryIO) -> AsyncGenerator[Progress, None]:
        """Read all of a file, and make it a blob if it is what it is called."""
        digest = hashlib.sha256()
        done = 0
        while True:
            yield Progress(stage="verifying", name=part.filename, digest=part.sha256, done=done, total=part.size)
            try:
                count = await asyncio.to_thread(_feed, file, digest)
            except OSError as error:
                raise StoreError(f"'{shown(part.filename)}' cannot be read at byte {done} and after: {error.strerror or error}.") from error
            if not count:
                break
            done += count
        if digest.hexdigest() != part.sha256:
            raise InvalidRequest(
                f"The file '{shown(part.filename)}' is not what its name says (sha256:{part.sha256}): it was damaged or changed. "
                "Get the model anew with 'hausgeist pull'."
            )
        self._blobs.publish(Path(file.name), part.sha256, shared=True)


def _in_parts(found: Found) -> bool:
    return sum(part.role == "weights" for part in found.release.parts) > 1


def _feed(file: BinaryIO, digest: hashlib._Hash) -> int:
    count = 0
    while count < _STEP and (chunk := file.read(_CHUNK)):
        digest.update(chunk)
        count += len(chunk)
    return count
