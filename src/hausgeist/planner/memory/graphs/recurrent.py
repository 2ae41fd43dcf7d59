"""Layers that keep a state: Mamba 1 and 2, gated delta networks, short convolutions, alone or mixed with attention.

Follows llama.cpp's src/models/mamba-base.cpp, delta-net-base.cpp, lfm2.cpp and the graphs of the architectures that use them.
"""

from __future__ import annotations

from hausgeist.planner.memory.arena import Node
from hausgeist.planner.memory.cache import state_widths
from hausgeist.planner.memory.graphs.decoder import Decoder, feed_forward
from hausgeist.planner.memory.graphs.latent import latent_attention
from hausgeist.planner.memory.operations import Builder

__all__ = ["recurrent"]

_DELTA = ("qwen3next", "qwen35", "qwen35moe")
_EXPANDED = (*_DELTA, "kimi-linear")
"""The norm before attention comes before all that the layer does."""


def recurrent(builder: Builder) -> None:
    header, kind = builder.header, builder.header.architecture
    state = builder.embed()
    how = Decoder(normed_experts=kind != "jamba", gating="sigmoid" if kind == "kimi-linear" else "softmax")
    for layer in builder.each_layer():
        name = f"blk.{layer}."
        residual = state
        last = layer == header.layers - 1
        node = builder.norm(state, f"{name}attn_norm")
        if kind in _EXPANDED:
            builder.graph.expand(node)
        if kind == "falcon-h1":
            query, key, value = builder.qkv(layer, node)
            attended = builder.attend(layer, builder.rope(query), builder.rope(key), value)
            node = builder.same(attended, _mamba2(builder, layer, builder.norm(state, f"{name}attn_norm")))
            residual = builder.same(node, residual)
            if last:
                node, residual = builder.wanted(node), builder.wanted(residual)
            node = feed_forward(builder, layer, builder.norm(residual, f"{name}ffn_norm"), how)
            state = builder.same(node, residual)
            continue
        node = _mixed(builder, layer, node)
        if last:
            node, residual = builder.wanted(node), builder.wanted(residual)
        state = _rest(builder, layer, node, residual, how)
    builder.finish(state, scale=kind == "granitehybrid" and bool(header.get("logit_scale")))


def _rest(builder: Builder, layer: int, node: Node, residual: Node, how: Decoder) -> Node:
    header, name, kind = builder.header, f"blk.{layer}.", builder.header.architecture
    scaled = kind == "granitehybrid" and bool(header.get("residual_scale"))
    if kind in ("mamba", "mamba2", "nemotron_h", "nemotron_h_moe"):
        return builder.same(node, residual)
    if scaled:
        node = builder.same(node)
    first = kind in ("jamba", "lfm2", "lfm2moe")
    middle = builder.same(residual, node) if first else builder.same(node, residual)
    node = builder.norm(middle, name + ("post_attention_norm" if kind in _DELTA else "ffn_norm"))
    node = feed_forward(builder, layer, node, how)
    if scaled:
        node = builder.same(node)
    return builder.same(middle, node) if first else builder.same(node, middle)


def _mixed(builder: Builder, layer: int, node: Node) -> Node:
    """Attention, a state, or neither, as the layer has it."""
    header, kind = builder.header, builder.header.architecture
    if header.recurrent[layer]:
        if kind in _DELTA:
            return _delta(builder, layer, node)
        if kind == "kimi-linear":
            return _kda(builder, layer, node)
        if kind in ("lfm2", "lfm2moe"):
            return _convolution(builder, layer, node)
        return _mamba(builder, layer, node) if kind in ("mamba", "jamba") else _mamba2(builder, layer, node)
    if kind == "kimi-linear":
        return latent_attention(builder, layer, node)
    if kind in _DELTA:
        return _gated_attention(builder, layer, node)
    if not header.kv_heads[layer]:
        return _squared(builder, layer, node)
    query, key, value = builder.qkv(layer, node)
    name = f"blk.{layer}."
    if builder.present(f"{name}attn_q_norm.weight"):
        query, key = builder.norm(query, f"{name}attn_q_norm"), builder.norm(key, f"{name}attn_k_norm")
    if kind in ("lfm2", "lfm2moe") or (kind == "granitehybrid" and header.get("rope.scaling.finetuned", True)):
        query, key = builder.rope(query), builder.rope(key)
    return builder.attend(layer, query, key, value)


def _squared(builder: Builder, layer: int, node: Node) -> Node:
    """Nemotron-H's networks: no gates, squares; experts may work on a shorter vector."""
    name = f"blk.{layer}.ffn_"
    if not builder.present(f"{name}gate_inp.weight"):
        return builder.ffn(layer, node, gate=False, squares=True)
    inner = builder.matrix(f"{name}latent_down", node) if builder.present(f"{name}latent_down.weight") else node
    scale, normed = builder.header.get("expert_weights_scale"), bool(builder.header.get("expert_weights_norm"))
    logits = builder.matrix(f"{name}gate_inp", node)
    result = builder.experts(layer, inner, gating="sigmoid", normed=normed, scaled=bool(scale) and scale != 1.0, logits=logits, squares=True)
    if builder.present(f"{name}latent_up.weight"):
        result = builder.matrix(f"{name}latent_up", result)
    return builder.same(result, builder.ffn(layer, node, gate=False, squares=True, suffix="_shexp"))


def _mamba(builder: Builder, layer: int, node: Node) -> Node:
    """`build_mamba_layer`."""
    header, batch, name = builder.header, builder.batch, f"blk.{layer}.ssm_"
    kernel, inner, size, rank = (header.number(f"ssm.{one}") for one in ("conv_kernel", "inner_size", "state_size", "time_step_rank"))
    steps, sequences = batch.sequence_tokens, batch.sequences
    width, total = state_widths(header)
    before = builder.view(builder.state(f"r{layer}", width), kernel - 1, inner, sequences)
    both = builder.matrix(f"{name}in", builder.view(node, node.shape[0], steps, sequences))
    x, z = (builder.view(both, inner, steps, sequences, plain=False) for _ in range(2))
    joined = builder.fresh((kernel - 1 + steps, inner, sequences), before, builder.view(x, steps, inner, sequences, plain=False))
    builder.update(f"r{layer}", builder.view(joined, kernel - 1, inner, sequences, plain=False))
    x = builder.same(builder.same(builder.fresh((inner, steps, sequences), joined)))
    parts = builder.matrix(f"{name}x", x)
    dt = builder.view(parts, rank, steps, sequences, plain=False)
    b, c = (builder.view(parts, size, 1, steps, sequences, plain=False) for _ in range(2))
    if builder.present(f"{name}dt_norm.weight") or header.get("ssm.dt_b_c_rms"):
        dt, b, c = builder.norm(dt, f"{name}dt_norm"), builder.norm(b, f"{name}b_norm"), builder.norm(c, f"{name}c_norm")
    else:
        dt = builder.cont(dt)
    dt = builder.same(builder.matrix(f"{name}dt", dt))
    heads = builder.view(x, 1, inner, steps, sequences)
    scanned = builder.scan(f"s{layer}", total, (heads, dt, b, c), inner * steps * sequences + total * sequences)
    builder.update(f"s{layer}", builder.view(scanned, total * sequences, plain=False))
    y = builder.view(scanned, inner, steps, sequences, plain=False)
    y = builder.same(y, builder.same(x))
    y = builder.fresh(y.shape, builder.cont(z), y)
    out = builder.matrix(f"{name}out", y)
    return builder.view(out, out.shape[0], steps * sequences)


def _mamba2(builder: Builder, layer: int, node: Node) -> Node:
    """`build_mamba2_layer`."""
    header, batch, name = builder.header, builder.batch, f"blk.{layer}.ssm_"
    kernel, inner, size = (header.number(f"ssm.{one}") for one in ("conv_kernel", "inner_size", "state_size"))
    heads, groups = header.number("ssm.time_step_rank"), header.number("ssm.group_count")
    steps, sequences, mixed = batch.sequence_tokens, batch.sequences, inner + 2 * groups * size
    width, total = state_widths(header)
    before = builder.view(builder.state(f"r{layer}", width), kernel - 1, mixed, sequences)
    everything = builder.matrix(f"{name}in", node)
    everything = builder.view(everything, everything.shape[0], steps, sequences)
    z = builder.view(everything, inner // heads, heads, steps, sequences, plain=False)
    x = builder.view(everything, mixed, steps, sequences, plain=False)
    dt = builder.view(everything, heads, steps, sequences, plain=False)
    joined = builder.fresh((kernel - 1 + steps, mixed, sequences), before, builder.view(x, steps, mixed, sequences, plain=False))
    builder.update(f"r{layer}", builder.view(joined, kernel - 1, mixed, sequences, plain=False))
    x = builder.fresh((mixed, steps, sequences), joined)
    if builder.present(f"{name}conv1d.bias"):
        x = builder.same(x)
    x = builder.same(x)
    value = builder.view(x, inner // heads, heads, steps, sequences, plain=False)
    b, c = (builder.view(x, size, groups, steps, sequences, plain=False) for _ in range(2))
    dt = builder.same(builder.cont(dt))
    scanned = builder.scan(f"s{layer}", total, (value, dt, b, c), inner * steps * sequences + total * sequences)
    builder.update(f"s{layer}", builder.view(scanned, total, sequences, plain=False))
    y = builder.view(scanned, inner // heads, heads, steps, sequences, plain=False)
    y = builder.same(y, builder.same(value))
    y = builder.fresh(y.shape, builder.cont(z), y)
    if builder.present(f"{name}norm.weight"):
        y = builder.norm(builder.view(y, inner // groups, groups, steps, sequences), f"{name}norm")
    return builder.matrix(f"{name}out", builder.view(y, inner, steps * sequences))


def _convolution(builder: Builder, layer: int, node: Node) -> Node:
    """LFM2's short convolution."""
    header, batch, name = builder.header, builder.batch, f"blk.{layer}.shortconv."
    kept, hidden = header.number("shortconv.l_cache") - 1, header.hidden
    steps, sequences = batch.sequence_tokens, batch.sequences
    parts = builder.matrix(f"{name}in_proj", builder.view(node, hidden, steps, sequences))
    b, c, x = (builder.view(parts, hidden, steps, sequences, plain=False) for _ in range(3))
    flipped = builder.view(builder.same(b, x), steps, hidden, sequences, plain=False)
    before = builder.view(builder.state(f"r{layer}", state_widths(header)[0]), kept, hidden, sequences)
    joined = builder.fresh((kept + steps, hidden, sequences), before, flipped)
    builder.update(f"r{layer}", builder.view(joined, kept, hidden, sequences, plain=False))
    y = builder.matrix(f"{name}out_proj", builder.same(c, builder.fresh((hidden, steps, sequences), joined)))
    return builder.view(y, hidden, steps * sequences)


def _delta(builder: Builder, layer: int, node: Node) -> Node:
    """`build_layer_attn_linear` of Qwen3-Next and Qwen3.5, with the fused operation (`build_delta_net_fused`)."""
    header, batch, name = builder.header, builder.batch, f"blk.{layer}."
    kernel, inner, size = (header.number(f"ssm.{one}") for one in ("conv_kernel", "inner_size", "state_size"))
    heads, key_heads = header.number("ssm.time_step_rank"), header.number("ssm.group_count")
    steps, sequences, length = batch.sequence_tokens, batch.sequences, inner // heads
    channels = inner + 2 * key_heads * size
    width, total = state_widths(header)
    mixed = builder.matrix(f"{name}attn_qkv", node)
    mixed = builder.view(mixed, mixed.shape[0], steps, sequences)
    z = builder.matrix(f"{name}attn_gate", node)
    if builder.present(f"{name}ssm_ba.weight"):
        both = builder.view(builder.matrix(f"{name}ssm_ba", node), 2 * heads // key_heads, key_heads, steps, sequences)
        part = (heads // key_heads, key_heads, steps, sequences)
        beta = builder.view(builder.same(builder.cont(builder.view(both, *part, plain=False))), 1, heads, steps, sequences)
        alpha = builder.cont(builder.view(both, *part, plain=False), heads, steps, sequences)
    else:
        beta = builder.same(builder.view(builder.matrix(f"{name}ssm_beta", node), 1, heads, steps, sequences))
        alpha = builder.view(builder.matrix(f"{name}ssm_alpha", node), heads, steps, sequences)
    gate = builder.view(builder.same(builder.same(builder.same(alpha))), 1, heads, steps, sequences)
    before = builder.view(builder.state(f"r{layer}", width), kernel - 1, channels, sequences)
    joined = builder.fresh((kernel - 1 + steps, channels, sequences), before, builder.view(mixed, steps, channels, sequences, plain=False))
    builder.update(f"r{layer}", builder.view(joined, kernel - 1, channels, sequences, plain=False))
    state = builder.view(builder.state(f"s{layer}", total), length, length, heads, sequences)
    mixed = builder.same(builder.fresh((channels, steps, sequences), joined))
    query, key = (builder.view(mixed, size, key_heads, steps, sequences, plain=False) for _ in range(2))
    value = builder.view(mixed, length, heads, steps, sequences, plain=False)
    query, key = builder.same(builder.same(query)), builder.same(builder.same(key))
    if builder.header.architecture == "qwen3next" and key_heads != heads:
        query, key = (_repeated(builder, one, heads) for one in (query, key))
    result = builder.fresh((length * heads, steps * sequences + length * sequences), query, key, value, gate, beta, state)
    output = builder.view(result, length, heads, steps, sequences, plain=False)
    builder.update(f"s{layer}", builder.view(result, length, length, heads, sequences, plain=False))
    normed = builder.norm(output, f"{name}ssm_norm")
    gated = builder.same(normed, builder.same(builder.view(z, length, heads, steps, sequences)))
    out = builder.matrix(f"{name}ssm_out", builder.view(gated, inner, steps, sequences))
    return builder.view(out, header.hidden, steps * sequences)


def _kda(builder: Builder, layer: int, node: Node) -> Node:
    """Delta attention of Kimi Linear: keys, queries and values have a convolution each, and each number of a key its own decay."""
    header, batch, name = builder.header, builder.batch, f"blk.{layer}."
    length, heads, kernel = header.number("kda.head_dim"), header.heads[layer], header.number("ssm.conv_kernel")
    steps, sequences, inner = batch.sequence_tokens, batch.sequences, length * heads
    width, total = state_widths(header)
    before = builder.state(f"r{layer}", width)
    parts = []
    for which in ("q", "k", "v"):
        given = builder.view(builder.matrix(f"{name}attn_{which}", node), inner, steps, sequences)
        joined = builder.fresh((kernel - 1 + steps, inner, sequences), builder.view(before, kernel - 1, inner, sequences, plain=False),
                               builder.view(given, steps, inner, sequences, plain=False))  # fmt: skip
        target = builder.view(builder.leaf(f"r{layer}"), kernel - 1, inner, sequences)
        builder.graph.expand(builder.into(target, builder.view(joined, kernel - 1, inner, sequences, plain=False)))
        mixed = builder.same(builder.view(builder.fresh((inner, steps, sequences), joined), inner, steps * sequences))
        parts.append(builder.view(mixed, length, heads, steps, sequences))
    query, key, value = parts
    decay = builder.same(builder.same(builder.matrix(f"{name}ssm_f_b", builder.matrix(f"{name}ssm_f_a", node))))
    decay = builder.view(builder.same(builder.view(decay, length, heads, steps * sequences)), length, heads, steps, sequences)
    beta = builder.same(builder.view(builder.matrix(f"{name}ssm_beta", node), 1, heads, steps, sequences))
    state = builder.view(builder.state(f"s{layer}", total), length, length, heads, sequences)
    query, key = builder.same(builder.same(query)), builder.same(builder.same(key))
    result = builder.fresh((inner, steps * sequences + length * sequences), query, key, value, decay, beta, state)
    output = builder.cont(builder.view(result, length, heads, steps, sequences, plain=False))
    builder.update(f"s{layer}", builder.view(result, length, length, heads, sequences, plain=False))
    flat = builder.view(builder.view(node, node.shape[0], steps, sequences), node.shape[0], steps * sequences)
    gate = builder.view(builder.matrix(f"{name}ssm_g_b", builder.matrix(f"{name}ssm_g_a", flat)), length, heads, steps * sequences)
    normed = builder.norm(builder.view(output, length, heads, steps * sequences), f"{name}ssm_norm")
    gated = builder.cont(builder.same(normed, builder.same(gate)), inner, steps * sequences)
    return builder.matrix(f"{name}attn_output", gated)


def _repeated(builder: Builder, node: Node, heads: int) -> Node:
    size, key_heads, steps, sequences = node.shape
    split = builder.view(node, size, 1, key_heads, steps * sequences)
    return builder.view(builder.fresh((size, heads // key_heads, key_heads, steps * sequences), split), size, heads, steps, sequences)


def _gated_attention(builder: Builder, layer: int, node: Node) -> Node:
    """`build_layer_attn` of Qwen3-Next and Qwen3.5: the query comes with a gate of its length."""
    header, name, tokens = builder.header, f"blk.{layer}.", builder.batch.tokens
    length, heads, kv_heads = header.key_length(layer), header.heads[layer], header.kv_heads[layer]
    full, key, value = (builder.matrix(f"{name}attn_{one}", node) for one in ("q", "k", "v"))
    if header.architecture == "qwen3next":
        full = builder.view(full, 2 * length, heads, tokens)
    query = builder.norm(builder.view(full, length, heads, tokens, plain=False), f"{name}attn_q_norm")
    gate = builder.cont(builder.view(full, length, heads, tokens, plain=False), length * heads, tokens)
    key = builder.norm(builder.view(key, length, kv_heads, tokens), f"{name}attn_k_norm")
    attended = builder.attend(layer, builder.rope(query), builder.rope(key), builder.view(value, length, kv_heads, tokens), output="")
    return builder.matrix(f"{name}attn_output", builder.same(attended, builder.same(gate)))
