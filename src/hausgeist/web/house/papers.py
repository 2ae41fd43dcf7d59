"""The papers of the demo as a store: what `hausgeist demo` brings, for who sits at a browser."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from importlib.resources import as_file, files
from pathlib import Path
from typing import Final

from hausgeist.files import Files
from hausgeist.identity import Principal
from hausgeist.knowledge.stores.service import Stores
from hausgeist.knowledge.stores.values import Attachment, Store

__all__ = ["bring"]

_NAME: Final = "demo"


async def bring(who: Principal, kept: Files, stores: Stores) -> Store:
    """A new store with all papers in it, which are read from now on. Raises `TooLarge` where the project has no room."""
    wanted = []
    with as_file(files("hausgeist") / "demo" / "papers") as folder:
        for path in sorted(one for one in folder.rglob("*") if one.is_file()):
            file = await kept.create(who, _content(path), filename=path.name, purpose="assistants", size=path.stat().st_size)
            wanted.append(Attachment(file=file.id, attributes={"path": path.relative_to(folder).as_posix(), "size": file.bytes}))
    return await stores.create(who, name=_NAME, metadata={"demo": "1"}, files=wanted)


async def _content(path: Path) -> AsyncIterator[bytes]:
    yield await asyncio.to_thread(path.read_bytes)
