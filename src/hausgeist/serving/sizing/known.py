"""What a question can name: models, devices, clouds, countries, precisions. The lists behind a page's fields, as JSON has them."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final, get_args

from hausgeist.library.catalog import load
from hausgeist.model import CacheType
from hausgeist.planner.advice.models import CONTEXTS, USES
from hausgeist.planner.costs.prices import Prices
from hausgeist.planner.costs.purchase import base_machine, device_price_eur, with_tax
from hausgeist.planner.devices.device import Device
from hausgeist.planner.devices.known import Devices
from hausgeist.planner.memory import vllm
from hausgeist.planner.wish import MOST_SLOTS, MOST_USERS, USUAL_CONTEXT
from hausgeist.serving.sizing.question import CACHE_TYPES
from hausgeist.serving.sizing.ways import name_of

__all__ = ["PRECISIONS", "known"]

PRECISIONS: Final = ("F16", "BF16", "Q8_0", "Q6_K", "Q5_K_M", "Q4_K_M", "Q4_0", "Q3_K_M", "Q2_K", "MXFP4")
"""Of GGUF files, those that people choose among; any other may be named as well."""
_CARDS: Final = 16
"""The most cards for which the price of the machine around them is said."""
_CONDITIONS: Final = ("new", "used", "launch")


def known(devices: Devices, prices: Prices) -> dict[str, Any]:
    """Prices are EUR with tax, of one device; `around_eur` those of the machine around so many cards. `exchange`: of a currency for 1 EUR."""
    exchange = prices.table.get("exchange", {})
    return {
        "models": list(_models()),
        "devices": [told for one in devices for told in _device(one, devices, prices)],
        "around_eur": {str(count): base_machine(count, prices).price.value for count in range(1, _CARDS + 1)},
        "uses": list(USES),
        "engines": {
            "llamacpp": {"precisions": list(PRECISIONS), "kv": list(get_args(CacheType)), "slots": MOST_SLOTS["llamacpp"]},
            "vllm": {"precisions": list(vllm.PRECISIONS), "kv": list(CACHE_TYPES["vllm"]), "slots": MOST_SLOTS["vllm"]},
        },
        "usual_context": USUAL_CONTEXT,
        "contexts": dict(CONTEXTS),
        "most_users": MOST_USERS,
        "countries": [{"code": code, "name": prices.table["countries"][code]["name"]} for code in _countries(prices)],
        "clouds": [_cloud(name, prices) for name in prices.names("cloud")],
        "subscriptions": [{"name": name, "eur_per_month": round(prices.subscription(name).value, 2)} for name in prices.names("subscriptions")],
        "exchange": {code: {"per_euro": record["per_euro"], "date": record.get("date", "")} for code, record in exchange.items()},
    }


def _models() -> Iterator[dict[str, Any]]:
    for entry in load():
        if entry.served:
            yield {
                "name": entry.name,
                "parameters": entry.parameters,
                "precision": entry.precision,
                "context": entry.context,
                "use": list(entry.use),
            }


def _device(device: Device, devices: Devices, prices: Prices) -> Iterator[dict[str, Any]]:
    """Each amount of memory that it comes with; a processor takes any, and is named with what it usually has."""
    sizes = [device.with_memory(sold) for sold, _ in device.options] if device.kind == "unified" and len(device.options) > 1 else [device]
    for one in sizes:
        if not (name := name_of(one, devices)):
            continue
        price = device_price_eur(one, _CONDITIONS, prices, devices=devices)
        yield {
            "name": name,
            "title": one.title,
            "kind": one.kind,
            "memory_gib": one.memory_gib,
            "released": one.released,
            "vllm": list(vllm.possible(one)),
            "price": None if price is None else {"eur": round(with_tax(price).value, 2), "condition": _condition(price.what), "date": price.date},
        }


def _condition(what: str) -> str:
    """The last word of a price: one of the user's own may have none."""
    word = what.rpartition(", ")[2]
    return word if word in _CONDITIONS else ""


def _countries(prices: Prices) -> list[str]:
    """Where it is known what electricity costs a household."""
    priced = prices.table.get("electricity.household", {})
    return [code for code in prices.names("countries") if code in priced]


def _cloud(name: str, prices: Prices) -> dict[str, Any]:
    model = prices.cloud(name)
    return {"name": name, "input_eur": round(model.input.value, 4), "output_eur": round(model.output.value, 4)}
