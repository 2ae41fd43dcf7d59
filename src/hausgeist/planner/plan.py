"""A plan: what one model takes on one machine, how fast it is there, what that costs, and the sentence that says so.

Composes the engines' layouts, `speed` and `expense`; which model or machine to take is `advice`'s and `buying`'s.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Final, Literal

from hausgeist.model import Footprint
from hausgeist.planner import llamacpp, vllm
from hausgeist.planner.costs.expense import Expense, Terms, expense
from hausgeist.planner.costs.footprint import usual_answer
from hausgeist.planner.costs.prices import Figure, Prices
from hausgeist.planner.fitting import CARD_MARGIN, HOST_RESERVE, SYSTEM_RESERVE, Placed, room
from hausgeist.planner.layout import Layout, Pages, Parts
from hausgeist.planner.memory import Start
from hausgeist.planner.target import Engine, Target
from hausgeist.planner.wish import FIRST_PROMPT, GOOD_SPEED, RUNTIME, Speeds, Wish, speeds

if TYPE_CHECKING:
    from hausgeist.planner.speed import Calibration, Speed

__all__ = ["Method", "Plan", "Wish", "gib", "plan", "with_footprint"]

Method = Literal["arithmetic", "fit", "measured"]


_ENGINES: Final[Mapping[Engine, Callable[[Wish, Target], Layout]]] = {"llamacpp": llamacpp.laid_out, "vllm": vllm.laid_out}


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """What comes of a wish on a machine."""

    wish: Wish
    target: Target
    start: Start
    """As the engine would be told, `gpu_layers` found."""
    parts: Parts
    host_bytes: int
    device_bytes: tuple[int, ...]
    exact: bool
    """The engine's own graph is known for this architecture."""
    placed: Placed
    missing_bytes: int
    """By which it is too large; 0: it fits."""
    max_context: int
    empty: Speed | None
    """At the beginning of a conversation, after `FIRST_PROMPT` tokens; `None`: it does not run at all."""
    full: Speed | None
    """With the context all but full."""
    resumed_seconds: float | None
    """Until the first token where a conversation that fills the context goes on and all but its last `FIRST_PROMPT` tokens are remembered;
    `None`: nothing is remembered beyond the slots."""
    together_seconds: float | None
    """Until the last of the users sees a first token, where all begin to ask at the same moment."""
    expense: Expense | None
    method: Method
    sentence: str
    assumptions: tuple[Figure, ...]
    pages: Pages | None = None
    """How vLLM uses the cards; `None`: another engine."""

    @property
    def slots(self) -> int:
        """Requests that are answered side by side."""
        return self.start.slots

    @property
    def working(self) -> int:
        """Users who are answered at the same time; the others wait for their turn."""
        return min(self.wish.users, self.slots)

    @property
    def cache_per_request(self) -> int:
        """Bytes of keys, values and states of one whole context."""
        return self.parts.kv_cache // self.slots

    @property
    def fits(self) -> bool:
        return self.placed != "no"

    @property
    def gpu_layers(self) -> int:
        return self.start.gpu_layers

    @property
    def all_layers(self) -> int:
        """What `gpu_layers` is when all are on cards."""
        return self.wish.header.blocks + 1

    @property
    def good(self) -> bool:
        """Fits wholly, and writes as fast as one wants to read."""
        return self.placed == "wholly" and self.empty is not None and self.empty.generate_tokens_per_second >= GOOD_SPEED.value

    def json(self) -> dict[str, Any]:
        """Units are in the names. `total_bytes` is the sum of the parts; `None`: not known, or never."""
        spent, start = self.expense, self.empty
        return {
            "model": self.wish.model,
            "precision": self.wish.precision,
            "engine": self.wish.engine,
            "context": self.wish.tokens,
            "slots": self.slots,
            "users": self.wish.users,
            "device": self.target.title,
            "weights_bytes": self.parts.weights,
            "kv_cache_bytes": self.parts.kv_cache,
            "compute_bytes": self.parts.compute,
            "output_bytes": self.parts.output,
            "repack_bytes": self.parts.repack,
            "overhead_bytes": self.parts.overhead,
            "total_bytes": self.parts.total,
            "fits": self.fits,
            "gpu_layers": self.gpu_layers,
            "max_context": self.max_context,
            "prompt_tokens_per_second": _rounded(start.prompt_tokens_per_second if start else None),
            "generate_tokens_per_second": _rounded(start.generate_tokens_per_second if start else None),
            "price_eur": _rounded(self.target.price_eur),
            "watt_hours_per_1k_tokens": _rounded(spent.watt_hours_per_1k_tokens if spent else None),
            "eur_per_1m_tokens": _rounded(spent.eur_per_1m_tokens if spent else None),
            "break_even_months": _rounded(spent.break_even_months if spent else None),
            "method": self.method,
        }


def plan(
    wish: Wish, target: Target, prices: Prices, terms: Terms | None = None, *, calibration: Calibration | None = None, run: Speeds | None = None
) -> Plan:
    """Raises `InvalidRequest` for sizes that are none. `run`: what says how fast it is, `speed.speed` unless given."""
    found = _ENGINES[wish.engine](wish, target)
    made = Plan(
        wish=wish,
        target=target,
        start=found.start,
        parts=found.parts,
        host_bytes=found.host,
        device_bytes=found.devices,
        exact=found.exact,
        placed=found.placed,
        missing_bytes=found.missing,
        max_context=found.max_context,
        empty=None,
        full=None,
        resumed_seconds=None,
        together_seconds=None,
        expense=None,
        method="arithmetic",
        sentence="",
        assumptions=_assumptions(wish, target),
        pages=found.pages,
    )
    if made.fits:
        made = _with_speed(made, prices, terms or Terms(), calibration, run or speeds())
    return replace(made, sentence=_sentence(made))


def _with_speed(made: Plan, prices: Prices, terms: Terms, calibration: Calibration | None, run: Speeds) -> Plan:
    wish, target = made.wish, made.target
    ways = made.pages.tensor_parallel if made.pages is not None else 0

    def at(filled: int, cached: int = 0) -> Speed:
        return run(
            wish.header, made.start, target, gpu_layers=made.gpu_layers, filled=filled, users=made.working, calibration=calibration,
            engine=wish.engine, ways=ways, cached=cached,
        )  # fmt: skip

    empty, full = at(min(FIRST_PROMPT, wish.tokens)), at(wish.tokens)
    resumed = at(wish.tokens, wish.tokens - FIRST_PROMPT).first_token_seconds if _remembers(made) else None
    spent = expense(
        target,
        prices,
        terms,
        prompt_tokens_per_second=empty.prompt_tokens_per_second,
        # What does not write only reads.
        tokens_per_second=empty.total_tokens_per_second or empty.prompt_tokens_per_second,
        model=wish.model,
        volume=wish.volume,
        people=wish.people or wish.users,
    )
    answer = usual_answer(prices)
    figures = (*made.assumptions, *spent.assumptions, *(answer.figures if wish.users > made.slots else ()))
    return replace(
        made, empty=empty, full=full, expense=spent, resumed_seconds=resumed, together_seconds=_together(made, empty, answer.output_tokens),
        assumptions=tuple(dict.fromkeys(figures)),
    )  # fmt: skip


def _remembers(made: Plan) -> bool:
    """Whether beginnings of prompts are kept beyond the requests that are answered. States cannot be taken up halfway by vLLM."""
    kept = made.wish.prompt_cache >= made.cache_per_request > 0 if made.pages is None else not any(made.wish.header.recurrent)
    return kept and made.wish.task == "generate" and made.wish.tokens > 2 * FIRST_PROMPT


def _together(made: Plan, empty: Speed, written: float) -> float | None:
    """Prompts are read one after the other; who has no slot waits for rounds of answers of the usual length."""
    if not empty.generate_tokens_per_second:
        return None
    rounds, last = divmod(made.wish.users - 1, made.slots)
    reading = empty.first_token_seconds
    return rounds * (made.slots * reading + written / empty.generate_tokens_per_second) + (last + 1) * reading


def _assumptions(wish: Wish, target: Target) -> tuple[Figure, ...]:
    if wish.engine == "vllm":
        return (vllm.UTILIZATION, GOOD_SPEED)
    cards = (CARD_MARGIN,) if target.group is not None else ()
    host = () if target.unified else (HOST_RESERVE if target.host.measured else SYSTEM_RESERVE,)
    return (*cards, *host, RUNTIME, GOOD_SPEED)


def with_footprint(made: Plan, footprint: Footprint) -> Plan:
    """The plan with what the engine itself said, or what was measured, laid over; speeds and costs stay.

    Parts that the footprint does not name stay as they were reckoned, and overhead takes up the rest, so that the sum is the footprint's.
    """
    if footprint.source not in ("fit", "measured"):
        return made
    named = footprint.parts
    known = {
        "weights": named.get("weights", made.parts.weights),
        "kv_cache": named.get("kv_cache", named.get("cache", made.parts.kv_cache)),
        "compute": named.get("compute", made.parts.compute),
        "output": named.get("output", made.parts.output),
        "repack": named.get("repack", made.parts.repack),
    }
    rest = footprint.total - sum(known.values())
    if rest < 0:  # less is resident than was reckoned: pages of the file that nobody has looked at
        known["weights"] = max(0, known["weights"] + rest)
        rest = footprint.total - sum(known.values())
    parts = replace(made.parts, **known, overhead=rest)
    space = room(made.target)
    devices = tuple(footprint.devices.values())
    if space.shared:
        missing = max(0, footprint.total - sum(space.devices))
    else:
        cards = sorted(devices, reverse=True)
        missing = sum(max(0, size - there) for size, there in zip(cards, sorted(space.devices, reverse=True), strict=False))
        missing += max(0, footprint.host - space.host)
    whole = not space.devices or made.gpu_layers >= made.all_layers
    laid = replace(
        made, parts=parts, host_bytes=footprint.host, device_bytes=devices, method=footprint.source, missing_bytes=missing,
        placed="no" if missing else "wholly" if whole else "offload",
    )  # fmt: skip
    return replace(laid, sentence=_sentence(laid))


def gib(size: float) -> str:
    """Bytes for people: "1.2 GiB"."""
    return f"{size / 2**30:.1f} GiB" if size >= 2**30 / 10 else f"{size / 2**20:.0f} MiB"


def _sentence(made: Plan) -> str:
    name, where, context = made.wish.title, made.target.title, f"a context of {made.wish.tokens:,} token{'s' if made.wish.tokens > 1 else ''}"
    if made.wish.engine == "vllm":
        where += " under vLLM"
    if made.slots > 1:
        context += f" for each of {made.slots} requests at once"
    if made.placed == "no":
        less = f"; with a context of {made.max_context:,} tokens it would" if 0 < made.max_context < made.wish.tokens else ""
        return f"{name} does not fit on {where} with {context}: it takes {gib(made.parts.total)}, which is {gib(made.missing_bytes)} too much{less}."
    pace = _pace(made)
    if made.placed == "offload":
        cards = "card" if len(made.target.device_bytes) == 1 else "cards"
        return (
            f"{name} fits on {where} only in part, with {context}: {made.gpu_layers} of {made.all_layers} layers go onto the {cards}, "
            f"the processor does the rest{pace and f'; it {pace}'}{_waiting(made)}."
        )
    longer = f" (up to {made.max_context:,} fit)" if made.max_context > made.wish.tokens else ""
    return f"{name} fits on {where} with {context}{longer}{pace and f', and {pace}'}{_waiting(made)}."


def _waiting(made: Plan) -> str:
    others = made.wish.users - made.working
    return f"; {others:,} of {made.wish.users:,} users wait for their turn" if others else ""


def _pace(made: Plan) -> str:
    """What the model does; empty: it is not known how fast."""
    if made.empty is None:
        return ""
    if made.wish.task != "generate" or not made.empty.generate_tokens_per_second:
        return f"reads about {_count(made.empty.prompt_tokens_per_second)} tokens per second"
    rate = made.empty.generate_tokens_per_second
    each = " for each" if made.working > 1 else ""
    slow = "" if rate >= GOOD_SPEED.value else ", which is slow" if rate >= GOOD_SPEED.value / 5 else ", which is too slow to wait for"
    return f"writes about {_count(rate)} tokens per second{each}{slow}"


def _count(rate: float) -> str:
    return f"{rate:,.0f}" if rate >= 10 else f"{rate:.2g}"


def _rounded(value: float | None) -> float | None:
    return None if value is None else float(f"{value:.6g}")
