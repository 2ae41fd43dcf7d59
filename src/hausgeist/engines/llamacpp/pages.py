"""What of a model's files stays in a worker's memory once it has loaded. Linux only; imports nothing of Hausgeist.

The engine maps its files and reads all of them. Most weights it may then have repacked, or copied to a device, and never looks at the originals;
among them lie those that it works on straight from the file. Letting go of all pages once brings back only what is used. But the system maps a file
in pieces of up to two megabytes where they lie in its cache like that, and around the eight kilobytes of a layer's norm such a piece is full of what
is not used. Pieces end where a mapping ends, so each tensor becomes a mapping of its own. Nothing is moved, and large tensors keep large pages.
"""

from __future__ import annotations

import contextlib
import os
import re
import struct
from collections.abc import Callable, Iterable
from itertools import pairwise
from pathlib import Path
from typing import BinaryIO

__all__ = ["borders", "let_go", "pieces"]

_DONTNEED, _DONTDUMP = 4, 16
"""Of `madvise`: from a mapping that is only read, nothing is lost by the first. The second leaves pages out of core dumps; where it changes, one
mapping ends and another begins."""
_MOST = 16384
"""Mappings made at most; a process may have 65530."""

_SPLIT = re.compile(r"-\d{5}-of-\d{5}\.gguf$")
"""Large models come in several files, named by this; the engine maps all of them."""

_SIZES = {0: 1, 1: 1, 2: 2, 3: 2, 4: 4, 5: 4, 6: 4, 7: 1, 10: 8, 11: 8, 12: 8}
"""Bytes of GGUF's plain values."""
_STRING, _LIST = 8, 9


def let_go(*files: str | None) -> None:
    """Unmap what of the models' files is in memory only because it was read while loading.

    What the engine works on straight from the file comes back from the page cache at first use, without touching the disk.
    """
    import ctypes

    libc = ctypes.CDLL(None)

    def advise(start: int, end: int, advice: int) -> bool:
        return int(libc.madvise(ctypes.c_void_p(start), ctypes.c_size_t(end - start), advice)) == 0

    names = tuple(_SPLIT.sub("", os.path.realpath(file)) for file in files if file)
    with contextlib.suppress(OSError, ValueError):
        maps = Path("/proc/self/maps").read_text(encoding="utf-8", errors="surrogateescape")
        for line in maps.splitlines():
            span, rights, offset, _, _, *name = line.split(None, 5)
            if name and name[0].startswith(names) and rights.startswith("r--"):
                start, end = (int(part, 16) for part in span.split("-"))
                _part(name[0], start, end, int(offset, 16), advise)
                advise(start, end, _DONTNEED)


def _part(file: str, start: int, end: int, offset: int, advise: Callable[[int, int, int], bool]) -> None:
    """Every other piece gets the mark that its neighbours have not."""
    try:
        with open(file, "rb") as stream:
            found = borders(stream)
    except (OSError, ValueError, KeyError, struct.error, OverflowError, MemoryError):
        return  # the engine could read it, so nothing is wrong but our understanding
    cuts = pieces(found, os.sysconf("SC_PAGE_SIZE"), offset, offset + end - start)
    for first, last in list(pairwise(cuts))[1::2][:_MOST]:
        if not advise(start + first - offset, start + last - offset, _DONTDUMP):
            return


def pieces(found: Iterable[int], page: int, start: int, end: int) -> list[int]:
    """Where mappings of whole pages begin and end from `start` to `end`, so that a page with a border in it stands alone."""
    cuts = {start, end}
    for border in found:
        cuts |= {border // page * page, -(-border // page) * page}
    return sorted(cut for cut in cuts if start <= cut <= end)


def borders(stream: BinaryIO) -> list[int]:
    """Where the tensors of a GGUF file begin. Raises `ValueError`, `KeyError` or `struct.error` for what is none, or of a kind not known here."""

    def number(form: str) -> int:
        size = struct.calcsize(form)
        return int(struct.unpack(form, stream.read(size))[0])

    def text() -> bytes:
        return stream.read(number("<Q"))

    def value(kind: int) -> int:
        """Its number, where it is one of 32 bits."""
        if kind == 4:
            return number("<I")
        if kind == _STRING:
            stream.seek(number("<Q"), os.SEEK_CUR)
        elif kind == _LIST:
            inner, count = number("<I"), number("<Q")
            if inner in _SIZES:
                stream.seek(_SIZES[inner] * count, os.SEEK_CUR)
            else:
                for _ in range(count):
                    value(inner)
        else:
            stream.seek(_SIZES[kind], os.SEEK_CUR)
        return 0

    if stream.read(4) != b"GGUF" or number("<I") < 2:
        raise ValueError
    tensors, entries = number("<Q"), number("<Q")
    alignment = 32
    for _ in range(entries):
        name = text()
        told = value(number("<I"))
        if name == b"general.alignment" and told:
            alignment = told
    offsets = []
    for _ in range(tensors):
        text()
        stream.seek(8 * number("<I") + 4, os.SEEK_CUR)
        offsets.append(number("<Q"))
    data = -(-stream.tell() // alignment) * alignment
    return sorted(data + offset for offset in offsets)
