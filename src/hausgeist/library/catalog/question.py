"""A question to the catalogue as people put it: words, among them a use and a size. And what is told of an entry."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, Final

from hausgeist.errors import InvalidRequest, shown
from hausgeist.library.catalog.entry import USES, Entry, Use
from hausgeist.library.catalog.reader import Catalog

__all__ = ["Question", "bytes_of", "facts"]

_SIZE: Final = re.compile(r"(\d{1,9}(?:[.,]\d{1,9})?)\s*(k|m|g|t)(i?)b?", re.IGNORECASE)
_POWERS: Final = {"k": 1, "m": 2, "g": 3, "t": 4}


@dataclass(frozen=True, slots=True, kw_only=True)
class Question:
    """`fits`: bytes that all files at the usual precision may take."""

    words: tuple[str, ...] = ()
    use: Use | None = None
    fits: int | None = None
    licence: str = ""

    @classmethod
    def of(cls, words: Iterable[str], *, use: str = "", licence: str = "") -> Question:
        """Words with the use and the size among them sorted out. Raises `InvalidRequest` for a use that is none, and for two sizes."""
        names: list[str] = []
        sizes: list[int] = []
        for word in words:
            # "8b" and "7b" are names of models; a size has a letter for its unit.
            if (count := bytes_of(word)) is None:
                names.append(word)
            else:
                sizes.append(count)
        if len(sizes) > 1:
            raise InvalidRequest("Two sizes; give one.", param="words")
        if use and _use(use) is None:
            raise InvalidRequest(f"'{shown(use, 40)}' is not a use. Uses are {', '.join(USES)}.", param="use")
        uses = [use] if use else [name for name in names if _use(name)]
        wanted = _use(uses[-1]) if uses else None
        return cls(words=tuple(name for name in names if use or not _use(name)), use=wanted, fits=next(iter(sizes), None), licence=licence)

    def exact(self, known: Catalog) -> Entry | None:
        """The model that is asked for by its name and nothing else."""
        return known.find(self.words[0]) if len(self.words) == 1 and self.fits is None and self.use is None else None

    def answer(self, known: Catalog) -> list[Entry]:
        return known.search(self.words, use=self.use, fits=self.fits, licence=self.licence)


def _use(word: str) -> Use | None:
    return next((one for one in USES if word.lower() in (one, f"{one}s")), None)


def bytes_of(text: str) -> int | None:
    """A size as people type it: 8gb, 1.5G, 24GiB. GB are powers of ten, GiB of two; `None` where it is no size."""
    if not (match := _SIZE.fullmatch(text)):
        return None
    number, unit, binary = match.groups()
    base = 1024 if binary else 1000
    return int(float(number.replace(",", ".")) * base ** _POWERS[unit.lower()])


def facts(entry: Entry) -> dict[str, Any]:
    """As commands and routes give it."""
    return {
        "name": entry.name,
        "title": entry.title,
        "maker": entry.maker,
        "family": entry.family,
        "parameters": entry.parameters,
        "active_parameters": entry.active,
        "precision": entry.precision,
        "size": entry.size,
        "weights": entry.weights_bytes(),
        "projector": entry.projector_bytes,
        "context": entry.context,
        "modalities": list(entry.modalities),
        "use": list(entry.use),
        "licence": entry.licence,
        "commercial": entry.commercial,
        "released": entry.released,
        "install": list(entry.install),
        "aliases": list(entry.aliases),
        "sources": dict(entry.sources),
    }
