"""Which model, which precision: worked out with a speed that follows from bandwidth alone."""

from __future__ import annotations

from dataclasses import replace

import pytest

from hausgeist.errors import InvalidRequest
from hausgeist.planner.advice.models import (
    CONTEXTS,
    Model,
    best_here,
    choose_precision,
    largest_that_fits,
    max_context,
    promising,
    quality,
    ranked,
    use_of,
)
from hausgeist.planner.costs.prices import decode, packaged
from hausgeist.planner.devices.known import load
from hausgeist.planner.plan import Wish, plan
from hausgeist.planner.target import Target, target
from hausgeist.planner.wish import GOOD_SPEED
from tests.unit.planner.paced import header_of, model_of, paced

DEVICES = load()
NAMES = (
    "llama2:7b", "llama2:13b", "llama2:70b", "llama3.1:8b", "llama3.1:70b", "llama3.1:405b", "qwen3:0.6b", "qwen3:8b", "qwen3:30b", "gemma3:4b",
    "gemma3:12b", "gemma3:27b", "gpt-oss:20b", "qwen2.5-coder:7b", "qwen3-coder:30b", "starcoder2:3b", "qwen3-embedding:0.6b",
)  # fmt: skip
MODELS = tuple(model_of(name) for name in NAMES)
ALL = ["F16", "Q8_0", "Q6_K", "Q5_K_M", "Q4_K_M", "Q3_K_M", "Q2_K"]


def on(name: str, around: str = "DDR5-5600 64GB") -> Target:
    return target(DEVICES, name, around=around)


def chosen(name: str, there: Target, available: list[str] | None = None, context: int = 8192) -> tuple[str, str]:
    found = choose_precision(
        available or ALL, lambda precision: header_of(name, precision), there, model=name, context=context, trained=131072, run=paced
    )
    return found.precision, found.reason


# --- quality ---


def test_larger_and_younger_models_promise_more() -> None:
    one = model_of("llama3.1:8b")
    assert quality(model_of("llama3.1:70b")) > quality(one) > quality(model_of("llama2:7b"))
    assert quality(replace(one, parameters=2 * one.parameters)) == pytest.approx(quality(one) + 1)
    assert quality(replace(one, released="2024-07-23")) < quality(replace(one, released="2025-07"))


def test_a_mixture_lies_between_what_it_has_and_what_it_uses() -> None:
    dense = replace(model_of("qwen3:30b"), active=0)
    used = replace(dense, parameters=model_of("qwen3:30b").active)
    assert quality(used) < quality(model_of("qwen3:30b")) < quality(dense)


# --- the best here ---


def test_what_runs_well_comes_with_what_promises_most_first() -> None:
    found = best_here(MODELS, on("RTX 3090"), "chat", run=paced)
    assert len(found) > 5
    assert all(one.good for one in found)
    assert [one.quality for one in found] == sorted((one.quality for one in found), reverse=True)
    names = {one.model.name for one in found}
    assert "gemma3:27b" in names
    assert not names & {"llama3.1:70b", "llama3.1:405b", "qwen2.5-coder:7b", "qwen3-embedding:0.6b"}


def test_no_more_are_named_than_were_asked_for() -> None:
    all_of_them, two = (best_here(MODELS, on("RTX 3090"), "chat", count=count, run=paced) for count in (10, 2))
    assert [one.model.name for one in two] == [one.model.name for one in all_of_them[:2]]


def test_uses_are_kept_apart() -> None:
    assert {one.model.name for one in best_here(MODELS, on("RTX 3090"), "code", run=paced)} == {
        "qwen2.5-coder:7b", "qwen3-coder:30b", "starcoder2:3b"
    }  # fmt: skip
    assert all("vision" in one.model.uses for one in best_here(MODELS, on("RTX 3090"), "vision", run=paced))


def test_papers_want_a_long_context() -> None:
    found = best_here(MODELS, on("RTX 3090"), "documents", run=paced)
    assert found
    assert all(one.wish.tokens == CONTEXTS["documents"] <= one.model.context for one in found)
    assert "llama2:7b" not in {one.model.name for one in found}


def test_a_mixture_of_experts_is_what_a_processor_runs_well() -> None:
    """Of 90 GB/s, 3 billion parameters of 30 can be read ten times in a second, 27 billion of 27 cannot."""
    names = {one.model.name for one in best_here(MODELS, on("DDR5-5600 64GB"), "chat", run=paced)}
    assert "qwen3:30b" in names
    assert "gemma3:27b" not in names
    assert promising(model_of("qwen3:30b"), on("DDR5-5600 64GB"), context=8192, run=paced)
    assert not promising(model_of("gemma3:27b"), on("DDR5-5600 64GB"), context=8192, run=paced)


def test_where_nothing_runs_well_the_fastest_that_runs_is_named() -> None:
    large = [model_of("gemma3:27b"), model_of("llama2:13b"), model_of("llama3.1:405b")]
    found = best_here(large, on("DDR5-4800, 1 channel 32GB"), "chat", context=2048, run=paced)
    assert [one.model.name for one in found][:1] == ["llama2:13b"]
    assert not any(one.good for one in found)


def test_a_use_that_is_none_is_refused_with_those_there_are() -> None:
    assert use_of(" Chat ") == "chat"
    with pytest.raises(InvalidRequest, match="documents") as refused:
        best_here(MODELS, on("RTX 3090"), "cooking", run=paced)
    assert refused.value.param == "for"


def test_models_for_one_task_alone_are_not_advised() -> None:
    odd = replace(model_of("gemma3:12b"), name="translategemma:12b")
    assert not best_here([odd], on("RTX 3090"), "chat", run=paced)


def test_what_is_not_made_for_the_context_is_not_ranked() -> None:
    assert ranked(model_of("llama2:7b"), on("RTX 3090"), context=8192, run=paced) is None
    found = ranked(model_of("llama2:7b"), on("RTX 3090"), context=4096, run=paced)
    assert found is not None
    assert found.reason.startswith("fits wholly (")


# --- precision ---


def test_eight_bits_where_there_is_room_to_spare() -> None:
    precision, reason = chosen("llama3.1:8b", on("RTX 4090"))
    assert precision == "Q8_0"
    assert "room to spare" in reason
    assert "NVIDIA RTX 4090" in reason


def test_four_bits_where_finer_ones_would_fill_the_card() -> None:
    precision, reason = chosen("llama3.1:8b", on("RTX 4060"))
    assert precision == "Q4_K_M"
    assert "finer ones" in reason
    assert chosen("llama3.1:8b", on("RTX 3060 12GB"))[0] in ("Q6_K", "Q5_K_M")


def test_a_slow_machine_gets_no_more_bits_than_it_reads_in_time() -> None:
    """8.5 GB at 90 GB/s are 10.5 times a second, at 77 GB/s 9."""
    assert chosen("llama3.1:8b", on("DDR5-5600 64GB"))[0] == "Q8_0"
    assert chosen("llama3.1:8b", on("DDR5-4800, 2 channels 64GB"))[0] == "Q6_K"
    assert GOOD_SPEED.value == 10


def test_four_bits_with_the_processors_help_before_three_that_fit() -> None:
    precision, reason = chosen("llama3.1:70b", on("RTX 4090"))
    assert precision == "Q4_K_M"
    assert "processor's help" in reason


def test_fewer_than_four_bits_only_where_nothing_else_fits_and_it_says_so() -> None:
    there = on("RTX 3090", "DDR5-5600 16GB")
    precision, reason = chosen("llama3.1:70b", there)
    assert precision in ("Q3_K_M", "Q2_K")
    assert "lose noticeably" in reason


def test_where_none_fits_the_smallest_is_named_and_by_how_much() -> None:
    precision, reason = chosen("llama3.1:405b", on("RTX 4090"))
    assert precision == "Q2_K"
    assert "none fits" in reason
    assert "too much" in reason


def test_what_is_offered_alone_is_taken() -> None:
    assert chosen("llama3.1:8b", on("RTX 4090"), ["Q5_K_M"]) == ("Q5_K_M", "Q5_K_M: llama3.1:8b comes in no other precision.")
    with pytest.raises(InvalidRequest):
        choose_precision([], lambda precision: header_of("llama3.1:8b", precision), on("RTX 4090"), run=paced)


def test_sixteen_bits_only_where_nothing_smaller_is_offered() -> None:
    assert chosen("qwen3:0.6b", on("RTX 4090"))[0] == "Q8_0"
    assert chosen("qwen3:0.6b", on("RTX 4090"), ["F32", "BF16"])[0] == "BF16"


# --- the largest, the longest ---


def test_instead_of_what_is_too_large_comes_the_largest_of_its_family() -> None:
    found = largest_that_fits(MODELS, on("RTX 4090"), like=model_of("llama3.1:405b"), run=paced)
    assert found is not None
    assert found.model.name == "llama3.1:8b"
    assert found.good
    found = largest_that_fits(MODELS, on("RTX 3060 12GB"), like=model_of("gemma3:27b"), run=paced)
    assert found is not None
    assert found.model.name == "gemma3:12b"


def test_without_kin_the_largest_of_the_same_use_is_taken() -> None:
    stranger = replace(model_of("llama3.1:405b"), name="stranger:405b", family="stranger")
    found = largest_that_fits(MODELS, on("RTX 3090"), like=stranger, run=paced)
    assert found is not None
    assert found.model.name == "qwen3:30b"
    assert largest_that_fits([model_of("llama3.1:405b")], on("RTX 3090"), run=paced) is None


def test_the_longest_context_is_the_plans() -> None:
    wish = Wish(model="llama3.1:8b", header=header_of("llama3.1:8b"), trained=131072, users=2)
    there = on("RTX 3060 12GB")
    assert max_context(wish, there) == plan(wish, there, decode(packaged()), run=paced).max_context > 8192


def test_a_model_is_a_value() -> None:
    one = Model(name="a", parameters=10**9, context=4096, released="2025", header=header_of)
    assert one.active == 0
    assert one.uses == ("chat",)
    assert quality(one) > 0
