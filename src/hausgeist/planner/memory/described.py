"""A header as a file of it would have, for a model of which only the anatomy is known: each tensor by its name in GGUF, and the keys that count.

Names, shapes and keys are those that llama.cpp demands when it loads (`load_arch_hparams` and `load_arch_tensors` in its src/models/*.cpp).
"""

from __future__ import annotations

from typing import Any

from hausgeist.anatomy import Anatomy, Experts, Latent, Recurrent, per_layer
from hausgeist.planner.memory.header import Header
from hausgeist.planner.memory.listed import Lister, Types

__all__ = ["Types", "describe"]

_LAYER_NORMS = {"falcon", "phi2", "gptneox", "starcoder2", "command-r", "cohere2", "bert", "nomic-bert", "jina-bert-v2", "stablelm", "modern-bert"}
"""Architectures with layer norms, whose epsilon has another key."""
_V3 = 256
"""Experts of DeepSeek-V3, from which on they are chosen by sigmoid and a bias, and by groups first if there are just so many."""
_SCALES = {"afmoe": 2.826, "bailingmoe2": 2.5, "deepseek32": 2.5, "glm-dsa": 2.5, "kimi-linear": 2.446}
"""What the weights of chosen experts are multiplied by (routed_scaling_factor, route_scale), where they are chosen by sigmoid."""


def describe(anatomy: Anatomy, types: Types) -> Header:
    """The language model's header; layers that guess ahead and encoders are left out."""
    return Header.of(_metadata(anatomy), tuple(Lister(anatomy, types)))


def _metadata(anatomy: Anatomy) -> dict[str, Any]:
    name = anatomy.architecture
    epsilon = "layer_norm_epsilon" if name in _LAYER_NORMS else "layer_norm_rms_epsilon"
    values: dict[str, Any] = {
        "block_count": anatomy.layers,
        "context_length": 131072,
        "embedding_length": anatomy.hidden,
        f"attention.{epsilon}": 1e-5,
        "vocab_size": anatomy.vocabulary,
        "feed_forward_length": _each(anatomy.ffn),
    }
    if name.startswith("nemotron_h"):
        values["attention.layer_norm_epsilon"] = 1e-5
    xielu: dict[str, Any] = {}
    if name == "apertus":
        xielu = {f"xielu.{key}": 0.5 for key in ("alpha_n", "alpha_p", "beta", "eps")}
    if anatomy.positions:
        values["context_length"] = anatomy.positions
    if anatomy.heads:
        values |= _attention_keys(anatomy)
    else:
        values |= {"attention.head_count": 0, "attention.head_count_kv": 0}
    if anatomy.experts is not None:
        values |= _expert_keys(anatomy, anatomy.experts)
    if anatomy.latent is not None:
        values |= _latent_keys(anatomy.latent)
    if anatomy.recurrent is not None:
        values |= _state_keys(anatomy, anatomy.recurrent)
    if name in ("granite", "granitemoe", "granitehybrid"):
        values |= {"logit_scale": 8.0, "residual_scale": 0.22, "embedding_scale": 12.0, "attention.scale": 0.015625}
    if name in ("command-r", "cohere2"):
        values["logit_scale"] = 0.0625
    if name == "gemma2":
        values |= {"attn_logit_softcapping": 50.0, "final_logit_softcapping": 30.0}
    if name in ("bert", "nomic-bert", "jina-bert-v2", "modern-bert"):
        values["attention.causal"] = False
    if name == "gptneox":
        values["use_parallel_residual"] = True
    if name == "gemma4":
        values["embedding_length_per_layer_input"] = 0
    if name == "ernie4_5-moe":
        values["interleave_moe_layer_step"] = 1
    if anatomy.per_layer_input:
        values["embedding_length_per_layer_input"] = anatomy.per_layer_input
    if name.startswith("qwen3vl"):
        values |= {"n_deepstack_layers": 3, "rope.dimension_sections": [24, 20, 20, 0]}
    if anatomy.shared_kv and name == "gemma4":
        values["attention.shared_kv_layers"] = anatomy.shared_kv
    vocabulary = {"tokenizer.ggml.token_type_count": anatomy.types} if anatomy.types else {}
    return {"general.architecture": name, **vocabulary, **xielu, **{f"{name}.{key}": value for key, value in values.items()}}


def _each(values: tuple[int, ...]) -> int | list[int]:
    return values[0] if len(set(values)) == 1 else list(values)


def _attention_keys(anatomy: Anatomy) -> dict[str, Any]:
    name = anatomy.architecture
    keys: dict[str, Any] = {"attention.head_count": anatomy.heads}
    kept = [per_layer(anatomy.kv_heads, layer) if anatomy.attends(layer) else 0 for layer in range(anatomy.layers)]
    keys["attention.head_count_kv"] = _each(tuple(kept))
    full = [layer for layer in range(anatomy.layers) if not anatomy.windowed(layer)] or [0]
    keys["attention.key_length"] = per_layer(anatomy.key_length, full[-1])
    keys["attention.value_length"] = per_layer(anatomy.value_length, full[-1])
    keys["rope.dimension_count"] = keys["attention.key_length"]
    if name in ("nemotron_h", "nemotron_h_moe"):
        keys["feed_forward_length"] = [0 if layer in anatomy.no_ffn else per_layer(anatomy.ffn, layer) or 1 for layer in range(anatomy.layers)]
    if anatomy.window:
        keys["attention.sliding_window"] = anatomy.window
        windowed = [anatomy.windowed(layer) for layer in range(anatomy.layers)]
        if len(set(anatomy.key_length)) > 1:
            small = windowed.index(True)
            keys["attention.key_length_swa"] = per_layer(anatomy.key_length, small)
            keys["attention.value_length_swa"] = per_layer(anatomy.value_length, small)
        if name == "gemma4":
            keys["attention.sliding_window_pattern"] = windowed
            keys["rope.dimension_count_swa"] = keys["attention.key_length_swa"]
    return keys


def _expert_keys(anatomy: Anatomy, experts: Experts) -> dict[str, Any]:
    keys: dict[str, Any] = {"expert_count": experts.count, "expert_used_count": experts.used, "expert_feed_forward_length": experts.ffn}
    if not any(anatomy.ffn) and anatomy.architecture != "nemotron_h_moe":
        keys["feed_forward_length"] = experts.ffn
    if experts.first:
        keys["leading_dense_block_count"] = experts.first
    if experts.shared:
        keys |= {"expert_shared_count": max(1, experts.shared // experts.ffn), "expert_shared_feed_forward_length": experts.shared}
    if anatomy.architecture == "deepseek2":
        keys |= {"expert_weights_scale": 1.0, "expert_gating_func": 1}
        if experts.count >= _V3:
            keys |= {"expert_weights_scale": 2.5, "expert_gating_func": 2, "expert_weights_norm": True}
        if experts.count == _V3:
            keys |= {"expert_group_count": 8, "expert_group_used_count": 4}
    if anatomy.architecture in ("lfm2moe", "glm4moe", "minimax-m2"):
        keys["expert_gating_func"] = 2
    if anatomy.architecture in _SCALES:
        keys |= {"expert_weights_scale": _SCALES[anatomy.architecture], "expert_gating_func": 2, "expert_weights_norm": True}
    if anatomy.architecture in ("bailingmoe2", "deepseek32"):
        keys |= {"expert_group_count": 8, "expert_group_used_count": 4}
    if anatomy.architecture == "llama4":
        keys["interleave_moe_layer_step"] = experts.every
    return keys


def _latent_keys(latent: Latent) -> dict[str, Any]:
    keys: dict[str, Any] = {
        "attention.kv_lora_rank": latent.kv_rank,
        "attention.key_length": latent.kv_rank + latent.rope,
        "attention.value_length": latent.kv_rank,
        "attention.key_length_mla": latent.nope + latent.rope,
        "attention.value_length_mla": latent.value,
        "rope.dimension_count": latent.rope,
        "attention.head_count_kv": 1,
    }
    if latent.q_rank:
        keys["attention.q_lora_rank"] = latent.q_rank
    if latent.index_heads:
        keys |= {"attention.indexer.head_count": latent.index_heads, "attention.indexer.key_length": latent.index_length,
                 "attention.indexer.top_k": 2048}  # fmt: skip
    return keys


def _state_keys(anatomy: Anatomy, cell: Recurrent) -> dict[str, Any]:
    if cell.kind == "convolution":
        return {"shortconv.l_cache": cell.kernel}
    if cell.kind == "kda":
        heads = [0 if layer in cell.layers else 1 for layer in range(anatomy.layers)]
        return {"ssm.conv_kernel": cell.kernel, "kda.head_dim": cell.state, "attention.head_count_kv": heads}
    keys: dict[str, Any] = {"ssm.conv_kernel": cell.kernel, "ssm.inner_size": cell.inner, "ssm.state_size": cell.state}
    if cell.kind == "mamba":
        keys["ssm.time_step_rank"] = cell.rank
    else:
        keys |= {"ssm.time_step_rank": cell.heads, "ssm.group_count": cell.groups}
    if anatomy.architecture in ("qwen35", "qwen35moe"):
        keys["rope.dimension_sections"] = [11, 11, 10, 0]
    if cell.kind == "delta":
        # The engine takes these layers by their number, not by their heads.
        keys["attention.head_count_kv"] = per_layer(anatomy.kv_heads, 0)
        keys["full_attention_interval"] = 4
    return keys
