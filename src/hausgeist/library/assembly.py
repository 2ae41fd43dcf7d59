"""From verified blobs and the texts that came with them to a `Definition`: what a pull and an import have in common.

Each blob is taken for what its header says it is, and must be what the texts say. Reads files, so call it off the event loop.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Final

from hausgeist.errors import InvalidRequest, shown
from hausgeist.library.creation import ENGINE, notice_of
from hausgeist.library.definition import AdapterRef, Definition, FileRef
from hausgeist.library.gguf.contents import Contents, Kind, inspect, tasks
from hausgeist.library.parameters import checked_messages, checked_parameters, is_text
from hausgeist.library.split import Splits
from hausgeist.store.blobs import Blobs

__all__ = ["Fetched", "assemble"]

_MAX_TEXT: Final = 2 * 2**20
_MAX_FILES: Final = 1024


@dataclass(frozen=True, slots=True, kw_only=True)
class Fetched:
    """Files by their digests, in hex, and texts as a `sources.Release` has them."""

    weights: tuple[str, ...]
    projector: str = ""
    adapters: tuple[str, ...] = ()
    template: str = ""
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
        return frozenset(digest for digest in (*self.weights, self.projector, *self.adapters) if digest)


def assemble(blobs: Blobs, given: Fetched) -> Definition:
    """Raises `InvalidRequest` for files that are damaged, or not what a model is made of."""
    _check_texts(given)
    contents = _weights(blobs, given)
    projector = _inspected(blobs, given.projector, "projector") if given.projector else None
    adapters = [_inspected(blobs, digest, "adapter") for digest in given.adapters]
    for adapter in adapters:
        if adapter.shape.architecture and adapter.shape.architecture != contents.shape.architecture:
            raise InvalidRequest(f"An adapter of this model is made for {adapter.shape.architecture} models, its weights are not.")
    parameters, ignored = _known(given.parameters)
    notices = [given.notice, notice_of(contents), ignored]
    definition = Definition(
        engine=ENGINE,
        files=tuple(FileRef(blob=digest, size=header.size) for digest, header in zip(given.weights, contents.headers, strict=True)),
        shape=contents.shape,
        tasks=tasks(contents.shape),
        template=given.template,
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
        definition = replace(definition, projector=FileRef(blob=given.projector, size=projector.headers[0].size))
    refs = [AdapterRef(FileRef(blob=digest, size=one.headers[0].size)) for digest, one in zip(given.adapters, adapters, strict=True)]
    return replace(definition, adapters=tuple(refs))


def _check_texts(given: Fetched) -> None:
    if not given.weights:
        raise InvalidRequest("There are no weights among the files of this model.")
    if len(given.weights) + len(given.adapters) > _MAX_FILES:
        raise InvalidRequest(f"A model of more than {_MAX_FILES} files is not accepted.")
    for name in ("template", "system", "licence", "source", "notice", "reference", "version"):
        if len(getattr(given, name)) > _MAX_TEXT:
            raise InvalidRequest(f"The {name} of this model is longer than {_MAX_TEXT} characters.")
        if not is_text(getattr(given, name)):
            raise InvalidRequest(f"The {name} of this model is not text (it has half of a surrogate pair).")


def _weights(blobs: Blobs, given: Fetched) -> Contents:
    path = Splits(blobs).ensure(given.weights) if len(given.weights) > 1 else blobs.path(given.weights[0])
    contents = _read(path, "the weights")
    if contents.kind != "model":
        raise InvalidRequest(f"What should be the weights of this model is {_called(contents)}.")
    if len(contents.parts) != len(given.weights):
        raise InvalidRequest(f"The weights say that they are {len(contents.parts)} files, but there are {len(given.weights)}.")
    return contents


def _inspected(blobs: Blobs, digest: str, kind: Kind) -> Contents:
    contents = _read(blobs.path(digest), f"the {kind}")
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
