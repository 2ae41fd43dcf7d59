"""Numbers as a sheet shows them: dates, percentages, decimals and currencies, as far as they can be told from the format of the cell.

Digits are not grouped, so that a number is found by its digits whatever the country it was written in.
"""

from __future__ import annotations

import re
from datetime import datetime, timedelta

__all__ = ["shape_of", "shown"]

_BUILT_IN = {
    1: "0", 2: "0.00", 3: "#,##0", 4: "#,##0.00", 9: "0%", 10: "0.00%", 14: "yyyy-mm-dd", 15: "d-mmm-yy", 16: "d-mmm", 17: "mmm-yy", 18:
    "h:mm", 19: "h:mm:ss", 20: "h:mm", 21: "h:mm:ss", 22: "yyyy-mm-dd h:mm", 37: "#,##0", 38: "#,##0", 39: "#,##0.00", 40: "#,##0.00", 41:
    "#,##0", 42: "#,##0", 43: "#,##0.00", 44: "#,##0.00", 45: "mm:ss", 46: "[h]:mm:ss", 47: "mm:ss",
}  # fmt: skip
_LITERAL = re.compile(r'"[^"]*"|\\.|_.|\*.|\[(?!\$|h+\]|m+\]|s+\])[^\]]*\]', re.IGNORECASE)
_CURRENCY = re.compile(r"\[\$([^\]-]+)[^\]]*\]|([€$£¥])|\"\s*([€$£¥]|EUR|USD|CHF|GBP)\s*\"")
_EPOCH = datetime(1899, 12, 30)
_EPOCH_1904 = datetime(1904, 1, 1)


def shape_of(identifier: int, code: str | None) -> tuple[str, int, str]:
    """How values of a number format are shown: `date`, `time`, `datetime`, `span`, `percent`, `fixed` or `general`; decimals; currency."""
    code = code if code is not None else _BUILT_IN.get(identifier, "General")
    first = code.split(";")[0]
    currency = next((one for match in _CURRENCY.finditer(first) for one in match.groups() if one), "")
    plain = re.sub(r"\[\$[^\]]*\]", "", _LITERAL.sub("", first)).lower()
    if plain.strip() in {"", "general", "@", "standard"}:
        return "general", 0, currency
    if re.search(r"\[h+\]|\[m+\]|\[s+\]", plain):
        return "span", 0, ""
    day, clock = bool(re.search(r"[yd]|m{3,}|(?<![hs:])m(?!.*[s])(?!:)", plain)), bool(re.search(r"h|s|am/pm", plain))
    if (day or clock) and not re.search(r"[0#?]", plain.replace(".0", "").replace("ss.00", "")):
        return ("datetime" if day and clock else "date" if day else "time"), 0, ""
    match = re.search(r"[.,]([0#?]+)[^0#?,.]*$", plain) if "." in plain else None
    decimals = len(match.group(1)) if match else 0
    if "%" in plain:
        return "percent", decimals, ""
    return ("fixed" if re.search(r"[0#]", plain) and "e+" not in plain and "/" not in plain else "general"), decimals, currency


def shown(value: str, shape: tuple[str, int, str], *, from_1904: bool = False) -> str:
    """The text for the value of a cell, as the file has it."""
    kind, decimals, currency = shape
    try:
        number = float(value)
    except ValueError:
        return value
    if kind in {"date", "time", "datetime", "span"}:
        return _moment(number, kind, from_1904) or value
    if kind == "percent":
        text = f"{number * 100:.{min(decimals, 10)}f}%"
    elif kind == "fixed" and decimals and abs(number) < 1e15:
        text = f"{number:.{min(decimals, 10)}f}"
    else:
        text = _general(value, number)
        if kind == "fixed" and "." in text and abs(number) < 1e15:
            text = f"{number:.0f}"
    return f"{text} {currency.strip()}" if currency.strip() else text


def _general(value: str, number: float) -> str:
    """As few digits as give the number again, at most the 15 that spreadsheets know."""
    if abs(number) < 1e15 and number == int(number):
        return str(int(number))
    return f"{number:.15g}" if "." in value or "e" in value.lower() else value


def _moment(number: float, kind: str, from_1904: bool) -> str:
    if not -700_000 < number < 2_958_466:
        return ""
    if kind == "span":
        seconds = round(number * 86_400)
        return f"{seconds // 3600}:{seconds // 60 % 60:02d}:{seconds % 60:02d}" if seconds >= 0 else ""
    # Excel believes that 1900 was a leap year; days before that March are one less.
    shift = 1 if not from_1904 and 0 < number < 60 else 0
    try:
        moment = (_EPOCH_1904 if from_1904 else _EPOCH) + timedelta(days=shift, seconds=round((number) * 86_400))
    except OverflowError:
        return ""
    clock = f"{moment:%H:%M}" + (f":{moment:%S}" if moment.second else "")
    if kind == "time" or (kind == "datetime" and 0 <= number < 1):
        return clock
    return f"{moment:%Y-%m-%d}" + (f" {clock}" if kind == "datetime" else "")
