"""/house/v1/prompts: the prompt library, one's own texts and those of the project."""

from __future__ import annotations

from typing import Any, Final

from pydantic import Field
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from hausgeist.conversations.prompts import Prompt, Prompts
from hausgeist.errors import InvalidRequest
from hausgeist.http.bodies import Body, json_body
from hausgeist.http.endpoint import Endpoint, Handler
from hausgeist.http.house import HOUSE
from hausgeist.identity import Principal
from hausgeist.web.house.queries import number_in, only
from hausgeist.web.parts import Parts, origin_of, who_asks

__all__ = ["endpoints"]

_PATH: Final = "/house/v1/prompts"
_MOST_LISTED: Final = 200


class NewPrompt(Body):
    """A text that is used again. {{Names in braces}} are gaps, which somebody fills in."""

    name: str = Field(min_length=1, max_length=400)
    text: str = Field(min_length=1)
    shared: bool = False


class PromptChange(Body):
    """What is to be different from now on."""

    name: str | None = Field(None, min_length=1, max_length=400)
    text: str | None = Field(None, min_length=1)
    shared: bool | None = None


def endpoints(parts: Parts) -> list[Endpoint]:
    """The routes of this resource."""
    prompts = Prompts(parts.database)

    def route(method: Any, path: str, handle: Handler, summary: str, action: str, **more: Any) -> Endpoint:
        return Endpoint(method=method, path=f"{_PATH}{path}", handle=handle, dialect=HOUSE, summary=summary, action=f"prompt.{action}", **more)

    async def demand_sharing(request: Request, name: str) -> None:
        await parts.governor.demand(who_asks(request), "prompt.share", target=name, origin=origin_of(request))

    async def index(request: Request) -> Response:
        only(request, "q", "after", "limit")
        who, query = who_asks(request), request.query_params
        limit = number_in(request, "limit", _MOST_LISTED, least=1, most=_MOST_LISTED)
        found = prompts.listed(who, query.get("q", ""), after=query.get("after"), limit=limit)
        return JSONResponse({"data": [_prompt(one, who) for one in found.values], "next": found.next})

    async def create(request: Request) -> Response:
        body, who = await json_body(request, NewPrompt), who_asks(request)
        if body.shared:
            await demand_sharing(request, body.name)
        return JSONResponse(_prompt(await prompts.create(who, **body.model_dump()), who), 201)

    async def read(request: Request) -> Response:
        who = who_asks(request)
        return JSONResponse(_prompt(prompts.get(who, request.path_params["prompt"]), who))

    async def change(request: Request) -> Response:
        body, who, which = await json_body(request, PromptChange), who_asks(request), request.path_params["prompt"]
        fields = {name: value for name in body.model_fields_set if (value := getattr(body, name)) is not None}
        if not fields:
            raise InvalidRequest("Say what is to be different: name, text or shared.")
        found = prompts.get(who, which)
        if fields.get("shared", found.shared):
            await demand_sharing(request, which)
        return JSONResponse(_prompt(await prompts.update(who, which, **fields), who))

    async def delete(request: Request) -> Response:
        await prompts.delete(who_asks(request), request.path_params["prompt"])
        return Response(status_code=204)

    return [
        route("GET", "", index, "List or find one's prompts and those of the project", "read", query=("q", "after", "limit")),
        route("POST", "", create, "Keep a prompt", "write", body=NewPrompt),
        route("GET", "/{prompt}", read, "A prompt", "read"),
        route("PATCH", "/{prompt}", change, "Change a prompt, share it or share it no more", "write", body=PromptChange),
        route("DELETE", "/{prompt}", delete, "Remove a prompt", "delete"),
    ]


def _prompt(one: Prompt, who: Principal) -> dict[str, Any]:
    return {
        "id": one.id,
        "name": one.name,
        "text": one.text,
        "variables": one.variables,
        "shared": one.shared,
        "mine": one.user == who.user,
        "created": one.created,
        "changed": one.changed,
    }
