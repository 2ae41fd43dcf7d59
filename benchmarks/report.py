"""Figures with their goals: printed as a table, kept in docs/lab.md with date and command, misses included."""

from __future__ import annotations

import datetime
import os
import platform
import statistics
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

__all__ = ["Figure", "keep", "median", "quantile", "table"]

LAB = Path(__file__).resolve().parent.parent / "docs" / "lab.md"


@dataclass(frozen=True, slots=True)
class Figure:
    """One measured number. `met` is None where there is no goal."""

    name: str
    value: str
    goal: str = ""
    met: bool | None = None

    @property
    def verdict(self) -> str:
        return "" if self.met is None else "met" if self.met else "MISSED"


def median(values: Sequence[float]) -> float:
    return statistics.median(values)


def quantile(values: Sequence[float], share: float) -> float:
    """The value below which `share` of the sorted values lie (nearest rank)."""
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(share * len(ordered)))]


def table(figures: Sequence[Figure]) -> str:
    rows = [("figure", "measured", "goal", ""), *((one.name, one.value, one.goal, one.verdict) for one in figures)]
    widths = [max(len(row[column]) for row in rows) for column in range(4)]
    lines = ["| " + " | ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)) + " |" for row in rows]
    lines.insert(1, "|" + "|".join("-" * (width + 2) for width in widths) + "|")
    return "\n".join(lines)


def keep(title: str, command: str, figures: Sequence[Figure], *, remarks: str = "") -> None:
    """Append a section to docs/lab.md."""
    machine = f"{os.cpu_count()} cores, {platform.machine()}, Python {platform.python_version()}"
    text = f"\n## {datetime.datetime.now(tz=datetime.UTC):%Y-%m-%d}: {title}\n\n`{command}` on {machine}.\n\n{table(figures)}\n"
    if remarks:
        text += f"\n{remarks}\n"
    with LAB.open("a", encoding="utf-8") as file:
        file.write(text)
