"""Uploads in parts: any order, again where one was lost, whole in the end or not at all."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path

import pytest

from hausgeist.errors import Conflict, DiskFull, InvalidRequest, NotFound, TooLarge
from hausgeist.files import Upload, UploadPart
from hausgeist.files.uploads import LARGEST
from tests.unit.files.test_files import ANN, BOB, House, chunks, never


@pytest.fixture
async def house(tmp_path: Path) -> AsyncIterator[House]:
    house = House(tmp_path)
    yield house
    house.database.close()


async def begun(house: House, size: int, **more: object) -> Upload:
    given = {"filename": "big/one.bin", "media_type": "application/pdf", "purpose": "user_data", **more}
    return await house.uploads.create(ANN, bytes=size, **given)  # type: ignore[arg-type]


async def part(house: House, upload: Upload, data: bytes) -> UploadPart:
    return await house.uploads.add(ANN, upload.id, chunks(data))


async def test_parts_come_in_any_order_and_again(house: House) -> None:
    upload = await begun(house, 11, seconds=3600)
    second, lost, first = [await part(house, upload, data) for data in (b" world", b"hello", b"hello")]
    assert lost.id != first.id
    md5 = hashlib.md5(b"hello world").hexdigest().upper()
    done, file = await house.uploads.complete(ANN, upload.id, [first.id, second.id], md5=md5)
    assert (done.status, done.file, file.filename, file.media_type) == ("completed", file.id, "one.bin", "application/pdf")
    assert file.expires == pytest.approx(file.created + 3600)
    assert house.files.open(ANN, file.id).read_bytes() == b"hello world"
    assert file.digest == hashlib.sha256(b"hello world").hexdigest()
    assert house.on_disk == [file.id]
    # The answer was lost and it is said again.
    assert await house.uploads.complete(ANN, upload.id, [first.id, second.id]) == (done, file)
    with pytest.raises(Conflict, match="completed"):
        await part(house, upload, b"x")
    with pytest.raises(Conflict):
        await house.uploads.cancel(ANN, upload.id)


async def test_said_twice_at_once_it_is_done_once(house: House) -> None:
    upload = await begun(house, 3_000_000)
    parts = [(await part(house, upload, b"x" * 1_000_000)).id for _ in range(3)]
    both = await asyncio.gather(*(house.uploads.complete(ANN, upload.id, parts) for _ in range(4)))
    assert len({file.id for _, file in both}) == 1
    assert house.on_disk == [both[0][1].id]


@pytest.mark.parametrize(
    ("named", "md5", "param"),
    [([0], None, "part_ids"), ([0, 1, 1], None, "part_ids"), ([0, "part_none"], None, "part_ids.1"), ([1, 0], "0" * 32, "md5")],
)
async def test_what_does_not_add_up_is_refused_and_nothing_is_lost(house: House, named: list[object], md5: str | None, param: str) -> None:
    upload = await begun(house, 11)
    parts = [(await part(house, upload, data)).id for data in (b"hello", b" world")]
    asked = [parts[one] if isinstance(one, int) else str(one) for one in named]
    with pytest.raises(InvalidRequest) as refused:
        await house.uploads.complete(ANN, upload.id, asked, md5=md5)
    assert refused.value.param == param
    assert house.on_disk == sorted(parts)
    _, file = await house.uploads.complete(ANN, upload.id, parts)
    assert house.files.open(ANN, file.id).read_bytes() == b"hello world"


async def test_cancelled(house: House) -> None:
    upload = await begun(house, 5)
    mine = await part(house, upload, b"hello")
    assert (await house.uploads.cancel(ANN, upload.id)).status == "cancelled"
    assert (await house.uploads.cancel(ANN, upload.id)).status == "cancelled"
    assert house.on_disk == []
    for use in (house.uploads.complete(ANN, upload.id, [mine.id]), part(house, upload, b"x")):
        with pytest.raises(Conflict, match="cancelled"):
            await use


async def test_expired(house: House) -> None:
    upload = await begun(house, 5)
    mine = await part(house, upload, b"hello")
    await house.age("uploads", 3601)
    with pytest.raises(Conflict, match="expired"):
        await house.uploads.complete(ANN, upload.id, [mine.id])
    await house.files.sweep()
    assert house.uploads.get(ANN, upload.id).status == "expired"
    assert house.on_disk == []
    await house.age("uploads", 86400)
    await house.files.sweep()
    with pytest.raises(NotFound):
        house.uploads.get(ANN, upload.id)


async def test_an_upload_belongs_to_who_began_it(house: House) -> None:
    upload = await begun(house, 5)
    mine = await part(house, upload, b"hello")
    for who in (BOB, replace(ANN, project="other")):
        for use in (
            house.uploads.add(who, upload.id, never()),
            house.uploads.complete(who, upload.id, [mine.id]),
            house.uploads.cancel(who, upload.id),
        ):
            with pytest.raises(NotFound):
                await use
    _, file = await house.uploads.complete(ANN, upload.id, [mine.id])
    assert file.user == ANN.user


async def test_bounds(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("hausgeist.files.uploads.PART", 1000)
    monkeypatch.setattr("hausgeist.files.uploads._MOST_PARTS", 4)
    monkeypatch.setattr("hausgeist.files.uploads._MOST_PENDING", 2)
    house = House(tmp_path, quota=10_000)
    with pytest.raises(TooLarge):
        await begun(house, LARGEST + 1)
    with pytest.raises(TooLarge, match="project_files"):
        await begun(house, 10_001)
    upload = await begun(house, 900)
    with pytest.raises(TooLarge, match="900"):
        await part(house, upload, b"x" * 901)
    with pytest.raises(InvalidRequest, match="empty"):
        await part(house, upload, b"")
    for _ in range(3):
        await part(house, upload, b"x" * 900)
    with pytest.raises(TooLarge, match="more than"):
        await part(house, upload, b"x")
    await house.uploads.cancel(ANN, upload.id)
    many = await begun(house, 5000)
    with pytest.raises(TooLarge, match="1000"):
        await part(house, many, b"x" * 1001)
    for _ in range(4):
        await part(house, many, b"x")
    with pytest.raises(TooLarge, match="4 parts"):
        await part(house, many, b"x")
    await house.uploads.cancel(ANN, many.id)
    await begun(house, 900)
    # What was announced is kept free, and taken from what else may come.
    await begun(house, 9_000)
    with pytest.raises(TooLarge, match="not finished"):
        await begun(house, 1)
    with pytest.raises(TooLarge):
        await house.file(data=b"x" * 101)
    await house.file(data=b"x" * 100)
    house.database.close()


async def test_a_full_disk(tmp_path: Path) -> None:
    house = House(tmp_path, reserve=1 << 60)
    with pytest.raises(DiskFull):
        await begun(house, 5)
    house.database.close()
