"""An index of vectors whose writer is killed at any moment is at a mark that was committed, and whole."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from hausgeist.knowledge.index.vectors import Vectors
from tests.contract.vector_index import units

WRITER = """
import sys
from pathlib import Path
from hausgeist.knowledge.index.vectors import Vectors
from tests.contract.vector_index import units
index = Vectors(Path(sys.argv[1]), 32, graph_rows=600)
start = index.mark
for mark in range(start + 1, 100000):
    # Mark n: passages 100n to 100n+99 are there; the first ten of those before it are gone, the next ten replaced.
    index.add(range(mark * 100, mark * 100 + 100), [mark] * 100, units(100, mark))
    index.remove(range(mark * 100 - 100, mark * 100 - 90))
    index.add(range(mark * 100 - 90, mark * 100 - 80), [mark] * 10, units(10, -mark % 2**31))
    index.commit(mark)
    print(mark, flush=True)
"""


@pytest.mark.skipif(sys.platform == "win32", reason="there is no SIGKILL")
def test_a_writer_that_is_killed(tmp_path: Path) -> None:
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([str(Path(__file__).resolve().parents[2]), *sys.path])}
    said = 0
    for round_ in range(6):
        process = subprocess.Popen([sys.executable, "-c", WRITER, str(tmp_path)], stdout=subprocess.PIPE, text=True, env=environment)
        assert process.stdout is not None
        for _ in range(6 + round_ * 5):
            said = int(process.stdout.readline())
        # Wherever it is just now.
        process.send_signal(signal.SIGKILL)
        rest = process.stdout.read().split()
        process.wait()
        process.stdout.close()
        said = max([said, *map(int, rest)])
        index = Vectors(tmp_path, 32, graph_rows=600)
        assert said <= index.mark <= said + 1, "what was said to be committed is there"
        _whole(index)
        said = index.mark
        index.close()
    assert said > 60


def _whole(index: Vectors) -> None:
    mark = index.mark
    expected: set[int] = set()
    for number in range(1, mark + 1):
        expected |= set(range(number * 100, number * 100 + 100))
        expected -= set(range(number * 100 - 100, number * 100 - 90))
        expected |= set(range(number * 100 - 90, number * 100 - 80))
    assert len(index) == len(expected)
    assert {one.id for one in index.search(units(1, 0)[0], 100_000)} == expected
    assert np.allclose(index.vectors(range(mark * 100, mark * 100 + 100)), units(100, mark), atol=1e-3)
    if mark > 1:
        before = mark - 1
        assert np.allclose(index.vectors(range(before * 100 + 10, before * 100 + 20)), units(10, -mark % 2**31), atol=1e-3)
        assert np.allclose(index.vectors(range(before * 100 + 20, before * 100 + 100)), units(100, before)[20:], atol=1e-3)
        found = index.search(units(100, mark)[5], 1, entries=[mark])
        assert found[0].id == mark * 100 + 5
