"""What a manifest in Ollama's layout says: which layers are weights, which are texts, and what the texts mean. Pure; fetching is `ollama`'s.

Manifests and texts come from strangers: everything in them is checked before it is believed.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from hausgeist.errors import HausgeistError, InvalidRequest, NotSupported, shown
from hausgeist.library.parameters import checked_parameters
from hausgeist.library.reference import Reference
from hausgeist.library.sources.base import Part, Release, Role
from hausgeist.library.sources.outbound import parse_json
from hausgeist.library.templates import Untranslatable, translate

__all__ = ["JINJA", "TEXT_LIMIT", "Layer", "Manifest", "Texts", "read_manifest", "release_of", "texts_of"]

TEXT_LIMIT: Final = 2 * 2**20
_IMAGE: Final = "application/vnd.ollama.image."
_TEXTS_LIMIT: Final = 8 * 2**20
_MOST_LAYERS: Final = 1024
_MOST_TEXTS: Final = 64
_MOST_MESSAGES: Final = 1000
_LARGEST: Final = 2**46
_DIGEST: Final = re.compile(r"sha256:[0-9a-f]{64}")
_FILES: Final[dict[str, Role]] = {"model": "weights", "projector": "projector", "adapter": "adapter"}
JINJA: Final = "application/vnd.hausgeist.template.jinja"
"""The kind of a layer that Ollama passes over: a chat template that is not in Go's language."""
_TEXTS: Final = ("template", JINJA, "system", "params", "messages", "license")


@dataclass(frozen=True, slots=True)
class Layer:
    """One layer: the last word of its media type (model, template, ...) or all of a foreign one, its digest in hex, its size in bytes."""

    kind: str
    sha256: str
    size: int


@dataclass(frozen=True, slots=True)
class Manifest:
    """What a manifest says. `config` is empty in kind where there is none."""

    config: Layer
    layers: tuple[Layer, ...]


Texts = Mapping[str, bytes]
"""Small layers by their sha256."""


def read_manifest(body: bytes, host: str) -> Manifest:
    """Raises `InvalidRequest` for what is no manifest, `NotSupported` for one of several images."""
    value = parse_json(body, f"manifest from {host}")
    if not isinstance(value, dict) or value.get("schemaVersion") != 2:
        raise InvalidRequest(f"What {host} sent is not a manifest of a model.")
    if "manifests" in value:
        raise NotSupported(f"{host} has an index of container images under this name, not a model in Ollama's layout.")
    layers = value.get("layers")
    if not isinstance(layers, list) or len(layers) > _MOST_LAYERS:
        raise InvalidRequest(f"The manifest from {host} has no list of at most {_MOST_LAYERS} layers.")
    config = value.get("config")
    return Manifest(_layer(config, host, config=True) if config else Layer("", "", 0), tuple(_layer(layer, host) for layer in layers))


def _layer(value: Any, host: str, *, config: bool = False) -> Layer:
    if not isinstance(value, dict):
        raise InvalidRequest(f"A layer in the manifest from {host} is not an object.")
    kind, digest, size = value.get("mediaType"), value.get("digest"), value.get("size")
    if not isinstance(digest, str) or not _DIGEST.fullmatch(digest):
        raise InvalidRequest(f"A layer in the manifest from {host} has no sha256 digest.")
    if isinstance(size, bool) or not isinstance(size, int) or not 0 <= size <= _LARGEST:
        raise InvalidRequest(f"A layer in the manifest from {host} has no believable size.")
    if not isinstance(kind, str):
        raise InvalidRequest(f"A layer in the manifest from {host} does not say what it is.")
    return Layer("config" if config else kind.partition(";")[0].removeprefix(_IMAGE), digest.removeprefix("sha256:"), size)


def texts_of(manifest: Manifest) -> tuple[Layer, ...]:
    """The small layers that `release_of` wants. Raises `InvalidRequest` when they are many or not small."""
    wanted = tuple(layer for layer in (manifest.config, *manifest.layers) if layer.kind in {"config", *_TEXTS})
    for layer in wanted:
        if layer.size > TEXT_LIMIT:
            raise InvalidRequest(f"A {layer.kind} of {layer.size} bytes is larger than the {TEXT_LIMIT} that are accepted; nothing was installed.")
    if len(wanted) > _MOST_TEXTS or sum(layer.size for layer in wanted) > _TEXTS_LIMIT:
        raise InvalidRequest(f"The texts beside the weights are more than {_MOST_TEXTS}, or larger than {_TEXTS_LIMIT} bytes.")
    return wanted


def release_of(reference: Reference, manifest: Manifest, texts: Texts, *, version: str, source: str, where: Callable[[Layer], str]) -> Release:
    """A release from a manifest and its texts, however they were read. `where(layer)` is the address of a layer.

    Raises `NotSupported` for models of another kind, `InvalidRequest` for texts that make no sense.
    """
    config = _object(texts, manifest.config, "config")
    _servable(reference, config, manifest)
    notices: list[str] = []
    found = {kind: [texts[layer.sha256] for layer in manifest.layers if layer.kind == kind] for kind in _TEXTS}
    unknown = sorted({layer.kind for layer in manifest.layers} - {*_FILES, *_TEXTS, "embed"})
    if unknown:
        notices.append(f"Left out, as not known here: {shown(', '.join(unknown))}.")
    template = "".join(_decoded(text, "template") for text in found[JINJA][-1:])
    go_template = ""
    if not template and found["template"] and not config.get("renderer"):
        # Where the configuration names a renderer, Ollama itself does not use the template either.
        go_template = _decoded(found["template"][-1], "template")
        try:
            template = translate(go_template)
        except Untranslatable as error:
            notices.append(f"Its chat template is the one in the weights, as Ollama's cannot be translated ({error}).")
    parameters, dropped = _parameters(texts, [layer for layer in manifest.layers if layer.kind == "params"])
    if dropped:
        notices.append(f"Parameters that would change nothing here were left out: {', '.join(dropped)}.")
    return Release(
        reference=reference,
        version=version,
        parts=_parts(reference, manifest, where),
        template=template,
        go_template=go_template,
        system="\n\n".join(_decoded(text, "system") for text in found["system"][-1:]),
        parameters=parameters,
        messages=_messages(texts, [layer for layer in manifest.layers if layer.kind == "messages"]),
        licence="\n\n".join(_decoded(text, "licence") for text in found["license"]),
        source=source,
        notice=" ".join(notices),
    )


def _servable(reference: Reference, config: Mapping[str, Any], manifest: Manifest) -> None:
    kinds = {layer.kind for layer in manifest.layers}
    if config.get("remote_host") or config.get("remote_model"):
        raise NotSupported(f"'{reference}' runs on Ollama's own servers: there are no weights that could run here. Choose a tag without 'cloud'.")
    if "tensor" in kinds or str(config.get("model_format") or "gguf").lower() != "gguf":
        other = shown(str(config.get("model_format") or "tensors"), 30)
        raise NotSupported(f"'{reference}' is stored as {other}, not as GGUF, which is what is served here. Choose another tag of the model.")
    if "model" not in kinds:
        raise NotSupported(f"'{reference}' holds no weights of a model ({shown(', '.join(sorted(kinds)) or 'no layers')}).")


def _parts(reference: Reference, manifest: Manifest, where: Callable[[Layer], str]) -> tuple[Part, ...]:
    """Weights, projectors, adapters. Ollama's files have no names; they get the model's."""
    stem = f"{reference.path.rpartition('/')[2]}-{reference.tag}"
    parts = []
    for kind, role in _FILES.items():
        layers = [layer for layer in manifest.layers if layer.kind == kind]
        for number, layer in enumerate(layers, start=1):
            which = f"-{number:05d}-of-{len(layers):05d}" if len(layers) > 1 else ""
            name = f"{stem}{'' if role == 'weights' else f'-{role}'}{which}.gguf"
            parts.append(Part(role=role, url=where(layer), filename=name, size=layer.size, sha256=layer.sha256))
    return tuple(parts)


def _parameters(texts: Texts, layers: Sequence[Layer]) -> tuple[dict[str, Any], list[str]]:
    """Those that are served, and the names of the others."""
    parameters: dict[str, Any] = {}
    dropped: list[str] = []
    for layer in layers:
        for name, value in _object(texts, layer, "parameters").items():
            try:
                parameters |= checked_parameters({name: value})
            except HausgeistError:
                dropped.append(shown(name, 40))
    return parameters, sorted(dropped)[:20]


def _messages(texts: Texts, layers: Sequence[Layer]) -> tuple[Mapping[str, str], ...]:
    messages: list[Mapping[str, str]] = []
    for layer in layers:
        value = parse_json(texts[layer.sha256], "messages of the model")
        if not isinstance(value, list) or len(value) > _MOST_MESSAGES:
            raise InvalidRequest("The messages of the model are not a list of a reasonable length.")
        for one in value:
            role, content = (one.get("role"), one.get("content")) if isinstance(one, dict) else (None, None)
            if role not in {"system", "user", "assistant"} or not isinstance(content, str):
                raise InvalidRequest("A message of the model has no role (system, user, assistant) or no content.")
            messages.append({"role": role, "content": content})
    return tuple(messages)


def _object(texts: Texts, layer: Layer, what: str) -> Mapping[str, Any]:
    if layer.sha256 not in texts:
        return {}
    value = parse_json(texts[layer.sha256], f"{what} of the model")
    if not isinstance(value, dict):
        raise InvalidRequest(f"The {what} of the model is not an object.")
    return value


def _decoded(text: bytes, what: str) -> str:
    try:
        return text.decode()
    except UnicodeDecodeError as error:
        raise InvalidRequest(f"The {what} of the model is not text (UTF-8).") from error
