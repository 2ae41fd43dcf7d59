"""kill -9 of a process that upgrades, goes back, removes and collects: the model that people use is whole at every moment, and as it was left."""

from __future__ import annotations

import hashlib
import os
import random
import subprocess
import sys
import time
from pathlib import Path

from tests.unit.library.gguf_builder import split
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
