"""What to buy: offers with their prices, and three machines for a budget."""

from __future__ import annotations

from dataclasses import replace

import pytest

from hausgeist.errors import InvalidRequest
from hausgeist.planner.advice.buying import AT_ONCE, CARDS, USUAL_BUDGET, VAT, Proposal, offers, what_to_buy
from hausgeist.planner.costs.prices import decode, packaged
from hausgeist.planner.costs.purchase import base_machine, device_price_eur
from hausgeist.planner.devices.known import Devices, load
from tests.unit.planner.paced import model_of, paced

ALL, PRICES = load(), decode(packaged())
FEW = Devices(
    devices=[
        ALL.find(name)
        for name in ("RTX 3060 12GB", "RTX 3090", "RTX 5060 Ti 16GB", "Ryzen AI Max+ 395", "Tesla P40", "DDR5-5600, 2 channels", "RTX 2070")
    ],
    links=ALL.links,
    sources=ALL.sources,
)
MODELS = tuple(model_of(name) for name in ("qwen3:0.6b", "llama3.1:8b", "gemma3:12b", "qwen3:30b", "gemma3:27b", "llama3.1:70b", "qwen2.5-coder:7b"))


def bought(use: str = "chat", people: int = 1, budget: float | None = 3000, devices: Devices = FEW) -> tuple[Proposal, ...]:
    return what_to_buy(use, people, budget, devices=devices, models=MODELS, prices=PRICES, run=paced)


def test_offers_are_one_to_eight_cards_with_a_machine_or_a_machine_alone() -> None:
    found = list(offers(FEW, PRICES))
    used = [one for one in found if one.device.name == "RTX 3090"]
    assert [one.count for one in used] == list(CARDS)
    assert {one.condition for one in used} == {"used"}
    price = device_price_eur(ALL.find("RTX 3090"), "used", PRICES)
    assert price is not None
    two = used[1]
    assert two.price_eur == pytest.approx(2 * price.value + base_machine(2, PRICES).price.value)
    halo = [one for one in found if one.device.name == "Ryzen AI Max+ 395"]
    assert [one.count for one in halo] == [1]
    assert halo[0].target.unified
    assert halo[0].device.memory_gib == 128


def test_what_is_old_or_has_no_price_is_not_offered() -> None:
    names = {one.device.name for one in offers(FEW, PRICES)}
    assert not names & {"Tesla P40", "DDR5-5600, 2 channels", "RTX 2070"}


def test_without_tax_american_prices_are_lower() -> None:
    taxed = {(one.device.name, one.count, one.condition): one.price_eur for one in offers(FEW, PRICES)}
    bare = {(one.device.name, one.count, one.condition): one.price_eur for one in offers(FEW, PRICES, tax=None)}
    assert all(bare[key] <= price for key, price in taxed.items())
    assert any(bare[key] < price for key, price in taxed.items())


def test_three_choices_each_dearer_than_the_last_and_within_the_budget() -> None:
    found = bought()
    assert [one.kind for one in found] == ["thrifty", "balanced", "roomy"][: len(found)]
    assert len(found) >= 2
    assert [one.offer.price_eur for one in found] == sorted({one.offer.price_eur for one in found})
    assert all(one.offer.price_eur <= 3000 and one.ranked.good for one in found)
    assert all(one.ranked.wish.title in one.reason and "EUR" in one.reason for one in found)
    assert AT_ONCE in found[0].assumptions
    assert VAT in found[0].assumptions


def test_more_money_buys_no_worse_a_model() -> None:
    little, much = bought(budget=1300), bought(budget=6000)
    assert max(one.ranked.quality for one in much) >= max(one.ranked.quality for one in little)


def test_people_who_ask_at_once_are_reckoned_with() -> None:
    assert bought(people=1)[0].users == 1
    many = bought(people=25, budget=8000)
    assert all(one.users == 5 == one.ranked.wish.users for one in many)
    assert "25 people" in many[0].reason


def test_a_budget_that_buys_nothing_is_told_what_would() -> None:
    with pytest.raises(InvalidRequest, match=r"cheapest .* EUR") as refused:
        bought(budget=50)
    assert refused.value.param == "budget"


@pytest.mark.parametrize(("use", "people", "budget"), [("cooking", 1, 1000), ("chat", 0, 1000), ("chat", 1, -5), ("chat", 5000, 10**6)])
def test_questions_without_sense_are_refused(use: str, people: int, budget: float) -> None:
    with pytest.raises(InvalidRequest):
        bought(use, people, budget)


def test_a_price_of_ones_own_counts() -> None:
    own = decode(packaged(), '[devices]\n"RTX 3090" = { used = 100.0, currency = "EUR" }\n')
    found = [one for one in offers(FEW, own) if one.device.name == "RTX 3090" and one.count == 1]
    assert found[0].price_eur == pytest.approx(100 + base_machine(1, own).price.value)


def test_proposals_do_not_depend_on_the_order_of_devices() -> None:
    turned = replace(FEW, devices=tuple(reversed(list(FEW.devices))))
    assert [one.offer.target.title for one in bought(devices=turned)] == [one.offer.target.title for one in bought()]


def test_only_what_is_new_from_the_united_states_is_taxed() -> None:
    new = device_price_eur(ALL.find("RTX 5060 Ti 16GB"), "new", PRICES)
    assert new is not None
    one = next(one for one in offers(FEW, PRICES) if one.device.name == "RTX 5060 Ti 16GB" and one.count == 1)
    assert one.price_eur == pytest.approx(new.value * (1 + VAT.value) + base_machine(1, PRICES).price.value)


def test_without_a_budget_the_usual_one_is_an_assumption() -> None:
    found = bought(budget=None)
    assert all(one.offer.price_eur <= USUAL_BUDGET.value and USUAL_BUDGET in one.assumptions for one in found)
