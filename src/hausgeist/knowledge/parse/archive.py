"""ZIP archives that strangers made: how much comes out of them is bounded before it comes out, and nothing is ever written to disk."""

from __future__ import annotations

import io
import posixpath
import zipfile
import zlib
from pathlib import Path
from types import TracebackType
from typing import IO

from hausgeist.knowledge.parse.base import Limits, Source, Unreadable

__all__ = ["Archive"]

_SMALL = 32 << 20
_FLAG_ENCRYPTED = 0x1


class Archive:
    """The parts of an archive by their names. A name is only ever a key: no path is made of it."""

    def __init__(self, source: Source, limits: Limits) -> None:
        self._limits = limits
        self._left = limits.unpacked
        try:
            self._zip = zipfile.ZipFile(source if isinstance(source, Path) else io.BytesIO(source))
        except (zipfile.BadZipFile, OSError, ValueError, NotImplementedError) as error:
            raise Unreadable("The file is damaged: it begins like an archive, but its table of contents is missing. Get a whole copy.") from error
        infos = self._zip.infolist()
        if len(infos) > limits.entries:
            raise Unreadable(f"The archive has {len(infos)} files in it, more than the {limits.entries} allowed.")
        # Of two entries with one name the last one counts, as for the programs that write these files.
        self._infos = {info.filename.lstrip("/"): info for info in infos if not info.is_dir()}
        self._folded = {name.lower(): name for name in self._infos}

    @property
    def names(self) -> list[str]:
        return list(self._infos)

    def __contains__(self, name: str) -> bool:
        return self._find(name) is not None

    def __enter__(self) -> Archive:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self._zip.close()

    def read(self, name: str) -> bytes:
        """A part, whole. Raises `Unreadable` for one that is missing, damaged, encrypted, or larger than allowed."""
        with self.open(name) as stream:
            try:
                return stream.read()
            except (zipfile.BadZipFile, zlib.error, EOFError, OSError, NotImplementedError) as error:
                raise Unreadable(f"A part of the file is damaged ({name[-80:]}). Get a whole copy.") from error

    def open(self, name: str) -> IO[bytes]:
        """A part as a stream that ends at the size it was promised to have; the promise is held against the limits."""
        info = self._find(name)
        if info is None:
            raise Unreadable(f"A part of the file is missing ({name[-80:]}). Get a whole copy.")
        if info.flag_bits & _FLAG_ENCRYPTED:
            raise Unreadable("The file is protected by a password; save it without one.")
        if info.file_size > _SMALL and info.file_size > self._limits.ratio * max(1, info.compress_size):
            raise Unreadable("The file unpacks to several hundred times its size, as only hostile files do.")
        self._left -= info.file_size
        if self._left < 0:
            raise Unreadable(f"The file unpacks to more than {self._limits.unpacked >> 20} MiB; split it into smaller ones.")
        try:
            # ZipExtFile stops at the size that the table of contents gives, whatever the packed bytes hold.
            return self._zip.open(info)
        except (zipfile.BadZipFile, OSError, RuntimeError, NotImplementedError, ValueError) as error:
            raise Unreadable(f"A part of the file is damaged ({name[-80:]}). Get a whole copy.") from error

    def _find(self, name: str) -> zipfile.ZipInfo | None:
        name = posixpath.normpath(name.replace("\\", "/")).lstrip("/")
        info = self._infos.get(name)
        if info is None and (other := self._folded.get(name.lower())) is not None:
            info = self._infos[other]
        return info
