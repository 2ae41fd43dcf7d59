"""The library with a real database and real blobs: offering, creating, copying, removing, two processes, crashes."""

from __future__ import annotations

import asyncio
import hashlib
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path

import pytest

from hausgeist.engines.fake import Fake
from hausgeist.engines.specimen import write_specimen
from hausgeist.errors import Conflict, InvalidRequest, ModelNotFound, NotSupported
from hausgeist.library.service import Library
from hausgeist.model import Adapter, InstalledModel, ModelOptions
from hausgeist.settings import ModelSection
from hausgeist.store.blobs import Blobs
from hausgeist.store.database import Database
from tests.unit.library.gguf_builder import Gguf, adapter, model, projector, split


class House:
    """A home folder, and as many libraries on it as there are processes."""

    def __init__(self, home: Path) -> None:
        self.home = home
        self.blobs = Blobs(home)
        self._open: list[Database] = []

    def library(self, **sections: ModelSection) -> Library:
        database = Database.open(self.home)
        self._open.append(database)
        return Library(database, Blobs(self.home), sections)

    async def upload(self, file: Gguf | bytes) -> str:
        async def chunks() -> AsyncIterator[bytes]:
            yield file if isinstance(file, bytes) else file.bytes()

        return "sha256:" + await self.blobs.add(chunks())

    def age(self, digest: str, seconds: float) -> None:
        then = time.time() - seconds
        os.utime(self.blobs.path(digest), (then, then))

    def close(self) -> None:
        for database in self._open:
            database.close()


@pytest.fixture
def house(tmp_path: Path) -> Iterator[House]:
    house = House(tmp_path / "home")
    yield house
    house.close()


@pytest.fixture
def library(house: House) -> Library:
    return house.library()


def ids(library: Library) -> list[str]:
    return [one.id for one in library.models()]


async def test_a_file_is_offered_under_its_stem(library: Library, tmp_path: Path) -> None:
    path = model().write(tmp_path / "Tiny-Model.Q4_K_M.gguf")
    offered = await library.offer(path, notice="random weights")
    assert (offered.id, offered.path, offered.engine, offered.removable) == ("Tiny-Model.Q4_K_M", path, "llamacpp", False)
    assert offered.notice == "random weights"
    assert offered.shape.quantization == "Q4_K_M"
    assert offered.tasks == ("generate", "embed")
    assert offered.licence == "apache-2.0"
    assert offered.modified == pytest.approx(path.stat().st_mtime)
    for spelling in ("Tiny-Model.Q4_K_M", "tiny-model.q4_k_m", "TINY-model.Q4_K_M:latest"):
        assert library.get(spelling) is offered
    assert ids(library) == ["Tiny-Model.Q4_K_M"]


async def test_random_weights_are_said_to_be_random(library: Library, tmp_path: Path) -> None:
    write_specimen(tmp_path / "random.gguf")
    assert "noise" in (await library.offer(tmp_path / "random.gguf")).notice
    assert "noise" in (await library.create("x", source="random")).notice
    assert (await library.offer(tmp_path / "random.gguf", notice="mine")).notice == "mine"
    assert (await library.offer(model().write(tmp_path / "m.gguf"))).notice == ""


async def test_offering_the_same_file_again_changes_nothing(library: Library, tmp_path: Path) -> None:
    path = model().write(tmp_path / "m.gguf")
    first = await library.offer(path)
    assert (await library.offer(path)).digest == first.digest
    assert ids(library) == ["m"]


async def test_two_files_with_one_stem(library: Library, tmp_path: Path) -> None:
    (tmp_path / "other").mkdir()
    await library.offer(model().write(tmp_path / "m.gguf"))
    with pytest.raises(Conflict) as caught:
        await library.offer(model(seed=1).write(tmp_path / "other" / "M.gguf"))
    assert str(tmp_path / "m.gguf") in caught.value.message
    assert str(tmp_path / "other" / "M.gguf") in caught.value.message
    await library.offer(tmp_path / "other" / "M.gguf", name="second")
    assert ids(library) == ["m", "second"]


async def test_what_is_no_model_is_not_offered(library: Library, tmp_path: Path) -> None:
    for name, file in (("mmproj", projector()), ("lora", adapter())):
        with pytest.raises(InvalidRequest):
            await library.offer(file.write(tmp_path / f"{name}.gguf"))
    with pytest.raises(InvalidRequest, match="No such file"):
        await library.offer(tmp_path / "missing.gguf")
    assert ids(library) == []


async def test_split_files_are_offered_by_the_first(library: Library, tmp_path: Path) -> None:
    parts = split(tmp_path, "big", 3)
    offered = await library.offer(parts[0])
    assert (offered.id, offered.path) == ("big", parts[0])


async def test_sections_of_the_settings(house: House, tmp_path: Path) -> None:
    path, sight, lora = model().write(tmp_path / "m.gguf"), projector().write(tmp_path / "mmproj.gguf"), adapter().write(tmp_path / "lora.gguf")
    library = house.library(
        **{
            "house:main": ModelSection(path=path, context=2048, projector=sight, adapters=(lora,)),
            "M": ModelSection(slots=2, keep_alive=-1, task="embed", pooling="last"),
        }
    )
    await library.start()
    main = library.get("HOUSE:main")
    assert main.options == ModelOptions(context=2048, projector=sight, adapters=(Adapter(lora),))
    assert main.shape.vision
    other = await library.offer(path, options=ModelOptions(slots=7, threads=3))
    assert other.options == ModelOptions(slots=7, threads=3, keep_alive=-1, task="embed", pooling="last")
    assert other.tasks == ("embed",)


async def test_a_section_with_a_bad_file_says_which(house: House, tmp_path: Path) -> None:
    library = house.library(x=ModelSection(path=tmp_path / "missing.gguf"))
    with pytest.raises(InvalidRequest, match=r'\[models\."x"\].*No such file'):
        await library.start()
    library = house.library(x=ModelSection(path=model().write(tmp_path / "m.gguf"), projector=tmp_path / "m.gguf"))
    with pytest.raises(InvalidRequest, match="not a projector"):
        await library.start()


@pytest.mark.parametrize("name", ["nothing", "", "../../etc/passwd", "a b\n", "x" * 100_000, "\ud800"])
async def test_what_is_not_there(library: Library, name: str) -> None:
    with pytest.raises(ModelNotFound) as caught:
        library.get(name)
    assert caught.value.message.isprintable()
    assert len(caught.value.message) < 400
    for change in (library.remove(name), library.copy(name, "y"), library.create("y", source=name)):
        with pytest.raises(ModelNotFound):
            await change


async def test_create_from_uploaded_files(house: House, library: Library) -> None:
    weights, sight = await house.upload(model()), await house.upload(projector())
    made = await library.create(
        "Mario:7b",
        files={"m.gguf": weights, "mmproj.gguf": sight.replace(":", "-")},
        system="You are Mario.",
        template="{{ messages[0].content }}",
        parameters={"temperature": 1, "stop": "END", "num_thread": 3, "num_gpu": -1},
        licence=["MIT", "and more"],
    )
    assert made == library.get("mario:7B")
    assert (made.id, made.removable, made.source) == ("Mario:7b", True, "m.gguf")
    assert made.path == house.blobs.path(weights)
    assert made.options == ModelOptions(projector=house.blobs.path(sight), threads=3)
    assert made.shape.vision
    assert made.parameters == {"temperature": 1.0, "stop": ["END"], "num_thread": 3, "num_gpu": -1}
    assert (made.system, made.template, made.licence) == ("You are Mario.", "{{ messages[0].content }}", "MIT\n\nand more")
    assert house.library().get("mario:7b") == made


async def test_create_from_a_model(house: House, library: Library, tmp_path: Path) -> None:
    base = await library.offer(model().write(tmp_path / "base.gguf"))
    lora, sight = await house.upload(adapter()), await house.upload(projector())
    first = await library.create("first", source="base", system="one", parameters={"temperature": 0.5, "top_k": 3}, licence="MIT")
    second = await library.create("second", source="First:latest", parameters={"temperature": 0.7}, licence="Apache", adapters={"a": lora})
    third = await library.create("third", source="second", files={"p": sight}, system="")
    assert first.path == second.path == base.path
    assert (second.system, second.parameters, second.licence) == ("one", {"temperature": 0.7, "top_k": 3}, "MIT\n\nApache")
    assert second.options.adapters == (Adapter(house.blobs.path(lora)),)
    assert (third.system, third.source, third.options.projector) == ("", "second", house.blobs.path(sight))
    assert len({base.digest, first.digest, second.digest, third.digest}) == 4
    assert library.get("base").system == ""


async def test_create_from_a_path_in_place(library: Library, tmp_path: Path) -> None:
    path = model().write(tmp_path / "m.gguf")
    made = await library.create("x", files={"m.gguf": path})
    assert made.path == path
    await library.remove("x")
    assert path.exists()
    parts = split(tmp_path, "big", 2)
    assert (await library.create("big", files={part.name: part for part in parts})).path == parts[0]


async def test_create_replaces(house: House, library: Library) -> None:
    old, new = await house.upload(model(seed=1)), await house.upload(model(seed=2))
    before = await library.create("x", files={"m": old})
    after = await library.create("X:latest", files={"m": new})
    assert ids(library) == ["X"]
    assert before.digest != after.digest
    assert not house.blobs.has(old)
    assert house.blobs.has(new)


async def test_the_digest_depends_on_what_the_model_is_only(house: House, library: Library, tmp_path: Path) -> None:
    weights = await house.upload(model())
    one = await library.create("one", files={"a.gguf": weights}, parameters={"top_k": 1, "seed": 2})
    two = await library.create("two", files={"b.gguf": weights}, parameters={"seed": 2, "top_k": 1})
    assert one.digest == two.digest
    assert len(one.digest) == 64
    path = model().write(tmp_path / "a.gguf")
    shutil.copy2(path, tmp_path / "b.gguf")
    first, second = await library.offer(path), await library.offer(tmp_path / "b.gguf")
    assert first.digest == second.digest
    model(seed=1).write(path)
    assert (await library.offer(path)).digest != second.digest


@pytest.mark.parametrize(
    ("change", "hint"),
    [
        (lambda b: {}, "Give a model to start from"),
        (lambda b: {"files": {"p": b["projector"]}}, "GGUF file with weights"),
        (lambda b: {"files": {"a": b["model"], "b": b["other"]}}, "Two of the files are models"),
        (lambda b: {"files": {"a": b["model"], "b": b["projector"], "c": b["projector"]}}, "Two of the files are projectors"),
        (lambda b: {"files": {"a": b["adapter"]}}, "under 'adapters'"),
        (lambda b: {"files": {"a.safetensors": b["junk"]}}, "'a.safetensors' is not a GGUF file"),
        (lambda b: {"files": {"a": "sha256:" + "0" * 64}}, "upload it first with POST /api/blobs/sha256:000"),
        (lambda b: {"files": {"a": "/etc/passwd"}}, "64 hexadecimal digits"),
        (lambda b: {"files": {"a": "../../x"}}, "64 hexadecimal digits"),
        (lambda b: {"files": {"a": b["model"]}, "adapters": {"a": b["model"]}}, "not an adapter"),
        (lambda b: {"files": {"a": b["model"]}, "adapters": {"a": b["bert"]}}, "made for bert models"),
        (lambda b: {"files": {"a": b["model"]}, "source": "base"}, "not both"),
        (lambda b: {"files": {"a": b["model"]}, "template": "{{- range .Messages }}x"}, "Go's language"),
        (lambda b: {"files": {"a": b["model"]}, "parameters": {"nonsense": 1}}, "'nonsense' is not a parameter"),
        (lambda b: {"files": {"a": b["model"]}, "system": "x" * 3_000_000}, "longer than"),
        (lambda b: {"files": {"a": b["model"]}, "licence": [1]}, "licence must be"),
        (lambda b: {"files": {str(number): b["model"] for number in range(2000)}}, "more than the 1024"),
        (lambda b: {"files": {"a": b["part"]}}, "one part of a split model"),
    ],
)
async def test_create_refuses(house: House, library: Library, tmp_path: Path, change: Callable[[dict], dict], hint: str) -> None:
    await library.offer(model(seed=9).write(tmp_path / "base.gguf"))
    uploaded = {
        "model": await house.upload(model()),
        "other": await house.upload(model(seed=1)),
        "projector": await house.upload(projector()),
        "adapter": await house.upload(adapter()),
        "bert": await house.upload(adapter("bert")),
        "junk": await house.upload(b"\x10\0\0\0\0\0\0\0{" + b" " * 40),
        "part": await house.upload(split(tmp_path, "s", 2)[0].read_bytes()),
    }
    with pytest.raises(InvalidRequest) as caught:
        await library.create("x", **change(uploaded))
    assert hint in caught.value.message
    assert str(house.home) not in caught.value.message
    assert ids(library) == ["base"]


async def test_parts_that_were_uploaded_are_one_model(house: House, library: Library, tmp_path: Path) -> None:
    parts = split(tmp_path, "big-Q4_K_M", 3)
    files = {part.name: await house.upload(part.read_bytes()) for part in reversed(parts)}
    made = await library.create("big", files={**files, "eyes.gguf": await house.upload(projector())})
    assert made.path is not None
    assert made.path.name.endswith("-00001-of-00003.gguf")
    assert [path.read_bytes() for path in sorted(made.path.parent.iterdir())] == [part.read_bytes() for part in parts]
    assert made.shape.size == sum(part.stat().st_size for part in parts)
    assert made.options.projector is not None
    known = library.stored("big")
    assert known is not None
    assert known.parts == tuple(files[part.name].removeprefix("sha256:") for part in parts)
    await library.remove("big")
    assert not made.path.exists()


@pytest.mark.parametrize(
    ("names", "hint"),
    [
        ({"m-00001-of-00003.gguf": 0, "m-00002-of-00003.gguf": 1}, "part 3 is not among the files"),
        ({"m-00001-of-00002.gguf": 0, "m-00002-of-00002.gguf": 1}, "'m-00001-of-00002.gguf' is part 1 of 3"),
        ({"m-00001-of-00003.gguf": 0, "m-00002-of-00003.gguf": 2, "m-00003-of-00003.gguf": 1}, "model-00002-of-00003.gguf is not part 2 of 3"),
        ({"m-00001-of-00002.gguf": 3, "m-00002-of-00002.gguf": 3}, "says that it is a whole"),
        ({"a": 0, "b": 1, "c": 2}, "Upload all of them"),
        ({"m-00001-of-00003.gguf": 0, "m-00002-of-00003.gguf": 1, "m-00003-of-00003.gguf": 2, "other.gguf": 3}, "Two of the files are models"),
    ],
)
async def test_parts_that_are_no_model(house: House, library: Library, tmp_path: Path, names: dict[str, int], hint: str) -> None:
    uploaded = [await house.upload(part.read_bytes()) for part in split(tmp_path, "s", 3)]
    uploaded.append(await house.upload(model()))
    with pytest.raises(InvalidRequest) as caught:
        await library.create("x", files={name: uploaded[number] for name, number in names.items()})
    assert hint in caught.value.message
    assert str(house.home) not in caught.value.message
    assert ids(library) == []


async def test_templates_in_jinja_are_taken(house: House, library: Library) -> None:
    weights = await house.upload(model())
    for template in ("{% if x %}{{ x.y }}{% endif %}", "{{ bos_token }}{{- messages|length }}", "{{ '.x' }}", ""):
        assert (await library.create("x", files={"a": weights}, template=template)).template == template


async def test_copy(house: House, library: Library, tmp_path: Path) -> None:
    weights = await house.upload(model())
    made = await library.create("one", files={"a": weights}, system="s")
    copied = await library.copy("ONE", "other/two:v1")
    assert copied.digest == made.digest
    assert copied.id == "other/two:v1"
    assert await library.copy("one", "One:latest") == made
    await library.remove("one")
    assert house.blobs.has(weights)
    await library.remove("other/two:v1")
    assert not house.blobs.has(weights)
    await library.offer(model().write(tmp_path / "file.gguf"))
    await library.copy("file", "kept")
    assert house.library().get("kept").path == tmp_path / "file.gguf"


async def test_what_is_offered_or_brought_is_not_overwritten_nor_removed(house: House, library: Library, tmp_path: Path) -> None:
    path = model().write(tmp_path / "file.gguf")
    await library.offer(path)
    library.bring([InstalledModel(id="fake:echo", engine="fake", path=None, digest="d", modified=0.0, removable=False)])
    weights = await house.upload(model())
    for name in ("file", "FILE:latest", "fake:echo"):
        with pytest.raises(Conflict):
            await library.create(name, files={"a": weights})
        with pytest.raises(Conflict):
            await library.remove(name)
    with pytest.raises(NotSupported):
        await library.copy("fake:echo", "x")
    assert path.exists()
    assert ids(library) == ["fake:echo", "file"]


async def test_what_engines_bring(house: House, tmp_path: Path) -> None:
    library = house.library(**{"Up/Qwen": ModelSection(context=100, task="embed")})
    remote = [
        InstalledModel(id=name, engine="remote", path=None, digest=name, modified=0.0, upstream=f"up/{name}", removable=False)
        for name in ("up/Qwen", "up/weird name+1@x")
    ]
    echo = InstalledModel(id="fake:echo", engine="fake", path=None, digest="d", modified=0.0)
    library.bring([*remote, echo])
    assert ids(library) == ["fake:echo", "up/Qwen", "up/weird name+1@x"]
    assert library.get("UP/qwen").options.context == 100
    assert library.get("up/qwen").tasks == ("embed",)
    assert library.get("up/weird name+1@x").digest == "up/weird name+1@x"
    made = await library.create("mine", source="up/weird name+1@x", system="s")
    assert (made.engine, made.upstream, made.path, made.removable) == ("remote", "up/up/weird name+1@x", None, True)
    library.bring([*remote[:1], echo])
    assert ids(library) == ["fake:echo", "mine", "up/Qwen"]


async def test_engines_are_asked_for_names_in_no_list(house: House) -> None:
    engine = Fake(home=house.home)
    (house.home / "fake").mkdir()
    (house.home / "fake" / "replies.jsonl").write_text('"hello"\n')
    library = house.library(**{"fake:replies.jsonl": ModelSection(context=77)})
    library.bring(await engine.models(), find=engine.model)
    assert library.get("fake:echo@50").id == "fake:echo@50"
    assert library.get("fake:replies.jsonl").options.context == 77
    library.bring([])
    assert library.get(f"fake:{house.home / 'fake' / 'replies.jsonl'}").source.endswith("replies.jsonl")
    with pytest.raises(ModelNotFound):
        library.get("fake:nothing")
    with pytest.raises(Conflict):
        await library.create("fake:echo", files={"a": await house.upload(model())})


async def test_another_process_is_noticed(house: House, library: Library) -> None:
    other = house.library()
    weights = await house.upload(model())
    with pytest.raises(ModelNotFound):
        library.get("x")
    await other.create("x", files={"a": weights})
    assert library.get("x").id == "x"
    await other.create("x", files={"a": weights}, system="changed")
    await asyncio.sleep(0.3)
    assert library.get("x").system == "changed"
    assert ids(library) == ["x"]
    await other.remove("x")
    await asyncio.sleep(0.3)
    with pytest.raises(ModelNotFound):
        library.get("x")


async def test_a_blob_that_another_process_uses_stays(house: House, library: Library) -> None:
    other = house.library()
    weights = await house.upload(model())
    await library.create("x", files={"a": weights})
    await other.create("y", files={"a": weights})
    await library.remove("x")
    assert house.blobs.has(weights)
    assert other.get("y").path.is_file()


async def test_libraries_at_odds_leave_no_half_model(house: House) -> None:
    """Creates and removes of models that share a blob, from two sides at once: a model that is there has its file."""
    weights = model().bytes()
    sides = [house.library(), house.library()]

    async def side(library: Library, name: str) -> None:
        for _ in range(15):
            digest = await house.upload(weights)
            try:
                await library.create(name, files={"a": digest})
            except InvalidRequest:
                continue
            assert house.blobs.has(digest)
            await library.remove(name)

    await asyncio.gather(*(side(library, f"m{number}") for number, library in enumerate(sides)))
    assert ids(house.library()) == []
    assert house.blobs.digests() == []


async def test_garbage_is_collected_with_its_age(house: House, library: Library) -> None:
    used, fresh, old, others = [await house.upload(model(seed=number)) for number in range(4)]
    await library.create("x", files={"a": used})
    for digest in (used, old, others):
        house.age(digest, 2 * 24 * 3600)
    other = others.removeprefix("sha256:")
    await library.start(in_use=lambda connection: frozenset({other}))
    assert [house.blobs.has(digest) for digest in (used, fresh, old, others)] == [True, True, False, True]
    assert await library.collect() == 1
    assert not house.blobs.has(others)


async def test_rows_that_cannot_be_read_are_left_alone(house: House, library: Library, caplog: pytest.LogCaptureFixture) -> None:
    kept = await house.upload(model())
    await library.create("x", files={"a": await house.upload(model(seed=1))})
    database = Database.open(house.home)
    hex_digest = kept.removeprefix("sha256:")
    for number, definition in enumerate(["not json", "[]", '{"version": 99}', f'{{"version": 2, "files": "{hex_digest}"}}']):
        await database.write(
            lambda connection, row=(f"bad{number}", definition): (
                connection.exec_driver_sql("INSERT INTO models VALUES (?, 'llamacpp', ?, 1.0)", row).rowcount
            )
        )
    database.close()
    house.age(kept, 10 * 24 * 3600)
    fresh = house.library()
    await fresh.start()
    assert ids(fresh) == ["x"]
    assert "bad0" in caplog.text
    assert house.blobs.has(kept)


async def test_a_file_in_place_that_was_replaced_is_read_again_at_the_start(house: House, library: Library, tmp_path: Path) -> None:
    path = model().write(tmp_path / "m.gguf")
    gone = model().write(tmp_path / "gone.gguf")
    before = await library.create("x", files={"m": path}, system="kept")
    await library.create("y", files={"m": gone})
    model(file_type=7, seed=3).write(path)
    gone.unlink()
    fresh = house.library()
    await fresh.start()
    after = fresh.get("x")
    assert (after.shape.quantization, after.system) == ("Q8_0", "kept")
    assert after.digest != before.digest
    assert fresh.get("y").path == gone


async def test_get_is_a_dictionary_look_up(library: Library, tmp_path: Path) -> None:
    await library.offer(model().write(tmp_path / "m.gguf"))
    library.get("m")
    best = min(_seconds(library) for _ in range(5))
    assert best < 5e-6


def _seconds(library: Library, rounds: int = 2000) -> float:
    start = time.perf_counter()
    for _ in range(rounds):
        library.get("m")
    return (time.perf_counter() - start) / rounds


KILLED = """
import asyncio, sys
from pathlib import Path
from hausgeist.library.service import Library
from hausgeist.store.blobs import Blobs
from hausgeist.store.database import Database

async def main(home, weights):
    blobs = Blobs(home)
    library = Library(Database.open(home), blobs)
    number = 0
    while True:
        async def chunks():
            yield weights.read_bytes() + number.to_bytes(8, "little")
        digest = await blobs.add(chunks())
        await library.create(f"m{number}", files={"a": "sha256:" + digest}, system="x" * 1000)
        print(f"made m{number} {digest}", flush=True)
        if number % 2:
            await library.remove(f"m{number}")
            print(f"gone m{number} {digest}", flush=True)
        number += 1

asyncio.run(main(Path(sys.argv[1]), Path(sys.argv[2])))
"""


async def test_killed_at_any_point_nothing_half_remains(house: House, tmp_path: Path) -> None:
    weights = model().write(tmp_path / "m.gguf")
    for attempt in range(3):
        home = tmp_path / f"home{attempt}"
        process = subprocess.Popen([sys.executable, "-c", KILLED, home, weights], stdout=subprocess.PIPE, text=True)
        assert process.stdout is not None
        first = process.stdout.readline()
        time.sleep(0.05 + 0.07 * attempt)
        process.send_signal(signal.SIGKILL)
        told = [line.split() for line in [first, *process.stdout.read().splitlines(keepends=True)] if line.endswith("\n")]
        process.stdout.close()
        process.wait(10)
        house_after = House(home)
        library = house_after.library()
        await library.start()
        await library.collect(older_than=-1)
        there = {one.id: one for one in library.models()}
        gone = {name for word, name, _ in told if word == "gone"}
        # The one that was being removed when the kill came may be either.
        for _, name, _ in told[:-1]:
            assert (name in there) == (name not in gone), name
        for one in there.values():
            assert one.path is not None
            assert hashlib.sha256(one.path.read_bytes()).hexdigest() in one.path.name
        assert {one.path for one in there.values()} == {house_after.blobs.path(digest) for digest in house_after.blobs.digests()}
        house_after.close()
