"""This machine as the planner wants it: what the probe found, made a `Target`.

What a processor's platform takes and reaches where nobody measured it is that of the nearest known one, and is said to be an estimate.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Final

from hausgeist.errors import InvalidRequest, NotFound
from hausgeist.hardware import Cpu, Memory
from hausgeist.hardware import Device as Card
from hausgeist.hardware.measure import Measured
from hausgeist.planner.devices.device import Device, Group
from hausgeist.planner.devices.known import Devices
from hausgeist.planner.memory import InstructionSet
from hausgeist.planner.target import Host, Target, host

__all__ = ["instructions_of", "this_machine"]

_GIB: Final = 1024**3
_PER_CORE_GB_S: Final = 15.0
"""What one core can read from memory, about, where it has it to itself: so that a few cores of a large machine are not given all its channels."""
_SERVERS: Final = ("xeon", "epyc", "altra", "neoverse", "graviton")


def this_machine(
    devices: Devices, *, memory: Memory, cpu: Cpu, cards: Sequence[Card], measured: Measured | None, wheel: bool, accelerated: bool = True
) -> Target:
    """`wheel`: the engine came with the program, which on x86 stops at AVX2. `accelerated`: the engine can use the cards; otherwise none counts.

    Where cards are of several kinds, those count that have most memory together: a model is not spread over different ones here.
    """
    around = _host(devices, cpu, memory.total, measured, wheel=wheel)
    group = _cards(devices, cards, memory) if accelerated else None
    return Target(host=around, group=group, price_eur=0.0, price_note="there already")


def instructions_of(cpu: Cpu, *, wheel: bool) -> InstructionSet:
    """For which the engine repacks weights."""
    features = set(cpu.features)
    if {"neon", "asimd"} & features:
        return "neon" if {"asimddp", "i8mm"} & features or "neon" in features else "none"
    if "avx512f" in features and not wheel:
        return "avx512"
    return "avx2" if "avx2" in features else "none"


def _host(devices: Devices, cpu: Cpu, memory: int, measured: Measured | None, *, wheel: bool) -> Host:
    near = _nearest(devices, cpu)
    part = cpu.cores / near.cores if near.cores else 1.0
    return Host(
        title=cpu.model or near.title,
        memory_bytes=memory,
        bandwidth_gb_s=measured.memory.best if measured else min(near.bandwidth_gb_s, _PER_CORE_GB_S * max(1, cpu.cores)),
        compute_tflops=measured.matrix.best / 1000 if measured else near.compute_tflops * part,
        cores=cpu.cores,
        instructions=instructions_of(cpu, wheel=wheel),
        # Of a few cores that were rented or set apart, their part of what the whole takes.
        watts_load=near.watts_load * min(1.0, part),
        watts_idle=near.watts_idle * min(1.0, part),
        measured=measured is not None,
        int8_tops=near.int8_tops * part,
    )


def _nearest(devices: Devices, cpu: Cpu) -> Host:
    """The platform with the same instructions whose cores are nearest in number, servers for servers."""
    wanted = instructions_of(cpu, wheel=False)
    server = any(word in cpu.model.lower() for word in _SERVERS)
    hosts = [(one, host(one)) for one in devices if one.kind == "cpu"]
    alike = [(one, made) for one, made in hosts if made.instructions == wanted] or hosts
    alike = [(one, made) for one, made in alike if (one.segment in ("server", "datacenter")) == server] or alike
    return min(alike, key=lambda pair: (abs(pair[1].cores - cpu.cores), pair[0].name))[1]


def _cards(devices: Devices, cards: Sequence[Card], memory: Memory) -> Group | None:
    found = [one for card in cards if not card.barred and (one := _known(devices, card, memory)) is not None]
    if not found:
        return None
    name = max((one.name for one in found), key=lambda name: sum(one.usable_bytes for one in found if one.name == name))
    alike = [one for one in found if one.name == name]
    least = min(alike, key=lambda one: one.usable_bytes)
    return devices.group(least, 1 if least.kind == "unified" else len(alike))


def _known(devices: Devices, card: Card, memory: Memory) -> Device | None:
    """The device of that name; the driver knows best how much memory programs can have."""
    for name in _names(card, memory):
        try:
            one = devices.find(name)
        except (NotFound, InvalidRequest):
            continue
        return replace(one, usable_gib=card.total / _GIB) if card.total else one
    return None


def _names(card: Card, memory: Memory) -> Iterator[str]:
    """As drivers say it, with what tells chips of one name apart."""
    name = f"{card.name} ({card.units}-core GPU)" if card.kind == "metal" and card.units else card.name
    if card.unified:
        yield f"{name} {round(memory.total / _GIB)}gb"
    yield name
    yield card.name
