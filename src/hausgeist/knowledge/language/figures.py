"""Numbers, dates and codes of a text in one normal form each, so that they are found however they were written.

"1.234,50", "1,234.50" and "1 234,5" are the term `=1234.5`; "03.05.2026", "3. Mai 2026" and "2026-05-03" are `=2026-05-03`; "A-12/34" and
"A 12/34" have `=a1234`. What can be read in two ways ("1.234", "03/05/2026") has both terms. Terms of this kind begin with "=", no word does.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from functools import cache
from itertools import pairwise
from typing import Final

from hausgeist.knowledge.language.stopwords import stop_words

__all__ = ["figures"]

_MONTHS: Final = {
    month: number
    for number, names in enumerate(
        (
            "january januar jänner jan janvier enero gennaio janeiro januari ianuarie stycznia января ocak tammikuuta január",
            "february februar feber feb février febrero febbraio fevereiro februari februarie lutego февраля şubat helmikuuta február",
            "march märz mar mär mars marzo março maart martie marca марта mart maaliskuuta március",
            "april apr avril abril aprile aprilie kwietnia апреля nisan huhtikuuta április",
            "may mai mayo maggio maio mei maj maja мая mayıs toukokuuta május",
            "june juni jun juin junio giugno junho iunie czerwca июня haziran kesäkuuta június",
            "july juli jul juillet julio luglio julho iulie lipca июля temmuz heinäkuuta július",
            "august aug août agosto augustus augusti sierpnia августа ağustos elokuuta augusztus",
            "september sep sept septembre septiembre settembre setembro septembrie września сентября eylül syyskuuta szeptember",
            "october oktober oct okt octobre octubre ottobre outubro octombrie października октября ekim lokakuuta október",
            "november nov novembre noviembre novembro noiembrie listopada ноября kasım marraskuuta",
            "december dezember dec dez décembre diciembre dicembre dezembro decembrie grudnia декабря aralık joulukuuta",
        ),
        start=1,
    )
    for month in names.split()
}
_GAP: Final = r"[ \u00a0\u2009\u202f]"
_NAME: Final = r"([^\W\d_]++)"
"""Any word, which is looked up among the months: that takes a tenth of the time that it takes to try each of them."""
_ISO: Final = re.compile(r"(?<![\w.-])(\d{4})-(\d{1,2})-(\d{1,2})(?![\w-])")
_DOTTED: Final = re.compile(r"(?<![\w.])(\d{1,2})([./-])" + _GAP + r"?(\d{1,2})\2" + _GAP + r"?(\d{4}|\d{2})(?![\w])")
_DAY_FIRST: Final = re.compile(
    rf"(?<!\w)(\d{{1,2}})(?:\.|st|nd|rd|th|er|º|\.º)?{_GAP}+(?:of{_GAP}+|de{_GAP}+)?{_NAME}\.?,?(?:{_GAP}+(?:de{_GAP}+)?(\d{{4}}))?(?!\w)"
)
_MONTH_FIRST: Final = re.compile(rf"(?<!\w){_NAME}\.?{_GAP}+(\d{{1,2}})(?:st|nd|rd|th)?(?:,?{_GAP}+(\d{{4}}))?(?!\w)")
_EAST: Final = re.compile(r"(?<!\d)(\d{4})年\s?(\d{1,2})月\s?(\d{1,2})日")
_MONTH_ONLY: Final = re.compile(rf"(?<!\w){_NAME}\.?{_GAP}+(?:de{_GAP}+)?(\d{{4}})(?!\w)")
_NUMBER: Final = re.compile(rf"(?<![\w.,'’])(?:\d{{1,3}}(?:{_GAP}\d{{3}})+(?:[.,]\d+)?(?![\w.,])|\d+(?:[.,'’]\d+)*(?![\w]))")
_CODE: Final = re.compile(r"(?<![\w])[^\W_]+(?:[-./_+:][^\W_]+)*(?![\w])")
_SPACED: Final = re.compile(rf"(?<![\w])([a-z]{{1,3}}){_GAP}(\d[\w./-]+)")
_GROUPS: Final = re.compile(rf"(?<![\w])(?:[a-z]{{2}}\d{{2}}|\+?\d{{2,}})(?:(?:{_GAP}|[/-])\d{{2,}}){{2,}}(?!\w)")
_PARAGRAPH: Final = re.compile(rf"(§§?|\bart\.|\barticle|\bartikel|\bsection|\babschnitt|\bziffer|\bnr\.|\bno\.){_GAP}*(\d+(?:\.\d+)*[a-z]?)(?![\w])")
_BEFORE: Final = ("§", "art.", "article", "artikel", "section", "abschnitt", "ziffer", "nr.", "no.")
"""One of them stands in a text in which `_PARAGRAPH` finds something. To look for each takes a fiftieth of the time."""
_SIGNS: Final = {"§": "§", "§§": "§", "art.": "art", "article": "art", "artikel": "art", "section": "sec", "abschnitt": "sec", "ziffer": "sec"}
_APART: Final = re.compile(r"[^0-9a-z]+")
_THOUSANDS: Final = re.compile(r"[1-9]\d{0,2}(?:[.,'’ ]\d{3})+")
_SPACE: Final = re.compile(r"\s")
_LETTERS: Final = re.compile(r"[^\W\d_]+")
_DIGITS: Final = re.compile(r"[0-9]+")
_RUN: Final = re.compile(r"[0-9][0-9]*+(?:(?:[.,][0-9]++)++|[a-z]++)?+")
"""Digits that may be a number or, with letters behind them, a word ("1950s")."""
_JOINING: Final = ".,'’-/_+:"
"""What may stand between the parts of a number, date or code."""
_JOINED: Final = _JOINING + "§"
_GOES_ON: Final = " \u00a0\u2009\u202f"
_LINKS: Final = frozenset(("of", "de"))
_BEGINNINGS: Final = frozenset(month[:3] for month in _MONTHS)
"""Of what makes a date of a number before it."""
_PRECEDING: Final = frozenset((*_MONTHS, "de", "art", "article", "artikel", "section", "abschnitt", "ziffer", "nr", "no"))
"""What makes something of a number after it."""
_ASCII: Final = bytes(range(128))
_BLANKED: Final = bytes(byte if chr(byte).isalpha() else ord(" ") for byte in range(256))
_OTHER: Final = re.compile(r"\d")
"""A digit of another script, in what is not ASCII."""
_NEAR: Final = 24
"""Characters before and after digits in which a month, a sign or letters of a code may stand."""
_DENSE: Final = 3
"""Groups of digits that a date in figures has, an account or a telephone number at least."""
_MOST: Final = 400
"""Terms of one passage: a table of numbers is no reason for a large index."""


def figures(text: str) -> list[str]:
    """The terms of a text that is normalised (NFKC) and in lower case; in no order that says anything, each as often as it is there."""
    places = [found.span() for found in _RUN.finditer(text)]
    if not places:
        return []
    if len(places) < _MOST and (text.isascii() or not _has_other(text)):
        numbers, others = _parted(text, places)
        rest = [place for group in others for place in group]
        terms = _written(_around(text, rest), max(map(len, others)) >= _DENSE) if rest else []
        for number in numbers:
            terms += _numbers(number)
        if len(terms) <= _MOST:
            return terms
    return _written(_around(text, (found.span() for found in _DIGITS.finditer(text))))[:_MOST]


def _has_other(text: str) -> bool:
    return _OTHER.search(text.encode("utf-8", "replace").translate(None, _ASCII).decode("utf-8")) is not None


def _parted(text: str, places: Sequence[tuple[int, int]]) -> tuple[list[str], list[list[tuple[int, int]]]]:
    """Numbers that stand alone, and where digits are that may be part of something, each with those that stand near it."""
    numbers: list[str] = []
    others: list[list[tuple[int, int]]] = []
    groups = [[places[0]]]
    for before, place in pairwise(places):
        if place[0] - before[1] > 2 * _NEAR:
            groups.append([place])
        else:
            groups[-1].append(place)
    for group in groups:
        if all(_alone(text, start, end) for start, end in group):
            numbers += [text[start:end] for start, end in group]
        else:
            others.append([found.span() for start, end in group for found in _DIGITS.finditer(text, start, end)])
    return numbers, others


def _alone(text: str, start: int, end: int) -> bool:
    """Whether a run of digits is a number or word and nothing else, by what stands beside it. In doubt it is not: what is more is looked for then."""
    if text.count(".", start, end) > 1 or end - start > _NEAR:
        return False
    place = end
    after = text[end : end + 1]
    if after in _JOINING:
        if after:
            place += 1
            after = text[place : place + 1]
            if (after and not after.isspace()) or text[end] == "_":
                return False
    elif after.isalnum():
        return False
    if after == " ":
        place += 1
        following = text[place : place + 1]
        # "1066, 1087" are two, "1 066" is one, "3. 5." may be a date.
        if (
            following in _GOES_ON
            or (following.isdigit() and text[end] != ",")
            or text[place : place + 3] in _BEGINNINGS
            or text[place : place + 2] in _LINKS
        ):
            return False
    if not start:
        return True
    before = text[start - 1]
    if before != " ":
        return not (before in _JOINED or before.isalnum())
    return _may_precede(text[max(0, start - _NEAR - 1) : start - 1])


def _may_precede(text: str) -> bool:
    """Whether a number alone may come after this and a space."""
    if not text or text[-1].isspace():
        return not text
    word = text.rsplit(None, 1)[-1]
    if word.isalpha():
        return word not in _PRECEDING and (len(word) > 3 or word in _little())
    if word[-1] in ".,":
        bare = word.rstrip(".,")
        return (bare.isalpha() and bare not in _PRECEDING) or (bare.isdigit() and len(bare) > 2 and word[len(bare) :] == ",")
    return not (word[-1] in "/-+§_" or word[-1].isalnum())


def _written(rest: str, dense: bool = True) -> list[str]:
    """What is written in a text that is mostly figures. `dense`: it has `_DENSE` groups of digits near each other somewhere."""
    terms: list[str] = []
    rest = _dates(rest, terms, dense)
    if any(sign in rest for sign in _BEFORE):
        for found in _PARAGRAPH.finditer(rest):
            terms.append(f"={_SIGNS.get(found[1], 'nr')}{found[2]}")
    for written in _CODE.findall(rest):
        if not (written.isalpha() or written.isdecimal()):
            _code(written, terms)
    for found in _SPACED.finditer(rest):
        if found[1] not in _little():
            terms.append(f"={found[1]}{_APART.sub('', found[2])}")
    if dense:
        for found in _GROUPS.finditer(rest):
            terms.append(f"={_APART.sub('', found[0])}")
    for found in _NUMBER.finditer(rest):
        terms += _numbers(found[0])
    return terms


def _around(text: str, places: Iterable[tuple[int, int]]) -> str:
    """What stands near digits; the rest of a text has no figures, and most texts are mostly rest."""
    pieces: list[list[int]] = []
    for first, last in places:
        start, end = max(0, first - _NEAR), min(len(text), last + _NEAR)
        if pieces and start <= pieces[-1][1]:
            pieces[-1][1] = end
        else:
            pieces.append([start, end])
    # Not from the middle of a word, nor to the middle of one.
    return "\n".join(text[_word_before(text, start) : _word_after(text, end)] for start, end in pieces)


def _word_before(text: str, place: int) -> int:
    """Where the word begins that goes on here, unless that is far."""
    if place <= 0 or text[place - 1].isspace() or text[place].isspace():
        return max(place, 0)
    near = text[max(0, place - _NEAR) : place].rsplit(None, 1)
    if len(near) > 1 or len(near[0]) < min(place, _NEAR):
        return place - len(near[-1])
    return 0 if place < _NEAR else place


def _word_after(text: str, place: int) -> int:
    """Where it ends."""
    if place >= len(text) or text[place - 1].isspace():
        return min(place, len(text))
    found = _SPACE.search(text, place, place + _NEAR)
    if found is not None:
        return found.start()
    return len(text) if place + _NEAR > len(text) else place


def _code(written: str, terms: list[str]) -> None:
    """Letters and digits, or several groups of digits: as one term, and what follows the letters as another."""
    if not _DIGITS.search(written):
        return
    whole = _APART.sub("", written)
    if not whole.isdigit():
        if len(whole) > 1:
            terms.append(f"={whole}")
        groups = _APART.split(written)
        if len(groups) > 2 and groups[0].isalpha():
            terms.append(f"={_APART.sub('', written[len(groups[0]) :])}")
    elif whole != written and _NUMBER.fullmatch(written) is None:
        terms.append(f"={whole}")


@cache
def _little() -> frozenset[str]:
    """Short words that stand before numbers without being part of a code."""
    return frozenset(word for words in stop_words().values() for word in words if 1 < len(word) < 4)


def _dates(text: str, terms: list[str], dense: bool) -> str:
    """Takes the dates out of a text."""

    def full(year: str, month: int, day: int) -> bool:
        if not (1 <= month <= 12 and 1 <= day <= 31):
            return False
        if len(year) == 2:
            year = ("19" if int(year) > 69 else "20") + year
        terms.extend((f"={year}-{month:02}-{day:02}", f"={year}-{month:02}", f"={year}"))
        return True

    def iso(found: re.Match[str]) -> str:
        return " " if full(found[1], int(found[2]), int(found[3])) else found[0]

    def dotted(found: re.Match[str]) -> str:
        first, second = int(found[1]), int(found[3])
        there = full(found[4], second, first)
        # Only with slashes do people write the month first.
        if found[2] == "/" and first != second:
            there = full(found[4], first, second) or there
        return " " if there else found[0]

    def named(day: str, month: str, year: str | None, whole: str) -> str:
        number = _MONTHS.get(month)
        if number is None:
            return whole
        if year is None:
            if 1 <= int(day) <= 31:
                terms.append(f"={number:02}-{int(day):02}")
            return whole
        if full(year, number, int(day)):
            terms.append(f"={number:02}-{int(day):02}")
            return " "
        return whole

    if dense:
        # Two of one sign are in each date of figures alone; to count them takes no time.
        lines, dots = text.count("-"), max(text.count("."), text.count("/"))
        if lines > 1:
            text = _ISO.sub(iso, text)
        if "年" in text:
            text = _EAST.sub(iso, text)
        if lines > 1 or dots > 1:
            text = _DOTTED.sub(dotted, text)
    # A month is a word of its own, and most texts have none near their figures.
    letters = text.encode().translate(_BLANKED).decode().split() if text.isascii() else _LETTERS.findall(text)
    if _MONTHS.keys().isdisjoint(letters):
        return text
    text = _DAY_FIRST.sub(lambda found: named(found[1], found[2], found[3], found[0]), text)
    text = _MONTH_FIRST.sub(lambda found: named(found[2], found[1], found[3], found[0]), text)
    for found in _MONTH_ONLY.finditer(text):
        if found[1] in _MONTHS:
            terms.append(f"={found[2]}-{_MONTHS[found[1]]:02}")
    return text


def _numbers(written: str) -> list[str]:
    """One number as it was written: its value, or two where a group of three may be thousands or decimals."""
    if written.isalnum():
        return [_whole(written) if written.isdigit() else f"={written}"]
    one, _, two = written.partition("." if "." in written else ",")
    if written.isascii() and one.isdigit() and two.isdigit():
        value = _decimal(f"{one}.{two}")
        thousands = len(two) == 3 and len(one) <= 3 and one[0] != "0"
        return [f"={one}{two}", f"={value}"] if thousands else [f"={value}"]
    plain = re.sub(_GAP, " ", written).replace("’", "'")
    marks = re.findall(r"[.,' ]", plain)
    if not marks:
        return [f"={plain.lstrip('0') or '0'}"] if len(plain) < 16 else [f"={plain}"]
    if _THOUSANDS.fullmatch(plain) and len(set(marks)) == 1:
        values = [re.sub(r"\D", "", plain)]
        if len(marks) == 1 and marks[0] in ".,":
            values.append(_decimal(plain.replace(",", ".")))
        return [f"={value}" for value in values]
    if len(marks) == 1 or (len(set(marks)) > 1 and marks.count(marks[-1]) == 1):
        whole, _, part = plain.rpartition(marks[-1])
        return [f"={_decimal(re.sub(r'[^0-9]', '', whole) + '.' + part)}"]
    return [f"={re.sub('[^0-9]', '.', plain)}"]


def _whole(digits: str) -> str:
    return f"={digits.lstrip('0') or '0'}" if len(digits) < 16 else f"={digits}"


def _decimal(value: str) -> str:
    whole, _, part = value.partition(".")
    part = part.rstrip("0")
    return (whole.lstrip("0") or "0") + (f".{part}" if part else "")
