"""Many clients of three tongues on two models of which only one fits into memory, leaving at random: everybody is answered or told to come back,
no user is kept out by another, and memory is never promised twice.

`make soak` runs it for some minutes (`SOAK_LOAD_SECONDS`), `make test` for some seconds.
"""

from __future__ import annotations

import asyncio
import json
import random
import re
import statistics
import time
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from hausgeist.engines.specimen import write_specimen
from hausgeist.store.database import Database
from hausgeist.workspace.service import Workspace
from tests.acceptance.support import ServerProcess, needs_linux, wrong_shape
from tests.soak.amounts import amount, report
from tests.soak.judge import Watch

MODELS = ("one", "other")
USERS = {"greedy": 12, "alice": 2, "bob": 2}
"""Connections that each keeps busy."""
SLOTS, QUEUE = 2, 10
_PATIENCE = 120.0
_ENDS = {"openai": b"data: [DONE]", "anthropic": b"message_stop", "ollama": b'"done":true'}


@dataclass
class Tally:
    """What became of a user's requests."""

    answers: Counter[str] = field(default_factory=Counter)
    waits: list[float] = field(default_factory=list)
    """Seconds until the first byte, of those that were answered."""


@dataclass
class Crowd:
    """All that happens while the time runs."""

    server: ServerProcess
    keys: dict[str, str]
    until: float
    random: random.Random
    users: dict[str, Tally] = field(default_factory=dict)
    wrong: list[str] = field(default_factory=list)
    most_memory: int = 0
    most_workers: int = 0
    samples: int = 0
    loads: int = 0

    async def run(self, budget: int) -> None:
        self.users = {name: Tally() for name in self.keys}
        async with aiohttp.ClientSession(self.server.url, connector=aiohttp.TCPConnector(limit=0)) as http, asyncio.TaskGroup() as group:
            group.create_task(self._observe(http, budget))
            for user, count in USERS.items():
                for number in range(count):
                    group.create_task(self._client(http, user, random.Random(f"{self.random.random()}{number}")))

    async def _client(self, http: aiohttp.ClientSession, user: str, chance: random.Random) -> None:
        while time.monotonic() < self.until:
            tongue = chance.choice(list(_ENDS))
            outcome = await self._ask(http, user, tongue, chance)
            self.users[user].answers[outcome] += 1
            if outcome in {"429", "503"}:
                await asyncio.sleep(chance.uniform(0.05, 0.3))

    async def _ask(self, http: aiohttp.ClientSession, user: str, tongue: str, chance: random.Random) -> str:
        path, body = _question(tongue, chance)
        leaves = chance.uniform(0, 1.5) if chance.random() < 0.2 else None
        asked = time.monotonic()
        try:
            async with (
                asyncio.timeout(leaves),
                http.post(
                    path, json=body, headers={"authorization": f"Bearer {self.keys[user]}"}, timeout=aiohttp.ClientTimeout(total=_PATIENCE)
                ) as answer,
            ):
                if answer.status != 200:
                    return self._refusal(path, answer, await answer.read())
                said = await answer.content.readany()
                self.users[user].waits.append(time.monotonic() - asked)
                said += await answer.content.read()
        except TimeoutError:
            if leaves is None:
                self.wrong.append(f"{user}: no answer within {_PATIENCE:.0f} s at {path}")
                return "hung"
            return "left"
        except aiohttp.ClientError as error:
            self.wrong.append(f"{user}: the connection broke at {path}: {error}")
            return "broken"
        if body["stream"] and _ENDS[tongue] not in said[-400:]:
            self.wrong.append(f"{user}: a stream without an end at {path}: {said[-300:]!r}")
        if not body["stream"] and "error" in json.loads(said):
            self.wrong.append(f"{user}: an error with status 200 at {path}: {said[:300]!r}")
        return "answered"

    def _refusal(self, path: str, answer: aiohttp.ClientResponse, body: bytes) -> str:
        if answer.status not in {429, 503}:
            self.wrong.append(f"status {answer.status} at {path}: {body[:300]!r}")
        elif wrong := wrong_shape(path, json.loads(body)):
            self.wrong.append(wrong)
        if answer.status == 429 and not re.fullmatch(r"\d+", answer.headers.get("retry-after", "")):
            self.wrong.append(f"429 without Retry-After at {path}")
        return str(answer.status)

    async def _observe(self, http: aiohttp.ClientSession, budget: int) -> None:
        while time.monotonic() < self.until:
            async with http.get("/api/ps") as answer:
                models = (await answer.json())["models"]
            memory = sum(model["size"] for model in models)
            workers = len(self.server.workers())
            self.most_memory, self.most_workers = max(self.most_memory, memory), max(self.most_workers, workers)
            self.samples += 1
            if memory > budget or len(models) > 1:
                self.wrong.append(f"{[model['name'] for model in models]} hold {memory} of {budget} bytes")
            # One that serves, and one that is being asked how large it would be.
            if workers > 2:
                self.wrong.append(f"{workers} engine processes at once")
            await asyncio.sleep(0.2)


def _question(tongue: str, chance: random.Random) -> tuple[str, dict[str, Any]]:
    body: dict[str, Any] = {"model": MODELS[chance.random() < 0.25], "stream": chance.random() < 0.7, "temperature": 0}
    tokens = chance.choice((5, 50, 400))
    asked = [{"role": "user", "content": "tell me of the house " * chance.choice((1, 20))}]
    match tongue:
        case "openai":
            return "/v1/chat/completions", body | {"messages": asked, "max_tokens": tokens}
        case "anthropic":
            return "/v1/messages", body | {"messages": asked, "max_tokens": tokens}
    options = {"num_predict": tokens, "temperature": body.pop("temperature")}
    return "/api/chat", body | {"messages": asked, "options": options}


def _people(home: Path) -> dict[str, str]:
    """A key for each user."""

    async def make() -> dict[str, str]:
        database = Database.open(home)
        workspace = Workspace(database)
        keys = {}
        for name in USERS:
            user = await workspace.create_user(name, role="owner")
            keys[name] = (await workspace.create_key(project="default", name=name, role="member", user=user.id))[1]
        database.close()
        return keys

    return asyncio.run(make())


def _needed(folder: Path, files: list[Path], arguments: list[str]) -> int:
    """Bytes that one model is promised."""
    with ServerProcess(folder / "trial", *files, arguments=arguments) as server, server.start().client() as client:
        body = {"model": MODELS[0], "messages": [{"role": "user", "content": "a"}], "max_tokens": 1}
        assert client.post("/v1/chat/completions", json=body).status_code == 200
        found = re.search(r'^hausgeist_model_memory_bytes{model="one"} ([\d.e+]+)$', client.get("/metrics").text, re.MULTILINE)
        assert found
        return int(float(found[1]))


def load(folder: Path, seconds: float, number: int) -> Crowd:
    needs_linux()
    files = [write_specimen(folder / f"{name}.gguf", seed=seed) for seed, name in enumerate(MODELS)]
    arguments = ["--offline", "--log-level", "warning", "--slots", str(SLOTS), "--context", "2048"]
    budget = int(_needed(folder, files, arguments) * 1.5)
    environment = {"HAUSGEIST_MEMORY": str(budget), "HAUSGEIST_QUEUE": str(QUEUE)}
    with ServerProcess(folder / "home", *files, arguments=arguments, environment=environment) as server, server.start().client() as client:
        crowd = Crowd(server, _people(server.home), time.monotonic() + seconds, random.Random(number))
        with Watch(server, client, model=MODELS[0]) as watch:
            asyncio.run(crowd.run(budget))
        found = re.findall(r'^hausgeist_model_loads_total{model="\w+",outcome="(\w+)"} ([\d.]+)$', client.get("/metrics").text, re.MULTILINE)
        crowd.loads = int(sum(float(count) for outcome, count in found if outcome == "ok"))
        if failed := [outcome for outcome, _ in found if outcome != "ok"]:
            crowd.wrong.append(f"loads that {failed}")
    lines: list[tuple[str, object]] = [
        ("seconds", round(watch.seconds)),
        ("seed", number),
        ("connections", USERS),
        ("loads of models", crowd.loads),
        ("memory at most, of the budget (MiB)", f"{crowd.most_memory / 2**20:.0f} of {budget / 2**20:.0f}, {crowd.samples} samples"),
        ("engine processes at most", crowd.most_workers),
        ("more open files afterwards", watch.more_descriptors),
        ("more memory of the server afterwards (MiB)", round(watch.more_memory / 2**20)),
    ]
    for name, tally in crowd.users.items():
        wait = (
            f"first byte after {statistics.median(tally.waits):.2f} s (median), {max(tally.waits):.1f} s at most" if tally.waits else "never answered"
        )
        lines.append((name, f"{dict(tally.answers)}; {wait}"))
    report("load on two models that do not fit together", [*lines, ("wrong", len(crowd.wrong))])
    assert not crowd.wrong, "\n".join(crowd.wrong[:20])
    return crowd


def _fair(crowd: Crowd) -> None:
    """Who asks little is not kept out, or short, by who asks much."""
    greedy = crowd.users["greedy"]
    for name in ("alice", "bob"):
        tally = crowd.users[name]
        assert _share(tally) > min(0.9, _share(greedy) + 0.1), f"{name} is refused as often as the one who fills the queue"
        each, greedily = tally.answers["answered"] / USERS[name], greedy.answers["answered"] / USERS["greedy"]
        assert each > greedily, f"a connection of {name} gets less than one of the one who asks most"


def _share(tally: Tally) -> float:
    """Of the requests that were not given up, those that were answered."""
    asked = sum(tally.answers.values()) - tally.answers["left"]
    return tally.answers["answered"] / asked if asked else 0.0


@pytest.mark.timeout(200)
def test_some_seconds(tmp_path: Path) -> None:
    crowd = load(tmp_path, 12, 3)
    assert sum(tally.answers["answered"] for tally in crowd.users.values()) > 5
    assert crowd.loads >= 2


@pytest.mark.soak
def test_some_minutes(tmp_path: Path) -> None:
    crowd = load(tmp_path, amount("LOAD_SECONDS", 300), amount("SEED", time.time()))
    _fair(crowd)
