"""What `hausgeist doctor` says about documents: which formats are read here, and which scans are not."""

from __future__ import annotations

import importlib.util
import os
from collections.abc import Iterator, Mapping
from typing import Final, Literal

__all__ = ["check", "wanted_languages"]

_FORMATS: Final = {
    "pypdfium2": "PDF",
    "python_calamine": "Excel",
    "trafilatura": "web pages",
}
"""By the library that reads them; every other format needs none."""
_NAMES: Final = {
    "ar": "Arabic", "bg": "Bulgarian", "cs": "Czech", "da": "Danish", "de": "German", "el": "Greek", "en": "English", "es": "Spanish",
    "fi": "Finnish", "fr": "French", "he": "Hebrew", "hi": "Hindi", "hu": "Hungarian", "it": "Italian", "ja": "Japanese", "ko": "Korean",
    "nl": "Dutch", "no": "Norwegian", "pl": "Polish", "pt": "Portuguese", "ro": "Romanian", "ru": "Russian", "sv": "Swedish",
    "th": "Thai", "tr": "Turkish", "uk": "Ukrainian", "zh": "Chinese",
}  # fmt: skip


def check() -> Iterator[tuple[Literal["ok", "warn"], str, str]]:
    """Status, what was found, advice."""
    from hausgeist.knowledge.parse import ocr

    lost = [what for library, what in _FORMATS.items() if importlib.util.find_spec(library) is None]
    there = ", ".join(what for library, what in _FORMATS.items() if importlib.util.find_spec(library) is not None)
    yield "ok", f"read: {there}, Word and PowerPoint (also the old ones), OpenDocument, RTF, mails, EPUB, Markdown, CSV, JSON, text", ""
    if lost:
        yield "warn", f"not read, as a library is missing: {', '.join(lost)}", "install hausgeist again: 'pip install --force-reinstall hausgeist'"
    if not ocr.installed():
        wanted = [ocr.package(), *(name for name in ocr.missing(wanted_languages(os.environ)).values() if name != ocr.package())]
        yield "warn", "scans and pictures of text are not read: Tesseract is not installed", f"apt install {' '.join(dict.fromkeys(wanted))}"
        return
    yield "ok", f"scans are read by Tesseract: {', '.join(ocr.languages()) or 'no languages'}", ""
    for language, package in ocr.missing(wanted_languages(os.environ)).items():
        yield "warn", f"scans in {_NAMES.get(language, language)} are read badly, without its letters", f"apt install {package}"


def wanted_languages(environment: Mapping[str, str]) -> list[str]:
    """ISO 639-1 codes: those of this user's locale, and English."""
    named = [part for name in ("LANGUAGE", "LC_ALL", "LC_MESSAGES", "LANG") for part in environment.get(name, "").split(":")]
    codes = [one.partition(".")[0].partition("_")[0].lower() for one in named]
    return list(dict.fromkeys([*(one for one in codes if len(one) == 2), "en"]))
