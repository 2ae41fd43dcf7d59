"""How much a soak run does: the full amount, another one from the environment, or a few seconds' worth that `make test` runs as well."""

from __future__ import annotations

import os
from collections.abc import Iterable

__all__ = ["amount", "report"]


def amount(name: str, default: float) -> int:
    """`SOAK_NAME` from the environment, or the default."""
    return int(float(os.environ.get(f"SOAK_{name}", default)))


def report(title: str, lines: Iterable[tuple[str, object]]) -> None:
    """The summary of a run (`make soak` shows it; pytest keeps it for a run that fails)."""
    print(f"\n{title}")
    for name, value in lines:
        print(f"  {name:<42} {value}")
