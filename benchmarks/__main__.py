"""`make bench`: measure, print, and keep what was measured in docs/lab.md."""

from __future__ import annotations

import argparse
import asyncio
import inspect
import sys
from collections.abc import Sequence
from importlib import import_module
from pathlib import Path

from benchmarks.report import Figure, keep, table
from benchmarks.servers import BUILD
from hausgeist.engines.specimen import write_shaped, write_specimen

__all__ = ["TITLES", "main"]

TITLES = {
    "startup": "The server at rest",
    "first_view": "Pages: what a first view takes",
    "download": "A download against curl",
    "gateway": "The way through the gateway",
    "stored": "Stored completions and webhooks",
    "responses": "Responses: what keeping them costs",
    "chat_page": "The chat page: a long chat, a long answer",
    "chats": "Chats: reading a long one, searching all of them, removing them",
    "guide": "The built-in guide",
    "embedding": "Embedding: the installed model against sentence-transformers",
    "retrieval_scale": "Retrieval: one store of 100,000 and of a million passages",
    "fusion": "Search: words and vectors together against the better of both",
    "parsing": "Parsing PDF: pages per second",
    "ingestion": "Ingestion: documents and pages per second, against LangChain, LlamaIndex and PDFium",
    "engines": "Built engine against wheel",
    "accuracy": "Memory: what loads took, against the fit pass and arithmetic",
    "memory": "Memory: arithmetic against the engine's fit pass",
    "fit_pass": "The engine's fit pass of a large header",
    "vllm_memory": "Memory under vLLM: planned against what vLLM logged",
    "planning": "How long a plan takes",
    "speed": "Speed: predicted against what others published",
    "speed_fit": "Speed: what was fitted, and devices left out of the fit",
    "demo": "The demo: do its questions find their answers",
    "fidelity": "Documents: how much of their text is read",
    "calibrated": "Speed: predicted against measured, on this machine",
}


async def _measure(part: str, *, rival: bool, folders: Sequence[Path] = (), sizes: Sequence[int] = ()) -> list[Figure]:
    BUILD.mkdir(parents=True, exist_ok=True)
    if part == "gateway":
        from benchmarks import gateway

        tiny, large = BUILD / "tiny.gguf", BUILD / "qwen2.5-0.5b-q8_0.gguf"
        if not tiny.exists():
            write_specimen(tiny)
        if not large.exists():
            write_shaped(large, "qwen2.5-0.5b", "Q8_0")
        return await gateway.measure(tiny, large, rival=rival)
    given: Sequence[object] = {"fidelity": folders, "parsing": folders, "retrieval_scale": sizes}.get(part, ())
    figures = import_module(f"benchmarks.{part}").measure(*given)
    return list(await figures if inspect.isawaitable(figures) else figures)


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument(
        "parts", nargs="*", default=list(TITLES),
        help=f"{', '.join(TITLES)}; default: all; a folder of documents may follow fidelity, "
        "numbers of passages retrieval_scale",
    )  # fmt: skip
    parser.add_argument("--keep", action="store_true", help="append the figures to docs/lab.md")
    parser.add_argument("--no-rival", action="store_true", help="leave LiteLLM's proxy out")
    chosen = parser.parse_args()
    missed = 0
    folders = [Path(part) for part in chosen.parts if part not in TITLES and Path(part).is_dir()]
    sizes = [int(part) for part in chosen.parts if part.isdecimal() and Path(part) not in folders]
    for part in chosen.parts:
        if Path(part) in folders or part.isdecimal():
            continue
        if part not in TITLES:
            parser.error(f"there is no part {part!r}; choose from {', '.join(TITLES)}")
        figures = asyncio.run(_measure(part, rival=not chosen.no_rival, folders=folders, sizes=sizes))
        missed += sum(one.met is False for one in figures)
        print(f"\n{TITLES[part]}\n\n{table(figures)}", flush=True)
        if chosen.keep:
            keep(TITLES[part], f"make bench  # python -m benchmarks {part}", figures)
    if missed:
        print(f"\n{missed} goals missed", file=sys.stderr)


if __name__ == "__main__":
    main()
