"""Passwords, links and sessions."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from hausgeist.errors import Busy, InvalidRequest, NotAuthenticated, NotFound
from hausgeist.store.database import Database
from hausgeist.workspace.passwords import Passwords
from hausgeist.workspace.service import Workspace
from hausgeist.workspace.throttle import Throttle

PASSWORD = "correct horse"


@pytest.fixture
def workspace(tmp_path: Path) -> Iterator[Workspace]:
    database = Database.open(tmp_path)
    yield Workspace(database)
    database.close()


async def test_a_password(workspace: Workspace) -> None:
    user = await workspace.create_user("Ada", password=PASSWORD)
    token, who = await workspace.sign_in("ADA", PASSWORD)
    assert (who.kind, who.id, who.user, who.name, who.role, who.project) == ("user", user.id, user.id, "Ada", "member", "default")
    assert workspace.authenticate_session(token) == who
    assert workspace.user("ada").last_seen is not None
    await workspace.sign_out(token)
    await workspace.sign_out(token)
    with pytest.raises(NotAuthenticated):
        workspace.authenticate_session(token)


async def test_wrong_ones_all_look_the_same(workspace: Workspace) -> None:
    await workspace.create_user("ada", password=PASSWORD)
    await workspace.create_user("bob")
    messages = set()
    for name, password in (
        ("ada", "wrong horse"),
        ("bob", PASSWORD),
        ("nobody", PASSWORD),
        ("local", ""),
        ("ada", ""),
        ("ada", "x" * 10_000),
        ("\ud800", PASSWORD),
    ):
        with pytest.raises(NotAuthenticated) as caught:
            await workspace.sign_in(name, password)
        messages.add(caught.value.message)
    assert len(messages) == 1


async def test_an_unknown_name_costs_what_a_wrong_password_costs(workspace: Workspace, monkeypatch: pytest.MonkeyPatch) -> None:
    await workspace.create_user("ada", password=PASSWORD)
    await workspace.create_user("bob")
    computed: list[str] = []
    hash_or_verify = workspace._passwords._hash_or_verify

    def counting(password: str, stored: str | None) -> str | None:
        computed.append(password)
        return hash_or_verify(password, stored)

    monkeypatch.setattr(workspace._passwords, "_hash_or_verify", counting)
    for name in ("ada", "bob", "nobody"):
        with pytest.raises(NotAuthenticated):
            await workspace.sign_in(name, f"wrong for {name}")
    assert computed == ["wrong for ada", "wrong for bob", "wrong for nobody"]


async def test_composed_characters_are_the_same_password(workspace: Workspace) -> None:
    await workspace.create_user("ada", password="ka\u0308sebrote")
    await workspace.sign_in("ada", "k\u00e4sebrote")


@pytest.mark.parametrize("password", ["short", "x" * 1025, "surrogate\ud800"])
async def test_what_may_not_be_a_password(workspace: Workspace, password: str) -> None:
    with pytest.raises(InvalidRequest):
        await workspace.create_user("ada", password=password)
    assert len(workspace.users()) == 1
    with pytest.raises(InvalidRequest):
        await workspace.set_password("local", password)


async def test_a_new_password_ends_sessions_and_links(workspace: Workspace) -> None:
    await workspace.create_user("ada", password=PASSWORD)
    token, _ = await workspace.sign_in("ada", PASSWORD)
    link = await workspace.invite("ada")
    await workspace.set_password("ada", "battery staple")
    with pytest.raises(NotAuthenticated):
        workspace.authenticate_session(token)
    with pytest.raises(NotAuthenticated):
        await workspace.sign_in("ada", PASSWORD)
    with pytest.raises(NotAuthenticated):
        await workspace.sign_in_link(link, PASSWORD)
    await workspace.sign_in("ada", "battery staple")
    with pytest.raises(NotFound):
        await workspace.set_password("nobody", PASSWORD)


async def test_hashes_with_old_parameters_are_renewed(workspace: Workspace) -> None:
    from argon2 import PasswordHasher

    from hausgeist.workspace import people

    user = await workspace.create_user("ada", password=PASSWORD)
    weak = PasswordHasher(time_cost=1, memory_cost=1024, parallelism=1).hash(PASSWORD)
    await workspace._database.write(lambda connection: people.replace_hash(connection, user.id, weak))
    await workspace.sign_in("ada", PASSWORD)
    stored = workspace._database.read(lambda connection: people.stored_hash(connection, "ada"))
    assert stored is not None
    assert stored[1] is not None
    assert "m=65536" in stored[1]
    await workspace.sign_in("ada", PASSWORD)


async def test_an_invitation(workspace: Workspace) -> None:
    await workspace.create_user("ada")
    first = await workspace.invite("ada")
    link = await workspace.invite("ada")
    assert workspace.user("ada").invited
    with pytest.raises(NotAuthenticated):
        await workspace.sign_in_link(first, PASSWORD)
    for bad in (None, "short"):
        with pytest.raises(InvalidRequest):
            await workspace.sign_in_link(link, bad)
    token, who = await workspace.sign_in_link(link, PASSWORD)
    assert workspace.authenticate_session(token) == who
    assert not workspace.user("ada").invited
    await workspace.sign_in("ada", PASSWORD)
    with pytest.raises(NotAuthenticated):
        await workspace.sign_in_link(link, "another one")
    await workspace.sign_in("ada", PASSWORD)
    with pytest.raises(NotFound):
        await workspace.invite("nobody")


async def test_a_link_used_many_times_at_once_works_once(workspace: Workspace) -> None:
    await workspace.create_user("ada")
    link = await workspace.invite("ada")
    results = await asyncio.gather(*(workspace.sign_in_link(link, f"password {n}") for n in range(4)), return_exceptions=True)
    assert sum(isinstance(result, NotAuthenticated) for result in results) == 3
    assert sum(isinstance(result, tuple) for result in results) == 1


async def test_a_link_expires(workspace: Workspace, monkeypatch: pytest.MonkeyPatch) -> None:
    await workspace.create_user("ada")
    link = await workspace.invite("ada", seconds=3600)
    later = time.time() + 3601
    monkeypatch.setattr(time, "time", lambda: later)
    with pytest.raises(NotAuthenticated):
        await workspace.sign_in_link(link, PASSWORD)
    assert not workspace.user("ada").invited


async def test_the_local_owner_signs_in_by_link_without_a_password(workspace: Workspace) -> None:
    _, who = await workspace.sign_in_link(await workspace.invite("local"))
    assert (who.user, who.role, who.house_role) == ("local", "owner", "owner")


async def test_a_session_lasts_thirty_days_from_its_last_use(workspace: Workspace, monkeypatch: pytest.MonkeyPatch) -> None:
    await workspace.create_user("ada", password=PASSWORD)
    token, _ = await workspace.sign_in("ada", PASSWORD)
    now = time.time()
    for day in (20, 40, 60):
        monkeypatch.setattr(time, "time", lambda day=day: now + day * 86400)
        workspace.authenticate_session(token)
        await workspace._database.write(lambda connection: None)
    monkeypatch.setattr(time, "time", lambda: now + 90.1 * 86400)
    with pytest.raises(NotAuthenticated):
        workspace.authenticate_session(token)


async def test_a_session_of_a_key_may_do_what_the_key_may(workspace: Workspace) -> None:
    project = await workspace.create_project("P")
    key, secret = await workspace.create_key(project="P", name="k", role="reader")
    token, who = await workspace.sign_in_key(secret)
    assert (who.kind, who.id, who.project, who.role, who.house_role) == ("key", key.id, project.id, "reader", "reader")
    assert workspace.authenticate_session(token) == who
    with pytest.raises(NotAuthenticated):
        await workspace.sign_in_key("hg-" + "x" * 49)


async def test_who_is_not_in_default_works_in_their_first_project(workspace: Workspace) -> None:
    await workspace.create_user("ada", password=PASSWORD)
    project = await workspace.create_project("P", owner="ada")
    await workspace.remove_member("default", "ada")
    _, who = await workspace.sign_in("ada", PASSWORD)
    assert (who.project, who.role) == (project.id, "owner")


@pytest.mark.parametrize("token", ["", "x", "\ud800", "' OR 1=1 --", "x" * 100_000])
def test_wrong_tokens(workspace: Workspace, token: str) -> None:
    with pytest.raises(NotAuthenticated):
        workspace.authenticate_session(token)


async def test_guessing_is_slowed_down_per_name(workspace: Workspace) -> None:
    await workspace.create_user("ada", password=PASSWORD)
    with pytest.raises(NotAuthenticated):
        await workspace.sign_in("ada", "wrong horse")
    for _ in range(7):
        workspace._throttle.failed("ada")
    with pytest.raises(Busy):
        await workspace.sign_in("Ada", PASSWORD)
    with pytest.raises(NotAuthenticated):
        await workspace.sign_in("bob", PASSWORD)


def test_throttle_grows_forgets_and_is_bounded() -> None:
    now = 1000.0
    throttle = Throttle(longest=60.0, forget=900.0, most=10_000, clock=lambda: now)
    for _ in range(8):
        assert throttle.wait("ada", free=8) == 0.0
        throttle.failed("ada")
    assert throttle.wait("ada", free=8) == 1.0
    for _ in range(22):
        throttle.failed("ada")
    assert throttle.wait("ada", free=8) == 60.0
    now += 61
    assert throttle.wait("ada", free=8) == 0.0
    throttle.failed("ada")
    assert throttle.wait("ada", free=8) == 60.0
    now += 901
    throttle.failed("ada")
    assert throttle.wait("ada", free=8) == 0.0
    for _ in range(30):
        throttle.failed("ada")
    throttle.succeeded("ada")
    assert throttle.wait("ada", free=8) == 0.0
    for n in range(20_000):
        throttle.failed(str(n))
    assert len(throttle) <= 10_000


async def test_many_at_once_are_told_to_wait_instead_of_filling_the_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    passwords = Passwords()
    at_once = most = 0

    def slow(password: str, stored: str | None) -> str:
        nonlocal at_once, most
        at_once += 1
        most = max(most, at_once)
        time.sleep(0.01)
        at_once -= 1
        return "hash"

    monkeypatch.setattr(passwords, "_hash_or_verify", slow)
    results = await asyncio.gather(*(passwords.hash(PASSWORD) for _ in range(100)), return_exceptions=True)
    assert sum(isinstance(result, Busy) for result in results) == 100 - 32
    assert most == 2
