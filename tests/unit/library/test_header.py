"""The reader of GGUF headers against files that no writer would write."""

from __future__ import annotations

import os
import struct
import time
import tracemalloc
from pathlib import Path

import gguf as reference
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from hausgeist.engines.specimen import write_specimen
from hausgeist.errors import InvalidRequest
from hausgeist.library.gguf.header import LazyArray, read_header, read_header_from
from tests.unit.library.gguf_builder import Gguf, model, text


def parse(raw: bytes, *, allow_truncated: bool = False):
    return read_header_from(lambda offset, length: raw[offset : offset + length], len(raw), name="x.gguf", allow_truncated=allow_truncated)


def refused(raw: bytes) -> str:
    with pytest.raises(InvalidRequest) as caught:
        parse(raw)
    return caught.value.message


def test_reads_what_the_reference_writer_wrote(tmp_path: Path) -> None:
    path = tmp_path / "specimen.gguf"
    write_specimen(path)
    mine, theirs = read_header(path), reference.GGUFReader(path)
    assert mine.data_offset == theirs.data_offset
    assert [(one.name, one.dimensions, one.type, one.offset, one.nbytes) for one in mine.tensors] == [
        (one.name, tuple(int(size) for size in one.shape), one.tensor_type.name, int(one.data_offset), int(one.n_bytes)) for one in theirs.tensors
    ]
    for key, value in mine.metadata.items():
        found = theirs.fields[key].contents()
        if isinstance(value, LazyArray):
            assert value.length == len(found)
        else:
            assert (list(value) if isinstance(value, tuple) else value) == found
    assert set(mine.metadata) == {key for key in theirs.fields if not key.startswith("GGUF.")}


def test_every_type_of_value(tmp_path: Path) -> None:
    path = tmp_path / "types.gguf"
    writer = reference.GGUFWriter(path, "llama")
    expected = {}
    for kind, given_value in [
        ("uint8", 255), ("int8", -128), ("uint16", 65535), ("int16", -32768), ("uint32", 2**32 - 1), ("int32", -(2**31)),
        ("float32", 0.5), ("bool", True), ("uint64", 2**64 - 1), ("int64", -(2**63)), ("float64", 1e300), ("string", "Grüße, 世界"),
    ]:  # fmt: skip
        getattr(writer, f"add_{kind}")(f"test.{kind}", given_value)
        expected[f"test.{kind}"] = given_value
    writer.add_array("test.bools", [True, False])
    writer.add_array("test.numbers", [1, 2, 3])
    writer.add_array("test.texts", ["a", "", "ü"])
    writer.add_tensor("t", np.zeros((2, 3), dtype=np.float16))
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    header = read_header(path)
    expected |= {"test.bools": (True, False), "test.numbers": (1, 2, 3), "test.texts": ("a", "", "ü")}
    assert {key: value for key, value in header.metadata.items() if key.startswith("test.")} == expected
    assert isinstance(header.metadata["test.bool"], bool)
    (tensor,) = header.tensors
    assert (tensor.dimensions, tensor.type, tensor.elements, tensor.nbytes) == ((3, 2), "F16", 6, 12)


def test_versions() -> None:
    assert parse(Gguf(version=2).bytes()).version == 2
    assert parse(Gguf(version=3).bytes()).version == 3
    assert "version 1" in refused(Gguf(version=1).bytes())
    assert "version 4" in refused(Gguf(version=4).bytes())
    assert "big-endian" in refused(Gguf(version=3 << 24).bytes())
    assert "at byte 4" in refused(Gguf(version=9).bytes())


@pytest.mark.parametrize(
    ("raw", "hint"),
    [
        (b"", "empty"),
        (b"GGUF\x03", "only 5 bytes"),
        (b"version https://git-lfs.github.com/spec/v1\noid sha256:0\n", "Git LFS"),
        (b"<!DOCTYPE html><html><body>Not found</body></html>", "web page"),
        (b"PK\x03\x04" + b"\0" * 40, "zip"),
        (b"tjgg" + b"\0" * 40, "GGJT"),
        (b"FUGG" + b"\0" * 40, "big-endian"),
        (struct.pack("<Q", 200) + b'{"weight":{"dtype":"F32"' + b" " * 40, "safetensors"),
        (b"\x7fELF" + b"\0" * 40, "does not begin with 'GGUF'"),
    ],
)
def test_says_what_other_files_are(raw: bytes, hint: str) -> None:
    assert hint in refused(raw)


@pytest.mark.parametrize(
    ("raw", "hint"),
    [
        (Gguf().bytes(keys=2**63), "keys are more than"),
        (Gguf().bytes(tensors=2**63), "tensors are more than"),
        (Gguf().bytes(keys=60_000), "needs 840000 bytes"),
        (Gguf([("a" * 70_000, "u8", 1)]).bytes(), "more than the 65535"),
        (Gguf([("", "u8", 1)]).bytes(), "key 0 is empty"),
        (Gguf([("a", "u8", 1), ("a", "u8", 1)]).bytes(), "'a' appears twice"),
        (Gguf([("general.alignment", "u32", 24)]).bytes(), "power of two"),
        (Gguf([("general.alignment", "u32", 0)]).bytes(), "power of two"),
        (Gguf([("general.alignment", "u32", 2**30)]).bytes(), "power of two"),
        (Gguf([("general.alignment", "string", "32")]).bytes(), "power of two"),
        (Gguf([], [("a", (1, 1, 1, 1, 1), 0)]).bytes(), "5 dimensions"),
        (Gguf([], [("a", (2**62, 2**62), 0)]).bytes(data=False), "too large"),
        (Gguf([], [("a", (2**63, 0), 0)]).bytes(data=False), "too large"),
        (Gguf([], [("a", (100,), 12)]).bytes(), "do not divide into Q4_K blocks of 256"),
        (Gguf([], [("a", (32,), 31)]).bytes(), "Q4_0_4_4, which llama.cpp no longer reads"),
        (Gguf([], [("a", (32,), 2**31)]).bytes(), "unknown type"),
        (Gguf([], [("a", (2**40,), 0)]).bytes(data=False), "not downloaded completely"),
        (Gguf([], [("a", (4,), 0), ("a", (4,), 0)]).bytes(), "'a' appears twice"),
        (Gguf([], [("n" * 64, (4,), 0)]).bytes(), "more than the 63"),
    ],
)
def test_refuses_what_cannot_be(raw: bytes, hint: str) -> None:
    message = refused(raw)
    assert hint in message
    assert "at byte" in message


def _pair(kind: int, rest: bytes) -> bytes:
    return b"GGUF" + struct.pack("<IQQ", 3, 0, 1) + text("key") + struct.pack("<I", kind) + rest


@pytest.mark.parametrize(
    ("raw", "hint"),
    [
        (_pair(13, b"\0" * 8), "unknown type 13"),
        (_pair(8, struct.pack("<Q", 2**64 - 1)), "more than the"),
        (_pair(8, struct.pack("<Q", 2**20)), "needs 1048576 bytes, but the file ends"),
        (_pair(9, struct.pack("<IQ", 9, 1)), "holds arrays"),
        (_pair(9, struct.pack("<IQ", 77, 1)), "unknown type 77"),
        (_pair(9, struct.pack("<IQ", 12, 2**62)), "needs"),
        (_pair(9, struct.pack("<IQ", 8, 2**62)), "number of strings"),
        (_pair(9, struct.pack("<IQ", 8, 4000)), "needs 32000 bytes"),
        (_pair(9, struct.pack("<IQ", 8, 2000) + struct.pack("<Q", 2**63) * 2000), "beyond the end of the file"),
        (_pair(9, struct.pack("<IQ", 8, 3) + struct.pack("<Q", 2**63) * 3), "more than the"),
    ],
)
def test_refuses_lengths_that_lie(raw: bytes, hint: str) -> None:
    assert hint in refused(raw)


def test_overlapping_and_unaligned_tensors() -> None:
    raw = bytearray(Gguf([], [("a", (64,), 0), ("b", (64,), 0)]).bytes())
    place = raw.index(b"b\x01\0\0\0") + 1 + 4 + 8 + 4
    assert struct.unpack_from("<Q", raw, place)[0] == 256
    struct.pack_into("<Q", raw, place, 128)
    assert "'b' overlaps" in refused(bytes(raw))
    struct.pack_into("<Q", raw, place, 257)
    assert "alignment" in refused(bytes(raw))


def test_a_type_newer_than_the_table_takes_the_room_up_to_the_next() -> None:
    header = parse(Gguf([], [("a", (64,), 99), ("b", (64,), 0), ("c", (32,), 99)]).bytes())
    assert [(one.type, one.nbytes) for one in header.tensors] == [("type99", 64), ("F32", 256), ("type99", 32)]


def test_a_header_alone_when_it_is_asked_for() -> None:
    raw = model().bytes(data=False)
    assert "not downloaded completely" in refused(raw)
    assert len(parse(raw, allow_truncated=True).tensors) == 2
    with pytest.raises(InvalidRequest):
        parse(raw[: len(raw) // 2], allow_truncated=True)


def test_messages_hold_no_control_characters() -> None:
    message = refused(Gguf([("a\n\x1b[31m" + "b" * 500, "u8", 1)] * 2).bytes())
    assert message.isprintable()
    assert len(message) < 300


def test_a_source_that_ends_early_or_lies() -> None:
    raw = model().bytes()
    with pytest.raises(InvalidRequest, match="shrank"):
        read_header_from(lambda offset, length: b"", len(raw))
    with pytest.raises(InvalidRequest):
        read_header_from(lambda offset, length: raw[offset : min(offset + length, 60)], len(raw))


def test_reads_in_ranges_and_never_the_weights() -> None:
    file = model()
    file.tensors = [("big", (256, 100_000), 12)]
    raw = file.bytes()
    asked: list[tuple[int, int]] = []

    def ranges(offset: int, length: int) -> bytes:
        asked.append((offset, length))
        return raw[offset : offset + length]

    header = read_header_from(ranges, len(raw))
    assert len(asked) <= 4
    assert max(length for _, length in asked) <= 2**18
    assert header.tensors[0].nbytes == 100_000 * 144


def test_files_that_are_none(tmp_path: Path) -> None:
    with pytest.raises(InvalidRequest, match="a folder"):
        read_header(tmp_path)
    with pytest.raises(InvalidRequest, match="No such file"):
        read_header(tmp_path / "missing")
    with pytest.raises(InvalidRequest, match="usable path"):
        read_header(Path("a\0b"))
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(InvalidRequest, match="device or pipe"):
        read_header(tmp_path / "pipe")
    before = len(os.listdir("/proc/self/fd"))
    for path in (tmp_path, tmp_path / "pipe"):
        with pytest.raises(InvalidRequest):
            read_header(path)
    assert len(os.listdir("/proc/self/fd")) == before


def test_a_large_vocabulary_is_stepped_over_quickly() -> None:
    tokens = ("tokenizer.ggml.tokens", "array", ("string", [f"token number {number}" for number in range(260_000)]))
    raw = Gguf([("general.architecture", "string", "llama"), tokens]).bytes()
    parse(raw)
    seconds = []
    for _ in range(3):
        start = time.perf_counter()
        header = parse(raw)
        seconds.append(time.perf_counter() - start)
    # About 30 ms on the machine it was written on; ten times that leaves room for a busy one.
    assert min(seconds) < 0.3
    found = header.metadata["tokenizer.ggml.tokens"]
    assert isinstance(found, LazyArray)
    assert (found.type, found.length) == ("string", 260_000)
    assert raw[found.offset : found.offset + 8] == struct.pack("<Q", len("token number 0"))


def test_hostile_files_cost_little() -> None:
    """A sparse terabyte of zeros that claims whatever it likes: bounded time, bounded memory."""
    starts = [
        _pair(9, struct.pack("<IQ", 8, 2**37)),
        _pair(8, struct.pack("<Q", 2**39)),
        _pair(9, struct.pack("<IQ", 0, 2**39)),
        b"GGUF" + struct.pack("<IQQ", 3, 65_536, 65_536),
        b"GGUF" + struct.pack("<IQQ", 3, 65_536, 0),
    ]
    for raw in starts:
        tracemalloc.start()
        start = time.process_time()
        with pytest.raises(InvalidRequest):
            read_header_from(_zeros_after(raw), 2**40)
        _, peak = tracemalloc.get_traced_memory()
        tracemalloc.stop()
        assert time.process_time() - start < 2
        assert peak < 8 * 2**20


def test_the_most_strings_that_are_accepted_take_bounded_time() -> None:
    start = time.process_time()
    header = read_header_from(_zeros_after(_pair(9, struct.pack("<IQ", 8, 4_000_000))), 2**40)
    assert header.metadata["key"] == LazyArray("string", 4_000_000, 24 + 8 + 3 + 4 + 12)
    assert time.process_time() - start < 5


def _zeros_after(raw: bytes):
    def ranges(offset: int, length: int) -> bytes:
        assert length <= 2**23
        return (raw[offset:] if offset < len(raw) else b"").ljust(length, b"\0")[:length]

    return ranges


WHOLE = model().bytes()
HEADER = len(model().bytes(data=False))


def _survives(raw: bytes) -> None:
    """Read, or refused with a message: nothing else, and what was read lies within the file."""
    try:
        header = parse(raw)
    except InvalidRequest:
        return
    for tensor in header.tensors:
        assert tensor.offset >= 0
        assert tensor.offset + tensor.nbytes <= len(raw)
    for value in header.metadata.values():
        if isinstance(value, LazyArray):
            assert value.offset <= len(raw)


@settings(max_examples=300, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.lists(st.tuples(st.integers(0, HEADER - 1), st.integers(0, 255)), min_size=1, max_size=4))
def test_mutated_bytes(changes: list[tuple[int, int]]) -> None:
    raw = bytearray(WHOLE)
    for place, byte in changes:
        raw[place] = byte
    _survives(bytes(raw))


@settings(max_examples=150, deadline=None)
@given(st.integers(0, HEADER - 8), st.sampled_from([0, 1, 7, 2**31, 2**32 - 1, 2**63 - 1, 2**63, 2**64 - 1]))
def test_mutated_numbers(place: int, number: int) -> None:
    raw = bytearray(WHOLE)
    struct.pack_into("<Q", raw, place, number)
    _survives(bytes(raw))


@settings(max_examples=100, deadline=None)
@given(st.integers(0, len(WHOLE) - 1))
def test_cut_files(length: int) -> None:
    with pytest.raises(InvalidRequest):
        parse(WHOLE[:length])


@settings(max_examples=100, deadline=None)
@given(st.integers(0, HEADER), st.integers(0, HEADER), st.binary(max_size=40))
def test_pieces_moved_and_inserted(start: int, end: int, extra: bytes) -> None:
    _survives(WHOLE[:start] + extra + WHOLE[end:])


@settings(max_examples=100, deadline=None)
@given(st.binary(max_size=400))
def test_anything_after_the_magic(tail: bytes) -> None:
    _survives(b"GGUF\x03\0\0\0" + tail)
