"""Indexes of words and of vectors, derived from the database, one of each for a store."""

from hausgeist.knowledge.index.base import Found, TextEntry, TextIndex, VectorIndex

__all__ = ["Found", "TextEntry", "TextIndex", "VectorIndex"]
