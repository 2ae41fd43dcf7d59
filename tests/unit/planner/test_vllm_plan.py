"""Plans under vLLM: the layout over cards, what is said of memory and users, and what is refused with a way out."""

from __future__ import annotations

from typing import Any

import pytest

from hausgeist.errors import InvalidRequest
from hausgeist.library.catalog.reader import load as load_catalogue
from hausgeist.planner.costs.prices import decode, packaged
from hausgeist.planner.crowd import crowd
from hausgeist.planner.devices.known import load
from hausgeist.planner.memory import Header, vllm
from hausgeist.planner.plan import Plan, Wish, plan
from hausgeist.planner.speed import speed
from hausgeist.planner.target import Target, target
from tests.unit.planner.paced import header_of

DEVICES, PRICES = load(), decode(packaged())
GIB = 2**30


def cards(name: str = "H100 SXM", count: int = 1, nodes: int = 1) -> Target:
    return target(DEVICES, name, count=count, nodes=nodes, around="DDR5-5600 64GB", price_eur=2000.0)


def planned(name: str = "llama3.1:8b", there: Target | None = None, precision: str = "BF16", **changes: Any) -> Plan:
    header = vllm.with_bytes(header_of(name, "BF16"), vllm.PRECISIONS[precision])
    values = {"model": name, "header": header, "precision": precision, "trained": 131072, "engine": "vllm"}
    return plan(Wish(**(values | changes)), there or cards(), PRICES)


# --- layout ---


@pytest.mark.parametrize(
    ("name", "precision", "count", "nodes", "first"),
    [
        ("llama3.1:8b", "bf16", 1, 1, (1, 1)),
        ("llama3.1:8b", "bf16", 4, 1, (4, 1)),
        ("llama3.1:70b", "bf16", 8, 2, (8, 2)),
        ("llama3.1:8b", "bf16", 3, 1, (1, 3)),  # 32 heads do not divide by 3
        ("llama3.1:8b", "bf16", 6, 1, (2, 3)),
        ("qwen2.5:7b", "bf16", 7, 1, (1, 7)),  # 28 heads, but 4 of keys and values, which would be neither dealt out nor repeated
        ("gpt-oss:20b", "mxfp4", 8, 1, (8, 1)),
        ("qwen2.5:72b", "awq", 2, 1, (1, 2)),  # 29,568 / 2 is no multiple of the 128 that share a scale
        ("qwen2.5:72b", "bf16", 2, 1, (2, 1)),
    ],
)
def test_cards_of_a_machine_share_layers_where_the_model_divides(name: str, precision: Any, count: int, nodes: int, first: tuple[int, int]) -> None:
    found = vllm.splits(header_of(name, "BF16"), precision, cards=count, nodes=nodes)
    assert found[0] == first
    assert all(one.tensor * one.pipeline == count * nodes for one in found)
    assert [one.tensor for one in found] == sorted((one.tensor for one in found), reverse=True)


def test_more_cards_than_a_model_can_be_shared_out_among_are_refused() -> None:
    with pytest.raises(InvalidRequest, match="name fewer") as refused:
        planned("qwen3:0.6b", cards("H100 SXM", count=8, nodes=128))
    assert refused.value.param == "gpus"


def test_fewer_cards_share_a_layer_where_that_is_what_fits() -> None:
    """Layers over both cards leave 1.9 GiB less on each for what lies outside of PyTorch; in a row of two it fits."""
    made = planned("llama3.3:70b", cards("H100 SXM", count=2))
    assert made.pages is not None
    assert (made.pages.tensor_parallel, made.pages.pipeline_parallel) == (1, 2)
    roomier = planned("llama3.3:70b", cards("H100 SXM", count=4))
    assert roomier.pages is not None
    assert (roomier.pages.tensor_parallel, roomier.pages.pipeline_parallel) == (4, 1)


def test_machines_are_a_pipeline() -> None:
    made = planned("llama3.1:70b", cards("A100 80GB SXM", count=2, nodes=2))
    assert made.pages is not None
    assert (made.pages.tensor_parallel, made.pages.pipeline_parallel) == (2, 2)
    assert len(made.device_bytes) == len(made.pages.reserved) == 4
    # The network between them is slower than what joins cards.
    assert made.empty is not None
    near = planned("llama3.1:70b", cards("A100 80GB SXM", count=4)).empty
    assert near is not None
    assert made.empty.generate_tokens_per_second < near.generate_tokens_per_second


def test_the_network_between_machines_is_waited_for() -> None:
    header = vllm.with_bytes(header_of("llama3.1:70b", "BF16"), "bf16")
    wish = Wish(model="m", header=header, precision="BF16", trained=8192, engine="vllm", users=512)
    slow, fast = (
        target(DEVICES, "A100 80GB SXM", count=8, nodes=2, network=network, around="DDR5-5600 64GB") for network in ("Ethernet 1", "InfiniBand NDR")
    )
    seconds = [
        1 / speed(header, plan(wish, there, PRICES).start, there, gpu_layers=81, filled=512, users=512, engine="vllm").generate_tokens_per_second
        for there in (slow, fast)
    ]
    state = 4.0 * header.hidden * 512
    gbit = 0.125e9 * 0.8
    assert seconds[0] - seconds[1] == pytest.approx(state / gbit, rel=0.2)


# --- memory ---


def test_parts_add_up_and_cards_hold_them() -> None:
    for made in (planned(), planned("llama3.1:70b", cards("H100 SXM", count=4)), planned("qwen3:30b", cards("RTX 5090", count=4), users=8)):
        assert made.fits
        assert made.pages is not None
        assert sum(made.device_bytes) == made.parts.total
        assert made.host_bytes == made.parts.repack == made.parts.output == 0
        assert all(used <= kept for used, kept in zip(made.device_bytes, made.pages.reserved, strict=True))
        assert all(kept <= there for kept, there in zip(made.pages.reserved, made.target.device_bytes, strict=True))


def test_the_cache_of_the_plan_is_that_of_the_requests_asked_for() -> None:
    one, eight = planned(), planned(users=8)
    assert one.parts.kv_cache == GIB  # 8,192 tokens of 128 KiB
    assert eight.parts.kv_cache == 8 * GIB
    assert one.pages is not None
    assert one.pages.cache_tokens > 300_000
    assert one.pages.requests == one.pages.cache_tokens // 8192


def test_it_is_the_memory_that_the_engine_logged() -> None:
    """The same start as vLLM v0.19 logged on H100 (test_vllm.py): 58.11 GiB of cache at 95 % of 79.19 GiB, of which 90 % here."""
    made = planned()
    assert made.pages is not None
    assert made.parts.weights / GIB == pytest.approx(14.99, rel=0.003)
    assert made.pages.cache_tokens == pytest.approx(476_016 - (0.05 * 79.6 - 0.4 + 1.1) * GIB / 2**17, rel=0.02)


def test_a_small_card_is_told_to_use_less() -> None:
    made = planned("qwen3:4b", cards("RTX 4060", count=2), precision="FP8")
    assert made.pages is not None
    assert made.pages.utilization == 0.81
    assert made.fits


def test_users_beyond_what_memory_holds_wait() -> None:
    made = planned(there=cards("RTX 3090"), users=300)
    assert made.fits
    assert made.pages is not None
    assert made.slots == made.working == made.pages.most == 5
    assert "for each of 5 requests at once" in made.sentence
    assert "295 of 300 users wait for their turn" in made.sentence
    assert made.together_seconds is not None
    assert made.empty is not None
    # 59 rounds of answers, 400 tokens each, before the last five are read.
    answers = 59 * 400 / made.empty.generate_tokens_per_second
    assert made.together_seconds == pytest.approx(answers + 300 * made.empty.first_token_seconds, rel=1e-6)


def test_slots_are_the_requests_of_a_step() -> None:
    made = planned(users=40, slots=4)
    assert made.pages is not None
    assert (made.slots, made.pages.sequences) == (4, 4)
    more = planned(users=40)
    assert made.parts.compute < more.parts.compute


def test_what_does_not_fit_says_by_how_much_and_with_what_it_would() -> None:
    made = planned("llama3.1:8b", cards("RTX 4090"), context=131072)
    assert not made.fits
    assert made.missing_bytes > GIB
    assert 8192 < made.max_context < 131072
    assert f"with a context of {made.max_context:,} tokens it would" in made.sentence
    assert made.empty is None
    assert made.pages is not None
    assert (made.pages.requests, made.pages.reserved) == (0, ())
    assert planned("llama3.1:8b", cards("RTX 4090"), context=made.max_context).fits
    assert not planned("llama3.1:8b", cards("RTX 4090"), context=made.max_context + 64).fits
    assert planned("llama3.1:70b", cards("RTX 4090")).max_context == 0


def test_the_longest_context_is_that_of_all_requests_at_once() -> None:
    made = planned(there=cards("RTX 3090"), users=4)
    assert planned(there=cards("RTX 3090"), users=4, context=made.max_context).slots == 4
    assert planned(there=cards("RTX 3090"), users=4, context=made.max_context + 16).slots == 3


def test_a_cache_of_eight_bits_holds_twice_as_much() -> None:
    wide, narrow = planned(), planned(cache_type="fp8")
    assert wide.pages is not None
    assert narrow.pages is not None
    assert narrow.pages.cache_tokens == pytest.approx(2 * wide.pages.cache_tokens, rel=1e-3)
    assert narrow.full is not None
    assert wide.full is not None
    assert narrow.full.generate_tokens_per_second > wide.full.generate_tokens_per_second


def test_bytes_of_a_precision_are_those_of_the_weights() -> None:
    """What the speed reads and what memory holds are reckoned apart; they must not drift."""
    for name in ("llama3.1:8b", "qwen3:30b", "gemma3:12b", "gpt-oss:20b", "deepseek-v2:16b"):
        header = header_of(name, "BF16")
        for precision in ("bf16", "fp8", "awq", "mxfp4"):
            read = sum(tensor.nbytes for tensor in vllm.with_bytes(header, precision).tensors.values())
            held = vllm.stage_weights(header, vllm.Start(context=8192, precision=precision))
            assert read == pytest.approx(held, rel=0.03), (name, precision)


def test_fewer_bits_write_faster() -> None:
    rates = [made.empty.generate_tokens_per_second for kind in ("BF16", "FP8", "AWQ") if (made := planned(precision=kind)).empty is not None]
    assert rates == sorted(rates)
    assert rates[2] > 1.5 * rates[0]


def test_every_model_that_writes_can_be_planned_or_is_refused() -> None:
    there = cards("H200 SXM", count=8)
    fitting, refused = 0, set()
    for entry in load_catalogue():
        if not entry.served or "embedding" in entry.use or "rerank" in entry.use:
            continue
        try:
            made = planned(entry.name, there, context=min(4096, entry.context), trained=entry.context)
        except InvalidRequest:
            refused.add(entry.anatomy.architecture)
            continue
        fitting += made.fits
        assert made.parts.total == sum(made.device_bytes)
    assert refused == {"rwkv6", "rwkv7", "deepseek4"}
    assert fitting > 300


# --- users ---


def test_as_many_users_as_memory_or_speed_allow() -> None:
    made = planned(there=cards("RTX 3090"))
    held = crowd(made)
    assert held is not None
    assert made.pages is not None
    assert (held.most, held.limit) == (made.pages.requests, "memory")
    spark = planned("qwen3:8b", cards("DGX Spark"))
    slow = crowd(spark)
    assert slow is not None
    assert slow.limit == "speed"
    assert spark.pages is not None
    assert slow.most < spark.pages.requests
    for users, enough in ((slow.most, True), (slow.most + 1, False)):
        found = planned("qwen3:8b", cards("DGX Spark"), users=users).empty
        assert found is not None
        assert (found.generate_tokens_per_second >= 10) is enough


def test_the_engine_answers_no_more_than_it_is_told() -> None:
    held = crowd(planned("qwen3:0.6b", cards("H200 SXM"), context=256))
    assert held is not None
    assert (held.most, held.limit) == (1024, "slots")


# --- what is refused ---


@pytest.mark.parametrize(
    ("changes", "there", "param", "says"),
    [
        ({}, "DDR5-5600 64GB", "engine", "Name one with 'gpu'"),
        ({}, "GTX 1080 Ti", "engine", "compute capability 7.5"),
        ({}, "m4 max (40-core gpu)", "engine", "a chip of another kind"),
        ({}, "Arc B580", "engine", "leave 'engine' out"),
        ({"precision": "INT8"}, "RTX 5090", "precision", "BF16, F16, FP8, AWQ, GPTQ are possible"),
        ({"precision": "AWQ"}, "Instinct MI300X", "precision", "BF16, F16, FP8"),
        ({"precision": "BF16"}, "T4", "precision", "F16"),
        ({"cache_type": "q8_0"}, "RTX 4090", "kv", "f16, bf16, fp8"),
        ({"prompt_cache": GIB}, "RTX 4090", "prompt_cache", "leave 'prompt_cache' out"),
        ({"draft": "llama3.2:1b"}, "RTX 4090", "draft", "llama.cpp only"),
        ({"name": "rwkv7:2.9b"}, "RTX 4090", "engine", "'rwkv7'"),
        ({"name": "nomic-embed-text:v1.5", "task": "embed"}, "RTX 4090", "engine", "turns text into numbers"),
    ],
)
def test_what_vllm_is_not_for_is_refused(changes: dict[str, Any], there: str, param: str, says: str) -> None:
    if "draft" in changes:
        changes = changes | {"draft": header_of(changes["draft"])}
    with pytest.raises(InvalidRequest) as refused:
        planned(changes.get("name", "llama3.1:8b"), cards(there), **{key: value for key, value in changes.items() if key != "name"})
    assert refused.value.param == param
    assert says in str(refused.value)


def test_amd_s_cards_are_planned_as_an_assumption() -> None:
    made = planned(there=cards("Instinct MI300X"))
    assert made.fits
    assert made.empty is not None
    assert made.empty.basis == "assumed"


def test_what_nobody_logged_is_an_estimate() -> None:
    assert planned("llama3.1:8b").exact
    assert not planned("falcon-mamba:7b").exact


@pytest.mark.parametrize(
    ("key", "value"), [("block_count", "many"), ("block_count", 10**9), ("attention.head_count", [1, 2]), ("context_length", "x"), ("vocab_size", -1)]
)
def test_a_header_that_lies_is_refused(key: str, value: Any) -> None:
    honest = vllm.with_bytes(header_of("llama3.1:8b", "BF16"), "bf16")
    kept = (tensor for name, tensor in honest.tensors.items() if name != "token_embd.weight")
    header = Header.of({**honest.metadata, f"llama.{key}": value}, kept)
    with pytest.raises(InvalidRequest):
        planned(header=header, trained=None)
