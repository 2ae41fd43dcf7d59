"""Where a model goes: the most layers that cards hold, and the longest context."""

from __future__ import annotations

from dataclasses import replace

import pytest

from hausgeist.errors import InvalidRequest
from hausgeist.planner.devices.known import load
from hausgeist.planner.fitting import Fit, Room, fit, largest_context, room
from hausgeist.planner.memory import Start, estimate
from hausgeist.planner.target import Host, target
from tests.unit.planner.paced import header_of

GIB = 2**30
DEVICES = load()
ONE = Start(context=4096, batch=2048, micro_batch=512, shares=(1.0,))
TWO = replace(ONE, shares=(1.0, 1.0))


def space(*cards: float, host: float = 64.0) -> Room:
    return Room(devices=tuple(int(card * GIB) for card in cards), host=int(host * GIB))


def test_a_card_keeps_a_gibibyte_for_its_driver_and_a_machine_something_for_its_system() -> None:
    found = room(target(DEVICES, "RTX 4090", around="DDR5-5600 64GB"))
    assert found.devices == (DEVICES.find("RTX 4090").usable_bytes - GIB,)
    assert found.host == 62 * GIB
    measured = replace(target(DEVICES, "DDR5-5600 64GB").host, measured=True)
    assert room(replace(target(DEVICES, "DDR5-5600 64GB"), host=measured)).host == 64 * GIB - GIB // 2


def test_a_chip_that_shares_its_memory_counts_the_host_with_the_card() -> None:
    found = room(target(DEVICES, "M4 Max 128GB"))
    assert found.shared
    assert found.host == 0
    assert found.devices == (95 * GIB,)
    header = header_of("llama3.1:8b")
    memory = estimate(header, replace(ONE, gpu_layers=header.blocks + 1))
    tight = Room(devices=(memory.total - 1,), host=0, shared=True)
    assert fit(header, ONE, tight).placed == "no"
    assert fit(header, ONE, tight).missing == 1
    assert fit(header, ONE, replace(tight, devices=(memory.total,))).placed == "wholly"


@pytest.mark.parametrize("card", [1.0, 2.0, 3.5, 4.5])
def test_no_layer_more_would_fit(card: float) -> None:
    header, there = header_of("llama3.1:8b"), space(card)
    found = fit(header, ONE, there)
    assert found.placed == "offload"
    assert 0 < found.gpu_layers <= header.blocks
    assert found.memory.devices[0] <= there.devices[0]
    assert fit(header, ONE, there, gpu_layers=found.gpu_layers + 1).memory.devices[0] > there.devices[0]


def test_all_of_it_goes_onto_a_card_that_holds_it_to_the_byte() -> None:
    header = header_of("llama3.1:8b")
    whole = estimate(header, replace(ONE, gpu_layers=header.blocks + 1)).devices[0]
    assert fit(header, ONE, Room(devices=(whole,), host=64 * GIB)).placed == "wholly"
    assert fit(header, ONE, Room(devices=(whole - 1,), host=64 * GIB)).placed == "offload"


def test_cards_are_filled_one_after_the_other_where_halves_would_not_fit() -> None:
    """The output of a large vocabulary makes the last card's half the heavier one."""
    header = header_of("gemma3:4b")
    even = fit(header, TWO, space(24, 24))
    assert even.placed == "wholly"
    assert even.start.shares == (1.0, 1.0)
    first, last = even.memory.devices
    assert last > first + 300 * 2**20
    tight = Room(devices=(last - 100 * 2**20,) * 2, host=64 * GIB)
    found = fit(header, TWO, tight)
    assert found.placed == "wholly"
    assert found.start.shares[0] > found.start.shares[1]
    assert sum(found.start.shares) == header.blocks + 1
    assert all(size <= there for size, there in zip(found.memory.devices, tight.devices, strict=True))


def test_what_fits_nowhere_says_by_how_much() -> None:
    header = header_of("llama3.1:8b")
    found = fit(header, ONE, space(2, host=1))
    assert found.placed == "no"
    assert found.missing == found.memory.host - GIB
    assert fit(header, ONE, space(host=2)).missing == estimate(header, replace(ONE, shares=())).total - 2 * GIB


def test_a_number_of_layers_that_is_given_is_kept() -> None:
    header = header_of("llama3.1:8b")
    assert fit(header, ONE, space(24), gpu_layers=7).gpu_layers == 7
    assert fit(header, ONE, space(24), gpu_layers=999).gpu_layers == header.blocks + 1
    assert fit(header, ONE, space(1), gpu_layers=30).placed == "no"


@pytest.mark.parametrize(
    ("name", "cards", "host", "slots", "cache"),
    [
        ("llama3.1:8b", (12,), 64, 1, "f16"),
        ("llama3.1:8b", (12,), 64, 4, "q8_0"),
        ("llama3.1:8b", (6, 6), 64, 1, "f16"),
        ("llama3.1:8b", (4,), 8, 2, "f16"),
        ("llama3.1:8b", (), 10, 1, "f16"),
        ("gemma3:12b", (11,), 64, 2, "f16"),
        ("gpt-oss:20b", (16,), 64, 8, "f16"),
    ],
)
def test_the_longest_context_fits_and_a_little_more_does_not(name: str, cards: tuple[int, ...], host: int, slots: int, cache: str) -> None:
    header, there = header_of(name), space(*cards, host=host)
    start = replace(ONE, slots=slots, cache_type=cache, shares=(1.0,) * len(cards), checkpoints=2)  # type: ignore[arg-type]
    found = fit(header, start, there)
    most = largest_context(header, found, there, 131072)
    assert 4096 <= most < 131072
    assert most % 256 == 0

    def at(context: int) -> Fit:
        return fit(header, replace(start, context=context), there)

    assert at(most).placed == found.placed
    assert at(most + 1024).placed != found.placed


def test_the_longest_context_is_at_most_what_the_model_was_made_for() -> None:
    header = header_of("llama3.1:8b")
    found = fit(header, ONE, space(80))
    assert largest_context(header, found, space(80), 131072) == 131072
    assert largest_context(header, found, space(80), 10_000) == 10_000
    assert largest_context(header, found, space(80), 2048) == 2048


def test_what_does_not_fit_may_with_less_context() -> None:
    header = header_of("llama2:7b")
    start, there = replace(ONE, context=65536, shares=()), space(host=12)
    found = fit(header, start, there)
    assert found.placed == "no"
    most = largest_context(header, found, there, 65536)
    assert 8192 < most < 20_000
    assert fit(header, replace(start, context=most), there).placed == "wholly"
    assert largest_context(header, fit(header, start, space(host=2)), space(host=2), 65536) == 0


def test_a_whole_input_in_one_step_is_laid_out_anew_for_each_length() -> None:
    header = header_of("qwen3-embedding:0.6b")
    start = Start(context=2048, batch=2048, micro_batch=2048, task="embed", pooling="last")
    there = space(host=3)
    found = fit(header, start, there)
    most = largest_context(header, found, there, 32768)
    assert found.placed == "wholly"
    assert 2048 < most < 32768

    def at(context: int) -> Fit:
        return fit(header, replace(start, context=context, batch=context, micro_batch=context), there)

    assert at(most).placed == "wholly"
    assert at(most + 256).placed == "no"


def test_hosts_without_memory_are_refused() -> None:
    with pytest.raises(InvalidRequest, match="memory_bytes"):
        Host(
            title="none", memory_bytes=0, bandwidth_gb_s=1, compute_tflops=1, cores=1, instructions="none", watts_load=1, watts_idle=1, measured=False
        )
