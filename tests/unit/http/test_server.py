"""The real server on real sockets: addresses, limits of the wire, draining, TLS."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import socket
import ssl
import stat
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import httpx
import psutil
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding

from hausgeist.errors import Conflict, InvalidRequest
from hausgeist.http import protocol
from hausgeist.http.advice import advice
from hausgeist.http.reach import reach
from hausgeist.http.server import Server, run
from hausgeist.http.sockets import listen
from hausgeist.http.tls import Certificates
from hausgeist.settings import Settings


class Answers:
    """A small application: says who is there, streams slowly, breaks off."""

    def __init__(self) -> None:
        self.running = 0
        self.cancelled = 0

    async def __call__(self, scope: dict[str, Any], receive: Any, send: Any) -> None:
        assert scope["type"] == "http"
        self.running += 1
        try:
            await self.answer(scope, receive, send)
        except asyncio.CancelledError:
            self.cancelled += 1
            raise
        finally:
            self.running -= 1

    async def answer(self, scope: dict[str, Any], receive: Any, send: Any) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": [(b"content-type", b"text/plain")]})
        if scope["path"] == "/stream":
            for _ in range(int(scope["query_string"] or b"20")):
                await send({"type": "http.response.body", "body": b"token ", "more_body": True})
                await asyncio.sleep(0.05)
        if scope["path"] == "/flood":
            while True:
                await send({"type": "http.response.body", "body": b"x" * 65536, "more_body": True})
                await asyncio.sleep(0)  # to a client that has left, sending returns at once
        said = {"scheme": scope["scheme"], "path": scope["path"], "client": scope["client"][0]}
        await send({"type": "http.response.body", "body": json.dumps(said).encode(), "more_body": False})


@asynccontextmanager
async def serving(home: Path, **fields: Any) -> AsyncIterator[tuple[Server, Answers]]:
    app = Answers()
    server = Server(app, Settings(home=home, **{"port": 0, "drain": 5.0, **fields}))
    await server.start()
    try:
        yield server, app
    finally:
        await server.stop(drain=0)


async def raw(server: Server, data: bytes, *, wait: float = 5.0) -> bytes:
    """Send bytes, read until the server closes."""
    reader, writer = await asyncio.open_connection("127.0.0.1", server.port)
    try:
        writer.write(data)
        return await asyncio.wait_for(reader.read(), wait)
    except ConnectionResetError:
        return b""
    finally:
        writer.close()


async def test_it_says_where_it_listens(tmp_path: Path) -> None:
    async with serving(tmp_path, ollama_port=0) as (server, _), httpx.AsyncClient() as client:
        first, second = server.addresses
        assert first == f"http://127.0.0.1:{server.port}"
        assert second != first
        for address in (first, second):
            response = await client.get(f"{address}/a%2Fb")
            assert response.json() == {"scheme": "http", "path": "/a/b", "client": "127.0.0.1"}
            assert "server" not in response.headers


async def test_localhost_is_both_families(tmp_path: Path) -> None:
    async with serving(tmp_path, host="localhost") as (server, _):
        assert all(address.endswith(f":{server.port}") for address in server.addresses)
        assert f"http://127.0.0.1:{server.port}" in server.addresses


def test_a_port_in_use_is_named() -> None:
    (taken,) = listen("127.0.0.1", 0)
    port = taken.getsockname()[1]
    try:
        with pytest.raises(Conflict, match=f"Port {port} on 127.0.0.1 is in use"):
            listen("127.0.0.1", port)
    finally:
        taken.close()


async def test_one_port_too_many_frees_the_other(tmp_path: Path) -> None:
    (taken,) = listen("127.0.0.1", 0)
    port = taken.getsockname()[1]
    server = Server(Answers(), Settings(home=tmp_path, port=0, ollama_port=port))
    with pytest.raises(Conflict):
        server.bind()
    taken.close()
    with pytest.raises(Conflict, match="both"):
        Server(Answers(), Settings(home=tmp_path, port=port, ollama_port=port)).bind()


@pytest.mark.parametrize("host", ["192.0.2.1", "no-such-host.invalid", "a" * 300])
def test_a_host_of_another_machine_is_named(host: str) -> None:
    with pytest.raises(InvalidRequest, match="host = "):
        listen(host, 0)


@pytest.mark.parametrize(
    ("data", "status"),
    [
        (b"nonsense\r\n\r\n", b"400"),
        (b"GET / HTTP/1.1\r\nHost: a\r\nX: " + b"y" * 400_000, b"431"),
        (b"GET /" + b"y" * 400_000, b"431"),
        (b"GET / HTTP/1.1\r\n" + b"".join(b"X-%d: 1\r\n" % number for number in range(200)) + b"\r\n", b"431"),
        (b"GET / HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n", b"400"),
        (b"\x16\x03\x01\x02\x00\x01", b"400"),
    ],
)
async def test_hostile_heads(tmp_path: Path, data: bytes, status: bytes) -> None:
    async with serving(tmp_path) as (server, _):
        answer = await raw(server, data)
        assert answer.startswith(b"HTTP/1.1 " + status) or (status == b"431" and answer == b"")
        # and it goes on
        assert b" 200 OK" in await raw(server, b"GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n")


async def test_a_head_that_does_not_come(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(protocol, "_HEAD_SECONDS", 0.3)
    async with serving(tmp_path) as (server, _):
        for begun in (b"", b"GET / HTTP/1.1\r\nHost:", b"\r\n"):
            started = time.monotonic()
            answer = await raw(server, begun)
            assert answer.startswith(b"HTTP/1.1 408")
            assert 0.2 < time.monotonic() - started < 3
        # A second request on a connection has the same deadline, and a complete one has none.
        answer = await raw(server, b"GET / HTTP/1.1\r\nHost: a\r\n\r\nGET / HTT")
        assert answer.startswith(b"HTTP/1.1 200")
        assert b"HTTP/1.1 408" in answer
        async with httpx.AsyncClient() as client:
            response = await client.get(f"{server.addresses[0]}/stream?15")
            assert response.text.startswith("token " * 15)


async def test_a_client_that_stops_reading_is_cut_off(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(protocol, "_STALLED_SECONDS", 0.3)
    async with serving(tmp_path) as (server, app):
        reader, writer = await asyncio.open_connection("127.0.0.1", server.port, limit=1024)
        writer.write(b"GET /flood HTTP/1.1\r\nHost: a\r\n\r\n")
        await asyncio.sleep(0.1)
        for _ in range(50):
            if server._server is not None and not server._server.server_state.connections:
                break
            await asyncio.sleep(0.1)
        assert server._server is not None
        assert not server._server.server_state.connections
        writer.close()
        del reader


async def test_many_idle_streams(tmp_path: Path) -> None:
    async with serving(tmp_path) as (server, app):
        connections = []
        for _ in range(200):
            _, writer = await asyncio.open_connection("127.0.0.1", server.port)
            writer.write(b"GET /stream?200 HTTP/1.1\r\nHost: a\r\n\r\n")
            connections.append(writer)
        for _ in range(100):
            if app.running == 200:
                break
            await asyncio.sleep(0.05)
        assert app.running == 200
        for writer in connections:
            writer.close()


async def test_draining_finishes_what_runs_and_takes_nothing_new(tmp_path: Path) -> None:
    drained: list[bool] = []
    app = Answers()
    server = Server(app, Settings(home=tmp_path, port=0, drain=5.0), on_drain=lambda: drained.append(True))
    running = asyncio.create_task(server.run())
    while not server._server or not server._server.started:
        await asyncio.sleep(0.01)
    address = server.addresses[0]
    async with httpx.AsyncClient() as client:
        answer = asyncio.create_task(client.get(f"{address}/stream?20"))
        while not app.running:
            await asyncio.sleep(0.01)
        os.kill(os.getpid(), signal.SIGTERM)
        await asyncio.sleep(0.3)
        assert drained == [True]
        with pytest.raises(httpx.ConnectError):
            await httpx.AsyncClient().get(address)
        assert (await answer).text.startswith("token " * 20)
    await asyncio.wait_for(running, 3)
    assert app.cancelled == 0
    assert signal.getsignal(signal.SIGTERM) == signal.SIG_DFL


async def test_draining_ends_in_time(tmp_path: Path) -> None:
    async with serving(tmp_path, drain=0.5) as (server, app), httpx.AsyncClient() as client:
        answer = asyncio.create_task(client.get(f"{server.addresses[0]}/stream?2000"))
        while not app.running:
            await asyncio.sleep(0.01)
        started = time.monotonic()
        await server.stop()
        assert 0.4 < time.monotonic() - started < 3
        assert app.cancelled == 1
        with pytest.raises(httpx.RemoteProtocolError):
            await answer
        await server.stop()


async def test_a_second_signal_ends_the_draining(tmp_path: Path) -> None:
    app = Answers()
    server = Server(app, Settings(home=tmp_path, port=0, drain=60.0))
    running = asyncio.create_task(server.run())
    while not server._server or not server._server.started:
        await asyncio.sleep(0.01)
    async with httpx.AsyncClient() as client:
        answer = asyncio.create_task(client.get(f"{server.addresses[0]}/stream?2000"))
        while not app.running:
            await asyncio.sleep(0.01)
        started = time.monotonic()
        os.kill(os.getpid(), signal.SIGINT)
        await asyncio.sleep(0.3)
        os.kill(os.getpid(), signal.SIGINT)
        await asyncio.wait_for(running, 10)
        assert time.monotonic() - started < 8
        with pytest.raises(httpx.RemoteProtocolError):
            await answer


def certificate(path: Path) -> x509.Certificate:
    return x509.load_pem_x509_certificate(path.read_bytes())


async def test_tls_is_trusted_by_whoever_installs_the_authority(tmp_path: Path) -> None:
    fields: dict[str, Any] = {"tls": True, "names": ("spirit.example",)}
    async with serving(tmp_path, **fields) as (server, _):
        assert server.addresses[0].startswith("https://127.0.0.1:")
        exported = Certificates(Settings(home=tmp_path, **fields)).export()
        context = ssl.create_default_context(cadata=exported.decode())
        async with httpx.AsyncClient(verify=context) as client:
            assert (await client.get(server.addresses[0])).json()["scheme"] == "https"
            assert (await client.get(f"https://localhost:{server.port}")).status_code == 200
        reader, writer = await asyncio.open_connection("127.0.0.1", server.port, ssl=context, server_hostname="spirit.example")
        writer.close()
        with pytest.raises(ssl.SSLCertVerificationError):
            await asyncio.open_connection("127.0.0.1", server.port, ssl=context, server_hostname="other.example")
        with pytest.raises(ssl.SSLCertVerificationError):
            await asyncio.open_connection("127.0.0.1", server.port, ssl=ssl.create_default_context())
        del reader


@pytest.mark.parametrize("fast", [False, True])
@pytest.mark.parametrize("cut", [False, True])
def test_plain_http_to_the_port_of_https_is_told_so(tmp_path: Path, fast: bool, cut: bool) -> None:
    """On both event loops, in one piece and byte by byte."""

    async def ask() -> bytes:
        async with serving(tmp_path, tls=True) as (server, app):
            reader, writer = await asyncio.open_connection("127.0.0.1", server.port)
            request = b"GET /v1/models HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n"
            for piece in [request[start : start + 1] for start in range(len(request))] if cut else [request]:
                writer.write(piece)
                await asyncio.sleep(0.001)
            answer = await asyncio.wait_for(reader.readuntil(b"https://"), 5)
            writer.write(b"x" * 100_000)  # a body that nobody waits for
            writer.write_eof()
            await asyncio.wait_for(reader.read(), 5)  # the server closes
            writer.close()
            assert app.running == 0
            return answer

    answer = run(ask()) if fast else asyncio.run(ask())
    assert answer.startswith(b"HTTP/1.1 400 ")
    assert b"\r\nconnection: close\r\n" in answer.lower()


@pytest.mark.parametrize("data", [b"\x00\x01", b"\x16\x03\x01\x00\x05hello", b"\xff" * 100, b"\r\n\r\n"])
async def test_what_is_neither_gets_no_words(tmp_path: Path, data: bytes) -> None:
    async with serving(tmp_path, tls=True) as (server, _):
        reader, writer = await asyncio.open_connection("127.0.0.1", server.port)
        writer.write(data)
        writer.write_eof()
        assert b"HTTP" not in await asyncio.wait_for(reader.read(), 5)
        writer.close()


def test_certificates_last_are_private_and_are_renewed(tmp_path: Path) -> None:
    certificates = Certificates(Settings(home=tmp_path, host="0.0.0.0", names=("spirit.lan",)))
    certificates.context()
    folder = tmp_path / "tls"
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    assert stat.S_IMODE((folder / "ca.pem").stat().st_mode) == 0o600
    assert stat.S_IMODE((folder / "server.pem").stat().st_mode) == 0o600
    assert b"PRIVATE" not in (folder / "ca.crt").read_bytes()
    assert certificates.export() == (folder / "ca.crt").read_bytes()
    assert sorted(entry.name for entry in folder.iterdir()) == ["ca.crt", "ca.pem", "server.pem"]
    authority, server = certificate(folder / "ca.pem"), certificate(folder / "server.pem")
    assert server.not_valid_after_utc - server.not_valid_before_utc <= timedelta(days=397)
    assert authority.extensions.get_extension_for_class(x509.NameConstraints).critical
    assert {"localhost", "spirit.lan", f"{socket.gethostname().split('.')[0].lower()}.local"} <= set(
        server.extensions.get_extension_for_class(x509.SubjectAlternativeName).value.get_values_for_type(x509.DNSName)
    )
    # The same settings: nothing changes. Another local name: the server's certificate does. One beyond: the authority does.
    before = (folder / "server.pem").read_bytes(), (folder / "ca.pem").read_bytes()
    Certificates(Settings(home=tmp_path, host="0.0.0.0", names=("spirit.lan",))).context()
    assert ((folder / "server.pem").read_bytes(), (folder / "ca.pem").read_bytes()) == before
    Certificates(Settings(home=tmp_path, host="0.0.0.0", names=("other.lan",))).context()
    assert (folder / "server.pem").read_bytes() != before[0]
    assert (folder / "ca.pem").read_bytes() == before[1]
    Certificates(Settings(home=tmp_path, host="0.0.0.0", names=("ai.example.org",))).context()
    assert (folder / "ca.pem").read_bytes() != before[1]
    assert (folder / "ca.crt").read_bytes() == Certificates(Settings(home=tmp_path, host="0.0.0.0", names=("ai.example.org",))).export()


def test_a_new_name_of_the_machine_is_no_reason_to_install_a_new_authority(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    settings = Settings(home=tmp_path, host="0.0.0.0", names=("spirit.lan",))
    Certificates(settings).context()
    authority = (tmp_path / "tls" / "ca.pem").read_bytes()
    monkeypatch.setattr(socket, "gethostname", lambda: "d34db33f.provider.example")
    Certificates(settings).context()
    assert (tmp_path / "tls" / "ca.pem").read_bytes() == authority
    names = certificate(tmp_path / "tls" / "server.pem").extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    assert {"spirit.lan", "d34db33f.local"} <= set(names.get_values_for_type(x509.DNSName))
    assert "d34db33f.provider.example" not in names.get_values_for_type(x509.DNSName)


def test_an_authority_made_on_loopback_vouches_for_this_machine_later(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    called(monkeypatch, "box.provider.example")
    Certificates(Settings(home=tmp_path, tls=True)).context()
    authority = (tmp_path / "tls" / "ca.pem").read_bytes()
    public = Settings(home=tmp_path, host="0.0.0.0")
    Certificates(public).context()
    assert (tmp_path / "tls" / "ca.pem").read_bytes() == authority
    assert reach(public) == (["box.provider.example"], [])


def called(monkeypatch: pytest.MonkeyPatch, name: str, *numbers: str) -> None:
    """Let this machine have that name and those addresses."""
    monkeypatch.setattr(socket, "gethostname", lambda: name)
    interfaces = {"eth0": [SimpleNamespace(family=socket.AF_INET, address=number) for number in ("127.0.0.1", *numbers)]}
    monkeypatch.setattr(psutil, "net_if_addrs", lambda: interfaces)


def test_only_what_the_certificate_covers_is_told_to_others(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    settings = Settings(home=tmp_path, host="0.0.0.0")
    called(monkeypatch, "Box", "192.168.1.7", "203.0.113.7")
    Certificates(settings).context()
    assert reach(settings) == (["Box", "192.168.1.7"], ["203.0.113.7"])
    authority = (tmp_path / "tls" / "ca.pem").read_bytes()
    # Another name and address: what the authority may certify is in the next start's certificate, what it may not is told with a way out.
    called(monkeypatch, "crate", "10.1.2.3", "203.0.113.7")
    Certificates(settings).context()
    assert (tmp_path / "tls" / "ca.pem").read_bytes() == authority
    good, left = reach(settings)
    assert (good, left) == (["10.1.2.3"], ["crate", "203.0.113.7"])
    said = advice(settings, keys=1, users=0, uncovered=left)
    assert "start it with --name crate --name 203.0.113.7" in said[-1]
    # That way leads there.
    told = settings.model_copy(update={"names": ("crate", "203.0.113.7")})
    Certificates(told).context()
    assert (tmp_path / "tls" / "ca.pem").read_bytes() != authority
    assert reach(told) == (["crate", "203.0.113.7", "10.1.2.3"], [])


def test_a_certificate_of_the_owners_is_read_as_well(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    called(monkeypatch, "box", "192.168.1.7")
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "x")])
    builder = x509.CertificateBuilder().subject_name(name).issuer_name(name).public_key(key.public_key()).serial_number(1)
    builder = builder.not_valid_before(datetime.now(UTC)).not_valid_after(datetime.now(UTC) + timedelta(days=1))
    covered = x509.SubjectAlternativeName([x509.DNSName("ai.example.com"), x509.DNSName("*.lan.example.com")])
    file = tmp_path / "own.pem"
    file.write_bytes(builder.add_extension(covered, critical=False).sign(key, hashes.SHA256()).public_bytes(Encoding.PEM))
    names = ("https://AI.example.com:443", "a.lan.example.com", "a.b.lan.example.com", "example.com")
    own = Settings(home=tmp_path / "home", host="0.0.0.0", names=names, tls_certificate=file, tls_key=file)
    assert reach(own) == (["ai.example.com", "a.lan.example.com"], ["a.b.lan.example.com", "example.com", "box", "192.168.1.7"])
    assert str(file) in advice(own, keys=1, users=0, uncovered=reach(own)[1])[-1]
    assert reach(Settings(home=tmp_path, host="0.0.0.0", tls=False)) == (["box", "192.168.1.7"], [])
    assert reach(Settings(home=tmp_path, tls=True)) == ([], [])


def test_a_certificate_is_renewed_before_it_expires(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from hausgeist.http import tls

    certificates = Certificates(Settings(home=tmp_path, tls=True))
    context = certificates.context()
    first = certificate(tmp_path / "tls" / "server.pem")

    class Later(datetime):
        @classmethod
        def now(cls, tz: Any = None) -> datetime:
            return datetime.now(UTC) + timedelta(days=340)

    monkeypatch.setattr(tls, "datetime", Later)
    certificates.refresh(context)
    second = certificate(tmp_path / "tls" / "server.pem")
    assert second.not_valid_after_utc > first.not_valid_after_utc + timedelta(days=300)


def test_a_damaged_authority_is_made_anew_and_a_chain_never_mixed(tmp_path: Path) -> None:
    settings = Settings(home=tmp_path, tls=True)
    Certificates(settings).context()
    (tmp_path / "tls" / "ca.pem").write_bytes(b"half a file")
    Certificates(settings).context()
    authority, server = certificate(tmp_path / "tls" / "ca.pem"), certificate(tmp_path / "tls" / "server.pem")
    server.verify_directly_issued_by(authority)


def test_an_own_certificate(tmp_path: Path) -> None:
    made = Certificates(Settings(home=tmp_path / "a", tls=True))
    made.context()
    file = tmp_path / "a" / "tls" / "server.pem"
    own = Certificates(Settings(home=tmp_path / "b", tls=True, tls_certificate=file, tls_key=file))
    own.context()
    assert not (tmp_path / "b").exists()
    with pytest.raises(InvalidRequest, match="certificate of your own"):
        own.export()
    with pytest.raises(InvalidRequest, match="tls_certificate"):
        Certificates(Settings(home=tmp_path, tls_certificate=tmp_path / "missing.pem")).context()
    with pytest.raises(InvalidRequest, match="tls_certificate"):
        Certificates(Settings(home=tmp_path, tls_certificate=tmp_path / "a" / "tls" / "ca.crt", tls_key=file)).context()


def test_advice_for_a_server_that_nobody_can_use_yet(tmp_path: Path) -> None:
    public = Settings(home=tmp_path, host="0.0.0.0")
    assert "hausgeist key create" in advice(public, keys=0, users=0)[0]
    assert "hausgeist cert export" in advice(public, keys=1, users=0)[0]
    assert advice(Settings(home=tmp_path), keys=0, users=0) == []
    assert "TLS is off" in advice(Settings(home=tmp_path, host="0.0.0.0", tls=False), keys=1, users=0)[0]
