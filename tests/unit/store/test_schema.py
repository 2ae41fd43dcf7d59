"""Migrations: whole or not at all, once, never over a newer schema; and the tables that readers describe are the ones that are there."""

from __future__ import annotations

import shutil
import sqlite3
import subprocess
import sys
from pathlib import Path

import pytest
from sqlalchemy import MetaData, create_engine, inspect

from hausgeist.errors import SchemaTooNew, StoreError
from hausgeist.governance import records as governance_records
from hausgeist.library import records as library_records
from hausgeist.serving import records as serving_records
from hausgeist.store import records as store_records
from hausgeist.store import schema
from hausgeist.store.database import FILE_NAME, Database
from hausgeist.workspace import records as workspace_records


def tables(path: Path) -> set[str]:
    connection = sqlite3.connect(path)
    names = {row[0] for row in connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'")}
    connection.close()
    return names


def longer(tmp_path: Path, body: str) -> Path:
    """The migrations and one more."""
    folder = tmp_path / "migrations 100%"
    shutil.copytree(schema.MIGRATIONS, folder, ignore=shutil.ignore_patterns("__pycache__"))
    number = f"{int(schema.head()) + 1:04}"
    (folder / "versions" / f"{number}_more.py").write_text(
        f"import sqlalchemy as sa\nfrom alembic import op\nrevision = '{number}'\ndown_revision = '{schema.head()}'\n\ndef upgrade():\n{body}\n"
    )
    return folder


def test_file_names_say_the_revisions() -> None:
    from alembic.script import ScriptDirectory

    script = ScriptDirectory(str(schema.MIGRATIONS))
    assert script.get_heads() == [schema.head()]
    assert sorted(revision.revision for revision in script.walk_revisions()) == schema._known(schema.MIGRATIONS)


@pytest.mark.parametrize(
    "metadata",
    [governance_records.metadata, library_records.metadata, serving_records.metadata, store_records.metadata, workspace_records.metadata],
    ids=["governance", "library", "serving", "store", "workspace"],
)
def test_tables_are_as_their_readers_describe_them(tmp_path: Path, metadata: MetaData) -> None:
    Database.open(tmp_path).close()
    engine = create_engine(f"sqlite:///{tmp_path / FILE_NAME}")
    there = inspect(engine)
    for table in metadata.tables.values():
        found = {column["name"]: (str(column["type"]), column["nullable"]) for column in there.get_columns(table.name)}
        assert found == {column.name: (str(column.type), column.nullable) for column in table.columns}
        assert there.get_pk_constraint(table.name)["constrained_columns"] == [column.name for column in table.primary_key]
        assert {key["constrained_columns"][0]: key["referred_table"] for key in there.get_foreign_keys(table.name)} == {
            key.parent.name: key.column.table.name for key in table.foreign_keys
        }
    engine.dispose()


def test_what_everybody_needs_is_there(tmp_path: Path) -> None:
    Database.open(tmp_path).close()
    assert tables(tmp_path / FILE_NAME) >= {
        "users", "projects", "project_members", "api_keys", "sessions", "links", "audit", "usage", "models", "jobs", "loads",
    }  # fmt: skip


def test_a_home_from_before_the_loads_gets_their_table_and_keeps_its_rows(tmp_path: Path) -> None:
    database = Database(tmp_path / FILE_NAME)
    database.path.touch()
    older = tmp_path / "older"
    shutil.copytree(schema.MIGRATIONS, older, ignore=shutil.ignore_patterns("__pycache__", "000[3-9]_*"))
    schema.migrate(database._engine, database.path, older)
    row = "INSERT INTO models (id, engine, definition, modified) VALUES ('m', 'fake', '{}', 1.0)"
    database.write_sync(lambda connection: connection.exec_driver_sql(row).rowcount)
    database.close()
    assert "loads" not in tables(tmp_path / FILE_NAME)
    database = Database.open(tmp_path)
    assert database.read(serving_records.recent) == []
    assert database.read(lambda connection: connection.exec_driver_sql("SELECT id FROM models").scalar_one()) == "m"
    database.close()


def test_the_audit_table_is_append_only(tmp_path: Path) -> None:
    database = Database.open(tmp_path)
    row = "INTO audit (id, at, action, outcome) VALUES (1, 1.0, 'model.use', 'allowed')"
    database.write_sync(lambda connection: connection.exec_driver_sql(f"INSERT {row}").rowcount)
    for statement in ("UPDATE audit SET outcome = 'x'", "DELETE FROM audit", f"INSERT OR REPLACE {row}"):
        with pytest.raises(StoreError, match="appended"):
            database.write_sync(lambda connection, statement=statement: connection.exec_driver_sql(statement).rowcount)
    assert database.read(lambda connection: connection.exec_driver_sql("SELECT outcome FROM audit").scalar_one()) == "allowed"
    database.close()


def test_a_newer_schema_is_refused_and_untouched(tmp_path: Path) -> None:
    Database.open(tmp_path).close()
    file = tmp_path / FILE_NAME
    connection = sqlite3.connect(file)
    connection.execute("UPDATE alembic_version SET version_num = '9999'")
    connection.execute("PRAGMA journal_mode = DELETE")
    connection.commit()
    connection.close()
    before, names = file.read_bytes(), sorted(entry.name for entry in tmp_path.iterdir())
    with pytest.raises(SchemaTooNew, match="9999"):
        Database.open(tmp_path)
    assert file.read_bytes() == before
    assert sorted(entry.name for entry in tmp_path.iterdir()) == names


def test_opening_a_current_database_imports_no_alembic(tmp_path: Path) -> None:
    Database.open(tmp_path).close()
    code = (
        "import sys, pathlib; from hausgeist.store.database import Database; Database.open(pathlib.Path(sys.argv[1])).close(); "
        "assert 'alembic' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code, tmp_path], check=True, timeout=60)


def test_a_migration_keeps_a_copy_of_what_was_there(tmp_path: Path) -> None:
    database = Database.open(tmp_path)
    folder = longer(tmp_path, "    op.add_column('models', sa.Column('extra', sa.Text))")
    schema.migrate(database._engine, database.path, folder)
    assert database.read(lambda connection: connection.exec_driver_sql("SELECT version_num FROM alembic_version").scalar_one()) == schema.head(folder)
    copies = list((tmp_path / "backups").iterdir())
    assert len(copies) == 1
    old = sqlite3.connect(copies[0])
    assert schema.revision(old) == schema.head()
    assert old.execute("SELECT count(*) FROM users").fetchone() == (1,)
    old.close()
    schema.migrate(database._engine, database.path, folder)
    assert len(list((tmp_path / "backups").iterdir())) == 1
    database.close()


@pytest.mark.parametrize(
    "failure",
    ["    raise RuntimeError('in the middle')", "    op.execute(\"INSERT INTO sessions VALUES ('s', 'nobody', NULL, 0, 0, 0)\")"],
    ids=["raises", "dangling reference"],
)
def test_a_migration_that_fails_changes_nothing(tmp_path: Path, failure: str) -> None:
    database = Database.open(tmp_path)
    body = f"    op.create_table('half', sa.Column('a', sa.Text))\n    op.drop_table('models')\n{failure}"
    with pytest.raises((RuntimeError, StoreError)):
        schema.migrate(database._engine, database.path, longer(tmp_path, body))
    assert "models" in tables(database.path)
    assert "half" not in tables(database.path)
    assert database.read(lambda connection: connection.exec_driver_sql("SELECT version_num FROM alembic_version").scalar_one()) == schema.head()
    database.close()


def test_a_table_that_others_refer_to_can_be_rebuilt(tmp_path: Path) -> None:
    database = Database.open(tmp_path)
    database.write_sync(lambda connection: connection.exec_driver_sql("INSERT INTO project_members VALUES ('default', 'local', 'owner', 0)").rowcount)
    body = "    with op.batch_alter_table('users') as batch:\n        batch.alter_column('role', server_default='member')"
    schema.migrate(database._engine, database.path, longer(tmp_path, body))
    assert database.read(lambda connection: connection.exec_driver_sql("SELECT count(*) FROM project_members").scalar_one()) == 1
    database.close()
