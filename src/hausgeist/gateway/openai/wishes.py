"""Requests for responses: the SDK's parameters, checked, and what becomes of each. Pure; what has to be looked up is handed in."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Annotated, Any, Final, Literal

from pydantic import ConfigDict, Discriminator, Field, StringConstraints, Tag, model_validator

from hausgeist.conversations.responses.ask import Ask
from hausgeist.errors import InvalidRequest, NotSupported, shown
from hausgeist.gateway.abilities import demand_tools, thinks
from hausgeist.gateway.bodies import Body
from hausgeist.gateway.openai.chat import effort_of
from hausgeist.gateway.openai.items import InputItems
from hausgeist.gateway.openai.sampling import Extras, Identity, StopText, StreamOptions, StrictBody
from hausgeist.gateway.openai.schemas import check_schema
from hausgeist.gateway.openai.tools import AllowedTools, Choice, FunctionDefinition, Named, decode_tools
from hausgeist.gateway.openai.tools import Tool as ChatTool
from hausgeist.model import InstalledModel
from hausgeist.tools import Source, Tool

__all__ = [
    "INCLUDES",
    "PARTLY",
    "REFUSED",
    "UNSERVED_TOOLS",
    "CompactRequest",
    "CountRequest",
    "FunctionTool",
    "Metadata",
    "Reasoning",
    "ResponseRequest",
    "TextConfig",
    "TextFormat",
    "ToolChoice",
    "Wish",
    "check_include",
    "decode",
]

_INT32: Final = 2**31 - 1
ModelName = Annotated[str, StringConstraints(min_length=1, max_length=512)]
ResponseId = Annotated[str, StringConstraints(min_length=1, max_length=128)]
Metadata = Annotated[
    dict[Annotated[str, StringConstraints(min_length=1, max_length=64)], Annotated[str, StringConstraints(max_length=512)]], Field(max_length=16)
]

REFUSED: Mapping[str, str] = {
    "access_programs": "there are none here.",
    "context_management": "call responses.compact when a conversation has become long, or use 'truncation': 'auto'.",
    "moderation": "responses are not moderated here.",
    "prompt": "prompts are not stored here; send their text.",
}
"""Parameters of the SDK that are refused when they are set, and why."""

PARTLY: Mapping[str, tuple[Callable[[Any], bool], str]] = {
    "image": (lambda value: value.get("context_compression") in (None, "auto", "disabled"), "images are not compressed; use 'disabled'."),
    "prompt_cache_options": (
        lambda value: value.get("mode") in (None, "implicit") and set(value) <= {"mode"},
        "prefixes are found by themselves and kept while there is room; use {'mode': 'implicit'}.",
    ),
    "prompt_cache_retention": (lambda value: value == "in_memory", "prefixes are kept in memory; use 'in_memory'."),
    "service_tier": (lambda value: value in ("auto", "default"), "there is one tier; use 'auto' or 'default'."),
    "personality": (lambda value: False, "say in 'instructions' how the model shall be."),
}
"""Parameters of which some values are served, which those are, and why not the others."""

INCLUDES: Mapping[str, bool] = {
    "file_search_call.results": True,
    "message.input_image.image_url": True,
    "message.output_text.logprobs": True,
    "reasoning.encrypted_content": True,
    "code_interpreter_call.outputs": False,
    "computer_call_output.output.image_url": False,
    "web_search_call.action.sources": False,
    "web_search_call.results": False,
}
"""What may be asked for besides, and whether it can be here."""

UNSERVED_TOOLS: Mapping[str, str] = {
    **dict.fromkeys(
        ("web_search", "web_search_2025_08_26", "web_search_preview", "web_search_preview_2025_03_11"), "this server does not search the web."
    ),
    **dict.fromkeys(("computer", "computer_use", "computer_use_preview"), "there is no computer use."),
    **dict.fromkeys(("local_shell", "shell"), "there is no shell; offer one as a function."),
    "apply_patch": "there is no patch tool; offer one as a function.",
    "code_interpreter": "there is no code interpreter.",
    "custom": "describe it as a function with one string parameter.",
    "file_search": "documents are not searched here.",
    "image_generation": "there is no image generation.",
    "mcp": "MCP servers are not set up here.",
    "namespace": "tools have no namespaces; name the functions themselves.",
    "programmatic_tool_calling": "there is no programmatic tool calling.",
    "tool_search": "tools are not searched for; name them.",
}
"""Types of tools that the SDK knows, and why they are refused; those that run here are handed to the runner, and served."""


class FunctionTool(StrictBody):
    """A function of the client."""

    type: Literal["function"]
    name: Annotated[str, StringConstraints(pattern=r"^[a-zA-Z0-9_.-]{1,64}$")]
    parameters: dict[str, Any] | None = None
    strict: bool | None = None
    description: str | None = None
    allowed_callers: list[str] | None = None
    asynchronous: bool | None = Field(None, alias="async")
    defer_loading: bool | None = None
    output_schema: dict[str, Any] | None = None


class OtherTool(Body):
    """A tool of another type; what it may have is its own business."""

    model_config = ConfigDict(extra="allow", frozen=True)
    type: Annotated[str, StringConstraints(min_length=1, max_length=64)]


def _kind(value: Any) -> str:
    kind = value.get("type") if isinstance(value, Mapping) else getattr(value, "type", None)
    return "tool:function" if kind == "function" else "tool:"


AnyTool = Annotated[Annotated[FunctionTool, Tag("tool:function")] | Annotated[OtherTool, Tag("tool:")], Discriminator(_kind)]


class ToolChoice(StrictBody):
    """`tool_choice` where it is an object."""

    type: Annotated[str, StringConstraints(min_length=1, max_length=64)]
    name: str | None = None
    server_label: str | None = None
    mode: Literal["auto", "required"] | None = None
    tools: list[dict[str, Any]] | None = None


class Reasoning(StrictBody):
    effort: Literal["none", "minimal", "low", "medium", "high", "xhigh", "max"] | None = None
    summary: Literal["auto", "concise", "detailed"] | None = None
    generate_summary: Literal["auto", "concise", "detailed"] | None = None
    context: Literal["auto", "current_turn", "all_turns"] | None = None
    mode: str | None = None


class TextFormat(StrictBody):
    type: Literal["text", "json_object", "json_schema"]
    name: Annotated[str, StringConstraints(pattern=r"^[a-zA-Z0-9_-]{1,64}$")] | None = None
    schema_: dict[str, Any] | None = Field(None, alias="schema")
    description: Annotated[str, StringConstraints(max_length=10_000)] | None = None
    strict: bool | None = None

    @model_validator(mode="after")
    def _whole(self) -> TextFormat:
        if self.type == "json_schema" and (self.name is None or self.schema_ is None):
            raise ValueError("a format of type 'json_schema' needs the fields 'name' and 'schema'")
        return self


class TextConfig(StrictBody):
    format: TextFormat | None = None
    verbosity: Literal["low", "medium", "high"] | None = None


class ConversationName(StrictBody):
    id: ResponseId


class Wish(StrictBody):
    """What requests for responses, and for the number of their tokens, have in common."""

    model: ModelName
    input: str | InputItems | None = None
    instructions: str | None = None
    previous_response_id: ResponseId | None = None
    conversation: ResponseId | ConversationName | None = None
    parallel_tool_calls: bool | None = None
    reasoning: Reasoning | None = None
    text: TextConfig | None = None
    tool_choice: Literal["none", "auto", "required"] | ToolChoice | None = None
    tools: Annotated[list[AnyTool], Field(max_length=128)] | None = None
    truncation: Literal["auto", "disabled"] | None = None

    @model_validator(mode="after")
    def _one_past(self) -> Wish:
        if self.conversation is not None and self.previous_response_id is not None:
            raise ValueError("'conversation' and 'previous_response_id' cannot be set at the same time")
        return self

    @property
    def place(self) -> str | None:
        """The id of the conversation."""
        return self.conversation.id if isinstance(self.conversation, ConversationName) else self.conversation


class ResponseRequest(Wish, Extras):
    """The body of `POST /v1/responses`, as the SDK's ResponseCreateParams has it."""

    access_programs: dict[str, Any] | None = None
    background: bool | None = None
    context_management: list[dict[str, Any]] | None = None
    image: dict[str, Any] | None = None
    include: list[str] | None = None
    max_output_tokens: int | None = Field(None, ge=1, le=_INT32)
    max_tool_calls: int | None = Field(None, ge=1, le=_INT32)
    metadata: Metadata | None = None
    moderation: dict[str, Any] | None = None
    prompt: dict[str, Any] | None = None
    prompt_cache_key: Identity | None = None
    prompt_cache_options: dict[str, Any] | None = None
    prompt_cache_retention: Literal["in_memory", "24h"] | None = None
    safety_identifier: Identity | None = None
    service_tier: Literal["auto", "default", "flex", "scale", "priority", "fast", "ultrafast"] | None = None
    store: bool | None = None
    stream: bool | None = None
    stream_options: StreamOptions | None = None
    temperature: float | None = Field(None, ge=0, le=2)
    top_logprobs: int | None = Field(None, ge=0, le=20)
    top_p: float | None = Field(None, ge=0, le=1)
    user: Identity | None = None

    seed: int | None = Field(None, ge=-(2**63), lt=2**63)
    stop: StopText | Annotated[list[StopText], Field(max_length=16)] | None = None

    @model_validator(mode="after")
    def _together(self) -> ResponseRequest:
        if self.store is False and self.background:
            raise ValueError("'background' needs 'store': what is made in the background has to be kept")
        if self.store is False and self.conversation is not None:
            raise ValueError("'conversation' keeps what is said; leave out 'store': false, or send the items yourself")
        if self.stream_options is not None and not self.stream:
            raise ValueError("'stream_options' is only allowed when 'stream' is true")
        if self.top_logprobs and "message.output_text.logprobs" not in (self.include or ()):
            raise ValueError("'top_logprobs' needs 'message.output_text.logprobs' in 'include'")
        return self


class CountRequest(Wish):
    """The body of `POST /v1/responses/input_tokens`."""

    personality: str | None = None


class CompactRequest(StrictBody):
    """The body of `POST /v1/responses/compact`."""

    model: ModelName
    image: dict[str, Any] | None = None
    input: str | InputItems | None = None
    instructions: str | None = None
    previous_response_id: ResponseId | None = None
    prompt_cache_key: Identity | None = None
    prompt_cache_options: dict[str, Any] | None = None
    prompt_cache_retention: Literal["in_memory", "24h"] | None = None
    service_tier: Literal["auto", "default", "fast", "flex", "priority"] | None = None


def refuse(request: StrictBody) -> None:
    """Raise `NotSupported` for parameters that are not served, and for values of others."""
    for name, reason in REFUSED.items():
        if getattr(request, name, None) not in (None, False, []):
            raise NotSupported(f"'{name}' is not supported here: {reason}", param=name)
    for name, (served, why) in PARTLY.items():
        value = getattr(request, name, None)
        if value is not None and not served(value):
            raise NotSupported(f"'{name}': this value is not supported here: {why}", param=name)


def check_include(include: Sequence[str] | None) -> tuple[str, ...]:
    """What is wanted besides. Raises `NotSupported` for what cannot be here, `InvalidRequest` for what nobody knows."""
    for name in include or ():
        if not INCLUDES.get(name, True):
            raise NotSupported(f"'include': '{name}' is not supported here: there is nothing that it could be of.", param="include")
        if name not in INCLUDES:
            raise InvalidRequest(f"'include': there is no '{shown(name, 80)}'; there are {', '.join(INCLUDES)}.", param="include")
    return tuple(dict.fromkeys(include or ()))


def decode(request: Wish, model: InstalledModel, items: Sequence[Mapping[str, Any]], tools: Mapping[str, Tool]) -> Ask:
    """The request in the runner's words. `items`: its input as it is kept; `tools`: those that run here, by their type."""
    refuse(request)
    here = _tools_here(request, tools)
    body: dict[str, Any] = {**_functions(request, bool(here)), **_thinking(request, model)}
    # What a source gives to read, any model can read.
    if "tools" in body or any(not isinstance(tools[str(spec["type"])], Source) for spec in here):
        demand_tools(model)
    format_body, told = _format(request, "tools" in body or bool(here))
    body |= format_body
    asked: dict[str, Any] = {
        "model": request.model, "input": items, "tools": here, "choice": _choice_here(request, here), "previous": request.previous_response_id,
        "conversation": request.place, "truncation": request.truncation or "disabled",
        "instructions": "\n\n".join(part for part in (request.instructions, told) if part) or None,
    }  # fmt: skip
    if isinstance(request, ResponseRequest):
        body |= _sampled(request, model, "tools" in body or bool(here))
        asked |= {
            "store": request.store is not False, "background": bool(request.background), "include": check_include(request.include),
            "max_output_tokens": request.max_output_tokens, "max_tool_calls": request.max_tool_calls,
            "top": (request.top_logprobs or 0) if _wants_logprobs(request) else None, "context": request.num_ctx,
            "keep_alive": request.keep_alive, "shown": _shown(request, here, tools),
        }  # fmt: skip
    return Ask(body=body, **asked)


def _wants_logprobs(request: ResponseRequest) -> bool:
    return "message.output_text.logprobs" in (request.include or ())


def _sampled(request: ResponseRequest, model: InstalledModel, calling: bool) -> dict[str, Any]:
    if request.stream_options is not None and request.stream_options.include_obfuscation:
        raise NotSupported(
            "'stream_options.include_obfuscation' is not supported here: events are never padded. Set it to false.", param="stream_options"
        )
    body = {name: value for name in ("temperature", "top_p") if (value := getattr(request, name)) is not None}
    if request.seed is not None:
        body["seed"] = request.seed % 0xFFFF_FFFF
    if request.stop:
        body["stop"] = [request.stop] if isinstance(request.stop, str) else list(request.stop)
    if _wants_logprobs(request):
        if calling:
            raise NotSupported("Log probabilities together with 'tools' are not supported.", param="include")
        body |= {"logprobs": True, "top_logprobs": max(1, request.top_logprobs or 0)}
    return body | request.extras(model)


# Tools


def _functions(request: Wish, others: bool) -> dict[str, Any]:
    """The client's functions and their choice, as the engine gets them."""
    functions = [tool for tool in request.tools or () if isinstance(tool, FunctionTool)]
    for number, tool in enumerate(request.tools or ()):
        if isinstance(tool, FunctionTool):
            _refuse_function(tool, f"tools.{number}")
    definitions = [
        FunctionDefinition(name=tool.name, description=tool.description, parameters=tool.parameters, strict=tool.strict) for tool in functions
    ]
    choice: str | Choice | None = None
    if isinstance(request.tool_choice, ToolChoice):
        choice = _chosen(request.tool_choice)
    elif request.tool_choice != "required" or functions or not others:
        choice = request.tool_choice
    chat = [ChatTool(type="function", function=definition) for definition in definitions]
    return decode_tools(chat, choice, request.parallel_tool_calls, parameters="parameters")


def _refuse_function(tool: FunctionTool, place: str) -> None:
    if tool.allowed_callers not in (None, ["direct"]):
        raise NotSupported(f"'{place}.allowed_callers': functions are called by the model only; use ['direct'].", param=place)
    for name, value in (("async", tool.asynchronous), ("defer_loading", tool.defer_loading), ("output_schema", tool.output_schema)):
        if value:
            raise NotSupported(f"'{place}.{name}' is not supported here; leave it out.", param=place)


def _chosen(choice: ToolChoice) -> Choice | None:
    """A choice among the client's functions, in chat's words; `None` where it is about a tool that runs here."""
    if choice.type == "function":
        if choice.name is None:
            raise InvalidRequest("'tool_choice' of type 'function' needs the field 'name'.", param="tool_choice")
        return Choice(type="function", function=Named(name=choice.name))
    if choice.type == "allowed_tools":
        if not choice.tools or choice.mode is None:
            raise InvalidRequest("'tool_choice' of type 'allowed_tools' needs the fields 'mode' and 'tools'.", param="tool_choice")
        if other := next((tool for tool in choice.tools if tool.get("type") != "function"), None):
            kind = shown(str(other.get("type")), 60)
            raise NotSupported(f"'tool_choice.tools': only functions can be named here, not '{kind}'.", param="tool_choice")
        return Choice(type="allowed_tools", allowed_tools=AllowedTools(mode=choice.mode, tools=choice.tools))
    return None


def _choice_here(request: Wish, here: Sequence[Mapping[str, Any]]) -> Any:
    """`tool_choice` as far as it is about tools that run here."""
    choice = request.tool_choice
    if not isinstance(choice, ToolChoice):
        return choice or "auto"
    if choice.type in ("function", "allowed_tools"):
        return "none"
    if choice.type in UNSERVED_TOOLS and not any(spec["type"] == choice.type for spec in here):
        raise InvalidRequest(f"'tool_choice' names '{choice.type}', which is not among 'tools'.", param="tool_choice")
    if choice.type not in UNSERVED_TOOLS:
        raise InvalidRequest(f"'tool_choice': there is no type '{shown(choice.type, 60)}'.", param="tool_choice")
    return choice.model_dump(exclude_none=True)


def _tools_here(request: Wish, tools: Mapping[str, Tool]) -> list[dict[str, Any]]:
    found = []
    for number, tool in enumerate(request.tools or ()):
        if isinstance(tool, FunctionTool):
            continue
        place = f"tools.{number}"
        if tool.type in tools:
            found.append(dict(tools[tool.type].check(tool.model_dump(), place)))
        elif tool.type in UNSERVED_TOOLS:
            raise NotSupported(f"'{place}': tools of type '{tool.type}' are not supported here: {UNSERVED_TOOLS[tool.type]}", param=place)
        else:
            raise InvalidRequest(f"'{place}.type': there are no tools of type '{shown(tool.type, 60)}'.", param=f"{place}.type")
    return found


# Text and reasoning


def _format(request: Wish, calling: bool) -> tuple[dict[str, Any], str]:
    """`text.format` in the engine's words, and what its description says, which the model is told."""
    text = request.text
    if text is not None and text.verbosity in ("low", "high"):
        raise NotSupported("'text.verbosity': say in the prompt how long answers should be; use 'medium'.", param="text.verbosity")
    wanted = text.format if text is not None else None
    if wanted is None or wanted.type == "text":
        return {}, ""
    if calling and request.tool_choice != "none":
        raise NotSupported(
            "'text.format' together with 'tools' is not supported: the engine would never call a tool. "
            "Set 'tool_choice' to 'none', or ask in two steps.",
            param="text.format",
        )
    if wanted.type == "json_object":
        return {"response_format": {"type": "json_object"}}, ""
    schema = wanted.schema_ or {"type": "object"}
    check_schema(schema, "text.format.schema", strict=bool(wanted.strict))
    told = f'Answer in the JSON format "{wanted.name}": {wanted.description}' if wanted.description else ""
    return {"response_format": {"type": "json_schema", "json_schema": {"name": wanted.name, "schema": schema, "strict": True}}}, told


def _thinking(request: Wish, model: InstalledModel) -> dict[str, Any]:
    wanted = request.reasoning
    if wanted is None:
        return {}
    for name in ("summary", "generate_summary"):
        # "auto" asks for the best summary that there is, which may be none.
        if getattr(wanted, name) in ("concise", "detailed"):
            raise NotSupported(f"'reasoning.{name}': reasoning is shown as it is, not summed up; leave it out.", param=f"reasoning.{name}")
    if wanted.mode not in (None, "standard"):
        raise NotSupported("'reasoning.mode': there is one mode; use 'standard'.", param="reasoning.mode")
    if wanted.context not in (None, "auto", "current_turn"):
        raise NotSupported(
            "'reasoning.context': models are told of the current turn's reasoning only; use 'current_turn'.", param="reasoning.context"
        )
    if wanted.effort not in (None, "none") and thinks(model) is False:
        raise InvalidRequest(f"'reasoning.effort' is not supported with the model '{model.id}', which does not reason.", param="reasoning.effort")
    return effort_of(wanted.effort, model)


# What the response repeats


def _shown(request: ResponseRequest, here: Sequence[Mapping[str, Any]], tools: Mapping[str, Tool]) -> dict[str, Any]:
    """The fields of the response that come from its request."""
    others = iter(here)
    listed = [
        _shown_function(tool) if isinstance(tool, FunctionTool) else dict(tools[str((spec := next(others))["type"])].shown(spec))
        for tool in request.tools or ()
    ]
    choice = request.tool_choice
    wanted = request.text.format if request.text is not None else None
    reasoning = request.reasoning
    return {
        "metadata": dict(request.metadata or {}),
        "parallel_tool_calls": request.parallel_tool_calls is not False,
        "prompt_cache_key": request.prompt_cache_key,
        "reasoning": {"effort": reasoning.effort if reasoning else None, "summary": None},
        "safety_identifier": request.safety_identifier,
        "service_tier": "default",
        "temperature": request.temperature,
        "text": {"format": wanted.model_dump(exclude_none=True, by_alias=True) if wanted else {"type": "text"}, "verbosity": "medium"},
        "tool_choice": choice.model_dump(exclude_none=True) if isinstance(choice, ToolChoice) else choice or "auto",
        "tools": listed,
        "top_logprobs": request.top_logprobs or 0,
        "top_p": request.top_p,
        "user": request.user,
    }


def _shown_function(tool: FunctionTool) -> dict[str, Any]:
    return {"type": "function", "name": tool.name, "description": tool.description, "parameters": tool.parameters, "strict": tool.strict}
