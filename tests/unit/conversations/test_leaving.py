"""How what was said goes: by its time, with whom it belongs to, and from the file."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Integer, insert, update

from hausgeist.conversations import service
from hausgeist.conversations.batches.records import batches
from hausgeist.conversations.chats import Chats
from hausgeist.conversations.content import message
from hausgeist.conversations.erasure import erase_rows, eraser, leave, scrub, scrubber
from hausgeist.conversations.prompts import Personas, Prompts
from hausgeist.conversations.records import completions, conversations, items, response_events, response_figures, responses, retention
from hausgeist.conversations.retention import Retention
from hausgeist.conversations.search import Search
from hausgeist.conversations.service import SCRUB_JOB
from hausgeist.files.records import files, uploads
from hausgeist.governance.erasure import Subject
from hausgeist.identity import LOCAL_OWNER, Principal
from hausgeist.store.database import Database
from hausgeist.store.jobs import Jobs
from hausgeist.workspace.service import Workspace

DAY = 86_400.0
SECRET = "Schweigepflichtentbindung"


@pytest.fixture
def database(tmp_path: Path) -> Iterator[Database]:
    database = Database.open(tmp_path)
    yield database
    database.close()


async def people(database: Database) -> tuple[Workspace, Principal, Principal]:
    """Ada, and Bob, who works in a project of his own, too."""
    workspace = Workspace(database, leaving=[leave])
    ada, bob = await workspace.create_user("ada"), await workspace.create_user("bob")
    await workspace.create_project("bob's", owner=bob.id)
    one, two = (Principal(kind="user", id=user.id, name=user.name, user=user.id, role="member", house_role="member") for user in (ada, bob))
    return workspace, one, two


async def fill(
    database: Database, who: Principal, *, created: float | None = None, status: str = "completed", text: str = "hello", written: bool = True
) -> str:
    """A chat, a response with an event and figures, a stored completion; `written`: a persona and a prompt."""
    at = time.time() if created is None else created
    chat = await Chats(database).create(who, [message("user", text), message("assistant", f"{text}, you")])
    name = f"{who.user}-{who.project}-{at}-{status}"
    same = {"project": who.project, "user": who.user, "created": at, "model": "tiny", "body": "{}"}

    def write(connection: Any) -> None:
        connection.execute(update(conversations).where(conversations.c.id == chat.id).values(changed=at))
        counted = {column.name: 0 for column in responses.c if not column.nullable and isinstance(column.type, Integer)}
        asked = {"request": "{}", "input": "[]", "conversation": chat.id, "status": status}
        connection.execute(insert(responses).values(**counted | same | asked, id=f"resp {name}"))
        connection.execute(insert(response_events).values(response=f"resp {name}", number=0, body=text))
        connection.execute(insert(response_figures).values(conversation=chat.id, response=f"resp {name}", body="{}"))
        connection.execute(insert(completions).values(**same, id=f"cmpl {name}", metadata="{}", messages=text))

    await database.write(write)
    if written:
        await Personas(database).create(who, name=text[:50], instructions=text, settings={"stop": text})
        await Prompts(database).create(who, name=text[:50], text=text)
    return chat.id


def counts(database: Database) -> list[int]:
    """Chats, items, their words, responses, events, completions."""
    return _counted(database, "conversations", "items", "items_words", "responses", "response_events", "completions")


def written(database: Database) -> list[int]:
    """Personas, prompts."""
    return _counted(database, "personas", "prompts")


def _counted(database: Database, *tables: str) -> list[int]:
    # Figures go with their response, whatever takes that.
    figures = "SELECT (SELECT count(*) FROM response_figures) = (SELECT count(*) FROM responses)"
    assert database.read(lambda connection: connection.exec_driver_sql(figures).scalar())
    return [database.read(lambda connection: connection.exec_driver_sql(f"SELECT count(*) FROM {table}").scalar()) for table in tables]


def on_disk(database: Database, word: str) -> list[str]:
    """Files of the database in which a word can be read: as it stands, and as the index has it."""
    found = []
    for file in database.path.parent.glob("hausgeist.db*"):
        data = file.read_bytes().lower()
        # The index keeps words without the letters that they share with the one before.
        if word.lower().encode() in data or word.lower()[4:].encode() in data:
            found.append(file.name)
    return found


async def test_what_is_older_goes_and_what_is_younger_stays(database: Database) -> None:
    _, ada, bob = await people(database)
    now = time.time()
    old, young, running = [await fill(database, ada, created=now - days * DAY, status=status) for days, status in
                           ((31, "completed"), (29, "completed"), (32, "in_progress"))]  # fmt: skip
    elsewhere = await fill(database, replace(bob, project=Workspace(database).project("bob's").id), created=now - 400 * DAY)
    told: list[tuple[str, Mapping[str, int]]] = []

    async def record(project: str, gone: Mapping[str, int]) -> None:
        told.append((project, gone))

    async def also() -> Mapping[str, int]:
        return {"files": 3}

    keeping = Retention(database, record=record, also=also)
    assert await keeping.sweep() == {"files": 3}
    assert keeping.days("default") is None
    await keeping.set_days("default", 90)
    await keeping.set_days("default", 30)
    assert keeping.days("default") == 30
    assert await keeping.sweep() == {"chats": 1, "responses": 1, "completions": 2, "files": 3}
    assert told == [("default", {"chats": 1, "responses": 1, "completions": 2})]
    left = {row.id for row in database.read(lambda connection: connection.execute(conversations.select()).all())}
    assert left == {young, running, elsewhere}, f"and not {old}"
    assert counts(database) == [3, 6, 6, 3, 3, 2]
    assert written(database) == [4, 4], "nobody has said them"
    await keeping.set_days("default", None)
    assert await keeping.sweep() == {"files": 3}


async def test_many_go_without_holding_up_those_who_write(database: Database) -> None:
    _, ada, _ = await people(database)
    for _ in range(250):
        await Chats(database).create(ada, [message("user", "x")])
    await database.write(lambda connection: connection.execute(update(conversations).values(changed=1.0)))
    keeping = Retention(database)
    await keeping.set_days("default", 1)
    assert (await keeping.sweep())["chats"] == 250
    assert counts(database)[:3] == [0, 0, 0]


async def test_rounds_begin_with_the_start_and_outlive_a_failure(database: Database) -> None:
    _, ada, _ = await people(database)
    await fill(database, ada, created=1.0)
    failed = asyncio.Event()

    async def also() -> Mapping[str, int]:
        failed.set()
        raise RuntimeError("files are away")

    keeping = Retention(database, also=also)
    await keeping.set_days("default", 1)
    keeping.start()
    await asyncio.wait_for(failed.wait(), 10)
    await asyncio.sleep(0.05)
    assert counts(database) == [0, 0, 0, 0, 0, 0]
    assert keeping._rounds is not None
    assert not keeping._rounds.done(), "there will be a next round"
    await keeping.stop()
    await keeping.stop()


async def test_a_person_goes_and_nothing_of_them_stays(database: Database) -> None:
    workspace, ada, bob = await people(database)
    for who in (ada, bob, replace(bob, project=workspace.project("bob's").id)):
        await fill(database, who)
    await workspace.remove_user("bob")
    assert counts(database) == [1, 2, 2, 1, 1, 1]
    assert written(database) == [1, 1]
    assert len(Chats(database).listed(ada).chats) == 1


async def test_a_project_goes_and_nothing_of_it_stays(database: Database) -> None:
    workspace, ada, bob = await people(database)
    theirs = replace(bob, project=workspace.project("bob's").id)
    for who in (ada, bob, theirs):
        await fill(database, who)
    await Retention(database).set_days(theirs.project, 7)
    await workspace.remove_project("bob's")
    assert counts(database) == [2, 4, 4, 2, 2, 2]
    assert written(database) == [2, 2]
    assert database.read(lambda connection: connection.execute(retention.select()).all()) == []


async def test_what_was_left_behind_is_found_by_the_next_round(database: Database) -> None:
    """As by a process that was killed, or a version that did not know."""
    workspace, ada, bob = await people(database)
    await fill(database, ada)
    await fill(database, bob)
    without = Workspace(database)
    await without.remove_user("bob")
    await database.write(lambda connection: connection.execute(items.delete().where(items.c.role == "assistant")))
    # A batch and a file that were still coming in, and an upload that was left.
    same = {"id": "x", "project": "default", "user": bob.user, "created": 1.0, "status": "completed"}
    brought = {"purpose": "batch", "filename": "x", "media_type": "", "bytes": 1}
    await database.write(lambda connection: connection.execute(insert(batches).values(**same, body="{}", principal="{}")))
    await database.write(
        lambda connection: connection.execute(insert(files).values({k: v for k, v in same.items() if k != "status"} | brought | {"digest": ""}))
    )
    await database.write(lambda connection: connection.execute(insert(uploads).values(same | brought | {"expires": 9e9})))
    assert counts(database) == [2, 2, 4, 2, 2, 2]
    gone = await Retention(database).sweep()
    assert gone == {"chats": 1, "responses": 1, "completions": 1, "personas": 1, "prompts": 1, "batches": 1, "files": 1, "words": 2}
    assert written(database) == [1, 1]
    for table in (batches, files, uploads):
        assert not database.read(lambda connection, table=table: connection.execute(table.select()).all())
    assert counts(database) == [1, 1, 1, 1, 1, 1]
    assert workspace.user("ada").name == "ada"


@pytest.mark.parametrize(
    ("subject", "left"),
    [
        (lambda ada, bob: Subject(user=bob.user), [1, 2, 2, 1, 1, 1]),
        (lambda ada, bob: Subject(user=bob.user, project="default"), [2, 4, 4, 2, 2, 2]),
        (lambda ada, bob: Subject(project="default"), [1, 2, 2, 1, 1, 1]),
    ],
    ids=["a user", "a user in a project", "a project"],
)
async def test_erasing_takes_what_is_meant_and_no_more(database: Database, subject: Any, left: list[int]) -> None:
    workspace, ada, bob = await people(database)
    theirs = replace(bob, project=workspace.project("bob's").id)
    for who in (ada, bob, theirs):
        await fill(database, who)
    erased = await eraser(database)(subject(ada, bob))
    assert counts(database) == left
    assert written(database) == [left[0], left[0]]
    assert sum(erased.counts.values()) == 5 * (3 - left[0])
    assert await eraser(database)(subject(ada, bob)) == type(erased)(dict.fromkeys(("chats", "responses", "completions", "personas", "prompts"), 0))


async def test_nobody_is_not_everybody(database: Database) -> None:
    with pytest.raises(ValueError, match="whose"):
        await database.write(erase_rows)


async def test_nothing_can_be_read_in_the_file(database: Database) -> None:
    """Neither what was said nor the words of it, neither in the database nor in its log."""
    _, ada, bob = await people(database)
    for number in range(30):
        await fill(database, ada, created=float(number + 1), text=f"The garden of number {number} is green and {'wide ' * 50}")
        await fill(database, bob, created=float(number + 1), text=f"{SECRET} {number} {'strictly private ' * 50}")
        await Chats(database).update(bob, (await Chats(database).create(bob, title=f"{SECRET} as title")).id, settings={"instructions": SECRET})
    assert on_disk(database, SECRET)
    before = len((await Search(database).find(ada, "garden", limit=100)).hits)
    await eraser(database)(Subject(user=bob.user))
    assert on_disk(database, SECRET) == []
    assert len((await Search(database).find(ada, "garden", limit=100)).hits) == before == 60


async def test_a_round_leaves_nothing_in_the_file_either(database: Database) -> None:
    await fill(database, LOCAL_OWNER, created=1.0, text=f"{SECRET} and so on", written=False)
    keeping = Retention(database)
    await keeping.set_days("default", 1)
    await keeping.sweep()
    assert on_disk(database, SECRET) == []
    await scrub(database)
    assert on_disk(database, SECRET) == []


async def test_what_is_removed_alone_leaves_the_file_a_little_later(database: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(service, "_SCRUB_SECONDS", 0.0)
    jobs = Jobs(database)
    jobs.register(SCRUB_JOB, scrubber(database))
    one = await Chats(database).create(LOCAL_OWNER, [message("user", f"{SECRET} and so on")])
    two = await Chats(database).create(LOCAL_OWNER, [message("user", f"{SECRET} once more"), message("user", "else")])
    said = Chats(database).shown(LOCAL_OWNER, two.id).said[0].id
    await Chats(database).delete(LOCAL_OWNER, one.id)
    await service.Conversations(database).remove(LOCAL_OWNER, two.id, said)
    await Chats(database).update(LOCAL_OWNER, two.id, title="else")
    assert on_disk(database, SECRET)
    [waiting] = jobs.list(kind=SCRUB_JOB)
    await jobs.start()
    assert (await jobs.wait(waiting.id, timeout=20)).status == "done"
    await jobs.stop()
    assert on_disk(database, SECRET) == []
