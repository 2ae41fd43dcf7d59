"""How many bytes a graph's intermediate results take: ggml's graph allocator, followed step by step on shapes alone.

Owns the order in which nodes come (ggml/src/ggml.c `ggml_visit_parents_graph`), which results overwrite an input, and where free space is found
(ggml/src/ggml-alloc.c `ggml_gallocr_alloc_graph_impl`, `ggml_dyn_tallocr_alloc`). What nodes a model has is `operations` and `graphs`.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Callable, Sequence

__all__ = ["ALIGNMENT", "Graph", "Node", "Shape"]

Shape = tuple[int, int, int, int]
ALIGNMENT = 32
"""Of tensors in the memory of a processor (`TENSOR_ALIGNMENT`); 128 with CUDA."""

_WIDTHS = {"f32": 4, "f16": 2, "i32": 4, "i64": 8}


class Node:
    """A tensor of the graph. `root`: it is a view of that one; `external`: its memory is not the graph's."""

    __slots__ = ("allocated", "children", "external", "kind", "layer", "offset", "output", "plain", "reuses", "root", "seen", "shape", "size",
                 "sources", "views")  # fmt: skip

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
        self.output = False
        self.seen = False
        self.allocated = False
        self.children = self.views = self.offset = 0
        self.size = shape[0] * shape[1] * shape[2] * shape[3] * _WIDTHS.get(kind, 4)

    @property
    def elements(self) -> int:
        return self.shape[0] * self.shape[1] * self.shape[2] * self.shape[3]


class Graph:
    """Nodes in the order of execution."""

    def __init__(self) -> None:
        self.nodes: list[Node] = []
        self.leaves: list[Node] = []

    def expand(self, node: Node) -> None:
        """Add a node after all that it needs."""
        if node.seen:
            return
        node.seen = True
        for source in node.sources:
            self.expand(source)
        (self.nodes if node.sources else self.leaves).append(node)

    def measure(self, alignment: int = ALIGNMENT) -> int:
        """Bytes of the buffer in which all nodes find their place."""
        arena = _Arena(alignment)
        self._place(lambda node: arena)
        return arena.size

    def measure_apart(self, alignments: Sequence[int], of: Callable[[Node], int]) -> tuple[int, ...]:
        """Bytes of several buffers. `of`: the number of a node's buffer."""
        arenas = tuple(_Arena(alignment) for alignment in alignments)
        self._place(lambda node: arenas[of(node)])
        return tuple(arena.size for arena in arenas)

    def _place(self, arena: Callable[[Node], _Arena]) -> None:
        for node in (*self.leaves, *self.nodes):
            node.allocated, node.children, node.views = False, 0, 0
        for leaf in self.leaves:
            if not leaf.external:
                arena(leaf).place(leaf)
        for node in self.nodes:
            if node.root is not None:
                node.root.views += 1
            for source in node.sources:
                source.children += 1
        for node in self.nodes:
            arena(node).place(node)
            for source in node.sources:
                source.children -= 1
                if source.children or source.views:
                    continue
                root = source.root
                if root is None:
                    if source.allocated:
                        arena(source).release(source)
                    continue
                root.views -= 1
                if not root.views and not root.children and root.allocated:
                    arena(root).release(root)


class _Arena:
    """Free blocks by address; the last one has no end."""

    def __init__(self, alignment: int) -> None:
        self._alignment = alignment
        self._starts = [0]
        self._sizes = [1 << 62]
        self.size = 0

    def place(self, node: Node) -> None:
        if node.allocated or node.external or node.root is not None:
            return
        node.allocated = True
        if node.reuses:
            for source in node.sources:
                if (
                    source.allocated and not source.output and source.children == 1 and not source.views
                    and source.kind == node.kind and source.shape == node.shape
                ):  # fmt: skip
                    node.offset = source.offset
                    source.allocated = False
                    return
        node.offset = self._take(self._aligned(node.size))

    def release(self, node: Node) -> None:
        if node.output:
            return
        node.allocated = False
        self._give(node.offset, self._aligned(node.size))

    def _aligned(self, size: int) -> int:
        return -(-size // self._alignment) * self._alignment

    def _take(self, size: int) -> int:
        sizes = self._sizes
        best, room = len(sizes) - 1, 1 << 63
        for index in range(len(sizes) - 1):
            if size <= sizes[index] <= room:
                best, room = index, sizes[index]
        offset = self._starts[best]
        self._starts[best] += size
        sizes[best] -= size
        if not sizes[best]:
            del self._starts[best], sizes[best]
        self.size = max(self.size, offset + size)
        return offset

    def _give(self, offset: int, size: int) -> None:
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
