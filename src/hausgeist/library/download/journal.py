"""What is known of a partial file, kept beside it as lines that are only ever appended.

    v1 {"size": ..., "etag": ..., ...}      what upstream said of the file
    boot <id>                               a process of this boot of the machine writes from here on
    w <start> <end>                         these bytes were written
    s <count>                               the first <count> `w` lines are on the disk

What was written outlives the process (kill -9), since the page cache does, and is lost with the machine (a power failure) unless it was
flushed: so a `w` that no `s` covers counts only within its own boot. Each line ends with its CRC-32; one that is wrong, as a power failure may
leave at the end, ends the journal.
"""

from __future__ import annotations

import json
import os
import re
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import BinaryIO
from zlib import crc32

from hausgeist.library.download.ranges import Ranges
from hausgeist.store.disk import boot_id

__all__ = ["Journal", "Origin"]

_LINE = re.compile(rb"((?:w (\d{1,19}) (\d{1,19})|s (\d{1,12})|boot ([0-9a-f-]{0,64})|v1 (\{.{0,4096}\}))) ([0-9a-f]{8})\n")
_LONGEST = 64 << 20
"""Bytes that are read of a journal: far more than that of any file there is."""


@dataclass(frozen=True, slots=True)
class Origin:
    """What upstream said of the file: as long as it says the same, what was fetched before can be kept."""

    url: str
    """A digest of the address; the address itself may be nobody's business."""
    size: int
    etag: str = ""
    modified: str = ""

    def changed(self, now: Origin) -> bool:
        """Whether it is another file now. Where it is fetched from another address, only the size can tell."""
        if self.size != now.size:
            return True
        if self.url != now.url:
            return False
        if self.etag and now.etag:
            return self.etag != now.etag
        return bool(self.modified and now.modified) and self.modified != now.modified


class Journal:
    """Opened for appending. `done` are the bytes that can be relied upon; `origin` is None as long as nothing is known."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.origin: Origin | None = None
        self.done = Ranges()
        if path.exists():
            self.origin, self.done = _read(path)
        self._file: BinaryIO | None = None
        self._written = 0
        """`w` lines since the last beginning."""

    @staticmethod
    def peek(path: Path) -> int:
        """How many bytes the journal of another writer says are there; 0 where there is none."""
        return _read(path)[1].total if path.exists() else 0

    def begin(self, origin: Origin, done: Ranges) -> None:
        """Start anew with what is relied upon now, which must be on the disk. Replaces the old lines at once or not at all."""
        fresh = self.path.with_name(f"{self.path.name}.new")
        self._close()
        self._file = fresh.open("wb", buffering=0)
        self._written = 0
        lines = [b"v1 " + json.dumps(asdict(origin)).encode(), b"boot " + boot_id().encode(), *(b"w %d %d" % one for one in done)]
        self._written = len(lines) - 2
        self._append(*lines, b"s %d" % self._written)
        os.fsync(self._file.fileno())
        os.replace(fresh, self.path)
        self.origin, self.done = origin, done

    def wrote(self, start: int, end: int) -> None:
        """Those bytes are in the file (though not yet on the disk)."""
        self._append(b"w %d %d" % (start, end))
        self._written += 1
        self.done.add(start, end)

    @property
    def written(self) -> int:
        """What to hand to `synced` once all that was written until now is on the disk."""
        return self._written

    def synced(self, written: int) -> None:
        if self._file is not None:
            self._append(b"s %d" % written)
            os.fsync(self._file.fileno())

    def forget(self) -> None:
        """Nothing is known any more."""
        self._close()
        self.path.unlink(missing_ok=True)
        self.origin, self.done = None, Ranges()

    def close(self) -> None:
        self._close()

    def _append(self, *lines: bytes) -> None:
        text = b"".join(b"%b %08x\n" % (line, crc32(line)) for line in lines)
        if self._file is not None and self._file.write(text) != len(text):
            # A line that was cut off by a full disk would spoil the next one.
            self._close()

    def _close(self) -> None:
        if self._file is not None:
            self._file.close()
            self._file = None


def _read(path: Path) -> tuple[Origin | None, Ranges]:
    """Origin and reliable bytes. A file that makes no sense says that nothing is there."""
    try:
        with path.open("rb") as file:
            data = file.read(_LONGEST)
    except OSError:
        return None, Ranges()
    here = boot_id().encode()
    origin: Origin | None = None
    boot = b""
    written: list[tuple[int, int, bytes]] = []
    synced = position = 0
    while match := _LINE.match(data, position):
        line, start, end, count, booted, head, checksum = match.groups()
        if crc32(line) != int(checksum, 16):
            break
        if head is not None:
            if position or (origin := _origin(head)) is None:
                break
        elif origin is None:
            break
        elif booted is not None:
            boot = booted
        elif count is not None:
            synced = max(synced, min(int(count), len(written)))
        elif int(start) < int(end) and (int(end) <= origin.size or not origin.size):
            written.append((int(start), int(end), boot))
        else:
            break
        position = match.end()
    return origin, Ranges((start, end) for index, (start, end, boot) in enumerate(written) if index < synced or (here and boot == here))


def _origin(head: bytes) -> Origin | None:
    try:
        found = json.loads(head)
        origin = Origin(**found)
    except (ValueError, TypeError):
        return None
    texts = all(isinstance(one, str) for one in (origin.url, origin.etag, origin.modified))
    return origin if texts and isinstance(origin.size, int) and origin.size >= 0 else None
