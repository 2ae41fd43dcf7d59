"""Pulls with a real database, queue and blobs, from an upstream within the test."""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import AsyncIterator, Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from hausgeist.errors import Conflict, DiskFull, EgressRefused, InvalidRequest, NotFound, Unavailable, Unresolved
from hausgeist.library.install import Installer
from hausgeist.library.reference import Reference
from hausgeist.library.service import Library
from hausgeist.library.transfer import Progress
from hausgeist.store.blobs import Blobs
from hausgeist.store.database import FILE_NAME, Database
from hausgeist.store.jobs import Jobs
from tests.unit.library.gguf_builder import adapter, model, projector, split
from tests.unit.library.upstream import GONE, Upstream


class Home:
    """One process on a home folder; `again` is the next one."""

    def __init__(self, folder: Path, upstream: Upstream | None = None) -> None:
        self.folder = folder
        self.blobs = Blobs(folder)
        self.upstream = upstream or Upstream(self.blobs)
        self.database = Database.open(folder)
        self.library = Library(self.database, self.blobs)
        self.jobs = Jobs(self.database, poll=0.05, pause=0.05)
        self.installer = Installer(library=self.library, blobs=self.blobs, source=self.upstream.of, downloads=self.upstream, jobs=self.jobs)
        self.installer.register()

    async def pull(self, reference: str, **more: str) -> list[Progress]:
        return [progress async for progress in self.installer.pull(Reference.parse(reference), **more)]

    async def close(self) -> None:
        self.installer.closing()
        await self.jobs.stop()
        self.database.close()

    async def again(self) -> Home:
        await self.close()
        return Home(self.folder, self.upstream)


@pytest.fixture
async def home(tmp_path: Path) -> AsyncIterator[Home]:
    home = Home(tmp_path / "home")
    yield home
    await home.close()


async def until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(5):
        while not condition():
            await asyncio.sleep(0.01)


async def test_all_parts_of_a_pull_share_what_is_in_the_audit_table(home: Home) -> None:
    """So that each host has one row for each pull, not one for each file."""
    home.upstream.offer("a", [("weights", model().bytes()), ("projector", projector().bytes())])
    home.upstream.offer("b", [("weights", model(seed=1).bytes())])
    await home.pull("a")
    await home.pull("b")
    first, second, other = home.upstream.recorded
    assert first is not None
    assert first is second
    assert other is not first


async def test_a_model_is_pulled(home: Home) -> None:
    weights, sight = model().bytes(), projector().bytes()
    release = home.upstream.offer(
        "gemma3:4b",
        [("weights", weights), ("projector", sight)],
        system="Be kind.",
        parameters={"temperature": 1, "stop": "END"},
        messages=({"role": "user", "content": "hi"},),
        licence="MIT",
        notice="A preview.",
    )
    told = await home.pull("gemma3:4b")
    assert [one.stage for one in told if one.stage != "downloading"] == ["resolving", "installing", "done"]
    last = {one.name: one for one in told if one.stage == "downloading"}
    assert {name: (one.done, one.total) for name, one in last.items()} == {
        "weights.gguf": (len(weights), len(weights)),
        "projector.gguf": (len(sight), len(sight)),
    }
    made = home.library.get("gemma3:4b")
    assert (made.system, made.licence, made.notice, made.version) == ("Be kind.", "MIT", "A preview.", release.version)
    assert (made.source, made.reference) == ("up.example/gemma3:4b", "gemma3:4b")
    assert made.parameters == {"temperature": 1.0, "stop": ["END"]}
    assert made.messages == ({"role": "user", "content": "hi"},)
    assert made.path is not None
    assert made.path.read_bytes() == weights
    assert made.options.projector is not None
    assert made.shape.vision


async def test_what_is_there_is_not_fetched_again(home: Home) -> None:
    weights = model().bytes()
    home.upstream.offer("a", [("weights", weights)])
    await home.pull("a")
    told = await home.pull("a")
    assert [one.stage for one in told] == ["resolving", "done"]
    home.upstream.offer("b", [("weights", weights), ("adapter", adapter().bytes())])
    await home.pull("b")
    assert home.upstream.fetched == ["weights.gguf", "adapter.gguf"]
    await home.library.remove("a")
    assert home.library.get("b").path.is_file()  # type: ignore[union-attr]


async def test_a_name_of_ones_own(home: Home) -> None:
    home.upstream.offer("a", [("weights", model().bytes())])
    await home.pull("a", name="mine")
    assert [one.id for one in home.library.models()] == ["mine"]


async def test_pulls_of_one_name_are_one(home: Home) -> None:
    home.upstream.offer("a", [("weights", model().bytes())])
    home.upstream.gate = asyncio.Event()
    both = [asyncio.create_task(home.pull("a")) for _ in range(3)]
    await home.upstream.reached.wait()
    late = asyncio.create_task(home.pull("A:latest"))
    await asyncio.sleep(0.05)
    home.upstream.gate.set()
    for told in await asyncio.gather(*both, late):
        assert told[-1].stage == "done"
        assert any(one.stage == "downloading" for one in told)
    assert home.upstream.fetched == ["weights.gguf"]


async def test_the_last_follower_stops_it(home: Home) -> None:
    home.upstream.offer("a", [("weights", model().bytes())])
    home.upstream.gate = asyncio.Event()
    first, second = (asyncio.create_task(home.pull("a")) for _ in range(2))
    await home.upstream.reached.wait()
    first.cancel()
    await asyncio.wait({first})
    await asyncio.sleep(0.05)
    assert [job.status for job in home.jobs.list()] == ["running"]
    second.cancel()
    await asyncio.wait({second})
    await until(lambda: [job.status for job in home.jobs.list()] == ["cancelled"])
    assert home.library.models() == []
    home.upstream.gate.set()
    assert (await home.pull("a"))[-1].stage == "done"


async def test_pulled_again_while_it_is_being_stopped(home: Home) -> None:
    home.upstream.offer("a", [("weights", model().bytes())])
    home.upstream.gate = asyncio.Event()
    leaving = asyncio.create_task(home.pull("a"))
    await home.upstream.reached.wait()
    leaving.cancel()
    home.upstream.gate.set()
    assert (await home.pull("a"))[-1].stage == "done"


async def test_a_stopped_server_goes_on_at_its_next_start(home: Home) -> None:
    home.upstream.offer("a", [("weights", model().bytes())])
    home.upstream.gate = asyncio.Event()
    following = asyncio.create_task(home.pull("a"))
    await home.upstream.reached.wait()
    later = await home.again()
    try:
        with pytest.raises(Unavailable, match="goes on when it is started again"):
            await following
        assert [job.status for job in later.installer.waiting] == ["queued"]
        assert later.library.models() == []
        assert later.upstream.gate is not None
        later.upstream.gate.set()
        await later.jobs.start()
        await until(lambda: bool(later.library.models()))
        await until(lambda: not later.installer.waiting)
    finally:
        await later.close()


async def test_failures_are_told_at_once_and_not_tried_in_secret(home: Home) -> None:
    with pytest.raises(NotFound, match=r"up\.example has no 'nothing'"):
        await home.pull("nothing")
    home.upstream.offer("a", [("weights", model().bytes())])
    home.upstream.fail = GONE
    with pytest.raises(Unavailable, match="cannot be reached"):
        await home.pull("a")
    await until(lambda: not home.installer.waiting)
    assert home.library.models() == []


async def test_without_followers_it_is_tried_again(home: Home) -> None:
    home.upstream.offer("a", [("weights", model().bytes())])
    home.upstream.fail = GONE
    await home.jobs.enqueue("pull", {"reference": "a", "name": "a"}, key="a:latest")
    await home.jobs.start()
    await until(lambda: any(job.error for job in home.jobs.list()))
    home.upstream.fail = None
    await until(lambda: bool(home.library.models()))


async def test_one_that_is_tried_again_waits_all_the_time(home: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    """What garbage is collected by: between any two looks at the jobs, one that was queued begins, or the other way round."""
    await home.jobs.enqueue("pull", {"reference": "a", "name": "a"}, key="a:latest")
    look = home.database.read

    def turning(fn: Callable[[Any], Any]) -> Any:
        found = look(fn)
        with closing(sqlite3.connect(home.folder / FILE_NAME)) as other:
            other.execute("UPDATE jobs SET status = CASE status WHEN 'queued' THEN 'running' ELSE 'queued' END")
            other.commit()
        return found

    monkeypatch.setattr(home.database, "read", turning)
    for _ in range(4):
        assert len(home.installer.waiting) == 1


async def test_all_that_wait_are_told(home: Home) -> None:
    """The oldest first of all: that is the one that runs."""
    jobs = [await home.jobs.enqueue("pull", {"reference": "a", "name": f"a{number}"}, key=f"a{number}:latest") for number in range(120)]
    assert {job.id for job in home.installer.waiting} == set(jobs)


@pytest.mark.parametrize(
    ("error", "attempts"),
    [(EgressRefused("offline"), 1), (Unresolved("no such host"), 3), (Unavailable("away"), 10)],
    ids=["offline", "name", "away"],
)
async def test_what_cannot_help_is_not_tried_again(home: Home, error: Exception, attempts: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """What the settings refuse fails at once; a name that nobody knows, after a few attempts."""
    monkeypatch.setattr("hausgeist.store.jobs._LONGEST_PAUSE", 0.01)
    home.upstream.offer("a", [("weights", model().bytes())])
    home.upstream.fail = error
    await home.installer.start(Reference.parse("a"))
    await until(lambda: not home.installer.waiting)
    [job] = home.installer.lately()
    assert (job.status, job.attempts, job.error) == ("failed", attempts, str(error))


@pytest.mark.parametrize(
    ("files", "complaint"),
    [
        ([("weights", b"<html>Sign in</html>")], "the weights"),
        ([("weights", model().bytes()[:200])], "the weights"),
        ([("weights", projector().bytes())], "should be the weights"),
        ([("weights", model().bytes()), ("projector", model(seed=1).bytes())], "should be the projector"),
        ([("weights", model().bytes()), ("adapter", adapter("gemma").bytes())], "made for gemma"),
        ([("projector", projector().bytes())], "no weights"),
        ([("weights", model().bytes()), ("weights", model(seed=1).bytes())], r"split|1 file"),
    ],
)
async def test_files_that_are_no_model_are_not_installed(home: Home, files: list[tuple[str, bytes]], complaint: str) -> None:
    home.upstream.offer("a", files)  # type: ignore[arg-type]
    with pytest.raises(InvalidRequest, match=complaint) as caught:
        await home.pull("a")
    assert str(home.folder) not in caught.value.message
    assert home.library.models() == []


async def test_split_models(home: Home, tmp_path: Path) -> None:
    parts = [path.read_bytes() for path in split(tmp_path, "big", 3)]
    home.upstream.offer("big", [("weights", part) for part in parts])
    await home.pull("big")
    made = home.library.get("big")
    assert made.path is not None
    beside = sorted(made.path.parent.iterdir())
    assert [one.name for one in beside] == [f"model-{number:05d}-of-00003.gguf" for number in (1, 2, 3)]
    assert [one.read_bytes() for one in beside] == parts
    assert made.path == beside[0]
    assert made.shape.size == sum(len(part) for part in parts)
    beside[1].unlink()
    later = await home.again()
    await later.library.start()
    assert beside[1].read_bytes() == parts[1]
    await later.library.copy("big", "other")
    await later.library.remove("big")
    assert made.path.exists()
    await later.library.remove("other")
    assert not made.path.parent.exists()
    assert later.blobs.digests() == []
    await later.close()


async def test_no_room(home: Home) -> None:
    def full(parts: object) -> None:
        raise DiskFull

    home.upstream.offer("a", [("weights", model().bytes())])
    home.upstream.space = full
    with pytest.raises(DiskFull):
        await home.pull("a")
    assert home.upstream.fetched == []


async def test_names_that_are_taken(home: Home, tmp_path: Path) -> None:
    await home.library.offer(model().write(tmp_path / "a.gguf"))
    home.upstream.offer("a", [("weights", model(seed=1).bytes())])
    with pytest.raises(Conflict):
        await home.pull("a")
    with pytest.raises(InvalidRequest, match="is a file"):
        await home.pull(str(tmp_path / "a.gguf"))
    assert home.upstream.fetched == []


async def test_what_means_nothing_here_is_left_out_and_said(home: Home) -> None:
    home.upstream.offer("a", [("weights", model().bytes())], parameters={"num_batch": 3, "temperature": 1, "penalty\x1b": 2})
    await home.pull("a")
    made = home.library.get("a")
    assert made.parameters == {"temperature": 1.0}
    assert "num_batch" in made.notice
    assert made.notice.isprintable()


async def test_garbage_is_left_alone_while_a_pull_holds_it(home: Home) -> None:
    weights = model().bytes()
    home.upstream.offer("shared", [("weights", weights)])
    await home.pull("shared")
    home.upstream.offer("a", [("weights", weights), ("adapter", adapter().bytes())])
    home.upstream.gate = asyncio.Event()
    home.upstream.reached.clear()
    pulling = asyncio.create_task(home.pull("a"))
    await home.upstream.reached.wait()
    await home.library.remove("shared")
    await home.library.collect(older_than=-1)
    home.upstream.gate.set()
    await pulling
    assert home.library.get("a").path.read_bytes() == weights  # type: ignore[union-attr]


async def test_one_in_the_background_needs_nobody(home: Home) -> None:
    home.upstream.offer("a", [("weights", model().bytes())])
    job = await home.installer.start(Reference.parse("a"))
    await until(lambda: home.installer.find(job.id).status == "done")
    assert [one.id for one in home.library.models()] == ["a"]


async def test_one_in_the_background_outlives_its_followers(home: Home) -> None:
    home.upstream.offer("a", [("weights", model().bytes())])
    home.upstream.gate = asyncio.Event()
    follower = asyncio.create_task(home.pull("a"))
    await home.upstream.reached.wait()
    # Asked for again, now for good: the one that runs is meant.
    job = await home.installer.start(Reference.parse("a"))
    follower.cancel()
    await asyncio.gather(follower, return_exceptions=True)
    await asyncio.sleep(0.1)
    assert home.installer.find(job.id).status == "running"
    home.upstream.gate.set()
    await until(lambda: home.installer.find(job.id).status == "done")
    assert home.upstream.fetched == ["weights.gguf"]


async def test_one_in_the_background_goes_on_after_a_restart(home: Home) -> None:
    home.upstream.offer("a", [("weights", model().bytes())])
    home.upstream.gate = asyncio.Event()
    job = await home.installer.start(Reference.parse("a"))
    await home.upstream.reached.wait()
    again = await home.again()
    home.upstream.gate.set()
    await again.jobs.start()
    follower = asyncio.create_task(again.pull("a"))
    await until(lambda: again.installer.find(job.id).status == "done")
    await follower
    assert [one.id for one in again.library.models()] == ["a"]
    await again.close()


async def test_one_in_the_background_is_stopped_and_started_again(home: Home) -> None:
    home.upstream.offer("a", [("weights", model().bytes())])
    home.upstream.gate = asyncio.Event()
    job = await home.installer.start(Reference.parse("a"))
    await home.upstream.reached.wait()
    await home.installer.stop(job.id)
    await until(lambda: home.installer.find(job.id).status == "cancelled")
    home.upstream.gate.set()
    second = await home.installer.start(Reference.parse("a"))
    assert second.id != job.id
    await until(lambda: home.installer.find(second.id).status == "done")
    # What is over stays as it is.
    assert (await home.installer.stop(second.id)).status == "done"


async def test_only_pulls_are_found(home: Home) -> None:
    other = await home.jobs.enqueue("something-else", {})
    with pytest.raises(NotFound):
        home.installer.find(other)
    with pytest.raises(NotFound):
        await home.installer.stop(other)
    with pytest.raises(NotFound):
        home.installer.find("job_none")
    with pytest.raises(InvalidRequest):
        await home.installer.start(Reference.parse("/etc/passwd"))
