"""The queue: order, retries, cancelling, leases, coalescing."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Connection

from hausgeist.errors import HausgeistError, InvalidRequest, NotFound, Unavailable
from hausgeist.store import records
from hausgeist.store.database import Database
from hausgeist.store.jobs import Handler, Jobs, Task
from hausgeist.store.writer import driver_of


@pytest.fixture
async def database(tmp_path: Path) -> AsyncIterator[Database]:
    database = Database.open(tmp_path)
    yield database
    database.close()


@asynccontextmanager
async def running(database: Database, handlers: Mapping[str, Handler], **options: Any) -> AsyncIterator[Jobs]:
    jobs = Jobs(database, **{"poll": 0.05, "pause": 0.02, **options})
    for kind, handler in handlers.items():
        jobs.register(kind, handler)
    await jobs.start()
    try:
        yield jobs
    finally:
        await jobs.stop()


async def forever(task: Task) -> None:
    await asyncio.sleep(60)


async def until(jobs: Jobs, job: str, status: str) -> None:
    async with asyncio.timeout(10):
        while jobs.get(job).status != status:
            await asyncio.sleep(0.01)


async def test_what_is_done_in_its_own_transaction_stays_done_when_everything_stops(database: Database, caplog: pytest.LogCaptureFixture) -> None:
    written = asyncio.Event()

    async def work(task: Task) -> None:
        await database.write(lambda connection: jobs.done_within(connection, [task]))
        written.set()
        await asyncio.sleep(60)  # stopped before it can say so

    async with running(database, {"work": work}) as jobs:
        job = await jobs.enqueue("work", {})
        await asyncio.wait_for(written.wait(), 10)
    assert jobs.get(job).status == "done"
    assert not caplog.records


async def test_result_and_progress(database: Database) -> None:
    async def work(task: Task) -> dict[str, Any]:
        await task.progress(1, 4, "reading")
        await task.progress(2, 4, "too soon to be written")
        await task.progress(4, 4, "done")
        return {"echo": task.payload["n"]}

    async with running(database, {"work": work}) as jobs:
        job = await jobs.wait(await jobs.enqueue("work", {"n": 7}), timeout=10)
        assert job.status == "done"
        assert job.result == {"echo": 7}
        assert (job.done, job.total, job.message) == (4, 4, "done")
        assert job.attempts == 1
        assert job.started is not None
        assert [other.id for other in jobs.list(kind="work", statuses=["done"])] == [job.id]
        assert jobs.list(kind="other") == []
    with pytest.raises(NotFound):
        jobs.get("job_none")


async def test_higher_priority_first_then_first_come(database: Database) -> None:
    order: list[int] = []

    async def work(task: Task) -> None:
        order.append(task.payload["n"])

    jobs = Jobs(database, at_once=1, poll=0.05)
    jobs.register("work", work)
    ids = [await jobs.enqueue("work", {"n": n}, priority=priority) for n, priority in enumerate([0, 0, 5, -1, 5])]
    await jobs.start()
    for job in ids:
        await jobs.wait(job, timeout=10)
    await jobs.stop()
    assert order == [2, 4, 0, 1, 3]


async def test_failures_are_tried_again_with_growing_pauses(database: Database) -> None:
    times: list[float] = []

    async def work(task: Task) -> dict[str, Any]:
        times.append(time.monotonic())
        if len(times) < 4:
            raise Unavailable("the source is away")
        return {}

    async with running(database, {"work": work}, pause=0.1) as jobs:
        job = await jobs.wait(await jobs.enqueue("work", {}), timeout=20)
    assert (job.status, job.attempts) == ("done", 4)
    assert times[3] - times[2] > 0.25


@pytest.mark.parametrize(
    ("error", "attempts", "text"),
    [
        (Unavailable("away"), 3, "away"),
        (InvalidRequest("never"), 1, "never"),
        (ValueError("secret value"), 3, "ValueError; the log has the details."),
    ],
)
async def test_giving_up(database: Database, error: Exception, attempts: int, text: str) -> None:
    async def work(task: Task) -> None:
        raise error

    async with running(database, {"work": work}) as jobs:
        job = await jobs.wait(await jobs.enqueue("work", {}, max_attempts=3), timeout=10)
    assert (job.status, job.attempts, job.error) == ("failed", attempts, text)


async def test_one_key_one_job(database: Database) -> None:
    jobs = Jobs(database)
    ids = await asyncio.gather(*(jobs.enqueue("pull", {"n": n}, key="gemma3:4b") for n in range(20)))
    assert len(set(ids)) == 1
    assert await jobs.enqueue("pull", {}, key="other") != ids[0]
    assert await jobs.enqueue("push", {}, key="gemma3:4b") != ids[0]
    await jobs.cancel(ids[0])
    assert await jobs.enqueue("pull", {}, key="gemma3:4b") != ids[0]


async def test_cancel_waiting_running_and_finished(database: Database) -> None:
    seen: list[Task] = []

    async def work(task: Task) -> None:
        seen.append(task)
        await asyncio.sleep(60 if task.payload.get("hang") else 0)

    async with running(database, {"work": work}) as jobs:
        waiting = await jobs.enqueue("work", {}, delay=60)
        assert (await jobs.cancel(waiting)).status == "cancelled"
        hanging = await jobs.enqueue("work", {"hang": True})
        await until(jobs, hanging, "running")
        await jobs.cancel(hanging)
        assert (await jobs.wait(hanging, timeout=5)).status == "cancelled"
        assert seen[0].cancelled
        done = await jobs.enqueue("work", {})
        await jobs.wait(done, timeout=5)
        assert (await jobs.cancel(done)).status == "done"
    assert len(seen) == 2


async def test_cancel_from_another_process(database: Database) -> None:
    async with running(database, {"work": forever}) as jobs:
        job = await jobs.enqueue("work", {})
        await until(jobs, job, "running")
        elsewhere = Jobs(database)
        assert (await elsewhere.cancel(job)).cancelling
        assert (await jobs.wait(job, timeout=5)).status == "cancelled"


async def test_stopping_puts_jobs_back(database: Database) -> None:
    async with running(database, {"work": forever}) as jobs:
        job = await jobs.enqueue("work", {})
        await until(jobs, job, "running")
    assert (jobs.get(job).status, jobs.get(job).attempts) == ("queued", 0)

    async def quick(task: Task) -> None:
        pass

    async with running(database, {"work": quick}) as jobs:
        assert (await jobs.wait(job, timeout=5)).status == "done"


async def test_a_handler_that_is_cancelled_by_something_else_has_failed(database: Database) -> None:
    async def work(task: Task) -> None:
        raise asyncio.CancelledError

    async with running(database, {"work": work}) as jobs:
        job = await jobs.wait(await jobs.enqueue("work", {}, max_attempts=2), timeout=5)
    assert (job.status, job.attempts) == ("failed", 2)


async def test_leases_are_renewed_while_a_job_runs(database: Database) -> None:
    runs = 0

    async def work(task: Task) -> None:
        nonlocal runs
        runs += 1
        await asyncio.sleep(1.2)

    async with running(database, {"work": work}, lease=0.4), running(database, {"work": work}, lease=0.4) as jobs:
        job = await jobs.wait(await jobs.enqueue("work", {}), timeout=10)
    assert (job.status, runs) == ("done", 1)


async def test_a_lease_that_ran_out_is_taken_over_and_the_old_runner_changes_nothing(database: Database) -> None:
    jobs = Jobs(database)
    job = await jobs.enqueue("work", {})
    claim = lambda worker, until: database.write(lambda c: records.claim(c, kinds=["work"], worker=worker, until=until))  # noqa: E731
    assert [one.id for one in await claim("slow", time.time() + 60)] == [job]
    assert await claim("other", time.time() + 60) == []
    await database.write(lambda c: records.expire(c, ["slow"]))
    (taken,) = await claim("other", time.time() + 60)
    assert taken.attempts == 2
    assert taken == jobs.get(job)
    assert not await database.write(lambda c: records.finish(c, job, "slow", "done"))
    assert await database.write(lambda c: records.renew(c, ids=[job], worker="slow", until=0)) == set()
    assert jobs.get(job).status == "running"
    assert await database.write(lambda c: records.finish(c, job, "other", "done"))


async def test_several_are_taken_at_once_in_their_order_and_one_that_is_asked_to_stop_is_not(database: Database) -> None:
    jobs = Jobs(database)
    ids = [await jobs.enqueue("work", {"n": n}, priority=n % 2) for n in range(6)]
    await jobs.cancel(ids[3])
    claim = lambda: database.write(lambda c: records.claim(c, kinds=["work"], worker="w", until=time.time() + 60, most=3))  # noqa: E731
    assert [one.payload["n"] for one in await claim()] == [1, 5, 0]
    assert [one.payload["n"] for one in await claim()] == [2, 4]
    assert {jobs.get(one).status for one in ids if one != ids[3]} == {"running"}


async def test_what_a_dead_runner_left_and_what_waits_are_taken_in_one_order(database: Database) -> None:
    jobs = Jobs(database)
    for n, priority in enumerate((0, 2, 1, 2)):
        await jobs.enqueue("work", {"n": n}, priority=priority)
    claim = lambda most, until=0.0: database.write(lambda c: records.claim(c, kinds=["work"], worker="w", until=until, most=most))  # noqa: E731
    assert [one.payload["n"] for one in await claim(2)] == [1, 3]
    await jobs.enqueue("work", {"n": 4}, priority=2)
    await jobs.enqueue("work", {"n": 5}, priority=3)
    assert [one.payload["n"] for one in await claim(9, time.time() + 60)] == [5, 1, 3, 4, 2, 0]
    assert await claim(9) == []
    assert not database.read(lambda c: records.is_due(c, ["work"]))


async def test_of_many_that_wait_the_first_are_found_along_an_index(database: Database) -> None:
    def plan(connection: Connection) -> dict[str, str]:
        asked = {"kinds": "[]", "keys": "[]", "kind": "work", "now": 0, "most": 1}
        steps = {text: driver_of(connection).execute(f"EXPLAIN QUERY PLAN {text}", asked) for text in (records._NEXT, records._SAME)}
        return {text: "; ".join(step[3] for step in found) for text, found in steps.items()}

    found = database.read(plan)
    assert "jobs_active_key (kind=? AND key=?)" in found[records._SAME]
    assert found[records._NEXT].count("SEARCH jobs USING INDEX jobs_waiting") == 2
    # The few that were found, at the end; all that wait would have to be read for it.
    assert found[records._NEXT].count("B-TREE FOR ORDER BY") == 1


async def test_a_job_that_kills_its_process_every_time_is_given_up(database: Database) -> None:
    jobs = Jobs(database)
    job = await jobs.enqueue("work", {}, max_attempts=3)
    for _ in range(3):
        assert len(await database.write(lambda c: records.claim(c, kinds=["work"], worker="w", until=0))) == 1
    assert await database.write(lambda c: records.claim(c, kinds=["work"], worker="w", until=0)) == []
    assert jobs.get(job).status == "failed"
    assert "killed, 3 times" in (jobs.get(job).error or "")


async def test_only_kinds_with_a_handler_are_taken(database: Database) -> None:
    async with running(database, {"mine": forever}) as jobs:
        other = await jobs.enqueue("theirs", {})
        await until(jobs, await jobs.enqueue("mine", {}), "running")
        assert jobs.get(other).status == "queued"


async def test_old_jobs_are_forgotten(database: Database) -> None:
    async def quick(task: Task) -> None:
        pass

    async with running(database, {"work": quick}) as jobs:
        old = await jobs.enqueue("work", {})
        await jobs.wait(old, timeout=5)
        waiting = await jobs.enqueue("work", {}, delay=60)
    async with running(database, {}, keep=0.0) as jobs:
        async with asyncio.timeout(5):
            while any(job.id == old for job in jobs.list()):
                await asyncio.sleep(0.02)
        assert jobs.get(waiting).status == "queued"


async def test_messages_are_kept_short_and_bad_options_refused(database: Database) -> None:
    async def work(task: Task) -> None:
        raise HausgeistError("x" * 100_000)

    async with running(database, {"work": work}) as jobs:
        job = await jobs.wait(await jobs.enqueue("work", {}, max_attempts=1), timeout=5)
        assert len(job.error or "") < 5000
        with pytest.raises(InvalidRequest):
            await jobs.enqueue("work", {}, max_attempts=0)
        with pytest.raises(ValueError, match="handler already"):
            jobs.register("work", work)


async def test_who_rests_makes_room_for_others_and_all_are_done_in_one_go(database: Database) -> None:
    begun: list[int] = []
    gate = asyncio.Event()

    async def work(task: Task) -> None:
        begun.append(task.payload["n"])
        task.rest()
        task.rest()
        await gate.wait()

    async with running(database, {"work": work}, at_once=2, resting=3) as jobs:
        await database.write(lambda c: jobs.add_all(c, "work", [(str(n), {"n": n}, -n) for n in range(8)]))
        jobs.wake()
        async with asyncio.timeout(10):
            while len(begun) < 5:
                await asyncio.sleep(0.01)
        await asyncio.sleep(0.15)
        assert begun == [0, 1, 2, 3, 4]
        gate.set()
        for job in jobs.list(limit=20):
            assert (await jobs.wait(job.id, timeout=10)).status == "done"
        assert begun == list(range(8))


async def test_many_are_added_once(database: Database) -> None:
    jobs = Jobs(database)
    first = await jobs.enqueue("work", {"n": -1}, key="2")
    await database.write(lambda c: jobs.add_all(c, "work", [(str(n % 600), {"n": n}, n) for n in range(1200)]))
    found = jobs.list(limit=2000)
    assert len(found) == 600
    assert jobs.get(first).payload == {"n": -1}
    assert {job.priority for job in found if job.key == "7"} == {607}
    await database.write(lambda c: jobs.add_all(c, "work", [("7", {}, 0)]))
    assert len(jobs.list(limit=2000)) == 600
    with pytest.raises(InvalidRequest):
        await database.write(lambda c: jobs.add_all(c, "work", [("x", {}, 0)], max_attempts=0))


async def test_what_another_took_over_is_not_called_done(database: Database) -> None:
    jobs = Jobs(database)
    ids = [await jobs.enqueue("work", {"n": n}) for n in range(3)]
    await database.write(lambda c: records.claim(c, kinds=["work"], worker="w", until=0, most=2))
    await database.write(lambda c: records.claim(c, kinds=["work"], worker="other", until=time.time() + 60, most=1))
    assert await database.write(lambda c: records.finish_all(c, ids, "w")) == 1
    assert sorted(jobs.get(one).status for one in ids) == ["done", "queued", "running"]
