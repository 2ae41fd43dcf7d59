"""What people may mean by a name: the catalogue knows repositories and titles that no registry does, and what a misspelt name is near to."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from difflib import get_close_matches
from typing import Final

from hausgeist.errors import InvalidRequest
from hausgeist.library.catalog.entry import Entry
from hausgeist.library.catalog.reader import Catalog, load
from hausgeist.library.reference import Reference

__all__ = ["did_you_mean", "is_known", "meanings"]

_NEAR: Final = 0.75


def meanings(reference: Reference) -> list[Reference]:
    """Where to look for what was asked for, one after the other.

    What the catalogue has as a second name of a model (its maker's, a repository of the hub) is looked for there first. What is called as in
    Ollama's library, though it is not in there by all that is known, is looked for there all the same, and then where it is known to be.
    """
    if reference.kind != "registry" or reference.host:
        return [reference]
    asked = _plain(str(reference))
    for entry in load():
        target = Reference.parse(entry.install[0])
        if asked == entry.name.lower():
            return [reference] if _registered(entry, entry.name) else [reference, target]
        if asked in _second_names(entry) and not _registered(entry, asked):
            return [target, reference]
    return [reference]


def is_known(reference: Reference) -> bool:
    """Whether this name in a registry says nothing that the catalogue does not: the model, and the owner where one is named."""
    if (entry := load().find(str(reference))) is None:
        return False
    path = reference.path.lower()
    return path.startswith("library/") or path in {_path(name) for name in (*entry.aliases, *entry.install)}


def did_you_mean(name: str, installed: Iterable[str], *, catalogue: bool = True) -> str:
    """A question to put behind a message, or nothing. Without the `catalogue` only what is installed is offered."""
    asked = _plain(name)
    known = {_plain(one): one.removesuffix(":latest") for one in (*(_all_names(load()) if catalogue else ()), *installed)}
    near = [known[one] for one in get_close_matches(asked, known, n=3, cutoff=_NEAR) if one != asked]
    return f" Did you mean {' or '.join(near)}?" if near else ""


def _plain(name: str) -> str:
    return name.lower().removesuffix(":latest")


def _second_names(entry: Entry) -> Iterator[str]:
    yield from (_plain(alias) for alias in (*entry.aliases, entry.title) if alias)
    yield from (_plain(source).rpartition("/")[2] for source in entry.install if "/" in source)


def _registered(entry: Entry, name: str) -> bool:
    """Whether Ollama's library has it under this name, or one that differs in the tag."""
    path = _path(name)
    return bool(path) and any(Reference.parse(source).kind == "registry" and _path(source) == path for source in entry.install)


def _path(name: str) -> str:
    try:
        return Reference.parse(name).path.lower()
    except InvalidRequest:
        return ""


def _all_names(known: Catalog) -> Iterator[str]:
    for entry in known:
        yield entry.name
        yield from entry.aliases
