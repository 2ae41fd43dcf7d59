"""Restore a home folder from a backup. Everything is unpacked beside the home and checked against the manifest before the home is touched.

An archive is taken for hostile: only plain files with plain relative names are unpacked, only those that the manifest names.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import sqlite3
import tarfile
import time
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

from hausgeist.errors import Conflict, InvalidRequest, NotFound, StoreError, shown
from hausgeist.store import schema
from hausgeist.store.backup import FORMAT, MANIFEST, Progress, is_left_out, is_plain
from hausgeist.store.database import FILE_NAME
from hausgeist.store.disk import staging, sync_folder
from hausgeist.store.failures import disk_full, file_failures, sql_failure

__all__ = ["Restored", "restore"]

_CHUNK = 4 << 20
_MANIFEST_LIMIT = 64 << 20


@dataclass(frozen=True, slots=True, kw_only=True)
class Restored:
    """What was brought back. `previous`: where the home that was there before is now; remove it when it is not missed."""

    home: Path
    files: int
    size: int
    created: float
    previous: Path | None


def restore(archive: Path, home: Path, *, force: bool = False, progress: Progress | None = None) -> Restored:
    """Bring back a backup. `force`: also where there is a home already, which is moved aside.

    Raises `NotFound`, `InvalidRequest` for what is not a whole backup, `Conflict` where something is in the way, `SchemaTooNew`, `DiskFull`.
    """
    home = home.absolute()
    if not archive.is_file():
        raise NotFound(f"There is no backup {archive}.")
    # What a backup leaves out (a log, a lock) does not make a home.
    occupied = home.is_dir() and any(entry.name == FILE_NAME or not is_left_out(entry.name) for entry in home.iterdir())
    if occupied and not force:
        raise Conflict(f"{home} is not empty. Choose another folder with --home, or give --force to move what is there aside.")
    if occupied:
        _nobody_uses(home)
    with file_failures(home):
        home.parent.mkdir(parents=True, exist_ok=True)
        # A mount point (a container's volume) can be neither renamed nor replaced, only filled.
        within = home.is_dir() and (os.path.ismount(home) or not os.access(home.parent, os.W_OK))
        with staging(home, ".restore-") if within else staging(home.parent, f".{home.name}.restore-") as stage:
            if shutil.disk_usage(stage).free < archive.stat().st_size:
                raise disk_full(home)
            manifest = _unpack(archive, stage, progress)
            _check_database(stage / FILE_NAME)
            previous = (_fill if within else _exchange)(stage, home)
    files = manifest["files"]
    return Restored(home=home, files=len(files), size=sum(file["size"] for file in files), created=manifest["created"], previous=previous)


def _unpack(archive: Path, stage: Path, progress: Progress | None) -> dict[str, Any]:
    """Unpack all members, then compare them with the manifest."""
    found: dict[str, tuple[int, str]] = {}
    manifest: dict[str, Any] | None = None
    total, done = archive.stat().st_size, 0
    try:
        with tarfile.open(archive, mode="r:") as tar:
            for member in tar:
                if manifest is not None:
                    raise InvalidRequest("The backup goes on after its manifest; it was tampered with.")
                name = _safe_name(member)
                if name == MANIFEST:
                    manifest = _read_manifest(tar, member)
                    continue
                if name in found:
                    raise InvalidRequest(f"The backup holds '{name}' twice; it was tampered with.")
                found[name] = _unpack_file(tar, member, stage / name)
                done += member.size
                if progress:
                    progress(done, total)
    except (tarfile.TarError, EOFError) as error:
        raise InvalidRequest(f"{archive} is not a whole backup of Hausgeist: it was cut off, or is something else.") from error
    if manifest is None:
        raise InvalidRequest(f"{archive} is not a whole backup of Hausgeist: its manifest is missing.")
    said = {file["path"]: (file["size"], file["sha256"]) for file in manifest["files"]}
    if wrong := sorted(name for name in said.keys() | found.keys() if said.get(name) != found.get(name)):
        raise InvalidRequest(f"The backup is damaged: '{wrong[0]}' is not what its manifest says ({len(wrong)} such files). Nothing was restored.")
    for name, (_, digest) in found.items():
        if name.startswith("blobs/") and name != f"blobs/sha256-{digest}":
            raise InvalidRequest(f"The backup is damaged: '{name}' is not what its name says. Nothing was restored.")
    if FILE_NAME not in found:
        raise InvalidRequest("The backup holds no database.")
    return manifest


def _safe_name(member: tarfile.TarInfo) -> str:
    name = member.name
    plain_file = member.type in {tarfile.REGTYPE, tarfile.AREGTYPE} and getattr(member, "sparse", None) is None
    if not plain_file or not is_plain(name) or (name not in {MANIFEST, FILE_NAME} and is_left_out(PurePosixPath(name).parts[0])):
        raise InvalidRequest(f"The backup holds '{shown(name)}', which no backup does; it was tampered with. Nothing was restored.")
    return name


def _unpack_file(tar: tarfile.TarFile, member: tarfile.TarInfo, target: Path) -> tuple[int, str]:
    """Returns size and digest of what was written."""
    source = tar.extractfile(member)
    if source is None:
        raise InvalidRequest(f"The backup holds no content for '{member.name}'.")
    digest = hashlib.sha256()
    target.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    with source, target.open("xb") as file:
        while chunk := source.read(_CHUNK):
            digest.update(chunk)
            file.write(chunk)
        file.flush()
        os.fsync(file.fileno())
    target.chmod(0o400 if target.parent.name == "blobs" else 0o600 | (member.mode & 0o100))
    return member.size, digest.hexdigest()


def _read_manifest(tar: tarfile.TarFile, member: tarfile.TarInfo) -> dict[str, Any]:
    source = tar.extractfile(member)
    if source is None or member.size > _MANIFEST_LIMIT:
        raise InvalidRequest("The manifest of the backup cannot be read.")
    try:
        manifest: dict[str, Any] = json.loads(source.read())
        if manifest["format"] != FORMAT:
            raise InvalidRequest(f"The backup has format {manifest['format']!r}; this version of Hausgeist reads format {FORMAT}.")
        for file in manifest["files"]:
            if not (isinstance(file["path"], str) and isinstance(file["size"], int) and isinstance(file["sha256"], str)):
                raise TypeError
        manifest["created"] = float(manifest["created"])
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        raise InvalidRequest("The manifest of the backup cannot be read.") from error
    return manifest


def _check_database(path: Path) -> None:
    """Raises `SchemaTooNew` for one that could not be opened afterwards, `InvalidRequest` for a damaged one."""
    try:
        with closing(sqlite3.connect(path)) as connection:
            schema.is_current(connection)
            healthy = schema.revision(connection) is not None and connection.execute("PRAGMA quick_check").fetchone() == ("ok",)
    except sqlite3.DatabaseError:
        healthy = False
    if not healthy:
        raise InvalidRequest("The database in the backup is damaged. Nothing was restored.")


def _nobody_uses(home: Path) -> None:
    """Raises `Conflict` while another process has the database open. A damaged database is nobody's."""
    database = home / FILE_NAME
    if not database.is_file():
        return
    try:
        with closing(sqlite3.connect(database, timeout=0.5, isolation_level=None)) as connection:
            connection.execute("PRAGMA locking_mode = EXCLUSIVE")
            connection.execute("SELECT count(*) FROM sqlite_master").fetchone()
    except sqlite3.DatabaseError as error:
        code = getattr(error, "sqlite_errorcode", 0) & 0xFF
        if code in {sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED}:
            raise Conflict(f"A server is running with {home}. Stop it, then restore.") from error
        if code not in {sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB}:
            raise sql_failure(error, database) from error


def _exchange(stage: Path, home: Path) -> Path | None:
    """Put the restored folder in the place of the home, in two renames."""
    previous: Path | None = None
    if home.is_dir():
        if any(home.iterdir()):
            previous = _aside(home.parent, home.name)
            os.rename(home, previous)
        else:
            home.rmdir()
    try:
        os.rename(stage, home)
    except OSError:
        if previous is not None:
            os.rename(previous, home)
        raise
    sync_folder(home.parent)
    return previous


def _fill(stage: Path, home: Path) -> Path | None:
    """Move the restored entries into the home, what is there aside. The database goes first and comes last: without it there is no home."""
    old = sorted((entry for entry in home.iterdir() if entry != stage and entry.name != "lost+found"), key=lambda entry: entry.name != FILE_NAME)
    previous: Path | None = None
    if old:
        previous = _aside(home, ".home")
        previous.mkdir(mode=0o700)
        for entry in old:
            os.rename(entry, previous / entry.name)
    for entry in sorted(stage.iterdir(), key=lambda entry: entry.name == FILE_NAME):
        os.rename(entry, home / entry.name)
    sync_folder(home)
    return previous


def _aside(folder: Path, name: str) -> Path:
    path = folder / f"{name}.before-restore-{time.strftime('%Y%m%d-%H%M%S')}"
    if path.exists():
        raise StoreError(f"{path} is in the way; move it.")
    return path
