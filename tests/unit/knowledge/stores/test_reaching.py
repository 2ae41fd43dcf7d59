"""On the way to the indexes: what is written waits for what is on its way to the same store, and for nothing else."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from hausgeist.identity import LOCAL_OWNER as WHO
from hausgeist.knowledge.parsed import Parsed
from hausgeist.knowledge.stores import ingest, reaching
from hausgeist.knowledge.stores.values import Attachment
from tests.small_knowledge import Bench, ExactWords, PlainParser


@pytest.fixture
def commits(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """How many passages the index of words had gained with each commit."""
    gained: list[int] = []
    commit = ExactWords.commit

    def counted(self: ExactWords, mark: int) -> None:
        gained.append(len(self.rows) - len(self.shown))
        commit(self, mark)

    monkeypatch.setattr(ExactWords, "commit", counted)
    return gained


class Gated(PlainParser):
    """Reads "slow.txt" when it may."""

    def __init__(self) -> None:
        super().__init__()
        self.gate = asyncio.Event()

    async def parse(self, path: Path, filename: str, *, progress: Callable[[int, int], None] | None = None) -> Parsed:
        if filename == "slow.txt":
            await self.gate.wait()
        return await super().parse(path, filename, progress=progress)


async def many(bench: Bench, count: int) -> list[Attachment]:
    return [Attachment(file=await bench.bring(f"Number {n} about the topic{n}.", f"{n}.txt")) for n in range(count)]


async def test_rounds_of_one_store_are_found_together(tmp_path: Path, commits: list[int], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ingest, "_TOGETHER", 8)
    monkeypatch.setattr(reaching, "_SHORTEST", 60.0)
    bench = Bench(tmp_path)
    store = await bench.stores.create(WHO, files=await many(bench, 50))
    async with bench:
        assert {one.status for one in await bench.settled(store.id)} == {"completed"}
        assert len(bench.parser.rounds) >= 6
        assert [one for one in commits if one] == [50]
        for n in (0, 20, 49):
            (hit, *_) = await bench.search.search(WHO, [store.id], [f"topic{n}"])
            assert hit.filename == f"{n}.txt"
        assert bench.stores.progress(WHO, store.id).seconds_left == 0.0


@pytest.mark.parametrize("bound", ["_PASSAGES", "_FILES"])
async def test_what_waits_is_not_much(bound: str, tmp_path: Path, commits: list[int], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ingest, "_TOGETHER", 5)
    monkeypatch.setattr(reaching, "_SHORTEST", 60.0)
    monkeypatch.setattr(reaching, bound, 10)
    bench = Bench(tmp_path, parser=PlainParser(pause=0.01), at_once=1)
    store = await bench.stores.create(WHO, files=await many(bench, 40))
    async with bench:
        assert {one.status for one in await bench.settled(store.id)} == {"completed"}
        assert sum(commits) == 40
        assert len([one for one in commits if one]) > 1


async def test_one_that_comes_alone_does_not_wait(tmp_path: Path, commits: list[int], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reaching, "_SHORTEST", 60.0)
    parser = Gated()
    async with Bench(tmp_path, parser=parser, at_once=2) as bench:
        slow = await bench.stores.create(WHO, files=[Attachment(file=await bench.bring("Something slow.", "slow.txt"))])
        store = await bench.stores.create(WHO, files=[Attachment(file=await bench.bring("One owl.", "owl.txt"))])
        began = time.monotonic()
        assert [one.status for one in await bench.settled(store.id, seconds=30)] == ["completed"]
        assert time.monotonic() - began < 30
        parser.gate.set()
        assert [one.status for one in await bench.settled(slow.id)] == ["completed"]


async def test_nothing_waits_for_long_for_what_takes_long(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reaching, "_SHORTEST", 0.05)
    parser = Gated()
    async with Bench(tmp_path, parser=parser, at_once=2) as bench:
        files = [Attachment(file=await bench.bring("Something slow. " * 5000, "slow.txt")), *await many(bench, 3)]
        store = await bench.stores.create(WHO, files=files)
        async with asyncio.timeout(30):
            while bench.stores.get(WHO, store.id).counts.completed < 3:
                await asyncio.sleep(0.01)
        parser.gate.set()
        assert {one.status for one in await bench.settled(store.id)} == {"completed"}


async def test_what_waits_can_be_taken_out(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reaching, "_SHORTEST", 60.0)
    parser = Gated()
    async with Bench(tmp_path, parser=parser, at_once=2) as bench:
        slow = await bench.bring("Something slow. " * 5000, "slow.txt")
        files = await many(bench, 3)
        store = await bench.stores.create(WHO, files=[Attachment(file=slow), *files])
        async with asyncio.timeout(30):
            while len(bench.ingest._reaching._groups.get(store.id, reaching._Group()).files) < 3:
                await asyncio.sleep(0.01)
            for one in files[:2]:
                await bench.stores.detach(WHO, store.id, one.file)
            await bench.stores.detach(WHO, store.id, files[2].file)  # nobody waits any more
            # Put in again, it is found with the others that come.
            await bench.stores.attach(WHO, store.id, files[1])
            parser.gate.set()
            assert {one.file: one.status for one in await bench.settled(store.id)} == {slow: "completed", files[1].file: "completed"}
        (hit, *_) = await bench.search.search(WHO, [store.id], ["topic1"])
        assert hit.filename == "1.txt"
        assert {hit.filename for hit in await bench.search.search(WHO, [store.id], ["topic0"])} <= {"1.txt", "slow.txt"}
        await bench.upkeep.settle()
        assert not bench.ingest._reaching._groups
        assert not bench.ingest._reaching._ahead


async def test_those_that_wait_when_the_server_stops_are_found_by_the_next(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reaching, "_SHORTEST", 60.0)
    parser = Gated()
    bench = Bench(tmp_path, parser=parser, at_once=2)
    slow = await bench.bring("Something slow. " * 5000, "slow.txt")
    store = await bench.stores.create(WHO, files=[Attachment(file=slow), *await many(bench, 3)])
    async with bench, asyncio.timeout(30):
        while len(bench.ingest._reaching._groups.get(store.id, reaching._Group()).files) < 3:
            await asyncio.sleep(0.01)
        assert bench.stores.get(WHO, store.id).counts.completed == 0
    async with Bench(tmp_path) as bench:
        assert {one.status for one in await bench.settled(store.id)} == {"completed"}
        assert bench.parser.parsed == ["slow.txt"], "the others were written, and only had to be found"
        (hit, *_) = await bench.search.search(WHO, [store.id], ["topic2"])
        assert hit.filename == "2.txt"
