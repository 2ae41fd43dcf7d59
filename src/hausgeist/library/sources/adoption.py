"""Models that other tools have brought onto this machine already, found without a network: Ollama, the hub's tools, llama.cpp, LM Studio.

Their folders are foreign: entries that lead out of them, are no files, or do not have the size that they should, are passed over. A sha256 is what
a file is called after there; nothing large is read to prove it.
"""

from __future__ import annotations

import json
import os
import re
import stat
import time
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Literal

from hausgeist.errors import HausgeistError
from hausgeist.library.reference import HUB, Reference
from hausgeist.library.sources.base import Part, Release
from hausgeist.library.sources.manifest import TEXT_LIMIT, read_manifest, release_of, texts_of
from hausgeist.library.sources.outbound import sha256_of
from hausgeist.library.sources.precisions import Entry, projector_for, variants_of, version_of

__all__ = ["Found", "Tool", "discover", "glimpse"]

Tool = Literal["ollama", "huggingface", "llama.cpp", "lmstudio"]

_MOST_ENTRIES: Final = 50_000
_DEEPEST: Final = 8
_MANIFEST_LIMIT: Final = 4 * 2**20
_SHA256: Final = re.compile(r"[0-9a-f]{64}")
_OLLAMA: Final = ("/usr/share/ollama/.ollama/models", "/var/lib/ollama/models", "/var/lib/ollama/.ollama/models")


@dataclass(frozen=True, slots=True)
class Found:
    """A model that could be used here without a download."""

    tool: Tool
    release: Release
    """As if it had been found upstream; the addresses of its parts are those of files (file:///...)."""
    files: tuple[Path, ...]
    """Where the parts lie, links followed, in their order."""
    names: tuple[Path, ...]
    """The same with the names by which a split model's parts are found."""

    @property
    def name(self) -> str:
        return str(self.release.reference.name)


def discover(environment: Mapping[str, str], home: Path, *, ollama_models: Path | None = None, hf_home: Path | None = None) -> list[Found]:
    """All that is there, by tool and name. Reads folders and small files; call it off the event loop. What cannot be read is passed over.

    `ollama_models` and `hf_home` are what the settings say, before the environment.
    """
    found = _search(environment, home, ollama_models, hf_home, _Patience(_MOST_ENTRIES))
    return sorted({(one.tool, one.name.lower(), one.files): one for one in found}.values(), key=lambda one: (one.tool, one.release.reference))


def glimpse(
    environment: Mapping[str, str], home: Path, *, ollama_models: Path | None = None, hf_home: Path | None = None, seconds: float = 0.03
) -> tuple[dict[Tool, int], bool]:
    """How many each tool has, as far as that can be seen in so short a time, and whether these are all."""
    patience = _Patience(_MOST_ENTRIES, time.monotonic() + seconds)
    seen: Counter[Tool] = Counter()
    for one in _search(environment, home, ollama_models, hf_home, patience):
        seen[one.tool] += 1
        if patience.over:
            break
    return dict(seen), not patience.over


class _Patience:
    """How many entries of a folder are looked at, and until when."""

    def __init__(self, entries: int, until: float = float("inf")) -> None:
        self.entries = entries
        self._until = until

    @property
    def over(self) -> bool:
        return self.entries < 0 or time.monotonic() > self._until


def _search(environment: Mapping[str, str], home: Path, ollama_models: Path | None, hf_home: Path | None, patience: _Patience) -> Iterator[Found]:
    for folder in _folders([ollama_models, environment.get("OLLAMA_MODELS"), home / ".ollama/models", *_OLLAMA]):
        yield from _of_ollama(folder, patience)
    cache = environment.get("XDG_CACHE_HOME") or home / ".cache"
    hub = environment.get("HF_HUB_CACHE")
    hub_home = hf_home or environment.get("HF_HOME") or Path(cache) / "huggingface"
    for folder in _folders([hub, Path(hub_home) / "hub"]):
        yield from _of_hub(folder, patience)
    for folder in _folders([environment.get("LLAMA_CACHE"), Path(cache) / "llama.cpp", home / "Library/Caches/llama.cpp"]):
        yield from _of_llamacpp(folder, patience)
    for folder in _folders([home / ".lmstudio/models", Path(cache) / "lm-studio/models"]):
        yield from _of_lmstudio(folder, patience)


def _folders(given: Sequence[Path | str | None]) -> list[Path]:
    """Those that exist, without links, each once."""
    there: dict[Path, None] = {}
    for one in given:
        try:
            if one and (path := Path(one).expanduser().resolve(strict=True)).is_dir():
                there[path] = None
        except (OSError, ValueError, RuntimeError):
            continue
    return list(there)


def _walk(root: Path, patience: _Patience, depth: int = 0) -> Iterator[Path]:
    """All files below, in order; folders that are links are not entered."""
    try:
        entries = sorted(os.scandir(root), key=lambda entry: entry.name)
    except OSError:
        return
    for entry in entries:
        patience.entries -= 1
        if patience.over:
            return
        try:
            if entry.is_dir(follow_symlinks=False):
                if depth < _DEEPEST:
                    yield from _walk(Path(entry.path), patience, depth + 1)
            else:
                yield Path(entry.path)
        except OSError:
            continue


def _file(path: Path, root: Path) -> tuple[Path, int] | None:
    """A regular file within `root`, links followed, and its size."""
    try:
        real = path.resolve(strict=True)
        status = real.stat()
    except (OSError, RuntimeError):
        return None
    return (real, status.st_size) if real.is_relative_to(root) and stat.S_ISREG(status.st_mode) else None


def _small(path: Path, root: Path, limit: int) -> bytes | None:
    found = _file(path, root)
    if found is None or found[1] > limit:
        return None
    try:
        with found[0].open("rb") as file:
            return file.read(limit)
    except OSError:
        return None


def _of_ollama(root: Path, patience: _Patience) -> Iterator[Found]:
    """manifests/HOST/NAMESPACE/NAME/TAG, and blobs/sha256-HEX."""
    for path in _walk(root / "manifests", patience):
        host, _, rest = path.relative_to(root / "manifests").as_posix().partition("/")
        name, _, tag = rest.rpartition("/")
        body = _small(path, root, _MANIFEST_LIMIT)
        if body is None or not name:
            continue
        try:
            reference = Reference.parse(f"{host}/{name}:{tag}")
            manifest = read_manifest(body, str(root))
            texts = {}
            for layer in texts_of(manifest):
                text = _small(root / "blobs" / f"sha256-{layer.sha256}", root, TEXT_LIMIT)
                if text is None or sha256_of(text) != layer.sha256:
                    break
                texts[layer.sha256] = text
            else:
                release = release_of(
                    reference,
                    manifest,
                    texts,
                    version=sha256_of(body),
                    source=f"{host}/{name}:{tag}",
                    where=lambda layer: (root / "blobs" / f"sha256-{layer.sha256}").as_uri(),
                )
                yield from _whole("ollama", release, [root / "blobs" / f"sha256-{part.sha256}" for part in release.parts], root)
        except HausgeistError:
            continue


def _of_hub(root: Path, patience: _Patience) -> Iterator[Found]:
    """models--OWNER--REPO: snapshots/COMMIT of links into blobs, which are called after the sha256 of large files."""
    for folder in sorted(root.glob("models--*--*")):
        if patience.over:
            return
        owner, _, repository = folder.name.removeprefix("models--").partition("--")
        snapshot = _snapshot(folder, root)
        if snapshot is not None:
            yield from _of_repository("huggingface", f"{owner}/{repository}", snapshot, folder.resolve(), patience)


def _snapshot(folder: Path, root: Path) -> Path | None:
    """The snapshot that `main` points to, or else the newest."""
    if folder.is_symlink() or not folder.is_dir():
        return None
    named = (_small(folder / "refs/main", root, 100) or b"").decode("ascii", "replace").strip()
    if re.fullmatch(r"[0-9a-f]{40,64}", named) and (folder / "snapshots" / named).is_dir():
        return folder / "snapshots" / named
    try:
        there = [entry for entry in os.scandir(folder / "snapshots") if entry.is_dir(follow_symlinks=False)]
        return Path(max(there, key=lambda entry: entry.stat().st_mtime).path) if there else None
    except OSError:
        return None


def _of_lmstudio(root: Path, patience: _Patience) -> Iterator[Found]:
    """OWNER/REPO/FILE."""
    for owner in sorted(root.glob("*/*")):
        if patience.over:
            return
        if owner.is_dir() and not owner.is_symlink() and not owner.parent.is_symlink():
            yield from _of_repository("lmstudio", owner.relative_to(root).as_posix(), owner, root, patience)


def _of_llamacpp(root: Path, patience: _Patience) -> Iterator[Found]:
    """Files side by side, each with a FILE.json that says where it came from."""
    for path in sorted(root.glob("*.gguf")):
        if patience.over:
            return
        if (at := _file(path, root)) is None or "mmproj" in path.name.lower():
            continue
        try:
            about = json.loads(_small(path.with_name(f"{path.name}.json"), root, 2**16) or b"{}")
            url = about.get("url") if isinstance(about, dict) else None
            reference = Reference.parse(url if isinstance(url, str) else str(path))
            part = Part(role="weights", url=at[0].as_uri(), filename=path.name, size=at[1])
            yield from _whole("llama.cpp", Release(reference=reference, version="", parts=(part,), source=str(path)), [path], root)
        except (HausgeistError, ValueError, RecursionError):
            continue


def _of_repository(tool: Tool, repository: str, folder: Path, root: Path, patience: _Patience) -> Iterator[Found]:
    """The models of a folder that looks like a repository of the hub."""
    at: dict[str, Path] = {}
    entries: list[Entry] = []
    for path in _walk(folder, patience):
        if path.suffix.lower() == ".gguf" and (file := _file(path, root)) is not None:
            inside = path.relative_to(folder).as_posix()
            at[inside] = path
            entries.append(Entry(inside, file[1], file[0].name if _SHA256.fullmatch(file[0].name) else ""))
    for choice in variants_of(entries):
        projector = projector_for(entries, choice)
        parts = [
            Part(role="weights", url=at[entry.path].as_uri(), filename=entry.filename, size=entry.size, sha256=entry.sha256)
            for entry in choice.entries
        ]
        files = [at[entry.path] for entry in choice.entries]
        if projector is not None:
            uri = at[projector.path].as_uri()
            parts.append(Part(role="projector", url=uri, filename=projector.filename, size=projector.size, sha256=projector.sha256))
            files.append(at[projector.path])
        if choice.missing:
            continue
        try:
            reference = Reference.parse(f"{HUB}/{repository}:{choice.name}")
        except HausgeistError:
            continue
        release = Release(reference=reference, version=version_of(parts), parts=tuple(parts), source=f"{HUB}/{repository}:{choice.name}")
        yield from _whole(tool, release, files, root)


def _whole(tool: Tool, release: Release, paths: Sequence[Path], root: Path) -> Iterator[Found]:
    """The model, if all its files are there in their sizes."""
    files = []
    for part, path in zip(release.parts, paths, strict=True):
        file = _file(path, root)
        if file is None or file[1] != part.size or not file[1]:
            return
        files.append(file[0])
    try:
        str(release.reference.name)
    except HausgeistError:
        return
    yield Found(tool, release, tuple(files), tuple(paths))
