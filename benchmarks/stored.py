"""What keeping answers costs: what `store` adds to the first token and to the last, lists of 100,000 that were kept, and telling a webhook."""

from __future__ import annotations

import json
import shutil
import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

from sqlalchemy import insert

from benchmarks.report import Figure, quantile
from benchmarks.servers import BUILD, hausgeist
from benchmarks.wire import Address, stream
from hausgeist.app import build
from hausgeist.conversations.completions import Completions
from hausgeist.conversations.records import completions
from hausgeist.engines.specimen import write_specimen
from hausgeist.identity import LOCAL_OWNER, Origin
from hausgeist.settings import load_settings
from hausgeist.store.database import Database

__all__ = ["measure"]

ROUNDS = 500
KEPT = 100_000
PATH = "/v1/chat/completions"


async def measure() -> list[Figure]:
    tiny = BUILD / "tiny.gguf"
    if not tiny.exists():
        write_specimen(tiny)
    with hausgeist(tiny, toml="[models.tiny]\nthreads = 1\n") as server:
        found = await _first_token(server.address)
    return [*found, *await _lists(), await _told()]


async def _first_token(address: Address) -> list[Figure]:
    """Interleaved, so that noise meets both."""
    plain: dict[str, Any] = {"model": "tiny", "messages": [{"role": "user", "content": "Tell me about the house."}], "max_tokens": 16}
    plain |= {"temperature": 0, "ignore_eos": True}
    kept = {**plain, "store": True, "metadata": {"for": "the benchmark"}}
    firsts: tuple[list[float], list[float]] = ([], [])
    lasts: tuple[list[float], list[float]] = ([], [])
    for number in range(ROUNDS + 20):
        # In turns, because each meets what the one before has left to do.
        for which, body in sorted(enumerate((plain, kept)), reverse=bool(number % 2), key=lambda one: one[0]):
            one = await stream(address, PATH, body)
            if number >= 20:
                firsts[which].append(one.first * 1000)
                lasts[which].append(one.last * 1000)
    figures = []
    for what, (without, with_store), goal in (("the first token", firsts, 3.0), ("the end of 16 tokens", lasts, None)):
        for share in (0.5, 0.95):
            added = quantile(with_store, share) - quantile(without, share)
            value = f"{added:+.2f} ms ({quantile(with_store, share):.2f} against {quantile(without, share):.2f})"
            title = f"store: added to {what}, p{share * 100:.0f}"
            figures.append(Figure(title, value, f"<= {goal:g} ms" if goal else "", added <= goal if goal else None))
    return figures


async def _lists() -> list[Figure]:
    """Of somebody who has kept 100,000 answers of half a page."""
    home = BUILD / "kept"
    shutil.rmtree(home, ignore_errors=True)
    database = Database.open(home)
    stored, body = Completions(database), {"choices": [{"message": {"content": "word " * 100}}]}
    for start in range(0, KEPT, 5000):
        rows = [
            {
                "id": f"chatcmpl-{number:032x}", "project": LOCAL_OWNER.project, "user": LOCAL_OWNER.user, "created": float(number),
                "model": f"m{number % 7}", "metadata": f'{{"number":"{number}","kind":"k{number % 10}"}}', "body": json.dumps(body), "messages": "[]",
            }
            for number in range(start, start + 5000)
        ]  # fmt: skip
        await database.write(lambda connection, rows=rows: connection.execute(insert(completions), rows) and None)
    middle = f"chatcmpl-{KEPT // 2:032x}"
    asked: dict[str, Callable[[], Awaitable[Any]]] = {
        "a page of 20": lambda: stored.page(LOCAL_OWNER),
        "a page of 20 from the middle": lambda: stored.page(LOCAL_OWNER, after=middle, order="desc"),
        "a page of 20 by a common pair of metadata": lambda: stored.page(LOCAL_OWNER, metadata={"kind": "k3"}),
        "the one by a pair that is the last one's": lambda: stored.page(LOCAL_OWNER, metadata={"number": str(KEPT - 1)}),
    }
    figures = [Figure(f"of {KEPT:,} kept: {name}, p95", f"{await _p95(ask):.1f} ms") for name, ask in asked.items()]
    database.close()
    return figures


async def _told() -> Figure:
    """Until it is certain that an address will be told."""
    home = BUILD / "told"
    shutil.rmtree(home, ignore_errors=True)
    app = build(load_settings(home=Path(home), port=0, allow=("127.0.0.1",)))
    await app.webhooks.create(LOCAL_OWNER, name="n", url="http://127.0.0.1:9/", events=("batch.failed",), origin=Origin("127.0.0.1"))
    p95 = await _p95(lambda: app.webhooks.notify("default", "batch.failed", "batch_1"))
    await app.stop(drain=0)
    return Figure("webhook: promised to be told, p95", f"{p95:.1f} ms")


async def _p95(ask: Callable[[], Awaitable[Any]], rounds: int = 50) -> float:
    """Milliseconds."""
    times = []
    for _ in range(rounds):
        began = time.perf_counter()
        await ask()
        times.append((time.perf_counter() - began) * 1000)
    return quantile(times, 0.95)
