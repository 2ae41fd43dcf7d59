"""What would help where a model does not fit wholly, or is slow: each way as the changes to the question that make it so, for those who ask anew.

Reckoned as the plan itself was. The sentence of a hint is `remedy`'s.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Final, Literal

from hausgeist.errors import InvalidRequest, NotFound
from hausgeist.planner import llamacpp, vllm
from hausgeist.planner.advice.buying import Offer
from hausgeist.planner.advice.models import Ranked
from hausgeist.planner.costs.expense import Terms
from hausgeist.planner.costs.prices import Prices
from hausgeist.planner.devices.device import Device
from hausgeist.planner.devices.known import Devices
from hausgeist.planner.fitting import least_bytes, room
from hausgeist.planner.plan import Plan, plan
from hausgeist.planner.wish import Wish, placing, starting
from hausgeist.serving.sizing.remedy import fewer_slots, smaller_cache, under_vllm
from hausgeist.serving.sizing.subjects import Subject, of_entry

if TYPE_CHECKING:
    from hausgeist.library.catalog import Entry

__all__ = ["Need", "Way", "memory_by_context", "name_of", "ways"]

Kind = Literal["context", "kv", "slots", "precision", "gpus", "gpu", "model"]

_COARSER: Final = ("Q8_0", "Q6_K", "Q5_K_M", "Q4_K_M", "Q3_K_M", "Q2_K")
_SHORTEST: Final = 1024
_TRIED: Final = 12
"""Machines that are looked at closely before the search is given up."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Way:
    """`asks`: parameters of the question and what they would be. `title`: what it is, of a model or a machine."""

    kind: Kind
    asks: Mapping[str, str]
    title: str = ""
    generate_tokens_per_second: float | None = None
    price_eur: float | None = None
    condition: str = ""
    """new or used, of a machine."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Need:
    """What a context takes. Bytes, of machine and cards together."""

    context: int
    total_bytes: int
    kv_cache_bytes: int
    placed: str


def memory_by_context(made: Plan) -> tuple[Need, ...]:
    """From a short context to the longest that the model was made for."""
    most = max(made.wish.made_for, made.wish.tokens)
    lengths = {made.wish.tokens, most, *({made.max_context} if made.max_context else ())}
    step = _SHORTEST
    while step < most:
        lengths.add(step)
        step *= 2
    laid_out = vllm.laid_out if made.wish.engine == "vllm" else llamacpp.laid_out
    found = []
    for length in sorted(lengths):
        try:
            laid = laid_out(replace(made.wish, context=length), made.target)
        except InvalidRequest:  # an engine that cannot be started so says nothing of it
            continue
        found.append(Need(context=length, total_bytes=laid.parts.total, kv_cache_bytes=laid.parts.kv_cache, placed=laid.placed))
    return tuple(found)


def ways(
    subject: Subject, made: Plan, smaller: Ranked | None, *, offers: Iterable[Offer], devices: Devices, prices: Prices, terms: Terms
) -> Iterator[Way]:
    """The least change first. `smaller`: the largest other model that the machine runs well; `offers`: what can be bought."""
    if made.placed != "wholly":
        if not made.fits and 0 < made.max_context < made.wish.tokens:
            yield Way(kind="context", asks={"context": str(made.max_context)})
        yield from _under_vllm(made) if made.pages is not None else _under_llamacpp(subject.entry, made)
    if smaller is not None and smaller.good:
        rate = smaller.speed.generate_tokens_per_second
        yield Way(kind="model", asks={"model": smaller.wish.model, "precision": ""}, title=smaller.wish.title, generate_tokens_per_second=rate)
    if made.pages is None and made.wish.task == "generate":
        yield from _bought(made, offers, devices, prices, terms)


def _under_vllm(made: Plan) -> Iterator[Way]:
    precision, cards = under_vllm(made)
    if precision:
        yield Way(kind="precision", asks={"precision": precision})
    if cards:
        yield Way(kind="gpus", asks={"gpus": str(cards)})


def _under_llamacpp(entry: Entry | None, made: Plan) -> Iterator[Way]:
    wish, space = made.wish, room(made.target)
    if kv := smaller_cache(made):
        yield Way(kind="kv", asks={"kv": kv})
    if slots := fewer_slots(made):
        yield Way(kind="slots", asks={"slots": str(slots)})
    if entry is None:
        return
    weights = _weights(wish)
    for name in _COARSER:
        try:
            header = of_entry(entry, name).header
        except InvalidRequest:  # as its maker has it, it comes in no other
            continue
        changed = replace(wish, header=header, precision=name)
        if _weights(changed) < weights and placing(changed, made.target, space).placed == "wholly":
            yield Way(kind="precision", asks={"precision": name})
            return


def _weights(wish: Wish) -> int:
    return sum(tensor.nbytes for tensor in wish.header.tensors.values())


def _bought(made: Plan, offers: Iterable[Offer], devices: Devices, prices: Prices, terms: Terms) -> Iterator[Way]:
    """The least money for a machine that runs it well."""
    tried = 0
    for offer in sorted(offers, key=lambda one: one.price_eur):
        wish = made.wish
        if least_bytes(wish.header, starting(wish, offer.target)) > sum(room(offer.target).devices):
            continue
        found = plan(wish, offer.target, prices, terms)
        if found.good and found.empty is not None and (name := name_of(offer.device, devices)):
            yield Way(
                kind="gpu",
                asks={"gpu": name, "gpus": str(offer.count)},
                title=offer.target.title,
                generate_tokens_per_second=found.empty.generate_tokens_per_second,
                price_eur=offer.price_eur,
                condition=offer.condition,
            )
            return
        tried += 1
        if tried == _TRIED:
            return


def name_of(device: Device, devices: Devices) -> str:
    """By which a question finds it again, memory included; empty: by none."""
    for name in (device.name, f"{device.name} {device.memory_gib:g}gb"):
        try:
            found = devices.find(name)
        except (NotFound, InvalidRequest):
            continue
        if found.name == device.name and found.memory_gib == device.memory_gib:
            return name
    return ""
