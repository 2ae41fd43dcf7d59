"""The catalogue as the planner's advice wants it."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache

from hausgeist.library.catalog import Entry, load
from hausgeist.planner.advice.models import Model
from hausgeist.planner.memory import Header
from hausgeist.serving.sizing.subjects import of_entry

__all__ = ["catalogue", "model_of"]


@cache
def catalogue() -> tuple[Model, ...]:
    """All models that an engine here runs."""
    return tuple(model_of(entry) for entry in load() if entry.served)


def model_of(entry: Entry) -> Model:
    """One model; its header is made when it is asked for."""
    return Model(
        name=entry.name,
        family=entry.family,
        uses=entry.use,
        parameters=entry.parameters,
        active=entry.active if entry.experts else 0,
        context=entry.context,
        released=entry.released,
        precision=entry.precision,
        header=_headers(entry),
        projector=entry.projector_bytes,
    )


def _headers(entry: Entry) -> Callable[[str], Header]:
    @cache
    def header(precision: str) -> Header:
        return of_entry(entry, precision).header

    return header
