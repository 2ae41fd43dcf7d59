"""What is remembered of the memory, and how it is told."""

from __future__ import annotations

import asyncio
import itertools
import threading
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any, cast

from hausgeist.hardware import Cpu, Device, Memory, occupied
from hausgeist.serving.machine import STEP, Machine, Sample
from hausgeist.serving.pool import Pool


class Empty:
    """A pool with nothing in it."""

    def residents(self) -> list[Any]:
        return []


def machine(home: Path, devices: Sequence[Device] = ()) -> Machine:
    pool, processor = cast("Pool", Empty()), Cpu("Testium", 2, 4, ())
    return Machine(home=home, pool=pool, probe=lambda: Memory(1000, 400), devices=lambda: devices, cpu=lambda: processor)


async def test_a_long_history_is_told_in_larger_steps_with_the_most_of_each(tmp_path: Path) -> None:
    one = machine(tmp_path)
    day = 8640
    for number in range(day + 100):
        one._samples.append(Sample(1_000_000 + number * STEP, number % 6, 0, 1))
    step, samples = one.history()
    assert step == 60
    assert 1440 <= len(samples) <= 1441
    assert {sample.used for sample in samples[1:-1]} == {5}
    assert all(after.at - before.at == step for before, after in itertools.pairwise(samples))
    step, samples = one.history(1_000_000 + (day + 99 - 10) * STEP)
    assert (step, len(samples)) == (STEP, 10)


async def test_it_remembers_from_the_start_on(tmp_path: Path) -> None:
    one = machine(tmp_path)
    one.start()
    await asyncio.sleep(0)
    ((at, used, models, server),) = one.history()[1]
    assert abs(at - time.time()) < 10
    assert (used, models) == (600, 0)
    assert server > 2**20
    await one.stop()


async def test_a_system_that_does_not_tell_stops_nothing(tmp_path: Path) -> None:
    one = machine(tmp_path)

    def fail() -> Memory:
        raise OSError("gone")

    one._probe = fail
    one.start()
    await asyncio.sleep(0)
    assert one.history()[1] == []
    assert one._sampling is not None
    assert not one._sampling.done()
    await one.stop()


async def test_many_who_ask_at_once_are_told_of_one_look(tmp_path: Path) -> None:
    looks = []

    def look() -> Sequence[Device]:
        looks.append(1)
        time.sleep(0.05)
        return [Device(0, "Card", "cuda", 8, 4)]

    one = Machine(home=tmp_path, pool=cast("Pool", Empty()), probe=lambda: Memory(1000, 400), devices=look, cpu=lambda: Cpu("", 1, 1, ()))
    told = await asyncio.gather(*(one.seen() for _ in range(20)))
    assert len(looks) == 1
    assert all(seen.devices[0].name == "Card" for seen in told)
    await one.stop()


async def test_looking_is_cheap(tmp_path: Path) -> None:
    one = Machine(home=tmp_path, pool=cast("Pool", Empty()))
    one.sample()
    took = []
    for _ in range(20):
        began = time.perf_counter()
        one.sample()
        took.append(time.perf_counter() - began)
    assert min(took) < 0.002


def test_what_a_folder_takes(tmp_path: Path) -> None:
    (tmp_path / "deep" / "er").mkdir(parents=True)
    (tmp_path / "deep" / "er" / "file").write_bytes(b"x" * 100_000)
    with (tmp_path / "begun").open("wb") as file:
        file.truncate(2**30)
    (tmp_path / "loop").symlink_to(tmp_path)
    assert 100_000 <= occupied(tmp_path) < 1_000_000
    assert occupied(tmp_path / "nowhere") == 0
    leave = threading.Event()
    leave.set()
    assert occupied(tmp_path, leave) == 0
