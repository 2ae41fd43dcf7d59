"""The loop of a response: what was said becomes a chat, the model answers, tools that run here are called, until the answer is whole.

Owns the limits (turns of the model, tokens, calls of tools) and what is left out of a context that is too long, where the request allows that.
What is told and kept belongs to `Run` and `Responses`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from hausgeist.conversations.content import messages_of
from hausgeist.conversations.mcp.approvals import demand_done
from hausgeist.conversations.responses.ask import Ask
from hausgeist.conversations.responses.history import turns
from hausgeist.conversations.responses.run import Run
from hausgeist.conversations.responses.sealing import Seal
from hausgeist.errors import ContextExceeded, InvalidRequest
from hausgeist.identity import Origin, Principal
from hausgeist.model import InstalledModel
from hausgeist.serving.calls import Answer, Call
from hausgeist.serving.door import Door
from hausgeist.tools import Function, Reading, Said, Source, Tool, Watch

__all__ = ["Complete", "Runner"]

Complete = Callable[[InstalledModel, Mapping[str, Any]], Mapping[str, Any]]
"""Puts into the engine's body what the model brings along. Raises `InvalidRequest` for what this model cannot do (see images)."""
_TRIES: Final = 8
_SUMMARY: Final = (
    "Sum up the conversation so far, for somebody who goes on with it and has not read it: what is wanted, what was decided and why, facts, names, "
    "figures, what is still open. Leave nothing out that will be needed. Answer with the summary alone."
)


@dataclass(frozen=True, slots=True)
class _Offered:
    """A function of a tool that runs here."""

    function: Function
    spec: Mapping[str, Any]


_Read = tuple[Mapping[str, Any], Reading]
"""A tool of the request, and what it gives to read."""


class Runner:
    """Makes responses, one model call after the other. Keeps nothing."""

    def __init__(
        self, *, door: Door, complete: Complete, seal: Seal, tools: Sequence[Tool] = (), most_turns: int = 32, most_tokens: int | None = None
    ) -> None:
        """`most_turns`: times that the model is asked for one response. `most_tokens`: that it may say in one, where the request sets no limit."""
        self.tools: dict[str, Tool] = {tool.kind: tool for tool in tools}
        self._door = door
        self._complete = complete
        self._seal = seal
        self._most_turns = most_turns
        self._most_tokens = most_tokens

    async def run(self, run: Run) -> None:
        """Make the response of `run`, and tell it. `run.incomplete` says afterwards whether it was cut off. Raises what goes wrong."""
        try:
            await self._run(run)
        finally:
            for kind in {str(spec["type"]) for spec in run.ask.tools}:
                await self.tools[kind].finish(run)

    async def _run(self, run: Run) -> None:
        sources = await self._sources(run)
        if (given := next((reading.answer for _, reading in sources if reading.answer is not None), None)) is not None:
            run.begin()
            async for said in given:
                _tell(run, (said,))
            run.output.close(whole=True)
            return
        offered = await self._offers(run)
        asked = called = 0
        while True:
            asked += 1
            room = run.ask.max_tool_calls is None or called < run.ask.max_tool_calls
            usable = offered if room and asked < self._most_turns else ()
            answer = await self._call(run, usable, sources, first=asked == 1)
            run.begin()
            whole = await self._read(run, answer, self._watch(run))
            calls = run.output.close(whole=whole)
            if not run.output.items and not calls:
                run.output.silence()
            if not whole:
                run.incomplete = "max_output_tokens"
                return
            # What was not offered is not called, though a model may try.
            going = bool(calls and usable)
            for name, arguments in calls if usable else ():
                called += 1
                if run.ask.max_tool_calls is not None and called > run.ask.max_tool_calls:
                    break
                tool, spec = run.here[name]
                going = await tool.call(spec, name, arguments, run) and going
                run.output.close(whole=True)
            if not going or run.output.waiting:
                return

    async def count(self, who: Principal, origin: Origin, ask: Ask, before: Sequence[Mapping[str, Any]]) -> int:
        """Tokens of the prompt that this request would make, as the engine counts them."""
        body = self._body(ask, [*before, *ask.input], (), who=who, first=True, left=None)
        body.pop("max_tokens", None)
        call = Call(model=ask.model, operation="count_chat", body=body, origin=origin)
        async with await self._door.call(who, call) as answer:
            return int((await answer.json()).get("input_tokens") or 0)

    async def summary(self, who: Principal, origin: Origin, ask: Ask, before: Sequence[Mapping[str, Any]]) -> tuple[str, dict[str, int]]:
        """What was said, summed up by the model itself; and its tokens by the names of the API."""
        told = [*before, *ask.input, {"type": "message", "role": "user", "content": _SUMMARY}]
        body = self._body(ask, told, (), who=who, first=True, left=None)
        parts: list[str] = []
        async with await self._door.call(who, Call(model=ask.model, operation="chat", body=body, origin=origin, stream=True)) as answer:
            async for data in answer.events():
                parts += [str((choice.get("delta") or {}).get("content") or "") for choice in data.get("choices") or ()]
            usage = answer.usage
        return "".join(parts).strip(), {"given": usage.prompt_tokens, "said": usage.completion_tokens, "cached": usage.cached_tokens}

    # One answer

    async def _call(self, run: Run, offered: Sequence[_Offered], sources: Sequence[_Read], *, first: bool) -> Answer:
        """The model's answer as it begins. What does not fit the context is made shorter first where it is what sources gave it to read; then, with
        truncation, what was said longest ago is left out."""
        ask, items, dropped = run.ask, list(run.items), 0
        for left in range(_TRIES, -1, -1):
            told = "\n\n".join(reading.text for _, reading in sources if reading.text)
            body = self._body(ask, items, offered, who=run.who, first=first, left=self._left(run), told=told)
            call = Call(
                model=ask.model, operation="chat", body=body, origin=run.origin, stream=True, stream_usage=True, context=ask.context,
                keep_alive=ask.keep_alive,
            )  # fmt: skip
            try:
                return await self._door.call(run.who, call)
            except ContextExceeded as error:
                if left and await self._shorter(run, sources):
                    continue
                error.param = "input"
                if ask.truncation != "auto" and len(items) > 1:
                    error.message += " 'truncation': 'auto' leaves out what was said longest ago."
                shorter = _shortened(items, error, ask.max_output_tokens or 0) if ask.truncation == "auto" and left else None
                if shorter is None:
                    raise
                dropped, items = dropped + 1, shorter
        raise AssertionError("the last try returns or raises")

    async def _read(self, run: Run, answer: Answer, watch: Watch | None) -> bool:
        """Tell what the model says, to its end, as far as who watches lets it. False: it was cut off by a limit."""
        finish, reasoning = "", 0
        feed = run.output.feed
        try:
            async with answer:
                async for data in answer.events():
                    for choice in data.get("choices") or ():
                        delta = choice.get("delta") or {}
                        if watch is not None and (text := delta.get("content")):
                            _tell(run, await watch.feed(text))
                            delta = {**delta, "content": None}
                        if watch is not None and delta.get("tool_calls"):
                            _tell(run, await watch.end(whole=True))
                        feed(delta, (choice.get("logprobs") or {}).get("content") or ())
                        finish = choice.get("finish_reason") or finish
                    if usage := data.get("usage"):
                        reasoning = int((usage.get("completion_tokens_details") or {}).get("reasoning_tokens") or 0)
            if watch is not None:
                _tell(run, await watch.end(whole=finish != "length"))
        finally:
            run.count(answer.usage, reasoning)
        return finish != "length"

    def _left(self, run: Run) -> int | None:
        most = run.ask.max_output_tokens or self._most_tokens
        return None if most is None else max(1, most - run.spent)

    def _body(
        self,
        ask: Ask,
        items: Sequence[Mapping[str, Any]],
        offered: Sequence[_Offered],
        *,
        who: Principal,
        first: bool,
        left: int | None,
        told: str = "",
    ) -> dict[str, Any]:
        messages = messages_of(items, opened=lambda sealed: self._seal.open(sealed, who))
        if told:
            _put_before_the_question(messages, told)
        if ask.instructions:
            messages.insert(0, {"role": "system", "content": ask.instructions})
        body: dict[str, Any] = {**ask.body, "messages": _one_beginning(messages)}
        if left is not None:
            body["max_tokens"] = left
        if not first:
            # Demanded once, a call is not demanded again when its result is there.
            body.pop("tool_choice", None)
        if offered and ask.choice != "none":
            self._offer(ask, body, offered, first=first)
        return dict(self._complete(self._door.model(who, ask.model), body))

    # Sources

    async def _sources(self, run: Run) -> list[_Read]:
        """What the tools that are sources give to read, each for its place in the request; nothing where no tool shall be used."""
        found: list[_Read] = []
        for spec in run.ask.tools if run.ask.choice != "none" else ():
            tool = self.tools[str(spec["type"])]
            if isinstance(tool, Source):
                found.append((spec, await tool.read(spec, run)))
                run.wary = True
                run.output.close(whole=True)
        return found

    async def _shorter(self, run: Run, sources: Sequence[_Read]) -> bool:
        """Have less to read. False: there is no less."""
        for spec, _ in sources:
            tool = self.tools[str(spec["type"])]
            if isinstance(tool, Source) and await tool.shorten(spec, run):
                return True
        return False

    def _watch(self, run: Run) -> Watch | None:
        """Who looks at the next message: the source that gave something to read."""
        if not run.wary:
            return None
        return next((tool.watch(run) for spec in run.ask.tools if isinstance(tool := self.tools[str(spec["type"])], Source)), None)

    # Tools

    async def _offers(self, run: Run) -> list[_Offered]:
        """The functions of all tools that run here; which tool each belongs to is noted in the run. Raises `InvalidRequest` for a name twice."""
        found: list[_Offered] = []
        taken = {str(tool["function"]["name"]) for tool in run.ask.body.get("tools") or ()}
        for spec in run.ask.tools:
            tool = self.tools[str(spec["type"])]
            for function in await tool.offer(spec, run):
                if function.name in taken:
                    raise InvalidRequest(f"Two tools have a function '{function.name[:64]}'; rename one, or leave one out.", param="tools")
                taken.add(function.name)
                run.here[function.name] = (tool, spec)
                found.append(_Offered(function, spec))
            run.output.close(whole=True)
        demand_done(run.items)
        return found

    def _offer(self, ask: Ask, body: dict[str, Any], offered: Sequence[_Offered], *, first: bool) -> None:
        """Put the functions into the body, those only that `tool_choice` names where it names some."""
        chosen = list(offered)
        if isinstance(ask.choice, Mapping):
            wanted = {name: value for name, value in ask.choice.items() if name != "name"}
            chosen = [one for one in offered if all(one.spec.get(name) == value for name, value in wanted.items())]
            named = ask.choice.get("name")
            chosen = [one for one in chosen if named is None or one.function.name == named or one.function.name.endswith(f"__{named}")]
            if first and not chosen:
                raise InvalidRequest("'tool_choice' names a tool that offers nothing here.", param="tool_choice")
        declared = [
            {
                "type": "function",
                "function": {"name": one.function.name, "description": one.function.description, "parameters": dict(one.function.parameters)},
            }
            for one in (chosen if first else offered)
        ]
        body["tools"] = [*([] if isinstance(ask.choice, Mapping) and first else body.get("tools") or ()), *declared]
        # A source was asked before the model was: nobody has to call it.
        if first and ask.choice != "auto" and any(not isinstance(self.tools[str(one.spec["type"])], Source) for one in chosen):
            body["tool_choice"] = "required"


def _tell(run: Run, pieces: Sequence[Said]) -> None:
    for said in pieces:
        run.output.feed({"content": said.text})
        for annotation in said.annotations:
            run.output.annotate(annotation)


def _put_before_the_question(messages: list[dict[str, Any]], told: str) -> None:
    """What was found stands before what the user said last, so that what came before it stays as it was, and so does its prefix in the cache."""
    place = next((number for number in range(len(messages) - 1, -1, -1) if messages[number]["role"] == "user"), None)
    if place is None:
        messages.append({"role": "user", "content": told})
        return
    content = messages[place]["content"]
    messages[place] = {
        **messages[place],
        "content": [{"type": "text", "text": told}, *content] if isinstance(content, list) else f"{told}\n\n{content}",
    }


def _one_beginning(messages: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Instructions from several places as one message: many templates take only one, and only at the beginning."""
    first = next((number for number, message in enumerate(messages) if message["role"] not in ("system", "developer")), len(messages))
    if first < 2:
        return messages
    together = "\n\n".join(str(message["content"]) for message in messages[:first])
    return [{"role": messages[0]["role"], "content": together}, *messages[first:]]


def _shortened(items: Sequence[Mapping[str, Any]], error: ContextExceeded, answer: int) -> list[Mapping[str, Any]] | None:
    """The items without their oldest turns: as many as it takes, by the share that they have in the whole, and one at least. What the user said
    last stays. `None`: there is nothing to leave out. `answer`: tokens that the answer shall have room for."""
    parts = turns(items)
    if len(parts) <= 2:
        return None
    sizes = [sum(len(str(item)) for item in part) for part in parts]
    room = max(error.context - min(answer or error.context // 8, error.context // 2), 1)
    wanted = sum(sizes) * room / max(error.prompt_tokens, 1)
    gone = 1
    while gone < len(parts) - 2 and sum(sizes) - sum(sizes[1 : gone + 1]) > wanted:
        gone += 1
    return [item for part in (parts[0], *parts[gone + 1 :]) for item in part]
