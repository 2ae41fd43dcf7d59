"""From Anthropic's request to the chat body that engines get. Pure: images of other hosts were fetched before and are handed in.

Everything of the request is either in the body afterwards or was refused by name; nothing is dropped on the way.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, TypeAlias

from hausgeist.errors import InvalidRequest, NotSupported
from hausgeist.gateway.abilities import demand_thinking, demand_tools, thinks
from hausgeist.gateway.anthropic.schema import (
    UNSERVED,
    Block,
    CountTokensRequest,
    ImageBlock,
    Message,
    MessagesRequest,
    OtherBlock,
    OtherTool,
    RedactedThinkingBlock,
    TextBlock,
    ThinkingBlock,
    Tool,
    ToolResultBlock,
    ToolUseBlock,
    UrlSource,
)
from hausgeist.gateway.bodies import refuse
from hausgeist.gateway.grammars import check_grammar
from hausgeist.gateway.images import data_url, demand_room, demand_vision
from hausgeist.gateway.prefill import PREFILL
from hausgeist.model import InstalledModel

__all__ = ["cache_seconds", "decode", "image_addresses"]

Images: TypeAlias = Mapping[str, str]
"""Address of an image on another host -> the image as a `data:` URL."""

_TTL = {"5m": 300.0, "1h": 3600.0}
_EFFORT = {"xhigh": "high", "max": "high"}
"""Open models know low, medium and high; what is more than high is their most."""


def decode(request: CountTokensRequest, model: InstalledModel, images: Images) -> dict[str, Any]:
    """The chat body. Raises InvalidRequest, or NotSupported for what is not served, naming the parameter."""
    refuse(request, {name: reason for name, reason in UNSERVED.items() if hasattr(request, name)})
    if request.speed == "fast":
        raise NotSupported("'speed': there is one speed here, the fastest that this machine has.", param="speed")
    messages = _Conversation(model, images)
    if request.system is not None:
        messages.system(request.system)
    for index, message in enumerate(request.messages):
        messages.add(message, f"messages.{index}", last=index == len(request.messages) - 1)
    body: dict[str, Any] = {"messages": messages.done()}
    demand_room(body["messages"])
    if messages.prefilled:
        body |= PREFILL
    body |= _tools(request, model) | _output(request, model) | _thinking(request, model)
    if isinstance(request, MessagesRequest):
        body |= _limits(request, model)
    return body


def image_addresses(request: CountTokensRequest) -> Iterator[tuple[str, str]]:
    """Addresses of the images that lie on other hosts, each with its place in the request."""
    for index, message in enumerate(request.messages):
        for number, block in enumerate(message.content if isinstance(message.content, list) else ()):
            place = f"messages.{index}.content.{number}"
            inner = block.content if isinstance(block, ToolResultBlock) and isinstance(block.content, list) else [block]
            for one in inner:
                if isinstance(one, ImageBlock) and isinstance(one.source, UrlSource):
                    yield one.source.url, place


def cache_seconds(request: CountTokensRequest) -> float:
    """How long the caller wants prompts kept (`cache_control`); 0: not asked. They are kept here for every request, while the model is loaded."""
    blocks: list[Any] = [request, *(request.tools or ())]
    if isinstance(request.system, list):
        blocks += request.system
    for message in request.messages:
        blocks += message.content if isinstance(message.content, list) else ()
    controls = (getattr(block, "cache_control", None) for block in blocks)
    return max((_TTL[control.ttl] for control in controls if control is not None and not isinstance(control, dict)), default=0.0)


class _Conversation:
    """Messages in OpenAI's shape, as they grow: turns of one role are joined, results of tools become turns of their own."""

    def __init__(self, model: InstalledModel, images: Images) -> None:
        self._model = model
        self._images = images
        self._messages: list[dict[str, Any]] = []
        self._tool_names: dict[str, str] = {}
        self.prefilled = False

    def system(self, system: str | Sequence[TextBlock]) -> None:
        text = system if isinstance(system, str) else "\n\n".join(_text(block, "system") for block in system)
        if text:
            self._instruct(text)

    def add(self, message: Message, place: str, *, last: bool) -> None:
        blocks = [TextBlock(type="text", text=message.content)] if isinstance(message.content, str) else message.content
        empty = not blocks or (isinstance(message.content, str) and not message.content)
        if empty and not (last and message.role == "assistant"):
            raise InvalidRequest(f"{place}: messages must have content, except the last one if it is the assistant's.", param=place)
        if empty:
            return
        if message.role == "assistant":
            self._assistant(blocks, place)
            self.prefilled = last
        elif message.role == "user":
            self._user(blocks, place)
        else:
            self._instruct("\n\n".join(self._plain(block, place) for block in blocks))

    def done(self) -> list[dict[str, Any]]:
        if self.prefilled and self._messages[-1].get("tool_calls"):
            raise InvalidRequest("A tool_use block needs its tool_result in the next message.", param="messages")
        if not any(message["role"] != "system" for message in self._messages):
            raise InvalidRequest("messages: at least one message with content is required.", param="messages")
        for message in self._messages:
            content = message.get("content")
            if isinstance(content, list) and all(part["type"] == "text" for part in content):
                message["content"] = "\n\n".join(part["text"] for part in content)
        return self._messages

    def _instruct(self, text: str) -> None:
        """Most templates know one system message, at the start; those that come first are joined to it."""
        if self._messages and self._messages[-1]["role"] == "system":
            self._messages[-1]["content"] += "\n\n" + text
        else:
            self._messages.append({"role": "system", "content": text})

    def _user(self, blocks: Sequence[Block], place: str) -> None:
        parts: list[dict[str, Any]] = []
        for number, block in enumerate(blocks):
            at = f"{place}.content.{number}"
            if isinstance(block, ToolResultBlock):
                # Engines want the results right after the calls, in front of what the user says to them.
                self._result(block, at)
            elif isinstance(block, (TextBlock, ImageBlock)):
                parts.append(self._part(block, at))
            else:
                raise _unserved(block, at, "user")
        if not parts:
            return
        if self._messages and self._messages[-1]["role"] == "user":
            self._messages[-1]["content"] += parts
        else:
            self._messages.append({"role": "user", "content": parts})

    def _assistant(self, blocks: Sequence[Block], place: str) -> None:
        texts: list[str] = []
        thoughts: list[str] = []
        calls: list[dict[str, Any]] = []
        for number, block in enumerate(blocks):
            at = f"{place}.content.{number}"
            if isinstance(block, TextBlock):
                texts.append(_text(block, at))
            elif isinstance(block, ThinkingBlock):
                thoughts.append(block.thinking)
            elif isinstance(block, ToolUseBlock):
                calls.append(self._call(block, at))
            else:
                raise _unserved(block, at, "assistant")
        turn = self._messages[-1] if self._messages and self._messages[-1]["role"] == "assistant" else None
        if turn is None:
            turn = {"role": "assistant", "content": ""}
            self._messages.append(turn)
        turn["content"] += "".join(texts)
        if thoughts:
            turn["reasoning_content"] = turn.get("reasoning_content", "") + "".join(thoughts)
        if calls:
            turn["tool_calls"] = [*turn.get("tool_calls", ()), *calls]

    def _call(self, block: ToolUseBlock, place: str) -> dict[str, Any]:
        if block.toolset_name is not None or (block.caller is not None and block.caller.type != "direct"):
            raise NotSupported(f"{place}: toolsets and calls from code are not supported here; tools are called directly.", param=place)
        self._tool_names[block.id] = block.name
        arguments = json.dumps(block.input, ensure_ascii=False)
        return {"id": block.id, "type": "function", "function": {"name": block.name, "arguments": arguments}}

    def _result(self, block: ToolResultBlock, place: str) -> None:
        if block.toolset_name is not None:
            raise NotSupported(f"{place}: toolsets are not supported here.", param=place)
        if block.tool_use_id not in self._tool_names:
            raise InvalidRequest(f"{place}: there is no tool_use block with the id '{block.tool_use_id}' before this tool_result.", param=place)
        content: str | list[dict[str, Any]]
        if block.content is None or isinstance(block.content, str):
            content = block.content or ""
        else:
            parts = []
            for one in block.content:
                if isinstance(one, OtherBlock):
                    raise _unserved(one, place, "tool_result")
                parts.append(self._part(one, place))
            content = parts if any(part["type"] != "text" for part in parts) else "".join(part["text"] for part in parts)
        if block.is_error:
            # Chat bodies have no flag for it; the model is told in words.
            content = f"Error: {content}" if isinstance(content, str) else [{"type": "text", "text": "Error:"}, *content]
        name = self._tool_names[block.tool_use_id]
        self._messages.append({"role": "tool", "tool_call_id": block.tool_use_id, "name": name, "content": content})

    def _part(self, block: TextBlock | ImageBlock, place: str) -> dict[str, Any]:
        if isinstance(block, TextBlock):
            return {"type": "text", "text": _text(block, place)}
        demand_vision(self._model, param=place)
        if block.transformations is not None and block.transformations.oversized_image == "downsize":
            raise NotSupported(f"{place}: images are not made smaller here; send them in the size that the model should see.", param=place)
        source = block.source
        if source.type == "file":
            raise NotSupported(f"{place}: images of the Files API are not supported here; send them as base64.", param=place)
        url = self._images[source.url] if isinstance(source, UrlSource) else data_url(source.data, param=place)
        return {"type": "image_url", "image_url": {"url": url}}

    def _plain(self, block: Block, place: str) -> str:
        if not isinstance(block, TextBlock):
            raise InvalidRequest(f"{place}: a system message has text only.", param=place)
        return _text(block, place)


def _text(block: TextBlock, place: str) -> str:
    if not block.text:
        raise InvalidRequest(f"{place}: text content blocks must be non-empty.", param=place)
    if block.citations:
        raise NotSupported(f"{place}: citations are not supported here yet; leave them out.", param=place)
    return block.text


def _unserved(block: Block, place: str, where: str) -> InvalidRequest:
    if isinstance(block, RedactedThinkingBlock):
        return InvalidRequest(f"{place}: redacted thinking can be read by Anthropic only; leave the block out.", param=place)
    if isinstance(block, OtherBlock):
        return NotSupported(f"{place}: blocks of type '{block.type[:80]}' are not supported here; send text and images.", param=place)
    return InvalidRequest(f"{place}: a block of type '{block.type}' cannot stand in a message of the {where}.", param=place)


def _tools(request: CountTokensRequest, model: InstalledModel) -> dict[str, Any]:
    choice = request.tool_choice
    if not request.tools:
        if choice is not None and choice.type != "none":
            raise InvalidRequest("tool_choice: may only be given together with tools.", param="tool_choice")
        return {}
    demand_tools(model)
    tools: dict[str, dict[str, Any]] = {}
    for index, tool in enumerate(request.tools):
        if isinstance(tool, OtherTool):
            raise NotSupported(
                f"tools.{index}: tools of type '{tool.type[:80]}' are not supported here; describe a tool of your own with 'input_schema'.",
                param=f"tools.{index}",
            )
        if tool.name in tools:
            raise InvalidRequest(f"tools.{index}: there are two tools named '{tool.name}'.", param=f"tools.{index}")
        tools[tool.name] = _tool(tool, f"tools.{index}")
    body: dict[str, Any] = {"tools": list(tools.values())}
    if choice is None:
        return body
    if choice.name is not None and choice.type != "tool":
        raise InvalidRequest("tool_choice: 'name' goes with type 'tool'.", param="tool_choice.name")
    if choice.disable_parallel_tool_use is not None:
        body["parallel_tool_calls"] = not choice.disable_parallel_tool_use
    if choice.type == "tool":
        if choice.name not in tools:
            raise InvalidRequest(f"tool_choice: there is no tool '{choice.name or ''}' among the tools.", param="tool_choice.name")
        # llama-server takes a named tool for "auto"; with that tool alone, "required" means the same to every engine.
        return body | {"tools": [tools[choice.name]], "tool_choice": "required"}
    return body | {"tool_choice": {"auto": "auto", "any": "required", "none": "none"}[choice.type]}


def _tool(tool: Tool, place: str) -> dict[str, Any]:
    if tool.defer_loading:
        raise NotSupported(f"{place}: 'defer_loading' is not supported here; send only the tools that are needed.", param=f"{place}.defer_loading")
    if tool.allowed_callers is not None and tool.allowed_callers != ["direct"]:
        raise NotSupported(f"{place}: tools can be called directly only.", param=f"{place}.allowed_callers")
    check_grammar(tool.input_schema, f"{place}.input_schema")
    description = tool.description or ""
    if tool.input_examples:
        examples = "\n".join(json.dumps(example, ensure_ascii=False) for example in tool.input_examples)
        description = f"{description}\n\nExamples of input:\n{examples}".strip()
    function: dict[str, Any] = {"name": tool.name, "description": description, "parameters": tool.input_schema}
    if tool.strict is not None:
        function["strict"] = tool.strict
    return {"type": "function", "function": function}


def _output(request: CountTokensRequest, model: InstalledModel) -> dict[str, Any]:
    config = request.output_config
    body: dict[str, Any] = {}
    if config is not None and config.task_budget is not None:
        raise NotSupported("'output_config.task_budget' is not supported here; limit answers with 'max_tokens'.", param="output_config.task_budget")
    if config is not None and config.effort is not None:
        demand_thinking(model, effort=True, param="output_config.effort")
        body["reasoning_effort"] = _EFFORT.get(config.effort, config.effort)
    wanted = (config.format if config is not None else None) or request.output_format
    if wanted is not None:
        check_grammar(wanted.schema_, "output_config.format.schema")
        body["response_format"] = {"type": "json_schema", "json_schema": {"name": "output", "schema": wanted.schema_, "strict": True}}
    return body


def _thinking(request: CountTokensRequest, model: InstalledModel) -> dict[str, Any]:
    thinking = request.thinking
    if thinking is None:
        # Anthropic's models do not think unless asked, and clients that did not ask look for text in the first block.
        effort = request.output_config is not None and request.output_config.effort is not None
        return {"chat_template_kwargs": {"enable_thinking": False}} if thinks(model) and not effort else {}
    if thinking.type == "between_tools":
        raise NotSupported("thinking: type 'between_tools' is not supported here; use 'enabled' or 'adaptive'.", param="thinking.type")
    if thinking.type != "enabled":
        if thinking.budget_tokens is not None:
            raise InvalidRequest("thinking: 'budget_tokens' goes with type 'enabled'.", param="thinking.budget_tokens")
        return {"chat_template_kwargs": {"enable_thinking": False}} if thinking.type == "disabled" else {}
    demand_thinking(model, param="thinking")
    if thinking.budget_tokens is None:
        raise InvalidRequest("thinking.budget_tokens: this field is required.", param="thinking.budget_tokens")
    if isinstance(request, MessagesRequest) and request.max_tokens <= thinking.budget_tokens:
        raise InvalidRequest("max_tokens must be greater than thinking.budget_tokens.", param="max_tokens")
    if model.engine == "remote":
        raise NotSupported("thinking: the server that runs this model knows no budget; use type 'adaptive'.", param="thinking.budget_tokens")
    return {"chat_template_kwargs": {"enable_thinking": True}, "thinking_budget_tokens": thinking.budget_tokens}


def _limits(request: MessagesRequest, model: InstalledModel) -> dict[str, Any]:
    body: dict[str, Any] = {"max_tokens": request.max_tokens}
    if request.stop_sequences:
        body["stop"] = list(request.stop_sequences)
    if request.temperature is not None:
        body["temperature"] = request.temperature
    if request.top_p is not None:
        body["top_p"] = request.top_p
    if request.top_k is not None:
        body["top_k"] = max(request.top_k, 0)
    if model.engine == "llamacpp" and request.stream:
        # The length of the prompt is in this engine's progress, and nowhere else before the end; message_start has to tell it.
        body["return_progress"] = True
    return body
