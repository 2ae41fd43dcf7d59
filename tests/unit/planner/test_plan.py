"""Plans as a whole: the keys of their JSON, sums, sentences, money, and what the engine itself says laid over."""

from __future__ import annotations

import time
from typing import Any

import pytest

from hausgeist.errors import InvalidRequest
from hausgeist.library.catalog.mix import tensor_type
from hausgeist.library.catalog.reader import load as load_catalogue
from hausgeist.model import Footprint, Task
from hausgeist.planner.costs.expense import ANSWERS_PER_PERSON, Terms, usual_volume
from hausgeist.planner.costs.money import Volume
from hausgeist.planner.costs.prices import decode, packaged
from hausgeist.planner.devices.known import load
from hausgeist.planner.fitting import CARD_MARGIN
from hausgeist.planner.memory import describe
from hausgeist.planner.plan import Plan, Wish, plan, with_footprint
from hausgeist.planner.target import Target, target
from hausgeist.planner.wish import starting
from tests.unit.planner.paced import header_of, paced

DEVICES, PRICES = load(), decode(packaged())
KEYS = [
    "model", "precision", "engine", "context", "slots", "users", "device", "weights_bytes", "kv_cache_bytes", "compute_bytes", "output_bytes",
    "repack_bytes", "overhead_bytes", "total_bytes", "fits", "gpu_layers", "max_context", "prompt_tokens_per_second", "generate_tokens_per_second",
    "price_eur", "watt_hours_per_1k_tokens", "eur_per_1m_tokens", "break_even_months", "method",
]  # fmt: skip
PARTS = ["weights_bytes", "kv_cache_bytes", "compute_bytes", "output_bytes", "repack_bytes", "overhead_bytes"]
MIB = 2**20


def card(name: str = "RTX 4090", price: float | None = 2000.0, **changes: Any) -> Target:
    return target(DEVICES, name, **({"around": "DDR5-5600 64GB", "price_eur": price} | changes))


def wish(name: str = "llama3.1:8b", **changes: Any) -> Wish:
    values: dict[str, Any] = {"model": name, "header": header_of(name), "precision": "Q4_K_M", "trained": 131072}
    return Wish(**(values | changes))


def planned(name: str = "llama3.1:8b", there: Target | None = None, terms: Terms | None = None, **changes: Any) -> Plan:
    return plan(wish(name, **changes), there or card(), PRICES, terms, run=paced)


def test_json_has_its_keys_and_the_total_is_their_sum() -> None:
    told = planned().json()
    assert list(told) == KEYS
    assert told["total_bytes"] == sum(told[part] for part in PARTS)
    assert (told["model"], told["context"], told["slots"], told["fits"], told["method"]) == ("llama3.1:8b", 8192, 1, True, "arithmetic")
    assert told["gpu_layers"] == 33
    assert told["max_context"] == 131072
    assert told["device"] == "NVIDIA RTX 4090"


@pytest.mark.parametrize(("name", "there"), [("llama3.1:8b", "RTX 4090"), ("llama3.1:70b", "RTX 4090"), ("llama3.1:8b", "DDR5-5600 64GB")])
def test_bytes_on_machine_and_cards_are_the_whole(name: str, there: str) -> None:
    made = planned(name, card(there))
    assert made.host_bytes + sum(made.device_bytes) == made.parts.total


def test_each_request_has_the_context_to_itself() -> None:
    one, eight = planned(context=4096), planned(context=4096, users=8)
    assert eight.parts.kv_cache == 8 * one.parts.kv_cache == 8 * 2**29
    assert eight.json()["slots"] == 8
    assert planned(context=4096, users=8, slots=2).parts.kv_cache == 2 * one.parts.kv_cache


def test_a_model_made_for_less_gets_no_more() -> None:
    assert planned("llama2:7b", trained=4096).json()["context"] == 4096


def test_what_fits_says_so_first() -> None:
    made = planned(context=4096)
    assert made.placed == "wholly"
    assert made.good
    assert made.sentence.startswith("llama3.1:8b (Q4_K_M) fits on NVIDIA RTX 4090 with a context of 4,096 tokens (up to 131,072 fit), and writes ")


def test_what_fits_in_part_names_the_layers() -> None:
    made = planned("llama3.1:70b")
    assert made.placed == "offload"
    assert made.fits
    assert not made.good
    assert f"{made.gpu_layers} of 81 layers go onto the card, the processor does the rest; it writes about" in made.sentence
    assert "slow" in made.sentence


def test_what_does_not_fit_has_no_speed_and_costs_nothing() -> None:
    made = planned("llama3.1:405b")
    told = made.json()
    assert not made.fits
    assert told["fits"] is False
    assert made.expense is None
    assert told["generate_tokens_per_second"] is None
    assert told["eur_per_1m_tokens"] is None
    assert "does not fit on NVIDIA RTX 4090" in made.sentence
    assert "too much" in made.sentence


def test_a_shorter_context_is_offered_where_it_helps() -> None:
    made = planned("llama3.1:8b", card("DDR5-5600 16GB"), context=131072)
    assert not made.fits
    assert 8192 < made.max_context < 131072
    assert f"with a context of {made.max_context:,} tokens it would" in made.sentence


# --- many users, a draft, a prompt cache ---


def test_more_users_than_the_engine_has_slots_wait() -> None:
    made = planned(context=256, users=300)
    told = made.json()
    assert (told["users"], told["slots"], made.working) == (300, 256, 256)
    assert made.sentence.endswith("44 of 300 users wait for their turn.")
    assert made.together_seconds is not None
    assert made.empty is not None
    reading, answer = made.empty.first_token_seconds, 400 / made.empty.generate_tokens_per_second
    assert made.together_seconds == pytest.approx(300 * reading + answer)
    assert planned(context=256, users=100_000).fits


def test_who_has_no_slot_slows_nobody_down() -> None:
    made, alone = planned(context=2048, users=8, slots=2), planned(context=2048, users=2)
    assert made.empty == alone.empty
    assert made.together_seconds is not None
    assert alone.together_seconds is not None
    assert made.together_seconds > 3 * alone.together_seconds


def test_a_draft_model_comes_on_top_with_a_context_as_long() -> None:
    draft = header_of("llama3.2:1b")
    bare, made, longer = planned(), planned(draft=draft), planned(draft=draft, context=16384)
    weights = sum(tensor.nbytes for tensor in draft.tensors.values())
    assert made.parts.draft > weights + 2**28  # 16 layers of 8,192 tokens, 2 KiB each
    assert longer.parts.draft - made.parts.draft == pytest.approx(2**28, rel=0.1)  # and a mask
    assert made.parts.overhead - bare.parts.overhead == made.parts.draft
    assert made.parts.total == sum(made.device_bytes) + made.host_bytes
    assert made.max_context <= bare.max_context
    assert made.json()["total_bytes"] == sum(made.json()[part] for part in PARTS)
    # A speed with it would be a guess at how many guesses hold.
    assert made.empty == bare.empty


def test_the_longest_context_leaves_room_for_the_draft_s() -> None:
    draft, there = header_of("llama3.2:1b"), card("RTX 3090")
    made = planned("gemma3:27b", there, draft=draft)
    assert made.placed == "wholly"
    assert 8192 < made.max_context < 131072
    assert planned("gemma3:27b", there, draft=draft, context=made.max_context).placed == "wholly"
    assert planned("gemma3:27b", there, draft=draft, context=made.max_context + 512).placed != "wholly"


@pytest.mark.parametrize("there", ["DDR5-5600 64GB", "m4 max (40-core gpu) 64gb", "RTX 4090"])
def test_a_draft_is_where_the_model_is(there: str) -> None:
    bare, made = planned(there=card(there)), planned(there=card(there), draft=header_of("llama3.2:1b"))
    assert made.placed == "wholly"
    grown = [sum(one.device_bytes) if sum(one.device_bytes) else one.host_bytes for one in (made, bare)]
    assert grown[0] - grown[1] == pytest.approx(made.parts.draft, rel=0.25)  # but for the table of tokens, which stays in the machine's memory
    assert made.host_bytes + sum(made.device_bytes) == made.parts.total


def test_a_draft_takes_layers_from_a_model_that_hardly_fits() -> None:
    bare, made = planned("llama3.1:70b"), planned("llama3.1:70b", draft=header_of("llama3.1:8b"))
    assert made.placed == "offload"
    assert made.gpu_layers < bare.gpu_layers


def test_a_prompt_cache_lies_in_the_machine_s_memory() -> None:
    bare, made = planned(), planned(prompt_cache=2 * 2**30)
    assert made.parts.prompt_cache == made.parts.overhead - bare.parts.overhead == made.host_bytes - bare.host_bytes == 2 * 2**30
    assert made.device_bytes == bare.device_bytes


def test_what_is_remembered_is_not_read_again() -> None:
    values: dict[str, Any] = {"model": "llama3.1:8b", "header": header_of("llama3.1:8b"), "precision": "Q4_K_M", "trained": 131072}
    bare, made, small = (plan(Wish(**values, prompt_cache=size), card(), PRICES) for size in (0, 2**30, 2**29))
    assert bare.resumed_seconds is None
    assert small.resumed_seconds is None  # not one context of 1 GiB
    assert made.resumed_seconds is not None
    assert made.full is not None
    assert made.full.first_token_seconds / 20 < made.resumed_seconds < made.full.first_token_seconds / 5


@pytest.mark.parametrize(
    ("changes", "param"),
    [
        ({"users": 0}, "users"),
        ({"users": 100_001}, "users"),
        ({"prompt_cache": -1}, "prompt_cache"),
        ({"prompt_cache": 2**45}, "prompt_cache"),
        ({"draft": header_of("llama3.2:1b"), "task": "embed"}, "draft"),
        ({"context": -1}, "context"),
        ({"slots": 1000}, "slots"),
        ({"gpu_layers": -1}, "gpu_layers"),
        ({"people": 0}, "people"),
    ],
)
def test_sizes_that_are_none_are_refused(changes: dict[str, Any], param: str) -> None:
    with pytest.raises(InvalidRequest) as refused:
        wish(**changes)
    assert refused.value.param == param


def test_the_engine_is_started_as_it_is_told_elsewhere() -> None:
    on_card, on_host = starting(wish(), card()), starting(wish(), card("DDR5-5600 64GB"))
    assert (on_card.batch, on_card.micro_batch, on_host.batch, on_host.micro_batch) == (2048, 512, 128, 128)
    experts = wish("qwen3:30b")
    assert starting(experts, card("DDR5-5600 64GB")).batch == 512
    whole = starting(wish("nomic-embed-text:v1.5", task="embed", context=2048), card("DDR5-5600 64GB"))
    assert (whole.batch, whole.micro_batch, whole.checkpoints) == (2048, 2048, 0)


# --- money ---


def test_an_unknown_price_leaves_what_it_decides_open() -> None:
    told = planned(there=card(price=None)).json()
    assert told["price_eur"] is told["eur_per_1m_tokens"] is told["break_even_months"] is None
    assert told["watt_hours_per_1k_tokens"] > 0


def test_what_is_there_already_costs_only_its_running() -> None:
    made = planned(there=card(price=0.0))
    assert made.json()["price_eur"] == 0
    assert made.expense is not None
    assert made.expense.own.purchase_eur == 0
    assert made.expense.own.eur_per_month == made.expense.own.running_eur > 0


def test_break_even_is_that_of_the_first_alternative_at_the_users_volume() -> None:
    volume = Volume(input_tokens=4e8, output_tokens=2e8)
    made = planned(volume=volume, users=4, terms=Terms(against=("anthropic/claude-sonnet-5-5", "chatgpt-plus")))
    assert made.expense is not None
    first, second = made.expense.verdicts
    assert first.pays
    assert made.json()["break_even_months"] == pytest.approx(first.break_even_months, rel=1e-5)
    assert second.alternative.name.endswith("chatgpt-plus")
    assert first.own.tokens == volume.tokens


def test_without_a_volume_people_use_it_as_much_as_people_do() -> None:
    month = usual_volume(PRICES, 3)
    assert month.tokens == pytest.approx(900 * 3 * ANSWERS_PER_PERSON.value)
    assert 100 < ANSWERS_PER_PERSON.value < 120
    made = planned(people=3)
    assert made.expense is not None
    assert made.expense.volume == month
    assert ANSWERS_PER_PERSON in made.assumptions


def test_more_people_share_the_idle_hours() -> None:
    few, many = planned(people=1).json(), planned(people=100).json()
    assert many["watt_hours_per_1k_tokens"] < few["watt_hours_per_1k_tokens"] / 10
    assert many["eur_per_1m_tokens"] < few["eur_per_1m_tokens"] / 10


def test_names_of_nothing_are_refused() -> None:
    with pytest.raises(InvalidRequest):
        planned(terms=Terms(against=("openai/gpt-none",)))
    with pytest.raises(InvalidRequest, match="chatgpt-plus"):
        planned(terms=Terms(against=("chatgpt-plas",)))


def test_each_assumption_has_a_source_and_is_there_once() -> None:
    made = planned()
    assert CARD_MARGIN in made.assumptions
    assert len(set(made.assumptions)) == len(made.assumptions) > 10
    assert all(figure.source and figure.what and figure.unit for figure in made.assumptions)


# --- what the engine says ---


def laid(made: Plan, total: int, *, source: Any = "fit", **parts: int) -> Plan:
    return with_footprint(made, Footprint(host=total - 5000 * MIB, devices={"CUDA0": 5000 * MIB}, parts=parts, source=source))


def test_a_fit_pass_takes_the_place_of_arithmetic() -> None:
    made = planned()
    told = laid(made, 6000 * MIB, weights=4000 * MIB, cache=1000 * MIB, compute=200 * MIB, output=1 * MIB, runtime=100 * MIB).json()
    assert told["method"] == "fit"
    assert told["total_bytes"] == 6000 * MIB == sum(told[part] for part in PARTS)
    assert (told["weights_bytes"], told["kv_cache_bytes"], told["overhead_bytes"]) == (4000 * MIB, 1000 * MIB, 799 * MIB)
    assert told["generate_tokens_per_second"] == made.json()["generate_tokens_per_second"]


def test_less_than_was_reckoned_is_taken_from_the_weights() -> None:
    made = planned()
    found = laid(made, 5100 * MIB, source="measured")
    assert found.method == "measured"
    assert found.parts.total == 5100 * MIB
    assert found.parts.overhead == 0
    assert found.parts.weights < made.parts.weights
    assert found.parts.kv_cache == made.parts.kv_cache


def test_a_footprint_that_is_too_large_does_not_fit() -> None:
    made = planned()
    found = with_footprint(made, Footprint(host=MIB, devices={"CUDA0": 23 * 2**30}, source="fit"))
    assert made.fits
    assert not found.fits
    assert "does not fit" in found.sentence
    assert found.missing_bytes == 23 * 2**30 - (DEVICES.find("RTX 4090").usable_bytes - 2**30)


def test_a_footprint_that_nobody_took_changes_nothing() -> None:
    made = planned()
    assert with_footprint(made, Footprint(host=1)) is made


# --- time ---


@pytest.mark.parametrize(
    "name",
    ["llama3.1:8b", "gemma3:27b", "llama3.1:70b", "llama3.1:405b", "deepseek-r1:671b", "deepseek-v3.2:671b", "qwen3-next:80b", "kimi-linear:48b",
     "nomic-embed-text:v1.5", "qwen3-embedding:8b"],
)  # fmt: skip
@pytest.mark.parametrize(("there", "count"), [("RTX 3090", 1), ("RTX 3090", 4), ("DDR5-5600 64GB", 1), ("M3 Max (40-core GPU)", 1)])
def test_a_plan_takes_milliseconds(name: str, there: str, count: int) -> None:
    """Of a header that nobody has asked about before; as this thread counts time, which is more where others use the caches too."""
    entry = load_catalogue().find(name)
    assert entry is not None
    anatomy, machine, times = entry.anatomy, card(there, count=count), list[float]()
    while not times or (times[-1] > 0.05 and len(times) < 10):
        header = describe(anatomy, lambda tensor: tensor_type(anatomy, tensor, entry.precision))
        task: Task = "embed" if "embedding" in entry.use else "generate"
        before = time.thread_time()
        plan(Wish(model=name, header=header, trained=entry.context, users=2, task=task), machine, PRICES)
        times.append(time.thread_time() - before)
    assert min(times) <= 0.05
