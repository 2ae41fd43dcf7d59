"""What hardware costs to buy: a device by the user's own price or else by the known one, and the machine that cards need around them.

What running it costs is `money`'s.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Final

from hausgeist.errors import InvalidRequest, NotFound
from hausgeist.planner.costs.prices import Condition, Figure, Prices
from hausgeist.planner.devices.device import Device, Price
from hausgeist.planner.devices.known import Devices, load
from hausgeist.planner.devices.naming import key

__all__ = ["VAT", "Base", "base_machine", "check_device_prices", "device_price_eur", "with_tax"]

VAT: Final = Figure(
    value=0.19, unit="of the price", what="value added tax on prices from the United States, which are before tax",
    source="German Umsatzsteuergesetz, section 12 (1)",
)  # fmt: skip

_SIZES: Final = (2, 4, 8)
"""Cards that a machine has room for, as `base_..._cards` in [assumptions] names them."""


def device_price_eur(
    device: Device, kind_preference: Condition | Sequence[Condition], prices: Prices, *, devices: Devices | None = None
) -> Figure | None:
    """EUR for one device: the user's own price of the first kind that has one, else the known one of the first kind that has one.

    A price of the user's stands for this amount of memory where its name says an amount ("M3 Max 128"), else for any. `devices` is what names are
    looked up in, the packaged ones where nothing else is said. `None`: nobody named a price. Raises `InvalidRequest` as `check_device_prices` does.
    """
    known = devices or load()
    kinds: Sequence[Condition] = (kind_preference,) if isinstance(kind_preference, str) else kind_preference
    names = [*_names(device, prices, known, with_memory=True), *_names(device, prices, known, with_memory=False)]
    for kind in kinds:
        for name in names:
            if (own := prices.device_price(name, kind)) is not None:
                return own
    found = next((price for kind in kinds if (price := device.price(kind)) is not None), None)
    if found is None:
        return None
    # American prices are before tax; used things are sold by people who ask for none.
    return replace(prices.in_euros(_figure(device, found, known), found.currency), before_tax=found.currency == "USD" and found.kind != "used")


def with_tax(price: Figure, tax: Figure | None = VAT) -> Figure:
    """What the price is in a shop here."""
    if tax is None or not price.before_tax:
        return price
    return replace(price, value=price.value * (1 + tax.value), note=f"with {tax.value:.0%} value added tax", before_tax=False)


def check_device_prices(prices: Prices, devices: Devices | None = None) -> None:
    """Raises `InvalidRequest`, with the nearest names, for a price of the user's whose device is not known or may be one of several."""
    for name in prices.names("devices"):
        _meant(name, devices or load())


def _names(device: Device, prices: Prices, devices: Devices, *, with_memory: bool) -> Iterator[str]:
    """The user's names that mean this device: those that say how much memory it has, or those that do not."""
    for name in prices.names("devices"):
        one = _meant(name, devices)
        says_memory = key(name) not in {key(other) for other in (one.name, *one.aliases)}
        if one.name == device.name and says_memory == with_memory and (not says_memory or one.memory_gib == device.memory_gib):
            yield name


def _meant(name: str, devices: Devices) -> Device:
    try:
        return devices.find(name)
    except (InvalidRequest, NotFound) as error:
        raise InvalidRequest(f"prices.toml, [devices]: {error.message}", param="devices") from error


def _figure(device: Device, price: Price, devices: Devices) -> Figure:
    source = devices.source(price.source)
    return Figure(
        value=price.amount,
        unit="EUR",
        what=f"{device.title}, {price.kind}",
        date=price.date,
        source=", ".join(text for text in (source.title, source.url) if text),
        estimate=price.estimate,
        note="before tax" if price.kind == "launch" else "",
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Base:
    """A machine around cards, without them."""

    price: Figure
    """EUR."""
    watts_idle: Figure
    watts_load: Figure
    """At the wall while the cards work, with their losses in the power supply."""


def base_machine(cards: int, prices: Prices) -> Base:
    """What so many cards need around them: a machine for 2, 4 or 8, of the last as many as it takes. Raises `InvalidRequest` for less than one."""
    if cards < 1:
        raise InvalidRequest(f"{cards} is no number of cards; 1 and more is.", param="gpus")
    size = next((size for size in _SIZES if cards <= size), _SIZES[-1])
    machines = math.ceil(cards / size)

    def part(name: str, what: str) -> Figure:
        figure = prices.assumption(f"base_{name}_{size}_cards")
        title = f"{what} of a machine for {size} cards" if machines == 1 else f"{what} of {machines} machines for {size} cards each"
        return replace(figure, value=figure.value * machines, what=title)

    return Base(price=part("price", "price"), watts_idle=part("watts_idle", "power at rest"), watts_load=part("watts_load", "power at work"))
