"""Copies of the database that were made before an erasure and that it does not reach: the receipt names them."""

from __future__ import annotations

import asyncio
from pathlib import Path

from hausgeist.governance.erasure import Erased, Eraser, Subject

__all__ = ["eraser"]


def eraser(home: Path) -> Eraser:
    """Changes nothing: a copy in which something is missing is none."""

    async def erase(subject: Subject) -> Erased:
        names = await asyncio.to_thread(lambda: sorted(file.name for file in (home / "backups").glob("*.db")))
        told = f"Copies of the database from before still hold it: {', '.join(names)} in the folder backups. Remove them to be rid of it."
        return Erased(remains=[told] if names else [])

    return erase
