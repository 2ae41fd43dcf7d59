"""Tools that run here: what the response runner asks of them, and what it offers them. Who implements one does not know of the runner.

A request names its tools by their `type`; for each type one `Tool` is handed to the runner. It says which functions the model is offered, and
carries out the calls. What it does becomes items of the response, each told as it happens. Tools of type "function" are the client's own: they
end the turn, and no `Tool` is asked.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

from hausgeist.identity import Origin, Principal

__all__ = ["Entry", "Function", "Tool", "Turn"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Function:
    """What a model is offered to call."""

    name: str
    """Unique among all functions of the request: letters, digits, `_` and `-`, at most 64."""
    description: str = ""
    parameters: Mapping[str, Any] = field(default_factory=lambda: {"type": "object", "properties": {}})
    """A JSON Schema."""


class Entry(Protocol):
    """An item of the response's output, on its way. `Turn.add` has told that it begins (`response.output_item.added`)."""

    @property
    def body(self) -> dict[str, Any]:
        """The item as the API has it, to be changed as the work goes on. Its `id` and `type` stay as they are."""
        ...

    def tell(self, event: str, **fields: Any) -> None:
        """An event about it, such as `response.mcp_call.in_progress`; `item_id`, `output_index` and `sequence_number` are put in."""
        ...

    def done(self) -> None:
        """It is finished, well or badly: tells `response.output_item.done` with the body as it is now. Once; the runner does it for what was left."""
        ...


class Turn(Protocol):
    """The response that is being made, as a tool sees it."""

    @property
    def who(self) -> Principal: ...

    @property
    def origin(self) -> Origin: ...

    @property
    def items(self) -> Sequence[Mapping[str, Any]]:
        """All that the model is told of so far: what was said before, the request's input, the output up to now. The newest is last."""
        ...

    @property
    def include(self) -> Sequence[str]:
        """What the request wants to have in the answer besides (`file_search_call.results`)."""
        ...

    def add(self, body: Mapping[str, Any]) -> Entry:
        """Begin an item of the output. `body` needs a `type`; without `id` it gets one."""
        ...


class Tool(Protocol):
    """Everything of one type. One instance serves all requests at the same time; what belongs to a request is in `spec` and `turn`."""

    @property
    def kind(self) -> str:
        """The `type` in a request's `tools`: "mcp", "file_search"."""
        ...

    def check(self, spec: Mapping[str, Any], param: str) -> Mapping[str, Any]:
        """The tool of a request (`tools.N`, whose place `param` is), checked before anything is done: returned as it is kept and shown to the
        client. Raises `InvalidRequest`, `NotSupported`. What must be kept secret (`authorization`) may be sealed or left out of what is shown
        by `shown`."""
        ...

    def shown(self, spec: Mapping[str, Any]) -> Mapping[str, Any]:
        """The same as the response repeats it (`response.tools`), without secrets."""
        ...

    async def offer(self, spec: Mapping[str, Any], turn: Turn) -> Sequence[Function]:
        """What the model may call. Asked once for each response, before the model is; may add items first (a list of tools, the call that was
        approved meanwhile). A failure that the model can do without is an item that says so; what is raised fails the response."""
        ...

    async def finish(self, turn: Turn) -> None:
        """The response has ended, however it did. Asked once for each type that it had. Never raises."""
        ...

    async def call(self, spec: Mapping[str, Any], function: str, arguments: str, turn: Turn) -> bool:
        """Do what the model asked for: adds the item of the call and finishes it, whatever comes. `arguments`: JSON as the model wrote it, which may
        be no valid JSON. True: the model goes on, and is told of the items; False: the response ends here (somebody has to approve).

        Cancelled when the client leaves, the response is cancelled, or its time is over."""
        ...
