"""/house/v1/responses/{id}/citations: where each quotation and claim of an answer stands, and what was caught. The API's own name files only."""

from __future__ import annotations

from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from hausgeist.http.endpoint import Endpoint
from hausgeist.http.house import HOUSE
from hausgeist.web.parts import Parts, who_asks

__all__ = ["endpoints"]


def endpoints(parts: Parts) -> list[Endpoint]:
    """The route of citations."""

    async def citations(request: Request) -> Response:
        """Empty lists for a response that read no documents."""
        facts = parts.responses.get(who_asks(request), str(request.path_params["response"])).facts
        return JSONResponse({
            "object": "response.citations", "mode": facts.get("mode"), "answered": facts.get("answered", True),
            "documents": facts.get("documents", 0), "data": list(facts.get("citations", ())),
            "passages": list(facts.get("passages", ())),
        })  # fmt: skip

    return [
        Endpoint(
            method="GET", path="/house/v1/responses/{response}/citations", handle=citations, dialect=HOUSE, action="conversation.read",
            summary="Where the quotations of a response stand, and whether they are verbatim",
        )
    ]  # fmt: skip
