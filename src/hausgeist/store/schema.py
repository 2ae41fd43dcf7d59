"""Brings a database to the schema this version knows: the migration files, the check for a newer schema, the copy kept before a migration.

Alembic is imported only when there is something to migrate; the usual start costs one small query.
"""

from __future__ import annotations

import os
import sqlite3
import threading
import time
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING

from hausgeist.errors import SchemaTooNew, StoreError
from hausgeist.store.disk import sync_file, sync_folder
from hausgeist.store.failures import file_failures

if TYPE_CHECKING:
    from sqlalchemy import Connection, Engine

__all__ = ["BUSY_SECONDS", "MIGRATIONS", "copy", "head", "is_current", "migrate", "revision"]

MIGRATIONS = Path(__file__).parent / "migrations"
BUSY_SECONDS = 15.0
"""How long an operation waits for another process that writes."""

_COPIES_KEPT = 3
_ALEMBIC = threading.Lock()
"""Alembic hands its context to env.py through module globals, so one migration at a time per process."""


def _known(migrations: Path) -> list[str]:
    """Revisions in rising order; a migration file is called REVISION_what_it_does.py, and revisions are numbers of four digits."""
    return sorted(file.name.split("_", 1)[0] for file in (migrations / "versions").glob("[0-9]*_*.py"))


def head(migrations: Path = MIGRATIONS) -> str:
    """The newest revision that this version of Hausgeist knows."""
    return _known(migrations)[-1]


def revision(connection: sqlite3.Connection) -> str | None:
    """The revision of a database; `None`: it is empty. Raises `StoreError` for a database of something else."""
    names = {row[0] for row in connection.execute("SELECT name FROM sqlite_master WHERE type = 'table' AND name NOT LIKE 'sqlite_%'")}
    if not names:
        return None
    row = connection.execute("SELECT version_num FROM alembic_version").fetchone() if "alembic_version" in names else None
    if row is None:
        raise StoreError("The database in the home folder is not one of Hausgeist's. Choose another folder with --home.")
    return str(row[0])


def is_current(connection: sqlite3.Connection, migrations: Path = MIGRATIONS) -> bool:
    """Whether nothing has to be migrated. Raises `SchemaTooNew`."""
    found = revision(connection)
    known = _known(migrations)
    if found is not None and found not in known:
        raise SchemaTooNew(
            f"The database has schema {found}, but this version of Hausgeist knows only up to {known[-1]}: a newer version wrote it. "
            "Install that version, or restore a backup made with this one. Nothing was changed."
        )
    return found == known[-1]


def migrate(engine: Engine, path: Path, migrations: Path = MIGRATIONS) -> None:
    """Bring the database at `path` to the newest revision: wholly or not at all, once even when several processes try.

    A database that holds data is copied to `backups/` beside it first; the newest three such copies are kept.
    """
    with engine.connect() as connection:
        raw = connection.connection.driver_connection
        assert isinstance(raw, sqlite3.Connection)
        # Rebuilding a table (Alembic's batch mode) drops one that others refer to; this switch works outside a transaction only.
        raw.execute("PRAGMA foreign_keys = OFF")
        raw.execute("BEGIN IMMEDIATE")
        with connection.begin():
            # Another process may have migrated while this one waited for the lock.
            if is_current(raw, migrations):
                return
            found = revision(raw)
            if found is not None:
                _keep_copy(path, found)
            _upgrade(connection, migrations)
            if raw.execute("PRAGMA foreign_key_check").fetchone() is not None:
                raise StoreError("The migration would have left rows that refer to nothing, so nothing was changed. Please report this.")


def _upgrade(connection: Connection, migrations: Path) -> None:
    from alembic import command
    from alembic.config import Config

    config = Config(attributes={"connection": connection})
    # Options go through ConfigParser, to which a % in a path would begin an interpolation.
    config.set_main_option("script_location", str(migrations).replace("%", "%%"))
    config.set_main_option("path_separator", "os")
    with _ALEMBIC:
        command.upgrade(config, "head")


def _keep_copy(path: Path, found: str) -> None:
    folder = path.parent / "backups"
    with file_failures(folder):
        folder.mkdir(mode=0o700, exist_ok=True)
        copy(path, folder / f"before-migration-{time.strftime('%Y%m%d-%H%M%S')}-schema-{found}.db")
        for old in sorted(folder.glob("before-migration-*.db"))[:-_COPIES_KEPT]:
            old.unlink(missing_ok=True)


def copy(path: Path, target: Path) -> None:
    """A consistent copy of the database at `path`, which may be in use. `target` appears only when it is whole and on the disk."""
    partial = target.with_name(target.name + ".partial")
    with file_failures(target):
        partial.unlink(missing_ok=True)
        partial.touch(mode=0o600)
        try:
            with closing(sqlite3.connect(path, timeout=BUSY_SECONDS)) as source, closing(sqlite3.connect(partial)) as destination:
                source.backup(destination)
                # A copy is one file: without this its first reader would lay a write-ahead log beside it.
                destination.execute("PRAGMA journal_mode = DELETE")
            sync_file(partial)
            os.replace(partial, target)
            sync_folder(target.parent)
        except BaseException:
            partial.unlink(missing_ok=True)
            raise
