"""Settings come from file, environment and flags, in rising order, and what is wrong is named."""

from pathlib import Path

import pytest

from hausgeist.errors import InvalidRequest
from hausgeist.settings import DEFAULT_PORT, FOREIGN, Settings, load_settings


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("HAUSGEIST_HOME", str(tmp_path))
    for name in ("PORT", "HOST", "OFFLINE", "REGISTRY", *(name.upper() for name in FOREIGN)):
        monkeypatch.delenv(f"HAUSGEIST_{name}", raising=False)
    for name in (name for names in FOREIGN.values() for name in names):
        monkeypatch.delenv(name, raising=False)
    return tmp_path


def test_the_stronger_source_wins(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert load_settings().port == DEFAULT_PORT
    (home / "hausgeist.toml").write_text("port = 1\nslots = 2\n", encoding="utf-8")
    assert load_settings().port == 1
    monkeypatch.setenv("HAUSGEIST_PORT", "3")
    assert load_settings().port == 3
    settings = load_settings(port=4, host=None)
    assert (settings.port, settings.slots, settings.home) == (4, 2, home)


def test_lists_in_the_environment_are_plain(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HAUSGEIST_NAMES", "ai.example, ai")
    monkeypatch.setenv("HAUSGEIST_ALLOW", "one.example")
    settings = load_settings()
    assert (settings.names, settings.allow) == (("ai.example", "ai"), ("one.example",))


def test_sections_of_models_and_upstreams(home: Path) -> None:
    (home / "hausgeist.toml").write_text(
        '[models."a:7b"]\ncontext = 4096\nkeep_alive = -1\n[upstreams.gpu]\nurl = "http://gpu:8000"\nkey = "secret-key"\n', encoding="utf-8"
    )
    settings = load_settings()
    assert settings.models["a:7b"].context == 4096
    assert settings.upstreams["gpu"].url == "http://gpu:8000"
    assert "secret-key" not in repr(settings)


@pytest.mark.parametrize(
    ("text", "named"),
    [("port = 99999", "port"), ("prot = 1", "prot"), ("port = ", "TOML"), ('[models.x]\ncontext = "many"', "models.x.context"), ("host = 1", "host")],
)
def test_what_is_wrong_is_named(home: Path, text: str, named: str) -> None:
    (home / "hausgeist.toml").write_text(text, encoding="utf-8")
    with pytest.raises(InvalidRequest, match=named.replace(".", r"\.")):
        load_settings()


def test_an_environment_that_cannot_be_read_is_named(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HAUSGEIST_MODELS", "{")
    with pytest.raises(InvalidRequest, match="models"):
        load_settings()


@pytest.mark.parametrize(
    ("host", "loopback"),
    [("127.0.0.1", True), ("127.9.9.9", True), ("localhost", True), ("::1", True), ("0.0.0.0", False), ("::", False), ("nas", False)],
)
def test_any_bind_but_loopback_demands_keys_and_tls(home: Path, host: str, loopback: bool) -> None:
    settings = load_settings(host=host)
    assert settings.loopback is loopback
    assert settings.keys_demanded is not loopback
    assert settings.tls_on is not loopback
    assert load_settings(host=host, behind_proxy=True).tls_on is False


@pytest.mark.parametrize(
    ("host", "only_here"),
    [
        ("127.0.0.1", True),
        ("127.8.8.8", True),
        ("::1", True),
        ("::ffff:127.0.0.1", True),
        ("localhost", True),
        ("me.localhost", True),
        ("0.0.0.0", False),
        ("::", False),
        ("127.example.com", False),
        ("192.168.1.2", False),
        ("localhost.example.com", False),
    ],
)
def test_only_what_no_other_machine_reaches_is_loopback(host: str, only_here: bool) -> None:
    assert Settings(host=host).loopback is only_here
    assert Settings(host=host).keys_demanded is not only_here


def test_variables_of_other_tools_are_read_and_weakest(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert load_settings().hf_endpoint == "https://huggingface.co"
    monkeypatch.setenv("HF_ENDPOINT", "https://mirror.example/")
    monkeypatch.setenv("HF_TOKEN", "hf_secret")
    monkeypatch.setenv("HF_HOME", "/srv/hf")
    monkeypatch.setenv("OLLAMA_MODELS", "/srv/ollama")
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", "/etc/second.pem")
    monkeypatch.setenv("HF_TOKEN_PATH", "")
    settings = load_settings()
    assert (settings.hf_endpoint, settings.hf_token) == ("https://mirror.example", "hf_secret")
    assert (settings.hf_home, settings.ollama_models, settings.ca_certificates) == (Path("/srv/hf"), Path("/srv/ollama"), Path("/etc/second.pem"))
    assert settings.hf_token_files == (Path("/srv/hf/token"),)
    assert "hf_secret" not in repr(settings)
    assert "hf_secret" not in str(settings)
    monkeypatch.setenv("SSL_CERT_FILE", "/etc/first.pem")
    assert load_settings().ca_certificates == Path("/etc/first.pem")
    (home / "hausgeist.toml").write_text('hf_endpoint = "https://file.example"\n', encoding="utf-8")
    assert load_settings().hf_endpoint == "https://file.example"
    monkeypatch.setenv("HAUSGEIST_HF_ENDPOINT", "https://own.example")
    assert load_settings().hf_endpoint == "https://own.example"
    assert load_settings(hf_endpoint="https://flag.example").hf_endpoint == "https://flag.example"


def test_registries_and_their_passwords(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (home / "hausgeist.toml").write_text('[registries."nas:5000"]\nuser = "me"\npassword = "s3cr3t"\nplain_http = true\n', encoding="utf-8")
    settings = load_settings()
    assert settings.registries["nas:5000"].password == "s3cr3t"
    assert settings.registries["nas:5000"].plain_http
    assert "s3cr3t" not in repr(settings)
    monkeypatch.setenv("HAUSGEIST_REGISTRY", "https://mirror.example/")
    assert load_settings().registry == "https://mirror.example"


def test_servers_of_tools_and_their_tokens(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (home / "hausgeist.toml").write_text(
        '[mcp.calendar]\nurl = "https://mcp.example/mcp?v=1"\nkey = "s3cr3t"\nheaders = {X-Token = "t0ken"}\ntools = ["find"]\n', encoding="utf-8"
    )
    monkeypatch.setenv("HAUSGEIST_MCP__FILES__URL", "http://127.0.0.1:9/mcp")
    settings = load_settings()
    assert settings.mcp["calendar"].headers == {"X-Token": "t0ken"}
    assert (settings.mcp["calendar"].tools, settings.mcp["files"].url) == (("find",), "http://127.0.0.1:9/mcp")
    assert "s3cr3t" not in repr(settings)
    assert "t0ken" not in repr(settings)


@pytest.mark.parametrize(
    ("text", "named"),
    [
        ('[mcp.9]\nurl = "https://a/"', "mcp.9"),
        ('[mcp."a b"]\nurl = "https://a/"', "mcp.a b"),
        ("[mcp.a]", "mcp.a.url"),
        ('[mcp.a]\nurl = "a/mcp"', "mcp.a.url"),
        ('[mcp.a]\nurl = "https://me:s3cr3t@a/mcp"', "mcp.a.url"),
        ('[mcp.a]\nurl = "https://a/"\ntimeout = 0', "mcp.a.timeout"),
    ],
)
def test_servers_of_tools_that_cannot_be_are_named(home: Path, text: str, named: str) -> None:
    (home / "hausgeist.toml").write_text(text, encoding="utf-8")
    with pytest.raises(InvalidRequest, match=named.replace(".", r"\.")) as caught:
        load_settings()
    assert "s3cr3t" not in caught.value.message


@pytest.mark.parametrize(
    "address", ["mirror.example", "ftp://mirror.example", "https://", "https://me:s3cr3t@mirror.example", "https://a.example/?x", "x:y"]
)
def test_addresses_that_are_none_are_named(home: Path, address: str) -> None:
    for name in ("registry", "hf_endpoint"):
        with pytest.raises(InvalidRequest, match=name) as caught:
            load_settings(**{name: address})
        assert "s3cr3t" not in caught.value.message


def test_where_a_value_comes_from_is_known(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (home / "hausgeist.toml").write_text('port = 1\nslots = 2\n[upstreams.gpu]\nurl = "http://gpu"\n', encoding="utf-8")
    monkeypatch.setenv("HAUSGEIST_SLOTS", "3")
    monkeypatch.setenv("HAUSGEIST_QUEUE", "")
    monkeypatch.setenv("HAUSGEIST_UPSTREAMS__GPU__SLOTS", "4")
    monkeypatch.setenv("HF_TOKEN", "token")
    settings = load_settings(host="127.0.0.1", drain=None)
    assert [settings.said(name) for name in ("port", "slots", "host", "home", "hf_token", "queue", "drain")] == [
        *("file", "environment", "flag", "environment", "other tool", "default", "default")
    ]
    assert [settings.said("upstreams", "gpu", name) for name in ("url", "slots", "key")] == ["file", "environment", "default"]
    assert settings.file == home / "hausgeist.toml"
    assert settings.model_copy(update={"port": 0}).said("slots") == "environment"
