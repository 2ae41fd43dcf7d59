"""BERT and its kin: a whole input at once, no cache (llama.cpp's src/models/bert.cpp), and the pooling behind it (`build_pooling`)."""

from __future__ import annotations

from hausgeist.planner.memory.header import Header
from hausgeist.planner.memory.operations import Builder

__all__ = ["encoder", "mixed", "pool"]


def encoder(builder: Builder) -> None:
    header = builder.header
    turned = header.architecture in ("nomic-bert", "nomic-bert-moe", "jina-bert-v3")
    state = builder.embed()
    if builder.present("token_types.weight"):
        state = builder.same(state)
    if header.architecture == "bert":
        learned = builder.fresh((header.hidden, builder.batch.tokens), builder.positions())
        state = builder.same(learned, state)
    state = builder.norm(state, "token_embd_norm", "layer")
    for layer in builder.each_layer():
        name = f"blk.{layer}."
        residual = state
        query, key, value = builder.qkv(layer, state)
        if turned:
            query, key = builder.rope(query), builder.rope(key)
        node = builder.attend(layer, query, key, value)
        if layer == header.layers - 1:
            node, residual = builder.wanted(node), builder.wanted(residual)
        node = builder.norm(builder.same(node, residual), f"{name}attn_output_norm", "layer")
        if builder.present(f"{name}attn_norm_2.weight"):
            node = builder.norm(builder.same(node, residual), f"{name}attn_norm_2", "layer")
        middle = node
        if mixed(header, layer):
            node = builder.experts(layer, node, normed=False)
        else:
            gate = builder.present(f"{name}ffn_gate.weight")
            halves = not gate and builder.rows(f"{name}ffn_up.weight") == 2 * header.tensors[f"{name}ffn_down.weight"].dimensions[0]
            node = builder.ffn(layer, node, gate=gate, halves=halves)
        state = builder.norm(builder.same(node, middle), f"{name}layer_output_norm", "layer")
    builder.end(state)
    builder.graph.expand(state)


def mixed(header: Header, layer: int) -> bool:
    """Whether a layer's network is one of experts."""
    every = header.number("moe_every_n_layers")
    return bool(every) and layer % every == 1


def pool(builder: Builder) -> None:
    """One vector per sequence of those of its tokens."""
    batch, node = builder.batch, builder.embedded
    if not batch.embeddings or batch.pooling == "none" or node is None:
        return
    width, tokens = node.shape[0], node.shape[1]
    if batch.pooling == "mean":
        flipped = builder.cont(builder.view(node, tokens, width, plain=False))
        node = builder.fresh((width, batch.sequences), flipped, builder.leaf("mean", batch.tokens, batch.sequences))
    else:
        node = builder.fresh((width, batch.sequences), node, builder.leaf("classes", batch.sequences, kind="i32"))
    if builder.present("cls.weight") and batch.pooling == "rank":
        node = builder.biased("cls", node)
        node = builder.same(node)
    if builder.present("cls.output.weight") and batch.pooling == "rank":
        node = builder.biased("cls.output", node)
    node.output = True
    builder.graph.expand(node)
