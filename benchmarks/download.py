"""A download against `curl -o` and hashlib's sha256 after it: loopback, the same disk, in turns. And a 70 GB file of zeros, for memory and disk."""

from __future__ import annotations

import asyncio
import hashlib
import json
import os
import resource
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import psutil

from benchmarks.report import Figure, median
from benchmarks.servers import BUILD
from hausgeist.governance import Egress, Governor
from hausgeist.library.download import Downloads
from hausgeist.library.sources.base import Part
from hausgeist.settings import load_settings
from hausgeist.store.blobs import Blobs
from hausgeist.store.database import Database

__all__ = ["measure"]

ROUNDS = 5
SIZE = 1_000_000_000
SPARSE = 70_000_000_000
HOME = BUILD / "download-home"


async def measure() -> list[Figure]:
    return await asyncio.to_thread(_measure)


def _measure() -> list[Figure]:
    file, copy = BUILD / "random.bin", BUILD / "curled.bin"
    with file.open("wb") as out:
        for _ in range(SIZE // 10_000_000):
            out.write(os.urandom(10_000_000))
    file.read_bytes()
    theirs, flushed, ours = [], [], []
    with _server(str(file)) as url:
        for _ in range(ROUNDS):
            seconds, with_sync, cpu = _curl(url, copy)
            theirs.append((seconds, cpu))
            flushed.append(with_sync)
            ours.append(_fetch(url))
    file.unlink()
    took, took_ours = median([one[0] for one in theirs]), median([one["seconds"] for one in ours])
    ratio = median([their[0] / our["seconds"] for their, our in zip(theirs, ours, strict=True)])
    durable = median([their / our["seconds"] for their, our in zip(flushed, ours, strict=True)])
    cpu, cpu_ours = median([one[1] for one in theirs]), median([one["cpu"] for one in ours])
    figures = [
        Figure(
            "throughput against curl -o, then sha256",
            f"{ratio:.2f}x ({SIZE / 1e6 / took_ours:.0f} against {SIZE / 1e6 / took:.0f} MB/s)",
            ">= 0.9x",
            ratio >= 0.9,
        ),
        Figure("the same with curl's file flushed, as ours is", f"{durable:.2f}x", ">= 0.9x", durable >= 0.9),
        Figure("CPU per GB", f"{cpu_ours * 1e9 / SIZE:.2f} s against {cpu * 1e9 / SIZE:.2f} s"),
    ]
    with _server("zeros", str(SPARSE)) as url:
        found = _fetch(url)
    return [
        *figures,
        Figure("a 70 GB file of zeros", f"{found['seconds']:.0f} s, {SPARSE / 1e6 / found['seconds']:.0f} MB/s, {found['cpu']:.0f} s of CPU"),
        Figure("its memory above that at the start", f"{found['memory'] / 2**20:.0f} MB", "<= 100 MB", found["memory"] <= 100 << 20),
        Figure("its room on the disk", f"{found['disk'] / 1e6:.1f} MB"),
    ]


@contextmanager
def _server(*arguments: str) -> Iterator[str]:
    process = subprocess.Popen([sys.executable, "-m", "benchmarks.ranges", *arguments], stdout=subprocess.PIPE, text=True)
    try:
        assert process.stdout is not None
        yield f"http://127.0.0.1:{process.stdout.readline().strip()}/file"
    finally:
        process.kill()
        process.wait()


def _curl(url: str, file: Path) -> tuple[float, float, float]:
    """Seconds without and with the flush, and of CPU."""
    file.unlink(missing_ok=True)
    began, used = time.perf_counter(), _cpu()
    subprocess.run(["curl", "--silent", "--fail", "--output", file, url], check=True)
    with file.open("rb") as read:
        hashlib.file_digest(read, "sha256")
    took, spent = time.perf_counter() - began, _cpu() - used
    descriptor = os.open(file, os.O_RDONLY)
    os.fsync(descriptor)
    os.close(descriptor)
    flushed = time.perf_counter() - began
    file.unlink()
    return took, flushed, spent


def _cpu() -> float:
    children, own = resource.getrusage(resource.RUSAGE_CHILDREN), resource.getrusage(resource.RUSAGE_SELF)
    return children.ru_utime + children.ru_stime + own.ru_utime + own.ru_stime


def _fetch(url: str) -> dict[str, float]:
    shutil.rmtree(HOME, ignore_errors=True)
    try:
        done = subprocess.run([sys.executable, "-m", "benchmarks.download", url], check=True, stdout=subprocess.PIPE)
        return dict(json.loads(done.stdout))
    finally:
        shutil.rmtree(HOME, ignore_errors=True)


class _Source:
    async def headers(self, part: Part, *, renew: bool = False) -> Mapping[str, str]:
        return {}


async def _once(url: str) -> dict[str, float]:
    """In a process of its own, on the loop that the server runs on."""
    database = Database.open(HOME)
    egress = Egress(load_settings(home=HOME, allow=("127.0.0.1",)), Governor(database))
    blobs, me = Blobs(HOME), psutil.Process()
    async with egress.request("GET", url, purpose="the first request, as for a manifest", headers={"Range": "bytes=0-9"}) as response:
        await response.read()
    before = most = me.memory_info().rss

    def watch(_: object) -> None:
        nonlocal most
        most = max(most, me.memory_info().rss)

    began, used = time.perf_counter(), time.process_time()
    try:
        digest = await Downloads(blobs, egress).fetch(Part(role="weights", url=url, filename="file"), _Source(), progress=watch)
        took, spent = time.perf_counter() - began, time.process_time() - used
    finally:
        await egress.close()
        database.close()
    return {"seconds": took, "cpu": spent, "memory": most - before, "disk": blobs.path(digest).stat().st_blocks * 512}


if __name__ == "__main__":
    import uvloop

    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        print(json.dumps(runner.run(_once(sys.argv[1]))))
