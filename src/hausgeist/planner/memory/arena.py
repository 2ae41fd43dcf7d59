"""How many bytes a graph's intermediate results take: ggml's graph allocator, followed step by step on shapes alone.

Owns the order in which nodes come (ggml/src/ggml.c `ggml_visit_parents_graph`), which results overwrite an input, and where free space is found
(ggml/src/ggml-alloc.c `ggml_gallocr_alloc_graph_impl`, `ggml_dyn_tallocr_alloc`). What nodes a model has is `operations` and `graphs`.

Of layers that come again most are left out of a graph (`repeats`). They take and give back what the group before them did if all that decides it was
the same before that group as behind it, which is compared, not assumed. Where they find it is followed for each of them.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Mapping, Sequence
from itertools import groupby
from typing import Final, NamedTuple

from hausgeist.planner.memory.repeats import Repeat

__all__ = ["ALIGNMENT", "Graph", "Node", "Shape", "Unsettled"]

Shape = tuple[int, int, int, int]
ALIGNMENT = 32
"""Of tensors in the memory of a processor (`TENSOR_ALIGNMENT`); 128 with CUDA."""

_ENDLESS: Final = 1 << 62
_WIDTHS: Final = {"f32": 4, "f16": 2, "i32": 4, "i64": 8}


class Unsettled(Exception):
    """What layers that were left out do to memory cannot be told from those before them."""


class Node:
    """A tensor of the graph. `root`: it is a view of that one; `external`: its memory is not the graph's."""

    __slots__ = ("allocated", "buffer", "children", "external", "kind", "layer", "layers", "offset", "output", "plain", "reuses", "root", "shape",
                 "sources", "views")  # fmt: skip
    allocated: bool
    children: int
    """Nodes that need it still."""
    views: int
    """Views of it that are needed still."""

    def __init__(
        self,
        shape: Shape,
        sources: Sequence[Node] = (),
        *,
        kind: str = "f32",
        root: Node | None = None,
        plain: bool = True,
        reuses: bool = False,
        external: bool = False,
    ) -> None:
        self.shape = shape
        self.sources = sources
        self.kind = kind
        self.root = root
        self.plain = plain
        """Its numbers lie one after the other."""
        self.reuses = reuses
        """Its operation may overwrite an input (`ggml_op_can_inplace`)."""
        self.external = external
        self.layer: int | None = None
        """Whose weight it is a product with, -1: that of a table for looking up; `None`: no weight takes part."""
        self.layers = -1
        """How many had begun when it was added; -1: it was not."""
        self.buffer = 0
        """Number of the buffer in which it lies."""
        self.output = False
        self.offset = 0

    @property
    def size(self) -> int:
        """Bytes."""
        length, rows, stacks, others = self.shape
        return length * rows * stacks * others * _WIDTHS[self.kind]

    @property
    def elements(self) -> int:
        return self.shape[0] * self.shape[1] * self.shape[2] * self.shape[3]


class Graph:
    """Nodes in the order of execution."""

    def __init__(self) -> None:
        self.nodes: list[Node] = []
        self.leaves: list[Node] = []
        self.marks: list[int] = []
        """How many nodes there were when each layer began."""
        self.repeats: Sequence[Repeat] = ()
        """Layers that come again, of which some have no nodes here."""

    @property
    def count(self) -> int:
        """Nodes, with those of layers that are left out."""
        return len(self.nodes) + sum(len(self._group(one)) * one.left_out for one in self.repeats)

    def expand(self, node: Node) -> None:
        """Add a node after all that it needs."""
        if node.layers >= 0:
            return
        node.layers = len(self.marks)
        for source in node.sources:
            if source.layers < 0:
                self.expand(source)
        (self.nodes if node.sources else self.leaves).append(node)

    def mark(self) -> None:
        """A layer begins."""
        self.marks.append(len(self.nodes))

    def measure(self, alignment: int = ALIGNMENT) -> int:
        """Bytes of the buffer in which all nodes find their place. Raises `Unsettled`."""
        return self.measure_apart((alignment,))[0]

    def measure_apart(self, alignments: Sequence[int]) -> tuple[int, ...]:
        """Bytes of several buffers. Raises `Unsettled`."""
        arenas = tuple(_Arena(alignment) for alignment in alignments)
        walk = _Walk(arenas)
        walk.begin(self.leaves, self.nodes, {layer: one for one in self.repeats for layer in one.last})
        ends: dict[int, tuple[range, int]] = {}
        for one in self.repeats:
            group = self._group(one)
            if not group:
                raise Unsettled
            ends |= {group.start: (group, 0), group.stop: (group, one.left_out)}
        state: dict[Node, _Held] = {}
        for number, node in enumerate(self.nodes):
            if number in ends:
                group, left_out = ends[number]
                before, state = state, self._state(number)
                if left_out:
                    if not _alike(before, state):
                        raise Unsettled
                    walk.again(self.nodes[max(0, group.start - len(group)) : group.start], self.nodes[group.start : number], left_out)
                walk.journal.clear()
            walk.step(node)
        return tuple(arena.size for arena in arenas)

    def _group(self, repeat: Repeat) -> range:
        """The nodes of the last group of layers before those that are left out."""
        end = repeat.first + (repeat.kept - 1) * repeat.length
        return range(self.marks[end - repeat.length], self.marks[end])

    def _state(self, end: int) -> dict[Node, _Held]:
        """What the nodes from `end` on find that they may free or overwrite, but for its addresses. Inputs of later layers are not among it."""
        layer = bisect_right(self.marks, end - 1)
        return {
            node: _Held(number, node.shape, node.allocated, node.children, node.views)
            for number, node in enumerate((*self.leaves, *self.nodes[:end]), -len(self.leaves) - end)
            if not node.output and (node.allocated or (node.root is not None and node.children)) and (node.sources or node.layers <= layer)
        }


class _Held(NamedTuple):
    """A result that is there at the end of a group of layers."""

    number: int
    """Where it stands before the end."""
    shape: Shape
    allocated: bool
    children: int
    views: int


def _alike(before: Mapping[Node, _Held], after: Mapping[Node, _Held]) -> bool:
    """Whether the next group finds what the last one found: the very same results, or those at the same places in the group before it.

    Of the former it matters whether they are needed any more, not how often: they are needed behind layers that are left out just as in each of them.
    """
    lasting = before.keys() & after.keys()
    return all(
        (before[node].allocated, before[node].children > 0, before[node].views > 0)
        == (after[node].allocated, after[node].children > 0, after[node].views > 0)
        for node in lasting
    ) and sorted(before[node] for node in before.keys() - lasting) == sorted(after[node] for node in after.keys() - lasting)


class _Walk:
    """Node after node finds its place and gives back that of others, if nobody needs them any more."""

    def __init__(self, arenas: Sequence[_Arena]) -> None:
        self._arenas = arenas
        self._others: dict[Node, list[int]] = {}
        """Where the inputs are that layers which are left out have in place of one of the group before them."""
        self.journal: list[tuple[Node | None, Node | None]] = []
        """Who got a place, and from whom; from nobody: a new one; nobody got it: it was given back."""

    def begin(self, leaves: Sequence[Node], nodes: Sequence[Node], last: Mapping[int, Repeat]) -> None:
        """`last`: layers that stand for others, which are left out. These may have inputs of their own, behind those of the ones that are there."""
        for node in (*leaves, *nodes):
            node.allocated, node.children, node.views = False, 0, 0
        for repeat, some in groupby((leaf for leaf in leaves if not leaf.external), lambda leaf: last.get(leaf.layers)):
            block = list(some)
            for leaf in block:
                self._place(leaf)
            for _ in range(repeat.left_out if repeat else 0):
                for leaf in block:
                    self._others.setdefault(leaf, []).append(self._arenas[leaf.buffer].take(leaf.size))
        for node in nodes:
            if node.root is not None:
                node.root.views += 1
            for source in node.sources:
                source.children += 1

    def step(self, node: Node) -> None:
        if not (node.external or node.root is not None):
            self._place(node)
        for source in node.sources:
            source.children -= 1
            if source.children or source.views:
                continue
            root = source.root
            if root is None:
                if source.allocated:
                    self._release(source)
                continue
            root.views -= 1
            if not root.views and not root.children and root.allocated:
                self._release(root)

    def again(self, earlier: Sequence[Node], group: Sequence[Node], times: int) -> None:
        """Groups of layers that are left out do to memory what `group` did, each seeing the one before it as `group` saw the `earlier` one.

        Done until nothing changes any more. Raises `Unsettled` where results of others took part.
        """
        count = len(group)
        own = [leaf for leaf in self._others if any(leaf is gave for _, gave in self.journal)]
        index = {node: number for number, node in enumerate((*earlier, *group, *own), count - len(earlier))}
        steps = []
        for got, gave in self.journal:
            of = got or gave
            assert of is not None
            if (got and got not in index) or (gave and gave not in index):
                raise Unsettled
            steps.append((index[got] if got else -1, index[gave] if gave else -1, self._arenas[of.buffer], of.size))
        places = [0] * count + [node.offset for node in (*group, *own)]
        for number in range(times):
            before = places[count:], [arena.free for arena in self._arenas]
            places = places[count : 2 * count] * 2 + [self._others[leaf][number] for leaf in own]
            for to, source, arena, size in steps:
                if source < 0:
                    places[to] = arena.take(size)
                elif to < 0:
                    arena.give(places[source], size)
                else:
                    places[to] = places[source]
            if (places[count:], [arena.free for arena in self._arenas]) == before:
                break
        for node, place in zip(group, places[count:], strict=False):
            node.offset = place

    def _place(self, node: Node) -> None:
        node.allocated = True
        if node.reuses:
            for source in node.sources:
                if (
                    source.allocated and not source.output and source.children == 1 and not source.views
                    and source.kind == node.kind and source.shape == node.shape
                ):  # fmt: skip
                    node.offset = source.offset
                    source.allocated = False
                    self.journal.append((node, source))
                    return
        node.offset = self._arenas[node.buffer].take(node.size)
        self.journal.append((node, None))

    def _release(self, node: Node) -> None:
        if node.output:
            return
        node.allocated = False
        self._arenas[node.buffer].give(node.offset, node.size)
        self.journal.append((None, node))


class _Arena:
    """Free blocks by address; the last one has no end."""

    def __init__(self, alignment: int) -> None:
        self._alignment = alignment
        self._starts = [0]
        self._sizes = [_ENDLESS]
        self.size = 0

    @property
    def free(self) -> tuple[list[int], list[int]]:
        return self._starts.copy(), self._sizes.copy()

    def take(self, size: int) -> int:
        size = -(-size // self._alignment) * self._alignment
        sizes = self._sizes
        best, room = -1, _ENDLESS
        for index, there in enumerate(sizes):
            if size <= there <= room:
                best, room = index, there
        offset = self._starts[best]
        if size == room:
            del self._starts[best], sizes[best]
        else:
            self._starts[best] = offset + size
            sizes[best] = room - size
        self.size = max(self.size, offset + size)
        return offset

    def give(self, offset: int, size: int) -> None:
        size = -(-size // self._alignment) * self._alignment
        starts, sizes = self._starts, self._sizes
        index = bisect_left(starts, offset)
        if index and starts[index - 1] + sizes[index - 1] == offset:
            sizes[index - 1] += size
            if index < len(starts) and starts[index - 1] + sizes[index - 1] == starts[index]:
                sizes[index - 1] += sizes[index]
                del starts[index], sizes[index]
        elif index < len(starts) and offset + size == starts[index]:
            starts[index] = offset
            sizes[index] += size
        else:
            starts.insert(index, offset)
            sizes.insert(index, size)
