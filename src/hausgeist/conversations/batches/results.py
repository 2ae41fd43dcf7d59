"""Answers as they come: HOME/batches/ID.output and ID.errors, a line for each request, appended whole.

They are the only record of what is done: after a crash they are read again, a line that was cut off is taken away, and what has a line is not asked
again. So no line is there twice or missing, whatever was killed when; a request whose answer was not written yet is asked again.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections import Counter
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any, Final, Literal

from pydantic_core import from_json

from hausgeist.errors import Unavailable
from hausgeist.store.disk import try_lock
from hausgeist.store.failures import file_failures
from hausgeist.store.space import Space

__all__ = ["KINDS", "Kind", "Results"]

Kind = Literal["output", "errors"]
KINDS: Final[tuple[Kind, ...]] = ("output", "errors")
_DIGITS: Final = 6


class _Lines:
    """One of the two files."""

    def __init__(self, path: Path) -> None:
        self.path = path
        with file_failures(path):
            self._fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_APPEND | getattr(os, "O_BINARY", 0), 0o600)
        self.size = 0

    def lock(self) -> bool:
        return try_lock(self._fd)

    def append(self, line: bytes) -> None:
        """All of it or nothing."""
        with file_failures(self.path):
            try:
                view = memoryview(line)
                while view:
                    view = view[os.write(self._fd, view) :]
            except OSError:
                os.ftruncate(self._fd, self.size)
                raise
        self.size += len(line)

    def cut(self, size: int) -> None:
        with file_failures(self.path):
            os.ftruncate(self._fd, size)
        self.size = size

    def digest(self) -> str:
        """Flushes, too."""
        with file_failures(self.path):
            os.fsync(self._fd)
            with self.path.open("rb") as file:
                return hashlib.file_digest(file, "sha256").hexdigest()

    def close(self) -> None:
        os.close(self._fd)


class Results:
    """Both files of one batch, in the hands of one process. Close it in any case."""

    def __init__(self, folder: Path, batch: str, *, space: Space) -> None:
        """Reads what is there already, which takes a while: for a thread. Raises `Unavailable` while somebody else has it."""
        self._batch = batch
        self._space = space
        self._files: dict[Kind, _Lines] = {kind: _Lines(_path(folder, batch, kind)) for kind in KINDS}
        self.done: set[int] = set()
        """Numbers of the requests that have a line."""
        self.usage: Counter[str] = Counter()
        self.counts: Counter[Kind] = Counter()
        try:
            if not self._files["output"].lock():
                raise Unavailable("The batch is being worked on by another process.")
            for kind in KINDS:
                self._replay(kind)
        except BaseException:
            self.close()
            raise

    def answered(self, number: int, custom_id: str, *, status: int, request: str, body: Mapping[str, Any]) -> None:
        """What was said to a request. Raises `DiskFull`; then nothing was written."""
        said = {"status_code": status, "request_id": request, "body": body}
        self._append("output" if status < 400 else "errors", number, custom_id, {"response": said, "error": None})

    def unanswered(self, number: int, custom_id: str, *, code: str, message: str) -> None:
        """Why a request was not asked."""
        self._append("errors", number, custom_id, {"response": None, "error": {"code": code, "message": message}})

    def size(self, kind: Kind) -> int:
        return self._files[kind].size

    def path(self, kind: Kind) -> Path:
        return self._files[kind].path

    def digest(self, kind: Kind) -> str:
        """SHA-256 of a file, which is flushed to the disk. For a thread."""
        return self._files[kind].digest()

    def remove(self) -> None:
        """When what they hold is elsewhere."""
        for lines in self._files.values():
            lines.path.unlink(missing_ok=True)

    def close(self) -> None:
        for lines in self._files.values():
            with suppress(OSError):
                lines.close()

    def _append(self, kind: Kind, number: int, custom_id: str, what: Mapping[str, Any]) -> None:
        line = {"id": f"batch_req_{self._batch.rpartition('_')[2]}{number:0{_DIGITS}d}", "custom_id": custom_id, **what}
        data = json.dumps(line, separators=(",", ":")).encode() + b"\n"
        self._space.require(len(data))
        self._files[kind].append(data)
        self._count(kind, number, what)

    def _count(self, kind: Kind, number: int, what: Mapping[str, Any]) -> None:
        self.done.add(number)
        self.counts[kind] += 1
        if kind == "output":
            self.usage.update(_tokens((what["response"]["body"] or {}).get("usage")))

    def _replay(self, kind: Kind) -> None:
        lines, whole = self._files[kind], 0
        with file_failures(lines.path), lines.path.open("rb") as file:
            for line in file:
                try:
                    if not line.endswith(b"\n"):
                        break
                    found = from_json(line)
                    number = int(found["id"][-_DIGITS:])
                    what = {"response": found["response"]}
                except (ValueError, KeyError, TypeError):
                    break
                whole += len(line)
                self._count(kind, number, what)
        lines.cut(whole)


def _path(folder: Path, batch: str, kind: Kind) -> Path:
    return folder / f"{batch}.{kind}"


def _tokens(usage: Any) -> dict[str, int]:
    """Tokens of an answer, whichever of the operations it is of."""
    if not isinstance(usage, Mapping):
        return {}
    incoming = usage.get("prompt_tokens_details") or usage.get("input_tokens_details") or {}
    outgoing = usage.get("completion_tokens_details") or usage.get("output_tokens_details") or {}
    return {
        "input": int(usage.get("prompt_tokens") or usage.get("input_tokens") or 0),
        "cached": int(incoming.get("cached_tokens") or 0),
        "output": int(usage.get("completion_tokens") or usage.get("output_tokens") or 0),
        "reasoning": int(outgoing.get("reasoning_tokens") or 0),
    }
