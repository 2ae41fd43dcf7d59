"""Tools that run here: what the response runner asks of them, and what it offers them. Who implements one does not know of the runner.

A request names its tools by their `type`; for each type one `Tool` is handed to the runner. It says which functions the model is offered, and
carries out the calls. What it does becomes items of the response, each told as it happens. Tools of type "function" are the client's own: they
end the turn, and no `Tool` is asked.

A tool may be a `Source` as well: then it is asked before the model is, gives the model something to read, or the answer itself, and looks at every
word of the answer before it is told.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol, runtime_checkable

from hausgeist.identity import Origin, Principal

__all__ = ["Entry", "Function", "Reading", "Said", "Source", "Tool", "Turn", "Watch"]


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


@dataclass(frozen=True, slots=True)
class Said:
    """A piece of the answer as it may be told, and what is to be noted at its end."""

    text: str
    annotations: Sequence[Mapping[str, Any]] = ()
    """As the API has them; `index`, where it is wanted, is put in as the number of characters that were told before, `text` included."""


class Watch(Protocol):
    """Looks at one message of the answer while it is said. What it holds back is told later, or never."""

    async def feed(self, text: str) -> Sequence[Said]:
        """What may be told now, after so much more was said."""
        ...

    async def end(self, *, whole: bool) -> Sequence[Said]:
        """The rest. `whole`: the model said all that it wanted."""
        ...


class Turn(Protocol):
    """The response that is being made, as a tool sees it."""

    @property
    def model(self) -> str:
        """The name by which the model was asked for."""
        ...

    @property
    def context(self) -> int | None:
        """Tokens of context that the request asks for; None: as the model has it."""
        ...

    @property
    def metadata(self) -> Mapping[str, str]:
        """The request's."""
        ...

    @property
    def wary(self) -> bool:
        """Whether the model has read what others wrote (see `Source`). What it wants to be done then may be what a document told it to do: a tool
        that acts asks somebody first."""
        ...

    def note(self, **metadata: str) -> None:
        """Put into the response's metadata: how it was made."""
        ...

    def keep(self, facts: Mapping[str, Any]) -> None:
        """What is to be kept with the response, and erased with it, besides what the API has room for. JSON. Replaces what was kept before under the
        same names."""
        ...

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


@dataclass(slots=True, kw_only=True)
class Reading:
    """What a source brings before the model is asked."""

    text: str = ""
    """Put before what the user said last, each time that the model is asked: the source may change it in between."""
    answer: AsyncIterator[Said] | None = None
    """The answer itself: the model is not asked."""


@runtime_checkable
class Source(Protocol):
    """A tool from which the model is given something to read. What it reads was written by others, and gives no orders."""

    async def read(self, spec: Mapping[str, Any], turn: Turn) -> Reading:
        """What the model shall read for this response. Asked once, before the model is. May add items. Raises what fails the response."""
        ...

    async def shorten(self, spec: Mapping[str, Any], turn: Turn) -> bool:
        """The prompt did not fit the context: have less to read, in the same `Reading`. False: there is no less."""
        ...

    def watch(self, turn: Turn) -> Watch:
        """For the next message of the answer."""
        ...
