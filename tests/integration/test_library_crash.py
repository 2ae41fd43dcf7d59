"""kill -9 of a process that upgrades, goes back, removes and collects: the model that people use is whole at every moment, and as it was left.

And of one that takes over what another tool has: that tool's files are not touched.
"""

from __future__ import annotations

import hashlib
import os
import random
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.unit.library.gguf_builder import model, split
from tests.unit.library.test_adopt import TINY, Machine
from tests.unit.library.test_adoption import ollama
from tests.unit.library.test_upkeep import Kept

ROOT = Path(__file__).parents[2]
ROUNDS = 12

KEEPER = """
import asyncio, pathlib, sys
from hausgeist.errors import ModelNotFound
from tests.unit.library.gguf_builder import model
from tests.unit.library.test_upkeep import Kept

async def main(folder, parts):
    home = Kept(folder)
    await home.library.start(collecting=False)
    old = [("weights", part.read_bytes()) for part in parts]
    versions = home.upkeep.versions
    try:
        home.library.get("a")
    except ModelNotFound:
        home.upstream.offer("a", old)
        await home.pull("a")
        await versions.pin("a", pinned=True)
    if "split" not in home.library.get("a").path.parts:
        await versions.rollback("a")
    round = 0
    while True:
        round += 1
        home.upstream.offer("a", [("weights", model(seed=round % 3 + 1).bytes())])
        await home.pull("a")
        print("upgraded", flush=True)
        await versions.pin("a", pinned=False)
        home.upstream.offer("b", old)
        await home.pull("b")
        await home.upkeep.garbage.collect(everything=True)
        # The one before is always the old one: it is what was replaced last.
        await versions.rollback("a")
        print("back", flush=True)
        await home.library.remove("b")
        await home.upkeep.garbage.collect(everything=True)
        print("collected", flush=True)

asyncio.run(main(pathlib.Path(sys.argv[1]), [pathlib.Path(one) for one in sys.argv[2:]]))
"""


async def test_killed_at_any_moment_the_model_is_whole(tmp_path: Path) -> None:
    folder, parts = tmp_path / "home", split(tmp_path, "big", 2)
    old = [part.read_bytes() for part in parts]
    chance = random.Random(7)
    said: set[str] = set()
    for number in range(ROUNDS):
        given = [sys.executable, "-c", KEEPER, str(folder), *map(str, parts)]
        with subprocess.Popen(given, cwd=ROOT, stdout=subprocess.PIPE, text=True) as process:
            assert process.stdout is not None
            # Long enough for one upgrade at least, then whenever.
            said.add(process.stdout.readline().strip())
            time.sleep(chance.uniform(0, 0.4))
            assert process.poll() is None, "it ended by itself"
            process.kill()
            said |= {line.strip() for line in process.stdout}
        await is_whole(folder, old, f"round {number}")
    assert said >= {"upgraded", "back", "collected"}


async def is_whole(folder: Path, old: list[bytes], when: str) -> None:
    home = Kept(folder)
    try:
        await home.library.start()
        for digest in home.blobs.digests():
            assert hashlib.sha256(home.blobs.path(digest).read_bytes()).hexdigest() == digest, when
        history = home.upkeep.versions.history("a")
        path = history.model.path
        assert path is not None
        if path.parent.parent.name == "split":
            assert [one.read_bytes() for one in sorted(path.parent.iterdir())] == old, when
            assert history.state.pinned, when
        else:
            assert path.is_file(), when
            # What could be gone back to is there.
            assert len(history.before[0].definition.files) == len(old), when
        for version in history.before:
            assert all(home.blobs.has(blob) for blob in version.definition.blobs), when
        assert [name for name in os.listdir(home.blobs.folder) if name.startswith(".partial")] == [], when
    finally:
        await home.close()


ADOPTER = """
import asyncio, pathlib, sys
from hausgeist.errors import ModelNotFound
from tests.unit.library.test_adopt import Machine

async def main(folder, until):
    home = Machine(folder)
    await home.library.start(collecting=False)
    while True:
        try:
            await home.library.remove("tiny:1b")
        except ModelNotFound:
            pass
        async for told in home.adoption.adopt("tiny:1b"):
            stage = getattr(told, "stage", "adopted")
            print(stage, flush=True)
            if stage == until:
                await asyncio.sleep(60)

asyncio.run(main(pathlib.Path(sys.argv[1]), sys.argv[2]))
"""


@pytest.mark.parametrize("stage", ["verifying", "installing", "adopted", 0.01, 0.05, 0.1, 0.2])
async def test_killed_while_it_adopts_all_is_whole(tmp_path: Path, stage: str | float) -> None:
    """In the middle of reading, with a blob that no model mentions yet, when it is done; and some seconds after its beginning."""
    weights = model().bytes() + random.Random(3).randbytes(8 << 20)
    digest = hashlib.sha256(weights).hexdigest()
    models = tmp_path / "user/.ollama/models"
    ollama(models, TINY, ("model", weights))
    theirs = models / f"blobs/sha256-{digest}"
    before = theirs.stat()
    blobs = tmp_path / "hausgeist/blobs"
    with subprocess.Popen([sys.executable, "-c", ADOPTER, str(tmp_path), str(stage)], cwd=ROOT, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        for line in process.stdout:
            if stage == line.strip() or isinstance(stage, float):
                break
        if isinstance(stage, float):
            time.sleep(stage)
        assert process.poll() is None, "it ended by itself"
        process.kill()
    if stage == "verifying":
        assert [name for name in os.listdir(blobs) if name.startswith(".partial")], "it was not in the middle"
    machine = Machine(tmp_path)
    try:
        await machine.library.start(collecting=False)
        left = os.listdir(blobs)
        assert left in ([], [f"sha256-{digest}"])
        there = [one.id for one in machine.library.models()]
        assert there == (["tiny:1b"] if stage == "adopted" else [] if stage in {"verifying", "installing"} else there)
        if there:
            assert left
        await machine.library.collect(older_than=-1)
        assert os.listdir(blobs) == ([f"sha256-{digest}"] if there else [])
        made = await machine.adopt("tiny:1b")
        assert not made.in_place
        assert machine.blobs.path(digest).samefile(theirs)
        assert machine.blobs.path(digest).read_bytes() == weights
        await machine.library.remove("tiny:1b")
        after = theirs.stat()
        assert theirs.read_bytes() == weights
        assert (after.st_ino, after.st_mode, after.st_mtime_ns, after.st_nlink) == (before.st_ino, before.st_mode, before.st_mtime_ns, 1)
    finally:
        await machine.close()
