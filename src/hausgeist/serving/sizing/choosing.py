"""Which of several precisions of a repository is pulled: the planner's choice for this machine, by what the files' own heads say.

One head is read to know the shape; of the others the sizes are known, which is enough to say which to look at. What is taken is never taken by
a guess: its own head is read, and if that says otherwise, the choice is made again.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Sequence
from functools import partial
from typing import TYPE_CHECKING, Final

from hausgeist.errors import HausgeistError
from hausgeist.library.catalog import MIXES
from hausgeist.library.sources.base import Variant
from hausgeist.library.sources.precisions import Chooser, Chosen, Look, precision_of, usual
from hausgeist.planner.memory import Header, Tensor
from hausgeist.planner.memory.header import BLOCKS
from hausgeist.planner.target import Target
from hausgeist.serving.sizing.subjects import Subject, of_headers

if TYPE_CHECKING:
    from hausgeist.planner.speed import Calibration

__all__ = ["choosing"]

log = logging.getLogger(__name__)

_WHOLE: Final = frozenset({"F64", "F32", "I8", "I16", "I32", "I64"})
"""Types of what is never quantised."""


def choosing(machine: Callable[[], Target], calibration: Callable[[], Calibration | None]) -> Chooser:
    """`machine`: where it will run. Where heads cannot be read, the usual precision is taken."""

    async def choose(variants: Sequence[Variant], look: Look) -> Chosen:
        named = [variant for variant in variants if precision_of(variant.name) == variant.name]
        first = usual(named or variants)
        if len(named) < 2:
            return Chosen(first.name)
        try:
            return await _chosen(named, first, look, await asyncio.to_thread(machine), await asyncio.to_thread(calibration))
        except HausgeistError as error:
            log.info("the usual precision is taken, for it could not be planned: %s", error.message)
            return Chosen(first.name, f"{first.name}: the usual precision, for this machine could not be planned for ({error.message})")

    return choose


async def _chosen(variants: Sequence[Variant], first: Variant, look: Look, there: Target, calibration: Calibration | None) -> Chosen:
    from hausgeist.planner.advice.models import choose_precision

    by_name = {variant.name: variant for variant in variants}

    async def seen(variant: Variant) -> Subject:
        return await asyncio.to_thread(of_headers, await look(variant), variant.name)

    known = {first.name: await seen(first)}
    of_first = known[first.name]

    def header(name: str) -> Header:
        return known[name].header if name in known else _guessed(of_first.header, name, by_name[name].size / max(1, first.size))

    while True:
        found = await asyncio.to_thread(
            partial(choose_precision, list(by_name), header, there, task=of_first.task, trained=of_first.trained or None, calibration=calibration)
        )
        if found.precision in known:
            return Chosen(found.precision, found.reason)
        known[found.precision] = await seen(by_name[found.precision])


def _guessed(header: Header, name: str, ratio: float) -> Header:
    """The same model at another precision. `ratio`: its bytes to those of `header`; rows get the type that comes nearest."""
    kind = _type_of(name, header, ratio)

    def changed(tensor: Tensor) -> Tensor:
        whole = tensor.type in _WHOLE or len(tensor.dimensions) < 2 or tensor.dimensions[0] % BLOCKS[kind][0]
        return tensor if whole else tensor._replace(type=kind)

    return Header.of(header.metadata, [changed(tensor) for tensor in header.tensors.values()])


def _type_of(name: str, header: Header, ratio: float) -> str:
    """The type that most tensors have at a precision of this name; of names that nobody knows, the one whose size is nearest."""
    plain = name.upper().removeprefix("UD-")
    if plain in MIXES and (kind := MIXES[plain]) in BLOCKS and plain != "MXFP4":
        return kind
    many = [tensor for tensor in header.tensors.values() if tensor.type not in _WHOLE and len(tensor.dimensions) > 1]
    numbers = sum(tensor.nbytes / BLOCKS[tensor.type][1] * BLOCKS[tensor.type][0] for tensor in many)
    bits = ratio * sum(tensor.nbytes for tensor in many) / max(1.0, numbers)
    usable = [kind for kind in MIXES.values() if kind in BLOCKS]
    return min(usable, key=lambda kind: abs(BLOCKS[kind][1] / BLOCKS[kind][0] - bits))
