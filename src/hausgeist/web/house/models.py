"""/house/v1/models: what no other API has words for. Pulls and pushes with all they can tell, versions, verification, garbage, models as one file."""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import AsyncGenerator
from contextlib import aclosing
from dataclasses import asdict, replace
from typing import Any

from pydantic import Field
from starlette.requests import Request
from starlette.responses import JSONResponse, Response, StreamingResponse

from hausgeist.errors import HausgeistError, InvalidRequest
from hausgeist.http.bodies import Body, json_body
from hausgeist.http.endpoint import Endpoint, Handler
from hausgeist.http.house import HOUSE, error_body
from hausgeist.http.packing import packed
from hausgeist.http.streaming import EventStream
from hausgeist.library.abilities import abilities
from hausgeist.library.adopt import Adoptable, Adopted
from hausgeist.library.catalog import Question, bytes_of, facts, load
from hausgeist.library.reference import Reference, public
from hausgeist.library.sources.adoption import Tool
from hausgeist.library.upkeep.verification import Verdict
from hausgeist.library.upkeep.versions import History, Outlook
from hausgeist.serving.machine import Present
from hausgeist.web.house.machine import present
from hausgeist.web.house.paths import called, may_see_paths
from hausgeist.web.house.pulls import told
from hausgeist.web.house.queries import only
from hausgeist.web.parts import Parts, origin_of, who_asks

__all__ = ["endpoints"]

_PATH = "/house/v1/models"
_LINES = "application/x-ndjson"
_LONGEST = 200
_ASKED = ("words", "use", "fits", "licence")


class Pull(Body):
    """Install `model` from its source, as `name` (default: what it is called there)."""

    model: str = Field(min_length=1, max_length=4096)
    name: str | None = Field(None, min_length=1, max_length=350)


class Push(Body):
    """Send `model` to a registry, as `to` (default: what it is called here). `dry_run`: only say what that would send, and where."""

    model: str = Field(min_length=1, max_length=350)
    to: str | None = Field(None, min_length=1, max_length=4096)
    dry_run: bool = False


class OneModel(Body):
    """A model."""

    model: str = Field(min_length=1, max_length=350)


class SomeModels(Body):
    """Models; none means all."""

    models: list[str] = Field(default_factory=list, max_length=1000)


class Pin(OneModel):
    """Whether upgrades of all leave it alone."""

    pinned: bool = True


class Verify(OneModel):
    """`repair`: fetch what is damaged anew."""

    repair: bool = False


class Adopt(OneModel):
    """A model as `tool` (default: any) calls it, to be called `name` here (default: the same)."""

    tool: Tool | None = None
    name: str | None = Field(None, min_length=1, max_length=350)


class Collect(Body):
    """`all`: also files that were touched a moment ago, and downloads that could be gone on with."""

    dry_run: bool = False
    all: bool = False


def endpoints(parts: Parts) -> list[Endpoint]:
    """The routes of this resource."""

    def route(method: Any, path: str, handle: Handler, summary: str, **more: Any) -> Endpoint:
        return Endpoint(method=method, path=f"{_PATH}{path}", handle=handle, dialect=HOUSE, summary=summary, **more)

    return [
        route("GET", "", _index(parts), "List models with their versions and pins", action="model.list"),
        route("POST", "/pull", _pull(parts), "Install a model from its source, told in lines", body=Pull),
        route("POST", "/push", _push(parts), "Send a model to a registry, told in lines", body=Push),
        route("GET", "/pushes", _pushes(parts), "List the pushes that are not finished, or were lately", action="model.list"),
        route("GET", "/adoptable", _adoptable(parts), "List models that other tools have on this machine", action="model.adopt"),
        route("GET", "/catalogue", _catalogue, "Search the models that are known", action="model.list", query=_ASKED),
        route("POST", "/adopt", _adopt(parts), "Install such a model with no download, told in lines", body=Adopt),
        route("POST", "/upgrade", _upgrade(parts), "Install what the source of a model has now, told in lines", body=OneModel),
        route("POST", "/outdated", _outdated(parts), "Ask the sources of models for newer versions", action="model.outdated", body=SomeModels),
        route("POST", "/rollback", _rollback(parts), "Go back to the version before", body=OneModel),
        route("POST", "/pin", _pin(parts), "Keep this version, or let it be upgraded again", body=Pin),
        route("POST", "/verify", _verify(parts), "Read all files of a model again, told in lines", body=Verify),
        route("POST", "/gc", _collect(parts), "Remove what no model needs", action="model.collect", body=Collect),
        route("POST", "/export", _export(parts), "Models as one file", body=SomeModels),
        route("GET", "/export", _exported(parts), "One model as a file, for a browser to keep", query=("model",)),
        route(
            "POST",
            "/import",
            _import(parts),
            "Install models from a file",
            action="model.create",
            upload=True,
            query=("name",),
        ),
    ]


def _index(parts: Parts) -> Handler:
    async def index(request: Request) -> Response:
        paths = may_see_paths(parts, who_asks(request))
        histories = parts.upkeep.versions.all()
        used = parts.consumption.last_used([one.model.id for one in histories])
        loaded: dict[str, Present] = {}
        for there in await parts.machine.models():
            loaded.setdefault(there.id, there)
        data = []
        for one in histories:
            name = one.model.id
            now = {"last_used": used.get(name), "loaded": present(loaded[name]) if name in loaded else None}
            data.append({**_history(one, paths=paths), **now})
        return JSONResponse({"data": data})

    return index


def _pull(parts: Parts) -> Handler:
    async def pull(request: Request) -> Response:
        wanted = await json_body(request, Pull)
        reference = Reference.parse(wanted.model)
        await _demand(parts, request, "model.create", public(wanted.model))
        return await _lines(_progress(parts, request, reference, wanted.name or ""))

    return pull


def _push(parts: Parts) -> Handler:
    async def push(request: Request) -> Response:
        wanted = await json_body(request, Push)
        if not parts.governor.decide(who_asks(request), "model.push").allowed:
            await _demand(parts, request, "model.push", wanted.model)
        plan = parts.pusher.plan(wanted.model, wanted.to or "")
        await _demand(parts, request, "model.push", f"{plan.target}{', dry run' if wanted.dry_run else ''}")
        if wanted.dry_run:
            return JSONResponse({**asdict(plan), "reference": str(plan.reference)})
        return await _lines(_pushed(parts, request, wanted))

    return push


async def _pushed(parts: Parts, request: Request, wanted: Push) -> AsyncGenerator[bytes, None]:
    pushing = parts.pusher.push(wanted.model, wanted.to or "", who=who_asks(request), origin=origin_of(request))
    async with aclosing(pushing):
        async for told in pushing:
            yield _line(asdict(told))


def _pushes(parts: Parts) -> Handler:
    async def pushes(request: Request) -> Response:
        paths = may_see_paths(parts, who_asks(request))
        return JSONResponse({"data": [told(job, paths=paths) for job in parts.pusher.lately()]})

    return pushes


async def _catalogue(request: Request) -> Response:
    """`words` as on the command line, `fits` a number of bytes or a size such as 8gb. What is asked for by its name is alone."""
    words, use, fits, licence = (request.query_params.get(name, "")[:_LONGEST] for name in _ASKED)
    return await packed(request, {"data": await asyncio.to_thread(_known, words, use, fits, licence)})


def _known(words: str, use: str, fits: str, licence: str) -> list[dict[str, Any]]:
    asked, known = Question.of(words.split(), use=use, licence=licence), load()
    if fits:
        limit = int(fits) if fits.isascii() and fits.isdecimal() else bytes_of(fits)
        if limit is None:
            raise InvalidRequest("fits: a number of bytes, or a size such as 8gb", param="fits")
        asked = replace(asked, fits=limit)
    exact = asked.exact(known)
    return [facts(entry) for entry in ([exact] if exact else asked.answer(known))]


def _adoptable(parts: Parts) -> Handler:
    async def adoptable(request: Request) -> Response:
        return JSONResponse({"data": [_there(one) for one in await parts.upkeep.adoption.all()]})

    return adoptable


def _adopt(parts: Parts) -> Handler:
    async def adopt(request: Request) -> Response:
        wanted = await json_body(request, Adopt)
        await _demand(parts, request, "model.adopt", wanted.model)
        return await _lines(_adopted(parts, wanted))

    return adopt


async def _adopted(parts: Parts, wanted: Adopt) -> AsyncGenerator[bytes, None]:
    async with aclosing(parts.upkeep.adoption.adopt(wanted.model, tool=wanted.tool, called=wanted.name or "")) as adopting:
        async for told in adopting:
            yield _line({"stage": "done", **asdict(told)} if isinstance(told, Adopted) else asdict(told))


def _upgrade(parts: Parts) -> Handler:
    async def upgrade(request: Request) -> Response:
        wanted = await json_body(request, OneModel)
        await _demand(parts, request, "model.update", wanted.model)
        reference = parts.upkeep.versions.upgradable(wanted.model)
        name = parts.upkeep.versions.history(wanted.model).model.id
        return await _lines(_progress(parts, request, reference, name))

    return upgrade


async def _progress(parts: Parts, request: Request, reference: Reference, name: str) -> AsyncGenerator[bytes, None]:
    pull = parts.upkeep.installer.pull(reference, name=name, who=who_asks(request), origin=origin_of(request))
    async with aclosing(pull):
        async for told in pull:
            yield _line(asdict(told))


def _outdated(parts: Parts) -> Handler:
    async def outdated(request: Request) -> Response:
        wanted = await json_body(request, SomeModels)
        return JSONResponse({"data": [_outlook(one) for one in await parts.upkeep.versions.outdated(wanted.models)]})

    return outdated


def _rollback(parts: Parts) -> Handler:
    async def rollback(request: Request) -> Response:
        wanted = await json_body(request, OneModel)
        await _demand(parts, request, "model.update", wanted.model)
        model = await parts.upkeep.versions.rollback(wanted.model)
        return JSONResponse(_history(parts.upkeep.versions.history(model.id)))

    return rollback


def _pin(parts: Parts) -> Handler:
    async def pin(request: Request) -> Response:
        wanted = await json_body(request, Pin)
        await _demand(parts, request, "model.update", wanted.model)
        await parts.upkeep.versions.pin(wanted.model, pinned=wanted.pinned)
        return JSONResponse(_history(parts.upkeep.versions.history(wanted.model)))

    return pin


def _verify(parts: Parts) -> Handler:
    async def verify(request: Request) -> Response:
        wanted = await json_body(request, Verify)
        await _demand(parts, request, "model.verify", wanted.model)
        return await _lines(_checked(parts, request, wanted))

    return verify


async def _checked(parts: Parts, request: Request, wanted: Verify) -> AsyncGenerator[bytes, None]:
    checking = parts.upkeep.verification.verify(wanted.model, repair=wanted.repair, who=who_asks(request), origin=origin_of(request))
    async with aclosing(checking):
        async for told in checking:
            if isinstance(told, Verdict):
                yield _line({"stage": "done", **asdict(told), "sound": told.sound})
            else:
                yield _line(asdict(told))


def _collect(parts: Parts) -> Handler:
    async def collect(request: Request) -> Response:
        wanted = await json_body(request, Collect)
        found = await parts.upkeep.garbage.collect(dry_run=wanted.dry_run, everything=wanted.all)
        versions = [{"model": model, "digest": digest} for model, digest in found.versions]
        return JSONResponse({"files": found.files, "versions": versions, "partials": found.partials, "size": found.size, "dry_run": wanted.dry_run})

    return collect


def _export(parts: Parts) -> Handler:
    async def export(request: Request) -> Response:
        wanted = await json_body(request, SomeModels)
        await _demand(parts, request, "model.export", ", ".join(wanted.models))
        made = await parts.upkeep.portable.export(wanted.models)
        return StreamingResponse(made.chunks, media_type="application/x-tar", headers={"content-length": str(made.size)})

    return export


def _exported(parts: Parts) -> Handler:
    async def exported(request: Request) -> Response:
        only(request, "model")
        model = request.query_params.get("model", "")
        await _demand(parts, request, "model.export", model)
        made = await parts.upkeep.portable.export([model])
        name = re.sub(r"[^A-Za-z0-9._-]+", "-", model)
        headers = {"content-length": str(made.size), "content-disposition": f'attachment; filename="{name}.tar"'}
        return StreamingResponse(made.chunks, media_type="application/x-tar", headers=headers)

    return exported


def _import(parts: Parts) -> Handler:
    async def bring(request: Request) -> Response:
        """`name`: the file is one in GGUF, to be called that. Without, it is one that was exported and says itself what its models are called."""
        only(request, "name")
        portable, name = parts.upkeep.portable, request.query_params.get("name", "")
        announced = request.headers.get("content-length", "")
        size = int(announced) if announced.isascii() and announced.isdecimal() else 0
        made = [await portable.take(request.stream(), name, size=size)] if name else await portable.bring(request.stream())
        return JSONResponse({"data": [_history(parts.upkeep.versions.history(model.id)) for model in made]}, 201)

    return bring


async def _demand(parts: Parts, request: Request, action: str, target: str) -> None:
    """Decided here and not by the route, whose row would not say which model it was about."""
    await parts.governor.demand(who_asks(request), action, target=target, origin=origin_of(request))


async def _lines(events: AsyncGenerator[bytes, None]) -> EventStream:
    return await EventStream.begin(events, failure=_failure, media_type=_LINES)


def _failure(error: Exception) -> bytes:
    return _line(error_body(error if isinstance(error, HausgeistError) else HausgeistError()))


def _line(value: dict[str, Any]) -> bytes:
    return json.dumps(value, ensure_ascii=False).encode("utf-8", "replace") + b"\n"


def _history(one: History, *, paths: bool = True) -> dict[str, Any]:
    """`paths`: say where files in place lie, not only what they are called."""
    model = one.model
    return {
        "id": model.id,
        "digest": model.digest,
        "size": model.shape.size,
        "modified": model.modified,
        "engine": model.engine,
        "context": model.shape.context_length or None,
        "capabilities": abilities(model),
        "stored": model.removable,
        "licence": model.licence,
        "source": model.source if paths else called(model.source),
        "reference": public(model.reference) if paths else called(public(model.reference)),
        "version": model.version,
        "pinned": one.state.pinned,
        "answered": one.state.answered == model.digest,
        "before": [
            {
                "digest": version.digest,
                "version": version.definition.version,
                "installed": version.modified,
                "replaced": version.replaced,
                "size": version.definition.shape.size,
            }
            for version in one.before
        ],
    }


def _there(one: Adoptable) -> dict[str, Any]:
    found = one.found
    return {
        "model": found.name,
        "tool": found.tool,
        "size": sum(part.size for part in found.release.parts),
        "files": [str(path) for path in found.files],
        "licence": found.release.licence,
        "installed": one.installed,
    }


def _outlook(one: Outlook) -> dict[str, Any]:
    return {**asdict(one), "reference": public(one.reference), "outdated": one.outdated, "error": one.error or None}
