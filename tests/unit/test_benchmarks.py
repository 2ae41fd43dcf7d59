"""Figures of the docs that come from benchmarks: generated, complete, and each benchmark can be found."""

from __future__ import annotations

import re
from importlib import import_module
from pathlib import Path

import pytest

from benchmarks.__main__ import TITLES
from benchmarks.accuracy_page import accuracy_page, main
from benchmarks.memory import MIB, MODELS, Fit, Row, Setting, figures, header_of, page, settings_of
from benchmarks.speed import rows
from hausgeist.planner.memory import Start, estimate

ROOT = Path(__file__).parents[2]
DOCS = ROOT / "docs"
NAMES = sorted(path.stem for path in (ROOT / "benchmarks").glob("*.py"))


@pytest.mark.timeout(600)
def test_errors_of_predictions_are_what_the_page_says(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    written = tmp_path / "accuracy.md"
    assert main([str(written)]) == 0
    assert (DOCS / "accuracy.md").read_text("utf-8") == written.read_text("utf-8"), "run 'make docs'"
    assert main([]) == 2
    capsys.readouterr()
    told = accuracy_page()
    for row in rows():
        assert f"]({row.source})" in told
        assert f"| {row.target.title} | " in told


def compared() -> dict[str, tuple[str, int, list[float]]]:
    """Models of docs/memory.md by name: architecture, settings of all of its row, errors of its row."""
    found = {}
    for line in (DOCS / "memory.md").read_text("utf-8").splitlines():
        cells = [cell.strip() for cell in line.strip("|").split("|")]
        if len(cells) == 7 and cells[2].isdecimal():
            for name in cells[1].split(", "):
                found[name] = cells[0], int(cells[2]), [float(cell.removesuffix(" %")) for cell in cells[4:]]
    return found


def test_memory_is_compared_for_every_model_at_every_setting() -> None:
    found = compared()
    assert set(found) == set(MODELS), "run 'python -m benchmarks.memory --write docs/memory.md'"
    kinds: dict[str, int] = {}
    for name in MODELS:
        kinds[header_of(name).architecture] = kinds.get(header_of(name).architecture, 0) + len(settings_of(name))
    assert {kind: count for kind, count, _ in found.values()} == kinds
    assert len(kinds) >= 24
    said = (DOCS / "memory.md").read_text("utf-8")
    assert re.search(r"xllamacpp \d[\d.]+ on a processor, \d+ [A-Z][a-z]+ 20\d\d", said)
    for kept, _, total in (errors for _, _, errors in found.values()):
        assert kept <= 1
        assert total <= 3


def row(name: str, setting: Setting, *, off: float = 1.0) -> Row:
    """As if the engine had said what arithmetic says, times `off`, and one step of the graph more."""
    header = header_of(name)
    planned = estimate(header, Start(context=setting.context, slots=setting.slots, cache_type=setting.cache_type))
    fitted = Fit(
        weights=round(planned.weights * off), repack=planned.repack, cache=planned.kv_cache, compute=planned.compute, output=planned.output,
        nodes=planned.nodes + (off != 1.0),
    )  # fmt: skip
    return Row(name, header.architecture, setting, planned, fitted)


def test_the_page_of_memory_says_the_largest_error_of_each_architecture() -> None:
    some = [row("smollm2:135m", one) for one in settings_of("smollm2:135m")]
    some += [row("qwen2:0.5b", Setting(2048, "f16", 1), off=1.5), row("qwen2:0.5b", Setting(8192, "f16", 1))]
    told = page(some, build="xllamacpp 1", date="1 May 2026")
    lines = told.splitlines()
    assert "2 models of 2 architectures at 14 settings; xllamacpp 1 on a processor, 1 May 2026." in told
    [llama] = [line for line in lines if line.startswith("| llama ")]
    assert llama.startswith("| llama | smollm2:135m | 12 | 0.")
    assert llama.endswith("| 0.00 % | 0.00 % | 0.00 % |")
    [qwen] = [line for line in lines if line.startswith("| qwen2 ")]
    worst = max(some, key=lambda one: abs(one.kept))
    assert qwen.endswith(f"| {abs(worst.kept):.2%} | 0.00% | {abs(worst.total):.2%} |".replace("%", " %"))
    assert abs(worst.kept) > 0.2
    assert lines[-1] == "The graph has some steps more or less than the engine counts: qwen2."
    met = {one.name: one.met for one in figures(some, ["gone"])}
    assert met["weights and caches, largest error"] is False
    assert met["compute, largest error"] is None
    assert met["not laid out by the engine"] is False


def test_what_the_engine_cuts_to_whole_mebibytes_is_no_error() -> None:
    exact = row("smollm2:135m", Setting(2048, "f16", 1))
    fitted = exact.fitted
    cut = Fit(
        weights=fitted.weights // MIB * MIB, repack=fitted.repack // MIB * MIB, cache=fitted.cache, compute=fitted.compute, output=fitted.output
    )
    assert Row(exact.name, exact.architecture, exact.setting, exact.planned, cut).kept == 0.0


@pytest.mark.parametrize("name", NAMES)
def test_each_benchmark_can_be_found(name: str) -> None:
    module = import_module(f"benchmarks.{name}")
    said = (DOCS / "lab.md").read_text("utf-8").partition("\n## ")[0]
    if hasattr(module, "measure"):
        assert name in TITLES
        assert f"| `{name}` |" in said
    else:
        assert name not in TITLES


def test_what_is_listed_is_there() -> None:
    assert set(TITLES) <= set(NAMES)
