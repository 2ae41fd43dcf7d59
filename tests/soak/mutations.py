"""Damages headers of GGUF files on purpose, knowing where in them lengths, types, keys and places lie."""

from __future__ import annotations

import random
import struct
from collections.abc import Callable
from dataclasses import dataclass

__all__ = ["Marked", "marked", "mutate"]

_U64 = (0, 1, 2, 7, 255, 65_535, 65_536, 65_537, 2**20, 2**31 - 1, 2**31, 2**32 - 1, 2**32, 2**40, 2**62, 2**63 - 1, 2**63, 2**64 - 1)
_U32 = (0, 1, 2, 3, 4, 5, 7, 8, 9, 10, 12, 13, 31, 39, 43, 255, 256, 65_535, 2**31, 2**32 - 1)
_WIDTHS = {0: 1, 1: 1, 2: 2, 3: 2, 4: 4, 5: 4, 6: 4, 7: 1, 10: 8, 11: 8, 12: 8}


@dataclass(frozen=True)
class Marked:
    """A header, and where its parts lie: numbers as (place, bytes), whole keys and whole tensors as (start, end)."""

    data: bytes
    end: int
    """Where the weights begin, or would."""
    numbers: tuple[tuple[int, int], ...]
    pairs: tuple[tuple[int, int], ...]
    tensors: tuple[tuple[int, int], ...]


def marked(data: bytes) -> Marked:
    """Walk a header that is known to be good. A reader of its own, so that the one under test does not mark what it tests."""
    numbers: list[tuple[int, int]] = [(4, 4), (8, 8), (16, 8)]
    tensors, keys = struct.unpack_from("<QQ", data, 8)
    at = 24

    def number(width: int) -> int:
        nonlocal at
        numbers.append((at, width))
        at += width
        return int.from_bytes(data[at - width : at], "little")

    def text() -> None:
        nonlocal at
        length = number(8)
        at += length

    def value(kind: int) -> None:
        nonlocal at
        if kind == 8:
            text()
        elif kind == 9:
            inner, count = number(4), number(8)
            if inner == 8:
                for _ in range(count):
                    if count <= 64:
                        text()
                    else:
                        at += 8 + int.from_bytes(data[at : at + 8], "little")
            else:
                at += _WIDTHS[inner] * count
        else:
            number(_WIDTHS[kind])

    pairs: list[tuple[int, int]] = []
    for _ in range(keys):
        start = at
        text()
        value(number(4))
        pairs.append((start, at))
    infos: list[tuple[int, int]] = []
    for _ in range(tensors):
        start = at
        text()
        for _ in range(number(4)):
            number(8)
        number(4)
        number(8)
        infos.append((start, at))
    return Marked(data, at, tuple(numbers), tuple(pairs), tuple(infos))


def mutate(chosen: Marked, others: list[Marked], chance: random.Random) -> bytes:
    """One to three damages to one header."""
    data = bytearray(chosen.data)
    for _ in range(chance.choice((1, 1, 1, 2, 3))):
        chance.choice(_DAMAGES)(data, chosen, others, chance)
    return bytes(data)


def _bits(data: bytearray, header: Marked, others: list[Marked], chance: random.Random) -> None:
    for _ in range(chance.choice((1, 1, 2, 8))):
        if data:
            data[chance.randrange(min(len(data), header.end))] ^= 1 << chance.randrange(8)


def _bytes(data: bytearray, header: Marked, others: list[Marked], chance: random.Random) -> None:
    at = chance.randrange(header.end)
    data[at : at + chance.choice((1, 4, 8, 64))] = chance.randbytes(chance.choice((1, 4, 8, 64)))


def _cut(data: bytearray, header: Marked, others: list[Marked], chance: random.Random) -> None:
    del data[chance.randrange(header.end + 1) :]


def _hole(data: bytearray, header: Marked, others: list[Marked], chance: random.Random) -> None:
    at = chance.randrange(header.end)
    del data[at : at + chance.choice((1, 3, 8, 24, 1000))]


def _bomb(data: bytearray, header: Marked, others: list[Marked], chance: random.Random) -> None:
    """Any number of the structure becomes an extreme one: counts, lengths, types, dimensions, places."""
    at, width = chance.choice(header.numbers)
    if at + width <= len(data):
        numbers = _U64 if width == 8 else _U32
        near = int.from_bytes(data[at : at + width], "little") + chance.randint(-3, 3)
        data[at : at + width] = (chance.choice((*numbers, near)) % 2 ** (8 * width)).to_bytes(width, "little")


def _again(data: bytearray, header: Marked, others: list[Marked], chance: random.Random) -> None:
    """A key or a tensor twice, counted or not."""
    spans, count_at = chance.choice(((header.pairs, 16), (header.tensors, 8)))
    if spans and len(data) >= header.end:
        start, end = chance.choice(spans)
        copy = data[start:end]
        place = chance.choice(spans)[1]
        data[place:place] = copy
        if chance.random() < 0.8:
            _add(data, count_at, 1)


def _swapped(data: bytearray, header: Marked, others: list[Marked], chance: random.Random) -> None:
    """Two keys or two tensors change places, or one takes the other's."""
    spans = chance.choice((header.pairs, header.tensors))
    if len(spans) > 1 and len(data) >= header.end:
        (first, first_end), (second, second_end) = sorted(chance.sample(spans, 2))
        one, two = data[first:first_end], data[second:second_end]
        data[second:second_end] = one
        data[first:first_end] = two if chance.random() < 0.7 else one


def _grafted(data: bytearray, header: Marked, others: list[Marked], chance: random.Random) -> None:
    """A key of another file."""
    other = chance.choice(others)
    if other.pairs and header.pairs and len(data) >= header.end:
        start, end = chance.choice(other.pairs)
        place = chance.choice(header.pairs)[0]
        data[place:place] = other.data[start:end]
        _add(data, 16, 1)


def _array(data: bytearray, header: Marked, others: list[Marked], chance: random.Random) -> None:
    """A key more that holds an array of any type and length, with next to nothing behind it."""
    if header.pairs and len(data) >= header.end:
        name = chance.choice((b"a", b"general.alignment", b"split.count", b"tokenizer.ggml.tokens", b"\xff\xfe", b""))
        kind = chance.choice((0, 4, 6, 7, 8, 9, 10, 12, 13, 99))
        body = struct.pack("<Q", len(name)) + name + struct.pack("<IIQ", 9, kind, chance.choice(_U64)) + chance.randbytes(chance.choice((0, 8, 100)))
        place = chance.choice(header.pairs)[0]
        data[place:place] = body
        _add(data, 16, 1)


def _add(data: bytearray, at: int, count: int) -> None:
    number = (int.from_bytes(data[at : at + 8], "little") + count) % 2**64
    data[at : at + 8] = number.to_bytes(8, "little")


_DAMAGES: tuple[Callable[[bytearray, Marked, list[Marked], random.Random], None], ...] = (
    _bits,
    _bytes,
    _cut,
    _hole,
    _bomb,
    _bomb,
    _bomb,
    _again,
    _swapped,
    _grafted,
    _array,
)
