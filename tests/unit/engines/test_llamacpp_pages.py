"""Which pages of a model's file a worker keeps: where its tensors begin, cut so that each is a mapping of its own, and the real thing on a file."""

import io
import mmap
import struct
import subprocess
import sys
from pathlib import Path

import pytest

from hausgeist.engines.llamacpp.pages import borders, pieces
from hausgeist.engines.specimen import write_specimen
from hausgeist.library.gguf.contents import inspect


def test_tensors_begin_where_the_header_says(tmp_path: Path) -> None:
    path = write_specimen(tmp_path / "m.gguf")
    with path.open("rb") as stream:
        found = borders(stream)
    [header] = inspect(path).headers
    assert found == sorted(tensor.offset for tensor in header.tensors)


def test_another_alignment_counts() -> None:
    def text(value: bytes) -> bytes:
        return struct.pack("<Q", len(value)) + value

    words = text(b"tokens") + struct.pack("<IIQ", 9, 8, 2) + text(b"a") + text(b"bcd")
    numbers = text(b"scores") + struct.pack("<IIQ", 9, 6, 3) + bytes(12)
    head = b"GGUF" + struct.pack("<IQQ", 3, 2, 3) + words + numbers + text(b"general.alignment") + struct.pack("<II", 4, 4096)
    tensors = b"".join(text(name) + struct.pack("<IQIQ", 1, 8, 0, offset) for name, offset in ((b"b", 8192), (b"a", 0)))
    assert borders(io.BytesIO(head + tensors)) == [4096, 4096 + 8192]


@pytest.mark.parametrize("content", [b"", b"GGUF", b"hello" * 20, b"GGUF" + struct.pack("<IQQ", 3, 1, 1) + bytes(8) + struct.pack("<I", 99)])
def test_what_is_no_model_is_refused(content: bytes) -> None:
    with pytest.raises((ValueError, KeyError, struct.error)):
        borders(io.BytesIO(content))


def test_a_page_with_a_border_in_it_stands_alone() -> None:
    assert pieces([100, 4096, 9000], 4096, 0, 20480) == [0, 4096, 8192, 12288, 20480]
    assert pieces([100, 9000], 4096, 4096, 12288) == [4096, 8192, 12288]


PROBE = """
import ctypes, mmap, re, sys
from pathlib import Path
from hausgeist.engines.llamacpp.pages import let_go
path = sys.argv[1]
with open(path, "rb") as file:
    mapped = mmap.mmap(file.fileno(), 0, prot=mmap.PROT_READ)
sum(mapped[at] for at in range(0, len(mapped), 4096))
def told():
    text = Path("/proc/self/smaps").read_text()
    parts = re.split(r"^(?=[0-9a-f]+-[0-9a-f]+ )", text, flags=re.M)
    own = [part for part in parts if path in part.splitlines()[0:1].__str__()]
    return len(own), sum(int(re.search(r"^Rss:\\s+(\\d+)", part, re.M)[1]) for part in own)
before = told()
let_go(path)
print(*before, *told(), mapped[len(mapped) - 1])
"""


@pytest.mark.skipif(sys.platform != "linux", reason="pages are let go of on Linux only")
def test_all_pages_go_and_each_tensor_is_a_mapping_of_its_own(tmp_path: Path) -> None:
    path = write_specimen(tmp_path / "m.gguf")
    done = subprocess.run([sys.executable, "-c", PROBE, str(path)], capture_output=True, text=True, check=True, timeout=60)
    mappings, kept, mappings_after, kept_after, last = map(int, done.stdout.split())
    assert (mappings, kept_after) == (1, 0)
    assert kept * 1024 >= path.stat().st_size // mmap.PAGESIZE * mmap.PAGESIZE
    assert mappings_after > 3
    assert last == path.read_bytes()[-1]
