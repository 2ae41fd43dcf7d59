"""What one step needs beside weights and cache: vLLM runs its largest step once, with made-up tokens, and takes the peak.

Source: vLLM's vllm/v1/worker/gpu_model_runner.py (`profile_run`, `_dummy_run`, `_dummy_sampler_run`), vllm/v1/sample/sampler.py and
ops/topk_topp_sampler.py (`forward_native`, `random_sample`), ops/topk_topp_triton.py (v0.17 on; before, sorting took three times as much),
layers/fused_moe/fused_moe.py (`TritonExperts.workspace_shapes`), layers/attention/mla_attention.py (`determine_chunked_prefill_workspace_size`).
"""

from __future__ import annotations

from typing import Final

from hausgeist.planner.memory.header import Header
from hausgeist.planner.memory.vllm.start import Card, Start
from hausgeist.planner.memory.vllm.weights import stages

__all__ = ["graph_bytes", "peak_bytes"]

_PER_LOGIT: Final = 2 + 4 + 4 + 4
"""Bytes: the logits as the model makes them and in 32 bits, probabilities, and the noise that they are divided by to draw one."""
_PER_GRAPH: Final = 3_900_000
_PER_GRAPH_AND_LAYER: Final = 174_000
"""Bytes in the driver, which no source tells: fitted to `CUDA graph pool memory` of 25 dense models under v0.19."""


def peak_bytes(header: Header, start: Start, card: Card, stage: int = 0) -> int:
    """The larger of a way through the layers and of drawing tokens, and what stays around both."""
    tokens, last = start.tokens(card), stage == start.pipeline_parallel - 1
    kept = card.workspace_bytes + _experts(header, start, tokens)
    if stage:
        kept += 2 * 2 * tokens * header.hidden  # what comes from the stage before: state and residual
    if start.encoder and stage == 0:
        kept += 2 * tokens * header.hidden
    return kept + max(_forward(header, start, card, stage), _sampling(header, start, card) if last else 0)


def _sampling(header: Header, start: Start, card: Card) -> int:
    """Each rank has the logits of all tokens of the vocabulary, gathered."""
    requests, hidden = start.requests(card), header.hidden
    states = 2 * hidden * (start.tokens(card) + 2 * requests)
    return states + requests * header.vocabulary * _PER_LOGIT + 4 * card.multiprocessors * header.vocabulary


def _forward(header: Header, start: Start, card: Card, stage: int) -> int:
    """The widest layer: what goes through the network, the result of attention, the residual before and after, and its norm."""
    tokens, ranks = start.tokens(card), start.tensor_parallel
    widest = max(_inner(header, layer) for layer in stages(header.layers, start.pipeline_parallel)[stage])
    return 2 * (4 * tokens * header.hidden + max(3 * tokens * widest // ranks, _latent(header, start, card)))


def _inner(header: Header, layer: int) -> int:
    """Length of the dense network's inner vector; of shared experts where there is no other."""
    for name in ("ffn_down.weight", "ffn_down_shexp.weight"):
        found = header.tensors.get(f"blk.{layer}.{name}")
        if found is not None:
            return found.dimensions[0]
    return 0


def _latent(header: Header, start: Start, card: Card) -> int:
    """Numbers: keys and values of what was read before, unfolded for a part of the context (MLA)."""
    if not header.latent:
        return 0
    requests = start.requests(card)
    part = max(min(max(8 * start.context, 4 * requests * start.block), 64 * 1024), requests * start.block)
    each = header.number("attention.key_length_mla") - header.number("rope.dimension_count") + header.number("attention.value_length_mla")
    return part * header.heads[0] // start.tensor_parallel * each


def _experts(header: Header, start: Start, tokens: int) -> int:
    """Two buffers that all layers share and that stay: for what goes into both halves of the experts."""
    if start.precision == "mxfp4":
        return 0
    widest = 0
    for layer in range(header.layers):
        down = header.tensors.get(f"blk.{layer}.ffn_down_exps.weight")
        if down is not None:
            inner, hidden = down.dimensions[0] // start.tensor_parallel, down.dimensions[1]
            used = header.per_layer("expert_used_count")[layer]
            widest = max(widest, used * (max(inner, hidden) + max(2 * inner, hidden)))
    return 2 * tokens * widest


def graph_bytes(header: Header, start: Start, card: Card, stage: int = 0) -> int:
    """Of captured CUDA graphs: one for each size of a step, in pieces, and one more, whole, for each that only continues answers."""
    if not start.graphs:
        return 0
    largest = min(start.tokens(card), 2 * start.requests(card), 512)
    sizes: list[int] = [1, 2, 4, *range(8, 257, 8), *range(272, largest + 1, 16)]
    count = sum(size <= largest for size in sizes) + sum(size <= min(largest, start.requests(card)) for size in sizes)
    layers = len(stages(header.layers, start.pipeline_parallel)[stage])
    return count * (_PER_GRAPH + _PER_GRAPH_AND_LAYER * layers)
