"""Sums, steps and percentiles of many calls."""

from __future__ import annotations

import dataclasses
import random
import shutil
from bisect import bisect_right
from collections.abc import Iterator
from pathlib import Path

import pytest
from sqlalchemy import Connection

from hausgeist.errors import InvalidRequest
from hausgeist.governance import consumption
from hausgeist.governance.consumption import Consumed, Consumption, Report, Step
from hausgeist.governance.records import CLASSES
from hausgeist.store import schema
from hausgeist.store.database import FILE_NAME, Database


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


def test_percentiles_of_many_are_found_in_classes(database: Database) -> None:
    fill(database, 6000)
    (total,) = Consumption(database).report("user", since=0, until=6000, step=6000).totals
    assert total.calls == 6000
    assert total.waiting is not None
    assert total.waiting.p50 == pytest.approx(3000, rel=0.03)
    assert total.waiting.p95 == pytest.approx(5700, rel=0.03)


def test_sums_say_what_the_calls_say(database: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    """However the range and its steps lie to hours and days, whoever asks, also after calls were changed and deleted."""
    chance = random.Random(7)
    scatter(database, chance, 3000)
    changes = (
        "DELETE FROM usage WHERE id % 7 = 0",
        "UPDATE usage SET project = NULL, at = at + 5000 WHERE id % 11 = 0",
        "DELETE FROM usage WHERE \"user\" = 'b'",
    )
    for change in (None, *changes):
        if change is not None:
            database.write_sync(lambda connection, change=change: connection.exec_driver_sql(change).rowcount)
        for _ in range(25):
            since = chance.choice([0.0, 3600.0, 86400.0, 1800.0, float(chance.randrange(400_000))])
            until = chance.choice([since + 86400, since + 3600 * chance.randrange(1, 100), since + chance.randrange(1, 400_000) + 0.5])
            asked = {
                "since": since, "until": until, "step": chance.choice([3600, 86400, 1800, 5000, 7200, 100_000]),
                "user": chance.choice([None, None, "a", "b"]), "project": chance.choice([None, None, "p"]),
            }  # fmt: skip
            by = chance.choice(["model", "user", "key", "project"])
            monkeypatch.setattr(consumption, "_LOOKED_AT", 10**9)
            exact = Consumption(database).report(by, **asked)
            monkeypatch.setattr(consumption, "_LOOKED_AT", -1)
            alike(Consumption(database).report(by, **asked), exact)


def scatter(database: Database, chance: random.Random, count: int) -> None:
    """Calls of four days and a bit, in every combination of there and not there."""
    rows = [
        (
            chance.randrange(1_500_000) / 4, chance.choice(["a", "b", "c", None]), chance.choice(["k", None]), chance.choice(["p", "q", None]),
            chance.choice(["m", "n"]), chance.randrange(50), chance.randrange(3), chance.randrange(5), float(chance.choice([0, 20, 30])),
            chance.choice([0.0, 4.0, chance.lognormvariate(6, 2)]), float(chance.randrange(999)),
            chance.choice(["ok", "ok", "cancelled", "failed: EngineCrashed"]),
        )
        for _ in range(count)
    ]  # fmt: skip
    columns = 'at, "user", key_id, project, model, prompt_tokens, completion_tokens, cached_tokens, completion_ms, first_token_ms, total_ms, status'
    insert = f"INSERT INTO usage ({columns}, operation) VALUES ({', '.join('?' * 12)}, 'chat')"
    database.write_sync(lambda connection: connection.exec_driver_sql(insert, rows))


def alike(summed: Report, exact: Report) -> None:
    """The same but for percentiles, which lie in the same class."""

    def bare(one: Consumed | Step) -> Consumed | Step:
        return dataclasses.replace(one, waiting=None)

    assert [bare(one) for one in summed.totals] == [bare(one) for one in exact.totals]
    assert [bare(one) for one in summed.steps] == [bare(one) for one in exact.steps]
    for mine, other in zip([*summed.totals, *summed.steps], [*exact.totals, *exact.steps], strict=True):
        if other.waiting is None:
            assert mine.waiting is None
            continue
        assert mine.waiting is not None
        for found, true in ((mine.waiting.p50, other.waiting.p50), (mine.waiting.p95, other.waiting.p95)):
            assert bisect_right(CLASSES, found) == bisect_right(CLASSES, true), (found, true)


def test_nothing_stays_of_calls_that_were_deleted(database: Database) -> None:
    scatter(database, random.Random(3), 200)
    count = "SELECT (SELECT count(*) FROM usage_days) + (SELECT count(*) FROM usage_hours)"
    assert database.read(lambda connection: connection.exec_driver_sql(count).scalar_one()) > 300
    database.write_sync(lambda connection: connection.exec_driver_sql("DELETE FROM usage").rowcount)
    assert database.read(lambda connection: connection.exec_driver_sql(count).scalar_one()) == 0


def test_a_call_that_is_not_written_is_in_no_sum(database: Database) -> None:
    def half(connection: Connection) -> None:
        connection.exec_driver_sql("INSERT INTO usage (at, model, operation, status) VALUES (5.0, 'm', 'chat', 'ok')")
        raise InvalidRequest("no")

    with pytest.raises(InvalidRequest):
        database.write_sync(half)
    assert database.read(lambda connection: connection.exec_driver_sql("SELECT count(*) FROM usage_hours").scalar_one()) == 0


def test_calls_from_before_the_sums_are_in_them(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    database = Database(tmp_path / FILE_NAME)
    database.path.touch()
    older = tmp_path / "older"
    shutil.copytree(schema.MIGRATIONS, older, ignore=shutil.ignore_patterns("__pycache__", "0009_*"))
    schema.migrate(database._engine, database.path, older)
    scatter(database, random.Random(5), 1000)
    database.close()
    database = Database.open(tmp_path)
    monkeypatch.setattr(consumption, "_LOOKED_AT", 10**9)
    exact = Consumption(database).report("user", since=5000, until=375_000, step=3600)
    monkeypatch.setattr(consumption, "_LOOKED_AT", 100)
    alike(Consumption(database).report("user", since=5000, until=375_000, step=3600), exact)
    database.close()


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
