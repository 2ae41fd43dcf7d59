"""One document, and what a counting question makes of it: whether it is of the kind, meets the conditions, and which words show it."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import date
from decimal import Decimal
from functools import lru_cache

from hausgeist.knowledge.answer.counting.asking import KINDS, Asked
from hausgeist.knowledge.answer.counting.tables import SCALE, Column, Table
from hausgeist.knowledge.answer.counting.values import Amount, Span, amounts, dates

__all__ = ["Finding", "look"]

_HEAD = 600
"""Characters at the beginning of a document in which it says what it is."""
_LINE = 400
"""Characters of a quotation."""
_LABEL = 80
"""Characters before an amount in which it is called what it is."""
_TITLE_WORDS = 9
_MAILS = ("message/rfc822", "application/vnd.ms-outlook")
_FROM = re.compile(r"^(?:from|von|de|de la part de):[ \t]*(?P<names>.+)", re.IGNORECASE | re.MULTILINE)
_TO = re.compile(r"^(?:to|cc|an|kopie|para|à):[ \t]*(?P<names>.+)", re.IGNORECASE | re.MULTILINE)
_SUBJECT = re.compile(r"^(?:to|an|subject|betreff|para|asunto|à|objet):[ \t]*\S", re.IGNORECASE | re.MULTILINE)
_ITSELF = re.compile(
    r"\b(?:this|the present|dieser?s?|vorliegender?s?|nachfolgender?|el presente|la presente|este|esta|le présent|la présente|ce|cette)\s+\w+",
    re.IGNORECASE,
)
_SENTENCE = re.compile(r"[.;!?]\s+(?=[A-ZÄÖÜÉ¿])|\n\s*\n")
_KIND_SIGNS = {kind: re.compile(signs, re.IGNORECASE) for kind, (_, signs) in KINDS.items() if signs}
_ANY_ROW = re.compile(r"rows|entries|items|records|zeilen|einträgen?|posten|positionen|filas|entradas|lignes|entrées", re.IGNORECASE)
_CUES = {
    "end": re.compile(r"\b(?:end(?:s|ed|ing|et|en)?|expir\w*|terminat\w*|until|through|bis|läuft|laufzeit|\w*ende|ablauf|abläuft|befristet|"
                      r"gültig|valid|vence\w*|vencimiento|termina\w*|hasta|"
                      r"finaliza\w*|expira\w*|fin|échéance|jusqu\w*|prend fin)\b", re.IGNORECASE),
    "begin": re.compile(r"\b(?:begin\w*|start\w*|commenc\w*|sign\w*|from|effective|as of|beginn\w*|\w*beginn|unterzeich\w*|unterschrieben|"
                        r"geschlossen|ab|seit|comienz\w*|inicia\w*|inicio|firmad\w*|"
                        r"début\w*|signée?|à compter|desde)\b", re.IGNORECASE),
    "due": re.compile(r"\b(?:due|payable|pay by|fällig\w*|zahlbar|zahlungsziel|vencimiento|vence|exigible|échéance|à payer)\b", re.IGNORECASE),
    "": re.compile(r"\b(?:date[d]?|\w*datum|vom|fecha|le|of|on)\b\s*:?", re.IGNORECASE),
}  # fmt: skip
_AFTER_CUES = {"end": re.compile(r"\W*(?:ends?|expires?|endet|enden|aus\b|ab\b|außer kraft)", re.IGNORECASE)}
_RANGE = re.compile(r"\s*(?:-|–|—|bis(?: zum)?|to|until|through|hasta|al?|au|jusqu['’]au)\s*\Z", re.IGNORECASE)
_STRONG = re.compile(
    r"grand total|total due|amount due|balance due|total amount|invoice total|gesamtbetrag|gesamtsumme|rechnungsbetrag|endbetrag|zahlbetrag|zu "
    r"zahlen|bruttobetrag|gesamt brutto|total a pagar|importe total|"
    r"total ttc|montant total|net à payer|total factura",
    re.IGNORECASE,
)
_WEAK = re.compile(
    r"\btotal\b|\w*summe\b|\bgesamt\w*|\w*betrag\b|\bamount\b|\bimporte\b|\bmontant\b|\bbrutto\b|\bprice\b|\bpreis\b|\bmiete\b|\brent\b",
    re.IGNORECASE,
)
_PART = re.compile(r"sub-?total|zwischensumme|netto|\bnet\b|ust|mwst|\bvat\b|\btax\b|steuer|\biva\b|\btva\b|base imponible|total ht", re.IGNORECASE)
_MONEY_TITLE = (
    re.compile(r"grand total|gesamt|total|summe|brutto|gross", re.IGNORECASE),
    re.compile(r"amount|betrag|importe|montant|value|wert|sum|umsatz|revenue|cost|kosten|salary|gehalt", re.IGNORECASE),
    re.compile(r"price|preis|precio|prix|rate|fee|gebühr|miete|rent", re.IGNORECASE),
)
_NO_MONEY = re.compile(r"\b(?:no|nr|id|qty|quantity|menge|anzahl|plz|zip|year|jahr|pos|number|nummer|count|row|phone|telefon)\b", re.IGNORECASE)
_LETTER = re.compile(r"[^\W\d_]")
_DATE_TITLE = re.compile(r"date|datum|fecha|\btag\b|\bday\b|\bwann\b|\bwhen\b", re.IGNORECASE)


@dataclass(slots=True)
class Finding:
    of_kind: bool = False
    is_list: bool = False
    matched: int = 0
    """1 for a document, the rows of a list."""
    silent: int = 0
    """1: what a condition or the sum needs is not to be found in it."""
    sums: dict[str, tuple[Decimal, int]] = field(default_factory=dict)
    """By currency: the sum, and of how many."""
    places: list[tuple[int, int]] = field(default_factory=list)


def look(
    asked: Asked, filename: str, text: str, tables: Sequence[tuple[Sequence[tuple[int, int]], int, str]], media_type: str = ""
) -> Finding:  # fmt: skip
    """`tables`: rows as places in the text, how many of them are titles, the name of the sheet. `media_type`: "" where it is not known."""
    if asked.kind == "mail" and media_type == "application/mbox":
        return Finding(of_kind=True, silent=1)  # One file, and who knows how many mails.
    mail = media_type in _MAILS
    if mail:
        tables = ()  # Those of what came with it.
    if asked.kind != "document":
        lists = [table for table in tables if _is_list(asked, filename, text, table, tables)]
        if lists:
            return _rows(asked, text, lists)
    if asked.kind == "row" or not _is_kind(asked.kind, filename, text, mail):
        return Finding()
    return _document(asked, text)


# Documents


def _is_kind(kind: str, filename: str, text: str, mail: bool) -> bool:
    """By its name; else by the kind that its first headlines name first, or that it calls itself. One that only speaks of a contract is none."""
    if kind == "document":
        return True
    if kind == "mail":
        return mail or all(sign.search(text, 0, _HEAD) for sign in (_FROM, _SUBJECT))
    if mail:
        text = text.partition("\n")[0]  # Its subject. What it says of contracts and orders, it only says.
    lines = text[:_HEAD].split("\n")
    titles = [line for line in lines if len(line.split()) <= _TITLE_WORDS and not line.rstrip().endswith((".", "!", "?"))]
    itself = [match[0] for match in _ITSELF.finditer(text, 0, 2 * _HEAD)]
    for part in (re.sub(r"[_\-.]", " ", filename), "\n".join(titles), " ".join(itself)):
        found = {name: match.start() for name, signs in _KIND_SIGNS.items() if (match := signs.search(part))}
        if found:
            return found.get(kind) == min(found.values())
    return False


def _document(asked: Asked, text: str) -> Finding:
    finding = Finding(of_kind=True)
    places: list[tuple[int, int]] = []
    for names, heads in ((asked.senders, _FROM), (asked.receivers, _TO)):
        for name in names:
            found = next((match for match in heads.finditer(text, 0, 2 * _HEAD) if _pattern(name).search(match["names"])), None)
            if found is None:
                return finding
            places.append((found.start(), found.end()))
    for term in asked.terms:
        match = _pattern(term).search(text)
        if match is None:
            return finding
        places.append((match.start(), match.end()))
    if asked.first or asked.last:
        spans = _days(asked.role, text)
        if not spans:
            finding.silent = 1
            return finding
        within = next((one for one in spans if _within(one, asked.first, asked.last)), None)
        if within is None:
            return finding
        places.insert(0, (within.start, within.end))
    if asked.least is not None or asked.most is not None or asked.operation in ("sum", "average"):
        amount = _total(text, asked.currency)
        if amount is None:
            finding.silent = 1
            return finding
        if not _bounded(amount.value, asked):
            return finding
        places.insert(0, (amount.start, amount.end))
        finding.sums[amount.currency] = (amount.value, 1)
    finding.matched = 1
    finding.places = [_line(text, *(places[0] if places else _first(text)))]
    return finding


@lru_cache(maxsize=256)
def _pattern(term: str) -> re.Pattern[str]:
    """Names as they are written, other words by their beginning, so that endings may differ. Long ones also within compounds."""
    stem = term if len(term) < 6 or term[0].isupper() or not term.isalpha() else term[:-2]
    edge = r"(?<!\w)" if len(term) < 6 else ""
    return re.compile(edge + r"\s+".join(map(re.escape, stem.split())) + (r"(?!\w)" if len(term) <= 3 else ""), re.IGNORECASE)


def _within(span: Span, first: date | None, last: date | None) -> bool:
    return (first is None or span.first >= first) and (last is None or span.last <= last)


def _days(role: str, text: str) -> list[Span]:
    """The days that play this role; of the document itself: one."""
    found = list(dates(text))
    cue = _CUES[role]
    chosen = []
    done = 0
    for one in found:
        before = text[max(done, one.start - 60) : one.start]
        before = _SENTENCE.split(before)[-1]
        said = any(True for _ in cue.finditer(before)) or (role == "end" and done and _RANGE.fullmatch(text[done : one.start]) is not None)
        after = _AFTER_CUES.get(role)
        if said or (after and after.match(text, one.end)):
            chosen.append(one)
        done = one.end
    if role:
        return chosen
    dated = [one for one in chosen if one.first == one.last] or chosen or [one for one in found if one.first == one.last] or found
    return dated[:1]


def _total(text: str, currency: str) -> Amount | None:
    """The amount that the document is about: what is called its total, else the largest."""
    best: tuple[int, Decimal, Amount] | None = None
    for one in amounts(text):
        if currency and one.currency != currency:
            continue
        # No further back than a label may be: a text of a single line has as many amounts as it likes.
        began = text.rfind("\n", max(0, one.start - _LABEL), one.start) + 1
        before = text[max(began, one.start - _LABEL) : one.start]
        if not before.strip() and began > 1:
            above = max(0, began - 1 - _LINE)
            before = text[max(above, text.rfind("\n", above, began - 1) + 1) : began]  # The label stands on the line above.
        rank = 1
        if _LETTER.search(before):
            rank = 3 if _STRONG.search(before) else 0 if _PART.search(before) else 2 if _WEAK.search(before) else 1
        if best is None or (rank, one.value) > best[:2]:
            best = rank, one.value, one
    return best[2] if best else None


def _bounded(value: Decimal, asked: Asked) -> bool:
    if asked.included:
        return (asked.least is None or value >= asked.least) and (asked.most is None or value <= asked.most)
    return (asked.least is None or value > asked.least) and (asked.most is None or value < asked.most)


def _first(text: str) -> tuple[int, int]:
    start = len(text) - len(text.lstrip())
    return start, start


def _line(text: str, start: int, end: int) -> tuple[int, int]:
    """The line around a place, cut where it is long."""
    first = max(text.rfind("\n", 0, start) + 1, start - _LINE // 2)
    last = text.find("\n", end)
    last = min(len(text) if last < 0 else last, end + _LINE // 2)
    while first > 0 and first < start and text[first - 1].isalnum() and text[first].isalnum():
        first += 1
    while last > end and last < len(text) and text[last - 1].isalnum() and text[last].isalnum():
        last -= 1
    while first < start and text[first].isspace():
        first += 1
    while last > end and text[last - 1].isspace():
        last -= 1
    return first, last


# Lists


def _is_list(
    asked: Asked,
    filename: str,
    text: str,
    table: tuple[Sequence[tuple[int, int]], int, str],
    tables: Sequence[tuple[Sequence[tuple[int, int]], int, str]],
) -> bool:
    """Whether each row of it is one of what is asked for: not the lines of one invoice, whose text is more than its table."""
    rows, header, label = table
    if len(rows) - header < 2 or not header:
        return False
    size = sum(one[-1][1] - one[0][0] for one, _, _ in tables if one)
    if size < 0.7 * len(text.strip()):
        return False
    titles = text[rows[0][0] : rows[header - 1][1]]
    named = f"{re.sub(r'[_.-]', ' ', filename)} {label} {titles}"
    if asked.kind == "row":
        return (
            _ANY_ROW.fullmatch(asked.noun) is not None
            or _pattern(asked.noun[:-1].lower() if len(asked.noun) > 5 else asked.noun).search(named) is not None
        )
    return _KIND_SIGNS[asked.kind].search(named) is not None


def _rows(asked: Asked, text: str, lists: Sequence[tuple[Sequence[tuple[int, int]], int, str]]) -> Finding:
    finding = Finding(of_kind=True, is_list=True)
    for rows, header, _ in lists:
        titles = text[rows[header - 1][0] : rows[header - 1][1]].split("\t")
        data = rows[header:]
        with Table(titles, [text[start:end].split("\t") for start, end in data]) as table:
            asking = _statement(asked, table.columns)
            if asking is None:
                finding.silent = 1
                continue
            where, values, money = asking
            for (found,) in table.select(f"SELECT number FROM rows WHERE {where} ORDER BY number", values, most=100):  # noqa: S608
                finding.places.append(data[found])
            sums = f", sum({money.name}), count({money.name})" if money else ""
            [answer] = table.select(f"SELECT count(*){sums} FROM rows WHERE {where}", values)  # noqa: S608
            finding.matched += answer[0]
            if money and answer[2]:
                value, number = finding.sums.get(money.currency, (Decimal(0), 0))
                finding.sums[money.currency] = (value + Decimal(answer[1]) / SCALE, number + answer[2])
    return finding


def _statement(asked: Asked, columns: Sequence[Column]) -> tuple[str, list[object], Column | None] | None:
    """Condition, its values, and the column of amounts where one is needed. None: no telling which column is meant."""
    conditions: list[str] = ["1"]
    values: list[object] = []
    for term in asked.terms:
        conditions.append("instr(words, ?) > 0")
        values.append(term.casefold())
    if asked.first or asked.last:
        day = _day_column(asked.role, columns)
        if day is None:
            return None
        for sign, bound in ((">=", asked.first), ("<=", asked.last)):
            if bound:
                conditions.append(f"{day.name} {sign} ?")
                values.append(bound.isoformat())
    money = None
    if asked.least is not None or asked.most is not None or asked.operation in ("sum", "average"):
        money = _money_column(columns, asked.currency)
        if money is None:
            return None
        for sign, limit in ((">", asked.least), ("<", asked.most)):
            if limit is not None:
                conditions.append(f"{money.name} {sign}{'=' if asked.included else ''} ?")
                values.append(int(limit * SCALE))
    return " AND ".join(conditions), values, money


def _day_column(role: str, columns: Sequence[Column]) -> Column | None:
    days = [one for one in columns if one.kind == "day"]
    if role:
        days = [one for one in days if _CUES[role].search(re.sub(r"[_\-]", " ", one.title))]
    elif len(days) > 1:
        days = [one for one in days if _DATE_TITLE.search(one.title) and not any(_CUES[other].search(one.title) for other in ("end", "due"))]
    return days[0] if len(days) == 1 else None


def _money_column(columns: Sequence[Column], currency: str) -> Column | None:
    numbers = [
        one for one in columns if one.kind == "number" and not _NO_MONEY.search(one.title) and (not currency or one.currency in ("", currency))
    ]
    for titles in _MONEY_TITLE:
        named = [one for one in numbers if titles.search(one.title)]
        if named:
            return named[0] if len(named) == 1 else None
    paid = [one for one in numbers if one.currency] or numbers
    return paid[0] if len(paid) == 1 else None
