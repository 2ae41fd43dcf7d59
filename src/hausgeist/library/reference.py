"""What people type to say which model they mean, parsed once: a name in a registry, a repository of the hub, a path, an address.

`Name` is how an installed model is called; a `Reference` says where one would come from. Every reference has a name under which it is
installed. A reference's text parses back to it, and so does the name of one in a registry or on the hub.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import total_ordering
from ipaddress import ip_address
from pathlib import PurePosixPath, PureWindowsPath
from typing import Any, Final, Literal
from urllib.parse import SplitResult, quote, unquote, urlsplit

from hausgeist.errors import InvalidRequest, shown
from hausgeist.library.names import DEFAULT_TAG, Name

__all__ = ["HUB", "Kind", "Reference", "public"]

Kind = Literal["registry", "hub", "url", "path"]

HUB: Final = "hf.co"
_HUBS: Final = frozenset({"hf.co", "huggingface.co", "www.huggingface.co"})
_OLLAMA: Final = frozenset({"ollama.com", "www.ollama.com", "registry.ollama.ai"})
_LIBRARY: Final = "library"

_MAX_TEXT: Final = 4096
_MAX_FOLDERS: Final = 3
_SHA256: Final = re.compile(r"sha256[=:-](?P<hex>[0-9a-fA-F]{64})")
_SPLIT: Final = re.compile(r"-\d{5}-of-\d{5}$")
_ENCODED: Final = re.compile(r"%(?![0-9A-Fa-f]{2})|%(?:[01][0-9A-Fa-f]|7[Ff]|2[EeFf]|5[Cc])")
"""Percent signs that encode nothing, and what must not be hidden in an encoding: control characters, dots, slashes, backslashes."""


@total_ordering
@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Reference:
    """`kind` decides which of the fields mean something. Two references are equal when their `key` is, in whatever case they were typed."""

    kind: Kind
    host: str = ""
    """registry, hub: the host with its port, in lower case; empty: the configured one."""
    path: str = ""
    """registry: namespace/name (library/llama2); hub: owner/repo; path: the file; url: the address without its fragment."""
    tag: str = ""
    """registry: the tag (latest); hub: the precision or file asked for, empty: to be chosen."""
    sha256: str = ""
    """url: the digest it must have, in hex; empty: none was given."""

    @classmethod
    def parse(cls, text: str) -> Reference:
        """Raises `InvalidRequest` saying what is wrong; control characters, climbing paths and credentials do not get through."""
        text = text.strip(" \t\r\n")
        if not text:
            raise _wrong("The name of the model is empty.")
        if len(text) > _MAX_TEXT:
            raise _wrong(f"A name or address of a model has at most {_MAX_TEXT} characters, this one has {len(text)}.")
        if not text.isprintable():
            raise _wrong(f"'{shown(text)}' contains characters that cannot be printed.")
        scheme, separator, _ = text.partition("://")
        if separator and scheme.isalnum():
            return _of_address(text, scheme.lower())
        return cls(kind="path", path=text) if _is_path(text) else _of_name(text)

    @property
    def name(self) -> Name:
        """How the model is called here. Raises `InvalidRequest` for a file whose name no name can be made of."""
        match self.kind:
            case "registry":
                path = self.path if self.host else self.path.removeprefix(f"{_LIBRARY}/")
                return Name(f"{self.host}/{path}" if self.host else path, self.tag)
            case "hub":
                return Name(f"{HUB}/{self.path}", self.tag or DEFAULT_TAG)
            case "url":
                return Name.from_stem(_stem(unquote(urlsplit(self.path).path)))
            case "path":
                return Name.from_stem(_stem(PureWindowsPath(self.path).name or PurePosixPath(self.path).name))

    @property
    def key(self) -> str:
        """For comparing: where the case of letters makes no difference, lower case."""
        if self.kind in {"registry", "hub"}:
            return f"{self.kind} {self.host}/{self.path}:{self.tag}".lower()
        return f"{self.kind} {self}"

    def __str__(self) -> str:
        """As people write it; parses back to an equal reference."""
        if self.kind == "url":
            return f"{self.path}#sha256={self.sha256}" if self.sha256 else self.path
        return self.path if self.kind == "path" else str(self.name)

    def __eq__(self, other: object) -> bool:
        return self.key == other.key if isinstance(other, Reference) else NotImplemented

    def __lt__(self, other: Any) -> bool:
        return self.key < other.key if isinstance(other, Reference) else NotImplemented

    def __hash__(self) -> int:
        return hash(self.key)


def public(text: str) -> str:
    """A reference as others may read it, in lists, archives and the audit table: the query of an address may hold a key to it."""
    return re.sub(r"\?[^#]*", "", text)


def _is_path(text: str) -> bool:
    """Whether this is meant as a file: it begins like a path, or ends like a GGUF file and no host stands before it."""
    if text.startswith(("/", "./", "../", "~", ".\\", "..\\", "\\")) or text in {".", ".."} or re.match(r"[A-Za-z]:[\\/]", text):
        return True
    return text.lower().endswith(".gguf") and not _is_host(text.partition("/")[0], folders="/" in text)


def _is_host(part: str, *, folders: bool) -> bool:
    """As everywhere in OCI: what has a dot or a port and stands before a slash is a host, and so is localhost."""
    return folders and (("." in part.strip(".") and ":" not in part) or part.lower() == "localhost" or bool(re.search(r":\d+$", part)))


def _of_name(text: str) -> Reference:
    """`[host/][folder/]name[:tag]`; the first of three parts is a host, as in Ollama."""
    if "@" in text:
        raise _wrong(f"'{shown(text)}' names a revision with '@', which is not supported; leave it out, or give a tag: name:tag.")
    first, slash, rest = text.partition("/")
    if not slash and first.lower() in _HUBS | _OLLAMA:
        raise _wrong(f"'{shown(text)}' names a host, but no model there.")
    if not _is_host(first, folders=bool(slash)) and text.count("/") < 2:
        name = Name.parse(text)
        return Reference(kind="registry", path=name.path if slash else f"{_LIBRARY}/{name.path}", tag=name.tag)
    return _hosted(first.lower(), Name.parse(rest), text)


def _hosted(host: str, name: Name, text: str) -> Reference:
    if host in _HUBS:
        if name.path.count("/") != 1:
            raise _wrong(f"'{shown(text)}' is not a repository of the hub: {HUB}/owner/repo, or {HUB}/owner/repo:Q4_K_M for one of its precisions.")
        return Reference(kind="hub", path=name.path, tag="" if name.tag.lower() == DEFAULT_TAG else name.tag)
    if host in _OLLAMA:
        folders = name.path.count("/")
        if folders > 1 or _is_host(name.path.partition("/")[0], folders=bool(folders)):
            raise _wrong(f"'{shown(text)}' does not name a model of {host}: {host}/owner/name, where the owner has no dot.")
        return Reference(kind="registry", path=name.path if folders else f"{_LIBRARY}/{name.path}", tag=name.tag)
    if name.path.count("/") >= _MAX_FOLDERS:
        raise _wrong(f"'{shown(text)}' has more than {_MAX_FOLDERS} parts behind its host.")
    Name.parse(f"{host}/{name.path}:{name.tag}")  # the port, and the length of all together
    return Reference(kind="registry", host=host, path=name.path, tag=name.tag)


def _of_address(text: str, scheme: str) -> Reference:
    """A pasted address: of a page of the hub or of Ollama's library, of a registry's model, or of the file itself."""
    if scheme == "file":
        path = unquote(text[len("file://") :])
        if not path.startswith("/") or not path.isprintable():
            raise _wrong(f"'{shown(text)}' is not the address of a file on this machine: file:///folder/model.gguf.")
        return Reference(kind="path", path=path)
    if scheme not in {"http", "https"}:
        raise _wrong(f"'{shown(text)}' is not an address that a model can come from: https://host/model.gguf.")
    parts = _split(text)
    host = (parts.hostname or "").rstrip(".")
    where = f"{host}:{parts.port}" if parts.port is not None else host
    if host in _HUBS:
        return _of_page(parts, text)
    if parts.fragment or parts.path.lower().endswith(".gguf"):
        return _of_file(parts, where, text)
    if parts.query:
        raise _wrong(f"'{shown(text)}' names neither a GGUF file nor a model in a registry.")
    path = parts.path.strip("/")
    if not path:
        raise _wrong(f"'{shown(text)}' names a host, but no model there.")
    if "/" not in path and not _is_host(where, folders=True):
        where = f"{host}:{80 if scheme == 'http' else 443}"  # or it would read as an owner
    return _hosted(where, Name.parse(path), text)


def _split(text: str) -> SplitResult:
    try:
        parts = urlsplit(text)
        parts.port  # noqa: B018  (raises for one that is none)
    except ValueError:
        raise _wrong(f"'{shown(text)}' is not an address.") from None
    host = (parts.hostname or "").rstrip(".")
    if parts.username is not None or parts.password is not None:
        raise _wrong("The address of a model must not contain a user name or password.")
    if not host or not host.isascii() or "\\" in text or any(character.isspace() for character in text) or not _plain_host(host):
        raise _wrong(f"'{shown(text)}' is not an address: its host must be a plain name or IP address (others in their form that begins with xn--).")
    if _ENCODED.search(parts.path) or any(part in {".", ".."} for part in parts.path.split("/")):
        raise _wrong(f"'{shown(text)}' hides dots, slashes or control characters in its path.")
    return parts


def _plain_host(host: str) -> bool:
    try:
        return bool(ip_address(host))
    except ValueError:
        return bool(re.fullmatch(r"[a-z0-9]([a-z0-9_.-]*[a-z0-9])?", host)) and ".." not in host


def _of_page(parts: SplitResult, text: str) -> Reference:
    """https://huggingface.co/owner/repo, and /blob/main/FILE or /resolve/main/FILE behind it."""
    match [unquote(part) for part in parts.path.strip("/").split("/")]:
        case [owner, repo]:
            tag = ""
        case [owner, repo, "tree", "main"]:
            tag = ""
        case [owner, repo, "blob" | "resolve", "main", *folders] if folders:
            tag = folders[-1]
        case [_, _, "blob" | "resolve" | "tree", revision, *_] if revision != "main":
            raise _wrong(f"'{shown(text)}' is of the revision '{shown(revision)}'; only 'main' is followed. Give {HUB}/owner/repo:FILE.")
        case _:
            raise _wrong(f"'{shown(text)}' is not the page of a model: https://huggingface.co/owner/repo, or of one of its files.")
    if fragment := parts.fragment:
        raise _wrong(f"'{shown(text)}' has '#{shown(fragment, 20)}' at its end; the hub tells the digests of its files itself, leave it out.")
    return _hosted(HUB, Name.parse(f"{owner}/{repo}:{tag}" if tag else f"{owner}/{repo}"), text)


def _of_file(parts: SplitResult, where: str, text: str) -> Reference:
    digest = _SHA256.fullmatch(parts.fragment)
    if parts.fragment and digest is None:
        raise _wrong(f"'{shown(text)}': behind '#' stands the digest of the file: #sha256= and 64 hexadecimal digits.")
    path = quote(parts.path, safe="/%:@!$&'()*+,;=~-._")
    query = quote(parts.query, safe="/%:@!$&'()*+,;=~-._?[]")
    if ":" in (parts.hostname or ""):
        where = f"[{parts.hostname}]" + (f":{parts.port}" if parts.port is not None else "")
    reference = Reference(
        kind="url",
        path=f"{parts.scheme}://{where}{path}{f'?{query}' if query else ''}",
        sha256=digest["hex"].lower() if digest else "",
    )
    try:
        reference.name  # noqa: B018  (there must be one)
    except InvalidRequest:
        raise _wrong(f"'{shown(text)}' has no file name from which the model could get its name.") from None
    return reference


def _stem(path: str) -> str:
    """The file's name without ending and part number."""
    name = path.rstrip("/").rpartition("/")[2]
    return _SPLIT.sub("", name[: -len(".gguf")]) if name.lower().endswith(".gguf") else name


def _wrong(message: str) -> InvalidRequest:
    return InvalidRequest(message, param="model")
