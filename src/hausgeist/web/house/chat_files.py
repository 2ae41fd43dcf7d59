"""/house/v1/chats as files: taken away as Markdown or JSON, brought from Hausgeist, ChatGPT or Open WebUI."""

from __future__ import annotations

import asyncio
import tempfile
import threading
import time
from dataclasses import asdict
from pathlib import Path
from typing import Any, Final, get_args

from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from hausgeist.conversations.exchange import Bringing, Brought, Format, Taking
from hausgeist.errors import Busy, InvalidRequest, TooLarge
from hausgeist.http.endpoint import Endpoint, Handler
from hausgeist.http.house import HOUSE
from hausgeist.http.streaming import EventStream
from hausgeist.identity import Principal
from hausgeist.store.failures import file_failures
from hausgeist.store.space import Space
from hausgeist.web.parts import Parts, who_asks

__all__ = ["endpoints", "incoming"]

_PATH: Final = "/house/v1/chats"
_MOST_BYTES: Final = 4 * 2**30
"""Of a file that is brought; exports of people who asked ChatGPT every day have some hundred MB."""
_LOOK_BYTES: Final = 64 * 2**20
"""After so many it is seen again how much the disk has left."""
_KINDS: Final[dict[Format, tuple[str, str]]] = {"json": ("application/json", "json"), "markdown": ("text/markdown; charset=utf-8", "md")}


def incoming(home: Path) -> Path:
    """Where files lie while they are read. What is there when the server starts was left by one that was killed."""
    return home / "incoming"


def endpoints(parts: Parts) -> list[Endpoint]:
    """The routes of this resource."""
    taking, bringing = Taking(parts.database), Bringing(parts.database)

    def route(method: Any, path: str, handle: Handler, summary: str, action: str, **more: Any) -> Endpoint:
        return Endpoint(method=method, path=f"{_PATH}{path}", handle=handle, dialect=HOUSE, summary=summary, action=f"conversation.{action}", **more)

    return [
        route("GET", "/export", _all(taking), "All chats as one file", "export", query=("format",)),
        route("POST", "/import", _import(parts, bringing), "Bring the chats of a file", "import", upload=True),
        route("GET", "/{chat}/export", _one(taking), "A chat as a file", "export", query=("format",)),
    ]


def _all(taking: Taking) -> Handler:
    async def export(request: Request) -> Response:
        form = _format(request)
        told = taking.all(who_asks(request), form)
        # Should it fail in the middle, the end is missing, and no program takes it for the whole.
        return await EventStream.begin(told, failure=lambda _: b"", media_type=_KINDS[form][0], headers=_named("chats", form))

    return export


def _one(taking: Taking) -> Handler:
    async def export(request: Request) -> Response:
        form = _format(request)
        told = await taking.one(who_asks(request), request.path_params["chat"], form)
        return Response(told, media_type=_KINDS[form][0], headers=_named("chat", form))

    return export


def _import(parts: Parts, bringing: Bringing) -> Handler:
    busy = asyncio.Semaphore(1)
    sending: set[tuple[str, str]] = set()

    async def bring(request: Request) -> Response:
        """One file of each person comes at a time, as slowly as it may; of those that are there, one is read at a time."""
        who = who_asks(request)
        place = (who.project, who.user)
        if place in sending:
            raise Busy("You are just bringing chats; try again in a moment.", retry_after=10.0)
        sending.add(place)
        try:
            with file_failures(parts.settings.home):
                folder = incoming(parts.settings.home)
                folder.mkdir(mode=0o700, exist_ok=True)
                with tempfile.TemporaryDirectory(dir=folder) as room:
                    file = Path(room) / "chats"
                    await _receive(request, file, Space(parts.settings.home))
                    async with busy:
                        brought = await _to_its_end(bringing, who, file)
        finally:
            sending.discard(place)
        return JSONResponse(_brought(brought), 201 if brought.chats else 200)

    return bring


async def _to_its_end(bringing: Bringing, who: Principal, file: Path) -> Brought:
    """Where nobody waits any longer, the chat at hand is still brought, and no other."""
    leave = threading.Event()
    work = asyncio.ensure_future(asyncio.to_thread(bringing.bring, who, file, leave))
    try:
        return await asyncio.shield(work)
    except asyncio.CancelledError:
        leave.set()
        await asyncio.wait({work})
        raise


async def _receive(request: Request, file: Path, space: Space) -> None:
    """Raises `TooLarge`, and `DiskFull` before the disk is."""
    size = asked = 0
    with file.open("wb") as out:
        async for chunk in request.stream():
            size += len(chunk)
            if size > asked:
                asked = size + _LOOK_BYTES
                space.require(_LOOK_BYTES)
            if size > _MOST_BYTES:
                raise TooLarge(f"A file of chats has at most {_MOST_BYTES // 2**30} GiB; bring it in parts.")
            await asyncio.to_thread(out.write, chunk)
    if not size:
        raise InvalidRequest("Send the file as the body of the request: curl --data-binary @conversations.json ...")


def _format(request: Request) -> Format:
    named = request.query_params.get("format", "json")
    for form in get_args(Format):
        if named == form:
            return form  # type: ignore[no-any-return]
    raise InvalidRequest("'format' should be json or markdown.", param="format")


def _named(what: str, form: Format) -> dict[str, str]:
    return {"content-disposition": f'attachment; filename="{what}-{time.strftime("%Y-%m-%d")}.{_KINDS[form][1]}"'}


def _brought(brought: Brought) -> dict[str, Any]:
    return {
        "chats": brought.chats,
        "already_there": brought.there,
        "refused": brought.refused,
        "reasons": [asdict(one) for one in brought.reasons],
        "left_out": dict(brought.left_out),
        "stopped": brought.stopped or None,
    }
