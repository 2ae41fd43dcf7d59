"""Users, projects and keys: rights, and what may not be taken away."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterator
from itertools import product
from pathlib import Path

import pytest

from hausgeist.errors import Conflict, InvalidRequest, NotAllowed, NotAuthenticated, NotFound
from hausgeist.identity import LOCAL_OWNER, ROLES, Role
from hausgeist.store.database import Database
from hausgeist.workspace.service import Workspace


@pytest.fixture
def database(tmp_path: Path) -> Iterator[Database]:
    database = Database.open(tmp_path)
    yield database
    database.close()


@pytest.fixture
def workspace(database: Database) -> Workspace:
    return Workspace(database)


def test_a_new_home_has_the_local_owner_and_the_default_project(workspace: Workspace) -> None:
    (user,) = workspace.users()
    assert (user.id, user.role, user.invited) == (LOCAL_OWNER.user, "owner", False)
    (project,) = workspace.projects()
    assert (project.id, project.name) == ("default", "default")
    assert workspace.keys() == []


async def test_users(workspace: Workspace) -> None:
    user = await workspace.create_user("  Ada Lovelace ", role="reader")
    assert user.name == "Ada Lovelace"
    assert workspace.user("ada lovelace") == workspace.user(user.id) == user
    assert [(member.user, member.role) for member in workspace.members("default")] == [(user.id, "reader")]
    for same in ("ADA LOVELACE", "Ａda Lovelace", "local", "Local"):
        with pytest.raises(Conflict):
            await workspace.create_user(same)
    assert (await workspace.set_role("Ada Lovelace", "owner")).role == "owner"
    await workspace.remove_user(user.id)
    with pytest.raises(NotFound):
        workspace.user(user.id)
    assert workspace.members("default") == []


async def test_who_is_an_owner_no_more_has_only_what_projects_give(workspace: Workspace) -> None:
    await workspace.create_user("ada", role="owner", password="correct horse")
    await workspace.create_project("P")
    token, who = await workspace.sign_in("ada", "correct horse")
    assert (who.role, who.house_role, workspace.authenticate_session(token, project="P").role) == ("owner", "owner", "owner")
    await workspace.set_role("ada", "member")
    who = workspace.authenticate_session(token)
    assert (who.role, who.house_role) == ("member", "member")
    with pytest.raises(NotAllowed):
        workspace.authenticate_session(token, project="P")


async def test_the_local_owner_stays_an_owner(workspace: Workspace) -> None:
    await workspace.create_user("ada", role="owner")
    with pytest.raises(Conflict):
        await workspace.remove_user("local")
    with pytest.raises(Conflict):
        await workspace.set_role("local", "member")


async def test_projects(workspace: Workspace) -> None:
    project = await workspace.create_project("Contracts")
    assert workspace.project("CONTRACTS") == workspace.project(project.id) == project
    with pytest.raises(Conflict):
        await workspace.create_project("contracts")
    with pytest.raises(Conflict):
        await workspace.create_project("Default")
    assert (await workspace.rename_project("contracts", "CONTRACTS")).id == project.id
    with pytest.raises(Conflict):
        await workspace.rename_project("contracts", "default")
    await workspace.rename_project("default", "Family")
    with pytest.raises(Conflict):
        await workspace.create_project("default")  # still what the default project answers to
    with pytest.raises(Conflict):
        await workspace.remove_project("family")
    await workspace.remove_project(project.id)
    with pytest.raises(NotFound):
        workspace.project("CONTRACTS")


async def test_the_last_owner_of_a_project_stays(workspace: Workspace) -> None:
    await workspace.create_user("ada")
    await workspace.create_user("bob")
    await workspace.create_project("P", owner="ada")
    await workspace.set_member("P", "bob", "member")
    for attempt in (workspace.set_member("P", "ada", "reader"), workspace.remove_member("P", "ada")):
        with pytest.raises(Conflict, match="last owner"):
            await attempt
    await workspace.set_member("P", "bob", "owner")
    await workspace.remove_member("P", "ada")
    assert [(member.name, member.role) for member in workspace.members("P")] == [("bob", "owner")]
    with pytest.raises(NotFound):
        await workspace.remove_member("P", "ada")
    with pytest.raises(NotFound):
        await workspace.set_member("P", "nobody", "member")


async def test_a_secret_is_shown_once_and_not_stored(workspace: Workspace, tmp_path: Path) -> None:
    key, secret = await workspace.create_key(project="default", name="laptop", role="member", user="local")
    assert secret.startswith(key.prefix)
    assert len(key.prefix) == 9
    assert workspace.keys() == [key]
    stored = b"".join(file.read_bytes() for file in tmp_path.iterdir())
    assert key.prefix.encode() in stored
    assert secret[len(key.prefix) :].encode() not in stored


async def test_who_a_key_is(workspace: Workspace) -> None:
    user = await workspace.create_user("ada")
    project = await workspace.create_project("P", owner="ada")
    key, secret = await workspace.create_key(project="p", name="laptop", role="member", user="ada")
    who = workspace.authenticate_key(secret)
    assert (who.kind, who.id, who.name, who.user, who.project) == ("key", key.id, "laptop", user.id, project.id)
    assert (who.role, who.house_role) == ("member", "member")


async def test_wrong_keys(workspace: Workspace) -> None:
    _, secret = await workspace.create_key(project="default", name="k", role="owner")
    swapped = secret[:-1] + ("a" if secret[-1] != "a" else "b")
    for wrong in ("", "hg-", "sk-123", swapped, secret + "x", secret[:-1], secret.swapcase(), "hg-" + "٣" * 49, "hg-" + "\ud800" * 49):
        with pytest.raises(NotAuthenticated):
            workspace.authenticate_key(wrong)


@pytest.mark.parametrize(("key_role", "member_role"), list(product(ROLES, ROLES)))
async def test_a_key_may_do_the_lesser_of_its_role_and_its_users(workspace: Workspace, key_role: Role, member_role: Role) -> None:
    await workspace.create_user("ada")
    await workspace.create_project("P", owner="local")
    await workspace.set_member("P", "ada", "owner")
    _, secret = await workspace.create_key(project="P", name="k", role=key_role, user="ada")
    await workspace.set_member("P", "ada", member_role)
    assert workspace.authenticate_key(secret).role == max(key_role, member_role, key=ROLES.index)


async def test_a_key_cannot_be_made_stronger_than_its_user(workspace: Workspace) -> None:
    await workspace.create_user("ada", role="reader")
    await workspace.create_project("P")
    with pytest.raises(NotAllowed, match="reader"):
        await workspace.create_key(project="default", name="k", role="member", user="ada")
    with pytest.raises(NotAllowed, match=r"not a member.*project member add"):
        await workspace.create_key(project="P", name="k", role="reader", user="ada")


@pytest.mark.parametrize(
    ("user_role", "key_role", "bound", "expected"),
    [
        ("owner", "owner", False, "owner"),
        ("owner", "owner", True, "member"),
        ("owner", "member", False, "member"),
        ("owner", "reader", True, "reader"),
        ("member", "owner", False, "member"),
        ("reader", "owner", False, "reader"),
    ],
)
async def test_the_house_role_of_a_key(workspace: Workspace, user_role: Role, key_role: Role, bound: bool, expected: Role) -> None:
    await workspace.create_user("ada", role=user_role)
    _, secret = await workspace.create_key(project="default" if bound else None, name="k", role=key_role, user="ada")
    assert workspace.authenticate_key(secret).house_role == expected


async def test_a_key_of_one_project_opens_no_other(workspace: Workspace) -> None:
    first, second = await workspace.create_project("first"), await workspace.create_project("second")
    _, secret = await workspace.create_key(project="first", name="k", role="owner")
    for name in ("first", "FIRST", first.id):
        assert workspace.authenticate_key(secret, project=name).project == first.id
    for name in ("second", second.id, "default", "none", "", "' OR 1=1 --"):
        with pytest.raises(NotAllowed):
            workspace.authenticate_key(secret, project=name)


async def test_a_key_without_a_project_opens_those_of_its_user(workspace: Workspace) -> None:
    await workspace.create_user("ada")
    mine, other = await workspace.create_project("mine", owner="ada"), await workspace.create_project("other")
    _, secret = await workspace.create_key(project=None, name="k", role="owner", user="ada")
    assert (workspace.authenticate_key(secret).project, workspace.authenticate_key(secret).role) == ("default", "member")
    who = workspace.authenticate_key(secret, project="mine")
    assert (who.project, who.role, who.house_role) == (mine.id, "owner", "member")
    messages = set()
    for name in (other.id, "other", "nowhere"):
        with pytest.raises(NotAllowed) as caught:
            workspace.authenticate_key(secret, project=name)
        messages.add(caught.value.message)
    assert len(messages) == 1  # a project one may not use looks like one that is not there
    await workspace.remove_member("default", "ada")
    with pytest.raises(NotAllowed, match="OpenAI-Project"):
        workspace.authenticate_key(secret)
    assert workspace.authenticate_key(secret, project="mine").project == mine.id


async def test_revoking(workspace: Workspace) -> None:
    key, secret = await workspace.create_key(project="default", name="k", role="owner")
    token, _ = await workspace.sign_in_key(secret)
    assert workspace.authenticate_session(token).id == key.id
    assert (await workspace.revoke_key(key.id)).revoked is not None
    with pytest.raises(NotAuthenticated, match="revoked"):
        workspace.authenticate_key(secret)
    with pytest.raises(NotAuthenticated):
        workspace.authenticate_session(token)
    with pytest.raises(NotAuthenticated):
        await workspace.sign_in_key(secret)
    await workspace.revoke_key(key.id)
    assert workspace.keys() == []
    assert [gone.id for gone in workspace.keys(revoked=True)] == [key.id]
    with pytest.raises(NotFound):
        await workspace.revoke_key("key_none")


async def test_who_leaves_takes_the_keys_along(workspace: Workspace) -> None:
    await workspace.create_user("ada", password="correct horse")
    await workspace.create_project("P", owner="local")
    await workspace.set_member("P", "ada", "member")
    _, in_p = await workspace.create_key(project="P", name="k", role="member", user="ada")
    _, free = await workspace.create_key(project=None, name="k", role="member", user="ada")
    token, _ = await workspace.sign_in("ada", "correct horse")
    await workspace.remove_member("P", "ada")
    await workspace.set_member("P", "ada", "member")
    with pytest.raises(NotAuthenticated):
        workspace.authenticate_key(in_p)
    assert workspace.authenticate_key(free).role == "member"
    await workspace.remove_user("ada")
    with pytest.raises(NotAuthenticated):
        workspace.authenticate_key(free)
    with pytest.raises(NotAuthenticated):
        workspace.authenticate_session(token)


async def test_a_removed_project_takes_its_keys_along(workspace: Workspace) -> None:
    await workspace.create_project("P")
    _, secret = await workspace.create_key(project="P", name="k", role="member")
    await workspace.remove_project("P")
    with pytest.raises(NotAuthenticated):
        workspace.authenticate_key(secret)


async def test_keys_of_one_project(workspace: Workspace) -> None:
    await workspace.create_project("P")
    key, _ = await workspace.create_key(project="P", name="k", role="member")
    await workspace.create_key(project=None, name="k", role="member")
    assert workspace.keys("P") == [key]
    assert workspace.keys("default") == []
    assert len(workspace.keys()) == 2
    with pytest.raises(NotFound):
        workspace.keys("none")


async def test_projects_that_one_may_work_in(workspace: Workspace) -> None:
    await workspace.create_user("ada", password="correct horse")
    await workspace.create_project("mine", owner="ada")
    await workspace.create_project("other")
    _, bound = await workspace.create_key(project="other", name="k", role="owner")
    _, ada = await workspace.sign_in("ada", "correct horse")
    names = lambda who: [project.name for project in workspace.projects(who)]  # noqa: E731
    assert names(None) == names(LOCAL_OWNER) == ["default", "mine", "other"]
    assert names(ada) == ["default", "mine"]
    assert names(workspace.authenticate_key(bound)) == ["other"]


async def test_last_used_is_noted_about_once_a_minute(workspace: Workspace, database: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    key, secret = await workspace.create_key(project="default", name="k", role="member")
    posts = 0
    post = database.post

    def counting(fn: object) -> None:
        nonlocal posts
        posts += 1
        post(fn)  # type: ignore[arg-type]

    monkeypatch.setattr(database, "post", counting)
    for _ in range(50):
        workspace.authenticate_key(secret)
    await database.write(lambda connection: None)
    assert posts == 1
    used = workspace.keys()[0].last_used
    assert used is not None
    assert workspace.user("local").last_seen == used
    later = time.time() + 61
    monkeypatch.setattr(time, "time", lambda: later)
    workspace.authenticate_key(secret)
    await database.write(lambda connection: None)
    assert posts == 2
    assert workspace.keys()[0].last_used == later
    assert workspace.keys()[0].id == key.id


async def test_the_same_name_at_the_same_time(workspace: Workspace) -> None:
    for create in (workspace.create_user, workspace.create_project):
        results = await asyncio.gather(*(create(name) for name in ("Twin", "TWIN", "twin")), return_exceptions=True)
        assert sum(isinstance(result, Conflict) for result in results) == 2


@pytest.mark.parametrize("role", ["admin", "", "OWNER"])
async def test_roles_are_three(workspace: Workspace, role: Role) -> None:
    with pytest.raises(InvalidRequest):
        await workspace.create_user("ada", role=role)
    with pytest.raises(InvalidRequest):
        await workspace.create_key(project="default", name="k", role=role)
    with pytest.raises(InvalidRequest):
        await workspace.set_member("default", "local", role)


async def test_authentication_is_fast(workspace: Workspace) -> None:
    _, secret = await workspace.create_key(project="default", name="k", role="member")
    best = 1.0
    for _ in range(300):
        begun = time.perf_counter()
        workspace.authenticate_key(secret)
        best = min(best, time.perf_counter() - begun)
    assert best < 150e-6
