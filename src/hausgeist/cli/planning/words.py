"""Numbers of plans for people, on the terminal and on pages alike."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Final

from hausgeist.cli.console import size

if TYPE_CHECKING:
    from hausgeist.planner.crowd import Crowd
    from hausgeist.planner.plan import Plan
    from hausgeist.serving.sizing import Sheet

__all__ = ["BASES", "FITS", "LIMITS", "euros", "grams", "held", "months", "number", "rate", "reserved", "seconds", "taken", "tokens", "watt_hours"]

BASES: Final[Mapping[str, str]] = {
    "measured here": "by a measurement on this machine",
    "published": "by published measurements of such devices",
    "assumed": "by those of devices of its kind",
}
"""What a speed rests on."""
FITS: Final[Mapping[str, str]] = {"wholly": "fits", "offload": "with offload", "no": "does not fit"}

LIMITS: Final[Mapping[str, str]] = {"memory": "memory is the limit", "speed": "speed is the limit", "slots": "the engine answers no more at once"}
"""Why there are not more users at once."""


def number(value: float) -> str:
    """With as many digits as say something: 1,234,000 stays whole, 3.14 keeps one."""
    if value >= 1e9:
        return f"{value / 1e9:,.4g} billion"
    if value >= 10 or value == int(value):
        return f"{value:,.0f}"
    return f"{value:.1f}" if value >= 1 else f"{value:.2g}"


def rate(value: float) -> str:
    """Tokens per second."""
    return f"{value:,.0f}" if value >= 20 else f"{value:.1f}" if value >= 1 else f"{value:.2g}"


def euros(value: float | None) -> str:
    if value is None:
        return "?"
    return f"{value:,.0f} EUR" if value >= 100 else f"{value:,.2f} EUR"


def held(crowd: Crowd) -> str:
    """How many at once, and why not more."""
    pace = f"{number(crowd.rate)} tokens per second"
    if not crowd.most:
        return f"not even one user gets {pace}"
    return (
        f"up to {number(crowd.most)} user{'s' if crowd.most > 1 else ''} at once at {pace}{' each' if crowd.most > 1 else ''} ({LIMITS[crowd.limit]})"
    )


def reserved(plan: Plan) -> Iterator[str]:
    """How vLLM uses its cards: sentences without a full stop."""
    if (pages := plan.pages) is None or not plan.fits:
        return
    each = "each card" if len(pages.reserved) > 1 else "the card"
    requests = f"{number(pages.requests)} request{'s' if pages.requests > 1 else ''} of {number(plan.wish.tokens)}"
    holds = f"its cache then holds {number(pages.cache_tokens)} tokens, {requests}" if pages.cache_tokens else "what is left is its cache"
    yield f"vLLM takes {size(max(pages.reserved))} of {each} in any case; {holds}"
    if len(pages.reserved) > 1:
        yield f"tensor parallel {pages.tensor_parallel}, pipeline parallel {pages.pipeline_parallel}"


def watt_hours(value: float) -> str:
    return f"{number(value / 1000)} kWh" if value >= 10_000 else f"{number(value)} Wh"


def grams(value: float) -> str:
    return f"{number(value / 1000)} kg" if value >= 10_000 else f"{number(value)} g"


def months(value: float) -> str:
    """Until something is over: counted in full."""
    whole = max(1, math.ceil(value - 1e-9))
    return f"{whole:,} month{'s' if whole != 1 else ''}"


def seconds(value: float) -> str:
    if value >= 90:
        return f"{value / 60:,.0f} min"
    return f"{value:.0f} s" if value >= 10 else f"{value:.1f} s" if value >= 1 else f"{value * 1000:.0f} ms"


def taken(sheet: Sheet) -> str:
    """How much of which memory."""
    plan = sheet.plan
    if sheet.cards and plan.placed == "wholly":
        cards = "cards" if len(plan.device_bytes) > 1 else "card"
        return f"{size(sum(plan.device_bytes))} of {size(sheet.cards)} on the {cards}"
    return f"{size(plan.parts.total)} of {size(sheet.capacity)}"


def tokens(value: float) -> str:
    """Of contexts: 8k, 128k."""
    if value >= 1024 and value % 1024 == 0:
        return f"{value / 1024:.0f}k"
    return f"{value:,.0f}"
