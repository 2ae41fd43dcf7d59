"""kill -9 of a server that is telling an address of something: what was promised to be told is told by the next one."""

from __future__ import annotations

import asyncio
import json
import signal
import sys
from pathlib import Path

import pytest

from hausgeist.app import build
from hausgeist.settings import load_settings
from hausgeist.webhooks.delivery import KIND
from tests.receiver import HANG, receiving

ROOT = Path(__file__).parents[2]

TELLER = """
import asyncio, json, sys
from hausgeist.app import build
from hausgeist.identity import LOCAL_OWNER, Origin
from hausgeist.settings import load_settings
from pathlib import Path

async def main(home, url):
    app = build(load_settings(home=Path(home), port=0, fake=True, allow=("127.0.0.1",)))
    await app.start()
    origin = Origin("127.0.0.1")
    made = await app.webhooks.create(LOCAL_OWNER, name="n", url=url, events=("batch.completed",), origin=origin)
    for number in range(3):
        await app.webhooks.notify("default", "batch.completed", f"batch_{number}")
    print(made.secret, flush=True)
    await asyncio.sleep(60)

asyncio.run(main(*sys.argv[1:]))
"""


@pytest.mark.timeout(90)
async def test_what_was_promised_is_told_after_a_kill(tmp_path: Path) -> None:
    async with receiving(always=HANG) as receiver:
        teller = await asyncio.create_subprocess_exec(
            sys.executable, "-c", TELLER, str(tmp_path), receiver.url, cwd=ROOT, stdout=asyncio.subprocess.PIPE
        )
        assert teller.stdout is not None
        secret = (await teller.stdout.readline()).decode().strip()
        # All three are on their way, and nobody has answered.
        cut = {one.headers["webhook-id"] for one in await receiver.wait(3, seconds=30)}
        teller.kill()
        assert await teller.wait() == -signal.SIGKILL
        receiver.always = 200
        app = build(load_settings(home=tmp_path, port=0, fake=True, allow=("127.0.0.1",)))
        try:
            await app.start()
            told = (await receiver.wait(6, seconds=30))[3:]
            async with asyncio.timeout(10):
                while {job.status for job in app.deliveries.list(kind=KIND)} != {"done"}:
                    await asyncio.sleep(0.02)
        finally:
            await app.stop(drain=0)
    assert {one.headers["webhook-id"] for one in told} == cut, "who was told twice knows it by the id"
    assert {json.loads(one.body)["data"]["id"] for one in told} == {"batch_0", "batch_1", "batch_2"}
    for one in told:
        one.unwrap(secret)
