"""Limits that a container or a service manager sets on this process: memory and processor time, of cgroup v1 and v2, nested ones included.

Owns reading them; what is made of them is in `probe`. Everything is "no limit" where there are no cgroups.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from hausgeist.hardware.reading import number, text

__all__ = ["Limit", "cpu_quota", "memory_limits"]

_UNLIMITED = 1 << 60
"""v1 writes "no limit" as the largest page-aligned number; anything near it means the same."""


@dataclass(frozen=True, slots=True)
class Limit:
    """One group's memory: what it may have, and what it holds that cannot be dropped. Bytes."""

    limit: int
    held: int


def memory_limits(root: Path = Path("/")) -> list[Limit]:
    """The limits of the group of this process and of all groups around it."""
    found = [_unified_memory(folder) for folder in _folders(root, "")]
    found += [_legacy_memory(folder) for folder in _folders(root, "memory")]
    return [limit for limit in found if limit is not None]


def cpu_quota(root: Path = Path("/")) -> float | None:
    """Processors' worth of time that this process may use; `None` without a limit."""
    quotas: list[float] = []
    for folder in _folders(root, ""):
        parts = text(folder / "cpu.max").split()
        if len(parts) == 2 and parts[0].isdigit() and parts[1].isdigit() and int(parts[1]):
            quotas.append(int(parts[0]) / int(parts[1]))
    for folder in _folders(root, "cpu"):
        quota, period = number(folder / "cpu.cfs_quota_us"), number(folder / "cpu.cfs_period_us")
        if quota is not None and period and quota > 0:
            quotas.append(quota / period)
    return min(quotas, default=None)


def _folders(root: Path, controller: str) -> Iterator[Path]:
    """From the group of this process upwards; `controller` is empty for the unified hierarchy (v2)."""
    for line in text(root / "proc/self/cgroup").splitlines():
        _, _, rest = line.partition(":")
        controllers, _, path = rest.partition(":")
        if controller not in controllers.split(","):
            continue
        base = root / "sys/fs/cgroup"
        if controller:
            base = base / controller
        elif not (base / "cgroup.controllers").exists():
            base = base / "unified"
        if not base.is_dir():
            continue
        # Within a container the path may be the host's, which is not mounted here: the mount itself is then the group.
        folder = base / path.strip().lstrip("/")
        if ".." in folder.parts or not folder.is_dir():
            folder = base
        yield folder
        while folder != base:
            folder = folder.parent
            yield folder


def _unified_memory(folder: Path) -> Limit | None:
    limits = [value for value in (number(folder / "memory.max"), number(folder / "memory.high")) if value is not None and value < _UNLIMITED]
    used = number(folder / "memory.current")
    if not limits or used is None:
        return None
    return Limit(min(limits), max(0, used - _droppable(folder, ("inactive_file", "active_file", "slab_reclaimable"))))


def _legacy_memory(folder: Path) -> Limit | None:
    limit, used = number(folder / "memory.limit_in_bytes"), number(folder / "memory.usage_in_bytes")
    if limit is None or limit >= _UNLIMITED or used is None:
        return None
    return Limit(limit, max(0, used - _droppable(folder, ("total_inactive_file", "total_active_file"))))


def _droppable(folder: Path, names: tuple[str, ...]) -> int:
    """Page cache: the kernel counts it for the group but gives it up under pressure, as it does for `MemAvailable`."""
    total = 0
    for line in text(folder / "memory.stat").splitlines():
        name, _, value = line.partition(" ")
        if name in names and value.strip().isdigit():
            total += int(value)
    return total
