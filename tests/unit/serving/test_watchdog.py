"""A worker is ended when it hangs, sticks or takes too much, and left alone when it works, however long it says nothing."""

import asyncio
import itertools
from collections.abc import Sequence
from dataclasses import dataclass, field, replace

import pytest

from hausgeist.engines import Operation, Reply, SlotState, WorkerGone
from hausgeist.errors import EngineFailed
from hausgeist.model import Footprint, InstalledModel, LaunchPlan
from hausgeist.serving.admission import Admission
from hausgeist.serving.resident import Lease, Resident
from hausgeist.serving.slots import SlotTable
from hausgeist.serving.watchdog import Watchdog

STALL = 0.3
GIB = 2**30
PLAN = LaunchPlan(model=InstalledModel(id="m", engine="test", path=None, digest="", modified=0.0), task="generate", context=100, slots=2, memory=GIB)


@dataclass(eq=False)
class Worker:
    plan: LaunchPlan = PLAN
    pid: int | None = 1
    private_fields: bool = True
    alive: bool = True
    silent: bool = False
    busy: set[int] = field(default_factory=set)
    taken: int = 0
    asked: asyncio.Event = field(default_factory=asyncio.Event)
    gone: asyncio.Event = field(default_factory=asyncio.Event)

    async def call(self, operation: Operation, body: bytes) -> Reply:
        self.asked.set()
        await self.gone.wait()
        raise WorkerGone

    async def slots(self) -> Sequence[SlotState]:
        if self.silent:
            await asyncio.Event().wait()
        return [SlotState(number, number in self.busy) for number in range(self.plan.slots)]

    def measured(self) -> Footprint:
        return Footprint(host=self.taken, parts={"anonymous": self.taken})

    async def wait(self) -> str:
        await self.gone.wait()
        return ""

    async def close(self, *, patience: float = 3.0) -> None:
        self.gone.set()


@dataclass(eq=False)
class House:
    worker: Worker
    resident: Resident
    working: bool = False
    _clock: "itertools.count[int]" = field(default_factory=itertools.count)

    def watchdog(self) -> Watchdog:
        return Watchdog(self.resident, self.worker, stall=STALL, effort=lambda _: float(next(self._clock)) if self.working else 0.0)

    def lease(self, share: int = 1) -> Lease:
        return Lease(self.resident, self.worker, user="u", project="p", prefix=(), share=share, load_ms=0.0)


@pytest.fixture
async def house() -> House:
    resident = Resident(PLAN, Admission(2, 10), 300.0)
    resident.slots = SlotTable(2)
    return House(Worker(), resident)


async def _verdict(house: House, seconds: float) -> str | None:
    """`None`: it had nothing to say for so long."""
    try:
        async with asyncio.timeout(seconds):
            return await house.watchdog().verdict()
    except TimeoutError:
        return None


async def test_a_worker_that_neither_answers_nor_works_hangs(house: House) -> None:
    house.worker.silent = True
    lease = house.lease()
    assert "has not answered" in (await _verdict(house, STALL * 5) or "")
    assert "has not answered" in lease.fault


async def test_one_that_works_is_busy_but_not_for_ever(house: House) -> None:
    house.worker.silent = house.working = True
    assert await _verdict(house, STALL * 5) is None
    assert "has not answered" in (await _verdict(house, STALL * 15) or "")


async def test_one_that_idles_is_well(house: House) -> None:
    house.lease()  # of a client that reads slowly what the engine said long ago
    assert await _verdict(house, STALL * 3) is None


@pytest.mark.parametrize("operation", ["chat", "embeddings", "count_chat"])
async def test_a_question_that_no_slot_takes_up_costs_only_itself(house: House, operation: Operation) -> None:
    stuck, other = house.lease(), house.lease()
    question = asyncio.create_task(stuck.call(operation, b""))
    assert "did not begin" in (await _verdict(house, STALL * 5) or "")
    assert not other.fault, "it may be asked again of a fresh worker"
    await house.worker.close()
    with pytest.raises(EngineFailed, match="did not begin"):
        await question


@pytest.mark.parametrize(("operation", "share", "busy"), [("chat", 1, {0}), ("chat", 2, {1}), ("embeddings", 1, {1})])
async def test_a_long_answer_is_none_of_them(house: House, operation: Operation, share: int, busy: set[int]) -> None:
    question = asyncio.create_task(house.lease(share).call(operation, b""))
    house.worker.busy = busy
    assert await _verdict(house, STALL * 3) is None
    question.cancel()


async def test_questions_that_follow_each_other_are_not_one_long_one(house: House) -> None:
    lease = house.lease()

    async def ask() -> None:
        while True:
            question = asyncio.create_task(lease.call("tokenize", b""))
            await asyncio.sleep(STALL / 2)
            question.cancel()
            await asyncio.sleep(STALL / 5)

    asking = asyncio.create_task(ask())
    assert await _verdict(house, STALL * 4) is None
    asking.cancel()


async def test_one_that_works_for_nobody(house: House) -> None:
    house.working = True
    house.worker.busy = {1}
    assert await _verdict(house, STALL * 3) is None
    house.worker.busy = set()
    house.lease()  # of a client that reads slowly what the engine said long ago
    assert "for nobody" in (await _verdict(house, STALL * 5) or "")


async def test_memory_beyond_what_was_promised(house: House) -> None:
    lease = house.lease()
    house.worker.taken = GIB
    assert await _verdict(house, 0.7) is None
    house.worker.taken = GIB + 1
    assert "1.0 GiB of memory" in (await _verdict(house, 5) or "")
    assert lease.fault


async def test_only_processes_of_ours_are_watched(house: House) -> None:
    house.worker.pid, house.worker.silent = None, True
    house.worker.plan = replace(PLAN, memory=None)
    assert await _verdict(house, STALL * 3) is None


async def test_one_that_lives_and_does_not_answer_has_let_go_of_nothing(house: House) -> None:
    async def refuse() -> Sequence[SlotState]:
        raise WorkerGone

    house.worker.slots = refuse  # type: ignore[method-assign]
    lease = house.lease()
    assert await lease.busy() == (True, 0.0)
    house.worker.alive = False
    assert await lease.busy() == (False, 0.0)
