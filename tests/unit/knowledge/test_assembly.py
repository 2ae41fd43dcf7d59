"""What starts and stops with the server."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from hausgeist.files import Files
from hausgeist.files.folder import Folder
from hausgeist.knowledge.assembly import Knowledge
from hausgeist.settings import load_settings
from hausgeist.store.database import Database
from hausgeist.store.space import Space


async def test_what_parsers_of_a_killed_server_had_is_removed_at_the_start(tmp_path: Path) -> None:
    """It may be of a file that was deleted since, and perhaps nothing is ever read again."""
    left = tmp_path / "parsing" / f"4194305-1700000000-{'a' * 12}" / "given" / "0"  # no process has so high a number
    left.parent.mkdir(parents=True)
    left.write_text("What was secret.", "utf-8")
    database = Database.open(tmp_path)
    nobody: Any = None  # No model is asked for anything.
    files = Files(database, Folder(tmp_path, space=Space(tmp_path, reserve=0)), quota=1 << 20, limit=1 << 20)
    knowledge = Knowledge(load_settings(home=tmp_path), database, files, nobody)
    await knowledge.start()
    try:
        assert not left.exists()
        assert list((tmp_path / "parsing").iterdir()) == []
    finally:
        await knowledge.stop()
        database.close()
