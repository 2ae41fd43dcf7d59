"""Models in one file: written, read by others, brought back; and files that somebody tampered with."""

from __future__ import annotations

import asyncio
import hashlib
import io
import json
import tarfile
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import pytest

from hausgeist.errors import DiskFull, InvalidRequest, ModelNotFound
from hausgeist.library.upkeep.portable import Portable
from hausgeist.store.space import RESERVE
from tests.unit.library.gguf_builder import adapter, model, projector, split
from tests.unit.library.test_install import Home

PIECE = 1000


@pytest.fixture
async def home(tmp_path: Path) -> AsyncIterator[Home]:
    home = Home(tmp_path / "home")
    yield home
    await home.close()


@pytest.fixture
async def other(tmp_path: Path) -> AsyncIterator[Home]:
    home = Home(tmp_path / "other")
    yield home
    await home.close()


def portable(home: Home) -> Portable:
    return Portable(library=home.library, blobs=home.blobs)


async def exported(home: Home, *names: str) -> bytes:
    export = await portable(home).export(names)
    content = b"".join([chunk async for chunk in export.chunks])
    assert len(content) == export.size
    return content


async def brought(home: Home, content: bytes, *, piece: int = PIECE) -> list[str]:
    async def chunks() -> AsyncIterator[bytes]:
        for start in range(0, len(content), piece):
            yield content[start : start + piece]

    return [one.id for one in await portable(home).bring(chunks())]


async def furnish(home: Home) -> None:
    weights = model().bytes()
    home.upstream.offer(
        "a:1b",
        [("weights", weights), ("projector", projector().bytes()), ("adapter", adapter().bytes())],
        system="Be kind. ü",
        template="{{ messages }}",
        parameters={"stop": ["x"], "temperature": 0.5},
        messages=({"role": "user", "content": "hi"},),
        licence="MIT",
    )
    home.upstream.offer("b", [("weights", weights)])
    for name in ("a:1b", "b"):
        await home.pull(name)


async def test_there_and_back(home: Home, other: Home) -> None:
    await furnish(home)
    content = await exported(home, "a:1b", "b", "A:1B")
    assert content == await exported(home, "a:1b", "b")
    assert len(content) < 2 * len(model().bytes()) + 20_000
    for piece in (PIECE, 10**9):
        assert await brought(other, content, piece=piece) == ["a:1b", "b"]
    for name in ("a:1b", "b"):
        assert other.library.get(name).digest == home.library.get(name).digest
        assert other.library.definition(name).to_json() == home.library.definition(name).to_json()
    assert sorted(other.blobs.digests()) == sorted(home.blobs.digests())


async def test_anybody_can_read_it(home: Home) -> None:
    await furnish(home)
    with tarfile.open(fileobj=io.BytesIO(await exported(home, "a:1b"))) as archive:
        names = archive.getnames()
        assert names[:2] == ["oci-layout", "index.json"]
        for name in names[2:]:
            content = archive.extractfile(name).read()  # type: ignore[union-attr]
            assert name == f"blobs/sha256/{hashlib.sha256(content).hexdigest()}"
        index = json.load(archive.extractfile("index.json"))  # type: ignore[arg-type]
    assert index["manifests"][0]["annotations"] == {"org.opencontainers.image.ref.name": "a:1b"}


async def test_files_in_place_and_split_ones(home: Home, other: Home, tmp_path: Path) -> None:
    parts = split(tmp_path, "big", 3)
    await home.library.offer(parts[0])
    assert await brought(other, await exported(home, "big")) == ["big"]
    path = other.library.get("big").path
    assert path is not None
    assert [one.read_bytes() for one in sorted(path.parent.iterdir())] == [part.read_bytes() for part in parts]
    with pytest.raises(ModelNotFound):
        await portable(home).export(["nothing"])


async def test_what_is_replaced_is_kept(home: Home, other: Home) -> None:
    await furnish(home)
    content = await exported(home, "b")
    other.upstream.offer("b", [("weights", model(seed=7).bytes())])
    await other.pull("b")
    await brought(other, content)
    assert len(other.blobs.digests()) == 2


def files_of(content: bytes) -> dict[str, bytes]:
    with tarfile.open(fileobj=io.BytesIO(content)) as archive:
        return {name: archive.extractfile(name).read() for name in archive.getnames()}  # type: ignore[union-attr]


def archive_of(files: dict[str, bytes], *extra: tarfile.TarInfo, form: int = tarfile.PAX_FORMAT) -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w", format=form) as archive:
        for name, content in files.items():
            info = tarfile.TarInfo(name)
            info.size = len(content)
            archive.addfile(info, io.BytesIO(content))
        for info in extra:
            archive.addfile(info)
    return buffer.getvalue()


def of_type(kind: bytes, name: str = "blobs/sha256/x", **more: Any) -> tarfile.TarInfo:
    info = tarfile.TarInfo(name)
    info.type = kind
    for field, value in more.items():
        setattr(info, field, value)
    return info


def with_index(change: Callable[[dict[str, Any]], Any]) -> Callable[[bytes], bytes]:
    def changed(content: bytes) -> bytes:
        files = files_of(content)
        index = json.loads(files["index.json"])
        change(index)
        return archive_of(files | {"index.json": json.dumps(index).encode()})

    return changed


def with_files(change: Callable[[dict[str, bytes]], Any]) -> Callable[[bytes], bytes]:
    def changed(content: bytes) -> bytes:
        files = files_of(content)
        change(files)
        return archive_of(files)

    return changed


def with_config(change: Callable[[dict[str, Any], dict[str, Any]], Any]) -> Callable[[bytes], bytes]:
    """Config and manifest of the first model changed, and all digests made right again."""

    def put(files: dict[str, bytes], descriptor: dict[str, Any], value: dict[str, Any]) -> None:
        content = json.dumps(value).encode()
        files.pop(f"blobs/sha256/{descriptor['digest'].removeprefix('sha256:')}", None)
        descriptor.update(digest=f"sha256:{hashlib.sha256(content).hexdigest()}", size=len(content))
        files[f"blobs/sha256/{descriptor['digest'].removeprefix('sha256:')}"] = content

    def changed(content: bytes) -> bytes:
        files = files_of(content)
        index = json.loads(files["index.json"])
        manifest = json.loads(files[f"blobs/sha256/{index['manifests'][0]['digest'].removeprefix('sha256:')}"])
        config = json.loads(files[f"blobs/sha256/{manifest['config']['digest'].removeprefix('sha256:')}"])
        change(config, manifest)
        put(files, manifest["config"], config)
        put(files, index["manifests"][0], manifest)
        files["index.json"] = json.dumps(index).encode()
        return archive_of(files)

    return changed


def flip(files: dict[str, bytes]) -> None:
    name = max(files, key=lambda one: len(files[one]))
    files[name] = files[name][:-1] + bytes([files[name][-1] ^ 1])


def huge_extension(content: bytes) -> bytes:
    info = tarfile.TarInfo("x")
    info.type, info.size = tarfile.XHDTYPE, 10**12
    return info.tobuf(tarfile.GNU_FORMAT) + b"\0" * 1024


TAMPERED: dict[str, tuple[Callable[[bytes], bytes], str]] = {
    "cut": (lambda content: content[: len(content) // 2], "ends in the middle"),
    "empty": (lambda content: b"", "ends in the middle"),
    "no archive": (lambda content: b"GGUF" * 1000, "not an archive"),
    "a flipped bit": (with_files(flip), "does not match its digest"),
    "a part is missing": (with_files(lambda files: files.pop(max(files, key=lambda one: len(files[one])))), "not in it"),
    "no index": (with_files(lambda files: files.pop("index.json")), "JSON"),
    "nothing in it": (with_index(lambda index: index.update(manifests=[])), "no model"),
    "manifests that are none": (with_index(lambda index: index.update(manifests=[7])), "damaged"),
    "a wrong size": (with_index(lambda index: index["manifests"][0].update(size=1)), "another size"),
    "a hostile name": (
        with_index(lambda index: index["manifests"][0].update(annotations={"org.opencontainers.image.ref.name": "../../x"})),
        "no name",
    ),
    "no name": (with_index(lambda index: index["manifests"][0].update(annotations={})), "empty"),
    "one name twice": (with_index(lambda index: index.update(manifests=index["manifests"] * 2)), "two models"),
    "a climbing path": (with_files(lambda files: files.update({"../../etc/passwd": b"x"})), "does not belong"),
    "an absolute path": (with_files(lambda files: files.update({"/etc/passwd": b"x"})), "does not belong"),
    "a wrong digest": (with_files(lambda files: files.update({f"blobs/sha256/{'0' * 64}": b"x"})), "does not match its digest"),
    "a huge document": (with_files(lambda files: files.update({"index.json": b" " * (5 * 2**20)})), "larger than"),
    "deep": (with_files(lambda files: files.update({"index.json": b"[" * 100_000})), "not JSON"),
    "twice": (lambda content: archive_of(files_of(content), of_type(tarfile.REGTYPE, "oci-layout")), "twice"),
    "a link": (lambda content: archive_of(files_of(content), of_type(tarfile.SYMTYPE, linkname="/etc/passwd")), "not a plain file"),
    "a hard link": (lambda content: archive_of(files_of(content), of_type(tarfile.LNKTYPE, linkname="index.json")), "not a plain file"),
    "a device": (lambda content: archive_of(files_of(content), of_type(tarfile.CHRTYPE)), "not a plain file"),
    "a long name": (lambda content: archive_of({"x" * 5000: b""}, form=tarfile.GNU_FORMAT), "not a plain file"),
    "a huge extension": (huge_extension, "too large"),
    "a licence that is no text": (with_config(lambda config, manifest: config.update(licence="\ud800")), "not text"),
    "a message that is no text": (
        with_config(lambda config, manifest: config.update(messages=[{"role": "user", "content": "\udfff"}])),
        "example message",
    ),
    "a layer of no kind": (with_config(lambda config, manifest: manifest["layers"][0].update(mediaType=[])), "unknown kind"),
    "one file as all weights": (with_config(lambda config, manifest: manifest.update(layers=manifest["layers"][:1] * 900)), "say that they are"),
    "more behind it": (lambda content: content + b"x" * 512, "follows the end"),
}


@pytest.mark.parametrize("how", TAMPERED)
async def test_tampered_files_install_nothing(home: Home, other: Home, how: str) -> None:
    await furnish(home)
    tamper, complaint = TAMPERED[how]
    with pytest.raises(InvalidRequest, match=complaint):
        await brought(other, tamper(await exported(home, "a:1b", "b")))
    assert other.library.models() == []
    assert other.blobs.digests() == []
    assert list(other.blobs.folder.iterdir()) == []


async def test_names_by_extended_headers_and_other_orders_are_understood(home: Home, other: Home) -> None:
    await furnish(home)
    files = dict(reversed(files_of(await exported(home, "b")).items()))
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w", format=tarfile.PAX_FORMAT) as archive:
        archive.addfile(of_type(tarfile.DIRTYPE, "blobs/"))
        for name, content in files.items():
            info = tarfile.TarInfo("./" + name)
            info.size, info.pax_headers = len(content), {"path": "./" + name, "mtime": "1.5", "size": str(len(content))}
            archive.addfile(info, io.BytesIO(content))
    assert await brought(other, buffer.getvalue()) == ["b"]


async def test_an_import_that_is_left_leaves_nothing(home: Home, other: Home) -> None:
    await furnish(home)
    content = await exported(home, "a:1b")

    async def chunks() -> AsyncIterator[bytes]:
        yield content[: len(content) // 2]
        await asyncio.sleep(60)

    task = asyncio.create_task(portable(other).bring(chunks()))
    await asyncio.sleep(0.2)
    task.cancel()
    await asyncio.wait({task})
    assert list(other.blobs.folder.iterdir()) == []


async def test_files_that_do_not_fit_are_refused_when_their_texts_have_come(home: Home, other: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    """All of them together, before the first; but what is here already needs no room."""
    await furnish(home)
    content = await exported(home, "a:1b", "b")
    layers = [model().bytes(), projector().bytes(), adapter().bytes()]
    free, taken = other.blobs.space.free(), 0
    monkeypatch.setattr(other.blobs.space, "free", lambda: RESERVE + sum(map(len, layers)) - 1)

    async def chunks() -> AsyncIterator[bytes]:
        nonlocal taken
        for start in range(0, len(content), PIECE):
            taken += PIECE
            yield content[start : start + PIECE]

    with pytest.raises(DiskFull):
        await portable(other).bring(chunks())
    assert taken < min(content.index(layer[:500]) for layer in layers) + 2 * PIECE
    assert list(other.blobs.folder.iterdir()) == []
    monkeypatch.setattr(other.blobs.space, "free", lambda: free)
    await brought(other, content)
    monkeypatch.setattr(other.blobs.space, "free", lambda: RESERVE + 10_000)
    assert await brought(other, content) == ["a:1b", "b"]


async def one_file(content: bytes, *, piece: int = PIECE) -> AsyncIterator[bytes]:
    for start in range(0, len(content), piece):
        yield content[start : start + piece]


async def test_a_model_file_is_taken(home: Home) -> None:
    content = model().bytes()
    made = await portable(home).take(one_file(content, piece=3), "mine:1b", size=len(content))
    assert made.id == "mine:1b"
    assert made.path is not None
    assert made.path.read_bytes() == content


@pytest.mark.parametrize("content", [b"", b"GG", b"<html>", b"GGUF", b"GGUF" + b"x" * 5000, projector().bytes()])
async def test_what_is_no_model_file_leaves_nothing(home: Home, content: bytes) -> None:
    with pytest.raises(InvalidRequest):
        await portable(home).take(one_file(content), "mine")
    assert home.library.models() == []
    assert home.blobs.digests() == []


async def test_a_file_without_a_usable_name_is_not_even_read(home: Home) -> None:
    read = []

    async def chunks() -> AsyncIterator[bytes]:
        read.append(1)
        yield b"GGUF"

    with pytest.raises(InvalidRequest):
        await portable(home).take(chunks(), "../up")
    assert not read
