"""All hardware that is known, and which device a name means.

The text that comes with the program is `packaged()`; `decode` makes values of it. How fast a model runs on a device is not decided here.
"""

from __future__ import annotations

import tomllib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, fields, replace
from functools import cache, cached_property
from importlib.resources import files
from types import MappingProxyType
from typing import Any, Final, TypeVar, get_args

from hausgeist.errors import InvalidRequest, NotFound, StoreError, shown
from hausgeist.planner.devices.device import Device, Group, Kind, Link, Precision, Price, Segment, Source
from hausgeist.planner.devices.naming import key, link_key, nearest, readings

__all__ = ["Devices", "decode", "load", "packaged"]

_MOST: Final = 1024
"""Devices in a node, and nodes."""
_NETWORK: Final = "Ethernet 10"
"""What nodes are connected by where nothing else is said."""


@dataclass(frozen=True, kw_only=True)
class Devices:
    """All devices and connections that are known, found by any of their names."""

    devices: Sequence[Device]
    links: Sequence[Link]
    sources: Mapping[str, Source] = field(default_factory=dict)

    def __iter__(self) -> Iterator[Device]:
        return iter(self.devices)

    def __len__(self) -> int:
        return len(self.devices)

    @cached_property
    def _own(self) -> Mapping[str, Device]:
        return {key(name): one for one in self.devices for name in (one.name, *one.aliases)}

    @cached_property
    def _shared(self) -> Mapping[str, Sequence[Device]]:
        table: dict[str, list[Device]] = {}
        for one in self.devices:
            for label in {key(name) for name in one.shared}:
                table.setdefault(label, []).append(one)
        return table

    @cached_property
    def _links(self) -> Mapping[str, Link]:
        return {link_key(name): one for one in self.links for name in (one.name, *one.aliases)}

    def find(self, name: str) -> Device:
        """The device that a name means, with the memory that was asked for: "RTX 4090", "4060 ti 16gb", "m3 max 128", "NVIDIA A100-SXM4-80GB".

        Raises `NotFound` with the nearest names, or with the amounts of memory that there are; `InvalidRequest` for a name that several devices have.
        """
        wrong_memory: Device | None = None
        for reading in readings(name):
            own = self._own.get(reading.key)
            others = self._shared.get(reading.key, ())
            candidates: list[Device] = [*((own,) if own else ()), *others]
            if reading.gib is None:
                if own is not None:
                    return own
            else:
                wrong_memory = wrong_memory or next(iter(candidates), None)
                candidates = [one.with_memory(reading.gib) for one in candidates if one.has_memory(reading.gib)]
                if own is not None and candidates and candidates[0].name == own.name:
                    return candidates[0]
            if len(candidates) == 1:
                return candidates[0]
            if candidates:
                raise InvalidRequest(f"'{shown(name)}' may be {_either(one.name for one in candidates)}; say which.", param="gpu")
        if wrong_memory is not None:
            raise NotFound(f"There is no '{shown(name)}': {self._amounts(wrong_memory)}.")
        known = {**{label: many[0].name for label, many in self._shared.items()}, **{label: one.name for label, one in self._own.items()}}
        near = nearest(name, known)
        raise NotFound(f"The device '{shown(name)}' is not known.{f' Did you mean {_either(near)}?' if near else ''}")

    def link(self, name: str) -> Link:
        """A connection by name: "PCIe 4.0 x16", "pcie4 x8", "nvlink 3", "10gbe". Raises `NotFound` with the nearest names."""
        if found := self._links.get(link_key(name[:200])):
            return found
        near = nearest(name, {label: one.name for label, one in self._links.items()})
        raise NotFound(f"The connection '{shown(name)}' is not known.{f' Did you mean {_either(near)}?' if near else ''}")

    def group(self, device: Device | str, count: int = 1, *, nodes: int = 1, link: str = "", network: str = "") -> Group:
        """`count` cards in a machine over `link`, `nodes` such machines over `network`.

        Where none is named: the slot, or what joins modules of the kind (SXM); between machines what is built in, else Ethernet of 10 Gbit/s.
        Raises `InvalidRequest` for numbers that make no sense and connections that the devices lack, `NotFound` for unknown names.
        """
        one = self.find(device) if isinstance(device, str) else device
        for number, param in ((count, "gpus"), (nodes, "nodes")):
            if not 1 <= number <= _MOST:
                raise InvalidRequest(f"{number} is no number of {'devices' if param == 'gpus' else 'nodes'}; 1 to {_MOST} is.", param=param)
        if count > 1 and one.kind == "unified":
            raise InvalidRequest(f"{one.name} is a machine of its own: ask for {count} nodes instead.", param="gpus")
        inside = self.link(link) if link else self.link(one.link)
        if inside.kind in ("nvlink", "fabric", "package") and inside.name not in (one.link, one.bridge):
            has = _either(name for name in (one.link, one.bridge) if name)
            raise InvalidRequest(f"{one.name} cannot be connected by {inside.name}, but by {has}.", param="link")
        if inside.kind == "network":
            raise InvalidRequest(f"{inside.name} connects machines, not the devices in one; name it as the network.", param="link")
        if inside.members and count > inside.members:
            raise InvalidRequest(f"{inside.name} joins {inside.members} devices, not {count}.", param="gpus")
        outside = self.link(network or one.network or _NETWORK)
        if outside.kind != "network":
            raise InvalidRequest(f"{outside.name} does not connect machines; name a network such as 'Ethernet 10'.", param="network")
        return Group(device=one, count=count, nodes=nodes, link=inside, network=outside)

    def source(self, name: str) -> Source:
        """By the name that a device or price gives; a page after the slash ends up in the address. Raises `NotFound`."""
        label, _, page = name.partition("/")
        if (found := self.sources.get(label)) is None:
            raise NotFound(f"The source '{shown(name)}' is not known.")
        return replace(found, url=f"{found.url}/{page}") if page else found

    def _amounts(self, device: Device) -> str:
        alike = [one for one in self.devices if one is device or set(one.shared) & {*device.aliases, *device.shared}]
        return "; ".join(f"{one.name} has {'up to ' if one.kind == 'cpu' else ''}{_or(f'{sold:g}' for sold, _ in one.options)} GB" for one in alike)


def packaged() -> str:
    """The text that comes with the program."""
    return (files(__package__) / "devices.toml").read_text("utf-8")


@cache
def load() -> Devices:
    """What comes with the program, read once."""
    return decode(packaged())


def decode(text: str) -> Devices:
    """Raises `StoreError` naming the entry and what is wrong with it: the data came with the program and are damaged."""
    try:
        raw = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise _wrong(str(error)) from error
    try:
        sources = {name: _made(Source, value, f"source {name}") for name, value in raw.get("sources", {}).items()}
        links = tuple(_made(Link, value, f"link {value.get('name')}") for value in raw.get("links", ()))
        devices = tuple(_device(value) for value in raw.get("devices", ()))
    except (AttributeError, TypeError) as error:
        raise _wrong(f"a table is missing: {error}") from error
    _check(devices, links, sources)
    return Devices(devices=devices, links=links, sources=MappingProxyType(sources))


_T = TypeVar("_T", Source, Link, Price, Device)


def _made(kind: type[_T], raw: Mapping[str, Any], where: str) -> _T:
    values: dict[str, Any] = {name: tuple(value) if isinstance(value, list) else value for name, value in raw.items()}
    if unknown := values.keys() - {one.name for one in fields(kind)}:
        raise _wrong(f"{where}: {', '.join(sorted(unknown))} unknown")
    try:
        return kind(**values)
    except TypeError as error:
        raise _wrong(f"{where}: {error}") from error


def _device(raw: Mapping[str, Any]) -> Device:
    where = f"device {raw.get('name')}"
    values = dict(raw)
    try:
        sold = values["memory_gib"] if isinstance(values["memory_gib"], list) else [values["memory_gib"]]
        usable = values.get("usable_gib", sold)
        usable = usable if isinstance(usable, list) else [usable]
        values["options"] = tuple(zip(map(float, sold), map(float, usable), strict=True))
        values["memory_gib"], values["usable_gib"] = values["options"][0]
        values["compute"] = MappingProxyType(dict(values["compute"]))
        values["prices"] = tuple(_made(Price, price, where) for price in values.get("prices", ()))
    except (KeyError, TypeError, ValueError, IndexError) as error:
        raise _wrong(f"{where}: {error}") from error
    return _made(Device, values, where)


def _check(devices: Sequence[Device], links: Sequence[Link], sources: Mapping[str, Source]) -> None:
    known = {one.name for one in links}
    for one in links:
        if one.source not in sources:
            raise _wrong(f"link {one.name}: source {one.source} unknown")
    for device in devices:
        named = {source.partition("/")[0] for source in (*device.sources, *(price.source for price in device.prices))}
        faults = [
            *(f"source {name} unknown" for name in sorted(named - sources.keys())),
            *(f"link {name} unknown" for name in (device.link, device.bridge, device.network) if name and name not in known),
            *(f"precision {name} unknown" for name in device.compute if name not in get_args(Precision)),
            *(f"kind {device.kind} unknown" for _ in "." if device.kind not in get_args(Kind)),
            *(f"segment {device.segment} unknown" for _ in "." if device.segment not in get_args(Segment)),
            *("fp32 missing" for _ in "." if "fp32" not in device.compute),
        ]
        if faults:
            raise _wrong(f"device {device.name}: {faults[0]}")


def _either(names: Iterable[str]) -> str:
    return _or(dict.fromkeys(names))


def _or(words: Iterable[str]) -> str:
    *first, last = words
    return f"{', '.join(first)} or {last}" if first else last


def _wrong(what: str) -> StoreError:
    return StoreError(f"The data on hardware are damaged ({what}); install Hausgeist anew.")
