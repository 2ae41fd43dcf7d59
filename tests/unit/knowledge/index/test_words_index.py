"""The index of words on tantivy: killed, damaged, small."""

from __future__ import annotations

import os
import random
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from hausgeist.knowledge.index.base import TextEntry
from hausgeist.knowledge.index.words import Damaged, open_words

WRITER = """
import sys
from pathlib import Path
from hausgeist.knowledge.index.base import TextEntry
from hausgeist.knowledge.index.words import open_words

index = open_words(Path(sys.argv[1]))
mark = index.mark
while True:
    mark += 1
    index.add(TextEntry(mark * 20 + n, mark, f"round{mark} passage{n} of a writer that is killed", "en") for n in range(20))
    if mark > 3:
        index.remove([(mark - 3) * 20])
    index.commit(mark)
    print(mark, flush=True)
"""


def test_a_killed_writer_leaves_a_mark_and_what_belongs_to_it(tmp_path: Path) -> None:
    folder = tmp_path / "words"
    said = 0
    for killing in range(3):
        with subprocess.Popen([sys.executable, "-c", WRITER, str(folder)], stdout=subprocess.PIPE, text=True) as writer:
            assert writer.stdout is not None
            target = said + 4 + killing
            while said < target:
                said = int(writer.stdout.readline())
            time.sleep(0.003 * killing)
            os.kill(writer.pid, signal.SIGKILL)
            said = max([said, *map(int, writer.stdout.read().split())])
        index = open_words(folder)
        assert index.mark >= said, "what was said to be committed is on the disk"
        for mark in (1, index.mark // 2, index.mark):
            found = {one.id for one in index.search(f"round{mark}", 100, language="en")}
            whole = {mark * 20 + n for n in range(20)}
            assert found == (whole - {mark * 20} if mark <= index.mark - 3 else whole)
        assert list(index.search(f"round{index.mark + 1}", 10, language="en")) == []
        said = index.mark
        index.close()


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    folder = tmp_path / "words"
    index = open_words(folder)
    index.add(TextEntry(n, n, f"passage {n} speaks of lighthouses and harbours", "en") for n in range(1, 400))
    index.commit(5)
    index.close()
    return folder


def spoil(file: Path, content: bytes | bytearray) -> None:
    """By another file in its place: threads of the index that was closed may have this one mapped into memory for a moment longer, and the kernel
    ends a process whose mapping has become too short."""
    other = file.with_name("spoiled")
    other.write_bytes(content)
    other.replace(file)


@pytest.mark.parametrize("ending", ["term", "idx", "pos", "store", "fast", "fieldnorm"])
@pytest.mark.parametrize("how", ["gone", "cut", "emptied"])
def test_a_damaged_folder_is_recognised(folder: Path, ending: str, how: str) -> None:
    file = next(folder.glob(f"*.{ending}"))
    if how == "gone":
        file.unlink()
    else:
        spoil(file, file.read_bytes()[: -file.stat().st_size // 2] if how == "cut" else b"")
    with pytest.raises(Damaged, match=folder.name):
        open_words(folder)


@pytest.mark.parametrize("content", ["", "{", '{"segments": 3}', "[]", "null"])
def test_a_damaged_list_of_segments_is_recognised(folder: Path, content: str) -> None:
    (folder / "meta.json").write_text(content)
    with pytest.raises(Damaged):
        open_words(folder)


def test_a_lost_list_of_segments_is_not_taken_for_an_empty_index(folder: Path) -> None:
    (folder / "meta.json").unlink()
    with pytest.raises(Damaged):
        open_words(folder)


def test_an_index_of_another_format_is_built_again(folder: Path) -> None:
    (folder / "format").write_text("0\n")
    with pytest.raises(Damaged, match="format"):
        open_words(folder)


def test_damage_within_a_file_never_ends_the_process(folder: Path) -> None:
    """Bits change where no check at the start sees it: an error that says so, or an answer, but no panic."""
    random.seed(3)
    for number in range(40):
        # A copy each: files of an open index are mapped into memory, and must not change under it.
        copy = folder.with_name(f"copy-{number}")
        shutil.copytree(folder, copy)
        file = random.choice([one for one in sorted(copy.iterdir()) if one.suffix in {".term", ".idx", ".pos", ".fast"}])
        spoiled = bytearray(file.read_bytes())
        for _ in range(8):
            spoiled[random.randrange(max(1, len(spoiled) - 120))] ^= 0xFF
        spoil(file, spoiled)
        try:
            index = open_words(copy)
            index.search('lighthouses "and harbours" 17', 10, language="en")
            index.search("lighthouzes", 10, language="en", entries={3, 4})
            index.close()
        except Damaged:
            pass
    assert open_words(folder).search("lighthouses 17", 3, language="en")[0].id == 17


def test_a_folder_that_was_only_begun_is_begun_again(tmp_path: Path) -> None:
    folder = tmp_path / "words"
    folder.mkdir()
    (folder / "format").write_text("1\n")
    assert open_words(folder).mark == 0


def test_it_is_small_on_the_disk(tmp_path: Path) -> None:
    """The words of passages of about 600 bytes take less than 450."""
    random.seed(1)
    vocabulary = ["".join(random.choices("abcdefghiklmnoprstuvw", k=random.randint(2, 9))) for _ in range(4_000)]
    weights = [1 / (rank + 2) for rank in range(len(vocabulary))]
    index = open_words(tmp_path / "words")
    for part in range(4):
        index.add(
            TextEntry(part * 2_000 + n, n // 10, " ".join(random.choices(vocabulary, weights, k=95)), "en", "A heading", "file.pdf")
            for n in range(1, 2_001)
        )
    index.commit(1)
    index.close()
    assert open_words(tmp_path / "words").size / 8_000 < 450


def test_how_sure_the_best_is_can_be_told(folder: Path) -> None:
    index = open_words(folder)
    all_there = index.search("harbours and lighthouses", 5, language="en")
    some_there = index.search("harbours with submarines, zeppelins and lighthouses", 5, language="en")
    assert all_there.possible > 0
    assert all_there[0].score >= 0.9 * all_there.possible * 0.5
    assert some_there.plain
    assert not index.search('"of lighthouses"', 5, language="en").plain
    with pytest.raises(ValueError, match="count from 1"):
        index.add([TextEntry(0, 1, "x", "en")])
