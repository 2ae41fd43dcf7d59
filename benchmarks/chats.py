"""Chats as they grow: a long one read, a hundred thousand messages searched, what it costs to delete so that nothing stays in the file."""

from __future__ import annotations

import asyncio
import random
import shutil
import time
from collections.abc import Callable, Iterator
from itertools import islice
from pathlib import Path
from typing import Any
from unittest.mock import patch
from urllib.parse import quote

from benchmarks.report import Figure, median, quantile
from benchmarks.servers import BUILD, Server, hausgeist
from benchmarks.wire import ask
from hausgeist.conversations.content import message
from hausgeist.conversations.drafts import Draft, Node, write_draft
from hausgeist.conversations.erasure import erase_rows, scrub
from hausgeist.identity import LOCAL_OWNER, Principal
from hausgeist.store import database as store
from hausgeist.store.database import Database
from hausgeist.workspace.people import add_user

__all__ = ["measure"]

MESSAGES = 100_000
IN_A_CHAT = 50
LONG = 2_000
ROUNDS = 200
WORDS = {
    "common word (und)": "und",
    "common words (und die nicht)": "und die nicht",
    "rare word": "Zwetschgenmus",
    "rare with common": "und Zwetschgenmus",
    "beginning of a word (s)": "s",
    "beginning of a word (st)": "st",
    "beginning of a word (sta)": "sta",
    "phrase": '"und die"',
    "common, Chinese": "的是",
    "one character, Chinese": "的",
    "rare, Chinese": "饕餮",
    "nothing": "Quastenflosser",
}
_DICE = random.Random(6)


async def measure() -> list[Figure]:
    figures: list[Figure] = []
    made: dict[str, str] = {}
    with hausgeist(prepare=lambda home: made.update(_fill(home))) as server:
        figures.append(await _asked(server, f"GET /house/v1/chats/ID with {LONG:,} messages", f"/house/v1/chats/{made['long']}", 50))
        for name, query in WORDS.items():
            figures.append(await _asked(server, f"search in {MESSAGES:,} messages: {name}", f"/house/v1/chats/search?q={quote(query)}", 100))
        figures.append(await _asked(server, f"list of 50 of {MESSAGES // IN_A_CHAT:,} chats", "/house/v1/chats"))
    figures += await _removal()
    return figures


def _fill(home: Path) -> dict[str, str]:
    """Messages of one person, a fifth as many of another, and one long chat; a fifth is Chinese, the rest German in its shape."""
    database = Database.open(home)
    texts = _texts()
    try:
        for who, count in ((LOCAL_OWNER, MESSAGES), (_neighbour(database), MESSAGES // 5)):
            for _ in range(count // IN_A_CHAT):
                database.write_sync(_writing(who, list(islice(texts, IN_A_CHAT))))
        return {"long": database.write_sync(_writing(LOCAL_OWNER, list(islice(texts, LONG)))).id}
    finally:
        database.close()


def _neighbour(database: Database) -> Principal:
    user = database.write_sync(lambda connection: add_user(connection, "neighbour", "member", None)).id
    return Principal(kind="user", id=user, name="neighbour", user=user, role="member", house_role="member")


def _writing(who: Principal, said: list[str]) -> Callable[[Any], Any]:
    now = time.time()
    nodes = [Node(message("assistant" if number % 2 else "user", text), now, number - 1 if number else None) for number, text in enumerate(said)]
    draft = Draft(nodes=nodes, head=len(nodes) - 1, created=now, changed=now)
    return lambda connection: write_draft(connection, who, draft)


def _texts() -> Iterator[str]:
    """Some 450 characters each. Words come as often as in a language: the second half as often as the first, the third a third."""
    syllables = [
        a + b for a in ("b", "d", "f", "g", "h", "k", "l", "m", "n", "r", "s", "sch", "st", "t", "w", "z") for b in ("a", "e", "i", "o", "u", "au")
    ]
    made = ["".join(_DICE.choices(syllables, k=_DICE.randint(2, 5))) for _ in range(60_000)]
    german = ["die", "der", "und", "nicht", "in", "den", "von", "zu", "das", "mit", *made]
    chinese = ["的", "是", "一", "不", "了", "在", "人", "有", "我", "他", *(chr(code) for code in range(0x4E00, 0x4E00 + 3000))]
    weights = {len(words): _zipf(len(words)) for words in (german, chinese)}
    number = 0
    while True:
        number += 1
        if number % 5:
            text = " ".join(_DICE.choices(german, cum_weights=weights[len(german)], k=75))
        else:
            text = "".join(_DICE.choices(chinese, cum_weights=weights[len(chinese)], k=180))
        if number % 30_000 == 7:
            text += " Zwetschgenmus 饕餮"
        yield text


def _zipf(count: int) -> list[float]:
    total, weights = 0.0, []
    for rank in range(1, count + 1):
        total += 1 / rank
        weights.append(total)
    return weights


async def _asked(server: Server, name: str, path: str, goal: float | None = None) -> Figure:
    """How long a client waits, and what of that the server worked, which other programs on the machine do not change."""
    for _ in range(5):
        await ask(server.address, path)
    before = server.cpu()
    times = [await ask(server.address, path) * 1000 for _ in range(ROUNDS)]
    worked, high = (server.cpu() - before) / ROUNDS * 1000, quantile(times, 0.95)
    value = f"p50 {median(times):.1f} ms, p95 {high:.1f} ms; CPU {worked:.1f} ms"
    return Figure(name, value, f"p95 <= {goal:g} ms" if goal else "", high <= goal if goal else None)


async def _removal() -> list[Figure]:
    """The same writes and deletions with and without overwriting what is deleted, and putting the index in order after a person has gone."""
    figures = []
    plain = tuple(pragma.replace("secure_delete = ON", "secure_delete = OFF") for pragma in store._PRAGMAS)
    found: dict[bool, dict[str, list[float]]] = {True: {}, False: {}}
    for _ in range(3):
        for secure in (True, False):
            with patch.object(store, "_PRAGMAS", store._PRAGMAS if secure else plain):
                for name, seconds in (await _once()).items():
                    found[secure].setdefault(name, []).append(seconds * 1000)
    for name in found[True]:
        with_it, without = median(found[True][name]), median(found[False][name])
        figures.append(Figure(f"{name}, overwriting", f"{with_it:.1f} ms ({without:.1f} without, {with_it / without:.2f}x)"))
    return figures


async def _once() -> dict[str, float]:
    home = BUILD / "removal"
    shutil.rmtree(home, ignore_errors=True)
    database, texts = Database.open(home), _texts()
    neighbour = await asyncio.to_thread(_neighbour, database)
    try:
        chats = [list(islice(texts, IN_A_CHAT)) for _ in range(50)]
        others = [list(islice(texts, IN_A_CHAT)) for _ in range(50)]
        took: dict[str, float] = {}
        async with _Clock(took, "write a chat of 50 messages", 50):
            for said in chats:
                await database.write(_writing(LOCAL_OWNER, said))
        for said in others:
            await database.write(_writing(neighbour, said))
        async with _Clock(took, "erase 50 chats of 2,500 messages: rows", 1):
            await database.write(lambda connection: erase_rows(connection, user=neighbour.user))
        async with _Clock(took, "erase 50 chats of 2,500 messages: index and log", 1):
            await scrub(database)
        return took
    finally:
        database.close()


class _Clock:
    """Seconds of what happens within, divided by `count`, under `name` in `took`."""

    def __init__(self, took: dict[str, float], name: str, count: int) -> None:
        self._took, self._name, self._count = took, name, count

    async def __aenter__(self) -> None:
        self._began = time.perf_counter()

    async def __aexit__(self, *failure: object) -> None:
        self._took[self._name] = (time.perf_counter() - self._began) / self._count


if __name__ == "__main__":
    print(*asyncio.run(measure()), sep="\n")
