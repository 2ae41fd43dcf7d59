"""Plain text: paragraphs, lists and headings, as far as people mark them. A form feed begins a page."""

from __future__ import annotations

import re

from hausgeist.knowledge.parse.base import Draft, Limits, Source, content
from hausgeist.knowledge.parse.encoding import decode
from hausgeist.knowledge.parsed import Parsed

__all__ = ["add_text", "read"]

MEDIA_TYPE = "text/plain"

_NUMBERED = re.compile(
    r"(§+\s*\d+[a-z]?|Art(?:icle|ikel|\.)\s*\d+|(?:Chapter|Kapitel|Section|Abschnitt|Part|Teil|Annex|Anhang|Appendix)\s+[\dIVXLC]+|\d{1,2}(?:\.\d{1,2}){0,4}\.?|[IVXLC]{1,5}\.)[\s:.)]+\S.{0,100}"
)
_UNDERLINE = re.compile(r"([=\-~^*#_])\1{2,}")
_ITEM = re.compile(r"\s*(?:[-*•·–+o]|\(?\d{1,3}[.)]|\(?[a-z][.)])\s+\S")
_ENDS = (".", ",", ";", ":", "!", "?", "…", "-", "–")
_LONGEST_HEADING = 90


def read(source: Source, filename: str, limits: Limits) -> Parsed:
    """The text, with its paragraphs."""
    draft = Draft(limits)
    text = decode(content(source, limits))
    pages = text.split("\f")
    if len(pages) == 1 or not any(page.strip() for page in pages[1:]):
        add_text(draft, text)
    else:
        for page in pages:
            if not draft.page():
                break
            add_text(draft, page)
    return draft.parsed(MEDIA_TYPE, guess=False)


def add_text(draft: Draft, text: str) -> None:
    """Feed a draft with text as people type it."""
    if "\r" in text:
        text = text.replace("\r\n", "\n").replace("\r", "\n")
    lines = map(str.rstrip, text.split("\n"))
    group: list[str] = []
    for line in [*lines, ""]:
        if draft.full:
            return
        if line.strip():
            group.append(line)
        elif group:
            _add(draft, group)
            group = []


def _add(draft: Draft, group: list[str]) -> None:
    """A group of lines between two empty ones."""
    if (
        len(group) >= 2
        and _UNDERLINE.fullmatch(group[1].strip())
        and len(group[0].strip()) <= _LONGEST_HEADING
        and abs(len(group[0].strip()) - len(group[1].strip())) < 12
    ):
        draft.heading(group[0], 1 if group[1].strip()[0] in "=#*" else 2)
        group = group[2:]
    elif len(group) == 1 and (level := _heading_level(group[0].strip())):
        draft.heading(group[0], level)
        return
    pending: list[str] = []
    item: list[str] = []
    for line in group:
        if _UNDERLINE.fullmatch(line.strip()):
            continue
        if _ITEM.match(line):
            if item:
                draft.item("\n".join(item))
            elif pending:
                draft.paragraph("\n".join(pending))
                pending = []
            item = [line]
        elif item and line[0] in " \t":
            item.append(line)
        elif item:
            draft.item("\n".join(item))
            item = []
            pending.append(line)
        else:
            pending.append(line)
    if item:
        draft.item("\n".join(item))
    elif pending:
        draft.paragraph("\n".join(pending))


def _heading_level(line: str) -> int:
    """Of a line that stands alone: 0 when it is no heading. Doubt means no: a heading that is none tears a text apart."""
    if len(line) > _LONGEST_HEADING or line.endswith(_ENDS) or (_ITEM.match(line) is not None and not _NUMBERED.fullmatch(line)):
        return 0
    if match := _NUMBERED.fullmatch(line):
        rest = line[len(match.group(1)) :].strip(" .:)")
        if not rest[:1].isupper() or len(rest.split()) > 12 or re.search(r"[.!?]\s", rest):
            return 0
        number = match.group(1).rstrip(".")
        return min(1 + number.count("."), 6) if number[0].isdigit() else 1
    letters = [character for character in line if character.isalpha()]
    if len(letters) >= 4 and line.isupper() and 1 <= len(line.split()) <= 10:
        return 1
    return 0
