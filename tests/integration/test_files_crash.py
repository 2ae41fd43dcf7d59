"""kill -9 of processes that bring files, put parts together and work on batches: what was acknowledged is there whole, and nothing is there twice."""

from __future__ import annotations

import hashlib
import json
import signal
import sqlite3
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path

from sqlalchemy import text

from hausgeist.files import Files, Uploads
from hausgeist.files.folder import Folder
from hausgeist.identity import LOCAL_OWNER
from hausgeist.store.database import FILE_NAME, Database
from hausgeist.store.space import Space

FILES = """
import asyncio, pathlib, sys
from hausgeist.files import Files, Uploads
from hausgeist.files.folder import Folder
from hausgeist.identity import LOCAL_OWNER as who
from hausgeist.store.database import Database
from hausgeist.store.space import Space

home = pathlib.Path(sys.argv[1])
files = Files(Database.open(home), Folder(home, space=Space(home, reserve=0)), quota=1 << 40, limit=1 << 30)
uploads = Uploads(files._database, files)

async def data(text, times):
    for _ in range(times):
        yield text.encode() * 40_000

async def plain(task):
    n = 0
    while True:
        n += 1
        made = await files.create(who, data(f"{task}{n}", 5), filename="a", purpose="user_data")
        print("file", made.id, made.digest, flush=True)
        if n % 3 == 0:
            print("going", made.id, made.digest, flush=True)
            await files.delete(who, made.id)
            print("gone", made.id, made.digest, flush=True)

async def parts(task):
    n = 0
    while True:
        n += 1
        text = f"{task}{n}"
        upload = await uploads.create(who, bytes=len(text) * 80_000, filename="a", media_type="", purpose="user_data")
        ids = [(await uploads.add(who, upload.id, data(text, 1))).id for _ in range(2)]
        print("part", ids[0], upload.id, flush=True)
        _, made = await uploads.complete(who, upload.id, ids)
        print("file", made.id, made.digest, flush=True)

async def main():
    await asyncio.gather(plain("a"), plain("b"), parts("c"), parts("d"))

asyncio.run(main())
"""

BATCH = """
import asyncio, json, pathlib, sys
from hausgeist.app import build
from hausgeist.identity import LOCAL_OWNER as who, Origin
from hausgeist.settings import load_settings

home, number = pathlib.Path(sys.argv[1]), int(sys.argv[2])

async def lines():
    for n in range(number):
        body = {"model": "fake:echo@60", "messages": [{"role": "user", "content": f"say {n}"}]}
        yield json.dumps({"custom_id": f"r{n}", "method": "POST", "url": "/v1/chat/completions", "body": body}).encode() + b"\\n"

async def main():
    app = build(load_settings(home=home, fake=True, guide=False, registry="http://127.0.0.1:9"))
    await app.start()
    found = app.batches.list(who)
    if not found:
        file = await app.files.create(who, lines(), filename="a", purpose="batch")
        origin = Origin("127.0.0.1", "test")
        found = [await app.batches.create(who, origin, input_file=file.id, endpoint="/v1/chat/completions")]
    print("working", flush=True)
    while not (batch := app.batches.get(who, found[0].id)).ended or not batch.told:
        print(batch.completed, flush=True)
        await asyncio.sleep(0.02)
    counts = [batch.total, batch.completed, batch.failed, batch.usage["input"]]
    print(json.dumps([batch.status, *counts, batch.output_file, batch.error_file]), flush=True)
    await app.stop(drain=0)

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


async def test_files_are_whole_or_not_there(tmp_path: Path) -> None:
    acknowledged: list[list[str]] = []
    for seconds in (1.5, 1.9, 1.2):
        process = spawn(FILES, tmp_path)
        assert process.stdout is not None
        acknowledged.append(process.stdout.readline().split())
        time.sleep(seconds)
        acknowledged += [line.split() for line in kill(process)]
    assert len(acknowledged) > 30
    gone = {name for what, name, _ in acknowledged if what == "gone"}
    going = {name for what, name, _ in acknowledged if what == "going"}
    files = {name: digest for what, name, digest in acknowledged if what == "file" and name not in going}
    folder = Folder(tmp_path, space=Space(tmp_path, reserve=0))
    database = Database.open(tmp_path)
    kept = Files(database, folder, quota=1 << 40, limit=1 << 30)
    assert not list(folder.folder.glob(".*")), "drafts of the dead are swept at the start"
    await kept.collect()
    listed = {file.id: file for file in kept.list(LOCAL_OWNER)}
    assert files.keys() <= listed.keys()
    assert not gone & listed.keys()
    parts = {row[0] for row in database.read(lambda connection: connection.exec_driver_sql("SELECT id FROM upload_parts").all())}
    assert {path.name for path in folder.folder.iterdir()} == listed.keys() | parts
    for name, file in listed.items():
        data = folder.path(name).read_bytes()
        assert (len(data), hashlib.sha256(data).hexdigest()) == (file.bytes, file.digest)
        assert files.get(name, file.digest) == file.digest
    # An upload that was cut off goes on.
    uploads = Uploads(database, kept)
    for _, part, upload in (one for one in acknowledged if one[0] == "part"):
        found = uploads.get(LOCAL_OWNER, upload)
        if found.status == "pending":
            assert part in parts
            ids = _parts(database, upload)
            if len(ids) < 2:
                continue
            _, file = await uploads.complete(LOCAL_OWNER, upload, ids)
            assert file.bytes == found.bytes
    database.close()


def _parts(database: Database, upload: str) -> list[str]:
    query = text("SELECT id FROM upload_parts WHERE upload = :upload")
    return list(database.read(lambda connection: connection.execute(query, {"upload": upload}).scalars().all()))


def test_a_batch_goes_on_where_it_was(tmp_path: Path) -> None:
    number, ended, kills = 400, "", 0
    for _ in range(30):
        process = spawn(BATCH, tmp_path, number)
        assert process.stdout is not None
        assert process.stdout.readline() == "working\n"
        # It is killed when it has got on, however fast this machine is.
        while not (line := process.stdout.readline()).startswith("[") and int(line) < 70 * (kills + 1):
            pass
        if rest := [one for one in [line.strip(), *kill(process)] if one.startswith("[")]:
            ended = rest[0]
            break
        kills += 1
    status, total, completed, failed, tokens, output, errors = json.loads(ended)
    assert kills >= 3, "it was over before anybody could be killed"
    assert (status, total, completed, failed, errors) == ("completed", number, number, 0, None)
    lines = [json.loads(line) for line in (tmp_path / "files" / output).read_bytes().splitlines()]
    assert Counter(line["custom_id"] for line in lines) == Counter(f"r{n}" for n in range(number))
    assert all(line["response"]["body"]["choices"][0]["message"]["content"] == f"say {line['custom_id'][1:]}" for line in lines)
    assert tokens == sum(line["response"]["body"]["usage"]["prompt_tokens"] for line in lines)
    assert list((tmp_path / "batches").iterdir()) == []
    connection = sqlite3.connect(tmp_path / FILE_NAME)
    assert connection.execute("SELECT count(*) FROM files WHERE purpose = 'batch_output'").fetchone() == (1,)
    connection.close()
