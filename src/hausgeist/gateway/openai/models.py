"""`models`: list, retrieve, delete."""

from __future__ import annotations

from typing import Any
from urllib.parse import unquote

from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from hausgeist.errors import InvalidRequest
from hausgeist.gateway.services import Services
from hausgeist.model import InstalledModel

__all__ = ["delete", "encode_model", "list_models", "retrieve"]


def encode_model(model: InstalledModel) -> dict[str, Any]:
    return {"id": model.id, "object": "model", "created": int(model.modified), "owned_by": "hausgeist"}


async def list_models(request: Request, services: Services) -> Response:
    models = services.door.models(request.state.principal)
    return JSONResponse({"object": "list", "data": [encode_model(model) for model in models]})


async def retrieve(request: Request, services: Services) -> Response:
    return JSONResponse(encode_model(services.door.model(request.state.principal, _name(request))))


async def delete(request: Request, services: Services) -> Response:
    who = request.state.principal
    model = services.door.model(who, _name(request))
    if not model.removable:
        raise InvalidRequest(
            f"The model '{model.id}' cannot be deleted: it is not stored here but comes with the server or its settings.", param="model"
        )
    await services.door.remove(who, model.id, origin=request.state.origin)
    return JSONResponse({"id": model.id, "object": "model", "deleted": True})


def _name(request: Request) -> str:
    """The name in the path; clients that escape it once more than needed ("hf.co%252Fowner") are understood as well."""
    name = str(request.path_params["model"])
    return unquote(name) if "%" in name else name
