"""What is lent to parser processes: one file at a time, or a few, in a folder of their own, and nothing else; what they leave is removed."""

from __future__ import annotations

import contextlib
import os
import re
import secrets
import shutil
from collections.abc import Sequence
from pathlib import Path

from hausgeist.knowledge.parse.base import Unreadable
from hausgeist.knowledge.parsed import Small

__all__ = ["Tray", "clear", "empty", "folder_name", "lend", "sweep"]

_OURS = re.compile(r"(\d{1,9})-(\d{1,12})-[0-9a-f]{12}")


def folder_name(chance: str) -> str:
    """Of a process that this one starts. `chance`: twelve hexadecimal digits."""
    return f"{os.getpid()}-{_began(os.getpid()):.0f}-{chance}"


def lend(path: Path, given: Path) -> None:
    """Put a file where the process can read it, and nothing else. Raises `Unreadable` when it is not there."""
    try:
        try:
            os.link(path.resolve(strict=True) if path.is_symlink() else path, given)
        except FileNotFoundError:
            raise
        except OSError:  # another disk, or somebody else's file
            shutil.copyfile(path, given)
    except OSError as error:
        raise Unreadable(f"The file could not be read from disk: {error.strerror or error}.") from error


class Tray:
    """Small files that are lent together. They are laid out while the process still reads others, so that it does not wait for them: then one call
    hands them all to it, and one takes them back."""

    def __init__(self, parent: Path) -> None:
        self._folder = parent / folder_name(secrets.token_hex(6))
        self._at: Path | None = None

    def lay(self, files: Sequence[Small]) -> list[str | Unreadable]:
        """What each is called in the tray, or why it is not there."""
        self._folder.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        self._folder.mkdir(mode=0o700)
        laid: list[str | Unreadable] = []
        for number, one in enumerate(files):
            try:
                lend(one.path, self._folder / str(number))
                laid.append(str(number))
            except Unreadable as error:
                laid.append(error)
        return laid

    def hand(self, given: Path) -> Path:
        """Put it into a folder that a process may read, on the same disk: where it is now."""
        at = given / self._folder.name
        self._folder.rename(at)
        self._at = at
        return at

    def take_back(self) -> None:
        """The process that has it may be gone, with all that it was given."""
        if self._at is not None:
            with contextlib.suppress(OSError):
                self._at.rename(self._folder)
            self._at = None

    def remove(self) -> None:
        shutil.rmtree(self._folder, ignore_errors=True)


def empty(folder: Path) -> bool:
    with os.scandir(folder) as entries:
        return next(entries, None) is None


def clear(*folders: Path) -> None:
    """Leave nothing of a file to the next one."""
    for folder in folders:
        with os.scandir(folder) as entries:
            for left in entries:
                if left.is_dir(follow_symlinks=False):
                    shutil.rmtree(left.path, ignore_errors=True)
                else:
                    Path(left.path).unlink(missing_ok=True)


def sweep(folder: Path) -> None:
    """Remove what servers that are gone have left. Their ids may be those of others by now, so it counts when they began."""
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    for left in folder.iterdir():
        owner = _OURS.fullmatch(left.name)
        if owner is not None and abs(_began(int(owner[1])) - int(owner[2])) > 2:
            shutil.rmtree(left, ignore_errors=True)


def _began(pid: int) -> float:
    """When a process began; 0 if there is none."""
    import psutil

    try:
        return float(psutil.Process(pid).create_time())
    except psutil.Error:
        return 0.0
