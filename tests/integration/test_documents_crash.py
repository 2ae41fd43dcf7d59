"""kill -9 of processes that take files into a vector store, and that clear away what was deleted: nothing is lost, nothing is there twice, and what
was to go has gone after the next start."""

from __future__ import annotations

import signal
import subprocess
import sys
from collections import Counter
from pathlib import Path

from hausgeist.identity import LOCAL_OWNER as WHO
from tests.small_knowledge import Bench

ROOT = Path(__file__).parents[2]

INGEST = """
import asyncio, pathlib, sys
from hausgeist.identity import LOCAL_OWNER as who
from hausgeist.knowledge.stores.values import Attachment
from tests.small_knowledge import Bench, PlainParser

home, number = pathlib.Path(sys.argv[1]), int(sys.argv[2])

def text(n):
    if n % 20 == 7:
        return b"\\x00BROKEN"
    # Of each ten, two have the same bytes.
    n = n - 1 if n % 10 == 4 else n
    return "\\n\\n".join(f"Paragraph {k} of document {n} about the number {n * 7919 + k}." for k in range(1 + n % 9)).encode()

async def main():
    async with Bench(home, parser=PlainParser(pause=0.004), at_once=3) as bench:
        found = bench.stores.list(who)
        if not found:
            files = [await bench.bring(text(n), f"{n}.txt") for n in range(number)]
            store = await bench.stores.create(who)
            await bench.stores.create_batch(who, store.id, [Attachment(file=file) for file in files])
            found = [store]
        print("working", flush=True)
        while (counts := bench.stores.get(who, found[0].id).counts).in_progress:
            print(counts.total - counts.in_progress, flush=True)
            await asyncio.sleep(0.005)
        print("done", found[0].id, counts.completed, counts.failed, flush=True)

asyncio.run(main())
"""

ERASE = """
import asyncio, pathlib, sys
from hausgeist.identity import LOCAL_OWNER as who
from tests.small_knowledge import Bench

home = pathlib.Path(sys.argv[1])

async def main():
    bench = Bench(home)
    bench.upkeep.start()
    print("begun", flush=True)
    files = [file for file in bench.files.list(who, order="asc") if file.filename.startswith("secret")]
    for n, file in enumerate(files):
        await bench.files.delete(who, file.id)
        print(n, flush=True)
        await asyncio.sleep(0.02)
    await bench.upkeep.settle()
    print("settled", flush=True)

asyncio.run(main())
"""


def spawn(code: str, *args: object) -> subprocess.Popen[str]:
    return subprocess.Popen([sys.executable, "-c", code, *map(str, args)], stdout=subprocess.PIPE, text=True, cwd=ROOT)


def kill(process: subprocess.Popen[str]) -> None:
    process.send_signal(signal.SIGKILL)
    assert process.stdout is not None
    process.stdout.close()
    process.wait()


async def test_documents_are_taken_in_once_whatever_is_killed_when(tmp_path: Path) -> None:
    number, kills, ended = 240, 0, ""
    for _ in range(30):
        process = spawn(INGEST, tmp_path, number)
        assert process.stdout is not None
        while (line := process.stdout.readline()) and line != "working\n":
            pass
        # It is killed when it has got on, however fast this machine is.
        while (line := process.stdout.readline()) and not line.startswith("done") and int(line) < 40 * (kills + 1):
            pass
        if line.startswith("done"):
            ended = line
            process.wait()
            process.stdout.close()
            break
        kill(process)
        kills += 1
    _, store, completed, failed = ended.split()
    assert kills >= 3, "it was over before anybody could be killed"
    assert (int(completed), int(failed)) == (number - number // 20, number // 20)
    async with Bench(tmp_path) as bench:
        read = bench.database.read
        entries = read(lambda connection: connection.exec_driver_sql("SELECT document, count(*) FROM entries GROUP BY document").all())
        assert len(entries) == number - number // 10 - number // 20 + len({n for n in range(number) if n % 10 == 4 and (n - 1) % 20 == 7})
        assert {count for _, count in entries} == {1}
        rows = read(lambda connection: connection.exec_driver_sql("SELECT id, entry, number FROM passages").all())
        assert max(Counter((row.entry, row.number) for row in rows).values()) == 1
        async with bench.indexes.reading(store) as at:
            assert at.words is not None
            assert at.vectors is not None
            assert sorted(at.words.shown) == sorted(at.vectors.shown) == sorted(row.id for row in rows)  # type: ignore[attr-defined]
        for n in (0, 8, 55, 78):
            (hit, *_) = await bench.search.search(WHO, [store], [f"document {n} about the number {n * 7919}"])
            assert hit.filename == f"{n}.txt"
        assert {one.filename for one in bench.stores.files(WHO, store, status="failed")} == {f"{n}.txt" for n in range(7, number, 20)}
        jobs = bench.ingest.jobs.list(kind="document", limit=1000)
        assert {job.status for job in jobs} == {"done"}


async def test_what_was_deleted_is_gone_after_the_next_start(tmp_path: Path) -> None:
    word = "unaussprechlich"
    async with Bench(tmp_path, at_once=4) as bench:
        from hausgeist.knowledge.stores.values import Attachment

        files = [await bench.bring(f"Number {n} is {word}{n}. " * 50, f"secret {n}.txt") for n in range(12)]
        files.append(await bench.bring("What everybody may know.", "open.txt"))
        store = await bench.stores.create(WHO, files=[Attachment(file=file) for file in files])
        await bench.settled(store.id)

    def left() -> list[str]:
        return [str(path) for path in tmp_path.rglob("*") if path.is_file() and word.encode() in path.read_bytes()]

    assert left()
    for deleted in (2, 5, 11):
        process = spawn(ERASE, tmp_path)
        assert process.stdout is not None
        while (line := process.stdout.readline()) and line.strip() not in (str(deleted % 4), "settled"):
            pass
        kill(process)
    async with Bench(tmp_path) as bench:
        for file in bench.files.list(WHO):
            if file.filename.startswith("secret"):
                await bench.files.delete(WHO, file.id)
        await bench.files.collect()
        await bench.upkeep.settle()
        assert left() == []
        (hit,) = await bench.search.search(WHO, [store.id], ["everybody may know"])
        assert hit.filename == "open.txt"
