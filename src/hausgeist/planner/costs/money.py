"""What a machine of one's own costs, and what one would pay otherwise: per month, per million tokens, until the purchase is back.

Every result carries the figures that it rests on. Amounts are euros, volumes tokens per month. A month has 365.25 * 24 / 12 = 730.5 hours.
Whether it pays is `verdict`'s to say; what an answer takes in electricity, carbon and water, `footprint`'s.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field

from hausgeist.errors import InvalidRequest
from hausgeist.planner.costs.prices import CloudModel, Consumer, Figure, Prices

__all__ = [
    "Alternative",
    "Machine",
    "OwnCost",
    "Point",
    "Volume",
    "break_even_months",
    "busy_hours",
    "cloud_cost",
    "curve",
    "given",
    "machine",
    "own_cost",
    "rented_cost",
    "subscription_cost",
]

_ROUNDING = 1e-9


def given(value: float, unit: str, what: str, source: str = "given") -> Figure:
    """A figure that the user or another part of the plan names."""
    return Figure(value=float(value), unit=unit, what=what, source=source)


def _within(what: str, value: float, low: float, high: float, unit: str = "") -> None:
    if not math.isfinite(value) or not low <= value <= high:
        raise InvalidRequest(f"{what} is {value:g}{unit and ' ' + unit}; it lies between {low:g} and {high:g}.", param=what.replace(" ", "_"))


@dataclass(frozen=True, slots=True, kw_only=True)
class Volume:
    """Tokens, of a month or of one answer."""

    input_tokens: float
    output_tokens: float
    cached_input_tokens: float = 0.0
    """Of the input: what a provider still has from before and bills as such. An own machine is assumed to read everything anew."""
    figures: tuple[Figure, ...] = field(default=(), compare=False)
    """Where the numbers are from, where they are not the user's own."""

    def __post_init__(self) -> None:
        _within("input tokens", self.input_tokens, 0.0, 1e15)
        _within("output tokens", self.output_tokens, 0.0, 1e15)
        _within("cached input tokens", self.cached_input_tokens, 0.0, self.input_tokens)

    @property
    def tokens(self) -> float:
        return self.input_tokens + self.output_tokens

    @property
    def assumptions(self) -> tuple[Figure, ...]:
        figures = (
            given(self.input_tokens, "tokens", "input per month"),
            given(self.cached_input_tokens, "tokens", "cached input per month"),
            given(self.output_tokens, "tokens", "output per month"),
        )
        return self.figures or tuple(figure for figure in figures if figure.value or figure.what != "cached input per month")

    def times(self, factor: float) -> Volume:
        return Volume(
            input_tokens=self.input_tokens * factor,
            output_tokens=self.output_tokens * factor,
            cached_input_tokens=min(self.cached_input_tokens, self.input_tokens) * factor,
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Machine:
    """One machine and how it is run. Speeds are those of all its users together."""

    price: Figure
    """EUR; 0 where it is there already."""
    years: Figure
    """After which it is worth nothing and is bought again."""
    watts_load: Figure
    watts_idle: Figure
    """At the socket, the whole machine."""
    prompt_tokens_per_second: Figure
    generate_tokens_per_second: Figure
    electricity: Figure
    """EUR/kWh."""
    hours_on: Figure
    """Per month."""
    cooling: Figure
    """Electricity of the room for each unit of the machine's own."""
    upkeep_hours: Figure
    """Per month."""
    upkeep_rate: Figure
    """EUR/h."""

    def __post_init__(self) -> None:
        for figure, low, high in (
            (self.price, 0.0, 1e8),
            (self.years, 0.1, 30.0),
            (self.watts_load, 0.0, 1e6),
            (self.watts_idle, 0.0, 1e6),
            (self.prompt_tokens_per_second, 1e-3, 1e8),
            (self.generate_tokens_per_second, 1e-3, 1e8),
            (self.electricity, 0.0, 5.0),
            (self.hours_on, 0.1, 744.0),
            (self.cooling, 1.0, 5.0),
            (self.upkeep_hours, 0.0, 744.0),
            (self.upkeep_rate, 0.0, 1e4),
        ):
            _within(figure.what, figure.value, low, high, figure.unit)
        if self.watts_idle.value > self.watts_load.value:
            raise InvalidRequest(f"{self.watts_idle.value:g} W idle are more than {self.watts_load.value:g} W at load.", param="watts_idle")

    @property
    def assumptions(self) -> tuple[Figure, ...]:
        return (
            self.price, self.years, self.watts_load, self.watts_idle, self.prompt_tokens_per_second, self.generate_tokens_per_second,
            self.electricity, self.hours_on, self.cooling, self.upkeep_hours, self.upkeep_rate,
        )  # fmt: skip


def machine(
    prices: Prices,
    *,
    price_eur: float | Figure,
    watts_load: float | Figure,
    watts_idle: float | Figure,
    prompt_tokens_per_second: float | Figure,
    generate_tokens_per_second: float | Figure,
    country: str = "DE",
    consumer: Consumer = "household",
    electricity_eur_per_kwh: float | None = None,
    years: float | None = None,
    hours_on: float | None = None,
    upkeep_hours: float = 0.0,
    upkeep_rate: float = 0.0,
    source: str = "given",
) -> Machine:
    """A machine from numbers or figures; what is not named is an assumption of `prices`. `source` is where price, watts and speeds are from."""

    def figure(value: float | Figure, unit: str, what: str) -> Figure:
        return value if isinstance(value, Figure) else given(value, unit, what, source)

    electricity = (
        prices.electricity(country, consumer) if electricity_eur_per_kwh is None else given(electricity_eur_per_kwh, "EUR/kWh", "electricity")
    )
    return Machine(
        price=figure(price_eur, "EUR", "price of the machine"),
        years=prices.assumption("years_of_use") if years is None else given(years, "years", "years of use"),
        watts_load=figure(watts_load, "W", "power at load"),
        watts_idle=figure(watts_idle, "W", "power when idle"),
        prompt_tokens_per_second=figure(prompt_tokens_per_second, "tokens/s", "speed of reading"),
        generate_tokens_per_second=figure(generate_tokens_per_second, "tokens/s", "speed of writing"),
        electricity=electricity,
        hours_on=prices.assumption("hours_on_per_month") if hours_on is None else given(hours_on, "hours", "hours on per month"),
        cooling=prices.assumption("own_cooling_factor"),
        upkeep_hours=given(upkeep_hours, "hours", "hours of upkeep per month"),
        upkeep_rate=given(upkeep_rate, "EUR/h", "rate of upkeep"),
    )


def busy_hours(one: Machine, volume: Volume) -> float:
    """Hours that one machine computes for a volume: tokens by the speeds of reading and writing."""
    return (volume.input_tokens / one.prompt_tokens_per_second.value + volume.output_tokens / one.generate_tokens_per_second.value) / 3600


@dataclass(frozen=True, slots=True, kw_only=True)
class OwnCost:
    """A month of one's own machines, as many as the volume needs."""

    machines: int
    utilisation: float
    """Hours at work by hours on, of one machine: above 1 it takes several."""
    busy_hours: float
    load_kwh: float
    idle_kwh: float
    hardware_eur: float
    """The purchase, spread evenly over the years of use."""
    electricity_eur: float
    upkeep_eur: float
    purchase_eur: float
    life_months: float
    tokens: float
    assumptions: tuple[Figure, ...]

    @property
    def running_eur(self) -> float:
        """What a month costs once the machine is there."""
        return self.electricity_eur + self.upkeep_eur

    @property
    def eur_per_month(self) -> float:
        return self.hardware_eur + self.running_eur

    @property
    def kwh_per_month(self) -> float:
        return self.load_kwh + self.idle_kwh

    @property
    def eur_per_1m_tokens(self) -> float | None:
        """`None`: no tokens, no price of one."""
        return self.eur_per_month / self.tokens * 1e6 if self.tokens else None

    @property
    def watt_hours_per_1k_tokens(self) -> float | None:
        """Idle hours included."""
        return self.kwh_per_month * 1e6 / self.tokens if self.tokens else None


def own_cost(one: Machine, volume: Volume) -> OwnCost:
    """What a volume costs on one's own machines, which are bought until the hours they are on suffice."""
    busy = busy_hours(one, volume)
    hours = one.hours_on.value
    utilisation = busy / hours
    machines = max(1, math.ceil(utilisation - _ROUNDING))
    life = one.years.value * 12
    load_kwh = one.watts_load.value * busy / 1000 * one.cooling.value
    idle_kwh = one.watts_idle.value * max(0.0, machines * hours - busy) / 1000 * one.cooling.value
    return OwnCost(
        machines=machines,
        utilisation=utilisation,
        busy_hours=busy,
        load_kwh=load_kwh,
        idle_kwh=idle_kwh,
        hardware_eur=machines * one.price.value / life,
        electricity_eur=(load_kwh + idle_kwh) * one.electricity.value,
        upkeep_eur=machines * one.upkeep_hours.value * one.upkeep_rate.value,
        purchase_eur=machines * one.price.value,
        life_months=life,
        tokens=volume.tokens,
        assumptions=(*one.assumptions, *volume.assumptions),
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Alternative:
    """A month of what one would pay for otherwise."""

    name: str
    eur_per_month: float
    tokens: float
    """Of the volume; 0 where it is not counted in tokens."""
    grows: bool
    """Costs more the more is asked of it."""
    assumptions: tuple[Figure, ...]

    @property
    def eur_per_1m_tokens(self) -> float | None:
        return self.eur_per_month / self.tokens * 1e6 if self.tokens else None


def cloud_cost(model: CloudModel, volume: Volume) -> Alternative:
    """The volume at a provider's prices per million tokens. What a provider takes for keeping input is not counted."""
    fresh = volume.input_tokens - volume.cached_input_tokens
    euros = (fresh * model.input.value + volume.cached_input_tokens * model.cached_input.value + volume.output_tokens * model.output.value) / 1e6
    figures = (model.input, *((model.cached_input,) if volume.cached_input_tokens else ()), model.output, *volume.assumptions)
    return Alternative(name=model.name, eur_per_month=euros, tokens=volume.tokens, grows=True, assumptions=figures)


def subscription_cost(subscription: Figure, people: int, volume: Volume | None = None) -> Alternative:
    """The same price whatever is asked, as far as the subscription's limits let it."""
    _within("people", people, 0, 1e7)
    figures = (subscription, given(people, "people", "people with a subscription"))
    tokens = volume.tokens if volume else 0.0
    return Alternative(name=subscription.what, eur_per_month=subscription.value * people, tokens=tokens, grows=False, assumptions=figures)


def rented_cost(rented: Figure, hours: float, cards: int = 1, volume: Volume | None = None) -> Alternative:
    """Cards rented for so many hours of a month each."""
    _within("hours", hours, 0.0, 744.0)
    _within("cards", cards, 0, 1e5)
    figures = (rented, given(hours, "hours", "hours rented per month"), given(cards, "cards", "cards rented"))
    tokens = volume.tokens if volume else 0.0
    return Alternative(name=rented.what, eur_per_month=rented.value * hours * cards, tokens=tokens, grows=False, assumptions=figures)


def break_even_months(own: OwnCost, alternative: Alternative) -> float | None:
    """After how many months the purchase is back: purchase / (alternative - electricity - upkeep).

    `None`: never, for the machine would have to be bought again before. That is so exactly where a month of one's own, the purchase spread over the
    years of use, costs no less than the alternative.
    """
    gain = alternative.eur_per_month - own.running_eur
    if gain <= 0:
        return None
    months = own.purchase_eur / gain
    return months if months < own.life_months else None


@dataclass(frozen=True, slots=True)
class Point:
    """What has been paid by the end of a month. Month 0 is the purchase."""

    month: int
    own_eur: float
    alternative_eur: float


def curve(own: OwnCost, alternative: Alternative, months: int = 60) -> tuple[Point, ...]:
    """Both sums from month 0 on; a machine at the end of its years is bought again."""
    _within("months", months, 1, 1200)
    return tuple(
        Point(
            month,
            own.purchase_eur * max(1, math.ceil(month / own.life_months - _ROUNDING)) + own.running_eur * month,
            alternative.eur_per_month * month,
        )
        for month in range(months + 1)
    )
