"""How much of what a maker promises the engine's kernels reach: a few constants per kind of device, and the rates of a device that follow.

The constants are fitted to published measurements of other people (benchmarks/published/, by benchmarks/speed_fit.py), never to a model;
`measured` says to how many. What a device has of its own are its bandwidth, its peaks and its clock (planner/devices/devices.toml).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Final

from hausgeist.planner.devices.device import Device
from hausgeist.planner.speed.work import FAMILIES, Family, Pass
from hausgeist.planner.target import Engine, Host, Target

__all__ = ["KINDS", "Engine", "Kernels", "Peaks", "Rates", "device_rates", "host_rates", "kernels", "peaks"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Rates:
    """Of one place that layers run on: seconds follow from a `Pass`."""

    bandwidth: Mapping[Family, float]
    """Bytes of weights per second."""
    cache: float
    """Bytes of cache and states per second."""
    compute: Mapping[Family, float]
    """Operations per second in products with matrices, many tokens at once."""
    vector: Mapping[Family, float]
    """The same for one token or few: weights are unpacked for each."""
    tile: float
    """Tokens that are multiplied at once; fewer take as long."""
    attention: float
    """Operations per second in attention to many tokens at once."""
    memory: float
    """Bytes of intermediate results per second."""
    operation: float
    """Seconds that a step of the graph takes to start."""
    start: float
    """Seconds per pass: sampling, waiting for the device."""

    def reading(self, one: Pass) -> float:
        """Seconds. Reading and computing overlap too little to leave one out: passes of 1 to 512 tokens take their sum (llama.cpp's PR 7676)."""
        return sum(size / self.bandwidth[kind] for kind, size in one.read.items()) + one.cached / self.cache

    def computing(self, one: Pass) -> float:
        speeds = self.vector if one.few else self.compute
        products = sum(count / speeds[kind] for kind, count in one.multiplied.items())
        if one.tiled:
            products = min(products, sum(count / self.compute[kind] for kind, count in one.tiled.items()))
        return products + one.attended / self.attention + one.touched / self.memory

    def starting(self, one: Pass) -> float:
        return one.operations * self.operation


@dataclass(frozen=True, slots=True, kw_only=True)
class Kernels:
    """What one kind of kernels reaches."""

    name: str
    bandwidth: float
    """Part of the maker's bandwidth at which weights are read."""
    cache: float
    """The same for the cache."""
    vector: float
    """Operations for one token on weights that are unpacked on the way, as a multiple of the device's fp32."""
    compute: float
    """Operations in products with matrices, as a multiple of the device's `unit`."""
    attention: float
    """Operations in attention to many tokens at once, as a part of the peak in fp16."""
    operation: float
    """Microseconds that a step of the graph takes to start, at 1 GHz where the device's clock is known."""
    start: float
    """Microseconds per pass."""
    tile: float
    """Tokens that kernels for matrices take at once."""
    spread: tuple[float, float]
    """Half of the measurements lie nearer to what is predicted than this part of it: generation, prompt. Of those held out, or of devices left out
    of the fit, where there are enough."""
    measured: tuple[int, int]
    """By how many measurements, the same; 0: none, taken from the nearest kind."""
    unpacked: Mapping[Family, float]
    """Work per weight of a type in kernels for vectors, as a multiple of that for types of 4 and 8 bits."""
    factors: Mapping[Family, float]
    """Speed of products with matrices of a type, as a part of that with others."""


def _parts(**values: float) -> Mapping[Family, float]:
    return MappingProxyType({kind: values.get(kind, 1.0) for kind in FAMILIES})


_PLAIN: Final = _parts()
_UNPACKED: Final = _parts(float=0.5, i=3.0)
"""Half the work for what needs no unpacking fits the rows of older tables that have F16; that for i-quants is an assumption: no row has them."""
_SCALAR: Final = _parts(i=2.0)


def _kind(name: str, *, read: tuple[float, float], products: tuple[float, float, float], steps: tuple[float, float], tile: float,
          spread: tuple[float, float], measured: tuple[int, int], unpacked: Mapping[Family, float] = _UNPACKED,
          factors: Mapping[Family, float] = _PLAIN) -> Kernels:  # fmt: skip
    return Kernels(
        name=name, bandwidth=read[0], cache=read[1], vector=products[0], compute=products[1], attention=products[2], operation=steps[0],
        start=steps[1], tile=tile, spread=spread, measured=measured, unpacked=unpacked, factors=factors,
    )  # fmt: skip


KINDS: Final[Mapping[str, Kernels]] = MappingProxyType(
    {
        one.name: one
        for one in (
            _kind("cuda", read=(0.96, 0.9), products=(0.367, 2.5, 0.488), steps=(3.32, 50.0), tile=16, spread=(0.1, 0.1), measured=(23, 14)),
            _kind("cuda hbm", read=(0.96, 0.564), products=(0.195, 1.84, 0.409), steps=(5.73, 50.0), tile=16, spread=(0.1, 0.1), measured=(31, 2)),
            _kind("cuda without tensor cores", read=(0.96, 0.6), products=(0.154, 1.155, 0.4), steps=(11.9, 50.0), tile=16, spread=(0.25, 0.25),
                  measured=(9, 1)),
            _kind("cuda unified", read=(0.892, 0.682), products=(0.352, 2.21, 0.385), steps=(2.94, 50.0), tile=16, spread=(0.06, 0.05),
                  measured=(23, 12)),
            _kind("metal", read=(0.96, 0.721), products=(0.336, 0.808, 0.499), steps=(5.56, 50.0), tile=64, spread=(0.1, 0.15), measured=(27, 15)),
            _kind("rdna", read=(0.96, 0.494), products=(0.234, 0.438, 0.295), steps=(4.54, 50.0), tile=64, spread=(0.2, 0.05), measured=(13, 9)),
            _kind("rdna unified", read=(0.96, 0.58), products=(0.22, 0.269, 0.399), steps=(5.36, 50.0), tile=64, spread=(0.05, 0.08),
                  measured=(12, 11)),
            _kind("cdna", read=(0.872, 0.624), products=(0.206, 1.49, 0.4), steps=(7.89, 50.0), tile=64, spread=(0.35, 0.35), measured=(2, 2)),
            _kind("gcn", read=(0.872, 0.624), products=(0.206, 1.15, 0.4), steps=(7.89, 50.0), tile=64, spread=(0.35, 0.2), measured=(0, 3)),
            _kind("xe", read=(0.953, 0.624), products=(0.247, 0.307, 0.4), steps=(5.04, 50.0), tile=64, spread=(0.35, 0.35), measured=(2, 1)),
            _kind("processor", read=(0.916, 0.626), products=(0.375, 0.534, 0.375), steps=(5.85, 100.0), tile=4, spread=(0.15, 0.2), measured=(7, 5),
                  unpacked=_SCALAR, factors=_parts(i=0.4)),
            _kind("vllm", read=(0.96, 0.629), products=(4.0, 0.524, 0.4), steps=(9.43, 200.0), tile=16, spread=(0.25, 0.3), measured=(12, 0),
                  unpacked=_PLAIN),
        )
    }
)  # fmt: skip
"""By name. A device's `unit`: its fp32, of half multiprocessors twice (cuda, gcn, cdna, metal): what kernels do per clock is bound by the
multiprocessor, not by the tensor cores' peak; its fp16 (rdna, xe, vllm); half of what a processor does with 8-bit numbers, at least its fp32, at most
twice that."""

_MEASURED: Final = 0.9
"""Of its peak a processor reaches about this in a large product of matrices in fp32."""
_HALF: Final = ("Volta", "Turing")
"""Multiprocessors with 64 lanes for fp32 beside as much for the rest: they do for matrices what others do with 128."""


def kernels(device: Device, engine: Engine = "llamacpp") -> Kernels:
    """Which kernels run on a card or unified chip."""
    if engine == "vllm":
        return KINDS["vllm"]
    unified = device.kind == "unified"
    if device.vendor == "NVIDIA":
        plain, wide = device.architecture == "Pascal", device.memory_type.startswith("HBM")
        name = "cuda unified" if unified else "cuda without tensor cores" if plain else "cuda hbm" if wide else "cuda"
    elif device.vendor == "Apple":
        name = "metal"
    elif device.vendor == "Intel":
        name = "xe"
    elif device.architecture.startswith("CDNA"):
        name = "cdna"
    elif device.architecture.startswith(("RDNA 3", "RDNA 4")):
        name = "rdna unified" if unified else "rdna"
    else:
        name = "gcn"
    return KINDS[name]


def _fp32(device: Device) -> float:
    half = device.architecture in _HALF or device.isa.endswith((" 8.0", " 6.0"))
    return (2.0 if half else 1.0) * device.compute["fp32"] * 1e12


def _unit(device: Device, name: str) -> float:
    """Operations per second that `Kernels.compute` multiplies."""
    return device.peak("fp16") * 1e12 if name.startswith(("rdna", "xe", "vllm")) else _fp32(device)


@dataclass(frozen=True, slots=True, kw_only=True)
class Peaks:
    """What a place promises: bytes and operations per second, GHz."""

    bandwidth: float
    vector: float
    unit: float
    attention: float
    clock: float = 1.0


def _device_peaks(device: Device, kind: Kernels) -> Peaks:
    clock = device.boost_mhz / 1000.0 if device.kind == "gpu" and device.boost_mhz else 1.0 if device.vendor == "Apple" else 2.0
    return Peaks(
        bandwidth=device.bandwidth_gb_s * 1e9,
        vector=_fp32(device),
        unit=_unit(device, kind.name),
        attention=device.peak("fp16") * 1e12,
        clock=clock,
    )


def _host_peaks(host: Host, kind: Kernels) -> Peaks:
    """Measured figures are what it reaches already, so that less of them is lost."""
    fp32, bandwidth = host.compute_tflops * 1e12, host.bandwidth_gb_s * 1e9
    unit = max(fp32, min(host.int8_tops * 1e12, 4.0 * fp32) / 2.0)
    if host.measured:
        fp32, unit, bandwidth = fp32 / _MEASURED, unit / _MEASURED, bandwidth / kind.bandwidth
    return Peaks(bandwidth=bandwidth, vector=fp32, unit=unit, attention=fp32)


def peaks(target: Target, engine: Engine = "llamacpp") -> tuple[str, Peaks]:
    """Kind of kernels and peaks of the place that a target's layers are to run on: its cards, or its processor where it has none."""
    if target.group is None:
        return "processor", _host_peaks(target.host, KINDS["processor"])
    kind = kernels(target.group.device, engine)
    return kind.name, _device_peaks(target.group.device, kind)


def device_rates(device: Device, engine: Engine = "llamacpp") -> Rates:
    kind = kernels(device, engine)
    return _rates(kind, _device_peaks(device, kind))


def host_rates(host: Host) -> Rates:
    """Of a machine's processor."""
    kind = KINDS["processor"]
    return _rates(kind, _host_peaks(host, kind))


def _rates(kind: Kernels, most: Peaks) -> Rates:
    return Rates(
        bandwidth=dict.fromkeys(FAMILIES, most.bandwidth * kind.bandwidth),
        cache=most.bandwidth * kind.cache,
        compute={one: most.unit * kind.compute * kind.factors[one] for one in FAMILIES},
        vector={one: most.vector * kind.vector / kind.unpacked[one] for one in FAMILIES},
        tile=kind.tile,
        attention=most.attention * kind.attention,
        memory=most.bandwidth * kind.bandwidth,
        operation=kind.operation * 1e-6 / most.clock,
        start=kind.start * 1e-6,
    )
