"""What a question that counts or sums over documents asks for: which documents, under which conditions, and what to do with them.

English, German, Spanish and French. Cautious: a question is one of these only if a kind of document (or a row of a list) follows the word that
counts, so that "how many points did they score?" is looked up as any other. What is not understood ("without", "or", "per month", "the highest")
makes `asked` say None, and the question is answered by search.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from decimal import Decimal
from typing import Literal

from hausgeist.knowledge.answer.counting.values import Span, amounts, dates, number
from hausgeist.knowledge.language.stopwords import stop_words

__all__ = ["KINDS", "Asked", "Operation", "Role", "asked", "is_counting"]

Operation = Literal["count", "sum", "average", "list"]
Role = Literal["end", "begin", "due", ""]

KINDS: dict[str, tuple[str, str]] = {
    "contract": (
        r"contracts|agreements|leases|\w*verträgen?|\w*vertraege|\w*vereinbarungen|contratos|acuerdos|contrats|accords|baux",
        r"contract|agreement|\blease\b|vertrag|verträge|vereinbarung|contrato|contrat\b|\bbail\b",
    ),
    "invoice": (r"invoices|bills|\w*rechnungen|facturas|factures", r"invoice|\bbill\b|rechnung|factura|facture"),
    "offer": (r"offers|quotes|quotations|proposals|\w*angeboten?|ofertas|presupuestos|offres|devis", r"\boffer\b|quotation|\bquote\b|proposal|"
        r"angebot|oferta|presupuesto|\boffre\b|\bdevis\b"),
    "order": (r"orders|\w*bestellungen|\w*aufträgen?|pedidos|commandes", r"\border\b|bestellung|auftrag|pedido|commande"),
    "reminder": (r"reminders|\w*mahnungen|recordatorios|rappels", r"reminder|mahnung|recordatorio|\brappel\b"),
    "receipt": (r"receipts|\w*quittungen|\w*belegen?|kassenbons|recibos|reçus", r"receipt|quittung|beleg|kassenbon|recibo|reçu"),
    "letter": (r"letters|\w*briefen?|\w*schreiben|cartas|lettres|courriers", r"\bletter\b|\bdear\b|brief\b|sehr geehrte|carta\b|lettre|courrier"),
    "mail": (r"e-?mails|mails|correos|courriels", r"\bfrom:|\bvon:|e-?mail|subject:|betreff:|correo|courriel"),
    "minutes": (r"minutes|\w*protokollen?|actas|procès-verbaux|comptes rendus", r"minutes of|\bminutes\b|protokoll|\bacta\b|procès-verbal|"
        r"compte rendu"),
    "report": (r"reports|\w*berichten?|informes|rapports", r"\breport\b|bericht|informe|rapport"),
    "certificate": (r"certificates|\w*zeugnissen?|\w*bescheinigungen|\w*zertifikaten?|certificados|"
                    r"certificats", r"certificate|zeugnis|bescheinigung|zertifikat|certificado|certificat"),
    "application": (r"applications|\w*bewerbungen|\w*anträgen?|solicitudes|candidatures|demandes", r"application|bewerbung|antrag|solicitud|"
        r"candidature|demande"),
    "policy": (r"policies|\w*policen|pólizas|polices", r"policy|police\b|versicherungsschein|póliza"),
    "delivery": (r"delivery notes|\w*lieferscheinen?|albaranes|bons de livraison", r"delivery note|lieferschein|albarán|bon de livraison"),
    "document": (r"documents|files|papers|dokumenten?|dateien|unterlagen|documentos|archivos|fichiers", r""),
    "row": (
        r"rows|entries|items|records|articles|products|customers|clients|suppliers|employees|payments|bookings|transactions|tickets|members|"
        r"zeilen|einträgen?|posten|positionen|artikeln?|produkten?|kunden|lieferanten|mitarbeitern?|mitarbeiter|zahlungen|buchungen|mitgliedern?|"
        r"filas|entradas|artículos|productos|clientes|proveedores|empleados|pagos|reservas|socios|"
        r"lignes|entrées|articles|produits|clients|fournisseurs|employés|paiements|réservations|membres",
        r"",
    ),
}  # fmt: skip
"""Of each: what it is called in questions (more than one of it), and what shows that a document is one; "" where that needs no showing."""

_NOUN = "|".join(f"(?P<{kind}>{plural})" for kind, (plural, _) in KINDS.items())
_GAP = r"(?:(?!(?:did|does|do|was|were|is|are|has|have|hat|haben|ist|sind|war|waren|by|per|pro|je)\b)[\w'’.-]+\s+){0,3}?"
_BEFORE: tuple[tuple[str, Operation, str], ...] = (
    ("en", "sum", r"(?:what(?:'s| is| are| was| were)? )?(?:the )?(?:grand |overall )?(?:total|sum|combined)(?: (?:amount|value|cost|costs|"
                  r"price|volume|sum))?(?: of| for)?"),
    ("en", "sum", r"(?:add|sum|total) up"),
    ("en", "average", r"(?:the )?(?:average|mean)(?: (?:amount|value|cost|price|sum))?(?: of| for)?"),
    ("en", "count", r"how many|(?:what is |what's )?(?:the )?(?:total )?number of|count"),
    ("en", "list", r"(?:list|show|give|name|find|tell)(?: me| us)? (?:all|every|each)|list|which|all"),
    ("de", "sum", r"(?:die |der )?(?:gesamt)?(?:summe|betrag|wert|kosten|volumen)|(?:die )?gesamt(?:summe|betrag|wert|kosten)|summiere|addiere"),
    ("de", "average", r"(?:der |die )?(?:durchschnittliche[rn]? (?:betrag|wert|preis|höhe)|durchschnitt|mittelwert)"),
    ("de", "count", r"wie ?viele|wieviele|(?:die )?(?:gesamt)?(?:anzahl|zahl)|zähle?"),
    ("de", "list", r"(?:liste|nenne?|zeige?|finde?|gib)(?: mir| uns)? (?:alle|sämtliche)|welche|alle|sämtliche|liste"),
    ("es", "sum", r"(?:el |la )?(?:suma|(?:importe |valor |coste )?total)(?: de)?|suma"),
    ("es", "average", r"(?:el |la )?(?:promedio|media|importe medio)(?: de)?"),
    ("es", "count", r"cu[aá]nt[oa]s|(?:el )?número(?: total)? de|cuenta"),
    ("es", "list", r"(?:lista|enumera|muestra|muéstrame|dame)(?: tod[oa]s)?|qué|tod[oa]s"),
    ("fr", "sum", r"(?:le |la )?(?:somme|(?:montant |valeur |coût )?total)(?: de| des)?"),
    ("fr", "average", r"(?:la |le )?(?:moyenne|montant moyen)(?: de| des)?"),
    ("fr", "count", r"combien (?:de|des|d['’])|(?:le )?nombre(?: total)? (?:de|des|d['’])|compte"),
    ("fr", "list", r"(?:liste|énumère|montre|donne)(?:-moi| moi)? (?:tous|toutes)|quel(?:le)?s|tous|toutes"),
)  # fmt: skip
_OPENINGS = tuple(
    (language, operation, re.compile(rf"(?:^|[\s,¿:])(?:{words})(?:\s+|(?<=['’]))(?P<gap>{_GAP})(?:{_NOUN})\b", re.IGNORECASE))
    for language, operation, words in _BEFORE
)
_IN_ALL = re.compile(
    r"\b(?:in total|altogether|in all|combined|insgesamt|zusammen|in summe|alles in allem|en total|au total|en tout|sum up|add up)\b", re.IGNORECASE
)
_HOW_MUCH = {
    "en": re.compile(rf"^how much (?P<gap>.{{0,60}}?)\b(?:{_NOUN})\b", re.IGNORECASE),
    "de": re.compile(rf"^(?:wie ?viel|wie hoch|was) (?P<gap>.{{0,60}}?)\b(?:{_NOUN})\b", re.IGNORECASE),
    "es": re.compile(rf"^¿?cuánto (?P<gap>.{{0,60}}?)\b(?:{_NOUN})\b", re.IGNORECASE),
    "fr": re.compile(rf"^combien (?P<gap>.{{0,60}}?)\b(?:{_NOUN})\b", re.IGNORECASE),
}
_BEYOND = re.compile(
    r"\b(?:not|no|none|never|without|except|unless|or|per|each|most|least|highest|lowest|largest|smallest|biggest|cheapest|latest|oldest|"
    r"compare[d]?|difference|percent\w*|"
    r"nicht|keine?[nmrs]?|nie|ohne|außer|ausser|oder|pro|je|jeweils|meiste[nr]?|höchste[nr]?|niedrigste[nr]?|größte[nr]?|kleinste[nr]?|"
    r"teuerste[nr]?|verglichen|unterschied|prozent\w*|"
    r"sin|nunca|ninguna?|excepto|salvo|cada|mayor|menor|más alt[oa]|pas|sans|jamais|aucune?|sauf|ou|chaque|plus élevée?s?)\b|n['’]t\b",
    re.IGNORECASE,
)
_COMPARED = re.compile(r"at least|at most|no more than|no less than|mindestens|höchstens", re.IGNORECASE)
_ROLES: tuple[tuple[Role, re.Pattern[str]], ...] = (
    ("end", re.compile(r"\b(?:end(?:s|ed|ing|en|et|ete[tn]?)?|expir\w+|terminat\w+|run(?:s|ning)? out|ende|läuft|laufen|lief|auslauf\w*|abläuft|"
                       r"ablaufen|befristet|laufzeit|gültig|valid until|vence\w*|vencen|"
                       r"termina\w*|finaliza\w*|expira\w*|fin|se termine\w*|prend fin|prennent fin|échéance|until|bis zum)\b(?:\s(?:aus|"
                       r"ab))?", re.IGNORECASE)),
    ("begin", re.compile(r"\b(?:begin\w*|began|start\w*|commenc\w*|signed|sign|beginn\w*|anfang\w*|unterzeichnet|unterschrieben|geschlossen|"
                         r"abgeschlossen|comienz\w*|empiez\w*|inicia\w*|firmad\w+|début\w*|signée?s?)\b", re.IGNORECASE)),
    ("due", re.compile(r"\b(?:due|payable|fällig\w*|zahlbar|vencimiento|exigibles?|à payer)\b", re.IGNORECASE)),
)  # fmt: skip
_UNTIL = re.compile(
    r"\b(?:before|until|by|prior to|up to|vor|bis|antes del?|hasta|avant|jusqu['’]?(?:au|en|à))(?:\s(?:the|dem|zum|el|le|end of|ende))?\s*\Z",
    re.IGNORECASE,
)
_SINCE = re.compile(
    r"\b(?:after|since|from|starting|nach|seit|ab|desde|después del?|après|depuis|à partir (?:de|du))(?:\s(?:the|dem|el|le))?\s*\Z", re.IGNORECASE
)
_BETWEEN = re.compile(r"\b(?:between|from|zwischen|von|entre|de)\s*(?:the|dem|el|le)?\s*\Z", re.IGNORECASE)
_STRICT = re.compile(r"\b(?:before|prior to|vor|antes del?|avant|after|nach|después del?|après)\b", re.IGNORECASE)
_OVER = re.compile(r"\b(?:over|above|more than|greater than|exceed(?:s|ing)?|at least|no less than|higher than|über|mehr als|mindestens|ab|"
                   r"höher als|größer als|más de|superior(?:es)? a|"
                   r"al menos|plus de|supérieure?s? à|au moins|au-dessus de)\s*\Z", re.IGNORECASE)  # fmt: skip
_UNDER = re.compile(r"\b(?:under|below|less than|at most|no more than|up to|lower than|unter|weniger als|höchstens|bis zu|niedriger als|kleiner "
                    r"als|menos de|inferior(?:es)? a|como máximo|"
                    r"moins de|inférieure?s? à|au plus|au maximum)\s*\Z", re.IGNORECASE)  # fmt: skip
_EQUAL = re.compile(
    r"\b(?:at least|at most|no less than|no more than|up to|mindestens|höchstens|ab|bis zu|al menos|como máximo|au moins|au plus|au maximum)\s*\Z",
    re.IGNORECASE,
)
_PLAIN_NUMBER = re.compile(r"\s*(\d[\d.,' ]*\d|\d)")
_ALL = re.compile(r"\b(?:all|every|each|alle|sämtliche|tod[oa]s|tous|toutes|list|liste|lista)\b", re.IGNORECASE)
_MENTIONED = re.compile(
    r"[\"“„«]|\b(?:mention\w*|contain\w*|about|concern\w*|regarding|with the words?|refer\w*|named?|erwähn\w*|nenn\w*|enth[aä]lt\w*|über|zum thema|"
    r"betreff\w*|vorkomm\w*|bezüglich|contien\w*|mencion\w*|sobre|contienn\w*|mentionn\w*|concernant|à propos)\b",
    re.IGNORECASE,
)
_WORDS = re.compile(r"\b(?:the (?:words?|term)|das wort|die wörter|den begriff|la palabra|le mot|les mots)\b", re.IGNORECASE)
_NATURE = re.compile(
    r"pdfs?|docx?|xlsx?|pptx?|csv|eml|word|excel|powerpoint|english|german|french|spanish|italian|dutch|portuguese|polish|russian|turkish|chinese|"
    r"deutsch|englisch|französisch|spanisch|italienisch|niederländisch|portugiesisch|polnisch|russisch|türkisch|"
    r"chinesisch",
    re.IGNORECASE,
)
"""What a document is rather than says."""
_NAME = r"(?P<name>[A-ZÄÖÜÉÀ][\w.@-]*\w(?:\s+[A-ZÄÖÜÉÀ][\w-]*\w)*)"
_SENDER = re.compile(rf"\b(?:(?:sent |written )?(?:from|by)|von|de la part de|de)\s+(?:(?:Mr|Mrs|Ms|Herrn?|Frau|Dr)\.?\s+)?{_NAME}")
_RECEIVER = re.compile(rf"\b(?:(?:sent |written |addressed )?to|an|para|à)\s+(?:(?:Mr|Mrs|Ms|Herrn?|Frau|Dr)\.?\s+)?{_NAME}")
_MOST_TERMS = 3
"""With more words that are not understood, a question says more than is understood."""
_FILLING = (
    "how much what cost costs worth add up and und hoch viel und was wie cuánto combien tienen there have has had having exist exists contain "
    "contains say says mention mentions mentioning concern concerning dated amount amounts value total sum together add altogether "
    "store project folder archive year month day date currently our my all the from does did are were been being please "
    "gibt es haben hat habe liegen liegt vorhanden enthalten enthält erwähnen erwähnt nennen betreffen betrag beträge höhe wert summe insgesamt "
    "zusammen jahr monat datum derzeit aktuell "
    "unsere unserer meine meiner aller alle der die das von vom mit einen einem einer eine eines wurden wurde werden sind waren ist war bitte "
    "jahre jahres lauten lautet kosten sent received come comes coming verschickt erhalten bekommen stammen kommen "
    "hay tenemos tengo existen contienen mencionan importe importes valor suma total año mes fecha nuestros nuestras mis todos todas del "
    "avons avez sont ont existe existent contiennent mentionnent montant montants valeur somme total année mois date nos mes tous toutes datant "
    "y a t il a-t-il y-a-t-il avons-nous ai-je avez-vous"
)  # fmt: skip
_DROPPED = frozenset(_FILLING.split())
"""Words of a question that say nothing of the document."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    operation: Operation
    kind: str
    """A key of `KINDS`."""
    noun: str
    """As it is written in the question."""
    language: str
    """Of the question."""
    terms: tuple[str, ...] = ()
    """Words that must stand in the document, as written."""
    senders: tuple[str, ...] = ()
    """Of a mail: who must have sent it, as written."""
    receivers: tuple[str, ...] = ()
    first: date | None = None
    last: date | None = None
    """The day that is looked at lies between these, both included."""
    role: Role = ""
    """Which day that is: when a contract ends, when it was signed, when an invoice is due; "" the day of the document."""
    least: Decimal | None = None
    most: Decimal | None = None
    currency: str = ""
    included: bool = False
    """Whether the bounds of the amount are themselves within."""


def is_counting(question: str) -> bool:
    """Whether all documents have to be read to answer it."""
    return asked(question) is not None


def asked(question: str) -> Asked | None:
    """None: it is no such question, or says more than is understood."""
    question = " ".join(question.split())
    found = _opening(question)
    if found is None or _BEYOND.search(_COMPARED.sub(" ", question)):
        return None
    language, operation, match = found
    kind = next(name for name in KINDS if match[name])
    rest = f"{question[: match.start()]} {match['gap']} {question[match.end() :]}"
    rest = _WORDS.sub(" ", _IN_ALL.sub(" ", rest))
    rest, least, most, currency, included = _bounds(rest, language)
    rest, first, last = _days(rest)
    role: Role = ""
    if first or last:
        for name, pattern in _ROLES:
            if pattern.search(rest):
                role, rest = name, pattern.sub(" ", rest)
                break
    senders: tuple[str, ...] = ()
    receivers: tuple[str, ...] = ()
    if kind == "mail":
        rest, senders = _named(rest, _SENDER)
        rest, receivers = _named(rest, _RECEIVER)
    terms = tuple(_terms(rest, language))
    bounded = first is not None or last is not None or least is not None or most is not None
    if len(terms) > _MOST_TERMS or not _understood(terms, kind, _MENTIONED.search(question) is not None):
        return None
    if kind == "document" and (first or last) and not role:
        return None  # Which of the days in it would be its own?
    if operation == "list" and not bounded and (kind == "row" or not _ALL.search(question)):
        return None  # "Which documents?", "Which contracts founded the union?"
    return Asked(
        operation=operation, kind=kind, noun=match[kind], language=language, terms=terms, senders=senders, receivers=receivers, first=first,
        last=last, role=role, least=least, most=most, currency=currency, included=included,
    )  # fmt: skip


def _opening(question: str) -> tuple[str, Operation, re.Match[str]] | None:
    in_all = _IN_ALL.search(question)
    if in_all:
        for language, pattern in _HOW_MUCH.items():
            match = pattern.search(question)
            if match and not match["gap"].startswith(("de ", "d'", "d’")):
                return language, "sum", match
    best: tuple[int, str, Operation, re.Match[str]] | None = None
    for language, operation, pattern in _OPENINGS:
        match = pattern.search(question)
        if match and (best is None or match.start() < best[0]):
            best = match.start(), language, operation, match
    if best is None or best[0] > 40:
        return None
    return best[1:]


def _bounds(rest: str, language: str) -> tuple[str, Decimal | None, Decimal | None, str, bool]:
    """Conditions on an amount, taken out of the text: "over 1,000 euros", "unter 500", "between 100 and 200 EUR"."""
    least = most = None
    currency = ""
    included = False
    point = language == "en"
    places = [(one.start, one.end, one.value, one.currency) for one in amounts(rest, point=point)]
    for match in re.finditer(r"(?<![\d.,])\d[\d.,']*", rest):
        if not any(start <= match.start() < end for start, end, *_ in places) and (
            _OVER.search(rest[: match.start()]) or _UNDER.search(rest[: match.start()])
        ):
            value = number(match[0].rstrip(".,"), point=point)
            if value is not None and not (1900 <= value <= 2100 and len(match[0]) == 4):
                places.append((match.start(), match.end(), value, ""))
    for start, end, value, unit in sorted(places, reverse=True):
        before = rest[:start]
        over, under = _OVER.search(before), _UNDER.search(before)
        condition = over or under
        if condition is None:
            continue
        included = _EQUAL.search(before) is not None
        if over:
            least = value
        else:
            most = value
        currency = unit or currency
        rest = rest[: condition.start()] + " " + rest[end:]
    return rest, least, most, currency, included


def _days(rest: str) -> tuple[str, date | None, date | None]:
    """Conditions on a day, taken out of the text."""
    spans = list(dates(rest))
    if not spans:
        return rest, None, None
    one = spans[0]
    before = rest[: one.start]
    if len(spans) > 1 and _BETWEEN.search(before):
        other = spans[1]
        cut = _BETWEEN.search(before)
        return rest[: cut.start() if cut else one.start] + " " + rest[other.end :], one.first, other.last
    return _one_sided(rest, one)


def _one_sided(rest: str, one: Span) -> tuple[str, date | None, date | None]:
    before = rest[: one.start]
    until, since = _UNTIL.search(before), _SINCE.search(before)
    condition = until or since
    strict = condition is not None and _STRICT.search(condition[0]) is not None
    cleaned = rest[: condition.start() if condition else one.start] + " " + rest[one.end :]
    day = timedelta(days=1)
    if until:
        return cleaned, None, one.first - day if strict else one.last
    if since:
        return cleaned, one.last + day if strict else one.first, None
    return cleaned, one.first, one.last


def _understood(terms: Sequence[str], kind: str, mentioned: bool) -> bool:
    """Whether what is left of the question can only be what must stand in the document. A verb, and what documents are rather than say ("in German",
    "as PDF"), cannot."""
    if mentioned or not terms:
        return True
    if kind != "row" and any(_NATURE.fullmatch(term) for term in terms):
        return False
    return kind != "document" and all(not term[0].islower() for term in terms)


def _named(rest: str, pattern: re.Pattern[str]) -> tuple[str, tuple[str, ...]]:
    """Who sent a mail or got it, taken out of the text."""
    match = pattern.search(rest)
    if match is None:
        return rest, ()
    return f"{rest[: match.start()]} {rest[match.end() :]}", tuple(match["name"].split())


def _terms(rest: str, language: str) -> list[str]:
    found = []
    stop = stop_words().get(language, frozenset())
    for quoted in re.findall(r"[\"“„«]([^\"”“»]+)[\"”“»]", rest):
        found.append(quoted)
    rest = re.sub(r"[\"“„«][^\"”“»]+[\"”“»]", " ", rest)
    for word in re.findall(r"\w[\w&.'’-]*\w|\d", rest):
        low = re.sub(r"['’]s$", "", word.lower())
        if low in stop or low in _DROPPED or (len(low) < 2 and not low.isdigit()):
            continue
        found.append(re.sub(r"['’]s$", "", word))
    return found
