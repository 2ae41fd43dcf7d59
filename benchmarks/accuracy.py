"""What large loads take after one full context, against the engine's fit pass and arithmetic. The files are written first, once.

    python -m benchmarks accuracy

They hold random weights in true shapes, and are read from disk as one that was downloaded before the last start. One load after the other; prompts
fill the contexts. Errors are those that `hausgeist plan --accuracy` shows.
"""

from __future__ import annotations

import asyncio
import json
import os
import tempfile
import time
from pathlib import Path

from benchmarks.report import Figure
from benchmarks.servers import BUILD
from hausgeist.engines.llamacpp.adapter import LlamaCpp
from hausgeist.engines.llamacpp.providers import provider
from hausgeist.engines.specimen import Precision, write_shaped
from hausgeist.hardware import cpu
from hausgeist.model import InstalledModel, LaunchPlan
from hausgeist.planner.accuracy import Comparison, Load, accuracy
from hausgeist.serving.arithmetic import llamacpp_footprint
from hausgeist.serving.loads import measure as measured
from hausgeist.settings import load_settings

__all__ = ["LOADS", "measure"]

LOADS: tuple[tuple[str, Precision, int, int], ...] = (
    ("llama-3.2-1b", "F16", 256, 1),
    ("llama-3.2-1b", "Q8_0", 512, 4),
    ("llama-3.2-3b", "Q4_K_M", 256, 1),
    ("llama-3.2-3b", "Q4_K_M", 512, 4),
)
"""Shape, precision, context of a request, slots."""
_GOAL = 0.02
_ANSWER = 4


async def measure() -> list[Figure]:
    BUILD.mkdir(parents=True, exist_ok=True)
    figures = []
    for shape, precision, context, slots in LOADS:
        path = BUILD / f"{shape}-{precision}.gguf"
        if not path.exists():
            await asyncio.to_thread(write_shaped, path, shape, precision)
        figures += _figures(await _load(path, context, slots))
        print(figures[-2].name, figures[-2].value, "; arithmetic", figures[-1].value, flush=True)
    return figures


def _figures(one: Comparison) -> list[Figure]:
    load = one.load
    name = f"{load.model}, {load.context} x {load.slots}: {one.measured / 1e6:,.0f} MB measured"
    found = []
    for method, said, error in (("fit pass", load.fit, one.fit), ("arithmetic", load.arithmetic, one.arithmetic)):
        if said is not None and error is not None:
            alone = (said.total - said.parts.get("runtime", 0)) / 1e6
            goal = f"within {_GOAL:.0%}" if method == "fit pass" else ""
            found.append(Figure(f"{name}, {method}", f"{alone:,.0f} MB, {error:+.2%}", goal, abs(error) <= _GOAL if goal else None))
    return found


async def _load(path: Path, context: int, slots: int) -> Comparison:
    """Everything that is said of a load, and what it takes when one context is full."""
    model = InstalledModel(id=path.stem, engine="llamacpp", path=path, digest=path.stem, modified=0.0)
    plan = LaunchPlan(model=model, task="generate", context=context, slots=slots)
    with tempfile.TemporaryDirectory(prefix="hausgeist-bench-") as room:
        used = provider(load_settings(home=Path(room)))
        engine = LlamaCpp(home=Path(room), provider=used)
        try:
            fit = await engine.fit(plan)
            said = llamacpp_footprint(plan, provider=used, cpu=cpu())
            _forget(path)
            worker = await engine.load(plan)
            prompt = [5 + 7 * number % 20000 for number in range(context - _ANSWER - 1)]
            body = {"model": path.stem, "prompt": prompt, "max_tokens": _ANSWER, "stream": False}
            await worker.call("completion", json.dumps(body).encode())
            assert worker.pid is not None
            peak = measured(worker.pid)
        finally:
            await engine.close()
    load = Load(
        model=path.stem, digest=path.stem, architecture="", task="generate", context=context, slots=slots, cache_type="f16",
        engine=used.fingerprint, at=time.time(), arithmetic=said, fit=fit, peak=peak, filled=context - 1,
    )  # fmt: skip
    return accuracy([load]).loads[0]


def _forget(path: Path) -> None:
    """Have it read from disk again: a file that was just written lies in memory in smaller pieces than one that was read."""
    if not hasattr(os, "posix_fadvise"):
        return
    with path.open("rb") as file:
        os.fsync(file.fileno())
        os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)
