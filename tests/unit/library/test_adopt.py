"""Adopting what other tools have: shared where it can be verified and is ours, in place otherwise, and nothing that was not found."""

from __future__ import annotations

import os
from collections.abc import AsyncIterator
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from hausgeist.errors import Conflict, InvalidRequest, NotFound
from hausgeist.library.adopt import Adopted, Adoption
from hausgeist.library.sources.adoption import discover, glimpse
from tests.unit.library.gguf_builder import model, projector, split
from tests.unit.library.test_adoption import hub, ollama, sha256
from tests.unit.library.test_install import Home

WEIGHTS = model().bytes()
TINY = "registry.ollama.ai/library/tiny/1b"


class Machine(Home):
    """A home on a machine with other tools in `user`."""

    def __init__(self, folder: Path) -> None:
        super().__init__(folder / "hausgeist")
        self.user = folder / "user"
        self.models = self.user / ".ollama/models"
        self.cache = self.user / ".cache/huggingface/hub"
        self.adoption = Adoption(library=self.library, blobs=self.blobs, discover=partial(discover, {}, self.user))

    async def adopt(self, name: str, **more: Any) -> Adopted:
        *_, last = [told async for told in self.adoption.adopt(name, **more)]
        assert isinstance(last, Adopted)
        return last


@pytest.fixture
async def machine(tmp_path: Path) -> AsyncIterator[Machine]:
    machine = Machine(tmp_path)
    yield machine
    await machine.close()


def leftovers(machine: Machine) -> list[str]:
    return [path.name for path in machine.blobs.folder.iterdir() if path.name.startswith(".")]


async def test_a_model_of_ollama_is_shared(machine: Machine) -> None:
    ollama(machine.models, TINY, ("model", WEIGHTS), ("projector", projector().bytes()), ("system", b"Be kind."), ("license", b"MIT"))
    theirs = machine.models / f"blobs/sha256-{sha256(WEIGHTS)}"
    before = theirs.stat()
    (there,) = await machine.adoption.all()
    assert (there.found.name, there.installed) == ("tiny:1b", False)
    made = await machine.adopt("TINY:1b")
    assert (made.name, made.in_place, made.size) == ("tiny:1b", False, len(WEIGHTS))
    ours = machine.blobs.path(sha256(WEIGHTS))
    assert ours.samefile(theirs)
    after = theirs.stat()
    assert (after.st_mode, after.st_mtime_ns) == (before.st_mode, before.st_mtime_ns)
    known = machine.library.stored("tiny:1b")
    assert known is not None
    assert (known.reference, known.system, known.licence) == ("tiny:1b", "Be kind.", "MIT")
    assert known.version == sha256((machine.models / "manifests" / TINY).read_bytes())
    assert known.projector is not None
    assert (await machine.adoption.all())[0].installed
    assert leftovers(machine) == []
    # It outlives the tool, and the tool outlives it.
    theirs.unlink()
    assert ours.read_bytes() == WEIGHTS
    await machine.library.remove("tiny:1b")
    assert not ours.exists()


async def test_what_was_adopted_is_not_fetched_again(machine: Machine) -> None:
    ollama(machine.models, TINY, ("model", WEIGHTS))
    made = await machine.adopt("tiny:1b")
    release = machine.upstream.offer("tiny:1b", [("weights", WEIGHTS)])
    manifest = sha256((machine.models / "manifests" / TINY).read_bytes())
    machine.upstream.releases[release.reference.key] = replace(release, version=manifest)
    told = await machine.pull("tiny:1b")
    assert [one.stage for one in told] == ["resolving", "done"]
    assert told[-1].digest == made.digest


async def test_a_damaged_file_is_not_taken(machine: Machine) -> None:
    ollama(machine.models, TINY, ("model", WEIGHTS))
    (machine.models / f"blobs/sha256-{sha256(WEIGHTS)}").write_bytes(WEIGHTS[:-1] + b"?")
    with pytest.raises(InvalidRequest, match="not what its name says"):
        await machine.adopt("tiny:1b")
    assert machine.library.models() == []
    assert machine.blobs.digests() == []
    assert leftovers(machine) == []


async def test_what_is_no_model_is_not_taken(machine: Machine) -> None:
    ollama(machine.models, TINY, ("model", b"GGUF" + bytes(100)))
    with pytest.raises(InvalidRequest, match="the weights"):
        await machine.adopt("tiny:1b")
    assert machine.library.models() == []


@pytest.mark.parametrize("split_up", [False, True])
@pytest.mark.parametrize("shared", [True, False])
async def test_a_repository_of_the_hub(machine: Machine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, shared: bool, split_up: bool) -> None:
    if split_up:
        (tmp_path / "parts").mkdir()
        files = {path.name: path.read_bytes() for path in split(tmp_path / "parts", "m-Q4_K_M", 3)}
    else:
        files = {"m-Q4_K_M.gguf": WEIGHTS, "mmproj-F16.gguf": projector().bytes()}
    snapshot = hub(machine.cache, "owner/repo", files)
    if not shared:
        refuse(monkeypatch)
    made = await machine.adopt("hf.co/owner/repo:Q4_K_M")
    assert made.in_place is not shared
    known, offered = machine.library.stored(made.name), machine.library.get(made.name)
    assert known is not None
    assert offered.path is not None
    assert offered.path.is_file()
    assert bool(known.blobs) is shared
    assert known.version
    assert (known.projector is not None) is not split_up
    if split_up:
        assert offered.path.name.endswith("-00001-of-00003.gguf")
        assert len(known.files) == 3
        assert offered.path.is_relative_to(snapshot) is not shared


def refuse(monkeypatch: pytest.MonkeyPatch) -> None:
    """As on another file system."""

    def cannot(*_: Any, **__: Any) -> None:
        raise OSError(18, "Invalid cross-device link")

    monkeypatch.setattr(os, "link", cannot)


async def test_files_of_others_are_used_where_they_lie(machine: Machine, monkeypatch: pytest.MonkeyPatch) -> None:
    ollama(machine.models, TINY, ("model", WEIGHTS))
    file = machine.models / f"blobs/sha256-{sha256(WEIGHTS)}"
    file.chmod(0o666)
    assert (await machine.adopt("tiny:1b")).in_place
    file.chmod(0o644)
    monkeypatch.setattr(os, "geteuid", lambda: file.stat().st_uid + 1)
    assert (await machine.adopt("tiny:1b", called="other")).in_place
    assert leftovers(machine) == []


async def test_links_and_strange_files_get_no_second_name(machine: Machine, tmp_path: Path) -> None:
    file, link, pipe = tmp_path / "file", tmp_path / "link", tmp_path / "pipe"
    file.write_bytes(b"content")
    link.symlink_to(file)
    os.mkfifo(pipe)
    for path in (link, pipe, tmp_path, tmp_path / "nothing"):
        with machine.blobs.linked(path) as opened:
            assert opened is None
    assert leftovers(machine) == []


async def test_a_model_of_lm_studio_lies_where_it_lay_until_it_is_gone(machine: Machine) -> None:
    file = machine.user / ".lmstudio/models/owner/repo/m-Q4_K_M.gguf"
    file.parent.mkdir(parents=True)
    file.write_bytes(WEIGHTS)
    made = await machine.adopt("hf.co/owner/repo:Q4_K_M")
    assert made.in_place
    assert machine.library.get(made.name).path == file
    machine.upstream.offer("hf.co/owner/repo:Q4_K_M", [("weights", WEIGHTS)])
    file.unlink()
    told = await machine.pull("hf.co/owner/repo:Q4_K_M")
    assert "downloading" in [one.stage for one in told]
    assert machine.library.get(made.name).path == machine.blobs.path(sha256(WEIGHTS))


async def test_of_two_tools_the_one_is_taken_whose_files_can_be_shared(machine: Machine) -> None:
    file = machine.user / ".lmstudio/models/owner/repo/m-Q4_K_M.gguf"
    file.parent.mkdir(parents=True)
    file.write_bytes(WEIGHTS)
    ollama(machine.models, "hf.co/owner/repo/Q4_K_M", ("model", WEIGHTS), ("system", b"Ollama's"))
    assert (await machine.adopt("hf.co/owner/repo:Q4_K_M", tool="lmstudio", called="here")).in_place
    assert not (await machine.adopt("hf.co/owner/repo:Q4_K_M")).in_place


@pytest.mark.parametrize("name", ["/etc/passwd", "../../etc/passwd", "tiny:2b", "tiny", "registry.example.com/tiny:1b"])
async def test_only_what_was_found(machine: Machine, name: str) -> None:
    ollama(machine.models, TINY, ("model", WEIGHTS))
    with pytest.raises((NotFound, InvalidRequest)):
        await machine.adopt(name)
    assert machine.library.models() == []


async def test_the_name_of_an_offered_file_is_taken(machine: Machine, tmp_path: Path) -> None:
    ollama(machine.models, TINY, ("model", WEIGHTS))
    (tmp_path / "mine.gguf").write_bytes(WEIGHTS)
    await machine.library.offer(tmp_path / "mine.gguf", name="tiny:1b")
    with pytest.raises(Conflict, match="choose another name"):
        await machine.adopt("tiny:1b")


async def test_who_leaves_leaves_nothing_behind(machine: Machine) -> None:
    ollama(machine.models, TINY, ("model", WEIGHTS))
    adopting = machine.adoption.adopt("tiny:1b")
    async for told in adopting:
        assert not isinstance(told, Adopted)
        break
    assert leftovers(machine) != []
    await adopting.aclose()
    assert (leftovers(machine), machine.blobs.digests()) == ([], [])


def test_a_glimpse_is_short(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for number in range(40):
        ollama(tmp_path / ".ollama/models", f"registry.ollama.ai/library/tiny/{number}", ("model", WEIGHTS))
    hub(tmp_path / ".cache/huggingface/hub", "owner/repo", {"m-Q4_K_M.gguf": WEIGHTS})
    assert glimpse({}, tmp_path, seconds=60) == ({"ollama": 40, "huggingface": 1}, True)
    now = iter(range(10_000))
    monkeypatch.setattr("hausgeist.library.sources.adoption.time.monotonic", lambda: float(next(now)))
    seen, whole = glimpse({}, tmp_path, seconds=10)
    assert 0 < sum(seen.values()) < 10
    assert not whole
