"""An answer on its way: bytes pass unparsed, except the first event, those with usage, and errors."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

from hausgeist.engines import Reply, WorkerGone
from hausgeist.errors import EngineCrashed, EngineFailed, HausgeistError
from hausgeist.model import InstalledModel, Usage
from hausgeist.serving.calls import Call
from hausgeist.serving.failures import failure, stream_failure

__all__ = ["EngineAnswer", "Finish"]

_END = b"\n\n"
_LARGEST_EVENT = 16 * 2**20
_MOST = 2**40
"""Tokens or milliseconds of one call that are believed; millions of them still add up to a whole number of SQLite."""
_OURS = (b'"usage"', b'"timings"', b'"error"')
_ENDS = {"infill": b'"stop":true'}
"""What the last event of a stream contains where it is not `[DONE]`; inside an answer the quotes would be escaped."""
Finish = Callable[[Usage, str, bool], Awaitable[None]]
"""usage, outcome ("ok", "cancelled", "failed: ..."), and whether the engine has come to its end by itself."""


class EngineAnswer:
    """One reply of a worker, metered. `finish` is awaited exactly once, whatever happens."""

    def __init__(self, *, call: Call, model: InstalledModel, context: int, reply: Reply, started: float, load_ms: float, finish: Finish) -> None:
        self.model = model
        self.context = context
        self.request_id = call.origin.request_id
        self.usage = Usage()
        self._call = call
        self._reply = reply
        self._started = started
        self._load_ms = load_ms
        self._finish = finish
        self._first_ms = 0.0
        self._outcome = "cancelled"
        self._complete = False
        self._finished = False
        self._counts: dict[str, Any] = {}
        self._timings: dict[str, Any] = {}
        self._stop_word = ""

    async def __aenter__(self) -> EngineAnswer:
        return self

    async def __aexit__(self, *exc: object) -> None:
        await self.close()

    async def close(self) -> None:
        """Stop the engine if it still answers, account for what was used. Idempotent; not interrupted by the caller's own cancellation."""
        if self._finished:
            return
        self._finished = True
        self._settle()
        await asyncio.shield(asyncio.ensure_future(self._conclude()))

    async def _conclude(self) -> None:
        try:
            await self._reply.close()
        finally:
            await self._finish(self.usage, self._outcome, self._complete)

    async def json(self) -> dict[str, Any]:
        try:
            body = await self._reply.read()
            if self._reply.status >= 400:
                raise failure(self._reply.status, body)
            parsed = json.loads(body)
        except WorkerGone as error:
            raise self._failed(EngineCrashed()) from error
        except ValueError as error:
            raise self._failed(EngineFailed("The engine's reply is not JSON.")) from error
        except HausgeistError as error:
            self._complete = True
            raise self._failed(error) from error.__cause__
        self._complete, self._outcome = True, "ok"
        self._first_ms = (time.perf_counter() - self._started) * 1000
        if isinstance(parsed, list):
            parsed = {"data": parsed}
        self._count(parsed)
        self._settle()
        if self._call.report_stop:
            self._report_stop(parsed)
        if "model" in parsed:
            parsed["model"] = self._call.model
        return parsed  # type: ignore[no-any-return]

    async def chunks(self) -> AsyncIterator[bytes]:
        rename: tuple[bytes, bytes] | None = None
        rest = b""
        done = False
        last = _ENDS.get(self._call.operation, b"[DONE]")
        try:
            async for chunk in self._reply.chunks():
                if rest:
                    chunk = rest + chunk
                    rest = b""
                if not chunk.endswith(_END):
                    chunk, end, rest = chunk.rpartition(_END)
                    chunk += end
                    if len(rest) > _LARGEST_EVENT:
                        raise EngineFailed("The engine sent an event without an end.")
                    if not chunk:
                        continue
                if not self._first_ms:
                    self._first_ms = (time.perf_counter() - self._started) * 1000
                    rename = self._renaming(chunk)
                if self._call.report_stop or b'"usage"' in chunk or b'"timings"' in chunk or b'"error"' in chunk or b"error:" in chunk:
                    chunk = self._inspect(chunk)
                if last in chunk:
                    done = True
                if rename:
                    chunk = chunk.replace(*rename)
                if chunk:
                    yield chunk
        except WorkerGone as error:
            raise self._failed(EngineCrashed()) from error
        except HausgeistError as error:
            raise self._failed(error) from error.__cause__
        if not done:
            raise self._failed(EngineCrashed("The engine ended its answer in the middle."))
        self._complete, self._outcome = True, "ok"
        self._settle()

    async def events(self) -> AsyncIterator[dict[str, Any]]:
        async for chunk in self.chunks():
            for event in chunk.split(_END):
                data = _data(event)
                if data is not None:
                    yield data

    def _renaming(self, chunk: bytes) -> tuple[bytes, bytes] | None:
        """The engine may know the model by another name; as JSON strings are escaped, this text cannot occur in an answer itself."""
        for event in chunk.split(_END):
            data = _data(event)
            if data is None:
                continue
            named = data.get("model")
            if isinstance(named, str) and named != self._call.model:
                return b'"model":' + json.dumps(named).encode(), b'"model":' + json.dumps(self._call.model).encode()
            return None
        return None

    def _inspect(self, chunk: bytes) -> bytes:
        """Take usage out of the events that carry it, raise those that are errors, and drop the usage chunk that the caller did not ask for."""
        kept: list[bytes] = []
        for event in chunk.split(_END):
            if not event:
                continue
            if event.startswith(b"error:"):
                raise stream_failure(_data(b"data" + event[5:]) or {})
            data = _data(event) if self._call.report_stop or any(mark in event for mark in _OURS) else None
            if data is None:
                kept.append(event)
                continue
            if "error" in data and "choices" not in data:
                raise stream_failure(data)
            self._count(data)
            if data.get("choices") == [] and data.get("usage") is not None:
                if self._call.stream_usage:
                    kept.append(_event(data))
            elif self._call.report_stop:
                self._report_stop(data)
                kept.append(_event(data))
            else:
                kept.append(event)
        return _END.join(kept) + _END if kept else b""

    def _report_stop(self, data: dict[str, Any]) -> None:
        """Put the stop string into the choice that ended, where vLLM has it: llama-server tells it beside the last deltas, in `__verbose`."""
        verbose = data.pop("__verbose", None)
        if isinstance(verbose, dict) and verbose.get("stopping_word"):
            self._stop_word = str(verbose["stopping_word"])
        for choice in data.get("choices") or ():
            if self._stop_word and choice.get("finish_reason") is not None:
                choice["stop_reason"] = self._stop_word

    def _count(self, data: dict[str, Any]) -> None:
        usage = data.get("usage")
        if isinstance(usage, dict):
            # Of several answers at once each has its own closing event; the prompt was processed once.
            earlier = self._counts.get("completion_tokens", 0) if data.get("choices") == [] else 0
            self._counts = {**usage, "completion_tokens": earlier + int(_number(usage.get("completion_tokens")))}
        timings = data.get("timings")
        if isinstance(timings, dict):
            self._timings = timings

    def _settle(self) -> None:
        counts, timings = self._counts, self._timings
        details = counts.get("prompt_tokens_details") or {}
        # Engine-shaped replies (infill) have no `usage`; their timings tell the same: cached and processed prompt tokens, tokens made.
        cached = _number(details.get("cached_tokens", timings.get("cache_n")))
        self.usage = Usage(
            prompt_tokens=int(_number(counts.get("prompt_tokens", _number(timings.get("prompt_n")) + cached))),
            completion_tokens=int(_number(counts.get("completion_tokens", timings.get("predicted_n")))),
            cached_tokens=int(cached),
            prompt_ms=_number(timings.get("prompt_ms")),
            completion_ms=_number(timings.get("predicted_ms")),
            load_ms=self._load_ms,
            first_token_ms=self._first_ms,
            total_ms=(time.perf_counter() - self._started) * 1000,
        )

    def _failed(self, error: HausgeistError) -> HausgeistError:
        self._outcome = f"failed: {type(error).__name__}"
        return error


def _data(event: bytes) -> dict[str, Any] | None:
    """The JSON object of an event, None for comments, `[DONE]` and the like."""
    for line in event.split(b"\n"):
        if line.startswith(b"data:"):
            text = line[5:].strip()
            if text == b"[DONE]":
                return None
            try:
                parsed = json.loads(text)
            except ValueError:
                return None
            return parsed if isinstance(parsed, dict) else None
    return None


def _event(data: dict[str, Any]) -> bytes:
    """An event with the engine's private timings taken out."""
    data.pop("timings", None)
    return b"data: " + json.dumps(data, ensure_ascii=False, separators=(",", ":")).encode()


def _number(value: Any) -> float:
    """What an engine or another server counted; what is no count at all (NaN, less than 0) is 0, so that sums stay sums."""
    return float(min(value, _MOST)) if isinstance(value, (int, float)) and value > 0 else 0.0
