"""What kind of thing a question asks for, and whether a text holds one: "who" wants a name, "wie viele" a number, "cuándo" a date.

Question words of English, German, Spanish, French, Italian, Portuguese and Dutch; what they ask for is recognised without a language: digits, months,
number words, capitals within a sentence. A hint for ranking, not a proof.
"""

from __future__ import annotations

import re
from collections.abc import Collection
from typing import Literal

__all__ = ["Wanted", "holds", "wanted"]

Wanted = Literal["number", "date", "name", "place", "reason", "any"]

_ASKED: tuple[tuple[Wanted, str], ...] = (
    (
        "number",
        r"how (?:many|much|long|far|old|tall|high|large|big|often|fast|deep|heavy)|what (?:number|percent\w*|amount|fraction|age|price|size|"
        r"share|rate)"
        r"|wie ?(?:viele?n?|hoch|lang[e]?|alt|gro[ßs]+|weit|oft|schnell|teuer|schwer|tief)|wieviele?|welche[rnm]? (?:anzahl|prozent\w*|betrag|"
        r"preis|höhe)"
        r"|cu[aá]nt[oa]s?|qu[eé] (?:porcentaje|n[uú]mero|cantidad|edad)|combien|quel(?:le)? (?:nombre|pourcentage|âge|montant|prix)|"
        r"quant[oie]s?|quantas?|hoeveel|hoe lang",
    ),
    (
        "date",
        r"when|(?:what|which|in what|in which|on what) (?:year|date|day|month|century|decade|time|period)|wann|(?:welche[mnrs]?|in welchem) "
        r"(?:jahr\w*|datum|tag|monat|zeit\w*)"
        r"|bis wann|seit wann|cu[aá]ndo|qu[eé] (?:año|fecha|d[ií]a|mes|siglo)|quand|quel(?:le)? (?:année|date|jour|mois)|quando|(?:che|quale) "
        r"anno|wanneer",
    ),
    ("place", r"where|(?:what|which) (?:city|country|place|state|town|region|county)|wo|woher|wohin|welche[rsmn]? (?:stadt|land|ort)|d[oó]nde|"
              r"où|dove|onde|waar"),
    ("name", r"who|whom|whose|wer|wem|wen|wessen|qui[eé]n(?:es)?|qui|chi|quem|wie"),
    ("reason", r"why|warum|weshalb|wieso|por ?qu[eé]|pourquoi|perché|waarom"),
)  # fmt: skip
_QUESTION = tuple((kind, re.compile(rf"(?:^|[\s,¿])(?:{words})\b", re.IGNORECASE)) for kind, words in _ASKED)
_DUTCH_WHO = re.compile(r"\bwie (?:is|was|heeft|zijn|waren)\b", re.IGNORECASE)
_NUMBER_WORDS = (
    r"two|three|four|five|six|seven|eight|nine|ten|eleven|twelve|twenty|thirty|forty|fifty|hundred|thousand|million|billion|half|third|quarter|"
    r"dozen|twice|double|"
    r"zwei|drei|vier|fünf|sechs|sieben|acht|neun|zehn|elf|zwölf|zwanzig|dreißig|hundert|tausend|million\w*|milliarde\w*|hälfte|drittel|viertel|"
    r"dutzend|doppelt|"
    r"dos|tres|cuatro|cinco|seis|siete|ocho|nueve|diez|once|doce|veinte|treinta|cien|ciento|mil|mill[oó]n\w*|mitad|tercio|"
    r"deux|trois|quatre|cinq|sept|huit|neuf|dix|onze|douze|vingt|trente|cent|mille|moitié|tiers|one|eine?[rnms]?|uno|una|une?"
)
_MONTHS = (
    r"jan(?:uary|uar|vier|\.)?|jänner|feb(?:ruary|ruar|\.)|février|mar(?:ch|zo|s)|märz|apr(?:il|\.)?|avril|abril|mai|may|juni?|june|juin|junio|"
    r"jul[iy]|juillet|julio|"
    r"aug(?:ust|\.)?|août|agosto|sept?(?:ember|embre|iembre|\.)|okto?(?:ber)?|octo?(?:ber|bre)|octubre|nov(?:ember|embre|iembre|\.)|"
    r"de[zc](?:ember|embre|iembre|\.)|enero|febrero|mayo"
)
_DATE = re.compile(rf"\b(?:1\d|20)\d\d(?:er|s)?\b|\b(?:{_MONTHS})\b|\b\d{{1,2}}[./]\d{{1,2}}[./]\d{{2,4}}\b|\b(?:centur(?:y|ies)|jahrhundert\w*|"
                   rf"siglo|siècle|secolo|decade|"
    r"monday|tuesday|wednesday|thursday|friday|saturday|sunday|montags?|dienstags?|mittwochs?|donnerstags?|freitags?|samstags?|sonntags?|lunes|"
    r"martes|lundi|mardi)\b", re.IGNORECASE)  # fmt: skip
_NUMBER = re.compile(rf"\d|\b(?:{_NUMBER_WORDS})\b", re.IGNORECASE)
_CAPITAL = re.compile(r"(?<![.!?:“\"„]\s)(?<=[\s(\"“„'])[A-ZÀ-ÖØ-ÞΑ-ΩА-Я][\w'’-]+")
_BECAUSE = re.compile(
    r"\b(?:because|due to|since|therefore|as a result|in order to|so that|owing to|reason\w*|caus\w+|weil|da|wegen|aufgrund|deshalb|daher|damit|"
    r"denn|um|"
    r"grund|gründe\w*|porque|debido|para|por|ya que|parce que|car|afin|pour|à cause|perché|poich[eé])\b",
    re.IGNORECASE,
)


def wanted(question: str) -> Wanted:
    """The one whose words stand first in the question."""
    first: Wanted = "any"
    place = len(question)
    for kind, pattern in _QUESTION:
        match = pattern.search(question)
        if match and match.start() < place and not (match[0].strip().lower() == "wie" and not _DUTCH_WHO.search(question)):
            first, place = kind, match.start()
    return first


def holds(kind: Wanted, text: str, asked: Collection[str]) -> bool:
    """Whether the text has something of that kind that is not among the words of the question (in small letters)."""
    if kind == "date":
        return any(match[0].lower() not in asked for match in _DATE.finditer(text))
    if kind == "number":
        return any(_around(text, match) not in asked for match in _NUMBER.finditer(text))
    if kind in ("name", "place"):
        return any(match[0].lower() not in asked for match in _CAPITAL.finditer(text))
    if kind == "reason":
        return _BECAUSE.search(text) is not None
    return True


def _around(text: str, match: re.Match[str]) -> str:
    start, end = match.span()
    while start and text[start - 1].isdigit():
        start -= 1
    while end < len(text) and text[end].isdigit():
        end += 1
    return text[start:end].lower()
