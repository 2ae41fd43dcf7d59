"""Behind a company's proxy: models are found through it, over CONNECT and in plain, with its own authority, and past it where NO_PROXY says."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator
from contextlib import suppress
from pathlib import Path

import pytest
from aiohttp import web

from hausgeist.errors import EgressRefused, Unavailable
from hausgeist.governance import Egress, Governor
from hausgeist.http.tls import Certificates
from hausgeist.library.reference import Reference
from hausgeist.library.sources import Release
from hausgeist.library.sources.table import Sources
from hausgeist.settings import RegistrySection, Settings
from hausgeist.store.database import Database
from tests.registry import IMAGE

MANIFEST = {"schemaVersion": 2, "layers": [{"mediaType": f"{IMAGE}model", "digest": f"sha256:{'0' * 64}", "size": 10}]}


class Proxy:
    """Knows CONNECT and whole addresses; leads every name to this machine."""

    def __init__(self) -> None:
        self.port = 0
        self.asked: list[str] = []
        self.ports: dict[str, int] = {}
        """Where each host really is."""
        self._server: asyncio.Server | None = None

    async def start(self) -> None:
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        self.port = self._server.sockets[0].getsockname()[1]

    async def stop(self) -> None:
        assert self._server is not None
        self._server.close()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = (await reader.readuntil(b"\r\n\r\n")).decode()
        line, _, rest = head.partition("\r\n")
        method, target, version = line.split()
        self.asked.append(f"{method} {target}" + (" with password" if "Proxy-Authorization: Basic " in rest else ""))
        host = target if method == "CONNECT" else target.split("/")[2]
        there, back = await asyncio.open_connection("127.0.0.1", self.ports[host])
        if method == "CONNECT":
            writer.write(b"HTTP/1.1 200 Connection established\r\n\r\n")
        else:
            back.write(f"{method} /{target.split('/', 3)[3]} {version}\r\n{rest}".encode())
        await asyncio.gather(self._pump(reader, back), self._pump(there, writer))

    async def _pump(self, source: asyncio.StreamReader, sink: asyncio.StreamWriter) -> None:
        with suppress(OSError):
            while chunk := await source.read(65536):
                sink.write(chunk)
                await sink.drain()
        sink.close()


async def answer(request: web.Request) -> web.Response:
    return web.json_response(MANIFEST)


@pytest.fixture
async def proxy(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Proxy]:
    """In front of registry.example: port 443 with a certificate of the house's own authority, port 80 without."""
    for name in ("http_proxy", "https_proxy", "all_proxy", "no_proxy"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.upper(), raising=False)
    (tmp_path / "house").mkdir()
    house = Certificates(Settings(home=tmp_path / "house", tls=True, names=("registry.example",)))
    app = web.Application()
    app.router.add_route("*", "/{any:.*}", answer)
    runner = web.AppRunner(app, shutdown_timeout=0.1)
    await runner.setup()
    made = Proxy()
    for name, context in (("registry.example:443", house.context()), ("registry.example", None)):
        listener = socket.create_server(("127.0.0.1", 0))
        made.ports[name] = listener.getsockname()[1]
        await web.SockSite(runner, listener, ssl_context=context).start()
    (tmp_path / "house.pem").write_bytes(house.export())
    await made.start()
    yield made
    await made.stop()
    await runner.cleanup()


async def find(tmp_path: Path, text: str, **fields: object) -> Release:
    database = Database.open(tmp_path / "home")
    governor = Governor(database)
    settings = Settings(home=tmp_path / "home", **fields)
    egress = Egress(settings, governor)
    try:
        reference = Reference.parse(text)
        return await Sources(settings, egress)(reference).find(reference)
    finally:
        await egress.close()
        await governor.flush()
        database.close()


async def test_over_connect_with_the_companys_authority(proxy: Proxy, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HTTPS_PROXY", f"http://me:s3cr3t@localhost:{proxy.port}")
    fields = {"registry": "https://registry.example", "ca_certificates": tmp_path / "house.pem"}
    assert (await find(tmp_path, "tiny", **fields)).parts[0].url.startswith("https://registry.example/v2/library/tiny/blobs/")
    assert proxy.asked == ["CONNECT registry.example:443 with password"]
    with pytest.raises(Unavailable, match=r"registry\.example:443 cannot be reached"):
        await find(tmp_path, "tiny", registry="https://registry.example")


async def test_in_plain_where_that_is_configured(proxy: Proxy, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HTTP_PROXY", f"http://localhost:{proxy.port}")
    fields = {"registries": {"registry.example": RegistrySection(plain_http=True)}}
    assert (await find(tmp_path, "registry.example/a/b", **fields)).parts[0].url.startswith("http://registry.example/v2/a/b/")
    assert proxy.asked == ["GET http://registry.example/v2/a/b/manifests/latest"]


async def test_what_the_list_refuses_is_not_asked_of_the_proxy_either(proxy: Proxy, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HTTPS_PROXY", f"http://localhost:{proxy.port}")
    with pytest.raises(EgressRefused):
        await find(tmp_path, "registry.example/a/b")
    with pytest.raises(EgressRefused):
        await find(tmp_path, "tiny", registry="https://registry.example", offline=True)
    assert proxy.asked == []


async def test_past_the_proxy(proxy: Proxy, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HTTPS_PROXY", f"http://localhost:{proxy.port}")
    monkeypatch.setenv("NO_PROXY", "registry.example")
    with pytest.raises((Unavailable, EgressRefused)):
        await find(tmp_path, "tiny", registry="https://registry.example", ca_certificates=tmp_path / "house.pem")
    assert proxy.asked == []
