"""Real files of many programs, where they are at hand: each ends in a `Parsed` that keeps its promises or in a reason."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.unit.knowledge.parse.making import ends_well

FOLDER = Path(__file__).resolve().parents[5] / "shared" / "eval" / "docs"
FILES = sorted(path for path in FOLDER.glob("*") if path.suffix not in {".tsv", ".pdf", ".eml", ".msg"}) if FOLDER.is_dir() else []


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.name[-40:])
def test_real_files(path: Path) -> None:
    ends_well(path.read_bytes(), path.name)
