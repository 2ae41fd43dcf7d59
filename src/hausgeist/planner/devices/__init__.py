"""Hardware that models run on, as data: what each device is, and which one a name means."""

from hausgeist.planner.devices.device import Device, Group, Link, Precision, Price, Source
from hausgeist.planner.devices.known import Devices

__all__ = ["Device", "Devices", "Group", "Link", "Precision", "Price", "Source"]
