"""Which files of some folders are documents: hidden ones, junk and what is no document are left out, each with a reason.

Looks at names and sizes; what a file really is, its parser finds in the content. Links within folders are not followed: so no loop is endless, and
nobody who may write there makes somebody else hand over what lies elsewhere.
"""

from __future__ import annotations

import hashlib
import os
import platform
import stat
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import BinaryIO, Final

from hausgeist.errors import HausgeistError, NotFound

__all__ = ["Found", "Gathering", "Unreached", "digest", "gather", "key_of", "machine", "opened"]

_KEY: Final = 512
"""Characters that the API allows in an attribute."""
_CHUNK: Final = 1 << 20
_LARGEST: Final = 512 << 20
"""Bytes that parsers read of one file: larger ones would travel for nothing."""
_JUNK_NAMES: Final = {"thumbs.db", "desktop.ini", "ehthumbs.db", "icon\r", "__pycache__", "node_modules", "$recycle.bin", "system volume information",
                      "lost+found", "__macosx", "cvs"}  # fmt: skip
_JUNK_ENDS: Final = ("~", ".tmp", ".temp", ".swp", ".swo", ".part", ".partial", ".crdownload", ".download", ".lock", ".lck", ".bak", ".orig", ".pyc")
"""What programs leave, and what is still being downloaded."""
_JUNK_BEGINS: Final = ("~$", ".~", "._", "#")
"""Locks of office programs, and what macOS writes beside files."""
_NO_DOCUMENTS: Final = {
    "programs and libraries": "exe dll so dylib o a lib class jar war msi deb rpm apk appimage wasm bin com sys ko whl",
    "films and sound": "mp4 mkv mov avi wmv webm mpg mpeg m4v flv mp3 m4a wav flac ogg opus aac wma aiff mid",
    "archives": "zip 7z rar tar gz bz2 xz zst tgz tbz iso dmg img vmdk qcow2 vdi cab",
    "models": "gguf safetensors onnx pt pth ckpt h5 pb tflite",
    "databases": "db sqlite sqlite3 mdb accdb dbf parquet feather",
    "fonts": "ttf otf woff woff2 eot",
    "drawings and designs": "psd ai indd sketch fig dwg dxf blend stl step stp svgz cdr",
    "pictures without text": "ico cur icns raw cr2 nef arw dng heic",
}
_ENDINGS: Final = {f".{ending}": what for what, endings in _NO_DOCUMENTS.items() for ending in endings.split()}


@dataclass(frozen=True, slots=True)
class Found:
    """A document on the disk. `modified`: seconds, as the file system says; `place`: device and number of the file, where the system has such."""

    path: Path
    size: int
    modified: float
    place: tuple[int, int] | None = None

    @property
    def key(self) -> str:
        return key_of(self.path)


@dataclass(slots=True)
class Gathering:
    """What was found. `left_out`: each path with its reason; `unreached`: folders and files that could not be looked at, so nobody knows what is
    there; `devices`: of each folder, the device that it is on."""

    found: list[Found] = field(default_factory=list)
    left_out: list[tuple[Path, str]] = field(default_factory=list)
    unreached: list[tuple[Path, str]] = field(default_factory=list)
    devices: dict[Path, int] = field(default_factory=dict)

    def reasons(self) -> dict[str, int]:
        """How many were left out for which reason, most first."""
        counted: dict[str, int] = {}
        for _, why in self.left_out:
            counted[why] = counted.get(why, 0) + 1
        return dict(sorted(counted.items(), key=lambda one: -one[1]))


class Unreached(HausgeistError):
    """A file cannot be read."""


def gather(paths: Sequence[Path]) -> Gathering:
    """The documents among these files and below these folders, in the order of their names. What is named itself is taken, hidden or not, as long as
    it is a file that could be read. Raises `NotFound` for a path where nothing is."""
    gathering = Gathering()
    seen: set[tuple[int, int]] = set()
    for path in paths:
        path = Path(os.path.abspath(path.expanduser()))  # not resolved: a file is known under the name that people give it
        try:
            status = path.stat()
        except FileNotFoundError:
            raise NotFound(f"there is no file or folder {path}.") from None
        except OSError as error:
            gathering.unreached.append((path, _reason(error)))
            continue
        if stat.S_ISDIR(status.st_mode):
            _walk(path, gathering, seen)
        else:
            _take(path, status, gathering, seen)
    return gathering


def _walk(root: Path, gathering: Gathering, seen: set[tuple[int, int]]) -> None:
    waiting = [root]
    while waiting:
        folder = waiting.pop()
        try:
            gathering.devices[folder] = folder.stat().st_dev
            with os.scandir(folder) as entries:
                listed = sorted(entries, key=lambda entry: entry.name)
        except OSError as error:
            gathering.unreached.append((folder, _reason(error)))
            continue
        below = []
        for entry in listed:
            path = folder / entry.name
            if why := _unwanted(entry.name):
                gathering.left_out.append((path, why))
                continue
            try:
                if entry.is_symlink():
                    gathering.left_out.append((path, "links"))
                    continue
                if entry.is_dir(follow_symlinks=False):
                    below.append(path)
                    continue
                status = entry.stat(follow_symlinks=False)
            except OSError as error:
                gathering.unreached.append((path, _reason(error)))
                continue
            if what := _ENDINGS.get(path.suffix.lower()):
                gathering.left_out.append((path, what))
            else:
                _take(path, status, gathering, seen)
        waiting.extend(reversed(below))


def _take(path: Path, status: os.stat_result, gathering: Gathering, seen: set[tuple[int, int]]) -> None:
    if not stat.S_ISREG(status.st_mode):
        gathering.left_out.append((path, "devices, pipes and sockets"))
    elif not status.st_size:
        gathering.left_out.append((path, "empty files"))
    elif status.st_size > _LARGEST:
        gathering.left_out.append((path, f"larger than {_LARGEST >> 20} MiB"))
    elif (place := (status.st_dev, status.st_ino)) in seen and status.st_ino:
        gathering.left_out.append((path, "the same file under another name"))
    else:
        seen.add(place)
        gathering.found.append(Found(path, status.st_size, status.st_mtime, place if status.st_ino else None))


def _unwanted(name: str) -> str:
    """Why a name alone is reason enough; empty where it is not."""
    low = name.lower()
    if low in _JUNK_NAMES or low.startswith(_JUNK_BEGINS) or low.endswith(_JUNK_ENDS):
        return "leftovers of programs"
    return "hidden" if name.startswith(".") else ""


def opened(found: Found) -> BinaryIO:
    """The file that was found, to be read. Raises `Unreached`, also where another one has its name by now: whoever may write to a folder could put a
    link there, and have somebody else hand over what lies elsewhere."""
    try:
        # A pipe, should one have been put there, keeps nobody waiting.
        handle = os.open(found.path, os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0))
    except OSError as error:
        raise Unreached(_reason(error)) from error
    status = os.fstat(handle)
    if not stat.S_ISREG(status.st_mode) or (found.place is not None and (status.st_dev, status.st_ino) != found.place):
        os.close(handle)
        raise Unreached("another file has taken its place meanwhile; give it again")
    return os.fdopen(handle, "rb")


def digest(found: Found) -> Iterator[bytes | str]:
    """The file's bytes in pieces, so that whoever reads can show how far it is, and at the end its SHA-256 in hex. Raises `Unreached`, also where the
    file changes meanwhile."""
    hashing = hashlib.sha256()
    try:
        with opened(found) as file:
            while chunk := file.read(_CHUNK):
                hashing.update(chunk)
                yield chunk
            status = os.fstat(file.fileno())
    except OSError as error:
        raise Unreached(_reason(error)) from error
    if (status.st_size, status.st_mtime) != (found.size, found.modified):
        raise Unreached("it is being written; give it again when that is done")
    yield hashing.hexdigest()


def key_of(path: Path) -> str:
    """A path as an attribute of a file: as it is where it fits and is text; otherwise its two ends, with a digest of the whole between them."""
    text = str(path)
    shown = text.encode("utf-8", "surrogateescape").decode("utf-8", "replace")
    if len(shown) <= _KEY and shown == text:
        return text
    mark = hashlib.sha256(os.fsencode(text)).hexdigest()[:16]
    return f"{shown[:160]}…{mark}…{shown[-320:]}" if len(shown) > _KEY - 20 else f"{shown}…{mark}"


def machine() -> str:
    """The machine that paths are of: two may have the same, and know nothing of each other."""
    return platform.node()[:256] or "unnamed"


def _reason(error: OSError) -> str:
    return (error.strerror or str(error)).lower()
