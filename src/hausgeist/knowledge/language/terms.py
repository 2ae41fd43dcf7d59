"""The words of a text as search looks for them: without what says little, in the form that words of one stem share.

How words are set apart depends on the script: pairs of characters for Chinese, Japanese and Korean; three characters for Thai, Lao, Khmer and
Burmese; everything else by spaces, with the vowel signs of Indic scripts kept. Numbers, dates and codes have terms of their own (`figures`).
"""

from __future__ import annotations

import re
import threading
import unicodedata
from collections.abc import Callable, Sequence
from functools import cache
from itertools import chain
from typing import Final

from hausgeist.knowledge.language.compounds import parts
from hausgeist.knowledge.language.figures import figures
from hausgeist.knowledge.language.stopwords import stop_words

__all__ = ["both", "exact", "joined", "words"]

_MARKS: Final = (
    r"\u0300-\u036f\u0483-\u0487\u0591-\u05bd\u0610-\u061a\u064b-\u065f\u0670\u0900-\u0963\u0966-\u0d7f\u0d80-\u0dff"
    r"\u0e31-\u0e4e\u0eb1-\u0ece\u102b-\u1049\u17b4-\u17d3"
)
_APART: Final = bytes(byte if byte > 127 or chr(byte).isalnum() else ord(" ") for byte in range(256))
"""What of ASCII stands between words becomes a space; bytes of other characters stay."""
_ASCII: Final = bytes(range(128))
_SIGN: Final = re.compile(rf"[^\w{_MARKS}]")
"""What stands between words, of what is not ASCII."""
_WORD: Final = re.compile(rf"[\w{_MARKS}]+")
_FEW: Final = 8
"""Signs that are taken out one after the other. Texts with more are gone through by an expression, so that none of them takes long."""
_PAIRS: Final = r"\u3040-\u30ff\u31f0-\u31ff\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff\uac00-\ud7af\U00020000-\U0003fffd"
_THREES: Final = r"\u0e00-\u0e7f\u0e80-\u0eff\u1000-\u109f\u1780-\u17ff"
_TOGETHER: Final = re.compile(rf"([{_PAIRS}]+)|([{_THREES}]+)")
_LONGEST: Final = 64
"""Characters of one term; what is longer is no word (base64, a line of dashes) and is cut."""
_KEPT: Final = 60_000
"""Words of a language whose terms are remembered."""
_SNOWBALL: Final = {
    "ar": "arabic", "ca": "catalan", "da": "danish", "de": "german", "el": "greek", "en": "english", "es": "spanish", "et": "estonian",
    "eu": "basque", "fi": "finnish", "fr": "french", "ga": "irish", "hi": "hindi", "hu": "hungarian", "hy": "armenian", "id": "indonesian",
    "it": "italian", "lt": "lithuanian", "ne": "nepali", "nl": "dutch", "no": "norwegian", "pt": "portuguese", "ro": "romanian",
    "ru": "russian", "sr": "serbian", "sv": "swedish", "ta": "tamil", "tr": "turkish", "yi": "yiddish",
}  # fmt: skip
_ACCENTED: Final = re.compile(r"[\u00c0-\u024f\u1e00-\u1fff\u0370-\u03ff\u0300-\u036f]")
_ACCENT: Final = re.compile(r"[\u0300-\u036f]")
_SHARP: Final = str.maketrans({"ß": "ss", "ı": "i", "ø": "o", "đ": "d", "ł": "l", "æ": "ae", "œ": "oe", "’": "'"})


def words(text: str, language: str, *, asked_in: str = "") -> list[str]:
    """Search terms in the order of the text, numbers and codes last; empty only for a text without letters and digits. Stop words are kept where
    nothing else is left. `language`: ISO 639-1, or "und": then words stay as they are but for case and accents. `asked_in`: the language of a
    question that is looked for among passages of another: its stop words say nothing there either."""
    return _terms(plain(text), language, asked_in)


def both(text: str, language: str) -> tuple[list[str], list[str]]:
    """`words` and `exact` of a text, which is gone through once for both."""
    lower = plain(text)
    found, together = _cut(lower)
    return _formed(lower, found, together, language, ""), _short(found)


def joined(text: str, language: str) -> tuple[str, str]:
    """What `both` gives, with spaces between: as the index of words takes it, and quicker to make than the lists."""
    lower = plain(text)
    found, together = _cut(lower)
    written = " ".join(_short(found))
    if not together:
        sought = " ".join(chain(filter(None, map(_forms(language, "").joined.__getitem__, found)), figures(lower)))
        if sought:
            return sought, written
    return " ".join(_formed(lower, found, together, language, "")), written


def exact(text: str) -> list[str]:
    """All words as they are written, but for case: what phrases in quotation marks are compared with."""
    return _short(_cut(plain(text))[0])


def _terms(lower: str, language: str, asked_in: str) -> list[str]:
    return _formed(lower, *_cut(lower), language, asked_in)


def _formed(lower: str, found: Sequence[str], together: frozenset[str], language: str, asked_in: str) -> list[str]:
    forms = _forms(language, asked_in)
    if not together:
        terms = list(chain.from_iterable(map(forms.__getitem__, found)))
    else:
        terms = [one for word in found for one in ((word,) if word in together else forms[word])]
    terms += figures(lower)
    if not terms:
        form = _former(language)
        terms = [one for word in found if word in forms.stop for one in form(word)]
    return terms


def _short(found: list[str]) -> list[str]:
    if not found or max(map(len, found)) <= _LONGEST:
        return found
    return [word[:_LONGEST] for word in found]


def plain(text: str) -> str:
    """Normalised and in lower case, without soft hyphens."""
    return unicodedata.normalize("NFKC", text).replace("\u00ad", "").lower()


def _cut(text: str) -> tuple[list[str], frozenset[str]]:
    """The words, and those of them that are parts of a run of a script without spaces. Text is normalised and in lower case."""
    data = text.encode("utf-8", "surrogatepass")
    spaced = data.translate(_APART).decode("utf-8", "surrogatepass")
    if text.isascii():
        return spaced.split(), frozenset()
    letters = "".join(set(data.translate(None, _ASCII).decode("utf-8", "surrogatepass")))
    signs = _SIGN.findall(letters)
    if len(signs) <= _FEW:
        for sign in signs:
            spaced = spaced.replace(sign, " ")
        words = spaced.split()
    else:
        words = _WORD.findall(spaced)
    if _TOGETHER.search(letters) is None:
        return words, frozenset()
    found: list[str] = []
    together: set[str] = set()
    for word in words:
        position = 0
        for run in _TOGETHER.finditer(word):
            if run.start() > position:
                found.append(word[position : run.start()])
            size = 2 if run[1] else 3
            parts_ = [run[0][index : index + size] for index in range(max(1, len(run[0]) - size + 1))]
            found += parts_
            together.update(parts_)
            position = run.end()
        if position < len(word):
            found.append(word[position:])
    return found, frozenset(together)


class _Forms(dict[str, tuple[str, ...]]):
    """The terms of words of a language, kept as they are asked for: words come again and again. None for a stop word."""

    def __init__(self, language: str, stop: frozenset[str]) -> None:
        super().__init__()
        self.stop = stop
        self.joined = _Joined(self)
        self._form = _former(language)

    def __missing__(self, word: str) -> tuple[str, ...]:
        if len(self) >= _KEPT:
            self.clear()
        found = self[word] = () if word in self.stop else self._form(word)
        return found


class _Joined(dict[str, str]):
    """The same with spaces between the terms of a word."""

    def __init__(self, forms: _Forms) -> None:
        super().__init__()
        self._forms = forms

    def __missing__(self, word: str) -> str:
        if len(self) >= _KEPT:
            self.clear()
        found = self[word] = " ".join(self._forms[word])
        return found


@cache
def _forms(language: str, asked_in: str) -> _Forms:
    stop = stop_words().get(language, frozenset())
    if asked_in:
        stop |= stop_words().get(asked_in, frozenset())
    return _Forms(language, stop)


@cache
def _former(language: str) -> Callable[[str], tuple[str, ...]]:
    """The terms of one word of a language: its stem, and the parts of a compound."""
    stem = _stemmer(language)

    def form(word: str) -> tuple[str, ...]:
        word = word[:_LONGEST]
        if word.isdecimal():
            return ()
        whole = fold(stem(word))
        found = [whole, *(part for part in (fold(stem(one)) for one in parts(word, language)) if part != whole)]
        return tuple(filter(None, found))

    return form


def _stemmer(language: str) -> Callable[[str], str]:
    if language not in _SNOWBALL:
        return str
    import Stemmer

    name, own = _SNOWBALL[language], threading.local()

    def stem(word: str) -> str:
        if not hasattr(own, "stemmer"):
            # One for each thread, as none is safe between them. Without its cache: the answers are kept anyway.
            own.stemmer = Stemmer.Stemmer(name, 0)
        return str(own.stemmer.stemWord(word))

    return stem


def fold(word: str) -> str:
    """Without accents, for scripts where people leave them out."""
    if word.isascii():
        return word
    word = word.translate(_SHARP)
    if word.isascii() or not _ACCENTED.search(word):
        return word
    return unicodedata.normalize("NFC", _ACCENT.sub("", unicodedata.normalize("NFD", word)))
