"""Speed as predicted for this machine against what it does: best of ten, calibration in between, void where the calibration contradicts itself.

No model that is predicted is the one that calibrates. All of them have random weights in true shapes; both run in the engine that is installed.
"""

from __future__ import annotations

import argparse
import asyncio
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import count
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Final

from benchmarks.report import Figure, median, table
from benchmarks.servers import BUILD
from hausgeist.engines.llamacpp.parameters import PREFILL_BATCH
from hausgeist.engines.llamacpp.providers import Provider, provider
from hausgeist.engines.specimen import SHAPES, ModelShape, Precision
from hausgeist.planner.memory import Start
from hausgeist.planner.speed import Calibration, Run, device_rates, host_rates, speed
from hausgeist.planner.target import Target
from hausgeist.serving.sizing import calibrating, local
from hausgeist.settings import load_settings

__all__ = ["MODELS", "Pair", "measure"]

MODELS: Final[Mapping[str, ModelShape]] = {
    "qwen2.5-0.5b": SHAPES["qwen2.5-0.5b"],
    "llama-3.2-1b": SHAPES["llama-3.2-1b"],
    "qwen3-1.7b": replace(SHAPES["qwen3-0.6b"], width=2048, inner=6144),
    "llama-3.2-3b": SHAPES["llama-3.2-3b"],
}
_ROUNDS: Final = 10
_SMALLER: Final = 2
"""Rounds of the small model for each of the larger one's: they are short, and each half of them shall hold an undisturbed one."""
_MEDIAN, _WORST = 0.08, 0.15


@dataclass(frozen=True, slots=True, kw_only=True)
class Pair:
    """One model at one precision. Tokens per second."""

    title: str
    kind: str
    """generation, prompt."""
    predicted: float
    best: float
    spread: float
    """Of the calibration beside it."""
    scatter: float
    """How much longer than the best the middle one of the model's own runs took."""
    void: bool

    @property
    def error(self) -> float:
        return self.predicted / self.best - 1.0


async def pairs(sizes: Sequence[str], precisions: Sequence[Precision], rounds: int, there: Target, engine: Provider) -> list[Pair]:
    """Each model beside a calibration of its own, in turns."""
    found: list[Pair] = []
    for size in sizes:
        for precision in precisions:
            some = await _beside(size, precision, rounds, there, engine)
            for one in some:
                print(f"{one.title:24}{one.kind:12}{one.predicted:8.1f} predicted {one.best:8.1f} best {one.error:+6.0%}  "
                      f"spread {one.spread:.0%}, own {one.scatter:.0%}{', void' if one.void else ''}", flush=True)  # fmt: skip
            found += some
    return found


async def _beside(size: str, precision: Precision, rounds: int, there: Target, engine: Provider) -> list[Pair]:
    group = there.group
    expected = host_rates(there.host) if group is None else device_rates(group.device)
    step = PREFILL_BATCH if group is None else 512
    opening = calibrating.launched(BUILD / "calibrated", engine, cards=0 if group is None else group.count)
    place = local.conditions(engine, there)
    with TemporaryDirectory(dir=BUILD) as folder:
        room, other = Path(folder, "small"), Path(folder, "model")
        room.mkdir()
        other.mkdir()
        async with (
            calibrating.trials(room, opening, calibrating.models(), step=step) as small,
            calibrating.trials(other, opening, [(size, MODELS[size], precision)], step=step) as (model,),
        ):
            runs: list[Run] = []
            turns = count()
            await model.trial.run(step, 2)

            async def between() -> None:
                if next(turns) % _SMALLER == 0:
                    runs.extend(await model.short())

            known = await calibrating.calibrated(small, expected, place, rounds=rounds * _SMALLER, between=between)
    return [_pair(f"{size} {precision}", [run for run in runs if (run.tokens > 1) is several], known.calibration, there) for several in (False, True)]


def _pair(title: str, runs: Sequence[Run], known: Calibration, there: Target) -> Pair:
    one, best = runs[0], min(run.seconds for run in runs)
    step = max(one.tokens, PREFILL_BATCH)
    start = Start(context=2048, slots=1, batch=step, micro_batch=step, instructions=there.host.instructions)
    layers = 0 if there.group is None else one.header.blocks + 1
    told = speed(one.header, start, there, gpu_layers=layers, filled=one.filled, calibration=known)
    return Pair(
        title=title,
        kind="prompt" if one.tokens > 1 else "generation",
        predicted=told.prompt_tokens_per_second if one.tokens > 1 else told.generate_tokens_per_second,
        best=one.tokens / best,
        spread=known.spread,
        scatter=statistics.median(run.seconds for run in runs) / best - 1.0,
        void=known.void,
    )


async def measure(sizes: Sequence[str] = tuple(MODELS), precisions: Sequence[Precision] = calibrating.PRECISIONS,
                  rounds: int = _ROUNDS) -> list[Figure]:  # fmt: skip
    """Half an hour for all of them, on a machine that does nothing else."""
    settings = load_settings(home=BUILD / "calibrated")
    engine, there = provider(settings), local.look_around(settings, measuring=True)
    found = await pairs(sizes, precisions, rounds, there, engine)
    valid = [one for one in found if not one.void]
    spread = f"median {median([one.spread for one in found]):.0%}, worst {max(one.spread for one in found):.0%}"
    figures = [
        Figure("spread of the calibration", f"{spread}; {len(found) - len(valid)} of {len(found)} void", "10% at most", len(valid) == len(found))
    ]
    for kind in ("generation", "prompt"):
        some = [one for one in valid if one.kind == kind]
        if not some:
            figures.append(Figure(f"{kind}: error", "void: the machine was busy", "median 8%, worst 15%", False))
            continue
        middle, worst = median([abs(one.error) for one in some]), max(some, key=lambda one: abs(one.error))
        figures.append(Figure(f"{kind}: median error ({len(some)})", f"{middle:.1%}", f"{_MEDIAN:.0%}", middle <= _MEDIAN))
        figures.append(Figure(f"{kind}: worst error", f"{worst.error:+.0%} ({worst.title})", f"{_WORST:.0%}", abs(worst.error) <= _WORST))
    return figures


def main() -> None:
    """A part of it, while something is changed."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.calibrated", description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--sizes", nargs="+", choices=[*MODELS], default=[*MODELS])
    parser.add_argument("--precisions", nargs="+", choices=calibrating.PRECISIONS, default=[*calibrating.PRECISIONS])
    parser.add_argument("--rounds", type=int, default=_ROUNDS)
    given = parser.parse_args()
    print(table(asyncio.run(measure(given.sizes, given.precisions, given.rounds))))


if __name__ == "__main__":
    main()
