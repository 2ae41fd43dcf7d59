"""What to buy for a use, some people and a budget: three machines, each with the best model that it runs well.

Prices are `purchase`'s, models and their order `advice`'s. Devices without a known price are not among what is proposed.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cache
from typing import TYPE_CHECKING, Final, Literal

from hausgeist.errors import InvalidRequest
from hausgeist.planner.advice.models import CONTEXTS, Model, Ranked, Use, promising, quality, ranked, suited, use_of, wished
from hausgeist.planner.costs.prices import Figure, Prices
from hausgeist.planner.costs.purchase import VAT, base_machine, device_price_eur, with_tax
from hausgeist.planner.devices.device import Device
from hausgeist.planner.devices.known import Devices
from hausgeist.planner.fitting import least_bytes, room
from hausgeist.planner.plan import gib
from hausgeist.planner.target import USUAL_HOST, Host, Target, host
from hausgeist.planner.wish import GOOD_SPEED, Speeds, starting

if TYPE_CHECKING:
    from hausgeist.planner.speed import Calibration

__all__ = ["AT_ONCE", "CARDS", "USUAL_BUDGET", "Offer", "Proposal", "offers", "what_to_buy"]

Kind = Literal["thrifty", "balanced", "roomy"]
Condition = Literal["new", "used"]

CARDS: Final = (1, 2, 3, 4, 6, 8)
"""In one machine."""
AT_ONCE: Final = Figure(
    value=0.2, unit="of the people", what="who ask at the same moment, at most", date="2026-11", source="assumption of this planner", estimate=True
)
USUAL_BUDGET: Final = Figure(
    value=5000, unit="EUR", what="budget where none is named", date="2026-11", source="assumption of this planner", estimate=True
)

_OLDEST: Final = "2019"
"""Cards from before are cheap, but current builds of engines leave them out: CUDA 13 does not support Pascal."""
_FRESH: Final = "2024-10"
"""Prices from before are no prices of today."""
_BYTES: Final = 0.5
"""For each parameter, at least, at the precisions that models are usually run at."""
_FASTER: Final = 1.5
_MEMORY: Final = 64.0
"""GiB of the machine around cards, as `purchase` prices it."""
_WITHIN: Final[dict[Kind, float]] = {"thrifty": 2.5, "balanced": 1.0, "roomy": 0.25}
"""By how many doublings of a model's size (`advice.quality`) a proposal may stay behind the best that the budget buys."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Offer:
    """Something to buy, the machine around cards included."""

    target: Target
    device: Device
    count: int
    condition: Condition
    figures: tuple[Figure, ...]
    """Prices that it is made of."""

    @property
    def price_eur(self) -> float:
        return self.target.price_eur or 0.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Proposal:
    """One of three."""

    kind: Kind
    offer: Offer
    ranked: Ranked
    """The best model that it runs well; `ranked.wish` with `offer.target` makes the whole plan."""
    users: int
    """Who are reckoned to ask at the same time."""
    reason: str
    """One sentence."""
    assumptions: tuple[Figure, ...]


def what_to_buy(
    use: str, users: int, budget_eur: float | None, *, devices: Devices, models: Iterable[Model], prices: Prices, context: int | None = None,
    tax: Figure | None = VAT, calibration: Calibration | None = None, run: Speeds | None = None,
) -> tuple[Proposal, ...]:  # fmt: skip
    """A thrifty, a balanced and a roomy machine for so many people; fewer where the budget (`USUAL_BUDGET` unless named) has no room for three.

    Raises `InvalidRequest` for a use, a number of people or a budget that are none, and where nothing suitable costs so little.
    """
    wanted = use_of(use)
    if not 1 <= users <= 10_000:
        raise InvalidRequest(f"{users} people are not possible; 1 to 10,000 are.", param="users")
    if budget_eur is not None and not 0 < budget_eur < 1e8:
        raise InvalidRequest(f"A budget of {budget_eur:g} EUR is not possible.", param="budget")
    at_once = max(1, math.ceil(users * AT_ONCE.value - 1e-9))
    if at_once > 256:
        raise InvalidRequest(f"{users} people are {at_once} requests at once, more than one machine serves; plan for 1,280 or fewer.", param="users")
    most, length = budget_eur or USUAL_BUDGET.value, context or CONTEXTS[wanted]
    front = _front(models, wanted, length)
    found: list[tuple[Offer, Ranked]] = []
    known: dict[str, Ranked | None] = {}
    fast: dict[tuple[str, str], bool] = {}
    cheapest = math.inf
    for offer in sorted(offers(devices, prices, tax=tax), key=lambda one: one.price_eur):
        if offer.price_eur > most:
            cheapest = min(cheapest, offer.price_eur)
            break
        if (title := offer.target.title) not in known:
            known[title] = _best(front, offer, length, at_once, fast, calibration, run)
        if (best := known[title]) is not None:
            found.append((offer, best))
    if not found:
        least = f" The cheapest that would cost more is {cheapest:,.0f} EUR." if math.isfinite(cheapest) else ""
        raise InvalidRequest(f"Nothing with a known price runs a model for {wanted} well within {most:,.0f} EUR.{least}", param="budget")
    figures = (AT_ONCE, *((tax,) if tax is not None else ()), *((USUAL_BUDGET,) if budget_eur is None else ()))
    return tuple(_proposals(found, wanted, users, at_once, figures))


def offers(devices: Devices, prices: Prices, *, tax: Figure | None = VAT) -> Iterator[Offer]:
    """Everything that has a price of today: one to eight cards of a kind in a machine, and machines whose chip shares their memory."""
    around = host(devices.find(USUAL_HOST).with_memory(_MEMORY))
    for device in devices:
        if device.kind == "cpu" or device.released < _OLDEST or device.segment == "embedded":
            continue
        for one in (device.with_memory(sold) for sold, _ in device.options) if len(device.options) > 1 else (device,):
            for condition, price in _priced(one, prices, devices, tax):
                counts = CARDS if one.kind == "gpu" else (1,)
                yield from (_offer(one, count, condition, price, prices, devices, around) for count in counts)


def _priced(device: Device, prices: Prices, devices: Devices, tax: Figure | None) -> Iterator[tuple[Condition, Figure]]:
    new = device_price_eur(device, "new", prices, devices=devices)
    if (new is None or not _fresh(new)) and device.released >= _FRESH:
        # What its maker asks for stands for what shops do, as long as it is young.
        new = device_price_eur(device, "launch", prices, devices=devices)
    if new is not None and _fresh(new):
        yield "new", with_tax(new, tax)
    used = device_price_eur(device, "used", prices, devices=devices)
    if used is not None and _fresh(used):
        yield "used", used


def _fresh(price: Figure) -> bool:
    return not price.date or price.date >= _FRESH


def _offer(device: Device, count: int, condition: Condition, price: Figure, prices: Prices, devices: Devices, around: Host) -> Offer:
    group = devices.group(device, count)
    figures: tuple[Figure, ...] = (price,)
    at = " at the maker's price" if price.what.endswith("launch") else ""
    total, note = price.value * count, f"{group.title}, {condition}{at}"
    machine = around
    if device.kind == "gpu":
        base = base_machine(count, prices)
        figures, total, note = (price, base.price), total + base.price.value, f"{note}, with the machine around"
        machine = replace(around, watts_idle=base.watts_idle.value, watts_load=base.watts_load.value)
    else:
        machine = host(device)
    target = Target(host=machine, group=group, price_eur=total, price_note=note)
    return Offer(target=target, device=device, count=count, condition=condition, figures=figures)


def _front(models: Iterable[Model], use: Use, context: int) -> Sequence[Model]:
    """Models that no smaller one promises to be better than, the best first."""
    best: list[Model] = []
    for model in sorted((one for one in models if suited(one, use) and one.context >= context), key=quality, reverse=True):
        if all(model.parameters < other.parameters or (model.active or model.parameters) < (other.active or other.parameters) for other in best):
            best.append(model)
    # Each is looked at on many machines: its header, and what is known of its graph, are kept.
    return [replace(model, header=cache(model.header)) for model in best]


def _best(
    front: Sequence[Model], offer: Offer, context: int, users: int, fast: dict[tuple[str, str], bool], calibration: Calibration | None,
    run: Speeds | None,
) -> Ranked | None:  # fmt: skip
    """`fast`: whether a model would be fast enough on a card, which more of them, one after the other, do not change; filled here."""
    target, group = offer.target, offer.target.group
    assert group is not None
    alone = replace(target, group=replace(group, count=1))
    there, least = sum(room(target).devices), group.device.bandwidth_gb_s * 1e9 / GOOD_SPEED.value
    for model in front:
        # Neither its size nor what is read of it for each token needs more than a glance.
        if model.parameters * _BYTES > there or (model.active or model.parameters) * _BYTES > least:
            continue
        if (key := (model.name, offer.device.title)) not in fast:
            fast[key] = promising(model, alone, context=context, users=users, calibration=calibration, run=run)
        if not fast[key]:
            continue
        asked = wished(model, context, users, model.precision)
        if least_bytes(asked.header, starting(asked, target)) > there:
            continue
        found = ranked(model, target, context=context, users=users, calibration=calibration, run=run)
        if found is not None and found.good:
            return found
    return None


def _proposals(found: Sequence[tuple[Offer, Ranked]], use: Use, users: int, at_once: int, assumptions: tuple[Figure, ...]) -> Iterator[Proposal]:
    top = max(one.quality for _, one in found)
    taken: list[Offer] = []
    last = found[0]
    for kind, within in _WITHIN.items():
        near = [(offer, one) for offer, one in found if one.quality >= top - within and all(offer is not other for other in taken)]
        if taken:
            near = [pair for pair in near if _better(kind, pair, last)]
        if not near:
            continue
        offer, one = min(near, key=lambda pair: (-_spare(*pair) if kind == "roomy" else 0, pair[0].price_eur))
        taken.append(offer)
        last = offer, one
        yield Proposal(
            kind=kind, offer=offer, ranked=one, users=at_once, reason=_reason(kind, offer, one, use, users, at_once),
            assumptions=(*offer.figures, *assumptions),
        )  # fmt: skip


def _better(kind: Kind, pair: tuple[Offer, Ranked], last: tuple[Offer, Ranked]) -> bool:
    """What is dearer must be worth it: a better model, or a faster answer; the roomy one more room."""
    (offer, one), (before, other) = pair, last
    if offer.price_eur <= before.price_eur:
        return False
    if kind == "roomy":
        return _spare(offer, one) > _spare(before, other)
    faster = one.speed.generate_tokens_per_second >= _FASTER * other.speed.generate_tokens_per_second
    return one.quality >= other.quality + _WITHIN["roomy"] or (faster and one.quality >= other.quality)


def _spare(offer: Offer, one: Ranked) -> int:
    """Bytes that are left on the cards."""
    return sum(offer.target.device_bytes) - sum(one.fit.memory.devices)


def _reason(kind: Kind, offer: Offer, one: Ranked, use: Use, users: int, at_once: int) -> str:
    many = f"{users} people get" if users > 1 else "one person gets"
    rate = one.speed.generate_tokens_per_second
    runs = f"{one.wish.title} at about {rate:.0f} tokens per second" + (f" for each of {at_once} at once" if at_once > 1 else "")
    why = {
        "thrifty": f"the least money with which {many} a useful model for {use}",
        "balanced": "the least money for a model of the best kind that the budget allows",
        "roomy": f"the most room within the budget: {gib(max(0, _spare(offer, one)))} stay free for longer contexts, more people or a larger model",
    }[kind]
    caution = f" Note: {offer.device.note}" if offer.condition == "used" and offer.device.note else ""
    return f"{offer.target.price_note}, about {offer.price_eur:,.0f} EUR: runs {runs}; {why}.{caution}"
