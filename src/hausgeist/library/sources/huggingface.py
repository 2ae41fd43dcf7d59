"""GGUF repositories of the Hugging Face hub, or of a mirror that has its routes.

The token is sent to the hub's own origin and nowhere else; what it redirects to carries a signature of its own.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, Final
from urllib.parse import quote

from hausgeist.errors import HausgeistError, InvalidRequest, NotAllowed, NotFound, shown
from hausgeist.identity import Origin, Principal
from hausgeist.library.gguf.header import Header
from hausgeist.library.reference import HUB, Reference
from hausgeist.library.sources.base import Part, Release, Role, Variant
from hausgeist.library.sources.outbound import Document, Errand, Outbound, ask, origin_of
from hausgeist.library.sources.precisions import Choice, Chooser, Chosen, Entry, choose_usual, pick, projector_for, variants_of, version_of
from hausgeist.library.sources.remote_header import read_remote_header

__all__ = ["HuggingFace", "read_token"]

_LIMIT: Final = 8 * 2**20
"""Bytes of a repository's description: some 300 for each file, and its card."""
_ADMISSION_LIMIT: Final = 2**16
_MOST_FILES: Final = 25_000
_LARGEST: Final = 2**46
_COMMIT: Final = re.compile(r"[0-9a-f]{40}([0-9a-f]{24})?")
_SHA256: Final = re.compile(r"[0-9a-f]{64}")
_REPOSITORY: Final = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]*/[A-Za-z0-9_][A-Za-z0-9_.-]*")
_TOKEN: Final = re.compile(r"[\x21-\x7e]{1,1000}")
_GIVE: Final = "HF_TOKEN, or hf_token in hausgeist.toml"


def read_token(token: str, files: Sequence[Path]) -> str:
    """The token of the settings, or else of the first file that holds one, as the hub's own tools leave it."""
    for found in (token, *(_first_line(file) for file in files)):
        if _TOKEN.fullmatch(found):
            return found
    return ""


class HuggingFace:
    """`choose` takes one of several precisions when the reference names none."""

    def __init__(self, outbound: Outbound, endpoint: str, *, token: str = "", choose: Chooser = choose_usual) -> None:
        self._outbound = outbound
        self._endpoint = endpoint.rstrip("/")
        self._token = token
        self._choose = choose

    async def find(self, reference: Reference, *, who: Principal | None = None, origin: Origin | None = None) -> Release:
        errand = Errand(who, origin)
        about, repository, entries = await self._described(reference, errand)
        choices = _choices(repository, entries)
        commit = about.get("sha")
        if not isinstance(commit, str) or not _COMMIT.fullmatch(commit):
            raise InvalidRequest(f"The hub names no commit of {repository}.")
        choice = pick(choices, reference.tag, f"{HUB}/{repository}") if reference.tag else choices[0]
        if choice.missing:
            raise InvalidRequest(f"{HUB}/{repository} lacks {choice.missing} of the parts of '{shown(choice.stem)}'; choose another precision.")
        if about.get("gated") or about.get("private"):
            await self._admitted(repository, errand)
        why = ""
        if not reference.tag:
            chosen = await self._chosen(choices, repository, commit)
            why, choice = chosen.why, next(one for one in choices if one.name == chosen.name)
        projector = projector_for(entries, choice)
        parts = [self._part(repository, commit, entry, "weights") for entry in choice.entries]
        if projector is not None:
            parts.append(self._part(repository, commit, projector, "projector"))
        return Release(
            # What was chosen once stays chosen: newer versions are asked for at this precision.
            reference=_at(reference, choice.name),
            version=version_of(parts, commit),
            parts=tuple(parts),
            licence=_licence(about),
            source=f"{HUB}/{repository}:{choice.name}",
            choice=why,
        )

    async def _chosen(self, choices: Sequence[Choice], repository: str, commit: str) -> Chosen:
        by_name = {choice.name: choice for choice in choices}

        async def look(variant: Variant) -> list[Header]:
            parts = [self._part(repository, commit, entry, "weights") for entry in by_name[variant.name].entries]
            return [await read_remote_header(part, self, self._outbound) for part in parts]

        return await self._choose([Variant(name=choice.name, size=choice.size) for choice in choices], look)

    async def variants(self, reference: Reference, *, who: Principal | None = None, origin: Origin | None = None) -> Sequence[Variant]:
        _, repository, entries = await self._described(reference, Errand(who, origin))
        return [Variant(name=choice.name, size=choice.size) for choice in _choices(repository, entries) if not choice.missing]

    async def headers(self, part: Part, *, renew: bool = False) -> Mapping[str, str]:
        if renew and (path := part.url.removeprefix(f"{self._endpoint}/")) != part.url:
            await self._admitted("/".join(path.split("/")[:2]), Errand())
        return self._credentials(part.url)

    def _credentials(self, url: str) -> dict[str, str]:
        return {"Authorization": f"Bearer {self._token}"} if self._token and origin_of(url) == origin_of(self._endpoint) else {}

    async def _get(self, path: str, limit: int, errand: Errand) -> Document:
        url = f"{self._endpoint}/{path}"
        return await ask(self._outbound, url, limit=limit, headers=self._credentials(url), errand=errand)

    async def _described(self, reference: Reference, errand: Errand) -> tuple[Mapping[str, Any], str, tuple[Entry, ...]]:
        """What the hub says of a repository, its name there (it may have been renamed), and its files."""
        found = await self._get(f"api/models/{quote(reference.path)}/revision/main?blobs=true", _LIMIT, errand)
        if found.status != 200:
            raise self._refusal(found, reference.path)
        about = found.json("description of the repository")
        if not isinstance(about, dict) or not isinstance(about.get("siblings"), list) or len(about["siblings"]) > _MOST_FILES:
            raise InvalidRequest(f"{found.host} does not list the files of {reference.path}.")
        named = about.get("id")
        repository = named if isinstance(named, str) and _REPOSITORY.fullmatch(named) and ".." not in named else reference.path
        return about, repository, tuple(entry for one in about["siblings"] if (entry := _entry(one)) is not None)

    async def _admitted(self, repository: str, errand: Errand) -> None:
        """Raises `NotAllowed` for a repository whose files this server may not read, saying what helps."""
        found = await self._get(f"api/models/{quote(repository)}/auth-check", _ADMISSION_LIMIT, errand)
        # A mirror that does not know the question says 404 without a reason, and is taken to let everybody in.
        if found.status in {401, 403} or (found.status == 404 and found.headers.get("X-Error-Code") == "RepoNotFound"):
            raise self._refusal(found, repository)

    def _refusal(self, found: Document, repository: str) -> HausgeistError:
        code = found.headers.get("X-Error-Code", "")
        page = f"{self._endpoint}/{repository}"
        if code == "GatedRepo" or found.status == 403:
            how = "this server's token" if self._token else f"the token that you give this server ({_GIVE})"
            return NotAllowed(f"{repository} is given only to those who accepted its terms: accept them on {page} with the account of {how}.")
        if code == "RevisionNotFound":
            return NotFound(f"The repository {repository} has no branch 'main'.")
        if found.status in {401, 404}:
            if self._token:
                return NotFound(f"The hub has no repository {repository}, or does not show it to the account of this server's token.")
            return NotFound(f"The hub has no repository {repository}. If it is private, give this server a token: {_GIVE}.")
        return InvalidRequest(f"{found.host} answered with status {found.status} when it was asked for {repository}.")

    def _part(self, repository: str, commit: str, entry: Entry, role: Role) -> Part:
        url = f"{self._endpoint}/{quote(repository)}/resolve/{commit}/{quote(entry.path)}"
        return Part(role=role, url=url, filename=entry.filename, size=entry.size, sha256=entry.sha256)


def _entry(value: Any) -> Entry | None:
    """A file of the list, or `None` for what is no GGUF file or has a path that nobody should follow."""
    if not isinstance(value, dict) or not isinstance(path := value.get("rfilename"), str) or not path.lower().endswith(".gguf"):
        return None
    if len(path) > 1000 or not path.isprintable() or "\\" in path or any(part in {"", ".", ".."} for part in path.split("/")):
        return None
    large = value.get("lfs")
    lfs: Mapping[str, Any] = large if isinstance(large, dict) else {}
    size = lfs.get("size", value.get("size"))
    sha256 = lfs.get("sha256", lfs.get("oid"))
    return Entry(
        path,
        size if isinstance(size, int) and not isinstance(size, bool) and 0 <= size <= _LARGEST else 0,
        sha256 if isinstance(sha256, str) and _SHA256.fullmatch(sha256) else "",
    )


def _choices(repository: str, entries: Sequence[Entry]) -> tuple[Choice, ...]:
    choices = variants_of(entries)
    if not choices:
        raise NotFound(
            f"{HUB}/{repository} holds no GGUF files, which is what is served here. Models are often converted by others: "
            f"search the hub for '{shown(repository.rpartition('/')[2], 60)} GGUF' and give that repository."
        )
    whole = tuple(choice for choice in choices if not choice.missing)
    return whole or choices


def _at(reference: Reference, name: str) -> Reference:
    """With the precision in it, where a reference can hold its name."""
    named = replace(reference, tag=reference.tag or name)
    try:
        return named if Reference.parse(str(named)) == named else reference
    except InvalidRequest:
        return reference


def _licence(about: Mapping[str, Any]) -> str:
    """As the repository's card names it, or else its tags."""
    card = about.get("cardData")
    named = [card.get(key) for key in ("license_name", "license", "license_link")] if isinstance(card, dict) else []
    flat = [text for value in named for text in (value if isinstance(value, list) else [value]) if isinstance(text, str) and text != "other"]
    tags = about.get("tags")
    tagged = [tag.removeprefix("license:") for tag in tags if isinstance(tag, str) and tag.startswith("license:")] if isinstance(tags, list) else []
    return shown(", ".join(flat or tagged[:3]), 500)


def _first_line(file: Path) -> str:
    try:
        with file.open("rb") as opened:
            return opened.read(2000).decode("ascii", "replace").strip()
    except OSError:
        return ""
