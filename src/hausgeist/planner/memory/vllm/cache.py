"""Blocks of keys, values and states: how layers share them, how many fit, and how many a request takes.

Source: vLLM's vllm/v1/kv_cache_interface.py (`FullAttentionSpec`, `SlidingWindowSpec`, `MLAAttentionSpec`, `MambaSpec`),
vllm/v1/core/kv_cache_utils.py (`get_kv_cache_groups`, `get_kv_cache_config_from_groups`, `get_max_concurrency_for_kv_cache_config`),
vllm/platforms/interface.py for blocks of models with states. Layers of a kind are dealt into groups of the same size; a block holds one page for
each layer of a group.
"""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass
from typing import Final, NamedTuple

from hausgeist.planner.memory.cache import state_widths
from hausgeist.planner.memory.header import Header
from hausgeist.planner.memory.vllm.start import Start
from hausgeist.planner.memory.vllm.weights import kv_heads

__all__ = ["Layout", "layout"]

_STATES_32_BITS: Final = frozenset({"qwen35", "qwen35moe", "nemotron_h", "nemotron_h_moe"})
_UNHYBRID: Final = frozenset({"llama4"})
"""Attention in chunks is not given back by default."""
_PADDED: Final = 1.5
"""Up to so many times the layers of the rarest kind, groups are as large as the most frequent (`_get_kv_cache_groups_uniform_page_size`)."""


class _Kind(NamedTuple):
    """What layers store alike."""

    token: int
    """Bytes per token; 0: a state."""
    window: int = 0
    state: int = 0


class _Group(NamedTuple):
    kind: _Kind
    block: int
    """Tokens."""
    layers: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Layout:
    """Groups of layers, and a block's bytes."""

    groups: tuple[_Group, ...]
    page: int
    """Bytes of one layer in a block; 0: each layer has its own, and there is one group."""
    held: int = 1
    """Blocks that a state takes."""

    @property
    def block(self) -> int:
        """Tokens of the smallest block."""
        return min((group.block for group in self.groups), default=0)

    def bytes_of_block(self, own: range) -> int:
        """Of all layers of a stage."""
        if not self.page:
            return sum(group.kind.token * group.block for group in self.groups if group.layers[0] in own)
        counts = [sum(layer in own for layer in group.layers) for group in self.groups]
        return self.page * max(counts, default=0)

    def blocks_of_request(self, context: int, step: int) -> int:
        """Most blocks that one request of `context` tokens takes, read in steps of `step`."""
        total = 0
        for group in self.groups if self.page else self.groups[:1]:
            if not group.kind.token:
                total += self.held
            elif group.kind.window:
                total += -(-min(group.kind.window - 1 + step, context) // group.block) + 1
            else:
                total += -(-context // group.block)
        return total

    @property
    def printed_groups(self) -> int:
        """By which v0.19 and v0.20 divide blocks when they print how many tokens there are; later ones print `Memory.tokens`."""
        return len(self.groups) if self.page else 1


def layout(header: Header, start: Start) -> Layout:
    """The same for all stages: kinds are counted over the whole model."""
    kinds: defaultdict[_Kind, list[int]] = defaultdict(list)
    for layer in range(header.layers):
        for kind in _kinds(header, start, layer):
            kinds[kind].append(layer)
    held = 2 if start.prefix_caching else 1
    block = start.block
    states = [kind.state for kind in kinds if kind.state]
    tokens = [kind.token for kind in kinds if kind.token]
    if states and tokens:
        # A block of attention holds at least as many bytes as a state.
        block = max(block, -(-max(states) // (16 * max(tokens))) * 16)
    if len(kinds) > 1 and not states and not any(kind.window for kind in kinds):
        return Layout(tuple(_Group(kind, block, (layer,)) for kind, layers in kinds.items() for layer in layers), 0)
    page = max((kind.token * block or kind.state for kind in kinds), default=0)
    size = _group_size([len(layers) for layers in kinds.values()])
    groups = []
    for kind, layers in kinds.items():
        count = -(-len(layers) // size)
        tokens_of = block * max(1, page // (kind.token * block)) if kind.token else block if tokens else start.context
        groups += [_Group(kind, tokens_of, tuple(layers[number::count])) for number in range(count)]
    return Layout(tuple(groups), page, held)


def _group_size(counts: list[int]) -> int:
    least, most = min(counts, default=1), max(counts, default=1)
    return most if most < least * _PADDED else least


def _kinds(header: Header, start: Start, layer: int) -> list[_Kind]:
    """What a layer stores: nothing, keys and values, a state, or two of these."""
    found = []
    ranks, width = start.tensor_parallel, 1 if start.cache_type == "fp8" else 2
    beside = header.architecture == "falcon-h1"
    if header.recurrent[layer]:
        convolution, state = state_widths(header)
        wide = start.state_type == "f32" or (start.state_type == "auto" and header.architecture in _STATES_32_BITS)
        found.append(_Kind(0, state=(2 * convolution + (4 if wide else 2) * state) // ranks))
    if header.cacheless or (header.recurrent[layer] and not beside) or layer >= header.cached_layers or not header.kv_heads[layer]:
        return found
    if header.latent:
        index = header.number("attention.indexer.key_length")
        found.append(_Kind(656 if index and width == 1 else width * header.key_length(layer)))
        if index:
            found.append(_Kind(index + 4))
        return found
    window = header.window if start.hybrid and header.windowed[layer] and header.architecture not in _UNHYBRID else 0
    found.append(_Kind(width * kv_heads(header, layer, ranks) * (header.key_length(layer) + header.value_length(layer)), window))
    return found
