"""Downloads by real processes: killed at random moments, two at once, and on a disk that is really full."""

from __future__ import annotations

import asyncio
import hashlib
import os
import random
import shutil
import signal
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from hausgeist.library.download.journal import Journal
from hausgeist.store.blobs import Blobs
from tests.upstream import Upstream, serve

MIB = 1 << 20
DATA = random.Random(5).randbytes(48 * MIB)
DIGEST = hashlib.sha256(DATA).hexdigest()

FETCHER = """
import asyncio, pathlib, sys
from hausgeist.errors import HausgeistError
from hausgeist.governance import Egress, Governor
from hausgeist.library.download import Downloads
from hausgeist.library.sources.base import Part
from hausgeist.settings import Settings
from hausgeist.store.blobs import Blobs
from hausgeist.store.database import Database

class Source:
    async def headers(self, part, *, renew=False):
        return {}

async def main(home, state, url, size, digest, reserve, anew):
    database = Database.open(state)
    egress = Egress(Settings(home=home, allow=("127.0.0.1",)), Governor(database))
    downloads = Downloads(Blobs(home, reserve=int(reserve)), egress)
    part = Part(role="weights", url=url, filename="model", size=int(size), sha256=digest)
    try:
        print(await downloads.fetch(part, Source(), anew=anew == "True"))
    except HausgeistError as error:
        print(type(error).__name__, error.message)
    finally:
        await egress.close()
        database.close()

asyncio.run(main(pathlib.Path(sys.argv[1]), pathlib.Path(sys.argv[2]), *sys.argv[3:]))
"""


@pytest.fixture
async def upstream() -> AsyncIterator[Upstream]:
    async with serve() as upstream:
        upstream.files = {"/model": DATA}
        yield upstream


async def start(home: Path, upstream: Upstream, *, state: Path | None = None, reserve: int = 0, anew: bool = False) -> asyncio.subprocess.Process:
    given = (home, state or home, f"{upstream.url}/model", len(DATA), DIGEST, reserve, anew)
    return await asyncio.create_subprocess_exec(sys.executable, "-c", FETCHER, *map(str, given), stdout=subprocess.PIPE)


async def said(process: asyncio.subprocess.Process) -> str:
    out, _ = await process.communicate()
    return out.decode().strip()


def holds(home: Path) -> None:
    blobs = Blobs(home)
    assert blobs.path(DIGEST).read_bytes() == DATA
    assert [path.name for path in blobs.folder.iterdir()] == [f"sha256-{DIGEST}"]


async def test_killed_at_random_moments_it_goes_on_where_it_was(tmp_path: Path, upstream: Upstream) -> None:
    """Of what came, a killed process loses no more than what its connections had not written yet."""
    chance = random.Random(os.urandom(4))
    journal = tmp_path / "blobs" / f".download-{DIGEST}.journal"
    upstream.pause = 0.004
    kept = 0
    for _ in range(4):
        upstream.sent, wanted = 0, chance.randrange(2 * MIB, 10 * MIB)
        process = await start(tmp_path, upstream)
        while upstream.sent < wanted:
            await asyncio.sleep(0.005)
        process.send_signal(signal.SIGKILL)
        assert await process.wait() == -signal.SIGKILL
        came = upstream.sent
        now = Journal.peek(journal)
        assert now >= kept
        assert now - kept >= came - 9 * MIB
        assert not (tmp_path / "blobs" / f"sha256-{DIGEST}").exists()
        kept = now
    assert kept > 0
    upstream.pause, upstream.sent = 0.0, 0
    assert await said(await start(tmp_path, upstream)) == DIGEST
    assert upstream.sent <= len(DATA) - kept + 8 * MIB
    holds(tmp_path)


async def test_killed_in_the_last_moments(tmp_path: Path, upstream: Upstream) -> None:
    """Whatever the moment, the blob is whole or not there."""
    chance = random.Random(os.urandom(4))
    for _ in range(6):
        upstream.sent = 0
        process = await start(tmp_path, upstream)
        while upstream.sent < len(DATA) - Journal.peek(tmp_path / "blobs" / f".download-{DIGEST}.journal") and process.returncode is None:
            await asyncio.sleep(0.002)
        await asyncio.sleep(chance.uniform(0, 0.15))
        if process.returncode is None:
            process.send_signal(signal.SIGKILL)
        await process.wait()
        blob = tmp_path / "blobs" / f"sha256-{DIGEST}"
        if blob.exists():
            assert blob.read_bytes() == DATA
    assert await said(await start(tmp_path, upstream)) == DIGEST
    assert Blobs(tmp_path).path(DIGEST).read_bytes() == DATA


async def test_killed_while_a_damaged_one_is_fetched_anew(tmp_path: Path, upstream: Upstream) -> None:
    """At every moment there is the damaged one or the good one."""
    damaged = b"damaged" + DATA[7:]
    blob = Blobs(tmp_path).path(DIGEST)
    blob.write_bytes(damaged)
    upstream.pause = 0.004
    for wanted in (2 * MIB, 6 * MIB):
        upstream.sent = 0
        process = await start(tmp_path, upstream, anew=True)
        while upstream.sent < wanted:
            await asyncio.sleep(0.005)
        process.kill()
        await process.wait()
        assert Blobs(tmp_path).digests() == [DIGEST]
        assert blob.read_bytes() == damaged
    upstream.pause = 0.0
    assert await said(await start(tmp_path, upstream, anew=True)) == DIGEST
    holds(tmp_path)


async def test_two_processes_fetch_it_once(tmp_path: Path, upstream: Upstream) -> None:
    upstream.pause = 0.002
    assert await asyncio.gather(*[said(await start(tmp_path, upstream)) for _ in range(2)]) == [DIGEST, DIGEST]
    assert upstream.sent == len(DATA)
    holds(tmp_path)


async def test_when_one_process_dies_the_other_goes_on(tmp_path: Path, upstream: Upstream) -> None:
    upstream.pause = 0.004
    first = await start(tmp_path, upstream)
    while upstream.sent < 6 * MIB:
        await asyncio.sleep(0.005)
    second = await start(tmp_path, upstream)
    await asyncio.sleep(1.0)
    first.kill()
    await first.wait()
    upstream.pause = 0.0
    assert await said(second) == DIGEST
    assert upstream.sent < len(DATA) + 9 * MIB
    holds(tmp_path)


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    disk = tmp_path / "disk"
    disk.mkdir()
    mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=20m", "none", disk], check=False, capture_output=True).returncode == 0
    if not mounted:
        pytest.skip("file systems can be mounted by root only")
    try:
        yield disk
    finally:
        subprocess.run(["umount", "--lazy", disk], check=True)


async def test_a_disk_that_is_too_small_and_one_that_fills_up(small_disk: Path, tmp_path: Path, upstream: Upstream) -> None:
    told = await said(await start(small_disk, upstream, state=tmp_path))
    assert told.startswith("DiskFull")
    assert "50.3 MB are still to be fetched" in told
    # Somebody else takes the space that was there at the beginning.
    told = await said(await start(small_disk, upstream, state=tmp_path, reserve=-10 * len(DATA)))
    assert told.startswith("DiskFull")
    assert "Free some space" in told
    assert Journal.peek(small_disk / "blobs" / f".download-{DIGEST}.journal") > 10 * MIB
    assert shutil.disk_usage(small_disk).free < MIB
    subprocess.run(["mount", "-o", "remount,size=80m", small_disk], check=True)
    upstream.sent = 0
    assert await said(await start(small_disk, upstream, state=tmp_path)) == DIGEST
    assert upstream.sent < len(DATA) - 9 * MIB
    holds(small_disk)
