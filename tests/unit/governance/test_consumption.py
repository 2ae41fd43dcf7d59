"""Sums, steps and percentiles of many calls."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from hausgeist.errors import InvalidRequest
from hausgeist.governance import consumption
from hausgeist.governance.consumption import Consumption
from hausgeist.store.database import Database


@pytest.fixture
def database(tmp_path: Path) -> Iterator[Database]:
    database = Database.open(tmp_path)
    yield database
    database.close()


def fill(database: Database, count: int, *, model: str = "m", user: str = "u") -> None:
    """Calls of one second each, the first at 0; the n-th waited n ms for its first token."""
    rows = [(float(number), user, model, "chat", 1, 2, 10.0, float(number + 1), "ok") for number in range(count)]
    columns = 'at, "user", model, operation, prompt_tokens, completion_tokens, completion_ms, first_token_ms, status'
    insert = f"INSERT INTO usage ({columns}) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)"
    database.write_sync(lambda connection: connection.exec_driver_sql(insert, rows))


def test_steps_hold_what_ended_in_them(database: Database) -> None:
    fill(database, 100)
    report = Consumption(database).report("model", since=0, until=100, step=30)
    assert [(step.at, step.calls) for step in report.steps] == [(0, 30), (30, 30), (60, 30), (90, 10)]
    assert report.steps[1].waiting is not None
    assert (report.steps[1].waiting.p50, report.steps[1].waiting.p95) == (45, 59)
    (total,) = report.totals
    assert (total.calls, total.prompt_tokens, total.completion_tokens, total.tokens_per_second) == (100, 100, 200, 200)
    assert Consumption(database).report("model", since=10.5, until=20, step=100).totals[0].calls == 9


def test_percentiles_of_many_are_found_in_some_of_them(database: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(consumption, "_LOOKED_AT", 500)
    fill(database, 5000)
    (total,) = Consumption(database).report("user", since=0, until=5000, step=1000).totals
    assert total.calls == 5000
    assert total.waiting is not None
    assert total.waiting.p50 == pytest.approx(2500, rel=0.01)
    assert total.waiting.p95 == pytest.approx(4750, rel=0.01)


def test_calls_without_a_key_have_no_part_by_key(database: Database) -> None:
    fill(database, 3)
    report = Consumption(database).report("key", since=0, until=3, step=3)
    assert report.totals == []
    assert report.steps[0].calls == 3


def test_what_would_be_too_much_is_refused(database: Database) -> None:
    with pytest.raises(InvalidRequest, match="'step' of 2 or more"):
        Consumption(database).report("model", since=0, until=1001, step=1)
    with pytest.raises(InvalidRequest, match="later"):
        Consumption(database).report("model", since=5, until=5, step=1)


def test_when_models_were_last_used(database: Database) -> None:
    fill(database, 5, model="a:4b")
    fill(database, 3, model="b")
    assert Consumption(database).last_used(["a:4b", "b", "never"]) == {"a:4b": 4.0, "b": 2.0}
    assert Consumption(database).last_used([]) == {}


def test_the_indexes_are_used(database: Database) -> None:
    """With a million rows, this is the difference between milliseconds and seconds."""

    def plan(query: str) -> str:
        return str(database.read(lambda connection: connection.exec_driver_sql(f"EXPLAIN QUERY PLAN {query}").all()))

    assert "usage_user" in plan("SELECT count(*) FROM usage WHERE at >= 1 AND at < 2 AND \"user\" = 'x'")
    assert "usage_model" in plan(consumption._LAST_USED.text.replace(":models", "'[\"a\"]'"))
    assert "audit_outcome" in plan("SELECT * FROM audit WHERE outcome = 'refused' AND outcome != 'allowed' ORDER BY id DESC LIMIT 10")
