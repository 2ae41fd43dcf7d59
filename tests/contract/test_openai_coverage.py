"""docs/coverage.md says what the routes and the installed SDKs say."""

from __future__ import annotations

from pathlib import Path

from hausgeist.gateway.coverage import coverage_page, main, surfaces

ROOT = Path(__file__).parents[2]
SURFACE = ROOT / "tests" / "data" / "openai_surface.py"


def test_the_page_is_current(tmp_path: Path) -> None:
    page = ROOT / "docs" / "coverage.md"
    assert page.read_text("utf-8") == coverage_page(surfaces(SURFACE)), "docs/coverage.md is out of date: run 'make docs'"


def test_the_page_is_written(tmp_path: Path) -> None:
    page = tmp_path / "coverage.md"
    assert main([str(page), str(SURFACE)]) == 0
    assert "| OpenAI | 210 |" in page.read_text("utf-8")
    assert main([]) == 2
