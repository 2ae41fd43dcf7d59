"""The table of OpenAI's routes: path, handler, operation of the SDK."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import Literal

from hausgeist.gateway.openai import (
    batches,
    chat,
    completions,
    conversations,
    embeddings,
    files,
    models,
    planned,
    rerank,
    responses,
    stored,
    vector_store_files,
    vector_stores,
    webhooks,
)
from hausgeist.gateway.openai.errors import OPENAI
from hausgeist.gateway.services import Services
from hausgeist.http.endpoint import Endpoint
from hausgeist.http.streaming import attend

__all__ = ["endpoints"]

Method = Literal["GET", "POST", "PUT", "PATCH", "DELETE"]
_METHODS: Sequence[Method] = ("GET", "POST", "PUT", "PATCH", "DELETE")


def endpoints(services: Services) -> list[Endpoint]:
    """Every route of OpenAI's tongue. The most special come first."""
    served = (stored, responses, conversations, files, batches, vector_store_files, vector_stores, webhooks)
    return [*_models(services), *_answers(services), *(one for part in served for one in part.endpoints(services)), *_planned()]


def _answers(services: Services) -> list[Endpoint]:
    chat_operations = ("chat.completions.create", "chat.completions.parse", "chat.completions.stream")
    rerank_handle = attend(partial(rerank.create, services=services))
    return [
        Endpoint(
            method="POST",
            path="/v1/chat/completions",
            handle=attend(partial(chat.create, services=services)),
            dialect=OPENAI,
            summary="Answer a chat, whole or as a stream of events.",
            body=chat.ChatRequest,
            operations=chat_operations,
        ),
        Endpoint(
            method="POST",
            path="/v1/completions",
            handle=attend(partial(completions.create, services=services)),
            dialect=OPENAI,
            summary="Continue a text, or fill the gap before a suffix.",
            body=completions.CompletionRequest,
            operations=("completions.create",),
        ),
        Endpoint(
            method="POST",
            path="/v1/embeddings",
            handle=attend(partial(embeddings.create, services=services)),
            dialect=OPENAI,
            summary="Turn texts into vectors.",
            body=embeddings.EmbeddingRequest,
            operations=("embeddings.create",),
        ),
        *(
            Endpoint(
                method="POST",
                path=path,
                handle=rerank_handle,
                dialect=OPENAI,
                summary="Order documents by how well they answer a query.",
                body=rerank.RerankRequest,
            )
            for path in ("/v1/rerank", "/rerank")
        ),
    ]


def _models(services: Services) -> list[Endpoint]:
    return [
        Endpoint(
            method="GET",
            path="/v1/models",
            handle=partial(models.list_models, services=services),
            dialect=OPENAI,
            summary="List the installed models.",
            action="model.list",
            operations=("models.list",),
        ),
        Endpoint(
            method="GET",
            path="/v1/models/{model:path}",
            handle=partial(models.retrieve, services=services),
            dialect=OPENAI,
            summary="Describe a model.",
            action="model.list",
            operations=("models.retrieve",),
        ),
        Endpoint(
            method="DELETE",
            path="/v1/models/{model:path}",
            handle=partial(models.delete, services=services),
            dialect=OPENAI,
            summary="Remove a model.",
            operations=("models.delete",),
        ),
    ]


def _planned() -> list[Endpoint]:
    """Known paths that are not served, each with all methods, with and without something behind them."""
    return [
        Endpoint(method=method, path=path, handle=planned.refuse, dialect=OPENAI, summary=f"Not served yet: {name}.")
        for prefix, name in planned.PREFIXES.items()
        for path in (f"/v1/{prefix}", f"/v1/{prefix}/{{rest:path}}")
        for method in _METHODS
    ]
