"""`python -m hausgeist.engines.specimen PATH [--task embed|rerank]`: write a tiny model of random weights."""

from __future__ import annotations

import argparse
from pathlib import Path

from hausgeist.engines.specimen import NAME, write_specimen


def main() -> None:
    """Write it and say what it is."""
    parser = argparse.ArgumentParser(prog="python -m hausgeist.engines.specimen", description="Write a tiny model of random weights.")
    parser.add_argument("path", type=Path)
    parser.add_argument("--task", choices=["generate", "embed", "rerank"], default="generate")
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    arguments.path.parent.mkdir(parents=True, exist_ok=True)
    write_specimen(arguments.path, task=arguments.task, seed=arguments.seed)
    print(f"{arguments.path}: {NAME}, {arguments.path.stat().st_size / 1024:.0f} KiB")


if __name__ == "__main__":
    main()
