"""Loads coalesce, memory is never promised twice, what is idle leaves, a crash costs only the requests of its worker."""

import asyncio
import subprocess
import sys
from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from hausgeist.engines import Operation, Reply, SlotState
from hausgeist.errors import InvalidRequest, LoadFailed, NotEnoughMemory, Unavailable
from hausgeist.hardware.probe import Memory
from hausgeist.model import Footprint, InstalledModel, LaunchPlan, ModelOptions
from hausgeist.serving.memory import Ledger
from hausgeist.serving.planning import launch_plan
from hausgeist.serving.pool import Pool
from hausgeist.settings import Settings
from hausgeist.telemetry import Metrics

GIB = 2**30


@dataclass(eq=False)
class Worker:
    plan: LaunchPlan
    engine: "Engine"
    pid: int | None = None
    private_fields: bool = True
    alive: bool = True
    hangs: bool = False
    ended: asyncio.Event = field(default_factory=asyncio.Event)
    busy: set[int] = field(default_factory=set)

    async def call(self, operation: Operation, body: bytes) -> Reply:
        raise AssertionError

    async def slots(self) -> Sequence[SlotState]:
        if self.hangs:
            await asyncio.Event().wait()
        return [SlotState(number, number in self.busy) for number in range(self.plan.slots)]

    def measured(self) -> Footprint:
        return Footprint(host=self.engine.sizes[self.plan.model.id], source="measured")

    async def wait(self) -> str:
        await self.ended.wait()
        return "exit 139"

    async def close(self, *, patience: float = 3.0) -> None:
        self.alive = False
        self.ended.set()
        self.engine.resident.discard(self)

    def crash(self) -> None:
        self.alive = False
        self.engine.resident.discard(self)
        self.ended.set()


@dataclass(eq=False)
class Engine:
    """Weights of the sizes given, plus a GiB per 4 slots; checks at every load that nothing is over-committed."""

    sizes: dict[str, int]
    memory: int = 16 * GIB
    name: str = "test"
    loads: list[str] = field(default_factory=list)
    resident: set[Worker] = field(default_factory=set)
    broken: set[str] = field(default_factory=set)
    huge_from: int = 2**31
    """Tokens of context from which on nothing fits."""
    load_seconds: float = 0.01
    pid: int | None = None

    async def models(self) -> Sequence[InstalledModel]:
        return []

    async def fit(self, plan: LaunchPlan) -> Footprint:
        await asyncio.sleep(0)
        cache = plan.slots * GIB // 4 if plan.context < self.huge_from else 100 * GIB
        return Footprint(host=self.sizes[plan.model.id] + cache, source="fit")

    async def load(self, plan: LaunchPlan, progress: Callable[[float], None] | None = None) -> Worker:
        self.loads.append(plan.model.id)
        await asyncio.sleep(self.load_seconds)
        if plan.model.id in self.broken:
            raise LoadFailed("broken file")
        worker = Worker(plan, self, self.pid)
        self.resident.add(worker)
        assert sum(self.sizes[one.plan.model.id] for one in self.resident) <= self.memory, "over-committed"
        return worker

    async def close(self) -> None: ...

    def probe(self) -> Memory:
        return Memory(total=self.memory, available=self.memory - sum(self.sizes[one.plan.model.id] for one in self.resident))


def _model(name: str, **options: object) -> InstalledModel:
    return InstalledModel(id=name, engine="test", path=Path(name), digest=name, modified=0.0, options=ModelOptions(**options))  # type: ignore[arg-type]


@pytest.fixture
async def house(tmp_path: Path) -> AsyncIterator[Callable[..., tuple[Pool, Engine]]]:
    pools: list[Pool] = []

    def make(sizes: dict[str, int], **settings: object) -> tuple[Pool, Engine]:
        engine = Engine(sizes)
        chosen = Settings(home=tmp_path, memory_reserve=0, **settings)  # type: ignore[arg-type]
        pool = Pool(settings=chosen, engines=lambda _: engine, ledger=Ledger(chosen, engine.probe), metrics=Metrics())
        pool.start()
        pools.append(pool)
        return pool, engine

    yield make
    for pool in pools:
        await pool.close()


def _plan(name: str, **options: object) -> LaunchPlan:
    return launch_plan(_model(name, **options), "generate", Settings(slots=4))


async def test_loads_of_one_model_coalesce(house: Callable[..., tuple[Pool, Engine]]) -> None:
    pool, engine = house({"a": GIB})
    leases = await asyncio.gather(*(pool.lease(_plan("a"), user="u", project="p") for _ in range(4)))
    assert engine.loads == ["a"]
    assert sorted(number for lease in leases for number in lease.slots) == [0, 1, 2, 3]
    assert leases[0].load_ms > 0
    for lease in leases:
        await pool.give_back(lease, complete=True)
    assert pool.loaded()[0].running == 0


async def test_the_least_recently_used_idle_model_leaves(house: Callable[..., tuple[Pool, Engine]]) -> None:
    pool, engine = house({"a": 6 * GIB, "b": 6 * GIB, "c": 6 * GIB})
    for name in ("a", "b", "a", "c"):
        await pool.give_back(await pool.lease(_plan(name), user="u", project="p"), complete=True)
        await asyncio.sleep(0.01)
    assert [shown.model.id for shown in pool.loaded()] == ["a", "c"]


async def test_a_busy_model_is_waited_for(house: Callable[..., tuple[Pool, Engine]]) -> None:
    pool, engine = house({"a": 10 * GIB, "b": 10 * GIB})
    running = await pool.lease(_plan("a"), user="u", project="p")
    waiting = asyncio.create_task(pool.lease(_plan("b"), user="v", project="p"))
    await asyncio.sleep(0.1)
    assert not waiting.done()
    await pool.give_back(running, complete=True)
    lease = await asyncio.wait_for(waiting, 2)
    assert [shown.model.id for shown in pool.loaded()] == ["b"]
    await pool.give_back(lease, complete=True)


async def test_two_models_that_fit_only_one_at_a_time_both_get_their_turn(house: Callable[..., tuple[Pool, Engine]]) -> None:
    pool, engine = house({"a": 10 * GIB, "b": 10 * GIB})

    async def ask(name: str) -> None:
        lease = await pool.lease(_plan(name), user=name, project="p")
        await asyncio.sleep(0.02)
        await pool.give_back(lease, complete=True)

    async with asyncio.timeout(20):
        await asyncio.gather(*(ask("ab"[number % 2]) for number in range(20)))


async def test_too_large_says_by_how_much_and_evicts_nobody(house: Callable[..., tuple[Pool, Engine]]) -> None:
    pool, engine = house({"a": GIB, "huge": 40 * GIB})
    await pool.give_back(await pool.lease(_plan("a"), user="u", project="p"), complete=True)
    with pytest.raises(NotEnoughMemory, match=r"40\.\d GiB.*24\.\d GiB more"):
        await pool.lease(_plan("huge"), user="u", project="p")
    assert [shown.model.id for shown in pool.loaded()] == ["a"]


async def test_fewer_slots_when_memory_is_short(house: Callable[..., tuple[Pool, Engine]]) -> None:
    pool, engine = house({"a": 15 * GIB + GIB // 2})
    leases = await asyncio.gather(*(asyncio.wait_for(pool.lease(_plan("a"), user="u", project="p"), 2) for _ in range(2)))
    third = asyncio.create_task(pool.lease(_plan("a"), user="u", project="p"))
    await asyncio.sleep(0.05)
    assert not third.done(), "two slots fit, so two run"
    await pool.give_back(leases[0], complete=True)
    await pool.give_back(await asyncio.wait_for(third, 2), complete=True)


async def test_slots_that_the_user_chose_are_not_reduced(house: Callable[..., tuple[Pool, Engine]]) -> None:
    pool, engine = house({"a": 15 * GIB + GIB // 2})
    with pytest.raises(NotEnoughMemory):
        await pool.lease(_plan("a", slots=4), user="u", project="p")


async def test_idle_models_leave_after_their_time(house: Callable[..., tuple[Pool, Engine]]) -> None:
    pool, engine = house({"a": GIB, "b": GIB})
    await pool.give_back(await pool.lease(_plan("a"), user="u", project="p", keep_alive=0), complete=True)
    await pool.give_back(await pool.lease(_plan("b"), user="u", project="p", keep_alive=-1), complete=True)
    await asyncio.sleep(0.2)
    assert [(shown.model.id, shown.expires_at) for shown in pool.loaded()] == [("b", None)]


async def test_a_larger_context_loads_anew(house: Callable[..., tuple[Pool, Engine]]) -> None:
    pool, engine = house({"a": GIB})
    small = launch_plan(_model("a"), "generate", Settings(), context=1000)
    large = launch_plan(_model("a"), "generate", Settings(), context=9000)
    await pool.give_back(await pool.lease(small, user="u", project="p", grow=True), complete=True)
    lease = await pool.lease(large, user="u", project="p", grow=True)
    assert lease.plan.context == 9000
    await pool.give_back(lease, complete=True)
    lease = await pool.lease(small, user="u", project="p", grow=True)
    assert lease.plan.context == 9000, "a smaller wish is served by what is loaded"
    await pool.give_back(lease, complete=True)
    assert engine.loads == ["a", "a"]


async def test_a_context_too_large_says_so_and_leaves_the_worker(house: Callable[..., tuple[Pool, Engine]]) -> None:
    pool, engine = house({"a": GIB})
    small = launch_plan(_model("a"), "generate", Settings(), context=1000)
    large = launch_plan(_model("a"), "generate", Settings(), context=9000)
    await pool.give_back(await pool.lease(small, user="u", project="p", grow=True), complete=True)
    [before] = engine.resident
    engine.huge_from = 9000
    with pytest.raises(NotEnoughMemory, match=r"context of 9000 tokens, .* GiB more .* stays loaded with a context of 1000 tokens"):
        await pool.lease(large, user="u", project="p", grow=True)
    assert list(engine.resident) == [before]
    await pool.give_back(await pool.lease(small, user="u", project="p", grow=True), complete=True)
    assert engine.loads == ["a"]


async def test_what_a_wish_would_change(house: Callable[..., tuple[Pool, Engine]]) -> None:
    pool, _ = house({"a": GIB}, keep_alive=300.0)
    usual, large, small = (launch_plan(_model("a"), "generate", Settings(), context=context) for context in (None, 9000, 1000))
    assert [pool.changes(plan, usual, keep_alive=None) for plan in (usual, large, small)] == [False, True, True]
    assert [pool.changes(usual, usual, keep_alive=seconds) for seconds in (300.0, 0.0, -1.0)] == [False, True, True]
    await pool.give_back(await pool.lease(large, user="u", project="p", grow=True, keep_alive=60.0), complete=True)
    assert not any(pool.changes(plan, usual, keep_alive=None) for plan in (usual, large, small))
    assert [pool.changes(usual, usual, keep_alive=seconds) for seconds in (60.0, 300.0)] == [False, True]


async def test_a_load_without_an_end_is_given_up_and_not_tried_again_at_once(
    house: Callable[..., tuple[Pool, Engine]], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("hausgeist.serving.resident._LONG_LOAD", 0.1)
    pool, engine = house({"a": GIB}, load_timeout=0.2)
    engine.load_seconds = 60
    with pytest.raises(LoadFailed, match="not loaded within 0 s"):
        await pool.lease(_plan("a"), user="u", project="p")
    with pytest.raises(LoadFailed, match="not tried again"):
        await pool.lease(_plan("a"), user="u", project="p")
    assert engine.loads == ["a"]
    engine.load_seconds = 0.01
    await asyncio.sleep(0.5)
    await pool.give_back(await pool.lease(_plan("a"), user="u", project="p"), complete=True)


async def test_a_worker_that_hangs_is_ended_and_the_next_request_gets_a_fresh_one(house: Callable[..., tuple[Pool, Engine]]) -> None:
    pool, engine = house({"a": GIB}, stall=0.3)
    with subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE) as still:
        engine.pid = still.pid
        lease = await pool.lease(_plan("a"), user="u", project="p")
        lease.worker.hangs = True  # type: ignore[attr-defined]
        async with asyncio.timeout(5):
            while lease.worker.alive:
                await asyncio.sleep(0.02)
        still.kill()
    assert "has not answered" in lease.fault
    await pool.give_back(lease, complete=False)
    fresh = await pool.lease(_plan("a"), user="u", project="p")
    assert fresh.worker is not lease.worker
    await pool.give_back(fresh, complete=True)


async def test_a_crash_gets_a_fresh_worker_and_repeated_ones_a_pause(house: Callable[..., tuple[Pool, Engine]]) -> None:
    pool, engine = house({"a": GIB})
    for pause in (0.0, 0.0, 0.5):
        started = asyncio.get_running_loop().time()
        lease = await pool.lease(_plan("a"), user="u", project="p")
        assert asyncio.get_running_loop().time() - started >= pause * 0.9
        lease.worker.crash()  # type: ignore[attr-defined]
        await asyncio.sleep(0.02)
        await pool.give_back(lease, complete=False)
        assert pool.loaded() == []
    assert engine.loads == ["a", "a", "a"]


async def test_a_file_that_cannot_be_loaded_fails_all_who_wait(house: Callable[..., tuple[Pool, Engine]]) -> None:
    pool, engine = house({"a": GIB})
    engine.broken.add("a")
    results = await asyncio.gather(*(pool.lease(_plan("a"), user="u", project="p") for _ in range(3)), return_exceptions=True)
    assert all(isinstance(result, LoadFailed) for result in results)
    engine.broken.clear()
    await pool.give_back(await pool.lease(_plan("a"), user="u", project="p"), complete=True)


async def test_slots_left_early_come_back_when_the_engine_lets_go(house: Callable[..., tuple[Pool, Engine]]) -> None:
    pool, engine = house({"a": GIB})
    lease = await pool.lease(_plan("a", slots=1), user="u", project="p")
    lease.worker.busy.add(0)  # type: ignore[attr-defined]
    await pool.give_back(lease, complete=False)
    following = asyncio.create_task(pool.lease(_plan("a", slots=1), user="u", project="p"))
    await asyncio.sleep(0.15)
    assert not following.done()
    lease.worker.busy.clear()  # type: ignore[attr-defined]
    await pool.give_back(await asyncio.wait_for(following, 1), complete=True)


async def test_more_answers_than_slots_is_an_error_of_the_request(house: Callable[..., tuple[Pool, Engine]]) -> None:
    pool, engine = house({"a": GIB})
    with pytest.raises(InvalidRequest, match="side by side"):
        await pool.lease(_plan("a"), user="u", project="p", share=5)


async def test_draining_lets_nobody_in_and_waits_for_who_is_there(house: Callable[..., tuple[Pool, Engine]]) -> None:
    pool, engine = house({"a": GIB})
    lease = await pool.lease(_plan("a"), user="u", project="p")
    draining = asyncio.create_task(pool.drain(5))
    await asyncio.sleep(0.02)
    with pytest.raises(Unavailable):
        await pool.lease(_plan("a"), user="u", project="p")
    assert not draining.done()
    await pool.give_back(lease, complete=True)
    await asyncio.wait_for(draining, 1)


async def test_unloading_while_requests_wait_keeps_them(house: Callable[..., tuple[Pool, Engine]]) -> None:
    pool, engine = house({"a": GIB})
    running = await pool.lease(_plan("a", slots=1), user="u", project="p")
    waiting = asyncio.create_task(pool.lease(_plan("a", slots=1), user="u", project="p"))
    await asyncio.sleep(0.02)
    unloading = asyncio.create_task(pool.unload("a"))
    await asyncio.sleep(0.02)
    await pool.give_back(running, complete=True)
    assert await asyncio.wait_for(unloading, 1)
    await pool.give_back(await asyncio.wait_for(waiting, 1), complete=True)
    assert engine.loads == ["a", "a"]


async def test_a_request_that_is_given_up_while_its_model_loads_is_not_counted_as_running(house: Callable[..., tuple[Pool, Engine]]) -> None:
    pool, engine = house({"a": GIB})
    held = await pool.lease(_plan("a"), user="u", project="p")
    held.worker.crash()  # type: ignore[attr-defined]
    await asyncio.sleep(0.01)
    engine.load_seconds = 30
    waiting = asyncio.create_task(pool.lease(_plan("a"), user="v", project="p"))
    while len(engine.loads) < 2:
        await asyncio.sleep(0.01)
    await pool.give_back(held, complete=False)
    assert b'hausgeist_active_requests{model="a"} 1.0' in pool._metrics.render()
    waiting.cancel()
    await asyncio.gather(waiting, return_exceptions=True)
    assert b'hausgeist_active_requests{model="a"} 0.0' in pool._metrics.render()


async def test_whoever_is_forgotten_takes_the_workers_that_knew_them(house: Callable[..., tuple[Pool, Engine]]) -> None:
    pool, engine = house({"a": GIB, "b": GIB, "c": GIB})
    for name, user, project in (("a", "ada", "p"), ("a", "bob", "p"), ("b", "bob", "q"), ("c", "ada", "q")):
        await pool.give_back(await pool.lease(_plan(name), user=user, project=project), complete=True)
    assert await pool.forget(user="eve") == ([], [])
    assert await pool.forget(user="bob", project="q") == (["b"], [])
    assert sorted(one.model.id for one in pool.loaded()) == ["a", "c"]
    # A fresh worker has seen nobody.
    await pool.give_back(await pool.lease(_plan("b"), user="ada", project="q"), complete=True)
    assert await pool.forget(user="bob") == (["a"], [])
    assert sorted((await pool.forget(project="q"))[0]) == ["b", "c"]
    assert pool.loaded() == []
    assert engine.resident == set()


async def test_forgetting_waits_for_those_who_are_answered(house: Callable[..., tuple[Pool, Engine]]) -> None:
    pool, engine = house({"a": GIB})
    lease = await pool.lease(_plan("a"), user="ada", project="p")
    assert await pool.forget(user="ada", patience=0.05) == ([], ["a"])
    assert len(engine.resident) == 1, "an answer is not cut off"
    waiting = asyncio.create_task(pool.lease(_plan("a"), user="bob", project="p"))
    await pool.give_back(lease, complete=True)
    second = await asyncio.wait_for(waiting, 5)
    assert engine.loads == ["a", "a"], "who came later is answered by a worker that knows nothing"
    await pool.give_back(second, complete=True)
    assert await pool.forget(user="ada") == ([], [])
