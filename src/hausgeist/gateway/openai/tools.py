"""Tools and their choice, brought into what the engine does as asked: it takes a named choice, or a list of allowed tools, for "auto"."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Annotated, Any, Literal

from pydantic import ConfigDict, Discriminator, Field, StringConstraints, Tag

from hausgeist.errors import InvalidRequest, NotSupported
from hausgeist.gateway.bodies import Body
from hausgeist.gateway.openai.sampling import StrictBody
from hausgeist.gateway.openai.schemas import check_schema

__all__ = ["AllowedTools", "AnyTool", "Choice", "FileSearchTool", "FunctionDefinition", "Tool", "decode_tools"]

Name = Annotated[str, StringConstraints(pattern=r"^[a-zA-Z0-9_.-]{1,64}$")]


class FunctionDefinition(StrictBody):
    name: Name
    description: str | None = None
    parameters: dict[str, Any] | None = None
    strict: bool | None = None


class Tool(StrictBody):
    type: Literal["function", "custom"]
    function: FunctionDefinition | None = None
    custom: dict[str, Any] | None = None


class FileSearchTool(Body):
    """An extension: OpenAI has it in responses only. What it may have is checked by who searches."""

    model_config = ConfigDict(extra="allow", frozen=True)
    type: Literal["file_search"]


def _kind(value: Any) -> str:
    kind = value.get("type") if isinstance(value, Mapping) else getattr(value, "type", None)
    return "tool:file_search" if kind == "file_search" else "tool:"


AnyTool = Annotated[Annotated[Tool, Tag("tool:")] | Annotated[FileSearchTool, Tag("tool:file_search")], Discriminator(_kind)]


class Named(StrictBody):
    name: str


class AllowedTools(StrictBody):
    mode: Literal["auto", "required"]
    tools: Annotated[list[dict[str, Any]], Field(min_length=1)]


class Choice(StrictBody):
    """`tool_choice` where it is an object."""

    type: Literal["function", "custom", "allowed_tools"]
    function: Named | None = None
    custom: Named | None = None
    allowed_tools: AllowedTools | None = None


def decode_tools(
    tools: Sequence[Tool] | None, choice: str | Choice | None, parallel: bool | None, *, parameters: str = "function.parameters"
) -> dict[str, Any]:
    """`tools`, `tool_choice` and `parallel_tool_calls` of the engine's body; empty where no tool may be called. `parameters`: where, within a tool of
    the request, its schema stands."""
    offered = _offered(tools or (), parameters)
    if not offered:
        if choice not in (None, "auto", "none"):
            raise InvalidRequest("'tool_choice' is only allowed when 'tools' are given.", param="tool_choice")
        return {}
    required = choice == "required"
    if choice == "none":
        return {}
    if isinstance(choice, Choice):
        names, required = _chosen(choice)
        if missing := [name for name in names if name not in offered]:
            raise InvalidRequest(f"'tool_choice' names '{missing[0][:80]}', which is not among 'tools'.", param="tool_choice")
        offered = {name: tool for name, tool in offered.items() if name in names}
        if choice.type == "function" and parallel is None:
            parallel = False
    body: dict[str, Any] = {"tools": list(offered.values())}
    if required:
        body["tool_choice"] = "required"
    if parallel is not None:
        body["parallel_tool_calls"] = parallel
    return body


def _offered(tools: Sequence[Tool], where: str) -> dict[str, dict[str, Any]]:
    offered: dict[str, dict[str, Any]] = {}
    for number, tool in enumerate(tools):
        place = f"tools.{number}"
        if tool.type == "custom":
            raise NotSupported(f"'{place}': custom tools are not supported; describe it as a function with one string parameter.", param=place)
        if tool.function is None:
            raise InvalidRequest(f"'{place}.function' is required.", param=place)
        if tool.function.name in offered:
            raise InvalidRequest(f"'{place}': there are two tools named '{tool.function.name}'.", param=place)
        parameters = tool.function.parameters or {"type": "object", "properties": {}}
        check_schema(parameters, f"{place}.{where}", strict=bool(tool.function.strict))
        function: dict[str, Any] = {"name": tool.function.name, "description": tool.function.description or "", "parameters": parameters}
        if tool.function.strict is not None:
            function["strict"] = tool.function.strict
        offered[tool.function.name] = {"type": "function", "function": function}
    return offered


def _chosen(choice: Choice) -> tuple[list[str], bool]:
    """The names that may be called, and whether one must be."""
    if choice.type == "function" and choice.function is not None:
        return [choice.function.name], True
    if choice.type == "allowed_tools" and choice.allowed_tools is not None:
        return [_name(entry) for entry in choice.allowed_tools.tools], choice.allowed_tools.mode == "required"
    if choice.type == "custom":
        raise NotSupported("'tool_choice': custom tools are not supported.", param="tool_choice")
    raise InvalidRequest(f"'tool_choice' of type '{choice.type}' needs the field '{choice.type}'.", param="tool_choice")


def _name(entry: Mapping[str, Any]) -> str:
    function = entry.get("function")
    name = function.get("name") if isinstance(function, Mapping) else entry.get("name")
    if entry.get("type", "function") != "function" or not isinstance(name, str):
        raise InvalidRequest(
            "Each of 'tool_choice.allowed_tools.tools' should look like {'type': 'function', 'function': {'name': ...}}.", param="tool_choice"
        )
    return name
