"""Stored completions in the database itself: found by any metadata there can be, listed without gaps, written as any engine may say it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import delete

from hausgeist.conversations.completions import Completions, delete_completions
from hausgeist.conversations.records import completions
from hausgeist.errors import Conflict, NotFound
from hausgeist.identity import LOCAL_OWNER
from hausgeist.store.database import Database

TEXT = st.text(st.sampled_from('ab"\\:,{}%_ä\u2028\n'), max_size=5)
PAIRS = st.dictionaries(TEXT, TEXT, max_size=3)


@pytest.fixture
async def stored(tmp_path: Path) -> AsyncIterator[Completions]:
    database = Database.open(tmp_path)
    yield Completions(database)
    database.close()


async def keep(stored: Completions, name: str, metadata: dict[str, str] | None = None, who: Any = LOCAL_OWNER, **body: Any) -> None:
    await stored.keep(who, {"id": name, "model": "m", **body}, messages=[], metadata=metadata or {})


@given(kept=st.lists(PAIRS, min_size=1, max_size=6), asked=PAIRS)
@settings(max_examples=150, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_whatever_the_metadata_are_they_are_found(tmp_path: Path, kept: list[dict[str, str]], asked: dict[str, str]) -> None:
    database = Database.open(tmp_path)

    async def found() -> list[str]:
        stored = Completions(database)
        await database.write(lambda connection: connection.execute(delete(completions)) and None)
        for number, metadata in enumerate(kept):
            await keep(stored, str(number), metadata)
        some = [one.id for one in (await stored.page(LOCAL_OWNER, metadata=asked))[0]]
        for pairs in kept:
            assert pairs in [dict(one.metadata) for one in (await stored.page(LOCAL_OWNER, metadata=pairs))[0]]
        return some

    try:
        assert asyncio.run(found()) == [str(number) for number, metadata in enumerate(kept) if asked.items() <= metadata.items()]
    finally:
        database.close()


async def test_what_was_kept_in_one_moment_is_listed_once_each(stored: Completions, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("hausgeist.conversations.completions.time.time", lambda: 1000.0)
    for number in range(7):
        await keep(stored, f"c{number}")
    for order in ("asc", "desc"):
        listed: list[str] = []
        more = True
        while more:
            page, more = await stored.page(LOCAL_OWNER, after=listed[-1] if listed else None, limit=2, order=order)  # type: ignore[arg-type]
            listed += [one.id for one in page]
        assert listed == sorted((f"c{number}" for number in range(7)), reverse=order == "desc")


async def test_an_id_is_kept_once_whosever_it_is(stored: Completions) -> None:
    await keep(stored, "c", choices=["first"])
    for who in (LOCAL_OWNER, replace(LOCAL_OWNER, user="other")):
        with pytest.raises(Conflict):
            await keep(stored, "c", who=who, choices=["second"])
    assert stored.get(LOCAL_OWNER, "c").body["choices"] == ["first"]


async def test_half_a_character_does_not_keep_an_answer_from_being_kept(stored: Completions) -> None:
    await keep(stored, "c", choices=["a\ud83d"])
    assert stored.get(LOCAL_OWNER, "c").body["choices"] == ["a?"]


async def test_a_kind_is_removed_and_nothing_else(stored: Completions, tmp_path: Path) -> None:
    other = replace(LOCAL_OWNER, user="other")
    await keep(stored, "mine")
    await keep(stored, "theirs", who=other)
    database = Database.open(tmp_path)
    assert await database.write(lambda connection: delete_completions(connection, completions.c.user == "other")) == 1
    database.close()
    assert stored.get(LOCAL_OWNER, "mine").id == "mine"
    with pytest.raises(NotFound):
        stored.get(other, "theirs")
