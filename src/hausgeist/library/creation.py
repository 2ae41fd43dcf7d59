"""Makes definitions: of a file in place, or of another model and files that were uploaded. Reads files, so call it off the event loop."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final

from hausgeist.errors import InvalidRequest, NotSupported, shown
from hausgeist.library.definition import AdapterRef, Definition, FileRef, file_in_place
from hausgeist.library.gguf.contents import Contents, inspect, inspect_model, part_of, tasks
from hausgeist.library.parameters import checked_messages, checked_parameters
from hausgeist.library.split import Splits
from hausgeist.library.templates import Untranslatable, translate
from hausgeist.store.blobs import Blobs, parse_digest

__all__ = ["ENGINE", "Change", "FileSource", "compose", "notice_of", "of_file", "projector_ref"]

FileSource = str | Path
"""The digest of a blob (`sha256:...`), or where a file lies. Only what comes from this machine's owner may be a path."""

_GO_TEMPLATE: Final = re.compile(r"\{\{-?\s*(?:if|else|end|range|with|template|define|block|\.[A-Za-z]|\$)")
_MAX_FILES: Final = 1024
_MAX_TEXT: Final = 2 * 2**20
_RANDOM: Final = "random weights"
ENGINE: Final = "llamacpp"
"""What runs GGUF files."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Change:
    """What shall be different from the base; `None` leaves it as it is."""

    files: Mapping[str, FileSource]
    adapters: Mapping[str, FileSource]
    template: str | None = None
    system: str | None = None
    parameters: Mapping[str, Any] | None = None
    messages: Sequence[Mapping[str, str]] | None = None
    licence: str | Sequence[str] | None = None


@dataclass(frozen=True, slots=True)
class _File:
    label: str
    """What the caller calls it."""
    path: Path
    blobs: tuple[str, ...] = ()
    """What it is made of, where it was uploaded: one for each part of a split model."""

    def refs(self, contents: Contents) -> tuple[FileRef, ...]:
        if self.blobs:
            return tuple(FileRef(blob=blob, size=header.size) for blob, header in zip(self.blobs, contents.headers, strict=True))
        return tuple(file_in_place(part, header) for part, header in zip(contents.parts, contents.headers, strict=True))


def of_file(path: Path, *, notice: str = "") -> Definition:
    """A model file that is used where it lies. Raises `InvalidRequest`."""
    definition = _of_weights(_File(str(path), path), inspect_model(path))
    return replace(definition, notice=notice) if notice else definition


def projector_ref(path: Path) -> FileRef:
    """Raises `InvalidRequest` when the file is no projector."""
    contents = inspect(path)
    if contents.kind != "projector":
        raise InvalidRequest(f"{path} is not a projector (mmproj), so images cannot be read with it.")
    return file_in_place(path, contents.headers[0])


def compose(blobs: Blobs, base: Definition | None, change: Change, *, source: str = "") -> Definition:
    """A definition from a base and changes, as Ollama's `create`: parameters are added to the base's, a licence is appended, all else replaced."""
    definition = _with_files(base, _joined(blobs, [_located(blobs, label, given) for label, given in _limited(change.files, "files")]))
    if source:
        # What is made from a model is no longer what its source has: nothing newer of it can be asked for.
        definition = replace(definition, source=source, reference="", version="")
    if change.adapters:
        adapters = [_adapter(_located(blobs, label, given), definition) for label, given in _limited(change.adapters, "adapters")]
        definition = replace(definition, adapters=tuple(adapters))
    if change.template is not None:
        given = _text(change.template, "template")
        definition = replace(definition, template=_template(given), go_template=given if _GO_TEMPLATE.search(given) else "")
    if change.system is not None:
        definition = replace(definition, system=_text(change.system, "system"))
    if change.parameters is not None:
        definition = replace(definition, parameters={**definition.parameters, **checked_parameters(change.parameters)})
    if change.messages is not None:
        definition = replace(definition, messages=checked_messages(change.messages))
    if change.licence is not None:
        definition = replace(definition, licence=_licence(definition.licence, change.licence))
    return definition


def _limited(files: Mapping[str, FileSource], what: str) -> list[tuple[str, FileSource]]:
    if len(files) > _MAX_FILES:
        raise InvalidRequest(f"{len(files)} {what} are more than the {_MAX_FILES} that are accepted.", param=what)
    return sorted(files.items())


def _located(blobs: Blobs, label: str, given: FileSource) -> _File:
    label = shown(label, 200)
    if isinstance(given, Path):
        return _File(label, given.expanduser().absolute())
    try:
        blob = parse_digest(given)
    except InvalidRequest as error:
        raise InvalidRequest(f"The digest of the file '{label}' must be 'sha256:' and 64 hexadecimal digits.", param="files") from error
    if not blobs.has(blob):
        raise InvalidRequest(f"The file '{label}' (sha256:{blob}) is not here; upload it first with POST /api/blobs/sha256:{blob}.", param="files")
    return _File(label, blobs.path(blob), (blob,))


def _joined(blobs: Blobs, files: list[_File]) -> list[_File]:
    """Uploaded parts of a split model, known by their names, as the one file that engines are given."""
    parts: dict[tuple[str, int], dict[int, _File]] = {}
    rest: list[_File] = []
    for file in files:
        if file.blobs and (named := part_of(file.label)) is not None:
            stem, number, count = named
            parts.setdefault((stem, count), {})[number] = file
        else:
            rest.append(file)
    for (stem, count), found in parts.items():
        if sorted(found) != list(range(1, count + 1)):
            missing = next((number for number in range(1, count + 1) if number not in found), 0)
            raise InvalidRequest(f"'{stem}' is a model of {count} parts, but part {missing} is not among the files.", param="files")
        digests = tuple(blob for number in sorted(found) for blob in found[number].blobs)
        rest.append(_File(found[1].label, Splits(blobs).ensure(digests), digests))
    return rest


def _inspected(file: _File) -> Contents:
    try:
        contents = inspect(file.path)
    except InvalidRequest as error:
        if not file.blobs:
            raise InvalidRequest(error.message, param="files") from error
        message = error.message.replace(str(file.path), f"'{file.label}'").replace(f"{file.path.parent}{os.sep}", "")
        if len(file.blobs) == 1 and " of a split model" in message:
            # Engines find the other parts by file name, which a blob does not keep.
            raise _split_upload(file) from error
        raise InvalidRequest(message, param="files") from error
    if file.blobs and len(contents.parts) != len(file.blobs):
        raise InvalidRequest(f"'{file.label}' is called as one of {len(file.blobs)} parts, but says that it is a whole.", param="files")
    return contents


def _split_upload(file: _File) -> NotSupported:
    return NotSupported(
        f"'{file.label}' is one part of a split model. Upload all of them, and call them as they are called, ...-00001-of-00002.gguf; "
        "or join them with 'llama-gguf-split --merge'.",
        param="files",
    )


def _with_files(base: Definition | None, files: list[_File]) -> Definition:
    """The base with the files, each taken for what its header says it is."""
    weights: list[tuple[_File, Contents]] = []
    projectors: list[FileRef] = []
    for file in _first_parts(files):
        contents = _inspected(file)
        if contents.kind == "projector":
            projectors += file.refs(contents)
        elif contents.kind == "model":
            weights.append((file, contents))
        else:
            hint = {"adapter": "an adapter; give it under 'adapters'", "draft": "a draft model; name it as 'draft' in hausgeist.toml"}
            raise InvalidRequest(f"'{file.label}' is {hint.get(contents.kind, contents.other)}.", param="files")
    if len(weights) > 1 or len(projectors) > 1:
        what = "models" if len(weights) > 1 else "projectors"
        raise InvalidRequest(f"Two of the files are {what}; a model has one.", param="files")
    if base is not None and weights:
        raise InvalidRequest("Give either a model to start from or a file with weights, not both.", param="files")
    if weights:
        base = _of_weights(*weights[0])
    if base is None:
        raise InvalidRequest("Give a model to start from ('from') or a GGUF file with weights ('files').", param="files" if files else "from")
    return replace(base, projector=projectors[0]) if projectors else base


def _first_parts(files: list[_File]) -> list[_File]:
    """Without the further parts of split models whose first part is among the files: those are found through it."""
    firsts = {part for file in files if not file.blobs for part in _parts_of(file)}
    return [file for file in files if file.blobs or file.path not in firsts]


def _parts_of(file: _File) -> tuple[Path, ...]:
    try:
        return inspect(file.path).parts[1:]
    except InvalidRequest:
        return ()


def _of_weights(file: _File, contents: Contents) -> Definition:
    return Definition(
        engine=ENGINE,
        files=file.refs(contents),
        shape=contents.shape,
        tasks=tasks(contents.shape),
        source=file.label if file.blobs else str(file.path),
        notice=notice_of(contents),
    )


def notice_of(contents: Contents) -> str:
    """Specimens say in their header that their weights are random, and so must whoever offers them."""
    header = contents.headers[0]
    if header.text("general.name") != _RANDOM:
        return ""
    said = header.text("general.description")[:200]
    return said if said and said.isprintable() else "Random weights: what this model answers is noise."


def _adapter(file: _File, definition: Definition) -> AdapterRef:
    contents = _inspected(file)
    if contents.kind != "adapter":
        raise InvalidRequest(f"'{file.label}' is not an adapter (LoRA).", param="adapters")
    if contents.shape.architecture and definition.shape.architecture and contents.shape.architecture != definition.shape.architecture:
        raise InvalidRequest(
            f"The adapter '{file.label}' is made for {contents.shape.architecture} models, this one is a {definition.shape.architecture}.",
            param="adapters",
        )
    (ref,) = file.refs(contents)
    return AdapterRef(ref)


def _text(text: str, what: str) -> str:
    if len(text) > _MAX_TEXT:
        raise InvalidRequest(f"'{what}' is longer than {_MAX_TEXT} characters.", param=what)
    return text


def _template(template: str) -> str:
    """In Jinja, as in GGUF files and on Hugging Face; what is in Go's language, as Ollama's are, is translated where that is possible."""
    if not _GO_TEMPLATE.search(template):
        return template
    try:
        return translate(template)
    except Untranslatable as error:
        raise NotSupported(
            f"This template is in Go's language, as Ollama's are, and cannot be translated: {error}. "
            "Leave it out to use the one in the model file, or give one in Jinja.",
            param="template",
        ) from error


def _licence(before: str, given: str | Sequence[str]) -> str:
    texts = [given] if isinstance(given, str) else list(given)
    if not all(isinstance(text, str) for text in texts):
        raise InvalidRequest("The licence must be a text or a list of texts.", param="license")
    return _text("\n\n".join(text for text in ([before, *texts] if before not in texts else texts) if text), "license")
