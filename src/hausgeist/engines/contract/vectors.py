"""Checks of models that embed and rank."""

from __future__ import annotations

import math
import re
import struct
from base64 import b64decode
from typing import Any

from hausgeist.engines.base import Worker
from hausgeist.engines.contract.checks import ask, ask_well, demand
from hausgeist.model import LaunchPlan

__all__ = ["embed_base64", "embed_order", "embeddings", "embeddings_bad_body", "embeddings_over_context", "rerank", "rerank_bad_body"]

_TEXTS = ["The cat sleeps on the roof.", "Interest rates rose again in March.", "Der Fuchs wohnt im Wald."]


async def _vectors(worker: Worker, given: Any, **more: Any) -> list[list[float]]:
    reply = await ask_well(worker, "embeddings", {"model": worker.plan.model.id, "input": given, **more})
    demand(reply["object"] == "list" and all(item["object"] == "embedding" for item in reply["data"]), "not a list of embeddings")
    demand([item["index"] for item in reply["data"]] == list(range(len(reply["data"]))), "indexes are not in order")
    demand(reply["usage"]["prompt_tokens"] > 0, "usage is missing")
    return [item["embedding"] for item in reply["data"]]


def _distance(one: list[float], other: list[float]) -> float:
    return max(abs(a - b) for a, b in zip(one, other, strict=True))


async def embeddings(worker: Worker, plan: LaunchPlan) -> None:
    [vector] = await _vectors(worker, _TEXTS[0])
    demand(len(vector) > 1 and all(isinstance(value, int | float) for value in vector), "not a vector")
    length = math.sqrt(sum(value * value for value in vector))
    demand(abs(length - 1) < 1e-3, f"the vector has length {length:.4f} instead of 1")


async def embed_order(worker: Worker, plan: LaunchPlan) -> None:
    together = await _vectors(worker, _TEXTS)
    demand(len(together) == len(_TEXTS), f"{len(_TEXTS)} texts give {len(together)} vectors")
    for text, vector in zip(_TEXTS, together, strict=True):
        [alone] = await _vectors(worker, text)
        demand(_distance(alone, vector) < 0.02, f"{text!r} has another vector in a batch than alone")
    demand(_distance(together[0], together[1]) > 1e-4, "different texts have the same vector")


async def embed_base64(worker: Worker, plan: LaunchPlan) -> None:
    [vector] = await _vectors(worker, _TEXTS[0])
    [packed] = await _vectors(worker, _TEXTS[0], encoding_format="base64")
    raw = b64decode(packed)  # type: ignore[arg-type]
    demand(len(raw) == 4 * len(vector), f"base64 holds {len(raw)} bytes for {len(vector)} floats")
    demand(_distance(list(struct.unpack(f"<{len(vector)}f", raw)), vector) < 0.02, "base64 is another vector than the list")


async def embeddings_over_context(worker: Worker, plan: LaunchPlan) -> None:
    status, reply = await ask(worker, "embeddings", {"input": " word" * (plan.context * 2 + 64)})
    # llama-server calls it a server error (500), because its batch is too small; `serving` knows what is meant by the numbers.
    demand(status >= 400, f"a text beyond the context answers {status}")
    demand(len(set(re.findall(r"\d{2,}", reply["error"]["message"]))) >= 2, f"the error does not name both numbers: {reply['error']}")
    await _vectors(worker, _TEXTS[0])


async def embeddings_bad_body(worker: Worker, plan: LaunchPlan) -> None:
    for body in ({}, {"input": ""}, {"input": "x", "encoding_format": "nonsense"}):
        status, _ = await ask(worker, "embeddings", body)
        demand(400 <= status < 500, f"{body} answers {status}")


async def rerank(worker: Worker, plan: LaunchPlan) -> None:
    body = {"model": plan.model.id, "query": "Where does the fox live?", "documents": _TEXTS}
    results = (await ask_well(worker, "rerank", body))["results"]
    demand(sorted(item["index"] for item in results) == [0, 1, 2], f"{len(_TEXTS)} documents give {results}")
    scores = [item["relevance_score"] for item in results]
    demand(scores == sorted(scores, reverse=True), f"scores are not in falling order: {scores}")
    best = (await ask_well(worker, "rerank", {**body, "top_n": 2}))["results"]
    demand([item["index"] for item in best] == [item["index"] for item in results[:2]], "top_n=2 does not give the two best")
    turned = (await ask_well(worker, "rerank", {**body, "documents": _TEXTS[::-1]}))["results"]
    score = {_TEXTS[item["index"]]: item["relevance_score"] for item in results}
    again = {_TEXTS[::-1][item["index"]]: item["relevance_score"] for item in turned}
    demand(all(abs(score[text] - again[text]) < 0.05 for text in _TEXTS), f"scores depend on the order of the documents: {score} and {again}")


async def rerank_bad_body(worker: Worker, plan: LaunchPlan) -> None:
    for body in ({"documents": _TEXTS}, {"query": "x", "documents": []}):
        status, _ = await ask(worker, "rerank", body)
        demand(400 <= status < 500, f"{body} answers {status}")
