"""The parts of an index of vectors are asked side by side, on as many cores as help, and what they say becomes one answer.

Each graph is asked for fewer than are wanted in all, as the nearest are spread over several. One that has more of them than it was asked for (what
belongs together often came together) is asked again, for all.
"""

from __future__ import annotations

import os
import threading
from collections import deque
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor

import numpy as np
from numpy.typing import NDArray

from hausgeist.knowledge.index.segments import Graph, Ids, Tail

__all__ = ["Asking", "nearest"]

_THREADS = 4
"""That work on one search at most; it is a matter of milliseconds."""
_WORTH = 3
"""Graphs from which on it is worth waking another thread."""

Near = tuple[Ids, NDArray[np.float32]]
Wanted = NDArray[np.int64]


class Asking:
    """Threads for the searches of one index, made when there is enough to ask."""

    def __init__(self, threads: int | None = None) -> None:
        self._threads = min(_THREADS, os.cpu_count() or 1) if threads is None else threads
        self._pool: ThreadPoolExecutor | None = None
        self._making = threading.Lock()

    def ask(self, graphs: Sequence[Graph], query: NDArray[np.float32], limit: int, wanted: Wanted | None, *, spread: int) -> dict[str, Near]:
        """What each graph says, by its name. Where all threads are busy with other searches, the one that asks does it alone."""
        left, found = deque(graphs), dict[str, Near]()

        def work() -> None:
            while True:
                try:
                    graph = left.popleft()
                except IndexError:
                    return
                found[graph.name] = _one(graph, query, limit, wanted, spread)

        beside = [self._others().submit(work) for _ in range(min(self._threads, len(graphs)) - 1)] if len(graphs) >= _WORTH else []
        work()
        for one in beside:
            if not one.cancel():
                one.result()
        return found

    def close(self) -> None:
        if self._pool is not None:
            self._pool.shutdown()
            self._pool = None

    def _others(self) -> ThreadPoolExecutor:
        with self._making:
            if self._pool is None:
                self._pool = ThreadPoolExecutor(max(1, self._threads - 1), thread_name_prefix="nearest")
            return self._pool


def nearest(graphs: Sequence[Graph], tail: Tail, query: NDArray[np.float32], limit: int, wanted: Wanted | None, asking: Asking) -> Near:
    """Ids and cosines, `limit` or more, in no order. `wanted`: entries, rising; only their passages."""
    found = asking.ask(graphs, query, limit, wanted, spread=len(graphs))
    last = _one(tail, query, limit, wanted, 1)
    least = _least([*(scores for _, scores in found.values()), last[1]], limit)
    if wanted is None and len(graphs) > 1:
        again = [graph for graph in graphs if _has_more(graph, found[graph.name][1], limit, least)]
        if again:
            found |= asking.ask(again, query, limit, None, spread=1)
    every = [*found.values(), last]
    return np.concatenate([ids for ids, _ in every]), np.concatenate([scores for _, scores in every])


def _one(part: Graph | Tail, query: NDArray[np.float32], limit: int, wanted: Wanted | None, spread: int) -> Near:
    rows = None if wanted is None else part.of_entries(wanted)
    if not part.count or (rows is not None and not len(rows)):
        return np.empty(0, np.int64), np.empty(0, np.float32)
    ids, scores = part.nearest(query, limit, rows, graphs=spread)
    return np.asarray(ids), scores


def _has_more(graph: Graph, told: NDArray[np.float32], limit: int, least: float) -> bool:
    """Whether the last that it told is still among the best of all, and there are others behind it."""
    return bool(len(told)) and told[-1] >= least and len(told) < min(limit, graph.count - int(np.count_nonzero(graph.dead)))


def _least(scores: Sequence[NDArray[np.float32]], limit: int) -> float:
    """The lowest score among the best `limit`; below all where there are fewer."""
    every = np.concatenate(scores)
    return float(np.partition(every, len(every) - limit)[len(every) - limit]) if len(every) >= limit else -2.0
