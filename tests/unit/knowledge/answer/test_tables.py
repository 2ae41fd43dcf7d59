"""Tables in SQLite: typed, exact, and closed to everything but reading."""

from __future__ import annotations

import pytest

from hausgeist.errors import InvalidRequest
from hausgeist.knowledge.answer.counting.tables import SCALE, Table

ROWS = [["Screw", "1.234,50", "03.02.2025", "0815"], ["Nut", "0,10", "2026-01-01", "0816"], ["", "", "", ""]]


def test_columns_are_typed_by_their_cells() -> None:
    with Table(["Article", "Price EUR", "Date", "Code"], ROWS) as table:
        assert [(one.kind, one.currency) for one in table.columns] == [("text", ""), ("number", "EUR"), ("day", ""), ("text", "")]
        assert table.select("SELECT sum(c2) FROM rows") == [(12_346_000,)]
        assert table.select("SELECT c1 FROM rows WHERE c3 >= ?", ["2026-01-01"]) == [("Nut",)]
        assert 12_346_000 / SCALE == 1234.6


@pytest.mark.parametrize(
    "statement",
    [
        "DELETE FROM rows",
        "SELECT 1; DROP TABLE rows",
        "ATTACH DATABASE '/tmp/x.db' AS x",
        "PRAGMA journal_mode=WAL",
        "CREATE TABLE x AS SELECT 1",
        "SELECT load_extension('x')",
        "SELECT sql FROM sqlite_master",
        "SELECT zeroblob(1000000000)",
        "INSERT INTO rows VALUES (9, '', '', 1, '', '')",
        "SELEC nonsense",
        "WITH RECURSIVE n(x) AS (SELECT 1 UNION ALL SELECT x + 1 FROM n) SELECT count(*) FROM n",
    ],
)
def test_nothing_but_reading_within_limits(statement: str) -> None:
    with Table(["Article", "Price", "Date", "Code"], ROWS) as table:
        with pytest.raises(InvalidRequest, match="Only one SELECT"):
            table.select(statement)
        assert table.select("SELECT count(*) FROM rows") == [(3,)]


def test_rows_of_any_width_and_numbers_of_any_size() -> None:
    with Table([], [["9" * 40], ["1", "2", "3"], []]) as table:
        assert table.select("SELECT count(*) FROM rows") == [(3,)]
    with Table([], []) as table:
        assert table.select("SELECT count(*) FROM rows") == [(0,)]
