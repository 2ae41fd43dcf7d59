"""What defines a model, as it is kept: its files, template, system prompt, parameters. Its digest, and the `InstalledModel` it becomes.

A file is either a blob (its sha256 is known) or lies in place where its owner put it, known by size, time and a digest of its header: the
hundred gigabytes behind that are never read just to know whether they are the same.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict, dataclass, field, fields, replace
from pathlib import Path
from typing import Any, Final

from hausgeist.errors import InvalidRequest
from hausgeist.library.gguf.header import Header
from hausgeist.library.split import split_path
from hausgeist.model import Adapter, InstalledModel, ModelOptions, Shape, Task
from hausgeist.settings import ModelSection

__all__ = ["AdapterRef", "Definition", "FileRef", "file_in_place", "launch_options", "launch_tasks"]

_VERSION: Final = 1
_CHUNK: Final = 2**20
_TEXTS: Final = ("template", "system", "licence", "source", "notice", "upstream")


@dataclass(frozen=True, slots=True, kw_only=True)
class FileRef:
    """One file of a model: `blob` is its sha256 in hex, or else `path` says where it lies."""

    blob: str = ""
    path: Path | None = None
    size: int = 0
    mtime_ns: int = 0
    header: str = ""

    def at(self, blob_path: Callable[[str], Path]) -> Path:
        return self.path if self.path is not None else blob_path(self.blob)

    @property
    def identity(self) -> dict[str, Any]:
        """What makes it this file and no other; where it lies does not."""
        return {"sha256": self.blob} if self.blob else {"size": self.size, "mtime_ns": self.mtime_ns, "header": self.header}

    def to_json(self) -> dict[str, Any]:
        return {"blob": self.blob, "size": self.size} if self.blob else {"path": str(self.path), **self.identity}

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> FileRef:
        if blob := value.get("blob"):
            return cls(blob=str(blob), size=int(value["size"]))
        return cls(path=Path(value["path"]), size=int(value["size"]), mtime_ns=int(value["mtime_ns"]), header=str(value["header"]))


@dataclass(frozen=True, slots=True)
class AdapterRef:
    """A LoRA adapter of a model, and how strongly it is applied."""

    file: FileRef
    scale: float = 1.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Definition:
    """A model without its name."""

    engine: str
    files: tuple[FileRef, ...] = ()
    """The weights, in order where they were split."""
    projector: FileRef | None = None
    adapters: tuple[AdapterRef, ...] = ()
    shape: Shape = field(default_factory=Shape)
    tasks: tuple[Task, ...] = ("generate",)
    template: str = ""
    go_template: str = ""
    """What `template` was translated from, or what could not be, where it came in Go's language: for pushing the model on."""
    system: str = ""
    parameters: Mapping[str, Any] = field(default_factory=dict)
    messages: tuple[Mapping[str, str], ...] = ()
    """Examples that begin every conversation: role and content."""
    licence: str = ""
    source: str = ""
    notice: str = ""
    upstream: str = ""
    reference: str = ""
    """What it was installed by, where it was: the text that asks its source for a newer version."""
    version: str = ""
    """What its source called these very bytes when it was installed."""

    def refs(self) -> Iterator[FileRef]:
        yield from self.files
        if self.projector is not None:
            yield self.projector
        yield from (adapter.file for adapter in self.adapters)

    @property
    def blobs(self) -> frozenset[str]:
        return frozenset(ref.blob for ref in self.refs() if ref.blob)

    @property
    def parts(self) -> tuple[str, ...]:
        """The blobs of weights that come in several files; empty where they do not, or lie in place."""
        digests = tuple(ref.blob for ref in self.files if ref.blob)
        return digests if len(digests) == len(self.files) > 1 else ()

    @property
    def digest(self) -> str:
        """The same for the same model, whatever it is called, whenever it was made."""
        what = {
            "engine": self.engine,
            "files": [ref.identity for ref in self.files],
            "projector": self.projector.identity if self.projector else None,
            "adapters": [[adapter.file.identity, adapter.scale] for adapter in self.adapters],
            "template": self.template,
            "system": self.system,
            "parameters": dict(self.parameters),
            "licence": self.licence,
            "upstream": self.upstream,
            **({"messages": [dict(message) for message in self.messages]} if self.messages else {}),
        }
        return hashlib.sha256(json.dumps(what, sort_keys=True, separators=(",", ":")).encode()).hexdigest()

    def installed(
        self,
        name: str,
        *,
        modified: float,
        blob_path: Callable[[str], Path],
        section: ModelSection | None = None,
        options: ModelOptions | None = None,
        removable: bool = True,
    ) -> InstalledModel:
        """The model under this name, launched as its parameters, the settings (`section`) and this start (`options`) say, in rising strength."""
        launch = launch_options(self._options(blob_path), section, options)
        vision = self.shape.vision or launch.projector is not None
        return InstalledModel(
            id=name,
            engine=self.engine,
            path=self._path(blob_path),
            digest=self.digest,
            modified=modified,
            shape=replace(self.shape, vision=vision) if vision != self.shape.vision else self.shape,
            tasks=launch_tasks(self.tasks, launch),
            options=launch,
            system=self.system,
            template=self.template,
            parameters=self.parameters,
            messages=self.messages,
            licence=self.licence or self.shape.licence,
            source=self.source,
            notice=self.notice,
            upstream=self.upstream,
            reference=self.reference,
            version=self.version,
            removable=removable,
        )

    def _path(self, blob_path: Callable[[str], Path]) -> Path | None:
        if self.parts:
            return split_path(self.parts, blob_path)
        return self.files[0].at(blob_path) if self.files else None

    def _options(self, blob_path: Callable[[str], Path]) -> ModelOptions:
        threads = self.parameters.get("num_thread", 0)
        layers = self.parameters.get("num_gpu", -1)
        return ModelOptions(
            # Ollama's words for "decide yourself" are 0 threads and -1 layers.
            threads=threads if threads > 0 else None,
            gpu_layers=layers if layers >= 0 else None,
            projector=self.projector.at(blob_path) if self.projector else None,
            adapters=tuple(Adapter(adapter.file.at(blob_path), adapter.scale) for adapter in self.adapters),
        )

    def to_json(self) -> str:
        return json.dumps(
            {
                "version": _VERSION,
                "engine": self.engine,
                "files": [ref.to_json() for ref in self.files],
                "projector": self.projector.to_json() if self.projector else None,
                "adapters": [{"file": adapter.file.to_json(), "scale": adapter.scale} for adapter in self.adapters],
                "shape": asdict(self.shape),
                "tasks": list(self.tasks),
                **{name: getattr(self, name) for name in _TEXTS},
                "go_template": self.go_template,
                "reference": self.reference,
                "release": self.version,
                "parameters": dict(self.parameters),
                "messages": [dict(message) for message in self.messages],
            }
        )

    @classmethod
    def from_json(cls, text: str) -> Definition:
        """Raises `ValueError` for what this version did not write."""
        try:
            value = json.loads(text)
            if value["version"] != _VERSION:
                raise ValueError(f"version {value['version']}")
            known = {one.name for one in fields(Shape)}
            return cls(
                engine=value["engine"],
                files=tuple(FileRef.from_json(ref) for ref in value["files"]),
                projector=FileRef.from_json(value["projector"]) if value["projector"] else None,
                adapters=tuple(AdapterRef(FileRef.from_json(one["file"]), float(one["scale"])) for one in value["adapters"]),
                shape=Shape(**{name: part for name, part in value["shape"].items() if name in known}),
                tasks=tuple(value["tasks"]),
                parameters=value["parameters"],
                messages=tuple({"role": str(one["role"]), "content": str(one["content"])} for one in value.get("messages", ())),
                **{name: value[name] for name in _TEXTS},
                # The first rows do not have these.
                go_template=str(value.get("go_template", "")),
                reference=str(value.get("reference", "")),
                version=str(value.get("release", "")),
            )
        except (KeyError, TypeError, AttributeError) as error:
            raise ValueError(f"not a definition: {error!r}") from error


def file_in_place(path: Path, header: Header) -> FileRef:
    """How a file that is not ours is known. Reads its header once more; call it off the event loop. Raises `InvalidRequest`."""
    digest = hashlib.sha256()
    try:
        with path.open("rb") as file:
            left = header.data_offset
            while left > 0 and (chunk := file.read(min(left, _CHUNK))):
                digest.update(chunk)
                left -= len(chunk)
        status = path.stat()
    except OSError as error:
        raise InvalidRequest(f"{path} cannot be read: {error.strerror or error}.") from error
    return FileRef(path=path, size=status.st_size, mtime_ns=status.st_mtime_ns, header=digest.hexdigest())


def launch_options(options: ModelOptions, section: ModelSection | None, start: ModelOptions | None = None) -> ModelOptions:
    """The options, overridden by what the settings say, overridden by what this start says."""
    if section is not None:
        given = {name: getattr(section, name) for name in section.model_fields_set - {"path"}}
        if "adapters" in given:
            given["adapters"] = tuple(Adapter(path.expanduser().absolute()) for path in section.adapters)
        for name in ("projector", "draft"):
            if given.get(name) is not None:
                given[name] = given[name].expanduser().absolute()
        options = replace(options, **given)
    if start is not None:
        plain = ModelOptions()
        options = replace(options, **{one.name: value for one in fields(start) if (value := getattr(start, one.name)) != getattr(plain, one.name)})
    return options


def launch_tasks(tasks: tuple[Task, ...], options: ModelOptions) -> tuple[Task, ...]:
    """What the model is good for when it is launched like this."""
    if options.task is not None:
        return (options.task,)
    if options.pooling == "rank":
        return ("rerank",)
    if options.pooling is not None and options.pooling != "none" and "rerank" in tasks:
        return ("embed",)
    return tasks
