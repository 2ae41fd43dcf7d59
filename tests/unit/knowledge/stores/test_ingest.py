"""From files to passages that are found: once for the same bytes, by difference for changed ones, and without a broken one holding up the others."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

import pytest
from sqlalchemy import Connection

from hausgeist.errors import DiskFull, InvalidRequest, NotFound, TooLarge
from hausgeist.identity import LOCAL_OWNER as WHO
from hausgeist.knowledge.parsed import Parsed
from hausgeist.knowledge.stores import ingest, keeping, rounds, service
from hausgeist.knowledge.stores.ingest import Ingest
from hausgeist.knowledge.stores.keeping import Made
from hausgeist.knowledge.stores.service import Stores
from hausgeist.knowledge.stores.values import Attachment, Chunking
from hausgeist.workspace.service import Workspace
from tests.small_knowledge import Bench, Chosen, Counting, PlainParser, paragraphs


def rows(bench: Bench, table: str) -> int:
    return int(bench.database.read(lambda connection: connection.exec_driver_sql(f"SELECT count(*) FROM {table}").scalar()) or 0)


async def test_a_file_is_found_by_its_words_and_told_with_its_place(tmp_path: Path) -> None:
    text = "The pump is red.\n\nThe valve closes at noon.\n\fThe price is 40 euros."
    async with Bench(tmp_path) as bench:
        file = await bench.bring(text, "manual.txt")
        store = await bench.stores.create(WHO, name="s", files=[Attachment(file=file, attributes={"year": 2026})])
        assert store.status == "in_progress"
        (done,) = await bench.settled(store.id)
        assert (done.status, done.error, done.done, done.total, done.filename) == ("completed", None, 2, 2, "manual.txt")
        assert done.bytes == len("The pump is red.The valve closes at noon.The price is 40 euros.")
        (hit, *_) = await bench.search.search(WHO, [store.id], ["what is the price in euros"], limit=3)
        assert (hit.file, hit.filename, hit.store, hit.page, hit.attributes) == (file, "manual.txt", store.id, 2, {"year": 2026})
        whole = await bench.documents.text(WHO, file)
        assert hit.text == whole[hit.start : hit.end]
        assert "The price is 40 euros." in hit.text
        (mark, *_) = await bench.documents.marks(WHO, file, hit.start, hit.end)
        assert mark.page in (1, 2)
        start = whole.index("price")
        (mark,) = await bench.documents.marks(WHO, file, start, start + 5)
        assert mark.page == 2
        assert abs(mark.box.left - (50 + 6 * 4)) < 6
        assert abs(mark.box.right - (50 + 6 * 9)) < 6
        assert bench.stores.get(WHO, store.id).status == "completed"


async def test_the_same_bytes_are_read_once_and_stored_once(tmp_path: Path) -> None:
    async with Bench(tmp_path, at_once=4) as bench:
        files = [await bench.bring("One paragraph about owls.", f"{n}.txt") for n in range(5)]
        store = await bench.stores.create(WHO, files=[Attachment(file=file, attributes={"n": n}) for n, file in enumerate(files)])
        assert {one.status for one in await bench.settled(store.id)} == {"completed"}
        assert len(bench.parser.parsed) == 1
        assert [rows(bench, table) for table in ("documents", "entries", "passages")] == [1, 1, 1]
        assert len(bench.embedders.current().embedded) == 1  # type: ignore[attr-defined]
        (hit,) = await bench.search.search(WHO, [store.id], ["owls"])
        assert hit.file == files[0]
        (hit,) = await bench.search.search(WHO, [store.id], ["owls"], filters={"type": "gte", "key": "n", "value": 3})
        assert hit.file == files[3]
        # Another store cuts the same document anew, without reading it again.
        other = await bench.stores.create(WHO, files=[Attachment(file=files[0], chunking=Chunking(100, 0))])
        await bench.settled(other.id)
        assert len(bench.parser.parsed) == 1
        assert [rows(bench, table) for table in ("documents", "entries")] == [1, 2]
        # The passages go with the last of the files that have them.
        for file in files[:4]:
            await bench.files.delete(WHO, file)
        assert rows(bench, "entries") == 1
        await bench.stores.detach(WHO, store.id, files[4])
        assert rows(bench, "entries") == 0
        assert rows(bench, "documents") == 1
        await bench.files.delete(WHO, files[4])
        assert rows(bench, "documents") == 0


async def test_a_changed_file_takes_over_the_vectors_of_what_is_the_same(tmp_path: Path) -> None:
    embedder = Counting()
    async with Bench(tmp_path, embedders=Chosen(embedder)) as bench:
        old = await bench.bring("First part.\n\nSecond part.\n\nThird part.", "a.txt")
        store = await bench.stores.create(WHO, files=[Attachment(file=old)])
        await bench.settled(store.id)
        assert len(embedder.embedded) == 3
        new = await bench.bring("First part.\n\nSecond part, changed.\n\nThird part.", "a.txt")
        await bench.stores.attach(WHO, store.id, Attachment(file=new, replaces=old))
        assert [one.file for one in await bench.settled(store.id)] == [new]
        assert embedder.embedded[3:] == ["Second part, changed."]
        hits = await bench.search.search(WHO, [store.id], ["first part"])
        assert {hit.file for hit in hits} == {new}
        await bench.upkeep.settle()
        async with bench.indexes.reading(store.id) as at:
            assert len(at.vectors.shown) == len(at.words.shown) == 3  # type: ignore[union-attr]
        with pytest.raises(NotFound):
            await bench.stores.attach(WHO, store.id, Attachment(file=old, replaces="file-none"))
        with pytest.raises(InvalidRequest):
            await bench.stores.attach(WHO, store.id, Attachment(file=new, replaces=new))


async def test_what_is_broken_says_why_and_stops_nothing(tmp_path: Path) -> None:
    async with Bench(tmp_path) as bench:
        texts = {"good.txt": b"Fine words.", "broken.txt": b"\x00BROKEN", "crash.txt": b"\x00CRASH", "empty.txt": b"   ", "other.txt": b"More words."}
        files = {name: await bench.bring(text, name) for name, text in texts.items()}
        store = await bench.stores.create(WHO)
        batch = await bench.stores.create_batch(WHO, store.id, [Attachment(file=file) for file in files.values()])
        assert (batch.status, batch.counts.total) == ("in_progress", 5)
        done = {one.filename: one for one in await bench.settled(store.id)}
        assert {name: one.status for name, one in done.items()} == {
            "good.txt": "completed", "other.txt": "completed", "broken.txt": "failed", "crash.txt": "failed", "empty.txt": "failed",
        }  # fmt: skip
        errors = {name: (one.error.code, one.error.message) for name, one in done.items() if one.error}
        assert errors["broken.txt"] == ("invalid_file", "The file is damaged; save it again.")
        assert errors["crash.txt"][0] == "server_error"
        assert errors["empty.txt"] == ("invalid_file", "There is no text in this file.")
        found = bench.stores.batch(WHO, store.id, batch.id)
        assert (found.status, found.counts.completed, found.counts.failed) == ("completed", 2, 3)
        assert {one.filename for one in bench.stores.files(WHO, store.id, batch=batch.id, status="failed")} == {
            "broken.txt",
            "crash.txt",
            "empty.txt",
        }
        # Put in once more, what has failed is tried again.
        assert (await bench.stores.attach(WHO, store.id, Attachment(file=files["broken.txt"]))).status == "in_progress"
        assert (await bench.settled(store.id))[1].status == "failed"


async def test_a_batch_is_cancelled(tmp_path: Path) -> None:
    async with Bench(tmp_path, parser=PlainParser(pause=0.2), at_once=1) as bench:
        files = [await bench.bring(f"Text {n}.\fmore\fmore", f"{n}.txt") for n in range(4)]
        store = await bench.stores.create(WHO)
        batch = await bench.stores.create_batch(WHO, store.id, [Attachment(file=file) for file in files])
        while not (told := bench.stores.progress(WHO, store.id)).pages_done:
            pass_on = await bench.search.search(WHO, [store.id], ["text"])
            assert not pass_on
        assert told.pages_total == 3
        assert [one.filename for one in told.reading] == ["0.txt"]
        cancelled = await bench.stores.cancel_batch(WHO, store.id, batch.id)
        assert (cancelled.status, cancelled.counts.cancelled) == ("cancelled", 4)
        assert await bench.stores.cancel_batch(WHO, store.id, batch.id) == cancelled
        await bench.upkeep.settle()
        assert rows(bench, "passages") == rows(bench, "entries") == 0
        # One of them alone, afterwards.
        await bench.stores.attach(WHO, store.id, Attachment(file=files[2]))
        assert [one.status for one in await bench.settled(store.id)] == ["cancelled", "cancelled", "completed", "cancelled"]


async def test_a_document_is_read_for_itself_and_goes_with_its_file(tmp_path: Path) -> None:
    async with Bench(tmp_path) as bench:
        file = await bench.bring("Alone on the shelf.\fSecond page.", "alone.txt")
        assert "Second page." in await bench.documents.text(WHO, file)
        assert [page.number for page in await bench.documents.pages(WHO, file)] == [1, 2]
        parsed = await bench.documents.parsed(WHO, file, lines=True)
        assert (parsed.title, len(parsed.lines), parsed.blocks[0].kind) == ("alone.txt", 2, "paragraph")
        assert len(bench.parser.parsed) == 1
        broken = await bench.bring(b"\x00BROKEN", "b.txt")
        with pytest.raises(InvalidRequest, match="save it again"):
            await bench.documents.text(WHO, broken)
        with pytest.raises(InvalidRequest):
            await bench.documents.marks(WHO, file, 5, 4)
        await bench.files.delete(WHO, file)
        assert rows(bench, "documents") == rows(bench, "document_parts") == rows(bench, "document_pages") == 0
        with pytest.raises(NotFound):
            await bench.documents.text(WHO, file)


async def test_documents_are_gone_through_one_by_one(tmp_path: Path) -> None:
    async with Bench(tmp_path) as bench:
        files = [await bench.bring(text, f"{n}.txt") for n, text in enumerate(["One.", "Two.", "One.", "Three."])]
        store = await bench.stores.create(WHO, files=[Attachment(file=file, attributes={"n": n}) for n, file in enumerate(files)])
        await bench.settled(store.id)
        told = [(one.file, one.parsed.text.strip()) async for one in bench.documents.all_documents(WHO, [store.id])]
        assert sorted(told, key=lambda one: files.index(one[0])) == [(files[0], "One."), (files[1], "Two."), (files[3], "Three.")]
        filters = {"type": "in", "key": "n", "value": [2, 3]}
        assert {one.file async for one in bench.documents.all_documents(WHO, [store.id], filters=filters)} == {files[2], files[3]}
        with pytest.raises(NotFound):
            _ = [one async for one in bench.documents.all_documents(WHO, ["vs_none"])]


async def test_who_brings_few_does_not_wait_for_who_brings_many(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ingest, "_WAITING", 0)
    parser = PlainParser()
    bench = Bench(tmp_path, parser=parser, at_once=1)
    project = await Workspace(bench.database).create_project("moon")
    other = replace(WHO, project=project.id)
    many = [Attachment(file=await bench.bring(f"Number {n}.", f"{n}.txt")) for n in range(50)]
    store = await bench.stores.create(WHO)
    await bench.stores.create_batch(WHO, store.id, many[:30])
    for one in many[30:]:
        await bench.stores.attach(WHO, store.id, one)
    theirs = await bench.stores.create(other, files=[Attachment(file=await bench.bring("One alone.", "alone.txt", other))])
    async with bench:
        await bench.settled(theirs.id, other)
        await bench.settled(store.id)
    assert len(parser.parsed) == 51
    assert parser.parsed.index("alone.txt") <= 20
    assert parser.parsed[:10] == [f"{n}.txt" for n in range(10)]


async def test_a_project_has_so_many_files_in_its_stores(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    bench = Bench(tmp_path)
    files = [Attachment(file=await bench.bring(f"Number {n}.", f"{n}.txt")) for n in range(4)]
    stores = [(await bench.stores.create(WHO)).id for _ in range(2)]
    monkeypatch.setattr(service, "_MOST_WAITING", 3)
    await bench.stores.create_batch(WHO, stores[0], files[:3])
    with pytest.raises(TooLarge, match="3 files of this project wait to be read"):
        await bench.stores.attach(WHO, stores[1], files[0])
    async with bench:
        await bench.settled(stores[0])
        await bench.stores.attach(WHO, stores[1], files[0])
        await bench.settled(stores[1])
        monkeypatch.setattr(service, "_MOST_FILED", 5)
        with pytest.raises(TooLarge, match="have 4 files; 5 are the most"):
            await bench.stores.create(WHO, files=files[2:])
        assert len(bench.stores.list(WHO)) == 2


async def test_a_full_disk_is_told_ahead_of_time(tmp_path: Path) -> None:
    def full(size: int) -> None:
        asked.append(size)
        raise DiskFull("The disk is too full: 1 MB are free.")

    asked: list[int] = []
    bench = Bench(tmp_path)
    bench.ingest = Ingest(bench.database, bench.documents, bench.indexes, split=lambda: paragraphs, pause=0.0, room=full)
    bench.stores = Stores(bench.database, bench.ingest)
    store = await bench.stores.create(WHO, files=[Attachment(file=await bench.bring("Some words.\n\nMore words."))])
    async with bench:
        (done,) = await bench.settled(store.id)
    assert (done.status, done.error.code if done.error else "") == ("failed", "server_error")
    assert done.error is not None
    assert "too full" in done.error.message
    assert min(asked) > 2 * 1536
    again = Bench(tmp_path)
    assert rows(again, "entries") == 0
    again.database.close()


@pytest.mark.skipif(os.name == "nt", reason="rights are of another kind there")
async def test_what_is_kept_is_for_nobody_else(tmp_path: Path) -> None:
    before = os.umask(0o022)
    try:
        async with Bench(tmp_path) as bench:
            store = await bench.stores.create(WHO, files=[Attachment(file=await bench.bring("Some words."))])
            await bench.settled(store.id)
    finally:
        os.umask(before)
    folders = [path for path in (tmp_path / "indexes", *(tmp_path / "indexes").rglob("*")) if path.is_dir()]
    assert len(folders) == 4
    assert {path.stat().st_mode & 0o777 for path in folders} == {0o700}


async def many(bench: Bench, count: int, *, start: int = 0) -> list[Attachment]:
    return [Attachment(file=await bench.bring(f"Number {n} about the topic{n}.", f"{n}.txt")) for n in range(start, start + count)]


async def test_small_files_are_read_and_written_together(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    written: list[int] = []
    keep_all = keeping.keep_all
    monkeypatch.setattr(keeping, "keep_all", lambda connection, made: written.append(len(made)) or keep_all(connection, made))
    monkeypatch.setattr(rounds, "_COMPANY_SECONDS", 60.0)
    bench = Bench(tmp_path, at_once=2)
    store = await bench.stores.create(WHO, files=await many(bench, 70))
    async with bench:
        assert {one.status for one in await bench.settled(store.id)} == {"completed"}
        assert [name for one in bench.parser.rounds for name in one] == [f"{n}.txt" for n in range(70)]
        assert [len(one) for one in bench.parser.rounds] == [64, 6]
        assert sorted(written) == [6, 64]
        assert [rows(bench, table) for table in ("documents", "entries", "passages")] == [70, 70, 70]
        for n in (0, 31, 32, 69):
            (hit, *_) = await bench.search.search(WHO, [store.id], [f"topic{n}"])
            assert hit.filename == f"{n}.txt"
        assert {one.status for one in bench.ingest.jobs.list(limit=100)} == {"done"}


async def test_what_cannot_be_written_fails_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    keep_all = keeping.keep_all

    def refused(connection: Connection, made: Sequence[Made]) -> list[tuple[int, int] | None]:
        kept = keep_all(connection, made)
        if any(one.wanted.file.filename == "3.txt" for one in made):
            raise InvalidRequest("This text cannot be kept.")
        return kept

    monkeypatch.setattr(keeping, "keep_all", refused)
    bench = Bench(tmp_path)
    store = await bench.stores.create(WHO, files=await many(bench, 8))
    async with bench:
        done = {one.filename: one for one in await bench.settled(store.id)}
        assert {name for name, one in done.items() if one.status == "failed"} == {"3.txt"}
        assert done["3.txt"].error is not None
        assert done["3.txt"].error.message == "This text cannot be kept."
        assert rows(bench, "entries") == rows(bench, "documents") == 7


async def test_a_batch_is_cut_by_its_size(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    written: list[int] = []
    keep_all = keeping.keep_all
    monkeypatch.setattr(keeping, "keep_all", lambda connection, made: written.append(len(made)) or keep_all(connection, made))
    monkeypatch.setattr(rounds, "_HELD", 70)
    bench = Bench(tmp_path, at_once=1)
    store = await bench.stores.create(WHO, files=await many(bench, 9))
    async with bench:
        assert {one.status for one in await bench.settled(store.id)} == {"completed"}
    assert written == [3, 3, 3]


async def test_what_has_been_read_does_not_wait_for_what_takes_long(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rounds, "_COMPANY_SECONDS", 0.02)
    gate = asyncio.Event()

    class Slow(PlainParser):
        async def parse(self, path: Path, filename: str, *, progress: Callable[[int, int], None] | None = None) -> Parsed:
            if filename == "2.txt":
                await gate.wait()
            return await super().parse(path, filename, progress=progress)

    bench = Bench(tmp_path, parser=Slow(), at_once=1)
    store = await bench.stores.create(WHO, files=await many(bench, 4))
    async with bench, asyncio.timeout(30):
        while bench.stores.get(WHO, store.id).counts.completed < 2:
            await asyncio.sleep(0.01)
        (hit, *_) = await bench.search.search(WHO, [store.id], ["topic1"])
        assert hit.filename == "1.txt"
        gate.set()
        assert {one.status for one in await bench.settled(store.id)} == {"completed"}


async def test_one_of_those_that_are_read_together_is_taken_out(tmp_path: Path) -> None:
    gate = asyncio.Event()

    class Slow(PlainParser):
        async def parse(self, path: Path, filename: str, *, progress: Callable[[int, int], None] | None = None) -> Parsed:
            await gate.wait()
            return await super().parse(path, filename, progress=progress)

    async with Bench(tmp_path, parser=Slow(), at_once=1) as bench:
        files = await many(bench, 5)
        store = await bench.stores.create(WHO, files=files)
        while not bench.parser.rounds:
            await asyncio.sleep(0.01)
        await bench.stores.detach(WHO, store.id, files[2].file)
        await bench.files.delete(WHO, files[3].file)
        gate.set()
        done = await bench.settled(store.id)
        assert [(one.filename, one.status) for one in done] == [(f"{n}.txt", "completed") for n in (0, 1, 4)]
        await bench.upkeep.settle()
        assert rows(bench, "entries") == 3
        # Stopped in the middle of it, all are done after the next start.
        gate.clear()
        await bench.stores.create_batch(WHO, store.id, await many(bench, 5, start=10))
        while len(bench.parser.rounds) < 2:
            await asyncio.sleep(0.01)
    assert all(task.done() for task in bench.ingest._tasks)
    async with Bench(tmp_path) as again:
        assert len(await again.settled(store.id)) == 8
        assert rows(again, "entries") == 8


async def test_files_of_two_projects_are_never_read_together(tmp_path: Path) -> None:
    bench = Bench(tmp_path, at_once=1)
    project = await Workspace(bench.database).create_project("moon")
    other = replace(WHO, project=project.id)
    ours = await bench.stores.create(WHO, files=await many(bench, 6))
    theirs = await bench.stores.create(other, files=[Attachment(file=await bench.bring(f"Moon {n}.", f"moon {n}.txt", other)) for n in range(6)])
    async with bench:
        await bench.settled(ours.id)
        await bench.settled(theirs.id, other)
    assert sorted(map(len, bench.parser.rounds)) == [6, 6]
    assert all(len({name.startswith("moon") for name in one}) == 1 for one in bench.parser.rounds)


async def test_a_file_over_which_the_server_ended_each_time_says_so(tmp_path: Path) -> None:
    bench = Bench(tmp_path)
    store = await bench.stores.create(WHO, files=await many(bench, 2))
    killed = "UPDATE jobs SET attempts = 5 WHERE key LIKE '%' || (SELECT id FROM files WHERE filename = '0.txt')"
    await bench.database.write(lambda connection: connection.exec_driver_sql(killed))
    async with bench:
        (first, second) = await bench.settled(store.id)
    assert (first.status, second.status) == ("failed", "completed")
    assert first.error is not None
    assert "ended each time" in first.error.message


async def test_what_is_wanted_anew_as_soon_as_it_is_there_is_done_anew(tmp_path: Path) -> None:
    async with Bench(tmp_path) as bench, asyncio.timeout(60):
        file = await bench.bring("One paragraph about owls.\n\nAnother about larks.")
        store = await bench.stores.create(WHO)
        for n in range(20):
            await bench.stores.attach(WHO, store.id, Attachment(file=file, chunking=Chunking(100 + n, 0)))
            while bench.stores.file(WHO, store.id, file).status != "completed":
                await asyncio.sleep(0)
            if n % 3 == 0:
                await bench.stores.attach(WHO, store.id, Attachment(file=file, chunking=Chunking(300 + n, 0)))
                await bench.stores.detach(WHO, store.id, file)
        (done,) = await bench.settled(store.id)
        assert done.chunking == Chunking(119, 0)


async def test_few_files_are_shared_among_those_who_read(tmp_path: Path) -> None:
    bench = Bench(tmp_path, at_once=4)
    bench.parser.processes = 4
    store = await bench.stores.create(WHO, files=await many(bench, 10))
    async with bench:
        assert {one.status for one in await bench.settled(store.id)} == {"completed"}
    assert sorted(map(len, bench.parser.rounds)) == [2, 2, 3, 3]
