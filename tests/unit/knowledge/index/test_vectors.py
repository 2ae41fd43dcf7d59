"""What is particular to the index in files: graphs, bytes on the disk, damage. The contract of all is in tests/contract."""

from __future__ import annotations

import json
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from hausgeist.errors import Locked
from hausgeist.knowledge.index import nearness, segments, vectors
from hausgeist.knowledge.index.asking import Asking
from hausgeist.knowledge.index.vectors import Vectors, open_vectors
from tests.contract.vector_index import units

DIMENSION = 48


def filled(folder: Path, rows: NDArray[np.float32], *, graph_rows: int, step: int = 1000, per_entry: int = 10) -> Vectors:
    """Passages from 1 on, ten to an entry."""
    index = Vectors(folder, DIMENSION, graph_rows=graph_rows)
    for start in range(0, len(rows), step):
        ids = range(start + 1, min(start + step, len(rows)) + 1)
        index.add(ids, [number // per_entry for number in ids], rows[start : start + step])
        index.commit(start + step)
    return index


def settled(index: Vectors) -> Vectors:
    """Once nothing is at work in the background."""
    while index._building is not None or index._state.tail.count - index._state.tail.first >= index._graph_rows:
        index._tend()
        time.sleep(0.01)
    return index


def clustered(count: int, seed: int) -> NDArray[np.float32]:
    """Means of three of 200: as passages share sentences."""
    parts = units(200, seed, DIMENSION)
    rows = parts[np.random.default_rng(seed).integers(0, 200, (count, 3))].sum(axis=1)
    found: NDArray[np.float32] = rows / np.linalg.norm(rows, axis=1, keepdims=True)
    return found


def recall(
    index: Vectors, rows: NDArray[np.float32], queries: NDArray[np.float32], alive: NDArray[np.bool_], entries: list[int] | None = None
) -> float:
    allowed = alive if entries is None else alive & np.isin((np.arange(len(rows)) + 1) // 10, entries)
    hits = 0
    for query in queries:
        scores = np.where(allowed, rows @ query, -2)
        # Rows of the same parts are equally near; any of them is right.
        least = np.sort(scores)[-10]
        found = index.search(query, 10, entries=entries)
        assert len({one.id for one in found}) == 10
        assert all(allowed[one.id - 1] for one in found)
        hits += sum(scores[one.id - 1] >= least - 2e-3 for one in found)
    return hits / len(queries) / 10


def test_graphs_find_what_is_nearest(tmp_path: Path) -> None:
    rows, queries = clustered(9000, 1), units(60, 2, DIMENSION)
    index = settled(filled(tmp_path, rows, graph_rows=4000))
    assert [part.count for part in index._state.parts] == [4000, 4000, 1000]
    alive = np.ones(9000, np.bool_)
    assert recall(index, rows, queries, alive) >= 0.98
    assert recall(index, rows, queries, alive, [number for number in range(901) if number % 90]) >= 0.98, "of most entries"
    assert recall(index, rows, queries, alive, [3, 5, 700]) == 1, "of few it is exact"
    gone = np.random.default_rng(3).choice(9000, 2000, replace=False)
    alive[gone] = False
    index.remove((gone + 1).tolist())
    index.commit(9001)
    assert recall(index, rows, queries, alive) >= 0.98
    index.close()
    again = Vectors(tmp_path, DIMENSION, graph_rows=4000)
    assert (again.mark, len(again)) == (9001, 7000)
    assert recall(again, rows, queries, alive) >= 0.98
    again.compact()
    assert not any(part.dead.any() for part in again._state.parts)
    assert recall(again, rows, queries, alive) >= 0.98
    again.close()


def test_small_graphs_become_a_large_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(vectors, "_step_back", lambda: None)
    rows, queries = clustered(2850, 15), units(40, 16, DIMENSION)
    index = settled(filled(tmp_path, rows, graph_rows=300))
    for _ in range(3000):
        index._tend()
        if (counts := sorted(graph.count for graph in index._state.graphs)) == [300, 1200, 1200]:
            break
        time.sleep(0.01)
    index._join()
    assert counts == [300, 1200, 1200]
    alive = np.ones(2850, np.bool_)
    assert recall(index, rows, queries, alive) >= 0.98
    secret = rows[1500].astype(np.float16).tobytes()
    index.remove([1501])
    index.commit(2851)
    alive[1500] = False
    assert not any(secret in path.read_bytes() for path in tmp_path.iterdir())
    assert recall(index, rows, queries, alive, [number for number in range(286) if number % 90]) >= 0.98
    index.compact()
    assert sorted(graph.count for graph in index._state.graphs) == [300, 1199, 1200]
    index.close()


def test_what_dies_while_graphs_are_merged_is_dead_in_the_new_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    rows = units(1200, 17, DIMENSION)
    monkeypatch.setattr(vectors, "_step_back", lambda: None)
    index = Vectors(tmp_path, DIMENSION, graph_rows=300)
    build = segments.build_graph
    begun = threading.Event()
    go_on = threading.Event()

    def slow(folder: Path, name: str, source: segments.Source, stopped: Callable[[], bool]) -> bool:
        made = build(folder, name, source, stopped)
        if len(source.parts) == 4:
            begun.set()
            assert go_on.wait(60)
        return made

    monkeypatch.setattr(vectors, "build_graph", slow)
    for start in range(0, 1200, 300):
        index.add(range(start, start + 300), [start] * 300, rows[start : start + 300])
        index.commit(start + 1)
    assert begun.wait(60)
    index.remove([5, *range(300, 600)])
    index.commit(1201)
    go_on.set()
    index._join()
    assert [graph.count for graph in index._state.graphs] == [1200]
    assert len(index) == 899
    assert {one.id for one in index.search(rows[5], 1200)} == {*range(1200)} - {5, *range(300, 600)}
    files = b"".join(path.read_bytes() for path in tmp_path.iterdir())
    assert not any(rows[one].astype(np.float16).tobytes() in files for one in (5, 400))
    index.close()


def test_a_graph_that_has_most_of_what_is_near_is_asked_for_all_of_it(tmp_path: Path) -> None:
    rows = units(6000, 18, DIMENSION)
    near = units(1, 19, DIMENSION)[0]
    # All that is near came together.
    rows[2000:2300] = near + 0.05 * rows[2000:2300]
    rows /= np.linalg.norm(rows, axis=1, keepdims=True)
    index = settled(filled(tmp_path, rows, graph_rows=2000))
    found = {one.id for one in index.search(near, 200)}
    assert len(found & set(range(2001, 2301))) >= 199
    index.close()


@pytest.mark.parametrize("threads", [1, 4])
def test_many_may_ask_at_once(threads: int, tmp_path: Path) -> None:
    rows = units(4000, 20, DIMENSION)
    index = settled(filled(tmp_path, rows, graph_rows=1300))
    index._asking = Asking(threads)
    expected = [[one.id for one in index.search(row, 5)] for row in rows[:40]]
    with ThreadPoolExecutor(8) as pool:
        found = list(pool.map(lambda row: [one.id for one in index.search(row, 5)], list(rows[:40]) * 3))
    assert found == expected * 3
    assert all(ids[0] == number + 1 for number, ids in enumerate(expected))
    index.close()


def test_each_vector_lies_on_the_disk_once(tmp_path: Path) -> None:
    index = settled(filled(tmp_path, clustered(8000, 4), graph_rows=4000))
    index.close()
    size = sum(path.stat().st_size for path in tmp_path.iterdir())
    # Halves, 16 + 32 neighbours and their counts, id, and what belongs to entries.
    assert size / 8000 < DIMENSION * 2 + 180


@pytest.mark.parametrize("graph_rows", [100_000, 1000], ids=["tail", "graphs"])
def test_what_was_removed_is_gone_from_the_disk(tmp_path: Path, graph_rows: int) -> None:
    rows = units(3000, 5, DIMENSION)
    index = settled(filled(tmp_path, rows, graph_rows=graph_rows))
    secret = [row.astype(np.float16).tobytes() for row in rows[[10, 1500, 2990]]]
    there = b"".join(path.read_bytes() for path in tmp_path.iterdir())
    assert all(one in there for one in secret)
    index.remove([11, 1501])
    index.add([2991], [0], units(1, 6, DIMENSION))
    index.commit(3001)
    there = b"".join(path.read_bytes() for path in tmp_path.iterdir())
    assert not any(one in there for one in secret)
    index.close()


def test_what_a_killed_process_did_not_overwrite_is_overwritten(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    rows = units(3000, 7, DIMENSION)
    index = settled(filled(tmp_path, rows, graph_rows=1000))
    with monkeypatch.context() as patch:
        patch.setattr(index, "_wipe", lambda state, masks: None)
        index.remove([11])
        index.commit(3001)
    index.close()
    secret = rows[10].astype(np.float16).tobytes()
    assert any(secret in path.read_bytes() for path in tmp_path.iterdir())
    Vectors(tmp_path, DIMENSION, graph_rows=1000).close()
    assert not any(secret in path.read_bytes() for path in tmp_path.iterdir())


def test_searches_and_commits_go_on_while_graphs_are_made(tmp_path: Path) -> None:
    rows = clustered(12_000, 8)
    index = Vectors(tmp_path, DIMENSION, graph_rows=2000)
    failed: list[BaseException] = []
    done = threading.Event()

    def ask() -> None:
        try:
            while not done.is_set():
                for one in index.search(rows[0], 20):
                    assert one.score > -1
                index.scores(rows[1], [1, 2, 3])
        except BaseException as error:
            failed.append(error)

    askers = [threading.Thread(target=ask) for _ in range(3)]
    for one in askers:
        one.start()
    for start in range(0, 12_000, 500):
        index.add(range(start, start + 500), [start] * 500, rows[start : start + 500])
        index.remove(range(start - 500, start - 400))
        index.commit(start + 500)
    settled(index)
    done.set()
    for one in askers:
        one.join()
    assert not failed
    assert len(index) == 12_000 - 23 * 100
    removed = {passage for start in range(500, 12_000, 500) for passage in range(start - 500, start - 400)}
    everything = {one.id for one in index.search(rows[0], 12_000)}
    assert everything == set(range(12_000)) - removed
    index.close()


def test_a_graph_of_which_much_has_died_is_made_anew(tmp_path: Path) -> None:
    index = settled(filled(tmp_path, clustered(3000, 9), graph_rows=1000))
    names = {graph.name for graph in index._state.graphs}
    index.remove(range(1, 501))
    index.remove(range(1001, 2001))
    index.commit(3001)
    settled(index)
    while any(graph.dead.any() for graph in index._state.graphs):
        time.sleep(0.01)
    assert sorted(graph.count for graph in index._state.graphs) == [500, 1000]
    assert len({graph.name for graph in index._state.graphs} & names) == 1
    assert {path.name.partition(".")[0] for path in tmp_path.glob("0*")} == {part.name for part in index._state.parts if part.count} | {
        path.name.partition(".")[0] for path in tmp_path.glob(f"{index._state.tail.name}.*")
    }
    index.close()


@pytest.mark.parametrize("damage", ["manifest", "cut tail", "cut graph", "no graph", "other model", "ids"])
def test_a_damaged_index_begins_anew(tmp_path: Path, damage: str) -> None:
    index = settled(filled(tmp_path, clustered(2500, 10), graph_rows=1000))
    graph, tail = index._state.graphs[0].name, index._state.tail.name
    index.close()
    dimension = DIMENSION
    if damage == "manifest":
        (tmp_path / "manifest.json").write_text("{half")
    elif damage == "other model":
        dimension = 96
    else:
        path = tmp_path / {"cut tail": f"{tail}.vec", "cut graph": f"{graph}.graph", "no graph": f"{graph}.graph", "ids": f"{graph}.ids"}[damage]
        content = path.read_bytes()
        path.unlink()
        if damage != "no graph":
            path.write_bytes(content[: len(content) // 2])
    again = Vectors(tmp_path, dimension, graph_rows=1000)
    assert (again.mark, len(again)) == (0, 0)
    again.add([1], [1], units(1, 11, dimension))
    again.commit(1)
    assert [one.id for one in again.search(units(1, 11, dimension)[0], 5)] == [1]
    again.close()


def test_files_that_nothing_names_are_removed(tmp_path: Path) -> None:
    index = filled(tmp_path, clustered(100, 12), graph_rows=1000)
    index.close()
    (tmp_path / "000099.graph").write_bytes(b"half")
    Vectors(tmp_path, DIMENSION).close()
    assert not (tmp_path / "000099.graph").exists()


def test_one_process_writes(tmp_path: Path) -> None:
    first, second = Vectors(tmp_path, DIMENSION), Vectors(tmp_path, DIMENSION)
    first.commit(1)
    with pytest.raises(Locked, match="Another"):
        second.commit(2)
    first.close()
    second.close()
    assert json.loads((tmp_path / "manifest.json").read_text())["mark"] == 1


def test_cosines_without_the_fast_kernel_are_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    rows, query = units(3000, 13, DIMENSION).astype(np.float16), units(1, 14, DIMENSION)[0]
    assert np.allclose(nearness.cosines(rows, query), nearness._by_numpy(rows, query), atol=1e-3)
    assert np.allclose(nearness.cosines(rows[::2], query), nearness._by_numpy(rows, query)[::2], atol=1e-3)
    assert nearness.best(np.array([1, 3, 2], np.float32), 2).tolist() == [1, 2]


def test_a_length_that_nobody_knows_yet_is_that_of_the_first_vectors(tmp_path: Path) -> None:
    index = open_vectors(tmp_path, 0)
    assert index.mark == 0
    assert list(index.search(np.ones(24, np.float32), 3)) == []
    index.add([1, 2], [1, 1], np.eye(2, 24, dtype=np.float32))
    index.commit(2)
    index.close()
    # One whose model is not there is opened as it stands, so that what is deleted leaves it.
    index = open_vectors(tmp_path, 0)
    index.remove([1])
    index.commit(2)
    assert [one.id for one in index.search(np.ones(24, np.float32), 3)] == [2]
    index.close()
    index = open_vectors(tmp_path, 24)
    assert index.mark == 2
    index.close()


def test_graphs_and_the_embedding_model_live_in_one_process(tmp_path: Path) -> None:
    """In whichever order they are needed: after a start, the graphs of a large store are opened before the first question is embedded."""
    code = (
        "import sys\nfrom pathlib import Path\nimport numpy as np\nfrom hausgeist.knowledge.index.vectors import Vectors\n"
        "index = Vectors(Path(sys.argv[1]), 24, graph_rows=64)\n"
        "index.add(range(1, 101), [1] * 100, np.eye(100, 24, dtype=np.float32))\nindex.commit(100)\nindex.compact()\nindex.close()\n"
        "assert 'usearch' in sys.modules\nimport onnxruntime\n"
    )
    ended = subprocess.run([sys.executable, "-c", code, str(tmp_path)], capture_output=True, text=True, check=False)
    assert ended.returncode == 0, ended.stderr
