"""Backups hold one moment, restores are whole or nothing, hostile archives are refused."""

from __future__ import annotations

import hashlib
import io
import json
import sqlite3
import tarfile
import threading
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import pytest

from hausgeist.errors import Conflict, HausgeistError, InvalidRequest, NotFound, SchemaTooNew
from hausgeist.store.backup import MANIFEST, backup
from hausgeist.store.blobs import Blobs
from hausgeist.store.database import FILE_NAME, Database
from hausgeist.store.restore import restore

BLOB = b"weights" * 1000
DIGEST = hashlib.sha256(BLOB).hexdigest()


@pytest.fixture
def home(tmp_path: Path) -> Path:
    home = tmp_path / "home [1]"
    Database.open(home).close()
    Blobs(home).path(DIGEST).write_bytes(BLOB)
    (home / "hausgeist.toml").write_text("port = 1234\n")
    (home / "tls").mkdir()
    (home / "tls" / "ca.key").write_text("private")
    for left_out in ("run", "logs", "engines"):
        (home / left_out).mkdir()
        (home / left_out / "x").write_text("x")
    (home / "blobs" / ".partial-1").write_text("half")
    return home


@pytest.fixture
def archive(home: Path, tmp_path: Path) -> Path:
    return backup(home, tmp_path / "backup.tar").path


def contents(folder: Path) -> dict[str, bytes]:
    return {file.relative_to(folder).as_posix(): file.read_bytes() for file in folder.rglob("*") if file.is_file()}


def rewritten(archive: Path, change: Callable[[list[tuple[tarfile.TarInfo, bytes]]], None], *, honest: bool = True) -> Path:
    """The archive with its members changed, and (`honest`) a manifest that agrees."""
    with tarfile.open(archive) as tar:
        members = []
        for member in tar:
            file = tar.extractfile(member)
            assert file is not None
            members.append((member, file.read()))
    manifest = json.loads(members.pop()[1])
    change(members)
    if honest:
        manifest["files"] = [{"path": i.name, "size": len(data), "sha256": hashlib.sha256(data).hexdigest()} for i, data in members]
    info = tarfile.TarInfo(MANIFEST)
    members.append((info, json.dumps(manifest).encode()))
    target = archive.with_name("changed.tar")
    with tarfile.open(target, "w") as tar:
        for member, data in members:
            member.size = len(data) if member.isreg() else 0
            tar.addfile(member, io.BytesIO(data))
    return target


def entry(name: str, **attributes: Any) -> tuple[tarfile.TarInfo, bytes]:
    info = tarfile.TarInfo(name)
    for attribute, value in attributes.items():
        setattr(info, attribute, value)
    return info, b"evil"


def test_round_trip(home: Path, archive: Path, tmp_path: Path) -> None:
    assert archive.stat().st_mode & 0o077 == 0
    seen: list[tuple[int, int]] = []
    result = restore(archive, tmp_path / "new" / "home", progress=lambda done, total: seen.append((done, total)))
    assert result.previous is None
    got = contents(tmp_path / "new" / "home")
    assert set(got) == {FILE_NAME, "hausgeist.toml", "tls/ca.key", f"blobs/sha256-{DIGEST}"}
    assert got[f"blobs/sha256-{DIGEST}"] == BLOB
    assert got["hausgeist.toml"] == b"port = 1234\n"
    assert seen
    database = Database.open(tmp_path / "new" / "home")
    assert database.read(lambda connection: connection.exec_driver_sql("SELECT id FROM users").scalar_one()) == "local"
    database.close()
    assert not [path for path in (tmp_path / "new").iterdir() if path.name.startswith(".")]
    assert not list(home.rglob(".backup*"))


def test_a_backup_while_others_write_and_remove(home: Path, tmp_path: Path) -> None:
    """Every row's blob is in the archive, though rows and blobs come and go meanwhile."""
    database, blobs = Database.open(home), Blobs(home)
    stop = threading.Event()

    def churn() -> None:
        n = 0
        while not stop.is_set():
            n += 1
            data = f"blob {n}".encode() * 1000
            digest = hashlib.sha256(data).hexdigest()
            blobs.path(digest).write_bytes(data)
            database.write_sync(lambda c, d=digest: c.exec_driver_sql("INSERT INTO models VALUES (?, 'x', '{}', 0)", (d,)).rowcount)

            def remove(connection: Any, digest: str = digest) -> None:
                connection.exec_driver_sql("DELETE FROM models WHERE id = ?", (digest,))
                blobs.remove(digest)

            if n % 3:
                database.write_sync(remove)

    thread = threading.Thread(target=churn)
    thread.start()
    try:
        archives = [backup(home, tmp_path / f"{n}.tar").path for n in range(4)]
    finally:
        stop.set()
        thread.join()
        database.close()
    for n, path in enumerate(archives):
        restored = restore(path, tmp_path / f"restored{n}").home
        connection = sqlite3.connect(restored / FILE_NAME)
        rows = [row[0] for row in connection.execute("SELECT id FROM models")]
        connection.close()
        there = set(Blobs(restored).digests())
        assert set(rows) <= there


def test_refusals_of_backup(home: Path, archive: Path, tmp_path: Path) -> None:
    with pytest.raises(Conflict, match="already"):
        backup(home, archive)
    with pytest.raises(NotFound):
        backup(tmp_path / "nowhere", tmp_path / "x.tar")
    (home / "new\nline").write_text("")
    with pytest.raises(HausgeistError, match="Rename it"):
        backup(home, tmp_path / "x.tar")
    (home / "new\nline").unlink()
    blob = home / "blobs" / f"sha256-{DIGEST}"
    blob.write_bytes(b"rotten")
    with pytest.raises(HausgeistError, match="damaged on the disk"):
        backup(home, tmp_path / "x.tar")
    assert not [path for path in tmp_path.iterdir() if "x.tar" in path.name]


def test_a_home_that_is_there_is_kept_aside(home: Path, archive: Path) -> None:
    (home / "hausgeist.toml").write_text("port = 9\n")
    before = contents(home)
    with pytest.raises(Conflict, match="--force"):
        restore(archive, home)
    assert contents(home) == before
    result = restore(archive, home, force=True)
    assert (home / "hausgeist.toml").read_text() == "port = 1234\n"
    assert result.previous is not None
    assert (result.previous / "hausgeist.toml").read_text() == "port = 9\n"


def test_logs_alone_are_no_home(archive: Path, tmp_path: Path) -> None:
    (tmp_path / "new" / "logs").mkdir(parents=True)
    restore(archive, tmp_path / "new")
    assert (tmp_path / "new" / FILE_NAME).is_file()


def test_a_mount_point_is_filled(home: Path, archive: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("os.path.ismount", lambda path: Path(path) == home)
    (home / "hausgeist.toml").write_text("port = 9\n")
    inode = home.stat().st_ino
    result = restore(archive, home, force=True)
    assert home.stat().st_ino == inode
    assert (home / "hausgeist.toml").read_text() == "port = 1234\n"
    assert result.previous is not None
    assert (result.previous / "hausgeist.toml").read_text() == "port = 9\n"


def test_not_while_a_server_runs(home: Path, archive: Path) -> None:
    database = Database.open(home)
    with pytest.raises(Conflict, match="Stop it"):
        restore(archive, home, force=True)
    database.close()
    restore(archive, home, force=True)


def test_a_damaged_home_can_be_replaced(home: Path, archive: Path) -> None:
    (home / FILE_NAME).write_bytes(b"rubbish" * 10_000)
    restore(archive, home, force=True)
    Database.open(home).close()


@pytest.mark.parametrize(
    "evil",
    [
        entry("../outside"),
        entry("tls/../../outside"),
        entry("/etc/outside"),
        entry("C:\\outside"),
        entry("tls\\outside"),
        entry("link", type=tarfile.SYMTYPE, linkname="/etc"),
        entry("link", type=tarfile.LNKTYPE, linkname=FILE_NAME),
        entry("pipe", type=tarfile.FIFOTYPE),
        entry("device", type=tarfile.CHRTYPE),
        entry("folder", type=tarfile.DIRTYPE),
        entry("engines/built/llama-server"),
        entry("run/x"),
        entry(".hidden"),
        entry("new\nline"),
        entry(FILE_NAME),
        entry(f"blobs/sha256-{'0' * 64}"),
    ],
    ids=lambda value: repr(value[0].name) + value[0].type.decode(),
)
def test_hostile_members(home: Path, archive: Path, tmp_path: Path, evil: tuple[tarfile.TarInfo, bytes]) -> None:
    before = contents(home)
    changed = rewritten(archive, lambda members: members.append(evil))
    with pytest.raises(InvalidRequest):
        restore(changed, home, force=True)
    assert contents(home) == before
    assert not (tmp_path / "outside").exists()
    assert not [path for path in tmp_path.iterdir() if "restore-" in path.name]


def test_damage_is_found_before_anything_is_touched(home: Path, archive: Path, tmp_path: Path) -> None:
    def flip(members: list[tuple[tarfile.TarInfo, bytes]]) -> None:
        members[1] = (members[1][0], b"X" + members[1][1][1:])

    def drop(members: list[tuple[tarfile.TarInfo, bytes]]) -> None:
        del members[1]

    before = contents(home)
    for change in (flip, drop, lambda members: members.append(entry("extra"))):
        with pytest.raises(InvalidRequest, match="is not what its manifest says"):
            restore(rewritten(archive, change, honest=False), home, force=True)
    whole = archive.read_bytes()
    for cut in (0, 100, 512, len(whole) // 2, len(whole) - 20_000):
        short = tmp_path / "short.tar"
        short.write_bytes(whole[:cut])
        with pytest.raises(InvalidRequest):
            restore(short, home, force=True)
    (tmp_path / "text").write_text("no archive\n" * 100)
    with pytest.raises(InvalidRequest):
        restore(tmp_path / "text", home, force=True)
    with pytest.raises(NotFound):
        restore(tmp_path / "none", home, force=True)
    assert contents(home) == before


def test_a_newer_or_damaged_database_is_not_restored(home: Path, archive: Path, tmp_path: Path) -> None:
    def damage(members: list[tuple[tarfile.TarInfo, bytes]]) -> None:
        members[0] = (members[0][0], b"rubbish" * 10_000)

    with pytest.raises(InvalidRequest, match="damaged"):
        restore(rewritten(archive, damage), tmp_path / "new")
    connection = sqlite3.connect(home / FILE_NAME)
    connection.execute("UPDATE alembic_version SET version_num = '9999'")
    connection.commit()
    data = connection.serialize()
    connection.close()

    def newer(members: list[tuple[tarfile.TarInfo, bytes]]) -> None:
        members[0] = (members[0][0], data)

    with pytest.raises(SchemaTooNew):
        restore(rewritten(archive, newer), tmp_path / "new")
    assert not (tmp_path / "new").exists()


def test_files_come_along_as_they_were(home: Path, tmp_path: Path) -> None:
    for name in ("files/file-1", "files/part_1", "files/.draft-1-x", "batches/batch_1.output"):
        (home / name).parent.mkdir(exist_ok=True)
        (home / name).write_text(name)
    made = backup(home, tmp_path / "backup.tar")
    restore(made.path, tmp_path / "other")
    found = contents(tmp_path / "other")
    assert {name for name in found if name.startswith(("files", "batches"))} == {"files/file-1", "files/part_1", "batches/batch_1.output"}
    assert found["files/file-1"] == b"files/file-1"
    assert (tmp_path / "other" / "files" / "file-1").stat().st_mode & 0o777 == 0o600


def test_a_backup_while_files_come_and_go(home: Path, tmp_path: Path) -> None:
    """Each row of the copy has its file, though files were brought and removed all the while."""
    import asyncio

    from hausgeist.files.folder import Folder
    from hausgeist.files.service import Files
    from hausgeist.identity import LOCAL_OWNER
    from hausgeist.store.space import Space

    done, database = threading.Event(), Database.open(home)
    files = Files(database, Folder(home, space=Space(home, reserve=0)), quota=1 << 40, limit=1 << 20)

    async def once() -> AsyncIterator[bytes]:
        yield b"hello"

    async def churn() -> None:
        kept = []
        while not done.is_set():
            kept.append(await files.create(LOCAL_OWNER, once(), filename="a", purpose="user_data"))
            if len(kept) > 20:
                await files.delete(LOCAL_OWNER, kept.pop(0).id)

    thread = threading.Thread(target=lambda: asyncio.run(churn()))
    thread.start()
    try:
        while not files.list(LOCAL_OWNER):
            done.wait(0.01)
        for number in range(5):
            backup(home, tmp_path / f"{number}.tar")
    finally:
        done.set()
        thread.join()
        database.close()
    for number in range(5):
        restore(tmp_path / f"{number}.tar", tmp_path / f"{number}")
        connection = sqlite3.connect(tmp_path / f"{number}" / FILE_NAME)
        rows = {row[0] for row in connection.execute("SELECT id FROM files")}
        connection.close()
        assert rows
        assert rows <= {path.name for path in (tmp_path / f"{number}" / "files").iterdir()}
