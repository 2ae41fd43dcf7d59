"""What is deleted is gone: every byte of the home is searched for it, whichever way it went."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest

from hausgeist.identity import LOCAL_OWNER as WHO
from hausgeist.knowledge.stores.upkeep import Upkeep
from hausgeist.knowledge.stores.values import Attachment
from hausgeist.workspace.service import Workspace
from tests.small_knowledge import Bench

SECRET = "zweiundvierzigtausend"
KEPT = "sixty-three"


def holding(home: Path, word: str) -> list[str]:
    """Files of the home in which a word stands in any form that is kept here."""
    return [str(path.relative_to(home)) for path in home.rglob("*") if path.is_file() and word.encode() in path.read_bytes()]


async def prepared(bench: Bench) -> tuple[str, str]:
    """A store with the secret file and another one; the store and the secret file."""
    # Page after page of it, so that it stands in more than one place of the database.
    secret = await bench.bring(f"The sum is {SECRET}.\n\n" + f"{SECRET} again, and more than once. " * 2000, f"{SECRET}.txt")
    other = await bench.bring(f"The number of the house is {KEPT}.", "other.txt")
    store = await bench.stores.create(WHO, files=[Attachment(file=secret, attributes={"sum": SECRET}), Attachment(file=other)])
    await bench.settled(store.id)
    assert (await bench.search.search(WHO, [store.id], [SECRET]))[0].file == secret
    return store.id, secret


async def expire(bench: Bench) -> None:
    await bench.database.write(lambda connection: connection.exec_driver_sql(f"UPDATE files SET expires = 1 WHERE filename = '{SECRET}.txt'"))
    await bench.files.sweep()


async def both(bench: Bench, store: str, file: str) -> None:
    await bench.stores.delete(WHO, store)
    await bench.files.delete(WHO, file)


WAYS: dict[str, Callable[[Bench, str, str], Awaitable[object]]] = {
    "file": lambda bench, store, file: bench.files.delete(WHO, file),
    "files of the project": lambda bench, store, file: bench.files.erase(project="default"),
    "files of the person": lambda bench, store, file: bench.files.erase(user="local"),
    "time": lambda bench, store, file: expire(bench),
    "store and file": both,
}


@pytest.mark.parametrize("way", list(WAYS))
async def test_nothing_is_left(tmp_path: Path, way: str) -> None:
    async with Bench(tmp_path) as bench:
        store, file = await prepared(bench)
        assert holding(tmp_path, SECRET)
        await WAYS[way](bench, store, file)
        await bench.upkeep.settle()
        assert holding(tmp_path, SECRET) == []
        if way in ("file", "time"):
            (hit, *_) = await bench.search.search(WHO, [store], ["number of the house"])
            assert KEPT in hit.text
            assert holding(tmp_path, KEPT)
        assert bench.database.read(lambda connection: connection.exec_driver_sql("SELECT count(*) FROM forgotten_passages").scalar()) == 0
    assert holding(tmp_path, SECRET) == []


async def test_it_goes_by_itself_soon_after(tmp_path: Path) -> None:
    import asyncio

    async with Bench(tmp_path) as bench:
        _, file = await prepared(bench)
        await bench.files.delete(WHO, file)
        async with asyncio.timeout(90):
            while holding(tmp_path, SECRET):
                await asyncio.sleep(0.05)


async def test_what_a_crash_left_goes_with_the_next_start(tmp_path: Path) -> None:
    async with Bench(tmp_path) as bench:
        store, file = await prepared(bench)
        # Of the process that is killed right after this, only the row is gone.
        await bench.files.delete(WHO, file)
        await bench.upkeep.stop()
    assert holding(tmp_path, SECRET)
    async with Bench(tmp_path) as bench:
        await bench.upkeep.settle()
        assert holding(tmp_path, SECRET) == []
        assert len(await bench.search.search(WHO, [store], ["number"])) == 1


async def test_a_project_takes_everything_with_it(tmp_path: Path) -> None:
    from dataclasses import replace

    async with Bench(tmp_path) as bench:
        project = await Workspace(bench.database).create_project("moon")
        who = replace(WHO, project=project.id)
        file = await bench.bring(f"Only {SECRET} here.", "a.txt", who)
        store = await bench.stores.create(who, name=SECRET, metadata={"a": SECRET}, files=[Attachment(file=file)])
        await bench.settled(store.id, who)
        kept, _ = await prepared_without_secret(bench)
        await Workspace(bench.database).remove_project("moon")
        await bench.files.collect()
        await bench.upkeep.settle()
        assert holding(tmp_path, SECRET) == []
        assert bench.indexes.folders() == [kept]


async def prepared_without_secret(bench: Bench) -> tuple[str, str]:
    file = await bench.bring(f"House {KEPT}.", "other.txt")
    store = await bench.stores.create(WHO, files=[Attachment(file=file)])
    await bench.settled(store.id)
    return store.id, file


async def test_a_person_leaves_what_others_use(tmp_path: Path) -> None:
    async with Bench(tmp_path) as bench:
        store, _ = await prepared(bench)
        empty = await bench.stores.create(WHO, name=SECRET)
        assert await bench.stores.erase(user="local") == 1
        await bench.upkeep.settle()
        assert [one.id for one in bench.stores.list(WHO)] == [store]
        assert empty.id != store
        assert await bench.stores.erase(project="default") == 1
        assert bench.stores.list(WHO) == []
        with pytest.raises(ValueError, match="whose"):
            await bench.stores.erase()


async def test_a_store_of_many_goes_in_slices(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import hausgeist.knowledge.stores.upkeep as module

    monkeypatch.setattr(module, "_SLICE", 2)
    async with Bench(tmp_path, at_once=4) as bench:
        files = [await bench.bring(f"Text {n}.", f"{n}.txt") for n in range(9)]
        store = await bench.stores.create(WHO, files=[Attachment(file=file) for file in files])
        await bench.settled(store.id)
        await bench.upkeep.stop()
        await bench.stores.delete(WHO, store.id)
        writes = []
        write = bench.database.write
        monkeypatch.setattr(bench.database, "write", lambda fn, **options: writes.append(fn) or write(fn, **options))
        await Upkeep(bench.database, bench.indexes).settle()
        assert len(writes) >= 5
        for table in ("entries", "passages", "store_files", "vector_stores", "forgotten_passages"):
            assert bench.database.read(lambda connection, table=table: connection.exec_driver_sql(f"SELECT count(*) FROM {table}").scalar()) == 0
        assert len(bench.files.list(WHO)) == 9
