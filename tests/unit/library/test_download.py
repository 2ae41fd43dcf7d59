"""The downloader against a server that does everything wrong."""

from __future__ import annotations

import asyncio
import hashlib
import os
import random
import shutil
import sys
from collections.abc import AsyncIterator, Mapping
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from aiohttp import web

from hausgeist.errors import DiskFull, EgressRefused, NotAllowed, NotFound, StoreError, Unavailable
from hausgeist.governance import Egress, Governor
from hausgeist.http.tls import Certificates
from hausgeist.library.download import Downloads, Patience, crew, service, sink, ways
from hausgeist.library.download import journal as journals
from hausgeist.library.download.answers import Wrong, retry_after, understand
from hausgeist.library.download.partial import Partial
from hausgeist.library.sources.base import Part
from hausgeist.library.transfer import Progress
from hausgeist.settings import Settings
from hausgeist.store.blobs import Blobs
from hausgeist.store.database import Database
from tests.upstream import Fault, Upstream, serve

UNIT = 128 << 10
"""What is a MiB in earnest: the tests are about files of 21 of them, in pieces of four, written one by one."""
LARGE = random.Random(1).randbytes(21 * UNIT + 12_345)
SMALL = random.Random(2).randbytes(100_000)
HASTY = Patience(tries=4, first=0.001, longest=0.01, longest_asked=0.05, stall=0.4)


class Credentials:
    """A source that only gives headers."""

    def __init__(self, *tokens: str) -> None:
        self.tokens = list(tokens)
        self.asked: list[bool] = []

    async def headers(self, part: Part, *, renew: bool = False) -> Mapping[str, str]:
        self.asked.append(renew)
        return {"Authorization": f"Bearer {self.tokens.pop(0)}"} if self.tokens else {}


class House:
    """Downloads into a home of its own, and all that it needs."""

    def __init__(self, home: Path, governor: Governor, **settings: Any) -> None:
        self.blobs = Blobs(home, reserve=0)
        self.egress = Egress(Settings(home=home, allow=("127.0.0.1",), **settings), governor)
        self.downloads = Downloads(self.blobs, self.egress, patience=HASTY)
        self.said: list[Progress] = []

    async def fetch(self, part: Part, credentials: Any = None) -> str:
        return await self.downloads.fetch(part, credentials or Credentials(), progress=self.said.append)

    def leftovers(self) -> list[str]:
        return sorted(path.name for path in self.blobs.folder.iterdir() if path.name.startswith("."))


@pytest.fixture(autouse=True, params=["by aiohttp", "straight"])
def _small(monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest) -> None:
    """Everything holds for connections that are left to aiohttp, and for those that are read past it, which in earnest are swift ones."""
    monkeypatch.setattr(crew, "_SWIFT", 0.0 if request.param == "straight" else 1e18)
    monkeypatch.setattr(crew, "_TRIAL", 1)
    monkeypatch.setattr(crew, "_STRAIGHT", 4 * UNIT)
    monkeypatch.setattr(crew, "_SMALLEST", 4 * UNIT)
    monkeypatch.setattr(crew, "_LARGEST", 32 * UNIT)
    monkeypatch.setattr(crew, "_FURTHER", UNIT // 4)
    monkeypatch.setattr(crew, "_WIDE", 2 * UNIT)
    monkeypatch.setattr(sink, "_FLUSH", UNIT)


@pytest.fixture
async def house(tmp_path: Path) -> AsyncIterator[House]:
    database = Database.open(tmp_path)
    house = House(tmp_path, Governor(database))
    yield house
    await house.egress.close()
    database.close()


@pytest.fixture
async def upstream() -> AsyncIterator[Upstream]:
    async with serve() as upstream:
        upstream.files = {"/large": LARGE, "/small": SMALL}
        yield upstream


def digest(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def part(upstream: Upstream, path: str = "/large", *, known: bool = True) -> Part:
    data = upstream.files[path]
    url, name = f"{upstream.url}{path}", path.strip("/")
    return (
        Part(role="weights", url=url, filename=name, size=len(data), sha256=digest(data)) if known else Part(role="weights", url=url, filename=name)
    )


async def holds(house: House, wanted: Part, data: bytes) -> None:
    """Fetched, it is there whole, and nothing else is."""
    assert await house.fetch(wanted) == digest(data)
    assert house.blobs.path(digest(data)).read_bytes() == data
    assert house.leftovers() == []


@pytest.mark.parametrize("known", [True, False])
@pytest.mark.parametrize("ranges", [True, False])
@pytest.mark.parametrize("path", ["/large", "/small"])
async def test_a_file_comes_whole(house: House, upstream: Upstream, known: bool, ranges: bool, path: str) -> None:
    upstream.ranges = ranges
    await holds(house, part(upstream, path, known=known), upstream.files[path])
    assert upstream.sent == len(upstream.files[path])
    assert all(request.headers["Accept-Encoding"] == "identity" for request in upstream.seen)
    assert len(upstream.seen) == (6 if ranges and path == "/large" else 1)
    assert [one.stage for one in house.said if one.stage != "downloading"][-2:] == ["installing", "done"]
    amounts = [one.done for one in house.said if one.stage == "downloading"]
    assert amounts == sorted(amounts)
    assert house.said[-1].done == house.said[-1].total == len(upstream.files[path])
    assert house.said[-1].digest == digest(upstream.files[path])
    assert house.blobs.path(digest(upstream.files[path])).stat().st_mode & 0o777 == 0o400
    # Whoever asks again gets what is here.
    if known:
        seen = len(upstream.seen)
        await holds(house, part(upstream, path), upstream.files[path])
        assert len(upstream.seen) == seen


async def test_a_length_that_is_not_told(house: House, upstream: Upstream) -> None:
    upstream.ranges = False

    async def unframed(upstream: Upstream, request: web.Request) -> web.StreamResponse:
        return await upstream.answer(request, headers={"Content-Length": ""})

    upstream.always = unframed
    await holds(house, part(upstream, known=False), LARGE)
    async with serve() as second:
        second.files, second.always, second.ranges = {"/s": SMALL}, unframed, False
        await holds(house, Part(role="weights", url=f"{second.url}/s", filename="s", sha256=digest(SMALL)), SMALL)


def with_headers(**headers: str) -> Fault:
    async def fault(upstream: Upstream, request: web.Request) -> web.StreamResponse:
        return await upstream.answer(request, headers={name.replace("_", "-"): value for name, value in headers.items()})

    return fault


def with_status(status: int, **headers: str) -> Fault:
    async def fault(upstream: Upstream, request: web.Request) -> web.StreamResponse:
        return web.Response(status=status, text="sorry", headers={name.replace("_", "-"): value for name, value in headers.items()})

    return fault


def cut(after: int) -> Fault:
    async def fault(upstream: Upstream, request: web.Request) -> web.StreamResponse:
        return await upstream.answer(request, cut=after)

    return fault


async def stall(upstream: Upstream, request: web.Request) -> web.StreamResponse:
    response = web.StreamResponse(status=206, headers={"Content-Range": f"bytes 0-{len(LARGE) - 1}/{len(LARGE)}", "Content-Length": str(len(LARGE))})
    await response.prepare(request)
    await asyncio.sleep(30)
    return response


def stall_after(size: int) -> Fault:
    async def fault(upstream: Upstream, request: web.Request) -> web.StreamResponse:
        return await upstream.answer(request, stop=size)

    return fault


async def drop(upstream: Upstream, request: web.Request) -> web.StreamResponse:
    assert request.transport is not None
    request.transport.abort()
    return web.Response()


FAULTS: dict[str, Fault] = {
    "429": with_status(429, Retry_After="0"),
    "429 for a year": with_status(429, Retry_After="31536000"),
    "503": with_status(503),
    "500": with_status(500),
    "502 in HTML": with_status(502, Content_Type="text/html"),
    "408": with_status(408),
    "dropped": drop,
    "cut at once": cut(0),
    "cut": cut(2 * UNIT),
    "stalled": stall,
    "web page": with_headers(Content_Type="text/html; charset=utf-8"),
    "compressed": with_headers(Content_Encoding="br"),
    "no range named": with_headers(Content_Range="bytes"),
    "wrong start": with_headers(Content_Range="bytes 1-4194304/99999999"),
    "other unit": with_headers(Content_Range="pages 1-2/3"),
    "huge numbers": with_headers(Content_Range=f"bytes 0-{10**30}/{10**31}"),
    "several ranges": with_headers(Content_Type="multipart/byteranges; boundary=x"),
    "a short page of text": with_status(200),
    "nothing there": with_status(416, Content_Range="bytes */0"),
    "range refused": with_status(416, Content_Range=f"bytes */{len(LARGE)}"),
}


@pytest.mark.parametrize("at", [0, 2])
@pytest.mark.parametrize("name", FAULTS)
async def test_a_fault_that_passes(house: House, upstream: Upstream, name: str, at: int) -> None:
    upstream.faults = [*[None] * at, FAULTS[name]]
    await holds(house, part(upstream), LARGE)
    assert upstream.sent < len(LARGE) + 12 * UNIT


@pytest.mark.parametrize("name", FAULTS)
async def test_a_fault_that_stays_ends_it_and_what_came_is_kept(house: House, upstream: Upstream, name: str) -> None:
    upstream.faults, upstream.always = [None], FAULTS[name]
    wanted = part(upstream)
    if name == "cut":
        # It gets further each time.
        await holds(house, wanted, LARGE)
        return
    with pytest.raises(Unavailable, match=r"127\.0\.0\.1 .*in a row.*kept"):
        await house.fetch(wanted)
    assert not house.blobs.has(digest(LARGE))
    assert len(upstream.seen) < 40
    rest = await house.downloads.missing([wanted, wanted])
    upstream.always, upstream.sent = None, 0
    await holds(house, wanted, LARGE)
    assert upstream.sent <= rest + UNIT


async def test_a_server_without_ranges_that_breaks_off(house: House, upstream: Upstream) -> None:
    upstream.ranges = False
    upstream.faults = [cut(5 * UNIT), cut(9 * UNIT)]
    await holds(house, part(upstream), LARGE)
    assert upstream.sent < len(LARGE) + 15 * UNIT


async def test_ranges_that_are_honoured_now_and_then(house: House, upstream: Upstream) -> None:
    async def whole(upstream: Upstream, request: web.Request) -> web.StreamResponse:
        upstream.ranges = False
        try:
            return await upstream.answer(request)
        finally:
            upstream.ranges = True

    upstream.faults = [None, whole, None, whole]
    await holds(house, part(upstream, known=False), LARGE)


async def test_too_many_connections_become_fewer(house: House, upstream: Upstream) -> None:
    running, most = 0, 0

    async def one_at_a_time(upstream: Upstream, request: web.Request) -> web.StreamResponse | None:
        nonlocal running, most
        if running:
            return web.Response(status=429)
        running += 1
        try:
            await asyncio.sleep(0.02)
            return await upstream.answer(request)
        finally:
            running -= 1

    upstream.always = one_at_a_time
    await holds(house, part(upstream), LARGE)
    assert len(upstream.seen) < 20


async def test_a_wrong_digest_names_both_and_leaves_nothing(house: House, upstream: Upstream) -> None:
    wrong = Part(role="weights", url=f"{upstream.url}/small", filename="small", size=len(SMALL), sha256="0" * 64)
    with pytest.raises(Unavailable, match=f"{'0' * 64}.*{digest(SMALL)}"):
        await house.fetch(wrong)
    assert list(house.blobs.folder.iterdir()) == []
    assert len(upstream.seen) == 2


async def test_damage_on_the_disk_is_noticed_and_fetched_anew(house: House, upstream: Upstream) -> None:
    wanted = part(upstream)
    await interrupted(house, upstream, wanted)
    [name] = [name for name in house.leftovers() if not name.endswith("journal")]
    with (house.blobs.folder / name).open("r+b") as file:
        file.write(b"damage")
    await holds(house, wanted, LARGE)


async def interrupted(house: House, upstream: Upstream, wanted: Part) -> None:
    """A download that was cancelled half-way."""
    upstream.pause = 0.01
    task = asyncio.create_task(house.fetch(wanted))
    while upstream.sent < 6 * UNIT:
        await asyncio.sleep(0.01)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    upstream.pause, upstream.sent = 0.0, 0


@pytest.mark.parametrize("known", [True, False])
async def test_cancelled_and_resumed(house: House, upstream: Upstream, known: bool) -> None:
    wanted = part(upstream, known=known)
    await interrupted(house, upstream, wanted)
    assert len(house.leftovers()) == 2
    assert house.blobs.digests() == []
    Blobs(house.blobs.folder.parent)  # a start sweeps what was left behind, but not this
    await holds(house, wanted, LARGE)
    assert upstream.sent <= len(LARGE) - 3 * UNIT


@pytest.mark.parametrize("size", [len(LARGE), len(LARGE) - 7, len(LARGE) + 7])
async def test_a_file_that_is_another_one_when_it_is_resumed(house: House, upstream: Upstream, size: int) -> None:
    wanted = part(upstream, known=False)
    await interrupted(house, upstream, wanted)
    fresh = random.Random(3).randbytes(size)
    upstream.files["/large"], upstream.etag = fresh, '"2"'
    await holds(house, wanted, fresh)


async def test_a_file_that_changes_meanwhile(house: House, upstream: Upstream) -> None:
    fresh = random.Random(3).randbytes(len(LARGE))

    async def change(upstream: Upstream, request: web.Request) -> None:
        upstream.files["/large"], upstream.etag = fresh, '"2"'

    upstream.faults = [None, None, change]
    await holds(house, part(upstream, known=False), fresh)


async def test_a_file_that_never_stays_the_same(house: House, upstream: Upstream) -> None:
    async def change(upstream: Upstream, request: web.Request) -> None:
        upstream.etag = f'"{len(upstream.seen)}"'

    upstream.always = change
    with pytest.raises(Unavailable, match="another version of large than before twice in a row"):
        await house.fetch(part(upstream, known=False))
    assert list(house.blobs.folder.iterdir()) == []
    # Where the digest is known, it decides: mirrors give the same file other validators.
    await holds(house, part(upstream), LARGE)


async def test_a_file_that_is_called_for_by_many_comes_once(house: House, upstream: Upstream) -> None:
    upstream.pause = 0.003
    wanted, first = part(upstream), asyncio.create_task(house.fetch(part(upstream)))
    others = [asyncio.create_task(house.fetch(wanted)) for _ in range(4)]
    while upstream.sent < UNIT:
        await asyncio.sleep(0.01)
    first.cancel()
    assert set(await asyncio.gather(*others)) == {digest(LARGE)}
    assert upstream.sent == len(LARGE)
    with pytest.raises(asyncio.CancelledError):
        await first


async def test_a_failure_reaches_all_who_wait(house: House, upstream: Upstream) -> None:
    upstream.always = with_status(404)
    found = await asyncio.gather(*(house.fetch(part(upstream)) for _ in range(3)), return_exceptions=True)
    assert [type(one) for one in found] == [NotFound] * 3
    assert len(upstream.seen) == 1


async def test_redirects_are_remembered_until_they_expire_and_see_no_secret(house: House, upstream: Upstream) -> None:
    async with serve() as cdn:
        cdn.files, valid = {"/large": LARGE}, [0]

        async def redirect(upstream: Upstream, request: web.Request) -> web.StreamResponse:
            assert request.headers["Authorization"] == "Bearer one"
            valid[0] = 3
            raise web.HTTPFound(f"{cdn.url}/large?signature=s3cret")

        async def expires(upstream: Upstream, request: web.Request) -> web.StreamResponse | None:
            assert "Authorization" not in request.headers
            valid[0] -= 1
            return web.Response(status=403) if valid[0] < 0 else None

        upstream.always, cdn.always = redirect, expires
        assert await house.fetch(part(upstream), Credentials("one")) == digest(LARGE)
        assert cdn.sent == len(LARGE)
        assert 2 <= len(upstream.seen) < 6


async def test_credentials_are_renewed(house: House, upstream: Upstream) -> None:
    good = ["new"]

    async def check(upstream: Upstream, request: web.Request) -> web.StreamResponse | None:
        return None if request.headers["Authorization"].removeprefix("Bearer ") in good else web.Response(status=401)

    upstream.always = check
    source = Credentials("old", "new")
    assert await house.fetch(part(upstream), source) == digest(LARGE)
    assert source.asked == [False, True]
    with pytest.raises(NotAllowed, match=r"does not give out small \(status 401\)"):
        await house.fetch(part(upstream, "/small"), Credentials("old", "older", "oldest"))


@pytest.mark.parametrize("status", [404, 410])
async def test_what_is_not_there(house: House, upstream: Upstream, status: int) -> None:
    upstream.always = with_status(status)
    with pytest.raises(NotFound, match=r"127\.0\.0\.1 has no large"):
        await house.fetch(part(upstream))


@pytest.mark.parametrize("status", [400, 405, 304, 451])
async def test_other_refusals_end_it_at_once(house: House, upstream: Upstream, status: int) -> None:
    upstream.always = with_status(status)
    with pytest.raises(Unavailable, match=str(status)):
        await house.fetch(part(upstream))
    assert len(upstream.seen) == 1


async def test_nobody_answers(house: House) -> None:
    nobody = Part(role="weights", url="http://127.0.0.1:1/large", filename="large", size=5, sha256="0" * 64)
    with pytest.raises(Unavailable, match="cannot be reached"):
        await house.fetch(nobody)


@pytest.mark.parametrize("where", ["http://169.254.169.254/latest/meta-data", "http://10.0.0.1/x", "file:///etc/passwd"])
async def test_redirects_do_not_lead_where_they_should_not(house: House, upstream: Upstream, where: str) -> None:
    async def redirect(upstream: Upstream, request: web.Request) -> web.StreamResponse:
        raise web.HTTPFound(where)

    upstream.always = redirect
    with pytest.raises(EgressRefused):
        await house.fetch(part(upstream))
    assert len(upstream.seen) == 1


async def test_more_than_was_announced(house: House, upstream: Upstream) -> None:
    wanted = Part(role="weights", url=f"{upstream.url}/large", filename="large", size=len(SMALL), sha256=digest(SMALL))
    with pytest.raises(Unavailable, match=f"{len(LARGE)} bytes where {len(SMALL)} were announced"):
        await house.fetch(wanted)
    assert not house.blobs.digests()


async def test_space_is_checked_first(house: House, upstream: Upstream, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shutil, "disk_usage", lambda path: SimpleNamespace(free=1000 * UNIT))
    tight = Downloads(Blobs(house.blobs.folder.parent, reserve=990 * UNIT), house.egress, patience=HASTY)
    wanted = [part(upstream), part(upstream), part(upstream, "/small")]
    assert await tight.missing(wanted) == len(LARGE) + len(SMALL)
    with pytest.raises(DiskFull, match=r"2\.9 MB are still to be fetched, .* are free"):
        await tight.check_space(wanted)
    with pytest.raises(DiskFull, match="Free some space"):
        await tight.fetch(wanted[0], Credentials())
    assert upstream.sent <= 5 * UNIT
    await tight.check_space(wanted[2:])
    await tight.fetch(wanted[2], Credentials())
    assert await tight.missing(wanted) == len(LARGE)


async def test_zeros_take_no_space(house: House, upstream: Upstream) -> None:
    data = bytearray(40 * UNIT)
    data[17 * UNIT : 17 * UNIT + 10] = b"0123456789"
    data[30 * UNIT + 5 : 30 * UNIT + 50_005] = os.urandom(50_000)
    upstream.files["/sparse"] = bytes(data)
    upstream.faults = [cut(3 * UNIT + 77), cut(999)]
    await holds(house, part(upstream, "/sparse"), bytes(data))
    found = house.blobs.path(digest(data)).stat()
    if hasattr(found, "st_blocks"):
        assert found.st_blocks * 512 < 6 * UNIT


async def test_old_bytes_do_not_shine_through_holes(house: House, upstream: Upstream) -> None:
    wanted = part(upstream, known=False)
    await interrupted(house, upstream, wanted)
    upstream.files["/large"], upstream.etag = bytes(len(LARGE)), '"2"'
    await holds(house, wanted, bytes(len(LARGE)))


async def test_given_up_and_in_use(house: House, upstream: Upstream) -> None:
    wanted = part(upstream)
    await interrupted(house, upstream, wanted)
    (house.blobs.folder / ".download-orphan.journal").write_bytes(b"?")
    assert await house.downloads.sweep() == 0
    assert len(house.leftovers()) == 3
    held = Partial.open(house.blobs.folder / f".download-{digest(LARGE)}")
    assert held is not None
    assert Partial.open(held.path) is None
    assert await house.downloads.sweep(older_than=-1) == 0
    assert not await house.downloads.discard(wanted)
    assert len(house.leftovers()) == 2
    held.close()
    assert await house.downloads.sweep(older_than=-1) > UNIT
    assert house.leftovers() == []
    assert not await house.downloads.discard(wanted)
    await interrupted(house, upstream, wanted)
    assert await house.downloads.discard(wanted)
    assert house.leftovers() == []


async def test_who_waits_for_another_process(house: House, upstream: Upstream) -> None:
    held = Partial.open(house.blobs.folder / f".download-{digest(LARGE)}")
    assert held is not None
    task = asyncio.create_task(house.fetch(part(upstream)))
    await asyncio.sleep(0.2)
    assert upstream.seen == []
    held.close()
    assert await task == digest(LARGE)


async def test_after_a_power_failure_only_what_was_flushed_counts(house: House, upstream: Upstream, monkeypatch: pytest.MonkeyPatch) -> None:
    wanted = part(upstream)
    await interrupted(house, upstream, wanted)
    monkeypatch.setattr(journals, "boot_id", lambda: "bbbb-2")
    assert await house.downloads.missing([wanted]) == len(LARGE)
    await holds(house, wanted, LARGE)
    assert upstream.sent >= len(LARGE)


async def test_a_flush_that_fails_is_not_believed(house: House, upstream: Upstream, monkeypatch: pytest.MonkeyPatch) -> None:
    def fails(descriptor: int) -> None:
        raise OSError(5, "Input/output error")

    monkeypatch.setattr(os, "fdatasync" if sys.platform != "darwin" else "fsync", fails)
    with pytest.raises(StoreError):
        await house.fetch(part(upstream))
    assert house.blobs.digests() == []
    monkeypatch.undo()
    await holds(house, part(upstream), LARGE)


@pytest.mark.parametrize(
    ("text", "seconds"),
    [("7", 7.0), ("", None), ("-1", None), ("soon", None), ("Wed, 21 Oct 2015 07:28:00 GMT", 0.0), ("9" * 30, None), ("Wed, 21 Oct 99999", None)],
)
def test_retry_after(text: str, seconds: float | None) -> None:
    assert retry_after({"Retry-After": text}) == seconds


def test_patience_grows_and_has_an_end() -> None:
    patience = Patience()
    assert 0.25 <= patience.delay(1, None) <= 0.5
    assert 15 <= patience.delay(1000, None) <= 30
    assert patience.delay(1, 1e9) == 120


@pytest.mark.parametrize("text", ["bytes 0-9/10", "bytes 0-5/10", "bytes 0-9/*"])
def test_answers_that_make_sense(text: str) -> None:
    answer = understand(206, {"Content-Range": text}, 0, 10)
    assert (answer.start, answer.ranged) == (0, True)


@pytest.mark.parametrize(
    "text", ["bytes 0-10/11", "bytes 0-9/9", "bytes 1-9/10", "bytes 5-4/10", "bytes 0-9/١٠", "bytes -1-9/10", "0-9/10", "bytes 0-9"]
)
def test_answers_that_make_no_sense(text: str) -> None:
    with pytest.raises(Wrong):
        understand(206, {"Content-Range": text}, 0, 10)
    with pytest.raises(Wrong):
        understand(206, {"Content-Range": "bytes 0-9/10", "Content-Length": "9"}, 0, 10)


async def test_a_stream_without_an_end_does_not_fill_the_disk(house: House, upstream: Upstream) -> None:
    """Where no length is told, nothing can be known beforehand; what has to stay free stays free."""

    async def endless(upstream: Upstream, request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse()
        response.enable_chunked_encoding()
        await response.prepare(request)
        while True:
            await response.write(SMALL)
            await asyncio.sleep(0.01)

    upstream.ranges, upstream.always = False, endless
    downloads = Downloads(Blobs(house.blobs.folder.parent, reserve=10**18), house.egress, patience=HASTY)
    async with asyncio.timeout(10):
        with pytest.raises(DiskFull):
            await downloads.fetch(part(upstream, known=False), Credentials())
    assert house.blobs.digests() == []


@pytest.mark.parametrize("_small", ["straight"], indirect=True)
@pytest.mark.parametrize("loop", ["asyncio", "uvloop"])
@pytest.mark.parametrize("tls", [False, True])
def test_read_straight_from_any_transport(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, loop: str, tls: bool) -> None:
    """Of asyncio or uvloop, encrypted or not; with a connection that breaks in the middle and one that stops."""
    # In one piece, of which not all has come before the transport is taken.
    monkeypatch.setattr(crew, "_SMALLEST", 32 * UNIT)
    received: list[int] = []

    class Counted(crew.Receiver):
        def buffer_updated(self, nbytes: int) -> None:
            received.append(nbytes)
            super().buffer_updated(nbytes)

    monkeypatch.setattr(crew, "Receiver", Counted)
    certificates = Certificates(Settings(home=tmp_path / "other", tls=True))
    (tmp_path / "other").mkdir()
    authority = tmp_path / "house.pem"
    authority.write_bytes(certificates.export())

    async def run() -> None:
        async with serve(certificates.context() if tls else None) as upstream:
            upstream.files = {"/large": LARGE}
            upstream.faults = [cut(2 * UNIT), None, stall_after(UNIT), cut(UNIT + 77)]
            database = Database.open(tmp_path / "home")
            house = House(tmp_path / "home", Governor(database), ca_certificates=authority)
            try:
                await holds(house, part(upstream), LARGE)
            finally:
                await house.egress.close()
                database.close()

    with asyncio.Runner(loop_factory=pytest.importorskip("uvloop").new_event_loop if loop == "uvloop" else None) as runner:
        runner.run(run())
    assert sum(received) > len(LARGE) / 4


async def zeros_without_end(upstream: Upstream, request: web.Request) -> web.StreamResponse:
    response = web.StreamResponse()
    response.enable_chunked_encoding()
    await response.prepare(request)
    while True:
        await response.write(bytes(1 << 20))


@pytest.mark.parametrize("what", ["the disk", "the constant"])
async def test_zeros_without_an_end_have_one(house: House, upstream: Upstream, monkeypatch: pytest.MonkeyPatch, what: str) -> None:
    """They become holes and fill no disk."""
    upstream.ranges, upstream.always = False, zeros_without_end
    if what == "the disk":
        monkeypatch.setattr(house.blobs.space, "free", lambda: 50_000_000)
    else:
        monkeypatch.setattr(service, "_LONGEST", 50_000_000)
    async with asyncio.timeout(10):
        with pytest.raises(Unavailable, match=r"127\.0\.0\.1 does not say how large large is.*Take it from a source that tells its size"):
            await house.fetch(part(upstream, known=False))
    assert house.blobs.digests() == []


async def test_what_was_announced_bounds_a_stream_of_unknown_length(house: House, upstream: Upstream) -> None:
    upstream.ranges, upstream.always = False, zeros_without_end
    wanted = Part(role="weights", url=f"{upstream.url}/large", filename="large", size=3 << 20, sha256=digest(bytes(3 << 20)))
    async with asyncio.timeout(10):
        await holds(house, wanted, bytes(3 << 20))


# -- Several sources of one file -----------------------------------------------------------------------------------------------------------------


@pytest.fixture
async def mirror(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Upstream]:
    """Another place that has the same files."""
    monkeypatch.setattr(ways, "_TRIAL_SECONDS", 0.3)
    monkeypatch.setattr(ways, "_SOON_SECONDS", 0.1)
    async with serve() as mirror:
        mirror.files = {"/large": LARGE, "/small": SMALL}
        yield mirror


async def hangs(upstream: Upstream, request: web.Request) -> web.StreamResponse:
    await asyncio.sleep(30)
    return web.Response(status=503)


async def both(house: House, first: Upstream, second: Upstream) -> list[str | BaseException]:
    """Two ask for the large file, each with an address of their own, one after the other."""
    asked = [Part(role="weights", url=f"{one.url}/large", filename="large", size=len(LARGE), sha256=digest(LARGE)) for one in (first, second)]
    task = asyncio.create_task(house.fetch(asked[0]))
    async with asyncio.timeout(10):
        while not first.seen:
            await asyncio.sleep(0.005)
        return await asyncio.gather(task, house.fetch(asked[1]), return_exceptions=True)


def patient(house: House, **more: Any) -> None:
    house.downloads = Downloads(house.blobs, house.egress, patience=Patience(**{"tries": 4, "first": 0.001, "longest": 0.01, "stall": 20.0, **more}))


async def test_a_dead_mirror_holds_up_nobody(house: House, upstream: Upstream, mirror: Upstream) -> None:
    patient(house)
    mirror.always = hangs
    assert await both(house, mirror, upstream) == [digest(LARGE)] * 2
    assert house.leftovers() == []


async def test_a_slow_mirror_holds_up_nobody(house: House, upstream: Upstream, mirror: Upstream) -> None:
    mirror.pause = 0.5
    assert await both(house, mirror, upstream) == [digest(LARGE)] * 2
    assert upstream.sent + mirror.sent < len(LARGE) + 9 * UNIT, "what the slow one brought is kept"
    assert house.leftovers() == []


async def test_a_mirror_that_is_slower_is_tried_and_left_again(house: House, upstream: Upstream, mirror: Upstream) -> None:
    upstream.pause, mirror.pause = 0.1, 5.0
    assert await both(house, upstream, mirror) == [digest(LARGE)] * 2
    assert mirror.seen
    assert mirror.sent < 3 * UNIT
    assert upstream.sent < len(LARGE) + 6 * UNIT


@pytest.mark.parametrize("fault", ["503", "404", "dropped"])
async def test_where_one_fails_the_other_goes_on(house: House, upstream: Upstream, mirror: Upstream, fault: str) -> None:
    upstream.pause = mirror.pause = 0.002
    mirror.faults, mirror.always = [None, None], with_status(404) if fault == "404" else FAULTS[fault]
    assert await both(house, mirror, upstream) == [digest(LARGE)] * 2
    assert upstream.sent <= len(LARGE) - 3 * UNIT


async def test_each_hears_what_is_wrong_with_what_they_named(house: House, upstream: Upstream, mirror: Upstream) -> None:
    async def soon(upstream: Upstream, request: web.Request) -> web.StreamResponse:
        await asyncio.sleep(0.1)
        return web.Response(status=404)

    mirror.always, upstream.always = soon, with_status(403)
    first, second = await both(house, mirror, upstream)
    assert (type(first), type(second)) == (NotFound, NotAllowed)
    # It is over: who asks from now on begins anew.
    upstream.always = None
    assert await house.fetch(part(upstream)) == digest(LARGE)


async def test_wrong_bytes_of_one_are_found_out(house: House, upstream: Upstream, mirror: Upstream) -> None:
    """Nobody can tell whose they were, so it is fetched again, from one alone."""
    mirror.files = {"/large": bytes(one ^ 1 for one in LARGE)}
    mirror.pause = 0.05
    assert await both(house, mirror, upstream) == [digest(LARGE)] * 2
    assert house.blobs.path(digest(LARGE)).read_bytes() == LARGE
    assert house.leftovers() == []


async def test_all_send_wrong_bytes(house: House, upstream: Upstream, mirror: Upstream) -> None:
    mirror.files = upstream.files = {"/large": bytes(one ^ 1 for one in LARGE)}
    mirror.pause = 0.05
    found = await both(house, mirror, upstream)
    assert [type(one) for one in found] == [Unavailable] * 2
    assert "does not match its digest" in str(found[0])
    assert list(house.blobs.folder.iterdir()) == []


async def test_what_only_somebody_who_left_had_named_is_asked_no_more(house: House, upstream: Upstream, mirror: Upstream) -> None:
    mirror.pause = 0.2
    first = asyncio.create_task(house.fetch(part(mirror)))
    while not mirror.sent:
        await asyncio.sleep(0.005)
    second = asyncio.create_task(house.fetch(part(upstream)))
    await asyncio.sleep(0)
    first.cancel()
    assert await second == digest(LARGE)
    seen = len(mirror.seen)
    assert mirror.sent < len(LARGE) // 2
    await asyncio.sleep(0.3)
    assert len(mirror.seen) == seen


# -- Damaged ones --------------------------------------------------------------------------------------------------------------------------------


async def test_a_damaged_blob_stays_until_the_good_one_is_there(house: House, upstream: Upstream) -> None:
    wanted, damaged = part(upstream), bytes(len(LARGE))
    path = house.blobs.path(digest(LARGE))
    path.write_bytes(damaged)
    assert await house.fetch(wanted) == digest(LARGE)
    assert path.read_bytes() == damaged, "it is here, as far as anybody knows"
    upstream.faults, upstream.always = [None], with_status(503)
    with pytest.raises(Unavailable):
        await house.downloads.fetch(wanted, Credentials(), anew=True)
    assert path.read_bytes() == damaged
    upstream.faults, upstream.always = [], None
    with path.open("rb") as file:
        assert await house.downloads.fetch(wanted, Credentials(), anew=True) == digest(LARGE)
        assert file.read() == damaged
    assert path.read_bytes() == LARGE
    assert house.leftovers() == []


async def test_what_another_process_has_mended_is_not_fetched_again(house: House, upstream: Upstream) -> None:
    path = house.blobs.path(digest(LARGE))
    path.write_bytes(bytes(len(LARGE)))
    held = Partial.open(house.blobs.folder / f".download-{digest(LARGE)}")
    assert held is not None
    task = asyncio.create_task(house.downloads.fetch(part(upstream), Credentials(), anew=True))
    await asyncio.sleep(0.2)
    held.path.write_bytes(LARGE)
    house.blobs.publish(held.path, digest(LARGE), anew=True)
    held.close()
    assert await task == digest(LARGE)
    assert upstream.seen == []
    assert path.read_bytes() == LARGE
