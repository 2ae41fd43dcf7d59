"""What SQLite and the file system complain about, said once as the errors of Hausgeist. Messages never contain SQL or values."""

from __future__ import annotations

import errno
import logging
import shutil
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from sqlalchemy.exc import DBAPIError

from hausgeist.errors import Conflict, DiskFull, HausgeistError, InvalidRequest, StoreError

__all__ = ["FOREIGN", "disk_full", "file_failure", "file_failures", "sql_failure"]

FOREIGN = (DBAPIError, sqlite3.Error, UnicodeEncodeError, OverflowError)
"""What `sql_failure` turns into words. The last two: a lone surrogate or a huge number, sent by somebody, that SQLite cannot take."""

log = logging.getLogger(__name__)

_FULL_BELOW = 1 << 20
"""SQLite says only "I/O error" where the write-ahead log could not grow; less free space than this explains it."""

_CONSTRAINTS = {
    sqlite3.SQLITE_CONSTRAINT_UNIQUE: "This exists already.",
    sqlite3.SQLITE_CONSTRAINT_PRIMARYKEY: "This exists already.",
    sqlite3.SQLITE_CONSTRAINT_FOREIGNKEY: "Something that this refers to does not exist (any more).",
}


def disk_full(path: Path) -> DiskFull:
    return DiskFull(f"The disk that holds {path} is full. Free some space there (or choose another folder with --home) and try again.")


def sql_failure(error: Exception, path: Path) -> HausgeistError:
    """The error to raise instead of `error`, which came from SQLAlchemy or sqlite3 working on the database at `path`."""
    if isinstance(error, (UnicodeEncodeError, OverflowError)):
        return InvalidRequest("The request holds text that is not valid Unicode, or a number that is too large.")
    origin = error.orig if isinstance(error, DBAPIError) else error
    code = getattr(origin, "sqlite_errorcode", None)
    if code in _CONSTRAINTS:
        return Conflict(_CONSTRAINTS[code])
    if code == sqlite3.SQLITE_CONSTRAINT_TRIGGER:
        return StoreError("This table can only be appended to.")
    match (code or 0) & 0xFF:
        case sqlite3.SQLITE_FULL:
            return disk_full(path)
        case sqlite3.SQLITE_IOERR:
            return disk_full(path) if _free(path) < _FULL_BELOW else StoreError(f"The disk failed while {path} was read or written; check it.")
        case sqlite3.SQLITE_READONLY | sqlite3.SQLITE_PERM | sqlite3.SQLITE_AUTH:
            return StoreError(f"{path} cannot be written. Give this user the right to write it and its folder, or choose another with --home.")
        case sqlite3.SQLITE_CANTOPEN:
            return StoreError(f"{path} cannot be opened. Check that its folder exists and that this user may read and write it.")
        case sqlite3.SQLITE_CORRUPT | sqlite3.SQLITE_NOTADB:
            return StoreError(f"{path} is damaged. Stop Hausgeist and bring back a backup: 'hausgeist restore FILE --force'.")
        case sqlite3.SQLITE_BUSY | sqlite3.SQLITE_LOCKED:
            return StoreError(f"Another process keeps {path} locked. Wait until it has finished, or stop it, and try again.")
        case sqlite3.SQLITE_NOMEM:
            return StoreError("There is not enough memory left to use the database.")
        case _:
            log.error("the database refused an operation", exc_info=error)
            return StoreError("The database refused an operation; the log has the details.")


def file_failure(error: OSError, path: Path) -> StoreError:
    """The error to raise instead of an `OSError` met while `path` was read or written."""
    if error.errno in {errno.ENOSPC, errno.EDQUOT}:
        return disk_full(path)
    if error.errno in {errno.EACCES, errno.EPERM, errno.EROFS}:
        return StoreError(f"{path} cannot be written. Give this user the right to write it, or choose another folder with --home.")
    return StoreError(f"{path} cannot be used: {(error.strerror or type(error).__name__).lower()}.")


@contextmanager
def file_failures(path: Path) -> Iterator[None]:
    """Turn each `OSError` of the block into what `file_failure` says."""
    try:
        yield
    except OSError as error:
        raise file_failure(error, path) from error


def _free(path: Path) -> int:
    try:
        return shutil.disk_usage(path.parent).free
    except OSError:
        return _FULL_BELOW
