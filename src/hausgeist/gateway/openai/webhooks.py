"""`webhooks`: create, retrieve, update, list, delete, rotate_secret, test, and `event_types.list`. A secret is in the answer that makes it and
never again."""

from __future__ import annotations

from functools import partial
from typing import Annotated, Any, Final, Literal, get_args

from pydantic import Field, StringConstraints
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from hausgeist.errors import InvalidRequest, NotSupported
from hausgeist.gateway.bodies import json_body
from hausgeist.gateway.openai.errors import OPENAI
from hausgeist.gateway.openai.paging import page_body, read_paging
from hausgeist.gateway.openai.sampling import StrictBody
from hausgeist.gateway.services import Services
from hausgeist.http.bodies import parse
from hausgeist.http.endpoint import Endpoint
from hausgeist.webhooks.events import EVENT_TYPES
from hausgeist.webhooks.records import Endpoint as Told
from hausgeist.webhooks.signing import hint

__all__ = ["NewWebhook", "RotateSecret", "WebhookTrial", "WebhookUpdate", "endpoints"]

EventType = Literal[
    "batch.completed", "batch.failed", "batch.expired", "batch.cancelled", "response.completed", "response.failed", "response.cancelled",
    "response.incomplete", "eval.run.succeeded", "eval.run.failed", "eval.run.canceled", "fine_tuning.job.succeeded", "fine_tuning.job.failed",
    "fine_tuning.job.cancelled", "realtime.call.incoming", "video.completed", "video.failed", "agent.environment.ready",
    "agent.environment.failed", "agent.environment.suspended", "agent.environment.expired", "agent.session.created",
    "agent.session.action_required", "agent.session.in_progress", "agent.session.idle", "agent.session.failed", "safety.alert.created",
]  # fmt: skip
"""OpenAI's; `EVENT_TYPES` are those that happen here."""
Events = Annotated[list[EventType], Field(min_length=1, max_length=len(get_args(EventType)))]
Name = Annotated[str, StringConstraints(min_length=1, max_length=256)]
Address = Annotated[str, StringConstraints(min_length=1, max_length=2048)]

_PATH: Final = "/v1/webhook_endpoints"


class NewWebhook(StrictBody):
    """The body of `POST /v1/webhook_endpoints`, as the SDK's WebhookCreateParams has it."""

    event_types: Events
    name: Name
    url: Address


class WebhookUpdate(StrictBody):
    """What is left out stays as it is."""

    event_types: Events | None = None
    name: Name | None = None
    url: Address | None = None


class RotateSecret(StrictBody):
    keep_old_secret_active_for_24_hours: bool | None = None


class WebhookTrial(StrictBody):
    event_type: EventType


def endpoints(services: Services) -> list[Endpoint]:
    """The routes of this resource. Those that make or change an address say in the audit table which one."""
    one = f"{_PATH}/{{endpoint}}"
    return [
        Endpoint(
            method="GET", path="/v1/webhook_event_types", handle=event_types, dialect=OPENAI, summary="What webhooks can be told of.",
            operations=("webhooks.event_types.list",),
        ),
        Endpoint(
            method="POST", path=_PATH, handle=partial(create, services=services), dialect=OPENAI, body=NewWebhook,
            summary="Have an address told of what happens in a project.", operations=("webhooks.create",),
        ),
        Endpoint(
            method="GET", path=_PATH, handle=partial(list_webhooks, services=services), dialect=OPENAI, action="webhook.list",
            summary="List the addresses that are told.", operations=("webhooks.list",), query=("after", "limit"),
        ),
        Endpoint(
            method="GET", path=one, handle=partial(retrieve, services=services), dialect=OPENAI, action="webhook.list",
            summary="An address that is told.", operations=("webhooks.retrieve",),
        ),
        Endpoint(
            method="POST", path=one, handle=partial(update, services=services), dialect=OPENAI, body=WebhookUpdate,
            summary="Change an address that is told, or what it is told.", operations=("webhooks.update",),
        ),
        Endpoint(
            method="DELETE", path=one, handle=partial(delete, services=services), dialect=OPENAI, action="webhook.delete",
            summary="Have an address told no more.", operations=("webhooks.delete",),
        ),
        Endpoint(
            method="POST", path=f"{one}/rotate_secret", handle=partial(rotate_secret, services=services), dialect=OPENAI, body=RotateSecret,
            action="webhook.update", summary="Sign by a new secret from now on.", operations=("webhooks.rotate_secret",),
        ),
        Endpoint(
            method="POST", path=f"{one}/test", handle=partial(test, services=services), dialect=OPENAI, body=WebhookTrial, action="webhook.test",
            summary="Send an address an event that is made up.", operations=("webhooks.test",),
        ),
    ]  # fmt: skip


async def event_types(request: Request) -> Response:
    return JSONResponse({"object": "list", "data": list(EVENT_TYPES)})


async def create(request: Request, services: Services) -> Response:
    asked = await json_body(request, NewWebhook)
    who, origin = request.state.principal, request.state.origin
    await services.governor.demand(who, "webhook.create", target=f"{asked.name}: {_events(asked.event_types)}", origin=origin)
    made = await services.webhooks.create(who, name=asked.name, url=asked.url, events=_served(asked.event_types), origin=origin)
    return JSONResponse({**_encoded(made), "signing_secret": made.secret})


async def list_webhooks(request: Request, services: Services) -> Response:
    asked = read_paging(request, order="desc")
    if asked.order != "desc":
        raise InvalidRequest("order: webhook endpoints are listed with the newest first; leave it out", param="order")
    found, more = services.webhooks.page(request.state.principal, after=asked.after, limit=asked.limit)
    return JSONResponse(page_body([_encoded(one) for one in found], more=more))


async def retrieve(request: Request, services: Services) -> Response:
    return JSONResponse(_encoded(services.webhooks.get(request.state.principal, request.path_params["endpoint"])))


async def update(request: Request, services: Services) -> Response:
    asked = await json_body(request, WebhookUpdate)
    who, origin, endpoint = request.state.principal, request.state.origin, request.path_params["endpoint"]
    what = ", ".join(name for name in ("name", "url", "event_types") if getattr(asked, name) is not None) or "nothing"
    await services.governor.demand(who, "webhook.update", target=f"{endpoint}: {what}", origin=origin)
    events = _served(asked.event_types) if asked.event_types is not None else None
    changed = await services.webhooks.update(who, endpoint, name=asked.name, url=asked.url, events=events, origin=origin)
    return JSONResponse(_encoded(changed))


async def delete(request: Request, services: Services) -> Response:
    endpoint = request.path_params["endpoint"]
    await services.webhooks.delete(request.state.principal, endpoint)
    return JSONResponse({"id": endpoint, "object": "webhook_endpoint.deleted", "deleted": True})


async def rotate_secret(request: Request, services: Services) -> Response:
    # Where nothing is said, the SDK sends an empty object, and others no body at all.
    asked = parse(await request.body() or b"{}", RotateSecret)
    who, endpoint = request.state.principal, request.path_params["endpoint"]
    changed = await services.webhooks.rotate_secret(who, endpoint, keep_old=bool(asked.keep_old_secret_active_for_24_hours))
    return JSONResponse({**_encoded(changed), "signing_secret": changed.secret})


async def test(request: Request, services: Services) -> Response:
    asked = await json_body(request, WebhookTrial)
    (kind,) = _served([asked.event_type], param="event_type")
    endpoint = request.path_params["endpoint"]
    status = await services.webhooks.test(request.state.principal, endpoint, kind, origin=request.state.origin)
    told = {"object": "webhook_endpoint.test", "webhook_endpoint_id": endpoint, "event_type": kind, "success": True, "status_code": status}
    return JSONResponse(told)


def _served(wanted: list[EventType], *, param: str = "event_types") -> list[str]:
    """Raises `NotSupported` for events that never happen here: nobody shall wait for them."""
    if missing := [kind for kind in wanted if kind not in EVENT_TYPES]:
        raise NotSupported(f"'{param}': '{missing[0]}' does not happen on this server; it tells of {', '.join(EVENT_TYPES)}.", param=param)
    return list(wanted)


def _events(kinds: list[EventType]) -> str:
    return ", ".join(dict.fromkeys(kinds))


def _encoded(endpoint: Told) -> dict[str, Any]:
    return {
        "id": endpoint.id,
        "object": "webhook_endpoint",
        "created_at": int(endpoint.created),
        "updated_at": int(endpoint.changed),
        "name": endpoint.name,
        "url": endpoint.url,
        "event_types": list(endpoint.events),
        "signing_secret_hint": hint(endpoint.secret),
    }
