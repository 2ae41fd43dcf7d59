"""From files and the texts that came with them to a `Definition`: what a pull, an import and an adoption have in common.

Each file is taken for what its header says it is, and must be what the texts say. Reads files, so call it off the event loop.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Final

from hausgeist.errors import InvalidRequest, shown
from hausgeist.library.creation import ENGINE, notice_of
from hausgeist.library.definition import AdapterRef, Definition, FileRef, file_in_place
from hausgeist.library.gguf.contents import Contents, Kind, inspect, tasks
from hausgeist.library.gguf.header import Header
from hausgeist.library.parameters import checked_messages, checked_parameters, is_text
from hausgeist.library.sources.base import Release
from hausgeist.library.split import Splits
from hausgeist.store.blobs import Blobs

__all__ = ["Fetched", "assemble"]

_MAX_TEXT: Final = 2 * 2**20
_MAX_FILES: Final = 1024


@dataclass(frozen=True, slots=True, kw_only=True)
class Fetched:
    """Files, each by the digest of its blob, in hex, or where it lies and shall stay, and texts as a `sources.Release` has them."""

    weights: tuple[str | Path, ...]
    projector: str | Path = ""
    adapters: tuple[str | Path, ...] = ()
    template: str = ""
    go_template: str = ""
    system: str = ""
    parameters: Mapping[str, Any] = field(default_factory=dict)
    messages: Sequence[Mapping[str, str]] = ()
    licence: str = ""
    source: str = ""
    notice: str = ""
    reference: str = ""
    version: str = ""

    @property
    def blobs(self) -> frozenset[str]:
        return frozenset(file for file in (*self.weights, self.projector, *self.adapters) if file and isinstance(file, str))

    @classmethod
    def of(cls, release: Release, files: Sequence[str | Path]) -> Fetched:
        """The parts of a release, in their order. Raises `InvalidRequest`."""
        by_role: dict[str, list[str | Path]] = {"weights": [], "projector": [], "adapter": []}
        for part, file in zip(release.parts, files, strict=True):
            by_role[part.role].append(file)
        if len(by_role["projector"]) > 1:
            raise InvalidRequest("This model comes with more than one projector; a model has one.")
        return cls(
            weights=tuple(by_role["weights"]),
            projector=next(iter(by_role["projector"]), ""),
            adapters=tuple(by_role["adapter"]),
            template=release.template,
            go_template=release.go_template,
            system=release.system,
            parameters=release.parameters,
            messages=release.messages,
            licence=release.licence,
            source=release.source,
            notice=release.notice,
            # A file cannot be asked whether there is a newer one.
            reference=str(release.reference) if release.reference.kind != "path" else "",
            version=release.version,
        )


def assemble(blobs: Blobs, given: Fetched) -> Definition:
    """Raises `InvalidRequest` for files that are damaged, or not what a model is made of."""
    _check_texts(given)
    contents = _weights(blobs, given)
    projector = _inspected(blobs, given.projector, "projector") if given.projector else None
    adapters = [_inspected(blobs, file, "adapter") for file in given.adapters]
    for adapter in adapters:
        if adapter.shape.architecture and adapter.shape.architecture != contents.shape.architecture:
            raise InvalidRequest(f"An adapter of this model is made for {adapter.shape.architecture} models, its weights are not.")
    parameters, ignored = _known(given.parameters)
    notices = [given.notice, notice_of(contents), ignored]
    definition = Definition(
        engine=ENGINE,
        files=tuple(_ref(file, header) for file, header in zip(given.weights, contents.headers, strict=True)),
        shape=contents.shape,
        tasks=tasks(contents.shape),
        template=given.template,
        go_template=given.go_template,
        system=given.system,
        parameters=parameters,
        messages=checked_messages(given.messages),
        licence=given.licence,
        source=given.source,
        notice=" ".join(notice for notice in notices if notice),
        reference=given.reference,
        version=given.version,
    )
    if projector is not None:
        definition = replace(definition, projector=_ref(given.projector, projector.headers[0]))
    refs = [AdapterRef(_ref(file, one.headers[0])) for file, one in zip(given.adapters, adapters, strict=True)]
    return replace(definition, adapters=tuple(refs))


def _check_texts(given: Fetched) -> None:
    if not given.weights:
        raise InvalidRequest("There are no weights among the files of this model.")
    if len(given.weights) + len(given.adapters) > _MAX_FILES:
        raise InvalidRequest(f"A model of more than {_MAX_FILES} files is not accepted.")
    for name in ("template", "go_template", "system", "licence", "source", "notice", "reference", "version"):
        if len(getattr(given, name)) > _MAX_TEXT:
            raise InvalidRequest(f"The {name} of this model is longer than {_MAX_TEXT} characters.")
        if not is_text(getattr(given, name)):
            raise InvalidRequest(f"The {name} of this model is not text (it has half of a surrogate pair).")


def _weights(blobs: Blobs, given: Fetched) -> Contents:
    digests = [file for file in given.weights if isinstance(file, str)]
    if len(digests) not in {0, len(given.weights)}:
        raise InvalidRequest("The parts of this model are neither all stored here nor all where they were.")
    path = Splits(blobs).ensure(digests) if len(digests) > 1 else _at(blobs, given.weights[0])
    contents = _read(path, "the weights")
    if contents.kind != "model":
        raise InvalidRequest(f"What should be the weights of this model is {_called(contents)}.")
    if len(contents.parts) != len(given.weights):
        raise InvalidRequest(f"The weights say that they are {len(contents.parts)} files, but there are {len(given.weights)}.")
    return contents


def _at(blobs: Blobs, file: str | Path) -> Path:
    return file if isinstance(file, Path) else blobs.path(file)


def _ref(file: str | Path, header: Header) -> FileRef:
    return file_in_place(file, header) if isinstance(file, Path) else FileRef(blob=file, size=header.size)


def _inspected(blobs: Blobs, file: str | Path, kind: Kind) -> Contents:
    contents = _read(_at(blobs, file), f"the {kind}")
    if contents.kind != kind:
        raise InvalidRequest(f"What should be the {kind} of this model is {_called(contents)}.")
    return contents


def _read(path: Path, what: str) -> Contents:
    """`inspect`, whose messages name the file; where a blob lies says nothing to people."""
    try:
        return inspect(path)
    except InvalidRequest as error:
        raise InvalidRequest(error.message.replace(str(path), what).replace(str(path.parent), "its folder")) from error


def _called(contents: Contents) -> str:
    return contents.other or f"a file of the kind '{contents.kind}'"


def _known(parameters: Mapping[str, Any]) -> tuple[dict[str, Any], str]:
    """The parameters that mean something here, and a sentence about the others: one that does not must not keep a model from being installed."""
    known: dict[str, Any] = {}
    left: list[str] = []
    for name, value in sorted(parameters.items()):
        try:
            known |= checked_parameters({name: value})
        except InvalidRequest:
            left.append(shown(str(name), 40))
    return known, f"Parameters that mean nothing here were left out: {', '.join(left[:10])}." if left else ""
