"""The rounds that measure memory and matrix products, run in a process of their own: `python -m hausgeist.hardware.rounds THREADS BYTES`.

On its own, because the library behind numpy takes its number of threads from the environment when it is loaded, because the memory is given
back, and because a server's threads neither wait nor disturb. Prints the rounds as JSON.
"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from itertools import count
from time import perf_counter
from typing import Any, Final

import psutil

__all__ = ["main", "matrix", "memory"]

_LEAST_ROUNDS: Final = 3
_MOST_ROUNDS: Final = 20
_CHUNK: Final = 8 << 20
_ENOUGH: Final = 256 << 20
_FILL_SECONDS: Final = 0.8
_CHUNKS_EACH: Final = 32
_SIDES: Final = (512, 1024, 2048, 4096)
_ROUND_SECONDS: Final = 0.05
"""A product shorter than this is measured at a larger size: starting threads would count."""


def memory(threads: int, size: int, seconds: float = 0.9) -> tuple[list[float], int]:
    """GB/s of reading `size` bytes once a round, by all threads at once; and how many bytes it was in the end: where the system takes long to
    hand out memory, as virtual machines do at first, less has to do. numpy lets go of the interpreter while it goes through a chunk.

    The largest number is looked for: nothing is written, and processors compare faster than memory delivers. Chunks go to whichever thread
    is free, as llama.cpp deals out rows, so that slow cores do not hold up fast ones.
    """
    import numpy

    chunk = max(4, min(max(_CHUNK, size // (threads * _CHUNKS_EACH)), size // threads))
    array = numpy.empty(size // 4, numpy.int32)  # no memory yet: pages come as they are written, near the core that writes
    parts = [array[at : at + chunk // 4] for at in range(0, len(array), chunk // 4)]
    with ThreadPoolExecutor(threads) as pool:
        enough, until = -(-_ENOUGH // chunk), perf_counter() + _FILL_SECONDS
        filled: list[Any] = []

        def fill(part: Any) -> None:
            if len(filled) < enough or perf_counter() < until:
                part.fill(1)
                filled.append(part)

        _together(pool, threads, parts, fill)
        read = sum(part.nbytes for part in filled)
        largest = numpy.maximum.reduce
        return list(_rounds(seconds, lambda: read / 1e9 / _together(pool, threads, filled, largest))), read


def matrix(seconds: float = 0.8) -> list[float]:
    """GFLOPS (10^9 multiplications and additions a second) of products of square matrices, 32-bit floats, by numpy's library with its threads."""
    import numpy

    generator = numpy.random.default_rng(1)
    side, took = _SIDES[0], 0.0
    for side in _SIDES:
        left, right = (generator.random((side, side), numpy.float32) for _ in range(2))
        out = numpy.empty((side, side), numpy.float32)
        numpy.matmul(left, right, out)  # threads start, pages come
        begun = perf_counter()
        numpy.matmul(left, right, out)
        took = perf_counter() - begun
        if took > _ROUND_SECONDS or (side > _SIDES[0] and took * 8 > seconds):
            break

    def once() -> float:
        begun = perf_counter()
        numpy.matmul(left, right, out)
        return 2 * side**3 / 1e9 / (perf_counter() - begun)

    return [2 * side**3 / 1e9 / took, *_rounds(seconds, once)]


def _rounds(seconds: float, once: Callable[[], float]) -> Iterator[float]:
    begun = perf_counter()
    for number in range(_MOST_ROUNDS):
        if number >= _LEAST_ROUNDS and perf_counter() - begun > seconds:
            return
        yield once()


def _together(pool: ThreadPoolExecutor, threads: int, parts: list[Any], work: Callable[[Any], object]) -> float:
    """Seconds from the first thread's start to the last one's end."""
    turn = count()

    def run() -> tuple[float, float]:
        begun = perf_counter()
        while (number := next(turn)) < len(parts):
            work(parts[number])
        return begun, perf_counter()

    spans = [future.result() for future in [pool.submit(run) for _ in range(threads)]]
    return max(end for _, end in spans) - min(begun for begun, _ in spans)


def main(arguments: list[str]) -> None:
    threads, size = int(arguments[0]), int(arguments[1])
    begun, own, all_ = perf_counter(), time.process_time(), _busy()
    reading, read = memory(threads, size)
    product = matrix()
    others = _busy() - all_ - (time.process_time() - own)
    share = others / max(1e-9, (perf_counter() - begun) * (psutil.cpu_count() or 1))
    print(json.dumps({"memory": reading, "matrix": product, "bytes": read, "busy": round(min(1.0, max(0.0, share)), 3)}))


def _busy() -> float:
    """Seconds that all processors together have worked since the start, those included that a hypervisor took away."""
    times = psutil.cpu_times()
    return float(sum(getattr(times, name, 0.0) for name in ("user", "nice", "system", "irq", "softirq", "steal")))


if __name__ == "__main__":
    main(sys.argv[1:])
