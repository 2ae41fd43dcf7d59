"""An installed model as a manifest in Ollama's layout: what `sources.manifest` reads back. Pure.

The same model makes the same bytes, so that pushing it again changes nothing. What only this house needs to know stays here: where a model came
from, where its files lie, how it is launched.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from hausgeist.library.definition import Definition, FileRef
from hausgeist.library.sources.base import Role
from hausgeist.library.sources.manifest import JINJA

__all__ = ["MANIFEST", "Layer", "config_of", "files_of", "manifest_of", "notice_of", "texts_of"]

MANIFEST: Final = "application/vnd.docker.distribution.manifest.v2+json"
_CONFIG: Final = "application/vnd.docker.container.image.v1+json"
_IMAGE: Final = "application/vnd.ollama.image."
_KINDS: Final[dict[Role, str]] = {"weights": "model", "projector": "projector", "adapter": "adapter"}
_UNITS: Final = ((10**9, "B", 1), (10**6, "M", 2), (10**3, "K", 2))


@dataclass(frozen=True, slots=True)
class Layer:
    """One blob of a registry. `name` is for people; `content` the bytes, or where they lie."""

    media_type: str
    name: str
    sha256: str
    size: int
    content: bytes | Path

    @property
    def descriptor(self) -> dict[str, Any]:
        return {"mediaType": self.media_type, "digest": f"sha256:{self.sha256}", "size": self.size}

    @classmethod
    def of_file(cls, role: Role, name: str, sha256: str, size: int, path: Path) -> Layer:
        return cls(_IMAGE + _KINDS[role], name, sha256, size, path)

    @classmethod
    def of_text(cls, media_type: str, content: bytes) -> Layer:
        name = media_type.removeprefix(_IMAGE)
        return cls(media_type, "config" if media_type == _CONFIG else name, hashlib.sha256(content).hexdigest(), len(content), content)


def files_of(definition: Definition) -> list[tuple[Role, FileRef]]:
    """Weights in their order, projector, adapters."""
    found: list[tuple[Role, FileRef]] = [("weights", ref) for ref in definition.files]
    if definition.projector is not None:
        found.append(("projector", definition.projector))
    return found + [("adapter", adapter.file) for adapter in definition.adapters]


def texts_of(definition: Definition) -> list[Layer]:
    """The small layers. A template that is not in Go's language is in a layer that Ollama passes over: it could make nothing of it."""
    template = {_IMAGE + "template": definition.go_template} if definition.go_template else {JINJA: definition.template}
    texts = {**template, _IMAGE + "system": definition.system, _IMAGE + "license": definition.licence}
    layers = [Layer.of_text(kind, text.encode("utf-8", "replace")) for kind, text in texts.items() if text]
    if definition.parameters:
        layers.append(Layer.of_text(_IMAGE + "params", _json(dict(definition.parameters))))
    if definition.messages:
        layers.append(Layer.of_text(_IMAGE + "messages", _json([dict(message) for message in definition.messages])))
    return layers


def config_of(definition: Definition, layers: Sequence[Layer]) -> Layer:
    """What lists of models show without a look into the weights."""
    shape = definition.shape
    families = [shape.architecture] if shape.architecture else []
    config: Mapping[str, Any] = {
        "model_format": "gguf",
        "model_family": shape.architecture,
        "model_families": [*families, "clip"] if definition.projector is not None else families,
        "model_type": _count(shape.parameters),
        "file_type": shape.quantization,
        "architecture": "amd64",
        "os": "linux",
        "rootfs": {"type": "layers", "diff_ids": [f"sha256:{layer.sha256}" for layer in layers]},
    }
    return Layer.of_text(_CONFIG, _json(config))


def manifest_of(config: Layer, layers: Sequence[Layer]) -> bytes:
    return _json(
        {"schemaVersion": 2, "mediaType": MANIFEST, "config": config.descriptor, "layers": [layer.descriptor for layer in layers]},
    )


def notice_of(definition: Definition) -> str:
    """What whoever pushes this should know, in sentences."""
    notices = []
    if "generate" in definition.tasks and not definition.go_template:
        notices.append("It has no chat template in Ollama's language: Ollama will pass prompts on as they are; Hausgeist uses the one it has.")
    if len(definition.files) > 1:
        notices.append(f"Its weights are {len(definition.files)} files, which Hausgeist puts together and Ollama does not.")
    return " ".join(notices)


def _json(value: Any) -> bytes:
    return json.dumps(value, ensure_ascii=False, separators=(",", ":")).encode("utf-8", "replace")


def _count(parameters: int) -> str:
    """7.6B, 494.03M: as Ollama rounds."""
    return next((f"{parameters / unit:.{digits}f}{letter}" for unit, letter, digits in _UNITS if parameters >= unit), "")
