"""Text from models, model files and servers, made harmless for a terminal.

A model's answer may contain escape sequences: they could rewrite the screen, the window title or the clipboard, or hide text. Every control
character except newline and tab is shown as a visible sign instead. Works character by character, so a sequence split over two chunks is caught.
"""

from __future__ import annotations

__all__ = ["neutralise", "one_line"]

_KEPT = {"\n", "\t"}
_TABLE: dict[int, str | None] = {code: chr(0x2400 + code) for code in range(0x20) if chr(code) not in _KEPT}
_TABLE[0x0D] = None  # a carriage return overwrites the line; before a newline it says nothing
_TABLE[0x7F] = "\u2421"
_TABLE |= dict.fromkeys(range(0x80, 0xA0), "\ufffd")  # C1: one-byte escape sequences
_TABLE |= dict.fromkeys((*range(0x202A, 0x202F), *range(0x2066, 0x206A)), "\ufffd")  # bidirectional overrides hide what text says
_TABLE |= dict.fromkeys((0x2028, 0x2029), "\n")
_TABLE |= dict.fromkeys(range(0xD800, 0xE000), "\ufffd")  # lone surrogates cannot be written


def neutralise(text: str) -> str:
    """The text with control characters made visible; newlines and tabs stay."""
    return text.translate(_TABLE)


def one_line(text: str) -> str:
    """The same on one line, for cells of tables and error messages."""
    return " ".join(neutralise(text).split())
