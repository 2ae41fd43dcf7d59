"""The catalogue as a whole: read once, found by any of its names, searched by words."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import cache, cached_property
from importlib.resources import files
from types import MappingProxyType
from typing import Final

from hausgeist.errors import StoreError
from hausgeist.library.catalog.entry import Entry, Use, decode

__all__ = ["Catalog", "load"]

_PREFIXES: Final = ("hf.co/", "huggingface.co/", "https://huggingface.co/", "registry.ollama.ai/", "ollama.com/library/", "library/")
_PRECISION: Final = re.compile(r"[-:._](?:ud-)?(?:i?q[1-8]_(?:[01]|k|nl|xs|xxs|s|m)(?:_(?:xl|l|m|s|xs))?|q[1-8]_k|bf16|fp16|f16|f32|mxfp4)$")
_TUNED: Final = re.compile(r"-(?:it|instruct|chat|gguf)$")


class Catalog:
    """The entries in the order of their files. `find` knows every name, alias and source; `search` narrows down."""

    def __init__(self, entries: Iterable[Entry]) -> None:
        self.entries: Sequence[Entry] = tuple(entries)

    def __iter__(self) -> Iterator[Entry]:
        return iter(self.entries)

    def __len__(self) -> int:
        return len(self.entries)

    @cached_property
    def _names(self) -> Mapping[str, Entry]:
        return MappingProxyType(dict(self._named()))

    def _named(self) -> Iterator[tuple[str, Entry]]:
        # What is written later wins: an entry's own name beats an alias, an alias beats a source that several entries share.
        for entry in reversed(self.entries):
            yield from ((key, entry) for source in entry.install for key in _keys(source))
        for entry in reversed(self.entries):
            yield from ((key, entry) for alias in (*entry.aliases, entry.title) for key in _keys(alias))
        for entry in self.entries:
            yield entry.name.lower(), entry

    @property
    def families(self) -> Mapping[str, int]:
        """How many models each family has, in the order of names."""
        counts: dict[str, int] = {}
        for entry in sorted(self.entries, key=lambda entry: entry.family):
            counts[entry.family] = counts.get(entry.family, 0) + 1
        return counts

    def find(self, name: str) -> Entry | None:
        """The model that a name means: `gemma3:4b`, `gemma3:4b-it-q4_K_M`, `hf.co/ggml-org/gemma-3-4b-it-GGUF:Q8_0`, `google/gemma-3-4b-it`."""
        for key in _keys(name):
            if entry := self._names.get(key):
                return entry
        return None

    def search(self, words: Iterable[str] = (), *, use: Use | None = None, fits: int | None = None, licence: str = "") -> list[Entry]:
        """Models that every word says something about: those of the newest year first, and of them the largest.

        `fits`: bytes that all files at the usual precision may take. `licence`: part of its name, or `commercial` for those that business may use.
        """
        wanted = [word.lower() for word in words]
        found = [entry for entry in self.entries if _matches(entry, wanted, use, licence.lower()) and (fits is None or _fits(entry, fits))]
        return sorted(found, key=lambda entry: (entry.released[:4], entry.parameters, entry.name), reverse=True)


def _matches(entry: Entry, words: Sequence[str], use: Use | None, licence: str) -> bool:
    if use is not None and use not in entry.use:
        return False
    if licence == "commercial":
        if entry.commercial not in ("yes", "conditions"):
            return False
    elif licence and licence not in entry.licence.lower():
        return False
    text = " ".join((entry.name, entry.family, entry.maker, entry.title, *entry.aliases, *entry.use, *entry.modalities, entry.licence)).lower()
    return all(word in text for word in words)


def _fits(entry: Entry, limit: int) -> bool:
    """No precision that is usual takes less than half a byte for a parameter, so that most sizes need not be computed."""
    return entry.parameters // 2 <= limit and entry.size <= limit


def _keys(name: str) -> Iterator[str]:
    """The forms in which a name is looked up, the fullest first."""
    key = name.strip().lower()
    for prefix in _PREFIXES:
        key = key.removeprefix(prefix)
    key = key.removesuffix(":latest")
    yield key
    shorter = _PRECISION.sub("", key)
    if shorter != key:
        yield shorter
    base = _TUNED.sub("", shorter)
    if base != shorter:
        yield base
        if (barer := _TUNED.sub("", base)) != base:
            yield barer
    if "/" in shorter:
        yield shorter.rpartition("/")[2]


@cache
def load() -> Catalog:
    """The catalogue that comes with the program. Raises `StoreError` when its files are damaged."""
    entries: list[Entry] = []
    for file in sorted((files(__package__) / "data").iterdir(), key=lambda file: file.name):
        if not file.name.endswith(".json"):
            continue
        try:
            raw = json.loads(file.read_bytes())
        except ValueError as error:
            raise StoreError(f"The catalogue is damaged ({file.name}: {error}); install Hausgeist anew.") from error
        entries += [decode(one, file.name) for one in raw]
    return Catalog(entries)
