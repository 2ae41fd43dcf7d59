"""Content-addressed files: HOME/blobs/sha256-<hex>. A blob is there whole and verified, or it is not there.

What is being written is called `.partial-*` and held by a lock for as long as its writer lives, so that a later start can tell what was left
behind from what another process is still writing. What refers to a blob, and when it may go, is the caller's to know.
"""

from __future__ import annotations

import asyncio
import hashlib
import os
import re
import secrets
import stat
import sys
from collections.abc import AsyncIterator, Hashable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

from hausgeist.errors import InvalidRequest, NotFound, TooLarge
from hausgeist.store.disk import sync_file, sync_folder, try_lock
from hausgeist.store.drafts import Draft, sweep
from hausgeist.store.failures import file_failures
from hausgeist.store.space import RESERVE, Space
from hausgeist.store.threads import to_its_end

__all__ = ["Blobs", "parse_digest"]

_DIGEST = re.compile(r"(?:sha256[:-])?([0-9a-fA-F]{64})")
_BUFFER = 4 << 20
_PREFIX = ".partial-"


def parse_digest(text: str) -> str:
    """The 64 lower-case hex digits of `sha256:<hex>`, `sha256-<hex>` or `<hex>`. Raises `InvalidRequest`: no other text ever becomes a path."""
    match = _DIGEST.fullmatch(text)
    if match is None:
        raise InvalidRequest("A digest is 'sha256:' and 64 hexadecimal digits.", param="digest")
    return match.group(1).lower()


class Blobs:
    """The blobs of a home folder. Digests are taken in any form that `parse_digest` knows and given as 64 hex digits."""

    def __init__(self, home: Path, *, reserve: int = RESERVE) -> None:
        """`reserve`: bytes that have to stay free on the disk."""
        self.folder = home / "blobs"
        self.space = Space(self.folder, reserve=reserve)
        with file_failures(self.folder):
            self.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            sweep(self.folder, _PREFIX)

    def path(self, digest: str) -> Path:
        """Where this blob is, or would be."""
        return self.folder / f"sha256-{parse_digest(digest)}"

    def has(self, digest: str) -> bool:
        return self.path(digest).is_file()

    def size(self, digest: str) -> int:
        """In bytes. Raises `NotFound`."""
        try:
            return self.path(digest).stat().st_size
        except FileNotFoundError:
            raise _missing(digest) from None

    def keep(self, digest: str) -> bool:
        """Whether the blob is here; if so its time is now, so that nobody takes it for old before it is mentioned."""
        path = self.path(digest)
        with file_failures(path):
            try:
                os.utime(path)
            except FileNotFoundError:
                return False
            return True

    def open(self, digest: str) -> BinaryIO:
        """For reading. Raises `NotFound`."""
        path = self.path(digest)
        with file_failures(path):
            try:
                return path.open("rb")
            except FileNotFoundError:
                raise _missing(digest) from None

    def digests(self) -> list[str]:
        with file_failures(self.folder):
            return sorted(match.group(1) for file in self.folder.iterdir() if (match := _DIGEST.fullmatch(file.name)))

    def remove(self, digest: str) -> None:
        """Remove a blob; nothing happens where there is none. Whoever has it open keeps reading it."""
        path = self.path(digest)
        with file_failures(path):
            if sys.platform == "win32" and path.exists():
                path.chmod(0o600)
            path.unlink(missing_ok=True)

    async def add(self, chunks: AsyncIterator[bytes], *, expected: str | None = None, limit: int | None = None, size: int = 0) -> str:
        """Store a stream and return its digest. `size`: bytes that were announced; 0: none were.

        Raises `InvalidRequest` if the digest is not the `expected` one, `TooLarge` above `limit` bytes, `DiskFull` (before the first byte, where
        the announced ones do not fit); then nothing is kept.
        """
        wanted = parse_digest(expected) if expected is not None else None
        with self.space.claim(size) as claim:
            partial = await asyncio.to_thread(Draft, self.folder, _PREFIX)
            try:
                buffer = bytearray()
                total = 0
                async for chunk in chunks:
                    total += len(chunk)
                    if limit is not None and total > limit:
                        raise TooLarge(f"The file is larger than the limit of {limit} bytes.")
                    buffer += chunk
                    if len(buffer) >= _BUFFER:
                        await to_its_end(self._write, partial, bytes(buffer), claim)
                        self.space.promise(claim, size - total)
                        buffer.clear()
                await to_its_end(self._write, partial, bytes(buffer), claim)
                return await to_its_end(self._named, partial, wanted)
            finally:
                partial.discard()

    async def adopt(self, path: Path, *, expected: str | None = None, copy: bool = False) -> str:
        """Store a file that is already on the disk and return its digest; the file is moved in, or left alone with `copy`.

        Whoever still has a moved file open for writing could change the blob: hand over only files that are finished.
        """
        wanted = parse_digest(expected) if expected is not None else None
        return await to_its_end(self._adopt, path, wanted, copy)

    def publish(self, path: Path, digest: str, *, shared: bool = False, anew: bool = False) -> None:
        """Give a file in `folder` the name of its digest, without reading it: for who has hashed all of it while writing, has flushed it, and
        lets nobody write to it any more. `digest` must be what was computed, not what was expected. `shared`: it comes from `linked`. `anew`: in
        place of the blob that is there, which is damaged; whoever has that one open keeps reading it."""
        target = self.path(digest)
        with file_failures(target):
            _place(path, target, shared=shared, anew=anew)

    @contextmanager
    def linked(self, path: Path) -> Iterator[BinaryIO | None]:
        """Within the block, a second name in `folder` (the `name` of the file given) for a file that is elsewhere, to be read and published.

        `None` where they cannot share it: on another file system, or of another user, or open to all for writing. It must stay what was verified.
        """
        partial = self.folder / f"{_PREFIX}{os.getpid()}-{secrets.token_hex(8)}"
        try:
            file = _second_name(path, partial)
            try:
                yield file
            finally:
                if file is not None:
                    file.close()
        finally:
            partial.unlink(missing_ok=True)

    def _adopt(self, path: Path, wanted: str | None, copy: bool) -> str:
        with file_failures(path):
            if path.is_symlink() or not path.is_file():
                raise InvalidRequest(f"{path} is not a regular file.", param="path")
            if not copy and path.stat().st_dev == self.folder.stat().st_dev:
                with path.open("rb") as file:
                    digest = hashlib.file_digest(file, "sha256").hexdigest()
                _check(digest, wanted)
                sync_file(path)
                _place(path, self.path(digest))
                return digest
            source = path.open("rb")
        with source, self.space.claim(os.fstat(source.fileno()).st_size) as claim:
            digest = self._copied(source, wanted, claim)
        if not copy:
            with file_failures(path):
                path.unlink(missing_ok=True)
        return digest

    def _copied(self, source: BinaryIO, wanted: str | None, claim: Hashable) -> str:
        partial = Draft(self.folder, _PREFIX)
        try:
            while chunk := source.read(_BUFFER):
                self._write(partial, chunk, claim)
            return self._named(partial, wanted)
        finally:
            partial.discard()

    def _write(self, partial: Draft, data: bytes, claim: Hashable) -> None:
        """Raises `DiskFull` while there still is the reserve."""
        self.space.require(len(data), whose={claim})
        partial.write(data)

    def _named(self, partial: Draft, wanted: str | None) -> str:
        """Verify, flush, and give the file its name. Returns the digest."""
        _check(partial.digest, wanted)
        partial.flush()
        with file_failures(self.folder):
            _place(partial.path, self.path(partial.digest))
        return partial.digest


def _second_name(path: Path, partial: Path) -> BinaryIO | None:
    """Link and open a file, if it is ours. Always `None` on Windows, which renames no open file."""
    if sys.platform == "win32":
        return None
    try:
        # The link is made first and looked at then: what it leads to cannot be exchanged any more.
        os.link(path, partial, follow_symlinks=False)
        status = partial.lstat()
        if not stat.S_ISREG(status.st_mode) or status.st_uid != os.geteuid() or status.st_mode & stat.S_IWOTH:
            return None
        file = partial.open("rb")
    except OSError:
        return None
    if try_lock(file.fileno()):
        return file
    file.close()
    return None


def _check(digest: str, wanted: str | None) -> None:
    if wanted is not None and digest != wanted:
        raise InvalidRequest(f"The content does not match its digest: expected sha256:{wanted}, got sha256:{digest}. Send it again.", param="digest")


def _place(path: Path, target: Path, *, shared: bool = False, anew: bool = False) -> None:
    """Give a verified file its name; a blob that is there already stays, for it may be in use. Its time is now, so that nobody takes it for old.

    `shared`: time and mode belong to whoever has the file under another name as well. `anew`: the blob that is there goes."""
    if sys.platform == "win32" and anew and target.exists():
        target.chmod(0o600)
    if not anew and _renewed(target, path.stat().st_size):
        path.unlink()
        return
    if not shared:
        os.utime(path)
        path.chmod(0o400)
    os.replace(path, target)
    sync_folder(target.parent)


def _renewed(blob: Path, size: int) -> bool:
    """Whether a blob of that size is there, its time now; somebody else may remove it in the same moment."""
    try:
        if blob.stat().st_size != size:
            return False
        os.utime(blob)
    except FileNotFoundError:
        return False
    return True


def _missing(digest: str) -> NotFound:
    return NotFound(f"There is no blob sha256:{parse_digest(digest)}.")
