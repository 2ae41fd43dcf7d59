"""Making files durable, flushed to the disk themselves and by their names in a folder; and locks that go with the process that holds them."""

from __future__ import annotations

import os
import secrets
import shutil
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

__all__ = ["boot_id", "staging", "sync_file", "sync_folder", "try_lock"]


def boot_id() -> str:
    """Names this run of the machine, so that what only the page cache holds is not relied upon after a power failure. Empty: not known here."""
    try:
        return Path("/proc/sys/kernel/random/boot_id").read_text("ascii").strip()
    except (OSError, ValueError):
        return ""


def sync_file(path: Path) -> None:
    """Flush a file's contents to the disk."""
    # Windows flushes only what it may write.
    descriptor = os.open(path, os.O_RDWR if sys.platform == "win32" else os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def sync_folder(path: Path) -> None:
    """Flush the names in a folder (after a rename) to the disk, where the system can do that."""
    if sys.platform == "win32":
        return
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def try_lock(descriptor: int) -> bool:
    """Lock an open file or folder for this process, if no other has it. True also where the system or the file system knows no such locks."""
    if sys.platform == "win32":
        return True
    import fcntl

    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except OSError:
        return True
    return True


@contextmanager
def staging(folder: Path, prefix: str) -> Iterator[Path]:
    """A new folder of one's own for the length of the block. Those that were left behind by processes that were killed are removed first."""
    for old in list(folder.iterdir()):
        if old.name.startswith(prefix) and old.is_dir():
            with _lock_folder(old) as free:
                if free:
                    shutil.rmtree(old, ignore_errors=True)
    stage = folder / f"{prefix}{secrets.token_hex(6)}"
    stage.mkdir(mode=0o700)
    try:
        with _lock_folder(stage):
            yield stage
    finally:
        shutil.rmtree(stage, ignore_errors=True)


@contextmanager
def _lock_folder(path: Path) -> Iterator[bool]:
    """Hold a folder for the length of the block, as far as it is not held already; gives whether it is ours."""
    if sys.platform == "win32":
        yield True
        return
    try:
        descriptor = os.open(path, os.O_RDONLY)
    except FileNotFoundError:
        yield False
        return
    try:
        yield try_lock(descriptor)
    finally:
        os.close(descriptor)
