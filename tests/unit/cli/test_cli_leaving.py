"""`hausgeist user rm` and `project rm`: what was said and brought goes with them, and a server that runs is told to forget it, too."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from sqlalchemy import insert

from hausgeist.__main__ import main
from hausgeist.conversations.batches.records import batches
from hausgeist.conversations.chats import Chats
from hausgeist.conversations.content import message
from hausgeist.files import Files, Uploads
from hausgeist.files.folder import Folder
from hausgeist.governance import AuditLog
from hausgeist.identity import Principal
from hausgeist.serving.caches import JOB
from hausgeist.store.database import Database
from hausgeist.store.jobs import Jobs
from hausgeist.store.space import Space
from hausgeist.workspace.service import Workspace


async def said(home: Path) -> tuple[str, str]:
    """Ids of a user and a project in which they have said something, brought a file and part of another, and had a batch."""
    database = Database.open(home)
    workspace = Workspace(database)
    user = await workspace.create_user("bob")
    project = await workspace.create_project("letters", owner=user.id)
    for where in ("default", project.id):
        who = Principal(kind="user", id=user.id, name="bob", user=user.id, role="member", house_role="member", project=where)
        await Chats(database).create(who, [message("user", "Schweigepflichtentbindung")])
        await bring(database, home, who)
    database.close()
    return user.id, project.id


async def bring(database: Database, home: Path, who: Principal) -> None:
    async def chunks() -> AsyncIterator[bytes]:
        yield b"Schweigepflichtentbindung"

    files = Files(database, Folder(home, space=Space(home)), quota=10**9, limit=10**9)
    kept = await files.create(who, chunks(), filename="a.txt", purpose="user_data")
    uploads = Uploads(database, files)
    upload = await uploads.create(who, bytes=100, filename="b.txt", purpose="user_data", media_type="text/plain")
    await uploads.add(who, upload.id, chunks())
    row = {"id": f"batch_{kept.id}", "project": who.project, "user": who.user, "created": 1.0, "status": "completed", "body": "{}", "principal": "{}"}
    await database.write(lambda connection: connection.execute(insert(batches).values(row)))


@pytest.mark.parametrize(("command", "left"), [(("user", "rm", "bob"), 0), (("project", "rm", "letters"), 1)], ids=["user", "project"])
def test_nothing_of_it_stays(tmp_path: Path, command: tuple[str, ...], left: int, capsys: pytest.CaptureFixture[str]) -> None:
    user, project = asyncio.run(said(tmp_path))
    assert main([*command, "--home", str(tmp_path)]) == 0
    told = capsys.readouterr()
    assert told.out == ""
    assert f"chats: {2 - left}" in told.err
    assert f"batches: {2 - left}, files: {2 - left}" in told.err
    database = Database.open(tmp_path)
    try:
        for table in ("conversations", "items", "items_words", "files", "uploads", "upload_parts", "batches"):
            assert database.read(lambda connection, table=table: connection.exec_driver_sql(f"SELECT count(*) FROM {table}").scalar()) == left
        assert len(list((tmp_path / "files").glob("[!.]*"))) == 2 * left
        [row] = AuditLog(database).entries(action="erasure.create")
        assert row.target.split(": ")[1] == (user if command[0] == "user" else project)
        assert f"receipt {row.target.split(': ')[0]};" in told.err
        assert json.loads(row.detail)["counts"]["chats"] == 2 - left
        [job] = Jobs(database).list(kind=JOB)
        assert job.payload == ({"user": user, "project": None} if command[0] == "user" else {"user": None, "project": project})
        if not left:
            assert not [file for file in tmp_path.glob("hausgeist.db*") if b"pflichtentbindung" in file.read_bytes().lower()]
    finally:
        database.close()


def test_a_receipt_for_programs(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    user, _ = asyncio.run(said(tmp_path))
    (tmp_path / "backups").mkdir()
    (tmp_path / "backups" / "before.db").touch()
    assert main(["user", "rm", "bob", "--json", "--home", str(tmp_path)]) == 0
    receipt = json.loads(capsys.readouterr().out)
    assert (receipt["user"], receipt["project"], receipt["erased"]["chats"]) == (user, None, 2)
    assert "before.db" in receipt["remains"][0]
    assert "when the server runs next" in receipt["remains"][1]
    assert main(["user", "rm", "bob", "--home", str(tmp_path)]) != 0
    assert "receipt" not in capsys.readouterr().err
