"""Versions, going back, pins, verification and garbage, with a real database and real blobs."""

from __future__ import annotations

import asyncio
import hashlib
import time
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from hausgeist.errors import Conflict, InvalidRequest, ModelNotFound, NotFound
from hausgeist.library.reference import Reference
from hausgeist.library.split import Splits
from hausgeist.library.transfer import Progress
from hausgeist.library.upkeep.parts import Upkeep, upkeep
from hausgeist.library.upkeep.verification import Verdict
from tests.unit.library.gguf_builder import model, split
from tests.unit.library.test_install import GONE, Home

OLD, NEW = model().bytes(), model(seed=1).bytes()


class Kept(Home):
    """A home with all verbs."""

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        self.upkeep: Upkeep = upkeep(
            database=self.database, library=self.library, blobs=self.blobs, jobs=self.jobs, source=self.upstream.of, downloads=self.upstream
        )
        self.swept: list[float] = []

        async def sweep(older_than: float) -> int:
            self.swept.append(older_than)
            return 0

        self.upstream.sweep = sweep  # type: ignore[attr-defined]

    async def install(self, content: bytes, name: str = "a") -> None:
        self.upstream.offer(name, [("weights", content)])
        await self.pull(name)

    def answer(self, name: str = "a") -> None:
        self.upkeep.versions.answered(self.library.get(name))
        self.database.write_sync(lambda connection: None)

    def content(self, name: str = "a") -> bytes:
        path = self.library.get(name).path
        assert path is not None
        return path.read_bytes()


@pytest.fixture
async def home(tmp_path: Path) -> AsyncIterator[Kept]:
    home = Kept(tmp_path / "home")
    yield home
    await home.close()


async def test_the_old_version_is_kept_until_the_new_one_has_answered(home: Kept) -> None:
    await home.install(OLD)
    home.answer()
    await home.install(NEW)
    assert home.content() == NEW
    assert (await home.upkeep.garbage.collect()).size == 0
    home.answer()
    would = await home.upkeep.garbage.collect(dry_run=True)
    assert (would.files, [name for name, _ in would.versions]) == (1, ["a"])
    assert would.size > 0
    assert len(home.blobs.digests()) == 2
    assert await home.upkeep.garbage.collect() == would
    assert len(home.blobs.digests()) == 1
    assert home.content() == NEW
    with pytest.raises(NotFound, match="No version"):
        await home.upkeep.versions.rollback("a")


async def test_a_version_that_is_installed_anew_answers_anew(home: Kept) -> None:
    """Otherwise what it replaced would be kept for ever."""
    for content in (OLD, NEW, OLD):
        await home.install(content)
        home.answer()
    assert len((await home.upkeep.garbage.collect()).versions) == 1
    assert len(home.blobs.digests()) == 1
    assert home.content() == OLD


async def test_going_back_and_forth(home: Kept) -> None:
    await home.install(OLD)
    await home.install(NEW)
    assert [version.definition.files[0].size for version in home.upkeep.versions.history("a").before] == [len(OLD)]
    await home.upkeep.versions.rollback("A")
    assert home.content() == OLD
    assert home.upkeep.versions.history("a").state.pinned
    home.answer()
    assert (await home.upkeep.garbage.collect(everything=True)).versions == ()
    with pytest.raises(Conflict, match="unpin a"):
        home.upkeep.versions.upgradable("a")
    await home.upkeep.versions.rollback("a")
    assert home.content() == NEW
    await home.upkeep.versions.pin("a", pinned=False)
    assert home.upkeep.versions.upgradable("a") == Reference.parse("a")
    assert len(home.upkeep.versions.history("a").before) == 1


async def test_removed_with_its_past(home: Kept) -> None:
    await home.install(OLD)
    await home.install(NEW)
    await home.upkeep.versions.pin("a", pinned=True)
    await home.library.remove("a")
    assert home.blobs.digests() == []
    await home.install(OLD)
    history = home.upkeep.versions.history("a")
    assert (history.before, history.state.pinned) == ((), False)


async def test_something_else_of_that_name_has_no_past(home: Kept) -> None:
    await home.install(OLD)
    await home.install(NEW)
    await home.install(OLD, "b")
    await home.library.copy("b", "a")
    assert home.upkeep.versions.history("a").before == ()
    assert len(home.blobs.digests()) == 1


async def test_outdated(home: Kept) -> None:
    await home.install(OLD)
    await home.install(OLD, "b")
    await home.library.create("made", source="a", system="x")
    home.upstream.offer("a", [("weights", NEW)])
    first, second = await home.upkeep.versions.outdated()
    assert (first.model, first.outdated, first.size) == ("a", True, len(NEW))
    assert (second.model, second.outdated, second.size) == ("b", False, 0)
    assert home.upstream.fetched == ["weights.gguf"]
    home.upstream.fail = GONE
    (failed,) = await home.upkeep.versions.outdated(["a"])
    assert (failed.outdated, failed.error) == (False, GONE.message)
    with pytest.raises(InvalidRequest, match="made or imported here"):
        await home.upkeep.versions.outdated(["made"])
    with pytest.raises(ModelNotFound):
        await home.upkeep.versions.outdated(["nothing"])


async def test_a_copy_can_be_upgraded(home: Kept) -> None:
    await home.install(OLD)
    await home.library.copy("a", "mine")
    home.upstream.offer("a", [("weights", NEW)])
    await home.pull(str(home.upkeep.versions.upgradable("mine")), name="mine")
    assert (home.content("mine"), home.content("a")) == (NEW, OLD)


async def test_what_is_not_stored_here(home: Kept, tmp_path: Path) -> None:
    await home.library.offer(model().write(tmp_path / "file.gguf"))
    for change in (
        home.upkeep.versions.pin("file", pinned=True),
        home.upkeep.versions.rollback("file"),
        anext(home.upkeep.verification.verify("file")),
    ):
        with pytest.raises(Conflict, match="not stored here"):
            await change
    home.upkeep.versions.answered(home.library.get("file"))
    assert [history.model.id for history in home.upkeep.versions.all()] == ["file"]


async def verdict(home: Kept, name: str = "a", **more: Any) -> Verdict:
    *told, last = [one async for one in home.upkeep.verification.verify(name, **more)]
    assert all(isinstance(one, Progress) for one in told)
    assert isinstance(last, Verdict)
    return last


def damage(home: Kept, digest: str) -> None:
    path = home.blobs.path(digest)
    path.chmod(0o600)
    content = bytearray(path.read_bytes())
    content[-1] ^= 1
    path.write_bytes(content)


async def test_verify_and_repair(home: Kept, tmp_path: Path) -> None:
    home.upstream.offer("big", [("weights", part.read_bytes()) for part in split(tmp_path, "big", 3)])
    await home.pull("big")
    assert await verdict(home, "big") == Verdict("big", 3)
    second = home.library.definition("big").files[1].blob
    damage(home, second)
    found = await verdict(home, "big")
    assert [one.file for one in found.damages] == ["weights 2 of 3"]
    assert not found.sound
    assert second in found.damages[0].reason
    home.upstream.fail = GONE
    assert "could not be fetched anew" in (await verdict(home, "big", repair=True)).damages[0].reason
    assert home.blobs.has(second)
    home.upstream.fail = None
    found = await verdict(home, "big", repair=True)
    assert found.sound
    assert found.damages[0].repaired
    assert await verdict(home, "big") == Verdict("big", 3)
    path = home.library.get("big").path
    assert path is not None
    assert path.with_name("model-00002-of-00003.gguf").samefile(home.blobs.path(second))


async def test_a_file_that_is_gone(home: Kept) -> None:
    await home.install(OLD)
    home.blobs.remove(home.library.definition("a").files[0].blob)
    assert "gone" in (await verdict(home)).damages[0].reason
    assert (await verdict(home, repair=True)).sound


async def test_a_damaged_file_stays_until_a_good_one_is_here(home: Kept) -> None:
    """Half a model is better than none: where the network fails in the middle, and whenever the process is killed."""
    await home.install(OLD)
    digest = home.library.definition("a").files[0].blob
    damage(home, digest)
    damaged = home.content()
    home.upstream.gate = asyncio.Event()
    home.upstream.reached.clear()
    repairing = asyncio.create_task(verdict(home, repair=True))
    await home.upstream.reached.wait()
    assert home.content() == damaged
    home.upstream.fail = GONE
    home.upstream.gate.set()
    found = await repairing
    assert "could not be fetched anew, so it is still damaged, and in use as it is: up.example cannot be reached" in found.damages[0].reason
    assert not found.sound
    assert home.content() == damaged
    home.upstream.fail = None
    assert (await verdict(home, repair=True)).sound
    assert home.content() == OLD
    assert [path.name for path in home.blobs.folder.iterdir()] == [f"sha256-{digest}"]


async def test_what_upstream_has_no_more_is_not_thrown_away(home: Kept) -> None:
    await home.install(OLD)
    digest = home.library.definition("a").files[0].blob
    damage(home, digest)
    home.upstream.offer("a", [("weights", NEW)])
    found = await verdict(home, repair=True)
    assert "another version" in found.damages[0].reason
    assert home.blobs.has(digest)


async def test_garbage(home: Kept) -> None:
    async def chunks() -> AsyncIterator[bytes]:
        yield b"x" * 10_000

    await home.blobs.add(chunks())
    assert (await home.upkeep.garbage.collect()).files == 0
    partial = home.blobs.folder / ".download-x"
    partial.write_bytes(b"x" * 10_000)
    would = await home.upkeep.garbage.collect(dry_run=True, everything=True)
    assert would.files == 1
    assert would.partials >= 10_000
    assert would.size >= 20_000
    assert home.swept == [86400.0]
    await home.upkeep.garbage.collect(everything=True)
    assert home.blobs.digests() == []
    assert home.swept == [86400.0, 0.0]


async def test_a_pull_that_waits_keeps_what_it_has(home: Kept) -> None:
    home.upstream.offer("a", [("weights", OLD), ("adapter", NEW)])
    home.upstream.gate = asyncio.Event()
    pulling = asyncio.create_task(home.pull("a"))
    await home.upstream.reached.wait()
    assert (await home.upkeep.garbage.collect(everything=True)).files == 0
    assert home.swept == []
    pulling.cancel()
    await asyncio.wait({pulling})


async def test_parts_about_to_become_a_model_are_left_together(home: Kept, tmp_path: Path) -> None:
    """Somebody collects garbage while a split model is looked into, before it has a row."""
    parts = [path.read_bytes() for path in split(tmp_path, "big", 2)]
    digests = [hashlib.sha256(part).hexdigest() for part in parts]
    for part in parts:
        await home.blobs.add(chunks_of(part))
    together = Splits(home.blobs).ensure(digests)
    await home.blobs.add(chunks_of(b"garbage"))
    with home.library.holding(digests):
        assert (await home.upkeep.garbage.collect(everything=True)).files == 1
        assert together.read_bytes() == parts[0]
    assert (await home.upkeep.garbage.collect(everything=True)).files == 2
    assert not together.parent.exists()


async def test_going_back_and_the_pin_are_one_step(home: Kept, monkeypatch: pytest.MonkeyPatch) -> None:
    """Killed between two steps, the next upgrade of all would undo what was asked for."""
    await home.install(OLD)
    await home.install(NEW)
    writes: list[object] = []
    write = home.database.write

    async def counted(fn: Any, **more: Any) -> Any:
        writes.append(fn)
        return await write(fn, **more)

    monkeypatch.setattr(home.database, "write", counted)
    await home.upkeep.versions.rollback("a")
    assert len(writes) == 1
    assert home.upkeep.versions.history("a").state.pinned


async def test_a_clock_that_is_set_back_does_not_change_what_came_last(home: Kept, monkeypatch: pytest.MonkeyPatch) -> None:
    newest = model(seed=2).bytes()
    await home.install(OLD)
    await home.install(NEW)
    monkeypatch.setattr(time, "time", lambda now=time.time: now() - 86400)
    await home.install(newest)
    await home.upkeep.versions.rollback("a")
    assert home.content() == NEW
    await home.upkeep.versions.rollback("a")
    assert home.content() == newest


async def chunks_of(content: bytes) -> AsyncIterator[bytes]:
    yield content
