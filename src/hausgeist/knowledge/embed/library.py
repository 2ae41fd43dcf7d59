"""Any embedding model of the library, asked through the one door like every other caller: authorised, queued, metered."""

from __future__ import annotations

import base64
import binascii
from collections.abc import Iterator, Sequence
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from hausgeist.errors import ContextExceeded, EngineFailed, Unavailable
from hausgeist.identity import LOCAL_OWNER, Origin, Principal
from hausgeist.knowledge.embed.prefixes import prefixes
from hausgeist.model import InstalledModel
from hausgeist.serving.calls import Answer, Call

__all__ = ["FromLibrary"]

_TEXTS, _CHARACTERS = 32, 16_000
"""Of one request. The engine cannot be stopped within one, and others get their turn between them."""
_SHORTEST = 64
"""Characters of a text that is not divided any further."""


class _Door(Protocol):
    """What is asked of `serving.door.Door`."""

    async def call(self, who: Principal, call: Call) -> Answer: ...

    def model(self, who: Principal, name: str) -> InstalledModel: ...


class FromLibrary:
    """See `Embedder`. `who`: in whose name the model is asked. Each use may raise what the door raises: `ModelNotFound`, `Busy`, `LoadFailed`, ..."""

    def __init__(self, door: _Door, model: str, *, who: Principal = LOCAL_OWNER, languages: frozenset[str] = frozenset()) -> None:
        self._door = door
        self._model = model
        self._who = who
        self._languages = languages
        self._length = 0

    @property
    def name(self) -> str:
        """The model and the beginning of its digest: what is pulled anew under the same name is another embedder if its bytes are others."""
        model = self._installed()
        return f"{model.id}@{model.digest[:12]}"

    @property
    def dimension(self) -> int:
        """Raises `Unavailable` for a model that does not say it and has not been asked yet (one of another server)."""
        found = self._length or self._installed().shape.embedding_length
        if not found:
            raise Unavailable(f"How long the vectors of '{self._model}' are is known once it has made one.")
        return found

    @property
    def languages(self) -> frozenset[str]:
        return self._languages

    async def passages(self, texts: Sequence[str], *, background: bool = False) -> NDArray[np.float32]:
        _, before = self._prefixes()
        parts = [await self._ask([before + text for text in batch], background=background) for batch in _batches(texts)]
        return np.concatenate(parts) if parts else np.empty((0, self.dimension), np.float32)

    async def query(self, text: str) -> NDArray[np.float32]:
        before, _ = self._prefixes()
        row: NDArray[np.float32] = (await self._ask([before + text], background=False))[0]
        return row

    def _installed(self) -> InstalledModel:
        return self._door.model(self._who, self._model)

    def _prefixes(self) -> tuple[str, str]:
        model = self._installed()
        return prefixes(model.id, model.source, model.reference, model.upstream, model.shape.architecture)

    async def _ask(self, texts: Sequence[str], *, background: bool) -> NDArray[np.float32]:
        """Texts that are too long are read in halves, whose mean counts."""
        try:
            return await self._call(texts, background=background)
        except ContextExceeded:
            if len(texts) == 1 and len(texts[0]) < 2 * _SHORTEST:
                raise
        if len(texts) > 1:
            return np.concatenate([await self._ask([text], background=background) for text in texts])
        return _unit((await self._ask(_halves(texts[0]), background=background)).mean(axis=0, keepdims=True))

    async def _call(self, texts: Sequence[str], *, background: bool) -> NDArray[np.float32]:
        call = Call(
            model=self._model,
            operation="embeddings",
            # An empty text has no tokens, which engines refuse.
            body={"input": [text or " " for text in texts], "encoding_format": "base64"},
            origin=Origin("", agent="documents", background=background),
            task="embed",
        )
        async with await self._door.call(self._who, call) as answer:
            reply = await answer.json()
        vectors = _unit(_vectors(reply.get("data"), len(texts)))
        if self._length and vectors.shape[1] != self._length:
            raise EngineFailed(f"Vectors of '{self._model}' had {self._length} numbers before and have {vectors.shape[1]} now.")
        self._length = vectors.shape[1]
        return vectors


def _batches(texts: Sequence[str]) -> Iterator[Sequence[str]]:
    start, length = 0, 0
    for position, text in enumerate(texts):
        if position > start and (position - start == _TEXTS or length + len(text) > _CHARACTERS):
            yield texts[start:position]
            start, length = position, 0
        length += len(text)
    if start < len(texts):
        yield texts[start:]


def _halves(text: str) -> list[str]:
    """Cut at the white space nearest to the middle, if there is any near it."""
    middle = len(text) // 2
    for distance in range(middle // 2):
        for place in (middle - distance, middle + distance):
            if text[place].isspace():
                return [text[:place], text[place + 1 :]]
    return [text[:middle], text[middle:]]


def _vectors(data: Any, count: int) -> NDArray[np.float32]:
    """In the order of the inputs. Raises `EngineFailed`."""
    try:
        entries = sorted(data or [], key=lambda entry: int(entry.get("index", 0)))
        rows = [_row(entry["embedding"]) for entry in entries]
        if len(rows) != count:
            raise EngineFailed(f"The engine answered {len(rows)} of {count} inputs.")
        return np.stack(rows)
    except (TypeError, ValueError, KeyError, AttributeError, binascii.Error) as error:
        raise EngineFailed("The engine's reply has no vectors that can be read.") from error


def _row(embedding: Any) -> NDArray[np.float32]:
    if isinstance(embedding, str):
        return np.frombuffer(base64.b64decode(embedding, validate=True), "<f4").astype(np.float32)
    return np.asarray(embedding, np.float32)


def _unit(rows: NDArray[np.float32]) -> NDArray[np.float32]:
    if not np.isfinite(rows).all():
        raise EngineFailed("A vector has numbers that are not finite; the model's file may be damaged.")
    found: NDArray[np.float32] = rows / np.maximum(np.linalg.norm(rows, axis=1, keepdims=True), 1e-9)
    return found
