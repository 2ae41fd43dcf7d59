"""Requests of Anthropic's Messages API as its official SDK types them; the contract test compares field by field with the installed SDK.

What is served has its type here. What is known and not served is kept as `Any` and refused by name (`UNSERVED`), as are content blocks of
other kinds (`OtherBlock`).
"""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import Discriminator, Field, Tag

from hausgeist.gateway.bodies import MOST_MESSAGES, Body

__all__ = [
    "UNSERVED",
    "Block",
    "CountTokensRequest",
    "ImageBlock",
    "Message",
    "MessagesRequest",
    "OtherBlock",
    "RedactedThinkingBlock",
    "TextBlock",
    "ThinkingBlock",
    "Tool",
    "ToolResultBlock",
    "ToolUseBlock",
    "UrlSource",
]

UNSERVED = {
    "container": "there are no containers on this server",
    "mcp_servers": "connect to MCP servers in the client, and send their tools as 'tools'",
    "context_management": "edit the messages in the client",
    "compaction": "edit the messages in the client",
    "diagnostics": "no earlier requests are kept to compare with",
    "inference_geo": "this server computes where it stands",
    "billing_policy": "nothing is billed",
    "fallbacks": "ask another model in a request of its own",
    "fallback_credit_token": "nothing is billed",
    "thread": "no threads are kept; send all messages",
}
"""Parameter -> why, and what to do instead."""


class CacheControl(Body):
    type: Literal["ephemeral"]
    ttl: Literal["5m", "1h"] = "5m"


class _Cacheable(Body):
    cache_control: CacheControl | None = None


class TextBlock(_Cacheable):
    type: Literal["text"]
    text: str
    citations: list[Any] | None = None


class Base64Source(Body):
    type: Literal["base64"]
    media_type: Literal["image/jpeg", "image/png", "image/gif", "image/webp"]
    data: str


class UrlSource(Body):
    type: Literal["url"]
    url: str


class FileSource(Body):
    type: Literal["file"]
    file_id: str


class ImageTransformations(Body):
    oversized_image: Literal["downsize", "error"] | None = None


class ImageBlock(_Cacheable):
    type: Literal["image"]
    source: Annotated[Base64Source | UrlSource | FileSource, Field(discriminator="type")]
    transformations: ImageTransformations | None = None


class ThinkingBlock(Body):
    type: Literal["thinking"]
    thinking: str
    signature: str


class RedactedThinkingBlock(Body):
    type: Literal["redacted_thinking"]
    data: str


class Caller(Body):
    type: str
    tool_id: str | None = None


class ToolUseBlock(_Cacheable):
    type: Literal["tool_use"]
    id: str
    name: str
    input: dict[str, Any]
    caller: Caller | None = None
    toolset_name: str | None = None


class OtherBlock(Body, extra="allow"):
    """A block of a kind that is not served: document, search_result, results of Anthropic's own tools."""

    type: str


def _kind(known: tuple[str, ...]) -> Discriminator:
    def tag(value: Any) -> str:
        kind = value.get("type") if isinstance(value, dict) else getattr(value, "type", None)
        return kind if kind in known else "other"

    return Discriminator(tag)


ResultBlock = Annotated[
    Annotated[TextBlock, Tag("text")] | Annotated[ImageBlock, Tag("image")] | Annotated[OtherBlock, Tag("other")],
    _kind(("text", "image")),
]


class ToolResultBlock(_Cacheable):
    type: Literal["tool_result"]
    tool_use_id: str
    content: str | list[ResultBlock] | None = None
    is_error: bool | None = None
    toolset_name: str | None = None


Block = Annotated[
    Annotated[TextBlock, Tag("text")]
    | Annotated[ImageBlock, Tag("image")]
    | Annotated[ThinkingBlock, Tag("thinking")]
    | Annotated[RedactedThinkingBlock, Tag("redacted_thinking")]
    | Annotated[ToolUseBlock, Tag("tool_use")]
    | Annotated[ToolResultBlock, Tag("tool_result")]
    | Annotated[OtherBlock, Tag("other")],
    _kind(("text", "image", "thinking", "redacted_thinking", "tool_use", "tool_result")),
]


class Message(Body):
    role: Literal["user", "assistant", "system"]
    content: str | list[Block]


class Metadata(Body):
    user_id: str | None = Field(None, max_length=512)


class JsonFormat(Body):
    type: Literal["json_schema"]
    schema_: dict[str, Any] = Field(alias="schema")


class OutputConfig(Body):
    effort: Literal["low", "medium", "high", "xhigh", "max"] | None = None
    format: JsonFormat | None = None
    task_budget: Any = None


class Thinking(Body):
    type: Literal["enabled", "disabled", "adaptive", "between_tools"]
    budget_tokens: int | None = Field(None, ge=1024, le=2**31 - 1)
    display: Literal["summarized", "omitted"] | None = None


class ToolChoice(Body):
    type: Literal["auto", "any", "tool", "none"]
    name: str | None = None
    disable_parallel_tool_use: bool | None = None


class Tool(_Cacheable):
    """A client's own tool. Tools that Anthropic's servers run, or whose schema only Anthropic's models know, have another `type` and are refused."""

    name: str = Field(min_length=1, max_length=128, pattern=r"^[A-Za-z0-9_-]+$")
    input_schema: dict[str, Any]
    description: str | None = None
    type: Literal["custom"] | None = None
    strict: bool | None = None
    allowed_callers: list[str] | None = None
    defer_loading: bool | None = None
    eager_input_streaming: bool | None = None
    input_examples: list[dict[str, Any]] | None = None


class OtherTool(Body, extra="allow"):
    type: str


def _tool_kind(value: Any) -> str:
    kind = value.get("type") if isinstance(value, dict) else getattr(value, "type", None)
    return "custom" if kind in (None, "custom") else "other"


AnyTool = Annotated[Annotated[Tool, Tag("custom")] | Annotated[OtherTool, Tag("other")], Discriminator(_tool_kind)]


class CountTokensRequest(Body):
    """What a prompt is made of: everything that `count_tokens` counts."""

    model: str = Field(min_length=1, max_length=512)
    messages: list[Message] = Field(min_length=1, max_length=MOST_MESSAGES)
    system: str | list[TextBlock] | None = None
    tools: list[AnyTool] | None = Field(None, max_length=1000)
    tool_choice: ToolChoice | None = None
    thinking: Thinking | None = None
    output_config: OutputConfig | None = None
    output_format: JsonFormat | None = None
    cache_control: CacheControl | None = None
    speed: Literal["standard", "fast"] | None = None
    mcp_servers: Any = None
    context_management: Any = None
    compaction: Any = None
    billing_policy: Any = None
    thread: Any = None


class MessagesRequest(CountTokensRequest):
    """One turn of a conversation."""

    max_tokens: int = Field(ge=0, le=2**31 - 1)
    stream: bool | None = None
    stop_sequences: list[Annotated[str, Field(min_length=1, max_length=1000)]] | None = Field(None, max_length=64)
    temperature: float | None = Field(None, ge=0, le=2)
    top_p: float | None = Field(None, ge=0, le=1)
    top_k: int | None = Field(None, ge=-1, le=2**31 - 1)
    metadata: Metadata | None = None
    service_tier: Literal["auto", "standard_only"] | None = None
    container: Any = None
    diagnostics: Any = None
    inference_geo: Any = None
    fallbacks: Any = None
    fallback_credit_token: Any = None
