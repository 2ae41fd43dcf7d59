"""Parts of an index of vectors as they lie on the disk: rows as they came, searched one by one, and rows that a graph leads through.

```
NAME.ids     of a tail: id and entry of each row; of a graph: the ids, rising
NAME.runs    of a graph: entry, first row and end of rows that follow one another and belong to one entry, by entry
NAME.vec     of a tail: the vectors, halves (f16)
NAME.graph   of a graph: usearch's file, which begins with the vectors in the order of the rows: they are stored once
```
All are mapped into memory, not loaded. Rows that were removed are `dead`: no search finds them, and their vectors are overwritten on the disk.
"""

from __future__ import annotations

import contextlib
import os
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from importlib import import_module
from math import sqrt
from pathlib import Path
from typing import Any, Protocol, TypeVar

import numpy as np
from numpy.typing import NDArray

from hausgeist.knowledge.index.nearness import Half, best, cosines
from hausgeist.store.disk import sync_file

__all__ = ["Graph", "Half", "Ids", "Mask", "Part", "Source", "Tail", "append", "build_graph", "open_graph", "open_tail", "wipe"]

CONNECTIVITY, EXPANSION_ADD = 16, 64
"""Measured on 50,000 means of real sentences: recall@10 of one graph .99; 128 at adding finds .001 more and takes 1.8 times as long."""
_LEAST_EXPANSION, _SHARED_EXPANSION = 32, 64
"""One graph has 96. Of a million passages in 15 graphs, 96 in each found .998 of the ten nearest, 48 found .993 in .65 of the processor's time."""
_HEAD = 8
"""Bytes before the vectors in usearch's file: rows and bytes of a row, 32 bits each (index_dense.hpp, `save_to_stream`)."""
_BATCH = 2048
_FEW = 4096
"""So many rows are sooner looked at than found by way of the graph."""
_MOST_ASKED = 1024
"""So many the graph is asked for at most when only some may be found; then the allowed ones are gone through."""

T = TypeVar("T", np.int64, np.float16)
Ids = NDArray[np.int64]
Mask = NDArray[np.bool_]


class Part(Protocol):
    @property
    def name(self) -> str: ...

    @property
    def count(self) -> int: ...

    @property
    def dead(self) -> Mask: ...

    @property
    def vectors(self) -> Half: ...

    def find(self, ids: Ids) -> NDArray[np.intp]:
        """The row of each id that is alive here; -1 for others."""
        ...

    def of_entries(self, entries: Ids) -> NDArray[np.intp]:
        """The living rows of these entries. `entries` rise."""
        ...

    def everything(self) -> tuple[Ids, Ids, NDArray[np.intp]]:
        """Ids, entries and numbers of the living rows."""
        ...

    def nearest(self, vector: NDArray[np.float32], limit: int, rows: NDArray[np.intp] | None, *, graphs: int = 1) -> tuple[Ids, NDArray[np.float32]]:
        """Ids and cosines, the nearest first. `rows`: only these; None: all that live. `graphs`: among how many the answer is spread; one of
        several may tell fewer than `limit`."""
        ...


@dataclass(frozen=True, slots=True)
class Tail:
    """Rows in the order in which they came. All of them are looked at, which is exact, and quick up to some 100,000 rows."""

    name: str
    ids: Ids
    entries: Ids
    order: NDArray[np.intp]
    """Rows by id; the latest of an id last."""
    rising: Ids
    """The ids in that order."""
    dead: Mask
    vectors: Half

    @property
    def count(self) -> int:
        return len(self.ids)

    @property
    def first(self) -> int:
        """Before this row all are dead: they have become graphs."""
        return self.count if self.dead.all() else int(self.dead.argmin())

    def find(self, ids: Ids) -> NDArray[np.intp]:
        # Among rows of one id only the last can be alive.
        place = np.searchsorted(self.rising, ids, side="right") - 1
        rows = self.order[np.maximum(place, 0)] if self.count else np.zeros(len(ids), np.intp)
        alive = (place >= 0) & (self.ids[rows] == ids) & ~self.dead[rows] if self.count else np.zeros(len(ids), np.bool_)
        return np.where(alive, rows, -1)

    def of_entries(self, entries: Ids) -> NDArray[np.intp]:
        if not len(entries):
            return np.empty(0, np.intp)
        place = np.minimum(np.searchsorted(entries, self.entries), len(entries) - 1)
        return np.flatnonzero((entries[place] == self.entries) & ~self.dead)

    def everything(self) -> tuple[Ids, Ids, NDArray[np.intp]]:
        rows = np.flatnonzero(~self.dead)
        return self.ids[rows], self.entries[rows], rows

    def nearest(self, vector: NDArray[np.float32], limit: int, rows: NDArray[np.intp] | None, *, graphs: int = 1) -> tuple[Ids, NDArray[np.float32]]:
        if rows is not None:
            return _among(self.ids, self.vectors, vector, limit, rows)
        first = self.first
        scores = cosines(self.vectors[first:], vector)
        scores[self.dead[first:]] = -2.0
        found = best(scores, limit)
        found = found[scores[found] > -2.0]
        return self.ids[found + first], scores[found]


@dataclass(frozen=True, slots=True)
class Graph:
    """Rows by rising id, and usearch's graph over them."""

    name: str
    ids: Ids
    runs: Ids
    dead: Mask
    vectors: Half
    index: Any
    lock: threading.Lock
    """One search at a time: those of one thread each would share the same scratch memory of the index."""

    @property
    def count(self) -> int:
        return len(self.ids)

    def find(self, ids: Ids) -> NDArray[np.intp]:
        rows = np.minimum(np.searchsorted(self.ids, ids), self.count - 1)
        return np.where((self.ids[rows] == ids) & ~self.dead[rows], rows, -1)

    def of_entries(self, entries: Ids) -> NDArray[np.intp]:
        known = self.runs[:, 0]
        first, end = np.searchsorted(known, entries, side="left"), np.searchsorted(known, entries, side="right")
        runs = self.runs[_ranges(first, end)]
        rows = _ranges(runs[:, 1], runs[:, 2])
        return rows[~self.dead[rows]]

    def everything(self) -> tuple[Ids, Ids, NDArray[np.intp]]:
        runs = np.asarray(self.runs)[np.argsort(self.runs[:, 1])]
        entries = np.repeat(runs[:, 0], runs[:, 2] - runs[:, 1])
        rows = np.flatnonzero(~self.dead)
        return np.asarray(self.ids)[rows], entries[rows], rows

    def nearest(self, vector: NDArray[np.float32], limit: int, rows: NDArray[np.intp] | None, *, graphs: int = 1) -> tuple[Ids, NDArray[np.float32]]:
        expansion = _expansion(graphs)
        if rows is None:
            allowed = ~self.dead
            living = int(np.count_nonzero(allowed))
            limit = min(limit, expansion) if graphs > 1 else limit
        else:
            living = len(rows)
            if living <= _FEW or limit * 2 * self.count > living * _MOST_ASKED:
                return _among(self.ids, self.vectors, vector, limit, rows)
            allowed = np.zeros(self.count, np.bool_)
            allowed[rows] = True
        wanted = min(limit, living)
        # Twice as many as would do if what is allowed lay evenly among what is near.
        asked = limit if living == self.count else limit * 2 * self.count // max(1, living) + 16
        while True:
            asked = min(asked, self.count)
            with self.lock:
                self.index.expansion_search = expansion
                matches = self.index.search(vector, asked, threads=1)
            found = matches.keys.astype(np.intp)
            keep = allowed[found]
            if int(keep.sum()) >= wanted or asked >= self.count:
                break
            if asked >= _MOST_ASKED:
                return _among(self.ids, self.vectors, vector, limit, np.flatnonzero(allowed))
            asked *= 4
        found = found[keep][:limit]
        return self.ids[found], (1 - matches.distances[keep][:limit]).astype(np.float32)

    def near(self, row: int) -> int:
        """The nearest living row to one that has died; -1: none is near."""
        with self.lock:
            self.index.expansion_search = _expansion(1)
            found = self.index.search(np.asarray(self.vectors[row], np.float32), 32, threads=1).keys
        return next((int(one) for one in found if not self.dead[int(one)]), -1)


@dataclass(frozen=True, slots=True)
class Source:
    """The living rows of parts of which a graph is made."""

    parts: Sequence[Part]
    ids: Ids
    entries: Ids
    which: NDArray[np.uint16]
    """The part of each."""
    rows: NDArray[np.intp]
    """And its row there."""

    @classmethod
    def of(cls, parts: Sequence[Part], until: int | None = None) -> Source:
        """`until`: of a tail, only rows before it."""
        found = []
        for number, part in enumerate(parts):
            ids, entries, rows = part.everything()
            within = rows < (part.count if until is None else until)
            found.append((ids[within], entries[within], np.full(int(within.sum()), number, np.uint16), rows[within]))
        ids, entries, which, rows = (np.concatenate(column) for column in zip(*found, strict=True))
        return cls(parts, ids, entries, which, rows)

    def vectors(self, some: NDArray[np.intp]) -> Half:
        found = np.empty((len(some), self.parts[0].vectors.shape[1]), np.float16)
        for number, part in enumerate(self.parts):
            here = self.which[some] == number
            found[here] = part.vectors[self.rows[some[here]]]
        return found

    def dead(self, now: Sequence[Part | None]) -> Mask:
        """Which of them have died since, in the order of their ids. `now`: what each part has become; None: nothing is left of it."""
        found = np.ones(len(self.ids), np.bool_)
        for number, part in enumerate(now):
            here = self.which == number
            if part is not None:
                found[here] = part.dead[self.rows[here]]
        return found[np.argsort(self.ids, kind="stable")]


def _expansion(graphs: int) -> int:
    """How many of the nearest each graph keeps in sight while it is gone through. Among several, each has fewer of those that are looked for."""
    return _LEAST_EXPANSION + round(_SHARED_EXPANSION / sqrt(graphs))


def _among(ids: Ids, vectors: Half, vector: NDArray[np.float32], limit: int, rows: NDArray[np.intp]) -> tuple[Ids, NDArray[np.float32]]:
    """The nearest of these rows. They are fetched in parts, so that many need no memory at once."""
    scores = np.concatenate([cosines(vectors[rows[at : at + 8192]], vector) for at in range(0, len(rows), 8192)] or [np.empty(0, np.float32)])
    found = best(scores, limit)
    return ids[rows[found]], scores[found]


def _ranges(starts: NDArray[Any], ends: NDArray[Any]) -> NDArray[np.intp]:
    """The numbers of all half-open ranges, one after the other."""
    lengths = (ends - starts).astype(np.intp)
    if not lengths.sum():
        return np.empty(0, np.intp)
    begin = np.repeat(starts.astype(np.intp) - np.concatenate(([0], np.cumsum(lengths)[:-1])), lengths)
    return begin + np.arange(int(lengths.sum()), dtype=np.intp)


def append(folder: Path, name: str, count: int, ids: Ids, entries: Ids, vectors: Half) -> None:
    """Write rows behind the first `count` of a tail, over whatever a process that was killed has left there, and flush them to the disk."""
    for suffix, data in (("ids", np.stack([ids, entries], axis=1)), ("vec", vectors)):
        path = folder / f"{name}.{suffix}"
        width = data.shape[1] * data.itemsize
        with path.open("r+b" if path.exists() else "w+b") as file:
            file.truncate(count * width)
            file.seek(count * width)
            file.write(np.ascontiguousarray(data).tobytes())
            file.flush()
            os.fsync(file.fileno())


def open_tail(folder: Path, name: str, count: int, dimension: int, dead: Mask) -> Tail:
    """Raises `OSError`, `ValueError` where less is there than was committed."""
    if not count:
        none = np.empty(0, np.int64)
        return Tail(name, none, none, np.empty(0, np.intp), none, dead, np.empty((0, dimension), np.float16))
    both = np.fromfile(folder / f"{name}.ids", np.int64, count * 2)
    if len(both) < count * 2:
        raise ValueError(f"{name}.ids is too short")
    ids, entries = np.ascontiguousarray(both[::2]), np.ascontiguousarray(both[1::2])
    vectors = _mapped(folder / f"{name}.vec", np.float16, shape=(count, dimension))
    order = np.argsort(ids, kind="stable")
    return Tail(name, ids, entries, order, ids[order], dead, vectors)


def open_graph(folder: Path, name: str, count: int, dimension: int, dead: Mask) -> Graph:
    """Raises `OSError`, `ValueError`, `RuntimeError` for files that are not what they were."""
    ids, runs = _mapped(folder / f"{name}.ids", np.int64, shape=(count,)), _mapped(folder / f"{name}.runs", np.int64)
    path = folder / f"{name}.graph"
    head = np.fromfile(path, np.uint32, 2)
    if head.tolist() != [count, dimension * 2] or len(runs) % 3:
        raise ValueError(f"{name} is not as it was written")
    vectors = _mapped(path, np.float16, offset=_HEAD, shape=(count, dimension))
    index = _empty(dimension)
    index.view(str(path))
    if len(index) != count:
        raise ValueError(f"{name}.graph has {len(index)} rows instead of {count}")
    return Graph(name, ids, runs.reshape(-1, 3), dead, vectors, index, threading.Lock())


def build_graph(folder: Path, name: str, source: Source, stopped: Callable[[], bool]) -> bool:
    """Write a graph of rows of other parts. False: it was stopped, and nothing can be used.

    One thread adds them, so that the vectors come to lie in the order of the rows.
    """
    ids, order = source.ids, np.argsort(source.ids, kind="stable")
    index = _empty(source.parts[0].vectors.shape[1])
    for start in range(0, len(order), _BATCH):
        if stopped():
            return False
        some = order[start : start + _BATCH]
        index.add(np.arange(start, start + len(some), dtype=np.uint64), source.vectors(some), threads=1)
    index.save(str(folder / f"{name}.graph"))
    sorted_entries = source.entries[order]
    starts = np.flatnonzero(np.concatenate(([True], sorted_entries[1:] != sorted_entries[:-1])))
    runs = np.stack([sorted_entries[starts], starts, np.concatenate((starts[1:], [len(order)]))], axis=1)
    runs = runs[np.argsort(runs[:, 0], kind="stable")]
    ids[order].astype(np.int64).tofile(folder / f"{name}.ids")
    np.ascontiguousarray(runs, dtype=np.int64).tofile(folder / f"{name}.runs")
    for suffix in ("graph", "ids", "runs"):
        sync_file(folder / f"{name}.{suffix}")
    return True


def wipe(folder: Path, part: Part, rows: NDArray[np.intp]) -> None:
    """Overwrite the vectors of dead rows. In a graph the nearest living one takes their place: as a step on the way it serves as well."""
    graph = part if isinstance(part, Graph) else None
    path = folder / (f"{part.name}.graph" if graph else f"{part.name}.vec")
    replacement = {int(row): graph.near(int(row)) for row in rows} if graph else {}
    data = np.memmap(path, np.float16, "r+", offset=_HEAD if graph else 0, shape=part.vectors.shape)
    data[rows] = 0
    for row, near in replacement.items():
        if near >= 0:
            data[row] = part.vectors[near]
    data.flush()


def _mapped(path: Path, kind: type[T], *, offset: int = 0, shape: tuple[int, ...] | None = None) -> NDArray[T]:
    """As a plain array: each look into a `memmap` costs more than what is read of it."""
    return np.asarray(np.memmap(path, kind, "r", offset=offset, shape=shape))


def _empty(dimension: int) -> Any:
    with contextlib.suppress(ImportError):
        # A process that loads onnxruntime 1.32 after usearch 2.26 dies of it (a segmentation fault); the other way round both work.
        import_module("onnxruntime")
    from usearch.index import Index

    return Index(
        ndim=dimension, metric="ip", dtype="f16", connectivity=CONNECTIVITY, expansion_add=EXPANSION_ADD, expansion_search=_expansion(1),
        enable_key_lookups=False,
    )  # fmt: skip
