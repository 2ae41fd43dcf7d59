"""Does it pay? The plain answer, and what would turn it: volume, price of the machine, electricity, power when idle, price of the alternative."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import Literal

from hausgeist.planner.costs.money import Alternative, Machine, OwnCost, Volume, break_even_months, own_cost
from hausgeist.planner.costs.prices import Figure

__all__ = ["Change", "Verdict", "verdict"]

_ROUNDING = 1e-9


@dataclass(frozen=True, slots=True)
class Change:
    """One circumstance, all else as it is: what it is, and at what value the verdict turns."""

    what: Literal["volume", "machine price", "electricity", "idle power", "alternative"]
    now: float
    then: float
    unit: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """Whether it pays, in a sentence and in numbers."""

    pays: bool
    answer: str
    saving_eur_per_month: float
    """Negative: it costs so much more."""
    break_even_months: float | None
    changes: tuple[Change, ...]
    """What turns the verdict; what cannot, is missing."""
    own: OwnCost
    alternative: Alternative

    @property
    def assumptions(self) -> tuple[Figure, ...]:
        """Each once, in the order in which they are used."""
        return tuple(dict.fromkeys((*self.own.assumptions, *self.alternative.assumptions)))


def verdict(one: Machine, volume: Volume, alternative: Alternative) -> Verdict:
    """Does it pay? Yes, where the purchase is back before the machine has to be bought again."""
    own = own_cost(one, volume)
    months = break_even_months(own, alternative)
    made = Verdict(
        pays=months is not None,
        answer="",
        saving_eur_per_month=alternative.eur_per_month - own.eur_per_month,
        break_even_months=months,
        changes=tuple(change for change in _changes(one, own, alternative) if math.isfinite(change.then) and change.then >= 0),
        own=own,
        alternative=alternative,
    )
    return replace(made, answer=_answer(made))


def _changes(one: Machine, own: OwnCost, alternative: Alternative) -> Iterable[Change]:
    """Each is the solution of `own.eur_per_month = alternative.eur_per_month` for one unknown, the number of machines as it is."""
    other = alternative.eur_per_month
    if (factor := _volume_factor(one, own, alternative)) is not None:
        yield Change("volume", own.tokens, own.tokens * factor, "tokens per month")
    yield Change("machine price", one.price.value, (other - own.running_eur) * own.life_months / own.machines, "EUR")
    left = other - own.hardware_eur - own.upkeep_eur
    if own.kwh_per_month:
        yield Change("electricity", one.electricity.value, left / own.kwh_per_month, "EUR/kWh")
    if own.idle_kwh and one.electricity.value:
        watts = (left / one.electricity.value - own.load_kwh) / own.idle_kwh * one.watts_idle.value
        if watts <= one.watts_load.value:
            yield Change("idle power", one.watts_idle.value, watts, "W")
    if alternative.grows and alternative.eur_per_1m_tokens is not None and own.eur_per_1m_tokens is not None:
        yield Change("alternative", alternative.eur_per_1m_tokens, own.eur_per_1m_tokens, "EUR per 1M tokens")
    elif not alternative.grows:
        yield Change("alternative", other, own.eur_per_month, "EUR per month")


def _volume_factor(one: Machine, own: OwnCost, alternative: Alternative) -> float | None:
    """How many times the volume turns the verdict, with one machine.

    `None`: no volume does that one machine can do. Several do not help where one at work all day does not pay: their cost grows as their work.
    """
    if not own.utilisation:
        return None
    fixed = (one.price.value / own.life_months) + one.upkeep_hours.value * one.upkeep_rate.value
    fixed += one.watts_idle.value * one.hours_on.value / 1000 * one.cooling.value * one.electricity.value
    growing = (one.watts_load.value - one.watts_idle.value) * own.busy_hours / 1000 * one.cooling.value * one.electricity.value
    if alternative.grows:
        gain = alternative.eur_per_month - growing
        factor = fixed / gain if gain > 0 else math.inf
    else:
        factor = (alternative.eur_per_month - fixed) / growing if growing > 0 else math.inf
    return factor if 0 <= factor * own.utilisation <= 1 + _ROUNDING else None


def _answer(made: Verdict) -> str:
    several = f" with {made.own.machines} machines" if made.own.machines > 1 else ""
    sums = f"{_euros(made.own.eur_per_month)} a month{several} instead of {_euros(made.alternative.eur_per_month)} for {made.alternative.name}"
    if made.pays:
        months = made.break_even_months or 0.0
        back = f"the purchase is back after {math.ceil(months)} month{'s' if math.ceil(months) != 1 else ''}" if months else "from the first month on"
        return f"It pays: {sums}; {back}."
    turns = [text for change in made.changes if (text := _turn(change, made.alternative))]
    if not made.own.tokens and made.alternative.grows:
        return f"It does not pay: {sums}; nothing is asked of it."
    if not turns:
        return f"It does not pay: {sums}; neither another volume nor another price changes that."
    return f"It does not pay: {sums}. It would {', or '.join(turns)}."


def _turn(change: Change, alternative: Alternative) -> str:
    match change.what:
        case "volume" if change.now:
            # Where several machines do not pay, one at work all day may: then it is less volume that turns it, and not every volume above.
            reach = "up to" if not alternative.grows else "from" if change.then >= change.now else "at"
            return f"{reach} {_times(change)} the volume"
        case "machine price" if change.then < change.now:
            return f"with a machine for {_euros(change.then)} or less"
        case "electricity" if change.then < change.now:
            return f"with electricity at {change.then:.2g} EUR/kWh or less"
        case "idle power" if change.then < change.now:
            return f"with {change.then:.0f} W or less when idle"
        case "alternative" if 0 < change.now < change.then:
            return f"if {alternative.name} cost {_times(change)} as much"
        case _:
            return ""


def _times(change: Change) -> str:
    factor = change.then / change.now
    return f"{factor:,.0f} times" if factor >= 10 else f"{factor:.2g} times"


def _euros(amount: float) -> str:
    return f"{amount:,.0f} EUR" if amount >= 100 else f"{amount:,.2f} EUR"
