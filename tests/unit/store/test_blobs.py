"""A blob is there whole and verified, or it is not there."""

from __future__ import annotations

import asyncio
import errno
import hashlib
import os
import random
import shutil
import subprocess
import sys
from collections.abc import AsyncIterator
from pathlib import Path
from types import SimpleNamespace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hausgeist.errors import DiskFull, InvalidRequest, NotFound, TooLarge
from hausgeist.store.blobs import Blobs, parse_digest

DATA = random.Random(1).randbytes(10_000)
DIGEST = hashlib.sha256(DATA).hexdigest()


async def stream(*chunks: bytes) -> AsyncIterator[bytes]:
    for chunk in chunks:
        yield chunk


@pytest.fixture
def blobs(tmp_path: Path) -> Blobs:
    return Blobs(tmp_path)


def leftovers(blobs: Blobs) -> list[Path]:
    return list(blobs.folder.glob(".partial-*"))


async def test_round_trip(blobs: Blobs) -> None:
    assert not blobs.has(DIGEST)
    assert await blobs.add(stream(DATA[:1], DATA[1:]), expected=f"sha256:{DIGEST}") == DIGEST
    assert blobs.has(f"sha256-{DIGEST}")
    assert blobs.size(DIGEST) == len(DATA)
    with blobs.open(DIGEST) as file:
        assert file.read() == DATA
    assert blobs.digests() == [DIGEST]
    assert blobs.path(DIGEST).name == f"sha256-{DIGEST}"
    assert not leftovers(blobs)
    blobs.remove(DIGEST)
    blobs.remove(DIGEST)
    assert blobs.digests() == []
    with pytest.raises(NotFound):
        blobs.open(DIGEST)
    with pytest.raises(NotFound):
        blobs.size(DIGEST)


async def test_an_empty_stream_and_one_larger_than_the_buffer(blobs: Blobs) -> None:
    assert await blobs.add(stream()) == hashlib.sha256(b"").hexdigest()
    big = os.urandom(1 << 20)
    assert await blobs.add(stream(*[big] * 9)) == hashlib.sha256(big * 9).hexdigest()


async def test_a_wrong_digest_names_both_and_leaves_nothing(blobs: Blobs) -> None:
    wrong = "0" * 64
    with pytest.raises(InvalidRequest, match=f"{wrong}.*{DIGEST}"):
        await blobs.add(stream(DATA), expected=wrong)
    assert list(blobs.folder.iterdir()) == []


async def test_a_limit(blobs: Blobs) -> None:
    with pytest.raises(TooLarge, match="9999"):
        await blobs.add(stream(DATA), limit=9999)
    assert list(blobs.folder.iterdir()) == []
    assert await blobs.add(stream(DATA), limit=10_000) == DIGEST


async def test_a_stream_that_breaks_leaves_nothing(blobs: Blobs) -> None:
    async def breaks() -> AsyncIterator[bytes]:
        yield DATA
        raise ConnectionResetError

    with pytest.raises(ConnectionResetError):
        await blobs.add(breaks())
    hangs = asyncio.create_task(blobs.add(_hang()))
    await asyncio.sleep(0.05)
    assert leftovers(blobs)
    hangs.cancel()
    await asyncio.gather(hangs, return_exceptions=True)
    assert list(blobs.folder.iterdir()) == []


async def _hang() -> AsyncIterator[bytes]:
    yield b"x" * (5 << 20)
    await asyncio.sleep(60)


async def test_a_full_disk(blobs: Blobs, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(descriptor: int) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(DiskFull, match="Free some space"):
        await blobs.add(stream(DATA))
    assert list(blobs.folder.iterdir()) == []


async def test_the_same_content_many_times_at_once(blobs: Blobs) -> None:
    assert set(await asyncio.gather(*(blobs.add(stream(DATA)) for _ in range(8)))) == {DIGEST}
    assert [file.name for file in blobs.folder.iterdir()] == [f"sha256-{DIGEST}"]


async def test_a_blob_that_goes_while_it_is_added_again_is_there_afterwards(blobs: Blobs, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever removes it does so between the look whether it is there and the touch that makes it young."""
    await blobs.add(stream(DATA))
    real = os.utime

    def gone(path: Path, *rest: object) -> None:
        if path == blobs.path(DIGEST):
            monkeypatch.setattr(os, "utime", real)
            path.unlink()
        real(path, *rest)  # type: ignore[arg-type]

    monkeypatch.setattr(os, "utime", gone)
    assert await blobs.add(stream(DATA)) == DIGEST
    assert blobs.has(DIGEST)
    assert not leftovers(blobs)


@pytest.mark.parametrize("copy", [True, False])
async def test_adopt(blobs: Blobs, tmp_path: Path, copy: bool) -> None:
    file = tmp_path / "model.gguf"
    file.write_bytes(DATA)
    os.utime(file, (1, 1))
    with pytest.raises(InvalidRequest, match="expected"):
        await blobs.adopt(file, expected="f" * 64, copy=copy)
    assert file.read_bytes() == DATA
    assert await blobs.adopt(file, expected=DIGEST, copy=copy) == DIGEST
    assert file.exists() == copy
    assert blobs.path(DIGEST).read_bytes() == DATA
    assert blobs.path(DIGEST).stat().st_mtime > 1000  # nobody takes it for an old one
    assert not leftovers(blobs)


async def test_adopt_takes_plain_files_only(blobs: Blobs, tmp_path: Path) -> None:
    (tmp_path / "real").write_bytes(DATA)
    (tmp_path / "link").symlink_to(tmp_path / "real")
    for odd in (tmp_path / "link", tmp_path, tmp_path / "none"):
        with pytest.raises(InvalidRequest, match="regular file"):
            await blobs.adopt(odd)


def test_what_was_left_behind_goes_but_not_what_is_being_written(tmp_path: Path) -> None:
    code = (
        "import sys, pathlib, time; from hausgeist.store.blobs import Blobs; from hausgeist.store.drafts import Draft\n"
        "blobs = Blobs(pathlib.Path(sys.argv[1])); partial = Draft(blobs.folder, '.partial-'); partial.write(b'x')\n"
        "print('ready', flush=True); time.sleep(60)"
    )
    process = subprocess.Popen([sys.executable, "-c", code, tmp_path], stdout=subprocess.PIPE)
    try:
        assert process.stdout is not None
        assert process.stdout.readline() == b"ready\n"
        assert len(leftovers(Blobs(tmp_path))) == 1
    finally:
        process.kill()
        process.wait()
        process.stdout.close()
    assert leftovers(Blobs(tmp_path)) == []


def test_a_file_that_was_verified_elsewhere_gets_its_name(blobs: Blobs) -> None:
    assert not blobs.keep(DIGEST)
    for content in (DATA, DATA):
        (blobs.folder / ".download-x").write_bytes(content)
        os.utime(blobs.folder / ".download-x", (1, 1))
        blobs.publish(blobs.folder / ".download-x", f"sha256:{DIGEST}")
        assert [file.name for file in blobs.folder.iterdir()] == [f"sha256-{DIGEST}"]
    assert blobs.path(DIGEST).stat().st_mode & 0o777 == 0o400
    assert blobs.path(DIGEST).stat().st_mtime > 1000
    os.utime(blobs.path(DIGEST), (1, 1))
    assert blobs.keep(DIGEST)
    assert blobs.path(DIGEST).stat().st_mtime > 1000
    assert blobs.path(DIGEST).read_bytes() == DATA


@given(st.text() | st.from_regex(r"(sha256[:-])?[0-9a-fA-F/.]{60,70}", fullmatch=True))
def test_only_digests_become_paths(text: str) -> None:
    try:
        digest = parse_digest(text)
    except InvalidRequest:
        return
    assert len(digest) == 64
    assert set(digest) <= set("0123456789abcdef")


@pytest.mark.parametrize("text", ["../../etc/passwd", f"sha256:{DIGEST}/../x", f"{DIGEST}\n", "", "sha256-", DIGEST[:-1] + "٣"])
def test_hostile_digests(blobs: Blobs, text: str) -> None:
    with pytest.raises(InvalidRequest):
        blobs.path(text)


def with_free(monkeypatch: pytest.MonkeyPatch, free: int) -> None:
    monkeypatch.setattr(shutil, "disk_usage", lambda path: SimpleNamespace(total=10**12, used=0, free=free))


async def test_what_is_announced_must_fit_before_a_byte_is_taken(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    blobs = Blobs(tmp_path, reserve=1_000_000)
    with_free(monkeypatch, 3_000_000)

    async def never() -> AsyncIterator[bytes]:
        pytest.fail("nothing should have been read")
        yield b""

    with pytest.raises(DiskFull, match=r"2\.0 MB are still to come, 3\.0 MB are free, of which 1\.0 MB have to stay free"):
        await blobs.add(never(), size=2_000_001)
    assert list(blobs.folder.iterdir()) == []
    assert await blobs.add(stream(DATA), size=2_000_000) == DIGEST


async def test_what_is_not_announced_stops_at_the_reserve(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    blobs = Blobs(tmp_path, reserve=1_000_000)
    taken = 0

    async def endless() -> AsyncIterator[bytes]:
        nonlocal taken
        while True:
            taken += 1 << 20
            with_free(monkeypatch, 20_000_000 - taken)
            yield bytes(1 << 20)

    with pytest.raises(DiskFull, match="have to stay free"):
        await blobs.add(endless())
    assert 10_000_000 < taken < 20_000_000
    assert list(blobs.folder.iterdir()) == []


async def test_what_is_promised_to_one_is_not_there_for_another(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    blobs = Blobs(tmp_path, reserve=0)
    with_free(monkeypatch, 3_000_000)
    ready, go = asyncio.Event(), asyncio.Event()

    async def slow() -> AsyncIterator[bytes]:
        ready.set()
        await go.wait()
        yield DATA

    first = asyncio.create_task(blobs.add(slow(), size=2_000_000))
    await ready.wait()
    with pytest.raises(DiskFull, match=r"2\.0 MB more are on their way"):
        await blobs.add(stream(DATA[:1]), size=1_500_000)
    go.set()
    assert await first == DIGEST
    await blobs.add(stream(DATA[:1]), size=1_500_000)


async def test_a_copy_must_fit(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    blobs, file = Blobs(tmp_path, reserve=0), tmp_path / "file"
    file.write_bytes(DATA)
    with_free(monkeypatch, 9_999)
    with pytest.raises(DiskFull):
        await blobs.adopt(file, copy=True)
    assert list(blobs.folder.iterdir()) == []


def test_a_damaged_blob_is_replaced_at_once(blobs: Blobs) -> None:
    """Whoever reads it keeps reading it, and at no moment there is none."""
    blobs.path(DIGEST).write_bytes(bytes(len(DATA)))
    good = blobs.folder / ".download-x"
    for anew in (False, True):
        good.write_bytes(DATA)
        with blobs.open(DIGEST) as file:
            blobs.publish(good, DIGEST, anew=anew)
            assert file.read() == bytes(len(DATA))
        assert blobs.path(DIGEST).read_bytes() == (DATA if anew else bytes(len(DATA)))
        assert [path.name for path in blobs.folder.iterdir()] == [f"sha256-{DIGEST}"]
