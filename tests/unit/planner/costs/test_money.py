"""Cost of one's own machine, break-even, verdict and footprint: worked out by hand, and properties that hold for any input."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from hausgeist.errors import InvalidRequest
from hausgeist.planner.costs import money
from hausgeist.planner.costs.footprint import data_centre_footprint, own_footprint, usual_answer
from hausgeist.planner.costs.money import (
    Alternative,
    Machine,
    Volume,
    break_even_months,
    busy_hours,
    cloud_cost,
    curve,
    own_cost,
    rented_cost,
    subscription_cost,
)
from hausgeist.planner.costs.prices import CloudModel, Figure, decode, packaged
from hausgeist.planner.costs.verdict import verdict

PRICES = decode(packaged())


def made(**changes: Any) -> Machine:
    numbers: dict[str, Any] = {
        "price_eur": 2400, "watts_load": 300, "watts_idle": 50, "prompt_tokens_per_second": 1000, "generate_tokens_per_second": 50,
        "electricity_eur_per_kwh": 0.30, "years": 4, "hours_on": 730, "upkeep_hours": 2, "upkeep_rate": 20,
    }  # fmt: skip
    return money.machine(PRICES, **(numbers | changes))


def model(entry: float, cached: float, output: float) -> CloudModel:
    return CloudModel(name="some/model", input=figure(entry), cached_input=figure(cached), output=figure(output))


def figure(value: float) -> Figure:
    return Figure(value=value, unit="EUR/1M tokens")


def other(euros: float, *, grows: bool = False, tokens: float = 0) -> Alternative:
    return Alternative(name="the other", eur_per_month=euros, tokens=tokens, grows=grows, assumptions=())


MACHINE = made()
VOLUME = Volume(input_tokens=3_600_000, output_tokens=1_800_000, cached_input_tokens=1_200_000)
NOTHING = Volume(input_tokens=0, output_tokens=0)


def test_a_month_of_ones_own() -> None:
    """1 h of reading and 10 h of writing at 300 W, 719 h idle at 50 W, at 0.30 EUR; 2400 EUR over 48 months; 2 h of upkeep at 20 EUR."""
    assert busy_hours(MACHINE, VOLUME) == pytest.approx(11)
    own = own_cost(MACHINE, VOLUME)
    assert (own.load_kwh, own.idle_kwh) == pytest.approx((3.3, 35.95))
    assert (own.hardware_eur, own.electricity_eur, own.upkeep_eur) == pytest.approx((50, 11.775, 40))
    assert own.eur_per_month == pytest.approx(101.775)
    assert own.eur_per_1m_tokens == pytest.approx(101.775 / 5.4)
    assert own.watt_hours_per_1k_tokens == pytest.approx(39_250 / 5_400)
    assert (own.machines, own.utilisation) == (1, pytest.approx(11 / 730))


def test_cooling_and_switching_off() -> None:
    cooled = replace(MACHINE, cooling=money.given(1.5, "kWh/kWh", "cooling"))
    assert own_cost(cooled, VOLUME).electricity_eur == pytest.approx(1.5 * 11.775)
    assert own_cost(made(hours_on=11), VOLUME).electricity_eur == pytest.approx(0.99)


def test_more_work_than_one_machine_does() -> None:
    """1100 hours of work in months of 730: two machines, 360 h of theirs idle."""
    own = own_cost(MACHINE, VOLUME.times(100))
    assert own.machines == 2
    assert own.idle_kwh == pytest.approx(18)
    assert (own.hardware_eur, own.upkeep_eur, own.purchase_eur) == pytest.approx((100, 80, 4800))
    assert own_cost(MACHINE, VOLUME.times(730 / 11)).machines == 1


def test_the_cloud_at_ones_own_volume() -> None:
    """2.4 M fresh at 2 EUR, 1.2 M cached at 0.50 EUR, 1.8 M written at 10 EUR."""
    cost = cloud_cost(model(2, 0.5, 10), VOLUME)
    assert cost.eur_per_month == pytest.approx(4.8 + 0.6 + 18)
    assert cost.eur_per_1m_tokens == pytest.approx(23.4 / 5.4)


def test_subscriptions_and_rented_cards() -> None:
    assert subscription_cost(PRICES.subscription("claude-pro"), 3).eur_per_month == pytest.approx(60 / 1.1172)
    assert rented_cost(PRICES.rented("lambda/A10 24 GB"), hours=100, cards=2).eur_per_month == pytest.approx(258 / 1.1172)
    assert subscription_cost(PRICES.subscription("claude-pro"), 3, VOLUME).eur_per_1m_tokens == pytest.approx(60 / 1.1172 / 5.4)


def test_break_even_and_the_curve() -> None:
    """151.775 EUR otherwise, 51.775 EUR of running costs: 2400 EUR are back after 24 months."""
    own = own_cost(MACHINE, VOLUME)
    assert break_even_months(own, other(151.775)) == pytest.approx(24)
    points = curve(own, other(151.775), 60)
    assert (points[0].own_eur, points[0].alternative_eur) == (2400, 0)
    assert points[24].own_eur == pytest.approx(points[24].alternative_eur)
    assert points[48].own_eur == pytest.approx(2400 + 48 * 51.775)
    assert points[49].own_eur == pytest.approx(4800 + 49 * 51.775), "after four years it is bought again"


def test_never_and_at_once() -> None:
    own = own_cost(MACHINE, VOLUME)
    assert break_even_months(own, other(51)) is None, "running costs more than the other"
    assert break_even_months(own, other(101)) is None, "worn out before"
    assert break_even_months(own, other(102)) == pytest.approx(2400 / 50.225)
    assert break_even_months(own_cost(made(price_eur=0), VOLUME), other(52)) == 0


def test_the_verdict_and_what_turns_it() -> None:
    found = verdict(MACHINE, VOLUME, other(151.775))
    assert found.pays
    assert found.saving_eur_per_month == pytest.approx(50)
    assert found.answer == "It pays: 102 EUR a month instead of 152 EUR for the other; the purchase is back after 24 months."
    turns = {change.what: change.then for change in found.changes}
    assert turns["machine price"] == pytest.approx(4800)
    assert turns["electricity"] == pytest.approx(61.775 / 39.25)
    assert turns["idle power"] == pytest.approx((61.775 / 0.3 - 3.3) / 719 * 1000)
    assert turns["alternative"] == pytest.approx(101.775)


def test_a_verdict_against() -> None:
    found = verdict(MACHINE, VOLUME, cloud_cost(model(2, 0.5, 10), VOLUME))
    assert not found.pays
    assert found.break_even_months is None
    assert found.answer.startswith("It does not pay: 102 EUR a month instead of 23.40 EUR for some/model. It would from ")
    assert "times the volume" in found.answer
    assert found.answer.endswith("if some/model cost 4.3 times as much.")
    # Fixed: 50 + 40 + 730 h * 50 W * 0.30 = 100.95 EUR; each volume: 250 W * 11 h * 0.30 = 0.825 EUR against 23.40 EUR.
    assert next(change.then for change in found.changes if change.what == "volume") == pytest.approx(5.4e6 * 100.95 / (23.4 - 0.825))


def test_large_factors_are_written_out() -> None:
    """101 EUR of one's own at hardly any volume, 0.234 EUR otherwise."""
    small = VOLUME.times(0.01)
    answer = verdict(MACHINE, small, cloud_cost(model(2, 0.5, 10), small)).answer
    assert "from 447 times the volume" in answer
    assert answer.endswith("if some/model cost 431 times as much.")


def test_a_figure_keeps_its_source() -> None:
    price = Figure(value=900, unit="EUR", what="RTX 3090, used", source="the shop", estimate=True)
    one = made(price_eur=price)
    assert one.price is price
    assert price in verdict(one, VOLUME, other(100)).assumptions
    assert own_cost(one, VOLUME).hardware_eur == pytest.approx(900 / 48)


def test_what_no_volume_turns() -> None:
    """Cheaper than the electricity of the machine at work."""
    found = verdict(MACHINE, VOLUME, cloud_cost(model(0.01, 0.01, 0.02), VOLUME))
    assert not found.pays
    assert {change.what for change in found.changes} == {"alternative"}


def test_an_answer_without_questions() -> None:
    found = verdict(MACHINE, NOTHING, cloud_cost(model(2, 1, 10), NOTHING))
    assert found.answer == "It does not pay: 101 EUR a month instead of 0.00 EUR for some/model; nothing is asked of it."
    assert found.own.eur_per_1m_tokens is None
    assert found.own.watt_hours_per_1k_tokens is None
    assert found.alternative.eur_per_1m_tokens is None
    assert verdict(made(price_eur=0, upkeep_hours=0), NOTHING, other(20)).answer.endswith("from the first month on.")
    assert curve(found.own, found.alternative)[-1].alternative_eur == 0


def test_every_assumption_comes_along() -> None:
    at_home = money.machine(PRICES, price_eur=900, watts_load=200, watts_idle=30, prompt_tokens_per_second=500, generate_tokens_per_second=20)
    found = verdict(at_home, VOLUME, cloud_cost(PRICES.cloud("openai/gpt-6.1-sol"), VOLUME))
    said = {one.what for one in found.assumptions}
    assert said >= {
        "price of the machine",
        "years of use",
        "hours on per month",
        "electricity, household, DE",
        "own cooling factor",
        "power when idle",
    }
    assert said >= {"openai/gpt-6.1-sol, input", "openai/gpt-6.1-sol, cached input", "openai/gpt-6.1-sol, output", "output per month"}
    assert all(one.source for one in found.assumptions)
    assert len(found.assumptions) == len(set(found.assumptions))


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"price_eur": -1}, "price of the machine is -1 EUR"),
        ({"price_eur": math.inf}, "price of the machine is inf"),
        ({"years": 0}, "years of use is 0 years"),
        ({"watts_load": -5}, "power at load is -5 W"),
        ({"watts_idle": 400}, "400 W idle are more than 300 W at load"),
        ({"generate_tokens_per_second": 0}, "speed of writing is 0 tokens/s"),
        ({"prompt_tokens_per_second": math.nan}, "speed of reading is nan"),
        ({"electricity_eur_per_kwh": 38.35}, "electricity is 38.35 EUR/kWh; it lies between 0 and 5"),
        ({"hours_on": 800}, "hours on per month is 800 hours"),
        ({"upkeep_rate": -20}, "rate of upkeep is -20 EUR/h"),
        ({"electricity_eur_per_kwh": None, "country": "Germani"}, "Did you mean Germany"),
    ],
)
def test_absurd_machines_are_refused(changes: dict[str, Any], said: str) -> None:
    with pytest.raises(InvalidRequest, match=said):
        made(**changes)


def test_absurd_volumes_are_refused() -> None:
    with pytest.raises(InvalidRequest, match="input tokens is -1"):
        Volume(input_tokens=-1, output_tokens=0)
    with pytest.raises(InvalidRequest, match="output tokens is nan"):
        Volume(input_tokens=1, output_tokens=math.nan)
    with pytest.raises(InvalidRequest, match="cached input tokens is 2; it lies between 0 and 1"):
        Volume(input_tokens=1, output_tokens=0, cached_input_tokens=2)
    with pytest.raises(InvalidRequest, match="people is -1"):
        subscription_cost(PRICES.subscription("claude-pro"), -1)
    with pytest.raises(InvalidRequest, match="months is 0"):
        curve(own_cost(MACHINE, VOLUME), other(1), 0)


def test_a_thousand_answers_of_ones_own() -> None:
    """8.5 s each at 300 W, and their share of 35.95 kWh idle by 11 h at work; 350 g and 2 l for each kWh."""
    answer = Volume(input_tokens=500, output_tokens=400)
    carbon, water = money.given(350, "gCO2/kWh", "carbon"), money.given(2, "l/kWh", "water")
    found = own_footprint(MACHINE, VOLUME, answer, carbon=carbon, water=water)
    assert found.active_watt_hours == pytest.approx(8500 / 3600 * 300)
    assert found.watt_hours == pytest.approx(8500 / 3600 * 300 + 35_950 * 8500 / 3600 / 11)
    assert found.gco2 == pytest.approx(found.watt_hours * 0.35)
    assert found.litres == pytest.approx(found.watt_hours * 0.002)
    assert own_footprint(MACHINE, NOTHING, answer, carbon=carbon, water=water).watt_hours == pytest.approx(found.active_watt_hours)
    assert {carbon, water} <= set(found.assumptions)
    assert usual_answer(PRICES) == answer
    usual = own_footprint(MACHINE, VOLUME, usual_answer(PRICES), carbon=carbon, water=water)
    assert usual.litres == found.litres
    assert {PRICES.assumption("prompt_tokens_per_answer"), PRICES.assumption("generated_tokens_per_answer")} <= set(usual.assumptions)


def test_a_thousand_answers_of_a_data_centre() -> None:
    """0.24 kWh; 0.24 / 1.09 * 0.36 l on site and 0.24 * 4.52 l at the power stations."""
    found = data_centre_footprint(
        PRICES.answer(), pue=PRICES.answer_pue(), wue=PRICES.wue(), carbon=money.given(400, "gCO2/kWh", "carbon"), water=PRICES.generation()
    )
    assert (found.watt_hours, found.gco2) == pytest.approx((240, 96))
    assert found.litres == pytest.approx(0.24 / 1.09 * 0.36 + 0.24 * 4.52)
    # Google prints 0.26 ml for the water on site of one such prompt.
    google = data_centre_footprint(
        PRICES.answer(), pue=PRICES.answer_pue(), wue=PRICES.wue("google"), carbon=PRICES.carbon("US"), water=money.given(0, "l/kWh", "none")
    )
    assert google.litres == pytest.approx(0.26, abs=0.01)


TOKENS = st.floats(0, 1e10)
VOLUMES = st.builds(Volume, input_tokens=TOKENS, output_tokens=TOKENS)
CLOUDS = st.builds(model, st.floats(0, 50), st.floats(0, 5), st.floats(0, 200))


@st.composite
def machines(draw: st.DrawFn) -> Machine:
    load = draw(st.floats(1, 5000))
    return made(
        price_eur=draw(st.floats(0, 1e5)),
        watts_load=load,
        watts_idle=load * draw(st.floats(0, 1)),
        prompt_tokens_per_second=draw(st.floats(1, 1e5)),
        generate_tokens_per_second=draw(st.floats(0.1, 1e4)),
        electricity_eur_per_kwh=draw(st.floats(0, 1)),
        years=draw(st.floats(0.5, 15)),
        hours_on=draw(st.floats(1, 744)),
        upkeep_hours=draw(st.floats(0, 20)),
        upkeep_rate=draw(st.floats(0, 200)),
    )


def almost(first: float, second: float) -> bool:
    return math.isclose(first, second, rel_tol=1e-6, abs_tol=1e-6)


@settings(max_examples=150, deadline=None)
@given(machines(), VOLUMES, CLOUDS, st.floats(1, 1000))
def test_more_volume_never_costs_less(one: Machine, volume: Volume, cloud: CloudModel, factor: float) -> None:
    more = volume.times(factor)
    assert own_cost(one, more).eur_per_month >= own_cost(one, volume).eur_per_month * (1 - 1e-9)
    assert own_cost(one, more).kwh_per_month >= own_cost(one, volume).kwh_per_month * (1 - 1e-9)
    assert cloud_cost(cloud, more).eur_per_month >= cloud_cost(cloud, volume).eur_per_month * (1 - 1e-9)


@settings(max_examples=150, deadline=None)
@given(machines(), VOLUMES, st.floats(0, 1e5))
def test_break_even_verdict_and_curve_agree(one: Machine, volume: Volume, euros: float) -> None:
    own = own_cost(one, volume)
    months = break_even_months(own, other(euros))
    found = verdict(one, volume, other(euros))
    assert found.pays == (months is not None)
    if not almost(own.eur_per_month, euros):
        assert found.pays == (own.eur_per_month < euros)
    for point in curve(own, other(euros), 240)[: math.floor(own.life_months) + 1]:
        slack = 1e-6 * max(1.0, point.own_eur)
        if months is None or point.month < months:
            assert point.own_eur >= point.alternative_eur - slack
        else:
            assert point.own_eur <= point.alternative_eur + slack


@settings(max_examples=150, deadline=None)
@given(machines(), VOLUMES, CLOUDS)
def test_what_turns_the_verdict_makes_both_equal(one: Machine, volume: Volume, cloud: CloudModel) -> None:
    assume(volume.tokens > 1)
    found = verdict(one, volume, cloud_cost(cloud, volume))
    for change in found.changes:
        euros = found.alternative.eur_per_month
        match change.what:
            case "machine price":
                own = own_cost(replace(one, price=replace(one.price, value=change.then)), volume) if change.then <= 1e8 else None
            case "electricity":
                own = own_cost(replace(one, electricity=replace(one.electricity, value=change.then)), volume) if change.then <= 5 else None
            case "idle power":
                own = own_cost(replace(one, watts_idle=replace(one.watts_idle, value=change.then)), volume)
            case "volume":
                turned = volume.times(change.then / change.now)
                own, euros = own_cost(one, turned), cloud_cost(cloud, turned).eur_per_month
            case "alternative":
                own, euros = found.own, change.then * volume.tokens / 1e6
        assert own is None or almost(own.eur_per_month, euros), change


@settings(max_examples=100, deadline=None)
@given(machines(), CLOUDS, st.floats(0, 1e4))
def test_no_volume_divides_nothing(one: Machine, cloud: CloudModel, euros: float) -> None:
    for alternative in (cloud_cost(cloud, NOTHING), other(euros), other(0)):
        found = verdict(one, NOTHING, alternative)
        assert found.answer
        assert found.own.machines == 1
        assert math.isfinite(found.own.eur_per_month)
        assert len(curve(found.own, alternative, 12)) == 13
    carbon = PRICES.carbon("DE")
    assert own_footprint(one, NOTHING, NOTHING, carbon=carbon, water=PRICES.water("DE")).watt_hours == 0
