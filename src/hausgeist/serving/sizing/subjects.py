"""What is planned: a model by the name of the catalogue, one that is installed, or a file. Each becomes a header, which is all that arithmetic needs.

Only heads of files are read, so a file whose weights are missing does as well.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from difflib import get_close_matches
from pathlib import Path
from typing import Final

from hausgeist.anatomy import Tensor as Described
from hausgeist.errors import InvalidRequest, ModelNotFound, NotFound, shown
from hausgeist.library.catalog import MIXES, Entry, Use, load
from hausgeist.library.catalog.mix import tensor_type
from hausgeist.library.catalog.naming import did_you_mean
from hausgeist.library.gguf.contents import inspect_model, stem, tasks
from hausgeist.library.gguf.header import Header as FileHeader
from hausgeist.library.gguf.header import LazyArray, read_header
from hausgeist.library.gguf.quantization import quantization_name
from hausgeist.library.reference import Reference
from hausgeist.library.sources.precisions import precision_of
from hausgeist.model import InstalledModel, Shape, Task
from hausgeist.planner.memory import Header, Tensor, describe, projector
from hausgeist.planner.memory.graphs import GRAPHS

__all__ = ["Subject", "Subjects", "header_of", "of_entry", "of_headers", "precision_named"]

_LONGEST: Final = 2**24
"""Tokens of context, whatever a header promises."""
_OTHERWISE: Final = {"FP16": "F16", "FP32": "F32", "HALF": "F16", "8BIT": "Q8_0", "4BIT": "Q4_K_M", "Q4": "Q4_K_M", "Q5": "Q5_K_M", "Q6": "Q6_K",
                     "Q8": "Q8_0", "INT8": "Q8_0", "INT4": "Q4_K_M", "16BIT": "F16"}  # fmt: skip
"""How people call precisions besides."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Subject:
    """A model at a precision."""

    name: str
    """By which it was asked for, in the spelling of the catalogue or the library; of a file, its own."""
    precision: str
    header: Header
    trained: int = 0
    """Tokens of context that it was made for; 0: not known."""
    projector_bytes: int = 0
    """Of the second file, for images or sound, with what it computes in."""
    adapter_bytes: int = 0
    task: Task = "generate"
    pooling: str = ""
    uses: tuple[Use, ...] = ()
    install: str = ""
    """What `hausgeist pull` gets it by; empty where it is here, or comes from nowhere."""
    path: Path | None = None
    cut: bool = False
    """The file ends behind its head."""
    installed: InstalledModel | None = None
    entry: Entry | None = None

    @property
    def title(self) -> str:
        return f"{self.name} at {self.precision}" if self.precision else self.name


class Subjects:
    """`installed`: the model of this name, or `ModelNotFound`; `names`: of all that are installed, for those that were meant."""

    def __init__(self, installed: Callable[[str], InstalledModel], names: Callable[[], Iterable[str]], *, files: bool = True) -> None:
        """`files`: paths may be named. Not where the question comes from elsewhere: nobody's files are read for others."""
        self._installed = installed
        self._names = names
        self._files = files

    def find(self, name: str, precision: str = "") -> Subject:
        """Raises `NotFound` with near names, `InvalidRequest` for a precision or a file that is none."""
        wanted = precision_named(precision) if precision else ""
        if not name.strip():
            raise InvalidRequest("The name of the model is empty; name one as in 'gemma3:4b', or a GGUF file.", param="model")
        if self._files and (path := _as_path(name)) is not None:
            return _of_file(path, wanted)
        return self._here(name, wanted) or self._known(name, wanted)

    def is_here(self, name: str) -> bool:
        """Whether something is installed under this name."""
        try:
            self._installed(name)
        except (ModelNotFound, InvalidRequest):
            return False
        return True

    def _here(self, name: str, wanted: str) -> Subject | None:
        try:
            model = self._installed(name)
        except (ModelNotFound, InvalidRequest):
            return None
        there = model.shape.quantization
        entry = load().find(model.id) or (load().find(model.reference) if model.reference else None)
        if wanted and wanted != there:
            # Another precision than the installed one: what it would be, by the catalogue.
            if entry is None:
                raise InvalidRequest(
                    f"'{model.id}' is installed at {there or 'a precision of its own'}; at {wanted} it is not known how large it is. "
                    "Leave the precision out, or name a model of the catalogue.", param="precision"
                )  # fmt: skip
            return of_entry(entry, wanted)
        if model.path is None:
            raise InvalidRequest(f"'{model.id}' runs elsewhere (engine '{model.engine}'); there is no file here to plan by.", param="model")
        options = model.options
        seen = _projector_bytes(options.projector) if options.projector is not None else 0
        found = _of_file(model.path, "")
        return replace(
            found,
            name=model.id,
            precision=there or found.precision,
            projector_bytes=seen,
            adapter_bytes=sum(_size(adapter.path) for adapter in options.adapters),
            task=model.tasks[0],
            pooling=options.pooling or found.pooling,
            uses=entry.use if entry is not None else found.uses,
            installed=model,
            entry=entry,
        )

    def _known(self, name: str, wanted: str) -> Subject:
        entry = load().find(name)
        if entry is None:
            hint = did_you_mean(name[:200], self._names()) or " 'hausgeist catalog' lists models; a GGUF file can be named by its path."
            raise NotFound(f"The model '{shown(name)}' is neither installed nor in the catalogue.{hint}")
        said = precision_of(name).upper().removeprefix("UD-") if not wanted else ""
        return of_entry(entry, wanted or (said if said in MIXES else ""))


def of_entry(entry: Entry, precision: str = "") -> Subject:
    """A model of the catalogue at a precision, its usual one where none is named. Raises `InvalidRequest` for one that no engine here runs."""
    if not entry.served:
        raise InvalidRequest(f"No engine of Hausgeist runs {entry.name} ({entry.anatomy.architecture}).", param="model")
    kind, anatomy = precision or entry.precision, entry.anatomy

    def types(tensor: Described) -> str:
        return tensor_type(anatomy, tensor, kind)

    embeds = "embedding" in entry.use
    return Subject(
        name=entry.name,
        precision=kind,
        header=describe(anatomy, types),
        trained=entry.context,
        projector_bytes=entry.projector_bytes,
        task="rerank" if "rerank" in entry.use else "embed" if embeds else "generate",
        uses=entry.use,
        install=entry.install[0],
        entry=entry,
    )


def precision_named(text: str) -> str:
    """A precision in whatever spelling: q4_k_m, Q4-K-M, fp16, 8bit. Raises `InvalidRequest` with near ones."""
    name = text.strip().upper().replace("-", "_").removeprefix("UD_")
    run_together = {kind.replace("_", ""): kind for kind in MIXES} | _OTHERWISE
    if (known := run_together.get(name.replace("_", ""))) is not None:
        return known
    if name.replace("_", "") in ("FP8", "AWQ", "GPTQ"):
        raise InvalidRequest(
            f"llama.cpp has no {shown(text, 40)}: that is a precision of vLLM, which 'engine' asks for; Q8_0 or Q4_K_M come near.", param="precision"
        )
    near = get_close_matches(name, MIXES, n=3, cutoff=0.5)
    more = f" Did you mean {' or '.join(near)}?" if near else ""
    raise InvalidRequest(f"The precision '{shown(text, 40)}' is not known.{more} Known are {', '.join(MIXES)}.", param="precision")


def header_of(headers: Sequence[FileHeader]) -> Header:
    """What the planner needs of the heads of a file, or of all parts of one: no vocabularies."""
    metadata = {
        key: list(value) if isinstance(value, tuple) else value for key, value in headers[0].metadata.items() if not isinstance(value, LazyArray)
    }
    return Header.of(metadata, (Tensor(one.name, one.dimensions, one.type) for header in headers for one in header.tensors))


def of_headers(headers: Sequence[FileHeader], name: str) -> Subject:
    """A model by the heads of its files. Raises `InvalidRequest` for an architecture that is not known."""
    first = headers[0]
    architecture = first.text("general.architecture")
    sizes: dict[str, int] = {}
    for header in headers:
        for tensor in header.tensors:
            sizes[tensor.type] = sizes.get(tensor.type, 0) + max(tensor.nbytes, 0)
    return _checked(
        Subject(
            name=name,
            precision=quantization_name(first.metadata.get("general.file_type"), sizes),
            header=header_of(headers),
            trained=min(first.whole(f"{architecture}.context_length"), _LONGEST),
            task=tasks(Shape(architecture=architecture))[0],
        )
    )


def _as_path(name: str) -> Path | None:
    """What is written as a path is one, and so is what is there in a folder of that name."""
    path = Path(name)
    with suppress(RuntimeError):  # the home of somebody who is not known here
        path = path.expanduser()
    there = len(path.parts) > 1 and _exists(path)
    if not there and Reference.parse(name).kind != "path":
        return None
    if not there and not _exists(path):
        raise NotFound(f"There is no file {shown(name, 200)}.{_beside(path)}")
    return path


def _exists(path: Path) -> bool:
    try:
        return path.exists()
    except (OSError, ValueError):
        return False


def _beside(path: Path) -> str:
    try:
        there = [one.name for one in path.parent.iterdir() if one.name.lower().endswith(".gguf") and one.name != path.name][:1000]
    except OSError:
        return ""
    near = get_close_matches(path.name, there, n=3, cutoff=0.5)
    return f" Did you mean {' or '.join(near)}?" if near else ""


def _of_file(path: Path, wanted: str) -> Subject:
    try:
        contents = inspect_model(path)
    except InvalidRequest as error:
        # A file that was cut behind its head says as much about memory as a whole one.
        found = replace(of_headers((_cut(path, error),), stem(path)), path=path, cut=True)
    else:
        shape = contents.shape
        found = replace(of_headers(contents.headers, stem(path)), task=tasks(shape)[0], pooling=shape.pooling, path=path)
    if wanted and wanted != found.precision:
        raise InvalidRequest(
            f"{path.name} is {found.precision or 'of a precision of its own'}; what it would be at {wanted}, only a model of the catalogue can tell.",
            param="precision",
        )
    return found


def _cut(path: Path, refused: InvalidRequest) -> FileHeader:
    """Raises what it was refused for, where that is not that weights are missing."""
    header = read_header(path, allow_truncated=True)
    whole = all(one.offset + max(one.nbytes, 0) <= header.size for one in header.tensors)
    if whole or header.text("general.architecture") in ("", "clip") or header.whole("split.count") > 1:
        raise refused
    return header


def _checked(subject: Subject) -> Subject:
    """Raises `InvalidRequest` for an architecture that neither the planner nor the engine's own converter knows."""
    name = subject.header.architecture
    if name in GRAPHS:
        return subject
    from gguf.constants import MODEL_ARCH_NAMES

    known = {*GRAPHS, *MODEL_ARCH_NAMES.values()}
    if name in known:
        return subject
    near = ", ".join(get_close_matches(name, known, n=3, cutoff=0.5))
    raise InvalidRequest(
        f"The architecture '{shown(name, 40)}' of {shown(subject.name)} is not known.{f' Near are {near}.' if near else ''} "
        "A newer engine may run it; nothing can be said about its memory here.", param="model"
    )  # fmt: skip


def _projector_bytes(path: Path) -> int:
    try:
        return projector(header_of((read_header(path),))).total
    except (InvalidRequest, KeyError):
        return _size(path)


def _size(path: Path) -> int:
    try:
        return path.stat().st_size
    except OSError:
        return 0
