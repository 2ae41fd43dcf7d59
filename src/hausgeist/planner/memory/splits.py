"""A graph over several memories: which part of it runs where, and what is copied between.

Source: llama.cpp's ggml/src/ggml-backend.cpp (`ggml_backend_sched_split_graph`). A product runs where its weight is; what has no weight goes with
its neighbours, devices first. What comes from elsewhere is copied, once to each device. With all layers on several devices, steps overlap: inputs
and copies are there four times (`GGML_SCHED_MAX_COPIES`).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from hausgeist.planner.memory.arena import ALIGNMENT, Graph, Node
from hausgeist.planner.memory.placement import HOST, Placement

__all__ = ["split_bytes"]

_DEVICE_ALIGNMENT: Final = 128
_COPIES: Final = 4


def split_bytes(graph: Graph, placement: Placement) -> tuple[int, tuple[int, ...]]:
    """Bytes of intermediate results on the host, and on each device. The graph is taken apart for it, and is of no use afterwards."""
    count = len(placement.shares)
    _distribute(graph.nodes, placement)
    _copy(graph, _COPIES if count > 1 and placement.whole else 1)
    sizes = graph.measure_apart((ALIGNMENT, *(_DEVICE_ALIGNMENT,) * count))
    return sizes[0], sizes[1:]


def _buffer(place: int) -> int:
    """The host's is the first one."""
    return place - HOST


def _distribute(nodes: Sequence[Node], placement: Placement) -> None:
    """Decide where each node runs; inputs are on the host."""
    real = [node for node in nodes if node.root is None]
    places = (*placement.places, HOST)  # the last one of tables, whose layer is -1
    found = [None if node.layer is None else places[node.layer] for node in real]
    for step, devices_only in ((1, True), (-1, True), (1, False), (-1, False)):
        _spread(found, step, devices_only=devices_only)
    for node, place in zip(real, found, strict=True):
        node.buffer = _buffer(HOST if place is None else place)
    for node in nodes:
        if node.root is not None:
            node.buffer = (node.root if node.root.sources else node.sources[0]).buffer


def _spread(found: list[int | None], step: int, *, devices_only: bool) -> None:
    """What has no place takes that of the one before."""
    current: int | None = None
    for index in range(len(found))[::step]:
        place = found[index]
        if place is not None:
            current = None if devices_only and place == HOST else place
        elif current is not None:
            found[index] = current


def _copy(graph: Graph, copies: int) -> None:
    """Put in copies of what comes from elsewhere."""
    made: dict[tuple[Node, int], Node] = {}
    nodes: list[Node] = []
    begun: list[int] = []

    def more(node: Node, buffer: int, number: int, layers: int) -> None:
        """Copies that are never given back."""
        for _ in range(number):
            copy = Node(node.shape, kind=node.kind)
            copy.output, copy.buffer, copy.layers = True, buffer, layers
            graph.leaves.append(copy)

    def brought(source: Node, buffer: int, layers: int) -> Node:
        if (source, buffer) not in made:
            made[source, buffer] = copy = Node(source.shape, () if copies > 1 else (source,), kind=source.kind)
            copy.buffer = buffer
            if copies > 1:
                copy.output, copy.layers = True, layers
                graph.leaves.append(copy)
                more(source, buffer, copies - 1, layers)
            else:
                nodes.append(copy)
        return made[source, buffer]

    if copies > 1:
        for leaf in tuple(graph.leaves):
            if not leaf.external:
                leaf.output = True
                more(leaf, leaf.buffer, copies - 1, leaf.layers)
    for node in graph.nodes:
        begun.append(len(nodes))
        buffer = node.buffer
        if node.root is None:
            node.sources = [
                source if source.buffer == buffer or source.external or (source.root is not None and source.root.external)
                else brought(source, buffer, node.layers)
                for source in node.sources
            ]  # fmt: skip
        nodes.append(node)
    graph.nodes, graph.marks = nodes, [begun[mark] for mark in graph.marks]
