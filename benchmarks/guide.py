"""What the built-in guide knows, by the blind test, and how soon it answers."""

from __future__ import annotations

import json
import time

import httpx

from benchmarks.report import Figure, median, quantile
from benchmarks.servers import hausgeist
from hausgeist.library.guide import FILE
from starter.judge import judge

__all__ = ["measure"]

ROUNDS = 60
GOALS = {"en": 0.85, "de": 0.75, "es": 0.6, "fr": 0.6, "zh": 0.6, "off-topic": 0.9, "near-topic": 0.9}
_QUESTION = (
    "Hello, I have just bought a used card for my workstation at home and I would like to know, before I set everything up number {at}, "
    "how I can install a model, which one fits into the memory of it, and what I have to type for that"
)
"""With its number and the chat's format some 50 tokens."""


async def measure() -> list[Figure]:
    with hausgeist(HAUSGEIST_GUIDE="1") as server:
        url = f"http://{server.address.host}:{server.address.port}/v1/"
        figures = [Figure("size", f"{FILE.stat().st_size / 1e6:.2f} MB", "<= 12 MB", FILE.stat().st_size <= 12e6), *(await _soon(url))]
        found, _ = await judge(url, "guide")
    for name, goal in GOALS.items():
        one = found[name]
        value = f"{one.score:.1%} of {one.questions} ({one.missed} missed, {one.wrong} with a wrong command)"
        figures.append(Figure(f"score, {name}", value, f">= {goal:.0%}", one.score >= goal))
    return figures


async def _soon(url: str) -> list[Figure]:
    waits, rates, tokens = [], [], 0
    async with httpx.AsyncClient(base_url=url, timeout=60) as client:
        for at in range(ROUNDS):
            body = {"model": "guide", "messages": [{"role": "user", "content": _QUESTION.format(at=at)}], "temperature": 0, "stream": True}
            body["stream_options"] = {"include_usage": True}
            began, first, usage = time.perf_counter(), 0.0, {}
            async with client.stream("POST", "chat/completions", json=body) as response:
                async for line in response.aiter_lines():
                    event = json.loads(line[6:]) if line.startswith("data: {") else {}
                    if not first and any(choice["delta"].get("content") for choice in event.get("choices", ())):
                        first = time.perf_counter()
                    usage = event.get("usage") or usage
            tokens = usage["prompt_tokens"]
            if at:  # the first one loads the model
                waits.append((first - began) * 1000)
                rates.append((usage["completion_tokens"] - 1) / (time.perf_counter() - first))
    name = f"first token of a question of {tokens} tokens, loaded, over the API"
    value = f"p50 {median(waits):.1f} ms, p95 {quantile(waits, 0.95):.1f} ms"
    return [Figure(name, value, "<= 150 ms", quantile(waits, 0.95) <= 150), Figure("tokens per second of one stream", f"{median(rates):.0f}")]
