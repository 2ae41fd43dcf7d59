"""The list of erasers and the receipt."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from hausgeist.errors import InvalidRequest, NotAllowed, Unavailable
from hausgeist.governance import Governor
from hausgeist.governance.copies import eraser as copies
from hausgeist.governance.erasure import Erased, Erasure, Subject
from hausgeist.identity import LOCAL_OWNER, Origin, Principal
from hausgeist.store.database import Database

ORIGIN = Origin("192.0.2.7", "curl/8", "req_1")
MEMBER = Principal(kind="user", id="user_1", name="ada", user="user_1", role="member", house_role="member")


@pytest.fixture
def governor(tmp_path: Path) -> Iterator[Governor]:
    database = Database.open(tmp_path)
    yield Governor(database)
    database.close()


async def test_every_eraser_is_called_and_one_that_fails_holds_up_no_other(governor: Governor) -> None:
    asked: list[tuple[str, Subject]] = []

    def eraser(name: str, erased: Erased | Exception):
        async def erase(subject: Subject) -> Erased:
            asked.append((name, subject))
            if isinstance(erased, Exception):
                raise erased
            return erased

        return erase

    erasure = Erasure(governor)
    erasure.register("chats", eraser("chats", Erased({"chats": 3, "files": 1})))
    erasure.register("caches", eraser("caches", Unavailable("The engine does not answer.")))
    erasure.register("odd", eraser("odd", KeyError("secret")))
    erasure.register("files", eraser("files", Erased({"files": 2}, ["A copy is in the safe."])))
    with pytest.raises(ValueError, match="already"):
        erasure.register("files", eraser("files", Erased()))
    subject = Subject(user="user_1", project="default")
    receipt = await erasure.erase(LOCAL_OWNER, "erasure.create", subject, origin=ORIGIN)
    assert asked == [(name, subject) for name in ("chats", "caches", "odd", "files")]
    assert receipt.counts == {"chats": 3, "files": 3}
    assert receipt.remains == ["A copy is in the safe."]
    assert receipt.failed["caches"] == "The engine does not answer."
    assert "secret" not in receipt.failed["odd"]
    rows = governor.audit.entries(action="erasure.")
    assert [(row.outcome, row.target) for row in rows] == [(how, f"{receipt.id}: user_1 in default") for how in ("failed", "allowed")]
    assert json.loads(rows[0].detail)["counts"] == receipt.counts


async def test_who_may_not_erases_nothing(governor: Governor) -> None:
    erasure = Erasure(governor)

    async def erase(subject: Subject) -> Erased:
        raise AssertionError

    erasure.register("chats", erase)
    for who, action, subject in (
        (MEMBER, "erasure.create", Subject(user="user_1")),
        (replace(MEMBER, role="owner"), "erasure.create", Subject(project="default")),
        (MEMBER, "erasure.own", Subject(user="user_1", project="proj_other")),
    ):
        with pytest.raises(NotAllowed):
            await erasure.erase(who, action, subject, origin=ORIGIN)
    await governor.flush()
    assert {row.outcome for row in governor.audit.entries(action="erasure.")} == {"refused"}


def test_nobody_is_not_everybody() -> None:
    with pytest.raises(InvalidRequest, match="whose"):
        Subject()


async def test_copies_are_named_and_stay(tmp_path: Path) -> None:
    assert await copies(tmp_path)(Subject(user="a")) == Erased(remains=[])
    (tmp_path / "backups").mkdir()
    (tmp_path / "backups" / "before-migration-1.db").touch()
    [told] = (await copies(tmp_path)(Subject(user="a"))).remains
    assert "before-migration-1.db" in told
