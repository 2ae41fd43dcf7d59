"""A set of questions: passages, what is asked, and which passages answer it."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal

__all__ = ["Kind", "Question", "Questions", "Text"]

Kind = Literal["squad", "beir", "documents"]


@dataclass(frozen=True, slots=True)
class Text:
    """A passage that can be found."""

    text: str
    heading: str = ""
    filename: str = ""
    language: str = "und"


@dataclass(frozen=True, slots=True)
class Question:
    text: str
    relevant: Mapping[int, int]
    """Places in `Questions.texts` that answer it, and how well: 1 or more."""
    answers: Sequence[str] = ()
    """Strings of which one should stand in an answer."""


@dataclass(frozen=True, slots=True)
class Questions:
    name: str
    kind: Kind
    texts: Sequence[Text]
    questions: Sequence[Question]
    notes: Sequence[str] = field(default_factory=tuple)
    """Sentences for people: what the set is, and what was left out."""

    @property
    def digest(self) -> str:
        """Of the questions: runs can be compared only over the same ones."""
        whole = hashlib.sha256()
        for question in self.questions:
            whole.update(question.text.encode() + b"\0")
        return whole.hexdigest()[:16]
