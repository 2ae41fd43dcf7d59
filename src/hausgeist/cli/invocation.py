"""How this program is started here, for lines that people copy: from a clone nothing is on the PATH."""

from __future__ import annotations

import shlex
import shutil
import sys
from pathlib import Path

__all__ = ["command"]

_NAME = "hausgeist"


def command() -> str:
    """The word, or words, that start this installation in this folder: `hausgeist` where that is what the shell would find."""
    here = Path(sys.executable).parent
    script = Path(sys.argv[0]) if Path(sys.argv[0]).stem == _NAME else here / _NAME
    found = shutil.which(_NAME)
    if found is not None and (_same(Path(found), script) or Path(found).parent == here):
        return _NAME
    if script.is_file():
        return _shown(script)
    return f"{_shown(Path(sys.executable))} -m {_NAME}"


def _same(one: Path, other: Path) -> bool:
    try:
        return one.samefile(other)
    except OSError:
        return False


def _shown(path: Path) -> str:
    """From here where it lies below, so that it is short; with its folder, so that no PATH is searched."""
    absolute, here = path.absolute(), Path.cwd()
    below = absolute.is_relative_to(here) and absolute.parent != here
    return shlex.quote(str(absolute.relative_to(here) if below else absolute))
