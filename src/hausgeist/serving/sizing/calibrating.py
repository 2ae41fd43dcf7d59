"""A short run of a small model on this machine, by which the speed of all others is predicted: made on request, and remembered.

The model has random weights in the shape of qwen3:0.6b with half of its layers, at four precisions, and runs in the engine that is installed,
started as it is for real models. What the seconds say of other models is `planner.speed.calibration`'s business.
"""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any, Final, Protocol

from hausgeist.engines import Engine, Worker, factory
from hausgeist.engines.specimen import NAME, SHAPES, ModelShape, Precision, write_shaped
from hausgeist.errors import EngineFailed, NotEnoughMemory
from hausgeist.hardware import kept
from hausgeist.hardware.measure import Machine
from hausgeist.library.gguf.header import read_header
from hausgeist.model import InstalledModel, LaunchPlan
from hausgeist.planner.memory.header import Header
from hausgeist.planner.speed import FAMILIES, Calibration, Rates, Run, calibrate
from hausgeist.serving.sizing.subjects import header_of

if TYPE_CHECKING:
    from hausgeist.engines.llamacpp.providers import Provider

__all__ = ["PRECISIONS", "SECONDS", "SHAPE", "Calibrated", "Conditions", "Specimen", "Timing", "Trial", "calibrated", "keep", "launched", "measured",
           "models", "remembered", "trials"]  # fmt: skip

SHAPE: Final = replace(SHAPES["qwen3-0.6b"], layers=14)
PRECISIONS: Final[tuple[Precision, ...]] = ("Q4_K_M", "Q8_0", "F16")
SECONDS: Final = 45
"""About as long as it takes on a machine with two cores."""

_NARROWER: Final = 128
"""By so much a fourth model is narrower: rows that k-quants cannot have (of 896 numbers, say) become Q5_0 in the same mix, which is far slower in
prompts where the engine does not repack it."""
_KIND: Final = "calibration"
_METHOD: Final = 2
"""Counted up whenever other rates would come out on the same machine."""
_DAYS: Final = 30
_ROUNDS: Final = 10
_TOKENS: Final = 9
"""Generated per run. Short runs, many of them: one that nothing disturbed is what counts."""
_FULL: Final = 1024
"""Tokens in the cache when its speed is measured, once the rest is known."""
_GPU_STEP: Final = 512
"""Tokens that go through the layers at once on a card."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Conditions:
    """What a calibration holds for."""

    machine: Machine
    engine: str
    """Its build."""
    device: str = ""
    """The card that the model runs on; empty: the processor."""
    method: int = _METHOD


@dataclass(frozen=True, slots=True, kw_only=True)
class Calibrated:
    """`calibration` is what the planner takes; the rest is told."""

    calibration: Calibration
    place: Conditions
    generated: Mapping[str, float]
    """Tokens per second of the small model by precision."""
    prompted: Mapping[str, float]
    at: float
    """Seconds since 1970."""


@dataclass(frozen=True, slots=True)
class Timing:
    """Seconds that the engine says it took: for the tokens of the prompt that were not in its cache, and per token generated."""

    prompt: float
    token: float


class Trial(Protocol):
    """A model that is loaded."""

    async def run(self, prompt: int, tokens: int, *, kept: bool = False) -> Timing:
        """`kept`: the prompt may be in the cache from before. At least two tokens."""
        ...


Opening = Callable[[Path, int], AbstractAsyncContextManager[Trial]]
"""Loads a file for so much context."""


@dataclass(frozen=True, slots=True)
class Specimen:
    """A model at trial. `step`: tokens that go through the layers at once."""

    name: str
    header: Header
    trial: Trial
    step: int

    async def short(self) -> list[Run]:
        """One step of a prompt, and some tokens behind it."""
        took = await self.trial.run(self.step, _TOKENS)
        prompt = Run(header=self.header, tokens=self.step, filled=self.step, seconds=took.prompt)
        return [prompt, Run(header=self.header, tokens=1, filled=self.step + _TOKENS // 2, seconds=took.token)]

    async def long(self, rounds: int) -> list[Run]:
        """Tokens behind much that is in the cache, which is filled only once."""
        took = [await self.trial.run(_FULL, _TOKENS, kept=True) for _ in range(rounds)]
        return [Run(header=self.header, tokens=1, filled=_FULL + _TOKENS // 2, seconds=one.token) for one in took]


Model = tuple[str, ModelShape, Precision]


def models(shape: ModelShape = SHAPE) -> list[Model]:
    """Those that calibrate, by name."""
    return [*((kind, shape, kind) for kind in PRECISIONS), ("Q5_0", replace(shape, width=shape.width - _NARROWER), "Q4_K_M")]


@asynccontextmanager
async def trials(folder: Path, opening: Opening, some: Sequence[Model], *, step: int) -> AsyncIterator[list[Specimen]]:
    """Written to `folder` and loaded side by side. Raises `NotEnoughMemory`, `LoadFailed`."""
    async with AsyncExitStack() as stack:
        found = []
        for name, shape, precision in some:
            path = folder / f"{name}.gguf"
            await asyncio.to_thread(write_shaped, path, shape, precision)
            stack.callback(path.unlink, missing_ok=True)
            _demand_memory(path)
            trial = await stack.enter_async_context(opening(path, _FULL + 2 * _TOKENS))
            found.append(Specimen(name, header_of((read_header(path),)), trial, step))
        yield found


async def calibrated(
    subjects: Sequence[Specimen], expected: Rates, place: Conditions, *, rounds: int = _ROUNDS, between: Callable[[], Any] | None = None
) -> Calibrated:
    """Measure in turns, so that what else the machine does meets all alike. `between` is awaited after each round, for what is measured besides.

    Raises `EngineFailed`.
    """
    for one in subjects:
        await one.trial.run(one.step, 2)  # the first touches all weights
    runs: list[Run] = []
    for _ in range(rounds):
        for one in subjects:
            runs += await one.short()
        if between is not None:
            await between()
    # The cache is the same whatever the weights are; the model that fills it fastest tells.
    least = min(subjects, key=lambda one: min(run.seconds for run in runs if run.header is one.header and run.tokens > 1))
    runs += await least.long(rounds)
    found = calibrate(runs, expected, device=bool(place.device))

    def best(header: Header, several: bool) -> float:
        return max(run.tokens / run.seconds for run in runs if run.header is header and (run.tokens > 1) is several)

    return Calibrated(
        calibration=found,
        place=place,
        generated={one.name: round(best(one.header, False), 2) for one in subjects},
        prompted={one.name: round(best(one.header, True), 2) for one in subjects},
        at=round(time.time(), 1),
    )


def launched(folder: Path, provider: Provider, *, cards: int = 0) -> Opening:
    """Loads files into the engine as it is started for real models; on the first of `cards`, where there are any."""

    @asynccontextmanager
    async def opening(path: Path, context: int) -> AsyncIterator[Trial]:
        engine: Engine = factory("llamacpp")(home=folder, provider=provider)
        try:
            model = InstalledModel(id=path.stem, engine="llamacpp", path=path, digest="", modified=0.0, notice=NAME)
            split = (1.0, *(0.0,) * (cards - 1)) if cards > 1 else ()
            worker = await engine.load(
                LaunchPlan(model=model, task="generate", context=context, slots=1, gpu_layers=None if cards else 0, tensor_split=split)
            )
            yield _Loaded(worker)
        finally:
            await engine.close()

    return opening


class _Loaded:
    """A worker of the engine."""

    def __init__(self, worker: Worker) -> None:
        self._worker = worker

    async def run(self, prompt: int, tokens: int, *, kept: bool = False) -> Timing:
        ids = [300 + number * 7 % 600 for number in range(prompt)]
        body = {"prompt": ids, "max_tokens": tokens, "ignore_eos": True, "temperature": 0, "cache_prompt": kept}
        reply = await self._worker.call("completion", json.dumps(body).encode())
        try:
            said = await reply.read()
        finally:
            await reply.close()
        try:
            told = json.loads(said)["timings"]
            # Its clock for tokens starts when the first of them is there.
            return Timing(float(told["prompt_ms"]) / 1e3, float(told["predicted_ms"]) / 1e3 / (int(told["predicted_n"]) - 1))
        except (ValueError, KeyError, TypeError, ZeroDivisionError) as error:
            raise EngineFailed(f"The engine could not be measured: it answers {reply.status} without saying how long it took.") from error


async def measured(
    home: Path, provider: Provider, expected: Rates, place: Conditions, *, cards: int = 0, shape: ModelShape = SHAPE, rounds: int = _ROUNDS
) -> Calibrated:
    """All of it: files are written, run and removed. Remembered in `home`, unless it is void.

    Raises `NotEnoughMemory`, `LoadFailed`, `EngineFailed`.
    """
    from hausgeist.engines.llamacpp.parameters import PREFILL_BATCH

    rooms = home / "cache"
    rooms.mkdir(parents=True, exist_ok=True)
    with TemporaryDirectory(prefix="calibrating-", dir=rooms) as folder:
        opening = launched(home, provider, cards=cards)
        async with trials(Path(folder), opening, models(shape), step=_GPU_STEP if place.device else PREFILL_BATCH) as subjects:
            found = await calibrated(subjects, expected, place, rounds=rounds)
    if not found.calibration.void:
        keep(home, found)
    return found


def remembered(home: Path, place: Conditions) -> Calibrated | None:
    """What was found in this place within the last month. Takes no time."""
    try:
        found = _decode(kept.place(home, _KIND, place).read_text("utf-8"), place)
    except (OSError, UnicodeDecodeError):
        return None
    fresh = found is not None and -60 < time.time() - found.at < _DAYS * 86400 and not found.calibration.void
    return found if fresh else None


def keep(home: Path, found: Calibrated) -> None:
    """For `remembered`."""
    kept.keep(kept.place(home, _KIND, found.place), found)


def _decode(content: str, place: Conditions) -> Calibrated | None:
    """`None` for whatever was not written here."""
    try:
        told: Any = json.loads(content)
        if told["place"] != asdict(place):
            return None
        rates = {where: _rates(some) if (some := told["calibration"][where]) is not None else None for where in ("host", "device")}
        calibration = Calibration(**rates, spread=float(told["calibration"]["spread"]))
        generated, prompted = ({str(kind): float(rate) for kind, rate in told[name].items()} for name in ("generated", "prompted"))
        return Calibrated(calibration=calibration, place=place, generated=generated, prompted=prompted, at=float(told["at"]))
    except (ValueError, KeyError, TypeError, AttributeError, OverflowError):
        return None


def _rates(told: Mapping[str, Any]) -> Rates:
    """Raises `ValueError` for what no machine has."""
    each: dict[str, Any] = {name: {kind: float(told[name][kind]) for kind in FAMILIES} for name in ("bandwidth", "compute", "vector")}
    single: dict[str, Any] = {name: float(told[name]) for name in ("cache", "tile", "attention", "memory", "operation", "start")}
    if min(*single.values()) < 0 or not all(0 < rate < float("inf") for some in each.values() for rate in some.values()):
        raise ValueError("no rates")
    if not all(0 < single[name] < float("inf") for name in ("cache", "tile", "attention", "memory")):
        raise ValueError("no rates")
    return Rates(**each, **single)


def _demand_memory(path: Path) -> None:
    """Weights stand in memory once as the file and once repacked."""
    import psutil

    needed, free = 2 * path.stat().st_size + 512 * 2**20, psutil.virtual_memory().available
    if free < needed:
        raise NotEnoughMemory(
            f"To calibrate, {needed / 2**30:.1f} GiB of memory are needed, and {free / 2**30:.1f} GiB are free. Stop loaded models first."
        )
