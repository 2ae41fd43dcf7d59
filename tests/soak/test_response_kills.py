"""A server that is killed again and again while it makes responses: every one that was acknowledged comes to an end that is the same for all who
look at it, and its events have no gap."""

from __future__ import annotations

import asyncio
import os
import random
import sqlite3
import time
from collections import Counter
from pathlib import Path

import openai
import pytest

from tests.acceptance.support import ServerProcess, needs_linux

pytestmark = pytest.mark.soak
MODEL = "fake:obeys@200"
KILLS = int(os.environ.get("SOAK_KILLS", "25"))


async def _talk(url: str, stop: asyncio.Event, acknowledged: set[str], chance: random.Random) -> None:
    """One client, which asks until the server is gone."""
    try:
        async with openai.AsyncOpenAI(base_url=f"{url}/v1", api_key="anything", max_retries=0, timeout=30) as client:
            conversation = await client.conversations.create()
            while not stop.is_set():
                asked = f"count {chance.randint(3, 200)}"
                where = conversation.id if chance.random() < 0.3 else None
                if chance.random() < 0.5:
                    response = await client.responses.create(model=MODEL, input=asked, background=True, conversation=where)
                    acknowledged.add(response.id)
                    async for _ in await client.responses.retrieve(response.id, stream=True):
                        pass
                else:
                    async for event in await client.responses.create(model=MODEL, input=asked, conversation=where, stream=True):
                        if event.type == "response.completed":
                            acknowledged.add(event.response.id)
    except openai.APIError:
        pass
    except Exception as error:
        # What a connection that breaks in the middle of a stream raises below the SDK.
        if not type(error).__module__.startswith("http"):
            raise


async def _look(url: str, acknowledged: set[str]) -> Counter[str]:
    ends: Counter[str] = Counter()
    async with openai.AsyncOpenAI(base_url=f"{url}/v1", api_key="anything", max_retries=0, timeout=60) as client:
        until = time.monotonic() + 120
        for name in acknowledged:
            while (response := await client.responses.retrieve(name)).status in ("queued", "in_progress"):
                assert time.monotonic() < until, f"{name} has no end"
                await asyncio.sleep(0.1)
            ends[str(response.status)] += 1
            assert response.status in ("completed", "failed")
            if response.background:
                events = [event async for event in await client.responses.retrieve(name, stream=True)]
                assert [event.sequence_number for event in events] == list(range(len(events)))
                assert events[-1].type == f"response.{response.status}"
                assert "".join(event.delta for event in events if event.type == "response.output_text.delta") == response.output_text
    return ends


async def test_no_response_is_lost(tmp_path: Path) -> None:
    needs_linux()
    seed = random.randrange(10**6)
    print(f"seed {seed}")
    chance, acknowledged = random.Random(seed), set[str]()
    with ServerProcess(tmp_path / "home", arguments=["--offline"]) as server:
        server.start()
        for _ in range(KILLS):
            stop = asyncio.Event()
            clients = [asyncio.create_task(_talk(server.url, stop, acknowledged, chance)) for _ in range(8)]
            await asyncio.sleep(chance.uniform(0.3, 2))
            await asyncio.to_thread(server.kill)
            stop.set()
            await asyncio.gather(*clients)
            await asyncio.to_thread(server.start)
        ends = await _look(server.url, acknowledged)
        print(ends)
        assert ends["completed"] > 0
    with sqlite3.connect(tmp_path / "home" / "hausgeist.db") as database:
        assert database.execute("PRAGMA integrity_check").fetchone() == ("ok",)
        assert database.execute("SELECT count(*) FROM responses WHERE status IN ('queued', 'in_progress')").fetchone() == (0,)
