"""What the styles of a Word document say of a paragraph: heading and level, list, caption, code."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Literal

from lxml import etree

from hausgeist.knowledge.parse.markup import attribute, local

__all__ = ["Look", "Styles"]

_HEADING = re.compile(r"(?:heading|überschrift|titre|título|titolo|rubrik|kop)\s*([1-9])$", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Look:
    kind: Literal["title", "heading", "list", "caption", "code", "paragraph"] = "paragraph"
    level: int = 0
    """Of a heading, from 1."""
    number: str = ""
    """The list that numbers this paragraph; empty where none does."""
    number_level: int = 0


class Styles:
    def __init__(self, root: etree._Element | None) -> None:
        self._styles: dict[str, etree._Element] = {}
        self._default = ""
        self._known: dict[str, Look] = {}
        for element in root if root is not None else ():
            if local(element) == "style" and (attribute(element, "type") or "paragraph") == "paragraph":
                identifier = attribute(element, "styleId") or ""
                self._styles[identifier] = element
                if attribute(element, "default") in {"1", "true"}:
                    self._default = identifier

    def look(self, properties: etree._Element | None) -> Look:
        """What a paragraph with these `w:pPr` is."""
        values = _values(properties)
        base = self._of(values.get("pStyle", self._default))
        number, level = values.get("numId", base.number), values.get("ilvl", str(base.number_level))
        number = "" if number == "0" else number
        outline = values.get("outlineLvl", "")
        kind, heading = base.kind, base.level
        if outline.isdigit() and kind in {"paragraph", "list", "heading"}:
            kind, heading = ("heading", int(outline) + 1) if int(outline) < 9 else ("paragraph", 0)
        return Look(kind, heading, number, int(level) if level.isdigit() else 0)

    def _of(self, identifier: str) -> Look:
        known = self._known.get(identifier)
        if known is None:
            known = self._known[identifier] = self._inherited(identifier)
        return known

    def _inherited(self, identifier: str) -> Look:
        kind: Literal["title", "heading", "list", "caption", "code", "paragraph"] | None = None
        level = 0
        number: str | None = None
        number_level: str | None = None
        seen: set[str] = set()
        current = identifier
        while current not in seen:
            seen.add(current)
            element = self._styles.get(current)
            children = {local(child): child for child in element} if element is not None else {}
            values = _values(children.get("pPr"))
            name = (attribute(children["name"], "val") or current if "name" in children else current).strip()
            if kind is None:
                kind, level = _by_name(name, values.get("outlineLvl", ""))
            number = values.get("numId") if number is None else number
            number_level = values.get("ilvl") if number_level is None else number_level
            if "basedOn" not in children:
                break
            current = attribute(children["basedOn"], "val") or ""
        deep = int(number_level) if number_level and number_level.isdigit() else max(0, level - 1) if kind == "heading" else 0
        return Look(kind or "paragraph", level, "" if number in {None, "0"} else str(number), deep)


def _values(properties: etree._Element | None) -> dict[str, str]:
    found: dict[str, str] = {}
    for child in properties if properties is not None else ():
        if local(child) == "numPr":
            found |= {local(one): attribute(one, "val") or "" for one in child}
        elif local(child) in {"pStyle", "outlineLvl"}:
            found[local(child)] = attribute(child, "val") or ""
    return found


def _by_name(name: str, outline: str) -> tuple[Literal["title", "heading", "list", "caption", "code"] | None, int]:
    if match := _HEADING.match(name):
        return "heading", int(match.group(1))
    low = name.lower()
    if low in {"title", "titel"}:
        return "title", 0
    if outline.isdigit() and int(outline) < 9:
        return "heading", int(outline) + 1
    if low in {"caption", "beschriftung"}:
        return "caption", 0
    if low.startswith(("list bullet", "list number", "aufzählung")):
        return "list", 0
    if low in {"html preformatted", "source code", "code", "plain text code"}:
        return "code", 0
    return None, 0
