"""Calibration on this machine: rates come back out of what a trial tells, a busy machine is void, and only what holds here is remembered."""

import json
import time
from collections.abc import Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from pathlib import Path

import pytest

from hausgeist.engines.specimen import ModelShape
from hausgeist.errors import EngineFailed
from hausgeist.hardware.measure import Machine
from hausgeist.library.gguf.header import read_header
from hausgeist.planner.memory.header import Header
from hausgeist.planner.speed import Family, Rates, host_rates, layers, passing
from hausgeist.planner.target import Host
from hausgeist.serving.sizing import calibrating
from hausgeist.serving.sizing.calibrating import Conditions, Timing, Trial, calibrated, keep, remembered, trials
from hausgeist.serving.sizing.subjects import header_of

SHAPE = ModelShape(architecture="qwen3", layers=4, width=256, inner=768, heads=4, kv_heads=2, head=64, vocabulary=1000, context=4096, rope_base=1e6)
HOST = Host(
    title="a processor", memory_bytes=2**34, bandwidth_gb_s=20.0, compute_tflops=0.2, cores=4, instructions="avx2", watts_load=65.0, watts_idle=10.0,
    measured=True,
)  # fmt: skip
HERE = Conditions(machine=Machine(processor="a processor", cores=4, memory_bytes=2**34), engine="xllamacpp-1 cpu")
SLOWER: Mapping[Family, float] = {"float": 0.5, "eight": 0.8, "four": 0.7, "k": 0.6, "i": 0.7}


def truth() -> Rates:
    """A machine that is slower than expected, differently for each family."""
    known = host_rates(HOST)
    return replace(
        known,
        bandwidth={kind: rate * SLOWER[kind] for kind, rate in known.bandwidth.items()},
        vector={kind: rate * SLOWER[kind] for kind, rate in known.vector.items()},
        compute={kind: rate * 0.5 for kind, rate in known.compute.items()},
        cache=known.cache * 0.3,
    )


@dataclass
class Scripted:
    """Takes as long as rates say, times what comes in between."""

    header: Header
    rates: Rates
    busy: list[float]
    runs: int = 0

    async def run(self, prompt: int, tokens: int, *, kept: bool = False) -> Timing:
        factor = self.busy[self.runs % len(self.busy)]
        self.runs += 1
        return Timing(self._seconds(prompt, prompt) * factor, self._seconds(1, prompt + tokens // 2) * factor)

    def _seconds(self, tokens: int, filled: int) -> float:
        rates, parts = self.rates, layers(self.header, "f16")
        one = passing(parts, tokens=tokens, sequences=1, filled=filled, outputs=1, tile=rates.tile)
        return rates.reading(one) + rates.computing(one) + rates.starting(one) + rates.start


def scripted(busy: list[float]) -> calibrating.Opening:
    @asynccontextmanager
    async def opening(path: Path, context: int):
        trial: Trial = Scripted(header_of((read_header(path),)), truth(), busy)
        yield trial

    return opening


async def found(folder: Path, busy: list[float], rounds: int = 5) -> calibrating.Calibrated:
    async with trials(folder, scripted(busy), calibrating.models(SHAPE), step=128) as some:
        return await calibrated(some, host_rates(HOST), HERE, rounds=rounds)


async def test_the_rates_of_a_machine_come_out_of_its_runs(tmp_path: Path) -> None:
    told = await found(tmp_path, [1.0])
    rates, real = told.calibration.host, truth()
    assert rates is not None
    assert told.calibration.device is None
    assert not told.calibration.void
    for kind in ("float", "eight", "k", "four"):
        assert rates.bandwidth[kind] == pytest.approx(real.bandwidth[kind], rel=0.15), kind
        assert rates.compute[kind] == pytest.approx(real.compute[kind], rel=0.15), kind
    assert rates.cache == pytest.approx(real.cache, rel=0.1)
    assert set(told.generated) == set(told.prompted) == {"Q4_K_M", "Q8_0", "F16", "Q5_0"}
    assert told.generated["Q4_K_M"] > told.generated["F16"] > 0


async def test_one_run_that_nothing_disturbed_is_enough_but_a_busy_machine_is_void(tmp_path: Path) -> None:
    quiet, seldom, busy = [await found(tmp_path, some) for some in ([1.0], [1.0, 1.0, 1.9, 1.0], [1.3, 1.0, 1.4, 1.5, 1.35])]
    assert seldom.generated == quiet.generated
    assert not seldom.calibration.void
    assert busy.calibration.spread > 0.2
    assert busy.calibration.void


async def test_files_of_the_small_model_are_gone_afterwards(tmp_path: Path) -> None:
    await found(tmp_path, [1.0], rounds=1)
    assert not list(tmp_path.iterdir())


async def test_what_is_measured_besides_gets_its_turn_in_each_round(tmp_path: Path) -> None:
    turns: list[int] = []
    async with trials(tmp_path, scripted([1.0]), [("Q8_0", SHAPE, "Q8_0")], step=128) as some:

        async def between() -> None:
            turns.append(some[0].trial.runs)  # type: ignore[attr-defined]

        await calibrated(some, host_rates(HOST), HERE, rounds=3, between=between)
    assert turns == [2, 3, 4]


async def test_it_is_remembered_for_this_machine_and_engine_only(tmp_path: Path) -> None:
    told = await found(tmp_path / "..", [1.0])
    assert remembered(tmp_path, HERE) is None
    keep(tmp_path, told)
    assert remembered(tmp_path, HERE) == told
    assert remembered(tmp_path, replace(HERE, engine="xllamacpp-2 cpu")) is None
    assert remembered(tmp_path, replace(HERE, machine=replace(HERE.machine, cores=2))) is None
    assert remembered(tmp_path, replace(HERE, device="a card")) is None


async def test_what_is_old_void_or_damaged_does_not_count(tmp_path: Path) -> None:
    told = await found(tmp_path, [1.0])
    keep(tmp_path, replace(told, at=time.time() - 40 * 86400))
    assert remembered(tmp_path, HERE) is None
    keep(tmp_path, replace(told, calibration=replace(told.calibration, spread=0.2)))
    assert remembered(tmp_path, HERE) is None
    keep(tmp_path, told)
    (file,) = tmp_path.glob("calibration-*.json")
    content = json.loads(file.read_text("utf-8"))
    for wrong in ("", "[]", '{"place": 1}', json.dumps(content | {"calibration": {"host": {}, "device": None, "spread": 0.1}})):
        file.write_text(wrong, "utf-8")
        assert remembered(tmp_path, HERE) is None
    content["calibration"]["host"]["bandwidth"]["k"] = 0
    file.write_text(json.dumps(content), "utf-8")
    assert remembered(tmp_path, HERE) is None


async def test_an_engine_that_does_not_say_how_long_it_took_is_an_error() -> None:
    class Reply:
        status = 200

        async def read(self) -> bytes:
            return b'{"choices": []}'

        async def close(self) -> None: ...

    class Silent:
        async def call(self, operation: str, body: bytes) -> Reply:
            return Reply()

    with pytest.raises(EngineFailed, match="could not be measured"):
        await calibrating._Loaded(Silent()).run(8, 2)  # type: ignore[arg-type]
