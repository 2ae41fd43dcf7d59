"""How much main memory there is, as this process may use it, and how much of a disk."""

from __future__ import annotations

import shutil
from dataclasses import dataclass
from pathlib import Path

import psutil

from hausgeist.hardware.cgroup import memory_limits

__all__ = ["Disk", "Memory", "disk", "memory"]


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
