"""Compound files (OLE), the container of Office files before 2007 and of Outlook mails: streams by their paths. [MS-CFB]"""

from __future__ import annotations

import struct
from array import array

from hausgeist.knowledge.parse.base import Limits, Source, Unreadable, content

__all__ = ["Compound", "kind_of"]

_SIGNATURE = b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1"
_END = 0xFFFFFFFA
"""Sector numbers from here on are marks, not places."""
_DAMAGED = "The file is damaged: its table of contents leads nowhere. Get a whole copy."


class Compound:
    """The streams of a compound file. Chains of sectors are followed no longer than the file has sectors, so a circle ends."""

    def __init__(self, data: bytes, limits: Limits) -> None:
        if len(data) < 512 or not data.startswith(_SIGNATURE):
            raise Unreadable(_DAMAGED)
        self._data = data
        shift, mini_shift = struct.unpack_from("<HH", data, 30)
        if shift not in {9, 12} or not 4 <= mini_shift < shift:
            raise Unreadable(_DAMAGED)
        self._size, self._mini_size = 1 << shift, 1 << mini_shift
        directory, _, self._cutoff, mini_start, _, more = struct.unpack_from("<6I", data, 48)
        self._sectors = len(data) // self._size
        self._table = self._allocation(struct.unpack_from("<109I", data, 76), more)
        self._mini_table = _numbers(self._chain(mini_start))
        self._streams: dict[str, tuple[int, int]] = {}
        self._mini = b""
        self._left = limits.unpacked
        self._walk(self._chain(directory), limits)

    @property
    def names(self) -> list[str]:
        return list(self._streams)

    def __contains__(self, name: str) -> bool:
        return name in self._streams

    def read(self, name: str) -> bytes:
        """A stream, whole; empty when it is missing."""
        start, size = self._streams.get(name, (_END, 0))
        self._left -= size
        if self._left < 0:
            raise Unreadable(_DAMAGED)
        if size >= self._cutoff:
            return self._chain(start)[:size]
        parts: list[bytes] = []
        step = self._mini_size
        for _ in range(size // step + 1):
            if start >= len(self._mini_table) or len(parts) * step >= size:
                break
            parts.append(self._mini[start * step : (start + 1) * step])
            start = self._mini_table[start]
        return b"".join(parts)[:size]

    def _sector(self, number: int) -> bytes:
        return self._data[(number + 1) * self._size : (number + 2) * self._size]

    def _allocation(self, first: tuple[int, ...], more: int) -> array[int]:
        places = [number for number in first if number < _END]
        for _ in range(self._sectors):
            if more >= _END:
                break
            numbers = _numbers(self._sector(more))
            if not numbers:
                break
            places += [number for number in numbers[:-1] if number < _END]
            more = numbers[-1]
        table = array("I")
        for number in places[: self._sectors + 1]:
            table.extend(_numbers(self._sector(number)))
        return table

    def _chain(self, start: int) -> bytes:
        parts: list[bytes] = []
        for _ in range(self._sectors + 1):
            if start >= len(self._table):
                break
            parts.append(self._sector(start))
            start = self._table[start]
        return b"".join(parts)

    def _walk(self, directory: bytes, limits: Limits) -> None:
        entries = len(directory) // 128
        if entries > 4 * limits.entries:
            raise Unreadable("The file has more parts than any such file needs.")
        seen: set[int] = set()
        waiting: list[tuple[int, str]] = [(0, "")]
        while waiting:
            number, folder = waiting.pop()
            if number in seen or number >= entries:
                continue
            seen.add(number)
            entry = directory[number * 128 : (number + 1) * 128]
            length, kind = struct.unpack_from("<HB", entry, 64)
            left, right, child = struct.unpack_from("<3I", entry, 68)
            start, size = struct.unpack_from("<IQ", entry, 116)
            size = size & 0xFFFFFFFF if self._size == 512 else size
            name = entry[: max(0, min(length, 64) - 2)].decode("utf-16-le", "replace")
            waiting += ((left, folder), (right, folder))
            if kind == 5:
                self._mini = self._chain(start)[:size]
                waiting.append((child, ""))
            elif kind == 1:
                waiting.append((child, f"{folder}{name}/"))
            elif kind == 2:
                self._streams.setdefault(folder + name, (start, min(size, len(self._data))))


def _numbers(data: bytes) -> array[int]:
    numbers = array("I")
    numbers.frombytes(data[: len(data) & ~3])
    return numbers


def kind_of(source: Source, limits: Limits) -> str:
    """The media type of a compound file. Raises `Unreadable` for what no reader knows, and for what is locked."""
    streams = Compound(content(source, limits), limits)
    if "EncryptedPackage" in streams:
        raise Unreadable("The file is protected by a password; save it without one.")
    for name, media_type in (
        ("WordDocument", "application/msword"),
        ("PowerPoint Document", "application/vnd.ms-powerpoint"),
        ("Workbook", "application/vnd.ms-excel"),
        ("Book", "application/vnd.ms-excel"),
        ("__properties_version1.0", "application/vnd.ms-outlook"),
    ):
        if name in streams:
            return media_type
    known = {
        "PP97_DUALSTORAGE/PowerPoint Document": "of an old PowerPoint",
        "FileHeader": "of Hangul (HWP)",
        "VisioDocument": "of Visio",
        "Contents": "of Publisher or Works",
    }
    kind = next((text for name, text in known.items() if name in streams), "of a kind that is not read here")
    raise Unreadable(f"The file is {kind}; export it as PDF.")
