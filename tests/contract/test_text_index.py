"""The indexes of words, each by the same suite."""

from __future__ import annotations

from pathlib import Path

from hausgeist.knowledge.index.base import TextIndex
from hausgeist.knowledge.index.words import open_words
from tests.contract.text_index import TextIndexSuite


class TestTantivy(TextIndexSuite):
    def opened(self, folder: Path) -> TextIndex:
        return open_words(folder)
