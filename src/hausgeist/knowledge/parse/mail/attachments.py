"""What is attached to a mail, read like any other file; and how mails name people and times."""

from __future__ import annotations

import email.utils
from datetime import UTC

from hausgeist.errors import shown
from hausgeist.knowledge.parse.base import Draft, Unreadable
from hausgeist.knowledge.parse.reading import read

__all__ = ["add_attachment", "shown_address", "shown_date"]


def add_attachment(draft: Draft, data: bytes, name: str) -> None:
    """A file within a mail becomes pages that carry its name. One that cannot be read is named in a warning; the mail is read all the same."""
    if draft.full:
        return
    label = shown(" ".join(name.split()), 100) or "attachment"
    if draft.limits.depth <= 0:
        draft.warn(f"The attachment '{label}' was left out: it is a file within a file within a file.")
        return
    try:
        parsed = read(data, name, draft.limits.within(characters=draft.left))
    except Unreadable as error:
        draft.warn(f"The attachment '{label}' was left out. {error.message}")
        return
    if parsed.blocks:
        draft.embed(parsed, label)
    else:
        for sentence in parsed.warnings:
            draft.warn(f"{label}: {sentence}")


def shown_address(name: str, address: str) -> str:
    """A person as `Name <address>`."""
    name = " ".join(name.split()).strip("'\"")
    return f"{name} <{address}>" if name and address and name != address else name or address


def shown_date(value: str) -> str:
    """A date of a mail as `2026-03-01 14:30 +0100`; as it stands, when it is none."""
    try:
        moment = email.utils.parsedate_to_datetime(value)
        return f"{moment:%Y-%m-%d %H:%M}" + (f" {moment:%z}" if moment.tzinfo not in {None, UTC} else "")
    except (ValueError, TypeError, IndexError, OverflowError):
        return value
