"""Backup and restore of a home folder: one plain tar file, with a manifest of SHA-256 sums as its last member.

A backup is consistent while the server runs: the database as of one moment, and every blob and file that was there at that moment. Left out is what
belongs to the machine or to the moment: engine builds and the choice among them, logs, run-time files, caches, other backups. Model weights
hardly compress, so nothing is compressed. The file holds everything that the home does, private keys included, and is readable by its owner only.
"""

from __future__ import annotations

import hashlib
import io
import json
import os
import secrets
import sqlite3
import tarfile
import time
from collections.abc import Callable, Mapping
from contextlib import ExitStack, closing
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any, BinaryIO

from hausgeist.errors import Conflict, NotFound, StoreError
from hausgeist.store import schema
from hausgeist.store.database import FILE_NAME
from hausgeist.store.disk import staging, sync_folder
from hausgeist.store.failures import file_failures, sql_failure

__all__ = ["FORMAT", "MANIFEST", "Summary", "backup", "is_left_out", "is_plain"]

FORMAT = 1
MANIFEST = "MANIFEST.json"
_LEFT_OUT = frozenset(
    {
        "run",
        "logs",
        "engines",
        "engine.json",
        "recall",
        "split",
        "backups",
        "lost+found",
        "server.json",
        FILE_NAME,
        f"{FILE_NAME}-wal",
        f"{FILE_NAME}-shm",
        MANIFEST,
    }
)
_LINKED = ("blobs", "files", "batches")
"""Folders whose files come and go while a server runs, each only by way of a transaction."""
_STAGE = ".backup-"

Progress = Callable[[int, int], None]
"""Called with the bytes done and the bytes in all."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Summary:
    """What a backup holds."""

    path: Path
    files: int
    size: int
    schema: str
    created: float


def is_left_out(name: str) -> bool:
    """Whether an entry directly in the home folder stays out of backups. Hidden files are those that somebody is still writing."""
    return name in _LEFT_OUT or name.startswith(".")


def is_plain(name: str) -> bool:
    """Whether a name in an archive stays within the folder it is unpacked to, on every system, and can be shown."""
    path = PurePosixPath(name)
    within = bool(path.parts) and not path.is_absolute() and ".." not in path.parts and path.as_posix() == name
    return within and name.isprintable() and "\\" not in name and not (len(name) > 1 and name[1] == ":") and len(name) < 1000


def backup(home: Path, target: Path, *, progress: Progress | None = None) -> Summary:
    """Write a backup to `target`, which appears only when it is whole. Raises `NotFound`, `Conflict` if it is there already, `StoreError`."""
    if not (home / FILE_NAME).is_file():
        raise NotFound(f"There is no Hausgeist home in {home}.")
    home, target = home.absolute(), target.absolute()
    if target.exists():
        raise Conflict(f"{target} is there already. Choose another name, or remove it first.")
    partial = target.with_name(f".{target.name}.{secrets.token_hex(4)}.partial")
    with file_failures(target), staging(home, _STAGE) as stage, ExitStack() as stack:
        links = {name: stack.enter_context(staging(home / name, _STAGE)) for name in _LINKED if (home / name).is_dir()}
        try:
            found = _freeze(home, stage, links)
            linked = [(f"{folder}/{file.name}", file) for folder, place in links.items() for file in sorted(place.iterdir())]
            files = [(FILE_NAME, stage / FILE_NAME), *_collect(home, target), *linked]
            with os.fdopen(os.open(partial, os.O_WRONLY | os.O_CREAT | os.O_EXCL | getattr(os, "O_BINARY", 0), 0o600), "wb") as file:
                summary = _write(file, files, found, target, progress)
                file.flush()
                os.fsync(file.fileno())
            os.replace(partial, target)
            sync_folder(target.parent)
        finally:
            partial.unlink(missing_ok=True)
    return summary


def _freeze(home: Path, stage: Path, links: Mapping[str, Path]) -> str:
    """Copy the database and link blobs and files as they are at one moment. Returns the schema.

    They are there before the transaction that tells of them ends, and go within or after the one that forgets them. So while this holds the
    writers' lock the links are taken and the moment whose database will be copied is fixed; the copying itself stops nobody.
    """
    database = home / FILE_NAME
    try:
        with (
            closing(sqlite3.connect(database, timeout=schema.BUSY_SECONDS, isolation_level=None)) as writer,
            closing(sqlite3.connect(database, timeout=schema.BUSY_SECONDS, isolation_level=None)) as reader,
            closing(sqlite3.connect(stage / FILE_NAME)) as copy,
        ):
            schema.is_current(reader)
            writer.execute("BEGIN IMMEDIATE")
            reader.execute("BEGIN")
            found = schema.revision(reader)
            for name, target in links.items():
                _link(home / name, target)
            writer.execute("ROLLBACK")
            reader.backup(copy)
            copy.execute("PRAGMA journal_mode = DELETE")
    except sqlite3.Error as error:
        raise sql_failure(error, database) from error
    if found is None:
        raise NotFound(f"There is no Hausgeist home in {home}.")
    return found


def _link(source: Path, target: Path) -> None:
    """All that is whole: what has another name than a blob, or a hidden one, is still being written."""
    for file in source.iterdir():
        whole = file.name.startswith("sha256-") if source.name == "blobs" else not file.name.startswith(".")
        if whole and file.is_file():
            try:
                os.link(file, target / file.name)
            except FileNotFoundError:
                continue  # its row went before
            except OSError:
                # Without hard links a file that is removed during the backup makes it fail, which is told; it is not half right.
                (target / file.name).symlink_to(file)


def _collect(home: Path, target: Path) -> list[tuple[str, Path]]:
    """Names in the archive and the files they stand for, besides the database and what was linked."""
    files: list[tuple[str, Path]] = []
    for top in sorted(home.iterdir()):
        if is_left_out(top.name) or top.name in _LINKED:
            continue
        for file in [top] if top.is_file() else sorted(top.rglob("*")):
            if file.is_file() and file.absolute() != target:
                name = file.relative_to(home).as_posix()
                if not is_plain(name):
                    raise StoreError(f"{file!r} has a name that no backup can hold. Rename it, or move it out of {home}.")
                files.append((name, file))
    return files


def _write(file: BinaryIO, files: list[tuple[str, Path]], found: str, target: Path, progress: Progress | None) -> Summary:
    total = sum(path.stat().st_size for _, path in files)
    entries: list[dict[str, Any]] = []
    done = 0
    created = time.time()
    with tarfile.open(fileobj=file, mode="w", format=tarfile.PAX_FORMAT) as archive:
        for name, path in files:
            with path.open("rb") as source:
                status = os.fstat(source.fileno())
                counted = _Counting(source, progress, done, total)
                info = tarfile.TarInfo(name)
                info.size, info.mtime, info.mode = status.st_size, status.st_mtime, status.st_mode & 0o700
                archive.addfile(info, counted)
            digest = counted.digest()
            if name.startswith("blobs/") and name != f"blobs/sha256-{digest}":
                raise StoreError(f"{name} is damaged on the disk: its content is sha256:{digest}. Remove the model that uses it and install it anew.")
            entries.append({"path": name, "size": status.st_size, "sha256": digest})
            done += status.st_size
        manifest = {"format": FORMAT, "schema": found, "created": created, "files": entries}
        text = json.dumps(manifest, indent=1).encode()
        info = tarfile.TarInfo(MANIFEST)
        info.size, info.mtime, info.mode = len(text), created, 0o600
        archive.addfile(info, io.BytesIO(text))
    return Summary(path=target, files=len(entries), size=done, schema=found, created=created)


class _Counting(io.RawIOBase):
    """A file being read, its bytes hashed and counted on their way."""

    def __init__(self, source: BinaryIO, progress: Progress | None, done: int, total: int) -> None:
        self._source = source
        self._hash = hashlib.sha256()
        self._progress = progress
        self._done = done
        self._total = total

    def readable(self) -> bool:
        return True

    def read(self, size: int = -1, /) -> bytes:
        data = self._source.read(size)
        self._hash.update(data)
        self._done += len(data)
        if self._progress:
            self._progress(self._done, self._total)
        return data

    def digest(self) -> str:
        return self._hash.hexdigest()
