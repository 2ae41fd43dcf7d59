"""What a process of ours has done so far, seen from outside."""

from __future__ import annotations

import contextlib
import sys

__all__ = ["effort"]


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
