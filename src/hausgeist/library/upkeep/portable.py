"""Models as one file, for machines that reach nothing: a GGUF file as it is, or, with all that belongs to models, an OCI image layout in a tar
archive, which other tools read as well.

    oci-layout, index.json           which models there are, by name
    blobs/sha256/<hex>               a manifest and a config per model, and the files that they share

Nothing is compressed: weights cannot be, and what is not compressed cannot burst. All is verified while it is read; a file with anything wrong
in it installs nothing.
"""

from __future__ import annotations

import asyncio
import hashlib
import json
import re
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from hausgeist.errors import InvalidRequest, NotFound, NotSupported, shown
from hausgeist.library.assembly import Fetched, assemble
from hausgeist.library.definition import Definition, FileRef
from hausgeist.library.reference import public
from hausgeist.library.service import Library
from hausgeist.library.sources.base import Role
from hausgeist.library.upkeep.tar import END, TarReader, framed, head, padding
from hausgeist.model import InstalledModel
from hausgeist.store.blobs import Blobs

__all__ = ["Export", "Portable"]

_INDEX: Final = "application/vnd.oci.image.index.v1+json"
_MANIFEST: Final = "application/vnd.oci.image.manifest.v1+json"
_CONFIG: Final = "application/vnd.hausgeist.model.v1+json"
_LAYERS: Final[dict[Role, str]] = {
    "weights": "application/vnd.ollama.image.model",
    "projector": "application/vnd.ollama.image.projector",
    "adapter": "application/vnd.ollama.image.adapter",
}
_NAME: Final = "org.opencontainers.image.ref.name"
_BLOB: Final = re.compile(r"blobs/sha256/(?P<hex>[0-9a-f]{64})")
_DIGEST: Final = re.compile(r"sha256:[0-9a-f]{64}")
_LAYOUT: Final = b'{"imageLayoutVersion":"1.0.0"}'
_CHUNK: Final = 2**20
_MAGIC: Final = b"GGUF"
_LARGEST_DOCUMENT: Final = 4 * 2**20
_MOST_MODELS: Final = 1000
_TEXTS: Final = ("template", "go_template", "system", "licence", "source", "notice", "reference", "version")


@dataclass(frozen=True, slots=True)
class Export:
    """An archive that is still to be written: its length, and its bytes."""

    size: int
    chunks: AsyncGenerator[bytes, None]


@dataclass(frozen=True, slots=True)
class _Item:
    """A file of the archive: bytes in hand, or where they lie."""

    name: str
    size: int
    content: bytes | Path


@dataclass(slots=True)
class _Seen:
    """What an archive had in it so far."""

    names: set[str] = field(default_factory=set)
    index: bytes = b""
    manifests: frozenset[str] = frozenset()
    """Those that the index names."""
    fits: bool = False
    """All that the manifests name fits on the disk."""
    blobs: dict[str, int] = field(default_factory=dict)
    added: set[str] = field(default_factory=set)
    """Those that were not here before."""


class Portable:
    """Of the models of a library."""

    def __init__(self, *, library: Library, blobs: Blobs) -> None:
        self._library = library
        self._blobs = blobs

    async def export(self, names: Sequence[str]) -> Export:
        """These models in one file; what they share is in it once. Raises `ModelNotFound`, `NotSupported`."""
        if not names:
            raise InvalidRequest("Name at least one model to export.", param="models")
        models = {self._library.get(name).id: self._library.definition(name) for name in names}
        files: dict[str, _Item] = {}
        documents: dict[str, _Item] = {}
        described = []
        for name, definition in models.items():
            if not definition.files:
                raise NotSupported(f"'{name}' has no files here: another server runs it.", param="models")
            layers = [await self._layer(role, ref, files) for role, ref in _layers(definition)]
            config = _document(documents, _CONFIG, _config(definition))
            manifest = {"schemaVersion": 2, "mediaType": _MANIFEST, "artifactType": _CONFIG, "config": config, "layers": layers}
            described.append({**_document(documents, _MANIFEST, manifest), "annotations": {_NAME: name}})
        index = json.dumps({"schemaVersion": 2, "mediaType": _INDEX, "manifests": described}, indent=1).encode()
        items = [
            _Item("oci-layout", len(_LAYOUT), _LAYOUT),
            _Item("index.json", len(index), index),
            *documents.values(),
            *files.values(),
        ]
        size = sum(framed(item.name, item.size) for item in items) + len(END)
        held = frozenset(blob for definition in models.values() for blob in definition.blobs)
        return Export(size, self._written(items, held))

    async def bring(self, chunks: AsyncIterator[bytes]) -> list[InstalledModel]:
        """Install all models of an archive. Ones that have their names are kept as their versions before.

        Raises `InvalidRequest` saying what is wrong with it, `Conflict`, `DiskFull`; then nothing was installed.
        """
        seen = _Seen()
        try:
            with self._library.holding(()) as hold:
                await self._read(TarReader(chunks), seen, hold)
                found = await asyncio.to_thread(self._definitions, seen)
                for name in found:
                    self._library.check_name(name)
                return [await self._library.install(name, definition) for name, definition in found.items()]
        finally:
            # The documents of the archive, and all of it when something was wrong.
            await asyncio.shield(self._library.discard(frozenset(seen.added)))

    async def take(self, chunks: AsyncIterator[bytes], name: str, *, size: int = 0) -> InstalledModel:
        """Install one GGUF file under a name. `size`: bytes that were announced; 0: none were.

        Raises `InvalidRequest` for what is no model, `Conflict`, `DiskFull`; then nothing was installed.
        """
        called = str(self._library.check_name(name))
        digest = ""
        try:
            with self._library.holding(()) as hold:
                digest = await self._blobs.add(_of_gguf(chunks), size=size)
                hold(digest)
                definition = await asyncio.to_thread(assemble, self._blobs, Fetched(weights=(digest,)))
                return await self._library.install(called, definition)
        except InvalidRequest:
            if digest:
                await asyncio.shield(self._library.discard(frozenset({digest})))
            raise

    async def _layer(self, role: Role, ref: FileRef, files: dict[str, _Item]) -> dict[str, Any]:
        path = ref.at(self._blobs.path)
        digest, size = (ref.blob, ref.size) if ref.blob else await asyncio.to_thread(_hashed, path)
        files[digest] = _Item(f"blobs/sha256/{digest}", size, path)
        return {"mediaType": _LAYERS[role], "digest": f"sha256:{digest}", "size": size}

    async def _written(self, items: Sequence[_Item], held: frozenset[str]) -> AsyncGenerator[bytes, None]:
        with self._library.holding(held):
            for item in items:
                yield head(item.name, item.size)
                if isinstance(item.content, bytes):
                    yield item.content
                else:
                    async for chunk in _contents(item.content, item.size):
                        yield chunk
                if fill := padding(item.size):
                    yield fill
            yield END

    async def _read(self, archive: TarReader, seen: _Seen, hold: Callable[[str], None]) -> None:
        async for entry in archive.entries():
            name = entry.name.removeprefix("./")
            if name in seen.names:
                raise InvalidRequest(f"The archive has '{shown(name)}' twice.")
            seen.names.add(name)
            if name == "index.json":
                seen.index = await archive.read(_LARGEST_DOCUMENT)
                seen.manifests = frozenset(digest for digest, _ in _described(_json(seen.index, name), "manifests"))
            elif blob := _BLOB.fullmatch(name):
                await self._take(archive, blob["hex"], entry.size, seen, hold)
            elif name != "oci-layout":
                raise InvalidRequest(f"'{shown(name)}' does not belong into a file of models; was it made by 'hausgeist export'?")

    async def _take(self, archive: TarReader, digest: str, size: int, seen: _Seen, hold: Callable[[str], None]) -> None:
        hold(digest)
        if not self._blobs.has(digest):
            if not seen.fits and seen.manifests and seen.manifests <= seen.blobs.keys():
                # As 'export' writes them, all texts come first: now it is known what will follow.
                self._blobs.space.require(await asyncio.to_thread(self._missing, seen))
                seen.fits = True
            await self._blobs.add(archive.body(), expected=digest, size=size)
            seen.added.add(digest)
        seen.blobs[digest] = size

    def _missing(self, seen: _Seen) -> int:
        """Bytes of the files that the manifests name and that are not here."""
        layers: dict[str, int] = {}
        for digest in seen.manifests:
            if self._blobs.size(digest) <= _LARGEST_DOCUMENT:
                with self._blobs.open(digest) as file:
                    layers.update(_described(_json(file.read(_LARGEST_DOCUMENT), "a manifest"), "layers"))
        return sum(size for digest, size in layers.items() if not self._blobs.has(digest))

    def _definitions(self, seen: _Seen) -> dict[str, Definition]:
        """All models of the archive, by name, each verified to be whole."""
        index = _json(seen.index, "index.json")
        manifests = index.get("manifests")
        if not isinstance(manifests, list) or not 0 < len(manifests) <= _MOST_MODELS:
            raise InvalidRequest("There is no model in this file (index.json names none); was it made by 'hausgeist export'?")
        found: dict[str, Definition] = {}
        for descriptor in manifests:
            name = str(_field(descriptor, "annotations", dict).get(_NAME, ""))
            if name in found:
                raise InvalidRequest(f"The file has two models called '{shown(name)}'.")
            manifest = self._document(seen, descriptor, "a manifest")
            found[name] = assemble(self._blobs, self._fetched(seen, manifest))
        return found

    def _fetched(self, seen: _Seen, manifest: Mapping[str, Any]) -> Fetched:
        config_at = _field(manifest, "config", dict)
        if config_at.get("mediaType") != _CONFIG:
            raise InvalidRequest("This is an image, but not one of a model that 'hausgeist export' wrote.")
        config = self._document(seen, config_at, "a config")
        by_type: dict[str, list[str]] = {media_type: [] for media_type in _LAYERS.values()}
        for layer in _field(manifest, "layers", list):
            media_type = layer.get("mediaType") if isinstance(layer, dict) else None
            if not isinstance(media_type, str) or media_type not in by_type:
                raise InvalidRequest(f"A model in this file has a part of the unknown kind '{shown(str(media_type))}'.")
            by_type[media_type].append(self._digest(seen, layer))
        projectors = by_type[_LAYERS["projector"]]
        if len(projectors) > 1:
            raise InvalidRequest("A model in this file has more than one projector.")
        parameters, messages = _field(config, "parameters", dict), _field(config, "messages", list)
        if not all(isinstance(message, dict) for message in messages):
            raise InvalidRequest("A model in this file has example messages that are none.")
        texts = {name: _field(config, name, str) for name in _TEXTS}
        return Fetched(
            weights=tuple(by_type[_LAYERS["weights"]]),
            projector=next(iter(projectors), ""),
            adapters=tuple(by_type[_LAYERS["adapter"]]),
            parameters=parameters,
            messages=messages,
            **texts,
        )

    def _digest(self, seen: _Seen, descriptor: Mapping[str, Any]) -> str:
        """Of a file that came with the archive, in hex."""
        digest = str(descriptor.get("digest", "")).removeprefix("sha256:")
        if digest not in seen.blobs:
            raise InvalidRequest(f"The file names a part (sha256:{shown(digest, 64)}) that is not in it; it was not copied whole.")
        if descriptor.get("size") != seen.blobs[digest]:
            raise InvalidRequest(f"The part sha256:{digest} has another size than the file says.")
        return digest

    def _document(self, seen: _Seen, descriptor: Any, what: str) -> dict[str, Any]:
        if not isinstance(descriptor, dict):
            raise InvalidRequest("The file is damaged: it does not say where its parts are.")
        digest = self._digest(seen, descriptor)
        if self._blobs.size(digest) > _LARGEST_DOCUMENT:
            raise InvalidRequest(f"{what.capitalize()} in the file is larger than the {_LARGEST_DOCUMENT} bytes that it may have.")
        with self._blobs.open(digest) as file:
            return _json(file.read(_LARGEST_DOCUMENT), what)


def _layers(definition: Definition) -> list[tuple[Role, FileRef]]:
    found: list[tuple[Role, FileRef]] = [("weights", ref) for ref in definition.files]
    if definition.projector is not None:
        found.append(("projector", definition.projector))
    return found + [("adapter", adapter.file) for adapter in definition.adapters]


def _config(definition: Definition) -> dict[str, Any]:
    return {
        **{name: getattr(definition, name) for name in _TEXTS},
        "reference": public(definition.reference),
        "parameters": dict(definition.parameters),
        "messages": [dict(message) for message in definition.messages],
    }


def _document(documents: dict[str, _Item], media_type: str, value: Mapping[str, Any]) -> dict[str, Any]:
    """Put it among the documents; returns the descriptor that points to it."""
    content = json.dumps(value, sort_keys=True, ensure_ascii=False).encode("utf-8", "replace")
    digest = hashlib.sha256(content).hexdigest()
    documents[digest] = _Item(f"blobs/sha256/{digest}", len(content), content)
    return {"mediaType": media_type, "digest": f"sha256:{digest}", "size": len(content)}


def _hashed(path: Path) -> tuple[str, int]:
    """Of a file that lies in place."""
    try:
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest(), path.stat().st_size
    except OSError as error:
        raise NotFound(f"{path} cannot be read: {error.strerror or error}.") from error


async def _of_gguf(chunks: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
    """The same, once the first bytes have said that it is one: nobody shall send gigabytes to hear that it is not."""
    begun = b""
    async for chunk in chunks:
        if len(begun) >= len(_MAGIC):
            yield chunk
            continue
        begun += chunk
        if begun and not _MAGIC.startswith(begun[: len(_MAGIC)]):
            raise InvalidRequest("This is no GGUF file: it does not begin like one.")
        if len(begun) >= len(_MAGIC):
            yield begun
    if len(begun) < len(_MAGIC):
        raise InvalidRequest("This is no GGUF file: it is empty, or was cut short.")


async def _contents(path: Path, size: int) -> AsyncGenerator[bytes, None]:
    """Exactly so many bytes of a file. Raises `InvalidRequest` where it has become shorter: what was announced cannot be kept."""
    left = size
    try:
        with path.open("rb") as file:
            while left:
                chunk = await asyncio.to_thread(file.read, min(left, _CHUNK))
                if not chunk:
                    raise InvalidRequest("A file of the model became shorter while it was exported.")
                left -= len(chunk)
                yield chunk
    except OSError as error:
        raise NotFound(f"A file of the model cannot be read: {error.strerror or error}.") from error


def _described(document: Mapping[str, Any], name: str) -> Iterator[tuple[str, int]]:
    """Digest and size of all in a list of descriptors that has them; what is wrong with the others is found when they are needed."""
    found = document.get(name)
    for one in found if isinstance(found, list) else ():
        digest, size = (one.get("digest"), one.get("size")) if isinstance(one, dict) else (None, None)
        if isinstance(digest, str) and _DIGEST.fullmatch(digest) and isinstance(size, int) and size >= 0:
            yield digest.removeprefix("sha256:"), size


def _json(content: bytes, what: str) -> dict[str, Any]:
    try:
        value = json.loads(content)
    except (ValueError, RecursionError) as error:
        raise InvalidRequest(f"{what.capitalize()} in the file is not JSON.") from error
    if not isinstance(value, dict):
        raise InvalidRequest(f"{what.capitalize()} in the file is not what it should be.")
    return value


def _field(value: Any, name: str, kind: type) -> Any:
    found = value.get(name, kind()) if isinstance(value, dict) else None
    if not isinstance(found, kind):
        raise InvalidRequest(f"The file is damaged: '{name}' is not what it should be.")
    return found
