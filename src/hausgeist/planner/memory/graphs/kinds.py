"""Which layers of a model are alike: those of which each graph makes the same nodes, but for what is before them."""

from __future__ import annotations

from collections.abc import Hashable

from hausgeist.planner.memory.graphs.altup import sparse
from hausgeist.planner.memory.graphs.decoder import DECODERS, resting
from hausgeist.planner.memory.graphs.encoder import mixed
from hausgeist.planner.memory.graphs.latent import indexed
from hausgeist.planner.memory.header import Header

__all__ = ["kinds"]


def kinds(header: Header) -> tuple[Hashable, ...]:
    """Per layer, all that graphs look at: names and sizes of its tensors, what the header says of it, and what its number alone decides."""
    if "kinds" not in header.measured:
        header.measured["kinds"] = _kinds(header)
    found: tuple[Hashable, ...] = header.measured["kinds"]
    return found


def _kinds(header: Header) -> tuple[Hashable, ...]:
    shapes: list[list[Hashable]] = [[] for _ in range(header.blocks)]
    for layer, tensors in header.by_layer.items():
        if layer < header.blocks:
            start = len(f"blk.{layer}.")
            shapes[layer] = [(tensor.name[start:], tensor.dimensions) for tensor in tensors]
    known: dict[Hashable, int] = {}
    used = header.per_layer("expert_used_count")
    found = []
    for layer in range(header.layers):
        said = (header.heads[layer], header.kv_heads[layer], header.windowed[layer], header.recurrent[layer], used[layer])
        kind = (frozenset(shapes[layer]), said, _by_number(header, layer))
        found.append(known.setdefault(kind, len(known)))
    return tuple(found)


def _by_number(header: Header, layer: int) -> tuple[bool, ...]:
    how = DECODERS.get(header.architecture)
    return (
        layer == header.layers - 1,
        layer < header.cached_layers,
        layer < header.number("n_deepstack_layers"),
        how is not None and resting(how, layer),
        mixed(header, layer),
        indexed(header, layer),
        sparse(header, layer),
    )
