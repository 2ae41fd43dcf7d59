"""How models are called: `name[:tag]`, where the name may have folders (`owner/name`). One value type, parsed at the border.

As in Ollama, upper and lower case are one, `x` is `x:latest`, and the first of several parts may be a host with a port
(`localhost:5000/owner/name`). Which registry a name points to is not decided here.
"""

from __future__ import annotations

import re
import unicodedata
from dataclasses import dataclass
from typing import Final

from hausgeist.errors import InvalidRequest, shown

__all__ = ["DEFAULT_TAG", "Name"]

DEFAULT_TAG: Final = "latest"

_MAX_NAME: Final = 350
_MAX_SEGMENT: Final = 128
_MAX_SEGMENTS: Final = 4
_SEGMENT: Final = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]*")
_HOST: Final = re.compile(r"(?P<host>[^:]*):(?P<port>[1-9][0-9]{0,4})")
_UNFIT: Final = re.compile(r"[^A-Za-z0-9_.-]+")
_DOTS: Final = re.compile(r"\.{2,}")


@dataclass(frozen=True, slots=True)
class Name:
    """`path` is all before the tag, in the case it was written in. Two names mean one model when their `key` is equal."""

    path: str
    tag: str = DEFAULT_TAG

    @classmethod
    def parse(cls, text: str) -> Name:
        """Raises `InvalidRequest` saying what is wrong; nothing that could climb out of a folder or break a line gets through."""
        if not text:
            raise InvalidRequest("The name of the model is empty.", param="model")
        if len(text) > _MAX_NAME:
            raise InvalidRequest(f"The name of a model has at most {_MAX_NAME} characters, this one has {len(text)}.", param="model")
        head, slash, last = text.rpartition("/")
        last, colon, tag = last.partition(":")
        path = head + slash + last
        segments = path.split("/")
        if len(segments) > _MAX_SEGMENTS:
            raise InvalidRequest(f"'{shown(text)}' has more than {_MAX_SEGMENTS} parts between slashes.", param="model")
        if len(segments) > 1 and (host := _HOST.fullmatch(segments[0])) and int(host["port"]) < 2**16:
            segments[0] = host["host"]
        for segment in (*segments, tag) if colon else segments:
            _check(segment, text)
        return cls(path, tag or DEFAULT_TAG)

    @classmethod
    def from_stem(cls, stem: str) -> Name:
        """The name of a file, with accents dropped and what no name can hold turned into dashes: 'Größe (1)' is 'Gro-e-1'."""
        plain = "".join(letter for letter in unicodedata.normalize("NFKD", stem) if not unicodedata.combining(letter))
        fit = _DOTS.sub(".", _UNFIT.sub("-", plain))[:_MAX_SEGMENT].strip("-.")
        if not fit:
            raise InvalidRequest(f"No name can be made of the file name '{shown(stem)}'; give one: [models.NAME] with its path in hausgeist.toml.")
        return cls(fit)

    @property
    def key(self) -> str:
        """For comparing: lower case, with the tag."""
        return f"{self.path}:{self.tag}".lower()

    def __str__(self) -> str:
        """As people write it: without the tag where it is the usual one."""
        return self.path if self.tag.lower() == DEFAULT_TAG else f"{self.path}:{self.tag}"


def _check(segment: str, text: str) -> None:
    if not _SEGMENT.fullmatch(segment) or ".." in segment:
        raise InvalidRequest(
            f"'{shown(text)}' is no name for a model: letters, digits, '-', '_' and '.' make a name, "
            "with '/' between its parts and ':' before a tag (gemma3:4b, owner/name:tag).",
            param="model",
        )
    if len(segment) > _MAX_SEGMENT:
        raise InvalidRequest(f"A part of a model's name has at most {_MAX_SEGMENT} characters, '{shown(segment)}' has {len(segment)}.", param="model")
