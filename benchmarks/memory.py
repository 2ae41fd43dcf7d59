"""Memory by arithmetic against the engine's own fit pass, on headers of true shapes without weights: every model here at every setting.

    python -m benchmarks memory                              print each run, and the largest errors
    python -m benchmarks.memory --write docs/memory.md       write the page as well
    python -m benchmarks.memory --models gemma3:4b jamba:52b

Twenty minutes on two cores: more than 800 fit passes, which load nothing. The tests take the models and the comparison from here.
"""

from __future__ import annotations

import argparse
import asyncio
import datetime
import re
import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from importlib.metadata import version
from itertools import groupby
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Final, NamedTuple

from benchmarks.report import Figure, table
from hausgeist.anatomy import Anatomy, Experts, Recurrent
from hausgeist.engines.llamacpp.parameters import parameters
from hausgeist.engines.llamacpp.process import Process
from hausgeist.engines.llamacpp.providers import Provider
from hausgeist.engines.specimen.sparse import write_sparse
from hausgeist.library.catalog.mix import tensor_type
from hausgeist.library.catalog.reader import load
from hausgeist.model import CacheType, InstalledModel, LaunchPlan, Task
from hausgeist.planner.memory import Header, Memory, Start, describe, estimate

__all__ = ["MODELS", "SETTINGS", "Fit", "Row", "Setting", "compare", "fit_pass", "header_file", "header_of", "measure", "page", "settings_of", "told"]

MIB: Final = 2**20
WHEEL: Final = Provider("wheel", None, "", ("cpu",))
_PATIENCE: Final = 120.0
_JOBS: Final = 2
"""Fit passes at a time."""
_KEPT: Final = 0.01
_TOTAL: Final = 0.03
"""Goals: for weights and caches, and for all together."""

OTHERS: Final[Mapping[str, Anatomy]] = {
    "pythia:1.4b": Anatomy(
        architecture="gptneox", layers=24, hidden=2048, vocabulary=50304, heads=16, kv_heads=(16,), key_length=(128,), value_length=(128,),
        ffn=(8192,), gated=False, fused=True, qkv_bias=True, bias=True,
    ),
    "mamba:2.8b": Anatomy(
        architecture="mamba", layers=64, hidden=2560, vocabulary=50280, tied=True, norms=1, no_ffn=tuple(range(64)),
        recurrent=Recurrent(kind="mamba", layers=tuple(range(64)), inner=5120, state=16, rank=160),
    ),
    "jamba:52b": Anatomy(
        architecture="jamba", layers=32, hidden=4096, vocabulary=65536, heads=32, kv_heads=(8,), key_length=(128,), value_length=(128,), ffn=(14336,),
        experts=Experts(count=16, used=2, ffn=14336, every=2),
        recurrent=Recurrent(kind="mamba", layers=tuple(one for one in range(32) if one % 8 != 4), inner=8192, state=16, rank=256),
    ),
}  # fmt: skip
"""Models that the catalogue does not have, by their published configurations."""

MODELS: Final[Mapping[str, str]] = {
    "smollm2:135m": "Q4_K_M", "llama3.2:1b": "Q4_K_M", "llama3.1:8b": "Q8_0", "llama3.1:405b": "Q4_K_M", "llama2:7b": "Q4_0",
    "mistral:7b": "Q4_K_M", "mixtral:8x7b": "Q4_K_M", "gemma:2b": "Q4_K_M", "gemma2:9b": "Q4_K_M", "gemma3:270m": "Q8_0", "gemma3:4b": "Q4_K_M",
    "gemma3:12b": "Q4_K_M", "gemma4:e2b": "Q4_K_M", "gemma3n:e2b": "Q4_K_M", "qwen3-vl:2b": "Q4_K_M", "qwen2:0.5b": "Q8_0", "qwen2.5:7b": "Q5_K_M",
    "qwen3:0.6b": "F16", "qwen3:8b": "Q4_K_M", "qwen3:30b": "Q4_K_M", "dolphin-phi:2.7b": "Q4_K_M", "phi3:3.8b": "Q4_K_M", "gpt-oss:20b": "MXFP4",
    "deepseek-v2:16b": "Q4_K_M", "deepseek-r1:671b": "Q4_K_M", "command-r:35b": "Q4_K_M", "command-r7b:7b": "Q4_K_M", "falcon:7b": "Q4_0",
    "pythia:1.4b": "F16", "starcoder2:3b": "Q4_K_M", "granite4:350m": "Q8_0", "granite3-moe:1b": "Q4_K_M", "granite4:1b-h": "Q4_K_M",
    "glm4-0414:9b": "Q4_K_M", "mamba:2.8b": "F16", "mamba-codestral:7b": "Q4_K_M", "jamba:52b": "Q4_K_M", "falcon-h1:0.5b": "Q4_K_M",
    "nemotron-3-nano:4b": "Q4_K_M", "nemotron-3-nano:30b": "Q4_K_M", "lfm2.5:230m": "Q8_0", "lfm2:8b": "Q4_K_M", "qwen3.5:0.8b": "Q4_K_M",
    "qwen3-next:80b": "Q4_K_M", "olmo2:1b": "Q4_K_M", "llama4:scout": "Q4_K_M", "all-minilm:22m": "F16", "nomic-embed-text:v1.5": "F16",
    "bge-m3:567m": "F16", "exaone4:1.2b": "Q4_K_M", "seed-oss:36b": "Q4_K_M", "smollm3:3b": "Q4_K_M", "minimax-m2:230b": "Q4_K_M",
    "glm-4.7:355b": "Q4_K_M", "olmoe:7b": "Q4_K_M", "hunyuan:0.5b": "Q8_0", "ernie4.5:21b": "Q4_K_M", "qwen3-embedding:0.6b": "Q8_0",
    "embeddinggemma:300m": "Q8_0", "stable-code:3b": "Q4_K_M", "apertus:8b": "Q4_K_M", "gemma4:31b": "Q4_K_M", "qwen3.5:35b": "Q4_K_M",
    "trinity-nano:6b": "F16", "trinity-mini:26b": "F16", "ling-mini:16b": "F16", "deepseek-v3.2:671b": "F16", "glm-5:744b": "F16",
    "kimi-linear:48b": "F16", "granite-embedding-english:149m": "F16",
}  # fmt: skip
"""By name, at the precision in which they are tried."""

UNQUANTISED: Final = frozenset({"dolphin-phi:2.7b", "stable-code:3b", "granite3-moe:1b"})
"""The engine refuses them a quantised cache: keys of 80 numbers; or, of the last, fails because its graph becomes longer than it allows."""


@dataclass
class Fit:
    """What the engine printed of its first layout. Bytes."""

    weights: int = 0
    repack: int = 0
    cache: float = 0.0
    compute: float = 0.0
    output: float = 0.0
    nodes: int = 0
    done: bool = False
    lines: list[str] = field(default_factory=list)

    def read(self, line: str) -> None:
        self.lines.append(line)
        if self.done:
            return
        if found := re.search(r"breakdown_print: \|\s+- (\S+).*?=\s*(\d+) \+\s*(\d+) \+\s*(\d+)", line):
            if "REPACK" in found[1]:
                self.repack += int(found[2]) * MIB
            else:
                self.weights += int(found[2]) * MIB
        elif found := re.search(r"(?:llama_kv_cache|llama_memory_recurrent): size =\s*([\d.]+) MiB", line):
            self.cache += float(found[1]) * MIB
        elif found := re.search(r"compute buffer size =\s*([\d.]+) MiB", line):
            self.compute += float(found[1]) * MIB
        elif found := re.search(r"output buffer size =\s*([\d.]+) MiB", line):
            self.output += float(found[1]) * MIB
        elif found := re.search(r"graph.*: nodes = (\d+)", line):
            self.nodes = int(found[1])
        self.done = bool(self.weights) and "params_fit_impl" in line

    @property
    def total(self) -> float:
        return self.weights + self.repack + self.cache + self.compute + self.output


class Setting(NamedTuple):
    """Tokens of a request, type of the cache, requests side by side."""

    context: int
    cache_type: CacheType
    slots: int

    def __str__(self) -> str:
        return f"{self.context // 1024}k {self.cache_type} x{self.slots}"


SETTINGS: Final = tuple(Setting(context, kind, slots) for context in (2048, 8192, 32768) for kind in ("f16", "q8_0") for slots in (1, 4))


def settings_of(name: str) -> list[Setting]:
    """Those that the engine accepts for it."""
    return [one for one in SETTINGS if one.cache_type == "f16" or name not in UNQUANTISED]


@dataclass(frozen=True)
class Row:
    """One model at one setting. Errors are relative, with their sign."""

    name: str
    architecture: str
    setting: Setting
    planned: Memory
    fitted: Fit

    @property
    def kept(self) -> float:
        """Relative error of weights and caches. The engine cuts weights to whole MiB, in two places."""
        ours = self.planned.weights + self.planned.repack + self.planned.kv_cache
        return _error(ours, self.fitted.weights + self.fitted.repack + self.fitted.cache, slack=2 * MIB)

    @property
    def compute(self) -> float:
        return _error(self.planned.compute, self.fitted.compute, slack=MIB // 100)

    @property
    def total(self) -> float:
        return _error(self.planned.total, self.fitted.total, slack=2 * MIB)

    def __str__(self) -> str:
        return (
            f"{self.name:32}{self.setting!s:16}{self.fitted.total / MIB:12,.0f} MiB{self.kept:+9.2%}{self.compute:+9.2%}{self.total:+9.2%}"
            f"{self.planned.nodes:7} of {self.fitted.nodes}"
        )


def _error(ours: float, theirs: float, *, slack: float) -> float:
    """What the engine rounds away is no error."""
    difference = ours - theirs
    if 0 <= difference <= slack or abs(difference) <= slack / 2:
        return 0.0
    return difference / theirs if theirs else float("inf")


@cache
def header_of(name: str, precision: str = "") -> Header:
    """`precision`: another one than that at which it is tried. Raises `ValueError` for what nobody knows."""
    kind = precision or MODELS[name]
    entry = load().find(name)
    anatomy = OTHERS.get(name) or (entry.anatomy if entry else None)
    if anatomy is None:
        raise ValueError(f"the catalogue has no {name}")
    return describe(anatomy, lambda tensor: tensor_type(anatomy, tensor, kind))


def header_file(name: str, folder: Path, precision: str = "") -> tuple[Header, Path]:
    """The header, and a sparse file with it."""
    header = header_of(name, precision)
    path = folder / f"{name.replace(':', '-').replace('/', '-')}{precision and '-'}{precision}.gguf"
    if not path.exists():
        write_sparse(path, header.metadata, header.tensors.values())
    return header, path


async def fit_pass(path: Path, plan: LaunchPlan, folder: Path) -> Fit:
    """Raises `RuntimeError` with the engine's last words where it lays nothing out."""
    fitted, done = Fit(), asyncio.Event()

    def read(line: str) -> None:
        fitted.read(line)
        if fitted.done:
            done.set()

    process = await Process.start(WHEEL, parameters(plan), folder=folder, fit=True)
    process.on_line = read
    try:
        ended, finished = asyncio.create_task(process.ended()), asyncio.create_task(done.wait())
        await asyncio.wait((ended, finished), timeout=_PATIENCE, return_when=asyncio.FIRST_COMPLETED)
        ended.cancel()
        finished.cancel()
    finally:
        await process.close(patience=0)
    if not fitted.done:
        raise RuntimeError("\n".join([process.reason(), *fitted.lines[-12:]]))
    return fitted


async def compare(name: str, folder: Path, setting: Setting, *, flash: bool = True) -> Row:
    header, path = header_file(name, folder)
    task: Task = "embed" if header.cacheless or "embed" in name else "generate"
    model = InstalledModel(id=name, engine="llamacpp", path=path, digest="", modified=0)
    context, cache_type, slots = setting
    plan = LaunchPlan(model=model, task=task, context=context, slots=slots, cache_type=cache_type, flash_attention="auto" if flash else "off")
    given = parameters(plan)
    start = Start(
        context=context, slots=slots, cache_type=cache_type, batch=given["batch"], micro_batch=given["micro_batch"], task=task,
        pooling=given["pooling"] or "none", flash_attention=flash,
    )  # fmt: skip
    fitted = await fit_pass(path, plan, folder)
    return Row(name, header.architecture, setting, estimate(header, start), fitted)


def told(rows: Iterable[Row]) -> str:
    return "\n".join([f"{'model':32}{'context':16}{'fit pass':>16}{'kept':>9}{'compute':>9}{'total':>9}  nodes", *map(str, rows)])


async def rows_of(names: Sequence[str], *, jobs: int = _JOBS) -> tuple[list[Row], list[str]]:
    """Each model at each setting, in that order; and what the engine did not lay out, with its words. A line is printed for each model."""
    turns = asyncio.Semaphore(jobs)
    refused: list[str] = []
    with TemporaryDirectory(prefix="hausgeist-headers-") as room:

        async def one(name: str, setting: Setting) -> Row | None:
            async with turns:
                try:
                    return await compare(name, Path(room), setting)
                except RuntimeError as error:
                    refused.append(f"{name} {setting}: {error}")
                    return None

        async def model(name: str) -> list[Row]:
            found = await asyncio.gather(*(one(name, setting) for setting in settings_of(name)))
            rows = [row for row in found if row is not None]
            print(f"{name}: {len(rows)} of {len(found)}, largest error {_largest(row.total for row in rows):.2%}", file=sys.stderr, flush=True)
            return rows

        found = await asyncio.gather(*(model(name) for name in names))
    return [row for rows in found for row in rows], refused


def _largest(errors: Iterable[float]) -> float:
    return max(map(abs, errors), default=0.0)


def figures(rows: Sequence[Row], refused: Sequence[str] = ()) -> list[Figure]:
    kinds = {row.architecture for row in rows}
    kept, compute, total = map(_largest, _errors(rows))
    counted = f"{len({row.name for row in rows})} models of {len(kinds)} architectures, {len(rows)} settings"
    return [
        Figure("compared", counted, "24 architectures", len(kinds) >= 24),
        Figure("weights and caches, largest error", f"{kept:.2%}", f"{_KEPT:.0%}", kept <= _KEPT),
        Figure("compute, largest error", f"{compute:.2%}"),
        Figure("total, largest error", f"{total:.2%}", f"{_TOTAL:.0%}", total <= _TOTAL),
        Figure("not laid out by the engine", str(len(refused)), "none", not refused),
    ]


async def measure() -> list[Figure]:
    rows, refused = await rows_of(list(MODELS))
    print(told(rows))
    print(*refused, sep="\n")
    return figures(rows, refused)


# --- the page ---

_NOTES: Final = """\
Contexts of 2,048, 8,192 and 32,768 tokens, caches in f16 and q8_0, 1 and 4 slots; twelve settings, or the six with f16 where the engine refuses a
quantised cache. Files have the header of the model and no weights. Largest error of any setting; what the engine cuts to whole MiB is no error. A
projector's weights are compared by a test, its compute buffer is not: the engine counts that only when it warms up. No GPU was there: the split over
devices is not compared."""


def page(rows: Sequence[Row], *, build: str, date: str) -> str:
    """docs/memory.md. `build`: of the engine; `date` as it is to be printed."""
    ordered = sorted(rows, key=lambda row: row.architecture)
    kinds = [(kind, list(some)) for kind, some in groupby(ordered, key=lambda row: row.architecture)]
    kept, compute, total = (_percent(_largest(errors)) for errors in _errors(rows))
    parts = [
        "# Memory by arithmetic against the engine's fit pass\n",
        "<!-- Written by `python -m benchmarks.memory --write docs/memory.md`, which asks the engine. Do not edit. -->\n",
        "How each part is reckoned, and from which files of llama.cpp: [planner.md](planner.md). How true it is on your machine:\n"
        "`hausgeist plan --accuracy`.\n",
        f"**{len({row.name for row in rows})} models of {len(kinds)} architectures at {len(rows)} settings; {build} on a processor, {date}.\n"
        f"Largest error of weights and cache {kept}, of compute buffers {compute}, of all together {total}.**\n",
        f"{_NOTES}\n",
        "| architecture | models | settings | total, GiB | weights + cache | compute | total |\n|---|---|---|---|---|---|---|\n"
        + "\n".join(_line(kind, some) for kind, some in kinds)
        + "\n",
        *_steps(kinds),
    ]
    return "\n".join(parts)


def _errors(rows: Sequence[Row]) -> tuple[list[float], list[float], list[float]]:
    return [row.kept for row in rows], [row.compute for row in rows], [row.total for row in rows]


def _line(kind: str, rows: Sequence[Row]) -> str:
    sizes = [row.fitted.total / 2**30 for row in rows]
    cells = [
        kind, ", ".join(dict.fromkeys(row.name for row in rows)), str(len(rows)), f"{min(sizes):.2f} to {max(sizes):,.1f}",
        *(_percent(_largest(errors)) for errors in _errors(rows)),
    ]  # fmt: skip
    return f"| {' | '.join(cells)} |"


def _steps(kinds: Iterable[tuple[str, Sequence[Row]]]) -> Iterator[str]:
    """Where the graph has not as many steps as the engine's, though its bytes may be the same."""
    other = [kind for kind, rows in kinds if any(row.planned.nodes != row.fitted.nodes for row in rows)]
    if other:
        yield f"The graph has some steps more or less than the engine counts: {', '.join(other)}.\n"


def _percent(error: float) -> str:
    return f"{error:.2%}".replace("%", " %")


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.memory", description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--models", nargs="+", choices=[*MODELS], default=[*MODELS], metavar="MODEL", help="only these")
    parser.add_argument("--jobs", type=int, default=_JOBS, help="fit passes at a time")
    parser.add_argument("--write", type=Path, metavar="FILE", help="write the page")
    given = parser.parse_args()
    rows, refused = asyncio.run(rows_of(given.models, jobs=given.jobs))
    print(f"{told(rows)}\n\n{table(figures(rows, refused))}")
    if given.write is not None:
        date = f"{datetime.datetime.now(tz=datetime.UTC):%d %B %Y}".lstrip("0")
        given.write.write_text(page(rows, build=f"xllamacpp {version('xllamacpp')}", date=date), encoding="utf-8")
    if refused:
        sys.exit("\n".join(refused))


if __name__ == "__main__":
    main()
