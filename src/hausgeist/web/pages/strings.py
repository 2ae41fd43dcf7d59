"""What the pages say, in each language: `locales/<language>/<area>.json`, and which language a browser is answered in.

A text is a string with {names} to be filled in, or, where a number decides, an object of plural forms ("one", "other") for the scripts.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from functools import cache
from importlib.resources import files
from typing import Final

__all__ = ["LANGUAGES", "Text", "area", "areas", "negotiate", "say"]

LANGUAGES: Final[Mapping[str, str]] = {"en": "English", "de": "Deutsch", "es": "Español", "fr": "Français", "zh": "中文"}
"""By what they call themselves. The first is what people get who read none of them."""

Text = str | dict[str, str]

_FOLDER = files("hausgeist.web") / "locales"
_LONGEST_HEADER = 500


@cache
def area(language: str, name: str) -> Mapping[str, Text]:
    """The texts of one area (common, chat, ...) by their keys, which begin with its name: "chat.send"."""
    texts: dict[str, Text] = json.loads((_FOLDER / language / f"{name}.json").read_text("utf-8"))
    return {f"{name}.{key}": text for key, text in texts.items()}


def areas() -> list[str]:
    """All there are, by the English files."""
    return sorted(file.name.removesuffix(".json") for file in (_FOLDER / "en").iterdir() if file.name.endswith(".json"))


def say(language: str, key: str, **values: object) -> str:
    """A text for a template. Raises `KeyError` for one that is not there: tests look at every page in every language."""
    text = area(language, key.partition(".")[0])[key]
    assert isinstance(text, str), f"{key} depends on a number; scripts say it"
    for name, value in values.items():
        text = text.replace(f"{{{name}}}", str(value))
    return text


def negotiate(accepted: str, chosen: str = "") -> str:
    """`chosen` by the person, else the first language of the Accept-Language header (RFC 9110, 12.5.4) that is here."""
    if chosen in LANGUAGES:
        return chosen
    wanted: list[tuple[float, int, str]] = []
    for place, part in enumerate(accepted[:_LONGEST_HEADER].split(",")):
        name, _, parameter = part.strip().partition(";")
        weight = parameter.strip().removeprefix("q=") if parameter else "1"
        try:
            wanted.append((-float(weight), place, name.strip().lower()))
        except ValueError:
            continue
    for weight_, _, name in sorted(wanted):
        language = name.partition("-")[0]
        if weight_ < 0 and language in LANGUAGES:
            return language
    return next(iter(LANGUAGES))
