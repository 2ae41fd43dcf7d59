"""A `VectorIndex` in a folder: what came last in a tail that is searched row by row, everything else in graphs.

A small store is its tail, and exact. When a tail has grown long, a thread makes a graph of it in the background, at low priority, while searches go
on over the tail; four small graphs become a large one in the same way, so that a million rows are some six graphs and not fifteen. Each vector is in
one place only, and goes through this twice. Files are written first and count from the moment at which
`manifest.json` names them, which is replaced as a whole: a process may be killed at any moment, and the index is at one of its marks.

What was removed is overwritten on the disk when its commit returns, or when the index is next opened. Rows that are dead stay as stepping stones of
their graph until a third of it is dead; then it is made anew.
"""

from __future__ import annotations

import base64
import json
import logging
import os
import sys
import threading
import zlib
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from hausgeist.errors import InvalidRequest, Locked
from hausgeist.knowledge.index.asking import Asking, nearest
from hausgeist.knowledge.index.base import Found, VectorIndex
from hausgeist.knowledge.index.nearness import Half, best
from hausgeist.knowledge.index.segments import Graph, Ids, Mask, Part, Source, Tail, append, build_graph, open_graph, open_tail, wipe
from hausgeist.store.disk import sync_folder, try_lock

__all__ = ["GRAPH_ROWS", "Vectors", "open_vectors"]

log = logging.getLogger(__name__)

GRAPH_ROWS = 65_536
"""A tail of so many rows becomes a graph. Looking at each of them takes 2.6 ms of one core, a graph of them .4 ms."""
MERGED = 4
"""So many small graphs become one. A graph of four times as many rows takes far less than four times as long."""
_MOST_BYTES = 224 * 2**20
"""Vectors of a graph at most: what making one takes of memory."""
_FORMAT = 1
_DEAD_SHARE = 3
_NICE = 10
"""How much lower the priority of the thread that makes graphs is, where a thread can have a priority of its own."""


def open_vectors(folder: Path, dimension: int) -> VectorIndex:
    """The index in this folder; a new one where none is, or none that can be read: then its mark is 0 and it is filled again. `dimension`: 0 where
    nobody knows it at this moment: then that of the vectors that are there, or of the first that come."""
    return Vectors(folder, dimension)


@dataclass(frozen=True, slots=True)
class _State:
    """What a search sees: never changed, replaced by each commit."""

    mark: int
    graphs: tuple[Graph, ...]
    tail: Tail
    next: int
    """Number of the next part; a name is used once."""

    @property
    def parts(self) -> tuple[Part, ...]:
        return (*self.graphs, self.tail)


class Vectors:
    """See `VectorIndex`. `graph_rows`: of a tail that becomes a graph."""

    def __init__(self, folder: Path, dimension: int, *, graph_rows: int = GRAPH_ROWS) -> None:
        self._folder = folder
        self._dimension = dimension
        self._graph_rows = graph_rows
        self._added: dict[int, tuple[int, Half]] = {}
        self._gone: set[int] = set()
        self._writing = threading.RLock()
        self._stepping = threading.Lock()
        self._building: threading.Thread | None = None
        self._asking = Asking()
        self._closed = False
        self._held: int | None = None
        folder.mkdir(parents=True, exist_ok=True)
        self._state, unwiped = self._read()
        if unwiped:
            with self._writing:
                self._hold()
                self._wipe(self._state, {part.name: part.dead for part in self._state.parts})

    @property
    def mark(self) -> int:
        return self._state.mark

    def __len__(self) -> int:
        return sum(part.count - int(part.dead.sum()) for part in self._state.parts)

    # Writing

    def add(self, ids: Sequence[int], entries: Sequence[int], vectors: NDArray[np.float32]) -> None:
        rows = np.asarray(vectors, np.float32)
        if not self._dimension and rows.ndim == 2 and len(rows):
            with self._writing:
                self._dimension = rows.shape[1]
                self._state = replace(self._empty(), mark=self._state.mark)
        if rows.shape != (len(ids), self._dimension) or len(entries) != len(ids):
            raise InvalidRequest(f"Vectors of this index have {self._dimension} numbers, one for each of {len(ids)} passages; got {rows.shape}.")
        if not np.isfinite(rows).all():
            raise InvalidRequest("A vector has numbers that are not finite; the embedding model is not working as it should.")
        halves = rows.astype(np.float16)
        with self._writing:
            for number, (passage, entry) in enumerate(zip(ids, entries, strict=True)):
                self._added[int(passage)] = (int(entry), halves[number])

    def remove(self, ids: Collection[int]) -> None:
        with self._writing:
            for passage in ids:
                self._added.pop(int(passage), None)
                self._gone.add(int(passage))

    def commit(self, mark: int) -> None:
        with self._writing:
            self._hold()
            state = self._state
            died = self._dying(state, np.array(sorted(self._gone | self._added.keys()), np.int64))
            tail = self._grown(state.tail, died.pop(state.tail.name, None))
            graphs = tuple(replace(graph, dead=graph.dead | died[graph.name]) if graph.name in died else graph for graph in state.graphs)
            graphs = tuple(graph for graph in graphs if not graph.dead.all())
            fresh = {part.name: part.dead[: len(old)] & ~old for part, old in self._pairs(state, graphs, tail)}
            self._switch(_State(mark, graphs, tail, state.next), fresh)
            self._added, self._gone = {}, set()
        self._tend()

    def compact(self) -> None:
        """Make anew what has dead rows, so that nothing is left of them, and graphs of what waits for one; returns when it is done."""
        self._join()
        with self._stepping, self._writing:
            self._hold()
            tail = self._state.tail
            if tail.dead.any():
                self._replace_tail(self._state, 0, self._state.graphs)
        while self._step(dead_share=self._most_rows, merged=2):
            pass

    def close(self) -> None:
        self._closed = True
        self._join()
        self._asking.close()
        with self._writing:
            if self._held is not None:
                os.close(self._held)
                self._held = None

    # Asking

    def search(self, vector: NDArray[np.float32], limit: int, *, entries: Collection[int] | None = None) -> Sequence[Found]:
        query = self._query(vector)
        if limit < 1:
            return []
        wanted = None if entries is None else np.unique(np.fromiter(entries, np.int64, len(entries)))
        ids, near = nearest(self._state.graphs, self._state.tail, query, limit, wanted, self._asking)
        some = best(near, limit)
        return list(map(Found, ids[some].tolist(), near[some].tolist()))

    def scores(self, vector: NDArray[np.float32], ids: Sequence[int]) -> Sequence[float]:
        query = self._query(vector)
        found = np.full(len(ids), np.nan, np.float32)
        for here, rows in self._rows(ids):
            found[here] = rows.astype(np.float32) @ query
        return list(found.tolist())

    def vectors(self, ids: Sequence[int]) -> NDArray[np.float32]:
        found, absent = np.empty((len(ids), self._dimension), np.float32), np.ones(len(ids), np.bool_)
        for here, rows in self._rows(ids):
            found[here], absent[here] = rows, False
        if absent.any():
            raise KeyError(ids[int(absent.argmax())])
        return found

    def _query(self, vector: NDArray[np.float32]) -> NDArray[np.float32]:
        query = np.ascontiguousarray(vector, dtype=np.float32).reshape(-1)
        if not self._dimension:
            return query  # there is nothing that it could be compared with
        if len(query) != self._dimension:
            raise InvalidRequest(f"Vectors of this index have {self._dimension} numbers, that of the question has {len(query)}.")
        return query

    def _rows(self, ids: Sequence[int]) -> Iterator[tuple[NDArray[np.intp], Half]]:
        """Of each part, which of them are there (their places in `ids`), and their vectors."""
        wanted = np.array(ids, np.int64)
        for part in self._state.parts:
            rows = part.find(wanted)
            here = np.flatnonzero(rows >= 0)
            if len(here):
                yield here, part.vectors[rows[here]]

    # Commits

    def _dying(self, state: _State, ids: Ids) -> dict[str, Mask]:
        """Of each part the rows that these ids have there."""
        found: dict[str, Mask] = {}
        for part in state.parts:
            rows = part.find(ids) if part.count and len(ids) else np.empty(0, np.intp)
            if (rows >= 0).any():
                mask = np.zeros(part.count, np.bool_)
                mask[rows[rows >= 0]] = True
                found[part.name] = mask
        return found

    def _grown(self, tail: Tail, died: Mask | None) -> Tail:
        dead = tail.dead if died is None else tail.dead | died
        if not self._added:
            return replace(tail, dead=dead)
        ids = np.fromiter(self._added.keys(), np.int64, len(self._added))
        entries = np.fromiter((entry for entry, _ in self._added.values()), np.int64, len(ids))
        append(self._folder, tail.name, tail.count, ids, entries, np.stack([row for _, row in self._added.values()]))
        return open_tail(self._folder, tail.name, tail.count + len(ids), self._dimension, np.concatenate((dead, np.zeros(len(ids), np.bool_))))

    def _pairs(self, state: _State, graphs: tuple[Graph, ...], tail: Tail) -> list[tuple[Part, Mask]]:
        before = {part.name: part.dead for part in state.parts}
        parts: tuple[Part, ...] = (*graphs, tail)
        return [(part, before[part.name]) for part in parts]

    def _switch(self, state: _State, fresh: dict[str, Mask]) -> None:
        """Make `state` the one that counts; `fresh`: rows of each part that have just died."""
        dying = any(mask.any() for mask in fresh.values())
        old = {part.name for part in self._state.parts}
        self._write(state, unwiped=dying)
        self._state = state
        self._unlink(old - {part.name for part in state.parts})
        if dying:
            self._wipe(state, fresh)

    def _wipe(self, state: _State, masks: dict[str, Mask]) -> None:
        for part in state.parts:
            rows = np.flatnonzero(masks.get(part.name, np.empty(0, np.bool_)))
            if len(rows):
                wipe(self._folder, part, rows)
        self._write(state, unwiped=False)

    # Graphs

    def _tend(self) -> None:
        """Begin in the background what there is to do, unless it is being done."""
        with self._writing:
            if self._closed or self._building is not None or not self._due(self._state, _DEAD_SHARE):
                return
            self._building = threading.Thread(target=self._work, name="vectors", daemon=True)
            self._building.start()

    def _work(self) -> None:
        try:
            _step_back()
            while not self._closed and self._step(dead_share=_DEAD_SHARE):
                pass
        except Exception:
            # The index is as good as before, only slower; the next commit tries again.
            log.exception("no graph could be made of the vectors in %s", self._folder)
        finally:
            self._building = None

    def _join(self) -> None:
        thread = self._building
        if thread is not None:
            thread.join()

    def _due(self, state: _State, dead_share: int, merged: int = MERGED) -> tuple[Part, ...]:
        """The parts to make a graph of: the tail if it is long enough, a graph of which one in `dead_share` has died, `merged` small ones or more."""
        if state.tail.count - state.tail.first >= self._graph_rows:
            return (state.tail,)
        dying = next((graph for graph in state.graphs if int(graph.dead.sum()) * dead_share >= graph.count), None)
        if dying is not None:
            return (dying,)
        few: list[Part] = []
        rows = 0
        for graph in sorted(state.graphs, key=lambda graph: graph.count):
            rows += graph.count
            if rows > self._most_rows:
                break
            few.append(graph)
        return tuple(few) if len(few) >= merged else ()

    @property
    def _most_rows(self) -> int:
        """Of one graph."""
        return min(MERGED * self._graph_rows, max(self._graph_rows, _MOST_BYTES // (2 * max(1, self._dimension))))

    def _step(self, *, dead_share: int, merged: int = MERGED) -> bool:
        """Make one graph, if one is due. False: nothing was to be done, or it was interrupted."""
        with self._stepping:
            return self._make(dead_share, merged)

    def _make(self, dead_share: int, merged: int) -> bool:
        with self._writing:
            state = self._state
            parts = self._due(state, dead_share, merged)
            if not parts:
                return False
            number = state.next
            self._state = replace(state, next=number + 1)
        until = min(parts[0].count, parts[0].first + self._graph_rows) if isinstance(parts[0], Tail) else None
        source = Source.of(parts, until)
        name = f"{number:06}"
        if len(source.ids) and not build_graph(self._folder, name, source, lambda: self._closed):
            self._unlink({name})
            return False
        with self._writing:
            self._take(source, until, name)
        return True

    def _take(self, source: Source, until: int | None, name: str) -> None:
        """Put the graph in the place of the rows that it was made of; what has died meanwhile is dead in it as well."""
        state = self._state
        now = {part.name: part for part in state.parts}
        made_of = {part.name for part in source.parts}
        graphs = tuple(graph for graph in state.graphs if graph.name not in made_of)
        fresh: dict[str, Mask] = {}
        dead = source.dead([now.get(part.name) for part in source.parts])
        if not dead.all():
            graphs = (*graphs, open_graph(self._folder, name, len(dead), self._dimension, dead))
            fresh[name] = dead
        else:
            self._unlink({name})
        if until is None:
            self._switch(replace(state, graphs=graphs), fresh)
        elif state.tail.count - until < self._graph_rows:
            self._replace_tail(state, until, graphs, fresh)
        else:
            # As long as there is more to come, what stays is not written anew each time.
            gone = state.tail.dead.copy()
            gone[:until] = True
            fresh[state.tail.name] = gone & ~state.tail.dead
            self._switch(replace(state, graphs=graphs, tail=replace(state.tail, dead=gone)), fresh)

    def _replace_tail(self, state: _State, until: int, graphs: tuple[Graph, ...], fresh: dict[str, Mask] | None = None) -> None:
        """A new tail, of the rows behind `until` that are alive."""
        old = state.tail
        name = f"{state.next:06}"
        rows = np.flatnonzero(~old.dead[until:]) + until
        append(self._folder, name, 0, old.ids[rows], old.entries[rows], np.asarray(old.vectors[rows]))
        tail = open_tail(self._folder, name, len(rows), self._dimension, np.zeros(len(rows), np.bool_))
        self._switch(_State(state.mark, graphs, tail, state.next + 1), fresh or {})

    # Files

    def _read(self) -> tuple[_State, bool]:
        try:
            state, unwiped = self._parsed(json.loads((self._folder / "manifest.json").read_text("utf-8")))
        except FileNotFoundError:
            state, unwiped = self._empty(), False
        except (OSError, ValueError, KeyError, TypeError, RuntimeError, zlib.error) as error:
            log.warning("the vectors in %s cannot be used and are made anew: %s", self._folder, error)
            state, unwiped = self._empty(), False
        named = {part.name for part in state.parts}
        self._unlink({path.name.partition(".")[0] for path in self._folder.iterdir() if path.name[:6].isdigit()} - named)
        return state, unwiped

    def _empty(self) -> _State:
        return _State(0, (), open_tail(self._folder, "000001", 0, self._dimension, np.empty(0, np.bool_)), 2)

    def _parsed(self, manifest: dict[str, object]) -> tuple[_State, bool]:
        kept = int(str(manifest["dimension"]))
        if manifest["format"] != _FORMAT or self._dimension not in (0, kept):
            raise ValueError("they were made for another model or by another version")
        self._dimension = kept
        parts = manifest["graphs"]
        assert isinstance(parts, list)
        graphs = tuple(open_graph(self._folder, one["name"], one["count"], self._dimension, _unpacked(one)) for one in parts)
        one = manifest["tail"]
        assert isinstance(one, dict)
        tail = open_tail(self._folder, one["name"], one["count"], self._dimension, _unpacked(one))
        return _State(int(str(manifest["mark"])), graphs, tail, int(str(manifest["next"]))), bool(manifest["unwiped"])

    def _write(self, state: _State, *, unwiped: bool) -> None:
        body = {
            "format": _FORMAT,
            "dimension": self._dimension,
            "mark": state.mark,
            "next": state.next,
            "unwiped": unwiped,
            "graphs": [_packed(graph) for graph in state.graphs],
            "tail": _packed(state.tail),
        }
        path = self._folder / "manifest.json.new"
        with path.open("w", encoding="utf-8") as file:
            json.dump(body, file)
            file.flush()
            os.fsync(file.fileno())
        path.replace(self._folder / "manifest.json")
        sync_folder(self._folder)

    def _unlink(self, names: Collection[str]) -> None:
        for name in names:
            for suffix in ("ids", "runs", "vec", "graph"):
                try:
                    (self._folder / f"{name}.{suffix}").unlink(missing_ok=True)
                except OSError:
                    # Windows keeps what a search is still reading; it goes when the index is next opened.
                    log.info("%s.%s is still in use", name, suffix)

    def _hold(self) -> None:
        """One process writes. Raises `Locked`."""
        if self._held is not None:
            return
        descriptor = os.open(self._folder / "lock", os.O_RDWR | os.O_CREAT, 0o600)
        if not try_lock(descriptor):
            os.close(descriptor)
            raise Locked("Another Hausgeist is writing to this store; stop it, or ask it.")
        self._held = descriptor


def _step_back() -> None:
    """Let threads of others go first. On Linux, priority is a thread's own; elsewhere it would be the whole server's."""
    if sys.platform == "linux":
        own = threading.get_native_id()
        os.setpriority(os.PRIO_PROCESS, own, min(19, os.getpriority(os.PRIO_PROCESS, own) + _NICE))


def _packed(part: Part) -> dict[str, object]:
    dead = base64.b64encode(zlib.compress(np.packbits(part.dead).tobytes())).decode() if part.dead.any() else ""
    return {"name": part.name, "count": part.count, "dead": dead}


def _unpacked(one: dict[str, str]) -> Mask:
    count = int(one["count"])
    if not one["dead"]:
        return np.zeros(count, np.bool_)
    return np.unpackbits(np.frombuffer(zlib.decompress(base64.b64decode(one["dead"])), np.uint8), count=count).astype(np.bool_)
