"""`chat.completions`: create, stream and parse."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Callable, Mapping
from contextlib import aclosing
from typing import Annotated, Any, Literal

from pydantic import Field, StringConstraints, model_validator
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from hausgeist.errors import InvalidRequest, NotSupported
from hausgeist.gateway.abilities import demand_tools, effort_levels, thinks
from hausgeist.gateway.bodies import MOST_MESSAGES, json_body
from hausgeist.gateway.defaults import with_defaults
from hausgeist.gateway.images import demand_room, demand_vision, resolve_image
from hausgeist.gateway.openai.chat_documents import from_documents
from hausgeist.gateway.openai.errors import error_event
from hausgeist.gateway.openai.keeping import Keeper, usage_told
from hausgeist.gateway.openai.messages import Message, decode_messages, images_in, resolve_images
from hausgeist.gateway.openai.metadata import Metadata
from hausgeist.gateway.openai.replies import ChatFold, Logprobs, encode_chat, rewritten
from hausgeist.gateway.openai.sampling import Identity, Sampling, StrictBody, identified
from hausgeist.gateway.openai.schemas import check_plain, check_schema
from hausgeist.gateway.openai.tools import AnyTool, Choice, FileSearchTool, Tool, decode_tools
from hausgeist.gateway.services import Services
from hausgeist.http.streaming import EventStream
from hausgeist.identity import Principal
from hausgeist.model import InstalledModel
from hausgeist.serving.calls import Answer, Call

__all__ = ["PARTLY", "REFUSED", "ChatRequest", "JsonSchema", "ResponseFormat", "create", "decode", "effort_of"]

_INT32 = 2**31 - 1
_TIER = b'"object":"chat.completion.chunk"'
_RESERVED = {"messages", "tools", "add_generation_prompt", "bos_token", "eos_token", "documents"}
"""What templates are given by the engine: a caller's keyword of that name would replace it unseen."""
_BUDGETS = {"minimal": 256, "low": 1024, "medium": 4096, "high": 16_384, "xhigh": -1, "max": -1}
"""Tokens of thinking for models that know no levels of effort; -1: no limit."""

REFUSED: Mapping[str, str] = {
    "audio": "models here answer in text.",
    "function_call": "use 'tool_choice'.",
    "functions": "use 'tools'.",
    "moderation": "there is no classifier of OpenAI's categories here; ask a guard model in a chat of its own.",
    "prediction": "there are no predicted outputs; leave it out.",
    "prompt_cache_key": "prefixes are found by what they are, within the project; leave it out.",
    "web_search_options": "this server does not search the web.",
}
"""Parameters of the SDK that are refused when they are set, and why."""


PARTLY: Mapping[str, tuple[Callable[[Any], bool], str]] = {
    "modalities": (lambda value: value == ["text"], "models here answer in text; use ['text']."),
    "prompt_cache_options": (
        lambda value: value.mode != "explicit" and value.ttl is None,
        "prefixes are found by themselves and kept while there is room; use {'mode': 'implicit'}.",
    ),
    "prompt_cache_retention": (lambda value: value == "in_memory", "prefixes are kept in memory; use 'in_memory'."),
    "service_tier": (lambda value: value in ("auto", "default"), "there is one tier; use 'auto' or 'default'."),
    "verbosity": (lambda value: value == "medium", "say in the prompt how long answers should be."),
}
"""Parameters of which some values are served, which those are, and why not the others."""


class JsonSchema(StrictBody):
    name: Annotated[str, StringConstraints(pattern=r"^[a-zA-Z0-9_-]{1,64}$")]
    description: Annotated[str, StringConstraints(max_length=10_000)] | None = None
    schema_: dict[str, Any] | None = Field(None, alias="schema")
    strict: bool | None = None


class ResponseFormat(StrictBody):
    type: Literal["text", "json_object", "json_schema"]
    json_schema: JsonSchema | None = None


class PromptCacheOptions(StrictBody):
    mode: Literal["implicit", "explicit"] | None = None
    ttl: str | None = None


class ChatRequest(Sampling):
    """The body of `POST /v1/chat/completions`, as the SDK's CompletionCreateParams has it."""

    messages: list[Message] = Field(min_length=1, max_length=MOST_MESSAGES)
    audio: dict[str, Any] | None = None
    function_call: Any = None
    functions: list[dict[str, Any]] | None = None
    logprobs: bool | None = None
    max_completion_tokens: int | None = Field(None, ge=1, le=_INT32)
    max_tokens: int | None = Field(None, ge=1, le=_INT32)
    metadata: Metadata | None = None
    modalities: list[Literal["text", "audio"]] | None = None
    moderation: dict[str, Any] | None = None
    parallel_tool_calls: bool | None = None
    prediction: dict[str, Any] | None = None
    prompt_cache_key: Identity | None = None
    prompt_cache_options: PromptCacheOptions | None = None
    prompt_cache_retention: Literal["in_memory", "24h"] | None = None
    reasoning_effort: Literal["none", "minimal", "low", "medium", "high", "xhigh", "max"] | None = None
    response_format: ResponseFormat | None = None
    safety_identifier: Identity | None = None
    service_tier: Literal["auto", "default", "flex", "scale", "priority", "fast"] | None = None
    store: bool | None = None
    tool_choice: Literal["none", "auto", "required"] | Choice | None = None
    tools: Annotated[list[AnyTool], Field(max_length=128)] | None = None
    top_logprobs: int | None = Field(None, ge=0, le=20)
    verbosity: Literal["low", "medium", "high"] | None = None
    web_search_options: dict[str, Any] | None = None

    chat_template_kwargs: dict[Annotated[str, StringConstraints(pattern=r"^[A-Za-z_][A-Za-z0-9_]{0,63}$")], Any] | None = None
    reasoning_budget_tokens: int | None = Field(None, ge=-1, le=_INT32)
    reasoning_format: Literal["auto", "none", "deepseek"] | None = None

    @model_validator(mode="after")
    def _together(self) -> ChatRequest:
        if self.max_tokens is not None and self.max_completion_tokens is not None:
            raise ValueError("'max_tokens' and 'max_completion_tokens' cannot be set at the same time; use the second")
        if self.top_logprobs is not None and not self.logprobs:
            raise ValueError("'top_logprobs' needs 'logprobs' to be true")
        if self.response_format is not None and self.response_format.type == "json_schema" and self.response_format.json_schema is None:
            raise ValueError("'response_format' of type 'json_schema' needs the field 'json_schema'")
        return self


def decode(request: ChatRequest, model: InstalledModel) -> dict[str, Any]:
    """The engine's body; image addresses are still as they came. Raises what is not served, naming the parameter. Pure."""
    _refuse(request)
    messages = decode_messages(request.messages)
    body: dict[str, Any] = {"messages": messages, **request.sampled(model)}
    if (limit := request.max_completion_tokens or request.max_tokens) is not None:
        body["max_tokens"] = limit
    if request.n is not None and request.n > 1:
        body["n"] = request.n
    if request.logprobs:
        # Asked for none, the engine leaves the chosen token's away as well; `Logprobs` cuts the list to what was asked for.
        body["logprobs"], body["top_logprobs"] = True, max(1, request.top_logprobs or 0)
    body.update(_tools(request, model))
    body.update(_format(request, messages))
    body.update(_thinking(request, model))
    return body


async def create(request: Request, services: Services) -> Response:
    who, origin = request.state.principal, request.state.origin
    asked = await json_body(request, ChatRequest)
    model = services.door.model(who, asked.model)
    body = decode(asked, model)
    if any(isinstance(tool, FileSearchTool) for tool in asked.tools or ()):
        return await from_documents(asked, body, services, who, origin, keeper=_keeper(asked, services, who))
    if places := images_in(body["messages"]):
        demand_vision(model, param=places[0][0])
        await resolve_images(body["messages"], lambda url, place: resolve_image(url, services, who, origin, param=place))
        demand_room(body["messages"])
        await services.converter.convert(body["messages"])
    many = asked.n or 1
    # Only a stream tells what each of several answers took, and leaves out the beginning of an answer that is to be continued: the engine's
    # whole reply counts one answer, and repeats what the last message said. Its parts are put together again below.
    folded = not asked.streamed and (many > 1 or asked.messages[-1].role == "assistant")
    origin = identified(origin, asked.safety_identifier or asked.user)
    call = Call(
        model=asked.model,
        operation="chat",
        body=with_defaults(model, body),
        origin=origin,
        stream=asked.streamed or folded,
        stream_usage=asked.stream_usage or folded or many > 1,
        context=asked.num_ctx,
        keep_alive=asked.keep_alive,
        share=many,
    )
    answer = await services.door.call(who, call)
    logprobs = Logprobs(asked.top_logprobs or 0) if asked.logprobs else None
    tier = "default" if asked.service_tier else None
    keeper = _keeper(asked, services, who)
    if asked.streamed:
        parsed = logprobs is not None or many > 1
        events = rewritten(answer, logprobs=logprobs, usage=asked.stream_usage, tier=tier) if parsed else _passed(answer, tier)
        if keeper is not None:

            def whole(fold: ChatFold) -> dict[str, Any]:
                return encode_chat({**fold.reply(), "usage": usage_told(answer.usage)}, model=asked.model, logprobs=logprobs, tier=tier)

            events = keeper.following(events, whole)
        return await EventStream.begin(events, failure=error_event)
    async with answer:
        if folded:
            fold = ChatFold(asked.model)
            async for event in answer.events():
                fold.add(event)
            reply = fold.reply()
        else:
            reply = await answer.json()
    encoded = encode_chat(reply, model=asked.model, logprobs=logprobs, tier=tier)
    if keeper is not None:
        await keeper.keep(encoded)
    return JSONResponse(encoded)


def _keeper(asked: ChatRequest, services: Services, who: Principal) -> Keeper | None:
    """`None` for what is not to be stored."""
    if not asked.store:
        return None
    return Keeper(completions=services.completions, who=who, model=asked.model, messages=asked.messages, metadata=asked.metadata or {})


async def _passed(answer: Answer, tier: str | None) -> AsyncGenerator[bytes, None]:
    """The engine's own events. Their text is JSON, in which a quotation mark is escaped: what is replaced cannot stand within an answer."""
    async with answer, aclosing(answer.chunks()) as chunks:  # type: ignore[type-var]
        if tier is None:
            async for chunk in chunks:
                yield chunk
        else:
            replacement = _TIER + b',"service_tier":"' + tier.encode() + b'"'
            async for chunk in chunks:
                yield chunk.replace(_TIER, replacement)


def _refuse(request: ChatRequest) -> None:
    """Parameters that are not served, and values of others; an empty object counts as set, as `web_search_options: {}` does for OpenAI."""
    for name, reason in REFUSED.items():
        if getattr(request, name) not in (None, False, []):
            raise NotSupported(f"'{name}' is not supported here: {reason}", param=name)
    for name, (served, reason) in PARTLY.items():
        value = getattr(request, name)
        if value is not None and not served(value):
            raise NotSupported(f"'{name}': this value is not supported here: {reason}", param=name)
    if request.metadata and not request.store:
        raise InvalidRequest("'metadata' is only allowed when 'store' is true: it belongs to what is stored.", param="metadata")


def _tools(request: ChatRequest, model: InstalledModel) -> dict[str, Any]:
    tools = [tool for tool in request.tools or () if isinstance(tool, Tool)]
    choice = None if request.tool_choice == "required" and not tools and request.tools else request.tool_choice
    body = decode_tools(tools, choice, request.parallel_tool_calls)
    if not body:
        return body
    demand_tools(model)
    if request.logprobs and (request.streamed or (request.n or 1) > 1):
        raise NotSupported("'logprobs' together with 'tools' is only supported for one answer that is not streamed.", param="logprobs")
    if request.response_format is not None and request.response_format.type != "text" and "tool_choice" not in body:
        raise NotSupported(
            "'response_format' together with 'tools' is not supported: the engine would never call a tool. "
            "Set 'tool_choice' to 'required' or 'none', or ask in two steps.",
            param="response_format",
        )
    return body


def _format(request: ChatRequest, messages: list[dict[str, Any]]) -> dict[str, Any]:
    """`response_format`; what its description says, the model is told."""
    wanted = request.response_format
    if wanted is None or wanted.type == "text" or request.tool_choice == "required" or _names_function(request.tool_choice):
        return {}
    if wanted.type == "json_object" or wanted.json_schema is None:
        return {"response_format": {"type": "json_object"}}
    given = wanted.json_schema
    schema = given.schema_ or {"type": "object"}
    check_schema(schema, "response_format.json_schema.schema", strict=bool(given.strict))
    if given.description:
        told = f'Answer in the JSON format "{given.name}": {given.description}'
        if messages[0]["role"] in ("system", "developer"):
            messages[0]["content"] = f"{messages[0]['content']}\n\n{told}"
        else:
            messages.insert(0, {"role": "system", "content": told})
    return {"response_format": {"type": "json_schema", "json_schema": {"name": given.name, "schema": schema, "strict": True}}}


def _names_function(choice: Any) -> bool:
    return isinstance(choice, Choice) and (
        choice.type == "function" or (choice.allowed_tools is not None and choice.allowed_tools.mode == "required")
    )


def _thinking(request: ChatRequest, model: InstalledModel) -> dict[str, Any]:
    """Effort and budget of reasoning. Models without levels of effort get it as a budget of tokens; models that do not reason say so."""
    body: dict[str, Any] = {}
    if request.chat_template_kwargs:
        if reserved := sorted(_RESERVED & request.chat_template_kwargs.keys()):
            raise InvalidRequest(f"'chat_template_kwargs' must not contain '{reserved[0]}'.", param="chat_template_kwargs")
        check_plain(request.chat_template_kwargs, "chat_template_kwargs")
        body["chat_template_kwargs"] = request.chat_template_kwargs
    effort = request.reasoning_effort
    for name in ("reasoning_effort", "reasoning_budget_tokens", "reasoning_format"):
        value = getattr(request, name)
        if value not in (None, "none", 0) and thinks(model) is False:
            raise InvalidRequest(f"'{name}' is not supported with the model '{model.id}', which does not reason.", param=name)
        if value is not None and name != "reasoning_effort":
            if model.engine == "remote":
                raise NotSupported(f"'{name}' is not supported by the server that runs '{model.id}'; leave it out.", param=name)
            body[name] = value
    return {**effort_of(effort, model), **body}


def effort_of(effort: str | None, model: InstalledModel) -> dict[str, Any]:
    """A level of effort in the engine's words: as a level where the model's template knows them, else as a budget of tokens."""
    if effort is None:
        return {}
    if effort == "none" or effort_levels(model) is not False:
        return {"reasoning_effort": effort}
    return {"reasoning_budget_tokens": _BUDGETS[effort]}
