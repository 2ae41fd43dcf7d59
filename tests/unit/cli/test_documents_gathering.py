"""Which files of folders are documents."""

from __future__ import annotations

import hashlib
import os
from pathlib import Path

import pytest

from hausgeist.cli.documents.gathering import Found, Unreached, digest, gather, key_of, opened
from hausgeist.errors import NotFound


def write(path: Path, text: str = "words") -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    return path


def names(folder: Path, found: list[Found]) -> list[str]:
    return [one.path.relative_to(folder).as_posix() for one in found]


def test_documents_are_found_and_junk_is_named(tmp_path: Path) -> None:
    for name in ("b.pdf", "a/minutes.docx", "a/deep/er/x.md", "no ending", "zip.txt"):
        write(tmp_path / name)
    for name in (".hidden/secret.pdf", ".env", "Thumbs.db", "~$b.docx", "x.part", "film.mp4", "all.zip", "node_modules/readme.md", "._b.pdf"):
        write(tmp_path / name)
    write(tmp_path / "nothing.txt", "")
    gathering = gather([tmp_path])
    assert sorted(names(tmp_path, gathering.found)) == ["a/deep/er/x.md", "a/minutes.docx", "b.pdf", "no ending", "zip.txt"]
    left = {path.relative_to(tmp_path).as_posix(): why for path, why in gathering.left_out}
    assert left == {
        ".hidden": "hidden", ".env": "hidden", "Thumbs.db": "leftovers of programs", "~$b.docx": "leftovers of programs",
        "x.part": "leftovers of programs", "film.mp4": "films and sound", "all.zip": "archives", "node_modules": "leftovers of programs",
        "._b.pdf": "leftovers of programs", "nothing.txt": "empty files",
    }  # fmt: skip
    assert gathering.reasons()["leftovers of programs"] == 5


def test_what_is_named_is_taken(tmp_path: Path) -> None:
    file = write(tmp_path / ".notes.md")
    assert [one.path for one in gather([file]).found] == [file]
    with pytest.raises(NotFound, match="no file or folder"):
        gather([tmp_path / "missing.pdf"])


def test_links_lead_nowhere(tmp_path: Path) -> None:
    outside = write(tmp_path / "outside" / "private.txt")
    folder = tmp_path / "folder"
    write(folder / "a.txt")
    (folder / "loop").symlink_to(folder, target_is_directory=True)
    (folder / "private.txt").symlink_to(outside)
    (folder / "dead.txt").symlink_to(folder / "gone")
    os.link(folder / "a.txt", folder / "b.txt")
    gathering = gather([folder, folder])
    assert names(folder, gathering.found) == ["a.txt"]
    assert {path.name: why for path, why in gathering.left_out}["private.txt"] == "links"
    assert gathering.reasons()["links"] == 6  # three, twice


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="no pipes here")
def test_pipes_are_left_alone(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.txt")
    gathering = gather([tmp_path])
    assert (gathering.found, [why for _, why in gathering.left_out]) == ([], ["devices, pipes and sockets"])


def test_a_file_is_read_whole_or_not_at_all(tmp_path: Path) -> None:
    file = write(tmp_path / "a.txt", "x" * 3_000_000)
    [found] = gather([file]).found
    *pieces, last = digest(found)
    assert sum(map(len, pieces)) == 3_000_000
    assert last == hashlib.sha256(b"x" * 3_000_000).hexdigest()
    reading = digest(found)
    next(reading)
    with file.open("a") as more:
        more.write("y")
    with pytest.raises(Unreached, match="being written"):
        list(reading)
    file.unlink()
    with pytest.raises(Unreached, match="no such file"):
        list(digest(found))


def test_nobody_slips_in_another_file(tmp_path: Path) -> None:
    """Who may write to a folder that somebody else watches gets no file of theirs by it."""
    private = write(tmp_path / "home" / "private.txt", "secret")
    file = write(tmp_path / "shared" / "sub" / "a.txt", "crafty")
    status = private.stat()
    os.utime(file, ns=(status.st_atime_ns, status.st_mtime_ns))
    [found] = gather([tmp_path / "shared"]).found
    assert (found.size, found.modified) == (status.st_size, status.st_mtime)
    with opened(found) as reading:
        assert reading.read() == b"crafty"
    file.unlink()
    file.symlink_to(private)
    for look in (lambda: list(digest(found)), lambda: opened(found)):
        with pytest.raises(Unreached, match="another file has taken its place"):
            look()
    file.unlink()
    file.parent.rmdir()
    (tmp_path / "home" / "private.txt").rename(tmp_path / "home" / "a.txt")
    file.parent.symlink_to(tmp_path / "home", target_is_directory=True)
    with pytest.raises(Unreached, match="another file has taken its place"):
        opened(found)


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="no pipes here")
def test_a_pipe_in_its_place_keeps_nobody_waiting(tmp_path: Path) -> None:
    file = write(tmp_path / "a.txt")
    [found] = gather([file]).found
    file.unlink()
    os.mkfifo(file)
    with pytest.raises(Unreached, match="another file has taken its place"):
        opened(found)


def test_paths_fit_into_attributes(tmp_path: Path) -> None:
    assert key_of(Path("/a/b.txt")) == "/a/b.txt"
    long = [Path("/" + "x" * 300 + end + "/y" * 200) for end in "ab"]
    assert all(len(key_of(one)) <= 512 for one in long)
    assert key_of(long[0]) != key_of(long[1])
    strange = [Path(os.fsdecode(b"/a\xff.txt")), Path(os.fsdecode(b"/a\xfe.txt"))]
    assert key_of(strange[0]) != key_of(strange[1])
    assert key_of(strange[0]).encode("utf-8")
