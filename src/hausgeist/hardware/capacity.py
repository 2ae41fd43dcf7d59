"""How much main memory there is, as this process may use it, and how much of a disk."""

from __future__ import annotations

import os
import shutil
from dataclasses import dataclass
from pathlib import Path
from threading import Event

import psutil

from hausgeist.hardware.cgroup import memory_limits

__all__ = ["Disk", "Memory", "disk", "memory", "occupied"]


@dataclass(frozen=True, slots=True)
class Memory:
    """Bytes of main memory: what there is, and what could be had now without swapping. The tightest limit around this process counts."""

    total: int
    available: int


@dataclass(frozen=True, slots=True)
class Disk:
    """Bytes: all, and what this user may still fill."""

    total: int
    free: int


def memory(root: Path = Path("/")) -> Memory:
    """Main memory, and cgroup limits where they are tighter. `root` is where /proc and /sys are looked for."""
    machine = psutil.virtual_memory()
    total, available = int(machine.total), int(machine.available)
    for group in memory_limits(root):
        total = min(total, group.limit)
        available = min(available, max(0, group.limit - group.held))
    return Memory(total, available)


def disk(folder: Path) -> Disk:
    """Of the folder, or of the nearest one above it that is there. Raises `OSError` where nothing can be asked."""
    folder = folder.absolute()
    while not folder.exists() and folder != folder.parent:
        folder = folder.parent
    usage = shutil.disk_usage(folder)
    return Disk(int(usage.total), int(usage.free))


def occupied(folder: Path, leave: Event | None = None) -> int:
    """Bytes of the disk that the files below a folder take. What goes while it is counted, and what cannot be looked into, counts nothing.

    Of millions of files that takes a while; once `leave` is set, the rest is not counted."""
    total, folders = 0, [os.fspath(folder)]
    while folders and not (leave and leave.is_set()):
        try:
            with os.scandir(folders.pop()) as found:
                for entry in found:
                    if entry.is_dir(follow_symlinks=False):
                        folders.append(entry.path)
                        continue
                    known = entry.stat(follow_symlinks=False)
                    # Downloads that have begun are long and mostly empty.
                    total += known.st_blocks * 512 if hasattr(known, "st_blocks") else known.st_size
        except OSError:
            continue
    return total
