"""What turns pictures into embeddings, kept in a file of its own: its weights and the largest picture's way through it.

Source: llama.cpp's tools/mtmd/clip.cpp (`clip_get_mem_usage`, `build_inp`, `build_vit`, `build_attn`) and tools/mtmd/models/siglip.cpp. The graph
of Gemma 3's is followed to its end; others are taken for a vision transformer of the same kind, which is an estimate. The engine's fit pass counts
the weights only, unless it warms up.
"""

from __future__ import annotations

from dataclasses import dataclass

from hausgeist.planner.memory.arena import Node
from hausgeist.planner.memory.header import Header
from hausgeist.planner.memory.operations import Batch, Builder

__all__ = ["ProjectorMemory", "projector"]


@dataclass(frozen=True, slots=True, kw_only=True)
class ProjectorMemory:
    """Bytes."""

    weights: int
    compute: int
    """Followed in the source, not compared with the engine."""
    exact: bool

    @property
    def total(self) -> int:
        return self.weights + self.compute


def projector(header: Header) -> ProjectorMemory:
    """`header` of an mmproj file."""
    weights = sum(tensor.nbytes for tensor in header.tensors.values())
    gemma = header.metadata.get("clip.projector_type") == "gemma3"
    image, patch, hidden = (header.number(f"vision.{key}") for key in ("image_size", "patch_size", "embedding_length"))
    if not image or not patch or not hidden:
        return ProjectorMemory(weights=weights, compute=0, exact=False)
    side = image // patch
    builder = Builder(header, Batch(tokens=side * side, sequences=1, outputs=1, streams=1, cells=1, window_cells=1, flash=True))
    node = _transformer(builder, _patches(builder, image, patch, side, hidden), side * side)
    if gemma:
        node = _gemma(builder, node, side, header.number("vision.projector.scale_factor", 4))
    builder.graph.expand(node)
    return ProjectorMemory(weights=weights, compute=builder.graph.measure(), exact=gemma)


def _patches(builder: Builder, image: int, patch: int, side: int, hidden: int) -> Node:
    """A convolution, as a matrix over what each patch has."""
    count = side * side
    picture = builder.leaf("picture", image, image, 3)
    kernel = builder.leaf("kernel", patch, patch, 3, hidden, external=True)
    columns = builder.fresh((3 * patch * patch, side, side), kernel, picture, kind="f16")
    product = builder.fresh((count, hidden), builder.view(columns, 3 * patch * patch, count), builder.view(kernel, 3 * patch * patch, hidden))
    turned = builder.cont(builder.view(builder.view(product, side, side, 1, hidden), side, side, hidden, plain=False))
    node = builder.cont(builder.view(builder.view(turned, count, hidden), hidden, count, plain=False))
    if builder.present("v.patch_embd.bias"):
        node = builder.same(node)
    return builder.same(node) if builder.present("v.position_embd.weight") else node


def _transformer(builder: Builder, node: Node, count: int) -> Node:
    header = builder.header
    hidden, heads = node.shape[0], header.number("vision.attention.head_count", 1)
    state = builder.view(node, hidden, count)
    if builder.present("v.pre_ln.weight"):
        state = builder.norm(state, "v.pre_ln", "layer")
    for layer in range(header.number("vision.block_count")):
        name = f"v.blk.{layer}."
        normed = builder.norm(state, f"{name}ln1", "layer")
        parts = [builder.view(builder.biased(f"{name}attn_{one}", normed), hidden // heads, heads, count) for one in ("q", "k", "v")]
        for part in parts:
            builder.graph.expand(part)
        query, key, value = (builder.view(part, hidden // heads, count, heads, plain=False) for part in parts)
        key, value = builder.fresh(key.shape, key, kind="f16"), builder.fresh(value.shape, value, kind="f16")
        attended = builder.view(builder.fresh((hidden // heads, heads, count), query, key, value), hidden, count)
        middle = builder.same(builder.biased(f"{name}attn_out", attended), state)
        inner = builder.same(builder.biased(f"{name}ffn_up", builder.norm(middle, f"{name}ln2", "layer")))
        state = builder.same(middle, builder.biased(f"{name}ffn_down", inner))
    return builder.norm(state, "v.post_ln", "layer") if builder.present("v.post_ln.weight") else state


def _gemma(builder: Builder, node: Node, side: int, merge: int) -> Node:
    """Patches are averaged in squares, normed, and brought to the model's length."""
    hidden, pooled = node.shape[0], (side // merge) ** 2
    node = builder.cont(builder.view(node, side * side, hidden, plain=False), side, side, hidden)
    node = builder.fresh((side // merge, side // merge, hidden), node)
    node = builder.cont(builder.view(builder.view(node, pooled, hidden), hidden, pooled, plain=False))
    node = builder.same(builder.same(node))
    matrix = builder.header.tensors["mm.input_projection.weight"]
    turned = builder.view(builder.leaf("projection", *matrix.dimensions, kind="f16", external=True), *matrix.dimensions[::-1], plain=False)
    return builder.fresh((matrix.dimensions[0], pooled), builder.cont(turned), node)
