"""Personas and prompts: whose they are, who sees and changes them, how they are listed and found, and their bounds."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from hausgeist.conversations.prompts import Persona, Personas, Prompt, Prompts, library, personas
from hausgeist.conversations.prompts.library import LONGEST_TEXT
from hausgeist.conversations.prompts.records import prompts as prompt_rows
from hausgeist.conversations.service import SCRUB_JOB, SETTINGS_BYTES
from hausgeist.errors import InvalidRequest, NotAllowed, NotFound
from hausgeist.identity import Principal, Role
from hausgeist.store.database import Database


def person(name: str, role: Role = "member", project: str = "default") -> Principal:
    return Principal(kind="user", id=f"user_{name}", name=name, user=f"user_{name}", role=role, house_role="member", project=project)


ADA, EVE, RITA, OWEN = person("ada"), person("eve"), person("rita", "reader"), person("owen", "owner")
ABROAD = replace(ADA, project="proj_other")


@pytest.fixture
def database(tmp_path: Path) -> Iterator[Database]:
    database = Database.open(tmp_path)
    other = "INSERT INTO projects (id, name, name_key, created) VALUES ('proj_other', 'other', 'other', 0)"
    database.write_sync(lambda connection: connection.exec_driver_sql(other))
    yield database
    database.close()


Shelf = Personas | Prompts


@pytest.fixture(params=[Personas, Prompts], ids=["personas", "prompts"])
def shelf(request: pytest.FixtureRequest, database: Database) -> Shelf:
    made: Shelf = request.param(database)
    return made


async def put(shelf: Shelf, who: Principal, name: str, **fields: Any) -> Persona | Prompt:
    if isinstance(shelf, Personas):
        return await shelf.create(who, name=name, **fields)
    return await shelf.create(who, name=name, text="said", **fields)


def names(shelf: Shelf, who: Principal) -> list[str]:
    return [one.name for one in shelf.listed(who).values]


async def test_a_persona_is_kept_as_it_was_given(database: Database) -> None:
    kept = Personas(database)
    settings = {"temperature": 0.3, "top_p": 0.9, "max_output_tokens": 500, "reasoning": {"effort": "low"}}
    made = await kept.create(ADA, name="  Müller & Söhne ⚖️ ", instructions="Answer as counsel.", model="gemma3:4b", settings=settings)
    assert made.id.startswith("persona_")
    assert (made.name, made.instructions, made.model, made.settings) == ("Müller & Söhne ⚖️", "Answer as counsel.", "gemma3:4b", settings)
    assert (made.user, made.project, made.shared, made.created) == (ADA.user, "default", False, made.changed)
    assert kept.get(ADA, made.id) == made
    changed = await kept.update(ADA, made.id, model=None, name="Counsel", shared=True)
    assert changed == replace(made, model=None, name="Counsel", shared=True, changed=changed.changed)
    assert changed.changed > made.changed


async def test_a_prompt_tells_its_gaps(database: Database) -> None:
    kept = Prompts(database)
    made = await kept.create(ADA, name="Letter", text="Dear {{name}}, on {{ the date }} {{name}} { {x} } {{}} {{ }} {{a\nb}} {{{deep}}} {{Größe}}")
    assert made.id.startswith("prompt_")
    assert made.variables == ["name", "the date", "deep", "Größe"]
    assert (await kept.update(ADA, made.id, text="none")).variables == []


async def test_who_sees_what(shelf: Shelf) -> None:
    await put(shelf, ADA, "private of Ada")
    shared = await put(shelf, ADA, "Shared by Ada", shared=True)
    await put(shelf, EVE, "eve's")
    await put(shelf, ABROAD, "abroad", shared=True)
    assert names(shelf, ADA) == ["private of Ada", "Shared by Ada"]
    assert names(shelf, EVE) == ["eve's", "Shared by Ada"]
    assert names(shelf, RITA) == names(shelf, OWEN) == ["Shared by Ada"]
    assert names(shelf, ABROAD) == ["abroad"]
    assert shelf.get(RITA, shared.id).name == "Shared by Ada"
    await shelf.update(ADA, shared.id, shared=False)
    assert names(shelf, EVE) == ["eve's"]
    with pytest.raises(NotFound, match="in this project"):
        shelf.get(RITA, shared.id)


async def test_who_changes_what(shelf: Shelf) -> None:
    private = await put(shelf, ADA, "private")
    shared = await put(shelf, ADA, "shared", shared=True)
    for who in (EVE, RITA, OWEN, ABROAD, person("owen", "owner", "proj_other")):
        with pytest.raises(NotFound):
            await shelf.update(who, private.id, name="mine")
        with pytest.raises(NotFound):
            await shelf.delete(who, private.id)
    for who in (EVE, RITA):
        with pytest.raises(NotAllowed, match="copy of your own"):
            await shelf.update(who, shared.id, name="mine")
        with pytest.raises(NotAllowed):
            await shelf.delete(who, shared.id)
    for who in (ABROAD, person("owen", "owner", "proj_other")):
        with pytest.raises(NotFound):
            await shelf.delete(who, shared.id)
    assert names(shelf, ADA) == ["private", "shared"]
    assert (await shelf.update(OWEN, shared.id, name="ordered")).user == ADA.user
    await shelf.delete(OWEN, shared.id)
    mine = await put(shelf, RITA, "a reader's own")
    await shelf.update(RITA, mine.id, name="changed")
    assert names(shelf, RITA) == ["changed"]
    assert names(shelf, ADA) == ["private"]


async def test_lists_go_by_name_in_pages(shelf: Shelf) -> None:
    for name in ("Zebra", "äpfel", "apple", "Apple", "1", "b"):
        await put(shelf, ADA, name)
    await put(shelf, EVE, "aa", shared=True)
    found: list[str] = []
    after, pages = None, 0
    while pages == 0 or after is not None:
        page = shelf.listed(ADA, after=after, limit=3)
        found += [one.name for one in page.values]
        after, pages = page.next, pages + 1
    assert found == names(shelf, ADA)
    assert [name.lower() for name in found] == ["1", "aa", "apple", "apple", "b", "zebra", "äpfel"]
    assert pages == 3
    for wrong in ("nonsense", "WzEsMl0", "", "W1tbXQ", "\ud800", "e30"):
        with pytest.raises(InvalidRequest, match="next"):
            shelf.listed(ADA, after=wrong)


async def test_prompts_are_found_by_all_their_words(database: Database) -> None:
    kept = Prompts(database)
    for name, text in (("Mahnung", "Zahlen Sie bis zum {{Datum}}. 100%_"), ("Brief", "Sehr geehrte Frau MÜLLER"), ("Straße", "x")):
        await kept.create(ADA, name=name, text=text)
    await kept.create(EVE, name="hidden", text="Datum")

    def found(query: str) -> list[str]:
        return [one.name for one in kept.listed(ADA, query).values]

    assert found("datum MAHN") == ["Mahnung"]
    assert found("müller") == ["Brief"]
    assert found("STRASSE") == ["Straße"]
    assert found("%_") == ["Mahnung"]
    assert found("datum brief") == []
    assert found("  ") == ["Brief", "Mahnung", "Straße"]
    [brief] = kept.listed(ADA, "geehrte").values
    await kept.update(ADA, brief.id, name="Letter")
    assert (found("letter geehrte"), found("brief")) == (["Letter"], [])
    with pytest.raises(InvalidRequest, match="200"):
        found("x" * 201)


@pytest.mark.parametrize("name", ["", "  ", "x" * 101, "a\u0301" * 200, "two\nlines", "bell\x07", "turned \u202e round", "line\u2028end"])
async def test_a_name_is_one_line_that_can_be_read(shelf: Shelf, name: str) -> None:
    with pytest.raises(InvalidRequest, match="name") as caught:
        await put(shelf, ADA, name)
    assert caught.value.param == "name"
    assert names(shelf, ADA) == []


async def test_a_persona_fits_the_settings_of_a_chat(database: Database) -> None:
    kept = Personas(database)
    room = SETTINGS_BYTES - len(json.dumps({"instructions": ""}))
    made = await kept.create(ADA, name="long", instructions="x" * room)
    with pytest.raises(InvalidRequest, match=f"{SETTINGS_BYTES} bytes"):
        await kept.update(ADA, made.id, settings={"temperature": 1})
    with pytest.raises(InvalidRequest):
        await kept.create(ADA, name="longer", instructions="x" * (room + 1))
    with pytest.raises(InvalidRequest):
        await kept.create(ADA, name="as long in bytes", instructions="東" * (room // 5))
    for wrong in ("instructions", "model"):
        with pytest.raises(InvalidRequest, match="itself") as caught:
            await kept.update(ADA, made.id, settings={wrong: "x"}, instructions="")
        assert caught.value.param == f"settings.{wrong}"
    assert kept.get(ADA, made.id) == made


async def test_a_prompt_is_neither_empty_nor_endless(database: Database) -> None:
    kept = Prompts(database)
    made = await kept.create(ADA, name="x", text="x" * LONGEST_TEXT)
    for text in ("x" * (LONGEST_TEXT + 1), " \n"):
        with pytest.raises(InvalidRequest, match="32,768"):
            await kept.update(ADA, made.id, text=text)
    assert kept.get(ADA, made.id) == made


async def test_nobody_has_more_than_some(database: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(personas, "_MOST", 2)
    monkeypatch.setattr(library, "_MOST", 2)
    for shelf in (Personas(database), Prompts(database)):
        made = [await put(shelf, ADA, name) for name in "ab"]
        with pytest.raises(InvalidRequest, match="Remove one first"):
            await put(shelf, ADA, "c")
        await put(shelf, EVE, "c")
        await put(shelf, ABROAD, "c")
        await shelf.delete(ADA, made[0].id)
        await put(shelf, ADA, "c")
        assert names(shelf, ADA) == ["b", "c"]


async def test_what_is_removed_is_taken_out_of_the_file_soon(shelf: Shelf, database: Database) -> None:
    made = await put(shelf, ADA, "x")
    await shelf.delete(ADA, made.id)
    waiting = database.read(lambda connection: connection.exec_driver_sql("SELECT count(*) FROM jobs WHERE kind = ?", (SCRUB_JOB,)).scalar())
    assert waiting == 1
    with pytest.raises(NotFound):
        await shelf.delete(ADA, made.id)


async def test_a_change_that_is_refused_changes_nothing(database: Database) -> None:
    kept = Prompts(database)
    made = await kept.create(ADA, name="x", text="old words")
    with pytest.raises(InvalidRequest):
        await kept.update(ADA, made.id, text="new words", name="a\nb")
    assert database.read(lambda connection: connection.execute(prompt_rows.select()).one()).folded == "x\nold words"
