"""What would make a plan fit wholly that is for several requests at once: a smaller KV cache. Reckoned as the plan itself was."""

from __future__ import annotations

from dataclasses import replace
from typing import Final

from hausgeist.model import CacheType
from hausgeist.planner.fitting import room
from hausgeist.planner.plan import Plan
from hausgeist.planner.wish import Wish, placing

__all__ = ["remedy"]

_SMALLER: Final[CacheType] = "q8_0"
_LARGER: Final[frozenset[CacheType]] = frozenset({"f32", "f16", "bf16"})


def remedy(made: Plan) -> str:
    """One sentence of a hint; empty: there is no need, or neither helps."""
    wish = made.wish
    if made.placed == "wholly" or wish.at_once < 2 or wish.task != "generate":
        return ""
    space = room(made.target)

    def whole(changed: Wish) -> bool:
        return placing(changed, made.target, space).placed == "wholly"

    ways = []
    if wish.cache_type in _LARGER and whole(replace(wish, cache_type=_SMALLER)):
        ways.append(f"with --kv {_SMALLER}")
    low, high = 0, wish.at_once - 1
    while low < high:
        middle = (low + high + 1) // 2
        low, high = (middle, high) if whole(replace(wish, slots=middle)) else (low, middle - 1)
    if low:
        ways.append(f"with --slots {low}, where others wait for their turn")
    return f"{wish.title} would fit wholly {', or '.join(ways)}" if ways else ""
