"""A graph over several memories: which part of it runs where, and what is copied between.

Source: llama.cpp's ggml/src/ggml-backend.cpp (`ggml_backend_sched_split_graph`). A product runs where its weight is; what has no weight goes with
its neighbours, devices first. What comes from elsewhere is copied, once to each device. With all layers on several devices, steps overlap: inputs
and copies are there four times (`GGML_SCHED_MAX_COPIES`).
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Final

from hausgeist.planner.memory.arena import ALIGNMENT, Graph, Node
from hausgeist.planner.memory.placement import HOST, Placement

__all__ = ["split_bytes"]

_DEVICE_ALIGNMENT: Final = 128
_COPIES: Final = 4


def split_bytes(graph: Graph, placement: Placement) -> tuple[int, tuple[int, ...]]:
    """Bytes of intermediate results on the host, and on each device."""
    count = len(placement.shares)
    copies = _COPIES if count > 1 and placement.whole else 1
    places = _places(graph.nodes, placement)
    split, where = _copied(graph, places, copies)
    sizes = split.measure_apart((ALIGNMENT, *(_DEVICE_ALIGNMENT,) * count), lambda node: where.get(id(node), HOST) + 1)
    return sizes[0], sizes[1:]


def _places(nodes: Sequence[Node], placement: Placement) -> dict[int, int]:
    """Where each node runs; inputs are on the host."""
    found = {id(node): placement.device(node.layer) if node.layer >= 0 else HOST for node in nodes if node.layer is not None}
    real = [node for node in nodes if node.root is None]
    for order, devices_only in ((real, True), (real[::-1], True), (real, False), (real[::-1], False)):
        _spread(order, found, devices_only=devices_only)
    for node in nodes:
        if node.root is not None:
            found[id(node)] = found.get(id(node.root), found.get(id(node.sources[0]), HOST))
    return found


def _spread(nodes: Iterable[Node], found: dict[int, int], *, devices_only: bool) -> None:
    """What has no place takes that of the one before."""
    current: int | None = None
    for node in nodes:
        place = found.get(id(node))
        if place is not None:
            current = None if devices_only and place == HOST else place
        elif current is not None:
            found[id(node)] = current


def _copied(graph: Graph, places: dict[int, int], copies: int) -> tuple[Graph, dict[int, int]]:
    """The same graph with copies of what comes from elsewhere, and where all of it is."""
    split, where, new, made = Graph(), {}, {id(leaf): leaf for leaf in graph.leaves}, dict[tuple[int, int], Node]()
    split.leaves = list(graph.leaves)

    def more(node: Node, place: int, number: int) -> None:
        """Copies that are never given back."""
        for _ in range(number):
            copy = Node(node.shape, kind=node.kind)
            copy.output = True
            where[id(copy)] = place
            split.leaves.append(copy)

    if copies > 1:
        for leaf in graph.leaves:
            if not leaf.external:
                leaf.output = True
                more(leaf, HOST, copies - 1)

    def brought(source: Node, place: int) -> Node:
        key = (id(source), place)
        if key not in made:
            kept = new[id(source)]
            made[key] = copy = Node(source.shape, () if copies > 1 else (kept,), kind=source.kind)
            where[id(copy)] = place
            if copies > 1:
                copy.output = True
                split.leaves.append(copy)
                more(source, place, copies - 1)
            else:
                split.nodes.append(copy)
        return made[key]

    for node in graph.nodes:
        place, sources = places[id(node)], []
        for source in node.sources:
            elsewhere = node.root is None and not source.external and places.get(id(source), HOST) != place
            cached = source.root is not None and source.root.external
            sources.append(brought(source, place) if elsewhere and not cached else new[id(source)])
        root = None if node.root is None else new.get(id(node.root), node.root)
        twin = Node(node.shape, sources, kind=node.kind, root=root, plain=node.plain, reuses=node.reuses)
        twin.output, twin.size = node.output, node.size
        new[id(node)] = twin
        where[id(twin)] = place
        split.nodes.append(twin)
    return split, where
