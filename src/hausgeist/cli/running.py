"""Which server runs on a home folder: HOME/run/server.json, locked as long as it does.

The lock makes one server per home, and tells a file left behind by kill -9 from one of a living server. Owns nothing of the server itself.
"""

from __future__ import annotations

import json
import os
import sys
import time
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import IO

from hausgeist.errors import Conflict, StoreError

__all__ = ["HomeLock", "Running", "find"]

_FILE = Path("run", "server.json")
_PATIENCE = 2.0
"""Seconds to try for the lock: whoever looks for a server holds it for a moment."""
_TURNOVER = 10.0
"""Seconds to try while the holder does not say where it is: it is just starting, or ending."""


@dataclass(frozen=True, slots=True)
class Running:
    """A server that is up on this home."""

    address: str
    pid: int
    started: float
    version: str
    transient: bool = False
    """Belongs to a 'hausgeist run' and ends with it."""
    network: str = ""
    """The address by which other machines reach it, where they can."""
    token: str = ""
    """Lets commands of the user who can read this file in without a key."""
    authority: str = ""
    """File with the certificate that its own certificate is checked against; empty without TLS, or with a public one."""


def find(home: Path) -> Running | None:
    """The server that runs on this home, if one does."""
    try:
        file = open(home / _FILE, "r+b")  # noqa: SIM115
    except FileNotFoundError:
        return None
    except OSError as error:
        raise StoreError(f"{home / _FILE} cannot be read: {error.strerror}. It belongs to the user who runs the server.") from error
    with file:
        for _ in range(20):
            if _lock(file, shared=True):
                return None
            try:
                return Running(**json.loads(file.read() or b"null"))
            except (ValueError, TypeError):  # being written: the server is about to say where it listens
                time.sleep(0.05)
                file.seek(0)
    return None


class HomeLock:
    """Held by the server of a home; its file says where the server is."""

    def __init__(self, home: Path) -> None:
        """Take it. Raises `Conflict` when another server runs on this home."""
        self._home = home
        try:
            home.mkdir(mode=0o700, parents=True, exist_ok=True)
            (home / _FILE).parent.mkdir(mode=0o700, exist_ok=True)
            descriptor = os.open(home / _FILE, os.O_RDWR | os.O_CREAT, 0o600)
        except OSError as error:
            raise StoreError(f"The home folder {home} cannot be used: {error.strerror}. Choose another one with --home.") from error
        self._file = os.fdopen(descriptor, "r+b")
        began = time.monotonic()
        while not _lock(self._file, shared=False):
            if time.monotonic() - began >= (_PATIENCE if os.fstat(descriptor).st_size else _TURNOVER):
                self._file.close()
                raise Conflict(self._taken())
            time.sleep(0.02)
        self._file.truncate(0)

    def publish(self, running: Running) -> None:
        """Say where the server is."""
        self._file.seek(0)
        self._file.truncate(0)
        self._file.write(json.dumps(asdict(running), indent=2).encode() + b"\n")
        self._file.flush()

    def withdraw(self) -> None:
        """Be found no more, while the last answers are finished."""
        self._file.truncate(0)

    def release(self) -> None:
        if not self._file.closed:
            self._file.truncate(0)
            self._file.close()

    def _taken(self) -> str:
        other = find(self._home)
        if other is None:
            return f"Another server is starting on {self._home}. Use it, or start this one with another --home."
        if other.transient:
            return (
                f"A chat ('hausgeist run', server process {other.pid}) is using {self._home}. "
                "End the chat and start the server again; chats then share it. Or use another --home."
            )
        return f"A server runs on {self._home} already: {other.address} (process {other.pid}). Use it, or start this one with another --home."


if sys.platform == "win32":
    import msvcrt

    def _lock(file: IO[bytes], *, shared: bool) -> bool:
        """Try to lock a byte far behind the text, so that the file can still be read. Shared locks do not exist: a failed try says enough."""
        place = file.tell()
        file.seek(1 << 30)
        try:
            msvcrt.locking(file.fileno(), msvcrt.LK_NBLCK, 1)
            if shared:
                file.seek(1 << 30)
                msvcrt.locking(file.fileno(), msvcrt.LK_UNLCK, 1)
        except OSError:
            return False
        finally:
            file.seek(place)
        return True

else:
    import fcntl

    def _lock(file: IO[bytes], *, shared: bool) -> bool:
        """Try to lock the open file; the lock goes when the file is closed, however the process ends."""
        try:
            fcntl.flock(file, (fcntl.LOCK_SH if shared else fcntl.LOCK_EX) | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
        return True
