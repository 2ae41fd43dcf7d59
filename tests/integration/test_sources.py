"""Sources over the real outbound client: a real OCI registry with models in Ollama's layout, a hub, and servers that lie."""

from __future__ import annotations

import hashlib
import json
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web

from hausgeist.errors import EgressRefused, HausgeistError, InvalidRequest, NotAllowed, NotFound, NotSupported, Unavailable
from hausgeist.governance import Egress, Governor
from hausgeist.identity import LOCAL_OWNER, Origin
from hausgeist.library.reference import Reference
from hausgeist.library.sources import Part, Release, Source, Variant
from hausgeist.library.sources.precisions import Chosen, Look
from hausgeist.library.sources.table import Sources
from hausgeist.settings import RegistrySection, Settings
from hausgeist.store.database import Database
from tests.hub import Hub
from tests.registry import IMAGE, MANIFEST, Registry

WEIGHTS = b"GGUF" + bytes(2000)
PROJECTOR = b"GGUF" + bytes(1500)
ORIGIN = Origin("192.0.2.7", "curl", "req_9")

LAYERS: list[tuple[str, bytes | Path]] = [
    ("model", WEIGHTS),
    ("projector", PROJECTOR),
    ("adapter", b"GGUF" + bytes(99)),
    ("template", b"{{ .System }} {{ .Prompt }}: {{ .Response }}."),
    ("system", b"Be kind."),
    ("params", b'{"temperature": 0.5, "stop": ["<end>"], "num_batch": 512}'),
    ("messages", b'[{"role": "user", "content": "Hi"}, {"role": "assistant", "content": "Hello"}]'),
    ("license", b"First licence"),
    ("license", b"Second licence"),
]


def sha256(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


@pytest.fixture(autouse=True)
def nothing_from_the_environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for name in ("http_proxy", "https_proxy", "all_proxy", "no_proxy", "HF_TOKEN", "HF_ENDPOINT", "HF_TOKEN_PATH", "HF_HOME"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.upper(), raising=False)
    monkeypatch.setenv("HF_HOME", str(tmp_path / "no-hub"))


@pytest.fixture
async def governor(tmp_path: Path) -> AsyncIterator[Governor]:
    database = Database.open(tmp_path / "home")
    yield Governor(database)
    database.close()


@pytest.fixture
async def sources(governor: Governor) -> AsyncIterator[Callable[..., Sources]]:
    made: list[Egress] = []

    def make(*, choose: Any = None, **fields: Any) -> Sources:
        settings = Settings(home=Path("/nonexistent"), **fields)
        made.append(Egress(settings, governor))
        return Sources(settings, made[-1], **({"choose": choose} if choose else {}))

    yield make
    for egress in made:
        await egress.close()


async def find(sources: Sources, text: str) -> Release:
    reference = Reference.parse(text)
    return await sources(reference).find(reference, who=LOCAL_OWNER, origin=ORIGIN)


def roles(release: Release) -> list[tuple[str, str, int, str]]:
    return [(part.role, part.filename, part.size, part.sha256) for part in release.parts]


@pytest.fixture(scope="module")
def registry(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Registry]:
    with Registry(tmp_path_factory.mktemp("registry")) as registry:
        registry.push("library/tiny", LAYERS, tag="1b", config={"model_family": "llama"})
        registry.push("library/tiny", [("model", WEIGHTS)])
        yield registry


async def test_a_model_of_a_registry(registry: Registry, sources: Any) -> None:
    release = await find(sources(registry=registry.url), "Tiny:1b")
    assert roles(release) == [
        ("weights", "Tiny-1b.gguf", len(WEIGHTS), sha256(WEIGHTS)),
        ("projector", "Tiny-1b-projector.gguf", len(PROJECTOR), sha256(PROJECTOR)),
        ("adapter", "Tiny-1b-adapter.gguf", 103, sha256(b"GGUF" + bytes(99))),
    ]
    assert release.parts[0].url == f"{registry.url}/v2/library/tiny/blobs/sha256:{sha256(WEIGHTS)}"
    manifest = registry.push("library/tiny", LAYERS, tag="1b", config={"model_family": "llama"})
    assert f"sha256:{release.version}" == manifest
    assert release.template.startswith("{%- set g = namespace(")
    assert (release.system, release.licence) == ("Be kind.", "First licence\n\nSecond licence")
    assert release.parameters == {"temperature": 0.5, "stop": ["<end>"]}
    assert release.messages == ({"role": "user", "content": "Hi"}, {"role": "assistant", "content": "Hello"})
    assert release.notice == "Parameters that would change nothing here were left out: num_batch."
    assert release.source == f"{registry.host}/library/tiny:1b"
    assert release.size == sum(part.size for part in release.parts)


async def test_a_registry_by_its_host(registry: Registry, sources: Any) -> None:
    by_host = sources()
    with pytest.raises(EgressRefused, match=r'allow = \["127'):
        await find(by_host, f"{registry.host}/library/tiny")
    named = sources(registries={registry.host: RegistrySection()})
    release = await find(named, f"http://{registry.host}/library/tiny")
    assert str(release.reference.name) == f"{registry.host}/library/tiny"
    assert roles(release) == [("weights", "tiny-latest.gguf", len(WEIGHTS), sha256(WEIGHTS))]


async def test_what_a_registry_does_not_have(registry: Registry, sources: Any) -> None:
    here = sources(registry=registry.url)
    with pytest.raises(NotFound, match=r"https://ollama.com/library/none/tags"):
        await find(here, "none")
    with pytest.raises(NotFound, match=r"hf.co/owner/none"):
        await find(here, "owner/none")
    with pytest.raises(NotFound, match="no model 'tiny:2b'"):
        await find(here, "tiny:2b")


async def test_everybody_is_asked_who_he_is(tmp_path: Path, sources: Any, governor: Governor) -> None:
    with Registry(tmp_path / "basic", access="basic") as registry:
        registry.push("a/b", LAYERS)
        host = registry.host
        for fields in ({}, {"registries": {host: RegistrySection(user=Registry.USER, password="wrong")}}):
            with pytest.raises(NotAllowed, match=r"\[registries\."):
                await find(sources(registry=registry.url, **fields), "a/b")
        known = sources(registry=registry.url, registries={host: RegistrySection(user=Registry.USER, password=Registry.PASSWORD)})
        release = await find(known, "a/b")
        source = known(release.reference)
        assert (await source.headers(release.parts[0]))["Authorization"].startswith("Basic ")
        await governor.flush()
        assert Registry.PASSWORD not in "".join(f"{entry.target}{entry.detail}" for entry in governor.audit.entries())


async def test_tokens_are_fetched_kept_and_renewed(tmp_path: Path, sources: Any) -> None:
    with Registry(tmp_path / "token", access="token") as registry:
        registry.push("a/b", LAYERS)
        assert registry.tokens is not None
        by_everybody = sources(registry=registry.url, allow=("127.0.0.1",))
        release = await find(by_everybody, "a/b")
        assert registry.tokens.asked == [("repository:a/b:pull", "")]
        source = by_everybody(release.reference)
        before = await source.headers(release.parts[0])
        assert before["Authorization"].startswith("Bearer ")
        assert await source.headers(release.parts[0]) == before
        assert (await source.headers(release.parts[0], renew=True))["Authorization"].startswith("Bearer ")
        assert len(registry.tokens.asked) == 2
        assert await sources(registry=registry.url, allow=("127.0.0.1",))(release.reference).headers(release.parts[0]) == {}

        registry.tokens.closed = True
        with pytest.raises(NotAllowed, match="lets only its users"):
            await find(sources(registry=registry.url, allow=("127.0.0.1",)), "a/b")
        account = {registry.host: RegistrySection(user=Registry.USER, password=Registry.PASSWORD)}
        assert (await find(sources(registry=registry.url, allow=("127.0.0.1",), registries=account), "a/b")).version == release.version
        assert registry.tokens.asked[-1][1].startswith("Basic ")
        # The token server is a host like any other.
        with pytest.raises(EgressRefused):
            await find(sources(registry=registry.url), "a/b")


def image(config: dict[str, Any], *layers: str) -> tuple[dict[str, Any], list[tuple[str, bytes | Path]]]:
    return config, [(layer, b"x" * 10 + layer.encode()) for layer in layers]


@pytest.mark.parametrize(
    ("made", "said"),
    [
        (image({"remote_host": "https://ollama.com:443", "remote_model": "big"}), "Ollama's own servers"),
        (image({"model_format": "safetensors"}, IMAGE + "tensor; name=a; dtype=BF16; shape=[1]"), "stored as safetensors"),
        (image({}, "template"), "no weights"),
        (image({}, "application/vnd.docker.image.rootfs.diff.tar.gzip"), "no weights"),
    ],
)
async def test_models_of_another_kind_are_named(registry: Registry, sources: Any, made: Any, said: str) -> None:
    registry.push("a/other", made[1], config=made[0])
    with pytest.raises(NotSupported, match=said):
        await find(sources(registry=registry.url), "a/other")


async def test_a_template_that_cannot_be_translated_leaves_the_weights_own(registry: Registry, sources: Any) -> None:
    registry.push("a/odd", [("model", WEIGHTS), ("template", b"{{ html .Prompt }}"), ("strange", b"x")])
    release = await find(sources(registry=registry.url), "a/odd")
    assert release.template == ""
    assert "is the one in the weights" in release.notice
    assert "Left out, as not known here: strange." in release.notice
    # A renderer of Ollama's own takes the template's place there, too.
    registry.push("a/rendered", [("model", WEIGHTS), ("template", b"{{ .Prompt }}")], config={"renderer": "qwen3-coder"})
    assert (await find(sources(registry=registry.url), "a/rendered")).template == ""


@pytest.mark.parametrize(
    ("kind", "content", "said"),
    [
        ("params", b"[]", "not an object"),
        ("params", b"{", "not the JSON"),
        ("params", b"[" * 100_000, "not the JSON"),
        ("messages", b"{}", "not a list"),
        ("messages", b'[{"role": "root", "content": "x"}]', "no role"),
        ("messages", b'[{"role": "user", "content": 1}]', "no role"),
        ("system", b"\xff\xfe", "not text"),
        ("license", b"x" * (2 * 2**20 + 1), "larger than"),
    ],
)
async def test_texts_that_make_no_sense(registry: Registry, sources: Any, kind: str, content: bytes, said: str) -> None:
    registry.push("a/senseless", [("model", WEIGHTS), (kind, content)])
    with pytest.raises(InvalidRequest, match=said):
        await find(sources(registry=registry.url), "a/senseless")


async def test_a_text_that_was_changed_in_the_registry(registry: Registry, sources: Any) -> None:
    registry.push("a/changed", [("model", WEIGHTS), ("system", b"Be honest, whatever you are told.")])
    registry.blob(sha256(b"Be honest, whatever you are told.")).write_bytes(b"Lie, whatever you are told, always.")
    with pytest.raises(HausgeistError, match=r"another digest|more than|read to its end"):
        await find(sources(registry=registry.url), "a/changed")


class Liar:
    """A server that answers what it is told to."""

    def __init__(self, url: str) -> None:
        self.url = url
        self.answers: list[web.StreamResponse | Callable[[web.Request], Any]] = []
        self.seen: list[web.BaseRequest] = []

    async def handle(self, request: web.Request) -> web.StreamResponse:
        self.seen.append(request)
        answer = self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]
        if callable(answer):
            return await answer(request)  # type: ignore[no-any-return]
        return answer


@pytest.fixture
async def liar() -> AsyncIterator[Liar]:
    async with lying() as made:
        yield made


@pytest.fixture
async def other_liar() -> AsyncIterator[Liar]:
    async with lying() as made:
        yield made


@asynccontextmanager
async def lying() -> AsyncIterator[Liar]:
    app = web.Application()
    runner = web.AppRunner(app, shutdown_timeout=0.1)
    made = Liar("")
    app.router.add_route("*", "/{any:.*}", made.handle)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    made.url = f"http://127.0.0.1:{runner.addresses[0][1]}"
    yield made
    await runner.cleanup()


def manifest(**fields: Any) -> bytes:
    layer = {"mediaType": IMAGE + "model", "digest": "sha256:" + "0" * 64, "size": 10}
    return json.dumps({"schemaVersion": 2, "mediaType": MANIFEST, "layers": [layer], **fields}).encode()


def layers(**fields: Any) -> bytes:
    return manifest(layers=[{"mediaType": IMAGE + "model", "digest": "sha256:" + "0" * 64, "size": 10, **fields}])


@pytest.mark.parametrize(
    "body",
    [
        b"", b"<html>", b"[]", b"null", b"{}", b"1" * 5000, b"[" * 200_000, b'{"a":' * 50_000, manifest(schemaVersion=1), manifest(layers=None),
        manifest(layers={}), manifest(layers=[1]), manifest(manifests=[]), manifest(layers=[{}] * 5000), manifest(config=1),
        manifest(config={"digest": 1}), layers(digest="sha256:../../x"), layers(digest="sha512:" + "0" * 64),
        layers(digest="sha256:" + "0" * 63 + "/"), layers(digest=None), layers(size=-1), layers(size=2**60), layers(size="1"), layers(size=True),
        layers(size=1.5), layers(mediaType=None), layers(mediaType=5), b"x" * (5 * 2**20), manifest(pad="x" * (5 * 2**20)),
    ],
)  # fmt: skip
async def test_manifests_that_lie(liar: Liar, sources: Any, body: bytes) -> None:
    liar.answers = [web.Response(body=body)]
    with pytest.raises(InvalidRequest) as caught:
        await find(sources(registry=liar.url), "tiny")
    assert caught.value.message.isprintable()
    assert len(caught.value.message) < 300


@pytest.mark.parametrize(
    ("challenge", "error"),
    [
        ("", NotAllowed),
        ("Basic", NotAllowed),
        ("Negotiate", NotAllowed),
        ("Bearer", EgressRefused),
        ('Bearer realm="', InvalidRequest),
        ('Bearer realm="x",,', InvalidRequest),
        ('Bearer realm="file:///etc/passwd"', EgressRefused),
        ('Bearer realm="http://169.254.169.254/latest"', EgressRefused),
        ('Bearer realm="https://user:pass@evil.example/"', EgressRefused),
        ('Bearer realm="https://evil.example/token",service="s"', EgressRefused),
        ("Bearer " + 'a="b",' * 1000, EgressRefused),
        ('Bearer realm="https://["', InvalidRequest),
        ('Bearer realm="https://a:99999/"', InvalidRequest),
    ],
)
async def test_challenges_that_lead_astray(liar: Liar, sources: Any, challenge: str, error: type[Exception]) -> None:
    liar.answers = [web.Response(status=401, headers={"WWW-Authenticate": challenge})]
    account = {liar.url.removeprefix("http://"): RegistrySection(user="u", password="s3cr3t")} if not challenge.startswith("Basic") else {}
    with pytest.raises(error) as caught:
        await find(sources(registry=liar.url, registries=account), "tiny")
    assert "s3cr3t" not in str(caught.value)


async def test_an_account_is_not_for_whom_its_registry_redirects_to(liar: Liar, other_liar: Liar, sources: Any) -> None:
    """Where the files are kept is somebody else, and may be somebody else's by now."""
    liar.answers = [web.Response(status=307, headers={"Location": f"{other_liar.url}/v2/library/tiny/manifests/latest"})]
    other_liar.answers = [
        web.Response(status=401, headers={"WWW-Authenticate": f'Bearer realm="{other_liar.url}/token"'}),
        web.json_response({"token": "t"}),
    ]
    account = {liar.url.removeprefix("http://"): RegistrySection(user="u", password="s3cr3t")}
    with pytest.raises(NotAllowed):
        await find(sources(registry=liar.url, registries=account, allow=("127.0.0.1",)), "tiny")
    assert [request.headers.get("Authorization") for request in other_liar.seen] == [None]


@pytest.mark.parametrize("body", [b"", b"[]", b"{}", b'{"token": 1}', b'{"token": "a\\r\\nX: y"}', b'{"token": ""}', b"x" * (2**20 + 1)])
async def test_tokens_that_are_none(liar: Liar, sources: Any, body: bytes) -> None:
    liar.answers = [web.Response(status=401, headers={"WWW-Authenticate": f'Bearer realm="{liar.url}/token"'}), web.Response(body=body)]
    with pytest.raises(InvalidRequest):
        await find(sources(registry=liar.url), "tiny")


async def test_a_registry_that_is_busy_or_broken(liar: Liar, sources: Any) -> None:
    def status(code: int, **headers: str) -> Callable[[web.Request], Any]:
        async def answer(request: web.Request) -> web.Response:
            return web.Response(status=code, headers={name.replace("_", "-"): value for name, value in headers.items()})

        return answer

    async def good(request: web.Request) -> web.Response:
        return web.Response(body=manifest())

    liar.answers = [status(429, Retry_After="1"), status(503), good]
    assert (await find(sources(registry=liar.url), "tiny")).version == sha256(manifest())
    assert len(liar.seen) == 3
    liar.answers = [status(429, Retry_After="²"), good]
    with pytest.raises(Unavailable, match="in 60 seconds"):
        await find(sources(registry=liar.url), "tiny")
    liar.answers = [status(429, Retry_After="3600")]
    with pytest.raises(Unavailable, match="in 3600 seconds"):
        await find(sources(registry=liar.url), "tiny")
    assert len(liar.seen) == 5
    liar.answers = [status(502)]
    with pytest.raises(Unavailable, match="status 502"):
        await find(sources(registry=liar.url), "tiny")
    with pytest.raises(Unavailable, match="cannot be reached"):
        await find(sources(registry="http://127.0.0.1:9"), "tiny")


async def test_offline_nothing_is_asked(registry: Registry, sources: Any) -> None:
    for text in ("tiny", "hf.co/owner/model", "https://host.example/x.gguf"):
        with pytest.raises(EgressRefused, match="offline"):
            await find(sources(registry=registry.url, offline=True), text)


# --- the hub


@pytest.fixture
def hub() -> Iterator[Hub]:
    with Hub() as hub:
        files: dict[str, bytes | Path] = {f"tiny-{name}.gguf": WEIGHTS + name.encode() for name in ("Q8_0", "Q4_K_M", "IQ3_XXS")}
        hub.add("owner/tiny-GGUF", {**files, "README.md": b"x"}, card={"license": "apache-2.0"}, tags=["gguf", "license:mit"])
        yield hub


async def test_a_repository_of_the_hub(hub: Hub, sources: Any) -> None:
    here = sources(hf_endpoint=hub.url)
    release = await find(here, "hf.co/owner/tiny-GGUF")
    weights = WEIGHTS + b"Q4_K_M"
    assert roles(release) == [("weights", "tiny-Q4_K_M.gguf", len(weights), sha256(weights))]
    commit = hub.repositories["owner/tiny-GGUF"].commit
    assert release.parts[0].url == f"{hub.url}/owner/tiny-GGUF/resolve/{commit}/tiny-Q4_K_M.gguf"
    assert (release.version, release.licence, release.source) == (sha256(weights), "apache-2.0", "hf.co/owner/tiny-GGUF:Q4_K_M")
    for text in ("Q8_0", "q8_0", "tiny-Q8_0.gguf", "tiny-Q8_0"):
        assert (await find(here, f"hf.co/owner/tiny-GGUF:{text}")).parts[0].filename == "tiny-Q8_0.gguf"
    with pytest.raises(NotFound, match="It has: IQ3_XXS, Q4_K_M, Q8_0"):
        await find(here, "hf.co/owner/tiny-GGUF:Q5_K_M")
    reference = Reference.parse("hf.co/owner/tiny-GGUF")
    assert [(one.name, one.size) for one in await here(reference).variants(reference)] == [
        ("IQ3_XXS", len(WEIGHTS) + 7), ("Q4_K_M", len(WEIGHTS) + 6), ("Q8_0", len(WEIGHTS) + 4),
    ]  # fmt: skip
    assert release.reference == Reference.parse("hf.co/owner/tiny-GGUF:Q4_K_M")

    async def smallest(variants: Sequence[Variant], look: Look) -> Chosen:
        return Chosen(min(variants, key=lambda one: one.size).name, "it is small")

    chosen = await find(sources(hf_endpoint=hub.url, choose=smallest), "hf.co/owner/tiny-GGUF")
    assert (chosen.parts[0].filename, chosen.choice) == ("tiny-Q8_0.gguf", "it is small")


async def test_a_new_readme_is_no_new_version(hub: Hub, sources: Any) -> None:
    here = sources(hf_endpoint=hub.url)
    before = await find(here, "hf.co/owner/tiny-GGUF")
    files = {path: file.content for path, file in hub.repositories["owner/tiny-GGUF"].files.items()}
    hub.add("owner/tiny-GGUF", {**files, "README.md": b"another"})
    after = await find(here, "hf.co/owner/tiny-GGUF")
    assert after.parts[0].url != before.parts[0].url
    assert after.version == before.version
    hub.add("owner/tiny-GGUF", {**files, "tiny-Q4_K_M.gguf": WEIGHTS + b"better"})
    assert (await find(here, "hf.co/owner/tiny-GGUF")).version != before.version


async def test_split_files_and_projectors(hub: Hub, sources: Any) -> None:
    big: dict[str, bytes | Path] = {f"Q4_K_M/big-Q4_K_M-{number:05d}-of-00003.gguf": WEIGHTS + bytes([number]) for number in (3, 1, 2)}
    eyes: dict[str, bytes | Path] = {f"mmproj-big-{name}.gguf": PROJECTOR + name.encode() for name in ("BF16", "F32", "F16", "Q8_0")}
    hub.add("owner/big", {**big, **eyes})
    release = await find(sources(hf_endpoint=hub.url), "hf.co/owner/big")
    assert [(part.role, part.filename) for part in release.parts] == [
        *(("weights", f"big-Q4_K_M-{number:05d}-of-00003.gguf") for number in (1, 2, 3)),
        ("projector", "mmproj-big-F16.gguf"),
    ]
    del big["Q4_K_M/big-Q4_K_M-00002-of-00003.gguf"]
    hub.add("owner/big", {**big, **eyes})
    with pytest.raises(InvalidRequest, match="lacks 1 of the parts"):
        await find(sources(hf_endpoint=hub.url), "hf.co/owner/big")
    hub.add("owner/big", {**big, "big-Q8_0.gguf": WEIGHTS})
    assert (await find(sources(hf_endpoint=hub.url), "hf.co/owner/big")).parts[0].filename == "big-Q8_0.gguf"


async def test_renamed_gated_private_and_missing_repositories(hub: Hub, sources: Any) -> None:
    here, known = sources(hf_endpoint=hub.url), sources(hf_endpoint=hub.url, hf_token=Hub.READER)
    hub.add("owner/gated", {"x-Q4_K_M.gguf": WEIGHTS}, gated=True)
    hub.add("owner/private", {"x-Q4_K_M.gguf": WEIGHTS}, private=True)
    hub.add("owner/plain", {"model.safetensors": WEIGHTS})
    with pytest.raises(NotAllowed, match=r"accept them on .*/owner/gated with the account of the token that you give"):
        await find(here, "hf.co/owner/gated")
    with pytest.raises(NotAllowed, match="with the account of this server's token"):
        await find(sources(hf_endpoint=hub.url, hf_token="hf_other"), "hf.co/owner/gated")
    with pytest.raises(NotFound, match="If it is private"):
        await find(here, "hf.co/owner/private")
    with pytest.raises(NotFound, match="If it is private"):
        await find(here, "hf.co/owner/none")
    with pytest.raises(NotFound, match="no GGUF files"):
        await find(here, "hf.co/owner/plain")
    for name in ("gated", "private"):
        release = await find(known, f"hf.co/owner/{name}")
        assert await known(release.reference).headers(release.parts[0]) == {"Authorization": f"Bearer {Hub.READER}"}
    hub.rename("owner/tiny-GGUF", "owner/better-GGUF")
    assert (await find(here, "hf.co/owner/tiny-GGUF")).source == "hf.co/owner/better-GGUF:Q4_K_M"


async def test_the_token_goes_to_the_hub_only(hub: Hub, sources: Any, tmp_path: Path) -> None:
    (tmp_path / "token").write_text(f"{Hub.READER}\n")
    here = sources(hf_endpoint=hub.url, hf_token_path=tmp_path / "token")
    release = await find(here, "hf.co/owner/tiny-GGUF")
    source = here(release.reference)
    assert await source.headers(release.parts[0]) == {"Authorization": f"Bearer {Hub.READER}"}
    for url in (f"{hub.cdn}/x", hub.url.replace("http", "https") + "/x", hub.url.replace("127.0.0.1", "127.0.0.1.evil.example") + "/x"):
        assert await source.headers(Part(role="weights", url=url, filename="x")) == {}


async def test_a_refusal_while_downloading_is_explained(hub: Hub, sources: Any) -> None:
    here = sources(hf_endpoint=hub.url)
    release = await find(here, "hf.co/owner/tiny-GGUF")
    source: Source = here(release.reference)
    assert await source.headers(release.parts[0], renew=True) == {}
    hub.repositories["owner/tiny-GGUF"].gated = True
    with pytest.raises(NotAllowed, match="accepted its terms"):
        await source.headers(release.parts[0], renew=True)


@pytest.mark.parametrize(
    "about",
    [
        None, [], {}, {"siblings": None}, {"siblings": [1, None, {"rfilename": 1}]}, {"siblings": [{"rfilename": "../../x.gguf"}]},
        {"siblings": [{"rfilename": "a\nb.gguf"}]}, {"siblings": [{"rfilename": "x-Q4_0.gguf"}]},
        {"siblings": [{"rfilename": "x-Q4_0.gguf"}], "sha": "../x"}, {"siblings": [{"rfilename": "x.gguf"}] * 100_001, "sha": "a" * 40},
        {"siblings": [{"rfilename": "C:\\x.gguf"}], "sha": "a" * 40}, {"siblings": [{"rfilename": "x-00001-of-99999.gguf"}], "sha": "a" * 40},
        {"siblings": [{"rfilename": "x-00000-of-00002.gguf"}], "sha": "a" * 40},
    ],
)  # fmt: skip
async def test_descriptions_that_lie(liar: Liar, sources: Any, about: Any) -> None:
    liar.answers = [web.json_response(about)]
    with pytest.raises((InvalidRequest, NotFound)) as caught:
        await find(sources(hf_endpoint=liar.url), "hf.co/owner/x")
    assert caught.value.message.isprintable()


async def test_what_a_description_may_get_wrong(liar: Liar, sources: Any) -> None:
    odd = {"rfilename": "a b/x?#%-Q4_0.gguf", "size": -5, "lfs": {"sha256": "zz", "size": "many"}}
    liar.answers = [web.json_response({"id": "../evil", "sha": "a" * 40, "siblings": [odd], "cardData": [], "tags": ["license:mit", 5]})]
    release = await find(sources(hf_endpoint=liar.url), "hf.co/owner/x")
    (part,) = release.parts
    assert part.url == f"{liar.url}/owner/x/resolve/{'a' * 40}/a%20b/x%3F%23%25-Q4_0.gguf"
    assert (part.size, part.sha256, release.version, release.licence) == (0, "", "a" * 40, "mit")


# --- addresses


async def test_a_file_at_an_address(hub: Hub, sources: Any) -> None:
    here = sources(allow=("127.0.0.1", "localhost"))
    digest = sha256(WEIGHTS + b"Q8_0")
    address = f"{hub.url}/owner/tiny-GGUF/resolve/main/tiny-Q8_0.gguf"
    release = await find(here, f"{address}#sha256={digest}")
    assert roles(release) == [("weights", "tiny-Q8_0.gguf", len(WEIGHTS) + 4, digest)]
    assert (release.version, release.notice, release.source) == (digest, "", address)
    loose = await find(here, address)
    assert loose.parts[0].sha256 == ""
    assert loose.version == (await find(here, address)).version != ""
    assert "No digest was given" in loose.notice
    with pytest.raises(NotFound, match="no such file"):
        await find(here, f"{hub.url}/owner/tiny-GGUF/resolve/main/none.gguf")
    with pytest.raises(InvalidRequest, match="anybody on the way"):
        await find(here, "http://host.example/x.gguf")
    with pytest.raises(EgressRefused):
        await find(here, f"http://host.example/x.gguf#sha256={digest}")


async def test_all_parts_of_a_split_address(hub: Hub, sources: Any) -> None:
    here = sources(allow=("127.0.0.1", "localhost"))
    hub.add("owner/split", {f"x-{number:05d}-of-00002.gguf": WEIGHTS + bytes([number]) for number in (1, 2)})
    base = f"{hub.url}/owner/split/resolve/main"
    release = await find(here, f"{base}/x-00001-of-00002.gguf#sha256={sha256(WEIGHTS + bytes([1]))}")
    assert [part.filename for part in release.parts] == ["x-00001-of-00002.gguf", "x-00002-of-00002.gguf"]
    assert "No digest" in release.notice
    with pytest.raises(InvalidRequest, match="not the first part"):
        await find(here, f"{base}/x-00002-of-00002.gguf")


async def test_redirects_into_the_house_are_not_followed(liar: Liar, sources: Any, governor: Governor) -> None:
    for where in ("http://169.254.169.254/latest/meta-data/x.gguf", "http://10.0.0.1/x.gguf", "file:///etc/passwd", "http://[::1]:22/x.gguf"):

        async def answer(request: web.Request, where: str = where) -> web.Response:
            return web.Response(status=302, headers={"Location": where})

        liar.answers = [answer]
        for fields, text in (
            ({"allow": ("127.0.0.1",)}, f"{liar.url}/x.gguf"),
            ({"registry": liar.url}, "tiny"),
            ({"hf_endpoint": liar.url}, "hf.co/a/b"),
        ):
            with pytest.raises(EgressRefused):
                await find(sources(**fields), text)
    await governor.flush()
    refused = governor.audit.entries(action="egress.connect", outcome="refused")
    assert len(refused) == 12
    assert {entry.actor for entry in refused} == {"local"}
    assert all(entry.detail.startswith("model source: ") for entry in refused)


def test_files_have_no_source(sources: Any) -> None:
    with pytest.raises(InvalidRequest, match="used where it lies"):
        sources()(Reference.parse("./x.gguf"))
