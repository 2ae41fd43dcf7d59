"""What would make a plan fit: a smaller KV cache where it is for several requests at once; under vLLM fewer bits or more cards. Reckoned as the
plan itself was."""

from __future__ import annotations

from dataclasses import replace
from typing import Final

from hausgeist.errors import InvalidRequest
from hausgeist.model import CacheType
from hausgeist.planner.fitting import room
from hausgeist.planner.memory import vllm
from hausgeist.planner.plan import Plan
from hausgeist.planner.vllm import laid_out
from hausgeist.planner.wish import Wish, placing

__all__ = ["fewer_slots", "remedy", "smaller_cache", "under_vllm"]

_FEWER_BITS: Final = ("FP8", "AWQ")
_CARDS: Final = (2, 4, 8)
_MOST_CARDS: Final = 8
_SMALLER: Final[CacheType] = "q8_0"
_LARGER: Final[frozenset[str]] = frozenset({"f32", "f16", "bf16"})


def remedy(made: Plan) -> str:
    """One sentence of a hint; empty: there is no need, or nothing helps."""
    wish = made.wish
    if made.pages is not None:
        return _under_vllm(made) if not made.fits else ""
    if made.placed == "wholly" or wish.at_once < 2 or wish.task != "generate":
        return ""
    ways = [f"with --kv {kv}"] if (kv := smaller_cache(made)) else []
    ways += [f"with --slots {slots}, where others wait for their turn"] if (slots := fewer_slots(made)) else []
    return f"{wish.title} would fit wholly {', or '.join(ways)}" if ways else ""


def smaller_cache(made: Plan) -> str:
    """The type of a cache with which it would fit wholly under llama.cpp; empty: none."""
    wish = made.wish
    return _SMALLER if wish.cache_type in _LARGER and _whole(replace(wish, cache_type=_SMALLER), made) else ""


def fewer_slots(made: Plan) -> int:
    """Requests side by side with which it would fit wholly; 0: none."""
    low, high = 0, made.wish.at_once - 1
    while low < high:
        middle = (low + high + 1) // 2
        low, high = (middle, high) if _whole(replace(made.wish, slots=middle), made) else (low, middle - 1)
    return low


def _whole(changed: Wish, made: Plan) -> bool:
    return placing(changed, made.target, room(made.target)).placed == "wholly"


def _under_vllm(made: Plan) -> str:
    finer, more = under_vllm(made)
    ways = [*([f"with --precision {finer}"] if finer else []), *([f"on {more} such cards (--gpus {more})"] if more else [])]
    return f"{made.wish.title} would fit {', or '.join(ways)}" if ways else ""


def under_vllm(made: Plan) -> tuple[str, int]:
    """The precision, and the number of cards, with which it would fit; empty and 0: none."""
    wish, group = made.wish, made.target.group
    assert group is not None

    def fits(precision: str, cards: int) -> bool:
        changed = replace(wish, precision=precision, header=vllm.with_bytes(wish.header, vllm.PRECISIONS[precision]))
        try:
            return laid_out(changed, replace(made.target, group=replace(group, count=cards))).placed != "no"
        except InvalidRequest:  # it cannot be shared out among so many
            return False

    finer = next((one for one in _FEWER_BITS if one in vllm.possible(group.device) and fits(one, group.count)), "")
    most = group.link.members or _MOST_CARDS
    more = next((count for count in _CARDS if group.count < count <= most and fits(wish.precision, count)), 0) if group.device.kind == "gpu" else 0
    return finer, more
