"""`completions`: text after a prompt, or, with `suffix`, text between two.

Each prompt is a call of its own, so that its usage is counted and no prompt waits for the others' slots; answers are put together in order.
"""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import AsyncGenerator, Mapping, Sequence
from contextlib import aclosing
from dataclasses import dataclass, replace
from typing import Annotated, Any, cast

from pydantic import Field, model_validator
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from hausgeist.errors import InvalidRequest, NotSupported
from hausgeist.gateway.bodies import json_body
from hausgeist.gateway.defaults import with_defaults
from hausgeist.gateway.openai.errors import error_event, naming
from hausgeist.gateway.openai.legacy import Piece, TextChoice, chosen, pieces
from hausgeist.gateway.openai.replies import DONE, Totals, event, new_id, usage_of
from hausgeist.gateway.openai.sampling import Sampling, identified
from hausgeist.gateway.services import Services
from hausgeist.http.streaming import EventStream
from hausgeist.identity import Principal
from hausgeist.model import InstalledModel
from hausgeist.serving.calls import Answer, Call

__all__ = ["REFUSED", "CompletionRequest", "Plan", "create", "decode"]

_INT32 = 2**31 - 1
_DEFAULT_LENGTH = 16
"""OpenAI's default of `max_tokens` for completions."""
_CHOICES = 256
_AT_ONCE = 4

REFUSED: Mapping[str, str] = {}
"""Parameters that are refused whenever they are set: none."""

Token = Annotated[int, Field(ge=0, le=_INT32)]
Tokens = Annotated[list[Token], Field(min_length=1)]


class CompletionRequest(Sampling):
    """The body of `POST /v1/completions`, as the SDK's CompletionCreateParams has it."""

    prompt: str | Tokens | Annotated[list[str], Field(min_length=1)] | Annotated[list[Tokens], Field(min_length=1)] | None = None
    best_of: int | None = Field(None, ge=1, le=20)
    echo: bool | None = None
    logprobs: int | None = Field(None, ge=0, le=5)
    max_tokens: int | None = Field(None, ge=0, le=_INT32)
    suffix: str | None = None

    @model_validator(mode="after")
    def _together(self) -> CompletionRequest:
        if self.best_of is not None:
            if self.best_of < (self.n or 1):
                raise ValueError("'best_of' must not be smaller than 'n'")
            if self.stream and self.best_of > (self.n or 1):
                raise ValueError("with 'best_of' greater than 'n' the answers cannot be streamed")
        return self

    @property
    def prompts(self) -> list[str | list[int]]:
        if self.prompt is None:
            return [""]
        if isinstance(self.prompt, str):
            return [self.prompt]
        if isinstance(self.prompt[0], int):
            return [self.prompt]
        return cast("list[str | list[int]]", list(self.prompt))


@dataclass(frozen=True)
class Plan:
    """One call to the engine: a prompt, how many answers to it are asked for, and the number of the first."""

    prompt: str | list[int]
    body: dict[str, Any]
    infill: bool
    first: int
    asked: int
    wanted: int


def decode(request: CompletionRequest, model: InstalledModel) -> list[Plan]:
    """The calls that answer a request, in the order of its choices. Raises what is not served, naming the parameter. Pure."""
    wanted, asked = request.n or 1, request.best_of or request.n or 1
    prompts = request.prompts
    if len(prompts) * asked > _CHOICES:
        raise InvalidRequest(
            f"{len(prompts)} prompts with {asked} answers each are more than {_CHOICES}; send them in several requests.", param="prompt"
        )
    if request.echo and request.logprobs is not None:
        raise NotSupported("'echo' together with 'logprobs' is not supported: the engine does not tell the probabilities of a prompt.", param="echo")
    body = request.sampled(model)
    body["max_tokens"] = _DEFAULT_LENGTH if request.max_tokens is None else request.max_tokens
    if request.logprobs is not None or asked > wanted:
        # Asked for none, the engine leaves the chosen token's away as well.
        body["logprobs"] = max(1, request.logprobs or 0)
    if request.suffix:
        return _infills(request, prompts, body, wanted, asked)
    if asked > 1:
        body["n"] = asked
    return [Plan(prompt, {**body, "prompt": prompt}, False, number * wanted, asked, wanted) for number, prompt in enumerate(prompts)]


def _infills(request: CompletionRequest, prompts: Sequence[Any], body: dict[str, Any], wanted: int, asked: int) -> list[Plan]:
    """The engine fills one gap at a time, and its prompt is text."""
    if not all(isinstance(prompt, str) for prompt in prompts):
        raise NotSupported("'suffix' needs a prompt that is text.", param="suffix")
    if asked > wanted:
        raise NotSupported("'best_of' together with 'suffix' is not supported.", param="best_of")
    if "logprobs" in body:
        body["n_probs"] = body.pop("logprobs")
    seed = body.get("seed")
    plans = []
    for number, prompt in enumerate(prompts):
        for answer in range(wanted):
            varied = {} if seed is None else {"seed": (seed + answer) % 0xFFFF_FFFF}
            gap = {**body, **varied, "input_prefix": prompt, "input_suffix": request.suffix}
            plans.append(Plan(prompt, gap, True, number * wanted + answer, 1, 1))
    return plans


async def create(request: Request, services: Services) -> Response:
    asked = await json_body(request, CompletionRequest)
    who = request.state.principal
    model = services.door.model(who, asked.model)
    work = _Work(
        services=services,
        who=who,
        call=Call(
            model=asked.model,
            operation="completion",
            body={},
            origin=identified(request.state.origin, asked.user),
            stream=True,
            stream_usage=True,
            context=asked.num_ctx,
            keep_alive=asked.keep_alive,
        ),
        asked=asked,
        model=model,
        plans=decode(asked, model),
    )
    if asked.streamed:
        return await EventStream.begin(work.events(), failure=error_event)
    return JSONResponse(await work.reply())


@dataclass(frozen=True)
class _Work:
    """One request on its way through the door, prompt by prompt."""

    services: Services
    who: Principal
    call: Call
    asked: CompletionRequest
    model: InstalledModel
    plans: Sequence[Plan]

    async def reply(self) -> dict[str, Any]:
        """The whole answer. Whichever prompt fails first ends the others."""
        several = asyncio.Semaphore(_AT_ONCE)
        try:
            async with asyncio.TaskGroup() as group:
                tasks = [group.create_task(self._answered(plan, several)) for plan in self.plans]
        except ExceptionGroup as failed:
            raise failed.exceptions[0] from failed.exceptions[0].__cause__
        totals, choices = Totals(), []
        head: dict[str, Any] = {}
        for found, usage, first in (task.result() for task in tasks):
            choices += [choice.say(self.asked.logprobs) for choice in found]
            totals.add(usage)
            head = head or first
        return {**self._head(head), "choices": choices, "usage": totals.say()}

    async def _answered(self, plan: Plan, several: asyncio.Semaphore) -> tuple[list[TextChoice], dict[str, Any], dict[str, Any]]:
        found: dict[int, TextChoice] = {}
        totals = Totals()
        head: dict[str, Any] = {}
        async with several:
            opening = await self._opening(plan)
            async with aclosing(self._pieces(plan)) as stream:
                async for piece in stream:
                    totals.add(piece.usage, same_prompt=True)
                    head = head or dict(piece.head)
                    if piece.index is not None:
                        found.setdefault(piece.index, TextChoice(text=opening)).add(piece)
        best = chosen([found[index] for index in sorted(found)], plan.wanted)
        return [replace(choice, index=plan.first + number) for number, choice in enumerate(best)], totals.say(), head

    def events(self) -> AsyncGenerator[bytes, None]:
        """The answer as events."""
        simple = (
            len(self.plans) == 1 and self.plans[0].asked == 1 and not (self.plans[0].infill or self.asked.echo or self.asked.logprobs is not None)
        )
        return self._passed(self.plans[0]) if simple else self._rewritten()

    async def _passed(self, plan: Plan) -> AsyncGenerator[bytes, None]:
        """One answer as the engine's own events; only those with usage are taken apart, which OpenAI tells in an event of its own."""
        answer = await self._asked(plan)
        async with answer, aclosing(answer.chunks()) as chunks:  # type: ignore[type-var]
            async for chunk in chunks:
                if b'"usage"' not in chunk and b'"timings"' not in chunk:
                    yield chunk
                    continue
                for text in chunk.split(b"\n\n"):
                    if not text.startswith(b"data: {"):
                        if text:
                            yield text + b"\n\n"
                        continue
                    data = json.loads(text[6:])
                    data.pop("timings", None)
                    usage = data.pop("usage", None)
                    self._demand_start(plan, usage)
                    if data.get("choices"):
                        yield event(data)
                    if usage is not None and self.asked.stream_usage:
                        yield event({**data, "choices": [], "usage": usage_of(usage)})

    async def _rewritten(self) -> AsyncGenerator[bytes, None]:
        """Several answers as events, each taken apart: one prompt after the other, under one id."""
        head: dict[str, Any] = {}
        totals = Totals()
        for plan in self.plans:
            mine = Totals()
            opened: set[int] = set()
            offsets: dict[int, int] = {}
            opening = await self._opening(plan)
            async with aclosing(self._pieces(plan)) as stream:
                async for piece in stream:
                    head = head or self._head(piece.head)
                    mine.add(piece.usage, same_prompt=True)
                    if piece.index is None:
                        continue
                    start = "" if piece.index in opened else opening
                    opened.add(piece.index)
                    choice = TextChoice(index=plan.first + piece.index, text=start, offset=offsets.get(piece.index, 0))
                    choice.add(piece)
                    offsets[piece.index] = choice.offset + len(choice.text)
                    yield event({**head, "choices": [{**choice.say(self.asked.logprobs), "finish_reason": piece.finish}]})
            totals.add(mine.say())
        if self.asked.stream_usage:
            yield event({**head, "choices": [], "usage": totals.say()})
        yield DONE

    async def _pieces(self, plan: Plan) -> AsyncGenerator[Piece, None]:
        """What the engine sends, in one shape for completions and infills."""
        async with await self._asked(plan) as answer:
            async for data in answer.events():
                for piece in pieces(data):
                    self._demand_start(plan, piece.usage)
                    yield piece

    async def _asked(self, plan: Plan) -> Answer:
        body = with_defaults(self.model, plan.body)
        call = replace(self.call, operation="infill" if plan.infill else "completion", body=body, share=plan.asked)
        with naming("prompt"):
            return await self.services.door.call(self.who, call)

    def _demand_start(self, plan: Plan, usage: Mapping[str, Any] | None) -> None:
        """A model without a token for the beginning says nothing to an empty prompt, and no error either."""
        if plan.prompt == "" and not plan.infill and usage is not None and not usage.get("prompt_tokens"):
            raise InvalidRequest(f"The model '{self.asked.model}' cannot start from nothing; give it a prompt.", param="prompt")

    async def _opening(self, plan: Plan) -> str:
        """What stands before the answer: the prompt, where `echo` asks for it."""
        if not self.asked.echo:
            return ""
        if isinstance(plan.prompt, str):
            return plan.prompt
        call = replace(self.call, operation="detokenize", body={"tokens": plan.prompt}, stream=False, stream_usage=False)
        async with await self.services.door.call(self.who, call) as answer:
            return str((await answer.json()).get("content", ""))

    def _head(self, found: Mapping[str, Any]) -> dict[str, Any]:
        return {
            "id": str(found.get("id") or new_id("cmpl")),
            "object": "text_completion",
            "created": int(found.get("created") or time.time()),
            "model": self.asked.model,
            "system_fingerprint": found.get("system_fingerprint"),
        }
