"""Tensors of a model from its shape, against counts worked out by hand."""

from __future__ import annotations

from dataclasses import replace

from hausgeist.anatomy import Anatomy, Compressed, Encoder, Experts, Latent, Recurrent, active_parameters, encoder_tensors, parameters, tensors

PLAIN = Anatomy(architecture="llama", layers=2, hidden=8, vocabulary=100, heads=4, kv_heads=(2,), key_length=(3,), value_length=(3,), ffn=(10,))


def names(anatomy: Anatomy) -> dict[str, int]:
    found: dict[str, int] = {}
    for tensor in tensors(anatomy):
        found[tensor.name] = found.get(tensor.name, 0) + tensor.elements
    return found


def changed(**changes: object) -> Anatomy:
    return replace(PLAIN, **changes)  # type: ignore[arg-type]


def test_a_plain_transformer() -> None:
    assert names(PLAIN) == {
        "token_embd": 800, "output": 800, "output_norm": 8, "norm": 32, "attn_q": 192, "attn_k": 96, "attn_v": 96, "attn_output": 192,
        "ffn_gate": 160, "ffn_up": 160, "ffn_down": 160,
    }  # fmt: skip
    assert parameters(PLAIN) == active_parameters(PLAIN) == sum(names(PLAIN).values())
    assert parameters(PLAIN) - parameters(changed(tied=True)) == 800
    assert parameters(PLAIN) - parameters(changed(gated=False)) == 160
    assert names(changed(fused=True))["attn_qkv"] == 384


def test_what_biases_and_norms_add() -> None:
    assert parameters(changed(qkv_bias=True)) - parameters(PLAIN) == 2 * (12 + 6 + 6)
    assert parameters(changed(qk_norm="head")) - parameters(PLAIN) == 2 * 6
    assert parameters(changed(qk_norm="full")) - parameters(PLAIN) == 2 * (12 + 6)
    assert parameters(changed(output_gate=True)) - parameters(PLAIN) == 192
    # Norms get a bias (16 each layer, 8 at the end), attention's output 8, the network 10 + 8.
    assert parameters(changed(bias=True)) - parameters(PLAIN) == 2 * (16 + 8 + 18) + 8


def test_experts() -> None:
    mixture = changed(experts=Experts(count=4, used=2, ffn=5, shared=6, first=1))
    # Layer 0 is dense; layer 1 has a router, four experts and a shared one.
    assert parameters(mixture) - parameters(PLAIN) == -240 + 8 * 4 + 4 * 120 + 144
    assert active_parameters(mixture) == parameters(mixture) - 2 * 120
    assert [mixture.has_experts(layer) for layer in range(2)] == [False, True]
    assert [changed(experts=Experts(count=4, used=1, ffn=5, every=2)).has_experts(layer) for layer in range(4)] == [False, True, False, True]


def test_latent_attention() -> None:
    latent = changed(latent=Latent(kv_rank=5, rope=2, nope=3, value=4, q_rank=6))
    found = names(latent)
    assert found["attn_q_a"] == 2 * 48
    assert found["attn_q_b"] == 2 * 6 * 4 * 5
    assert found["attn_kv_a_mqa"] == 2 * 8 * 7
    assert found["attn_k_b"] + found["attn_v_b"] == 2 * 5 * 4 * (3 + 4)
    assert found["attn_output"] == 2 * 16 * 8


def test_recurrent_layers_take_the_place_of_attention() -> None:
    hybrid = changed(recurrent=Recurrent(kind="mamba2", layers=(0,), inner=16, state=4, groups=1, heads=2))
    assert [hybrid.attends(layer) for layer in range(2)] == [False, True]
    found = names(hybrid)
    assert found["attn_q"] == 96
    assert found["ssm_in"] == 8 * (16 + 24 + 2)
    assert found["ssm_out"] == 128
    assert found["ssm_conv1d"] == 4 * 24
    beside = changed(recurrent=Recurrent(kind="mamba2", layers=(0, 1), inner=16, state=4, heads=2, beside=True))
    assert beside.attends(0)


def test_windows() -> None:
    assert not PLAIN.windowed(0)
    assert changed(window=4).windowed(1)
    assert [changed(window=4, full_every=2).windowed(layer) for layer in range(4)] == [True, False, True, False]
    assert not changed(window=4, full_layers=(0,)).windowed(0)


def test_shared_and_missing_values() -> None:
    assert "attn_k" in names(changed(shared_kv=1))
    assert names(changed(shared_kv=1))["attn_k"] == 48
    assert names(changed(values_are_keys=(0,)))["attn_v"] == 48


def test_encoder_and_layers_ahead_count_as_parameters() -> None:
    seeing = changed(encoder=Encoder(layers=1, hidden=4, ffn=8, patch=12, positions=9, bridge=((4, 8),)))
    assert sum(tensor.elements for tensor in encoder_tensors(seeing)) == 48 + 36 + 64 + 64 + 44 + 32
    assert parameters(seeing) - parameters(PLAIN) == 288
    assert names(seeing) == names(PLAIN)
    ahead = changed(predictors=1)
    assert parameters(ahead) - parameters(PLAIN) == 128 + 16 + (192 + 96 + 96 + 192 + 480) // 2
    assert names(ahead) == names(PLAIN)


def test_keys_of_kimi_linear() -> None:
    hybrid = changed(recurrent=Recurrent(kind="kda", layers=(0,), inner=12, state=5, heads=3, rank=2))
    found = names(hybrid)
    # Layer 1 attends as before; layer 0 has projections of 15 for queries and keys, 12 for values and output.
    assert found["attn_q"] == 96 + 8 * 15
    assert found["attn_v"] == 48 + 8 * 12
    assert found["attn_output"] == 96 + 12 * 8
    assert found["ssm_conv1d"] == 4 * (15 + 15 + 12)
    assert found["ssm_f_a"] + found["ssm_f_b"] + found["ssm_g_a"] + found["ssm_g_b"] == 8 * 2 + 2 * 15 + 8 * 2 + 2 * 12
    assert [hybrid.attends(layer) for layer in range(2)] == [False, True]


def test_rwkv_keeps_nothing_per_token() -> None:
    seven = changed(heads=0, gated=False, recurrent=Recurrent(kind="rwkv7", layers=(0, 1), inner=8, state=4, heads=2, ranks=(1, 2, 3, 4)))
    found = names(seven)
    assert not any(seven.attends(layer) for layer in range(2))
    assert found["time_mix_key"] == found["time_mix_output"] == 2 * 64
    assert found["time_mix_w1"] == 2 * 8
    # The first layer's values have nothing to mix with.
    assert found["time_mix_v1"] == 8 * 3
    assert found["channel_mix_key"] == found["channel_mix_value"] == 160
    assert "ffn_up" not in found
    six = changed(heads=0, gated=False, recurrent=Recurrent(kind="rwkv6", layers=(0, 1), inner=8, state=4, heads=2, ranks=(2, 3)))
    assert names(six)["time_mix_w1"] == 2 * 8 * 10
    assert names(six)["channel_mix_receptance"] == 128


def test_layers_that_attend_to_an_encoder() -> None:
    beside = changed(cross=6)
    assert names(beside)["cross_attn_k"] == 2 * 6 * 6
    assert names(beside)["attn_k"] == 96
    instead = changed(cross=6, cross_layers=(1,))
    assert names(instead)["cross_attn_k"] == 6 * 6
    assert names(instead)["attn_k"] == 48
    assert [instead.attends(layer) for layer in range(2)] == [True, False]


def test_what_gemma_3n_adds() -> None:
    found = names(changed(streams=3, laurel=2, shared_kv=1, unused_kv=True))
    assert found["altup_proj"] == 4 * 64
    assert found["altup_router"] == 2 * 8 * 5
    assert found["laurel_l"] == found["laurel_r"] == 2 * 16
    # A layer that uses the keys of another has matrices for its own all the same.
    assert found["attn_k"] == 96


def test_an_index_before_latent_attention() -> None:
    plain = Latent(kv_rank=5, rope=2, nope=3, value=4, q_rank=6)
    indexed = replace(plain, index_heads=2, index_length=3)
    assert parameters(changed(latent=indexed)) - parameters(changed(latent=plain)) == 2 * (6 * 6 + 8 * 3 + 8 * 2 + 6)


def test_a_conformer_has_two_networks_and_a_convolution() -> None:
    plain = Encoder(layers=1, hidden=4, ffn=8, patch=12)
    more = parameters(changed(listener=replace(plain, conformer=True))) - parameters(changed(listener=plain))
    assert more == 4 * 4 + 2 * 4 * 8 + 4 * 12


def test_compressed_attention() -> None:
    cell = Compressed(q_rank=6, ratios=(4, 0), index_heads=2, index_length=3, output_groups=2, output_rank=5, streams=2)
    found = names(changed(kv_heads=(1,), window=2, compressed=cell))
    assert found["attn_q_b"] == 2 * 6 * 4 * 3
    assert found["attn_kv"] == 2 * 8 * 3
    assert found["attn_output_a"] == 2 * (4 * 3 // 2) * 5 * 2
    assert found["attn_output_b"] == 2 * 5 * 2 * 8
    assert found["hc_fn"] == 2 * 16 * 16
    # Only the first layer keeps more than its window, and has what compresses and what chooses.
    assert found["attn_compressor"] == 8 * 12
    assert found["indexer.attn_q_b"] == 6 * 6
    assert "attn_k" not in found
