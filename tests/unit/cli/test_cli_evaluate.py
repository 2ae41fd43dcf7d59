"""`hausgeist eval retrieval` on small sets, without a server."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from hausgeist.cli.entry import main
from hausgeist.cli.exits import OK, USAGE

TEXTS = {
    "lease": ("The lease of the flat in Bremen ends on 31 May 2027.", ["When does the lease of the flat end?", "flat in Bremen"]),
    "pump": ("Pump A-12/34 must be serviced every 500 hours by a trained person.", ["How often is pump A-12/34 serviced?", "a 12/34"]),
    "minutes": ("The board met in Hamburg and approved the budget of 1.234,50 euros.", ["Which budget did the board approve?", "1,234.50"]),
}


@pytest.fixture
def squad(tmp_path: Path) -> Path:
    paragraphs = [
        {"context": text, "qas": [{"question": asked, "answers": [{"text": text.split()[1]}]} for asked in questions]}
        for text, questions in TEXTS.values()
    ]
    file = tmp_path / "set.json"
    file.write_text(json.dumps({"data": [{"title": "t", "paragraphs": paragraphs}]}))
    return file


def asked(capsys: pytest.CaptureFixture[str], *arguments: str) -> Any:
    assert main(["eval", "retrieval", *arguments, "--json"]) == OK
    return json.loads(capsys.readouterr().out)


def test_words_are_measured_and_runs_compared(squad: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    pytest.importorskip("hausgeist.knowledge.answer.extracting.extract")
    first, second = tmp_path / "first.json", tmp_path / "second.json"
    found = asked(capsys, str(squad), "--words-only", "--save", str(first))
    assert found["recall_at_1"] == found["mrr"] == found["ndcg_at_10"] == 1.0
    assert found["ms_per_query"] > 0
    assert found["questions"] == 6
    asked(capsys, str(squad), "--words-only", "--save", str(second))
    compared = asked(capsys, "--compare", str(first), str(second))
    assert compared["words"]["difference"] == 0
    assert main(["eval", "retrieval", "--compare", str(first), str(second)]) == OK
    assert "no difference" in " ".join(capsys.readouterr().out.split())
    assert main(["eval", "retrieval", str(squad), "--words-only", "--most", "2"]) == OK
    out = capsys.readouterr().out
    assert "recall@1" in out
    assert "1.000" in out
    fewer = tmp_path / "fewer.json"
    asked(capsys, str(squad), "--words-only", "--most", "2", "--save", str(fewer))
    assert main(["eval", "retrieval", "--compare", str(first), str(fewer)]) == USAGE
    assert "different questions" in capsys.readouterr().err


def test_a_folder_of_documents_is_its_own_set(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for module in ("parse.reading", "split.splitting", "answer.extract"):
        pytest.importorskip(f"hausgeist.knowledge.{module}")
    for name, (text, _) in TEXTS.items():
        (tmp_path / f"{name}.txt").write_text(text)
    (tmp_path / "broken.pdf").write_bytes(b"%PDF-1.7 nothing")
    found = asked(capsys, str(tmp_path), "--words-only")
    assert found["kind"] == "documents"
    assert found["recall_at_1"] == 1.0
    assert "made of the documents themselves" in found["notes"][0]
    assert any("broken.pdf" in line for line in found["notes"])


def test_what_cannot_be_measured_is_said(squad: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["eval", "retrieval"]) == USAGE
    assert "name one file or folder" in capsys.readouterr().err
    assert main(["eval", "retrieval", "--compare", str(squad)]) == USAGE
    assert "two saved runs" in capsys.readouterr().err
    assert main(["eval", "retrieval", "--compare", str(squad), str(squad)]) == USAGE
    assert "not a saved run" in capsys.readouterr().err
