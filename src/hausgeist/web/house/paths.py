"""Paths of this machine in answers: where files lie is for those who may look for more of them; others are told what the files are called."""

from __future__ import annotations

import re
from pathlib import PurePosixPath, PureWindowsPath
from typing import Final

from hausgeist.identity import Principal
from hausgeist.web.parts import Parts

__all__ = ["called", "may_see_paths", "without_folders"]

_PATH: Final = r"(?:file:/{1,3}|[A-Za-z]:[\\/]|/|\\\\|~\w*[\\/])"
# Within quotation marks a path may hold spaces, and an apostrophe within a word ends nothing.
_QUOTED: Final = re.compile(rf"""(?<=(['"])){_PATH}(?:(?!\1(?!\w))[^\n])+(?=\1)""")
# What follows a letter or another slash is part of an address or a model's name, and no path.
_BARE: Final = re.compile(rf"""(?<![\w/\\.-])(?!(?<=:)//){_PATH}(?:[^\s'"<>|]|'(?=\w))+""")
_MARKS: Final = ".,:;!?)]"


def may_see_paths(parts: Parts, who: Principal) -> bool:
    """Whether this person may look for files of this machine."""
    return parts.governor.decide(who, "model.adopt").allowed


def called(source: str) -> str:
    """A source without the folders on this machine."""
    if source.startswith("file:"):
        return PurePosixPath(source).name
    for kind in (PurePosixPath, PureWindowsPath):
        if kind(source).is_absolute() or source.startswith("~"):
            return kind(source).name
    return source


def without_folders(text: str) -> str:
    """A sentence without the folders of the paths in it."""
    return _BARE.sub(lambda found: _name(found.group()), _QUOTED.sub(lambda found: _name(found.group()), text))


def _name(path: str) -> str:
    bare = path.rstrip(_MARKS)
    return re.split(r"[\\/]", bare.rstrip("\\/"))[-1] + path[len(bare) :]
