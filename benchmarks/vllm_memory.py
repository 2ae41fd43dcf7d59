"""Memory under vLLM as the planner derives it against what vLLM itself logged on cards of others (published/memory/vllm.toml)."""

from __future__ import annotations

import tomllib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cache
from typing import Any, Final

from benchmarks.report import Figure, median
from benchmarks.speed import PUBLISHED, header
from hausgeist.anatomy import encoder_tensors
from hausgeist.library.catalog.reader import load as catalogue
from hausgeist.planner.devices.known import load as hardware
from hausgeist.planner.memory import vllm

__all__ = ["PARTS", "Cache", "Log", "caches", "logs", "measure", "printed"]

_GIB: Final = 2**30
_GOAL: Final = 0.02


@dataclass(frozen=True, slots=True, kw_only=True)
class Log:
    """One start: what it said of the first card that spoke, in GiB, and of the cache in tokens and in requests of the full context at once."""

    model: str
    changes: Mapping[str, Any]
    """What differs from the other starts of its table."""
    start: vllm.Start
    card: vllm.Card
    weights: float
    activations: float
    runtime: float
    """What lies outside of PyTorch."""
    kv_cache: float
    tokens: int
    requests: float
    url: str
    note: str

    @property
    def planned(self) -> vllm.Memory:
        return _planned(self.model, self.start, self.card)


@cache
def _planned(model: str, start: vllm.Start, card: vllm.Card) -> vllm.Memory:
    return vllm.estimate(header(model, "BF16"), start, card)


def printed(memory: vllm.Memory) -> int:
    """ "GPU KV cache size" as v0.19 prints it."""
    return memory.blocks // memory.layout.printed_groups * memory.layout.block


PARTS: Final[Mapping[str, Callable[[Log], float]]] = {
    "weights": lambda log: log.planned.cards[0].weights / _GIB / log.weights - 1.0,
    "activations": lambda log: log.planned.cards[0].activations / _GIB / log.activations - 1.0,
    "cache": lambda log: log.planned.cards[0].kv_cache / _GIB / log.kv_cache - 1.0,
    "tokens": lambda log: printed(log.planned) / log.tokens - 1.0,
    "requests": lambda log: log.planned.requests(log.start.context) / log.requests - 1.0,
}
"""Planned over logged, less one."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Cache:
    """What other cards and versions said of a cache: so many GiB are so many tokens."""

    model: str
    start: vllm.Start
    device: str
    kv_cache: float
    tokens: int
    requests: float
    """Of the longest kind at once; 0: not told."""
    url: str
    date: str
    note: str

    @property
    def held(self) -> tuple[int, float]:
        """Tokens and requests that the planner puts into as many bytes."""
        known = header(self.model, "BF16")
        how = vllm.layout(known, self.start)
        blocks = int(self.kv_cache * _GIB) // how.bytes_of_block(range(known.layers))
        return blocks // how.printed_groups * how.block, blocks / how.blocks_of_request(self.start.context, 2048)


def _published() -> dict[str, Any]:
    return tomllib.loads((PUBLISHED / "memory" / "vllm.toml").read_text("utf-8"))


@cache
def logs() -> tuple[Log, ...]:
    return tuple(
        Log(
            model=row[0], changes=row[1], start=_start(table, row), card=_card(table), weights=row[3], activations=row[4], runtime=row[5],
            kv_cache=row[6], tokens=row[7], requests=row[8], url=table["url"], note=table["note"],
        )
        for table in _published()["starts"]
        for row in table["rows"]
    )  # fmt: skip


@cache
def caches() -> tuple[Cache, ...]:
    return tuple(
        Cache(
            model=row[0], start=vllm.Start(**row[1]), device=table["device"], kv_cache=row[2], tokens=row[3], requests=row[4],
            url=table["url"], date=table["date"], note=table.get("note", ""),
        )
        for table in _published()["caches"]
        for row in table["rows"]
    )  # fmt: skip


def _start(table: Mapping[str, Any], row: list[Any]) -> vllm.Start:
    told = {**table["start"], **row[1], "positions": row[2]}
    if told.get("encoder"):
        told["encoder"] = _encoder_of(row[0])
    return vllm.Start(**told)


def _card(table: Mapping[str, Any]) -> vllm.Card:
    known = vllm.Card.of(hardware().find(table["device"]), linked=True)
    return vllm.Card(
        memory_bytes=int(table["memory_gib"] * _GIB), multiprocessors=known.multiprocessors, roomy=known.roomy, workspace_bytes=known.workspace_bytes
    )


def _encoder_of(model: str) -> int:
    """Bytes of the encoder of pictures, in 16 bits."""
    entry = catalogue().find(model)
    if entry is None:
        raise ValueError(f"the catalogue has no {model}")
    return 2 * sum(tensor.elements for tensor in encoder_tensors(entry.anatomy))


def measure() -> list[Figure]:
    """Median and worst of each part, over all starts."""
    figures = []
    for name, error in PARTS.items():
        some = [(log, error(log)) for log in logs()]
        worst, most = max(some, key=lambda one: abs(one[1]))
        middle = median([abs(off) for _, off in some])
        goal = f"median {_GOAL:.0%}" if name in ("cache", "tokens") else ""
        figures.append(
            Figure(f"{name} ({len(some)} starts)", f"median {middle:.2%}, worst {most:+.1%} ({worst.model})", goal, middle <= _GOAL if goal else None)
        )
    held = [(one, one.held[0] / one.tokens - 1.0) for one in caches()]
    cache_of, most = max(held, key=lambda one: abs(one[1]))
    middle = median([abs(off) for _, off in held])
    figures.append(Figure(f"tokens of a cache of so many bytes ({len(held)})", f"median {middle:.2%}, worst {most:+.2%} ({cache_of.model})"))
    return figures
