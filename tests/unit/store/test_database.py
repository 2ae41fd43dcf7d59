"""Reads, group commit, failures in the middle of a batch, errors in words."""

from __future__ import annotations

import asyncio
import sqlite3
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path

import pytest
from sqlalchemy import Connection, text

from hausgeist.errors import Conflict, DiskFull, InvalidRequest, NotFound, StoreError
from hausgeist.store.database import FILE_NAME, Database
from hausgeist.store.writer import before_commit, undone


@pytest.fixture
def database(tmp_path: Path) -> Iterator[Database]:
    database = Database.open(tmp_path)
    yield database
    database.close()


def put(connection: Connection, name: str, definition: str = "{}") -> str:
    connection.execute(text("INSERT INTO models VALUES (:id, 'fake', :definition, 0)"), {"id": name, "definition": definition})
    return name


def count(connection: Connection) -> int:
    return connection.execute(text("SELECT count(*) FROM models")).scalar_one()


async def test_500_writes_at_once_share_few_commits(database: Database) -> None:
    commits = 0
    await database.write(count)  # opens the writer's connection

    def traced(connection: Connection) -> None:
        raw = connection.connection.driver_connection
        assert isinstance(raw, sqlite3.Connection)

        def seen(statement: str) -> None:
            nonlocal commits
            commits += statement == "COMMIT"

        raw.set_trace_callback(seen)

    await database.write(traced)
    names = await asyncio.gather(*(database.write(lambda connection, n=n: put(connection, f"m{n}")) for n in range(500)))
    assert names == [f"m{n}" for n in range(500)]
    assert database.read(count) == 500
    assert commits < 60


async def test_a_failed_write_takes_nothing_else_with_it(database: Database) -> None:
    def fails(connection: Connection) -> None:
        put(connection, "half")
        raise NotFound("no")

    def violates(connection: Connection) -> None:
        put(connection, "twice")
        put(connection, "twice")

    async def write(n: int) -> object:
        fn = {0: fails, 1: violates}.get(n % 5)
        return await database.write(fn or (lambda connection: put(connection, f"m{n}")))

    results = await asyncio.gather(*(write(n) for n in range(50)), return_exceptions=True)
    for n, result in enumerate(results):
        if n % 5 == 0:
            assert isinstance(result, NotFound)
        elif n % 5 == 1:
            assert isinstance(result, Conflict)
        else:
            assert result == f"m{n}"
    assert database.read(count) == 30


async def test_a_write_is_visible_to_another_process_when_it_is_acknowledged(database: Database, tmp_path: Path) -> None:
    for flush in (True, False):
        await database.write(lambda connection, flush=flush: put(connection, f"seen-{flush}"), flush=flush)
        other = sqlite3.connect(tmp_path / FILE_NAME)
        assert other.execute("SELECT count(*) FROM models WHERE id = ?", (f"seen-{flush}",)).fetchone() == (1,)
        other.close()


async def test_writes_with_and_without_flush_keep_their_order(database: Database) -> None:
    async def write(n: int) -> int:
        return await database.write(lambda connection: (put(connection, f"m{n}"), count(connection))[1], flush=n % 3 == 0)

    assert await asyncio.gather(*(write(n) for n in range(100))) == list(range(1, 101))


async def test_what_was_not_flushed_is_flushed_soon(database: Database, tmp_path: Path) -> None:
    await database.write(lambda connection: put(connection, "later"), flush=False)
    assert b"later" not in (tmp_path / FILE_NAME).read_bytes()
    until = time.monotonic() + 10
    while b"later" not in (tmp_path / FILE_NAME).read_bytes():
        assert time.monotonic() < until
        await asyncio.sleep(0.05)


async def test_a_full_disk_is_said_and_undone(database: Database) -> None:
    def limit(connection: Connection) -> None:
        pages = connection.execute(text("PRAGMA page_count")).scalar_one()
        connection.execute(text(f"PRAGMA max_page_count = {pages + 2}"))

    await database.write(limit)
    big = "x" * 100_000
    results = await asyncio.gather(
        database.write(lambda connection: put(connection, "small")),
        database.write(lambda connection: put(connection, "big", big)),
        return_exceptions=True,
    )
    assert isinstance(results[1], DiskFull)
    assert "INSERT" not in str(results[1])
    assert "Free some space" in str(results[1])
    # The small one was either committed and acknowledged, or undone and told so.
    assert database.read(count) == (results[0] == "small")
    assert await database.write(lambda connection: put(connection, "after")) == "after"


async def test_text_and_numbers_that_sqlite_cannot_take(database: Database) -> None:
    def look(connection: Connection, value: object) -> object:
        return connection.execute(text("SELECT 1 FROM models WHERE id = :id"), {"id": value}).scalar()

    for value in ("\ud800", 2**70):
        with pytest.raises(InvalidRequest):
            database.read(lambda connection, value=value: look(connection, value))
        with pytest.raises(InvalidRequest):
            await database.write(lambda connection, value=value: look(connection, value))


def test_reads_cannot_write(database: Database) -> None:
    with pytest.raises(StoreError) as caught:
        database.read(lambda connection: put(connection, "x"))
    assert "INSERT" not in str(caught.value)
    assert database.read(count) == 0


async def test_one_read_sees_one_moment(database: Database) -> None:
    begun, go_on = threading.Event(), threading.Event()

    def slow(connection: Connection) -> tuple[int, int]:
        before = count(connection)
        begun.set()
        go_on.wait(10)
        return before, count(connection)

    reading = asyncio.create_task(asyncio.to_thread(database.read, slow))
    await asyncio.to_thread(begun.wait, 10)
    await database.write(lambda connection: put(connection, "meanwhile"))
    go_on.set()
    assert await reading == (0, 0)
    assert database.read(count) == 1


async def test_a_cancelled_write_that_waits_is_withdrawn(database: Database) -> None:
    hold, held = threading.Event(), threading.Event()

    def block(connection: Connection) -> None:
        held.set()
        hold.wait(10)

    blocker = asyncio.create_task(database.write(block))
    await asyncio.to_thread(held.wait, 10)
    doomed = asyncio.create_task(database.write(lambda connection: put(connection, "doomed")))
    await asyncio.sleep(0)
    doomed.cancel()
    await asyncio.gather(doomed, return_exceptions=True)
    hold.set()
    await blocker
    assert await database.write(count) == 0


def test_write_sync_and_post(database: Database) -> None:
    assert database.write_sync(lambda connection: put(connection, "a")) == "a"
    with pytest.raises(Conflict):
        database.write_sync(lambda connection: put(connection, "a"))
    database.post(lambda connection: put(connection, "b"))
    assert database.write_sync(count) == 2
    with pytest.raises(RuntimeError, match="waits for another write"):
        database.write_sync(lambda connection: database.write_sync(count))


async def test_a_write_must_not_commit(database: Database) -> None:
    def commits(connection: Connection) -> None:
        put(connection, "x")
        connection.exec_driver_sql("COMMIT")

    with pytest.raises(RuntimeError):
        await database.write(commits)
    assert await database.write(lambda connection: put(connection, "y")) == "y"


async def test_close_finishes_what_waits_and_refuses_the_rest(tmp_path: Path) -> None:
    database = Database.open(tmp_path)
    writes = [asyncio.create_task(database.write(lambda connection, n=n: put(connection, f"m{n}"))) for n in range(100)]
    await asyncio.sleep(0)
    await asyncio.to_thread(database.close)
    await asyncio.gather(*writes)
    with pytest.raises(StoreError, match="closed"):
        await database.write(count)
    with pytest.raises(StoreError, match="closed"):
        database.read(count)
    database.close()
    with closing(Database.open(tmp_path)) as again:
        assert again.read(count) == 100


def test_two_handles_write_to_one_home(database: Database, tmp_path: Path) -> None:
    with closing(Database.open(tmp_path)) as other:
        failures: list[BaseException] = []

        def run(who: str, handle: Database) -> None:
            try:
                for n in range(50):
                    handle.write_sync(lambda connection, n=n: put(connection, f"{who}{n}"))
            except BaseException as error:
                failures.append(error)

        threads = [threading.Thread(target=run, args=pair) for pair in (("a", database), ("b", other))]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert not failures
        assert other.read(count) == 100


async def test_backup_is_consistent_while_writing(database: Database, tmp_path: Path) -> None:
    """Rows come in pairs; a copy never holds half of one."""

    async def writer() -> None:
        for n in range(200):
            await database.write(lambda connection, n=n: (put(connection, f"l{n}"), put(connection, f"r{n}")), flush=False)

    writing = asyncio.create_task(writer())
    for n in range(5):
        target = tmp_path / f"copy{n}.db"
        await asyncio.to_thread(database.backup, target)
        copy = sqlite3.connect(target)
        assert copy.execute("SELECT count(*) % 2 FROM models").fetchone() == (0,)
        assert copy.execute("PRAGMA integrity_check").fetchone() == ("ok",)
        copy.close()
    await writing


def test_damaged_files_are_said_to_be_so(tmp_path: Path) -> None:
    (tmp_path / FILE_NAME).write_bytes(b"this is no database" * 1000)
    with pytest.raises(StoreError, match=r"damaged.*restore"):
        Database.open(tmp_path)


def test_a_database_of_something_else_is_left_alone(tmp_path: Path) -> None:
    other = sqlite3.connect(tmp_path / FILE_NAME)
    other.execute("CREATE TABLE theirs (a)")
    other.commit()
    other.close()
    before = (tmp_path / FILE_NAME).read_bytes()
    with pytest.raises(StoreError, match="not one of Hausgeist's"):
        Database.open(tmp_path)
    assert (tmp_path / FILE_NAME).read_bytes() == before


def test_a_home_that_cannot_be_made(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(StoreError):
        Database.open(tmp_path / "file" / "home")


def test_files_are_for_the_owner_only(database: Database, tmp_path: Path) -> None:
    database.write_sync(lambda connection: put(connection, "a"))
    for file in tmp_path.glob(f"{FILE_NAME}*"):
        assert file.stat().st_mode & 0o077 == 0


def test_reads_are_fast(database: Database) -> None:
    query = text("SELECT id, role FROM users WHERE id = :id")

    def read(connection: Connection) -> object:
        return connection.execute(query, {"id": "local"}).one()

    best = min(_timed(lambda: database.read(read)) for _ in range(200))
    assert best < 100e-6


def _timed(fn: Callable[[], object]) -> float:
    begun = time.perf_counter()
    fn()
    return time.perf_counter() - begun


async def test_what_is_to_be_done_before_a_commit_is_done_once_and_can_stop_it(database: Database) -> None:
    called: list[str] = []

    def insert(name: str, last: Callable[[], object]) -> Callable[[Connection], None]:
        def write(connection: Connection) -> None:
            put(connection, name)
            before_commit(connection, "key", last)

        return write

    gate = threading.Event()
    held = asyncio.create_task(database.write(lambda connection: gate.wait(10)))
    await asyncio.sleep(0.05)
    together = asyncio.gather(*(database.write(insert(f"{n}", lambda: called.append("now"))) for n in range(5)))
    await asyncio.sleep(0.05)
    gate.set()
    await asyncio.gather(held, together)
    assert 1 <= len(called) <= 2
    assert database.read(count) == 5

    def fails() -> None:
        raise DiskFull("The disk is full.")

    before = await database.write(undone)
    with pytest.raises(DiskFull, match="The disk is full"):
        await database.write(insert("lost", fails))
    await database.write(lambda connection: put(connection, "after"))
    assert database.read(count) == 6
    assert await database.write(undone) == before + 1
