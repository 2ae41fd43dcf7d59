"""What is said when documents were brought, and how an answer is set on a terminal."""

from __future__ import annotations

import io

import pytest

from hausgeist.cli.documents.edge import Edge
from hausgeist.cli.documents.showing import say_outcome
from hausgeist.cli.documents.step import Failure, Outcome


def test_what_could_not_be_read_is_not_among_what_was_added(capsys: pytest.CaptureFixture[str]) -> None:
    outcome = Outcome(done={"new": 9, "changed": 1}, ready=8)
    outcome.failures += [
        Failure("/p/a.png", "no text", "file-1", "new"),
        Failure("/p/b.pdf", "damaged", "file-2", "changed"),
        Failure("/p/c", "gone"),
    ]
    say_outcome(outcome, 0, "demo")
    said = capsys.readouterr().err.splitlines()
    assert said[:3] == ["error: /p/a.png: no text", "error: /p/b.pdf: damaged", "error: /p/c: gone"]
    assert said[3] == "8 added, 3 could not be read, in the store 'demo'"


def test_what_is_read_at_last_is_told(capsys: pytest.CaptureFixture[str]) -> None:
    say_outcome(Outcome(done={"again": 2}, failures=[Failure("/p/a", "damaged", "file-1", "again")]), 3, "demo")
    assert capsys.readouterr().err.endswith("1 read this time, 3 unchanged, 1 could not be read, in the store 'demo'\n")
    say_outcome(Outcome(), 0, "demo")
    assert capsys.readouterr().err == "nothing to do, in the store 'demo'\n"


@pytest.mark.parametrize("size", [1, 3, 1000])
def test_lines_end_between_words(size: int) -> None:
    text = "Grease both drum bearings every 200 hours [1]\n\n  and 東京の天気 then  averyveryverylongwordthatfitsnowhere end"
    stream = io.StringIO()
    edge = Edge(stream, 24)
    for start in range(0, len(text), size):
        edge.write(text[start : start + size])
    edge.close()
    assert stream.getvalue().split("\n") == [
        "Grease both drum", "bearings every 200", "hours [1]", "", "  and 東京の天気 then", "averyveryverylongwordthatfitsnowhere", "end",
    ]  # fmt: skip
