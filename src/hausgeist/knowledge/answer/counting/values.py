"""Amounts of money, numbers and dates as they are written in documents: in both notations of numbers, in English, German, Spanish and French."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date, timedelta
from decimal import Decimal, InvalidOperation

__all__ = ["Amount", "Span", "amounts", "dates", "number", "written"]


@dataclass(frozen=True, slots=True)
class Amount:
    value: Decimal
    currency: str
    """ISO 4217."""
    start: int
    end: int


@dataclass(frozen=True, slots=True)
class Span:
    """A day, or the month or year where no more is written. `start` to `end`: where it stands in the text."""

    first: date
    last: date
    start: int
    end: int


_CURRENCIES = {
    "€": "EUR", "eur": "EUR", "euro": "EUR", "euros": "EUR", "$": "USD", "usd": "USD", "dollar": "USD", "dollars": "USD", "us$": "USD",
    "£": "GBP", "gbp": "GBP", "pound": "GBP", "pounds": "GBP", "chf": "CHF", "franken": "CHF", "sfr": "CHF", "¥": "JPY", "jpy": "JPY", "yen": "JPY",
}  # fmt: skip
_DIGITS = r"\d{1,3}(?:[.,' \u00a0\u202f’]\d{3})+(?:[.,]\d{1,2})?|\d+(?:[.,]\d+)?"
_UNIT = r"(?:€|EUR\b|Euros?\b|US\$|\$|USD\b|[Dd]ollars?\b|£|GBP\b|[Pp]ounds?\b|CHF\b|Franken\b|[Ss][Ff]r\b|¥|JPY\b|[Yy]en\b|eur\b|euros?\b)"
_AMOUNT = re.compile(
    rf"(?P<before>{_UNIT})\s?(?P<minus1>[-–−]?)(?P<one>{_DIGITS})(?![\d])(?:,?[-–—]{{1,2}})?|"
    rf"(?P<minus2>(?<![\w.,])[-–−]?)(?<![\d.,])(?P<two>{_DIGITS})(?:,?[-–—]{{1,2}})?\s?(?P<after>{_UNIT})"
)
_CURRENCY = re.compile(_UNIT)
_YEAR = re.compile(r"(?:19|20)\d\d|\d[./]\s?\d{1,2}[./]\s?\d")
_REACH = 40
"""Characters: more than a date or amount has beside its year or currency."""
_NUMBER = re.compile(rf"\s*+([-–−+]?)\s*+({_DIGITS})\s*+(%?)\s*+\Z")
_MONTHS = {
    name: number
    for number, names in enumerate(
        (
            "january jan januar jänner enero ene janvier janv", "february feb februar febrero février fevrier "
                "févr", "march mar märz maerz mrz marzo mars",
            "april apr abril abr avril avr", "may mai mayo", "june jun juni junio juin", "july jul juli julio juillet juil",
            "august aug agosto ago août aout", "september sep sept septiembre setiembre septembre", "october oct oktober okt octubre octobre",
            "november nov noviembre novembre", "december dec dezember dez diciembre dic décembre decembre déc",
        ),
        1,
    )
    for name in names.split()
}  # fmt: skip
_MONTH = "|".join(sorted(_MONTHS, key=len, reverse=True))
_DATE = re.compile(
    rf"(?<![\d.])(?P<y1>(?:19|20)\d\d)-(?P<m1>\d\d)-(?P<d1>\d\d)(?!\d)"
    rf"|(?<![\d.,])(?P<d2>\d{{1,2}})(?P<sep>[./])\s?(?P<m2>\d{{1,2}})[./]\s?(?P<y2>(?:19|20)\d\d|\d\d)(?![\d])"
    rf"|(?<![\d.,])(?P<d3>\d{{1,2}})(?:\.|st|nd|rd|th|er|º)?\s?(?:de |of )?(?P<m3>{_MONTH})\b\.?,?\s?(?:de |del )?(?P<y3>(?:19|20)\d\d)\b"
    rf"|\b(?P<m4>{_MONTH})\.?\s(?P<d4>\d{{1,2}})(?:st|nd|rd|th)?,?\s(?P<y4>(?:19|20)\d\d)\b"
    rf"|\b(?P<m5>{_MONTH})\.?,?\s(?:de |del )?(?P<y5>(?:19|20)\d\d)\b"
    rf"|(?<![\d.,/€$£-])\b(?P<y6>(?:19|20)\d\d)\b(?![.,]\d|-\d|\s?(?:€|EUR|Euro|USD|\$|£|CHF|%|kg|km|m²))",
    re.IGNORECASE,
)


def number(text: str, *, point: bool | None = None) -> Decimal | None:
    """What a whole cell or word says; None where it is no number. `point`: whether a point divides whole from parts where that is not to be seen
    ("1.000"); None: three digits after a single point or comma are thousands."""
    match = _NUMBER.match(text)
    if match is None:
        return None
    value = _value(match[2], point)
    if value is None:
        return None
    value = -value if match[1] in ("-", "–", "−") and match[1] else value
    return value / 100 if match[3] else value


def _value(digits: str, point: bool | None = None) -> Decimal | None:
    bare = re.sub(r"[ '’\u00a0\u202f]", "", digits)
    last = max(bare.rfind("."), bare.rfind(","))
    if last >= 0:
        mark, other = bare[last], "," if bare[last] == "." else "."
        single = bare.count(mark) == 1
        three = len(bare) - last == 4 and not bare.startswith("0")
        thousands = (
            not single or (three and other not in bare and len(bare) != len(digits)) or (three and other not in bare and point is not (mark == "."))
        )
        bare = bare.replace(mark, "").replace(other, "") if thousands else bare.replace(other, "").replace(mark, ".")
    try:
        return Decimal(bare)
    except InvalidOperation:
        return None


def amounts(text: str, *, point: bool | None = None) -> Iterator[Amount]:
    """Numbers with a currency."""
    for match in _near(_CURRENCY, _AMOUNT, text):
        value = _value(match["one"] or match["two"], point)
        unit = _CURRENCIES.get((match["before"] or match["after"]).lower())
        if value is not None and unit is not None:
            yield Amount(-value if match["minus1"] or match["minus2"] else value, unit, match.start(), match.end())


def dates(text: str, *, months_first: bool = False) -> Iterator[Span]:
    """`months_first`: "3/4/2026" is the 4th of March, as in the United States."""
    for match in _near(_YEAR, _DATE, text):
        span = _span(match, months_first)
        if span is not None:
            yield Span(*span, match.start(), match.end())


def _near(sign: re.Pattern[str], pattern: re.Pattern[str], text: str) -> Iterator[re.Match[str]]:
    """What the pattern finds around its signs: a long text is mostly neither money nor dates, and the signs alone are found quickly."""
    start = end = 0
    for one in sign.finditer(text):
        if one.start() - _REACH > end:
            yield from pattern.finditer(text, start, end)
            start = one.start() - _REACH
        end = one.end() + _REACH
    yield from pattern.finditer(text, max(0, start), end)


def _span(match: re.Match[str], months_first: bool) -> tuple[date, date] | None:
    try:
        if match["y1"]:
            first = date(int(match["y1"]), int(match["m1"]), int(match["d1"]))
        elif match["y2"]:
            year = int(match["y2"])
            day, month = int(match["d2"]), int(match["m2"])
            if match["sep"] == "/" and (month > 12 or (months_first and day <= 12)):
                day, month = month, day
            first = date(year if year > 99 else 2000 + year if year < 70 else 1900 + year, month, day)
        elif match["y3"]:
            first = date(int(match["y3"]), _MONTHS[match["m3"].lower()], int(match["d3"]))
        elif match["y4"]:
            first = date(int(match["y4"]), _MONTHS[match["m4"].lower()], int(match["d4"]))
        elif match["y5"]:
            first = date(int(match["y5"]), _MONTHS[match["m5"].lower()], 1)
            return first, (first + timedelta(days=31)).replace(day=1) - timedelta(days=1)
        else:
            return date(int(match["y6"]), 1, 1), date(int(match["y6"]), 12, 31)
    except ValueError:
        return None
    return first, first


def written(value: Decimal, language: str) -> str:
    """With two places and thousands divided, as the language does it."""
    text = f"{value:,.2f}"
    if language in ("de", "es"):
        return text.translate(str.maketrans(",.", ".,"))
    if language == "fr":
        return text.translate(str.maketrans(",.", "\u202f,"))
    return text
