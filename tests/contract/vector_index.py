"""What every `VectorIndex` must do. A module of tests makes a fixture `opened` (opens the same index again and again) and imports these."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
import pytest
from numpy.typing import NDArray

from hausgeist.errors import InvalidRequest
from hausgeist.knowledge.index import VectorIndex

__all__ = ["DIMENSION", "VectorIndexContract", "units"]

DIMENSION = 32


def units(count: int, seed: int, dimension: int = DIMENSION) -> NDArray[np.float32]:
    rows = np.random.default_rng(seed).standard_normal((count, dimension)).astype(np.float32)
    found: NDArray[np.float32] = rows / np.linalg.norm(rows, axis=1, keepdims=True)
    return found


class VectorIndexContract:
    """`opened()`: the index, closed and opened again at each call but the first."""

    def test_a_new_one_is_empty(self, opened: Callable[[], VectorIndex]) -> None:
        index = opened()
        query = units(1, 0)[0]
        assert (index.mark, list(index.search(query, 5)), list(index.search(query, 5, entries=[1]))) == (0, [], [])
        assert math.isnan(index.scores(query, [1])[0])
        assert index.vectors([]).shape == (0, DIMENSION)
        with pytest.raises(KeyError):
            index.vectors([1])
        index.commit(3)
        assert (index.mark, opened().mark) == (3, 3)

    def test_the_nearest_are_found_in_their_order(self, opened: Callable[[], VectorIndex]) -> None:
        index, rows = opened(), units(500, 1)
        index.add(range(10, 510), range(500), rows)
        index.commit(1)
        for number in range(0, 500, 50):
            query = units(1, 100 + number)[0]
            expected = rows @ query
            found = index.search(query, 7)
            assert [one.id for one in found] == (np.argsort(-expected)[:7] + 10).tolist()
            assert [one.score for one in found] == pytest.approx(np.sort(expected)[::-1][:7].tolist(), abs=2e-3)
        assert len(index.search(rows[0], 1000)) == 500
        assert list(index.search(rows[0], 0)) == []

    def test_nothing_is_found_before_its_commit(self, opened: Callable[[], VectorIndex]) -> None:
        index, rows = opened(), units(3, 2)
        index.add([1, 2], [1, 1], rows[:2])
        assert list(index.search(rows[0], 5)) == []
        index.commit(1)
        index.add([3], [1], rows[2:])
        index.remove([1])
        assert {one.id for one in index.search(rows[0], 5)} == {1, 2}
        assert {one.id for one in opened().search(rows[0], 5)} == {1, 2}, "what was not committed is forgotten"

    def test_what_was_removed_is_not_found(self, opened: Callable[[], VectorIndex]) -> None:
        index, rows = opened(), units(100, 3)
        index.add(range(100), [0] * 100, rows)
        index.commit(1)
        index.remove({5, 6, 1000})
        index.commit(2)
        for found in (index, opened()):
            assert {one.id for one in found.search(rows[5], 100)} == set(range(100)) - {5, 6}
            assert 5 not in {one.id for one in found.search(rows[5], 100, entries=[0])}
            assert [math.isnan(score) for score in found.scores(rows[5], [5, 7, 6])] == [True, False, True]
            with pytest.raises(KeyError):
                found.vectors([7, 5])

    def test_a_passage_that_is_there_is_replaced(self, opened: Callable[[], VectorIndex]) -> None:
        index, rows = opened(), units(4, 4)
        index.add([1, 2], [7, 7], rows[:2])
        index.commit(1)
        index.add([1], [8], rows[2:3])
        index.add([1], [9], rows[3:])
        index.commit(2)
        for found in (index, opened()):
            assert sorted(one.id for one in found.search(rows[0], 10)) == [1, 2]
            assert np.allclose(found.vectors([1])[0], rows[3], atol=1e-3)
            assert [[one.id for one in found.search(rows[0], 10, entries=[entry])] for entry in (7, 8, 9)] == [[2], [], [1]]

    def test_added_and_removed_again(self, opened: Callable[[], VectorIndex]) -> None:
        index, rows = opened(), units(3, 5)
        index.add([1, 2], [1, 1], rows[:2])
        index.remove([1])
        index.commit(1)
        assert [one.id for one in index.search(rows[0], 5)] == [2]
        index.remove([2])
        index.add([2], [1], rows[2:])
        index.commit(2)
        assert np.allclose(opened().vectors([2])[0], rows[2], atol=1e-3)

    def test_only_in_these_entries(self, opened: Callable[[], VectorIndex]) -> None:
        index, rows = opened(), units(400, 6)
        entries = [number % 40 for number in range(400)]
        index.add(range(400), entries, rows)
        index.commit(1)
        query = units(1, 7)[0]
        for wanted in ({3}, {1, 2, 39}, set(range(40)), set(range(0, 40, 2)), {-5, 3}, {77}, set[int]()):
            scores = np.where(np.isin(entries, list(wanted)), rows @ query, -2)
            expected = [int(one) for one in np.argsort(-scores)[:10] if scores[one] > -2]
            assert [one.id for one in index.search(query, 10, entries=wanted)] == expected

    def test_scores_and_vectors_by_id(self, opened: Callable[[], VectorIndex]) -> None:
        index, rows = opened(), units(50, 8)
        index.add(range(0, 100, 2), [0] * 50, rows)
        index.commit(1)
        found = index.scores(rows[3], [6, 7, 0, 6])
        assert found[0] == pytest.approx(1, abs=2e-3)
        assert math.isnan(found[1])
        assert found[2] == pytest.approx(float(rows[3] @ rows[0]), abs=2e-3)
        assert found[3] == pytest.approx(found[0], abs=1e-5)
        assert np.allclose(index.vectors([98, 0]), rows[[49, 0]], atol=1e-3)

    def test_ids_may_be_large_and_come_in_any_order(self, opened: Callable[[], VectorIndex]) -> None:
        index, rows = opened(), units(4, 9)
        ids = [2**62, 5, 2**40, 1]
        index.add(ids, [2**61, 1, 2**61, 3], rows)
        index.commit(2**50)
        index = opened()
        assert index.mark == 2**50
        for number, passage in enumerate(ids):
            assert index.search(rows[number], 1)[0].id == passage
        assert {one.id for one in index.search(rows[0], 9, entries=[2**61])} == {2**62, 2**40}

    def test_vectors_that_do_not_fit_are_refused(self, opened: Callable[[], VectorIndex]) -> None:
        index, rows = opened(), units(2, 10)
        bad = rows.copy()
        bad[1, 3] = np.nan
        for ids, entries, vectors in (([1], [1], rows), ([1, 2], [1], rows), ([1, 2], [1, 1], rows[:, :-1]), ([1, 2], [1, 1], bad)):
            with pytest.raises(InvalidRequest):
                index.add(ids, entries, vectors)
        with pytest.raises(InvalidRequest):
            index.search(rows[0, :-1], 1)
        index.commit(1)
        assert list(index.search(rows[0], 5)) == []
