"""Gemma 4: heads of two lengths, layers that use caches of earlier ones, an embedding of its own per layer (llama.cpp's src/models/gemma4.cpp)."""

from __future__ import annotations

from hausgeist.planner.memory.arena import Node
from hausgeist.planner.memory.operations import Builder

__all__ = ["gemma", "per_layer_inputs"]


def gemma(builder: Builder) -> None:
    header, tokens = builder.header, builder.batch.tokens
    layered = builder.present("per_layer_token_embd.weight")
    rows = _rows(builder) if layered else None
    state = builder.same(builder.embed(), builder.leaf("input_scale", 1, tokens))
    extra = _projected(builder, state, rows) if rows is not None else None
    for layer in builder.each_layer():
        name = f"blk.{layer}."
        residual = state
        last = layer == header.layers - 1
        node = _attention(builder, layer, builder.norm(state, f"{name}attn_norm"))
        if last:
            node, residual = builder.wanted(node), builder.wanted(residual)
        attended = builder.same(builder.norm(node, f"{name}post_attention_norm"), residual)
        node = builder.ffn(layer, builder.norm(attended, f"{name}ffn_norm"))
        if builder.present(f"{name}ffn_gate_inp.weight"):
            node = builder.norm(node, f"{name}post_ffw_norm_1")
            inner = builder.norm(attended, f"{name}pre_ffw_norm_2")
            scaled = builder.same(builder.same(builder.same(attended)))
            chosen = builder.experts(layer, inner, logits=builder.fresh((header.number("expert_count"), tokens), scaled))
            node = builder.same(node, builder.norm(chosen, f"{name}post_ffw_norm_2"))
        state = builder.same(builder.norm(node, f"{name}post_ffw_norm"), attended)
        if extra is not None:
            node = builder.same(builder.matrix(f"{name}inp_gate", state))
            own = builder.view(extra, extra.shape[0], tokens, plain=False)
            node = builder.same(node, builder.wanted(own) if last else own)
            node = builder.norm(builder.matrix(f"{name}proj", node), f"{name}post_norm")
            state = builder.same(state, node)
        if builder.present(f"{name}layer_output_scale.weight"):
            state = builder.same(state)
    builder.finish(state, cap=True)


def _attention(builder: Builder, layer: int, node: Node) -> Node:
    header, name, tokens = builder.header, f"blk.{layer}.", builder.batch.tokens
    length, heads, kv_heads = header.key_length(layer), header.heads[layer], header.kv_heads[layer]
    query = builder.view(builder.matrix(f"{name}attn_q", node), length, heads, tokens)
    query = builder.rope(builder.norm(query, f"{name}attn_q_norm"))
    if layer >= header.cached_layers:
        return builder.attend(layer, query, None, None)
    key = builder.matrix(f"{name}attn_k", node)
    value = builder.matrix(f"{name}attn_v", node) if builder.present(f"{name}attn_v.weight") else key
    key, value = builder.view(key, length, kv_heads, tokens), builder.view(value, length, kv_heads, tokens)
    key, value = builder.norm(key, f"{name}attn_k_norm"), builder.same(value)
    return builder.attend(layer, query, builder.rope(key), value)


def per_layer_inputs(builder: Builder, state: Node) -> Node:
    """`build_inp_per_layer` and `project_per_layer_inputs`: one short vector per token and layer."""
    header, tokens = builder.header, builder.batch.tokens
    length = header.number("embedding_length_per_layer_input")
    rows = builder.fresh((length * header.layers, tokens), builder.leaf("tokens", tokens, kind="i32"))
    rows = builder.same(builder.view(rows, length, header.layers, tokens))
    builder.graph.expand(rows)
    return _projected(builder, state, rows)


def _rows(builder: Builder) -> Node:
    """The same, looked up before all else."""
    width, tokens = builder.header.number("embedding_length_per_layer_input") * builder.header.layers, builder.batch.tokens
    rows = builder.fresh((width, tokens), builder.leaf("layer_tokens", tokens, kind="i32"))
    builder.graph.expand(rows)
    return builder.same(builder.view(rows, width // builder.header.layers, builder.header.layers, tokens))


def _projected(builder: Builder, state: Node, rows: Node) -> Node:
    length, layers, tokens = rows.shape[0], rows.shape[1], rows.shape[2]
    projected = builder.same(builder.matrix("per_layer_model_proj", state))
    projected = builder.norm(builder.view(projected, length, layers, tokens), "per_layer_proj_norm")
    mixed = builder.same(builder.same(projected, rows))
    return builder.cont(builder.view(mixed, length, tokens, layers, plain=False))
