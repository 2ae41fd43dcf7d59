"""The one way out, against real servers on loopback."""

from __future__ import annotations

import asyncio
import gzip
import socket
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web

from hausgeist.errors import EgressRefused, InvalidRequest, TooLarge, Unavailable, Unresolved
from hausgeist.governance import Egress, Governor
from hausgeist.governance.allow import AllowList, is_public
from hausgeist.http.facts import parse_address
from hausgeist.http.tls import Certificates
from hausgeist.identity import LOCAL_OWNER, Origin
from hausgeist.settings import McpSection, RegistrySection, Settings, UpstreamSection
from hausgeist.store.database import Database

ORIGIN = Origin("192.0.2.7", "curl", "req_9")


class Site:
    """A server that answers, redirects and remembers."""

    def __init__(self) -> None:
        self.seen: list[tuple[str, dict[str, str]]] = []
        self.port = 0

    async def handle(self, request: web.Request) -> web.StreamResponse:
        self.seen.append((request.path_qs, dict(request.headers)))
        match request.path:
            case "/to":
                raise web.HTTPFound(request.query["where"])
            case "/loop":
                raise web.HTTPFound("/loop")
            case "/large":
                return web.Response(body=b"x" * 100_000)
            case "/bomb":
                return web.Response(body=gzip.compress(b"\0" * 5_000_000), headers={"Content-Encoding": "gzip"})
            case "/missing":
                raise web.HTTPNotFound
            case "/slow":
                await asyncio.sleep(5)
            case "/stream":
                response = web.StreamResponse()
                await response.prepare(request)
                for number in range(3):
                    await response.write(f"{number}\n".encode())
                return response
        return web.Response(body=b"hello", content_type="image/png", headers={"Set-Cookie": "a=b"})


@pytest.fixture
async def site() -> AsyncIterator[Site]:
    site = Site()
    app = web.Application()
    app.router.add_route("*", "/{any:.*}", site.handle)
    runner = web.AppRunner(app)
    await runner.setup()
    listener = socket.create_server(("127.0.0.1", 0))
    site.port = listener.getsockname()[1]
    await web.SockSite(runner, listener).start()
    yield site
    await runner.cleanup()


@pytest.fixture
async def governor(tmp_path: Path) -> AsyncIterator[Governor]:
    database = Database.open(tmp_path)
    yield Governor(database)
    database.close()


@pytest.fixture
async def out(governor: Governor, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Any]:
    for name in ("http_proxy", "https_proxy", "all_proxy", "no_proxy"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.upper(), raising=False)
    made: list[Egress] = []

    def make(**fields: Any) -> Egress:
        made.append(Egress(Settings(home=Path("/nonexistent"), **fields), governor))
        return made[-1]

    yield make
    for egress in made:
        await egress.close()


async def rows(governor: Governor) -> list[tuple[str, str, str]]:
    await governor.flush()
    return [(entry.outcome, entry.target, entry.detail) for entry in governor.audit.entries()]


async def test_servers_of_tools_are_allowed_for_that_alone_and_the_list_does_not_count(out: Any, governor: Governor) -> None:
    settings = {"mcp": {"home": McpSection(url="https://mcp.example/mcp")}, "allow": ("listed.example",)}
    egress = out(**settings)
    assert egress.permit("https://mcp.example/mcp", purpose="mcp").host == "mcp.example"
    for url, purpose in (
        ("https://mcp.example/mcp", "image"), ("https://listed.example/mcp", "mcp"), ("https://mcp.example:8443/mcp", "mcp"),
        ("http://mcp.example/mcp", "mcp"), ("https://registry.ollama.ai/mcp", "mcp"),
    ):  # fmt: skip
        with pytest.raises(EgressRefused):
            egress.permit(url, purpose=purpose, who=LOCAL_OWNER, origin=ORIGIN)
    assert [outcome for outcome, _, _ in await rows(governor)] == ["refused"] * 5
    offline = out(offline=True, mcp={"near": McpSection(url="http://127.0.0.1:9/mcp"), "far": McpSection(url="https://mcp.example/mcp")})
    assert offline.permit("http://127.0.0.1:9/mcp", purpose="mcp")
    for url, purpose in (("https://mcp.example/mcp", "mcp"), ("http://127.0.0.1:9/mcp", "image")):
        with pytest.raises(EgressRefused, match="offline"):
            offline.permit(url, purpose=purpose)


async def test_a_name_of_a_server_of_tools_may_lead_into_the_house(governor: Governor) -> None:
    allowed = AllowList(Settings(home=Path("/nonexistent"), mcp={"home": McpSection(url="https://mcp.firm.example/mcp")}))
    assert allowed.address_refusal("mcp.firm.example", "10.0.0.5", 443) == ""
    assert "not a public address" in allowed.address_refusal("other.firm.example", "10.0.0.5", 443)


async def test_redirects_are_answers_for_those_who_do_not_follow(out: Any, site: Site) -> None:
    target = f"http://127.0.0.1:{site.port}/to?where=/hello"
    for method in ("GET", "POST"):
        async with out(allow=("127.0.0.1",)).request(method, target, purpose="image", redirects=False) as response:
            assert (response.status, response.headers["Location"]) == (302, "/hello")
    assert [path for path, _ in site.seen] == ["/to?where=/hello"] * 2


async def test_an_allowed_host_is_fetched_without_cookies_and_secrets(out: Any, site: Site, governor: Governor) -> None:
    egress = out(allow=("127.0.0.1",))
    assert await egress.fetch(f"http://127.0.0.1:{site.port}/a?secret=1", limit=100, purpose="image") == (b"hello", "image/png")
    assert await egress.fetch(f"http://127.0.0.1:{site.port}/a", limit=5, purpose="image") == (b"hello", "image/png")
    assert "Cookie" not in site.seen[1][1]
    assert site.seen[0][1]["User-Agent"] == "hausgeist"


@pytest.mark.parametrize(
    ("allow", "url"),
    [
        ((), "http://127.0.0.1:1/"),
        (("example.org",), "https://example.com/"),
        (("example.org",), "https://example.org.evil.example/"),
        (("example.org:8443",), "https://example.org/"),
        (("example.org",), "https://sub.example.org/"),
        (("*.example.org",), "https://example.org.evil.example/"),
        (("10.0.0.0/8",), "http://11.0.0.1/"),
        (("example.org",), "ftp://example.org/"),
        (("example.org",), "file:///etc/passwd"),
        (("example.org",), "https://user:s3cr3t@example.org/"),
        (("example.org",), "https://example.org@evil.example/"),
        (("example.org",), "https://example.org\\@evil.example/"),
        (("example.org",), "//example.org/"),
        (("example.org",), "not an address"),
        (("example.org",), "http://[::1"),
        (("example.org",), "http://2130706433/"),
    ],
)
async def test_what_is_not_on_the_list_is_refused_and_written_down(out: Any, governor: Governor, allow: tuple[str, ...], url: str) -> None:
    egress = out(allow=allow)
    with pytest.raises(EgressRefused):
        egress.permit(url, purpose="image", who=LOCAL_OWNER, origin=ORIGIN)
    with pytest.raises(EgressRefused):
        await egress.fetch(url, limit=10, purpose="image")
    await governor.flush()
    entries = governor.audit.entries(action="egress.connect", outcome="refused")
    assert len(entries) == 2
    assert (entries[1].actor, entries[1].address) == ("local", "192.0.2.7")
    assert entries[1].detail.startswith("image: ")
    assert "s3cr3t" not in entries[1].target + entries[1].detail


@pytest.mark.parametrize(
    ("allow", "url"),
    [
        (("example.org",), "https://EXAMPLE.org./x"),
        (("example.org:8443",), "https://example.org:8443/"),
        (("*.example.org",), "https://a.b.example.org/"),
        (("*.example.org",), "https://example.org/"),
        (("10.0.0.0/8",), "http://10.1.2.3:99/"),
        (("[::1]:80",), "http://[::1]/"),
        (("bücher.example",), "https://xn--bcher-kva.example/"),
    ],
)
async def test_what_is_on_the_list_is_permitted(out: Any, allow: tuple[str, ...], url: str) -> None:
    assert out(allow=allow).permit(url, purpose="pull").scheme in {"http", "https"}


@pytest.mark.parametrize("entry", ["https://example.org", "example.org/x", "a b", "*", "*.*", "example.org:port", ""])
def test_an_entry_that_cannot_be_understood_is_named(entry: str) -> None:
    with pytest.raises(InvalidRequest) as caught:
        AllowList(Settings(home=Path("/nonexistent"), allow=(entry,)))
    assert caught.value.param == "allow"


async def test_each_hop_of_a_redirect_is_permitted_anew(out: Any, site: Site, governor: Governor) -> None:
    egress = out(allow=("127.0.0.1",))
    good = f"http://127.0.0.1:{site.port}"
    assert (await egress.fetch(f"{good}/to?where=/hello", limit=10, purpose="pull"))[0] == b"hello"
    for where in ("http://127.0.0.2/", "http://evil.example/", "file:///etc/passwd", "http://x:y@127.0.0.1/"):
        with pytest.raises(EgressRefused):
            await egress.fetch(f"{good}/to?where={where}", limit=10, purpose="pull")
    with pytest.raises(Unavailable, match="more than"):
        await egress.fetch(f"{good}/loop", limit=10, purpose="pull")
    with pytest.raises(Unavailable, match="redirects POST"):
        async with egress.request("POST", f"{good}/to?where=/hello", purpose="pull", data=b"x"):
            pass
    assert ("refused", "http://127.0.0.2:80") in [row[:2] for row in await rows(governor)]


async def test_secrets_do_not_follow_a_redirect_to_another_host(out: Any, site: Site) -> None:
    egress = out(allow=("127.0.0.1", "localhost"))
    there = f"http://localhost:{site.port}/hello"
    await egress.fetch(
        f"http://127.0.0.1:{site.port}/to?where={there}", limit=10, purpose="pull", headers={"Authorization": "Bearer s", "X-Other": "1"}
    )
    (_, first), (_, second) = site.seen
    assert first["Authorization"] == "Bearer s"
    assert "Authorization" not in second
    assert second["X-Other"] == "1"


async def test_limits(out: Any, site: Site) -> None:
    egress = out(allow=("127.0.0.1",))
    base = f"http://127.0.0.1:{site.port}"
    for path in ("/large", "/bomb"):
        with pytest.raises(TooLarge):
            await egress.fetch(base + path, limit=1000, purpose="image")
    with pytest.raises(Unavailable, match="404"):
        await egress.fetch(f"{base}/missing", limit=1000, purpose="image")
    with pytest.raises(Unavailable, match="no answer in time"):
        await egress.fetch(f"{base}/slow", limit=1000, purpose="image", timeout=0.2)
    with pytest.raises(Unavailable, match="cannot be reached"):
        await egress.fetch("http://127.0.0.1:9/", limit=1000, purpose="image")


async def test_a_body_is_streamed(out: Any, site: Site) -> None:
    async with out(allow=("127.0.0.1",)).request("GET", f"http://127.0.0.1:{site.port}/stream", purpose="pull") as response:
        assert [line async for line in response.content] == [b"0\n", b"1\n", b"2\n"]


def resolve_to(monkeypatch: pytest.MonkeyPatch, address: str) -> None:
    """A name server that answers everything with one address."""

    async def getaddrinfo(self: Any, host: str, port: int, **more: Any) -> list[Any]:
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (address, port))]

    monkeypatch.setattr(asyncio.BaseEventLoop, "getaddrinfo", getaddrinfo)


async def test_a_permitted_name_that_leads_into_the_house_is_refused(
    out: Any, site: Site, governor: Governor, monkeypatch: pytest.MonkeyPatch
) -> None:
    resolve_to(monkeypatch, "127.0.0.1")
    with pytest.raises(EgressRefused, match="not a public address"):
        await out(allow=("models.example",)).fetch(f"http://models.example:{site.port}/", limit=10, purpose="image", origin=ORIGIN)
    assert site.seen == []
    assert ("refused", f"http://models.example:{site.port}") in [row[:2] for row in await rows(governor)]
    # Said by the owner: the address as well, or a name that only a local network can know, or an upstream.
    for fields in ({"allow": ("models.example", "127.0.0.1")}, {"allow": ("models.example", "127.0.0.0/8")}):
        await out(**fields).fetch(f"http://models.example:{site.port}/", limit=10, purpose="image")
    await out(allow=("nas.local",)).fetch(f"http://nas.local:{site.port}/", limit=10, purpose="image")
    upstream = {"gpu": UpstreamSection(url=f"http://gpu.example:{site.port}")}
    await out(upstreams=upstream).fetch(f"http://gpu.example:{site.port}/", limit=10, purpose="model")


async def test_localhost_is_this_machine_whatever_a_name_server_says(out: Any, site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    resolve_to(monkeypatch, "192.0.2.1")
    await out(allow=("localhost",)).fetch(f"http://localhost:{site.port}/", limit=10, purpose="image")


async def test_a_name_that_nobody_knows_is_told_apart(out: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    async def getaddrinfo(self: Any, host: str, port: int, **more: Any) -> list[Any]:
        raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")

    monkeypatch.setattr(asyncio.BaseEventLoop, "getaddrinfo", getaddrinfo)
    with pytest.raises(Unresolved, match=r"models\.example:443 cannot be reached \(Name or service not known\): no name server"):
        await out(allow=("models.example",)).fetch("https://models.example/", limit=10, purpose="image")


async def test_offline_a_pull_is_told_what_to_do(out: Any) -> None:
    egress = out(offline=True)
    with pytest.raises(EgressRefused, match=r"offline = false .* 'hausgeist import' here"):
        egress.permit("https://registry.ollama.ai/v2/", purpose="model source")
    with pytest.raises(EgressRefused) as caught:
        egress.permit("https://registry.ollama.ai/v2/", purpose="image")
    assert "import" not in caught.value.message


async def test_offline_knows_only_configured_upstreams_on_this_machine(out: Any, site: Site, governor: Governor) -> None:
    upstreams = {"here": UpstreamSection(url=f"http://127.0.0.1:{site.port}"), "there": UpstreamSection(url="https://gpu.example")}
    egress = out(offline=True, allow=("127.0.0.1", "example.org"), upstreams=upstreams)
    assert (await egress.fetch(f"http://127.0.0.1:{site.port}/", limit=10, purpose="model"))[0] == b"hello"
    for url in ("http://127.0.0.1:1/", "https://gpu.example/", "https://example.org/", f"http://localhost:{site.port}/"):
        with pytest.raises(EgressRefused, match="offline"):
            await egress.fetch(url, limit=10, purpose="model")
    assert [outcome for outcome, _, _ in await rows(governor)] == ["refused"] * 4


@pytest.mark.parametrize(
    ("fields", "url", "permitted"),
    [
        ({}, "https://registry.ollama.ai/v2/", True),
        ({}, "https://dd20bb891979d25aebc8bec07b2b3bbc.r2.cloudflarestorage.com/x", True),
        ({}, "https://another.r2.cloudflarestorage.com/x", False),
        ({}, "https://huggingface.co/api/models", True),
        ({}, "https://cas-bridge.xethub.hf.co/x", True),
        ({}, "https://cdn-lfs.huggingface.co/x", True),
        ({}, "https://hf.co.evil.example/x", False),
        ({}, "http://registry.ollama.ai/v2/", False),
        ({}, "https://ghcr.io/v2/", False),
        ({"registry": "https://mirror.example"}, "https://mirror.example/v2/", True),
        ({"registry": "https://mirror.example"}, "https://registry.ollama.ai/v2/", False),
        ({"registry": "https://mirror.example"}, "https://dd20bb891979d25aebc8bec07b2b3bbc.r2.cloudflarestorage.com/x", False),
        ({"hf_endpoint": "http://mirror.example:8080"}, "http://mirror.example:8080/x", True),
        ({"hf_endpoint": "http://mirror.example:8080"}, "https://mirror.example/x", False),
        ({"registries": {"ghcr.io": RegistrySection()}}, "https://ghcr.io/v2/", True),
        ({"registries": {"ghcr.io": RegistrySection()}}, "http://ghcr.io/v2/", False),
        ({"registries": {"nas:5000": RegistrySection(plain_http=True)}}, "http://nas:5000/v2/", True),
        ({"offline": True}, "https://registry.ollama.ai/v2/", False),
    ],
)
async def test_where_models_come_from_may_be_asked_for_models_only(out: Any, fields: dict[str, Any], url: str, permitted: bool) -> None:
    egress = out(**fields)
    for purpose in ("model source", "model header", "model download"):
        if permitted:
            assert egress.permit(url, purpose=purpose).host
        else:
            with pytest.raises(EgressRefused):
                egress.permit(url, purpose=purpose)
    with pytest.raises(EgressRefused):
        egress.permit(url, purpose="image")


@pytest.mark.parametrize(
    ("fields", "url", "permitted"),
    [
        ({}, "https://registry.ollama.ai/v2/", False),
        ({}, "https://huggingface.co/x", False),
        ({"allow": ("registry.ollama.ai",)}, "https://registry.ollama.ai/v2/", True),
        ({"registry": "https://mirror.example"}, "https://mirror.example/v2/", True),
        ({"registry": "https://mirror.example"}, "https://registry.ollama.ai/v2/", False),
        ({"hf_endpoint": "https://mirror.example"}, "https://mirror.example/x", False),
        ({"registries": {"ghcr.io": RegistrySection()}}, "https://ghcr.io/v2/", True),
        ({"registries": {"ghcr.io": RegistrySection()}}, "http://ghcr.io/v2/", False),
        ({"registries": {"ghcr.io": RegistrySection()}, "offline": True}, "https://ghcr.io/v2/", False),
    ],
)
async def test_models_are_sent_where_the_owner_said_only(out: Any, fields: dict[str, Any], url: str, permitted: bool) -> None:
    egress = out(**fields)
    if permitted:
        assert egress.permit(url, purpose="model push").host
    else:
        with pytest.raises(EgressRefused):
            egress.permit(url, purpose="model push")


async def test_a_registry_in_the_house_is_there_only_if_configured(out: Any, site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    resolve_to(monkeypatch, "127.0.0.1")
    mirror = f"http://models.example:{site.port}"
    await out(registry=mirror).fetch(f"{mirror}/", limit=10, purpose="model source")
    named = {f"models.example:{site.port}": RegistrySection(plain_http=True)}
    await out(registries=named).fetch(f"{mirror}/", limit=10, purpose="model source")
    for usual in ("https://registry.ollama.ai/v2/", "https://cas-bridge.xethub.hf.co/x"):
        with pytest.raises(EgressRefused, match="not a public address"):
            await out().fetch(usual, limit=10, purpose="model source")


async def test_authorities_of_ones_own(out: Any, tmp_path: Path) -> None:
    house = Certificates(Settings(home=tmp_path / "house", tls=True))
    (tmp_path / "house").mkdir()
    app = web.Application()
    app.router.add_route("*", "/{any:.*}", Site().handle)
    runner = web.AppRunner(app)
    await runner.setup()
    listener = socket.create_server(("127.0.0.1", 0))
    await web.SockSite(runner, listener, ssl_context=house.context()).start()
    url = f"https://localhost:{listener.getsockname()[1]}/"
    with pytest.raises(Unavailable, match="cannot be reached"):
        await out(allow=("localhost",)).fetch(url, limit=10, purpose="image")
    (tmp_path / "house.pem").write_bytes(house.export())
    trusting = out(allow=("localhost",), ca_certificates=tmp_path / "house.pem")
    assert (await trusting.fetch(url, limit=10, purpose="image"))[0] == b"hello"
    (tmp_path / "none.pem").write_text("nothing")
    for wrong in (tmp_path / "none.pem", tmp_path / "missing.pem"):
        with pytest.raises(Unavailable, match=r"\(ca_certificates\) cannot be used"):
            await out(allow=("localhost",), ca_certificates=wrong).fetch(url, limit=10, purpose="image")
    await runner.cleanup()


async def test_what_left_is_written_down(out: Any, site: Site, governor: Governor, monkeypatch: pytest.MonkeyPatch) -> None:
    resolve_to(monkeypatch, "127.0.0.1")
    await out(allow=("nas.local",)).fetch(f"http://nas.local:{site.port}/path?token=1", limit=10, purpose="image", who=LOCAL_OWNER)
    assert await rows(governor) == [("allowed", f"http://nas.local:{site.port}", "image")]


async def test_a_proxy_of_the_environment_is_used_for_others_and_never_for_this_machine(
    out: Any, site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("http_proxy", f"http://me:pass@localhost:{site.port}")
    egress = out(allow=("example.org", "127.0.0.1"))
    await egress.fetch("http://example.org/behind", limit=10, purpose="pull")
    path, headers = site.seen[0]
    assert headers["Host"] == "example.org"
    assert headers["Proxy-Authorization"].startswith("Basic ")
    await egress.fetch(f"http://127.0.0.1:{site.port}/direct", limit=10, purpose="pull")
    assert "Proxy-Authorization" not in site.seen[1][1]
    with pytest.raises(EgressRefused):
        await egress.fetch("http://example.com/", limit=10, purpose="pull")


@pytest.mark.parametrize(
    ("text", "public"),
    [
        ("8.8.8.8", True),
        ("2606:4700::1111", True),
        ("10.0.0.1", False),
        ("100.64.0.1", False),
        ("169.254.169.254", False),
        ("0.0.0.0", False),
        ("224.0.0.1", False),
        ("::1", False),
        ("::ffff:10.0.0.1", False),
        ("64:ff9b::a00:1", False),
        ("64:ff9b::808:808", True),
        ("2002:a00:1::", False),
        ("fd00::1", False),
        ("fe80::1", False),
    ],
)
def test_public_addresses(text: str, public: bool) -> None:
    address = parse_address(text)
    assert address is not None
    assert is_public(address) is public


async def test_many_requests_of_one_task_leave_one_row_for_each_host(
    out: Any, site: Site, governor: Governor, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("hausgeist.governance.egress.is_this_machine", lambda host: False)
    egress, recorded = out(allow=("127.0.0.1",)), set[str]()
    for _ in range(3):
        async with egress.request("GET", f"http://127.0.0.1:{site.port}/a", purpose="model", recorded=recorded, read_buffer=1 << 18) as response:
            assert await response.read() == b"hello"
    for _ in range(2):
        with pytest.raises(EgressRefused):
            async with egress.request("GET", f"http://127.0.0.1:{site.port}/to?where=http://192.0.2.1/", purpose="model", recorded=recorded):
                pass
    async with egress.request("GET", f"http://127.0.0.1:{site.port}/a", purpose="other"):
        pass
    assert [(outcome, detail.partition(":")[0]) for outcome, _, detail in await rows(governor)] in (
        [("allowed", "model"), ("refused", "model"), ("refused", "model"), ("allowed", "other")],
        [("allowed", "other"), ("refused", "model"), ("refused", "model"), ("allowed", "model")],
    )
