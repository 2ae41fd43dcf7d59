"""Statements that are compiled once answer as those that are put together each time."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Connection, bindparam, func, insert, literal, select, update

from hausgeist.errors import HausgeistError
from hausgeist.knowledge.records import vector_stores
from hausgeist.store.database import Database
from hausgeist.store.prepared import Change, Insert, Prepared


@pytest.fixture
def database(tmp_path: Path) -> Any:
    found = Database.open(tmp_path)
    rows = [
        {"id": f"vs_{n}", "project": "default", "user": "local", "created": 0.5 + n, "active": 1.0, "name": f"n{n % 2}", "description": "",
         "metadata": "{}", "embedder": "", "mark": n, "gone": 0}
        for n in range(4)
    ]  # fmt: skip
    found.write_sync(lambda connection: connection.execute(insert(vector_stores), rows))
    yield found
    found.close()


def test_values_that_are_given_and_values_that_are_fixed(database: Database) -> None:
    query = select(vector_stores.c.id, vector_stores.c.mark).where(vector_stores.c.name == "n1", vector_stores.c.mark >= bindparam("least"))
    prepared = Prepared(query.order_by(vector_stores.c.mark))
    for least in (0, 2, 9):
        expected = [tuple(row) for row in database.read(lambda connection, least=least: connection.execute(query, {"least": least}).all())]  # type: ignore[misc]
        assert database.read(lambda connection, least=least: prepared.rows(connection, {"least": least})) == expected  # type: ignore[misc]
    assert database.read(lambda connection: prepared.rows(connection, {"least": 3})) == [("vs_3", 3)]


def test_many_values_in_one(database: Database) -> None:
    wanted = func.json_each(bindparam("wanted")).table_valued("value")
    prepared = Prepared(select(vector_stores.c.id).where(vector_stores.c.mark.in_(select(wanted.c.value))).order_by(vector_stores.c.id))
    for wish, there in (("[]", []), ("[3]", [("vs_3",)]), ("[1, 7, 2]", [("vs_1",), ("vs_2",)])):
        assert database.read(lambda connection, wish=wish: prepared.rows(connection, {"wanted": wish})) == there  # type: ignore[misc]


def test_a_value_that_is_missing_or_impossible(database: Database) -> None:
    prepared = Prepared(select(literal(1)).where(vector_stores.c.id == bindparam("store")))
    with pytest.raises(HausgeistError):
        database.read(lambda connection: prepared.rows(connection, {}))
    with pytest.raises(HausgeistError):
        database.read(lambda connection: prepared.rows(connection, {"store": "\ud800"}))


def test_rows_are_written_and_changed_together(database: Database) -> None:
    columns = ("id", "project", "user", "created", "active", "name", "description", "metadata", "embedder", "mark", "gone")
    add = Insert(vector_stores, columns)
    rows = [(f"vs_1{n}", "default", "local", float(n), 1.0, 'a "name"', "", "{}", "", n, 0) for n in range(3)]
    change = Change(
        update(vector_stores)
        .where(vector_stores.c.id == bindparam("which"), vector_stores.c.gone == 0)
        .values(mark=vector_stores.c.mark + 5, name=bindparam("called"), expires_days=None)
    )
    read = select(vector_stores.c.id, vector_stores.c.name, vector_stores.c.mark, vector_stores.c.expires_days).where(vector_stores.c.mark >= 6)

    def write(connection: Connection) -> int:
        add.many(connection, rows)
        add.many(connection, [])
        return change.many(connection, [{"which": "vs_11", "called": "x"}, {"which": "vs_12", "called": "y"}, {"which": "nobody", "called": "z"}])

    assert database.write_sync(write) == 2
    found = database.read(lambda connection: [tuple(row) for row in connection.execute(read.order_by(vector_stores.c.id))])
    assert found == [("vs_11", "x", 6, None), ("vs_12", "y", 7, None)]
    # All of them, or none.
    with pytest.raises(HausgeistError):
        database.write_sync(lambda connection: add.many(connection, [("vs_20", *rows[0][1:]), rows[0]]))
    with pytest.raises(HausgeistError):
        database.write_sync(lambda connection: change.many(connection, [{"which": "vs_11"}]))
    assert database.read(lambda connection: connection.execute(select(func.count()).select_from(vector_stores)).scalar()) == 7
