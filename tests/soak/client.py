"""A client process of the kill runs: `python client.py CONFIG` with writers, loaders and streams that go on until somebody kills it.

Each notes what it asks and what it was told in its ledger. What they are doing stands in a small file that the runner reads: one byte per actor,
`l`, `w` or `s` while a load, a write or a stream is in flight. One more byte is the runner's: while it is `p`, nobody begins anything new.
"""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import json
import mmap
import random
import sys
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import aiohttp

from tests.soak.ledger import Ledger

IDLE, PAUSED = ord("."), ord("p")
_GONE = (aiohttp.ClientError, ConnectionError, TimeoutError)
_FIT = {200, 201, 204}
_SHED = {429, 502, 503}
"""What a server may say in these runs: full, out of memory, or a worker that was killed."""


class Doubt(Exception):
    """Nobody said whether it happened."""


class Refused(Exception):
    """The server said that it did not."""


class Actor:
    """One thing after another, each noted."""

    def __init__(self, client: Client, slot: int, name: str, mark: str) -> None:
        self.client = client
        self.name = name
        self.random = random.Random(f"{client.seed}{name}")
        self._slot = slot
        self._mark = ord(mark)
        self._count = 0

    def next(self) -> str:
        self._count += 1
        return f"{self.name}-{self._count}"

    @asynccontextmanager
    async def busy(self) -> AsyncIterator[None]:
        """In flight, once nobody asks for a pause."""
        while self.client.states[0] == PAUSED:
            await asyncio.sleep(0.02)
        self.client.states[self._slot] = self._mark
        try:
            yield
        finally:
            self.client.states[self._slot] = IDLE

    async def change(self, op: str, method: str, path: str, *, noted: dict[str, Any], learn: Callable[[Any], dict[str, Any]], **http: Any) -> Any:
        """Ask for a change, noting it before and what became of it after. Raises `Doubt`, `Refused`."""
        ledger, identifier = self.client.ledger, self.next()
        async with self.busy():
            ledger.write("asked", op, id=identifier, **noted)
            try:
                async with self.client.http.request(method, path, timeout=aiohttp.ClientTimeout(total=90), **http) as response:
                    body = await response.read()
            except _GONE as error:
                ledger.write("broken", op, what=type(error).__name__)
                await asyncio.sleep(0.1)
                raise Doubt from error
            if response.status in _FIT:
                said = json.loads(body) if body else {}
                ledger.write("done", op, id=identifier, request=response.headers.get("x-request-id", ""), **learn(said))
                return said
        if response.status >= 500:
            # It says that something went wrong, not that nothing happened.
            if response.status not in _SHED:
                self.wrong(op, f"status {response.status}: {body[:300]!r}")
            raise Doubt
        ledger.write("refused", op, id=identifier, status=response.status)
        if response.status not in _SHED:
            self.wrong(op, f"status {response.status}: {body[:300]!r}")
        raise Refused

    async def look(self, op: str, expected: set[int], method: str, path: str, **http: Any) -> bytes:
        """Ask without changing anything; another status than the expected ones is a violation. Raises `Doubt`."""
        async with self.busy():
            try:
                async with self.client.http.request(method, path, timeout=aiohttp.ClientTimeout(total=60), **http) as response:
                    body = await response.read()
            except _GONE as error:
                await asyncio.sleep(0.1)
                raise Doubt from error
        if response.status not in expected | _SHED:
            self.wrong(op, f"status {response.status} instead of {sorted(expected)}: {body[:300]!r}")
        return body

    def wrong(self, op: str, what: str) -> None:
        self.client.ledger.write("violation", op, what=f"{self.name}: {what}")


class Client:
    """All actors of this process, one ledger."""

    def __init__(self, config: dict[str, Any]) -> None:
        self.config = config
        self.name: str = config["name"]
        self.seed: int = config["seed"]
        self.url: str = config["url"]
        self.ledger = Ledger(Path(config["folder"]) / f"{self.name}.ledger")
        with open(config["states"], "r+b") as file:
            self.states = mmap.mmap(file.fileno(), 0)
        self.http = aiohttp.ClientSession(self.url, connector=aiohttp.TCPConnector(limit=0))
        self.specimen = Path(config["specimen"]).read_bytes()

    async def run(self) -> None:
        acts: dict[str, tuple[str, Callable[[Actor], Awaitable[None]]]] = {
            "keys": ("w", keys),
            "models": ("w", models),
            "loads": ("l", loads),
            "streams": ("s", streams),
        }
        names = [(kind, number) for kind in acts for number in range(self.config[kind])]
        actors = [
            (acts[kind][1], Actor(self, self.config["slot"] + slot, f"{self.name}-{kind}{number}", acts[kind][0]))
            for slot, (kind, number) in enumerate(names)
        ]
        async with asyncio.TaskGroup() as group:
            for act, actor in actors:
                group.create_task(self._forever(act, actor))

    async def _forever(self, act: Callable[[Actor], Awaitable[None]], actor: Actor) -> None:
        while True:
            try:
                await act(actor)
            except (Doubt, Refused):
                await asyncio.sleep(actor.random.uniform(0, 0.1))
            except Exception as error:
                actor.wrong("client", f"{type(error).__name__}: {error}")
                raise


# Writers


async def keys(actor: Actor) -> None:
    """A project with keys; renamed, revoked, deleted."""
    name = actor.next()
    project = (
        await actor.change(
            "project.create",
            "POST",
            "/house/v1/projects",
            noted={"name": name},
            learn=lambda said: {"project": said["id"]},
            json={"name": name},
        )
    )["id"]
    secrets: dict[str, str] = {}
    for _ in range(actor.random.randint(1, 3)):
        label = actor.next()
        made = await actor.change(
            "key.create",
            "POST",
            "/house/v1/keys",
            noted={"name": label, "project": project},
            learn=lambda said: {"key": said["id"], "secret": said["key"]},
            json={"name": label, "project": project, "role": "member"},
        )
        secrets[made["id"]] = made["key"]
    key, secret = next(iter(secrets.items()))
    await actor.look("key.use", {200}, "GET", "/house/v1/session", headers={"authorization": f"Bearer {secret}"})
    if actor.random.random() < 0.5:
        other = actor.next()
        path = f"/house/v1/projects/{project}"
        await actor.change("project.rename", "PATCH", path, noted={"project": project, "name": other}, learn=lambda said: {}, json={"name": other})
    if actor.random.random() < 0.6:
        await actor.change("key.revoke", "DELETE", f"/house/v1/keys/{key}", noted={"key": key}, learn=lambda said: {})
        await actor.look("key.use", {401}, "GET", "/house/v1/session", headers={"authorization": f"Bearer {secret}"})
    if actor.random.random() < 0.4:
        await actor.change("project.delete", "DELETE", f"/house/v1/projects/{project}", noted={"project": project}, learn=lambda said: {})
        await actor.look("key.use", {401}, "GET", "/house/v1/session", headers={"authorization": f"Bearer {list(secrets.values())[-1]}"})


async def models(actor: Actor) -> None:
    """Files uploaded in pieces, models made of them, copied, deleted."""
    # The last bytes belong to a matrix: another model each time, and every one of them loads.
    raw = actor.random.random() < 0.15
    content = actor.random.randbytes(300_000) if raw else self_of(actor.client.specimen, actor.random)
    digest = hashlib.sha256(content).hexdigest()

    async def pieces() -> AsyncIterator[bytes]:
        step = max(1, len(content) // actor.random.randint(1, 12))
        for start in range(0, len(content), step):
            yield content[start : start + step]
            await asyncio.sleep(actor.random.choice((0, 0, 0.01, 0.03)))

    await actor.change(
        "blob.upload", "POST", f"/api/blobs/sha256:{digest}", noted={"digest": digest}, learn=lambda said: {"digest": digest}, data=pieces()
    )
    await actor.look("blob.there", {200}, "HEAD", f"/api/blobs/sha256:{digest}")
    if raw:
        return
    first, second = actor.next(), actor.next()
    body = {"model": first, "files": {"model.gguf": f"sha256:{digest}"}, "system": "be kind", "parameters": {"temperature": 0.5}, "stream": False}
    held = {"digest": digest}
    await actor.change("model.create", "POST", "/api/create", noted={"model": first, **held}, learn=lambda said: held, json=body)
    copied = actor.random.random() < 0.6
    if copied:
        body = {"source": first, "destination": second}
        await actor.change("model.copy", "POST", "/api/copy", noted={"model": second, **held}, learn=lambda said: held, json=body)
        await actor.look("model.show", {200}, "POST", "/api/show", json={"model": second})
    if actor.random.random() < 0.7:
        await actor.change("model.delete", "DELETE", "/api/delete", noted={"model": first}, learn=lambda said: {}, json={"model": first})
        await actor.look("model.show", {404}, "POST", "/api/show", json={"model": first})
        if copied:
            await actor.look("blob.there", {200}, "HEAD", f"/api/blobs/sha256:{digest}")
            if actor.random.random() < 0.6:
                await actor.change("model.delete", "DELETE", "/api/delete", noted={"model": second}, learn=lambda said: {}, json={"model": second})


def self_of(specimen: bytes, chance: random.Random) -> bytes:
    """The specimen with another matrix: small half-precision numbers in its last bytes."""
    return specimen[:-64] + b"".join(bytes((chance.randrange(256), chance.randrange(0x20, 0x2C))) for _ in range(32))


# Loads


async def loads(actor: Actor) -> None:
    """A model of one's own that is loaded with each call and unloaded after it, or loaded anew with a larger context."""
    name = f"load-{actor.name.rpartition('loads')[2]}-{actor.client.config['group']}"
    body: dict[str, Any] = {"model": name, "prompt": "a house", "stream": False, "keep_alive": 0, "options": {"num_predict": 3}}
    if actor.random.random() < 0.3:
        body |= {"keep_alive": 30}
        body["options"]["num_ctx"] = actor.random.choice((512, 1024, 2048))
    said = await actor.look("model.load", {200}, "POST", "/api/generate", json=body)
    with contextlib.suppress(ValueError):
        if "error" in (parsed := json.loads(said)) and "internal" in parsed["error"].lower():
            actor.wrong("model.load", parsed["error"])


# Streams

_STREAMS: tuple[tuple[str, str, tuple[str, ...]], ...] = (
    ("openai", "/v1/chat/completions", ("data: [DONE]", '"error"')),
    ("anthropic", "/v1/messages", ("message_stop", '"error"')),
    ("ollama", "/api/chat", ('"done":true', '"done": true', '"error"')),
)


async def streams(actor: Actor) -> None:
    """An answer that is read to its end, or left; one that ends must say that it does, or why."""
    tongue, path, ends = actor.random.choice(_STREAMS)
    tokens = actor.random.randint(10, 200)
    if actor.random.random() < 0.3:
        body = {"model": "tiny", "messages": [{"role": "user", "content": "tell me of the house"}]}
    else:
        body = {"model": f"fake:obeys@{actor.random.choice((30, 60, 120))}", "messages": [{"role": "user", "content": f"length {tokens}"}]}
    body |= {"stream": True} | ({"options": {"num_predict": tokens}} if tongue == "ollama" else {"max_tokens": tokens})
    leave = actor.random.randint(1, 20) if actor.random.random() < 0.3 else 0
    last, count = b"", 0
    async with actor.busy():
        try:
            async with actor.client.http.post(path, json=body, timeout=aiohttp.ClientTimeout(total=120)) as response:
                if response.status not in _FIT:
                    if response.status not in _SHED:
                        actor.wrong(f"stream {tongue}", f"status {response.status}: {(await response.read())[:300]!r}")
                    return
                request = response.headers.get("x-request-id", "")
                async for line in response.content:
                    count += 1
                    last = line if line.strip() else last
                    if count == leave:
                        response.close()
                        return
        except _GONE as error:
            actor.client.ledger.write("broken", f"stream {tongue}", what=type(error).__name__)
            await asyncio.sleep(0.1)
            raise Doubt from error
    if not any(end in last.decode() for end in ends):
        actor.wrong(f"stream {tongue}", f"ended without saying so after {count} lines: {last[:300]!r}")
    identifier = actor.next()
    actor.client.ledger.write("done", "model.use", id=identifier, request=request)


async def main() -> None:
    client = Client(json.loads(Path(sys.argv[1]).read_text()))
    async with client.http:
        await client.run()


if __name__ == "__main__":
    asyncio.run(main())
