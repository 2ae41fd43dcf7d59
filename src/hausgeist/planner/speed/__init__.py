"""How fast a model runs on a target, by arithmetic from its header: what must be read and computed, over what the engine's kernels reach there."""

from __future__ import annotations

from hausgeist.planner.speed.calibration import Calibration, Run, calibrate
from hausgeist.planner.speed.estimate import Bound, Speed, most_users, speed
from hausgeist.planner.speed.rates import KINDS, Engine, Kernels, Peaks, Rates, device_rates, host_rates, kernels, peaks
from hausgeist.planner.speed.work import FAMILIES, FEW, Family, Layer, Pass, family, layers, passing

__all__ = [
    "FAMILIES",
    "FEW",
    "KINDS",
    "Bound",
    "Calibration",
    "Engine",
    "Family",
    "Kernels",
    "Layer",
    "Pass",
    "Peaks",
    "Rates",
    "Run",
    "Speed",
    "calibrate",
    "device_rates",
    "family",
    "host_rates",
    "kernels",
    "layers",
    "most_users",
    "passing",
    "peaks",
    "speed",
]
