"""/house/v1/prompts: the prompt library, one's own texts and those of the project."""

from __future__ import annotations

from typing import Any

from pydantic import Field
from starlette.requests import Request

from hausgeist.conversations.prompts import Listed, Prompt, Prompts
from hausgeist.http.bodies import Body
from hausgeist.http.endpoint import Endpoint
from hausgeist.identity import Principal
from hausgeist.web.house.shelf import Shelf
from hausgeist.web.parts import Parts

__all__ = ["endpoints"]


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

    def listed(request: Request, who: Principal, limit: int) -> Listed[Prompt]:
        query = request.query_params
        return prompts.listed(who, query.get("q", ""), after=query.get("after"), limit=limit)

    shelf = Shelf(noun="prompt", keeper=prompts, listed=listed, query=("q", "after", "limit"), new=NewPrompt, change=PromptChange, told=_told)
    return shelf.endpoints(parts)


def _told(one: Prompt) -> dict[str, Any]:
    return {"text": one.text, "variables": one.variables}
