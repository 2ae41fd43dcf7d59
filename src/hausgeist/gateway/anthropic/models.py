"""Anthropic's list of models. The paths are OpenAI's as well; the router gives a request with `anthropic-version` to this tongue."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from starlette.datastructures import QueryParams
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from hausgeist.errors import InvalidRequest
from hausgeist.gateway.abilities import effort_levels, sees, thinks
from hausgeist.gateway.anthropic.errors import ANTHROPIC, request_id
from hausgeist.gateway.services import Services
from hausgeist.http.endpoint import Endpoint, Handler
from hausgeist.model import InstalledModel
from hausgeist.serving.planning import launch_plan
from hausgeist.settings import Settings

__all__ = ["endpoints"]

_PAGE = 20
_LARGEST_PAGE = 1000
_PARAMETERS = frozenset({"limit", "after_id", "before_id", "lifecycle", "lifecycle[]", "beta"})


def endpoints(services: Services) -> list[Endpoint]:
    """The routes of this resource, both on paths that OpenAI's tongue has too."""
    return [
        Endpoint(
            method="GET",
            path="/v1/models",
            handle=_list(services),
            dialect=ANTHROPIC,
            summary="List models (Anthropic)",
            action="model.list",
            operations=("models.list", "beta.models.list"),
        ),
        Endpoint(
            method="GET",
            path="/v1/models/{model:path}",
            handle=_retrieve(services),
            dialect=ANTHROPIC,
            summary="Describe a model (Anthropic)",
            action="model.list",
            operations=("models.retrieve", "beta.models.retrieve"),
        ),
    ]


def _list(services: Services) -> Handler:
    async def handle(request: Request) -> Response:
        models = services.door.models(request.state.principal)
        page, more = _page([model.id for model in models], request.query_params)
        chosen = {model.id: model for model in models}
        data = [_describe(chosen[name], services.settings) for name in page]
        body = {"data": data, "has_more": more, "first_id": page[0] if page else None, "last_id": page[-1] if page else None}
        return JSONResponse(body, headers={"request-id": request_id(request)})

    return handle


def _retrieve(services: Services) -> Handler:
    async def handle(request: Request) -> Response:
        model = services.door.model(request.state.principal, request.path_params["model"])
        return JSONResponse(_describe(model, services.settings), headers={"request-id": request_id(request)})

    return handle


def _page(names: list[str], query: QueryParams) -> tuple[list[str], bool]:
    """The names of this page, and whether there are more in the direction of paging."""
    if unknown := [name for name in query if name not in _PARAMETERS]:
        raise InvalidRequest(f"{unknown[0][:80]}: there is no such parameter; leave it out.", param=unknown[0][:80])
    lifecycles = query.getlist("lifecycle") + query.getlist("lifecycle[]")
    if lifecycles and "active" not in lifecycles:
        names = []
    try:
        limit = int(query.get("limit", _PAGE))
    except ValueError:
        limit = 0
    if not 1 <= limit <= _LARGEST_PAGE:
        raise InvalidRequest(f"limit: a whole number from 1 to {_LARGEST_PAGE} is needed.", param="limit")
    after, before = query.get("after_id"), query.get("before_id")
    if after and before:
        raise InvalidRequest("Give either after_id or before_id.", param="after_id")
    for parameter, cursor in (("after_id", after), ("before_id", before)):
        if cursor and cursor not in names:
            raise InvalidRequest(f"{parameter}: there is no model '{cursor[:200]}' in this list.", param=parameter)
    if before:
        end = names.index(before)
        return names[max(0, end - limit) : end], end > limit
    start = names.index(after) + 1 if after else 0
    return names[start : start + limit], len(names) > start + limit


def _describe(model: InstalledModel, settings: Settings) -> dict[str, Any]:
    context = launch_plan(model, model.tasks[0], settings).context
    return {
        "type": "model",
        "id": model.id,
        "display_name": f"{model.id} ({model.notice})" if model.notice else model.id,
        "created_at": datetime.fromtimestamp(model.modified, UTC).isoformat(timespec="seconds").replace("+00:00", "Z"),
        "lifecycle": "active",
        "line": None,
        "deprecated_at": None,
        "retires_at": None,
        "max_input_tokens": context,
        "max_tokens": context,
        "capabilities": _capabilities(model),
    }


def _capabilities(model: InstalledModel) -> dict[str, Any]:
    """Anthropic's list of what a model can, all keys present. Where a file does not tell, the answer is no."""
    yes, no = {"supported": True}, {"supported": False}

    def maybe(known: bool | None) -> dict[str, Any]:
        return yes if known else no

    answers = "generate" in model.tasks
    thinking = answers and bool(thinks(model))
    effort = answers and bool(effort_levels(model))
    return {
        "batch": no,
        "citations": no,
        "code_execution": no,
        "context_management": {"supported": False, "clear_thinking_20251015": no, "clear_tool_uses_20250919": no, "compact_20260112": no},
        "effort": {"supported": effort, **{level: maybe(effort) for level in ("low", "medium", "high", "xhigh", "max")}},
        "image_input": maybe(answers and sees(model)),
        "pdf_input": no,
        "server_tools": {"supported": False, "code_execution": no, "web_search": no},
        "structured_outputs": maybe(answers),
        "thinking": {
            "supported": thinking,
            "types": {"adaptive": maybe(thinking), "between_tools": no, "disabled": maybe(thinking), "enabled": maybe(thinking)},
        },
    }
