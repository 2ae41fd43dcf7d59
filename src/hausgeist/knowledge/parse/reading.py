"""A file becomes a `Parsed`: its format is found in its content, and the reader of that format is loaded and called."""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import replace
from importlib import import_module
from pathlib import Path, PurePath
from tempfile import TemporaryDirectory
from typing import cast

from hausgeist.errors import shown
from hausgeist.knowledge.parse.base import Limits, Source, Unreadable
from hausgeist.knowledge.parse.detect import HEAD, detect, head_of
from hausgeist.knowledge.parse.formats import READERS
from hausgeist.knowledge.parsed import Parsed

__all__ = ["PARSER", "read"]

_log = logging.getLogger(__name__)

PARSER: str = "1"
"""The version of all readers together: it changes when one of them makes something else of the same file."""

_ON_DISK = ("application/pdf", "image/")
"""Formats whose libraries want a file; what is attached to a mail is put into one for them, in the folder for temporary files."""

_Reader = Callable[[Source, str, Limits], Parsed]


def read(path: Source, filename: str, limits: Limits) -> Parsed:
    """What is written in a file; blocks, and runs in this process. `filename` is what people call it, the path may be called anything.

    Raises `Unreadable`, with a sentence that says why and what to do, and nothing else.
    """
    filename = PurePath(filename.replace("\\", "/")).name
    source: Source = path
    if isinstance(path, Path) and len(head := head_of(path)) < HEAD <= limits.file:
        source = head  # It is all of the file, which is read once then.
    media_type = detect(source, filename, limits)
    module, _, function = READERS[media_type].partition(":")
    try:
        reader = cast(_Reader, getattr(import_module(module), function))
    except ImportError as error:
        raise Unreadable(f"The reader of {media_type} is not installed ({shown(str(error))}); install Hausgeist again.") from error
    try:
        if isinstance(path, bytes) and media_type.startswith(_ON_DISK):
            parsed = _from_disk(reader, path, filename, limits)
        else:
            parsed = reader(path if media_type.startswith(_ON_DISK) else source, filename, limits)
    except Unreadable:
        raise
    except (MemoryError, RecursionError) as error:
        raise Unreadable("The file is too large or too deeply nested to be read; split it into smaller ones.") from error
    except Exception as error:
        # A reader that trips over a damaged file must not take the batch with it; the log says where it tripped.
        _log.warning("The reader of %s failed.", media_type, exc_info=True)
        reason = shown(f"{type(error).__name__}: {error}", 200)
        raise Unreadable(f"The file looks like {media_type}, but is damaged ({reason}). Open it in its program and save it again.") from error
    return _said(parsed)


def _said(parsed: Parsed) -> Parsed:
    """A file without text says so: otherwise nobody would know why it is never found."""
    if parsed.blocks or parsed.warnings:
        return parsed
    return replace(parsed, warnings=("There is no text in the file.",))


def _from_disk(reader: _Reader, data: bytes, filename: str, limits: Limits) -> Parsed:
    with TemporaryDirectory(prefix="attached-", ignore_cleanup_errors=True) as folder:
        # Its own name could be one that the system does not take; the content says what it is.
        path = Path(folder) / "attached"
        path.write_bytes(data)
        return reader(path, filename, limits)
