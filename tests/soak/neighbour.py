"""A second Hausgeist process on the same home, as the commands of the terminal are: users, links and jobs, until somebody kills it.

`python neighbour.py CONFIG`, with the same ledger and states as `client`.
"""

from __future__ import annotations

import asyncio
import json
import mmap
import random
import sys
from pathlib import Path
from typing import Any

from hausgeist.store.database import Database
from hausgeist.store.jobs import Jobs, Task
from hausgeist.workspace.service import Workspace
from tests.soak.client import IDLE, PAUSED
from tests.soak.ledger import Ledger


async def work(task: Task) -> dict[str, int]:
    await task.progress(1, 2, "half-way")
    await asyncio.sleep(0.02)
    return {"n": task.payload["n"]}


async def main() -> None:
    config = json.loads(Path(sys.argv[1]).read_text())
    ledger = Ledger(Path(config["folder"]) / f"{config['name']}.ledger")
    with open(config["states"], "r+b") as file:
        states = mmap.mmap(file.fileno(), 0)
    database = Database.open(Path(config["home"]))
    workspace = Workspace(database)
    jobs = Jobs(database, at_once=4, poll=0.2, lease=10)
    jobs.register("soak", work)
    await jobs.start()
    chance = random.Random(f"{config['seed']}{config['name']}")
    count = 0

    async def change(op: str, verb: Any, **noted: Any) -> Any:
        nonlocal count
        count += 1
        while states[0] == PAUSED:
            verb_waits = asyncio.sleep(0.02)
            await verb_waits
        states[config["slot"]] = ord("w")
        try:
            ledger.write("asked", op, id=f"{config['name']}-{count}", **noted)
            result = await verb()
            ledger.write("done", op, id=f"{config['name']}-{count}", **({"job": result} if op == "job.enqueue" else {}))
        finally:
            states[config["slot"]] = IDLE
        return result

    while True:
        name = f"{config['name']}-u{count}"
        await change("user.create", lambda: workspace.create_user(name, role="member"), name=name)
        if chance.random() < 0.5:
            await change("user.invite", lambda: workspace.invite(name), name=name)
        if chance.random() < 0.5:
            await change("user.delete", lambda: workspace.remove_user(name), name=name)
        job = await change("job.enqueue", lambda: jobs.enqueue("soak", {"n": count}))
        if chance.random() < 0.7:
            await change("job.wait", lambda: jobs.wait(job, timeout=60), job=job)


if __name__ == "__main__":
    asyncio.run(main())
