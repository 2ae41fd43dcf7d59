"""All that is done with models besides answering, in one hand: what routes and commands are given."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol

from hausgeist.library.adopt import Adoption
from hausgeist.library.install import Fetching, Installer
from hausgeist.library.reference import Reference
from hausgeist.library.service import Library
from hausgeist.library.sources.adoption import Found
from hausgeist.library.sources.base import Source
from hausgeist.library.upkeep.garbage import Garbage, Partials
from hausgeist.library.upkeep.portable import Portable
from hausgeist.library.upkeep.verification import Verification
from hausgeist.library.upkeep.versions import Versions
from hausgeist.store.blobs import Blobs
from hausgeist.store.database import Database
from hausgeist.store.jobs import Jobs

__all__ = ["Downloading", "Upkeep", "upkeep"]


class Downloading(Fetching, Partials, Protocol):
    """`library.download`."""


@dataclass(frozen=True, slots=True)
class Upkeep:
    """The verbs, by noun."""

    installer: Installer
    versions: Versions
    verification: Verification
    garbage: Garbage
    portable: Portable
    adoption: Adoption


def upkeep(
    *,
    database: Database,
    library: Library,
    blobs: Blobs,
    jobs: Jobs,
    source: Callable[[Reference], Source],
    downloads: Downloading,
    discover: Callable[[], Sequence[Found]] = list,
) -> Upkeep:
    """Wire them. `source`: where a reference points to. `discover`: what other tools have on this machine."""
    installer = Installer(library=library, blobs=blobs, source=source, downloads=downloads, jobs=jobs)
    versions = Versions(database=database, library=library, blobs=blobs, source=installer.source)
    return Upkeep(
        installer=installer,
        versions=versions,
        verification=Verification(library=library, blobs=blobs, source=installer.source, downloads=downloads),
        garbage=Garbage(library=library, versions=versions, blobs=blobs, partials=downloads, pulling=lambda: installer.waiting),
        portable=Portable(library=library, blobs=blobs),
        adoption=Adoption(library=library, blobs=blobs, discover=discover),
    )
