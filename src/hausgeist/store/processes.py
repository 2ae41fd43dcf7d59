"""Which process has taken something, written so that another one can tell whether it still runs."""

from __future__ import annotations

import os
import platform
import secrets

__all__ = ["is_dead", "this_process"]


def this_process() -> str:
    """A name for who takes work here: the machine, the process and when it began, and what tells it from others of this process."""
    return f"{_machine()}|{os.getpid()}|{_started(os.getpid())}|{secrets.token_hex(4)}"


def is_dead(worker: str) -> bool:
    """Whether the process of that name has surely ended. Of other machines nobody can say; there, only the end of a lease tells."""
    machine, pid, started, _ = worker.split("|")
    if machine != _machine():
        return False
    now = _started(int(pid))
    # Times are computed from the clock, which may have been set meanwhile, so nearly the same is the same.
    return not now or not started or abs(float(now) - float(started)) > 2.0


def _machine() -> str:
    """Where process ids mean the same: the host and, in containers, the namespace."""
    try:
        return f"{platform.node()}/{os.readlink('/proc/self/ns/pid')}"
    except OSError:
        return platform.node()


def _started(pid: int) -> str:
    """When a process began, which tells it from a later one with the same id; empty if there is none."""
    import psutil

    try:
        return f"{psutil.Process(pid).create_time():.2f}"
    except psutil.Error:
        return ""
