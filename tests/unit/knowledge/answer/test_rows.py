"""A row of a table as it is quoted: under its own titles, and under none where there is no telling which those are."""

from __future__ import annotations

import pytest

from hausgeist.knowledge.answer.extracting.rows import with_titles

PRICES = "Article\tPrice\nScrew M4\t0,10 €\nScrew M5\t0,12 €"


def quoted(text: str, row: str) -> str:
    start = text.index(row)
    return with_titles(text, start, start + len(row))


def test_the_titles_stand_above() -> None:
    assert quoted(f"Prices\n\n{PRICES}\n\nThe end.", "Screw M5\t0,12 €") == "Article | Price\nScrew M5 | 0,12 €"


@pytest.mark.parametrize(
    ("text", "row", "shown"),
    [
        pytest.param("7\tbolts\n8\tnuts", "8\tnuts", "8 | nuts", id="the first row has figures"),
        pytest.param("A\tB\tC\n\nx\ty", "x\ty", "x | y", id="another table is above"),
        pytest.param("A\tB\nSheet two\nx\ty", "x\ty", "x | y", id="words between"),
        pytest.param("A\tB\nx\ty\n\nv\tw", "v\tw", "A | B\nv | w", id="it goes on over a page"),
        pytest.param("A\tB\tC\nx\t\tz", "x\t\tz", "A | B | C\nx | – | z", id="an empty cell keeps its column"),
        pytest.param("1\t2\t3\nx\t\tz", "x\t\tz", "x | z", id="without titles it is left out"),
        pytest.param("A\tB\n x  y \tz", " x  y \tz", "A | B\nx y | z", id="white space"),
        pytest.param(f"{'Long ' * 100}\tB\nx\ty", "x\ty", "x | y", id="titles longer than a line"),
        pytest.param("A\tB\nx\ty\nv\tw", "x\ty\nv\tw", "A | B\nx | y\nv | w", id="two rows"),
        pytest.param("A\tB\nx\ty", "A\tB", "A | B", id="the titles themselves"),
    ],
)
def test_titles_and_cells(text: str, row: str, shown: str) -> None:
    assert quoted(text, row) == shown


def test_a_row_far_below_its_titles_is_not_put_under_another_row() -> None:
    names = "\n".join(f"{'Anna' * 5}{'x' * (place % 7)}\tBremen" for place in range(2000))
    assert quoted(f"Name\tTown\n{names}\nZacharias\tUlm", "Zacharias\tUlm") == "Zacharias | Ulm"
    assert quoted("Prose without end.\n" * 2000 + "\n\nName\tTown\nZacharias\tUlm", "Zacharias\tUlm") == "Name | Town\nZacharias | Ulm"
