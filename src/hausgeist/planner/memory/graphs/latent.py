"""Multi-head latent attention, as DeepSeek-V2 and its successors have it, with an index that chooses what is seen or without one.

Follows llama.cpp's src/models/deepseek2.cpp, deepseek32.cpp and glm-dsa.cpp.
"""

from __future__ import annotations

from hausgeist.planner.memory.arena import Node
from hausgeist.planner.memory.graphs.decoder import Decoder, feed_forward
from hausgeist.planner.memory.header import Header
from hausgeist.planner.memory.operations import Builder

__all__ = ["indexed", "latent", "latent_attention"]


def latent(builder: Builder) -> None:
    header = builder.header
    gating = {1: "softmax", 2: "sigmoid"}.get(header.number("expert_gating_func", 1), "softmax")
    how = Decoder(gating=gating, normed_experts=False)
    state, chosen = builder.embed(), None
    for layer in builder.each_layer():
        name = f"blk.{layer}."
        residual = state
        node = builder.norm(state, f"{name}attn_norm")
        if header.number("attention.indexer.key_length"):
            compressed = builder.norm(builder.matrix(f"{name}attn_q_a", node), f"{name}attn_q_a_norm")
            chosen = _chosen(builder, layer, node, compressed) if indexed(header, layer) else chosen
            node = latent_attention(builder, layer, node, compressed=compressed, chosen=chosen)
        else:
            node = latent_attention(builder, layer, node)
        if layer == header.layers - 1:
            node, residual = builder.wanted(node), builder.wanted(residual)
        middle = builder.same(node, residual)
        node = feed_forward(builder, layer, builder.norm(middle, f"{name}ffn_norm"), how)
        state = builder.same(node, middle)
    builder.finish(state)


def indexed(header: Header, layer: int) -> bool:
    """Whether an index of the layer's own chooses.

    GLM-5 lets layers use what an earlier one chose, where the file says which. The engine counts 5 nodes per index less than there are here.
    """
    if header.architecture != "glm-dsa":
        return True
    said = header.get("attention.indexer.types")
    return bool(said[layer]) if isinstance(said, list | tuple) else True


def _chosen(builder: Builder, layer: int, node: Node, compressed: Node) -> Node:
    """The lightning indexer."""
    header, name, tokens = builder.header, f"blk.{layer}.indexer.", builder.batch.tokens
    length, heads, rope = (header.number(key) for key in ("attention.indexer.key_length", "attention.indexer.head_count", "rope.dimension_count"))
    query = builder.matrix(f"{name}attn_q_b", compressed)
    first, rest = (builder.view(query, size, heads, tokens, plain=False) for size in (rope, length - rope))
    query = builder.fresh((length, heads, tokens), builder.rope(first), rest)
    key = builder.norm(builder.matrix(f"{name}attn_k", node), f"{name}k_norm", "layer")
    first, rest = (builder.view(key, size, 1, tokens, plain=False) for size in (rope, length - rope))
    key = builder.fresh((length, 1, tokens), builder.rope(first), rest)
    return builder.choose(layer, key, query, builder.matrix(f"{name}proj", node))


def latent_attention(builder: Builder, layer: int, node: Node, *, compressed: Node | None = None, chosen: Node | None = None) -> Node:
    """`compressed`: the queries, where an index needs them as well; `chosen`: the tokens that it lets be seen."""
    header, name, tokens = builder.header, f"blk.{layer}.", builder.batch.tokens
    rank, rope, heads = header.number("attention.kv_lora_rank"), header.number("rope.dimension_count"), header.heads[layer]
    length = header.number("attention.key_length_mla") or header.key_length(layer)
    value_length = header.number("attention.value_length_mla") or header.value_length(layer)
    nope = length - rope
    turned = header.architecture != "kimi-linear"
    if compressed is not None:
        query = builder.matrix(f"{name}attn_q_b", compressed)
    elif builder.present(f"{name}attn_q_a.weight"):
        query = builder.norm(builder.matrix(f"{name}attn_q_a", node), f"{name}attn_q_a_norm")
        query = builder.matrix(f"{name}attn_q_b", query)
    else:
        query = builder.matrix(f"{name}attn_q", node)
    query = builder.view(query, length, heads, tokens)
    both = builder.matrix(f"{name}attn_kv_a_mqa", node)
    compressed = builder.view(both, rank, tokens, plain=False)
    rotary = builder.view(both, rope, 1, tokens, plain=False)
    rotary = builder.rope(rotary) if turned else rotary
    compressed = builder.norm(compressed, f"{name}attn_kv_a_norm")
    if not header.latent:
        unfolded = builder.matrix(f"{name}attn_kv_b", compressed)
        key = builder.view(unfolded, nope, heads, tokens, plain=False)
        value = builder.cont(builder.view(unfolded, value_length, heads, tokens, plain=False))
        key = builder.fresh((length, heads, tokens), key, builder.fresh((rope, heads, tokens), rotary))
        return builder.attend(layer, builder.rope(query), key, value)
    first = builder.view(builder.view(query, nope, heads, tokens, plain=False), nope, tokens, heads, plain=False)
    second = builder.view(query, rope, heads, tokens, plain=False)
    second = builder.rope(second) if turned else second
    absorbed = builder.view(builder.fresh((rank, tokens, heads), first), rank, heads, tokens, plain=False)
    query = builder.fresh((rank + rope, heads, tokens), absorbed, second)
    if header.get("attention.temperature_scale"):
        query = builder.same(query, builder.leaf("attention_scale", 1, 1, tokens))
    value = builder.view(compressed, rank, 1, tokens)
    key = builder.fresh((rank + rope, 1, tokens), value, rotary)
    return builder.attend_latent(layer, query, key, value, rank=rank, length=value_length, chosen=chosen)
