"""Which language a text is in, and what its words are for search."""

from hausgeist.knowledge.language.detection import detect
from hausgeist.knowledge.language.terms import words

__all__ = ["detect", "words"]
