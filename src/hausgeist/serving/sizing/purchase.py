"""A machine that is only named: what it is, and what it costs to have it."""

from __future__ import annotations

from dataclasses import replace
from typing import Final

from hausgeist.errors import InvalidRequest
from hausgeist.planner.costs.prices import Figure, Prices
from hausgeist.planner.costs.purchase import base_machine, device_price_eur, with_tax
from hausgeist.planner.devices.known import Devices
from hausgeist.planner.target import USUAL_HOST, Host, Target, host, target

__all__ = ["bought"]

_AROUND_GIB: Final = 64.0
"""Memory of the machine around cards, as its price is known."""


def bought(devices: Devices, prices: Prices, name: str, *, count: int = 1, nodes: int = 1) -> Target:
    """Cards with the machine around them, or a machine of its own: new if that is sold, else used, else at its first price.

    Raises `NotFound` with near names, `InvalidRequest` for what cannot be connected.
    """
    device = devices.find(name)
    if count < 1 or nodes < 1:
        raise InvalidRequest(f"{min(count, nodes)} is no number of cards or machines; 1 and more is.", param="gpus")
    price = device_price_eur(device, ("new", "used", "launch"), prices, devices=devices)
    price = with_tax(price) if price is not None else None
    around: Host | str = USUAL_HOST
    rest = 0.0
    if device.kind == "gpu":
        base = base_machine(count, prices)
        machine = host(devices.find(USUAL_HOST).with_memory(_AROUND_GIB))
        around, rest = replace(machine, watts_idle=base.watts_idle.value, watts_load=base.watts_load.value), base.price.value
    made = target(devices, name, count=count, nodes=nodes, around=around)
    if price is None:
        return replace(made, price_note=f"put it into prices.toml, [devices], '{device.name}'")
    note = _note(price, count * nodes, rest * nodes)
    used = device_price_eur(device, "used", prices, devices=devices)
    if used is not None and not price.what.endswith("used"):
        note += f"; used {used.value:,.0f}{' each' if count * nodes > 1 else ''}{f', {used.date}' if used.date else ''}"
    return replace(made, price_eur=(price.value * count + rest) * nodes, price_note=note)


def _note(price: Figure, count: int, rest: float) -> str:
    kind = {"new": "new", "used": "used"}.get(price.what.rpartition(", ")[2], "at its first price")
    many = f"{count} x " if count > 1 else ""
    note = f"{many}{price.value:,.0f} {kind}{f', {price.date}' if price.date else ''}"
    return f"{note}; {rest:,.0f} for the machine around" if rest else note
