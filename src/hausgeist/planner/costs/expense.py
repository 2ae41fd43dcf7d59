"""What a plan costs to run: euros, electricity, and what one would pay otherwise, for a month of its users' work.

Composes `money`, `verdict` and `footprint`; which model runs how fast is decided elsewhere.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from difflib import get_close_matches
from typing import Final

from hausgeist.errors import InvalidRequest, shown
from hausgeist.planner.costs.footprint import Footprint, data_centre_footprint, own_footprint, usual_answer
from hausgeist.planner.costs.money import Alternative, Machine, OwnCost, Volume, busy_hours, cloud_cost, given, machine, own_cost, subscription_cost
from hausgeist.planner.costs.prices import Consumer, Figure, Prices
from hausgeist.planner.costs.purchase import base_machine
from hausgeist.planner.costs.verdict import Verdict, verdict
from hausgeist.planner.target import Target

__all__ = ["ANSWERS_PER_PERSON", "Expense", "Terms", "alternatives", "expense", "usual_volume"]

ANSWERS_PER_PERSON: Final = Figure(
    value=18e9 / 700e6 * 365.25 / 7 / 12,
    unit="answers/month",
    what="answers for each person",
    date="2025-07",
    source="How people use ChatGPT, NBER working paper 34255, https://doi.org/10.3386/w34255: 18 billion messages a week from 700 million people",
)

_COMPARED: Final = ("openai/gpt-6.1-terra", "mistral/mistral-small-2603", "anthropic/claude-sonnet-5-5", "chatgpt-plus")
"""What is compared with where nothing else is asked for: a model of the middle, a cheap one, a dear one, a subscription."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Terms:
    """Where and how a machine is run; `None`: as `prices` assumes."""

    country: str = "DE"
    consumer: Consumer = "household"
    electricity_eur_per_kwh: float | None = None
    years: float | None = None
    hours_on: float | None = None
    upkeep_hours: float = 0.0
    upkeep_rate: float = 0.0
    against: tuple[str, ...] = ()
    """Cloud models and subscriptions by name, the one that decides first."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Expense:
    """A month, and a thousand answers."""

    machine: Machine
    volume: Volume
    own: OwnCost
    price_known: bool
    """Otherwise `own` leaves the purchase out, and nothing is said of what pays."""
    verdicts: tuple[Verdict, ...]
    """The first one decides."""
    here: Footprint
    data_centre: Footprint
    assumptions: tuple[Figure, ...]

    @property
    def eur_per_1m_tokens(self) -> float | None:
        return self.own.eur_per_1m_tokens if self.price_known else None

    @property
    def watt_hours_per_1k_tokens(self) -> float | None:
        """Hours of waiting included; with nothing to do, those of work alone."""
        found = self.own.watt_hours_per_1k_tokens
        if found is not None:
            return found
        one = Volume(input_tokens=500, output_tokens=500)
        return self.machine.watts_load.value * busy_hours(self.machine, one) * self.machine.cooling.value

    @property
    def break_even_months(self) -> float | None:
        return self.verdicts[0].break_even_months if self.verdicts else None


def usual_volume(prices: Prices, people: int) -> Volume:
    """A month of so many people, where nothing is said of it."""
    answer = usual_answer(prices)
    month = answer.times(ANSWERS_PER_PERSON.value * people)
    return replace(month, figures=(*answer.figures, ANSWERS_PER_PERSON, given(people, "people", "people who use it")))


def expense(
    target: Target, prices: Prices, terms: Terms, *, prompt_tokens_per_second: float, tokens_per_second: float, model: str,
    volume: Volume | None = None, people: int = 1,
) -> Expense:  # fmt: skip
    """`prompt_tokens_per_second` read, `tokens_per_second` written for all users together. Raises `InvalidRequest` for names that are not known."""
    load, idle = _watts(target, prices)
    priced = machine(
        prices,
        price_eur=given(target.price_eur or 0.0, "EUR", "price of the machine", target.price_note or "given"),
        watts_load=load,
        watts_idle=idle,
        prompt_tokens_per_second=prompt_tokens_per_second,
        generate_tokens_per_second=tokens_per_second,
        country=terms.country,
        consumer=terms.consumer,
        electricity_eur_per_kwh=terms.electricity_eur_per_kwh,
        years=terms.years,
        hours_on=terms.hours_on,
        upkeep_hours=terms.upkeep_hours,
        upkeep_rate=terms.upkeep_rate,
        source=target.title,
    )
    month = volume or usual_volume(prices, people)
    known = target.price_eur is not None
    verdicts = tuple(verdict(priced, month, one) for one in alternatives(prices, terms, model, month, people)) if known else ()
    carbon, water = prices.carbon(terms.country), prices.water(terms.country)
    here = own_footprint(priced, month, usual_answer(prices), carbon=carbon, water=water)
    there = data_centre_footprint(prices.answer(), pue=prices.answer_pue(), wue=prices.wue(), carbon=prices.carbon("US"), water=prices.generation())
    own = own_cost(priced, month)
    judged = [figure for one in verdicts for figure in one.assumptions]
    return Expense(
        machine=priced, volume=month, own=own, price_known=known, verdicts=verdicts, here=here, data_centre=there,
        assumptions=tuple(dict.fromkeys((*own.assumptions, *judged, *here.assumptions, *there.assumptions))),
    )  # fmt: skip


def _watts(target: Target, prices: Prices) -> tuple[Figure, Figure]:
    """At load and at rest, at the wall. Cards count with their limit; around them is a machine as `purchase` knows them, unless it was measured."""
    load, idle, source = max(target.watts_load, target.watts_idle), target.watts_idle, target.title
    group = target.group
    if group is not None and not target.unified and not target.host.measured:
        base = base_machine(group.count, prices)
        idle = group.resting_watts + base.watts_idle.value * group.nodes
        load = max(idle, group.tdp_watts + base.watts_load.value * group.nodes)
        source = f"{target.title}: limit and rest of the cards; around them {base.watts_load.source}"
    return (
        Figure(value=load, unit="W", what="power at load", source=source, estimate=not target.host.measured),
        Figure(value=idle, unit="W", what="power when idle", source=source, estimate=not target.host.measured),
    )


def alternatives(prices: Prices, terms: Terms, model: str, volume: Volume, people: int) -> Sequence[Alternative]:
    """What is named, or else the same model in the cloud where somebody offers it, and some that people use."""
    clouds, subscriptions = prices.names("cloud"), prices.names("subscriptions")
    wanted = terms.against or (*_same(model, clouds), *(one for one in _COMPARED if one in clouds or one in subscriptions))
    return [_alternative(prices, one, volume, people, subscribed=one in subscriptions) for one in dict.fromkeys(wanted)]


def _alternative(prices: Prices, name: str, volume: Volume, people: int, *, subscribed: bool) -> Alternative:
    if subscribed:
        return subscription_cost(prices.subscription(name), people, volume)
    if "/" not in name and (near := get_close_matches(name, prices.names("subscriptions"), n=1, cutoff=0.6)):
        raise InvalidRequest(f"No subscription is called '{shown(name)}'. Did you mean {near[0]}?", param="against")
    return cloud_cost(prices.cloud(name), volume)


def _same(model: str, clouds: Sequence[str]) -> list[str]:
    """Offers of the same weights: gpt-oss:120b is groq/gpt-oss-120b and others."""
    wanted = _plain(model)
    return [name for name in clouds if ":" in model and _plain(name.partition("/")[2]).removeprefix("meta").startswith(wanted)][:1]


def _plain(name: str) -> str:
    return re.sub(r"[^a-z0-9]", "", name.lower())
