"""How the name of a device is read as people type it and as drivers report it: "RTX4090 24gb", "NVIDIA GeForce RTX 4090", "m3 max 128".

Which device is meant is decided in `devices`.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from difflib import get_close_matches
from typing import Final

from hausgeist.errors import InvalidRequest, shown

__all__ = ["LONGEST", "Reading", "key", "link_key", "nearest", "readings"]

LONGEST: Final = 100
"""Characters; what is longer names no device."""

_IDLE: Final = frozenset(("amd", "arc", "graphic", "card", "gpu", "chip", "the", "with", "memory", "vram", "ram", "of"))
"""Words that tell no device from another, where they stand alone."""
_WITHIN: Final = re.compile(
    r"^(?:amd|arc)|nvidia|geforce|radeon|intel|apple|broadcom|ampere|tesla|instinct|graphics|silicon|generation|edition|workstation"
    r"|macbook(?:pro|air)?|mac(?:studio|mini|pro)|imac|gpu$"
)
"""The same, and machines that chips are built into, where words are run together."""
_MEMORY: Final = re.compile(r"(?<!\d)(\d{1,4})\s?(?:gib|gb)\b|(?<!\w)(\d{1,4})\s?g\b")
_SIGNS: Final = re.compile(r"[®™©]|\((?:r|tm|c)\)", re.IGNORECASE)
_OTHER: Final = re.compile(r"[^a-z0-9.+]+")
_LAST: Final = re.compile(r"(?<!\d)\d{1,4}$")


@dataclass(frozen=True, slots=True)
class Reading:
    """One way to read what was typed: the device by `key`, and how many GiB it should have where that was said."""

    key: str
    gib: float | None = None


def key(name: str) -> str:
    """A name less its spelling: lower case, without makers and without anything between words. Memory in it stays: "rtx306012gb"."""
    words = _plain(name).split()
    return _WITHIN.sub("", "".join(word for word in words if word not in _IDLE)) or "".join(words)


def link_key(name: str) -> str:
    """The same for a connection between devices: "PCIe 4.0 x16" and "pcie 4 x16" are one."""
    return re.sub(r"(\d)\.0(?!\d)", r"\1", _plain(name)).replace(" ", "")


def readings(name: str) -> Iterator[Reading]:
    """In the order in which they are to be tried. Raises `InvalidRequest` where there is nothing to read, or too much of it."""
    if len(name) > LONGEST:
        raise InvalidRequest(f"'{shown(name, 40)}' is too long for the name of a device.", param="gpu")
    plain = _plain(name)
    if not key(plain):
        raise InvalidRequest("The name of a device is empty; name one as in 'RTX 4090' or 'm3 max 128gb'.", param="gpu")
    found = _MEMORY.search(plain)
    if found:
        yield Reading(key(plain))
        gib = float(found[1] or found[2])
        rest = f"{plain[: found.start()]} {plain[found.end() :]}"
        if key(rest):
            yield Reading(key(rest), gib)
        return
    whole = key(plain)
    yield Reading(whole)
    yield Reading(f"{whole}gb")
    # "m3 max 128", "a100 80", "v100-32": memory without its unit, which no name ends in.
    if (last := _LAST.search(plain)) and key(plain[: last.start()]):
        yield Reading(key(plain[: last.start()]), float(last[0]))
    for digits in (3, 2, 1):
        if whole[-digits:].isdecimal() and whole[:-digits]:
            yield Reading(whole[:-digits], float(whole[-digits:]))


def nearest(asked: str, known: Mapping[str, str], count: int = 4) -> list[str]:
    """Names whose keys are like what was asked for. `known`: key -> name."""
    whole = key(_plain(asked[:LONGEST]))
    wanted = _MEMORY.sub("", _plain(asked[:LONGEST]))
    close: list[str] = []
    for one in dict.fromkeys((key(wanted), whole)):
        close += get_close_matches(one, known, n=count, cutoff=0.6)
        close += [candidate for candidate in known if len(one) > 2 and (one in candidate or (len(candidate) > 3 and candidate in one))]
    return list(_once(known[one] for one in close))[:count]


def _once(names: Iterable[str]) -> Iterator[str]:
    yield from dict.fromkeys(names)


def _plain(name: str) -> str:
    text = unicodedata.normalize("NFKC", _SIGNS.sub(" ", name)).casefold()
    return " ".join(_OTHER.sub(" ", text).split())
