"""How fast this machine reads its memory and multiplies matrices: measured within about three seconds, and remembered.

What is measured, and how, is in `rounds`. What it means for a model is the planner's business.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import IO, Any, Final

from hausgeist.hardware.capacity import Memory, memory
from hausgeist.hardware.kept import keep, place
from hausgeist.hardware.probe import cpu
from hausgeist.hardware.rate import Rate
from hausgeist.hardware.reading import text

__all__ = ["Machine", "Measured", "machine", "measured", "remembered"]

_KIND: Final = "machine"
_METHOD: Final = 1
"""Counted up whenever other figures would come out on the same machine."""
_DAYS: Final = 30
"""After that it is measured again: firmware settings and modules of memory change."""
_LEAST: Final = 32 << 20
_SMALL: Final = 256 << 20
_LARGE: Final = 2 << 30
_CACHES: Final = 4
"""How many times as large as all last caches together the memory is that is read."""
_TIMEOUT: Final = 60
_QUIET: Final = 0.1
_PAUSE: Final = 600.0
"""Seconds after which one that was disturbed is tried again."""
_WAIT: Final = 15.0
"""Seconds for which another process's measurement is waited for."""
_THREADS: Final = ("OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS", "MKL_NUM_THREADS", "VECLIB_MAXIMUM_THREADS", "BLIS_NUM_THREADS")


@dataclass(frozen=True, slots=True, kw_only=True)
class Machine:
    """What a measurement holds for: another processor, share of it, or memory, and it is void."""

    processor: str
    cores: int
    """That compute: physical ones, fewer where a container limits them."""
    memory_bytes: int
    method: int = _METHOD


@dataclass(frozen=True, slots=True, kw_only=True)
class Measured:
    """`memory` in GB/s (10^9 bytes) read by all threads together; `matrix` in GFLOPS of products of 32-bit floats."""

    memory: Rate
    matrix: Rate
    machine: Machine
    read_bytes: int
    """Memory that was gone through in a round."""
    cache_bytes: int
    """How much of that the processor's last caches could hold; 0: not told."""
    at: float
    """Seconds since 1970."""
    busy: float = 0.0
    """What others took of all processors meanwhile, 0 to 1."""

    @property
    def disturbed(self) -> bool:
        """So much that the machine can do clearly more."""
        return self.busy > _QUIET


def machine(root: Path = Path("/")) -> Machine:
    """This one, as this process may use it."""
    processor = cpu()
    # Some systems give or take a few pages from one start to the next.
    return Machine(processor=processor.model, cores=processor.cores, memory_bytes=memory(root).total >> 28 << 28)


def remembered(folder: Path, of: Machine | None = None) -> Measured | None:
    """What was measured on this machine within the last month, if `folder` has it. Takes no time."""
    of = of or machine()
    found = _decode(text(place(folder, _KIND, of)))
    fresh = found is not None and found.machine == of and -60 < time.time() - found.at < _DAYS * 86400
    return found if fresh else None


def measured(folder: Path, *, anew: bool = False) -> Measured | None:
    """What `folder` remembers, else measured now (three seconds with all cores busy) and remembered there. `anew`: measured in any case.

    What was disturbed by other programs is tried again some minutes later, and the better one kept. Of processes that come at once one measures
    and the others wait for it. A folder that cannot be written is no obstacle.
    `None`: it cannot be measured here; figures of the maker have to do.
    """
    of, begun = machine(), time.time()
    if not anew and (found := remembered(folder, of)) and not _again(found):
        return found
    file = place(folder, _KIND, of)
    with _alone(file.with_name(f"{file.name}.lock")):
        # What came meanwhile is as good.
        before = remembered(folder, of)
        if before and (before.at >= begun if anew else not _again(before)):
            return before
        found = _measure(of, memory())
        if found is None:
            return before
        if before and not anew and found.disturbed and before.memory.best > found.memory.best:
            found = replace(before, at=found.at)
        keep(file, found)
        return found


def _again(found: Measured) -> bool:
    return found.disturbed and time.time() - found.at > _PAUSE


def _measure(of: Machine, held: Memory, python: str = sys.executable) -> Measured | None:
    caches = _last_caches()
    size = min(max(_SMALL, _CACHES * caches), _LARGE, held.available // 4)
    if size < _LEAST:
        return None
    threads = str(of.cores)
    command = [python, "-P", "-m", "hausgeist.hardware.rounds", threads, str(size)]
    environment = {**os.environ, **dict.fromkeys(_THREADS, threads), "PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
    try:
        done = subprocess.run(
            command, env=environment, capture_output=True, text=True, timeout=_TIMEOUT, check=True, stdin=subprocess.DEVNULL, encoding="utf-8"
        )
        told: Any = json.loads(done.stdout)
        reading, product = (Rate.of(map(float, told[name])) for name in ("memory", "matrix"))
        read, busy = int(told["bytes"]), float(told["busy"])
    except (OSError, subprocess.SubprocessError, ValueError, KeyError, TypeError):
        return None
    if not all(rate.rounds and min(rate.rounds) > 0 for rate in (reading, product)):
        return None
    at = round(time.time(), 1)
    return Measured(memory=reading, matrix=product, machine=of, read_bytes=read, cache_bytes=caches, at=at, busy=busy)


def _last_caches(root: Path = Path("/")) -> int:
    """Bytes of all last-level caches together, each counted once though many cores share it. 0: not told."""
    last: dict[tuple[int, str], int] = {}
    for index in (root / "sys/devices/system/cpu").glob("cpu[0-9]*/cache/index[0-9]*"):
        level, size = text(index / "level"), text(index / "size")
        if level.isdecimal() and size[-1:] == "K" and size[:-1].isdecimal():
            last[int(level), text(index / "shared_cpu_list")] = int(size[:-1]) << 10
    highest = max((level for level, _ in last), default=0)
    return sum(size for (level, _), size in last.items() if level == highest)


def _decode(content: str) -> Measured | None:
    """`None` for whatever was not written here."""
    try:
        told: Any = json.loads(content)
        reading, product = (Rate(tuple(map(float, told[name]["rounds"]))) for name in ("memory", "matrix"))
        if not all(rate.rounds and min(rate.rounds) > 0 for rate in (reading, product)):
            return None
        read, caches, at, busy = int(told["read_bytes"]), int(told["cache_bytes"]), float(told["at"]), float(told["busy"])
        of = Machine(**told["machine"])
        return Measured(memory=reading, matrix=product, machine=of, read_bytes=read, cache_bytes=caches, at=at, busy=busy)
    except (ValueError, KeyError, TypeError, OverflowError):
        return None


@contextmanager
def _alone(path: Path) -> Iterator[None]:
    """While another process measures, this one waits; both at once would get half each. Goes on without the lock where none can be had."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        stream = path.open("ab")
    except OSError:
        yield
        return
    with stream:
        until = time.monotonic() + _WAIT
        while not _locked(stream) and time.monotonic() < until:
            time.sleep(0.1)
        yield


def _locked(stream: IO[bytes]) -> bool:
    """Held until the file is closed, also by the end of the process."""
    try:
        if sys.platform == "win32":
            import msvcrt

            msvcrt.locking(stream.fileno(), msvcrt.LK_NBLCK, 1)
        else:
            import fcntl

            fcntl.flock(stream, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        return False
    return True
