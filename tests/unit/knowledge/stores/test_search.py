"""Search: what may be seen is decided first; filters, thresholds, neighbours, near-duplicates, rank."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from hausgeist.errors import InvalidRequest, ModelNotFound, NotFound, StoreError, Unavailable
from hausgeist.identity import LOCAL_OWNER as WHO
from hausgeist.identity import Principal
from hausgeist.knowledge.stores.rewriting import rewritten
from hausgeist.knowledge.stores.search import Search
from hausgeist.knowledge.stores.values import Attachment, Chunking
from tests.small_knowledge import Bench, fused

ATTRIBUTES: list[dict[str, Any]] = [
    {"kind": "contract", "year": 2024, "signed": True, "price": 9.5},
    {"kind": "contract", "year": 2025, "signed": False},
    {"kind": "manual", "year": 2025.0, "n'ame\"$[0]": "x' OR 1=1 --"},
    {"year": "2025", "date": "2025-03-01"},
    {},
]


def f(kind: str, key: str, value: Any) -> dict[str, Any]:
    return {"type": kind, "key": key, "value": value}


FILTERS: list[tuple[dict[str, Any], set[int]]] = [
    (f("eq", "kind", "contract"), {0, 1}),
    (f("ne", "kind", "contract"), {2, 3, 4}),
    (f("eq", "year", 2025), {1, 2}),
    (f("eq", "year", "2025"), {3}),
    (f("gt", "year", 2024), {1, 2}),
    (f("gte", "year", 2024), {0, 1, 2}),
    (f("lt", "year", 2025), {0}),
    (f("lte", "year", 2025.0), {0, 1, 2}),
    (f("gte", "date", "2025-01-01"), {3}),
    (f("eq", "signed", True), {0}),
    (f("eq", "signed", 1), set()),
    (f("ne", "signed", False), {0, 2, 3, 4}),
    (f("eq", "price", 9.5), {0}),
    (f("in", "year", [2024, "2025"]), {0, 3}),
    (f("nin", "year", [2024, "2025"]), {1, 2, 4}),
    (f("in", "kind", []), set()),
    (f("nin", "kind", []), {0, 1, 2, 3, 4}),
    (f("eq", "n'ame\"$[0]", "x' OR 1=1 --"), {2}),
    (f("eq", "nothing", "x"), set()),
    (f("eq", "year", 10**30), set()),
    ({"type": "and", "filters": [f("eq", "kind", "contract"), f("gt", "year", 2024)]}, {1}),
    ({"type": "or", "filters": [f("eq", "kind", "manual"), {"type": "and", "filters": [f("eq", "signed", True)]}]}, {0, 2}),
]


async def test_filters_are_decided_ahead_of_the_search(tmp_path: Path) -> None:
    async with Bench(tmp_path, at_once=4) as bench:
        files = [await bench.bring(f"Everything about wolves, part {n} of the book {n * 7919}.", f"{n}.txt") for n in range(5)]
        wanted = [Attachment(file=file, attributes=its) for file, its in zip(files, ATTRIBUTES, strict=True)]
        store = await bench.stores.create(WHO, files=wanted)
        await bench.settled(store.id)
        for filters, expected in FILTERS:
            hits = await bench.search.search(WHO, [store.id], ["wolves book"], filters=filters)
            assert {files.index(hit.file) for hit in hits} == expected, filters
        await bench.stores.set_attributes(WHO, store.id, files[4], {"kind": "contract"})
        hits = await bench.search.search(WHO, [store.id], ["wolves"], filters=f("eq", "kind", "contract"))
        assert {files.index(hit.file) for hit in hits} == {0, 1, 4}


@pytest.mark.parametrize(
    "filters",
    [
        {"type": "like", "key": "a", "value": "b"},
        {"type": "eq", "key": "a"},
        {"type": "eq", "key": 1, "value": "b"},
        {"type": "eq", "key": "a", "value": {"b": "c"}},
        {"type": "eq", "key": "a", "value": None},
        {"type": "in", "key": "a", "value": "b"},
        {"type": "in", "key": "a", "value": [["b"]]},
        {"type": "in", "key": "a", "value": ["b"] * 600},
        {"type": "and", "filters": []},
        {"type": "or", "filters": ["x"]},
        {"type": "eq", "key": "a", "value": "b", "more": 1},
        {"type": "or"},
        [],
    ],
)
async def test_a_wrong_filter_is_told_so(tmp_path: Path, filters: Any) -> None:
    async with Bench(tmp_path) as bench:
        store = await bench.stores.create(WHO)
        with pytest.raises(InvalidRequest, match="filters"):
            await bench.search.search(WHO, [store.id], ["x"], filters=filters)
        deep: dict[str, Any] = f("eq", "a", "b")
        for _ in range(8):
            deep = {"type": "and", "filters": [deep]}
        with pytest.raises(InvalidRequest, match="deep"):
            await bench.search.search(WHO, [store.id], ["x"], filters=deep)


async def test_bounds(tmp_path: Path) -> None:
    async with Bench(tmp_path) as bench:
        store = await bench.stores.create(WHO)
        assert await bench.search.search(WHO, [store.id], ["x"]) == []
        for queries, limit in ((["x"], 0), (["x"], 51), ([" "], 5), (["x"] * 17, 5), (["x" * 8193], 5)):
            with pytest.raises(InvalidRequest):
                await bench.search.search(WHO, [store.id], queries, limit=limit)
        with pytest.raises(InvalidRequest):
            await bench.search.search(WHO, ["vs_x"] * 65, ["x"])
        with pytest.raises(NotFound):
            await bench.search.search(WHO, [store.id, "vs_none"], ["x"])


async def test_where_one_store_fails_nothing_is_held(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async with Bench(tmp_path) as bench:
        stores = []
        for _ in range(2):
            file = await bench.bring("Everything about wolves.", "a.txt")
            stores.append((await bench.stores.create(WHO, files=[Attachment(file=file)])).id)
            await bench.settled(stores[-1])
        shelf, opened = bench.indexes._shelf, list[str]()

        async def broken(store: str) -> Any:
            if store == stores[0]:
                raise StoreError("The disk is broken.")
            await asyncio.sleep(0.05)
            opened.append(store)
            return await shelf(store)

        with monkeypatch.context() as patch:
            patch.setattr(bench.indexes, "_shelf", broken)
            with pytest.raises(StoreError, match="broken"):
                await bench.search.search(WHO, stores, ["wolves"])
            assert opened == stores[1:]  # not later, when nobody would let go of it
        assert [one.words.users + one.vectors.users for one in bench.indexes._shelves.values()] == [0, 0]
        assert len(await bench.search.search(WHO, stores, ["wolves"])) == 1


async def test_neighbours_are_joined_and_duplicates_told_once(tmp_path: Path) -> None:
    one = "alpha beta gamma delta one.\n\nalpha beta gamma epsilon two.\n\nnothing of that here at all.\n\nalpha zeta eta theta."
    same = "The long sentence about the delivery of goods within fourteen days of the order counts for everybody{}."
    async with Bench(tmp_path) as bench:
        file = await bench.bring(one, "a.txt")
        twins = [await bench.bring(same.format(end), f"t{number}.txt") for number, end in enumerate(("", ",", " here"))]
        store = await bench.stores.create(WHO, files=[Attachment(file=one) for one in (file, *twins)])
        await bench.settled(store.id)
        hits = await bench.search.search(WHO, [store.id], ["alpha gamma"], limit=2)
        whole = await bench.documents.text(WHO, file)
        assert hits[0].text == "alpha beta gamma delta one.\n\nalpha beta gamma epsilon two."
        assert all(hit.text == whole[hit.start : hit.end] for hit in hits if hit.file == file)
        assert hits[0].score >= hits[1].score
        hits = await bench.search.search(WHO, [store.id], ["delivery of goods within fourteen days"])
        assert len([hit for hit in hits if hit.file in twins]) == 1


async def test_thresholds_are_honoured_and_queries_taken_together(tmp_path: Path) -> None:
    async with Bench(tmp_path) as bench:
        files = [await bench.bring(text, text[:4]) for text in ("cats sleep all day", "dogs bark at night", "fish swim in water")]
        stores = [await bench.stores.create(WHO, files=[Attachment(file=file)]) for file in files]
        for store in stores:
            await bench.settled(store.id)
        ids = [store.id for store in stores]
        hits = await bench.search.search(WHO, ids, ["cats sleep all day", "dogs bark"])
        assert [hit.file for hit in hits[:2]] == files[:2]
        assert hits[0].score == pytest.approx(1.0, abs=1e-3)
        assert hits == sorted(hits, key=lambda hit: -hit.score)
        above = await bench.search.search(WHO, ids, ["cats sleep all day", "dogs bark"], threshold=hits[1].score)
        assert above == hits[:2]
        assert await bench.search.search(WHO, ids, ["cats"], threshold=1.0) == []


async def test_rank(tmp_path: Path) -> None:
    asked: list[tuple[str, str, int]] = []

    async def rank(who: Principal, model: str, query: str, texts: Sequence[str]) -> Sequence[float]:
        asked.append((model, query, len(texts)))
        if model == "none-such":
            raise ModelNotFound(model)
        if model == "down":
            raise Unavailable
        return [0.9 if "third" in text else 0.2 for text in texts]

    async with Bench(tmp_path) as bench:
        files = [await bench.bring(f"word {text}", f"{text}.txt") for text in ("first", "second", "third")]
        store = await bench.stores.create(WHO, files=[Attachment(file=file) for file in files])
        await bench.settled(store.id)
        for default, options, first, calls in (
            ("", {}, None, []),
            ("", {"ranker": "mine"}, 2, ["mine"]),
            ("usual", {}, 2, ["usual"]),
            ("usual", {"rerank": False}, None, []),
            ("down", {}, None, ["down"]),
        ):
            asked.clear()
            search = Search(bench.database, bench.indexes, fuse=fused, language=lambda _: "en", rank=rank, rank_model=default)
            hits = await search.search(WHO, [store.id], ["word first"], **options)  # type: ignore[arg-type]
            assert hits[0].file == files[0 if first is None else first]
            assert len(hits) == 3
            assert [model for model, _, _ in asked] == calls
        with pytest.raises(ModelNotFound):
            await search.search(WHO, [store.id], ["word"], ranker="none-such")


async def test_expiry(tmp_path: Path) -> None:
    async with Bench(tmp_path) as bench:
        file = await bench.bring("Soon gone.", "a.txt")
        store = await bench.stores.create(WHO, expires_days=1, files=[Attachment(file=file)])
        await bench.settled(store.id)
        assert store.expires is not None
        assert 86_300 < store.expires - time.time() <= 86_400
        await bench.search.search(WHO, [store.id], ["gone"])
        await bench.database.write(lambda connection: connection.exec_driver_sql("UPDATE vector_stores SET active = active - 90000"))
        assert bench.stores.get(WHO, store.id).status == "expired"
        for refused in (
            bench.search.search(WHO, [store.id], ["gone"]), bench.stores.attach(WHO, store.id, Attachment(file=file)),
            bench.stores.update(WHO, store.id, expires_days=3),
        ):  # fmt: skip
            with pytest.raises(InvalidRequest, match="expired"):
                await refused
        await bench.upkeep.settle()
        assert bench.stores.get(WHO, store.id).counts.total == 0
        assert not bench.indexes.folders()


async def test_thousands_of_entries_in_a_filter(tmp_path: Path) -> None:
    async with Bench(tmp_path) as bench:
        file = await bench.bring("the one and only", "one.txt")
        store = await bench.stores.create(WHO, files=[Attachment(file=file, attributes={"n": 1})])
        await bench.settled(store.id)

        def many(connection: Any) -> None:
            numbers = range(20_000)
            rows = [(f"file-{n}", "default", "local", 1.0 + n, None, "user_data", f"{n}.txt", "", 1, f"{n:064d}") for n in numbers]
            connection.exec_driver_sql("INSERT INTO files VALUES (?,?,?,?,?,?,?,?,?,?)", rows)
            connection.exec_driver_sql(
                "INSERT INTO store_files (store, file, created, status, attributes, chunking, entry, done, total) "
                "VALUES (?,?,?,'completed',?,'400/0',?,0,0)",
                [(store.id, f"file-{n}", 1.0 + n, f'{{"n": {n + 2}, "kind": "k{n % 7}"}}', 1000 + n) for n in numbers],
            )

        await bench.database.write(many)
        began = time.process_time()
        for _ in range(3):
            hits = await bench.search.search(
                WHO, [store.id], ["only one"], filters={"type": "or", "filters": [f("lt", "n", 15_000), f("eq", "kind", "k1")]}
            )
        assert hits[0].file == file
        assert (time.process_time() - began) / 3 < 1.0, "seconds of a processor"


@pytest.mark.parametrize(
    ("said", "meant"),
    [
        ("Hi, can you please tell me when the contract ends?", "when the contract ends?"),
        ("Könnten Sie mir bitte sagen, wann der Vertrag endet? Danke!", "wann der Vertrag endet?"),
        ("tell me about pumps, please", "pumps"),
        ("please", "please"),
        ("Hello World program", "Hello World program"),
        ('"please tell me" the song', '"please tell me" the song'),
        ("notice period", "notice period"),
    ],
)
def test_what_is_only_politeness_is_taken_off(said: str, meant: str) -> None:
    assert rewritten(said) == meant


def test_chunking_is_kept_as_text() -> None:
    assert Chunking.parse(str(Chunking(800, 400))) == Chunking(800, 400)
