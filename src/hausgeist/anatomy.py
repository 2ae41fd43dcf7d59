"""What a model is made of, to the last number that memory needs, and the list of its tensors: values and arithmetic only, no I/O.

`Anatomy` describes the weights as files hold them (names of tensors as in GGUF); how many bytes a precision makes of them is not decided here.
The formulas follow the tensors that llama.cpp loads (src/llama-model.cpp) and transformers builds (models/*/modeling_*.py).
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal, NamedTuple, TypeVar

__all__ = [
    "Anatomy",
    "Compressed",
    "Encoder",
    "Experts",
    "Latent",
    "Recurrent",
    "Tensor",
    "active_parameters",
    "encoder_tensors",
    "parameters",
    "per_layer",
    "predictor_tensors",
    "tensors",
]

Kind = Literal["mamba", "mamba2", "delta", "kda", "rwkv6", "rwkv7", "convolution"]
T = TypeVar("T")


class Tensor(NamedTuple):
    """`rows` vectors of `length` numbers, `copies` times (once per expert). A vector has one row."""

    name: str
    """As in GGUF, without layer and suffix: attn_q, ffn_down_exps, token_embd."""
    layer: int
    """-1: belongs to no layer."""
    length: int
    rows: int = 1
    copies: int = 1

    @property
    def elements(self) -> int:
        return self.length * self.rows * self.copies


@dataclass(frozen=True, slots=True, kw_only=True)
class Experts:
    """A mixture of experts in place of one feed-forward network."""

    count: int
    used: int
    """Of them, per token; shared ones not counted."""
    ffn: int
    """Inner length of one expert."""
    width: int = 0
    """Length of the vector that experts work on; 0: hidden length. Shared ones always work on the hidden length."""
    shared: int = 0
    """Inner length of all experts that every token passes, together."""
    gated_shared: bool = False
    """The shared expert has a gate of its own."""
    first: int = 0
    """Layers before this one are dense."""
    every: int = 1
    """Of the rest, each n-th layer has experts, the last of each n."""
    beside: bool = False
    """The dense network of the layer stays beside the experts."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Latent:
    """Multi-head latent attention: keys and values are kept as one short vector (DeepSeek-V2)."""

    kv_rank: int
    rope: int
    nope: int
    value: int
    q_rank: int = 0
    """0: queries are not compressed."""
    index_heads: int = 0
    """Of the small attention that chooses which tokens the large one sees (DeepSeek-V3.2); 0: it sees all."""
    index_length: int = 0
    """Length of its one key per token, which is kept as well."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Compressed:
    """Attention to the last tokens, and to one vector for each few of all before (DeepSeek-V4). Keys are values, and all heads share them."""

    q_rank: int
    ratios: tuple[int, ...]
    """Per layer: tokens that one vector stands for; 0: the layer sees the last tokens only. At the smallest an index chooses among the vectors."""
    index_heads: int
    index_length: int
    output_groups: int
    """Heads go out in groups, each through a matrix of its own ..."""
    output_rank: int
    """... to this length, and all together through another."""
    streams: int
    """Copies of the state between layers, mixed anew before attention and before the network."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Recurrent:
    """Layers whose state does not grow with the context."""

    kind: Kind
    layers: tuple[int, ...]
    inner: int
    """Length of the inner state's rows over all heads; delta, kda: of the values."""
    state: int = 0
    """Numbers kept per row; delta, kda: length of one key; rwkv: of one head."""
    kernel: int = 4
    groups: int = 1
    """mamba2: groups; delta: heads of the keys."""
    heads: int = 0
    """mamba2: heads; delta: heads of the values."""
    rank: int = 0
    """mamba: length of the time step's projection; kda: of those of decay and gate."""
    ranks: tuple[int, ...] = ()
    """rwkv6: of the mixture of tokens, of decay; rwkv7: of decay, of the rate of learning, of the mixture of values, of the gate."""
    beside: bool = False
    """The layer has attention as well, in parallel."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Encoder:
    """What turns images or sound into embeddings, kept in a file of its own (the projector)."""

    layers: int
    hidden: int
    ffn: int
    patch: int
    """Numbers that make one patch; for sound, one step of both convolutions."""
    positions: int = 0
    gated: bool = False
    conformer: bool = False
    """A layer has two feed-forward networks, a convolution between them, and a matrix for relative positions."""
    bridge: tuple[tuple[int, int], ...] = ()
    """The matrices between encoder and model: length in, length out."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Anatomy:
    """A transformer and what grew out of it. What differs per layer is a tuple with one value per layer, else with one for all."""

    architecture: str
    """As GGUF names it: llama, qwen3moe, gemma3."""
    layers: int
    hidden: int
    vocabulary: int
    heads: int = 0
    kv_heads: tuple[int, ...] = (0,)
    key_length: tuple[int, ...] = (0,)
    value_length: tuple[int, ...] = (0,)
    ffn: tuple[int, ...] = (0,)
    gated: bool = True
    """The feed-forward network has three matrices, not two."""
    fused: bool = False
    """Query, key and value are one matrix in the file."""
    tied: bool = False
    """The output uses the matrix of the token embeddings."""
    qkv_bias: bool = False
    bias: bool = False
    """All other matrices of a layer have a bias, and so have the norms."""
    norms: int = 2
    """Of hidden length, per layer."""
    qk_norm: Literal["", "head", "full"] = ""
    output_gate: bool = False
    """Attention computes a gate along with the query."""
    values_are_keys: tuple[int, ...] = ()
    """Layers that have no matrix for values."""
    shared_kv: int = 0
    """The last layers, in number, that use keys and values of earlier ones in memory."""
    unused_kv: bool = False
    """They have matrices for keys and values all the same (Gemma 3n and 4)."""
    positions: int = 0
    """Learned positions."""
    types: int = 0
    """Learned kinds of tokens (BERT)."""
    input_norm: bool = False
    output_norm: bool = True
    per_layer_input: int = 0
    """Length of the embedding that each layer adds (Gemma 3n and 4)."""
    streams: int = 0
    """Copies of the state between layers, of which each layer updates one (AltUp, Gemma 3n)."""
    laurel: int = 0
    """Rank of the learned way around a layer (Gemma 3n)."""
    cross: int = 0
    """Length of the encoder's vectors that layers attend to; 0: none does."""
    cross_layers: tuple[int, ...] = ()
    """Layers that attend to them in place of the text (Llama 3.2 Vision); none named: all do so beside it (Whisper)."""
    window: int = 0
    """Tokens that a windowed layer looks back; 0: no layer is windowed."""
    full_every: int = 0
    """With a window: each n-th layer, the last of each n, sees the whole context; 0: none does."""
    full_layers: tuple[int, ...] = ()
    """The same where there is no such rule."""
    no_attention: tuple[int, ...] = ()
    """Layers with neither attention nor recurrence."""
    no_ffn: tuple[int, ...] = ()
    dense: tuple[tuple[int, int], ...] = ()
    """Matrices behind the last layer, of embedders and rerankers: length in, length out."""
    predictors: int = 0
    """Layers more that guess a token ahead (multi-token prediction). They count as parameters; most files leave them out."""
    predictor_embeds: bool = False
    """They have token embeddings and an output of their own."""
    experts: Experts | None = None
    latent: Latent | None = None
    compressed: Compressed | None = None
    recurrent: Recurrent | None = None
    encoder: Encoder | None = None
    """Of images."""
    listener: Encoder | None = None
    """Of sound."""

    def windowed(self, layer: int) -> bool:
        """Whether a layer keeps no more than `window` tokens."""
        if not self.window or layer in self.full_layers:
            return False
        return not (self.full_every and layer % self.full_every == self.full_every - 1)

    def attends(self, layer: int) -> bool:
        """Whether a layer keeps keys and values."""
        if not self.heads or layer in self.no_attention or layer in self.cross_layers:
            return False
        return self.recurrent is None or self.recurrent.beside or layer not in self.recurrent.layers

    def has_experts(self, layer: int) -> bool:
        experts = self.experts
        return experts is not None and layer >= experts.first and (layer - experts.first) % experts.every == experts.every - 1


def per_layer(values: tuple[T, ...], layer: int) -> T:
    return values[layer] if len(values) > 1 else values[0]


def parameters(anatomy: Anatomy) -> int:
    """How many numbers the model has as it was published: with the encoder of images or sound, and with layers that predict ahead."""
    return sum(tensor.elements for part in (tensors, encoder_tensors, predictor_tensors) for tensor in part(anatomy))


def active_parameters(anatomy: Anatomy) -> int:
    """How many of the language model's take part in one token; the token embeddings count as long as the output does not use them too."""
    used = anatomy.experts.used if anatomy.experts else 0
    return sum(tensor.elements if tensor.copies == 1 else tensor.elements // tensor.copies * used for tensor in tensors(anatomy))


def tensors(anatomy: Anatomy) -> Iterator[Tensor]:
    """All tensors of the language model, in no promised order."""
    hidden = anatomy.hidden
    yield Tensor("token_embd", -1, hidden, anatomy.vocabulary)
    if not anatomy.tied:
        yield Tensor("output", -1, hidden, anatomy.vocabulary)
    if anatomy.positions:
        yield Tensor("position_embd", -1, hidden, anatomy.positions)
    if anatomy.types:
        yield Tensor("token_types", -1, hidden, anatomy.types)
    for wanted, name in ((anatomy.input_norm, "token_embd_norm"), (anatomy.output_norm, "output_norm")):
        if wanted:
            yield Tensor(name, -1, hidden * (2 if anatomy.bias else 1))
    for number, (length, rows) in enumerate(anatomy.dense):
        yield Tensor(f"dense_{number}", -1, length, rows)
    if anatomy.per_layer_input:
        width = anatomy.per_layer_input * anatomy.layers
        yield Tensor("per_layer_token_embd", -1, width, anatomy.vocabulary)
        yield Tensor("per_layer_model_proj", -1, hidden, width)
    if anatomy.streams:
        yield Tensor("altup_proj", -1, hidden, hidden, 2 * (anatomy.streams - 1))
    for layer in range(anatomy.layers):
        yield from _layer(anatomy, layer)


def predictor_tensors(anatomy: Anatomy) -> Iterator[Tensor]:
    """Each is one more layer like the last, and a matrix that joins the state with the token."""
    for number in range(anatomy.predictors):
        yield Tensor("nextn.eh_proj", anatomy.layers + number, 2 * anatomy.hidden, anatomy.hidden)
        if anatomy.predictor_embeds:
            yield Tensor("nextn.embed_tokens", anatomy.layers + number, anatomy.hidden, 2 * anatomy.vocabulary)
        yield from _layer(anatomy, anatomy.layers - 1)


def _layer(anatomy: Anatomy, layer: int) -> Iterator[Tensor]:
    hidden = anatomy.hidden
    yield Tensor("norm", layer, hidden * anatomy.norms * (2 if anatomy.bias else 1))
    if anatomy.recurrent is not None and layer in anatomy.recurrent.layers:
        yield from _recurrent(anatomy, anatomy.recurrent, layer)
    if anatomy.attends(layer):
        if anatomy.compressed:
            yield from _compressed(anatomy, anatomy.compressed, layer)
        else:
            yield from _latent(anatomy, anatomy.latent, layer) if anatomy.latent else _attention(anatomy, layer)
    if layer in anatomy.cross_layers or (anatomy.cross and not anatomy.cross_layers):
        yield from _cross(anatomy, layer)
    if layer not in anatomy.no_ffn:
        yield from _feed_forward(anatomy, layer)
    if anatomy.laurel:
        yield Tensor("laurel_l", layer, hidden, anatomy.laurel)
        yield Tensor("laurel_r", layer, anatomy.laurel, hidden)
    if anatomy.streams:
        yield Tensor("altup_router", layer, hidden, anatomy.streams + 2)
        yield Tensor("altup_coef", layer, anatomy.streams, anatomy.streams * (anatomy.streams + 1))
    if anatomy.per_layer_input:
        yield Tensor("inp_gate", layer, hidden, anatomy.per_layer_input)
        yield Tensor("proj", layer, anatomy.per_layer_input, hidden)


def _attention(anatomy: Anatomy, layer: int) -> Iterator[Tensor]:
    hidden, heads = anatomy.hidden, anatomy.heads
    kv_heads, key, value = (per_layer(values, layer) for values in (anatomy.kv_heads, anatomy.key_length, anatomy.value_length))
    query_rows, key_rows, value_rows = heads * key * (2 if anatomy.output_gate else 1), kv_heads * key, kv_heads * value
    if layer >= anatomy.layers - anatomy.shared_kv and not anatomy.unused_kv:
        key_rows = value_rows = 0
    elif layer in anatomy.values_are_keys:
        value_rows = 0
    if anatomy.fused:
        yield Tensor("attn_qkv", layer, hidden, query_rows + key_rows + value_rows)
    else:
        yield Tensor("attn_q", layer, hidden, query_rows)
        yield Tensor("attn_k", layer, hidden, key_rows)
        yield Tensor("attn_v", layer, hidden, value_rows)
    yield Tensor("attn_output", layer, heads * value, hidden)
    if anatomy.qkv_bias:
        yield Tensor("attn_qkv.bias", layer, query_rows + key_rows + value_rows)
    if anatomy.bias:
        yield Tensor("attn_output.bias", layer, hidden)
    if anatomy.qk_norm == "head":
        yield Tensor("attn_qk_norm", layer, 2 * key)
    elif anatomy.qk_norm == "full":
        yield Tensor("attn_qk_norm", layer, query_rows + key_rows)


def _cross(anatomy: Anatomy, layer: int) -> Iterator[Tensor]:
    """Attention to what the encoder made: its keys and values are computed once, and do not grow with the text."""
    kv_heads, key, value = (per_layer(values, layer) for values in (anatomy.kv_heads, anatomy.key_length, anatomy.value_length))
    yield Tensor("cross_attn_q", layer, anatomy.hidden, anatomy.heads * key)
    yield Tensor("cross_attn_k", layer, anatomy.cross, kv_heads * key)
    yield Tensor("cross_attn_v", layer, anatomy.cross, kv_heads * value)
    yield Tensor("cross_attn_output", layer, anatomy.heads * value, anatomy.hidden)
    if anatomy.bias:
        yield Tensor("cross_attn.bias", layer, anatomy.heads * key + kv_heads * value + anatomy.hidden)


def _latent(anatomy: Anatomy, latent: Latent, layer: int) -> Iterator[Tensor]:
    hidden, query_rows = anatomy.hidden, anatomy.heads * (latent.nope + latent.rope)
    if latent.q_rank:
        yield Tensor("attn_q_a", layer, hidden, latent.q_rank)
        yield Tensor("attn_q_a_norm", layer, latent.q_rank)
        yield Tensor("attn_q_b", layer, latent.q_rank, query_rows)
    else:
        yield Tensor("attn_q", layer, hidden, query_rows)
    yield Tensor("attn_kv_a_mqa", layer, hidden, latent.kv_rank + latent.rope)
    yield Tensor("attn_kv_a_norm", layer, latent.kv_rank)
    # Files hold the two halves of kv_b apart; the key's half lies transposed.
    yield Tensor("attn_k_b", layer, latent.nope, latent.kv_rank * anatomy.heads)
    yield Tensor("attn_v_b", layer, latent.kv_rank, latent.value * anatomy.heads)
    yield Tensor("attn_output", layer, anatomy.heads * latent.value, hidden)
    if latent.index_heads:
        yield Tensor("indexer.attn_q_b", layer, latent.q_rank, latent.index_heads * latent.index_length)
        yield Tensor("indexer.attn_k", layer, hidden, latent.index_length)
        yield Tensor("indexer.proj", layer, hidden, latent.index_heads)
        yield Tensor("indexer.k_norm", layer, 2 * latent.index_length)


def _compressed(anatomy: Anatomy, cell: Compressed, layer: int) -> Iterator[Tensor]:
    hidden, key = anatomy.hidden, per_layer(anatomy.key_length, layer)
    yield Tensor("attn_q_a", layer, hidden, cell.q_rank)
    yield Tensor("attn_q_a_norm", layer, cell.q_rank)
    yield Tensor("attn_q_b", layer, cell.q_rank, anatomy.heads * key)
    yield Tensor("attn_kv", layer, hidden, key)
    yield Tensor("attn_output_a", layer, anatomy.heads * key // cell.output_groups, cell.output_rank * cell.output_groups)
    yield Tensor("attn_output_b", layer, cell.output_rank * cell.output_groups, hidden)
    # Each stream gives to each, and twice more: what goes in, and what comes out.
    yield Tensor("hc_fn", layer, cell.streams * hidden, 2 * cell.streams * (cell.streams + 2))
    if not (ratio := cell.ratios[layer]):
        return
    indexed = ratio == min(filter(None, cell.ratios))
    # Where an index chooses, neighbouring pieces overlap: each has two vectors.
    length = key * (2 if indexed else 1)
    yield Tensor("attn_compressor", layer, hidden, 2 * length)
    yield Tensor("attn_compressor_ape", layer, length * ratio + key)
    if indexed:
        yield Tensor("indexer.attn_q_b", layer, cell.q_rank, cell.index_heads * cell.index_length)
        yield Tensor("indexer.proj", layer, hidden, cell.index_heads)
        yield Tensor("indexer.compressor", layer, hidden, 4 * cell.index_length)
        yield Tensor("indexer.compressor_ape", layer, cell.index_length * (2 * ratio + 1))


def _feed_forward(anatomy: Anatomy, layer: int) -> Iterator[Tensor]:
    hidden, experts = anatomy.hidden, anatomy.experts
    expert_layer = experts is not None and anatomy.has_experts(layer)
    if experts is not None and expert_layer:
        yield Tensor("ffn_gate_inp", layer, hidden, experts.count)
        if experts.width:
            yield Tensor("ffn_latent", layer, hidden, 2 * experts.width)
        yield from _network(anatomy, layer, "_exps", experts.width or hidden, experts.ffn, experts.count)
        if experts.shared:
            yield from _network(anatomy, layer, "_shexp", hidden, experts.shared, 1)
        if experts.gated_shared:
            yield Tensor("ffn_gate_inp_shexp", layer, hidden)
    inner = per_layer(anatomy.ffn, layer)
    if anatomy.recurrent is not None and anatomy.recurrent.kind.startswith("rwkv"):
        yield Tensor("channel_mix_key", layer, hidden, inner)
        yield Tensor("channel_mix_value", layer, inner, hidden)
        if anatomy.recurrent.kind == "rwkv6":
            yield Tensor("channel_mix_receptance", layer, hidden, hidden)
    elif inner and (not expert_layer or (experts is not None and experts.beside)):
        yield from _network(anatomy, layer, "", hidden, inner, 1)


def _network(anatomy: Anatomy, layer: int, suffix: str, width: int, inner: int, copies: int) -> Iterator[Tensor]:
    if anatomy.gated:
        yield Tensor(f"ffn_gate{suffix}", layer, width, inner, copies)
    yield Tensor(f"ffn_up{suffix}", layer, width, inner, copies)
    yield Tensor(f"ffn_down{suffix}", layer, inner, width, copies)
    if anatomy.bias:
        yield Tensor(f"ffn{suffix}.bias", layer, inner * (2 if anatomy.gated and copies > 1 else 1) + width, 1, copies)


def _recurrent(anatomy: Anatomy, cell: Recurrent, layer: int) -> Iterator[Tensor]:
    hidden, inner = anatomy.hidden, cell.inner
    if cell.kind == "convolution":
        yield Tensor("shortconv.in_proj", layer, hidden, 3 * hidden)
        yield Tensor("shortconv.conv", layer, cell.kernel, hidden)
        yield Tensor("shortconv.out_proj", layer, hidden, hidden)
        return
    if cell.kind == "kda":
        yield from _kda(hidden, cell, layer)
        return
    if cell.kind in ("rwkv6", "rwkv7"):
        yield from _rwkv(hidden, cell, layer)
        return
    if cell.kind == "mamba":
        mixed, rows = inner, 2 * inner
        yield Tensor("ssm_x", layer, inner, cell.rank + 2 * cell.state)
        yield Tensor("ssm_dt", layer, cell.rank, inner)
        yield Tensor("ssm_a", layer, cell.state, inner)
        yield Tensor("ssm_d", layer, 2 * inner)
    elif cell.kind == "mamba2":
        mixed = inner + 2 * cell.groups * cell.state
        rows = inner + mixed + cell.heads
        yield Tensor("ssm_a", layer, 3 * cell.heads + inner)
    else:
        keys = cell.groups * cell.state
        mixed, rows = 2 * keys + inner, 2 * keys + 2 * inner
        yield Tensor("ssm_ba", layer, hidden, 2 * cell.heads)
        yield Tensor("ssm_a", layer, 2 * cell.heads + inner // cell.heads)
    yield Tensor("ssm_in", layer, hidden, rows)
    yield Tensor("ssm_conv1d", layer, cell.kernel, mixed)
    yield Tensor("ssm_out", layer, inner, hidden)


def _kda(hidden: int, cell: Recurrent, layer: int) -> Iterator[Tensor]:
    """Delta attention whose decay differs per number of a key (Kimi Linear)."""
    keys = cell.heads * cell.state
    for name, rows in (("attn_q", keys), ("attn_k", keys), ("attn_v", cell.inner)):
        yield Tensor(name, layer, hidden, rows)
    yield Tensor("ssm_conv1d", layer, cell.kernel, 2 * keys + cell.inner)
    for name, rows in (("ssm_f", keys), ("ssm_g", cell.inner)):
        yield Tensor(f"{name}_a", layer, hidden, cell.rank)
        yield Tensor(f"{name}_b", layer, cell.rank, rows)
    yield Tensor("ssm_beta", layer, hidden, cell.heads)
    yield Tensor("ssm_a", layer, cell.heads + keys + cell.inner // cell.heads)
    yield Tensor("attn_output", layer, cell.inner, hidden)


def _rwkv(hidden: int, cell: Recurrent, layer: int) -> Iterator[Tensor]:
    """Time mixing; channel mixing takes the place of the feed-forward network. Vectors are counted together."""
    for name in ("key", "value", "receptance", "output"):
        yield Tensor(f"time_mix_{name}", layer, hidden, hidden)
    if cell.kind == "rwkv6":
        mix, decay = cell.ranks
        yield Tensor("time_mix_gate", layer, hidden, hidden)
        yield Tensor("time_mix_w1", layer, hidden, 5 * mix)
        yield Tensor("time_mix_w2", layer, mix, 5 * hidden)
        yield Tensor("time_mix_decay_w1", layer, hidden, decay)
        yield Tensor("time_mix_decay_w2", layer, decay, hidden)
        # Six mixtures, first, decay, two of the norm within, two of channel mixing.
        yield Tensor("time_mix", layer, 12 * hidden)
        return
    for name, rank in zip("wavg", cell.ranks, strict=True):
        if name != "v" or layer:
            yield Tensor(f"time_mix_{name}1", layer, hidden, rank)
            yield Tensor(f"time_mix_{name}2", layer, rank, hidden)
    # Six mixtures, three beginnings, three of keys, two of the norm within, one of channel mixing.
    yield Tensor("time_mix", layer, 15 * hidden)


def encoder_tensors(anatomy: Anatomy) -> Iterator[Tensor]:
    """The tensors of the projector's file."""
    for prefix, encoder in (("v", anatomy.encoder), ("a", anatomy.listener)):
        if encoder is not None:
            yield from _encoder(encoder, prefix)


def _encoder(encoder: Encoder, prefix: str) -> Iterator[Tensor]:
    hidden = encoder.hidden
    yield Tensor(f"{prefix}.patch_embd", -1, encoder.patch, hidden)
    yield Tensor(f"{prefix}.position_embd", -1, hidden, encoder.positions)
    for layer in range(encoder.layers):
        yield Tensor(f"{prefix}.attn", layer, hidden, (5 if encoder.conformer else 4) * hidden)
        yield Tensor(f"{prefix}.ffn", layer, hidden, (3 if encoder.gated else 2) * encoder.ffn, 2 if encoder.conformer else 1)
        if encoder.conformer:
            yield Tensor(f"{prefix}.conv", layer, hidden, 3 * hidden)
        yield Tensor(f"{prefix}.norm", layer, 9 * hidden + encoder.ffn)
    for number, (length, rows) in enumerate(encoder.bridge):
        yield Tensor(f"mm.{prefix}.{number}", -1, length, rows)
