"""/house/v1/personas: named instructions with settings, one's own and those of the project."""

from __future__ import annotations

from typing import Any, Final

from pydantic import Field, JsonValue
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from hausgeist.conversations.prompts import Persona, Personas
from hausgeist.errors import InvalidRequest
from hausgeist.http.bodies import Body, json_body
from hausgeist.http.endpoint import Endpoint, Handler
from hausgeist.http.house import HOUSE
from hausgeist.identity import Principal
from hausgeist.web.house.queries import number_in, only
from hausgeist.web.parts import Parts, origin_of, who_asks

__all__ = ["endpoints"]

_PATH: Final = "/house/v1/personas"
_MOST_LISTED: Final = 200


class NewPersona(Body):
    """A persona. `settings`: temperature, top_p, max_output_tokens and the like, as a request of /v1/responses has them; `model` null: any."""

    name: str = Field(min_length=1, max_length=400)
    instructions: str = ""
    model: str | None = Field(None, min_length=1, max_length=350)
    settings: dict[str, JsonValue] = Field(default_factory=dict)
    shared: bool = False


class PersonaChange(Body):
    """What is to be different from now on. Chats that began with it stay as they are."""

    name: str | None = Field(None, min_length=1, max_length=400)
    instructions: str | None = None
    model: str | None = Field(None, min_length=1, max_length=350)
    settings: dict[str, JsonValue] | None = None
    shared: bool | None = None


def endpoints(parts: Parts) -> list[Endpoint]:
    """The routes of this resource."""
    personas = Personas(parts.database)

    def route(method: Any, path: str, handle: Handler, summary: str, action: str, **more: Any) -> Endpoint:
        return Endpoint(method=method, path=f"{_PATH}{path}", handle=handle, dialect=HOUSE, summary=summary, action=f"persona.{action}", **more)

    async def demand_sharing(request: Request, name: str) -> None:
        await parts.governor.demand(who_asks(request), "persona.share", target=name, origin=origin_of(request))

    async def index(request: Request) -> Response:
        only(request, "after", "limit")
        who = who_asks(request)
        limit = number_in(request, "limit", _MOST_LISTED, least=1, most=_MOST_LISTED)
        found = personas.listed(who, after=request.query_params.get("after"), limit=limit)
        return JSONResponse({"data": [_persona(one, who) for one in found.values], "next": found.next})

    async def create(request: Request) -> Response:
        body, who = await json_body(request, NewPersona), who_asks(request)
        if body.shared:
            await demand_sharing(request, body.name)
        return JSONResponse(_persona(await personas.create(who, **body.model_dump()), who), 201)

    async def read(request: Request) -> Response:
        who = who_asks(request)
        return JSONResponse(_persona(personas.get(who, request.path_params["persona"]), who))

    async def change(request: Request) -> Response:
        body, who, which = await json_body(request, PersonaChange), who_asks(request), request.path_params["persona"]
        fields = {name: value for name in body.model_fields_set if (value := getattr(body, name)) is not None or name == "model"}
        if not fields:
            raise InvalidRequest("Say what is to be different: name, instructions, model, settings or shared.")
        found = personas.get(who, which)
        if fields.get("shared", found.shared):
            await demand_sharing(request, which)
        return JSONResponse(_persona(await personas.update(who, which, **fields), who))

    async def delete(request: Request) -> Response:
        await personas.delete(who_asks(request), request.path_params["persona"])
        return Response(status_code=204)

    return [
        route("GET", "", index, "List one's personas and those of the project", "read", query=("after", "limit")),
        route("POST", "", create, "Keep a persona", "write", body=NewPersona),
        route("GET", "/{persona}", read, "A persona", "read"),
        route("PATCH", "/{persona}", change, "Change a persona, share it or share it no more", "write", body=PersonaChange),
        route("DELETE", "/{persona}", delete, "Remove a persona", "delete"),
    ]


def _persona(one: Persona, who: Principal) -> dict[str, Any]:
    return {
        "id": one.id,
        "name": one.name,
        "instructions": one.instructions,
        "model": one.model,
        "settings": one.settings,
        "shared": one.shared,
        "mine": one.user == who.user,
        "created": one.created,
        "changed": one.changed,
    }
