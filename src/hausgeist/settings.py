"""Every setting: one frozen object, read once at the start and handed down.

Rising order of strength: defaults, variables of other tools that mean the same (`FOREIGN`), `hausgeist.toml` in the home folder,
`HAUSGEIST_*` in the environment, flags. The page docs/settings.md is generated from the fields below; each has a default and a sentence of help.
"""

from __future__ import annotations

import os
import tomllib
import types
import typing
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Annotated, Any, Literal
from urllib.parse import urlsplit

from pydantic import BaseModel, ConfigDict, Field, PrivateAttr, StringConstraints, ValidationError, field_validator
from pydantic.fields import FieldInfo
from pydantic_settings import (
    BaseSettings,
    EnvSettingsSource,
    NoDecode,
    PydanticBaseSettingsSource,
    SettingsConfigDict,
    SettingsError,
    TomlConfigSettingsSource,
)

from hausgeist.errors import InvalidRequest
from hausgeist.identity import is_this_machine
from hausgeist.model import CacheType, Speculation, Switch, Task

__all__ = [
    "DEFAULT_PORT",
    "FOREIGN",
    "McpSection",
    "ModelSection",
    "RegistrySection",
    "Said",
    "Settings",
    "UpstreamSection",
    "default_home",
    "load_settings",
    "takes",
]

DEFAULT_PORT = 4287
FILE_NAME = "hausgeist.toml"

Said = Literal["default", "other tool", "file", "environment", "flag"]
"""Where a setting's value comes from, in rising order of strength."""

FOREIGN: Mapping[str, tuple[str, ...]] = {
    "ca_certificates": ("SSL_CERT_FILE", "REQUESTS_CA_BUNDLE"),
    "hf_endpoint": ("HF_ENDPOINT",),
    "hf_home": ("HF_HOME",),
    "hf_token": ("HF_TOKEN",),
    "hf_token_path": ("HF_TOKEN_PATH",),
    "ollama_models": ("OLLAMA_MODELS",),
}
"""Settings that people have told their other tools already, and by which variables; the first that is set counts."""


def default_home() -> Path:
    """`HAUSGEIST_HOME`, or the platform's folder for application data."""
    if home := os.environ.get("HAUSGEIST_HOME"):
        return Path(home).expanduser()
    import platformdirs

    return Path(platformdirs.user_data_dir("hausgeist", appauthor=False))


Names = Annotated[tuple[str, ...], NoDecode]
"""In the environment a plain list with commas, not JSON."""

McpName = Annotated[str, StringConstraints(pattern=r"^[A-Za-z][A-Za-z0-9_-]{0,63}$")]
"""What OpenAI takes as `server_label`."""


class _Section(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class ModelSection(_Section):
    """How one model is launched: `[models."name"]` in hausgeist.toml. What is left out is decided from the file and the machine."""

    path: Path | None = Field(None, description="A GGUF file to offer under this name.")
    context: int | None = Field(None, ge=16, description="Tokens per request.")
    slots: int | None = Field(None, ge=1, le=4096, description="Requests answered side by side.")
    cache_type: CacheType = Field("f16", description="Precision of the KV cache.")
    flash_attention: Switch = Field("auto", description="Flash attention.")
    threads: int | None = Field(None, ge=1, description="CPU threads.")
    gpu_layers: int | None = Field(None, ge=0, description="Layers on the GPU; unset: as many as fit.")
    tensor_split: tuple[float, ...] = Field((), description="Shares of the model for each of several GPUs.")
    projector: Path | None = Field(None, description="Vision projector (mmproj GGUF).")
    adapters: tuple[Path, ...] = Field((), description="LoRA adapters (GGUF).")
    draft: Path | None = Field(None, description="Small model that drafts tokens for speculative decoding.")
    speculation: Speculation = Field("none", description="Speculative decoding: with the draft model, or n-grams of the text so far.")
    keep_alive: float | None = Field(None, description="Seconds that the idle model stays loaded; negative: for ever.")
    task: Task | None = Field(None, description="What the model is for, where its file does not say so.")
    pooling: Literal["none", "mean", "cls", "last", "rank"] | None = Field(None, description="Pooling of an embedding model.")


class UpstreamSection(_Section):
    """An OpenAI-compatible server, such as vLLM's, whose models are offered here: `[upstreams.NAME]` in hausgeist.toml."""

    url: str = Field(description="Base address, without /v1.")
    key: str = Field("", repr=False, description="API key sent to it.")
    slots: int = Field(16, ge=1, description="Requests sent to it side by side.")
    context: int | None = Field(None, ge=16, description="Tokens per request, where the server does not tell.")


class RegistrySection(_Section):
    """A registry of models besides Ollama's: `[registries."host:port"]` in hausgeist.toml."""

    user: str = Field("", description="User name, where the registry wants one.")
    password: str = Field("", repr=False, description="Password or access token of that user.")
    plain_http: bool = Field(False, description="Speak http with it, unprotected; without this only with one on this machine.")


class McpSection(_Section):
    """A server of tools that models may call (Model Context Protocol): `[mcp.NAME]` in hausgeist.toml."""

    url: str = Field(description="Address of its streamable HTTP.")
    key: str = Field("", repr=False, description="Token sent to it as a bearer, whoever asks. Unset: requests may bring their own.")
    headers: dict[str, str] = Field(default_factory=dict, repr=False, description="Further headers sent to it.")
    tools: tuple[str, ...] = Field((), description="The tools that are offered, by name. Empty: all that it has.")
    projects: tuple[str, ...] = Field((), description="Ids of the projects that may use it. Empty: all.")
    timeout: float = Field(60.0, gt=0, le=3600, description="Seconds that one call of a tool may take.")
    result_limit: int = Field(
        32_000, ge=100, le=10_000_000, description="Characters of a result that are kept; what is beyond is cut, and the model told."
    )

    @field_validator("url")
    @classmethod
    def _address(cls, value: str) -> str:
        parts = urlsplit(value)
        if parts.scheme not in {"http", "https"} or not parts.hostname or parts.username is not None or parts.fragment:
            raise ValueError("must be an address like https://host/mcp, without user and password; a token belongs into 'key'")
        return value


class _Foreign(PydanticBaseSettingsSource):
    """The variables of other tools."""

    def get_field_value(self, field: FieldInfo, field_name: str) -> tuple[Any, str, bool]:
        found = (value for name in FOREIGN.get(field_name, ()) if (value := os.environ.get(name)))
        return next(found, None), field_name, False

    def __call__(self) -> dict[str, Any]:
        found = {name: self.get_field_value(field, name)[0] for name, field in self.settings_cls.model_fields.items()}
        return {name: value for name, value in found.items() if value is not None}


class Settings(BaseSettings):
    """Settings of the server."""

    model_config = SettingsConfigDict(
        env_prefix="HAUSGEIST_",
        env_nested_delimiter="__",
        env_ignore_empty=True,
        frozen=True,
        extra="forbid",
        toml_file=None,
        populate_by_name=True,
    )

    _said: dict[tuple[str, ...], Said] = PrivateAttr(default_factory=dict)
    home: Path = Field(default_factory=default_home, description="Folder of all state: database, blobs, logs. Copy it and you have moved.")
    host: str = Field("127.0.0.1", description="Address to listen on. Anything but loopback demands keys and TLS.")
    port: int = Field(DEFAULT_PORT, ge=0, le=65535, description="Port to listen on; 0 lets the system choose.")
    ollama_port: int | None = Field(None, ge=0, le=65535, description="A second port (11434), for Ollama clients that cannot be told otherwise.")
    offline: bool = Field(False, description="Refuse every outbound connection.")
    fake: bool = Field(False, description="Offer the fake models, for tests of clients.")
    guide: bool = Field(True, description="Offer the built-in guide, a tiny model that answers questions about Hausgeist.")
    tls: bool | None = Field(None, description="Speak HTTPS. Unset: on any bind but loopback, unless behind a proxy.")
    tls_certificate: Path | None = Field(None, description="Certificate chain (PEM) to use instead of the local CA's.")
    tls_key: Path | None = Field(None, description="Private key (PEM) of that certificate.")
    names: Names = Field((), description="Further host names under which this server is reached (Host header, certificate).")
    behind_proxy: bool = Field(
        False, description="A reverse proxy ends TLS in front of this server; its X-Forwarded-* are believed from trusted_proxies."
    )
    trusted_proxies: Names = Field(("127.0.0.1", "::1"), description="Addresses or networks of the reverse proxies.")
    origins: Names = Field((), description="Web origins, besides this server's own, that may call the API from a browser.")
    keys_required: bool | None = Field(None, description="Demand an API key even on loopback. Unset: only on other binds.")
    allow: Names = Field((), description="Hosts that Hausgeist may contact (host or host:port), besides the configured upstreams.")
    ca_certificates: Path | None = Field(
        None, description="Certificates (PEM) of further authorities to trust, such as that of a company's proxy, for connections to others."
    )
    registry: str = Field("https://registry.ollama.ai", description="Where models come from whose names have no host: Ollama's registry or a mirror.")
    hf_endpoint: str = Field("https://huggingface.co", description="The hub that names with hf.co mean: Hugging Face or a mirror.")
    hf_token: str = Field("", repr=False, description="Access token for the hub. Sent to the hub only, never logged.")
    hf_token_path: Path | None = Field(None, description="File with that token. Unset: the one that the hub's own tools leave in hf_home.")
    hf_home: Path | None = Field(None, description="Folder of the hub's own tools, whose downloads can be adopted. Unset: ~/.cache/huggingface.")
    ollama_models: Path | None = Field(None, description="Folder of Ollama's models, which can be adopted. Unset: looked for in the usual places.")
    remote_images: bool = Field(False, description="Fetch http(s) images that requests point to, from hosts on the allow list.")
    engine: Literal["auto", "wheel", "built", "binary"] = Field(
        "auto", description="Which llama.cpp to run; auto: the one chosen by 'hausgeist engine use'."
    )
    engine_binary: Path | None = Field(None, description="A llama-server of your own, for engine = binary.")
    context: int = Field(
        4096, ge=16, description="Tokens per request, where neither request nor model says so; never above what the model was trained for."
    )
    slots: int = Field(4, ge=1, le=4096, description="Requests that one model answers side by side.")
    keep_alive: float = Field(300.0, description="Seconds that an idle model stays loaded; negative: for ever.")
    queue: int = Field(64, ge=0, description="Requests that may wait per model before callers are told to come back (429).")
    load_timeout: float = Field(
        120.0, gt=0, description="Seconds that a model may take to load, besides one for each 20 MB of its file; then it is given up."
    )
    stall: float = Field(60.0, gt=0, description="Seconds after which an engine that neither answers nor works is ended, and started anew.")
    memory: int | None = Field(None, ge=0, description="Bytes of host memory that all models together may use. Unset: what is free, less a reserve.")
    memory_reserve: int = Field(512 * 2**20, ge=0, description="Bytes of host memory that are left alone.")
    response_turns: int = Field(32, ge=1, le=1000, description="Times that the model is asked for one response, between its calls of tools.")
    response_tokens: int | None = Field(None, ge=1, description="Tokens that the model may say in one response that sets no limit. Unset: what fits.")
    response_seconds: float = Field(21600.0, gt=0, description="Seconds that one response may take; then it has failed, and what was said is kept.")
    background: int = Field(4, ge=1, le=1000, description="Responses in the background that are made at once; others wait.")
    citations: Literal["mark", "drop"] = Field(
        "mark", description="What becomes of a quotation or a claim that the documents do not bear out: marked as such, or left out of the answer."
    )
    body_limit: int = Field(64 * 2**20, ge=1024, description="Largest request body in bytes.")
    file_limit: int = Field(512 * 2**20, ge=1024, description="Largest file in bytes that is uploaded in one request.")
    project_files: int = Field(100 * 2**30, ge=0, description="Bytes of files that each project may keep.")
    parsers: int | None = Field(None, ge=1, le=256, description="Processes that read documents at once. Unset: half of the processors.")
    ocr_languages: Names = Field(
        (), description="Languages of pictures and scans (de, or deu as Tesseract calls it), the likeliest first. Unset: those that Tesseract has."
    )
    batch_requests: int = Field(4, ge=1, le=256, description="Requests of batches that are answered at once, after those that somebody waits for.")
    documents: int = Field(4, ge=1, le=256, description="Documents that are taken into vector stores side by side; parsers are shared by them.")
    embedding_model: str = Field(
        "", description="Embedding model for documents, by its name in the library. Empty: the small one (English) that comes with the installation."
    )
    rerank_model: str = Field("", description="Rerank model that orders what a search has found, by its name in the library. Empty: none does.")
    drain: float = Field(30.0, ge=0, description="Seconds that running answers get to finish after SIGTERM.")
    log_level: Literal["debug", "info", "warning", "error"] = Field("info", description="What is logged. Prompts and answers never are.")
    log_format: Literal["text", "json"] = Field("text", description="One line of text, or one JSON object, per event.")
    models: dict[str, ModelSection] = Field(default_factory=dict, description="How single models are launched.")
    registries: dict[str, RegistrySection] = Field(
        default_factory=dict, description="Further registries of models, by host, with the port where it is not the usual one."
    )
    upstreams: dict[str, UpstreamSection] = Field(default_factory=dict, description="Remote OpenAI-compatible servers.")
    mcp: dict[McpName, McpSection] = Field(
        default_factory=dict, description="Servers of tools (Model Context Protocol) that models may call. None but these are ever asked."
    )

    @field_validator("names", "trusted_proxies", "origins", "allow", "ocr_languages", mode="before")
    @classmethod
    def _split(cls, value: Any) -> Any:
        return tuple(part.strip() for part in value.split(",") if part.strip()) if isinstance(value, str) else value

    @field_validator("registry", "hf_endpoint")
    @classmethod
    def _address(cls, value: str) -> str:
        parts = urlsplit(value)
        if parts.scheme not in {"http", "https"} or not parts.hostname or parts.username is not None or parts.query or parts.fragment:
            raise ValueError("must be an address like https://host, without user, password and query")
        return value.rstrip("/")

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        sources: list[PydanticBaseSettingsSource] = [init_settings, env_settings]
        if cls.model_config.get("toml_file"):
            sources.append(TomlConfigSettingsSource(settings_cls))
        return (*sources, _Foreign(settings_cls))

    def said(self, *path: str) -> Said:
        """Where the value of a setting comes from; of a table, `("upstreams", "gpu", "url")`, that of an entry."""
        return self._said.get(path, "default")

    @property
    def file(self) -> Path:
        """The file that settings are written in; it need not be there."""
        return self.home / FILE_NAME

    @property
    def hf_token_files(self) -> tuple[Path, ...]:
        """Where a token for the hub may lie, in the order in which to look."""
        home = self.hf_home or Path("~/.cache/huggingface")
        return tuple(path.expanduser() for path in (self.hf_token_path, home / "token") if path is not None)

    @property
    def loopback(self) -> bool:
        """Whether only this machine can connect."""
        return is_this_machine(self.host)

    @property
    def keys_demanded(self) -> bool:
        return self.keys_required if self.keys_required is not None else not self.loopback

    @property
    def tls_on(self) -> bool:
        return self.tls if self.tls is not None else not self.loopback and not self.behind_proxy


def load_settings(**flags: Any) -> Settings:
    """Settings of this start; flags that are `None` count as not given. Raises `InvalidRequest` naming the setting and its source."""
    given = {name: value for name, value in flags.items() if value is not None}
    home = Path(given.get("home") or default_home()).expanduser().absolute()
    file = home / FILE_NAME

    class _WithFile(Settings):
        model_config = SettingsConfigDict(**{**Settings.model_config, "toml_file": file if file.is_file() else None})

    try:
        settings = Settings.model_construct(**dict(_WithFile(**{**given, "home": home})))
        settings._said = _said_in(_WithFile, given)
    except tomllib.TOMLDecodeError as error:
        raise InvalidRequest(f"{file} is not valid TOML: {error}") from error
    except SettingsError as error:
        raise InvalidRequest(f"Settings in the environment are not valid: {error}") from error
    except ValidationError as error:
        lines = [f"  {'.'.join(str(part) for part in item['loc'])}: {item['msg']}" for item in error.errors()]
        raise InvalidRequest(f"Settings (flags, HAUSGEIST_*, {file}) are not valid:\n" + "\n".join(lines)) from error
    return settings


def _said_in(settings: type[BaseSettings], flags: Mapping[str, Any]) -> dict[tuple[str, ...], Said]:
    """Who has the last word on what, down to the entries of tables."""
    told: list[tuple[Said, Mapping[str, Any]]] = [("other tool", _Foreign(settings)())]
    if settings.model_config.get("toml_file"):
        told.append(("file", TomlConfigSettingsSource(settings)()))
    told += [("environment", EnvSettingsSource(settings)()), ("flag", flags)]
    return {path: said for said, values in told for path in _paths(values)}


def _paths(values: Mapping[str, Any]) -> Iterator[tuple[str, ...]]:
    for name, value in values.items():
        yield (name,)
        if isinstance(value, Mapping):
            yield from ((name, *path) for path in _paths(value))


def takes(field: FieldInfo) -> str:
    """What a setting takes, in words: "a whole number from 0 to 65535"."""
    return f"{_kind(field.annotation)}{_bounds(field)}"


def _kind(annotation: Any) -> str:
    """A type in words."""
    origin, arguments = typing.get_origin(annotation), typing.get_args(annotation)
    if origin in (typing.Union, types.UnionType):
        return " or ".join(_kind(part) for part in arguments if part is not type(None))
    if origin is Literal:
        return "one of " + ", ".join(f"`{value}`" for value in arguments)
    if origin is tuple:
        return f"a list of {_kind(arguments[0]).removeprefix('a ').removeprefix('an ')}s"
    if origin is dict:
        return "a table of text"
    names = {bool: "`true` or `false`", int: "a whole number", float: "a number", str: "text", Path: "a path"}
    return names.get(annotation, getattr(annotation, "__name__", str(annotation)))


def _bounds(field: FieldInfo) -> str:
    found = {}
    for one in field.metadata:
        for name in ("ge", "le", "gt", "lt"):
            if getattr(one, name, None) is not None:
                found[name] = getattr(one, name)
    if "ge" in found and "le" in found:
        return f" from {found['ge']} to {found['le']}"
    if "ge" in found:
        return f" of at least {found['ge']}"
    return f" of at most {found['le']}" if "le" in found else ""
