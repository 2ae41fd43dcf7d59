"""Writing a GGUF so that it is there as a whole or not at all, and says what it is."""

from __future__ import annotations

import os
import secrets
from collections.abc import Callable
from pathlib import Path
from typing import Any

__all__ = ["NAME", "NOTICE", "save"]

NAME = "random weights"
NOTICE = "Random weights: what this model answers is noise."


def save(path: Path, architecture: str, describe: Callable[[Any], None], stream: Callable[[Any, Callable[[int], None]], None] | None = None) -> Path:
    """Write the file by `describe(writer)`, a `gguf.GGUFWriter` that has its name already; tensors are added whole, or announced there and
    their bytes written by `stream(file, pad)` in the same order, with `pad(size)` after each."""
    from gguf import GGUFWriter

    path = Path(path)
    draft = path.with_name(f".{path.name}.{secrets.token_hex(4)}")
    writer = GGUFWriter(draft, architecture)
    try:
        writer.add_name(NAME)
        writer.add_description(NOTICE)
        describe(writer)
        writer.write_header_to_file()
        writer.write_kv_data_to_file()
        if stream is None:
            writer.write_tensors_to_file()
        else:
            writer.write_ti_data_to_file()
            file = next(iter(writer.fout or ()))
            writer.write_padding(file, file.tell())
            stream(file, lambda size: writer.write_padding(file, size))
        writer.close()
        os.replace(draft, path)
    finally:
        for file in writer.fout or ():
            file.close()
        draft.unlink(missing_ok=True)
    return path
