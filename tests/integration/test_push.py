"""Pushing to a real OCI registry, through a proxy that breaks what can break on the way."""

from __future__ import annotations

import asyncio
import hashlib
import os
import random
import signal
import socket
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from aiohttp import ClientSession, web

from hausgeist.errors import EgressRefused, InvalidRequest, NotAllowed, NotFound, TooLarge, Unavailable
from hausgeist.governance import Egress, Governor
from hausgeist.identity import LOCAL_OWNER, Origin
from hausgeist.library.download.outbound import Patience
from hausgeist.library.push.layout import Layer
from hausgeist.library.push.registry import Registries, Registry
from hausgeist.library.push.upload import Notebook, Upload
from hausgeist.library.reference import Reference
from hausgeist.library.sources.table import registry_options
from hausgeist.settings import RegistrySection, Settings
from hausgeist.store.database import Database
from tests import registry as real

MIB = 1 << 20
DATA = random.Random(3).randbytes(6 * MIB)
DIGEST = hashlib.sha256(DATA).hexdigest()
ORIGIN = Origin("192.0.2.7", "curl", "req_9")
HURRIED = Patience(tries=6, first=0.01, longest=0.05, longest_asked=0.1, stall=2.0)

Fault = Callable[["Proxy", web.Request], Awaitable[web.StreamResponse | None]]


class Proxy:
    """In front of a registry. The n-th PATCH meets the n-th of `faults`; `others` is met by all other requests."""

    def __init__(self, target: str) -> None:
        self.target = target
        self.faults: list[Fault | None] = []
        self.others: Fault | None = None
        self.seen: list[tuple[str, str]] = []
        self.came = 0
        """Bytes of bodies of PATCH requests."""
        self.pause = 0.0
        """Seconds after each 64 KiB."""
        self.cut: int | None = None
        self.port = 0
        self.session: ClientSession | None = None

    @property
    def host(self) -> str:
        return f"127.0.0.1:{self.port}"

    async def handle(self, request: web.Request) -> web.StreamResponse:
        self.seen.append((request.method, request.path))
        fault = (self.faults.pop(0) if self.faults else None) if request.method == "PATCH" else self.others
        if fault is not None and (answer := await fault(self, request)) is not None:
            return answer
        return await self.forward(request)

    async def forward(self, request: web.Request, *, cut: int | None = None) -> web.Response:
        assert self.session is not None
        headers = {name: value for name, value in request.headers.items() if name.lower() not in {"transfer-encoding", "connection"}}
        # The length stays as it was announced: a body that ends early is a connection that broke.
        body = self.pieces(request, cut) if request.method == "PATCH" else await request.read()
        async with self.session.request(request.method, self.target + request.raw_path, headers=headers, data=body, allow_redirects=False) as answer:
            kept = {
                name: value for name, value in answer.headers.items() if name.lower() not in {"transfer-encoding", "connection", "content-length"}
            }
            return web.Response(status=answer.status, headers=kept, body=await answer.read())

    async def pieces(self, request: web.Request, cut: int | None) -> AsyncIterator[bytes]:
        passed = 0
        async for chunk in request.content.iter_chunked(1 << 16):
            self.came += len(chunk)
            passed += len(chunk)
            yield chunk
            if self.pause:
                await asyncio.sleep(self.pause)
            if cut is not None and passed >= cut:
                raise ConnectionResetError("cut")


@asynccontextmanager
async def proxied(target: str) -> AsyncIterator[Proxy]:
    proxy = Proxy(target)
    app = web.Application(client_max_size=1 << 30)
    app.router.add_route("*", "/{any:.*}", proxy.handle)
    runner = web.AppRunner(app, shutdown_timeout=0.1)
    await runner.setup()
    listener = socket.create_server(("127.0.0.1", 0))
    proxy.port = listener.getsockname()[1]
    await web.SockSite(runner, listener).start()
    try:
        async with ClientSession(auto_decompress=False) as proxy.session:
            yield proxy
    finally:
        await runner.cleanup()


@pytest.fixture(scope="module")
def registry(tmp_path_factory: pytest.TempPathFactory) -> Iterator[real.Registry]:
    with real.Registry(tmp_path_factory.mktemp("registry")) as registry:
        yield registry


@pytest.fixture
async def proxy(registry: real.Registry) -> AsyncIterator[Proxy]:
    async with proxied(registry.url) as proxy:
        yield proxy


@pytest.fixture
async def governor(tmp_path: Path) -> AsyncIterator[Governor]:
    database = Database.open(tmp_path / "home")
    yield Governor(database)
    database.close()


@pytest.fixture
async def at(governor: Governor) -> AsyncIterator[Callable[..., Registry]]:
    """A repository at a host, as the settings say."""
    made: list[Egress] = []

    def make(
        host: str, repository: str = "a/b", *, allow: tuple[str, ...] = (), user: str = "", password: str = "", offline: bool = False
    ) -> Registry:
        sections = {host: RegistrySection(user=user, password=password)}
        settings = Settings(home=Path("/nonexistent"), registries=sections, allow=allow, offline=offline)
        made.append(Egress(settings, governor))
        registries = Registries(made[-1], **registry_options(settings))
        return registries.of(Reference.parse(f"{host}/{repository}"), who=LOCAL_OWNER, origin=ORIGIN)

    yield make
    for egress in made:
        await egress.close()


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "weights"
    path.write_bytes(DATA)
    return path


def upload(registry: Registry, file: Path, folder: Path, *, digest: str = DIGEST, piece: int = 2 * MIB, **more: Any) -> Upload:
    layer = Layer.of_file("weights", "weights", digest, file.stat().st_size, file)
    return Upload(registry, layer, Notebook(folder), patience=more.pop("patience", HURRIED), tell=more.pop("tell", lambda done: None), piece=piece)


def forget(registry: real.Registry) -> None:
    """So that each test begins with nothing there."""
    registry.blob(DIGEST).unlink(missing_ok=True)


def status(code: int, **headers: str) -> Fault:
    async def answer(proxy: Proxy, request: web.Request) -> web.StreamResponse:
        await request.read()
        return web.Response(status=code, headers={name.replace("_", "-"): value for name, value in headers.items()})

    return answer


async def cut(proxy: Proxy, request: web.Request) -> web.StreamResponse | None:
    """Half of it arrives at the registry; neither side hears an answer."""
    try:
        await proxy.forward(request, cut=MIB)
    except Exception:
        assert request.transport is not None
        request.transport.close()
    return web.Response(status=500)


async def swallow(proxy: Proxy, request: web.Request) -> web.StreamResponse | None:
    """All of it arrives at the registry; its answer does not come back."""
    await proxy.forward(request)
    assert request.transport is not None
    request.transport.close()
    return web.Response(status=500)


async def refuse(proxy: Proxy, request: web.Request) -> web.StreamResponse | None:
    """Answered, and closed, before the body has come."""
    return web.Response(status=503, headers={"Connection": "close"})


FAULTS: dict[str, list[Fault | None]] = {
    "none": [],
    "cut in the first piece": [cut],
    "cut in a later piece": [None, cut, None, cut],
    "answers that get lost": [None, swallow, swallow],
    "500": [status(500), None, status(500), status(502)],
    "503 early": [refuse, None, refuse],
    "429": [status(429, Retry_After="0"), None, status(429, Retry_After="1")],
    "408": [status(408)],
    "forgotten": [None, status(404)],
    "wrong range": [status(416), None, status(416)],
}


@pytest.mark.parametrize("name", FAULTS)
async def test_what_goes_wrong_on_the_way(registry: real.Registry, proxy: Proxy, at: Any, file: Path, tmp_path: Path, name: str) -> None:
    forget(registry)
    proxy.faults = list(FAULTS[name])
    told: list[int] = []
    target = at(proxy.host, f"faults/{name.replace(' ', '-')}")
    sending = upload(target, file, tmp_path, tell=told.append)
    assert not await target.has(DIGEST)
    await sending.run()
    assert registry.blob(DIGEST).read_bytes() == DATA
    assert await target.has(DIGEST)
    assert (told[0], told[-1]) == (0, len(DATA))
    assert not proxy.faults
    assert sending.sent >= len(DATA)
    assert sending.sent <= len(DATA) * (1 if name == "none" else 3)
    assert list(tmp_path.glob(".upload-*")) == []


async def test_a_registry_that_stops_reading(registry: real.Registry, proxy: Proxy, at: Any, file: Path, tmp_path: Path) -> None:
    forget(registry)
    stuck = asyncio.Event()

    async def never(proxy: Proxy, request: web.Request) -> web.StreamResponse | None:
        await stuck.wait()
        return None

    proxy.faults = [never] * 20
    patience = Patience(tries=2, first=0.01, longest=0.01, longest_asked=0.01, stall=0.3)
    began = time.monotonic()
    with pytest.raises(Unavailable, match="took no more of the model"):
        await upload(at(proxy.host), file, tmp_path, patience=patience).run()
    assert time.monotonic() - began < 10
    stuck.set()


async def test_a_slow_one_is_waited_for(registry: real.Registry, proxy: Proxy, at: Any, tmp_path: Path) -> None:
    """What moves is not stuck, however long all of it takes."""
    large = tmp_path / "large"
    large.write_bytes(DATA * 5)
    digest = hashlib.sha256(DATA * 5).hexdigest()
    proxy.pause = 0.005
    patience = Patience(tries=1, first=0.01, longest=0.01, longest_asked=0.01, stall=1.5)
    began = time.monotonic()
    await upload(at(proxy.host, "slow/one"), large, tmp_path, digest=digest, patience=patience, piece=64 * MIB).run()
    assert time.monotonic() - began > patience.stall
    assert [method for method, _ in proxy.seen].count("PATCH") == 1


async def test_a_proxy_that_wants_small_requests(registry: real.Registry, proxy: Proxy, at: Any, file: Path, tmp_path: Path) -> None:
    forget(registry)

    async def small_only(proxy: Proxy, request: web.Request) -> web.StreamResponse | None:
        if int(request.headers["Content-Length"]) > MIB:
            return web.Response(status=413, headers={"Connection": "close"})
        return None

    proxy.faults = [small_only] * 50
    await upload(at(proxy.host, "small/one"), file, tmp_path, piece=4 * MIB).run()
    assert registry.blob(DIGEST).read_bytes() == DATA
    forget(registry)
    proxy.faults = [status(413)] * 50
    with pytest.raises(TooLarge, match="no pieces of 1048576 bytes"):
        await upload(at(proxy.host, "small/two"), file, tmp_path, piece=4 * MIB).run()


ELSEWHERE = [
    "http://169.254.169.254/latest",
    "https://evil.example/v2/x",
    "//evil.example/x",
    "ftp://127.0.0.1/x",
    "http://[::1]:99/",
    "",
    "http://a:b@evil.example/",
]


@pytest.mark.parametrize("location", ELSEWHERE)
async def test_uploads_go_nowhere_else(registry: real.Registry, proxy: Proxy, at: Any, file: Path, tmp_path: Path, location: str) -> None:
    async def lure(proxy: Proxy, request: web.Request) -> web.StreamResponse | None:
        return web.Response(status=202, headers={"Location": location}) if request.method == "POST" else None

    proxy.others = lure
    sending = upload(at(proxy.host), file, tmp_path)
    with pytest.raises(InvalidRequest, match=r"another host|does not say where"):
        await sending.run()
    assert sending.sent == proxy.came == 0

    async def later(proxy: Proxy, request: web.Request) -> web.StreamResponse:
        await request.read()
        return web.Response(status=202, headers={"Location": location or "http://evil.example/"})

    proxy.others, proxy.faults = None, [later]
    sending = upload(at(proxy.host), file, tmp_path)
    with pytest.raises(InvalidRequest, match="another host"):
        await sending.run()
    assert sending.sent <= 2 * MIB


async def test_redirected_uploads_are_not_followed(registry: real.Registry, proxy: Proxy, at: Any, file: Path, tmp_path: Path) -> None:
    async with proxied(registry.url) as elsewhere:
        proxy.faults = [status(307, Location=f"http://{elsewhere.host}/v2/")] * 20
        with pytest.raises(Unavailable, match="redirects PATCH"):
            await upload(at(proxy.host), file, tmp_path).run()
        assert elsewhere.seen == []


async def test_a_registry_that_forgets_for_ever(registry: real.Registry, proxy: Proxy, at: Any, file: Path, tmp_path: Path) -> None:
    """Each piece that it takes looks like progress."""
    forget(registry)

    async def unknown(proxy: Proxy, request: web.Request) -> web.StreamResponse | None:
        return web.Response(status=404) if request.method == "GET" else None

    proxy.others, proxy.faults = unknown, [None, None, status(404)] * 100
    sending = upload(at(proxy.host, "forgets/one"), file, tmp_path)
    with pytest.raises(Unavailable, match="keeps losing"):
        await sending.run()
    assert 8 * len(DATA) <= sending.sent <= 9 * len(DATA)


@pytest.mark.parametrize("address", ["http://169.254.169.254/latest/meta-data", "http://10.0.0.1/", "https://elsewhere.example/"])
async def test_questions_are_not_redirected_into_the_house(proxy: Proxy, at: Any, file: Path, tmp_path: Path, address: str) -> None:
    async def lure(proxy: Proxy, request: web.Request) -> web.StreamResponse | None:
        return web.Response(status=302, headers={"Location": address}) if request.method in {"HEAD", "GET"} else None

    proxy.others = lure
    target = at(proxy.host)
    for asking in (target.greet(), target.has(DIGEST)):
        with pytest.raises(EgressRefused):
            await asking
    assert {method for method, _ in proxy.seen} == {"GET", "HEAD"}


def test_a_registry_that_is_wrong_about_its_own_address(registry: real.Registry) -> None:
    """Behind a proxy that ends TLS, registries call themselves http."""
    found = Registry(None, "https://reg.example", "a/b", None, None)  # type: ignore[arg-type]
    assert found.place("http://reg.example:5000/v2/a/b/blobs/uploads/1?_state=x#y") == "https://reg.example/v2/a/b/blobs/uploads/1?_state=x"
    assert found.place("/v2/a/b/blobs/uploads/1") == "https://reg.example/v2/a/b/blobs/uploads/1"


async def test_a_file_that_is_not_what_it_should_be(registry: real.Registry, proxy: Proxy, at: Any, tmp_path: Path) -> None:
    damaged = tmp_path / "damaged"
    damaged.write_bytes(b"x" + DATA[1:])
    digest = hashlib.sha256(b"never").hexdigest()
    target = at(proxy.host, "damaged/one")
    with pytest.raises(InvalidRequest, match="other bytes than the digest"):
        await upload(target, damaged, tmp_path, digest=digest).run()
    assert not await target.has(digest)
    layer = Layer.of_file("weights", "weights", digest, len(DATA) + 5, damaged)
    with pytest.raises(InvalidRequest, match="became shorter"):
        await Upload(target, layer, Notebook(tmp_path), patience=HURRIED, tell=lambda done: None).run()
    damaged.unlink()
    with pytest.raises(NotFound, match="cannot be read"):
        await Upload(target, layer, Notebook(tmp_path), patience=HURRIED, tell=lambda done: None).run()


async def test_a_token_that_runs_out_on_the_way(tmp_path: Path, at: Any, file: Path) -> None:
    with real.Registry(tmp_path / "registry", access="token") as registry:
        async with proxied(registry.url) as proxy:
            target = at(proxy.host, user=real.Registry.USER, password=real.Registry.PASSWORD, allow=("127.0.0.1",))

            async def expired(proxy: Proxy, request: web.Request) -> web.StreamResponse | None:
                request = request.clone(headers={**request.headers, "Authorization": "Bearer old"})
                return await proxy.forward(request)

            proxy.faults = [None, expired, None]
            await target.greet()
            await upload(target, file, tmp_path).run()
            assert registry.blob(DIGEST).read_bytes() == DATA
            assert registry.tokens is not None
            assert len(registry.tokens.asked) >= 2
            assert {scope for scope, _ in registry.tokens.asked} <= {"repository:a/b:pull,push", "repository:a/b:pull", "repository:a/b:push,pull"}
            stranger = at(proxy.host, "c/d", user="stranger", password="wrong", allow=("127.0.0.1",))
            with pytest.raises(NotAllowed):
                await stranger.greet()


async def test_where_nothing_is_sent_to(at: Any, proxy: Proxy, governor: Governor, tmp_path: Path, file: Path) -> None:
    with pytest.raises(EgressRefused, match="offline"):
        await at(proxy.host, offline=True).greet()
    egress = Egress(Settings(home=Path("/nonexistent")), governor)
    registries = Registries(egress, "https://registry.ollama.ai")
    for name in ("owner/name", f"{proxy.host}/a/b", "registry.example/a/b"):
        with pytest.raises(EgressRefused, match="Its owner can add it"):
            await registries.of(Reference.parse(name), who=LOCAL_OWNER, origin=ORIGIN).greet()
    assert proxy.seen == []
    await governor.flush()
    rows = governor.audit.entries(action="egress.connect")
    assert [(row.outcome, row.detail.partition(":")[0], row.request_id) for row in rows] == [("refused", "model push", "req_9")] * 4
    await egress.close()


# -- killed ---------------------------------------------------------------------------------------------------------------------------------

SENDER = """
import asyncio, pathlib, sys
from tests.integration.test_push import *

async def main(folder, host, file):
    database = Database.open(folder)
    settings = Settings(home=folder, registries={host: RegistrySection()})
    egress = Egress(settings, Governor(database))
    target = Registries(egress, **registry_options(settings)).of(Reference.parse(f"{host}/killed/one"))
    sending = upload(target, file, folder, piece=MIB)
    await sending.run()
    print(sending.sent)
    await egress.close()
    database.close()

asyncio.run(main(pathlib.Path(sys.argv[1]), sys.argv[2], pathlib.Path(sys.argv[3])))
"""


async def sender(host: str, file: Path, folder: Path) -> asyncio.subprocess.Process:
    given = [sys.executable, "-c", SENDER, str(folder), host, str(file)]
    return await asyncio.create_subprocess_exec(*given, cwd=Path(__file__).parents[2], stdout=subprocess.PIPE)


async def sent_by(process: asyncio.subprocess.Process) -> int:
    out, _ = await process.communicate()
    return int(out)


async def test_killed_between_two_pieces(registry: real.Registry, proxy: Proxy, file: Path, tmp_path: Path) -> None:
    forget(registry)
    reached, gone = asyncio.Event(), asyncio.Event()

    async def wait(proxy: Proxy, request: web.Request) -> web.StreamResponse | None:
        reached.set()
        await gone.wait()
        return web.Response(status=500)

    proxy.faults = [None, None, wait]
    process = await sender(proxy.host, file, tmp_path)
    await reached.wait()
    process.send_signal(signal.SIGKILL)
    assert await process.wait() == -signal.SIGKILL
    gone.set()
    assert await sent_by(await sender(proxy.host, file, tmp_path)) == 4 * MIB
    assert registry.blob(DIGEST).read_bytes() == DATA


class Keeper:
    """A registry that keeps each byte that comes, as the specification has it; Debian's gives up an upload that was cut within a piece."""

    def __init__(self) -> None:
        self.body = bytearray()
        self.blobs: dict[str, bytes] = {}

    async def handle(self, proxy: Proxy, request: web.Request) -> web.StreamResponse | None:
        match request.method:
            case "HEAD":
                return web.Response(status=200 if request.path.rpartition(":")[2] in self.blobs else 404)
            case "POST":
                self.body.clear()
                return web.Response(status=202, headers={"Location": "/v2/killed/one/blobs/uploads/1"})
            case "PATCH":
                if not request.headers["Content-Range"].startswith(f"{len(self.body)}-"):
                    return web.Response(status=416)
                async for chunk in request.content.iter_chunked(1 << 16):
                    self.body += chunk
                    proxy.came += len(chunk)
                    await asyncio.sleep(proxy.pause)
                return web.Response(status=202, headers={"Location": "/v2/killed/one/blobs/uploads/1"})
            case "GET":
                return web.Response(status=204, headers={"Range": f"0-{len(self.body) - 1}" if self.body else "0-0"})
            case _:
                self.blobs[hashlib.sha256(self.body).hexdigest()] = bytes(self.body)
                return web.Response(status=201)


async def test_killed_within_a_piece(proxy: Proxy, file: Path, tmp_path: Path) -> None:
    keeper, chance = Keeper(), random.Random(os.urandom(4))
    proxy.others = keeper.handle
    proxy.faults = [keeper.handle] * 100
    proxy.pause = 0.004
    for _ in range(2):
        wanted = proxy.came + chance.randrange(MIB + MIB // 2, 2 * MIB)
        process = await sender(proxy.host, file, tmp_path)
        while proxy.came < wanted:
            await asyncio.sleep(0.002)
        process.send_signal(signal.SIGKILL)
        assert await process.wait() == -signal.SIGKILL
        await asyncio.sleep(0.3)  # what was on its way arrives
    kept = len(keeper.body)
    assert kept >= 3 * MIB
    proxy.pause = 0.0
    assert await sent_by(await sender(proxy.host, file, tmp_path)) == len(DATA) - kept
    assert keeper.blobs == {DIGEST: DATA}
