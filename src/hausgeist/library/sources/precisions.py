"""File names of GGUF repositories: which precision a file has, which files are one model, which of several one takes. Pure.

Names are all there is to go by before a download: no index says which files belong together.
"""

from __future__ import annotations

import hashlib
import re
from collections import Counter
from collections.abc import Awaitable, Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Final

from hausgeist.errors import InvalidRequest, NotFound, shown
from hausgeist.library.gguf.header import Header
from hausgeist.library.sources.base import Part, Variant

__all__ = ["Choice", "Chooser", "Chosen", "Entry", "Look", "choose_usual", "pick", "precision_of", "projector_for", "usual", "variants_of",
           "version_of"]  # fmt: skip


@dataclass(frozen=True, slots=True)
class Chosen:
    """The name of a variant, and why it was taken, in a sentence."""

    name: str
    why: str = ""


Look = Callable[[Variant], Awaitable[Sequence[Header]]]
"""Reads the heads of a variant's files where they lie, some megabytes each. Raises what `read_remote_header` does."""

Chooser = Callable[[Sequence[Variant], Look], Awaitable[Chosen]]
"""Takes one of several precisions."""

_PRECISION: Final = re.compile(
    r"(?<![A-Za-z0-9])(?P<name>(?:UD-)?(?:I?Q[1-8]_(?:K_(?:XXS|XS|S|M|L|XL|P)|K|XXS|XS|NL_XL|NL|S|M|L|XL|0_[48]_[48]|[01])"
    r"|TQ[12]_0|MXFP[468](?:_MOE)?|NVFP4|BF16|FP?16|FP?32))(?![A-Za-z0-9])",
    re.IGNORECASE,
)
_PART: Final = re.compile(r"(?P<stem>.+)-(?P<number>\d{5})-of-(?P<count>\d{5})\.gguf", re.IGNORECASE)
_NOT_WEIGHTS: Final = re.compile(r"mmproj|imatrix(?!.*I?Q\d)|(?:^|[-_.])(?:vocab|lora|adapter)(?:[-_.]|$)", re.IGNORECASE)
_PROJECTOR: Final = re.compile(r"mmproj", re.IGNORECASE)
_MOST_PARTS: Final = 1024
_SHOWN: Final = 30

_USUAL: Final = (
    "Q4_K_M", "UD-Q4_K_XL", "Q4_K_XL", "Q4_K_L", "Q4_K_S", "Q4_K", "MXFP4", "MXFP4_MOE", "IQ4_XS", "IQ4_NL", "Q4_0", "Q4_1",
    "Q5_K_M", "UD-Q5_K_XL", "Q5_K_L", "Q5_K_S", "Q5_0", "Q5_1", "Q6_K", "UD-Q6_K_XL", "Q6_K_L", "Q8_0", "UD-Q8_K_XL",
    "Q3_K_L", "Q3_K_M", "UD-Q3_K_XL", "IQ3_M", "IQ3_S", "Q3_K_S", "IQ3_XS", "IQ3_XXS", "BF16", "F16", "F32",
)  # fmt: skip
"""Which precision is taken when nothing else is said: Q4_K_M as in Ollama, then what is nearest in size and quality, larger before smaller."""

_PROJECTORS: Final = ("F16", "BF16", "F32", "Q8_0")


@dataclass(frozen=True, slots=True)
class Entry:
    """One file of a repository."""

    path: str
    size: int
    sha256: str = ""

    @property
    def filename(self) -> str:
        return self.path.rpartition("/")[2]

    @property
    def folder(self) -> str:
        return self.path.rpartition("/")[0]


@dataclass(frozen=True, slots=True)
class Choice:
    """One model of a repository: its precision, or its file name where that says none, and its files in order."""

    name: str
    stem: str
    entries: tuple[Entry, ...]
    missing: int = 0
    """How many parts of the split are not there."""

    @property
    def size(self) -> int:
        return sum(entry.size for entry in self.entries)


def precision_of(path: str) -> str:
    """The precision that a file is named after, the last one in its name, or else in its folder's; empty: it does not say. In the usual case."""
    folder, _, name = path.rpartition("/")
    for text in (name, folder.rpartition("/")[2]):
        if found := [match["name"] for match in _PRECISION.finditer(text)]:
            plain = found[-1].upper()
            return {"FP16": "F16", "FP32": "F32"}.get(plain, plain)
    return ""


def variants_of(entries: Iterable[Entry]) -> tuple[Choice, ...]:
    """The models among the files. A name that two would have is nobody's: they are told apart by their file names."""
    groups: dict[tuple[str, int], list[tuple[int, Entry]]] = {}
    for entry in entries:
        if entry.path.lower().endswith(".gguf") and not _NOT_WEIGHTS.search(entry.filename):
            part = _PART.fullmatch(entry.filename)
            stem = part["stem"] if part else entry.filename[: -len(".gguf")]
            count = int(part["count"]) if part else 1
            if part is None or 1 <= int(part["number"]) <= count <= _MOST_PARTS:
                groups.setdefault((f"{entry.folder}/{stem}", count), []).append((int(part["number"]) if part else 1, entry))
    found = [_choice(place.rpartition("/")[2], count, sorted(files, key=lambda file: file[0])) for (place, count), files in sorted(groups.items())]
    names = Counter(choice.name for choice in found)
    return tuple(Choice(c.stem, c.stem, c.entries, c.missing) if names[c.name] > 1 else c for c in found)


def usual(variants: Sequence[Variant]) -> Variant:
    """The usual precision: see `_USUAL`; where none of those is there, the largest."""
    by_name = {variant.name.upper(): variant for variant in variants}
    for name in _USUAL:
        if name in by_name:
            return by_name[name]
    return max(variants, key=lambda variant: (variant.size, variant.name))


async def choose_usual(variants: Sequence[Variant], look: Look) -> Chosen:
    """Whatever machine this is."""
    return Chosen(usual(variants).name)


def pick(choices: Sequence[Choice], wanted: str, repository: str) -> Choice:
    """The model that is asked for: a precision, or a file name. Raises `NotFound` with what is there."""
    said = wanted.lower()
    stem = said.removesuffix(".gguf")
    for test in (
        lambda choice: any(entry.filename.lower() == said for entry in choice.entries),
        lambda choice: stem in {choice.name.lower(), choice.stem.lower()},
        lambda choice: precision_of(wanted) == wanted.upper() and precision_of(choice.entries[0].path) == wanted.upper(),
        lambda choice: choice.name.lower().removeprefix("ud-") == said,
    ):
        found = [choice for choice in choices if test(choice)]
        if len(found) == 1:
            return found[0]
        if found:
            raise InvalidRequest(f"Several files of {repository} are '{shown(wanted)}'; name one of them: {_listed(found)}.", param="model")
    raise NotFound(f"{repository} has no '{shown(wanted)}'. It has: {_listed(choices)}.")


def projector_for(entries: Iterable[Entry], choice: Choice) -> Entry | None:
    """The vision or audio projector that goes with a model: of the same folder or further up, named like it, F16 before all others."""
    there = [entry for entry in entries if entry.filename.lower().endswith(".gguf") and _PROJECTOR.search(entry.filename)]
    folder = choice.entries[0].folder
    near = [entry for entry in there if f"{folder}/".startswith(f"{entry.folder}/") or not entry.folder]

    def rank(entry: Entry) -> tuple[int, int, int, str]:
        precision = precision_of(entry.filename)
        order = _PROJECTORS.index(precision) if precision in _PROJECTORS else len(_PROJECTORS)
        return (-len(entry.folder), -_alike(_PROJECTOR.sub("", entry.filename).strip("-_."), choice.stem), order, entry.path)

    return min(near, key=rank, default=None)


def _choice(stem: str, count: int, files: Sequence[tuple[int, Entry]]) -> Choice:
    entries = tuple(entry for _, entry in files)
    numbers = {number for number, _ in files}
    return Choice(precision_of(entries[0].path) or stem, stem, entries, count - len(numbers))


def _alike(name: str, stem: str) -> int:
    """Whether a projector is named after the model, up to what both say of their precision: 1 or 0."""
    named = _PRECISION.split(name.removesuffix(".gguf"))[0].strip("-_.").lower()
    return int(bool(named) and stem.lower().startswith(named))


def _listed(choices: Sequence[Choice]) -> str:
    names = [shown(choice.name, 80) for choice in choices]
    return ", ".join(names[:_SHOWN]) + (f" and {len(names) - _SHOWN} more" if len(names) > _SHOWN else "")


def version_of(parts: Sequence[Part], otherwise: str = "") -> str:
    """Of the files, not of the repository: a new README is no new model. `otherwise`: where the digest of one of them is not known."""
    if not all(part.sha256 for part in parts):
        return otherwise
    return parts[0].sha256 if len(parts) == 1 else hashlib.sha256("\n".join(f"{part.role} {part.sha256}" for part in parts).encode()).hexdigest()
