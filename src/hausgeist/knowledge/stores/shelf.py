"""The two indexes of one store as they stand on the disk: opened, rebuilt beside the old one, exchanged, thrown away. All of it blocks.

```
HOME/indexes/<store>/words            and vectors-<embedder>, of which the store's row says which one counts
HOME/indexes/<store>/words.new        is being made; a crash leaves it behind, and it goes
HOME/indexes/<store>/words.old        was exchanged for the new one
```
"""

from __future__ import annotations

import hashlib
import logging
import shutil
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final, Generic, TypeVar

from hausgeist.errors import StoreError
from hausgeist.knowledge.index.base import TextIndex, VectorIndex
from hausgeist.store.disk import sync_folder
from hausgeist.store.failures import file_failures

__all__ = ["NEW", "WORDS", "OpenVectors", "OpenWords", "Part", "exchange", "open_part", "remove_folder", "vectors_name"]

OpenWords = Callable[[Path], TextIndex]
OpenVectors = Callable[[Path, int], VectorIndex]
WORDS: Final = "words"
NEW: Final = ".new"
_OLD: Final = ".old"
I = TypeVar("I", TextIndex, VectorIndex)  # noqa: E741

log = logging.getLogger(__name__)


@dataclass(eq=False)
class Part(Generic[I]):
    """An open index. `whole`: it holds all that was to be in it when it was last looked at, so a search may trust it."""

    index: I
    folder: Path
    whole: bool
    users: int = 0
    """Searches that are reading it now."""
    forgot: set[int] = field(default_factory=set)
    """What was removed from it since it was opened."""
    erased: set[int] = field(default_factory=set)
    """What nothing is left of in its files, of that."""


def vectors_name(embedder: str) -> str:
    """The folder of the vectors of an embedder, whatever that is called."""
    return f"vectors-{hashlib.sha256(embedder.encode()).hexdigest()[:12]}"


def open_part(folder: Path, opener: Callable[[Path], I], *, mark: int) -> Part[I]:
    """The index in a folder; a new one where there is none, where it is damaged, or where it is ahead of the database, which then is an older copy.
    `mark`: up to which it should reach. Raises `StoreError`, `DiskFull`."""
    _settle(folder)
    for attempt in (1, 2):
        try:
            with file_failures(folder):
                # What is said in documents is nobody's business; `parents` would be made with the rights of the umask.
                for one in (folder.parent.parent, folder.parent, folder):
                    one.mkdir(mode=0o700, exist_ok=True)
            index = opener(folder)
            if index.mark <= mark:
                return Part(index, folder, whole=index.mark > 0 or mark == 0)
            index.close()
            log.warning("the index %s is ahead of the database, which is a copy of before: it is made anew", folder)
        except StoreError:
            raise
        except Exception as error:
            if attempt == 2:
                raise StoreError(f"The index {folder} cannot be opened, nor made anew: {error}") from error
            log.warning("the index %s is damaged (%s): it is made anew from the database", folder, error)
        remove_folder(folder)
    raise StoreError(f"The index {folder} cannot be made.")


def exchange(folder: Path) -> None:
    """Put what was made beside (`NEW`, closed) in the place of a folder. Whatever is killed when, one of both is there."""
    new, old = folder.with_name(folder.name + NEW), folder.with_name(folder.name + _OLD)
    with file_failures(folder):
        shutil.rmtree(old, ignore_errors=True)
        if folder.exists():
            folder.rename(old)
        new.rename(folder)
        sync_folder(folder.parent)
    remove_folder(old)


def remove_folder(folder: Path) -> None:
    """Nothing happens where there is none. Raises `StoreError`."""
    with file_failures(folder):
        if folder.exists():
            shutil.rmtree(folder)


def _settle(folder: Path) -> None:
    """After a crash: finish an exchange that had begun, throw away what was not finished."""
    new, old = folder.with_name(folder.name + NEW), folder.with_name(folder.name + _OLD)
    if old.exists() and not folder.exists() and new.exists():
        # The old one is moved away only when the new one is whole.
        new.rename(folder)
    remove_folder(new)
    remove_folder(old)
