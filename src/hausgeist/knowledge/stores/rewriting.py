"""What people say around a question when they talk to a machine, and what an index has no use for: it is taken off, by rule, in the languages that
are known here. What is left is theirs, word for word."""

from __future__ import annotations

import re
from typing import Final

__all__ = ["rewritten"]

_BEFORE: Final = (
    r"(?:hi|hello|hey|dear \w+|good (?:morning|day|evening)|"
    r"hallo|guten (?:morgen|tag|abend)|moin|bonjour|salut|hola|ciao|servus)(?:\s*[,.!:]+\s*|\s+-\s+)",
    r"(?:please|pls|bitte|kindly|s'il (?:vous|te) pla[iî]t|por favor|per favore)\b[\s,]*",
    r"(?:can|could|would|will) you (?:please |kindly |maybe )?(?:tell|show|explain|give|find|look up|say|check|search)(?: (?:to )?(?:me|us))?"
    r"(?: (?:for|out|about))?\b[\s,:]*",
    r"(?:tell|show|give|explain|find)(?: to)? (?:me|us)\b(?: (?:about|please))?[\s,:]*",
    r"(?:i(?:'d| would) like to know|i want to know|i wonder|i need to know|do you know)\b[\s,:]*",
    r"(?:k[oö]nne?n|k[oö]nntest|k[oö]nnten|kannst|w[uü]rdest|w[uü]rden) (?:du|sie|ihr) (?:mir|uns)?\s?(?:bitte |mal |vielleicht )*"
    r"(?:sagen|zeigen|erkl[aä]ren|verraten|heraussuchen)?[\s,:]*",
    r"(?:sag|sage|zeig|zeige|erkl[aä]re?|nenne?)(?:n sie)? (?:mir|uns)\b(?: bitte| mal)*[\s,:]*",
    r"(?:ich (?:m[oö]chte|w[uü]rde gerne?|will) wissen|wei[sß]+t du|wissen sie)\b[\s,:]*",
    r"(?:(?:pouvez|peux|pourriez)[- ](?:vous|tu) (?:me |nous )?(?:dire|montrer|expliquer))\b[\s,:]*",
)
_AFTER: Final = (r"[\s,]*\b(?:please|pls|bitte|thanks|thank you|thx|danke|vielen dank|danke sch[oö]n|merci|gracias|grazie)\b[\s.!]*$",)
_BEGIN: Final = re.compile("|".join(f"(?:{one})" for one in _BEFORE), re.IGNORECASE)
_END: Final = re.compile("|".join(_AFTER), re.IGNORECASE)
_ROUNDS: Final = 6


def rewritten(query: str) -> str:
    """Never empty where `query` is not. What stands in quotation marks is left alone."""
    found = query.strip()
    for _ in range(_ROUNDS):
        shorter = found
        if (begin := _BEGIN.match(shorter)) is not None:
            shorter = shorter[begin.end() :]
        shorter = _END.sub("", shorter).strip()
        if not shorter.strip(" ?!.,"):
            break
        if shorter == found:
            break
        found = shorter
    return found
