"""What a process of ours has done so far, and what it holds, seen from outside."""

from __future__ import annotations

import contextlib
import re
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from importlib import import_module
from pathlib import Path
from typing import Any

__all__ = ["Held", "effort", "held"]


@dataclass(frozen=True, slots=True)
class Held:
    """Bytes of memory. What several processes share counts in parts, where the system tells."""

    anonymous: int
    """Its own; with what of that was swapped out."""
    mapped: int
    """Of files, as far as it is in memory."""
    devices: Mapping[str, int] = field(default_factory=dict)
    """By device ("CUDA0"), as far as its driver tells; with what the driver itself needs for the process."""


def effort(pid: int) -> float:
    """A sum that grows while a process works: seconds of processor time, and MiB read from disk. It stands still when the process does.

    Weights that are read from a slow disk as they are needed cost hardly any processor time, so reading counts as well. 0: it is gone."""
    import psutil

    try:
        processes = [psutil.Process(pid)]
        if sys.platform != "linux":  # elsewhere an engine's own binary runs one process further down
            processes += processes[0].children(recursive=True)
    except psutil.Error:
        return 0.0
    return sum(map(_of, processes))


def _of(process: object) -> float:
    import psutil

    assert isinstance(process, psutil.Process)
    total = 0.0
    with contextlib.suppress(psutil.Error):
        times = process.cpu_times()
        total = times.user + times.system
    with contextlib.suppress(psutil.Error, AttributeError, NotImplementedError):
        total += process.io_counters().read_bytes / 2**20
    return total


def held(pid: int, root: Path = Path("/proc")) -> Held | None:
    """What a process holds now; `None`: it is gone. Where the system tells no shares (PSS), resident pages count wholly.

    The system walks through all pages for it: with a model of many gigabytes that takes some tenths of a second.
    """
    found = _shares(root / str(pid) / "smaps_rollup") or _resident(pid)
    return None if found is None else Held(*found, _on_devices(pid))


_ROLLED = re.compile(r"^(Pss|Pss_Anon|SwapPss):\s+(\d+) kB$", re.MULTILINE)


def _shares(file: Path) -> tuple[int, int] | None:
    """Anonymous and mapped, by Linux (4.14 and newer; `Pss_Anon` from 5.4 on)."""
    try:
        told = {name: int(size) * 1024 for name, size in _ROLLED.findall(file.read_text(encoding="ascii"))}
    except (OSError, ValueError):
        return None
    if "Pss" not in told:
        return None
    own = told.get("Pss_Anon", told["Pss"])
    return own + told.get("SwapPss", 0), told["Pss"] - own


def _resident(pid: int) -> tuple[int, int] | None:
    import psutil

    total = shared = 0
    try:
        processes = [psutil.Process(pid)]
        if sys.platform != "linux":
            processes += processes[0].children(recursive=True)
        for process in processes:
            info = process.memory_info()
            total += int(info.rss)
            shared += int(getattr(info, "shared", 0))
    except psutil.Error:
        return None
    return total - shared, shared


def _on_devices(pid: int) -> dict[str, int]:
    try:
        nvml: Any = import_module("pynvml")
        nvml.nvmlInit()
    except Exception:  # no binding, no driver, or one that does not fit the binding
        return {}
    found: dict[str, int] = {}
    try:
        for index in range(nvml.nvmlDeviceGetCount()):
            for process in nvml.nvmlDeviceGetComputeRunningProcesses(nvml.nvmlDeviceGetHandleByIndex(index)):
                if process.pid == pid and process.usedGpuMemory:
                    found[f"CUDA{index}"] = int(process.usedGpuMemory)
    except nvml.NVMLError:
        return {}
    finally:
        with contextlib.suppress(nvml.NVMLError):
            nvml.nvmlShutdown()
    return found
