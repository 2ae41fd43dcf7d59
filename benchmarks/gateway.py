"""What Hausgeist adds to its engine: time to the first token, speed of generation, CPU per request and per chunk; LiteLLM's proxy beside it.

Every comparison is interleaved (A, B, A, B, ...) in one run, so that noise of the machine meets both; figures are medians of five rounds.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

from benchmarks.report import Figure, median, quantile
from benchmarks.servers import Server, engine_alone, hausgeist, litellm, settle, tcp_engine
from benchmarks.wire import Address, Stream, ask, stream

__all__ = ["measure"]

ROUNDS = 5
STREAMS = 64
SIDE_BY_SIDE = 8
RATE = 50
PATH = "/v1/chat/completions"
TOML = f"""
slots = {SIDE_BY_SIDE}
[models."fake:echo@{RATE}"]
slots = {STREAMS}
[models."fake:echo"]
slots = {STREAMS}
[models.tiny]
threads = 1
"""
"""One thread for the model that answers at once: where threads of an engine wait for each other on busy cores, nothing else can be measured."""


def _chat(model: str, tokens: int, text: str = "Tell me about the house.") -> dict[str, Any]:
    return {"model": model, "messages": [{"role": "user", "content": text}], "max_tokens": tokens, "temperature": 0, "ignore_eos": True}


async def measure(tiny: Path, large: Path, *, rival: bool) -> list[Figure]:
    """`tiny`: answers at once, so that what is measured is everything but the engine. `large`: an engine at true size."""
    found: list[Figure] = []
    with hausgeist(tiny, large, toml=TOML, HAUSGEIST_FAKE="1") as server:
        async with engine_alone(large, slots=SIDE_BY_SIDE) as alone:
            found.append(await _generation(server.address, alone, large.stem))
        async with engine_alone(tiny, slots=SIDE_BY_SIDE, threads=1) as alone:
            found += await _first_token("Hausgeist", server.address, alone, tiny.stem, goals=(2.0, 10.0))
        found += await _cpu("Hausgeist", server, tiny.stem, goals=(2.0, 40.0))
        found.append(await _many("Hausgeist", server.address, goal=0.98))
        if rival:
            found += await _rival(tiny, server)
    return found


async def _rival(tiny: Path, fakes: Server) -> list[Figure]:
    with tcp_engine(tiny, 4391, 1) as alone, litellm({tiny.stem: alone, f"fake:echo@{RATE}": fakes.address}, 4392) as proxy:
        await settle()
        return [
            *await _first_token("LiteLLM", proxy.address, alone, tiny.stem, extra=False),
            *await _cpu("LiteLLM", proxy, tiny.stem, extra=False),
            await _many("LiteLLM", proxy.address),
        ]


async def _interleaved(one: Callable[[], Awaitable[float]], other: Callable[[], Awaitable[float]]) -> tuple[list[float], list[float]]:
    left, right = [], []
    for _ in range(ROUNDS):
        left.append(await one())
        right.append(await other())
    return left, right


async def _generation(ours: Address, alone: Address, model: str) -> Figure:
    """Tokens per second of one stream through the gateway, against the engine asked directly."""
    # Random weights rarely make whole characters, so events say little: the engine's own count of tokens does.
    body = {**_chat(model, 96), "stream_options": {"include_usage": True}}
    for address in (ours, alone):
        await stream(address, PATH, body)

    async def rate(address: Address) -> float:
        return (await stream(address, PATH, body)).rate()

    gateway, direct = await _interleaved(lambda: rate(ours), lambda: rate(alone))
    ratio = median([a / b for a, b in zip(gateway, direct, strict=True)])
    value = f"{ratio:.3f}x ({median(gateway):.1f} against {median(direct):.1f} tokens/s)"
    return Figure(f"generation at one stream, gateway against worker ({model})", value, ">= 0.99x", ratio >= 0.99)


async def _first_token(
    name: str, ours: Address, alone: Address, model: str, *, goals: tuple[float, float] | None = None, extra: bool = True
) -> list[Figure]:
    """Milliseconds that the way through the gateway adds to the first token: difference of the quantiles over 500 requests each."""
    body = _chat(model, 1)
    if not extra:
        body.pop("ignore_eos")
    gateway, direct = [], []
    for address in (ours, alone):
        for _ in range(20):
            await stream(address, PATH, body)
    for _ in range(500):
        gateway.append((await stream(ours, PATH, body)).first * 1000)
        direct.append((await stream(alone, PATH, body)).first * 1000)
    figures = []
    for share, index in ((0.5, 0), (0.99, 1)):
        added = quantile(gateway, share) - quantile(direct, share)
        value = f"{added:.2f} ms ({quantile(gateway, share):.2f} against {quantile(direct, share):.2f})"
        goal = goals[index] if goals else None
        title = f"{name}: added time to first token, p{share * 100:.0f}"
        figures.append(Figure(title, value, f"<= {goal:g} ms" if goal else "", added <= goal if goal else None))
    return figures


async def _cpu(name: str, server: Server, model: str, *, goals: tuple[float, float] | None = None, extra: bool = True) -> list[Figure]:
    """CPU of the server's process alone, per plain request and per chunk of a stream.

    With one stream every chunk wakes a client that sleeps, which the kernel charges to the writer; with several it is awake already.
    """
    short, long = _chat(model, 1), _chat(model, 256)
    if not extra:
        short.pop("ignore_eos")
        long.pop("ignore_eos")
    per_request: list[float] = []
    per_chunk: dict[int, list[float]] = {1: [], SIDE_BY_SIDE: []}
    for _ in range(ROUNDS):
        before = server.cpu()
        for _ in range(100):
            await ask(server.address, PATH, short)
        per_request.append((server.cpu() - before) / 100 * 1000)
        for streams, spent in per_chunk.items():
            before, events = server.cpu(), 0
            for _ in range(2 * SIDE_BY_SIDE // streams):
                events += sum(one.events for one in await asyncio.gather(*(stream(server.address, PATH, long) for _ in range(streams))))
            opening = 2 * SIDE_BY_SIDE * median(per_request) / 1000
            spent.append(max(0.0, server.cpu() - before - opening) / events * 1e6)
    request = median(per_request)
    figures = [
        Figure(f"{name}: CPU per request", f"{request:.2f} ms", f"<= {goals[0]:g} ms" if goals else "", request <= goals[0] if goals else None)
    ]
    for streams, values in per_chunk.items():
        chunk = median(values)
        title = f"{name}: CPU per streamed chunk, {streams} stream{'s' * (streams > 1)}"
        figures.append(Figure(title, f"{chunk:.1f} us", f"<= {goals[1]:g} us" if goals else "", chunk <= goals[1] if goals else None))
    return figures


async def _many(name: str, address: Address, goal: float | None = None) -> Figure:
    """Many streams at once from an engine that gives each so many tokens per second: which part of that arrives."""
    words = " ".join(f"w{number}" for number in range(RATE * 6))
    body = {"model": f"fake:echo@{RATE}", "messages": [{"role": "user", "content": words}]}
    shares, slowest = [], []
    for _ in range(ROUNDS):
        began = time.perf_counter()
        streams: list[Stream] = await asyncio.gather(*(stream(address, PATH, body) for _ in range(STREAMS)))
        rates = [one.rate() / RATE for one in streams]
        shares.append(sum(rates) / STREAMS)
        slowest.append(min(rates))
        assert time.perf_counter() - began < 60
    share = median(shares)
    value = f"{share:.3f}x (slowest stream {median(slowest):.3f}x)"
    return Figure(f"{name}: {STREAMS} streams of {RATE} tokens/s", value, f">= {goal:g}x" if goal else "", share >= goal if goal else None)
