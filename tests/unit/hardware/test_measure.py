"""Measuring the machine once, and remembering it. What is measured here is small: the figures mean nothing."""

from __future__ import annotations

import json
import multiprocessing
import os
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from hausgeist.hardware import measure, rounds
from hausgeist.hardware.capacity import Memory
from hausgeist.hardware.kept import keep, place
from hausgeist.hardware.measure import Machine, Measured, measured, remembered
from hausgeist.hardware.rate import Rate
from tests.unit.hardware.trees import tree

MIB = 1 << 20


def found(at: float | None = None, best: float = 25.0, busy: float = 0.0) -> Measured:
    of = measure.machine()
    rates = {"memory": Rate((20.0, best, 24.0)), "matrix": Rate((150.0, 151.0, 149.0))}
    return Measured(**rates, machine=of, read_bytes=256 * MIB, cache_bytes=0, at=time.time() if at is None else at, busy=busy)


@pytest.fixture
def runs(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """One entry for each time that it is measured."""
    made: list[int] = []

    def fake(of: Machine, held: Memory) -> Measured:
        made.append(1)
        return found()

    monkeypatch.setattr(measure, "_measure", fake)
    return made


def test_the_best_round_counts_and_the_middle_one_tells_the_noise() -> None:
    rate = Rate.of([20.00049, 25, 24])
    assert rate == Rate((20.0, 25.0, 24.0))
    assert (rate.best, rate.usual) == (25.0, 24.0)
    assert rate.spread == pytest.approx(0.04)
    assert Rate((5.0,)).spread == 0.0


def test_measured_once_and_remembered(tmp_path: Path, runs: list[int]) -> None:
    folder = tmp_path / "not" / "there yet"
    assert remembered(folder) is None
    first = measured(folder)
    assert first is not None
    assert first.memory.best == 25.0
    assert measured(folder) == remembered(folder) == first
    assert len(runs) == 1
    assert measured(folder, anew=True) != first
    assert len(runs) == 2
    assert not list(folder.glob("*.new"))


def test_of_another_machine_nothing_is_remembered(tmp_path: Path, runs: list[int]) -> None:
    measured(tmp_path)
    of = measure.machine()
    for other in (replace(of, processor="AMD"), replace(of, cores=of.cores + 1), replace(of, memory_bytes=1 << 30), replace(of, method=0)):
        assert remembered(tmp_path, other) is None
    # Not even where the names of the files are the same.
    (file,) = tmp_path.glob("machine-*.json")
    content = json.loads(file.read_text())
    content["machine"]["processor"] = "AMD"
    file.write_text(json.dumps(content))
    assert remembered(tmp_path) is None
    assert measured(tmp_path) == remembered(tmp_path)
    assert len(runs) == 2


@pytest.mark.parametrize("best", [30.0, 12.0])
def test_what_was_disturbed_is_tried_again_later(tmp_path: Path, runs: list[int], best: float) -> None:
    path = place(tmp_path, "machine", measure.machine())
    keep(path, found(time.time() - 60, best, busy=0.5))
    now = measured(tmp_path)
    assert now is not None
    assert now.disturbed
    assert not runs, "not at once"
    keep(path, found(time.time() - 3600, best, busy=0.5))
    assert remembered(tmp_path) is not None, "better than nothing"
    now = measured(tmp_path)
    assert now is not None
    assert now.memory.best == 25.0, "measured undisturbed"
    assert len(runs) == 1


def test_of_two_disturbed_ones_the_better_is_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for before, after, kept in ((30.0, 20.0, 30.0), (20.0, 30.0, 30.0)):
        keep(place(tmp_path, "machine", measure.machine()), found(time.time() - 3600, before + 10, busy=0.5))
        monkeypatch.setattr(measure, "_measure", lambda of, held, after=after: found(None, after + 10, busy=0.6))
        now = measured(tmp_path)
        assert now is not None
        assert now.memory.best == kept + 10
        assert time.time() - now.at < 60
        assert measured(tmp_path) == now


@pytest.mark.parametrize("age", [31 * 86400, -3600])
def test_what_is_old_or_from_the_future_is_measured_anew(tmp_path: Path, runs: list[int], age: int) -> None:
    keep(place(tmp_path, "machine", measure.machine()), found(time.time() - age))
    assert remembered(tmp_path) is None
    assert measured(tmp_path) is not None
    assert len(runs) == 1


def empty(content: dict[str, object]) -> None:
    content["memory"] = {"rounds": []}


def wordy(content: dict[str, object]) -> None:
    content["matrix"] = {"rounds": ["fast"]}


def negative(content: dict[str, object]) -> None:
    content["memory"] = {"rounds": [-1.0]}


def longer(content: dict[str, object]) -> None:
    content["machine"] = {"processor": "x", "cores": 1, "memory_bytes": 1, "method": 1, "more": 1}


def short(content: dict[str, object]) -> None:
    del content["at"]


@pytest.mark.parametrize("damage", [empty, wordy, negative, longer, short])
def test_a_damaged_file_is_measured_anew(tmp_path: Path, runs: list[int], damage: Callable[[dict[str, object]], None]) -> None:
    measured(tmp_path)
    (file,) = tmp_path.glob("machine-*.json")
    content = json.loads(file.read_text())
    damage(content)
    file.write_text(json.dumps(content))
    assert remembered(tmp_path) is None
    assert measured(tmp_path) is not None
    assert len(runs) == 2
    for text in ("", "{", "[]", "null", file.read_text()[:40], "\0" * 100):
        file.write_text(text)
        assert remembered(tmp_path) is None


def test_a_folder_that_cannot_be_written_is_no_obstacle(tmp_path: Path, runs: list[int]) -> None:
    (tmp_path / "file").write_text("")
    assert measured(tmp_path / "file" / "below") is not None
    assert len(runs) == 1


def _one_of_many(folder: str, start: float) -> int:
    made = 0

    def fake(of: Machine, held: Memory) -> Measured:
        nonlocal made
        made += 1
        time.sleep(0.3)
        return found()

    measure._measure = fake  # type: ignore[assignment]
    time.sleep(max(0.0, start - time.time()))
    assert measured(Path(folder)) is not None
    return made


@pytest.mark.skipif(sys.platform == "win32", reason="the test's own way to start processes")
def test_of_several_processes_one_measures(tmp_path: Path) -> None:
    with multiprocessing.get_context("spawn").Pool(3) as pool:
        made = pool.starmap(_one_of_many, [(str(tmp_path), time.time() + 2.0)] * 3)
    assert sum(made) == 1


def test_what_cannot_be_measured_is_not_remembered(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(measure, "_measure", lambda of, held: None)
    assert measured(tmp_path) is None
    assert not list(tmp_path.glob("machine-*.json"))


def test_little_memory_is_left_alone() -> None:
    assert measure._measure(measure.machine(), Memory(1 << 30, 100 * MIB)) is None


@pytest.mark.parametrize(
    "answer", ["", "{}", '{"memory": [], "matrix": []}', '{"memory": [0], "matrix": [1]}', "exit 1", '{"memory": 1, "matrix": 2}']
)
def test_an_answer_that_is_none(tmp_path: Path, answer: str) -> None:
    python = tmp_path / "python"
    python.write_text(f"#!/bin/sh\n{answer}\n" if answer == "exit 1" else f"#!/bin/sh\necho '{answer}'\n")
    python.chmod(0o755)
    assert measure._measure(measure.machine(), Memory(8 << 30, 4 << 30), str(python)) is None
    assert measure._measure(measure.machine(), Memory(8 << 30, 4 << 30), str(tmp_path / "nowhere")) is None


def test_how_much_is_read_and_with_how_many_threads(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    python = tmp_path / "python"
    answer = json.dumps({"memory": [10, 20.00001], "matrix": [100], "bytes": 77, "busy": 0.25})
    python.write_text(f"#!/bin/sh\necho $@ $OPENBLAS_NUM_THREADS > {tmp_path}/asked\necho '{answer}'\n")
    python.chmod(0o755)
    of = Machine(processor="x", cores=3, memory_bytes=8 << 30)
    for caches, available, expected in (
        (0, 64 << 30, 256 * MIB),
        (100 * MIB, 64 << 30, 400 * MIB),
        (1 << 30, 64 << 30, 2 << 30),
        (0, 400 * MIB, 100 * MIB),
    ):
        monkeypatch.setattr(measure, "_last_caches", lambda caches=caches: caches)
        told = measure._measure(of, Memory(64 << 30, available), str(python))
        assert told is not None
        assert (told.read_bytes, told.cache_bytes, told.machine, told.memory, told.busy) == (77, caches, of, Rate((10.0, 20.0)), 0.25)
        assert (tmp_path / "asked").read_text().split() == ["-P", "-m", "hausgeist.hardware.rounds", "3", str(expected), "3"]


def test_last_caches_are_counted_once_each(tmp_path: Path) -> None:
    assert measure._last_caches(tmp_path) == 0
    files: dict[str, object] = {}
    for core in range(4):
        group = "0-1" if core < 2 else "2-3"
        for index, (level, size, shared) in enumerate(((1, "32K", core), (1, "32K", core), (2, "1024K", core), (3, "32768K", group))):
            files |= {f"sys/devices/system/cpu/cpu{core}/cache/index{index}/{name}": value for name, value in _index(level, size, shared)}
    assert measure._last_caches(tree(tmp_path, files)) == 2 * 32768 << 10


def _index(level: int, size: str, shared: object) -> list[tuple[str, object]]:
    return [("level", level), ("size", size), ("shared_cpu_list", shared)]


def test_numpy_is_loaded_by_none_but_the_rounds() -> None:
    code = "import sys, hausgeist.hardware, hausgeist.hardware.measure, hausgeist.hardware.rounds; sys.exit('numpy' in sys.modules)"
    subprocess.run([sys.executable, "-c", code], check=True, timeout=60, env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)})


def test_rounds_of_reading() -> None:
    speeds, read = rounds.memory(2, 4 * MIB, seconds=0.01)
    assert read == 4 * MIB
    assert 3 <= len(speeds) <= 20
    assert all(0.01 < speed < 100_000 for speed in speeds)
    assert len(rounds.memory(8, 100, seconds=0.0)[0]) == 3, "more threads than there is to do"


def test_where_memory_comes_slowly_less_is_read(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rounds, "_FILL_SECONDS", 0.0)
    monkeypatch.setattr(rounds, "_ENOUGH", 2 * MIB)
    monkeypatch.setattr(rounds, "_CHUNK", MIB)
    speeds, read = rounds.memory(1, 16 * MIB, seconds=0.01)
    assert read == 2 * MIB
    assert all(0.01 < speed < 100_000 for speed in speeds)


def test_rounds_of_matrices() -> None:
    speeds = rounds.matrix(seconds=0.01)
    assert 4 <= len(speeds) <= 21
    assert all(0.01 < speed < 1_000_000 for speed in speeds)


@pytest.mark.skipif(sys.platform == "win32", reason="paths as Linux has them")
def test_for_real(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """By the program that is run, with little to read."""
    monkeypatch.setattr(measure, "_SMALL", 32 * MIB)
    monkeypatch.setattr(measure, "_last_caches", lambda: 0)
    monkeypatch.chdir(tmp_path)
    (tmp_path / "json.py").write_text("raise SystemExit('read from the current folder')")
    told = measured(tmp_path / "home")
    assert told is not None
    assert told.read_bytes == 32 * MIB
    assert told.matrix.best > 0 < told.memory.best
    assert remembered(tmp_path / "home") == told
    assert os.listdir(tmp_path / "home")
