"""Is an engine right, and is it faster? The contract suite against tiny models of random weights; speed against another engine at a true shape.

`renew` is the whole of `hausgeist engine build`: build, verify, publish, measure, and use what was built only if it is better.
"""

from __future__ import annotations

import asyncio
import json
import math
import statistics
import tempfile
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import Any

from hausgeist.engines.contract import CHECKS, Outcome, run_checks
from hausgeist.engines.llamacpp.adapter import LlamaCpp, LlamaCppWorker
from hausgeist.engines.llamacpp.build import Built, Flavour, Progress, build, publish
from hausgeist.engines.llamacpp.providers import Provider, choose, providers
from hausgeist.engines.specimen import NAME, ModelShape, Precision, write_shaped, write_specimen
from hausgeist.errors import EngineFailed, NotEnoughMemory
from hausgeist.model import InstalledModel, LaunchPlan, Task
from hausgeist.settings import Settings

__all__ = ["MEASURED", "Comparison", "Renewal", "Speed", "Step", "Verdict", "compare", "judge", "renew", "settle", "verify"]

SHAPE = "qwen2.5-0.5b"
PRECISIONS: tuple[Precision, ...] = ("Q4_K_M", "Q8_0")
MEASURED = 5
"""Runs per engine; the median counts."""
_PATIENCE = 3
"""So many times as many where the machine is so busy that the runs of one engine lie far apart."""
_PROMPT, _TOKENS = 256, 32
_TASKS: tuple[Task, ...] = ("generate", "embed", "rerank")
_CONTEXT, _SLOTS = 1024, 2
_GAIN, _LOSS, _NOISE = 1.03, 0.95, 0.25


@dataclass(frozen=True, slots=True)
class Speed:
    """Tokens per second."""

    prefill: float
    generation: float


@dataclass(frozen=True, slots=True)
class Comparison:
    """Medians of two engines for one precision, measured in turns."""

    precision: str
    old: Speed
    new: Speed
    spread: float = 0.0
    """How far the runs of one engine lie apart: the distance of the quartiles, as a share of the median; the worst of all."""

    @property
    def ratios(self) -> tuple[float, float]:
        """How many times as fast the new one is: prefill, generation."""
        return self.new.prefill / self.old.prefill, self.new.generation / self.old.generation


@dataclass(frozen=True, slots=True)
class Verdict:
    """Whether to change engines, and why in a sentence."""

    better: bool
    mean: float
    reason: str


@dataclass(frozen=True, slots=True)
class Step:
    """What `renew` does just now, besides building."""

    kind: str
    """verify, write, measure."""
    done: int
    total: int
    detail: str = ""


@dataclass(frozen=True, slots=True)
class Renewal:
    """What came of building an engine."""

    built: Built
    outcomes: Sequence[Outcome]
    comparisons: Sequence[Comparison]
    verdict: Verdict


async def verify(provider: Provider, *, folder: Path | None = None) -> AsyncIterator[Outcome]:
    """Run the contract suite. `folder`: where the specimens may lie for the time being. Raises `LoadFailed` when the engine does not start."""
    with tempfile.TemporaryDirectory(prefix="hausgeist-verify-", dir=folder) as room:
        engine = LlamaCpp(home=Path(room), provider=provider)
        try:
            for task in _TASKS:
                path = await asyncio.to_thread(write_specimen, Path(room, f"{task}.gguf"), task=task)
                worker = await engine.load(_plan(path, task, context=_CONTEXT, slots=_SLOTS))
                try:
                    async for outcome in run_checks(CHECKS, worker):
                        yield outcome
                finally:
                    await worker.close()
        finally:
            await engine.close()


async def compare(
    new: Provider,
    old: Provider,
    *,
    folder: Path | None = None,
    shape: ModelShape | str = SHAPE,
    precisions: Sequence[Precision] = PRECISIONS,
    rounds: int = MEASURED,
    progress: Callable[[Step], None] = lambda step: None,
) -> list[Comparison]:
    """Measure both in turns, so that what else the machine does meets both alike. Needs room for the model on disk and twice in memory."""
    found = []
    with tempfile.TemporaryDirectory(prefix="hausgeist-measure-", dir=folder) as room:
        for precision in precisions:
            path = Path(room, f"{precision}.gguf")

            def written(done: int, total: int, detail: str = precision) -> None:
                progress(Step("write", done, total, detail))

            await asyncio.to_thread(write_shaped, path, shape, precision, progress=written)
            await asyncio.to_thread(_demand_memory, path)
            found.append(await _race(new, old, path, precision, rounds, Path(room), progress))
            await asyncio.to_thread(path.unlink)
    return found


async def _race(new: Provider, old: Provider, path: Path, precision: str, rounds: int, room: Path, progress: Callable[[Step], None]) -> Comparison:
    async with AsyncExitStack() as stack:
        workers = []
        for provider in (old, new):
            engine = LlamaCpp(home=room, provider=provider)
            stack.push_async_callback(engine.close)
            worker = await engine.load(_plan(path, "generate", context=_PROMPT + _TOKENS * 2, slots=1))
            stack.push_async_callback(worker.close)
            workers.append(worker)
            await _run(worker)  # the first run maps the weights
        runs: tuple[list[Speed], list[Speed]] = ([], [])
        for number in range(rounds * _PATIENCE):
            if number >= rounds and max(map(_spread, runs)) <= _NOISE:
                break
            for worker, speeds in zip(workers, runs, strict=True):
                speeds.append(await _run(worker))
            progress(Step("measure", number + 1, max(rounds, number + 1), precision))
    return Comparison(precision, _median(runs[0]), _median(runs[1]), max(map(_spread, runs)))


def _spread(speeds: Sequence[Speed]) -> float:
    """Of the runs of one engine, prefill or generation, whichever is worse."""
    found = [0.0]
    for series in ([speed.prefill for speed in speeds], [speed.generation for speed in speeds]):
        if len(series) > 1:
            low, middle, high = statistics.quantiles(series, n=4, method="inclusive")
            found.append((high - low) / middle)
    return max(found)


def _median(speeds: Sequence[Speed]) -> Speed:
    return Speed(statistics.median(speed.prefill for speed in speeds), statistics.median(speed.generation for speed in speeds))


async def _run(worker: LlamaCppWorker) -> Speed:
    prompt = [300 + number * 7 % 1000 for number in range(_PROMPT)]
    body = {"prompt": prompt, "max_tokens": _TOKENS, "ignore_eos": True, "temperature": 0, "cache_prompt": False}
    reply = await worker.call("completion", json.dumps(body).encode())
    try:
        told: dict[str, Any] = json.loads(await reply.read())
    finally:
        await reply.close()
    timings = told.get("timings")
    if reply.status != 200 or not isinstance(timings, dict):
        raise EngineFailed(f"The engine could not be measured: it answers {reply.status}.")
    return Speed(float(timings["prompt_per_second"]), float(timings["predicted_per_second"]))


def judge(comparisons: Sequence[Comparison]) -> Verdict:
    """Better is: faster on the whole (geometric mean above 1.03), and nowhere slower by more than a twentieth."""
    ratios = [ratio for comparison in comparisons for ratio in comparison.ratios]
    mean = math.exp(statistics.fmean(math.log(ratio) for ratio in ratios))
    worst = min(ratios)
    if (spread := max(comparison.spread for comparison in comparisons)) > _NOISE:
        return Verdict(
            False, mean, f"Runs of the same engine differ by {spread:.0%}: this machine is too busy to tell. Measure again when it is not."
        )
    if worst < _LOSS:
        return Verdict(False, mean, f"In one measurement it has only {worst:.2f} times the speed.")
    if mean <= _GAIN:
        return Verdict(False, mean, f"It has {mean:.2f} times the speed, which is no gain worth a change.")
    return Verdict(True, mean, f"It has {mean:.2f} times the speed.")


async def renew(
    settings: Settings,
    *,
    flavour: Flavour = "native",
    source: Path | None = None,
    progress: Callable[[Progress | Step], None] = lambda step: None,
) -> Renewal:
    """Build an engine, try it, measure it against the wheel, and use it from now on if it is better.

    Raises what `build` raises; `EngineFailed` when what was built breaks the contract: then nothing changes but the disk.
    """
    home = settings.home
    built = await build(home, flavour=flavour, source=source, offline=settings.offline, progress=progress)
    new = Provider("built", built.binary, built.version, built.backends)
    work = home / "engines" / "work"
    outcomes = []
    async for outcome in verify(new, folder=work):
        outcomes.append(outcome)
        progress(Step("verify", len(outcomes), len(CHECKS), outcome.check.name))
    if broken := [outcome for outcome in outcomes if outcome.result == "broken"]:
        said = "; ".join(f"{outcome.check.name}: {outcome.detail}" for outcome in broken[:3])
        raise EngineFailed(f"The engine was built, but {len(broken)} of {len(outcomes)} checks fail, so it is not used. {said}")
    await asyncio.to_thread(publish, home, built)
    comparisons, verdict = await settle(settings, new, progress=progress)
    return Renewal(built, outcomes, comparisons, verdict)


async def settle(settings: Settings, new: Provider, *, progress: Callable[[Step], None] = lambda step: None) -> tuple[list[Comparison], Verdict]:
    """Measure the published engine against the wheel, and use it from now on if it is better."""
    old = next((provider for provider in providers(settings) if provider.name == "wheel"), None)
    if old is None:
        comparisons, verdict = [], Verdict(True, 1.0, "There is no wheel to compare it with.")
    else:
        comparisons = await compare(new, old, folder=settings.home / "engines" / "work", progress=progress)
        verdict = judge(comparisons)
    if verdict.better:
        await asyncio.to_thread(choose, settings.home, "built")
    return comparisons, verdict


def _plan(path: Path, task: Task, *, context: int, slots: int) -> LaunchPlan:
    model = InstalledModel(
        id=path.stem, engine="llamacpp", path=path, digest=sha256(path.name.encode()).hexdigest(), modified=0.0, tasks=(task,), notice=NAME
    )
    return LaunchPlan(model=model, task=task, context=context, slots=slots)


def _demand_memory(path: Path) -> None:
    """Two workers hold the weights once in the page cache, and each its own repacked copy."""
    import psutil

    needed, free = 3 * path.stat().st_size + 512 * 2**20, psutil.virtual_memory().available
    if free < needed:
        raise NotEnoughMemory(
            f"To measure, {needed / 2**30:.1f} GiB of memory are needed, and {free / 2**30:.1f} GiB are free. Stop loaded models first."
        )
