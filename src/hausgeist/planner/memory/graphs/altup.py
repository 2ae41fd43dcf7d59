"""Gemma 3n: several copies of the state of which each layer works on one, a short way around each layer, networks that are mostly at rest.

Follows llama.cpp's src/models/gemma3n.cpp.
"""

from __future__ import annotations

from hausgeist.planner.memory.arena import Node
from hausgeist.planner.memory.graphs.gemma import per_layer_inputs
from hausgeist.planner.memory.header import Header
from hausgeist.planner.memory.operations import Builder

__all__ = ["altup", "sparse"]

_COPIES = 4
_SPARSE = 10
"""So many layers, from the first, keep only the largest results of their gates (`n_layer_sparsity`)."""


def sparse(header: Header, layer: int) -> bool:
    return header.architecture == "gemma3n" and layer < _SPARSE


def altup(builder: Builder) -> None:
    header, tokens = builder.header, builder.batch.tokens
    state = builder.same(builder.embed())
    extra = per_layer_inputs(builder, state)
    magnitude = _magnitude(builder, state)
    repeated = builder.fresh((header.hidden, tokens, _COPIES - 1), state)
    added = builder.fresh((header.hidden, tokens, _COPIES - 1), repeated)
    other = _magnitude(builder, added)
    added = builder.same(builder.same(added, magnitude), other)
    state = builder.fresh((header.hidden, tokens, _COPIES), state, added)
    for layer in builder.each_layer():
        state = _layer(builder, layer, state, extra)
    node = _joined(builder, state)
    builder.finish(node, pick=True, cap=True)


def _layer(builder: Builder, layer: int, state: Node, extra: Node) -> Node:
    name, tokens, hidden = f"blk.{layer}.", builder.batch.tokens, builder.header.hidden
    predictions = _predict(builder, layer, state)
    active = _slice(builder, predictions)
    node = builder.norm(active, f"{name}attn_norm")
    around = builder.norm(builder.matrix(f"{name}laurel_r", builder.matrix(f"{name}laurel_l", node)), f"{name}laurel_post_norm")
    around = builder.same(around, node)
    node = builder.norm(_attention(builder, layer, node), f"{name}post_attention_norm")
    node = builder.same(node, active)
    both = builder.same(builder.same(node, around))
    node = builder.norm(both, f"{name}ffn_norm")
    up, gate = builder.matrix(f"{name}ffn_up", node), builder.matrix(f"{name}ffn_gate", node)
    if sparse(builder.header, layer):
        gate = _largest(builder, gate)
    node = builder.matrix(f"{name}ffn_down", builder.same(up, builder.same(gate)))
    node = builder.same(builder.norm(node, f"{name}post_ffw_norm"), both)
    corrected = _correct(builder, layer, predictions, node)
    first = builder.matrix(f"{name}inp_gate", builder.same(_slice(builder, corrected)))
    first = builder.same(builder.same(first), builder.view(extra, extra.shape[0], tokens, plain=False))
    first = builder.norm(builder.matrix(f"{name}proj", first), f"{name}post_norm")
    rest = builder.same(builder.view(corrected, hidden, tokens, _COPIES - 1, plain=False), first)
    return builder.fresh((hidden, tokens, _COPIES), _slice(builder, corrected), rest)


def _attention(builder: Builder, layer: int, node: Node) -> Node:
    header, name = builder.header, f"blk.{layer}."
    if layer < header.cached_layers:
        query, key, value = builder.qkv(layer, node)
        query, key = builder.norm(query, f"{name}attn_q_norm"), builder.norm(key, f"{name}attn_k_norm")
        value = builder.same(value)
        return builder.attend(layer, builder.rope(query), builder.rope(key), value)
    query = builder.view(builder.matrix(f"{name}attn_q", node), header.key_length(layer), header.heads[layer], builder.batch.tokens)
    return builder.attend(layer, builder.rope(builder.norm(query, f"{name}attn_q_norm")), None, None)


def _slice(builder: Builder, node: Node) -> Node:
    return builder.view(node, node.shape[0], node.shape[1], plain=False)


def _magnitude(builder: Builder, node: Node) -> Node:
    squared = builder.same(node)
    return builder.same(builder.fresh((1, *node.shape[1:]), squared))


def _router(builder: Builder, layer: int, node: Node) -> Node:
    normed = builder.same(builder.norm(node, f"blk.{layer}.altup_router_norm"))
    return builder.same(builder.fresh((_COPIES, normed.shape[1]), normed))


def _predict(builder: Builder, layer: int, state: Node) -> Node:
    hidden, tokens = state.shape[0], state.shape[1]
    weights = builder.fresh((_COPIES * _COPIES, tokens), _router(builder, layer, _slice(builder, state)))
    weights = builder.view(weights, _COPIES, _COPIES, tokens)
    flipped = builder.cont(builder.view(state, _COPIES, hidden, tokens, plain=False))
    mixed = builder.fresh((hidden, _COPIES, tokens), flipped, weights)
    return builder.same(builder.cont(builder.view(mixed, hidden, tokens, _COPIES, plain=False)), state)


def _correct(builder: Builder, layer: int, predictions: Node, node: Node) -> Node:
    hidden, tokens = node.shape[0], node.shape[1]
    router = _router(builder, layer, node)
    innovation = builder.same(node, _slice(builder, predictions))
    weights = builder.same(builder.fresh((_COPIES, tokens), router))
    weights = builder.cont(builder.view(weights, tokens, _COPIES, plain=False), 1, tokens, _COPIES)
    spread = builder.fresh((hidden, tokens, _COPIES), innovation)
    return builder.same(builder.same(spread, weights), predictions)


def _largest(builder: Builder, gate: Node) -> Node:
    """`gaussian_topk`: what is so many deviations above the mean."""
    mean = builder.fresh((1, gate.shape[1]), gate)
    deviation = builder.same(builder.same(builder.fresh((1, gate.shape[1]), builder.same(builder.same(gate, mean)))))
    cutoff = builder.same(mean, builder.same(deviation))
    return builder.same(builder.same(gate, cutoff))


def _joined(builder: Builder, state: Node) -> Node:
    hidden, tokens = state.shape[0], state.shape[1]
    magnitude = _magnitude(builder, _slice(builder, state))
    others = builder.fresh((hidden, tokens, _COPIES - 1), builder.view(state, hidden, tokens, _COPIES - 1, plain=False))
    new = _magnitude(builder, others)
    others = builder.same(builder.same(others, magnitude), new)
    node = _slice(builder, state)
    for _ in range(_COPIES - 1):
        node = builder.same(node, _slice(builder, others))
    return builder.same(node)
