"""The index of vectors in files, as one tail and as many graphs."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from hausgeist.knowledge.index import VectorIndex
from hausgeist.knowledge.index.vectors import GRAPH_ROWS, Vectors
from tests.contract.vector_index import DIMENSION, VectorIndexContract


class TestVectors(VectorIndexContract):
    @pytest.fixture(params=[GRAPH_ROWS, 50], ids=["tail", "graphs"])
    def opened(self, request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Callable[[], VectorIndex]]:
        before: list[Vectors] = []

        def open_again() -> VectorIndex:
            for one in before:
                one.close()
            before[:] = [Vectors(tmp_path / "index", DIMENSION, graph_rows=request.param)]
            return before[0]

        yield open_again
        for one in before:
            one.close()
