"""What a plan is shown as: the plan, and what a page or a table says of it besides. Values only; how they look is `cli`'s."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from hausgeist.planner.costs.money import Point, curve
from hausgeist.planner.costs.verdict import Verdict
from hausgeist.planner.crowd import Crowd
from hausgeist.planner.plan import Plan
from hausgeist.serving.sizing.ways import Need, Way

__all__ = ["Pace", "Place", "Sheet"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Pace:
    """Speed with so many tokens in the context."""

    context: int
    prompt_tokens_per_second: float
    generate_tokens_per_second: float
    """Each user's."""
    first_token_seconds: float
    """Of a prompt of `context` tokens of which nothing was read before."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """A memory, and what of it is taken. Bytes."""

    name: str
    used: int
    capacity: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Sheet:
    """One model on one machine."""

    plan: Plan
    paces: Sequence[Pace] = ()
    """By growing context; empty: it does not run there."""
    crowd: Crowd | None = None
    """How many at once; `None`: it does not run there, writes nothing, or nobody asked."""
    next: str = ""
    """What to type next; empty: nothing."""
    use: str = ""
    """What it was ranked for."""
    needs: Sequence[Need] = ()
    """Memory by growing context; empty: nobody asked."""
    ways: Sequence[Way] = ()
    """What would help; empty: there is no need, or nothing does."""

    @property
    def title(self) -> str:
        return f"{self.plan.wish.model} at {self.plan.wish.precision}" if self.plan.wish.precision else self.plan.wish.model

    @property
    def device(self) -> str:
        return self.plan.target.title

    @property
    def parts(self) -> Mapping[str, int]:
        """Bytes by what they are for, on machine and cards together."""
        parts = self.plan.parts
        return {
            "weights": parts.weights,
            "repack": parts.repack,
            "KV cache": parts.kv_cache,
            "compute": parts.compute,
            "output": parts.output,
            "draft": parts.draft,
            "prompt cache": parts.prompt_cache,
            "overhead": parts.overhead - parts.draft - parts.prompt_cache,
        }

    @property
    def places(self) -> Sequence[Place]:
        """The machine's memory, and each card's."""
        plan, target = self.plan, self.plan.target
        if target.unified:
            return (Place(name="shared memory", used=plan.parts.total, capacity=target.memory_bytes),)
        sizes = (*plan.device_bytes, *(0 for _ in target.device_bytes[len(plan.device_bytes) :]))
        several = len(target.device_bytes) > 1
        cards = [
            Place(name=f"card {number + 1}" if several else "card", used=used, capacity=there)
            for number, (used, there) in enumerate(zip(sizes, target.device_bytes, strict=False))
        ]
        if plan.pages is not None:  # what vLLM takes of the machine's memory is not known
            return tuple(cards)
        return (*cards, Place(name="main memory", used=plan.host_bytes, capacity=target.host.memory_bytes * target.nodes))

    @property
    def capacity(self) -> int:
        """Of the memories that count: where all layers lie on cards, these and what is needed beside them; else the machine's as well."""
        if self.cards and self.plan.placed == "wholly":
            return self.cards + self.plan.host_bytes
        return sum(place.capacity for place in self.places)

    @property
    def cards(self) -> int:
        """Bytes of all cards; 0: there are none, or they are the machine's own memory."""
        return 0 if self.plan.target.unified else sum(self.plan.target.device_bytes)

    @property
    def verdict(self) -> Verdict | None:
        """The one that decides; `None`: nobody knows what the machine costs, or it was there already."""
        return next(iter(self.verdicts), None)

    @property
    def verdicts(self) -> Sequence[Verdict]:
        return self.plan.expense.verdicts if self.plan.expense is not None else ()

    def curves(self, months: int = 60) -> Sequence[tuple[Verdict, Sequence[Point]]]:
        """What has been paid by the end of each month, against each alternative."""
        return [(one, curve(one.own, one.alternative, months)) for one in self.verdicts]
