"""What a model is to run on: a machine, the cards in it, the engine, as values. How fast it is there is `speed`'s, what it costs `money`'s."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, Literal

from hausgeist.errors import InvalidRequest
from hausgeist.planner.devices.device import Device, Group
from hausgeist.planner.devices.known import Devices
from hausgeist.planner.memory.weights import InstructionSet

__all__ = ["USUAL_HOST", "Engine", "Host", "Target", "host", "target"]

Engine = Literal["llamacpp", "vllm"]
"""What runs the model there."""

USUAL_HOST: Final = "DDR5-5600, 2 channels"
"""The machine that is assumed around cards where nothing is said of it."""

_GIB: Final = 1024**3
_LANES: Final = {"AVX-512": 32, "AVX2": 16, "NEON": 8}
"""Multiply-add lanes for fp32 that a core of the kind has (two units of 512, 256, 128 bit); some have half or twice as many."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Host:
    """The machine around the cards."""

    title: str
    memory_bytes: int
    """That programs can have."""
    bandwidth_gb_s: float
    """Of memory: the channels' sum, or, where `measured`, what reading reached."""
    compute_tflops: float
    """Of matrix products in fp32 with all cores: the peak, or, where `measured`, what one reached."""
    cores: int
    """0: not known."""
    instructions: InstructionSet
    watts_load: float
    watts_idle: float
    measured: bool
    """Bandwidth and compute are this machine's own, not a maker's."""
    int8_tops: float = 0.0
    """Of dot products of 8-bit numbers; 0: there are none, they take about as long as fp32."""

    def __post_init__(self) -> None:
        for name, value in (("memory_bytes", self.memory_bytes), ("bandwidth_gb_s", self.bandwidth_gb_s), ("compute_tflops", self.compute_tflops)):
            if not 0 < value < float("inf"):
                raise InvalidRequest(f"A machine with {name} = {value:g} is not possible.", param=name)


@dataclass(frozen=True, slots=True, kw_only=True)
class Target:
    """A machine, or several alike, and the cards in it."""

    host: Host
    group: Group | None = None
    """Cards. A chip whose GPU shares the machine's memory is a group too, of kind "unified"; its memory is then the machine's."""
    price_eur: float | None = None
    """Of the whole. `None`: not known; 0: there already."""
    price_note: str = ""

    @property
    def title(self) -> str:
        return self.group.title if self.group is not None else self.host.title

    @property
    def unified(self) -> bool:
        """Cards and machine share one memory."""
        return self.group is not None and self.group.device.kind == "unified"

    @property
    def nodes(self) -> int:
        return self.group.nodes if self.group is not None else 1

    @property
    def device_bytes(self) -> tuple[int, ...]:
        """Memory that programs can have, of each card; none: there is no card."""
        return (self.group.device.usable_bytes,) * self.group.total if self.group is not None else ()

    @property
    def shares(self) -> tuple[float, ...]:
        """What part of the offloaded layers each card gets (`Start.shares`)."""
        return tuple(float(size) for size in self.device_bytes)

    @property
    def memory_bytes(self) -> int:
        """Of machine and cards together."""
        if self.group is None:
            return self.host.memory_bytes
        return self.group.usable_bytes if self.unified else self.group.usable_bytes + self.host.memory_bytes * self.nodes

    @property
    def watts_load(self) -> float:
        """While it answers: the cards at their limit and the machine around them waiting, or, without cards, the machine at work."""
        if self.group is None:
            return self.host.watts_load
        return self.group.tdp_watts if self.unified else self.group.tdp_watts + self.host.watts_idle * self.nodes

    @property
    def watts_idle(self) -> float:
        """While it waits with its model loaded."""
        if self.group is None:
            return self.host.watts_idle
        return self.group.resting_watts if self.unified else self.group.resting_watts + self.host.watts_idle * self.nodes


def host(device: Device) -> Host:
    """The machine that a device stands for: a processor's platform, or a chip that is a machine of its own.

    Raises `InvalidRequest` for a card, which needs a machine around it.
    """
    if device.kind == "gpu":
        raise InvalidRequest(f"{device.name} is a card, not a machine; name a processor's platform such as '{USUAL_HOST}'.", param="host")
    arm = device.kind == "unified" and device.vendor != "AMD"
    isa = "NEON" if arm else "AVX-512" if device.kind == "unified" else device.isa
    kind = next((name for name in _LANES if name in isa), "")
    instructions: InstructionSet = "avx512" if kind == "AVX-512" else "avx2" if kind == "AVX2" else "neon" if kind == "NEON" else "none"
    cores = round(device.units / _LANES[kind]) if kind and device.kind == "cpu" else 0
    return Host(
        title=device.title,
        memory_bytes=device.usable_bytes,
        bandwidth_gb_s=device.bandwidth_gb_s,
        compute_tflops=device.compute["fp32"],
        cores=cores,
        instructions=instructions,
        watts_load=device.tdp_watts,
        watts_idle=device.idle_watts,
        measured=False,
        int8_tops=device.compute.get("int8", 0.0),
    )


def target(
    devices: Devices, name: str, *, count: int = 1, nodes: int = 1, link: str = "", network: str = "", around: Host | str = USUAL_HOST,
    price_eur: float | None = None, price_note: str = "",
) -> Target:  # fmt: skip
    """What a name means to run on: a card in a machine `around` it, or a machine. Several processors' machines are not joined.

    Raises `NotFound` with near names, `InvalidRequest` for what cannot be connected.
    """
    device = devices.find(name)
    if device.kind == "cpu":
        if count > 1 or nodes > 1:
            raise InvalidRequest(f"{device.name} is a machine without cards; several of them do not run one model together.", param="gpus")
        return Target(host=host(device), price_eur=price_eur, price_note=price_note)
    group = devices.group(device, count, nodes=nodes, link=link, network=network)
    machine = host(device) if device.kind == "unified" else around if isinstance(around, Host) else host(devices.find(around))
    return Target(host=machine, group=group, price_eur=price_eur, price_note=price_note)
