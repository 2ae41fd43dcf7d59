"""The tool `{"type": "mcp", ...}` of a request: what it may say, and what it means for single tools of the server."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, Final, Literal

from pydantic import BaseModel, ConfigDict, Field, StringConstraints, ValidationError

from hausgeist.conversations.mcp.servers import check_headers
from hausgeist.errors import InvalidRequest, NotSupported

__all__ = ["Spec", "parse_spec", "without_secrets"]

Label = Annotated[str, StringConstraints(pattern=r"^[A-Za-z][A-Za-z0-9_-]{0,63}$")]
Name = Annotated[str, StringConstraints(min_length=1, max_length=128)]
Names = Annotated[list[Name], Field(max_length=512)]
_ELSEWHERE: Final = {
    "connector_id": "connectors belong to OpenAI's service; name an MCP server by 'server_label' or 'server_url'",
    "tunnel_id": "tunnels belong to OpenAI's service; name an MCP server by 'server_label' or 'server_url'",
    "defer_loading": "all tools are offered from the start",
}


class _Part(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, strict=True, defer_build=True)


class Filter(_Part):
    """Some tools of a server. What is not said does not matter; a filter that says nothing is met by none."""

    tool_names: Names | None = None
    read_only: bool | None = None

    def meets(self, name: str, *, read_only: bool) -> bool:
        if self.tool_names is None and self.read_only is None:
            return False
        return (self.tool_names is None or name in self.tool_names) and (self.read_only is None or self.read_only == read_only)


class Approval(_Part):
    """Which calls somebody has to approve."""

    always: Filter | None = None
    never: Filter | None = None


class Spec(_Part):
    """As OpenAI has it."""

    type: Literal["mcp"]
    server_label: Label
    server_url: Annotated[str, StringConstraints(min_length=1, max_length=2048)] | None = None
    server_description: Annotated[str, StringConstraints(max_length=4096)] | None = None
    headers: Annotated[dict[str, str], Field(max_length=32)] | None = None
    authorization: Annotated[str, StringConstraints(min_length=1, max_length=8192, pattern=r"^[ -~]+$")] | None = None
    allowed_tools: Names | Filter | None = None
    require_approval: Approval | Literal["always", "never"] | None = None
    allowed_callers: list[Literal["direct", "programmatic"]] | None = None
    connector_id: str | None = None
    tunnel_id: str | None = None
    defer_loading: bool | None = None

    def allows(self, name: str, *, read_only: bool) -> bool:
        """Whether the model may be offered this tool."""
        if self.allowed_tools is None:
            return True
        if isinstance(self.allowed_tools, Filter):
            return self.allowed_tools == Filter() or self.allowed_tools.meets(name, read_only=read_only)
        return name in self.allowed_tools

    def names(self) -> set[str]:
        """The tools that are allowed by name."""
        listed = self.allowed_tools.tool_names if isinstance(self.allowed_tools, Filter) else self.allowed_tools
        return set(listed or ())

    def needs_approval(self, name: str, *, read_only: bool) -> bool:
        """Whether a call waits for somebody; where nothing is said about a tool, it does. `read_only` is what the server says of itself."""
        match self.require_approval:
            case None | "always":
                return True
            case "never":
                return False
            case Approval(always=always, never=never):
                if always is not None and always.meets(name, read_only=read_only):
                    return True
                return never is None or not never.meets(name, read_only=read_only)


_FIELDS: Final = {*Spec.model_fields, *Approval.model_fields, *Filter.model_fields}


def parse_spec(spec: Mapping[str, Any], param: str) -> Spec:
    """Raises `InvalidRequest` that names the place, `NotSupported` for what only OpenAI's service has."""
    try:
        found = Spec.model_validate(spec)
    except ValidationError as error:
        worst = max(error.errors(include_url=False, include_context=False, include_input=False), key=lambda one: len(one["loc"]))
        place = ".".join([param, *(str(part) for part in worst["loc"] if part in _FIELDS)])
        match worst["type"]:
            case "extra_forbidden":
                raise InvalidRequest(f"{param}: there is no such parameter '{str(worst['loc'][-1])[:60]}'; leave it out", param=param) from error
            case "missing":
                raise InvalidRequest(f"{place}: this field is required", param=place) from error
        raise InvalidRequest(f"{place}: {worst['msg']}", param=place) from error
    for name, reason in _ELSEWHERE.items():
        if getattr(found, name):
            raise NotSupported(f"'{param}.{name}' is not supported here: {reason}.", param=f"{param}.{name}")
    if found.allowed_callers is not None and found.allowed_callers != ["direct"]:
        raise NotSupported(f"'{param}.allowed_callers': only 'direct' is supported here.", param=f"{param}.allowed_callers")
    check_headers(found.headers or {}, f"{param}.headers")
    return found


def without_secrets(spec: Mapping[str, Any]) -> dict[str, Any]:
    """The tool as it is shown and kept: tokens are left out, of headers only the names are there."""
    shown = {name: value for name, value in spec.items() if name != "authorization"}
    if headers := shown.get("headers"):
        shown["headers"] = dict.fromkeys(headers, "<redacted>")
    return shown
