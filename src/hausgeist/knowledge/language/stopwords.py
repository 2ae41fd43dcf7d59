"""Words that say little: articles, pronouns, words that ask. The lists and where they are from are in `data/stopwords.txt`."""

from __future__ import annotations

from functools import cache
from importlib import resources

__all__ = ["stop_words"]


@cache
def stop_words() -> dict[str, frozenset[str]]:
    """Of each language that has a list; in lower case, as NFKC has them."""
    found: dict[str, frozenset[str]] = {}
    text = resources.files(__package__).joinpath("data/stopwords.txt").read_text("utf-8")
    for line in text.splitlines():
        if line and not line.startswith("#"):
            language, _, words = line.partition(": ")
            found[language] = frozenset(words.split())
    return found
