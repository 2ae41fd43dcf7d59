"""`POST /api/embed`, and `POST /api/embeddings` as it was before. Vectors have length 1."""

from __future__ import annotations

import math
import time
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from hausgeist.errors import ContextExceeded, EngineFailed, InvalidRequest, NotSupported
from hausgeist.gateway.batches import batches
from hausgeist.gateway.bodies import json_body
from hausgeist.gateway.ollama.durations import nanoseconds, seconds
from hausgeist.gateway.ollama.errors import OLLAMA
from hausgeist.gateway.ollama.options import embedding_context
from hausgeist.gateway.ollama.schema import EmbeddingsRequest, EmbedRequest
from hausgeist.gateway.services import Services
from hausgeist.http.endpoint import Endpoint
from hausgeist.http.streaming import attend
from hausgeist.identity import Origin, Principal
from hausgeist.model import Usage
from hausgeist.serving import Call

__all__ = ["endpoints", "unit"]

_SPECIAL = 8
"""Tokens that models put around a text of their own accord, and then some."""
_CUTS = 3


def endpoints(services: Services) -> list[Endpoint]:
    """The routes of this resource."""

    async def embed(request: Request) -> Response:
        wanted = await json_body(request, EmbedRequest)
        started = time.perf_counter()
        texts = [wanted.input] if isinstance(wanted.input, str) else wanted.input
        if isinstance(wanted.input, str) and not wanted.input:
            texts = []
        embedding = _Embedding(services, request.state.principal, request.state.origin, wanted)
        vectors, usage = await embedding.vectors(texts)
        return JSONResponse(
            {
                "model": wanted.model,
                "embeddings": vectors,
                "total_duration": nanoseconds((time.perf_counter() - started) * 1000),
                "load_duration": nanoseconds(usage.load_ms),
                "prompt_eval_count": usage.prompt_tokens,
            }
        )

    async def embeddings(request: Request) -> Response:
        wanted = await json_body(request, EmbeddingsRequest)
        embedding = _Embedding(services, request.state.principal, request.state.origin, wanted)
        vectors, _ = await embedding.vectors([wanted.prompt] if wanted.prompt else [])
        return JSONResponse({"embedding": vectors[0] if vectors else []})

    return [
        Endpoint(
            method="POST",
            path="/api/embed",
            handle=attend(embed),
            dialect=OLLAMA,
            summary="Make embeddings",
            body=EmbedRequest,
            operations=("embed",),
        ),
        Endpoint(
            method="POST",
            path="/api/embeddings",
            handle=attend(embeddings),
            dialect=OLLAMA,
            summary="Make one embedding (older form)",
            body=EmbeddingsRequest,
            operations=("embeddings",),
        ),
    ]


class _Embedding:
    """One request for vectors."""

    def __init__(self, services: Services, who: Principal, origin: Origin, wanted: EmbedRequest | EmbeddingsRequest) -> None:
        self._door = services.door
        self._who = who
        self._origin = origin
        self._model = wanted.model
        self._context = embedding_context(wanted.options, services.door.model(who, wanted.model))
        self._keep_alive = seconds(wanted.keep_alive)
        self._truncate = isinstance(wanted, EmbedRequest) and wanted.truncate is True
        self._dimensions = (wanted.dimensions or 0) if isinstance(wanted, EmbedRequest) else 0

    async def vectors(self, texts: Sequence[str]) -> tuple[list[list[float]], Usage]:
        """No text at all only loads the model, as in Ollama."""
        if not texts:
            await self._door.load(self._who, self._model, origin=self._origin, task="embed", keep_alive=self._keep_alive, context=self._context)
            return [], Usage()
        vectors: list[list[float]] = []
        total = Usage()
        for _, batch in batches(texts):
            found, usage = await self._batch(batch)
            vectors += found
            total = replace(total, prompt_tokens=total.prompt_tokens + usage.prompt_tokens, load_ms=total.load_ms + usage.load_ms)
        return vectors, total

    async def _batch(self, texts: Sequence[str]) -> tuple[list[list[float]], Usage]:
        for _ in range(_CUTS):
            try:
                return await self._ask(texts)
            except ContextExceeded as error:
                if not self._truncate:
                    raise
                texts = [await self._cut(text, error.context) for text in texts]
        return await self._ask(texts)

    async def _ask(self, texts: Sequence[str]) -> tuple[list[list[float]], Usage]:
        reply, usage = await self._call("embeddings", {"input": list(texts), "encoding_format": "float"})
        found = sorted(reply.get("data") or (), key=lambda item: item.get("index", 0))
        if len(found) != len(texts):
            raise EngineFailed("The engine did not return one embedding for each text.")
        return [unit(item["embedding"], self._dimensions) for item in found], usage

    async def _cut(self, text: str, context: int) -> str:
        """The beginning of a text that fits, cut between two tokens: asked for by `truncate`, never done unasked."""
        tokens = (await self._call("tokenize", {"content": text, "add_special": False}))[0].get("tokens")
        if not isinstance(tokens, list):
            raise EngineFailed("The engine did not count the tokens.")
        room = max(1, context - _SPECIAL)
        if len(tokens) <= room:
            return text
        cut = (await self._call("detokenize", {"tokens": tokens[:room]}))[0].get("content")
        return str(cut or "")

    async def _call(self, operation: Any, body: dict[str, Any]) -> tuple[dict[str, Any], Usage]:
        call = Call(
            model=self._model,
            operation=operation,
            body=body,
            origin=self._origin,
            task="embed",
            context=self._context,
            keep_alive=self._keep_alive,
        )
        async with await self._door.call(self._who, call) as answer:
            return await answer.json(), answer.usage


def unit(vector: Sequence[float], dimensions: int = 0) -> list[float]:
    """The vector at length 1; of its first `dimensions` only, for models trained so that these mean the same. Raises InvalidRequest, NotSupported."""
    if not isinstance(vector, list) or (vector and isinstance(vector[0], list)):
        raise NotSupported("This model gives a vector for each token, not for the text; choose a pooling for it in hausgeist.toml.", param="model")
    if dimensions > len(vector):
        raise InvalidRequest(f"'dimensions' is {dimensions}, but this model's embeddings have {len(vector)}.", param="dimensions")
    kept = vector[:dimensions] if dimensions else vector
    length = math.sqrt(sum(value * value for value in kept))
    return [value / length for value in kept] if length else list(kept)
