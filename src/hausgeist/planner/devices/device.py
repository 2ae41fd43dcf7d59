"""What a device is: memory, bandwidth, peaks, watts and prices, each as data have it; several of them over a connection. Values only."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from types import MappingProxyType
from typing import Final, Literal

from hausgeist.errors import NotFound

__all__ = ["Currency", "Device", "Group", "Kind", "Link", "Precision", "Price", "Segment", "Source"]

Kind = Literal["gpu", "unified", "cpu"]
"""A card with memory of its own; a chip whose GPU shares the machine's memory; a processor with its channels of memory."""
Segment = Literal["consumer", "workstation", "datacenter", "server", "embedded"]
Precision = Literal["fp32", "fp16", "fp16_accumulate16", "bf16", "int8", "fp8", "fp4"]
Currency = Literal["EUR", "USD"]

_GIB: Final = 1024**3
_WIDER: Final[Mapping[Precision, Precision]] = MappingProxyType(
    {"fp4": "fp8", "fp8": "fp16", "int8": "fp16", "bf16": "fp32", "fp16_accumulate16": "fp16", "fp16": "fp32"}
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Source:
    """Where figures are from."""

    title: str
    date: str
    """Of the document; "as given": each figure has its own."""
    url: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Price:
    """What a device cost once. Launch prices are the maker's suggestion in the US, before tax."""

    kind: Literal["launch", "new", "used"]
    amount: float
    currency: Currency
    date: str
    """Year, with month and day as far as they are known."""
    source: str
    estimate: bool = False
    """The middle of a range, one seller's word, or what no document at hand confirms."""
    memory_gib: float | None = None
    """With how much memory, where the device comes with several amounts."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Link:
    """A connection between devices or nodes."""

    name: str
    kind: Literal["pcie", "nvlink", "fabric", "package", "network"]
    gb_s: float
    """GB/s in one direction, after line encoding."""
    latency_us: float
    """Microseconds for a small message as programs see it: a typical value, never measured for the case at hand."""
    source: str
    aliases: tuple[str, ...] = ()
    members: int = 0
    """How many devices it joins; 0: no fixed number."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Device:
    """One card, chip or processor. Peak figures of the maker, without sparsity; what programs reach is less."""

    name: str
    vendor: str
    kind: Kind
    segment: Segment
    architecture: str
    released: str
    """Year and month in which it could first be bought; of what was never sold singly, of its announcement."""
    memory_type: str
    memory_gib: float
    """As sold; of several amounts the least, until `with_memory` chooses."""
    bus_bits: int
    memory_gbps: float
    """Gbit/s of one data line."""
    bandwidth_gb_s: float
    """GB/s between memory and chip: bus_bits * memory_gbps / 8."""
    compute: Mapping[Precision, float]
    """TFLOPS, TOPS for int8. A precision that is missing runs no faster than the next wider one."""
    isa: str
    """What the engine's kernels depend on: compute capability, gfx number, instruction sets."""
    tdp_watts: float
    """Of the card (gpu) or processor (cpu); the most that the machine takes at the wall (unified)."""
    idle_watts: float
    """The same without a model in memory."""
    link: str
    """What it is connected by without further parts."""
    sources: tuple[str, ...]
    """Names of sources; after a slash, the page there."""
    usable_gib: float = 0.0
    """What its driver says that there is, before any program; 0: not known to differ from `memory_gib`."""
    idle_loaded_watts: float | None = None
    """At rest with a model in memory, where that is known: some cards leave their lowest state as long as a process holds them."""
    options: tuple[tuple[float, float], ...] = ()
    """Amounts of memory that it comes with: sold, and usable of that, GiB."""
    aliases: tuple[str, ...] = ()
    """Further names that mean it and nothing else."""
    shared: tuple[str, ...] = ()
    """Names that mean it as well as others; the memory that is asked for may decide."""
    bridge: str = ""
    """A faster connection that takes a bridge."""
    network: str = ""
    """What is built in to connect several of them as nodes."""
    units: int = 0
    """Multiply-add lanes for fp32."""
    boost_mhz: float = 0.0
    example: str = ""
    """The processor that the figures are of, where the entry stands for a platform."""
    prices: tuple[Price, ...] = ()
    note: str = ""
    estimates: tuple[str, ...] = ()
    """Fields that nobody measured or published in this form."""

    @property
    def title(self) -> str:
        """With maker, and memory where there is a choice."""
        name = self.name if self.name.startswith(self.vendor) or self.kind == "cpu" else f"{self.vendor} {self.name}"
        return f"{name}, {self.memory_gib:g} GB" if len(self.options) > 1 else name

    @property
    def usable_bytes(self) -> int:
        """Bytes that programs can have."""
        return int((self.usable_gib or self.memory_gib) * _GIB)

    @property
    def resting_watts(self) -> float:
        """Watts of a server that waits with its model loaded."""
        return self.idle_watts if self.idle_loaded_watts is None else max(self.idle_watts, self.idle_loaded_watts)

    def peak(self, precision: Precision) -> float:
        """TFLOPS or TOPS at a precision, or at the widest that it falls back to: fp4 -> fp8 -> fp16 -> fp32, bf16 and int8 likewise."""
        found = self.compute.get(precision)
        if found is None:
            return self.peak(_WIDER[precision])
        # Where fp16 crawls (Pascal), it is computed in fp32.
        return max(found, self.compute["fp32"]) if precision == "fp16" else found

    def price(self, kind: Literal["launch", "new", "used"]) -> Price | None:
        """The latest of its kind for this amount of memory; one for the least memory does not stand for more."""
        fitting = [one for one in self.prices if one.kind == kind and one.memory_gib in (None, self.memory_gib)]
        return max(fitting, key=lambda one: one.date, default=None)

    def has_memory(self, gib: float) -> bool:
        """Whether it comes with that much. Processors take any amount up to the largest."""
        if self.kind == "cpu":
            return 0 < gib <= self.options[-1][0]
        return any(abs(gib - sold) < 0.5 for sold, _ in self.options)

    def with_memory(self, gib: float) -> Device:
        """Raises `NotFound` where it does not come with that much."""
        if not self.has_memory(gib):
            there = ", ".join(f"{sold:g}" for sold, _ in self.options)
            most = "up to " if self.kind == "cpu" else ""
            raise NotFound(f"{self.name} does not come with {gib:g} GB of memory, but with {most}{there}.")
        for sold, usable in self.options:
            if abs(gib - sold) < 0.5:
                return replace(self, memory_gib=sold, usable_gib=usable)
        return replace(self, memory_gib=gib, usable_gib=gib)


@dataclass(frozen=True, slots=True, kw_only=True)
class Group:
    """`count` devices of one kind in each of `nodes` machines. Sums are over all of them."""

    device: Device
    count: int = 1
    nodes: int = 1
    link: Link
    network: Link

    @property
    def total(self) -> int:
        return self.count * self.nodes

    @property
    def usable_bytes(self) -> int:
        return self.device.usable_bytes * self.total

    @property
    def bandwidth_gb_s(self) -> float:
        """What tensor parallelism could read at once; layers that wait for each other read with one device's."""
        return self.device.bandwidth_gb_s * self.total

    @property
    def tdp_watts(self) -> float:
        return self.device.tdp_watts * self.total

    @property
    def resting_watts(self) -> float:
        return self.device.resting_watts * self.total

    @property
    def slowest_link(self) -> Link | None:
        """The connection that everything waits for when all devices take part in one token; `None`: there is but one device."""
        between = (*((self.link,) if self.count > 1 else ()), *((self.network,) if self.nodes > 1 else ()))
        return min(between, key=lambda one: one.gb_s, default=None)

    @property
    def title(self) -> str:
        many = f"{self.count} x {self.device.title}" if self.count > 1 else self.device.title
        return f"{self.nodes} nodes with {many}" if self.nodes > 1 else many
