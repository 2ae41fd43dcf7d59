"""A check, how it is run, and the means by which checks speak with a worker."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any, Literal

from hausgeist.engines.base import Operation, Reply, Worker, WorkerGone
from hausgeist.errors import HausgeistError, NotSupported
from hausgeist.model import LaunchPlan, Task

__all__ = ["Check", "ContractBroken", "Outcome", "Streamed", "ask", "ask_well", "demand", "opened", "run_check", "run_checks", "stream"]

TIMEOUT = 120.0
"""Seconds that one check may take."""


class ContractBroken(Exception):
    """The engine does not do what every engine must."""

    def __init__(self, name: str, detail: str) -> None:
        super().__init__(f"{name}: {detail}")
        self.name = name
        self.detail = detail


class _Unmet(Exception):
    """A demand that did not hold; becomes `ContractBroken` once the name of the check is known."""


@dataclass(frozen=True, slots=True)
class Check:
    """One demand on an engine. `task`: the kind of worker it needs. An `optional` one may be answered with `NotSupported`."""

    name: str
    meaning: str
    run: Callable[[Worker, LaunchPlan], Awaitable[None]]
    task: Task = "generate"
    optional: bool = False


@dataclass(frozen=True, slots=True)
class Outcome:
    """How a check went. `missing`: the engine says that it does not have this, and may."""

    check: Check
    result: Literal["passed", "missing", "broken"]
    detail: str = ""


async def run_check(check: Check, worker: Worker) -> None:
    """Raises `ContractBroken`; or `NotSupported`, from an optional check only."""
    try:
        async with asyncio.timeout(TIMEOUT):
            await check.run(worker, worker.plan)
    except NotSupported as error:
        if check.optional:
            raise
        raise ContractBroken(check.name, f"not supported: {error.message}") from error
    except _Unmet as error:
        raise ContractBroken(check.name, str(error)) from error
    except TimeoutError as error:
        raise ContractBroken(check.name, f"no end within {TIMEOUT:.0f} seconds") from error
    except WorkerGone as error:
        raise ContractBroken(check.name, f"the worker died: {error}") from error
    except HausgeistError as error:
        raise ContractBroken(check.name, error.message) from error
    except (KeyError, IndexError, TypeError, ValueError, AttributeError) as error:
        raise ContractBroken(check.name, f"the reply has another shape ({type(error).__name__}: {error})") from error


async def run_checks(checks: Sequence[Check], worker: Worker) -> AsyncIterator[Outcome]:
    """All that fit the worker's task, one after the other, until it is dead."""
    for check in checks:
        if check.task != worker.plan.task:
            continue
        try:
            await run_check(check, worker)
        except NotSupported as error:
            yield Outcome(check, "missing", error.message)
        except ContractBroken as error:
            yield Outcome(check, "broken", error.detail)
            if not worker.alive:
                return
        else:
            yield Outcome(check, "passed")


def demand(condition: object, detail: str) -> None:
    """The check fails with this sentence unless the condition holds."""
    if not condition:
        raise _Unmet(detail)


@asynccontextmanager
async def opened(worker: Worker, operation: Operation, body: Mapping[str, Any] | bytes) -> AsyncIterator[Reply]:
    """The reply, closed at the end."""
    reply = await worker.call(operation, body if isinstance(body, bytes) else json.dumps(body).encode())
    try:
        yield reply
    finally:
        await reply.close()


async def ask(worker: Worker, operation: Operation, body: Mapping[str, Any] | bytes) -> tuple[int, dict[str, Any]]:
    """Status and parsed body. Raises `NotSupported` for a 501."""
    async with opened(worker, operation, body) as reply:
        demand(not reply.streaming, f"{operation} streams although it was not asked to")
        text = await reply.read()
    parsed = json.loads(text)
    demand(isinstance(parsed, dict), f"{operation} answers no JSON object")
    if reply.status == 501:
        raise NotSupported(_message(parsed))
    return reply.status, parsed


async def ask_well(worker: Worker, operation: Operation, body: Mapping[str, Any]) -> dict[str, Any]:
    """The parsed body of an answer that must be good."""
    status, parsed = await ask(worker, operation, body)
    demand(status == 200, f"{operation} answers {status}: {_message(parsed)}")
    return parsed


def _message(parsed: Mapping[str, Any]) -> str:
    error = parsed.get("error")
    return str(error.get("message")) if isinstance(error, dict) else json.dumps(parsed)[:300]


@dataclass(frozen=True, slots=True)
class Streamed:
    """A stream read to its end."""

    events: Sequence[dict[str, Any]]
    done: bool
    """Whether [DONE] closed it."""

    def content(self, choice: int = 0) -> str:
        return "".join(part["delta"].get("content") or "" for part in self.choices(choice))

    def choices(self, choice: int = 0) -> list[dict[str, Any]]:
        return [part for event in self.events for part in event.get("choices", ()) if part["index"] == choice]

    def finish(self, choice: int = 0) -> str | None:
        return next((part["finish_reason"] for part in reversed(self.choices(choice)) if part.get("finish_reason")), None)


async def stream(worker: Worker, operation: Operation, body: Mapping[str, Any]) -> Streamed:
    """Ask for events and read them all, holding each to the form of an event stream."""
    async with opened(worker, operation, {**body, "stream": True}) as reply:
        raw = b"".join([chunk async for chunk in reply.chunks()])
        if reply.status == 501:
            raise NotSupported(_message(json.loads(raw)))
        demand(reply.status == 200, f"{operation} answers {reply.status}: {raw[:300].decode('utf-8', 'replace')}")
        demand(reply.streaming, f"{operation} does not stream although it was asked to")
    text = raw.decode()  # every event must be whole characters, so the whole stream is
    demand(text.endswith("\n\n"), "the stream does not end with a blank line")
    events: list[dict[str, Any]] = []
    done = False
    for block in text.replace("\r\n", "\n").split("\n\n"):
        data = "\n".join(line[5:].strip() for line in block.split("\n") if line.startswith("data:"))
        if not data:
            demand(not block.strip() or block.startswith(":"), f"an event without data: {block[:80]!r}")
            continue
        demand(not done, "something comes after [DONE]")
        if data == "[DONE]":
            done = True
        else:
            events.append(json.loads(data))
    return Streamed(events, done)
