"""What was measured on a machine, in small files of a home: each named after what it holds for, as several machines may share the folder."""

from __future__ import annotations

import json
import os
from contextlib import suppress
from dataclasses import asdict
from hashlib import sha256
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from _typeshed import DataclassInstance

__all__ = ["keep", "place"]


def place(folder: Path, kind: str, of: DataclassInstance) -> Path:
    """Where that of `kind` is kept which holds for `of`."""
    return folder / f"{kind}-{sha256(json.dumps(asdict(of), sort_keys=True).encode()).hexdigest()[:12]}.json"


def keep(path: Path, found: DataclassInstance) -> None:
    """At once or not at all: nobody reads half a file. A folder that cannot be written is no obstacle."""
    draft = path.with_name(f"{path.name}.{os.getpid()}.new")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        draft.write_text(json.dumps(asdict(found), indent=1) + "\n", encoding="utf-8")
        os.replace(draft, path)
    except OSError:
        with suppress(OSError):
            draft.unlink(missing_ok=True)
