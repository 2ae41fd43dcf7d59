"""Outlook's mails, contacts and appointments (MSG): properties in a compound file. [MS-OXMSG]"""

from __future__ import annotations

import re
import struct
from datetime import UTC, datetime, timedelta

from hausgeist.knowledge.parse.base import Draft, Limits, Source, Unreadable, content
from hausgeist.knowledge.parse.encoding import decode
from hausgeist.knowledge.parse.legacy.compound import Compound
from hausgeist.knowledge.parse.mail.attachments import add_attachment, shown_address
from hausgeist.knowledge.parse.plain.text import add_text
from hausgeist.knowledge.parsed import Parsed

__all__ = ["read"]

MEDIA_TYPE = "application/vnd.ms-outlook"

_SUBJECT, _BODY, _HTML, _RTF, _HEADERS = 0x0037, 0x1000, 0x1013, 0x1009, 0x007D
_SENDER, _SENDER_MAIL, _SENDER_SMTP = 0x0C1A, 0x0C1F, 0x5D01
_NAME, _MAIL, _SMTP, _RECIPIENT = 0x3001, 0x3003, 0x39FE, 0x0C15
_SENT, _RECEIVED, _CREATED = 0x0039, 0x0E06, 0x3007
_DATA, _LONG_NAME, _SHORT_NAME, _METHOD, _CONTENT_ID, _HIDDEN = 0x3701, 0x3707, 0x3704, 0x3705, 0x3712, 0x7FFE
_CONTACT = {
    0x3001: "Name",
    0x3A16: "Company",
    0x3A17: "Title",
    0x3A08: "Telephone",
    0x3A09: "Telephone at home",
    0x3A1C: "Mobile",
    0x3A15: "Address",
    0x3A51: "Web",
}
_EPOCH = datetime(1601, 1, 1, tzinfo=UTC)

_PREBUF = (
    b"{\\rtf1\\ansi\\mac\\deff0\\deftab720{\\fonttbl;}{\\f0\\fnil \\froman \\fswiss \\fmodern \\fscript \\fdecor "
    b"MS Sans SerifSymbolArialTimes New RomanCourier"
    b"{\\colortbl\\red0\\green0\\blue0\r\n\\par \\pard\\plain\\f0\\fs20\\b\\i\\u\\tab\\tx"
)


def read(source: Source, filename: str, limits: Limits) -> Parsed:
    """The text of a mail and of what is attached to it."""
    return _Item(Compound(content(source, limits), limits), "", limits).read()


class _Item:
    """A message, at the top of the file or attached to another within it."""

    def __init__(self, streams: Compound, folder: str, limits: Limits) -> None:
        self._streams = streams
        self._folder = folder
        self._limits = limits

    def read(self) -> Parsed:
        draft = Draft(self._limits)
        subject = self._text(self._folder, _SUBJECT)
        draft.page(subject)
        draft.title(subject)
        people = self._people()
        sender = shown_address(self._text(self._folder, _SENDER), self._text(self._folder, _SENDER_SMTP) or self._text(self._folder, _SENDER_MAIL))
        if " </o=" in sender.lower():
            sender = sender[: sender.lower().index(" </o=")]
        fields = {"From": sender, "To": people[1], "Cc": people[2], "Date": self._date()}
        draft.paragraph("\n".join(f"{name}: {value}" for name, value in fields.items() if value))
        if self._text(self._folder, 0x001A).startswith("IPM.Contact"):
            lines = [f"{label}: {text}" for identifier, label in _CONTACT.items() if (text := self._text(self._folder, identifier))]
            draft.paragraph("\n".join(lines))
        self._body(draft)
        folders = self._folders("__attach_version1.0_#")
        names = {
            folder: self._text(folder, _LONG_NAME) or self._text(folder, _SHORT_NAME) or self._text(folder, _NAME) or "unnamed" for folder in folders
        }
        files = [folder for folder in folders if not self._inline(folder, names[folder])]
        if files:
            draft.paragraph("Attachments: " + ", ".join(names[folder] for folder in files))
        for folder in files:
            self._attach(draft, folder, names[folder])
        properties = {"from": sender, "to": people[1], "cc": people[2], "date": fields["Date"], "subject": subject}
        return draft.parsed(MEDIA_TYPE, title=subject, properties=properties)

    def _body(self, draft: Draft) -> None:
        plain = self._text(self._folder, _BODY)
        html = self._streams.read(f"{self._folder}__substg1.0_{_HTML:04X}0102") or self._text(self._folder, _HTML).encode()
        if html and (not plain.strip() or b"<th" in html.lower()):
            from hausgeist.knowledge.parse.web.html import add_html, declared_encoding

            add_html(draft, decode(html, declared_encoding(html)))
        elif plain.strip():
            add_text(draft, plain)
        elif packed := self._streams.read(f"{self._folder}__substg1.0_{_RTF:04X}0102"):
            from hausgeist.knowledge.parse.legacy.rtf import add_rtf

            add_rtf(draft, unpacked(packed, self._limits))

    def _people(self) -> dict[int, str]:
        found: dict[int, list[str]] = {1: [], 2: [], 3: []}
        for folder in self._folders("__recip_version1.0_#"):
            kind = self._number(folder, _RECIPIENT, 8)
            address = self._text(folder, _SMTP) or self._text(folder, _MAIL)
            found.setdefault(kind if kind in found else 1, []).append(
                shown_address(self._text(folder, _NAME), "" if address.startswith("/") else address)
            )
        return {kind: ", ".join(filter(None, people)) for kind, people in found.items()}

    def _inline(self, folder: str, name: str) -> bool:
        """A picture of the text (a logo in a signature) rather than something that somebody attached."""
        picture = name.lower().endswith((".png", ".jpg", ".jpeg", ".gif", ".bmp"))
        return picture and bool(self._text(folder, _CONTENT_ID)) and bool(self._streams.read(f"{self._folder}__substg1.0_{_HTML:04X}0102"))

    def _attach(self, draft: Draft, folder: str, name: str) -> None:
        data = self._streams.read(f"{folder}__substg1.0_{_DATA:04X}0102")
        inner = f"{folder}__substg1.0_{_DATA:04X}000D/"
        if data:
            add_attachment(draft, data, name)
        elif f"{inner}__properties_version1.0" in self._streams:
            if self._limits.depth <= 0:
                draft.warn(f"The mail '{name[:80]}' was left out: it is a file within a file within a file.")
                return
            draft.embed(_Item(self._streams, inner, self._limits.within(characters=draft.left)).read(), name)
        else:
            draft.warn(f"The attachment '{name[:80]}' is only a link, or empty; it was left out.")

    def _folders(self, prefix: str) -> list[str]:
        start = self._folder + prefix
        return sorted(
            {name[: name.index("/", len(start)) + 1] for name in self._streams.names if name.startswith(start) and "/" in name[len(start) :]}
        )

    def _text(self, folder: str, identifier: int) -> str:
        wide = self._streams.read(f"{folder}__substg1.0_{identifier:04X}001F")
        if wide:
            return wide.decode("utf-16-le", "replace").rstrip("\x00")
        narrow = self._streams.read(f"{folder}__substg1.0_{identifier:04X}001E").rstrip(b"\x00")
        return decode(narrow, self._codepage()) if narrow else ""

    def _codepage(self) -> str | None:
        number = self._number("", 0x3FFD, 32) or self._number("", 0x3FDE, 32)
        return f"cp{number}" if 0 < number < 65_000 else None

    def _number(self, folder: str, identifier: int, header: int) -> int:
        value = self._fixed(folder, identifier, header)
        return int.from_bytes(value[:4], "little") if value else 0

    def _fixed(self, folder: str, identifier: int, header: int) -> bytes:
        """The eight bytes of a property that is kept in the table itself."""
        table = self._streams.read(f"{folder}__properties_version1.0")
        for place in range(header, len(table) - 15, 16):
            if struct.unpack_from("<H", table, place + 2)[0] == identifier:
                return table[place + 8 : place + 16]
        return b""

    def _date(self) -> str:
        for identifier in (_SENT, _RECEIVED, _CREATED):
            value = self._fixed(self._folder, identifier, 24 if self._folder else 32)
            if value:
                try:
                    return f"{_EPOCH + timedelta(microseconds=int.from_bytes(value, 'little') // 10):%Y-%m-%d %H:%M}"
                except OverflowError:
                    continue
        headers = self._text(self._folder, _HEADERS)
        match = re.search(r"^Date:\s*(.+)$", headers, re.MULTILINE)
        return match.group(1).strip() if match else ""


def unpacked(data: bytes, limits: Limits) -> bytes:
    """RTF as Outlook packs it. [MS-OXRTFCP]"""
    if len(data) < 16:
        return b""
    _, size, mark, _ = struct.unpack_from("<4I", data)
    if mark == 0x414C454D:
        return data[16 : 16 + size]
    if mark != 0x75465A4C or size > limits.unpacked:
        raise Unreadable("The text of the mail is packed in an unknown way; save the mail as EML.")
    ring = bytearray(_PREBUF.ljust(4096, b"\x00"))
    written = len(_PREBUF)
    out = bytearray()
    place = 16
    while place < len(data) and len(out) < size:
        control = data[place]
        place += 1
        for bit in range(8):
            if place >= len(data):
                break
            if control >> bit & 1:
                if place + 1 >= len(data):
                    break
                token = data[place] << 8 | data[place + 1]
                place += 2
                start, length = token >> 4, (token & 15) + 2
                if start == written % 4096:
                    return bytes(out)
                for step in range(length):
                    byte = ring[(start + step) % 4096]
                    out.append(byte)
                    ring[written % 4096] = byte
                    written += 1
            else:
                out.append(data[place])
                ring[written % 4096] = data[place]
                written += 1
                place += 1
    return bytes(out[:size])
