"""`rerank`, which OpenAI does not have: documents ordered by how well they answer a query, in the shape that Jina, Cohere and vLLM share."""

from __future__ import annotations

from dataclasses import replace
from typing import Annotated, Any

from pydantic import Field
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from hausgeist.errors import EngineFailed
from hausgeist.gateway.batches import batches
from hausgeist.gateway.bodies import json_body
from hausgeist.gateway.openai.errors import naming
from hausgeist.gateway.openai.replies import new_id
from hausgeist.gateway.openai.sampling import Identity, StrictBody, identified
from hausgeist.gateway.services import Services
from hausgeist.serving.calls import Call

__all__ = ["RerankRequest", "create"]


class Document(StrictBody):
    text: str


class RerankRequest(StrictBody):
    """The body of `POST /v1/rerank`."""

    model: Annotated[str, Field(min_length=1, max_length=512)]
    query: Annotated[str, Field(min_length=1)]
    documents: Annotated[list[str | Document], Field(min_length=1, max_length=2048)]
    top_n: int | None = Field(None, ge=1)
    return_documents: bool | None = None
    user: Identity | None = None


async def create(request: Request, services: Services) -> Response:
    asked = await json_body(request, RerankRequest)
    texts = [document if isinstance(document, str) else document.text for document in asked.documents]
    call = Call(model=asked.model, operation="rerank", body={}, origin=identified(request.state.origin, asked.user), task="rerank")
    results: list[dict[str, Any]] = []
    tokens = 0
    for start, batch in batches(texts):
        # A score depends on the query and its document alone, so batches can be ordered together afterwards.
        body = {"query": asked.query, "documents": batch, "top_n": len(batch)}
        with naming("documents"):
            async with await services.door.call(request.state.principal, replace(call, body=body)) as answer:
                reply = await answer.json()
        found = reply.get("results") or []
        if len(found) != len(batch):
            raise EngineFailed(f"The engine ranked {len(found)} of {len(batch)} documents.")
        results += [{"index": start + int(entry["index"]), "relevance_score": float(entry["relevance_score"])} for entry in found]
        tokens += int((reply.get("usage") or {}).get("total_tokens") or 0)
    results.sort(key=lambda entry: (-entry["relevance_score"], entry["index"]))
    results = results[: asked.top_n]
    if asked.return_documents:
        for entry in results:
            entry["document"] = {"text": texts[entry["index"]]}
    usage = {"prompt_tokens": tokens, "total_tokens": tokens}
    return JSONResponse({"id": new_id("rerank"), "object": "list", "model": asked.model, "results": results, "usage": usage})
