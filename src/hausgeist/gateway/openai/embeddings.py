"""`embeddings`: vectors of texts or tokens, as numbers or base64, of the model's length or shorter.

Large inputs go to the engine in batches, so that other requests get their turn between them; the engine's base64 passes through unparsed.
"""

from __future__ import annotations

import base64
import math
import sys
from array import array
from collections.abc import Sequence
from dataclasses import replace
from typing import Annotated, Any, Literal, cast

from pydantic import Field
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from hausgeist.errors import EngineFailed, InvalidRequest
from hausgeist.gateway.batches import batches
from hausgeist.gateway.bodies import json_body
from hausgeist.gateway.openai.completions import Tokens
from hausgeist.gateway.openai.errors import naming
from hausgeist.gateway.openai.sampling import Identity, StrictBody, identified
from hausgeist.gateway.services import Services
from hausgeist.model import InstalledModel
from hausgeist.serving.calls import Call

__all__ = ["EmbeddingRequest", "create", "shortened"]

_INPUTS = 2048


class EmbeddingRequest(StrictBody):
    """The body of `POST /v1/embeddings`, as the SDK's EmbeddingCreateParams has it."""

    input: (
        str
        | Tokens
        | Annotated[list[str], Field(min_length=1, max_length=_INPUTS)]
        | Annotated[list[Tokens], Field(min_length=1, max_length=_INPUTS)]
    )
    model: Annotated[str, Field(min_length=1, max_length=512)]
    dimensions: int | None = Field(None, ge=1, le=2**20)
    encoding_format: Literal["float", "base64"] | None = None
    user: Identity | None = None

    @property
    def inputs(self) -> list[str | list[int]]:
        """Its inputs one by one. Raises `InvalidRequest` for one that is empty."""
        if isinstance(self.input, str):
            found: list[str | list[int]] = [self.input]
        elif isinstance(self.input[0], int):
            found = [self.input]
        else:
            found = cast("list[str | list[int]]", list(self.input))
        for number, value in enumerate(found):
            if not value:
                raise InvalidRequest(f"'input.{number}' is empty; there is nothing to embed.", param="input")
        return found


async def create(request: Request, services: Services) -> Response:
    asked = await json_body(request, EmbeddingRequest)
    who = request.state.principal
    model = services.door.model(who, asked.model)
    _demand_length(model, asked.dimensions)
    inputs = asked.inputs
    packed = asked.encoding_format == "base64"
    call = Call(model=asked.model, operation="embeddings", body={}, origin=identified(request.state.origin, asked.user), task="embed")
    data: list[dict[str, Any]] = []
    tokens = 0
    for start, batch in batches(inputs):
        # Numbers are cheaper to pack than to parse: what must be cut is asked for in base64, whatever the caller wants.
        body = {"input": batch, "encoding_format": "base64" if packed or asked.dimensions else "float"}
        with naming("input"):
            async with await services.door.call(who, replace(call, body=body)) as answer:
                reply = await answer.json()
        vectors = _in_order(reply.get("data"), len(batch))
        data += [
            {"object": "embedding", "index": start + number, "embedding": shortened(vector, asked.dimensions, packed=packed)}
            for number, vector in enumerate(vectors)
        ]
        tokens += int((reply.get("usage") or {}).get("prompt_tokens") or 0)
    return JSONResponse({"object": "list", "data": data, "model": asked.model, "usage": {"prompt_tokens": tokens, "total_tokens": tokens}})


def shortened(vector: str | Sequence[float], dimensions: int | None, *, packed: bool) -> str | list[float]:
    """A vector as it was asked for: cut to `dimensions` and brought back to length 1, as numbers or as base64 of little-endian float32."""
    if dimensions is None and isinstance(vector, str) == packed:
        return vector if isinstance(vector, str) else list(vector)
    numbers = array("f")
    if isinstance(vector, str):
        numbers.frombytes(base64.b64decode(vector))
        if sys.byteorder == "big":
            numbers.byteswap()
    else:
        numbers.extend(vector)
    if dimensions is not None:
        if dimensions > len(numbers):
            raise _too_many(dimensions, len(numbers))
        numbers = numbers[:dimensions]
        length = math.sqrt(sum(value * value for value in numbers))
        if length > 0:
            numbers = array("f", (value / length for value in numbers))
    if not packed:
        return numbers.tolist()
    if sys.byteorder == "big":
        numbers.byteswap()
    return base64.b64encode(numbers.tobytes()).decode()


def _demand_length(model: InstalledModel, dimensions: int | None) -> None:
    if dimensions is not None and model.shape.embedding_length and dimensions > model.shape.embedding_length:
        raise _too_many(dimensions, model.shape.embedding_length)


def _too_many(asked: int, there: int) -> InvalidRequest:
    return InvalidRequest(f"'dimensions' is {asked}, but the vectors of this model have {there}.", param="dimensions")


def _in_order(data: Any, count: int) -> list[Any]:
    """The vectors in the order of the inputs."""
    entries = sorted((entry for entry in data or [] if isinstance(entry, dict)), key=lambda entry: int(entry.get("index", 0)))
    if len(entries) != count:
        raise EngineFailed(f"The engine answered {len(entries)} of {count} inputs.")
    return [entry["embedding"] for entry in entries]
