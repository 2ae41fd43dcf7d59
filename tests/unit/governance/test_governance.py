"""Decisions, the audit table, usage."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from sqlalchemy import text

from hausgeist.errors import NotAllowed, StoreError
from hausgeist.governance import ACTIONS, Governor, UsageLog, UsageRow
from hausgeist.governance.policy import decide
from hausgeist.identity import LOCAL_OWNER, ROLES, Origin, Principal
from hausgeist.model import Usage
from hausgeist.store.database import Database

ORIGIN = Origin("192.0.2.7", "curl/8", "req_1")
READER = Principal(kind="key", id="key_1", name="phone", user="user_1", role="reader", house_role="reader")


@pytest.fixture
def database(tmp_path: Path) -> Iterator[Database]:
    database = Database.open(tmp_path)
    yield database
    database.close()


@pytest.mark.parametrize("action", ACTIONS.values(), ids=lambda action: action.name)
def test_each_action_is_open_to_its_least_role_and_above(action) -> None:
    for place, role in enumerate(ROLES):
        who = replace(READER, role=role if action.scope == "project" else "reader", house_role=role if action.scope == "house" else "reader")
        decision = decide(who, action.name)
        assert decision.allowed == (place <= ROLES.index(action.least))
        assert decision.reason.endswith(".")
        assert action.meaning in decision.reason


def test_another_project_is_for_owners_of_the_house() -> None:
    owner_here = replace(READER, role="owner", project="a")
    assert decide(owner_here, "key.create", "a").allowed
    assert not decide(owner_here, "key.create", "b").allowed
    assert "OpenAI-Project" in decide(owner_here, "key.create", "b").reason
    assert decide(replace(owner_here, house_role="owner"), "key.create", "b").allowed
    assert decide(LOCAL_OWNER, "key.create", "b").allowed


def test_a_role_in_the_project_is_none_on_the_house() -> None:
    assert not decide(replace(READER, role="owner"), "user.create").allowed


async def test_allowed_refused_and_recorded_rows(database: Database) -> None:
    governor = Governor(database)
    await governor.demand(LOCAL_OWNER, "model.use", target="tiny", origin=ORIGIN)
    with pytest.raises(NotAllowed, match="reader"):
        governor.demand(READER, "key.create", target="x", origin=ORIGIN)
    await governor.record(None, "session.create", target="ada", origin=ORIGIN, outcome="refused", detail="wrong")
    await governor.flush()
    signed, refused, allowed = governor.audit.entries()
    assert (allowed.actor, allowed.action, allowed.target, allowed.outcome) == ("local", "model.use", "tiny", "allowed")
    assert (refused.actor, refused.actor_name, refused.project, refused.outcome) == ("key_1", "phone", "default", "refused")
    assert "takes the role owner" in refused.detail
    assert (refused.address, refused.agent, refused.request_id) == ("192.0.2.7", "curl/8", "req_1")
    assert (signed.actor, signed.detail) == (None, "wrong")
    assert abs(allowed.at - time.time()) < 60


async def test_what_is_not_audited_leaves_no_row(database: Database) -> None:
    governor = Governor(database)
    await governor.demand(LOCAL_OWNER, "model.list", origin=ORIGIN)
    await governor.flush()
    assert governor.audit.entries() == []
    with pytest.raises(NotAllowed):
        governor.demand(READER, "metrics.read", origin=ORIGIN)
    await governor.flush()
    assert len(governor.audit.entries()) == 1


def test_rows_from_a_thread_without_a_loop(database: Database) -> None:
    governor = Governor(database)
    governor.demand(LOCAL_OWNER, "model.use", target="now", origin=ORIGIN)
    assert [entry.target for entry in governor.audit.entries()] == ["now"]


def test_rows_survive_the_end_of_their_loop(database: Database) -> None:
    governor = Governor(database)

    async def work() -> None:
        for number in range(300):
            governor.demand(LOCAL_OWNER, "model.use", target=str(number), origin=ORIGIN)
        await asyncio.sleep(0)

    asyncio.run(work())
    database.write_sync(lambda connection: None)
    assert sorted(int(entry.target) for entry in governor.audit.entries(limit=1000)) == list(range(300))


async def test_filters_and_pages(database: Database) -> None:
    governor = Governor(database)
    for number in range(7):
        await governor.record(LOCAL_OWNER if number % 2 else READER, "key.create", target=str(number), origin=None, outcome="allowed")
    await governor.record(LOCAL_OWNER, "key.delete", target="7", origin=ORIGIN, outcome="done")
    log = governor.audit
    assert [entry.target for entry in log.entries(limit=3)] == ["7", "6", "5"]
    assert [entry.target for entry in log.entries(limit=3, before=log.entries(limit=3)[-1].id)] == ["4", "3", "2"]
    assert [entry.target for entry in log.entries(actor="key_1")] == ["6", "4", "2", "0"]
    assert [entry.target for entry in log.entries(action="key.delete")] == ["7"]
    assert len(log.entries(action="key.")) == 8
    assert log.entries(action="k%.") == []
    assert [entry.target for entry in log.entries(outcome="done")] == ["7"]
    assert log.entries(since=time.time() + 60) == []
    assert len(log.entries(until=time.time() + 60, project="default")) == 8


async def test_the_table_is_append_only(database: Database) -> None:
    governor = Governor(database)
    await governor.demand(LOCAL_OWNER, "model.use", origin=ORIGIN)
    for statement in ("DELETE FROM audit", "UPDATE audit SET actor = 'me'", "INSERT OR REPLACE INTO audit SELECT * FROM audit"):
        with pytest.raises(StoreError):
            await database.write(lambda connection, statement=statement: connection.execute(text(statement)))


async def test_hostile_text_is_made_harmless(database: Database) -> None:
    governor = Governor(database)
    await governor.demand(LOCAL_OWNER, "model.use", target="\ud800\x1b[2J\nforged" + "x" * 10_000, origin=Origin("::1", "\x00agent\r\n", "r"))
    (entry,) = governor.audit.entries()
    assert len(entry.target) <= 500
    assert entry.target.isprintable()
    assert entry.agent == "�agent��"


async def test_a_row_that_cannot_be_written_stops_what_waits_for_it(database: Database, caplog: pytest.LogCaptureFixture) -> None:
    governor = Governor(database)
    await database.write(lambda connection: connection.execute(text("DROP TABLE audit")))
    with pytest.raises(StoreError):
        await governor.demand(LOCAL_OWNER, "model.use", origin=ORIGIN)
    with pytest.raises(NotAllowed):
        governor.demand(READER, "key.create", origin=ORIGIN)
    await governor.flush()
    assert "could not be written" in caplog.text
    database.close()
    with pytest.raises(NotAllowed):
        governor.demand(READER, "key.create", origin=ORIGIN)
    await governor.flush()


async def test_a_demand_is_cheap_on_the_loop(database: Database) -> None:
    governor = Governor(database)
    await governor.demand(LOCAL_OWNER, "model.use", origin=ORIGIN)
    best = min(_taken(governor) for _ in range(5))
    await governor.flush()
    assert best < 150e-6


def _taken(governor: Governor) -> float:
    started = time.thread_time()
    for _ in range(100):
        governor.demand(LOCAL_OWNER, "model.use", target="tiny", origin=ORIGIN)
    return (time.thread_time() - started) / 100


async def test_usage_adds_up(database: Database) -> None:
    log = UsageLog(database)
    base = UsageRow(
        at=100.0, actor="key_1", user="ada", key_id="key_1", project="default", model="tiny", operation="chat", status="ok", request_id="r"
    )
    await log.append(replace(base, usage=Usage(prompt_tokens=10, completion_tokens=5, cached_tokens=4, total_ms=100.0)))
    await asyncio.gather(*(log.append(replace(base, at=200.0, user="bob", key_id=None, usage=Usage(prompt_tokens=1))) for _ in range(3)))
    assert [(total.of, total.calls, total.prompt_tokens, total.completion_tokens) for total in log.totals("user")] == [
        ("ada", 1, 10, 5),
        ("bob", 3, 3, 0),
    ]
    assert [(total.of, total.calls) for total in log.totals("key")] == [("key_1", 1)]
    assert [(total.of, total.calls, total.cached_tokens, total.total_ms) for total in log.totals("model")] == [("tiny", 4, 4, 100.0)]
    assert [total.of for total in log.totals("user", since=150.0)] == ["bob"]
    assert [total.of for total in log.totals("user", until=150.0)] == ["ada"]
    assert log.totals("project", project="other") == []
