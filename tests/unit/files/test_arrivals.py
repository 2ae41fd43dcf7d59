"""Files that arrive together: written by a few statements, answered each for itself."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Connection

from hausgeist.errors import HausgeistError, TooLarge
from hausgeist.files import File, Files
from hausgeist.files.arrivals import Arrival, file_of
from hausgeist.files.folder import Folder
from hausgeist.identity import LOCAL_OWNER as ANN
from hausgeist.identity import Principal
from hausgeist.store.database import Database
from hausgeist.store.space import Space


class House:
    def __init__(self, home: Path) -> None:
        self.database = Database.open(home)
        self.folder = Folder(home, space=Space(home, reserve=0))
        self.files = Files(self.database, self.folder, quota=1 << 30, limit=1 << 20)
        self.groups: list[int] = []
        arrivals: Any = self.files._arrivals
        write = arrivals._write

        def counted(connection: Connection, some: Sequence[Arrival]) -> Any:
            self.groups.append(len(some))
            return write(connection, some)

        arrivals._write = counted

    async def bring(self, size: int, who: Principal = ANN) -> File:
        async def chunks() -> AsyncIterator[bytes]:
            yield b"x" * size

        return await self.files.create(who, chunks(), filename=f"{size}.txt", purpose="user_data")

    @property
    def names(self) -> set[str]:
        return {path.name for path in self.folder.folder.iterdir()}


@pytest.fixture
async def house(tmp_path: Path) -> AsyncIterator[House]:
    house = House(tmp_path)
    yield house
    house.database.close()


async def held(house: House) -> tuple[threading.Event, asyncio.Task[bool]]:
    """The writing thread, until the event."""
    event = threading.Event()
    waits = asyncio.create_task(house.database.write(lambda connection: event.wait(20)))
    await asyncio.sleep(0)
    return event, waits


async def test_they_get_their_rows_together(house: House) -> None:
    made = await asyncio.gather(*(house.bring(size) for size in range(1, 41)))
    assert sum(house.groups) == 40
    assert len(house.groups) <= 10
    assert [file.bytes for file in made] == list(range(1, 41))
    assert {file.id for file in house.files.list(ANN)} == {file.id for file in made} == house.names
    assert all(house.files.open(ANN, file.id).stat().st_size == file.bytes for file in made)


async def test_what_does_not_fit_is_refused_and_the_others_are_kept(house: House) -> None:
    event, waits = await held(house)
    coming = [asyncio.create_task(house.bring(size)) for size in (300, 300, 300, 300, 90)]
    async with asyncio.timeout(20):
        while len(house.names) < 5:
            await asyncio.sleep(0.01)
        house.files._quota = 1000
        event.set()
        ended = await asyncio.gather(*coming, return_exceptions=True)
        await waits
    assert [isinstance(one, TooLarge) for one in ended] == [False, False, False, True, False]
    kept = {one.id for one in ended if isinstance(one, File)}
    assert kept == house.names == {file.id for file in house.files.list(ANN)}
    with pytest.raises(TooLarge):
        await house.bring(11)
    assert (await house.bring(10)).bytes == 10


async def test_what_cannot_be_written_takes_nobody_with_it(house: House) -> None:
    nowhere = replace(ANN, project="project-that-is-not-there")
    ended = await asyncio.gather(house.bring(1), house.bring(2, nowhere), house.bring(3), return_exceptions=True)
    assert isinstance(ended[1], HausgeistError)
    assert [one.bytes for one in ended if isinstance(one, File)] == [1, 3]
    assert house.names == {one.id for one in ended if isinstance(one, File)}


def test_a_loop_that_ended_leaves_nobody_waiting(tmp_path: Path) -> None:
    house = House(tmp_path)

    async def broken_off() -> None:
        draft = house.folder.draft()
        draft.write(b"x")
        draft.flush()
        file = file_of(project=ANN.project, user=ANN.user, filename="a", purpose="user_data", size=1, digest=draft.digest)
        asyncio.create_task(house.files._arrivals.keep(file, draft)).add_done_callback(lambda _: draft.discard())
        await asyncio.sleep(0)  # it waits, and what would keep it has not begun

    asyncio.run(broken_off())
    assert asyncio.run(house.bring(2)).bytes == 2
    assert len(house.files.list(ANN)) == len(house.names) == 1
    house.database.close()


async def test_who_gives_up_leaves_nothing(house: House) -> None:
    event, waits = await held(house)
    coming = [asyncio.create_task(house.bring(size)) for size in (1, 2, 3)]
    async with asyncio.timeout(20):
        while len(house.names) < 3:
            await asyncio.sleep(0.01)
        await asyncio.sleep(0.05)
        coming[1].cancel()
        await asyncio.wait({coming[1]})
        event.set()
        ended = await asyncio.gather(*coming, return_exceptions=True)
        await waits
    assert isinstance(ended[1], asyncio.CancelledError)
    assert house.names == {one.id for one in ended if isinstance(one, File)}
    assert [file.bytes for file in house.files.list(ANN, order="asc")] == [1, 3]
