"""Speed as the planner derives it against what others have measured and published: medians, worst, and where it fails."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from benchmarks.report import Figure, median, quantile
from hausgeist.library.catalog.mix import tensor_type
from hausgeist.library.catalog.reader import load as catalogue
from hausgeist.planner.devices.known import load as hardware
from hausgeist.planner.memory import Header, Start, describe
from hausgeist.planner.speed import Calibration, Speed, peaks, speed
from hausgeist.planner.target import Host, Target, target

__all__ = ["Row", "header", "measure", "predicted", "rows"]

PUBLISHED = Path(__file__).resolve().parent / "published"
_TEST = re.compile(r"(?P<kind>pp|tg)(?P<tokens>\d+)(?:x(?P<users>\d+))?(?:@d(?P<depth>\d+))?")
_GIB = 1024**3


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """One published measurement."""

    file: str
    target: Target
    backend: str
    engine: str
    model: str
    precision: str
    kind: str
    """pp: tokens of a prompt per second; tg: generated tokens per second, of all users."""
    tokens: int
    depth: int
    users: int
    micro_batch: int
    value: float
    held: bool
    old: bool
    source: str
    date: str

    @property
    def group(self) -> str:
        """Kernels that the constants are of."""
        return peaks(self.target, "vllm" if self.engine == "vllm" else "llamacpp")[0]

    @property
    def title(self) -> str:
        users = f" x{self.users}" if self.users > 1 else ""
        depth = f" at {self.depth}" if self.depth else ""
        return f"{self.target.title}, {self.model} {self.precision}, {self.kind}{self.tokens}{users}{depth}"


def rows() -> Iterator[Row]:
    for path in sorted(PUBLISHED.glob("*.toml")):
        raw = tomllib.loads(path.read_text("utf-8"))
        for table in raw["tables"]:
            where = _target(table)
            for model, precision, test, value in table["rows"]:
                found = _TEST.fullmatch(test)
                if found is None:
                    raise ValueError(f"{path.name}: {test!r} is no test")
                yield Row(
                    file=path.stem, target=where, backend=table["backend"], engine=raw.get("engine", "llamacpp"), model=model, precision=precision,
                    kind=found["kind"], tokens=int(found["tokens"]), depth=int(found["depth"] or 0), users=int(found["users"] or 1),
                    micro_batch=table.get("micro_batch", 512), value=float(value), held=table.get("held", raw.get("held", False)),
                    old=table.get("old", raw.get("old", False)), source=table.get("url", raw["url"]), date=table.get("date", raw["date"]),
                )  # fmt: skip


def _target(table: Mapping[str, Any]) -> Target:
    if host := table.get("host"):
        return Target(host=Host(memory_bytes=64 * _GIB, watts_load=0.0, watts_idle=0.0, measured=False, **host), price_eur=None, price_note="")
    known = hardware()
    one = known.find(table["device"])
    name = f"{table['device']} {table['memory']}gb" if "memory" in table else table["device"]
    return target(known, name if one.options else table["device"], count=table.get("count", 1))


@cache
def header(model: str, precision: str) -> Header:
    entry = catalogue().find(model)
    if entry is None:
        raise ValueError(f"the catalogue has no {model}")
    anatomy = entry.anatomy
    return describe(anatomy, lambda tensor: tensor_type(anatomy, tensor, precision))


def predicted(row: Row, calibration: Calibration | None = None) -> Speed:
    prompt = row.kind == "pp"
    # While N tokens are generated the cache holds half of them on average.
    filled = row.depth + (row.tokens if prompt else row.tokens // 2)
    start = Start(context=max(filled, 512), batch=2048, micro_batch=row.micro_batch, slots=row.users, flash_attention=not row.old)
    return speed(
        header(row.model, row.precision), start, row.target, gpu_layers=10_000, filled=filled, users=row.users,
        engine="vllm" if row.engine == "vllm" else "llamacpp", cached=row.depth if prompt else 0, calibration=calibration,
    )  # fmt: skip


def error(row: Row) -> float:
    """Predicted over published, less one."""
    found = predicted(row)
    return (found.prompt_tokens_per_second if row.kind == "pp" else found.total_tokens_per_second) / row.value - 1.0


def measure() -> list[Figure]:
    """Medians and worst by kind of kernels, over rows that constants are fitted to, rows held out, and rows of older engines."""
    everything = [(row, error(row)) for row in rows()]
    devices = len({row.target.title for row, _ in everything})
    figures = [Figure("published measurements", f"{len(everything)} on {devices} devices", ">= 60 on >= 12", len(everything) >= 60 and devices >= 12)]
    for title, chosen in (
        ("fitted to", [(row, off) for row, off in everything if not row.held and not row.old]),
        ("held out", [(row, off) for row, off in everything if row.held]),
        ("engines of 2023 and 2024", [(row, off) for row, off in everything if row.old]),
    ):
        for kind, name in (("tg", "generation"), ("pp", "prompt")):
            some = [(row, off) for row, off in chosen if row.kind == kind]
            if some:
                figures.append(_figure(f"{name}, {title}", some))
        for group in sorted({row.group for row, _ in chosen}):
            figures += [
                _figure(f"  {group}: {name}", some)
                for kind, name in (("tg", "generation"), ("pp", "prompt"))
                if (some := [(row, off) for row, off in chosen if row.kind == kind and row.group == group])
            ]
    return figures


def _figure(name: str, some: Sequence[tuple[Row, float]]) -> Figure:
    off = [abs(error) for _, error in some]
    worst = max(some, key=lambda one: abs(one[1]))
    spread = f"median {median(off):.0%}, nine of ten {quantile(off, 0.9):.0%}"
    return Figure(f"{name} ({len(some)})", f"{spread}, worst {worst[1]:+.0%} ({worst[0].title})")


def main() -> None:
    """Each row with what is predicted."""
    for row in rows():
        mark = "held" if row.held else "old" if row.old else ""
        print(f"{error(row):+6.0%} {row.value:9.1f} {mark:5}{row.group:27}{row.title}  [{row.backend}, {row.date}]")
    for figure in measure():
        print(f"{figure.name}: {figure.value}")


if __name__ == "__main__":
    main()
