"""Reads what people wrote for the guide: the sheet (what a right answer contains), the corpus (how it is asked for), what it declines, and code.

All are plain text, in blocks that an empty line separates; the folders' README says how.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

__all__ = ["LANGUAGES", "Intent", "code", "commands", "declined", "intents", "slots"]

HERE = Path(__file__).parent
LANGUAGES = ("en", "de", "es", "fr", "zh")
_COMMAND = re.compile(r"\bhausgeist (?:(?:-h|--help|--version)\b|(?:(?:engine|user|key|project|cert) )?[a-z][a-z-]*)")


@dataclass
class Intent:
    """One thing that a person may want to know. `facts`: in a right answer one of each tuple occurs, whatever its language."""

    id: str
    about: str = ""
    facts: list[tuple[str, ...]] = field(default_factory=list)
    answers: dict[str, str] = field(default_factory=dict)
    questions: dict[str, list[str]] = field(default_factory=dict)
    declines: bool = False
    near: bool = False
    """Close to what the guide knows, and yet not known to it."""

    @property
    def allowed(self) -> set[str]:
        """Commands that an answer may name."""
        return {command for answer in self.answers.values() for command in commands(answer)}


def commands(text: str) -> set[str]:
    """The commands of Hausgeist that a text names, without what follows them: `hausgeist key create`."""
    return set(_COMMAND.findall(text))


def intents(folder: Path = HERE) -> dict[str, Intent]:
    """All that the guide knows, by id. Raises `ValueError` for a block that cannot be read, or that names what the sheet does not have."""
    found: dict[str, Intent] = {}
    for file in sorted((folder / "sheet").glob("*.txt")):
        for name, lines in _blocks(file):
            if name in found:
                raise ValueError(f"{file.name}: {name} is there twice")
            intent = found[name] = Intent(name)
            for line in lines:
                kind, text = line[0], line[1:].strip()
                if kind == "?":
                    intent.about = text
                elif kind == ">":
                    intent.answers["en"] = text
                elif kind == "=":
                    intent.facts.append(tuple(one.strip().strip("`") for one in text.split("|")))
                else:
                    raise ValueError(f"{file.name}: {name}: {line!r} begins with none of ? > =")
    for language in LANGUAGES:
        for file in sorted((folder / "corpus" / language).glob("*.txt")):
            for name, lines in _blocks(file):
                if name not in found:
                    raise ValueError(f"{file}: the sheet has no {name}")
                answers = [line[1:].strip() for line in lines if line.startswith(">")]
                if answers:
                    found[name].answers[language] = answers[0]
                found[name].questions.setdefault(language, []).extend(line for line in lines if not line.startswith(">"))
    return found


def declined(folder: Path = HERE) -> dict[str, Intent]:
    """Kinds of questions that the guide does not answer, with how it says so and where it points."""
    found: dict[str, Intent] = {}
    for file in (folder / "corpus" / "off-topic.txt", folder / "corpus" / "near-topic.txt"):
        for name, lines in _blocks(file):
            intent = found.setdefault(name, Intent(name, declines=True, near=file.stem == "near-topic"))
            for line in lines:
                into, text = (intent.answers, line[1:]) if line.startswith(">") else (None, line)
                language, colon, text = text.strip().partition(":")
                if not colon or language not in LANGUAGES:
                    raise ValueError(f"{file.name}: {name}: {line!r} names no language")
                if into is not None:
                    into[language] = text.strip()
                else:
                    intent.questions.setdefault(language, []).append(text.strip())
    return found


def slots(folder: Path = HERE) -> dict[str, dict[str, dict[str, list[str]]]]:
    """What is declined, by combination: kind of question -> language -> `noun`s, and `frame`s with {x} for one of them, or {x} and {y} for two."""
    found: dict[str, dict[str, dict[str, list[str]]]] = {}
    for file in (folder / "corpus" / name for name in ("slots.txt", "off-slots.txt", "near-slots.txt")):
        for name, lines in _blocks(file):
            for line in lines:
                match = re.fullmatch(r"(\w\w): (noun|frame) (.+)", line)
                if match is None:
                    raise ValueError(f"{file.name}: {name}: {line!r} is neither a noun nor a frame of a language")
                found.setdefault(name, {}).setdefault(match[1], {}).setdefault(match[2], []).append(match[3])
    return found


def code(folder: Path = HERE) -> list[str]:
    """Short pieces of Python."""
    text = (folder / "corpus" / "code.py.txt").read_text(encoding="utf-8")
    return [piece.strip("\n") for piece in re.split(r"(?m)^# ---\s*$", text) if piece.strip()]


def _blocks(file: Path) -> Iterator[tuple[str, list[str]]]:
    name, lines = "", []
    for number, raw in enumerate(file.read_text(encoding="utf-8").splitlines(), 1):
        line = raw.strip()
        if line.startswith("# "):
            if name:
                yield name, lines
            name, lines = line[2:].strip(), []
        elif line:
            if not name:
                raise ValueError(f"{file.name}:{number}: comes before any '# name'")
            lines.append(line)
    if name:
        yield name, lines
