"""How long a plan takes: each model of the catalogue on usual machines, at defaults, of a header that nobody has asked about before.

    python -m benchmarks planning

Time is that of the thread, the median of three runs of each model.
"""

from __future__ import annotations

import time
from collections.abc import Sequence

from benchmarks.report import Figure, median, quantile
from hausgeist.library.catalog.entry import Entry
from hausgeist.library.catalog.mix import tensor_type
from hausgeist.library.catalog.reader import load
from hausgeist.model import Task
from hausgeist.planner.costs.prices import Prices, decode, packaged
from hausgeist.planner.devices.known import load as load_devices
from hausgeist.planner.memory import describe
from hausgeist.planner.plan import Wish, plan
from hausgeist.planner.target import Target, target

__all__ = ["measure"]

_TARGETS = (("RTX 3090", 1), ("RTX 3090", 4), ("DDR5-5600 64GB", 1), ("M3 Max (40-core GPU)", 1))
_GOAL_MS = 50
_RUNS = 3


def measure() -> list[Figure]:
    devices, prices, entries = load_devices(), decode(packaged()), tuple(load())
    return [_figure(target(devices, name, count=count), prices, entries) for name, count in _TARGETS]


def _figure(there: Target, prices: Prices, entries: Sequence[Entry]) -> Figure:
    times = {entry.name: 1000 * _seconds(entry, there, prices) for entry in entries}
    worst, usual = max(times, key=times.__getitem__), sorted(times.values())
    return Figure(
        f"a plan takes, {there.title}, {len(times)} models",
        f"median {median(usual):.1f} ms, p95 {quantile(usual, 0.95):.1f}, worst {times[worst]:.1f} ({worst})",
        f"worst <= {_GOAL_MS} ms",
        times[worst] <= _GOAL_MS,
    )


def _seconds(entry: Entry, there: Target, prices: Prices) -> float:
    anatomy, took = entry.anatomy, []
    task: Task = "rerank" if "rerank" in entry.use else "embed" if "embedding" in entry.use else "generate"
    for _ in range(_RUNS):
        header = describe(anatomy, lambda tensor: tensor_type(anatomy, tensor, entry.precision))
        wish = Wish(model=entry.name, header=header, precision=entry.precision, trained=entry.context, task=task)
        before = time.thread_time()
        plan(wish, there, prices)
        took.append(time.thread_time() - before)
    return median(took)
