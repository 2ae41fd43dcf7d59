"""Files of projects: whole or not there, within their bounds, seen by their project only, gone when they are removed."""

from __future__ import annotations

import asyncio
import stat
import threading
import time
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from sqlalchemy import Connection, text

from hausgeist.errors import Conflict, DiskFull, NotFound, StoreError, TooLarge
from hausgeist.files import File, Files, Uploads, folder, service
from hausgeist.files.folder import Folder
from hausgeist.files.records import plain_name, plain_type
from hausgeist.identity import LOCAL_OWNER, Principal
from hausgeist.store.database import Database
from hausgeist.store.drafts import Draft
from hausgeist.store.space import Space
from hausgeist.workspace.service import Workspace

ANN = LOCAL_OWNER
BOB = replace(LOCAL_OWNER, kind="user", id="bob", name="bob", user="bob", role="member", house_role="member")


class House:
    """A database and the files beside it."""

    def __init__(self, home: Path, *, quota: int = 1 << 30, limit: int = 1 << 20, reserve: int = 0) -> None:
        self.home = home
        self.database = Database.open(home)
        self.folder = Folder(home, space=Space(home, reserve=reserve))
        self.files = Files(self.database, self.folder, quota=quota, limit=limit)
        self.uploads = Uploads(self.database, self.files)

    @property
    def on_disk(self) -> list[str]:
        return sorted(path.name for path in (self.home / "files").iterdir())

    async def file(self, who: Principal = ANN, data: bytes = b"hello", **more: object) -> File:
        given = {"filename": "a.txt", "purpose": "user_data", **more}
        return await self.files.create(who, chunks(data), **given)  # type: ignore[arg-type]

    async def age(self, table: str, seconds: float) -> None:
        """As if so much time had gone by."""
        columns = ", ".join(f"{name} = {name} - {seconds}" for name in ("created", "expires"))
        await self.database.write(lambda connection: connection.execute(text(f"UPDATE {table} SET {columns}")) and None)


async def chunks(data: bytes, size: int = 1 << 16) -> AsyncIterator[bytes]:
    for start in range(0, len(data), size):
        yield data[start : start + size]


@pytest.fixture
async def house(tmp_path: Path) -> AsyncIterator[House]:
    house = House(tmp_path)
    yield house
    house.database.close()


async def test_a_file_is_kept_as_it_came(house: House) -> None:
    data = bytes(range(256)) * 3000
    made = await house.file(data=data, filename="../../etc/\x07pass\u202ewd.txt", media_type="Text/Plain; charset=utf-8")
    assert house.files.open(ANN, made.id).read_bytes() == data
    assert stat.S_IMODE(house.files.open(ANN, made.id).stat().st_mode) == 0o600
    assert stat.S_IMODE((house.home / "files").stat().st_mode) == 0o700
    assert (made.filename, made.bytes, made.media_type) == ("passwd.txt", len(data), "text/plain; charset=utf-8")
    assert made.expires is None
    assert house.files.get(ANN, made.id) == made
    assert house.on_disk == [made.id]
    assert (await house.file(purpose="batch")).expires == pytest.approx(time.time() + 30 * 86400, abs=60)


async def test_a_project_sees_its_files_and_no_other_does(house: House) -> None:
    workspace = Workspace(house.database)
    other = replace(BOB, project=(await workspace.create_project("other")).id)
    made = await house.file(ANN)
    assert house.files.get(BOB, made.id).user == ANN.user
    assert house.files.list(other) == []
    for use in (house.files.get, house.files.open):
        with pytest.raises(NotFound):
            use(other, made.id)
    with pytest.raises(NotFound):
        await house.files.delete(other, made.id)
    with pytest.raises(NotFound):
        house.files.list(other, after=made.id)
    await house.files.delete(BOB, made.id)
    assert house.on_disk == []
    with pytest.raises(NotFound):
        house.files.get(ANN, made.id)


async def test_lists_come_in_pages(house: House) -> None:
    made = [await house.file(purpose="vision" if number % 2 else "user_data") for number in range(7)]
    ids = [file.id for file in made]
    assert [file.id for file in house.files.list(ANN, order="asc")] == ids
    assert [file.id for file in house.files.list(ANN)] == ids[::-1]
    first = house.files.list(ANN, limit=3)
    assert (first.more, [file.id for file in first]) == (True, ids[:3:-1])
    rest = house.files.list(ANN, limit=4, after=first[-1].id)
    assert (rest.more, [file.id for file in rest]) == (False, ids[3::-1])
    assert [file.id for file in house.files.list(ANN, purpose="vision", order="asc", after=ids[1])] == [ids[3], ids[5]]


async def test_what_breaks_off_leaves_nothing(house: House) -> None:
    async def broken() -> AsyncIterator[bytes]:
        yield b"x" * 3_000_000
        raise ConnectionResetError

    house.files.limit = 1 << 30
    with pytest.raises(ConnectionResetError):
        await house.files.create(ANN, broken(), filename="a", purpose="user_data")
    stuck = asyncio.create_task(house.files.create(ANN, forever(), filename="a", purpose="user_data"))
    while not house.on_disk:
        await asyncio.sleep(0.01)
    assert house.files.list(ANN) == []
    stuck.cancel()
    await asyncio.gather(stuck, return_exceptions=True)
    assert house.on_disk == []
    assert not house.files._coming


async def forever() -> AsyncIterator[bytes]:
    while True:
        yield b"x" * 2_000_000
        await asyncio.sleep(0.01)


async def test_bounds(house: House, tmp_path: Path) -> None:
    with pytest.raises(TooLarge, match="limit"):
        await house.file(data=b"x" * ((1 << 20) + 1))
    assert house.on_disk == []
    small = House(tmp_path / "small", quota=3_000_000, limit=1 << 30)
    await small.file(data=b"x" * 1_000_000)
    with pytest.raises(TooLarge, match="project_files"):
        await small.file(data=b"x" * 2_100_000)
    # Announced: refused before a byte is read.
    with pytest.raises(TooLarge):
        await small.files.create(ANN, never(), filename="a", purpose="user_data", size=2_100_000)
    # Those that come at the same time count together, also where nothing was announced.
    ended = await asyncio.gather(*(small.file(data=b"x" * 1_500_000) for _ in range(4)), return_exceptions=True)
    assert sum(isinstance(one, File) for one in ended) <= 1
    assert sum(file.bytes for file in small.files.list(ANN)) <= 3_000_000
    assert len(small.on_disk) == len(small.files.list(ANN))
    small.database.close()


async def never() -> AsyncIterator[bytes]:
    pytest.fail("a byte was read")
    yield b""


async def test_a_full_disk_is_said_before_it_is_full(tmp_path: Path) -> None:
    house = House(tmp_path, reserve=1 << 60)
    with pytest.raises(DiskFull):
        await house.files.create(ANN, never(), filename="a", purpose="user_data", size=1000)
    with pytest.raises(DiskFull):
        await house.file()
    assert house.on_disk == []
    house.database.close()


async def test_a_file_whose_row_could_not_be_written_is_not_there(house: House) -> None:
    nowhere = replace(ANN, project="gone")
    with pytest.raises((Conflict, StoreError)):
        await house.file(nowhere)
    await house.files.collect()
    assert house.on_disk == []


async def test_files_expire(house: House) -> None:
    made = await house.file(seconds=3600)
    kept = await house.file()
    assert made.expires == pytest.approx(made.created + 3600)
    await house.age("files", 3601)
    with pytest.raises(NotFound):
        house.files.get(ANN, made.id)
    assert [file.id for file in house.files.list(ANN)] == [kept.id]
    assert made.id in house.on_disk
    await house.files.sweep()
    assert house.on_disk == [kept.id]
    gone = await house.file(seconds=3600)
    await house.age("files", 3601)
    house.files.start()
    async with asyncio.timeout(10):
        while gone.id in house.on_disk:
            await asyncio.sleep(0.01)
    await house.files.stop()
    assert house.on_disk == [kept.id]


async def test_what_a_crash_left_is_collected(house: House) -> None:
    kept = await house.file()
    upload = await house.uploads.create(ANN, bytes=5, filename="a", media_type="", purpose="user_data")
    part = await house.uploads.add(ANN, upload.id, chunks(b"hello"))
    (house.home / "files" / "file-left").write_bytes(b"x")
    (house.home / "files" / ".draft-1-left").write_bytes(b"x")
    await house.files.collect()
    assert house.on_disk == sorted([".draft-1-left", kept.id, part.id])
    Folder(house.home, space=house.folder.space)
    assert house.on_disk == sorted([kept.id, part.id])


async def test_a_collection_takes_no_file_that_comes_meanwhile(house: House) -> None:
    house.files.limit = 1 << 30

    async def collect() -> None:
        for _ in range(30):
            await house.files.collect()

    made, _ = await asyncio.gather(asyncio.gather(*(house.file() for _ in range(40))), collect())
    assert house.on_disk == sorted(file.id for file in made)


async def test_erasure(house: House) -> None:
    other = replace(BOB, project=(await Workspace(house.database).create_project("other")).id)
    ours, theirs, elsewhere = await house.file(ANN), await house.file(BOB), await house.file(other)
    upload = await house.uploads.create(BOB, bytes=5, filename="a", media_type="", purpose="user_data")
    await house.uploads.add(BOB, upload.id, chunks(b"hello"))
    assert await house.files.erase(user=BOB.user, project=ANN.project) == 1
    assert house.on_disk == sorted([ours.id, elsewhere.id])
    with pytest.raises(NotFound):
        house.files.get(ANN, theirs.id)
    with pytest.raises(NotFound):
        house.uploads.get(BOB, upload.id)
    # What went with its project has no rows any more.
    await Workspace(house.database).remove_project(other.project)
    assert await house.files.erase(project=other.project) == 0
    assert house.on_disk == [ours.id]
    with pytest.raises(ValueError, match="whose"):
        await house.files.erase()


@given(st.text())
def test_names_are_never_paths(name: str) -> None:
    plain = plain_name(name)
    assert plain
    assert plain not in {".", ".."}
    assert "/" not in plain
    assert "\\" not in plain
    assert plain.isprintable()
    assert len(plain) <= 255
    assert plain_name(plain) == plain


def test_long_names_keep_their_ending() -> None:
    assert plain_name("x" * 400 + ".jsonl").endswith("x.jsonl")
    assert len(plain_name("x" * 400 + "." + "y" * 400)) == 255
    assert plain_name("C:\\temp\\a.pdf") == "a.pdf"


@pytest.mark.parametrize("said", ["", "text", "text/html\r\nx: y", "a/b/c", "text/html; " + "x" * 200, "textä/html"])
def test_what_is_no_media_type_is_none(said: str) -> None:
    assert plain_type(said) == ""


async def test_files_that_come_together_share_a_flush_of_their_names(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    flushed: list[Path] = []
    monkeypatch.setattr(folder, "sync_folder", flushed.append)
    held = threading.Event()
    waiting = asyncio.create_task(house.database.write(lambda connection: held.wait(10)))
    coming = [asyncio.create_task(house.file(data=f"Number {n}.".encode(), filename=f"{n}.txt")) for n in range(20)]
    async with asyncio.timeout(30):
        while len(house.on_disk) < 20:
            await asyncio.sleep(0.01)
        await asyncio.sleep(0.05)
        held.set()
        made = await asyncio.gather(*coming)
        await waiting
    assert 1 <= len(flushed) < 20
    assert house.on_disk == sorted(file.id for file in made)
    assert [house.files.open(ANN, file.id).read_text() for file in made] == [f"Number {n}." for n in range(20)]


async def test_one_of_several_small_files_is_given_up(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    class Full(Draft):
        def flush(self) -> None:
            super().flush()
            if self.size == 3:
                raise DiskFull("full")

    monkeypatch.setattr(folder, "Draft", Full)
    coming = [asyncio.create_task(house.file(data=b"x" * size)) for size in (1, 2, 3, 4, 5)]
    await asyncio.sleep(0)
    coming[4].cancel()
    ended = await asyncio.gather(*coming, return_exceptions=True)
    assert isinstance(ended[2], DiskFull)
    assert isinstance(ended[4], asyncio.CancelledError)
    kept = [one for one in ended if isinstance(one, File)]
    assert [file.bytes for file in kept] == [1, 2, 4]
    async with asyncio.timeout(10):
        while len(house.on_disk) > 3:  # that of the one that was given up goes when it is written
            await asyncio.sleep(0.01)
    assert house.on_disk == sorted(file.id for file in kept)


async def test_what_a_project_has_is_known_exactly_whoever_changes_it(tmp_path: Path) -> None:
    house = House(tmp_path, quota=100)
    other = Database.open(tmp_path)
    first = await house.file(data=b"x" * 40)
    await house.file(data=b"x" * 40)
    with pytest.raises(TooLarge):
        await house.file(data=b"x" * 30)
    await house.files.delete(ANN, first.id)
    await house.file(data=b"x" * 30)
    # What another process does is seen, and what was undone does not count.
    await other.write(lambda connection: connection.execute(text("DELETE FROM files WHERE bytes = 40")) and None)

    def undone(connection: Connection) -> None:
        house.files.demand_room_within(connection, ANN.project, 1)
        draft = house.folder.draft()
        draft.write(b"x" * 60)
        draft.flush()
        house.files.adopt(
            connection, draft.path, project=ANN.project, user=ANN.user, filename="a", purpose="user_data", size=60, digest=draft.digest
        )  # fmt: skip
        draft.discard()
        raise Conflict("not this time")

    with pytest.raises(Conflict):
        await house.database.write(undone)
    await house.file(data=b"x" * 70)
    with pytest.raises(TooLarge):
        await house.file(data=b"x")
    assert sorted(file.bytes for file in house.files.list(ANN)) == [30, 70]
    other.close()
    house.database.close()


async def test_files_are_not_counted_again_for_what_others_write(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """While many are taken in, something is written all the time, and to count a hundred thousand takes a while."""
    counted: list[str] = []
    count = service._taken

    def counting(connection: Connection, project: str) -> tuple[int, int]:
        counted.append(project)
        return count(connection, project)

    monkeypatch.setattr(service, "_taken", counting)
    monkeypatch.setattr(service, "_NOW_AND_THEN", 1e9)
    house = House(tmp_path, quota=100)
    first = await house.file(data=b"x" * 40)
    assert set(counted) == {ANN.project}
    counted.clear()
    for _ in range(3):
        await house.database.write(lambda connection: connection.execute(text("UPDATE jobs SET status = 'done'")) and None)
        await house.file(data=b"x" * 10)
    assert counted == []
    with pytest.raises(TooLarge):
        await house.file(data=b"x" * 31)
    await house.files.delete(ANN, first.id)
    await house.file(data=b"x" * 70)
    assert counted
    with pytest.raises(TooLarge):
        await house.file(data=b"x")
    house.database.close()
