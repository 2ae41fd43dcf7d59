"""Requests of Ollama's API as its official SDK types them (and its server, where that knows more); a test compares with the installed SDK."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import AliasChoices, ConfigDict, Field

from hausgeist.gateway.bodies import MOST_MESSAGES, Body

__all__ = [
    "ChatRequest",
    "CopyRequest",
    "CreateRequest",
    "EmbedRequest",
    "EmbeddingsRequest",
    "GenerateRequest",
    "Message",
    "ModelRequest",
    "Options",
    "ShowRequest",
    "Tool",
    "TransferRequest",
]

_Int = Annotated[int, Field(ge=-(2**31), le=2**31 - 1)]
_Name = Annotated[str, Field(min_length=1, max_length=512)]
KeepAlive = float | str | None
Format = Literal["", "json"] | dict[str, Any] | None
Think = bool | Literal["low", "medium", "high", "max"] | None


class Options(Body):
    """Options of a request, or defaults of a model."""

    num_ctx: int | None = Field(None, ge=1, le=2**31 - 1)
    num_keep: _Int | None = None
    num_predict: _Int | None = None
    seed: int | None = Field(None, ge=-(2**63), le=2**64 - 1)
    temperature: float | None = Field(None, ge=0)
    top_k: _Int | None = None
    top_p: float | None = None
    min_p: float | None = None
    typical_p: float | None = None
    repeat_last_n: _Int | None = None
    repeat_penalty: float | None = None
    presence_penalty: float | None = None
    frequency_penalty: float | None = None
    mirostat: int | None = Field(None, ge=0, le=2)
    mirostat_tau: float | None = None
    mirostat_eta: float | None = None
    stop: Annotated[list[Annotated[str, Field(max_length=1024)]], Field(max_length=64)] | Annotated[str, Field(max_length=1024)] | None = None
    num_batch: _Int | None = None
    num_gpu: _Int | None = None
    main_gpu: _Int | None = None
    num_thread: _Int | None = None
    numa: bool | None = None
    use_mmap: bool | None = None
    use_mlock: bool | None = None
    low_vram: bool | None = None
    f16_kv: bool | None = None
    logits_all: bool | None = None
    vocab_only: bool | None = None
    embedding_only: bool | None = None
    penalize_newline: bool | None = None
    tfs_z: float | None = None


class _Named(Body):
    """`name` is what `model` was called in older clients."""

    model_config = ConfigDict(populate_by_name=True)

    model: _Name = Field(validation_alias=AliasChoices("model", "name"))


class _Answering(Body):
    """What generate and chat have in common."""

    model: _Name
    stream: bool | None = None
    options: Options | None = None
    format: Format = None
    keep_alive: KeepAlive = None
    think: Think = None
    logprobs: bool | None = None
    top_logprobs: int | None = Field(None, ge=0, le=20)
    truncate: bool | None = None
    shift: bool | None = None


class GenerateRequest(_Answering):
    prompt: str | None = None
    suffix: str | None = None
    system: str | None = None
    template: str | None = None
    context: list[int] | None = None
    raw: bool | None = None
    images: list[str] | None = None
    width: int | None = None
    height: int | None = None
    steps: int | None = None


class Function(Body):
    name: str = Field(min_length=1, max_length=256)
    arguments: dict[str, Any]
    index: int | None = None


class ToolCall(Body):
    id: str | None = None
    type: Literal["function"] | None = None
    function: Function


class Message(Body):
    role: Literal["system", "user", "assistant", "tool"]
    content: str | None = None
    thinking: str | None = None
    images: list[str] | None = None
    tool_calls: list[ToolCall] | None = None
    tool_name: str | None = None
    tool_call_id: str | None = None


class ToolFunction(Body):
    name: str = Field(min_length=1, max_length=128)
    description: str | None = None
    parameters: dict[str, Any] | None = None


class Tool(Body):
    type: Literal["function"] | None = "function"
    function: ToolFunction


class ChatRequest(_Answering):
    messages: list[Message] | None = Field(None, max_length=MOST_MESSAGES)
    tools: list[Tool] | None = Field(None, max_length=1000)


class EmbedRequest(Body):
    model: _Name
    input: str | list[str]
    truncate: bool | None = None
    options: Options | None = None
    keep_alive: KeepAlive = None
    dimensions: int | None = Field(None, ge=0, le=2**31 - 1)


class EmbeddingsRequest(Body):
    model: _Name
    prompt: str | None = None
    options: Options | None = None
    keep_alive: KeepAlive = None


class ModelRequest(_Named):
    """A model and nothing else (delete)."""


class ShowRequest(_Named):
    verbose: bool | None = None
    system: str | None = None
    template: str | None = None
    options: Options | None = None


class CopyRequest(Body):
    source: _Name
    destination: _Name


class CreateRequest(_Named):
    stream: bool | None = None
    from_: str | None = Field(None, alias="from")
    files: dict[str, str] | None = None
    adapters: dict[str, str] | None = None
    template: str | None = None
    license: str | list[str] | None = None
    system: str | None = None
    parameters: Options | None = None
    messages: list[Message] | None = Field(None, max_length=MOST_MESSAGES)
    quantize: str | None = None


class TransferRequest(_Named):
    """Pull and push."""

    stream: bool | None = None
    insecure: bool | None = None
