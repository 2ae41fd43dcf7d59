"""The numbers and bullets that Word draws before paragraphs; they are not in the text, but contracts are cited by them."""

from __future__ import annotations

from dataclasses import dataclass, field

from lxml import etree

from hausgeist.knowledge.parse.markup import attribute, local

__all__ = ["Numbering"]


@dataclass(frozen=True, slots=True)
class _Level:
    form: str = "bullet"
    pattern: str = ""
    start: int = 1


@dataclass(slots=True)
class _Scheme:
    levels: dict[int, _Level] = field(default_factory=dict)


class Numbering:
    """Counts as the document goes on: one counter for each scheme and level."""

    def __init__(self, root: etree._Element | None) -> None:
        self._schemes: dict[str, _Scheme] = {}
        self._uses: dict[str, tuple[str, dict[int, _Level]]] = {}
        self._counters: dict[str, dict[int, int]] = {}
        for element in root if root is not None else ():
            if local(element) == "abstractNum":
                self._schemes[attribute(element, "abstractNumId") or ""] = _Scheme(_levels(element))
        for element in root if root is not None else ():
            if local(element) == "num":
                children = {local(child): child for child in element}
                abstract = attribute(children["abstractNumId"], "val") or "" if "abstractNumId" in children else ""
                overrides: dict[int, _Level] = {}
                for child in element:
                    if local(child) == "lvlOverride":
                        overrides |= _levels(child)
                self._uses[attribute(element, "numId") or ""] = (abstract, overrides)

    def next(self, number: str, level: int) -> tuple[str, bool]:
        """What stands before the next paragraph of this list, and whether that is a bullet; empty where nothing does."""
        use = self._uses.get(number)
        if use is None:
            return "", False
        abstract, overrides = use
        levels = (self._schemes.get(abstract) or _Scheme()).levels | overrides
        this = levels.get(level, _Level())
        if this.form == "bullet":
            return "•", True
        counters = self._counters.setdefault(abstract, {})
        counters[level] = counters.get(level, this.start - 1) + 1
        for deeper in [one for one in counters if one > level]:
            del counters[deeper]
        if this.form == "none":
            return "", False
        text = this.pattern
        for one in range(9):
            if f"%{one + 1}" in text:
                shape = levels.get(one, _Level())
                text = text.replace(f"%{one + 1}", _shaped(counters.get(one, shape.start), shape.form))
        return text.strip(), False


def _levels(element: etree._Element) -> dict[int, _Level]:
    found: dict[int, _Level] = {}
    for child in element:
        if local(child) != "lvl":
            continue
        values = {local(one): attribute(one, "val") or "" for one in child}
        level, start = attribute(child, "ilvl") or "0", values.get("start", "1")
        if level.isdigit():
            found[int(level)] = _Level(values.get("numFmt", "decimal"), values.get("lvlText", ""), int(start) if start.isdigit() else 1)
    return found


def _shaped(number: int, form: str) -> str:
    if form in {"lowerLetter", "upperLetter"} and number > 0:
        letter = chr(ord("a") + (number - 1) % 26) * ((number - 1) // 26 + 1)
        return letter[:10] if form == "lowerLetter" else letter[:10].upper()
    if form in {"lowerRoman", "upperRoman"} and 0 < number < 4000:
        roman = _roman(number)
        return roman.lower() if form == "lowerRoman" else roman
    return f"{number:02d}" if form == "decimalZero" else str(number)


def _roman(number: int) -> str:
    text = ""
    for value, sign in (
        (1000, "M"),
        (900, "CM"),
        (500, "D"),
        (400, "CD"),
        (100, "C"),
        (90, "XC"),
        (50, "L"),
        (40, "XL"),
        (10, "X"),
        (9, "IX"),
        (5, "V"),
        (4, "IV"),
        (1, "I"),
    ):
        while number >= value:
            text += sign
            number -= value
    return text
