"""Parser processes, real ones: that they read, what they cannot do, and what is left when they end in whatever way."""

import asyncio
import contextlib
import json
import os
import re
import signal
import subprocess
import sys
import zlib
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import psutil
import pytest

from hausgeist.errors import HausgeistError, NotFound, NotSupported, Unavailable
from hausgeist.knowledge.language.terms import both
from hausgeist.knowledge.parse import child, process
from hausgeist.knowledge.parse.base import Limits, Unreadable
from hausgeist.knowledge.parse.process import Parsers
from hausgeist.knowledge.parsed import Cut, Small
from tests.pdf import Leaf, pdf

linux = pytest.mark.skipif(sys.platform != "linux", reason="Linux only")

Make = Callable[..., Parsers]


@pytest.fixture
async def make(tmp_path: Path) -> AsyncIterator[Make]:
    made: list[Parsers] = []

    def start(**options: object) -> Parsers:
        made.append(Parsers(tmp_path / "parsing", **{"processes": 1, **options}))  # type: ignore[arg-type]
        return made[-1]

    yield start
    for parsers in made:
        await parsers.close()


def document(tmp_path: Path, pages: int = 1, lines: int = 1) -> Path:
    leaves = []
    for number in range(1, pages + 1):
        leaf = Leaf()
        leaf.lines(72, 80, [f"Page {number} has line {line} about the deposit." for line in range(lines)])
        leaves.append(leaf)
    path = tmp_path / f"{pages}.bin"
    path.write_bytes(pdf(leaves))
    return path


OTHERS: set[psutil.Process] = set()
"""Processes of servers that other tests keep in this one."""


@pytest.fixture(autouse=True)
def _others() -> None:
    OTHERS.clear()
    OTHERS.update(psutil.Process().children())


def workers() -> list[psutil.Process]:
    found = []
    for one in set(psutil.Process().children()) - OTHERS:
        with contextlib.suppress(psutil.Error):  # it ends at this moment
            if "hausgeist.knowledge.parse.worker" in " ".join(one.cmdline()):
                found.append(one)
    return found


def left(tmp_path: Path) -> list[Path]:
    folder = tmp_path / "parsing"
    return [path for path in folder.rglob("*") if path.is_file()] if folder.exists() else []


async def busy(parsers: Parsers) -> psutil.Process:
    """The process that is reading now."""
    while True:
        for worker in parsers._all:
            if worker.given.exists() and any(worker.given.iterdir()):
                return psutil.Process(worker._process.pid)
        await asyncio.sleep(0.01)


async def test_files_are_read_one_after_the_other_by_one_process(make: Make, tmp_path: Path) -> None:
    parsers = make()
    seen: list[tuple[int, int]] = []
    first = await parsers.parse(document(tmp_path, 3), "a.pdf", progress=lambda done, total: seen.append((done, total)))
    process_before = workers()
    second = await parsers.parse(document(tmp_path), "b.pdf")
    assert "Page 3 has line 0" in first.text
    assert len(first.lines) == len(first.pages) == 3
    assert second.text == "Page 1 has line 0 about the deposit."
    assert seen[0] == (1, 3)
    assert workers() == process_before
    assert not left(tmp_path)


async def test_a_file_that_cannot_be_read_says_why_and_the_next_one_is(make: Make, tmp_path: Path) -> None:
    parsers = make()
    broken = tmp_path / "broken.pdf"
    broken.write_bytes(b"%PDF-1.7\nno more")
    with pytest.raises(Unreadable, match="damaged"):
        await parsers.parse(broken, "broken.pdf")
    with pytest.raises(Unreadable, match="could not be read from disk"):
        await parsers.parse(tmp_path / "nowhere.pdf", "nowhere.pdf")
    assert (await parsers.parse(document(tmp_path), "a.pdf")).text


@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGSEGV], ids=["killed", "crashed"])
async def test_a_process_that_ends_in_the_middle_costs_one_file(make: Make, tmp_path: Path, how: signal.Signals) -> None:
    parsers = make()
    await parsers.parse(document(tmp_path), "a.pdf")
    work = asyncio.create_task(parsers.parse(document(tmp_path, 400, 50), "long.pdf"))
    (await busy(parsers)).send_signal(how)
    with pytest.raises(Unreadable, match="memory runs out" if how == signal.SIGKILL else "crashed its parser"):
        await work
    assert (await parsers.parse(document(tmp_path), "a.pdf")).text
    assert not left(tmp_path)


@linux
async def test_one_that_stands_still_is_given_up(make: Make, tmp_path: Path) -> None:
    parsers = make(limits=Limits(seconds=1.0))
    work = asyncio.create_task(parsers.parse(document(tmp_path, 400, 50), "long.pdf"))
    (await busy(parsers)).send_signal(signal.SIGSTOP)
    with pytest.raises(Unreadable, match="took too long to read"):
        await work
    assert not workers()


async def test_one_that_works_for_too_long_is_given_up(make: Make, tmp_path: Path) -> None:
    parsers = make(limits=Limits(seconds=0.4))
    with pytest.raises(Unreadable, match=r"took too long to read \(more than 0.4 seconds\)"):
        await parsers.parse(document(tmp_path, 600, 50), "long.pdf")


@linux
async def test_a_page_that_unpacks_to_more_than_the_memory_ends_its_file_only(make: Make, tmp_path: Path) -> None:
    parsers = make(limits=Limits(memory=200 << 20))
    packer = zlib.compressobj(1)
    packed = b"".join([packer.compress(b" " * (1 << 20)) for _ in range(300)] + [packer.flush()])
    whole = pdf([Leaf().text(72, 100, "x")])
    stream = whole[whole.index(b"<</Length", whole.index(b"/Times-Roman")) : whole.index(b"endstream", whole.index(b"/Times-Roman"))]
    bomb = tmp_path / "bomb.pdf"
    bomb.write_bytes(whole.replace(stream, b"<</Length %d/Filter/FlateDecode>>stream\n" % len(packed) + packed + b"\n"))
    told = ""
    try:
        told = (await parsers.parse(bomb, "bomb.pdf")).text  # PDFium may give up the page by itself, which is as good
    except Unreadable as error:
        told = error.message
    assert re.search("^$|memory|crashed|damaged", told)
    assert (await parsers.parse(document(tmp_path), "a.pdf")).text


PROBE = """
import json, os, socket, subprocess
from pathlib import Path
from hausgeist.knowledge.parse.base import Unreadable

def attempt(what):
    try:
        what()
    except PermissionError:
        return "refused"
    except OSError as error:
        return type(error).__name__
    return "done"

outside = Path(os.environ["PROBE_OUTSIDE"])

class PdfDocument:
    def __init__(self, path):
        raise Unreadable(json.dumps({
            "socket": attempt(socket.socket),
            "child": subprocess.run(["python3", "-c", "import socket; socket.socket()"], capture_output=True).returncode,
            "file": Path(path).read_bytes()[:5].decode(),
            "write the file": attempt(lambda: Path(path).write_bytes(b"x")),
            "remove the file": attempt(lambda: Path(path).unlink()),
            "scratch": attempt(lambda: Path("new").write_text("x")),
            "home": attempt(lambda: (outside / "secret").read_text()),
            "write home": attempt(lambda: (outside / "new").write_text("x")),
            "passwords": attempt(lambda: Path("/etc/passwd").read_text()),
            "environment of the server": attempt(lambda: Path(f"/proc/{os.getppid()}/environ").read_bytes()),
            "secret variable": os.environ.get("HAUSGEIST_HF_TOKEN", ""),
            "nice": os.nice(0) - int(os.environ["PROBE_NICE"]),
        }))

class PdfiumError(Exception):
    err_code = 0
"""


@linux
async def test_a_parser_has_no_network_and_no_files_but_one(make: Make, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A library that does whatever it can stands in for one that a hostile file has taken over."""
    from hausgeist.sandbox import files

    if "cannot" in (why := _landlock(files)):
        pytest.skip(why)
    package, outside = tmp_path / "library" / "pypdfium2", tmp_path / "home"
    package.mkdir(parents=True)
    outside.mkdir()
    (outside / "secret").write_text("secret")
    (package / "__init__.py").write_text(PROBE)
    (package / "raw.py").write_text("")
    monkeypatch.setenv("PYTHONPATH", str(package.parent))
    monkeypatch.setenv("PROBE_OUTSIDE", str(outside))
    monkeypatch.setenv("PROBE_NICE", str(os.nice(0)))
    monkeypatch.setenv("HAUSGEIST_HF_TOKEN", "hf_secret")
    path = document(tmp_path)
    before = path.read_bytes()
    with pytest.raises(Unreadable) as told:
        await make().parse(path, "a.pdf")
    said = json.loads(told.value.message)
    refused = ("socket", "write the file", "remove the file", "home", "write home", "passwords", "environment of the server")
    assert said == {
        **dict.fromkeys(refused, "refused"),
        "child": 1,
        "file": "%PDF-",
        "scratch": "done",
        "secret variable": "",
        "nice": min(10, 19 - os.nice(0)),
    }
    assert path.read_bytes() == before
    assert not left(tmp_path)


def _landlock(files: object) -> str:
    code = "from hausgeist.sandbox.files import restrict, system, python; print(restrict([*system(), *python()]))"
    return subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=30, check=True).stdout


async def test_idle_processes_end_and_come_back(make: Make, tmp_path: Path) -> None:
    parsers = make(idle=0.2)
    await parsers.parse(document(tmp_path), "a.pdf")
    assert len(workers()) == 1
    async with asyncio.timeout(60):
        while workers():
            await asyncio.sleep(0.05)
    assert (await parsers.parse(document(tmp_path), "a.pdf")).text


async def test_processes_are_replaced_after_many_files(make: Make, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(process, "_FILES", 1)
    parsers = make()
    await parsers.parse(document(tmp_path), "a.pdf")
    assert not workers()


async def test_no_more_processes_than_allowed_read_at_once(make: Make, tmp_path: Path) -> None:
    parsers = make(processes=2)
    path = document(tmp_path, 40, 40)
    most = 0
    work = asyncio.gather(*(parsers.parse(path, "a.pdf") for _ in range(5)))
    while not work.done():
        most = max(most, len(workers()))
        await asyncio.sleep(0.02)
    assert len({parsed.text for parsed in await work}) == 1
    assert most == 2


async def test_who_leaves_ends_the_work(make: Make, tmp_path: Path) -> None:
    parsers = make()
    work = asyncio.create_task(parsers.parse(document(tmp_path, 600, 50), "long.pdf"))
    await busy(parsers)
    work.cancel()
    with pytest.raises(asyncio.CancelledError):
        await work
    assert not workers()
    assert not left(tmp_path)


async def test_closing_ends_all_and_says_so(make: Make, tmp_path: Path) -> None:
    parsers = make()
    work = asyncio.create_task(parsers.parse(document(tmp_path, 600, 50), "long.pdf"))
    await busy(parsers)
    await parsers.close()
    with pytest.raises(Unavailable, match="stopping"):
        await work
    with pytest.raises(Unavailable):
        await parsers.parse(document(tmp_path), "a.pdf")
    assert not workers()
    assert not left(tmp_path)


SERVER = """
import asyncio, sys
from pathlib import Path
from hausgeist.knowledge.parse.process import Parsers
from hausgeist.knowledge.parsed import Cut, Small

async def main():
    parsers = Parsers(Path(sys.argv[2]), processes=1)
    await parsers.parse(Path(sys.argv[1]), "long.pdf", progress=lambda done, total: print(done, flush=True))

asyncio.run(main())
"""


@linux
async def test_nothing_outlives_a_server_that_is_killed(make: Make, tmp_path: Path) -> None:
    path = document(tmp_path, 800, 50)
    server = subprocess.Popen([sys.executable, "-c", SERVER, str(path), str(tmp_path / "parsing")], stdout=subprocess.PIPE)
    assert server.stdout is not None
    server.stdout.readline()
    children = psutil.Process(server.pid).children(recursive=True)
    server.kill()
    server.wait()
    server.stdout.close()
    assert children
    _, alive = psutil.wait_procs(children, timeout=60)
    assert not [child for child in alive if child.status() != psutil.STATUS_ZOMBIE]
    assert left(tmp_path), "the file that was lent"
    await make().parse(document(tmp_path), "a.pdf")
    assert not left(tmp_path), "the next server clears up"


async def test_pages_have_pictures(make: Make, tmp_path: Path) -> None:
    import io

    from PIL import Image

    parsers = make()
    path = document(tmp_path, 2)
    shown = Image.open(io.BytesIO(await parsers.picture(path, 2, 595)))
    assert shown.size == (595, 842)
    assert shown.convert("L").crop((60, 60, 400, 90)).getextrema()[0] < 100, "the line is drawn"
    small = Image.open(io.BytesIO(await parsers.picture(path, 1, 10**9)))
    assert small.width * small.height <= 16_000_000
    with pytest.raises(NotFound, match="no page 3; the file has 2"):
        await parsers.picture(path, 3, 600)
    photo = tmp_path / "photo"
    Image.new("RGB", (300, 200), "red").save(photo, "JPEG")
    assert Image.open(io.BytesIO(await parsers.picture(photo, 1, 150))).size == (150, 100)
    note = tmp_path / "note.txt"
    note.write_text("No pages.")
    with pytest.raises(NotSupported):
        await parsers.picture(note, 1, 600)


async def cut(parsers: Parsers, paths: list[Path]) -> dict[int, Cut | HausgeistError]:
    told: dict[int, Cut | HausgeistError] = {}

    async def each(number: int, one: Cut | HausgeistError) -> None:
        assert number not in told
        told[number] = one

    await parsers.cut_all([Small(path, path.name, 400, 0) for path in paths], each)
    return told


async def test_small_files_are_read_and_cut_in_one_go(make: Make, tmp_path: Path) -> None:
    paths = []
    for number in range(9):
        path = tmp_path / f"{number}.txt"
        path.write_text(f"Number {number} is about the contract of 2026-05-0{number + 1}.\n" * 3, "utf-8")
        paths.append(path)
    paths[4].write_bytes(b"%PDF-1.7\nno more")
    paths[6].unlink()
    told = await cut(make(), paths)
    assert sorted(told) == list(range(9))
    assert isinstance(told[4], Unreadable)
    assert isinstance(told[6], Unreadable)
    assert "could not be read from disk" in told[6].message
    for number in (0, 3, 5, 8):
        one = told[number]
        assert isinstance(one, Cut)
        (piece,) = one.pieces
        assert one.parsed.text[piece.start : piece.end].startswith(f"Number {number} is")
        assert piece.language == "en"
        assert [tuple(" ".join(its) for its in both(one.parsed.text[piece.start : piece.end], "en"))] == list(one.terms)
    assert len(workers()) == 1
    assert not left(tmp_path)


@pytest.mark.parametrize(("no_time", "most"), [(60.0, 16), (0.0, 4)], ids=["quick", "slow"])
async def test_a_process_is_told_far_ahead_of_what_takes_no_time(
    make: Make, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, no_time: float, most: int
) -> None:
    monkeypatch.setattr(child, "_NO_TIME", no_time)
    sent: list[int] = []
    send = child.Child._send

    async def counted(self: child.Child, *told: dict[str, object]) -> None:
        sent.extend(len(told) for one in told[:1] if "path" in one)
        await send(self, *told)

    monkeypatch.setattr(child.Child, "_send", counted)
    paths = [tmp_path / f"{number:02}.txt" for number in range(40)]
    for number, path in enumerate(paths):
        path.write_text(f"Number {number}.", "utf-8")
    told = await cut(make(), paths)
    assert [one.parsed.text for one in told.values() if isinstance(one, Cut)] == [f"Number {number}." for number in range(40)]
    assert (sum(sent), max(sent) <= most) == (40, True)
    assert len(sent) <= 12 if no_time else len(sent) == 37


async def test_one_that_ends_the_process_costs_the_others_nothing(make: Make, tmp_path: Path) -> None:
    parsers = make()
    paths = [document(tmp_path), document(tmp_path, 400, 50), document(tmp_path, 2), document(tmp_path, 3)]
    work = asyncio.create_task(cut(parsers, paths))
    process = await busy(parsers)
    async with asyncio.timeout(60):
        while not (worker := next(iter(parsers._all))).files:
            await asyncio.sleep(0.001)
    process.send_signal(signal.SIGKILL)
    told = await work
    assert isinstance(told[1], Unreadable)
    assert "memory runs out" in told[1].message
    assert [len(one.parsed.pages) for one in told.values() if isinstance(one, Cut)] == [1, 2, 3]
    assert worker not in parsers._all
    assert not left(tmp_path)


async def test_who_comes_alone_need_not_wait_for_all_that_are_read_together(make: Make, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(process, "_TURN", 0.0)
    parsers = make()
    order: list[str] = []

    async def each(number: int, one: Cut | HausgeistError) -> None:
        order.append(str(number))

    together = asyncio.create_task(parsers.cut_all([Small(document(tmp_path, 30, 40), "a.pdf", 400, 0)] * 12, each))
    while not order:
        await asyncio.sleep(0.001)
    await parsers.parse(document(tmp_path), "b.pdf")
    order.append("alone")
    await together
    assert order.index("alone") < 10
    assert [one for one in order if one != "alone"] == [str(number) for number in range(12)]


async def test_a_process_sees_the_files_of_one_round_only(make: Make, tmp_path: Path) -> None:
    """Those of the next are laid out meanwhile, where it cannot look."""
    parsers = make(processes=1)
    seen: list[tuple[int, int]] = []

    async def each(number: int, one: Cut | HausgeistError) -> None:
        assert isinstance(one, Cut)
        (worker,) = parsers._all
        trays = [path for path in (tmp_path / "parsing").iterdir() if path != worker.given.parent]
        seen.append((len(list(worker.given.iterdir())), len(trays)))

    small = [Small(document(tmp_path, 2), "a.pdf", 400, 0)] * 3
    await asyncio.gather(parsers.cut_all(small, each), parsers.cut_all(small, each))
    assert [given for given, _ in seen] == [1] * 6
    assert (1, 1) in seen, "the second round was ready while the first was read"
    (worker,) = parsers._all
    assert not [*worker.given.iterdir(), *worker.scratch.iterdir(), *left(tmp_path)]
    assert list((tmp_path / "parsing").iterdir()) == [worker.given.parent]


async def test_a_round_that_is_broken_off_leaves_nothing(make: Make, tmp_path: Path) -> None:
    parsers = make(processes=1)
    work = asyncio.create_task(cut(parsers, [document(tmp_path, 400, 50)] * 3))
    waiting = asyncio.create_task(cut(parsers, [document(tmp_path)] * 3))
    await busy(parsers)
    waiting.cancel()
    work.cancel()
    await asyncio.wait({work, waiting})
    assert not left(tmp_path)
    assert len(await cut(parsers, [document(tmp_path)] * 3)) == 3
