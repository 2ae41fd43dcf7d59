"""What it costs to have Hausgeist around: a command line that answers at once, a server that is soon up, and small while nobody asks."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
import time

from benchmarks.report import Figure, median
from benchmarks.servers import Server, hausgeist, settle
from benchmarks.wire import Address

__all__ = ["measure"]

ROUNDS = 5
STREAMS = 1000


async def measure() -> list[Figure]:
    figures = [_version()]
    starts, resident = [], []
    for _ in range(ROUNDS):
        with hausgeist() as server:
            starts.append(server.started)
            await settle(2.0)
            resident.append(server.process.memory_info().rss / 2**20)
    figures.append(Figure("/health answers after start", f"{median(starts):.2f} s", "<= 1.5 s", median(starts) <= 1.5))
    figures.append(Figure("idle server, no model loaded, resident", f"{median(resident):.0f} MB", "<= 150 MB", median(resident) <= 150))
    toml = f'[models."fake:stalls"]\nslots = {STREAMS}\n'
    with hausgeist(toml=toml, HAUSGEIST_FAKE="1") as server:
        figures.append(await _idle_streams(server))
    return figures


def _version() -> Figure:
    def seconds(*command: str) -> float:
        began = time.perf_counter()
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
        return time.perf_counter() - began

    script = os.path.join(os.path.dirname(sys.executable), "hausgeist")
    added = []
    for _ in range(4 * ROUNDS):
        plain = seconds(sys.executable, "-c", "pass")
        added.append((seconds(script, "--version") - plain) * 1000)
    return Figure("hausgeist --version over python -c pass", f"{median(added):.0f} ms", "<= 100 ms", median(added) <= 100)


async def _idle_streams(server: Server) -> Figure:
    """Streams that have begun and say nothing more: all are held, and the server answers others meanwhile."""
    opened = await asyncio.gather(*(_open(server.address) for _ in range(STREAMS)), return_exceptions=True)
    held = [one for one in opened if isinstance(one, tuple)]
    await settle(10.0)
    began = time.perf_counter()
    reader, writer = await asyncio.open_connection(server.address.host, server.address.port)
    writer.write(b"GET /health HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")
    answered = b" 200 " in await reader.readline()
    took = (time.perf_counter() - began) * 1000
    writer.close()
    alive = sum(not stream_reader.at_eof() for stream_reader, _ in held)
    value = f"{alive} held, {server.process.memory_info().rss / 2**20:.0f} MB, /health in {took:.0f} ms"
    for _, stream_writer in held:
        stream_writer.close()
    return Figure(f"{STREAMS} idle streams", value, f"{STREAMS} held", alive == STREAMS and answered)


async def _open(address: Address) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    reader, writer = await address.connect()
    body = {"model": "fake:stalls", "messages": [{"role": "user", "content": "hold the line"}], "stream": True}
    writer.write(address.request("/v1/chat/completions", body))
    head = await reader.readuntil(b"\r\n\r\n")
    if b" 200 " not in head.split(b"\r\n", 1)[0]:
        raise RuntimeError(head.decode())
    return reader, writer
