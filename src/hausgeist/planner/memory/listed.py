"""All tensors of a model as its file has them, by their names in GGUF: what `load_arch_tensors` in llama.cpp's src/models/*.cpp demands."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from hausgeist import anatomy as anatomies
from hausgeist.anatomy import Anatomy, Experts, Latent, Recurrent, per_layer
from hausgeist.planner.memory.header import Tensor

__all__ = ["Lister", "Types"]

Types = Callable[[anatomies.Tensor], str]
"""Which type a matrix has in the file, by its name without layer and suffix, its layer and its sizes."""

_PARALLEL = {"falcon", "phi2", "command-r", "cohere2"}
_NO_ATTENTION_NORM = {"olmo2", "exaone4", "bert", "nomic-bert", "jina-bert-v2", "olmo"}
_BIASED_CHOICE = {"lfm2moe", "nemotron_h_moe", "glm4moe", "minimax-m2", "afmoe", "bailingmoe2", "deepseek32", "glm-dsa", "kimi-linear"}
"""Experts are chosen by scores with a bias."""
_V3 = 256
"""Experts of DeepSeek-V3, from which on they are chosen with a bias."""


class Lister:
    """All tensors, by their names in the file."""

    def __init__(self, anatomy: Anatomy, types: Types) -> None:
        self.a = anatomy
        self._types = types

    def __iter__(self) -> Iterator[Tensor]:
        a, hidden = self.a, self.a.hidden
        yield self._matrix("token_embd", -1, hidden, a.vocabulary)
        if not a.tied:
            yield self._matrix("output", -1, hidden, a.vocabulary)
        if a.architecture == "phi2":
            yield Tensor("output.bias", (a.vocabulary,), "F32")
        if a.positions:
            yield self._matrix("position_embd", -1, hidden, a.positions)
        if a.types:
            yield self._matrix("token_types", -1, hidden, a.types)
        if a.input_norm:
            yield from self._norm("token_embd_norm", bias=a.architecture != "modern-bert")
        if a.output_norm:
            name = "token_embd_norm" if a.architecture in ("lfm2", "lfm2moe") else "output_norm"
            yield from self._norm(name, bias=(a.bias and a.architecture != "gpt-oss") or a.architecture in ("falcon", "stablelm"))
        if a.architecture == "gemma4":
            yield Tensor("rope_freqs.weight", (max(a.key_length) // 2,), "F32")
        if a.per_layer_input:
            width = a.per_layer_input * a.layers
            yield self._matrix("per_layer_token_embd", -1, width, a.vocabulary)
            yield self._matrix("per_layer_model_proj", -1, hidden, width)
            yield Tensor("per_layer_proj_norm.weight", (a.per_layer_input,), "F32")
        if a.streams:
            for name in ("altup_proj", "altup_unembd_proj"):
                yield self._matrix("altup_proj", -1, hidden, hidden, a.streams - 1, file=name)
        for layer in range(a.layers):
            yield from self._layer(layer)

    def _matrix(self, name: str, layer: int, length: int, rows: int, copies: int = 1, *, file: str = "") -> Tensor:
        kind = self._types(anatomies.Tensor(name, layer, length, rows, copies))
        full = (f"blk.{layer}." if layer >= 0 else "") + (file or name) + ".weight"
        return Tensor(full, (length, rows) if copies == 1 else (length, rows, copies), kind)

    def _norm(self, name: str, length: int = 0, *, bias: bool = False) -> Iterator[Tensor]:
        yield Tensor(f"{name}.weight", (length or self.a.hidden,), "F32")
        if bias:
            yield Tensor(f"{name}.bias", (length or self.a.hidden,), "F32")

    def _layer(self, layer: int) -> Iterator[Tensor]:
        a, name, kind = self.a, f"blk.{layer}.", self.a.architecture
        biased = (a.bias and kind != "gpt-oss") or kind in ("falcon", "stablelm")
        encoder = kind in ("bert", "nomic-bert", "jina-bert-v2")
        if kind not in _NO_ATTENTION_NORM and (kind != "modern-bert" or layer):
            yield from self._norm(f"{name}attn_norm", bias=biased)
        if encoder:
            yield from self._norm(f"{name}attn_output_norm", bias=True)
            yield from self._norm(f"{name}layer_output_norm", bias=True)
        elif kind in ("gpt-oss", "qwen35", "qwen35moe", "qwen3next", "seed_oss", "glm4moe"):
            yield from self._norm(f"{name}post_attention_norm")
        elif kind not in _PARALLEL and kind not in ("mamba", "mamba2", "nemotron_h", "nemotron_h_moe", "olmo2", "exaone4", "olmo"):
            if kind == "falcon-h1":
                yield Tensor(f"{name}ffn_norm", (a.hidden,), "F32")
            else:
                yield from self._norm(f"{name}ffn_norm", bias=biased)
        if (a.norms >= 4 and kind != "stablelm") or kind in ("olmo2", "exaone4"):
            yield from self._norm(f"{name}post_attention_norm")
            yield from self._norm(f"{name}post_ffw_norm")
        cell = a.recurrent
        if cell is not None and layer in cell.layers:
            yield from self._state(cell, layer)
        if a.attends(layer):
            yield from self._latent(a.latent, layer) if a.latent is not None else self._attention(layer)
        if layer not in a.no_ffn:
            yield from self._network(layer)
        if a.per_layer_input:
            yield self._matrix("inp_gate", layer, a.hidden, a.per_layer_input)
            yield self._matrix("proj", layer, a.per_layer_input, a.hidden)
            yield from self._norm(f"{name}post_norm")
            if kind == "gemma4":
                yield Tensor(f"{name}layer_output_scale.weight", (1,), "F32")
        if a.streams:
            yield from self._copies(layer)

    def _copies(self, layer: int) -> Iterator[Tensor]:
        """AltUp and the way around of Gemma 3n."""
        a, name = self.a, f"blk.{layer}."
        yield self._matrix("laurel_l", layer, a.hidden, a.laurel)
        yield self._matrix("laurel_r", layer, a.laurel, a.hidden)
        for one in ("laurel_post_norm", "altup_router_norm", "altup_correct_scale"):
            yield from self._norm(name + one)
        yield Tensor(f"{name}altup_router.weight", (a.hidden, a.streams), "F32")
        yield Tensor(f"{name}altup_correct_coef.weight", (a.streams, a.streams), "F32")
        yield Tensor(f"{name}altup_predict_coef.weight", (a.streams, a.streams**2), "F32")

    def _attention(self, layer: int) -> Iterator[Tensor]:
        a, name, hidden = self.a, f"blk.{layer}.", self.a.hidden
        key, value, kv = per_layer(a.key_length, layer), per_layer(a.value_length, layer), per_layer(a.kv_heads, layer)
        apart = a.architecture == "afmoe"  # its gate is a matrix of its own
        query_rows = a.heads * key * (2 if a.output_gate and not apart else 1)
        rows = {"attn_q": query_rows, "attn_k": kv * key, "attn_v": kv * value}
        if layer in a.values_are_keys:
            del rows["attn_v"]
        if layer >= a.layers - a.shared_kv and not a.unused_kv:
            rows = {"attn_q": query_rows}
        if a.fused or a.architecture == "bailingmoe2":
            rows = {"attn_qkv": sum(rows.values())}
        if apart:
            rows["attn_gate"] = a.heads * value
        for one, count in rows.items():
            yield self._matrix(one, layer, hidden, count)
            if a.qkv_bias:
                yield Tensor(f"{name}{one}.bias", (count,), "F32")
        yield self._matrix("attn_output", layer, a.heads * value, hidden)
        if a.bias:
            yield Tensor(f"{name}attn_output.bias", (hidden,), "F32")
        if a.qk_norm:
            whole = a.qk_norm == "full"
            yield from self._norm(f"{name}attn_q_norm", a.heads * key if whole else key)
            if "attn_k" in rows or "attn_qkv" in rows:
                yield from self._norm(f"{name}attn_k_norm", kv * key if whole else key)
        if a.architecture == "gpt-oss":
            yield Tensor(f"{name}attn_sinks.weight", (a.heads,), "F32")

    def _latent(self, latent: Latent, layer: int) -> Iterator[Tensor]:
        a, name, hidden = self.a, f"blk.{layer}.", self.a.hidden
        length = latent.nope + latent.rope
        if latent.q_rank:
            yield self._matrix("attn_q_a", layer, hidden, latent.q_rank)
            yield from self._norm(f"{name}attn_q_a_norm", latent.q_rank)
            yield self._matrix("attn_q_b", layer, latent.q_rank, a.heads * length)
        else:
            yield self._matrix("attn_q", layer, hidden, a.heads * length)
        yield self._matrix("attn_kv_a_mqa", layer, hidden, latent.kv_rank + latent.rope)
        yield from self._norm(f"{name}attn_kv_a_norm", latent.kv_rank)
        yield self._matrix("attn_k_b", layer, latent.nope, latent.kv_rank, a.heads)
        yield self._matrix("attn_v_b", layer, latent.kv_rank, latent.value, a.heads)
        yield self._matrix("attn_output", layer, a.heads * latent.value, hidden)
        if latent.index_heads:
            yield self._matrix("indexer.attn_q_b", layer, latent.q_rank, latent.index_heads * latent.index_length)
            yield self._matrix("indexer.attn_k", layer, hidden, latent.index_length)
            yield self._matrix("indexer.proj", layer, hidden, latent.index_heads)
            yield from self._norm(f"{name}indexer.k_norm", latent.index_length, bias=True)

    def _network(self, layer: int) -> Iterator[Tensor]:
        a, name, hidden = self.a, f"blk.{layer}.", self.a.hidden
        experts = a.experts
        if experts is not None and a.has_experts(layer):
            yield from self._experts(experts, layer)
            if not experts.beside:
                return
        inner = per_layer(a.ffn, layer)
        joined = a.architecture in ("phi3", "glm4", "modern-bert")
        if a.gated and not joined:
            yield self._matrix("ffn_gate", layer, hidden, inner)
        yield self._matrix("ffn_up", layer, hidden, 2 * inner if joined else inner)
        yield self._matrix("ffn_down", layer, inner, hidden)
        if a.bias:
            yield Tensor(f"{name}ffn_up.bias", (inner,), "F32")
            yield Tensor(f"{name}ffn_down.bias", (hidden,), "F32")

    def _experts(self, experts: Experts, layer: int) -> Iterator[Tensor]:
        a, name, hidden = self.a, f"blk.{layer}.", self.a.hidden
        yield self._matrix("ffn_gate_inp", layer, hidden, experts.count)
        width = experts.width or hidden
        if experts.width:
            yield self._matrix("ffn_latent_down", layer, hidden, width)
            yield self._matrix("ffn_latent_up", layer, width, hidden)
        gate = ("ffn_gate",) if a.gated else ()
        for part in (*gate, "ffn_up", "ffn_down"):
            length, rows = (experts.ffn, width) if part == "ffn_down" else (width, experts.ffn)
            yield self._matrix(f"{part}_exps", layer, length, rows, experts.count)
            if a.bias:
                yield Tensor(f"{name}{part}_exps.bias", (rows, experts.count), "F32")
        if a.bias:
            yield Tensor(f"{name}ffn_gate_inp.bias", (experts.count,), "F32")
        if (a.architecture == "deepseek2" and experts.count >= _V3) or a.architecture in _BIASED_CHOICE:
            yield Tensor(f"{name}exp_probs_b.bias", (experts.count,), "F32")
        if experts.shared:
            for part in (*gate, "ffn_up", "ffn_down"):
                length, rows = (experts.shared, hidden) if part == "ffn_down" else (hidden, experts.shared)
                yield self._matrix(f"{part}_shexp", layer, length, rows)
            if experts.gated_shared:
                yield Tensor(f"{name}ffn_gate_inp_shexp.weight", (hidden,), "F32")
        if experts.beside:
            for one in ("post_ffw_norm_1", "pre_ffw_norm_2", "post_ffw_norm_2"):
                yield from self._norm(name + one)
            yield Tensor(f"{name}ffn_gate_inp.scale", (hidden,), "F32")

    def _state(self, cell: Recurrent, layer: int) -> Iterator[Tensor]:
        a, name, hidden, inner = self.a, f"blk.{layer}.", self.a.hidden, cell.inner
        if cell.kind == "convolution":
            yield self._matrix("shortconv.in_proj", layer, hidden, 3 * hidden)
            yield self._matrix("shortconv.out_proj", layer, hidden, hidden)
            yield Tensor(f"{name}shortconv.conv.weight", (cell.kernel, hidden), "F32")
        elif cell.kind == "mamba":
            yield self._matrix("ssm_in", layer, hidden, 2 * inner)
            yield self._matrix("ssm_x", layer, inner, cell.rank + 2 * cell.state)
            yield self._matrix("ssm_dt", layer, cell.rank, inner)
            yield self._matrix("ssm_out", layer, inner, hidden)
            for one, size in (("ssm_conv1d.weight", (cell.kernel, inner)), ("ssm_conv1d.bias", (inner,)), ("ssm_dt.bias", (inner,)),
                              ("ssm_a", (cell.state, inner)), ("ssm_d", (inner,))):  # fmt: skip
                yield Tensor(name + one, size, "F32")
            if a.architecture == "jamba":
                for one, length in (("ssm_dt_norm", cell.rank), ("ssm_b_norm", cell.state), ("ssm_c_norm", cell.state)):
                    yield from self._norm(name + one, length)
        elif cell.kind == "mamba2":
            mixed = inner + 2 * cell.groups * cell.state
            yield self._matrix("ssm_in", layer, hidden, inner + mixed + cell.heads)
            yield self._matrix("ssm_out", layer, inner, hidden)
            for one, size in (("ssm_conv1d.weight", (cell.kernel, mixed)), ("ssm_conv1d.bias", (mixed,)), ("ssm_dt.bias", (cell.heads,)),
                              ("ssm_a", (1, cell.heads)), ("ssm_d", (1, cell.heads)),
                              ("ssm_norm.weight", (inner // cell.groups, cell.groups))):  # fmt: skip
                yield Tensor(name + one, size, "F32")
        elif cell.kind == "kda":
            yield from self._kda(cell, layer)
        else:
            yield from self._delta(cell, layer)

    def _delta(self, cell: Recurrent, layer: int) -> Iterator[Tensor]:
        name, hidden, inner = f"blk.{layer}.", self.a.hidden, cell.inner
        mixed = 2 * cell.groups * cell.state + inner
        yield self._matrix("attn_qkv", layer, hidden, mixed)
        yield self._matrix("attn_gate", layer, hidden, inner)
        if self.a.architecture == "qwen3next":
            yield self._matrix("ssm_ba", layer, hidden, 2 * cell.heads)
        else:
            yield self._matrix("ssm_beta", layer, hidden, cell.heads)
            yield self._matrix("ssm_alpha", layer, hidden, cell.heads)
        yield self._matrix("ssm_out", layer, inner, hidden)
        for one, size in (("ssm_conv1d.weight", (cell.kernel, mixed)), ("ssm_dt.bias", (cell.heads,)), ("ssm_a", (cell.heads,)),
                          ("ssm_norm.weight", (inner // cell.heads,))):  # fmt: skip
            yield Tensor(name + one, size, "F32")

    def _kda(self, cell: Recurrent, layer: int) -> Iterator[Tensor]:
        name, hidden, keys = f"blk.{layer}.", self.a.hidden, cell.heads * cell.state
        for one, rows in (("attn_q", keys), ("attn_k", keys), ("attn_v", cell.inner), ("ssm_f_a", cell.rank), ("ssm_g_a", cell.rank),
                          ("ssm_beta", cell.heads)):  # fmt: skip
            yield self._matrix(one, layer, hidden, rows)
        yield self._matrix("ssm_f_b", layer, cell.rank, keys)
        yield self._matrix("ssm_g_b", layer, cell.rank, cell.inner)
        yield self._matrix("attn_output", layer, cell.inner, hidden)
        for one, size in (("ssm_conv1d_q.weight", (cell.kernel, 1, keys)), ("ssm_conv1d_k.weight", (cell.kernel, 1, keys)),
                          ("ssm_conv1d_v.weight", (cell.kernel, 1, cell.inner)), ("ssm_a", (1, cell.heads)), ("ssm_dt.bias", (keys,)),
                          ("ssm_norm.weight", (cell.state,))):  # fmt: skip
            yield Tensor(name + one, size, "F32")
