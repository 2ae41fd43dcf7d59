"""What a GGUF file is and says about itself: a model and its `Shape`, or a projector, an adapter, one part of several.

Owns the meaning of the metadata keys. The container format, and the care it takes to read a hostile one, is `header`'s.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final, Literal

from hausgeist.errors import InvalidRequest
from hausgeist.library.gguf.header import Header, read_header
from hausgeist.library.gguf.quantization import quantization_name
from hausgeist.model import Shape, Task

__all__ = ["Contents", "Kind", "inspect", "inspect_model", "part_of", "read_shape", "stem", "tasks"]

Kind = Literal["model", "projector", "adapter", "draft", "other"]

_EMBEDDERS: Final = frozenset(
    {
        "bert",
        "eurobert",
        "gemma-embedding",
        "jina-bert-v2",
        "jina-bert-v3",
        "llama-embed",
        "modern-bert",
        "neo-bert",
        "nomic-bert",
        "nomic-bert-moe",
        "t5encoder",
    }
)
"""Architectures of llama.cpp that encode and cannot generate."""

_DRAFTS: Final = frozenset({"dflash", "eagle3", "gemma4-assistant"})
"""Architectures that only draft tokens for another model."""

_POOLING: Final = {0: "none", 1: "mean", 2: "cls", 3: "last", 4: "rank"}

_ARCHITECTURE: Final = re.compile(r"[A-Za-z0-9._-]{1,64}")
_PART: Final = re.compile(r"(?P<stem>.*)-(?P<number>\d{5})-of-(?P<count>\d{5})\.gguf", re.DOTALL)
_MAX_PARTS: Final = 1024
_MAX_TENSORS: Final = 65_536
"""Of all parts together."""

_INSTEAD: Final[dict[Kind, str]] = {
    "projector": "a vision or audio projector (mmproj), which belongs to a model: give it as its 'projector', or among the files of 'create'",
    "adapter": "an adapter (LoRA), which belongs to a model: give it under 'adapters'",
    "draft": "a draft model, which only speeds another one up: give it as that model's 'draft'",
}


@dataclass(frozen=True, slots=True)
class Contents:
    """What is in a file, or in the files of a model that was split."""

    kind: Kind
    shape: Shape
    headers: tuple[Header, ...]
    parts: tuple[Path, ...]
    """The files in order; the first is the one that engines are given."""
    other: str = ""
    """For kind `other`: what it is, in words."""


def read_shape(path: Path) -> Shape:
    """The shape of a model. Raises `InvalidRequest` for files that are damaged, incomplete or no model."""
    return inspect_model(path).shape


def inspect_model(path: Path) -> Contents:
    """`inspect`, but raises `InvalidRequest` for what is no model, saying what it is and where it belongs."""
    contents = inspect(path)
    if contents.kind != "model":
        raise InvalidRequest(f"{path} is {_INSTEAD.get(contents.kind, contents.other)}.")
    return contents


def inspect(path: Path) -> Contents:
    """What is in this file, and where it is the first of several, in all of them. Raises `InvalidRequest`."""
    first = read_header(path)
    count = first.whole("split.count")
    parts = _parts(path, first, count) if count > 1 else (path,)
    headers = (first, *_further(path, first, parts))
    expected = first.whole("split.tensors.count")
    found = sum(len(header.tensors) for header in headers)
    if count > 1 and expected and expected != found:
        raise InvalidRequest(f"The {count} parts of {path} hold {found} tensors, but should hold {expected}; get all of them anew.")
    kind, other = _kind(first, found)
    return Contents(kind, _shape(first, headers, path, kind), headers, parts, other)


def tasks(shape: Shape) -> tuple[Task, ...]:
    """What the model is good for, the main use first."""
    if shape.pooling == "rank":
        return ("rerank",)
    if shape.architecture in _EMBEDDERS or shape.pooling in {"mean", "cls", "last"}:
        return ("embed",)
    return ("generate", "embed")


def stem(path: Path) -> str:
    """The name of a file without ending and part number."""
    if part := _PART.fullmatch(path.name):
        return part["stem"]
    return path.stem if path.suffix.lower() == ".gguf" else path.name


def part_of(name: str) -> tuple[str, int, int] | None:
    """Of a file that is called as one of several: what they have in common, which it is (from 1), and how many there are."""
    part = _PART.fullmatch(name)
    return (part["stem"], int(part["number"]), int(part["count"])) if part is not None and int(part["count"]) > 1 else None


def _parts(path: Path, first: Header, count: int) -> tuple[Path, ...]:
    number = first.whole("split.no")
    if count > _MAX_PARTS:
        raise InvalidRequest(f"{path} says that it is one of {count} parts; {_MAX_PARTS} are accepted.")
    named = _PART.fullmatch(path.name)
    if named is None or int(named["count"]) != count or int(named["number"]) != number + 1:
        raise InvalidRequest(
            f"{path} is part {number + 1} of {count} of a split model, but is not named ...-{number + 1:05d}-of-{count:05d}.gguf, "
            "by which its other parts are found; give it its original name back, or join the parts with 'llama-gguf-split --merge'."
        )
    parts = tuple(path.with_name(f"{named['stem']}-{one:05d}-of-{count:05d}.gguf") for one in range(1, count + 1))
    if number != 0:
        raise InvalidRequest(f"{path} is part {number + 1} of {count}; give the first part, {parts[0].name}.")
    if missing := [part.name for part in parts if not part.is_file()]:
        more = f" and {len(missing) - 3} more" if len(missing) > 3 else ""
        raise InvalidRequest(
            f"{path} is the first of {count} parts, but beside it {', '.join(missing[:3])}{more} cannot be found; get the missing parts."
        )
    return parts


def _further(path: Path, first: Header, parts: tuple[Path, ...]) -> Iterator[Header]:
    """The headers of all parts but the first, each checked before the next is read, and without the metadata: a thousand of them would fill
    the memory."""
    count, tensors = len(parts), len(first.tensors)
    for number, part in enumerate(parts[1:], start=1):
        header = read_header(part)
        if header.whole("split.count") != count or header.whole("split.no") != number:
            raise InvalidRequest(f"{part} is not part {number + 1} of {count} of {path}, although its name says so.")
        tensors += len(header.tensors)
        if tensors > _MAX_TENSORS:
            raise InvalidRequest(f"The {count} parts of {path} hold more than the {_MAX_TENSORS} tensors that are accepted.")
        yield replace(header, metadata={})


def _kind(header: Header, tensors: int) -> tuple[Kind, str]:
    declared = header.text("general.type").lower()
    architecture = header.text("general.architecture")
    if declared == "adapter" or "adapter.type" in header.metadata:
        return "adapter", ""
    if declared in {"mmproj", "projector"} or architecture == "clip":
        return "projector", ""
    if declared not in {"", "model"}:
        return "other", f"not a model but of the type {declared[:40]!r}"
    if architecture == "controlvector":
        return "other", "a control vector, which cannot be served"
    if tensors == 0:
        return "other", "a vocabulary without weights, which cannot be served"
    return ("draft", "") if architecture in _DRAFTS else ("model", "")


def _shape(first: Header, headers: tuple[Header, ...], path: Path, kind: Kind) -> Shape:
    architecture = first.text("general.architecture")
    if kind in {"model", "draft"} and not _ARCHITECTURE.fullmatch(architecture):
        raise InvalidRequest(f"{path} does not say which architecture it has (general.architecture), so no engine can run it.")
    weights: Counter[str] = Counter()
    parameters = 0
    for header in headers:
        for tensor in header.tensors:
            weights[tensor.type] += tensor.nbytes
            parameters += tensor.elements
    heads = first.whole(f"{architecture}.attention.head_count")
    pooling = first.metadata.get(f"{architecture}.pooling_type")
    return Shape(
        architecture=architecture,
        parameters=parameters,
        context_length=first.whole(f"{architecture}.context_length"),
        embedding_length=first.whole(f"{architecture}.embedding_length"),
        block_count=first.whole(f"{architecture}.block_count"),
        head_count=heads,
        head_count_kv=first.whole(f"{architecture}.attention.head_count_kv") or heads,
        quantization=quantization_name(first.metadata.get("general.file_type"), weights),
        size=sum(header.size for header in headers),
        chat_template=first.text("tokenizer.chat_template"),
        licence=first.text("general.license") or first.text("general.license.name"),
        pooling=_POOLING.get(pooling, "") if isinstance(pooling, int) else "",
        vision=kind == "projector" and first.metadata.get("clip.has_vision_encoder", True) is True,
    )
