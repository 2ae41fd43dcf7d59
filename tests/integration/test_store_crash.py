"""kill -9 of processes that write, migrate and work: nothing acknowledged is lost, nothing half-done stays."""

from __future__ import annotations

import asyncio
import os
import signal
import sqlite3
import subprocess
import sys
import time
from pathlib import Path

import pytest

from hausgeist.store import schema
from hausgeist.store.blobs import Blobs
from hausgeist.store.database import FILE_NAME, Database
from hausgeist.store.jobs import Jobs, Task

WRITER = """
import asyncio, pathlib, sys
from sqlalchemy import text
from hausgeist.store.database import Database

database = Database.open(pathlib.Path(sys.argv[1]))
insert = text("INSERT INTO models VALUES (:id, :half, '{}', 0)")

def put(connection, name):
    # Two rows that belong together.
    connection.execute(insert, {"id": name + "-l", "half": "l"})
    connection.execute(insert, {"id": name + "-r", "half": "r"})
    return name

async def one(task):
    n = 0
    while True:
        n += 1
        name = await database.write(lambda connection: put(connection, f"{sys.argv[2]}.{task}.{n}"), flush=n % 2 == 0)
        sys.stdout.write(name + "\\n")
        sys.stdout.flush()

async def main():
    await asyncio.gather(*(one(task) for task in range(8)))

asyncio.run(main())
"""

WORKER = """
import asyncio, pathlib, sys
from hausgeist.store.database import Database
from hausgeist.store.jobs import Jobs

async def work(task):
    await task.progress(1, 2, "half-way")
    print("running", task.job.id, flush=True)
    await asyncio.sleep(60)

async def main():
    jobs = Jobs(Database.open(pathlib.Path(sys.argv[1])), lease=60)
    jobs.register("work", work)
    await jobs.start()
    await jobs.enqueue("work", {"n": 1}, key="only")
    await asyncio.sleep(60)

asyncio.run(main())
"""

OPENER = """
import pathlib, sys
from hausgeist.store.database import Database
Database.open(pathlib.Path(sys.argv[1])).close()
"""

KILLED_MIGRATION = """
import os, pathlib, sys
from hausgeist.store import schema
from hausgeist.store.database import Database

upgrade = schema._upgrade

def killed(connection, migrations):
    if sys.argv[2] == "after":
        upgrade(connection, migrations)
    os.kill(os.getpid(), 9)

schema._upgrade = killed
Database.open(pathlib.Path(sys.argv[1]))
"""

BLOBS = """
import asyncio, pathlib, sys
from hausgeist.store.blobs import Blobs

async def main():
    blobs = Blobs(pathlib.Path(sys.argv[1]))
    n = 0
    while True:
        async def data(n=n):
            for part in range(4):
                yield f"{n} {part}".encode() * 50_000
        print(await blobs.add(data()), flush=True)
        n += 1

asyncio.run(main())
"""


def spawn(code: str, *args: object) -> subprocess.Popen[str]:
    return subprocess.Popen([sys.executable, "-c", code, *map(str, args)], stdout=subprocess.PIPE, text=True)


def kill(process: subprocess.Popen[str]) -> list[str]:
    """Kill it and return the lines that it had printed whole."""
    process.send_signal(signal.SIGKILL)
    assert process.stdout is not None
    lines = process.stdout.read().splitlines(keepends=True)
    process.stdout.close()
    process.wait()
    return [line.rstrip("\n") for line in lines if line.endswith("\n")]


def test_nothing_acknowledged_is_lost(tmp_path: Path) -> None:
    Database.open(tmp_path).close()
    acknowledged: list[str] = []
    for round_, seconds in enumerate((0.9, 1.3, 1.1)):
        writers = [spawn(WRITER, tmp_path, f"{round_}{who}") for who in "ab"]
        time.sleep(seconds)
        for writer in writers:
            acknowledged += kill(writer)
    assert len(acknowledged) > 20
    connection = sqlite3.connect(tmp_path / FILE_NAME)
    assert connection.execute("PRAGMA integrity_check").fetchone() == ("ok",)
    rows = {row[0] for row in connection.execute("SELECT id FROM models")}
    connection.close()
    assert not [name for name in acknowledged if f"{name}-l" not in rows or f"{name}-r" not in rows]
    assert {row[:-2] for row in rows if row.endswith("-l")} == {row[:-2] for row in rows if row.endswith("-r")}


def test_many_processes_make_one_home(tmp_path: Path) -> None:
    processes = [spawn(OPENER, tmp_path / "home") for _ in range(4)]
    for process in processes:
        process.communicate(timeout=60)
        assert process.returncode == 0
    connection = sqlite3.connect(tmp_path / "home" / FILE_NAME)
    assert schema.revision(connection) == schema.head()
    assert connection.execute("SELECT count(*) FROM users").fetchone() == (1,)
    connection.close()


@pytest.mark.parametrize("moment", ["before", "after"])
def test_a_migration_that_is_killed_never_was(tmp_path: Path, moment: str) -> None:
    process = spawn(KILLED_MIGRATION, tmp_path, moment)
    process.communicate(timeout=60)
    assert process.returncode == -signal.SIGKILL
    raw = sqlite3.connect(tmp_path / FILE_NAME)
    assert schema.revision(raw) is None
    raw.close()
    Database.open(tmp_path).close()
    connection = sqlite3.connect(tmp_path / FILE_NAME)
    assert connection.execute("SELECT count(*) FROM users").fetchone() == (1,)
    connection.close()


async def test_a_job_of_a_killed_process_is_taken_again_at_once(tmp_path: Path) -> None:
    worker = spawn(WORKER, tmp_path)
    assert worker.stdout is not None
    line = await asyncio.to_thread(worker.stdout.readline)
    database = Database.open(tmp_path)
    jobs = Jobs(database, poll=0.05)
    job = line.split()[1]
    assert (jobs.get(job).status, jobs.get(job).message) == ("running", "half-way")

    done: list[int] = []

    async def work(task: Task) -> dict[str, int]:
        done.append(task.job.attempts)
        return {"n": task.payload["n"]}

    jobs.register("work", work)
    await jobs.start()
    await asyncio.sleep(0.3)
    assert not done  # its process lives, so the job is that process's
    await jobs.stop()
    kill(worker)
    await jobs.start()
    finished = await jobs.wait(job, timeout=10)
    await jobs.stop()
    database.close()
    assert (finished.status, finished.result, done) == ("done", {"n": 1}, [2])


def test_blobs_are_whole_or_not_there(tmp_path: Path) -> None:
    import hashlib

    process = spawn(BLOBS, tmp_path)
    assert process.stdout is not None
    first = process.stdout.readline().strip()
    time.sleep(0.2)
    acknowledged = [first, *kill(process)]
    blobs = Blobs(tmp_path)
    assert set(acknowledged) <= set(blobs.digests())
    for digest in blobs.digests():
        assert hashlib.sha256(blobs.path(digest).read_bytes()).hexdigest() == digest
    assert [name for name in os.listdir(blobs.folder) if not name.startswith("sha256-")] == []
