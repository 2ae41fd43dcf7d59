"""Pushes with a real database, queue and blobs, to a registry within the test."""

from __future__ import annotations

import asyncio
import hashlib
import os
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from hausgeist.errors import Conflict, HausgeistError, InvalidRequest, NotSupported, Unavailable
from hausgeist.gateway.ollama.push import push_line
from hausgeist.identity import LOCAL_OWNER, Origin, Principal
from hausgeist.library.definition import Definition
from hausgeist.library.download.outbound import Patience
from hausgeist.library.push.layout import config_of, files_of, manifest_of, notice_of, texts_of
from hausgeist.library.push.registry import Begun
from hausgeist.library.push.service import Pusher
from hausgeist.library.push.upload import Notebook
from hausgeist.library.reference import Reference
from hausgeist.library.service import Library
from hausgeist.library.sources.manifest import read_manifest, release_of
from hausgeist.library.sources.outbound import Document
from hausgeist.library.transfer import Progress
from hausgeist.model import InstalledModel, Shape
from hausgeist.store.blobs import Blobs
from hausgeist.store.database import Database
from hausgeist.store.jobs import Jobs
from tests.unit.library.gguf_builder import model

ORIGIN = Origin("192.0.2.7", "curl", "req_9")
TO = "reg.example/a/mario:1"


@dataclass
class Shelf:
    """`Registries`, and the `Registry` of each repository."""

    base: str = "https://reg.example"
    repository: str = "a/mario"
    blobs: dict[str, bytes] = field(default_factory=dict)
    tags: dict[str, bytes] = field(default_factory=dict)
    gate: asyncio.Event | None = None
    """While it is there and not set, weights wait."""
    reached_gate: asyncio.Event = field(default_factory=asyncio.Event)
    fail: Exception | None = None
    body: bytearray = field(default_factory=bytearray)

    def host(self, reference: Reference) -> str:
        return reference.host or "usual.example"

    def of(self, reference: Reference, *, who: Any = None, origin: Any = None) -> Shelf:
        return self

    def mountable(self, reference: Reference, base: str) -> str:
        return ""

    async def greet(self) -> None:
        if self.fail is not None:
            raise self.fail

    async def has(self, sha256: str) -> bool:
        return sha256 in self.blobs

    async def begin(self, sha256: str = "", *, mount: str = "") -> Begun:
        self.body.clear()
        return Begun("https://reg.example/up")

    def place(self, location: str) -> str:
        return location

    async def reached(self, location: str) -> tuple[str, int]:
        return location, len(self.body)

    async def send(self, location: str, start: int, end: int, pieces: Callable[[asyncio.Timeout], Any], *, stall: float) -> Document:
        self.reached_gate.set()
        if self.gate is not None:
            await self.gate.wait()
        async with asyncio.timeout(stall) as limit:
            async for piece in pieces(limit):
                self.body += piece
        return Document(202, {}, b"", "reg.example")

    async def finish(self, location: str, sha256: str, *, size: int, content: bytes | None = None) -> int:
        kept = bytes(self.body) if content is None else content
        if hashlib.sha256(kept).hexdigest() != sha256:
            return 400
        self.blobs[sha256] = kept
        return 201

    def refusal(self, status: int, what: str) -> HausgeistError:
        return InvalidRequest(f"did not {what} ({status})")

    async def publish(self, tag: str, manifest: bytes) -> None:
        self.tags[tag] = manifest


class Home:
    """One process on a home folder; `again` is the next one."""

    def __init__(self, folder: Path, shelf: Shelf | None = None, rows: list[tuple[Any, ...]] | None = None) -> None:
        self.folder, self.shelf, self.rows = folder, shelf or Shelf(), rows if rows is not None else []
        self.blobs = Blobs(folder)
        self.database = Database.open(folder)
        self.library = Library(self.database, self.blobs)
        self.jobs = Jobs(self.database, poll=0.05, pause=0.05)
        registries: Any = self.shelf
        self.pusher = Pusher(
            library=self.library, blobs=self.blobs, registries=registries, jobs=self.jobs, record=self.record, patience=Patience(tries=2)
        )
        self.pusher.register()

    def record(self, who: Principal | None, action: str, *, target: str, origin: Origin | None, outcome: str, detail: str) -> Awaitable[None]:
        self.rows.append((who.id if who else None, action, target, origin.request_id if origin else None, outcome, detail))
        return asyncio.sleep(0, None) if outcome == "done" else asyncio.get_running_loop().create_future()

    async def create(self, name: str = "mario", *, seed: int = 1, **more: Any) -> InstalledModel:
        async def once() -> AsyncIterator[bytes]:
            yield model(seed=seed).bytes()

        digest = await self.blobs.add(once())
        return await self.library.create(name, files={"m.gguf": f"sha256:{digest}"}, **more)

    async def push(self, name: str = "mario", to: str = TO) -> list[Progress]:
        return [told async for told in self.pusher.push(name, to, who=LOCAL_OWNER, origin=ORIGIN)]

    async def close(self) -> None:
        self.pusher.closing()
        await self.jobs.stop()
        self.database.close()

    async def again(self) -> Home:
        await self.close()
        return Home(self.folder, self.shelf, self.rows)


@pytest.fixture
async def home(tmp_path: Path) -> AsyncIterator[Home]:
    home = Home(tmp_path / "home")
    yield home
    await home.close()


async def test_a_model_is_pushed(home: Home) -> None:
    made = await home.create(system="Be kind.")
    told = await home.push()
    assert list(dict.fromkeys(one.stage for one in told)) == ["resolving", "uploading", "publishing", "done"]
    manifest = home.shelf.tags["1"]
    assert told[-1].digest == hashlib.sha256(manifest).hexdigest()
    assert made.path is not None
    assert made.path.read_bytes() in home.shelf.blobs.values()
    size = home.pusher.plan("mario", TO).size
    assert size == sum(map(len, home.shelf.blobs.values())) == told[-1].done
    assert home.rows == [(LOCAL_OWNER.id, "model.push", f"mario to reg.example/a/mario:1 ({size} bytes)", "req_9", "done", f"{size} bytes sent")]
    assert (await home.push())[-1].done == 0


async def test_one_name_is_pushed_once_at_a_time(home: Home) -> None:
    await home.create()
    await home.create("luigi", seed=2)
    home.shelf.gate = asyncio.Event()
    both = [asyncio.create_task(home.push()) for _ in range(2)]
    await home.shelf.reached_gate.wait()
    with pytest.raises(Conflict, match="is being pushed from 'mario'"):
        await home.push("luigi")
    home.shelf.gate.set()
    for told in await asyncio.gather(*both):
        assert told[-1].stage == "done"
    assert len(home.rows) == 1


async def test_whoever_leaves_last_stops_it(home: Home) -> None:
    await home.create()
    home.shelf.gate = asyncio.Event()
    pushing = asyncio.create_task(home.push())
    await home.shelf.reached_gate.wait()
    pushing.cancel()
    await asyncio.wait([pushing])
    async with asyncio.timeout(5):
        while home.pusher.lately()[0].status != "cancelled":
            await asyncio.sleep(0.01)
    assert home.shelf.tags == {}
    assert [row[4:] for row in home.rows] == [("failed", "0 bytes sent, then: it was stopped")]


async def test_a_stopped_server_goes_on_with_it(home: Home) -> None:
    await home.create()
    home.shelf.gate = asyncio.Event()
    pushing = asyncio.create_task(home.push())
    await home.shelf.reached_gate.wait()
    home = await home.again()
    with pytest.raises(Unavailable, match="goes on when it is started again"):
        await pushing
    home.shelf.gate.set()  # type: ignore[union-attr]
    await home.jobs.start()
    await home.jobs.wait(home.pusher.lately()[0].id, timeout=5)
    assert "1" in home.shelf.tags
    assert home.rows[-1][0] == LOCAL_OWNER.id
    await home.close()


async def test_what_took_its_name_meanwhile_is_not_sent(home: Home) -> None:
    """Somebody allowed this model to leave, not the one that came after it."""
    await home.create()
    home.shelf.gate = asyncio.Event()
    pushing = asyncio.create_task(home.push())
    await home.shelf.reached_gate.wait()
    home = await home.again()
    with pytest.raises(Unavailable):
        await pushing
    await home.create(seed=2)
    home.shelf.gate.set()  # type: ignore[union-attr]
    await home.jobs.start()
    job = await home.jobs.wait(home.pusher.lately()[0].id, timeout=5)
    assert (job.status, "another model" in (job.error or "")) == ("failed", True)
    assert home.shelf.tags == {}
    await home.close()


async def test_it_can_be_removed_while_it_is_pushed(home: Home) -> None:
    await home.create()
    home.shelf.gate = asyncio.Event()
    pushing = asyncio.create_task(home.push())
    await home.shelf.reached_gate.wait()
    await home.library.remove("mario")
    await home.library.collect(older_than=0)
    home.shelf.gate.set()
    assert (await pushing)[-1].stage == "done"


async def test_failures_are_rows(home: Home) -> None:
    await home.create()
    home.shelf.fail = InvalidRequest("Nothing here.")
    with pytest.raises(InvalidRequest, match="Nothing here"):
        await home.push()
    assert home.rows[0][4:] == ("failed", "0 bytes sent, then: Nothing here.")


@pytest.mark.parametrize(
    "to", ["mario", "library/mario", "registry.ollama.ai/mario", "ollama.com/library/mario", "./mario", "hf.co/a/b", "https://x.example/m.gguf"]
)
async def test_where_nothing_goes_by_a_slip(home: Home, to: str) -> None:
    await home.create()
    with pytest.raises(InvalidRequest, match=r"no registry and no owner|not a name in a registry"):
        home.pusher.plan("mario", to)
    with pytest.raises(InvalidRequest, match="no registry and no owner"):
        home.pusher.plan("mario")
    assert home.pusher.plan("mario", "me/mario").registry == "usual.example"
    assert home.pusher.plan("mario", "localhost/library/mario").registry == "localhost"


async def test_a_model_of_another_server(home: Home) -> None:
    home.library.bring([InstalledModel(id="far", engine="remote", path=None, modified=0.0, upstream="far", digest="0" * 64)])
    with pytest.raises(NotSupported, match="another server runs it"):
        home.pusher.plan("far", TO)


def test_the_layout_is_what_is_read_back() -> None:
    definition = Definition(
        engine="llamacpp",
        shape=Shape(architecture="llama", parameters=7_600_000_000, quantization="Q4_K_M"),
        go_template="{{ .Prompt }}",
        template="translated",
        system="Be kind. Ä",
        parameters={"temperature": 0.5, "stop": ["a"]},
        messages=({"role": "user", "content": "hi"},),
        licence="MIT",
        reference="secret.example/a/b",
        source="/home/me/secret.gguf",
    )
    texts = texts_of(definition)
    config = config_of(definition, texts)
    body = manifest_of(config, texts)
    assert body == manifest_of(config_of(definition, texts_of(definition)), texts_of(definition))
    assert b"secret" not in body + b"".join(layer.content for layer in (*texts, config) if isinstance(layer.content, bytes))
    assert b'"model_type":"7.6B"' in config.content  # type: ignore[operator]
    weights = body.replace(
        b'"layers":[', b'"layers":[{"mediaType":"application/vnd.ollama.image.model","digest":"sha256:' + b"0" * 64 + b'","size":9},'
    )
    held = {layer.sha256: layer.content for layer in (*texts, config) if isinstance(layer.content, bytes)}
    release = release_of(Reference.parse("a/b"), read_manifest(weights, "x"), held, version="", source="", where=lambda layer: "")
    assert (release.go_template, release.system, release.licence) == ("{{ .Prompt }}", definition.system, "MIT")
    assert (release.parameters, release.messages) == (definition.parameters, definition.messages)
    assert (files_of(definition), notice_of(definition)) == ([], "")


def test_a_template_that_ollama_cannot_read_is_kept_from_it() -> None:
    layers = texts_of(Definition(engine="llamacpp", template="{{ bos_token }}"))
    assert [layer.media_type for layer in layers] == ["application/vnd.hausgeist.template.jinja"]
    assert "no chat template in Ollama's language" in notice_of(Definition(engine="llamacpp", template="{{ bos_token }}"))


def test_a_definition_keeps_both_templates() -> None:
    definition = Definition(engine="llamacpp", template="jinja", go_template="{{ .Prompt }}")
    assert Definition.from_json(definition.to_json()) == definition
    assert definition.digest == Definition(engine="llamacpp", template="jinja").digest


def test_the_notebook_forgets(tmp_path: Path) -> None:
    book = Notebook(tmp_path)
    book.write("a", "https://reg.example/1")
    book.write("b", "https://reg.example/2")
    (old,) = [path for path in tmp_path.iterdir() if path.read_text().endswith("1")]
    assert old.stat().st_mode & 0o77 == 0
    os.utime(old, (time.time() - 90_000,) * 2)
    assert (book.read("a"), book.read("b"), book.read("c")) == ("", "https://reg.example/2", "")
    book.sweep()
    assert len(list(tmp_path.iterdir())) == 1
    book.forget("b")
    assert list(tmp_path.iterdir()) == []
    Notebook(tmp_path / "nowhere").write("a", "x")


def test_lines_for_ollama() -> None:
    digest = "ab" * 32
    assert push_line(Progress(stage="resolving")) == {"status": "retrieving manifest"}
    told = push_line(Progress(stage="uploading", digest=digest, done=1, total=2))
    assert told == {"status": "pushing abababababab", "digest": f"sha256:{digest}", "total": 2, "completed": 1}
    assert push_line(Progress(stage="done")) is None
