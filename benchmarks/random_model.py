"""A model of random weights in the shape and at the precision of a real one, so that speed and memory are measured with nothing downloaded.

    python -m benchmarks.random_model llama-3.1-8b model.gguf --precision Q4_K_M --vocabulary ggml-vocab-llama-bpe.gguf

The vocabularies that come with llama.cpp's sources (in the llama-cpp-python source package: vendor/llama.cpp/models) are real tokenizers.
"""

from __future__ import annotations

import argparse
import sys
import time
from pathlib import Path

from hausgeist.engines.specimen import NAME, PRECISIONS, SHAPES, write_shaped

__all__ = ["main"]


def main(arguments: list[str] | None = None) -> None:
    """Write it, showing how far it is."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.random_model", description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("shape", choices=[*SHAPES], help="whose shape")
    parser.add_argument("path", type=Path, help="the GGUF file to write")
    parser.add_argument("--precision", choices=PRECISIONS, default="Q4_K_M")
    parser.add_argument("--vocabulary", type=Path, help="a GGUF to take the tokenizer from; without it, a small one is filled up")
    parser.add_argument("--sparse", action="store_true", help="leave the weights out: full length, no room taken; enough for a fit pass")
    parser.add_argument("--seed", type=int, default=0)
    given = parser.parse_args(arguments)
    started, shown = time.monotonic(), -1

    def progress(done: int, total: int) -> None:
        nonlocal shown
        percent = 100 * done // total
        if percent != shown and sys.stderr.isatty():
            shown = percent
            print(f"\r{given.path}: {percent} %", end="", file=sys.stderr, flush=True)

    try:
        given.path.parent.mkdir(parents=True, exist_ok=True)
        write_shaped(given.path, given.shape, given.precision, vocabulary=given.vocabulary, seed=given.seed, sparse=given.sparse, progress=progress)
    except (OSError, ValueError) as error:
        parser.exit(1, f"{parser.prog}: {error}\n")
    if shown >= 0:
        print(file=sys.stderr)
    size = given.path.stat().st_size
    print(f"{given.path}: {given.shape}, {given.precision}, {NAME}, {size / 1e9:.2f} GB in {time.monotonic() - started:.0f} s")


if __name__ == "__main__":
    main()
