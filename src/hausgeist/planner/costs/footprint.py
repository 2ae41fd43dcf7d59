"""Electricity, carbon and water of a thousand answers, on one's own machine and in a data centre.

Counted is what running takes. Making the machines is not, nor is training the model; on either side.
"""

from __future__ import annotations

from dataclasses import dataclass

from hausgeist.planner.costs.money import Machine, Volume, busy_hours, own_cost
from hausgeist.planner.costs.prices import Figure, Prices

__all__ = ["Footprint", "data_centre_footprint", "own_footprint", "usual_answer"]

_ANSWERS = 1000


@dataclass(frozen=True, slots=True, kw_only=True)
class Footprint:
    """Of a thousand answers."""

    watt_hours: float
    active_watt_hours: float
    """Of these, what the answers themselves take; the rest is waiting for them."""
    gco2: float
    litres: float
    """Water that evaporates, for cooling and where the electricity is generated."""
    assumptions: tuple[Figure, ...]


def usual_answer(prices: Prices) -> Volume:
    """The tokens of one answer, where nothing else is said."""
    read, written = prices.assumption("prompt_tokens_per_answer"), prices.assumption("generated_tokens_per_answer")
    return Volume(input_tokens=read.value, output_tokens=written.value, figures=(read, written))


def own_footprint(one: Machine, volume: Volume, answer: Volume, *, carbon: Figure, water: Figure) -> Footprint:
    """An answer's share of the month: its own hours at load, and as large a part of the idle hours as it has of the hours at work.

    `volume` is the month's; with none, nothing is idle for anybody and only the answer itself counts. A house evaporates no water for cooling.
    """
    hours = busy_hours(one, answer) * _ANSWERS
    active = one.watts_load.value * hours * one.cooling.value
    month = own_cost(one, volume)
    idle = month.idle_kwh * 1000 * hours / month.busy_hours if month.busy_hours else 0.0
    kwh = (active + idle) / 1000
    figures = (one.watts_load, one.watts_idle, one.prompt_tokens_per_second, one.generate_tokens_per_second, one.hours_on, one.cooling)
    return Footprint(
        watt_hours=active + idle,
        active_watt_hours=active,
        gco2=kwh * carbon.value,
        litres=kwh * water.value,
        assumptions=(*figures, *answer.figures, carbon, water),
    )


def data_centre_footprint(answer: Figure, *, pue: Figure, wue: Figure, carbon: Figure, water: Figure) -> Footprint:
    """`answer` is Wh with the building's share, so that the machines take answer / PUE of it, which is what cooling water is counted by.

    litres = kWh / PUE * WUE + kWh * water of its electricity (The Green Grid, WUE source).
    """
    kwh = answer.value * _ANSWERS / 1000
    return Footprint(
        watt_hours=kwh * 1000,
        active_watt_hours=kwh * 1000,
        gco2=kwh * carbon.value,
        litres=kwh / pue.value * wue.value + kwh * water.value,
        assumptions=(answer, pue, wue, carbon, water),
    )
