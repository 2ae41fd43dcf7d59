"""Split models whose parts are blobs: HOME/split/<digest>/model-00001-of-0000N.gguf.

Blobs have no file names, but engines find the further parts of a model by name. So each such model has a folder of links to its blobs, which
costs no space, can be made again at any time, and goes with the model.
"""

from __future__ import annotations

import hashlib
import os
import shutil
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Final

from hausgeist.store.blobs import Blobs
from hausgeist.store.failures import file_failures

__all__ = ["Splits", "split_path"]

_FOLDER: Final = "split"


def split_path(digests: Sequence[str], blob_path: Callable[[str], Path]) -> Path:
    """Where the first part of a model of these blobs is, by the name that tells engines of the others."""
    key = hashlib.sha256("\n".join(digests).encode()).hexdigest()
    return blob_path(digests[0]).parent.parent / _FOLDER / key / _part(1, len(digests))


class Splits:
    """The folders of a home."""

    def __init__(self, blobs: Blobs) -> None:
        self._blobs = blobs
        self._folder = blobs.folder.parent / _FOLDER

    def ensure(self, digests: Sequence[str]) -> Path:
        """Make the folder where it is missing or not whole; returns the first part. Raises `StoreError`, `DiskFull`."""
        first = split_path(digests, self._blobs.path)
        with file_failures(first.parent):
            first.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            for number, digest in enumerate(digests, start=1):
                _link(self._blobs.path(digest), first.with_name(_part(number, len(digests))))
        return first

    def sweep(self, keep: Iterable[Sequence[str]]) -> None:
        """Remove the folders of all other models, but for those whose files are all blobs: somebody may be about to install a model of them."""
        if not self._folder.is_dir():
            return
        kept = {split_path(digests, self._blobs.path).parent.name for digests in keep}
        with file_failures(self._folder):
            others = [folder for folder in self._folder.iterdir() if folder.name not in kept]
            there = {(entry.stat().st_dev, entry.stat().st_ino) for entry in os.scandir(self._blobs.folder)} if others else set()
            for folder in others:
                if not _all_in(folder, there):
                    shutil.rmtree(folder, ignore_errors=True)


def _all_in(folder: Path, there: set[tuple[int, int]]) -> bool:
    """Whether all files of the folder, links followed, are among these (device, inode)."""
    try:
        return all((status.st_dev, status.st_ino) in there for part in folder.iterdir() for status in [part.stat()])
    except OSError:
        return False


def _part(number: int, count: int) -> str:
    return f"model-{number:05d}-of-{count:05d}.gguf"


def _link(blob: Path, name: Path) -> None:
    try:
        if name.samefile(blob):
            return
        name.unlink()
    except FileNotFoundError:
        name.unlink(missing_ok=True)  # a link to a blob that is gone
    try:
        os.link(blob, name)
    except FileExistsError:
        return  # another process was quicker
    except OSError:
        # File systems without hard links.
        name.symlink_to(blob)
