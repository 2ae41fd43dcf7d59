"""Markdown: headings, lists, tables, code; marks of emphasis and the addresses of links are taken off the text."""

from __future__ import annotations

import html
import re

from hausgeist.knowledge.parse.base import Draft, Limits, Source, content
from hausgeist.knowledge.parse.encoding import decode
from hausgeist.knowledge.parsed import Parsed

__all__ = ["read"]

MEDIA_TYPE = "text/markdown"

_HEADING = re.compile(r" {0,3}(#{1,6})\s+(.*?)\s*#*\s*$")
_FENCE = re.compile(r"\s{0,3}(`{3,}|~{3,})\s*([^`]*)$")
_ITEM = re.compile(r"(\s*)([-*+]|\d{1,9}[.)])\s+(.*)$")
_TASK = re.compile(r"^\[[ xX]\] ")
_RULE = re.compile(r" {0,3}([-*_])(\s*\1){2,}\s*$")
_TABLE_RULE = re.compile(r"\s*\|?\s*:?-+:?\s*(\|\s*:?-+:?\s*)*\|?\s*$")
_DEFINITION = re.compile(r" {0,3}\[([^\]]{1,200})\]:\s*\S+.*$")
_FRONT = re.compile(r"---[ \t]*\n(.*?)\n(?:---|\.\.\.)[ \t]*(?:\n|$)", re.DOTALL)

_IMAGE = re.compile(r"!\[([^\]\n]{0,500})\](?:\([^()\n]{0,1000}(?:\([^()\n]*\)[^()\n]*)?\)|\[[^\]\n]{0,200}\])")
_LINK = re.compile(r"\[([^\[\]\n]{1,1000})\](?:\([^()\n]{0,2000}(?:\([^()\n]*\)[^()\n]*)?\)|\[[^\]\n]{0,200}\])")
_STRONG = re.compile(r"(\*\*\*|\*\*|___|__|~~)(?=\S)(.{1,2000}?)(?<=\S)\1", re.DOTALL)
_EMPHASIS = re.compile(
    r"(?<![\w*\\])\*(?=[^\s*])([^*\n]{1,1000}?)(?<=[^\s*])\*(?![\w*])|(?<![\w_\\])_(?=[^\s_])([^_\n]{1,1000}?)(?<=[^\s_])_(?![\w_])"
)
_CODE = re.compile(r"(?<!`)(`++)([^`\n]{1,1000}+)\1(?!`)")
_TAG = re.compile(r"</?[a-zA-Z][a-zA-Z0-9-]*(?:\s+[^<>]{0,1000})?/?>|<!--(?:(?!<!--).)*?-->", re.DOTALL)
_ADDRESS = re.compile(r"<((?:https?://|mailto:)[^<>\s]{1,2000})>")
_ESCAPE = re.compile(r"\\([!\"#$%&'()*+,\-./:;<=>?@\[\\\]^_`{|}~])")


def read(source: Source, filename: str, limits: Limits) -> Parsed:
    """The text of a Markdown file."""
    draft = Draft(limits)
    text = re.sub(r"\r\n?|\f", "\n", decode(content(source, limits))).lstrip("\ufeff")
    properties: dict[str, str] = {}
    if match := _FRONT.match(text):
        for line in match.group(1).split("\n"):
            key, colon, value = line.partition(":")
            if colon and key.strip() in {"title", "author", "date", "description", "keywords", "tags", "language", "lang"}:
                properties[key.strip()] = value.strip().strip("\"'")
        text = text[match.end() :]
    _Markdown(draft).read(text.split("\n"))
    return draft.parsed(MEDIA_TYPE, title=properties.pop("title", ""), properties=properties)


class _Markdown:
    def __init__(self, draft: Draft) -> None:
        self._draft = draft
        self._lines: list[str] = []
        self._item = False

    def read(self, lines: list[str]) -> None:
        place = 0
        while place < len(lines) and not self._draft.full:
            place = self._line(lines, place)
        self._flush()

    def _line(self, lines: list[str], place: int) -> int:
        """One line, or the lines that belong to it; the place of the next."""
        line = lines[place]
        if match := _FENCE.match(line):
            self._flush()
            end = place + 1
            while end < len(lines) and not (lines[end].strip().startswith(match.group(1)) and not lines[end].strip().strip(match.group(1)[0])):
                end += 1
            self._draft.code("\n".join(lines[place + 1 : end]))
            return end + 1
        if not line.strip():
            self._flush()
            return place + 1
        if match := _HEADING.match(line):
            self._flush()
            self._draft.heading(_inline(match.group(2)), len(match.group(1)))
            return place + 1
        if self._lines and not self._item and re.fullmatch(r" {0,3}(=+|-{2,})\s*", line):
            text = " ".join(self._lines)
            self._lines = []
            self._draft.heading(_inline(text), 1 if "=" in line else 2)
            return place + 1
        if _RULE.match(line) or _DEFINITION.match(line):
            self._flush()
            return place + 1
        if "|" in line and place + 1 < len(lines) and "-" in lines[place + 1] and "|" in lines[place + 1] and _TABLE_RULE.match(lines[place + 1]):
            return self._table(lines, place)
        if not self._lines and not self._item and line.startswith(("    ", "\t")):
            return self._indented(lines, place)
        self._text(line)
        return place + 1

    def _text(self, line: str) -> None:
        bare = re.sub(r"^(\s{0,3}>\s?)+", "", line)
        if match := _ITEM.match(bare):
            self._flush()
            indent = "  " * min(len(match.group(1).expandtabs(4)) // 2, 8)
            mark = "•" if match.group(2) in "-*+" else match.group(2)
            self._item = True
            self._lines = [f"{indent}{mark} {_TASK.sub('', match.group(3))}"]
        elif bare.strip():
            self._lines.append(bare.strip())

    def _table(self, lines: list[str], place: int) -> int:
        self._flush()
        rows = [_cells(lines[place])]
        place += 2
        while place < len(lines) and "|" in lines[place] and lines[place].strip():
            rows.append(_cells(lines[place]))
            place += 1
        self._draft.table(rows, header=1)
        return place

    def _indented(self, lines: list[str], place: int) -> int:
        end = place
        while end < len(lines) and (lines[end].startswith(("    ", "\t")) or not lines[end].strip()):
            end += 1
        self._draft.code("\n".join(line.removeprefix("\t").removeprefix("    ") for line in lines[place:end]))
        return end

    def _flush(self) -> None:
        text = _inline("\n".join(self._lines)) if self._lines else ""
        if self._item:
            self._draft.item(text)
        else:
            self._draft.paragraph(text)
        self._lines = []
        self._item = False


def _cells(line: str) -> list[str]:
    return [_inline(cell.replace("\\|", "|")) for cell in re.split(r"(?<!\\)\|", line.strip().removeprefix("|").removesuffix("|"))]


def _inline(text: str) -> str:
    """Text without its marks; code keeps what looks like marks in it."""
    kept: list[str] = []

    def keep(content: str) -> str:
        kept.append(content)
        return f"\x00{len(kept) - 1}\x00"

    text = text.replace("\x00", "")
    text = _CODE.sub(lambda match: keep(match.group(2)), text)
    text = _ESCAPE.sub(lambda match: keep(match.group(1)), text)
    text = _IMAGE.sub(r"\1", text)
    text = _LINK.sub(r"\1", _LINK.sub(r"\1", text))
    text = _TAG.sub("", _ADDRESS.sub(r"\1", text))
    for _ in range(2):
        text = _STRONG.sub(r"\2", text)
    text = _EMPHASIS.sub(lambda match: match.group(1) or match.group(2), text)
    if "&" in text:
        text = html.unescape(text)
    return re.sub(r"\x00(\d+)\x00", lambda match: kept[int(match.group(1))], text) if kept else text
