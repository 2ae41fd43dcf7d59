"""How well search of a running server finds, in a store as it is: questions about its documents are asked there, by its own models.

Questions are made of the documents without a model, or written by one that the server has. Nothing of the store is changed.
"""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, TypeVar

from hausgeist.errors import InvalidRequest
from hausgeist.knowledge.answer.extracting.extract import extract
from hausgeist.knowledge.evaluation import Question, Questions, Run, Text, figures
from hausgeist.knowledge.evaluation.making import questions_of
from hausgeist.knowledge.evaluation.measures import DEEP, ndcg, rank
from hausgeist.knowledge.hits import Hit
from hausgeist.knowledge.language import detect

if TYPE_CHECKING:
    from hausgeist.cli.client import Client
    from hausgeist.cli.documents.shelf import Shelf

__all__ = ["measured"]

_PARAGRAPH: Final = re.compile(r"\S(?:.|\n(?!\s*\n))*")
_SHORTEST, _LONGEST = 120, 1600
"""Characters of a passage that is asked about."""
_MOST: Final = 200
"""Questions, where nobody says how many."""
_ASK: Final = (
    "Write one question that somebody might ask who has not seen the following passage, and that the passage answers. "
    "Do not quote it, use its language, and write nothing but the question.\n\n"
)


T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class _Place:
    """Where a passage stands."""

    file: str
    start: int
    end: int


def measured(client: Client, shelf: Shelf, *, most: int = 0, model: str = "", progress: Callable[[str, int, int], None]) -> Run:
    """`most`: questions; 0: 200. `model`: one that writes them; empty: they are made without one. Raises `InvalidRequest`."""
    places, texts = _passages(client, shelf, most or _MOST, progress)
    asked = _written(client, model, texts, progress) if model else questions_of(texts)
    if not asked:
        raise InvalidRequest("Nothing in this store can be asked about: it has no documents with whole sentences.")
    asked = asked[: most or _MOST]
    ranks, gains, supported, took = [], [], [], 0.0
    for number, question in enumerate(asked):
        progress("asking", number, len(asked))
        began = time.perf_counter()
        found = client.ask("POST", "/house/v1/search", {"query": question.text, "stores": [shelf.id], "limit": DEEP})["data"]
        took += time.perf_counter() - began
        wanted = places[next(iter(question.relevant))]
        order = [1 if _covers(hit, wanted) else 0 for hit in found]
        ranks.append(rank(order, {1: 1}))
        gains.append(min(1.0, ndcg(order[: ranks[-1]], {1: 1})))
        passage = texts[next(iter(question.relevant))].text
        quoted = [quote.text for quote in extract(question.text, [_hit(hit, shelf.id) for hit in found[:5]])]
        supported.append(any(one in passage or all(answer in one for answer in question.answers or (passage,)) for one in quoted))
    how = f"Questions were written by {model}." if model else "Questions were made of the documents themselves: they are easier than what people ask."
    made = Questions(f"store {shelf.name or shelf.id}", "documents", texts, asked)
    return Run(
        name=made.name, kind=made.kind, digest=made.digest, questions=len(asked), passages=len(texts), embedder="as the server has it",
        figures={"fused": figures(ranks, gains)}, ranks={"fused": ranks}, ms_per_query=took * 1e3 / len(asked), ms_per_embedding=0.0,
        bytes_per_passage=0.0, support=sum(supported) / len(supported), notes=(how,),
    )  # fmt: skip


def _passages(client: Client, shelf: Shelf, most: int, progress: Callable[[str, int, int], None]) -> tuple[list[_Place], list[Text]]:
    """The same ones for the same documents, taken from as many files as there are."""
    listed = sorted((one for one in shelf.listed("completed")), key=lambda one: (str(one["filename"]), str(one["id"])))
    chosen = _spread(listed, most)
    places: list[_Place] = []
    texts: list[Text] = []
    for number, one in enumerate(chosen):
        progress("reading", number, len(chosen))
        whole = client.text(f"/house/v1/files/{one['id']}/text")
        spans = list(_spans(whole))
        for start, end in _spread(spans, -(-most // len(chosen))):
            places.append(_Place(str(one["id"]), start, end))
            texts.append(Text(whole[start:end], filename=str(one["filename"]), language=detect(whole[start:end])))
    return places, texts


def _spread(some: Sequence[T], most: int) -> list[T]:
    """So many of them at most, evenly over all."""
    return [some[number * len(some) // most] for number in range(most)] if len(some) > most else list(some)


def _spans(text: str) -> Iterator[tuple[int, int]]:
    for found in _PARAGRAPH.finditer(text):
        if len(found[0].strip()) >= _SHORTEST:
            yield found.start(), min(found.end(), found.start() + _LONGEST)


def _written(client: Client, model: str, texts: Sequence[Text], progress: Callable[[str, int, int], None]) -> list[Question]:
    """One for each passage."""
    made = []
    for place, text in enumerate(texts):
        progress("writing questions", place, len(texts))
        body = {"model": model, "temperature": 0, "max_tokens": 200, "messages": [{"role": "user", "content": _ASK + text.text}]}
        said = str(client.ask("POST", "/v1/chat/completions", body)["choices"][0]["message"].get("content") or "")
        question = next((line.strip(' "*') for line in reversed(said.splitlines()) if line.strip()), "")
        if 8 <= len(question) <= 400:
            made.append(Question(question, {place: 1}))
    return made


def _covers(hit: dict[str, Any], wanted: _Place) -> bool:
    """Most of the shorter of both is in the other."""
    shared = min(int(hit["end"]), wanted.end) - max(int(hit["start"]), wanted.start)
    return hit["file_id"] == wanted.file and shared * 2 > min(int(hit["end"]) - int(hit["start"]), wanted.end - wanted.start)


def _hit(told: dict[str, Any], store: str) -> Hit:
    return Hit(
        file=str(told["file_id"]), filename=str(told["filename"]), store=store, document=0, start=int(told["start"]), end=int(told["end"]),
        text=str(told["text"]), score=float(told["score"]), page=int(told["page"]),
        heading=str(told["heading"] or ""), language=str(told["language"]),
    )  # fmt: skip
