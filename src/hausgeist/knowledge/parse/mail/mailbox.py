"""Mailboxes (MBOX): each mail is a page called by its subject and date, its attachments are pages after it."""

from __future__ import annotations

import re
from collections.abc import Iterator

from hausgeist.knowledge.parse.base import Draft, Limits, Source, Unreadable, content
from hausgeist.knowledge.parse.mail.message import read_message
from hausgeist.knowledge.parsed import Parsed

__all__ = ["read"]

MEDIA_TYPE = "application/mbox"

_FROM = re.compile(rb"(?:\A|(?<=\n))From [^\r\n]*\r?\n(?=[!-9;-~]+[ \t]*:)")
_ESCAPED = re.compile(rb"^>(>*From )", re.MULTILINE)


def read(source: Source, filename: str, limits: Limits) -> Parsed:
    """The text of all mails, in their order."""
    draft = Draft(limits)
    count = 0
    for number, data in enumerate(_mails(content(source, limits)), 1):
        if draft.full:
            break
        try:
            parsed = read_message(data, limits.within(characters=draft.left))
        except Unreadable as error:
            draft.warn(f"Mail {number} was left out. {error.message}")
            continue
        except (ValueError, LookupError, TypeError, AttributeError, RecursionError):
            # The library that reads mails trips over some broken ones; the others of the mailbox are no worse for it.
            draft.warn(f"Mail {number} is damaged and was left out.")
            continue
        count += 1
        draft.embed(parsed, f"{number}" if parsed.title else f"{number} (no subject)")
    if not count:
        raise Unreadable("There is no mail in the mailbox that can be read.")
    return draft.parsed(MEDIA_TYPE, guess=False, properties={"mails": str(count)})


def _mails(data: bytes) -> Iterator[bytes]:
    starts = [(match.start(), match.end()) for match in _FROM.finditer(data)]
    for place, (_, start) in enumerate(starts):
        end = starts[place + 1][0] if place + 1 < len(starts) else len(data)
        yield _ESCAPED.sub(rb"\1", data[start:end])
