"""Chats: lists, branches, what is shown; and the words of all of them."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as some

from hausgeist.conversations.chats import Chats
from hausgeist.conversations.content import message
from hausgeist.conversations.search import Search, snippet
from hausgeist.conversations.words import bare, match_of, places_of
from hausgeist.errors import InvalidRequest, NotFound
from hausgeist.identity import LOCAL_OWNER, Principal
from hausgeist.store.database import Database

ADA = Principal(kind="user", id="user_ada", name="ada", user="user_ada", role="member", house_role="member")
ELSEWHERE = Principal(kind="user", id="user_ada", name="ada", user="user_ada", role="member", house_role="member", project="proj_other")


@pytest.fixture
def database(tmp_path: Path) -> Iterator[Database]:
    database = Database.open(tmp_path)
    with_other_project = "INSERT INTO projects (id, name, name_key, created) VALUES ('proj_other', 'other', 'other', 0)"
    database.write_sync(lambda connection: connection.exec_driver_sql(with_other_project))
    yield database
    database.close()


@pytest.fixture
def chats(database: Database) -> Chats:
    return Chats(database)


def turn(number: int) -> list[dict[str, Any]]:
    return [message("user", f"question {number}"), message("assistant", f"answer {number}")]


def texts(chats: Chats, who: Principal, chat: str) -> list[str]:
    return [json.loads(one.body)["content"][0]["text"] for one in chats.shown(who, chat).said]


async def test_a_chat_is_called_by_its_first_words_until_it_is_renamed(chats: Chats) -> None:
    chat = await chats.create(
        ADA, [message("system", "Be brief."), message("user", "  What is\n\nthe answer to life, the universe and everything else that there may be?")]
    )
    assert chat.title == "What is the answer to life, the universe and everything…"
    await chats.update(ADA, chat.id, title="Life")
    await chats.add(ADA, chat.id, turn(1))
    assert chats.get(ADA, chat.id).title == "Life"
    assert (await chats.create(ADA)).title == ""
    assert (await chats.create(ADA, [message("user", "东" * 100)])).title == "东" * 60 + "…"


async def test_the_list_is_paged_and_sorted(chats: Chats) -> None:
    made = [await chats.create(ADA, turn(number)) for number in range(7)]
    await chats.update(ADA, made[2].id, pinned=True)
    await chats.update(ADA, made[4].id, archived=True)
    await chats.add(ADA, made[0].id, turn(9))
    order = [2, 0, 6, 5, 3, 1]
    found, after, pages = [], None, 0
    while pages == 0 or after is not None:
        page = chats.listed(ADA, after=after, limit=2)
        assert len(page.chats) <= 2
        found += [chat.id for chat in page.chats]
        after, pages = page.next, pages + 1
    assert found == [made[number].id for number in order]
    assert pages == 3
    assert [chat.id for chat in chats.listed(ADA, archived=True).chats] == [made[4].id]
    assert [chat.id for chat in chats.listed(ADA, pinned=True).chats] == [made[2].id]
    assert chats.listed(LOCAL_OWNER).chats == []
    assert chats.listed(ELSEWHERE).chats == []
    with pytest.raises(InvalidRequest, match="next"):
        chats.listed(ADA, after="nonsense")


async def test_editing_makes_a_branch_beside_the_old_one(chats: Chats) -> None:
    chat = (await chats.create(ADA, [*turn(1), *turn(2)])).id
    second = chats.shown(ADA, chat).said[2]
    [edited] = await chats.add(ADA, chat, [message("user", "question 2, better")], way="instead_of", item=second.id)
    assert texts(chats, ADA, chat) == ["question 1", "answer 1", "question 2, better"]
    said = chats.shown(ADA, chat).said
    assert [one.beside for one in said] == [(), (), [second.id, edited.id]]
    await chats.turn(ADA, chat, "show", second.id)
    assert texts(chats, ADA, chat) == ["question 1", "answer 1", "question 2", "answer 2"]
    assert chats.shown(ADA, chat).said[2].beside == [second.id, edited.id]
    # Another answer to the same question: what is said next follows it.
    await chats.turn(ADA, chat, "after", second.id)
    assert texts(chats, ADA, chat)[-1] == "question 2"
    await chats.add(ADA, chat, [message("assistant", "answer 2, again")])
    assert texts(chats, ADA, chat)[-1] == "answer 2, again"
    # The first question, too, can be put differently.
    await chats.turn(ADA, chat, "instead_of", said[0].id)
    assert chats.shown(ADA, chat).said == []
    await chats.add(ADA, chat, [message("user", "something else")])
    assert texts(chats, ADA, chat) == ["something else"]
    await chats.turn(ADA, chat, "after", None)
    assert texts(chats, ADA, chat) == []
    with pytest.raises(NotFound, match="no item"):
        await chats.turn(ADA, chat, "show", "msg_none")


async def test_a_branch_of_its_own_holds_what_was_said_until_then(chats: Chats) -> None:
    chat = await chats.create(ADA, [*turn(1), *turn(2)], model="tiny", settings={"temperature": 0.5})
    item = chats.shown(ADA, chat.id).said[1]
    other = await chats.branch(ADA, chat.id, item.id)
    assert (other.origin, other.title, other.model, other.settings) == (chat.id, chat.title, "tiny", {"temperature": 0.5})
    assert texts(chats, ADA, other.id) == ["question 1", "answer 1"]
    assert [one.created for one in chats.shown(ADA, other.id).said] == [one.created for one in chats.shown(ADA, chat.id).said[:2]]
    await chats.add(ADA, other.id, turn(3))
    await chats.delete(ADA, chat.id)
    assert texts(chats, ADA, other.id) == ["question 1", "answer 1", "question 3", "answer 3"]
    assert texts(chats, ADA, (await chats.branch(ADA, other.id)).id)[-1] == "answer 3"


@pytest.mark.parametrize("who", [LOCAL_OWNER, ELSEWHERE], ids=["another person", "another project"])
async def test_nobody_else_finds_a_chat(chats: Chats, database: Database, who: Principal) -> None:
    chat = (await chats.create(ADA, turn(1))).id
    item = chats.shown(ADA, chat).said[0].id
    for call in (lambda: chats.get(who, chat), lambda: chats.shown(who, chat)):
        with pytest.raises(NotFound):
            call()
    for work in (
        lambda: chats.update(who, chat, title="mine"), lambda: chats.delete(who, chat), lambda: chats.add(who, chat, turn(2)),
        lambda: chats.turn(who, chat, "after", item), lambda: chats.branch(who, chat),
    ):  # fmt: skip
        with pytest.raises(NotFound):
            await work()
    found = await Search(database).find(who, "question")
    assert (found.hits, found.chats) == ([], [])
    assert chats.get(ADA, chat).title == "question 1"


@pytest.mark.parametrize(
    ("query", "text"),
    [
        ("turkei", "Wie groß ist die Türkei?"),
        ("STRASSE", "Die Straße ist lang"),
        ("Straße", "STRASSE"),
        ("haus", "Das Haus. Ende"),
        ("häuser", "viele Haeuser und Häuser"),
        ("wie gro", "Wie groß ist die Türkei?"),
        ('"groß ist"', "Wie groß ist die Türkei?"),
        ("„groß ist“", "Wie groß ist die Türkei?"),
        ("日本", "東京都は日本の首都です"),
        ("都", "東京都"),
        ("北京", "我昨天去了北京大学"),
        ("서울", "대한민국의 수도는 서울이다"),
        ("foo_bar", "call foo_bar() now"),
        ("c++ vector", "a C++ vector"),
        ("ﬁle", "the file"),
        ("'; DROP TABLE items; --", "drop table items"),
        ("NEAR(", "near and far"),
        ('AND OR NOT "', "and or not"),
        ("* ^ {} : star", "a star"),
    ],
)
async def test_words_are_found(chats: Chats, database: Database, query: str, text: str) -> None:
    await chats.create(ADA, [message("user", "nothing of the kind"), message("assistant", text)], title="-")
    hits = (await Search(database).find(ADA, query)).hits
    assert ["".join(piece.text for piece in hit.snippet) for hit in hits] == [text]
    assert any(piece.found for piece in hits[0].snippet)


@pytest.mark.parametrize("query", ['"ist groß"', "groß klein", "ro", "東日", "京東"])
async def test_what_is_not_there_is_not_found(chats: Chats, database: Database, query: str) -> None:
    await chats.create(ADA, [message("user", "Wie groß ist es? 東京 日本")])
    assert (await Search(database).find(ADA, query)).hits == []


@pytest.mark.parametrize("query", ["", "  ", "!?", '""', "*"])
async def test_a_query_without_words_is_refused(database: Database, query: str) -> None:
    with pytest.raises(InvalidRequest, match="word"):
        await Search(database).find(ADA, query)


async def test_the_newest_come_first_in_pages_and_titles_are_found(chats: Chats, database: Database) -> None:
    for number in range(5):
        await chats.create(ADA, [message("user", f"the cat number {number}")])
    named = await chats.create(ADA, title="About Cats")
    search = Search(database)
    found = await search.find(ADA, "cat", limit=2)
    assert [chat.id for chat in found.chats][:1] == [named.id]
    numbers, after = [], found.next
    numbers += [hit.title[-1] for hit in found.hits]
    while after is not None:
        found = await search.find(ADA, "cat", limit=2, after=after)
        assert found.chats == [], "titles come with the first answer"
        numbers += [hit.title[-1] for hit in found.hits]
        after = found.next
    assert numbers == ["4", "3", "2", "1", "0"]
    with pytest.raises(InvalidRequest, match="next"):
        await search.find(ADA, "cat", after="x")


def test_a_snippet_shows_the_place_and_not_the_whole() -> None:
    text = "before " * 100 + "<b>Needle</b> & " + "after " * 100
    pieces = snippet(text, places_of("needle"))
    assert [piece.text for piece in pieces if piece.found] == ["Needle"]
    assert pieces[0].text == pieces[-1].text == "…"
    assert len("".join(piece.text for piece in pieces)) < 300
    assert snippet("", places_of("needle")) == []


@given(some.text(max_size=200), some.text(max_size=40))
def test_marks_never_change_the_text(text: str, query: str) -> None:
    """Whatever stands in it, and whatever was looked for."""
    assert len(bare(text)) == len(text)
    pieces = snippet(text, places_of(query))
    assert "".join(piece.text for piece in pieces) == text
    match_of(query)


@given(some.text(max_size=60))
def test_no_query_breaks_the_index(query: str) -> None:
    """What a person types is never an expression of the index's own language."""
    import sqlite3

    words = match_of(query)
    if not words:
        return
    raw = sqlite3.connect(":memory:")
    raw.execute("CREATE VIRTUAL TABLE items_words USING fts5(owner, words, tokenize = 'unicode61 remove_diacritics 2')")
    raw.execute("SELECT rowid FROM items_words WHERE items_words MATCH ?", (f"owner : off AND words : ({words})",)).fetchall()
    raw.close()
