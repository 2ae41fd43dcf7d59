"""Nodes of a graph as llama.cpp's `llm_graph_context` adds them, the step that they are for, and products with the weights of a file.

Weights take no part in the sharing of memory and are left out of the graph; the tensors of the file say which steps there are.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Final, Literal

from hausgeist.planner.memory.arena import Graph, Node, Shape
from hausgeist.planner.memory.header import Header

__all__ = ["Batch", "Nodes", "Norm"]

Norm = Literal["rms", "layer"]

_RANK = 16
"""Of adapters; it hardly matters."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Batch:
    """One step through the layers at its largest, and the caches that it looks at."""

    tokens: int
    sequences: int
    outputs: int
    """Tokens of which the next one is wanted."""
    streams: int
    """Caches side by side: one per sequence, or one for all."""
    cells: int
    """Tokens that one of them holds ..."""
    window_cells: int
    """... in windowed layers."""
    flash: bool
    rotated: bool = False
    """Keys and values are kept quantised, and are turned before by a Hadamard matrix (`attn_rot_k`)."""
    embeddings: bool = False
    pooling: str = "none"
    adapted: bool = False
    """Each product with a weight has a small one of a LoRA adapter beside it. How many adapters there are does not matter: they come in turn."""

    @property
    def sequence_tokens(self) -> int:
        return self.tokens // self.sequences


class Nodes:
    """What all parts of a graph are made with. Inputs that layers share are made once: masks, positions."""

    def __init__(self, header: Header, batch: Batch, layers: Sequence[int] | None = None) -> None:
        """`layers`: those that are built, by number; all of them unless given."""
        self.header = header
        self.batch = batch
        self._layers = layers
        self._current = 0
        self.graph = Graph()
        self.entered: Node | None = None
        """What the first layer gets, with what goes around it to later ones."""
        self.embedded: Node | None = None
        """What the output is made of: one vector per wanted token."""
        self._leaves: dict[str, Node] = {}

    def each_layer(self) -> Iterator[int]:
        """The layers to build, each marked in the graph where it begins."""
        for layer in range(self.header.layers) if self._layers is None else self._layers:
            self.graph.mark()
            self._current = layer
            yield layer

    def leaf(self, name: str, *shape: int, kind: str = "f32", external: bool = False) -> Node:
        """An input by name, the same one each time."""
        if name not in self._leaves:
            self._leaves[name] = Node(_four(shape), kind=kind, external=external)
        return self._leaves[name]

    @staticmethod
    def fresh(shape: tuple[int, ...], *sources: Node, kind: str = "f32") -> Node:
        return Node(_four(shape), sources, kind=kind)

    @staticmethod
    def same(first: Node, *others: Node) -> Node:
        """An operation that may overwrite an input: sum, product, scale, root mean square norm, rotary positions."""
        return Node(first.shape, (first, *others), kind=first.kind, reuses=True)

    @staticmethod
    def view(node: Node, *shape: int, plain: bool = True) -> Node:
        return Node(_four(shape), (node,), kind=node.kind, root=node.root or node, plain=plain and node.plain)

    @staticmethod
    def into(target: Node, *sources: Node) -> Node:
        """A result written into a view of something else."""
        return Node(target.shape, (*sources, target), kind=target.kind, root=target.root or target)

    def cont(self, node: Node, *shape: int) -> Node:
        return self.fresh(shape or node.shape, node, kind=node.kind)

    def rows(self, name: str) -> int:
        """Rows of a weight, 0 where the file has none."""
        tensor = self.header.tensors.get(name)
        return tensor.dimensions[1] if tensor is not None and len(tensor.dimensions) > 1 else 0

    def present(self, name: str) -> bool:
        return name in self.header.tensors

    def matrix(self, name: str, node: Node) -> Node:
        """Product with a weight (`build_lora_mm`)."""
        result = self.fresh((self.rows(f"{name}.weight"), *node.shape[1:]), node)
        result.layer = self._layer(name)
        if self.batch.adapted:
            small = self.fresh((_RANK, *node.shape[1:]), node)
            result = self.same(result, self.same(self.fresh(result.shape, small)))
        return self.same(result) if self.present(f"{name}.scale") else result

    def biased(self, name: str, node: Node) -> Node:
        """The same with its bias, where it has one."""
        result = self.matrix(name, node)
        return self.same(result) if self.present(f"{name}.bias") else result

    def norm(self, node: Node, name: str, kind: Norm = "rms") -> Node:
        node = self.same(node) if kind == "rms" else self.fresh(node.shape, node)
        node.layer = self._layer(name)
        if self.present(f"{name}.weight") or self.present(name):
            node = self.same(node)
            node.layer = self._layer(name)
        if self.present(f"{name}.bias"):
            node = self.same(node)
        return node

    def _layer(self, name: str) -> int:
        """Of a weight by its name; what belongs to no layer is where the output is. Encoders of pictures have none of the model's layers."""
        if name.startswith("blk."):
            return self._current
        return self.header.blocks if self.header.architecture != "clip" else 0

    def positions(self) -> Node:
        width = 4 if self.header.architecture in _FOUR_POSITIONS else 1
        return self.leaf("positions", self.batch.tokens * width, kind="i32")

    def rope(self, node: Node) -> Node:
        return self.same(node, self.positions())


_FOUR_POSITIONS = frozenset({"qwen2vl", "qwen3vl", "qwen3vlmoe", "qwen35", "qwen35moe", "paddleocr", "hunyuan-vl"})
"""Tokens of images have a place in time, height and width (`n_pos_per_embd`)."""


_ONES: Final = ((1, 1, 1, 1), (1, 1, 1), (1, 1), (1,), ())


def _four(shape: tuple[int, ...]) -> Shape:
    return shape + _ONES[len(shape)]  # type: ignore[return-value]
