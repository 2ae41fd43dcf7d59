"""Rich Text Format: paragraphs, headings by their styles, lists, tables, notes, headers and footers.

Deleted text of tracked changes, pictures, embedded objects and the instructions of fields are left out.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, replace

from hausgeist.knowledge.parse.base import Draft, Limits, Source, content
from hausgeist.knowledge.parse.encoding import guess
from hausgeist.knowledge.parse.tables import has_header
from hausgeist.knowledge.parsed import Parsed

__all__ = ["add_rtf", "read"]

MEDIA_TYPE = "application/rtf"

_TOKEN = re.compile(r"\\([a-zA-Z]{1,32})(-?\d{1,10})? ?|\\'([0-9a-fA-F]{2})|\\([^a-zA-Z])|([{}])|[\r\n]+|([^\\{}\r\n]+)|\\", re.DOTALL)
_CHARSETS = {
    0: "cp1252", 77: "mac_roman", 128: "cp932", 129: "cp949", 130: "johab", 134: "cp936", 136: "cp950", 161: "cp1253", 162: "cp1254", 163: "cp1258",
    177: "cp1255", 178: "cp1256", 186: "cp1257", 204: "cp1251", 222: "cp874", 238: "cp1250", 255: "cp437",
}  # fmt: skip
_SIGNS = {
    "tab": "\t", "line": "\n", "emdash": "—", "endash": "–", "lquote": "‘", "rquote": "’", "ldblquote": "“", "rdblquote": "”", "bullet": "•",
    "emspace": " ", "enspace": " ", "qmspace": " ", "zwj": "\u200d", "zwnj": "\u200c", "softline": "\n", "lbr": "\n",
}  # fmt: skip
_FURNITURE = {"header", "headerl", "headerr", "headerf", "footer", "footerl", "footerr", "footerf"}
_SKIPPED = {
    "colortbl", "pict", "fldinst", "themedata", "colorschememapping", "datastore", "latentstyles", "listtable", "listoverridetable",
    "rsidtbl", "generator", "xmlnstbl", "objdata", "sp", "nonshppict", "bkmkstart", "bkmkend", "filetbl", "revtbl", "mmathPr",
    "wgrffmtfilter", "annotationtime", "atnid", "atnref", "atrfstart", "atrfend", "atndate", "pgptbl", "htmltag", "mhtmltag", "objclass",
    "objname", "falt", "panose", "pnseclvl", "userprops", "tc", "xe", "do", "background", "private", "ftnsep", "ftnsepc", "aftnsep",
    "aftnsepc", "template", "passwordhash", "fname", "ftncn", "aftncn", "blipuid", "listpicture", "pntxta", "pntxtb",
}  # fmt: skip
_KNOWN = {
    "shpinst", "shptxt", "shprslt", "annotation", "listtext", "pntext", "pn", "ud", "footnote", "result", "atnauthor", "nesttableprops",
    "fldrslt",
}  # fmt: skip
"""Groups that say of themselves that older programs should skip them, but hold text (or what leads to some)."""
_CONTROLS = {
    "par", "sect", "page", "pard", "intbl", "cell", "nestcell", "row", "trhdr", "s", "outlinelevel", "uc", "deleted", "htmlrtf", "ansicpg",
    "mac", "f", "fcharset", "plain", "u",
}  # fmt: skip
_INFO = {"title", "author", "subject", "keywords", "operator", "doccomm"}
_TARGETS = _FURNITURE | _INFO | {"footnote", "annotation", "listtext", "pntext", "fonttbl", "stylesheet", "atnauthor", "shptxt", "info"}
_MATTER = _CONTROLS | _TARGETS | _SKIPPED | _KNOWN | _SIGNS.keys()
_PROPERTIES = {"operator": "last_author", "doccomm": "description"}


@dataclass(frozen=True, slots=True)
class _State:
    """What a group may change and its end takes back."""

    target: str = "text"
    skip: int = 1
    """Characters after a `\\u` for programs that do not know it."""
    encoding: str = ""
    deleted: bool = False
    html: bool = False


def read(source: Source, filename: str, limits: Limits) -> Parsed:
    """The text of an RTF file."""
    draft = Draft(limits)
    properties = add_rtf(draft, content(source, limits))
    return draft.parsed(MEDIA_TYPE, title=properties.pop("title", ""), properties=properties)


def add_rtf(draft: Draft, data: bytes) -> dict[str, str]:
    """Feed a draft with RTF; what the file says of itself."""
    reader = _Rtf(draft)
    reader.read(data.decode("latin-1"))
    return {_PROPERTIES.get(name, name): "".join(parts).strip() for name, parts in reader.info.items()}


class _Rtf:
    def __init__(self, draft: Draft) -> None:
        self._draft = draft
        self.info: dict[str, list[str]] = {}
        self._stack: list[_State] = []
        self._state = _State()
        self._page = "cp1252"
        self._fonts: dict[int, str] = {}
        self._font = 0
        self._styles: dict[int, list[str]] = {}
        self._style = 0
        self._bytes = bytearray()
        self._text: dict[str, list[str]] = {}
        self._pending = 0
        self._star = False
        self._heading = 0
        self._in_table = False
        self._cells: list[str] = []
        self._cell: list[str] = []
        self._rows: list[list[str]] = []
        self._headed = False
        self._high = 0
        self._notes: list[str] = []
        self._notes_of_table: list[str] = []

    def read(self, text: str) -> None:
        place, end = 0, len(text)
        while place < end and not self._draft.full:
            match = _TOKEN.match(text, place)
            if match is None:
                break
            place = match.end()
            word, number, code, sign, brace, plain = match.groups()
            if plain is not None:
                self._plain(plain)
            elif word is not None:
                if word == "bin":
                    place += max(0, int(number or 0))
                    continue
                self._word(word, None if number is None else int(number))
            elif code is not None:
                self._byte(int(code, 16))
            elif brace == "{":
                self._open()
            elif brace == "}":
                self._close()
            elif sign is not None:
                self._sign(sign)
        self._decode()
        self._paragraph()
        self._end_table()

    def _open(self) -> None:
        self._decode()
        if len(self._stack) < 10_000:
            self._stack.append(self._state)
        self._star = False

    def _close(self) -> None:
        self._decode()
        ended = self._state.target
        if self._stack:
            self._state = self._stack.pop()
        self._star = False
        if ended != self._state.target:
            self._leave(ended)

    def _leave(self, target: str) -> None:
        text = "".join(self._text.pop(target, []))
        if target in _FURNITURE:
            for line in text.split("\n"):
                self._draft.furniture(line)
        elif target == "footnote":
            self._notes.append(text)
        elif target == "annotation":
            author = "".join(self._text.pop("atnauthor", [])).strip()
            self._notes.append(f"Comment by {author}: {text.strip()}" if author else f"Comment: {text.strip()}" if text.strip() else "")
        elif target in {"listtext", "pntext"}:
            self._text.setdefault("label", []).append(text)
        elif target == "stylesheet":
            self._text.pop("stylename", None)
        elif target == "atnauthor":
            self._text["atnauthor"] = [text]
        elif target == "shptxt" and text.strip():
            self._notes.append("\x00" + text)

    def _plain(self, text: str) -> None:
        if self._pending:
            dropped = min(self._pending, len(text))
            self._pending -= dropped
            text = text[dropped:]
        if text and self._state.target not in {"skip", "fonttbl"}:
            self._bytes += text.encode("latin-1")
        elif text and self._state.target == "fonttbl":
            self._bytes.clear()

    def _byte(self, value: int) -> None:
        if self._pending:
            self._pending -= 1
        elif self._state.target not in {"skip", "fonttbl"}:
            self._bytes.append(value)

    def _decode(self) -> None:
        """What was written as bytes becomes text in the encoding of the font."""
        if not self._bytes:
            return
        raw = bytes(self._bytes)
        self._bytes.clear()
        if raw.isascii():
            self._add(raw.decode("ascii"))
            return
        encoding = self._state.encoding or self._page
        try:
            self._add(raw.decode(encoding, "replace"))
        except LookupError:
            self._add(raw.decode(guess(raw), "replace"))

    def _add(self, text: str) -> None:
        state = self._state
        if state.deleted or state.html or state.target == "skip":
            return
        if state.target in _INFO:
            self.info.setdefault(state.target, []).append(text)
        elif state.target == "stylesheet":
            self._styles.setdefault(self._style, []).append(text)
        else:
            self._text.setdefault(state.target, []).append(text)

    def _sign(self, sign: str) -> None:
        if sign == "*":
            self._star = True
            return
        if sign in "\\{}":
            self._plain(sign)
            return
        self._decode()
        if sign == "~":
            self._add("\u00a0")
        elif sign == "_":
            self._add("-")
        elif sign in "\r\n":
            self._word("par", None)

    def _word(self, word: str, number: int | None) -> None:
        if word not in _MATTER and not self._star:
            # Most words are about looks.
            self._pending = 0
            return
        self._decode()
        if self._pending and word != "u":
            # A control word counts as one character of what is to be skipped.
            self._pending = 0
        if self._state.target == "skip" and word not in {"uc"}:
            return
        star, self._star = self._star, False
        if word == "u" and number is not None:
            self._unicode(number)
        elif word in _SIGNS:
            self._add(_SIGNS[word])
        elif (star and word not in _KNOWN | _SKIPPED) or word in _SKIPPED:
            self._state = replace(self._state, target="skip")
        elif word in _TARGETS:
            if word not in _INFO or self._state.target == "info":
                self._state = replace(self._state, target=word)
        else:
            self._control(word, number)

    def _unicode(self, number: int) -> None:
        code = number & 0xFFFF if number < 0 else number
        if 0xDC00 <= code < 0xE000 and self._high:
            self._add(chr(0x10000 + ((self._high - 0xD800) << 10) + (code - 0xDC00)))
            self._high = 0
        elif 0xD800 <= code < 0xDC00:
            self._high = code
        elif code < 0x110000 and not 0xDC00 <= code < 0xE000 and not 0xF020 <= code <= 0xF0FF:
            self._add(chr(code))
        self._pending = self._state.skip

    def _control(self, word: str, number: int | None) -> None:
        match word:
            case "par" | "sect" | "page":
                self._end_of_paragraph()
            case "pard":
                self._in_table, self._heading, self._style = False, 0, 0
            case "intbl":
                self._in_table = True
            case "cell" | "nestcell":
                self._end_of_cell(nested=word == "nestcell")
            case "row":
                self._end_of_row()
            case "trhdr":
                self._headed = True
            case "s" if number is not None:
                self._style = number
            case "outlinelevel" if number is not None:
                self._heading = number + 1 if number < 9 else 0
            case "uc" if number is not None:
                self._state = replace(self._state, skip=max(0, min(number, 20)))
            case "deleted":
                self._state = replace(self._state, deleted=number != 0)
            case "htmlrtf":
                self._state = replace(self._state, html=number != 0)
            case "ansicpg" if number:
                self._page = f"cp{number}"
            case "mac":
                self._page = "mac_roman"
            case "f" if number is not None:
                self._font = number
                if self._state.target != "fonttbl":
                    self._state = replace(self._state, encoding=self._fonts.get(number, ""))
            case "fcharset" if number is not None and self._state.target == "fonttbl":
                self._fonts[self._font] = "" if number in {0, 1, 2} else _CHARSETS.get(number, "")
            case "plain":
                self._state = replace(self._state, deleted=False, encoding="")

    def _end_of_paragraph(self) -> None:
        if self._state.target in {"text", "ud", "result", "shpinst"}:
            if self._in_table:
                self._cell.append("".join(self._text.pop("text", [])))
            else:
                self._paragraph()
        else:
            self._add("\n")

    def _take(self) -> tuple[str, str]:
        """The text of the paragraph that ends, and the number or bullet before it."""
        text = "".join(self._text.pop("text", []))
        label = " ".join("".join(self._text.pop("label", [])).replace("\uf0b7", "•").replace("·", "•").split())
        return text, label

    def _paragraph(self) -> None:
        text, label = self._take()
        if text.strip():
            self._end_table()
            name = "".join(self._styles.get(self._style, [])).strip(" ;").lower()
            match = re.match(r"(?:heading|überschrift|titre|título|titolo)\s*([1-9])", name)
            level = self._heading or (int(match.group(1)) if match else 0)
            if name in {"title", "titel"}:
                self._draft.title(text)
            elif level:
                self._draft.heading(f"{label} {text}" if label and label != "•" else text, level)
            elif label:
                self._draft.item(f"{label} {text.lstrip()}")
            else:
                self._draft.paragraph(text)
        if not self._in_table:
            self._beside(self._notes)
            self._notes = []

    def _beside(self, notes: list[str]) -> None:
        for text in notes:
            if text.startswith("\x00"):
                self._draft.paragraph(text)
            else:
                self._draft.note(text)

    def _end_of_cell(self, *, nested: bool) -> None:
        text, label = self._take()
        self._cell.append(f"{label} {text}" if label else text)
        if not nested:
            self._cells.append(" ".join(part.strip() for part in self._cell if part.strip()))
            self._cell = []

    def _end_of_row(self) -> None:
        if any(self._cells):
            self._rows.append(self._cells)
        self._cells = []
        self._notes_of_table += self._notes
        self._notes = []

    def _end_table(self) -> None:
        if self._cells:
            self._end_of_row()
        if self._rows:
            self._draft.table(self._rows, header=int(self._headed or has_header(self._rows)))
            self._rows, self._headed = [], False
            self._beside(self._notes_of_table)
            self._notes_of_table = []
