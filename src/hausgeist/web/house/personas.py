"""/house/v1/personas: named instructions with settings, one's own and those of the project."""

from __future__ import annotations

from typing import Any

from pydantic import Field, JsonValue
from starlette.requests import Request

from hausgeist.conversations.prompts import Listed, Persona, Personas
from hausgeist.http.bodies import Body
from hausgeist.http.endpoint import Endpoint
from hausgeist.identity import Principal
from hausgeist.web.house.shelf import Shelf
from hausgeist.web.parts import Parts

__all__ = ["endpoints"]


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

    def listed(request: Request, who: Principal, limit: int) -> Listed[Persona]:
        return personas.listed(who, after=request.query_params.get("after"), limit=limit)

    query = ("after", "limit")
    shelf = Shelf(
        noun="persona", keeper=personas, listed=listed, query=query, new=NewPersona, change=PersonaChange, clearable=("model",), told=_told
    )  # fmt: skip
    return shelf.endpoints(parts)


def _told(one: Persona) -> dict[str, Any]:
    return {"instructions": one.instructions, "model": one.model, "settings": one.settings}
