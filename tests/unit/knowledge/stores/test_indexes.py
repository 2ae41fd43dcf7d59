"""Indexes are derived: lost, damaged, behind or of another embedder, they are brought up from the database while searches go on."""

from __future__ import annotations

import asyncio
import shutil
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from hausgeist.errors import LoadFailed, ModelNotFound, NotFound
from hausgeist.identity import LOCAL_OWNER as WHO
from hausgeist.knowledge.embed.base import Embedder
from hausgeist.knowledge.stores.shelf import WORDS, vectors_name
from hausgeist.knowledge.stores.values import Attachment
from tests.small_knowledge import Bench, Chosen, Counting

ANIMALS = ("ants", "bees", "cats", "dogs", "eels")


async def filled(bench: Bench, *, animals: tuple[str, ...] = ANIMALS) -> str:
    """One after the other, so that their passages are numbered in this order."""
    store = await bench.stores.create(WHO)
    for animal in animals:
        file = await bench.bring(f"A page about {animal}.", f"{animal}.txt")
        await bench.stores.attach(WHO, store.id, Attachment(file=file))
        await bench.settled(store.id)
    return store.id


async def found(bench: Bench, store: str, animal: str) -> str:
    (first, *_) = await bench.search.search(WHO, [store], [f"page about {animal}"])
    return first.filename


async def up(bench: Bench, store: str) -> None:
    """Ask, and wait until what was behind is brought up."""
    async with bench.indexes.reading(store):
        pass
    async with asyncio.timeout(90):
        while bench.indexes._tasks:
            await asyncio.sleep(0.01)


@pytest.mark.parametrize("lost", ["words", "vectors", "both", "damaged words", "damaged vectors"])
async def test_what_is_lost_or_damaged_is_made_again(tmp_path: Path, lost: str) -> None:
    async with Bench(tmp_path) as bench:
        store = await filled(bench)
    home = tmp_path / "indexes" / store
    folders = {"words": home / WORDS, "vectors": home / vectors_name("counting")}
    for kind, folder in folders.items():
        if lost == f"damaged {kind}":
            (folder / "rows.json").write_text('{"mark": 5, "ro')
        elif lost in (kind, "both"):
            shutil.rmtree(folder)
    embedder = Counting()
    async with Bench(tmp_path, embedders=Chosen(embedder)) as bench:
        assert await found(bench, store, "cats") == "cats.txt"
        await up(bench, store)
        for animal in ANIMALS:
            assert await found(bench, store, animal) == f"{animal}.txt"
        async with bench.indexes.reading(store) as at:
            assert at.words is not None
            assert at.vectors is not None
            assert at.words.mark == at.vectors.mark == 5
        assert len(embedder.embedded) == (0 if "words" in lost else 5)


async def test_an_index_that_is_behind_is_brought_up(tmp_path: Path) -> None:
    async with Bench(tmp_path) as bench:
        store = await filled(bench)
        await bench.indexes.close()
        copy = tmp_path.parent / f"{tmp_path.name}-copy"
        shutil.copytree(tmp_path / "indexes", copy)
    async with Bench(tmp_path) as bench:
        extra = await bench.bring("A page about foxes.", "foxes.txt")
        await bench.stores.attach(WHO, store, Attachment(file=extra))
        gone = bench.stores.files(WHO, store, order="asc")[0]
        await bench.settled(store)
        await bench.stores.detach(WHO, store, gone.file)
    shutil.rmtree(tmp_path / "indexes")
    shutil.copytree(copy, tmp_path / "indexes")
    embedder = Counting()
    async with Bench(tmp_path, embedders=Chosen(embedder)) as bench:
        await up(bench, store)
        assert await found(bench, store, "foxes") == "foxes.txt"
        assert embedder.embedded == ["A page about foxes."]
        assert "ants.txt" not in {hit.filename for hit in await bench.search.search(WHO, [store], ["page about ants"])}


async def test_an_index_ahead_of_an_older_database_is_not_believed(tmp_path: Path) -> None:
    async with Bench(tmp_path) as bench:
        store = await filled(bench)
        await bench.database.write(lambda connection: connection.exec_driver_sql("UPDATE vector_stores SET mark = 3"))
        await bench.database.write(lambda connection: connection.exec_driver_sql("DELETE FROM store_files WHERE entry > 3"))
        await bench.database.write(lambda connection: connection.exec_driver_sql("DELETE FROM forgotten_passages"))
    async with Bench(tmp_path) as bench:
        await up(bench, store)
        async with bench.indexes.reading(store) as at:
            assert at.words is not None
            assert at.words.mark == 3
        assert await found(bench, store, "cats") == "cats.txt"


async def test_another_embedder_takes_over_while_the_old_one_serves(tmp_path: Path) -> None:
    old = Counting()
    async with Bench(tmp_path, embedders=Chosen(old)) as bench:
        store = await filled(bench)
    new = Counting("other", shift=7)
    slow = asyncio.Event()
    embed = new.passages

    async def passages(texts: list[str], *, background: bool = False) -> object:
        await slow.wait()
        return await embed(texts, background=background)

    new.passages = passages  # type: ignore[method-assign,assignment]
    async with Bench(tmp_path, embedders=Chosen(new, old)) as bench:
        assert await found(bench, store, "bees") == "bees.txt"
        async with bench.indexes.reading(store) as at:
            assert at.embedder is old
        # What comes meanwhile is found at once, and is not lost when the new one takes over.
        extra = await bench.bring("A page about foxes.", "foxes.txt")
        await bench.stores.attach(WHO, store, Attachment(file=extra))
        await bench.settled(store)
        assert await found(bench, store, "foxes") == "foxes.txt"
        # What is deleted meanwhile is not brought back by it, and goes for good afterwards.
        gone = bench.stores.files(WHO, store, order="asc")[0]
        await bench.stores.detach(WHO, store, gone.file)
        await bench.upkeep.settle()
        assert "ants" not in (tmp_path / "indexes" / store / WORDS / "rows.json").read_text()
        slow.set()
        await up(bench, store)
        await bench.upkeep.settle()
        assert bench.database.read(lambda connection: connection.exec_driver_sql("SELECT count(*) FROM forgotten_passages").scalar()) == 0
        assert bench.stores.get(WHO, store).embedder == "other"
        async with bench.indexes.reading(store) as at:
            assert at.embedder is new
            assert at.vectors is not None
            assert at.vectors.mark == 6
            assert sorted(at.vectors.shown) == [2, 3, 4, 5, 6]  # type: ignore[attr-defined]
        assert await found(bench, store, "foxes") == "foxes.txt"
        assert [path.name for path in sorted((tmp_path / "indexes" / store).iterdir())] == sorted([WORDS, vectors_name("other")])


async def test_an_embedder_that_is_gone_for_good(tmp_path: Path) -> None:
    async with Bench(tmp_path) as bench:
        store = await filled(bench)
    async with Bench(tmp_path, embedders=Chosen(Counting("other", shift=3))) as bench:
        assert await found(bench, store, "dogs") == "dogs.txt"
        await up(bench, store)
        assert bench.stores.get(WHO, store).embedder == "other"
        assert await found(bench, store, "dogs") == "dogs.txt"


class Moody(Counting):
    """One that is removed from the library, or whose engine fails, and comes back."""

    def __init__(self, name: str = "moody", *, shift: int = 5) -> None:
        super().__init__("", shift=shift)
        self.called, self.there, self.well = name, True, True

    @property  # type: ignore[override]
    def name(self) -> str:
        if not self.there:
            raise ModelNotFound(self.called)
        return self.called

    @name.setter
    def name(self, value: str) -> None: ...

    async def passages(self, texts: Sequence[str], *, background: bool = False) -> NDArray[np.float32]:
        self.demand_well()
        return await super().passages(texts, background=background)

    async def query(self, text: str) -> NDArray[np.float32]:
        self.demand_well()
        return await super().query(text)

    def demand_well(self) -> None:
        if not (self.there and self.well):
            raise LoadFailed("It could not be loaded.")


class Library(Chosen):
    def named(self, name: str) -> Embedder | None:
        return next((one for one in self.all if isinstance(one, Moody) and one.there and one.name == name), None)


async def whole(bench: Bench, store: str, mark: int) -> None:
    async with asyncio.timeout(10):
        while True:
            async with bench.indexes.reading(store) as at:
                if at.vectors is not None and at.vectors.mark == mark and not bench.stores.progress(WHO, store).trouble:
                    return
            await asyncio.sleep(0.02)


@pytest.mark.parametrize("how", ["gone", "failing"])
async def test_words_go_on_where_the_embedding_model_does_not(tmp_path: Path, how: str) -> None:
    embedder = Moody()
    async with Bench(tmp_path, embedders=Library(embedder)) as bench:
        store = await filled(bench)
    setattr(embedder, "there" if how == "gone" else "well", False)
    async with Bench(tmp_path, embedders=Library(embedder)) as bench:
        bench.indexes._rest = 0.05
        assert await found(bench, store, "cats") == "cats.txt"
        extra = await bench.bring("A page about foxes.", "foxes.txt")
        await bench.stores.attach(WHO, store, Attachment(file=extra))
        assert {one.status for one in await bench.settled(store)} == {"completed"}
        assert await found(bench, store, "foxes") == "foxes.txt"
        said = bench.stores.progress(WHO, store).trouble
        assert said == ("The embedding model moody is not there." if how == "gone" else "It could not be loaded.")
        # A store that is made meanwhile is found as well.
        other = await filled(bench)
        assert await found(bench, other, "bees") == "bees.txt"
        # What is deleted while nobody could make vectors is deleted nevertheless.
        gone = next(one for one in bench.stores.files(WHO, store) if one.filename == "ants.txt")
        await bench.stores.detach(WHO, store, gone.file)
        await bench.upkeep.settle()
        embedder.there = embedder.well = True
        await whole(bench, store, 6)
        async with bench.indexes.reading(store) as at:
            assert at.embedder is embedder
            assert sorted(at.vectors.shown) == [2, 3, 4, 5, 6]  # type: ignore[union-attr]
        await whole(bench, other, 11)
        assert await found(bench, other, "bees") == "bees.txt"
    assert len(embedder.embedded) == 5 + 1 + 5, "what had a vector needs no other"


async def test_the_old_embedder_serves_as_long_as_the_new_one_fails(tmp_path: Path) -> None:
    old, new = Moody("old"), Moody("new", shift=9)
    async with Bench(tmp_path, embedders=Library(old)) as bench:
        store = await filled(bench)
    new.well = False
    async with Bench(tmp_path, embedders=Library(new, old)) as bench:
        bench.indexes._rest = 0.05
        async with bench.indexes.reading(store) as at:
            assert at.embedder is old
        async with asyncio.timeout(10):
            while bench.stores.progress(WHO, store).trouble != "It could not be loaded.":
                await asyncio.sleep(0.01)
        async with bench.indexes.reading(store) as at:
            assert (at.embedder, at.vectors is not None and at.vectors.mark) == (old, 5)
        new.well = True
        await whole(bench, store, 5)
        async with asyncio.timeout(10):
            while bench.stores.get(WHO, store).embedder != "new":
                await asyncio.sleep(0.01)
        assert await found(bench, store, "eels") == "eels.txt"


async def test_few_are_open_at_once(tmp_path: Path) -> None:
    async with Bench(tmp_path, most_open=2) as bench:
        stores = [await filled(bench, animals=(animal,)) for animal in ANIMALS]
        for store, animal in zip(stores, ANIMALS, strict=True):
            assert await found(bench, store, animal) == f"{animal}.txt"
            assert len(bench.indexes._shelves) <= 2
        await asyncio.gather(*(found(bench, store, "x") for store in stores * 3))


async def test_a_failure_while_writing_is_made_good(tmp_path: Path) -> None:
    embedder = Counting()
    embed, failures = embedder.passages, [OSError("no"), OSError("still no")]

    async def passages(texts: list[str], *, background: bool = False) -> object:
        if failures:
            raise failures.pop()
        return await embed(texts, background=background)

    embedder.passages = passages  # type: ignore[method-assign,assignment]
    async with Bench(tmp_path, embedders=Chosen(embedder), at_once=1) as bench:
        store = await filled(bench)
        assert {one.status for one in bench.stores.files(WHO, store)} == {"completed"}
        async with bench.indexes.reading(store) as at:
            assert sorted(at.words.shown) == sorted(at.vectors.shown) == [1, 2, 3, 4, 5]  # type: ignore[union-attr]


async def test_a_store_that_is_gone_is_not_opened(tmp_path: Path) -> None:
    async with Bench(tmp_path) as bench:
        store = await filled(bench)
        await bench.stores.delete(WHO, store)
        with pytest.raises(NotFound):
            async with bench.indexes.reading(store):
                pass
        with pytest.raises(NotFound):
            bench.stores.get(WHO, store)
        await bench.upkeep.settle()
        assert bench.indexes.folders() == []
        assert bench.database.read(lambda connection: connection.exec_driver_sql("SELECT count(*) FROM passages").scalar()) == 0
