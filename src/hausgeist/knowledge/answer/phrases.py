"""What answers say in the reader's language, and which language that is. Data, and a guess by the commonest words."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

__all__ = ["COMMON_WORDS", "PHRASES", "Phrases", "guess", "is_refusal", "phrases"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Phrases:
    """One language."""

    name: str
    """As the model is told."""
    silent: str
    """The documents do not say."""
    nearest: str
    """Before the passages that come nearest."""
    page: str
    no_quote: str
    """Behind a quotation that stands nowhere."""
    no_support: str
    """Behind a claim that no passage bears out."""
    no_source: str
    """Behind a number that no passage has."""


PHRASES: Final[Mapping[str, Phrases]] = {
    "en": Phrases(
        name="English", silent="Not in these documents.", nearest="The nearest passages:", page="page",
        no_quote="[not a quotation from these documents]", no_support="[not supported by these documents]", no_source="[no such source]",
    ),
    "de": Phrases(
        name="German", silent="Das steht nicht in diesen Dokumenten.", nearest="Am nächsten kommen diese Stellen:", page="Seite",
        no_quote="[kein Zitat aus diesen Dokumenten]", no_support="[durch diese Dokumente nicht belegt]", no_source="[Quelle gibt es nicht]",
    ),
    "es": Phrases(
        name="Spanish", silent="No está en estos documentos.", nearest="Los pasajes más cercanos:", page="página",
        no_quote="[no es una cita de estos documentos]", no_support="[sin respaldo en estos documentos]", no_source="[fuente inexistente]",
    ),
    "fr": Phrases(
        name="French", silent="Cela ne figure pas dans ces documents.", nearest="Les passages les plus proches :", page="page",
        no_quote="[pas une citation de ces documents]", no_support="[non étayé par ces documents]", no_source="[source inexistante]",
    ),
    "zh": Phrases(
        name="Chinese", silent="这些文件中没有相关内容。", nearest="最接近的段落：", page="第",
        no_quote="[并非这些文件中的原文]", no_support="[这些文件不支持此说法]", no_source="[没有这个来源]",
    ),
}  # fmt: skip


def _set(words: str) -> frozenset[str]:
    return frozenset(words.split())


COMMON_WORDS: Final[Mapping[str, frozenset[str]]] = {
    "en": _set(
        """
        the a an of to in is are was were be been by for and or that this these those with on at from as it its his her their which who whom what
        when where how many much does do did has have had will would shall may can must about into than there then also each any all such between
        during after before over under per
        """
    ),
    "de": _set(
        """
        der die das den dem des ein eine einen einem einer eines und oder ist sind war waren wird werden wurde wurden von vom zu zum zur mit auf
        in im an am für aus bei nach über unter durch als auch wie was wer wann wo wohin welche welcher welches wem wen warum wieviel viele hat
        haben hatte hatten kann können muss müssen darf soll sich es sie er ihr sein seine ihre dass daß bis zwischen während pro alle jede jeder
        jedes diese dieser dieses
        """
    ),
    "es": _set(
        """
        el la los las un una unos unas de del al a en y o que es son era fue fueron ser por para con se su sus lo le como más qué quién quiénes
        cuál cuáles cuándo dónde cómo cuánto cuántos cuánta cuántas ha han había puede pueden debe entre durante desde hasta sobre este esta estos
        estas cada todo todos
        """
    ),
    "fr": _set(
        """
        le la les un une des du de à au aux en et ou que qui est sont était a été être par pour avec se sa son ses leur leurs il elle ce cette ces
        dans sur comme plus quel quelle quels quelles quand où comment combien qu d l s c y ont avait peut doit entre pendant depuis chaque tout
        tous
        """
    ),
}
_WORD: Final = re.compile(r"[^\W\d_]+")
_CJK: Final = re.compile(r"[\u4e00-\u9fff]")
_OTHERS: Final = re.compile(r"[\u0370-\u1fff\u3040-\u30ff\uac00-\ud7af]")
_LETTERS: Final[Mapping[str, str]] = {"de": "äöüß", "es": "ñ¿¡áíóú", "fr": "çèêëîïôûœ"}


def guess(text: str) -> str:
    """One of the languages that answers are given in; "und" for none of them."""
    if len(_CJK.findall(text)) * 3 > len(text.strip()) > 0:
        return "zh"
    if len(_OTHERS.findall(text)) * 3 > len(text):
        return "und"
    lower = text.lower()
    words = _WORD.findall(lower)
    score = {
        language: sum(word in common for word in words) + 0.7 * sum(letter in _LETTERS.get(language, "") for letter in lower)
        for language, common in COMMON_WORDS.items()
    }
    best = max(score, key=lambda language: score[language])
    return best if score[best] else "und"


def phrases(language: str) -> Phrases:
    """Of this language, or English."""
    return PHRASES.get(language, PHRASES["en"])


def is_refusal(sentence: str) -> bool:
    """Whether it says in any language that the documents do not say."""
    plain = _plain(sentence)
    return any(_plain(one.silent) == plain for one in PHRASES.values())


def _plain(text: str) -> str:
    return re.sub(r"[\W_]+", " ", text).strip().lower()
