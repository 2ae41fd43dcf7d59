"""Reading pictures of text with Tesseract, where it is installed: which languages there are, and words with their places.

Pixels count from the top left. The program is started within the parser process, so it has no network either, reads the picture from a pipe and
writes what it has read into another.
"""

from __future__ import annotations

import functools
import os
import shutil
import subprocess
import sys
from collections.abc import Mapping, Sequence
from contextvars import ContextVar
from dataclasses import dataclass
from pathlib import Path

__all__ = ["LANGUAGES", "Word", "installed", "languages", "missing", "package", "preferred", "recognise"]

LANGUAGES: Mapping[str, str] = {
    "ar": "ara", "bg": "bul", "ca": "cat", "cs": "ces", "da": "dan", "de": "deu", "el": "ell", "en": "eng", "es": "spa", "et": "est", "eu": "eus",
    "fa": "fas", "fi": "fin", "fr": "fra", "he": "heb", "hi": "hin", "hr": "hrv", "hu": "hun", "id": "ind", "it": "ita", "ja": "jpn", "ko": "kor",
    "lt": "lit", "lv": "lav", "nl": "nld", "no": "nor", "pl": "pol", "pt": "por", "ro": "ron", "ru": "rus", "sk": "slk", "sl": "slv", "sq": "sqi",
    "sr": "srp", "sv": "swe", "th": "tha", "tr": "tur", "uk": "ukr", "vi": "vie", "zh": "chi_sim",
}  # fmt: skip
"""ISO 639-1 -> what Tesseract calls it."""

_SCRIPTS: Mapping[str, tuple[str, ...]] = {
    "Latin": (),
    "Fraktur": ("deu_latf", "deu_frak", "frk", "deu"),
    "Cyrillic": ("rus", "ukr", "bul", "srp"),
    "Greek": ("ell",),
    "Arabic": ("ara", "fas"),
    "Hebrew": ("heb",),
    "Devanagari": ("hin",),
    "Thai": ("tha",),
    "Han": ("chi_sim", "chi_tra", "jpn"),
    "Japanese": ("jpn",),
    "Hangul": ("kor",),
    "Korean": ("kor",),
}
"""The script as Tesseract names it -> packs that read it."""
_NOT_LATIN = frozenset(pack for packs in _SCRIPTS.values() for pack in packs) - {"deu"}
_SCRIPT_PACK = "osd"
"""It tells scripts; Debian installs it with Tesseract."""
_NO_LANGUAGES = frozenset({_SCRIPT_PACK, "equ"})
_SURE = 2.0
"""Confidence from which the script that Tesseract sees is believed."""
_MOST_PACKS = 3
"""Each further pack makes it slower and, on text in the first language, no better."""
_SECONDS = 90.0
_LEAST_CONFIDENCE = 10.0
"""Of 100; words below are specks."""
_MOST_OUTPUT = 16 << 20

preferred: ContextVar[Sequence[str]] = ContextVar("preferred", default=())
"""Packs to use, by the settings; none: those installed, chosen by the script that is seen."""

_LAUNCH = "import os,runpy,sys\nrunpy.run_path(sys.argv[2])['die_with_parent'](int(sys.argv[1]))\nos.execv(sys.argv[3],sys.argv[3:])"
"""In between, so that it ends with the process that asked. Run by its path: where packages are looked for, a confined process cannot list."""


_SANDBOX = Path(__file__).parents[2] / "sandbox" / "process.py"


class _Failed(Exception):
    """Tesseract did not do it. The message is what it said."""


@dataclass(frozen=True, slots=True)
class Word:
    """A word as it was recognised: `line` tells words of one line from those of another, `block` blocks."""

    text: str
    left: float
    top: float
    right: float
    bottom: float
    block: int
    paragraph: int
    line: int
    confidence: float


def installed() -> bool:
    """Whether Tesseract is there."""
    return shutil.which("tesseract") is not None


def languages() -> list[str]:
    """The language packs that are installed, as Tesseract calls them, sorted; empty without Tesseract."""
    program = shutil.which("tesseract")
    return [pack for pack in _packs(program, _folder()) if pack not in _NO_LANGUAGES] if program else []


def missing(wanted: Sequence[str]) -> dict[str, str]:
    """Of these languages (ISO 639-1, or Tesseract's own), those that cannot be read yet -> the Debian package that would help."""
    there = set(languages())
    packs = {language: LANGUAGES.get(language, language) for language in wanted}
    return {language: package(pack) for language, pack in packs.items() if pack not in there}


def package(pack: str = "") -> str:
    """The Debian package of a language pack; of Tesseract itself (with English) without one."""
    return f"tesseract-ocr-{pack.lower().replace('_', '-')}" if pack and pack != "eng" else "tesseract-ocr"


@functools.lru_cache(maxsize=4)
def _packs(program: str, folder: str) -> tuple[str, ...]:
    """All packs, those that are no language too. `folder`: where they are looked for, where that is set."""
    try:
        done = subprocess.run([program, "--list-langs"], capture_output=True, text=True, timeout=20, check=False, stdin=subprocess.DEVNULL)
    except (OSError, subprocess.SubprocessError):
        return ()
    names = (line.strip() for line in (done.stdout or done.stderr).splitlines()[1:])
    return tuple(sorted(name for name in names if name and "/" not in name))


def recognise(png: bytes, *, seconds: float = _SECONDS, dpi: int = 0) -> tuple[list[Word], list[str]]:
    """The words of a picture (PNG, or anything that Tesseract reads) in reading order, and sentences about what would make it better.

    Raises `TimeoutError` when it takes longer than `seconds` (by the clock)."""
    program = shutil.which("tesseract")
    if program is None:
        return [], [f"Pictures of text were not read; install {package()} (Debian's name) to read them."]
    there = languages()
    if not there:
        return [], [f"Pictures of text were not read, because Tesseract has no language; install {package()} (Debian's name) to read them."]
    packs, sentences = _choice(program, png, there)
    if not packs:
        return [], sentences
    arguments = ["-", "-", "-l", "+".join(packs), "--psm", "3", *(["--dpi", str(dpi)] if dpi else []), "tsv"]
    try:
        return _words(_run(program, arguments, png, seconds)), sentences
    except _Failed as error:
        return [], [*sentences, f"A picture of text was not read; Tesseract said: {error}"]


def _choice(program: str, png: bytes, there: list[str]) -> tuple[list[str], list[str]]:
    """Packs to read a picture with."""
    if wanted := list(preferred.get()):
        packs = [LANGUAGES.get(name, name) for name in wanted]
        absent = [package(pack) for pack in packs if pack not in there]
        sentences = [f"To read pictures of text in all languages of the settings, install {', '.join(absent)} (Debian's names)."] if absent else []
        return [pack for pack in packs if pack in there], sentences
    latin = [pack for pack in there if pack not in _NOT_LATIN and pack in LANGUAGES.values()]
    latin.sort(key=lambda pack: (pack != "eng", pack != "deu", pack))
    script = _script(program, png)
    if not (readers := _SCRIPTS.get(script, ())):
        return latin[:_MOST_PACKS] or there[:1], []
    found = [pack for pack in readers if pack in there][:2]
    if not found:
        return [], [f"A picture of text in {script} script was not read; install {package(readers[0])} (Debian's name) to read it."]
    return found + [pack for pack in ("eng",) if pack in there and script not in {"Fraktur"}], []


def _folder() -> str:
    return os.environ.get("TESSDATA_PREFIX", "")


def _script(program: str, png: bytes) -> str:
    """The script that most of a picture is written in; empty where it is not clear."""
    if _SCRIPT_PACK not in _packs(program, _folder()):
        return ""
    try:
        said = _run(program, ["-", "-", "--psm", "0"], png, 20.0)
    except (TimeoutError, _Failed):
        return ""
    told = dict(line.split(": ", 1) for line in said.splitlines() if ": " in line)
    try:
        return told["Script"].strip() if float(told["Script confidence"]) >= _SURE else ""
    except (KeyError, ValueError):
        return ""


def _run(program: str, arguments: list[str], png: bytes, seconds: float) -> str:
    command = [program, *arguments]
    if sys.platform == "linux":
        command = [sys.executable, "-S", "-P", "-c", _LAUNCH, str(os.getpid()), str(_SANDBOX), *command]
    environment = {**os.environ, "OMP_THREAD_LIMIT": "1"}
    try:
        done = subprocess.run(command, input=png, capture_output=True, timeout=seconds, check=False, env=environment)
    except subprocess.TimeoutExpired as error:
        raise TimeoutError from error
    except OSError as error:
        raise _Failed(str(error)) from error
    if done.returncode:
        lines = done.stderr[-2000:].decode("utf-8", "replace").split("\n")
        raise _Failed(next((line.strip() for line in reversed(lines) if line.strip()), f"exit code {done.returncode}"))
    return done.stdout[:_MOST_OUTPUT].decode("utf-8", "replace")


def _words(table: str) -> list[Word]:
    """Words of Tesseract's TSV: level page block paragraph line word left top width height confidence text."""
    words = []
    for row in table.splitlines()[1:]:
        cells = row.split("\t", 11)
        if len(cells) != 12 or cells[0] != "5" or not (text := cells[11].strip()):
            continue
        try:
            _, _, block, paragraph, line, _, left, top, width, height = (int(cell) for cell in cells[:10])
            confidence = float(cells[10])
        except ValueError:
            continue
        if confidence >= _LEAST_CONFIDENCE:
            words.append(Word(text, left, top, left + width, top + height, block, paragraph, line, confidence))
    return words
