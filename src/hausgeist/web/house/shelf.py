"""The five routes of what people keep under a name, for themselves or for their project: personas and prompts. What one holds is theirs to say."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any, Final, Generic, Protocol, TypeVar

from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from hausgeist.conversations.prompts import Listed, Persona, Prompt
from hausgeist.errors import InvalidRequest
from hausgeist.http.bodies import Body, json_body
from hausgeist.http.endpoint import Endpoint, Handler
from hausgeist.http.house import HOUSE
from hausgeist.identity import Principal
from hausgeist.web.house.queries import number_in, only
from hausgeist.web.parts import Parts, origin_of, who_asks

__all__ = ["Shelf"]

_MOST_LISTED: Final = 200
V = TypeVar("V", Persona, Prompt)
V_co = TypeVar("V_co", Persona, Prompt, covariant=True)


class Keeper(Protocol[V_co]):
    """Who keeps them."""

    def get(self, who: Principal, which: str, /) -> V_co: ...
    async def delete(self, who: Principal, which: str, /) -> None: ...
    @property
    def create(self) -> Callable[..., Awaitable[V_co]]: ...
    @property
    def update(self) -> Callable[..., Awaitable[V_co]]: ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Shelf(Generic[V]):
    """One of the two resources."""

    noun: str
    """"persona": in paths, actions and sentences."""
    keeper: Keeper[V]
    listed: Callable[[Request, Principal, int], Listed[V]]
    """So many at most, as the query asks."""
    query: tuple[str, ...]
    new: type[Body]
    """Has `name` and `shared`, as `change` has."""
    change: type[Body]
    clearable: tuple[str, ...] = ()
    """Fields that null clears; elsewhere it changes nothing."""
    told: Callable[[V], dict[str, Any]]
    """What there is between the name and who may see it."""

    def endpoints(self, parts: Parts) -> list[Endpoint]:
        """The routes of this resource."""
        noun, keeper = self.noun, self.keeper

        async def demand_sharing(request: Request, name: str) -> None:
            await parts.governor.demand(who_asks(request), f"{noun}.share", target=name, origin=origin_of(request))

        async def index(request: Request) -> Response:
            only(request, *self.query)
            who = who_asks(request)
            found = self.listed(request, who, number_in(request, "limit", _MOST_LISTED, least=1, most=_MOST_LISTED))
            return JSONResponse({"data": [self._told(one, who) for one in found.values], "next": found.next})

        async def create(request: Request) -> Response:
            body, who = await json_body(request, self.new), who_asks(request)
            fields = body.model_dump()
            if fields["shared"]:
                await demand_sharing(request, fields["name"])
            return JSONResponse(self._told(await keeper.create(who, **fields), who), 201)

        async def read(request: Request) -> Response:
            who = who_asks(request)
            return JSONResponse(self._told(keeper.get(who, request.path_params[noun]), who))

        async def change(request: Request) -> Response:
            body, who, which = await json_body(request, self.change), who_asks(request), request.path_params[noun]
            fields = {name: value for name in body.model_fields_set if (value := getattr(body, name)) is not None or name in self.clearable}
            if not fields:
                *names, last = self.change.model_fields
                raise InvalidRequest(f"Say what is to be different: {', '.join(names)} or {last}.")
            if fields.get("shared", keeper.get(who, which).shared):
                await demand_sharing(request, which)
            return JSONResponse(self._told(await keeper.update(who, which, **fields), who))

        async def delete(request: Request) -> Response:
            await keeper.delete(who_asks(request), request.path_params[noun])
            return Response(status_code=204)

        def route(method: Any, path: str, handle: Handler, summary: str, action: str, **more: Any) -> Endpoint:
            path = f"/house/v1/{noun}s{path}"
            return Endpoint(method=method, path=path, handle=handle, dialect=HOUSE, summary=summary, action=f"{noun}.{action}", **more)

        found = "List or find" if "q" in self.query else "List"
        return [
            route("GET", "", index, f"{found} one's {noun}s and those of the project", "read", query=self.query),
            route("POST", "", create, f"Keep a {noun}", "write", body=self.new),
            route("GET", f"/{{{noun}}}", read, f"A {noun}", "read"),
            route("PATCH", f"/{{{noun}}}", change, f"Change a {noun}, share it or share it no more", "write", body=self.change),
            route("DELETE", f"/{{{noun}}}", delete, f"Remove a {noun}", "delete"),
        ]

    def _told(self, one: V, who: Principal) -> dict[str, Any]:
        return {
            "id": one.id, "name": one.name, **self.told(one), "shared": one.shared, "mine": one.user == who.user, "created": one.created,
            "changed": one.changed,
        }  # fmt: skip
