"""Files that come with a request lie on the disk only while they are read, whatever is killed meanwhile."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
import time
from pathlib import Path
from typing import Any, cast

import pytest

from hausgeist.knowledge.attached import Attached
from hausgeist.knowledge.parsed import Parsed

KILLED = """
import asyncio, os, signal, sys
from pathlib import Path
from hausgeist.knowledge.attached import Attached

async def parse(path, filename):
    os.kill(os.getpid(), signal.SIGKILL)

asyncio.run(Attached(parse, Path(sys.argv[1])).text(b"the secret", "a.txt"))
"""


async def test_it_goes_when_it_is_read(tmp_path: Path) -> None:
    folder = tmp_path / "attached"
    reading, go = asyncio.Event(), asyncio.Event()

    async def parse(path: Path, filename: str) -> Parsed:
        assert (path.parent, path.read_bytes(), filename) == (folder, b"the words", "a.txt")
        assert os.name == "nt" or path.stat().st_mode & 0o777 == 0o600
        reading.set()
        await go.wait()
        return Parsed(text="words")

    attached = Attached(parse, folder)
    attached.sweep()
    one = asyncio.create_task(attached.text(b"the words", "a.txt"))
    await reading.wait()
    attached.sweep()
    Attached(parse, folder).sweep()
    assert len(list(folder.iterdir())) == 1, "it is being read"
    go.set()
    assert await one == "words"
    assert list(folder.iterdir()) == []


@pytest.mark.skipif(sys.platform == "win32", reason="no such signal")
def test_what_a_killed_process_left_goes_with_the_next_start(tmp_path: Path) -> None:
    folder = tmp_path / "attached"
    subprocess.run([sys.executable, "-c", KILLED, str(folder)], check=False, capture_output=True, timeout=60)
    [left] = folder.iterdir()
    assert left.read_bytes() == b"the secret"
    (folder / "of another version").write_text("old")
    os.utime(folder / "of another version", (1, time.time() - 7200))
    Attached(cast(Any, None), folder).sweep()
    assert list(folder.iterdir()) == []
