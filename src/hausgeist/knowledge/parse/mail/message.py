"""Mails (EML): who wrote to whom and when, the text, and what is attached, each attachment as pages of its own."""

from __future__ import annotations

import base64
import email
import email.policy
import email.utils
import re
from collections.abc import Iterator
from email.header import decode_header
from email.message import Message
from typing import cast

from hausgeist.knowledge.parse.base import Draft, Limits, Source, Unreadable, content
from hausgeist.knowledge.parse.encoding import decode
from hausgeist.knowledge.parse.mail.attachments import add_attachment, shown_address, shown_date
from hausgeist.knowledge.parse.plain.text import add_text
from hausgeist.knowledge.parsed import Parsed

__all__ = ["read", "read_message"]

MEDIA_TYPE = "message/rfc822"

_WORD = re.compile(r"\w+")
_COMPARED = 50_000
"""Characters of two forms of a text that are compared."""
_QUOTE = re.compile(r"^(?:>\s?)+", re.MULTILINE)


def read(source: Source, filename: str, limits: Limits) -> Parsed:
    """The text of a mail and of what is attached to it."""
    return read_message(content(source, limits), limits)


def read_message(data: bytes, limits: Limits) -> Parsed:
    """As `read`, from the mail itself."""
    message = email.message_from_bytes(data.lstrip(b"\xef\xbb\xbf \t\r\n"), policy=email.policy.compat32)
    draft = Draft(limits)
    subject = _header(message, "Subject")
    draft.page(subject)
    fields = {name: _people(message, name) for name in ("From", "To", "Cc")}
    fields["Date"] = shown_date(_header(message, "Date"))
    draft.title(subject)
    draft.paragraph("\n".join(f"{name}: {value}" for name, value in fields.items() if value))
    parts = _Parts(draft.limits.entries)
    parts.gather(message, 0)
    for part in parts.texts:
        _add_body(draft, part)
    if parts.files:
        draft.paragraph("Attachments: " + ", ".join(_name(part) or "unnamed" for part in parts.files))
    for part in parts.files:
        _attach(draft, part)
    for sentence in parts.warnings:
        draft.warn(sentence)
    properties = {
        "from": fields["From"],
        "to": fields["To"],
        "cc": fields["Cc"],
        "date": fields["Date"],
        "subject": subject,
        "message_id": _header(message, "Message-ID"),
    }
    return draft.parsed(MEDIA_TYPE, title=subject, properties=properties)


class _Parts:
    """The parts of a mail: those that are its text, and those that are files."""

    def __init__(self, entries: int) -> None:
        self.texts: list[Message] = []
        self.files: list[Message] = []
        self.warnings: list[str] = []
        self._left = entries

    def gather(self, part: Message, depth: int) -> None:
        self._left -= 1
        if self._left < 0 or depth > 30:
            raise Unreadable("The mail has more parts than any mail needs.")
        kind = part.get_content_type()
        if kind == "multipart/alternative":
            self._alternative(part, depth)
        elif kind == "multipart/encrypted" or (kind.endswith("pkcs7-mime") and "signed" not in str(part.get_param("smime-type", ""))):
            self.warnings.append("The mail is encrypted; only who can decrypt it can read it. Save the decrypted mail.")
        elif part.is_multipart() and kind != "message/rfc822":
            for one in _children(part):
                self.gather(one, depth + 1)
        elif self._is_text(part):
            self.texts.append(part)
        elif not (kind.startswith("image/") and part.get("Content-ID") and part.get_content_disposition() != "attachment") and kind not in {
            "application/pgp-signature", "application/pkcs7-signature", "application/x-pkcs7-signature", "message/delivery-status",
        }:  # fmt: skip
            self.files.append(part)

    def _is_text(self, part: Message) -> bool:
        named = part.get_content_disposition() == "attachment" or (_name(part) and part.get_content_disposition() is not None)
        return not named and part.get_content_type() in {"text/plain", "text/html", "text/enriched", "text/x-amp-html"}

    def _alternative(self, part: Message, depth: int) -> None:
        """Of several forms of one text the plain one, unless it says much less than the others."""
        inner = _Parts(self._left)
        for one in _children(part):
            inner.gather(one, depth + 1)
        self._left = inner._left
        self.files += inner.files
        self.warnings += inner.warnings
        plain = [one for one in inner.texts if one.get_content_type() == "text/plain"]
        rich = [one for one in inner.texts if one.get_content_type() == "text/html"]
        if plain and rich:
            said, all_said = (sum(len(_WORD.findall(_body(one)[0])) for one in parts) for parts in (plain, rich))
            tables = any("<th" in _body(one)[1].lower() for one in rich)
            self.texts += rich if tables or said < 0.5 * all_said else plain
        else:
            self.texts += plain or rich or inner.texts[-1:]


def _children(part: Message) -> Iterator[Message]:
    payload = part.get_payload()
    return iter(cast("list[Message]", payload)) if isinstance(payload, list) else iter(())


def _bytes(part: Message) -> bytes:
    try:
        payload = part.get_payload(decode=True)
    except (ValueError, LookupError, AssertionError):
        payload = None
    if isinstance(payload, bytes):
        return payload
    inner = part.get_payload()
    return inner.encode("utf-8", "surrogateescape") if isinstance(inner, str) else b""


def _body(part: Message) -> tuple[str, str]:
    """The text as it reads, and as it is written."""
    charset = part.get_param("charset")
    text = decode(_bytes(part), charset if isinstance(charset, str) else None)
    if part.get_content_type() == "text/html":
        from hausgeist.knowledge.parse.web.elements import pieces, root_of

        # The beginning is enough to see how much it says.
        root = root_of(text[:_COMPARED])
        found = pieces(root) if root is not None else []
        return " ".join(filter(None, (piece.text or " ".join(" ".join(row) for row in piece.rows) for piece in found))), text
    return text[:_COMPARED], text


def _add_body(draft: Draft, part: Message) -> None:
    if part.get_content_type() == "text/html":
        from hausgeist.knowledge.parse.web.html import add_html

        add_html(draft, _body(part)[1])
    else:
        text = _body(part)[1]
        if str(part.get_param("format", "")).lower() == "flowed":
            text = re.sub(r"(?<=\S) \r?\n(?!>|-- ?\r?\n)", " ", text)
        # Marks of quotation would stand in the middle of every sentence that goes on over a line.
        add_text(draft, _QUOTE.sub("", text))


def _attach(draft: Draft, part: Message) -> None:
    if part.get_content_type() == "message/rfc822" and (inner := next(_children(part), None)) is not None:
        try:
            # Some programs pack an attached mail as if it were any file, which it must not be.
            packed = str(part.get("Content-Transfer-Encoding", "")).strip().lower() == "base64" and not inner.keys()
            data = base64.b64decode(_bytes(inner)) if packed else inner.as_bytes()
        except (UnicodeError, LookupError, KeyError, TypeError, AttributeError, ValueError):
            draft.warn("A mail attached to this mail is damaged and was left out.")
            return
        add_attachment(draft, data, _name(part) or f"{_header(inner, 'Subject')[:80] or 'mail'}.eml")
        return
    add_attachment(draft, _bytes(part), _name(part) or "unnamed")


def _name(part: Message) -> str:
    try:
        return _decoded(part.get_filename() or "")
    except (ValueError, LookupError, TypeError):
        return ""


def _header(message: Message, name: str) -> str:
    return next((" ".join(_decoded(value).split()) for value in _values(message, name)), "")


def _values(message: Message, name: str) -> list[str]:
    """As they stand in the mail: what the library makes of bytes without an encoding cannot be read again."""
    return [str(value) for key, value in message.raw_items() if key.lower() == name.lower()]


def _decoded(value: str) -> str:
    try:
        parts = decode_header(value)
    except (ValueError, LookupError, email.errors.MessageError):
        return value
    texts = []
    for text, charset in parts:
        if isinstance(text, bytes):
            texts.append(decode(text, None if charset in {None, "unknown-8bit"} else charset))
        else:
            texts.append(decode(text.encode("utf-8", "surrogateescape")) if any("\udc80" <= character <= "\udcff" for character in text) else text)
    return "".join(texts)


def _people(message: Message, name: str) -> str:
    # Addresses are taken apart before their names are decoded: a name may hold a comma.
    values = _values(message, name)
    try:
        found = email.utils.getaddresses(values)
    except (ValueError, IndexError, TypeError):
        found = []
    people = [shown_address(_decoded(person), address) for person, address in found if person or address]
    return ", ".join(people) if people else " ".join(map(_decoded, values))
