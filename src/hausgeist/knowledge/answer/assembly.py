"""Answers put together with what searches, reads, splits and counts."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping, Sequence
from typing import Any

from hausgeist.errors import HausgeistError
from hausgeist.identity import Principal
from hausgeist.knowledge.answer.ability import Abilities
from hausgeist.knowledge.answer.counting import count as counting
from hausgeist.knowledge.answer.counting.count import Counted, CountedDocument, CountedTable
from hausgeist.knowledge.answer.extracting.extract import answerable, extract, nearest
from hausgeist.knowledge.answer.tool import FileSearch
from hausgeist.knowledge.hits import Searcher
from hausgeist.knowledge.language import detect
from hausgeist.knowledge.split import tokens
from hausgeist.knowledge.stores.documents import Documents, Told
from hausgeist.serving.door import Door
from hausgeist.settings import Settings

__all__ = ["file_search"]


def file_search(settings: Settings, door: Door, search: Searcher, documents: Documents) -> FileSearch:
    """The tool for the response runner."""

    async def count(who: Principal, stores: Sequence[str], filters: Mapping[str, Any] | None, question: str) -> Counted | None:
        return await counting.count(question, who, _All(documents, stores, filters))

    return FileSearch(
        search, documents, ability=Abilities(door, settings), extract=extract, answerable=answerable, tokens=tokens.count, count=count,
        language=detect, policy=settings.citations, nearest=nearest,
    )  # fmt: skip


class _All:
    """`counting.AllDocuments`."""

    def __init__(self, documents: Documents, stores: Sequence[str], filters: Mapping[str, Any] | None) -> None:
        self._documents = documents
        self._stores = stores
        self._filters = filters
        self.unread = 0

    async def documents(self, who: Principal) -> AsyncIterator[CountedDocument]:
        try:
            async for told in self._documents.all_documents(who, self._stores, filters=self._filters):
                yield _counted(told)
        except HausgeistError:
            self.unread += 1
            raise


def _counted(told: Told) -> CountedDocument:
    parsed = told.parsed
    labels = {page.number: page.label for page in parsed.pages}
    tables = [
        CountedTable(
            block.rows, block.header, labels.get(next((page.number for page in parsed.pages if page.start <= block.start < page.end), 0), "")
        )
        for block in parsed.blocks
        if block.kind == "table" and block.rows
    ]
    pages = [page.start for page in parsed.pages]
    return CountedDocument(file=told.file, filename=told.filename, text=parsed.text, tables=tables, pages=pages, media_type=parsed.media_type)
