"""Decoders whose layers are attention and a feed-forward network, one after the other or side by side.

Each follows `graph::graph` of its file in llama.cpp's src/models; what differs between them stands in `DECODERS`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from hausgeist.planner.memory.arena import Node
from hausgeist.planner.memory.operations import Builder, Norm

__all__ = ["DECODERS", "Decoder", "decoder", "feed_forward", "parallel", "resting"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Decoder:
    """How an architecture departs from Llama's graph."""

    norm: Norm = "rms"
    scaled_input: bool = False
    scaled_query: bool = False
    """After the rotary positions."""
    scaled_residual: bool = False
    """Where the header has a scale for it."""
    sandwich: bool = False
    """Norms after attention and network, before they are added."""
    ffn_norm: str = "ffn_norm"
    flat_norm: bool = False
    """Queries and keys are normed over all heads before they are split (OLMo 2)."""
    gating: str = "softmax"
    normed_experts: bool = True
    residual_first: bool = False
    logit_scale: bool = False
    cap: bool = False
    """Scores of attention and logits are bounded by tanh, where the header has a bound."""
    unnormed_keys: bool = False
    """Keys and queries are normed without weights, after the positions (Llama 4)."""
    weights_first: bool = False
    nope_every: int = 0
    """Each n-th layer has no rotary positions."""
    scaled_nope: bool = False
    """Its queries are scaled instead."""
    rope_windowed: bool = False
    """With a window, only windowed layers have rotary positions."""
    turned_first: bool = False
    """Rotary positions come before the norms of queries and keys."""
    bare: bool = False
    """Norms have no weights."""
    shared_first: bool = False
    gated: bool = False
    """What attention gives is multiplied by a gate from its own input, before it goes out."""
    input_norm: bool = False


DECODERS: Final[Mapping[str, Decoder]] = {
    **dict.fromkeys(
        ("llama", "mistral3", "qwen2", "qwen2vl", "qwen3", "qwen3vl", "qwen3moe", "qwen3vlmoe", "internlm2", "ernie4_5", "ernie4_5-moe", "exaone",
         "baichuan", "xverse", "apertus"),
        Decoder(),
    ),
    **dict.fromkeys(("qwen2moe", "deepseek", "bailingmoe"), Decoder(normed_experts=False)),
    **dict.fromkeys(("hunyuan-dense", "hunyuan-moe"), Decoder(turned_first=True, shared_first=True)),
    **dict.fromkeys(("orion", "stablelm"), Decoder(norm="layer")),
    "olmo": Decoder(norm="layer", bare=True),
    "olmoe": Decoder(flat_norm=True, normed_experts=False),
    "minimax-m2": Decoder(flat_norm=True, gating="sigmoid"),
    "glm4moe": Decoder(ffn_norm="post_attention_norm", gating="sigmoid", normed_experts=False),
    "dots1": Decoder(gating="sigmoid", normed_experts=False),
    "exaone-moe": Decoder(gating="sigmoid", normed_experts=False, rope_windowed=True),
    "afmoe": Decoder(scaled_input=True, sandwich=True, gating="sigmoid", normed_experts=False, nope_every=4, gated=True),
    "bailingmoe2": Decoder(gating="sigmoid", normed_experts=False),
    "modern-bert": Decoder(norm="layer", input_norm=True),
    "seed_oss": Decoder(ffn_norm="post_attention_norm"),
    "smollm3": Decoder(nope_every=4),
    "gemma": Decoder(scaled_input=True, scaled_query=True),
    "gemma2": Decoder(scaled_input=True, scaled_query=True, sandwich=True, cap=True),
    "gemma3": Decoder(scaled_input=True, scaled_query=True, sandwich=True, cap=True),
    "gemma-embedding": Decoder(scaled_input=True, scaled_query=True, sandwich=True),
    "phi3": Decoder(scaled_query=True, residual_first=True),
    "phimoe": Decoder(scaled_query=True, residual_first=True),
    "gpt-oss": Decoder(ffn_norm="post_attention_norm", gating="softmax_weight", normed_experts=False),
    "starcoder2": Decoder(norm="layer"),
    "granite": Decoder(scaled_residual=True, logit_scale=True),
    "granitemoe": Decoder(scaled_residual=True, logit_scale=True),
    "glm4": Decoder(sandwich=True),
    "olmo2": Decoder(sandwich=True, flat_norm=True),
    "exaone4": Decoder(sandwich=True, rope_windowed=True),
    "llama4": Decoder(gating="sigmoid", normed_experts=False, weights_first=True, unnormed_keys=True, nope_every=4, scaled_nope=True),
}  # fmt: skip


def resting(how: Decoder, layer: int) -> bool:
    """Whether a layer has no rotary positions because of its number."""
    return bool(how.nope_every) and (layer + 1) % how.nope_every == 0


def decoder(builder: Builder) -> None:
    """Attention, then the network."""
    header, graph = builder.header, builder.graph
    how = DECODERS.get(header.architecture, Decoder())
    state = builder.embed()
    if how.scaled_input:
        state = builder.same(state)
    if how.input_norm:
        state = builder.norm(state, "token_embd_norm", how.norm)
    for layer in builder.each_layer():
        name = f"blk.{layer}."
        residual = state
        node = state
        if how.bare or builder.present(f"{name}attn_norm.weight"):
            node = builder.norm(state, f"{name}attn_norm", how.norm)
        if header.kv_heads[layer]:
            node = _attention(builder, how, layer, node)
        if layer == header.layers - 1:
            node, residual = builder.wanted(node), builder.wanted(residual)
        if how.sandwich and builder.present(f"{name}post_attention_norm.weight"):
            node = builder.norm(node, f"{name}post_attention_norm", how.norm)
        if how.scaled_residual and header.get("residual_scale"):
            node = builder.same(node)
        middle = builder.same(node, residual)
        node = middle
        if how.bare or builder.present(f"{name}{how.ffn_norm}.weight"):
            node = builder.norm(middle, name + how.ffn_norm, how.norm)
        node = feed_forward(builder, layer, node, how)
        if how.sandwich and builder.present(f"{name}post_ffw_norm.weight"):
            node = builder.norm(node, f"{name}post_ffw_norm", how.norm)
        if how.scaled_residual and header.get("residual_scale"):
            node = builder.same(node)
        state = builder.same(middle, node) if how.residual_first else builder.same(node, middle)
        if layer < header.number("n_deepstack_layers") and builder.entered is not None:
            state = builder.same(state, builder.view(builder.entered, header.hidden, builder.batch.tokens, plain=False))
    capped = how.cap and bool(header.get("final_logit_softcapping"))
    if header.cacheless:
        node = builder.norm(state, "output_norm", how.norm)
        builder.end(node)
        graph.expand(node)
        return
    builder.finish(state, kind=how.norm, scale=how.logit_scale, cap=capped)


def _attention(builder: Builder, how: Decoder, layer: int, node: Node) -> Node:
    header, given = builder.header, node
    query, key, value = builder.qkv(layer, node)
    if not how.turned_first:
        query, key = (_normed(builder, how, layer, which, part) for which, part in (("q", query), ("k", key)))
    if not resting(how, layer) and (not how.rope_windowed or not header.window or header.windowed[layer]):
        query, key = builder.rope(query), builder.rope(key)
        if how.unnormed_keys and header.number("expert_count") == 16:
            query, key = builder.same(query), builder.same(key)
    elif how.scaled_nope:
        query = builder.same(query, builder.leaf("attention_scale", 1, 1, builder.batch.tokens))
    if how.turned_first:
        query, key = (_normed(builder, how, layer, which, part) for which, part in (("q", query), ("k", key)))
    if how.scaled_query:
        query = builder.same(query)
    if how.gated:
        attended, name = builder.attend(layer, query, key, value, output=""), f"blk.{layer}.attn_"
        return builder.matrix(f"{name}output", builder.same(attended, builder.same(builder.matrix(f"{name}gate", given))))
    return builder.attend(layer, query, key, value, cap=how.cap and header.architecture == "gemma2")


def _normed(builder: Builder, how: Decoder, layer: int, which: str, part: Node) -> Node:
    name = f"blk.{layer}.attn_{which}_norm"
    if not builder.present(f"{name}.weight"):
        return part
    if not how.flat_norm:
        return builder.norm(part, name, how.norm)
    # Over all heads at once: the product itself is normed, not the view that splits it.
    return builder.view(builder.norm(part.sources[0], name, how.norm), *part.shape)


def feed_forward(builder: Builder, layer: int, node: Node, how: Decoder) -> Node:
    """The network of a layer, with or without experts, as its tensors say."""
    name = f"blk.{layer}.ffn_"
    if not builder.present(f"{name}gate_inp.weight"):
        gate = builder.present(f"{name}gate.weight")
        halves = not gate and builder.rows(f"{name}up.weight") == 2 * builder.header.tensors[f"{name}down.weight"].dimensions[0]
        return builder.ffn(layer, node, gate=gate, halves=halves)
    scale = builder.header.get("expert_weights_scale")
    normed = bool(builder.header.get("expert_weights_norm", how.normed_experts))
    shared = builder.ffn(layer, node, suffix="_shexp") if how.shared_first else None
    result = builder.experts(layer, node, gating=how.gating, normed=normed, scaled=bool(scale) and scale != 1.0, before=how.weights_first)
    if builder.present(f"{name}up_shexp.weight"):
        shared = shared or builder.ffn(layer, node, suffix="_shexp")
        if builder.present(f"{name}gate_inp_shexp.weight"):
            shared = builder.same(shared, builder.same(builder.fresh((1, node.shape[1]), node)))
        result = builder.same(result, shared)
    return result


def parallel(builder: Builder) -> None:
    """Attention and network side by side, both from the same or each from its own norm."""
    header, kind = builder.header, builder.header.architecture
    norm: Norm = "layer"
    state = builder.embed()
    side = kind != "gptneox" or header.get("use_parallel_residual", True)
    for layer in builder.each_layer():
        name = f"blk.{layer}."
        residual = state
        normed = builder.norm(state, f"{name}attn_norm", norm)
        node = builder.norm(state, f"{name}attn_norm_2", norm) if builder.present(f"{name}attn_norm_2.weight") else normed
        query, key, value = builder.qkv(layer, node)
        if kind == "command-r" and builder.present(f"{name}attn_q_norm.weight"):
            query, key = builder.norm(query, f"{name}attn_q_norm", norm), builder.norm(key, f"{name}attn_k_norm", norm)
        if kind != "cohere2" or header.windowed[layer]:
            query, key = builder.rope(query), builder.rope(key)
        if kind == "phi2":
            query = builder.same(query)
        attended = builder.attend(layer, query, key, value)
        if layer == header.layers - 1:
            attended, residual = builder.wanted(attended), builder.wanted(residual)
            if kind != "gptneox":
                normed = builder.wanted(normed)
        gate = builder.present(f"{name}ffn_gate.weight")
        if not side:
            middle = builder.same(attended, residual)
            node = builder.ffn(layer, builder.norm(middle, f"{name}ffn_norm", norm), gate=gate)
            state = builder.same(node, middle)
            continue
        source = builder.norm(residual, f"{name}ffn_norm", norm) if kind == "gptneox" else normed
        node = builder.ffn(layer, source, gate=gate)
        if kind == "phi2":
            state = builder.same(builder.same(attended, node), residual)
        elif kind == "falcon":
            state = builder.same(builder.same(node, attended), residual)
        else:
            state = builder.same(builder.same(node, residual), attended)
    builder.finish(state, kind=norm, scale=bool(header.get("logit_scale")))
