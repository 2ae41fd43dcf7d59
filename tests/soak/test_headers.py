"""Headers of GGUF files, damaged in every way that comes to mind: read as they are or refused with the place of the fault, and nothing else.

`make soak` reads 100,000 (`SOAK_HEADERS`), `make test` 500. They are read in a process of their own that may take little memory, so that a large
allocation is an error as any other.
"""

from __future__ import annotations

import json
import random
import re
import resource
import struct
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path

import pytest

from hausgeist.engines.specimen import write_adapter, write_projector, write_specimen
from hausgeist.errors import InvalidRequest
from hausgeist.library.gguf.contents import inspect
from hausgeist.library.gguf.header import Header, Tensor, read_header_from
from hausgeist.library.gguf.quantization import TENSOR_TYPES
from tests.acceptance.support import needs_linux
from tests.soak.amounts import amount, report
from tests.soak.mutations import marked, mutate
from tests.unit.library import gguf_builder

HEADERS = 100_000
SMOKE = 500
_SLOWEST = 2.0
_ROOM = 192 * 2**20
"""Bytes of address space that the reading process may take beyond what it has when it begins: the reader's own bound on what it keeps, and room
for Python's arenas."""
_INSPECTED = 25
"""One of so many is written to a file and looked into as a model."""
_PLACED = re.compile(r"at byte \d+|is not a GGUF file")


def seeds(folder: Path) -> list[Path]:
    """Good files of every kind, small ones and one with a long vocabulary."""
    files = [write_specimen(folder / f"{task}.gguf", task=task) for task in ("generate", "embed", "rerank")]  # type: ignore[arg-type]
    files += [write_adapter(folder / "adapter.gguf"), write_projector(folder / "projector.gguf")]
    files.append(gguf_builder.model().write(folder / "model.gguf"))
    files += gguf_builder.split(folder, "split", 2)
    words = [f"word{number}" for number in range(5000)]
    files.append(gguf_builder.model("qwen2", ("tokenizer.ggml.merges", "array", ("string", words))).write(folder / "vocabulary.gguf"))
    return files


def read_damaged(folder: Path, count: int, seed: int) -> dict[str, object]:
    """What became of so many damaged headers. Runs in the process that has little memory."""
    chance = random.Random(seed)
    headers = [marked(path.read_bytes()) for path in sorted(folder.glob("*.gguf"))]
    small = [header for header in headers if len(header.data) < 100_000] or headers
    outcomes: Counter[str] = Counter()
    slowest, wrong = 0.0, []
    resource.setrlimit(resource.RLIMIT_AS, (_address_space() + _ROOM,) * 2)
    scratch = folder / "scratch" / "damaged.gguf"
    scratch.parent.mkdir(exist_ok=True)
    for number in range(count):
        # Long ones are read less often: they take most of the time and differ little.
        header = chance.choice(headers if number % 8 == 0 else small)
        data = mutate(header, headers, chance)
        began = time.perf_counter()
        try:
            outcomes[_read(data, chance.random() < 0.5)] += 1
            if number % _INSPECTED == 0:
                scratch.write_bytes(data)
                _inspect(scratch)
        except BaseException as error:
            wrong.append(f"{number}: {type(error).__name__}: {str(error)[:200]}")
            (folder / f"wrong-{number}.gguf").write_bytes(data)
        slowest = max(slowest, time.perf_counter() - began)
    return {"outcomes": dict(outcomes), "slowest": slowest, "wrong": wrong[:20], "peak": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss}


def _read(data: bytes, truncated: bool) -> str:
    """Read from memory as if by range requests. Every range must be one that lies in the file."""

    def ranges(offset: int, length: int) -> bytes:
        assert 0 <= offset <= len(data)
        assert 0 <= length <= len(data) - offset
        return data[offset : offset + length]

    try:
        header = read_header_from(ranges, len(data), name="damaged", allow_truncated=truncated)
    except InvalidRequest as error:
        if not _PLACED.search(error.message):
            raise AssertionError(f"names no place: {error.message}") from error
        return "refused"
    _sound(header, data, truncated=truncated)
    return "read"


def _sound(header: Header, data: bytes, *, truncated: bool) -> None:
    """What was read keeps what the reader promises: as many keys and tensors as the file counts, each in a place of its own."""
    assert (len(header.tensors), len(header.metadata)) == struct.unpack_from("<QQ", data, 8)
    assert header.data_offset <= len(data) + header.alignment
    assert len({tensor.name for tensor in header.tensors}) == len(header.tensors)
    end = header.data_offset
    for tensor in sorted(header.tensors, key=lambda tensor: (tensor.offset, tensor.nbytes)):
        assert tensor.offset >= end
        assert tensor.nbytes >= 0
        layout = next((one for one in TENSOR_TYPES.values() if one.name == tensor.type), None)
        assert layout is None or tensor.nbytes * layout.block == tensor.elements * layout.nbytes
        end = tensor.offset + tensor.nbytes
    assert truncated or not header.tensors or end <= len(data)


def _inspect(path: Path) -> None:
    message = ""
    try:
        inspect(path)
    except InvalidRequest as error:
        message = error.message
    assert len(message) < 2000


def _address_space() -> int:
    return int(Path("/proc/self/statm").read_text("ascii").split()[0]) * resource.getpagesize()


def bombard(folder: Path, count: int, seed: int) -> None:
    needs_linux()
    seeds(folder)
    code = f"import json; from tests.soak.test_headers import *; print(json.dumps(read_damaged(Path({str(folder)!r}), {count}, {seed})))"
    ended = subprocess.run(
        [sys.executable, "-c", code], cwd=Path(__file__).parents[2], capture_output=True, text=True, timeout=60 + count / 20, check=False
    )
    assert ended.returncode == 0, ended.stderr[-2000:]
    found = json.loads(ended.stdout)
    report(
        "damaged headers",
        [
            ("headers", sum(found["outcomes"].values()) + len(found["wrong"])),
            ("seed", seed),
            ("outcomes", found["outcomes"]),
            ("the slowest (ms)", round(found["slowest"] * 1000)),
            ("most memory (MiB)", round(found["peak"] / 1024)),
            ("wrong", len(found["wrong"])),
        ],
    )
    assert not found["wrong"], f"seed {seed}: " + "\n".join(found["wrong"])
    assert found["slowest"] < _SLOWEST
    # Damage that always or never shows would test nothing.
    assert min(found["outcomes"]["refused"], found["outcomes"]["read"]) > count / 50


@pytest.mark.timeout(180)
def test_some_headers(tmp_path: Path) -> None:
    bombard(tmp_path, SMOKE, 7)


@pytest.mark.soak
def test_many_headers(tmp_path: Path) -> None:
    bombard(tmp_path, amount("HEADERS", HEADERS), amount("SEED", time.time()))


def test_the_marks_lie_where_the_reader_reads(tmp_path: Path) -> None:
    """The second reader, which knows where to damage, agrees with the one under test on good files."""
    for path in seeds(tmp_path):
        data = path.read_bytes()
        found = marked(data)
        header = read_header_from(lambda offset, length, data=data: data[offset : offset + length], len(data))  # type: ignore[misc]
        assert len(found.pairs) == len(header.metadata)
        assert len(found.tensors) == len(header.tensors)
        assert -(-found.end // header.alignment) * header.alignment == header.data_offset


@pytest.mark.parametrize(
    "tensors",
    [
        (Tensor("a", (4,), "F32", 64, 16), Tensor("b", (4,), "F32", 72, 16)),
        (Tensor("a", (4,), "F32", 64, 16), Tensor("a", (4,), "F32", 96, 16)),
        (Tensor("a", (4,), "F32", 0, 16), Tensor("b", (4,), "F32", 96, 16)),
        (Tensor("a", (4,), "F32", 64, 16), Tensor("b", (4,), "F32", 1000, 16)),
        (Tensor("a", (5,), "F32", 64, 16), Tensor("b", (4,), "F32", 96, 16)),
        (Tensor("a", (4,), "F32", 64, 16),),
    ],
)
def test_a_careless_reader_would_be_noticed(tensors: tuple[Tensor, ...]) -> None:
    data = b"GGUF" + struct.pack("<IQQ", 3, 2, 0) + bytes(200)
    good = (Tensor("a", (4,), "F32", 64, 16), Tensor("b", (4,), "F32", 96, 16))
    _sound(Header(3, {}, good, 64, len(data)), data, truncated=False)
    with pytest.raises(AssertionError):
        _sound(Header(3, {}, tensors, 64, len(data)), data, truncated=False)
