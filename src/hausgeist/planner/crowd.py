"""How many a machine holds at once: by memory, each with the context that is wanted, and by speed, so that none waits for words.

What one more costs is the cache, which is known without a graph; so the number is guessed from that, and counts once it has been laid out.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Literal

from hausgeist.planner.fitting import least_bytes, room
from hausgeist.planner.plan import Plan
from hausgeist.planner.wish import FIRST_PROMPT, GOOD_SPEED, MOST_SLOTS, Wish, placing, starting

if TYPE_CHECKING:
    from hausgeist.planner.speed import Calibration

__all__ = ["Crowd", "Limit", "Point", "crowd"]

Limit = Literal["memory", "speed", "slots"]
"""What one more would break: no memory for another context, less than `GOOD_SPEED` for each, no more requests that the engine answers at once."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Point:
    users: int
    """Who are answered at once."""
    generate_tokens_per_second: float
    """Each one's."""
    total_tokens_per_second: float
    first_token_seconds: float
    """Until the last of them sees a first token, where all begin to ask at the same moment."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Crowd:
    most: int
    """Users at once who each get `GOOD_SPEED` at the beginning of a conversation and have room for all of their context; 0: not even one does."""
    limit: Limit
    rate: float
    """Tokens per second that each gets at least."""
    points: tuple[Point, ...]
    """From one user to as many as memory holds."""


def crowd(made: Plan, *, calibration: Calibration | None = None) -> Crowd | None:
    """`None`: it does not run there, or writes nothing."""
    if made.empty is None or not made.empty.generate_tokens_per_second:
        return None
    from hausgeist.planner.speed import most_users

    wish, target = made.wish, made.target
    alone = replace(wish, users=1, slots=None)
    best = placing(alone, target) if made.pages is None else None
    layers = best.gpu_layers if best is not None else made.gpu_layers
    slots = made.pages.sequences if made.pages is not None else MOST_SLOTS[wish.engine]
    fast = most_users(
        wish.header, best.start if best is not None else made.start, target, gpu_layers=layers, filled=min(FIRST_PROMPT, wish.tokens),
        rate=GOOD_SPEED.value, calibration=calibration, engine=wish.engine, ways=_ways(made), most=slots,
    )  # fmt: skip
    if made.pages is not None:
        held = made.pages.requests
    elif best is not None and best.placed == "wholly":
        held = _held(alone, made, slots) if fast else 1
    else:
        return _offloaded(alone, made, fast, calibration)
    most = min(fast, held, slots)
    limit: Limit = "speed" if most == fast < min(held, slots) else "memory" if most == held < slots else "slots"
    return Crowd(most=most, limit=limit, rate=GOOD_SPEED.value, points=_points(made, max(1, min(held, slots)), most, calibration, layers=layers))


def _ways(made: Plan) -> int:
    return made.pages.tensor_parallel if made.pages is not None else 0


def _of(wish: Wish, users: int) -> Wish:
    return replace(wish, users=users, slots=users)


def _held(wish: Wish, made: Plan, slots: int) -> int:
    """Users whose contexts fit wholly where the model is."""
    space = room(made.target)
    there = sum(space.devices) or space.host

    def fits(users: int) -> bool:
        return placing(_of(wish, users), made.target, space).placed == "wholly"

    def bare(users: int) -> bool:
        return least_bytes(wish.header, starting(_of(wish, users), made.target)) <= there

    # Without the graph more seem to fit than do; how many fewer it is, is found by steps that double.
    high = _last(bare, 1, slots + 1)
    step, low = 1, high
    while low > 1 and not fits(low):
        high, low, step = low, max(1, low - step), step * 2
    return _last(fits, low, high) if low < high else low


def _last(holds: Callable[[int], bool], low: int, high: int) -> int:
    """The last that holds from `low`, which does, to below `high`."""
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (middle, high) if holds(middle) else (low, middle)
    return low


def _offloaded(wish: Wish, made: Plan, fast: int, calibration: Calibration | None) -> Crowd:
    """With each user fewer layers are on cards, so that all are slower: both are asked of each number."""
    space = room(made.target)

    def rated(users: int) -> tuple[bool, float]:
        found = placing(_of(wish, users), made.target, space)
        if found.placed == "no":
            return False, 0.0
        return True, next(_rated(made, (users,), calibration, found.gpu_layers)).generate_tokens_per_second

    most = _last(lambda users: rated(users)[1] >= GOOD_SPEED.value, 1, fast + 1) if fast else 0
    limit: Limit = "slots" if most == MOST_SLOTS[wish.engine] else "speed" if rated(most + 1)[0] else "memory"
    points: list[Point] = []
    for users in _numbers(max(most, made.working)):
        found = placing(_of(wish, users), made.target, space)
        if found.placed != "no":
            points += _rated(made, (users,), calibration, found.gpu_layers)
    return Crowd(most=most, limit=limit, rate=GOOD_SPEED.value, points=tuple(points))


def _points(made: Plan, held: int, most: int, calibration: Calibration | None, *, layers: int) -> tuple[Point, ...]:
    """Beyond twice the most that are fast enough there is nothing to be seen."""
    return tuple(_rated(made, _numbers(min(held, max(2 * most, made.working, 1)), most), calibration, layers))


def _numbers(most: int, *others: int) -> tuple[int, ...]:
    """1, 2, 4, ... and the last one."""
    doubled = {2**power for power in range(most.bit_length()) if 2**power <= most}
    return tuple(sorted({*doubled, most, *(one for one in others if 0 < one <= most)}))


def _rated(made: Plan, numbers: tuple[int, ...], calibration: Calibration | None, layers: int) -> Iterator[Point]:
    from hausgeist.planner.speed import speed

    for users in numbers:
        found = speed(
            made.wish.header, replace(made.start, slots=users), made.target, gpu_layers=layers, filled=min(FIRST_PROMPT, made.wish.tokens),
            users=users, calibration=calibration, engine=made.wish.engine, ways=_ways(made),
        )  # fmt: skip
        yield Point(
            users=users,
            generate_tokens_per_second=found.generate_tokens_per_second,
            total_tokens_per_second=found.total_tokens_per_second,
            first_token_seconds=users * found.first_token_seconds,
        )
