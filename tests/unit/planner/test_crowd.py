"""How many at once under llama.cpp: against laying every number out, one by one."""

from __future__ import annotations

from typing import Any

import pytest

from hausgeist.planner.costs.prices import decode, packaged
from hausgeist.planner.crowd import Crowd, crowd
from hausgeist.planner.devices.known import load
from hausgeist.planner.plan import Plan, Wish, plan
from hausgeist.planner.target import Target, target
from hausgeist.planner.wish import MOST_SLOTS
from tests.unit.planner.paced import header_of

DEVICES, PRICES = load(), decode(packaged())


def on(name: str, **more: Any) -> Target:
    return target(DEVICES, name, **({"around": "DDR5-5600 64GB", "price_eur": 2000.0} | more))


def planned(name: str, there: Target, **changes: Any) -> Plan:
    return plan(Wish(**({"model": name, "header": header_of(name), "precision": "Q4_K_M", "trained": 131072} | changes)), there, PRICES)


def held(made: Plan) -> Crowd:
    found = crowd(made)
    assert found is not None
    return found


@pytest.mark.parametrize(
    ("name", "there", "changes"),
    [
        ("llama3.1:8b", on("RTX 3090"), {}),
        ("gemma3:27b", on("RTX 3090"), {}),  # windows, and copies of them in the machine's memory
        ("qwen3:30b", on("RTX 3090"), {"context": 4096}),
        ("llama3.1:8b", on("RTX 3060 12GB", count=2), {}),
        ("llama3.1:8b", on("RTX 3090"), {"draft": header_of("llama3.2:1b")}),
        ("llama3.1:8b", on("RTX 3090"), {"cache_type": "q8_0"}),
        ("llama3.1:8b", on("DDR5-5600 64GB"), {}),
        ("qwen3.5:9b", on("RTX 3090"), {}),  # states beside the cache
        ("qwen3:8b", on("m4 max (40-core gpu) 64gb"), {}),
    ],
)
def test_one_more_would_not_do(name: str, there: Target, changes: dict[str, Any]) -> None:
    alone = planned(name, there, **changes)
    found = held(alone)
    assert found.most >= 1
    for users, good in ((found.most, True), (found.most + 1, False)):
        made = planned(name, there, users=users, **changes)
        fast = made.empty is not None and made.empty.generate_tokens_per_second >= 10
        assert (made.placed == "wholly" and fast) is good, (users, made.sentence)
        if not good:
            assert found.limit == ("speed" if made.placed == "wholly" else "memory")


def test_it_is_the_same_however_many_ask() -> None:
    one, many = held(planned("gemma3:27b", on("RTX 3090"))), held(planned("gemma3:27b", on("RTX 3090"), users=14))
    assert (one.most, one.limit) == (many.most, many.limit)


def test_not_even_one() -> None:
    found = held(planned("llama3.1:70b", on("RTX 3090")))
    assert (found.most, found.limit) == (0, "speed")


def test_a_mixture_with_the_processor_s_help_is_held_by_speed() -> None:
    there = on("RTX 3060 12GB")
    found = held(planned("qwen3:30b", there))
    assert found.limit == "speed"
    for users, good in ((found.most, True), (found.most + 1, False)):
        made = planned("qwen3:30b", there, users=users)
        assert made.placed == "offload"
        assert made.empty is not None
        assert (made.empty.generate_tokens_per_second >= 10) is good


def test_the_engine_has_so_many_slots() -> None:
    found = held(planned("qwen3:0.6b", on("H200 SXM"), context=512))
    assert (found.most, found.limit) == (MOST_SLOTS["llamacpp"], "slots")


def test_speed_falls_and_the_whole_grows_with_users() -> None:
    points = held(planned("llama3.1:8b", on("RTX 3090"))).points
    assert [one.users for one in points] == [1, 2, 4, 8, 16, 18]
    each, together = [one.generate_tokens_per_second for one in points], [one.total_tokens_per_second for one in points]
    assert each == sorted(each, reverse=True)
    assert together == sorted(together)
    assert points[3].first_token_seconds == pytest.approx(8 * points[0].first_token_seconds)
    assert all(one.total_tokens_per_second == pytest.approx(one.users * one.generate_tokens_per_second) for one in points)


def test_what_writes_nothing_or_does_not_fit_holds_nobody() -> None:
    assert crowd(planned("llama3.1:405b", on("RTX 3090"))) is None
    embeds = planned("nomic-embed-text:v1.5", on("RTX 3090"), task="embed", context=2048, trained=2048)
    assert crowd(embeds) is None
