"""Models of other servers that speak OpenAI's API, such as vLLM's, offered here as `NAME/model`.

Owns the list of what each upstream has, and the translation of its refusals into our errors. Requests go out through an `Outbound`, which decides
whether they may; nothing here opens a connection by itself.
"""

from __future__ import annotations

import asyncio
import json
import logging
import re
import time
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from hashlib import sha256
from typing import TYPE_CHECKING, Any, Protocol
from urllib.parse import urlsplit

from hausgeist.engines.base import Operation, SlotState, WorkerGone
from hausgeist.errors import EgressRefused, EngineFailed, HausgeistError, LoadFailed, NotSupported
from hausgeist.model import Footprint, InstalledModel, LaunchPlan, ModelOptions, Shape
from hausgeist.settings import UpstreamSection

if TYPE_CHECKING:
    from aiohttp import ClientResponse

__all__ = ["Outbound", "Remote", "RemoteReply", "RemoteWorker"]

log = logging.getLogger(__name__)

_PATHS: dict[Operation, str] = {
    "chat": "/v1/chat/completions",
    "completion": "/v1/completions",
    "embeddings": "/v1/embeddings",
    "rerank": "/v1/rerank",
}
_LLAMA_PATHS: dict[Operation, str] = {
    "infill": "/infill",
    "count_chat": "/v1/chat/completions/input_tokens",
    "tokenize": "/tokenize",
    "detokenize": "/detokenize",
    "apply_template": "/apply-template",
}
"""What only llama-server has. Others answer 404, or 400 and 422 because they have something else there."""

_PRIVATE = ("id_slot", "cache_prompt", "verbose", "timings_per_token", "return_progress")
_FRESH = 30.0
"""Seconds that a list of models is good for."""
_PATIENCE = 1.0
"""Seconds that `models` waits for lists; what comes later is in the next one. The start of the server must not hang on another machine."""
_LIST_TIMEOUT = 15.0
_LIST_LIMIT = 4 * 2**20
_MODELS_LIMIT = 1000
_ERROR_LIMIT = 64 * 2**10
_REPLY_LIMIT = 256 * 2**20


class Outbound(Protocol):
    """The way out. Raises `EgressRefused` where the settings do not allow it, any `HausgeistError` or `OSError` where nobody answers."""

    def request(
        self,
        method: str,
        url: str,
        *,
        purpose: str,
        headers: Mapping[str, str] | None = None,
        data: Any = None,
        timeout: float | None = None,
    ) -> AbstractAsyncContextManager[ClientResponse]: ...


class Remote:
    """All configured upstreams. Their lists of models are fetched again when they are older than half a minute."""

    name = "remote"

    def __init__(self, *, upstreams: Mapping[str, UpstreamSection], outbound: Outbound) -> None:
        self._upstreams = {name: _Upstream(name, section, outbound) for name, section in upstreams.items()}

    async def models(self) -> Sequence[InstalledModel]:
        """What the upstreams offer, as far as they answer. One that does not is named in the log and keeps what it offered before."""
        refreshing = [upstream.refresh() for upstream in self._upstreams.values()]
        if refreshing:
            await asyncio.wait(refreshing, timeout=_PATIENCE)
        return [model for upstream in self._upstreams.values() for model in upstream.models]

    async def fit(self, plan: LaunchPlan) -> Footprint:
        self._upstream(plan)
        return Footprint(host=0)

    async def load(self, plan: LaunchPlan, progress: Callable[[float], None] | None = None) -> RemoteWorker:
        worker = RemoteWorker(plan, self._upstream(plan))
        if progress is not None:
            progress(1.0)
        return worker

    async def close(self) -> None:
        await asyncio.gather(*(upstream.close() for upstream in self._upstreams.values()))

    def _upstream(self, plan: LaunchPlan) -> _Upstream:
        name, _, _ = plan.model.upstream.partition("/")
        if name not in self._upstreams:
            raise LoadFailed(
                f"'{plan.model.id}' belongs to the upstream '{name}', which is not configured: add [upstreams.{name}] to hausgeist.toml."
            )
        return self._upstreams[name]


class _Upstream:
    """One server: its address, its key, its models."""

    def __init__(self, name: str, section: UpstreamSection, outbound: Outbound) -> None:
        self.name = name
        self.section = section
        self.base = section.url.rstrip("/").removesuffix("/v1")
        self.models: Sequence[InstalledModel] = ()
        self.llama_server: bool | None = None
        """Whether it is one; `None`: it does not say what it is."""
        self._outbound = outbound
        self._fetched = float("-inf")
        self._refreshing: asyncio.Task[None] | None = None
        self._trouble = ""

    @property
    def address(self) -> str:
        """Host and port, for messages: an address may contain more than others should read."""
        parts = urlsplit(self.base)
        return f"{parts.hostname or '?'}:{parts.port}" if parts.port else str(parts.hostname or "?")

    def open(self, method: str, path: str, data: bytes | None, timeout: float | None) -> AbstractAsyncContextManager[ClientResponse]:
        headers = {"Accept-Encoding": "identity"}
        if data is not None:
            headers["Content-Type"] = "application/json"
        if self.section.key:
            headers["Authorization"] = f"Bearer {self.section.key}"
        return self._outbound.request(method, self.base + path, headers=headers, data=data, timeout=timeout, purpose=f"upstream {self.name}")

    def refresh(self) -> asyncio.Task[None]:
        """The running or a new fetch of the list; a finished one while the list is fresh."""
        if self._refreshing is None or (self._refreshing.done() and time.monotonic() - self._fetched > _FRESH):
            self._refreshing = asyncio.create_task(self._refresh())
        return self._refreshing

    async def close(self) -> None:
        if self._refreshing is not None:
            self._refreshing.cancel()
            await asyncio.wait((self._refreshing,))

    async def _refresh(self) -> None:
        from aiohttp import ClientError

        try:
            async with self.open("GET", "/v1/models", None, _LIST_TIMEOUT) as response:
                body = await _read(response, _LIST_LIMIT)
                if response.status != 200:
                    raise self.refused(response.status, body) or EngineFailed(f"it answers {response.status}")
            self.models = self._parse(json.loads(body))
        except HausgeistError as error:
            self._note(error.message)
        except (ClientError, OSError, TimeoutError) as error:
            self._note(f"it cannot be reached ({_cause(error)})")
        except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
            self._note("what it answers to /v1/models is no list of models")
        else:
            self._note("")
        finally:
            self._fetched = time.monotonic()

    def _note(self, trouble: str) -> None:
        """Into the log, once per change."""
        if trouble != self._trouble:
            if trouble:
                log.warning("upstream '%s' (%s): %s", self.name, self.address, trouble)
            else:
                log.info("upstream '%s' (%s) answers again", self.name, self.address)
            self._trouble = trouble

    def _parse(self, told: Any) -> list[InstalledModel]:
        found = []
        makers = set()
        for entry in told["data"][:_MODELS_LIMIT]:
            model = entry["id"]
            if not isinstance(model, str) or not 0 < len(model) <= 256 or not model.isprintable():
                continue
            makers.add(entry.get("owned_by"))
            meta = entry.get("meta") if isinstance(entry.get("meta"), dict) else {}
            context = self.section.context or _length(entry.get("max_model_len")) or _length(meta.get("n_ctx")) or None
            created = entry.get("created")
            found.append(
                InstalledModel(
                    id=f"{self.name}/{model}",
                    engine="remote",
                    path=None,
                    digest=sha256(f"remote {self.base} {model}".encode()).hexdigest(),
                    modified=float(created) if isinstance(created, int | float) else 0.0,
                    shape=Shape(
                        context_length=context or 0,
                        parameters=_length(meta.get("n_params")),
                        embedding_length=_length(meta.get("n_embd")),
                        size=_length(meta.get("size")),
                    ),
                    # A list does not say what a model is for; the upstream refuses what it cannot do.
                    tasks=("generate", "embed", "rerank"),
                    options=ModelOptions(context=context, slots=self.section.slots),
                    source=self.base,
                    notice=f"answers come from {self.address}",
                    upstream=f"{self.name}/{model}",
                    removable=False,
                )
            )
        known = makers & {"llamacpp", "vllm", "sglang"}
        self.llama_server = known == {"llamacpp"} if known else None
        return found

    def refused(self, status: int, body: bytes) -> HausgeistError | None:
        """The error for a refusal of the key."""
        if status not in (401, 403):
            return None
        told = "wants an API key" if not self.section.key else "does not take the API key"
        return EngineFailed(f"The upstream '{self.name}' ({self.address}) {told} of upstreams.{self.name}.key: {_message(body) or status}")


class RemoteReply:
    """An answer of the upstream. Closing it early closes the connection, which is how the upstream learns to stop."""

    def __init__(
        self, upstream: _Upstream, context: AbstractAsyncContextManager[ClientResponse], response: ClientResponse, replacement: bytes | None = None
    ) -> None:
        self._upstream = upstream
        self._context: AbstractAsyncContextManager[ClientResponse] | None = context
        self._response = response
        self._replacement = replacement

    @property
    def status(self) -> int:
        return self._response.status

    @property
    def streaming(self) -> bool:
        return self._response.content_type == "text/event-stream"

    async def chunks(self) -> AsyncIterator[bytes]:
        from aiohttp import ClientError

        if self._replacement is not None:
            yield self._replacement
            return
        try:
            async for chunk in self._response.content.iter_any():
                yield chunk
        except (ClientError, OSError, TimeoutError) as error:
            raise self._broken(error) from error

    async def read(self) -> bytes:
        from aiohttp import ClientError

        if self._replacement is not None:
            return self._replacement
        try:
            return await _read(self._response, _REPLY_LIMIT)
        except (ClientError, OSError, TimeoutError) as error:
            raise self._broken(error) from error

    async def close(self) -> None:
        context, self._context = self._context, None
        if context is not None:
            self._response.close()
            await context.__aexit__(None, None, None)

    def _broken(self, error: Exception) -> WorkerGone:
        return WorkerGone(f"The connection to the upstream '{self._upstream.name}' broke in the middle of an answer ({_cause(error)}).")


class RemoteWorker:
    """A model of an upstream. It takes no memory here, and is never at fault for dying."""

    private_fields = False

    def __init__(self, plan: LaunchPlan, upstream: _Upstream) -> None:
        self._plan = plan
        self._upstream = upstream
        self._model = plan.model.upstream.partition("/")[2]
        self._ended: asyncio.Future[str] = asyncio.get_running_loop().create_future()

    @property
    def plan(self) -> LaunchPlan:
        return self._plan

    @property
    def pid(self) -> int | None:
        return None

    @property
    def alive(self) -> bool:
        return not self._ended.done()

    async def slots(self) -> Sequence[SlotState]:
        return ()

    def measured(self) -> Footprint:
        return Footprint(host=0)

    async def wait(self) -> str:
        return await asyncio.shield(self._ended)

    async def close(self, *, patience: float = 3.0) -> None:
        if not self._ended.done():
            self._ended.set_result(f"The connection to the upstream '{self._upstream.name}' was closed.")

    async def call(self, operation: Operation, body: bytes) -> RemoteReply:
        """Raises `EngineFailed` when the upstream cannot be reached or refuses the key, `EgressRefused`, `NotSupported`, `WorkerGone`."""
        if not self.alive:
            raise WorkerGone(self._ended.result())
        path = _PATHS.get(operation) or (_LLAMA_PATHS.get(operation) if self._upstream.llama_server is not False else None)
        if path is None:
            raise NotSupported(f"The upstream '{self._upstream.name}' does not do '{operation}'.")
        sent = self._body(operation, body)
        context, response = await self._send(path, sent)
        try:
            return await self._judged(operation, RemoteReply(self._upstream, context, response), context, response)
        except BaseException:
            response.close()
            await context.__aexit__(None, None, None)
            raise

    def _body(self, operation: Operation, body: bytes) -> bytes:
        fields = json.loads(body)
        fields["model"] = self._model
        if operation in _PATHS:
            for name in _PRIVATE:
                fields.pop(name, None)
        return json.dumps(fields, ensure_ascii=False, separators=(",", ":")).encode("utf-8", "replace")

    async def _send(self, path: str, body: bytes) -> tuple[AbstractAsyncContextManager[ClientResponse], ClientResponse]:
        from aiohttp import ClientError

        name, address = self._upstream.name, self._upstream.address
        for last in (False, True):
            context = self._upstream.open("POST", path, body, None)
            try:
                return context, await context.__aenter__()
            except EgressRefused:
                raise
            except HausgeistError as error:
                if last or not _stale(error.__cause__):
                    raise EngineFailed(f"The upstream '{name}' ({address}) does not answer: {error.message}") from error
            except (ClientError, OSError, TimeoutError) as error:
                if last or not _stale(error):
                    raise EngineFailed(f"The upstream '{name}' ({address}) cannot be reached ({_cause(error)}).") from error
        raise AssertionError("unreachable")

    async def _judged(
        self, operation: Operation, reply: RemoteReply, context: AbstractAsyncContextManager[ClientResponse], response: ClientResponse
    ) -> RemoteReply:
        """The reply, unless it is an error that we know better than whoever reads it."""
        if response.status < 400:
            return reply
        try:
            body = await _read(response, _ERROR_LIMIT)
        except EngineFailed:
            body = b""
        if refused := self._upstream.refused(response.status, body):
            raise refused
        message = _message(body)
        if response.status == 404 and re.search(rf"(?<![\w/]){re.escape(self._model)}(?![\w/])", message):
            raise EngineFailed(f"The upstream '{self._upstream.name}' has no model '{self._model}' any more: {message}")
        unknown = (404, 405, 501) if operation in _PATHS or self._upstream.llama_server else (400, 404, 405, 422, 501)
        if response.status in unknown:
            raise NotSupported(f"The upstream '{self._upstream.name}' does not do '{operation}' for this model: {message or response.status}")
        if response.status in (400, 413, 422) and (exceeded := _exceeded(message)):
            prompt, limit = exceeded
            error = {"code": 400, "message": message, "type": "exceed_context_size_error", "n_prompt_tokens": prompt, "n_ctx": limit}
            body = json.dumps({"error": error}).encode()
        return RemoteReply(self._upstream, context, response, body)


_LIMIT = re.compile(r"maximum (?:context|model) length (?:is|of) (\d+)", re.IGNORECASE)
_PROMPT = (
    re.compile(r"(\d+) (?:tokens )?(?:in the (?:messages|prompt|input)|input tokens|prompt tokens)"),
    re.compile(r"(?:resulted in|requested|has|contains) (\d+) tokens"),  # may count the answer as well, so only where the first is not said
)


def _exceeded(message: str) -> tuple[int, int] | None:
    """Prompt and limit, where the message of an OpenAI-compatible server says that the prompt alone is too long."""
    limit = _LIMIT.search(message)
    prompt = next((found for pattern in _PROMPT if (found := pattern.search(message))), None)
    if limit is None or prompt is None:
        return None
    tokens, most = int(prompt[1]), int(limit[1])
    return (tokens, most) if tokens > most else None


async def _read(response: ClientResponse, limit: int) -> bytes:
    body = bytearray()
    async for chunk in response.content.iter_any():
        body += chunk
        if len(body) > limit:
            raise EngineFailed(f"The upstream's answer is larger than {limit // 2**10} KiB.")
    return bytes(body)


def _message(body: bytes) -> str:
    """The sentence in an error, whichever of the usual shapes it has; shortened."""
    try:
        parsed = json.loads(body)
    except (ValueError, RecursionError):
        return ""
    if not isinstance(parsed, dict):
        return ""
    error = parsed.get("error", parsed)
    found = error if isinstance(error, str) else error.get("message") or error.get("detail") if isinstance(error, dict) else None
    return found[:500] if isinstance(found, str) else ""


def _stale(error: BaseException | None) -> bool:
    """Whether a kept connection turned out to be closed by the other side, before it said anything."""
    from aiohttp import ClientConnectorError, ClientOSError, ServerDisconnectedError

    return isinstance(error, ServerDisconnectedError | ClientOSError) and not isinstance(error, ClientConnectorError)


def _cause(error: Exception) -> str:
    inner = getattr(error, "os_error", None) or error
    return str(getattr(inner, "strerror", None) or type(error).__name__)


def _length(value: Any) -> int:
    return int(value) if isinstance(value, int) and not isinstance(value, bool) and 0 < value < 2**62 else 0
