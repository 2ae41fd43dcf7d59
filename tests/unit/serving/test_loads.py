"""Of each load is kept what was said and what was measured; nobody waits for it; what was measured counts for the next load."""

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import pytest

from hausgeist.engines import FitFailed, Operation, Reply, SlotState
from hausgeist.errors import InvalidRequest, LoadFailed, NotEnoughMemory
from hausgeist.hardware.probe import Memory
from hausgeist.model import Footprint, InstalledModel, LaunchPlan, ModelOptions, Shape
from hausgeist.planner.accuracy import Load
from hausgeist.serving import records
from hausgeist.serving.footprints import Footprints
from hausgeist.serving.loads import Loads, plan_key
from hausgeist.serving.memory import Ledger
from hausgeist.serving.pool import Pool
from hausgeist.settings import Settings
from hausgeist.store.database import Database
from hausgeist.telemetry import Metrics

GIB = 2**30
PLAN = LaunchPlan(
    model=InstalledModel(
        id="m", engine="test", path=Path("m.gguf"), digest="d", modified=0.0, shape=Shape(architecture="llama"), options=ModelOptions(slots=2)
    ),
    task="generate",
    context=1600,
    slots=2,
)
FIT = Footprint(host=4 * GIB, parts={"weights": 3 * GIB, "runtime": GIB // 8}, source="fit")
ESTIMATE = Footprint(host=5 * GIB, parts={"weights": 4 * GIB, "runtime": GIB // 8}, source="estimate")


@dataclass(eq=False)
class Worker:
    plan: LaunchPlan
    pid: int | None = 4711
    private_fields: bool = True
    alive: bool = True
    ended: asyncio.Event = field(default_factory=asyncio.Event)

    async def call(self, operation: Operation, body: bytes) -> Reply:
        raise AssertionError

    async def slots(self) -> Sequence[SlotState]:
        return []

    def measured(self) -> Footprint:
        return Footprint(host=0, source="measured")

    async def wait(self) -> str:
        await self.ended.wait()
        return ""

    async def close(self, *, patience: float = 3.0) -> None:
        self.alive = False
        self.ended.set()


@dataclass(eq=False)
class Engine:
    fits: Footprint | LoadFailed = FIT
    name: str = "test"
    asked: int = 0
    pid: int | None = 4711

    async def models(self) -> Sequence[InstalledModel]:
        return []

    async def fit(self, plan: LaunchPlan) -> Footprint:
        self.asked += 1
        if isinstance(self.fits, LoadFailed):
            raise self.fits
        return self.fits

    async def load(self, plan: LaunchPlan, progress: Callable[[float], None] | None = None) -> Worker:
        return Worker(plan, pid=self.pid)

    async def close(self) -> None: ...


class House:
    """A pool with its database; `sizes` is what its workers are found to take, one after the other."""

    def __init__(self, home: Path) -> None:
        self.database = Database.open(home)
        self.metrics = Metrics()
        self.engine = Engine()
        self.memory = 64 * GIB
        self.sizes = [GIB, 3 * GIB]
        self.estimates: list[LaunchPlan] = []
        self.takes = 0.0
        self.pools: list[Pool] = []
        self.version = "v1"
        self.loads = self.another()
        self.home = home

    def another(self) -> Loads:
        return Loads(self.database, metrics=self.metrics, arithmetic={"test": self.estimate}, version=lambda _: self.version, measure=self.measure)

    def pool(self) -> Pool:
        settings = Settings(home=self.home, memory_reserve=0)
        ledger = Ledger(settings, lambda: Memory(total=self.memory, available=self.memory))
        made = Pool(settings=settings, engines=lambda _: self.engine, ledger=ledger, metrics=self.metrics, loads=self.loads)
        self.pools.append(made)
        return made

    def estimate(self, plan: LaunchPlan) -> Footprint:
        self.estimates.append(plan)
        return ESTIMATE

    def measure(self, pid: int) -> Footprint | None:
        assert pid == 4711
        time.sleep(self.takes)
        size = self.sizes.pop(0) if len(self.sizes) > 1 else self.sizes[0]
        return Footprint(host=size, parts={"anonymous": size}, source="measured") if size else None

    async def kept(self) -> list[Load]:
        for pool in self.pools:
            await looked(pool)
        await self.database.write(lambda _: None)
        return self.database.read(records.recent)


@pytest.fixture
async def house(tmp_path: Path) -> AsyncIterator[House]:
    made = House(tmp_path)
    yield made
    made.database.close()


async def answer(pool: Pool, tokens: int, plan: LaunchPlan = PLAN) -> None:
    lease = await pool.lease(plan, user="u", project="p")
    await looked(pool)
    await pool.give_back(lease, complete=True, tokens=tokens)
    await looked(pool)


async def looked(pool: Pool) -> None:
    async with asyncio.timeout(10):
        while pool._looks:
            await asyncio.sleep(0.005)


async def test_a_load_is_kept_with_all_three(house: House) -> None:
    pool = house.pool()
    lease = await pool.lease(PLAN, user="u", project="p")
    [first] = await house.kept()
    assert (first.fit, first.arithmetic, first.peak) == (FIT, None, None)
    assert first.loaded is not None
    assert first.loaded.host == GIB
    assert house.estimates == [], "not while the first answer is on its way"
    await pool.give_back(lease, complete=True, tokens=1500)
    [after] = await house.kept()
    assert after.arithmetic == ESTIMATE
    assert after.peak is not None
    assert (after.peak.host, after.filled) == (3 * GIB, 1500)
    assert (after.model, after.digest, after.architecture, after.context, after.slots, after.engine) == ("m", "d", "llama", 1600, 2, "v1")
    assert after.loaded == first.loaded
    await pool.close()


async def test_it_is_measured_again_when_the_context_is_fuller_and_the_most_is_kept(house: House) -> None:
    house.sizes = [GIB, 2 * GIB, 3 * GIB, GIB, 7 * GIB]
    pool = house.pool()
    for tokens in (100, 150, 0, 200, 1600, 1600):
        await answer(pool, tokens)
    [load] = await house.kept()
    assert house.sizes == [7 * GIB], "after 100, 200 and 1600; 150 is no step further, 0 is no answer"
    assert load.peak is not None
    assert (load.peak.host, load.filled) == (3 * GIB, 1600)
    assert len(house.estimates) == 1
    await pool.close()


async def test_the_last_step_to_a_full_context_is_always_seen(house: House) -> None:
    pool = house.pool()
    await answer(pool, 1590)
    house.sizes = [4 * GIB]
    await answer(pool, 2000)
    [load] = await house.kept()
    assert load.filled == 1600
    assert load.peak is not None
    assert load.peak.host == 4 * GIB
    await pool.close()


async def test_an_answer_that_comes_while_it_is_measured_is_measured_too(house: House) -> None:
    house.sizes = [GIB, 2 * GIB, 3 * GIB]
    pool = house.pool()
    one, other = [await pool.lease(PLAN, user="u", project="p") for _ in range(2)]
    await house.kept()
    house.takes = 0.1
    await pool.give_back(one, complete=True, tokens=100)
    await asyncio.sleep(0.02)
    await pool.give_back(other, complete=True, tokens=1600)
    await pool.drain(5)
    [load] = await house.kept()
    assert load.peak is not None
    assert (load.peak.host, load.filled) == (3 * GIB, 1600)
    assert len(house.estimates) == 1
    await pool.close()


async def test_a_process_that_ends_right_after_its_answer_has_it_all_the_same(house: House) -> None:
    pool = house.pool()
    lease = await pool.lease(PLAN, user="u", project="p")
    await looked(pool)
    await pool.give_back(lease, complete=True, tokens=1600)
    await pool.drain(5)
    await pool.close()
    [load] = await house.kept()
    assert load.filled == 1600


async def test_after_a_while_it_is_measured_in_any_case(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    pool = house.pool()
    await answer(pool, 1000)
    house.sizes = [4 * GIB]
    monkeypatch.setattr("hausgeist.serving.loads._PAUSE", 0.0)
    await answer(pool, 10)
    [load] = await house.kept()
    assert load.peak is not None
    assert (load.peak.host, load.filled) == (4 * GIB, 1000)
    await pool.close()


async def test_what_is_no_process_is_not_looked_at(house: House) -> None:
    house.engine.pid = None
    pool = house.pool()
    await answer(pool, 1000)
    assert await house.kept() == []
    await pool.close()


async def test_each_worker_is_a_load_of_its_own(house: House) -> None:
    pool = house.pool()
    await answer(pool, 1000)
    await pool.unload("m")
    house.sizes = [GIB, 2 * GIB]
    await answer(pool, 500)
    assert sorted(load.filled for load in await house.kept()) == [500, 1000]
    await pool.close()


async def test_one_that_is_gone_leaves_what_was_known(house: House) -> None:
    house.sizes = [GIB, 0]
    pool = house.pool()
    await answer(pool, 1000)
    [load] = await house.kept()
    assert load.peak is None
    await pool.close()


async def test_arithmetic_that_fails_costs_its_own_figure_only(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(plan: LaunchPlan) -> Footprint:
        raise InvalidRequest("no model")

    monkeypatch.setitem(house.loads._arithmetic, "test", broken)
    pool = house.pool()
    await answer(pool, 1000)
    [load] = await house.kept()
    assert load.arithmetic is None
    assert load.peak is not None
    await pool.close()


async def test_a_closed_database_costs_the_row_and_not_the_answer(house: House) -> None:
    pool = house.pool()
    await answer(pool, 10)
    house.database.close()
    await answer(pool, 1600)
    await pool.close()


async def test_errors_are_in_the_metrics_also_after_a_start(house: House) -> None:
    pool = house.pool()
    await answer(pool, 1600)
    await house.kept()
    house.metrics = Metrics()
    await house.another().publish()
    text = house.metrics.render().decode()
    measured = 3 * GIB - GIB // 8
    assert f'hausgeist_plan_error_ratio{{method="fit",of="median"}} {GIB / measured}' in text
    assert 'hausgeist_plan_loads{method="arithmetic"} 1.0' in text
    assert 'of="worst_full"' in text
    await pool.close()


# What is promised


async def test_a_fit_pass_that_fails_is_replaced_by_arithmetic(house: House) -> None:
    house.engine.fits = FitFailed("It has not ended.")
    pool = house.pool()
    await answer(pool, 1000)
    await answer(pool, 1000)
    assert pool.loaded()[0].footprint == ESTIMATE
    [load] = await house.kept()
    assert (load.fit, load.arithmetic) == (None, ESTIMATE)
    assert (house.engine.asked, len(house.estimates)) == (1, 1)
    await pool.close()


async def test_by_arithmetic_too_what_does_not_fit_is_refused(house: House) -> None:
    house.engine.fits = FitFailed("It has not ended.")
    house.memory = 4 * GIB
    pool = house.pool()
    with pytest.raises(NotEnoughMemory, match=r"takes 5\.0 GiB"):
        await pool.lease(PLAN, user="u", project="p")
    await pool.close()


async def test_a_file_that_the_engine_refuses_is_refused(house: House) -> None:
    house.engine.fits = LoadFailed("unknown architecture")
    pool = house.pool()
    with pytest.raises(LoadFailed, match="unknown architecture"):
        await pool.lease(PLAN, user="u", project="p")
    assert house.estimates == []
    await pool.close()


async def test_without_arithmetic_the_failure_stands(house: House) -> None:
    house.engine.fits = FitFailed("It has not ended.")
    with pytest.raises(FitFailed):
        await Footprints().of(house.engine, PLAN)
    house.loads._arithmetic.clear()
    with pytest.raises(FitFailed):
        await Footprints(house.loads).of(house.engine, PLAN)


async def test_what_a_worker_took_is_promised_to_the_next(house: House) -> None:
    house.sizes = [GIB, 4 * GIB + GIB // 2]
    pool = house.pool()
    await answer(pool, 1600)
    await house.kept()
    assert pool.loaded()[0].footprint == FIT
    await pool.unload("m")
    await answer(pool, 10)
    promised = pool.loaded()[0].footprint
    assert (promised.host, promised.parts["beyond"], promised.source) == (4 * GIB + GIB // 2, GIB // 2, "fit")
    assert (await house.kept())[0].fit == FIT, "what the fit pass said is kept as it was"
    await pool.close()


async def test_but_not_what_it_took_by_going_astray(house: House) -> None:
    house.sizes = [GIB, 40 * GIB]
    pool = house.pool()
    await answer(pool, 1600)
    await house.kept()
    await pool.unload("m")
    await answer(pool, 10)
    assert pool.loaded()[0].footprint.host == 5 * GIB
    await pool.close()


async def test_nor_of_another_plan_or_build(house: House) -> None:
    house.sizes = [GIB, 4 * GIB + 1]
    pool = house.pool()
    await answer(pool, 1600)
    await house.kept()
    await pool.close()
    assert house.loads.most(PLAN) == 4 * GIB + 1
    for changes in ({"context": 3200}, {"slots": 1}, {"cache_type": "q8_0"}, {"gpu_layers": 3}, {"model": replace(PLAN.model, digest="e")}):
        assert house.loads.most(replace(PLAN, **changes)) == 0, changes
    house.version = "v2"
    assert house.loads.most(PLAN) == 0


# Rows


def some(at: float, **changes: object) -> Load:
    one = Load(
        model="m", digest="d", architecture="a", task="generate", context=1, slots=1, cache_type="f16", engine="e", at=at, fit=FIT,
        peak=Footprint(host=1, devices={"CUDA0": 2}, parts={"anonymous": 1}, source="measured"), filled=1,
    )  # fmt: skip
    return replace(one, **changes)  # type: ignore[arg-type]


async def test_rows_come_back_as_they_were_and_are_written_anew(house: House) -> None:
    await house.database.write(lambda connection: records.put(connection, "x", "p", some(1.0)))
    await house.database.write(lambda connection: records.put(connection, "x", "p", some(1.0, filled=2)))
    assert house.database.read(records.recent) == [some(1.0, filled=2)]


async def test_a_model_that_is_loaded_all_the_time_does_not_push_others_out(house: House) -> None:
    def many(connection: object) -> None:
        records.put(connection, "other", "q", some(0.0, model="other"))  # type: ignore[arg-type]
        for number in range(30):
            records.put(connection, f"x{number}", "p", some(float(number + 1)))  # type: ignore[arg-type]

    await house.database.write(many)
    kept = house.database.read(records.recent)
    assert [load.at for load in kept] == [*(float(number) for number in range(30, 20, -1)), 0.0]


async def test_there_is_an_end_to_them(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(records, "_MOST", 20)

    def many(connection: object) -> None:
        for number in range(30):
            records.put(connection, f"x{number}", f"p{number}", some(float(number)))  # type: ignore[arg-type]

    await house.database.write(many)
    assert [load.at for load in house.database.read(records.recent)] == [float(number) for number in range(29, 9, -1)]


async def test_a_row_that_cannot_be_read_is_left_out(house: House) -> None:
    await house.database.write(lambda connection: records.put(connection, "x", "p", some(1.0)))
    await house.database.write(lambda connection: records.put(connection, "y", "p", some(2.0)))
    await house.database.write(lambda connection: connection.exec_driver_sql("UPDATE loads SET fit = '{\"host\": []}' WHERE id = 'y'").rowcount)
    assert house.database.read(records.recent) == [some(1.0)]


def test_a_plan_is_the_same_however_much_it_may_take() -> None:
    assert plan_key(PLAN, "v") == plan_key(replace(PLAN, memory=5), "v")
