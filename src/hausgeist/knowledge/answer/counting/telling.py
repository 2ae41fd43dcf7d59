"""What has been counted, in a few sentences of the question's language: the number, of how many, as understood, and what could not be told."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from decimal import Decimal
from typing import Protocol

from hausgeist.knowledge.answer.counting.asking import Asked
from hausgeist.knowledge.answer.counting.values import written

__all__ = ["tell"]

_NAMED = 30
"""Files that are named; of more, their number."""


class _Tally(Protocol):
    @property
    def read(self) -> int: ...
    @property
    def of_kind(self) -> int: ...
    @property
    def documents(self) -> int: ...
    @property
    def rows(self) -> int: ...
    @property
    def lists(self) -> int: ...
    @property
    def silent(self) -> int: ...
    @property
    def sums(self) -> Mapping[str, Decimal]: ...
    @property
    def summed(self) -> Mapping[str, int]: ...
    @property
    def names(self) -> Sequence[str]: ...


_PHRASES: dict[str, dict[str, str]] = {
    "en": {
        "documents": "{matched} of {of_kind} {of_kind:{one}|{noun}} {matched:matches|match}.",
        "rows": "{rows} {rows:row|rows} of {lists} {lists:list|lists} {rows:matches|match}.",
        "read": "{read:The one document was|All {read} documents were} read.",
        "sum": "Together: {sums}.", "average": "On average: {sums}.", "none": "No amount was found.", "of": "{value} ({number})",
        "understood": "Counted was what {conditions}.", "terms": "mentions {terms}",
        "sender": "is from {name}", "receiver": "is to {name}", "day": "has its date {range}", "end": "ends {range}",
        "begin": "begins or was signed {range}", "due": "is due {range}", "least": "is over {value}", "least_in": "is at least {value}",
        "most": "is under {value}", "most_in": "is at most {value}", "between": "from {first} to "
            "{last}", "since": "from {first} on", "until": "up to {last}",
        "silent": "In {silent} of them the date or amount could not be told; {silent:it is|they are} not counted.",
        "unread": "{unread} {unread:document|documents} could not be read.",
        "more": "and {more} more", "and": " and ",
    },
    "de": {
        "documents": "{matched} von {of_kind} {of_kind:{one}|{noun}} {matched:trifft|treffen} zu.",
        "rows": "{rows} {rows:Zeile|Zeilen} aus {lists} {lists:Liste|Listen} {rows:trifft|treffen} zu.",
        "read": "{read:Das eine Dokument wurde|Alle {read} Dokumente wurden} gelesen.", "sum": "Zusammen: {sums}.", "average": "Im Durchschnitt: "
            "{sums}.", "none": "Kein Betrag gefunden.",
        "of": "{value} ({number})", "understood": "Gezählt wurde, was {conditions}.", "terms": "{terms} nennt",
        "sender": "von {name} ist", "receiver": "an {name} ging", "day": "das Datum {range} trägt",
        "end": "{range} endet", "begin": "{range} beginnt oder unterschrieben wurde", "due": "{range} fällig ist", "least": "über {value} liegt",
        "least_in": "mindestens {value} beträgt", "most": "unter {value} liegt", "most_in": "höchstens {value} beträgt",
        "between": "vom {first} bis {last}", "since": "ab {first}", "until": "bis {last}",
        "silent": "Bei {silent} davon war Datum oder Betrag nicht zu erkennen; {silent:es ist|sie sind} nicht gezählt.",
        "unread": "{unread} {unread:Dokument war|Dokumente waren} nicht lesbar.", "more": "und {more} weitere", "and": " und ",
    },
    "es": {
        "documents": "{matched:Coincide|Coinciden} {matched} de {of_kind} {of_kind:{one}|{noun}}.",
        "rows": "{rows:Coincide|Coinciden} {rows} {rows:fila|filas} de {lists} {lists:lista|listas}.",
        "read": "{read:Se ha leído el único documento|Se han leído los {read} documentos}.",
        "sum": "En total: {sums}.", "average": "De media: {sums}.", "none": "No se ha encontrado ningún importe.", "of": "{value} ({number})",
        "understood": "Se ha contado lo que {conditions}.", "terms": "menciona {terms}",
        "sender": "es de {name}", "receiver": "va a {name}", "day": "lleva fecha {range}", "end": "termina {range}",
        "begin": "empieza o se firmó {range}", "due": "vence {range}", "least": "supera {value}", "least_in": "es al menos {value}",
        "most": "es inferior a {value}", "most_in": "es como máximo {value}", "between": "del {first} al {last}", "since": "desde el {first}",
        "until": "hasta el {last}", "silent": "En {silent} de ellos no se reconoció la fecha o el importe; no se {silent:ha|han} contado.",
        "unread": "{unread} {unread:documento no se ha|documentos no se han} podido leer.", "more": "y {more} más", "and": " y ",
    },
    "fr": {
        "documents": "{matched} {matched:{one}|{noun}} sur {of_kind} {matched:correspond|correspondent}.",
        "rows": "{rows} {rows:ligne|lignes} de {lists} {lists:liste|listes} {rows:correspond|correspondent}.",
        "read": "{read:Le seul document a été lu|Les {read} documents ont tous été lus}.", "sum": "Au total : {sums}.", "average": "En moyenne : "
            "{sums}.", "none": "Aucun montant trouvé.",
        "of": "{value} ({number})", "understood": "A été compté ce qui {conditions}.", "terms": "mentionne {terms}",
        "sender": "vient de {name}", "receiver": "est adressé à {name}", "day": "porte une date {range}",
        "end": "se termine {range}", "begin": "commence ou a été signé {range}", "due": "est exigible {range}", "least": "dépasse {value}",
        "least_in": "est d'au moins {value}", "most": "est inférieur à {value}", "most_in": "est d'au plus "
            "{value}", "between": "du {first} au {last}",
        "since": "à partir du {first}", "until": "jusqu'au {last}",
        "silent": "Pour {silent} d'entre eux, la date ou le montant n'a pu être reconnu ; {silent:il n'est pas compté|ils ne sont pas comptés}.",
        "unread": "{unread} {unread:document n'a pas pu être lu|documents n'ont pas pu être lus}.",
        "more": "et {more} {more:autre|autres}", "and": " et ",
    },
}  # fmt: skip
"""`{number:one|many}`: the words for one, and for any other number."""
_ONE: dict[str, tuple[tuple[str, str], ...]] = {
    "en": ((r"minutes$", "minutes"), (r"ies$", "y"), (r"s$", "")),
    "de": (
        (r"(schreiben)$", r"\1"), (r"(vertr|auftr|antr)(?:ä|ae)gen?$", r"\1ag"), (r"(zeugnis)sen?$", r"\1"), (r"(unterlage|police)n$", r"\1"),
        (r"(?:en|e|s)$", ""),
    ),
    "es": ((r"albaranes$", "albarán"), (r"(solicitud)es$", r"\1"), (r"s$", "")),
    "fr": (
        (r"devis$", "devis"), (r"baux$", "bail"), (r"(procès-verb)aux$", r"\1al"), (r"comptes rendus$", "compte rendu"),
        (r"bons de livraison$", "bon de livraison"), (r"s$", ""),
    ),
}  # fmt: skip
"""How what is asked for is called where there is one of it: the first ending that fits, and what stands for it."""


class _Number(int):
    def __format__(self, form: str) -> str:
        one, bar, many = form.partition("|")
        if not bar:
            return super().__format__(form)
        return one if self == 1 else many


def _one(noun: str, language: str) -> str:
    """ "order" of "orders"."""
    for ending, instead in _ONE[language]:
        found, changed = re.subn(ending, instead, noun, flags=re.IGNORECASE)
        if changed:
            return found
    return noun


def tell(asked: Asked, tally: _Tally, unread: int) -> str:
    say = _PHRASES[asked.language]
    said = []
    if asked.operation in ("sum", "average"):
        said.append(_sums(asked, tally, say))
    conditions = _conditions(asked, say)
    of_kind = tally.of_kind - tally.lists
    one = _one(asked.noun, asked.language)
    if of_kind or not tally.lists:
        if not conditions and tally.documents == of_kind:
            said.append(f"{of_kind} {one if of_kind == 1 else asked.noun}.")
        else:
            said.append(say["documents"].format(matched=_Number(tally.documents), of_kind=_Number(of_kind), one=one, noun=asked.noun))
    if tally.lists:
        said.append(say["rows"].format(rows=_Number(tally.rows), lists=_Number(tally.lists)))
    if conditions:
        said.append(say["understood"].format(conditions=say["and"].join(conditions)))
    said.append(say["read"].format(read=_Number(tally.read)))
    if tally.silent:
        said.append(say["silent"].format(silent=_Number(tally.silent)))
    if unread:
        said.append(say["unread"].format(unread=_Number(unread)))
    text = " ".join(said)
    names = list(dict.fromkeys(tally.names))
    if names:
        more = max(0, tally.documents - _NAMED) if not tally.lists else max(0, len(names) - _NAMED)
        text += "\n" + "".join(f"\n- {name}" for name in names[:_NAMED]) + (f"\n- {say['more'].format(more=_Number(more))}" if more else "")
    return text


def _sums(asked: Asked, tally: _Tally, say: Mapping[str, str]) -> str:
    if not tally.sums:
        return say["none"]
    parts = []
    for currency in sorted(tally.sums):
        number = tally.summed[currency]
        value = tally.sums[currency] / number if asked.operation == "average" else tally.sums[currency]
        parts.append(say["of"].format(value=f"{written(value, asked.language)} {currency}".strip(), number=number))
    return say[asked.operation].format(sums="; ".join(parts))


def _conditions(asked: Asked, say: Mapping[str, str]) -> list[str]:
    found = []
    for names, who in ((asked.senders, "sender"), (asked.receivers, "receiver")):
        if names:
            found.append(say[who].format(name=" ".join(names)))
    if asked.terms:
        found.append(say["terms"].format(terms=", ".join(f"“{term}”" for term in asked.terms)))
    first = asked.first.isoformat() if asked.first else ""
    last = asked.last.isoformat() if asked.last else ""
    if first or last:
        length = say["between" if first and last else "since" if first else "until"].format(first=first, last=last)
        found.append(say[asked.role or "day"].format(range=length))
    for bound, value in (("least", asked.least), ("most", asked.most)):
        if value is not None:
            money = f"{written(value, asked.language)} {asked.currency}".strip()
            found.append(say[bound + ("_in" if asked.included else "")].format(value=money))
    return found
