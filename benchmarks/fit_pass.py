"""How long the engine's fit pass takes for a header of 70B: from asking to the answer, on a sparse file in the shape that the catalogue has."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Final

from benchmarks.memory import header_file
from benchmarks.report import Figure, median
from hausgeist.engines.llamacpp.adapter import LlamaCpp
from hausgeist.engines.llamacpp.providers import provider
from hausgeist.model import Footprint, InstalledModel, LaunchPlan
from hausgeist.planner.memory import Header
from hausgeist.settings import load_settings

__all__ = ["CONTEXT", "MODEL", "PRECISION", "Asked", "asked", "measure"]

MODEL: Final = "llama3.3:70b"
PRECISION: Final = "Q4_K_M"
CONTEXT: Final = 8192
_ROUNDS: Final = 5
_GOAL: Final = 5.0
"""Seconds."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """What the engine answered, and after how many seconds each time."""

    header: Header
    said: Footprint
    seconds: Sequence[float]
    engine: str


async def asked(folder: Path, *, rounds: int) -> Asked:
    header, path = header_file(MODEL, folder, precision=PRECISION)
    model = InstalledModel(id=MODEL, engine="llamacpp", path=path, digest="", modified=0)
    plan = LaunchPlan(model=model, task="generate", context=CONTEXT, slots=1)
    used = provider(load_settings(home=folder))
    engine = LlamaCpp(home=folder, provider=used)
    taken = []
    try:
        for _ in range(rounds):
            began = time.perf_counter()
            said = await engine.fit(plan)
            taken.append(time.perf_counter() - began)
    finally:
        await engine.close()
    return Asked(header=header, said=said, seconds=taken, engine=f"{used.name} {used.version}")


async def measure() -> list[Figure]:
    with TemporaryDirectory(prefix="hausgeist-bench-") as room:
        found = await asked(Path(room), rounds=_ROUNDS)
    middle = median(found.seconds)
    value = f"best {min(found.seconds):.2f} s, median {middle:.2f} s of {_ROUNDS}"
    return [
        Figure(f"fit pass of {MODEL} {PRECISION}, {len(found.header.tensors)} tensors", value, f"<= {_GOAL:.0f} s", middle <= _GOAL),
        Figure("what it said", f"{found.said.total / 2**30:.1f} GiB, by {found.engine}"),
    ]
