"""Reads the header of a GGUF file, trusting nothing in it: every count and length is checked before it is used or allocated.

Owns the container format (https://github.com/ggml-org/ggml/blob/master/docs/gguf.md, versions 2 and 3, little-endian). What the keys mean for
a model is `gguf`'s. Long arrays (vocabularies) are stepped over and kept as type, length and place; memory and time are bounded by the limits
below whatever the file says.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from struct import Struct
from typing import Final, Literal

from hausgeist.errors import InvalidRequest
from hausgeist.library.gguf.cursor import Cursor, Ranges, opened
from hausgeist.library.gguf.quantization import REMOVED_TYPES, TENSOR_TYPES

__all__ = ["Header", "LazyArray", "Ranges", "Scalar", "Tensor", "read_header", "read_header_from"]

Scalar = bool | int | float | str
ValueType = Literal["u8", "i8", "u16", "i16", "u32", "i32", "f32", "bool", "string", "u64", "i64", "f64"]

_SCALARS: Final[dict[int, tuple[ValueType, Struct]]] = {
    0: ("u8", Struct("<B")),
    1: ("i8", Struct("<b")),
    2: ("u16", Struct("<H")),
    3: ("i16", Struct("<h")),
    4: ("u32", Struct("<I")),
    5: ("i32", Struct("<i")),
    6: ("f32", Struct("<f")),
    7: ("bool", Struct("<B")),
    10: ("u64", Struct("<Q")),
    11: ("i64", Struct("<q")),
    12: ("f64", Struct("<d")),
}
_STRING: Final = 8
_ARRAY: Final = 9

_MAX_KEYS: Final = 65_536
_MAX_TENSORS: Final = 65_536
_MAX_KEY: Final = 65_535
"""Bytes; the limit of the format itself."""
_MAX_TENSOR_NAME: Final = 63
"""Bytes; GGML_MAX_NAME less its NUL."""
_MAX_DIMENSIONS: Final = 4
_MAX_STRING: Final = 8 * 2**20
"""Bytes of one string that is kept; the longest chat templates have some 100 KB."""
_MAX_KEPT: Final = 32 * 2**20
"""Bytes of all strings and arrays that are kept."""
_MAX_ARRAY_KEPT: Final = 1024
"""Elements of an array that is kept as values: enough for one per layer."""
_MAX_STRINGS: Final = 4_000_000
"""Strings stepped over in all arrays together, which bounds the time: the largest vocabularies have 0.3 million tokens and 0.6 million merges."""
_MAX_ALIGNMENT: Final = 2**20
_DEFAULT_ALIGNMENT: Final = 32
_MAX_ELEMENTS: Final = 2**63 - 1

_OTHER_FORMATS: Final[tuple[tuple[bytes, str], ...]] = (
    (b"version https://git-lfs", "a Git LFS pointer instead of the file it points to; fetch it with 'git lfs pull'"),
    (b"<", "a web page; the download did not bring the file"),
    (b"PK\x03\x04", "a zip archive or a PyTorch file; convert it with llama.cpp's convert_hf_to_gguf.py"),
    (b"tjgg", "the old GGJT format; convert it to GGUF"),
    (b"fmgg", "the old GGMF format; convert it to GGUF"),
    (b"lmgg", "the old GGML format; convert it to GGUF"),
    (b"FUGG", "a big-endian file; this server reads little-endian GGUF only"),
)


@dataclass(frozen=True, slots=True)
class LazyArray:
    """An array that was stepped over: what it holds and where its first element lies in the file."""

    type: ValueType
    length: int
    offset: int


@dataclass(frozen=True, slots=True)
class Tensor:
    """`offset` is counted from the start of the file. `nbytes` of a type that is newer than this table is the room up to the next tensor."""

    name: str
    dimensions: tuple[int, ...]
    type: str
    offset: int
    nbytes: int

    @property
    def elements(self) -> int:
        count = 1
        for size in self.dimensions:
            count *= size
        return count


@dataclass(frozen=True, slots=True)
class Header:
    """What stands before the weights."""

    version: int
    metadata: Mapping[str, Scalar | tuple[Scalar, ...] | LazyArray]
    tensors: tuple[Tensor, ...]
    data_offset: int
    """Where the weights begin."""
    size: int
    """Bytes of the file."""
    alignment: int = _DEFAULT_ALIGNMENT

    def text(self, key: str) -> str:
        """A string, or empty when the key is missing or something else."""
        value = self.metadata.get(key)
        return value if isinstance(value, str) else ""

    def whole(self, key: str) -> int:
        """A whole number, the largest of an array of them (per-layer values), or 0."""
        value = self.metadata.get(key)
        values = value if isinstance(value, tuple) else (value,)
        return max((one for one in values if isinstance(one, int) and not isinstance(one, bool) and one > 0), default=0)


def read_header(path: Path, *, allow_truncated: bool = False) -> Header:
    """The header of a file. `allow_truncated`: weights may be missing (a header was all that was fetched).

    Raises `InvalidRequest` saying where in the file what is wrong.
    """
    with opened(path) as (ranges, size):
        return read_header_from(ranges, size, name=str(path), allow_truncated=allow_truncated)


def read_header_from(ranges: Ranges, size: int, *, name: str = "file", allow_truncated: bool = False) -> Header:
    """The same of anything that can be read in ranges; `size` is the length of the whole."""
    return _Parser(Cursor(ranges, size, name), allow_truncated).header()


@dataclass(slots=True)
class _Parser:
    cursor: Cursor
    allow_truncated: bool
    kept: int = 0
    strings: int = 0
    metadata: dict[str, Scalar | tuple[Scalar, ...] | LazyArray] = field(default_factory=dict)

    def header(self) -> Header:
        cursor = self.cursor
        self._magic()
        version = cursor.u32("the version")
        if version in (2 << 24, 3 << 24):
            raise cursor.fault("this is a big-endian file; this server reads little-endian GGUF only", 4)
        if version not in (2, 3):
            raise cursor.fault(f"GGUF version {version}, but only 2 and 3 are known", 4)
        tensors = self._count("tensors", _MAX_TENSORS)
        keys = self._count("keys", _MAX_KEYS)
        # At least: length and one byte of a name, type, value; name, dimensions, type, offset.
        cursor.need(keys * 14 + tensors * 24, f"a header of {keys} keys and {tensors} tensors")
        for number in range(keys):
            self._pair(number)
        alignment = self._alignment()
        found = self._tensors(tensors, alignment)
        start = -(-cursor.position // alignment) * alignment
        return Header(version, self.metadata, self._placed(found, start), start, cursor.size, alignment)

    def _magic(self) -> None:
        cursor = self.cursor
        if cursor.size < 24:
            what = "it is empty" if cursor.size == 0 else f"it has only {cursor.size} bytes"
            raise InvalidRequest(f"{cursor.name} is not a GGUF file: {what}.")
        start = cursor.take(24, "the start of the file")
        if start[:4] == b"GGUF":
            cursor.position = 4
            return
        for magic, what in _OTHER_FORMATS:
            if start.startswith(magic):
                raise InvalidRequest(f"{cursor.name} is not a GGUF file but {what}.")
        if start[8:9] == b"{":
            raise InvalidRequest(f"{cursor.name} is not a GGUF file but safetensors; convert it with llama.cpp's convert_hf_to_gguf.py.")
        raise InvalidRequest(f"{cursor.name} is not a GGUF file: it does not begin with 'GGUF'.")

    def _count(self, what: str, limit: int) -> int:
        at = self.cursor.position
        count = self.cursor.u64(f"the number of {what}")
        if count > limit:
            raise self.cursor.fault(f"{count} {what} are more than the {limit} that are accepted", at)
        return count

    def _text(self, what: str, limit: int) -> str:
        at = self.cursor.position
        length = self.cursor.u64(what)
        if length > limit:
            raise self.cursor.fault(f"{what} has {length} bytes, more than the {limit} that are accepted", at)
        self._keep(length, at)
        return self.cursor.take(length, what).decode("utf-8", "replace")

    def _keep(self, nbytes: int, at: int) -> None:
        self.kept += nbytes
        if self.kept > _MAX_KEPT:
            raise self.cursor.fault(f"the metadata take more than the {_MAX_KEPT // 2**20} MiB that are accepted", at)

    def _pair(self, number: int) -> None:
        cursor = self.cursor
        at = cursor.position
        key = self._text(f"key {number}", _MAX_KEY)
        if not key:
            raise cursor.fault(f"key {number} is empty", at)
        if key in self.metadata:
            raise cursor.fault(f"key {_shown(key)} appears twice", at)
        kind = cursor.u32(f"the type of {_shown(key)}")
        self.metadata[key] = self._array(key) if kind == _ARRAY else self._scalar(kind, key)

    def _scalar(self, kind: int, key: str) -> Scalar:
        if kind == _STRING:
            return self._text(f"the value of {_shown(key)}", _MAX_STRING)
        if kind not in _SCALARS:
            raise self.cursor.fault(f"{_shown(key)} has the unknown type {kind}", self.cursor.position - 4)
        name, layout = _SCALARS[kind]
        value: int | float = layout.unpack(self.cursor.take(layout.size, f"the value of {_shown(key)}"))[0]
        return bool(value) if name == "bool" else value

    def _array(self, key: str) -> tuple[Scalar, ...] | LazyArray:
        cursor = self.cursor
        what = f"the array {_shown(key)}"
        at = cursor.position
        kind = cursor.u32(what)
        if kind == _ARRAY:
            raise cursor.fault(f"{what} holds arrays, which llama.cpp does not read either", at)
        if kind != _STRING and kind not in _SCALARS:
            raise cursor.fault(f"{what} holds the unknown type {kind}", at)
        length = cursor.u64(what)
        first = cursor.position
        if kind == _STRING:
            return self._strings(length, what, first)
        name, layout = _SCALARS[kind]
        cursor.need(length * layout.size, what)
        if length > _MAX_ARRAY_KEPT:
            cursor.skip(length * layout.size, what)
            return LazyArray(name, length, first)
        self._keep(length * 32, at)
        values = [one[0] for one in layout.iter_unpack(cursor.take(length * layout.size, what))] if length else []
        return tuple(bool(value) for value in values) if name == "bool" else tuple(values)

    def _strings(self, length: int, what: str, first: int) -> tuple[Scalar, ...] | LazyArray:
        cursor = self.cursor
        self.strings += length
        if self.strings > _MAX_STRINGS:
            raise cursor.fault(f"{what} brings the number of strings to {self.strings}; {_MAX_STRINGS} are accepted", first - 8)
        cursor.need(8 * length, what)
        if length > _MAX_ARRAY_KEPT:
            cursor.skip_strings(length, what)
            return LazyArray("string", length, first)
        self._keep(length * 64, first)
        return tuple(self._text(what, _MAX_STRING) for _ in range(length))

    def _alignment(self) -> int:
        value = self.metadata.get("general.alignment", _DEFAULT_ALIGNMENT)
        if isinstance(value, bool) or not isinstance(value, int) or not 0 < value <= _MAX_ALIGNMENT or value & (value - 1):
            raise self.cursor.fault(f"general.alignment must be a power of two up to {_MAX_ALIGNMENT}, not {_shown(str(value))}")
        return value

    def _tensors(self, count: int, alignment: int) -> list[Tensor]:
        """Tensors with offsets still counted from the start of the weights; `nbytes` is -1 where the type is newer than our table."""
        cursor = self.cursor
        found: dict[str, Tensor] = {}
        for number in range(count):
            at = cursor.position
            name = self._text(f"the name of tensor {number}", _MAX_TENSOR_NAME)
            what = f"tensor {_shown(name)}"
            if name in found:
                raise cursor.fault(f"{what} appears twice", at)
            dimensions = self._dimensions(what)
            kind = cursor.u32(f"the type of {what}")
            type_name, nbytes = self._extent(what, dimensions, kind)
            offset = cursor.u64(f"the place of {what}")
            if offset % alignment:
                raise cursor.fault(f"{what} lies at {offset}, which is no multiple of the alignment {alignment}", cursor.position - 8)
            found[name] = Tensor(name, dimensions, type_name, offset, nbytes)
        return list(found.values())

    def _dimensions(self, what: str) -> tuple[int, ...]:
        cursor = self.cursor
        count = cursor.u32(f"the dimensions of {what}")
        if count > _MAX_DIMENSIONS:
            raise cursor.fault(f"{what} has {count} dimensions, more than {_MAX_DIMENSIONS}", cursor.position - 4)
        dimensions = tuple(cursor.u64(f"the dimensions of {what}") for _ in range(count))
        product = 1
        for size in dimensions:
            # Zeros do not count here: {2**63, 0} would pass otherwise, and overflow in the engine.
            product *= max(size, 1)
        if product > _MAX_ELEMENTS:
            raise cursor.fault(f"{what} of {' x '.join(map(str, dimensions))} numbers is too large", cursor.position - 8 * count)
        return dimensions

    def _extent(self, what: str, dimensions: tuple[int, ...], kind: int) -> tuple[str, int]:
        at = self.cursor.position - 4
        if kind in REMOVED_TYPES:
            raise self.cursor.fault(
                f"{what} is {REMOVED_TYPES[kind]}, which llama.cpp no longer reads; get or make the file in another precision", at
            )
        if kind not in TENSOR_TYPES:
            if kind > 255:
                raise self.cursor.fault(f"{what} has the unknown type {kind}", at)
            return f"type{kind}", -1
        layout = TENSOR_TYPES[kind]
        row = dimensions[0] if dimensions else 1
        if row % layout.block:
            raise self.cursor.fault(f"{what} has rows of {row} numbers, which do not divide into {layout.name} blocks of {layout.block}", at)
        elements = 1
        for size in dimensions:
            elements *= size
        return layout.name, elements // layout.block * layout.nbytes

    def _placed(self, found: list[Tensor], start: int) -> tuple[Tensor, ...]:
        """The tensors with offsets from the start of the file, none overlapping, all within the file."""
        cursor = self.cursor
        room = max(cursor.size - start, 0)
        order = sorted(range(len(found)), key=lambda index: (found[index].offset, found[index].nbytes))
        placed = list(found)
        end = 0
        for rank, index in enumerate(order):
            tensor = found[index]
            after = found[order[rank + 1]].offset if rank + 1 < len(order) else max(room, tensor.offset)
            nbytes = after - tensor.offset if tensor.nbytes < 0 else tensor.nbytes
            if tensor.offset < end:
                raise cursor.fault(f"tensor {_shown(tensor.name)} overlaps the one before it", start + tensor.offset)
            end = tensor.offset + nbytes
            if end > room and not self.allow_truncated:
                raise cursor.fault(
                    f"tensor {_shown(tensor.name)} ends at byte {start + end}, but the file has only {cursor.size}; "
                    "it is damaged or was not downloaded completely",
                    start + tensor.offset,
                )
            placed[index] = Tensor(tensor.name, tensor.dimensions, tensor.type, start + tensor.offset, nbytes)
        return tuple(placed)


def _shown(text: str) -> str:
    """Names from the file go into messages and logs: quoted, without control characters, cut."""
    return repr(text if len(text) <= 80 else text[:77] + "...")
