"""Ollama's registry, and any other OCI registry that holds models in its layout: a manifest whose layers are weights and small texts.

The digest of the manifest's bytes is the version. Texts are read here, each held against its digest; of weights only where they are.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final

from hausgeist.errors import InvalidRequest, NotAllowed, NotFound
from hausgeist.identity import Origin, Principal
from hausgeist.library.reference import Reference
from hausgeist.library.sources.base import Part, Release, Variant
from hausgeist.library.sources.credentials import Account, Credentials
from hausgeist.library.sources.manifest import Layer, read_manifest, release_of, texts_of
from hausgeist.library.sources.outbound import Document, Errand, Outbound, ask, origin_of, sha256_of
from hausgeist.library.sources.places import Places

__all__ = ["Ollama"]

_MANIFESTS: Final = "application/vnd.docker.distribution.manifest.v2+json, application/vnd.oci.image.manifest.v1+json"
_MANIFEST_LIMIT: Final = 2**20
"""A thousand layers with all that is said of one."""


class Ollama:
    """`base` is the configured registry; others are asked over https, on this machine or where `plain_http` names them over http."""

    def __init__(
        self, outbound: Outbound, base: str, *, accounts: Mapping[str, Account] | None = None, plain_http: frozenset[str] = frozenset()
    ) -> None:
        """`accounts` and `plain_http` by host, with its port where that is not the usual one."""
        self._outbound = outbound
        self._places = Places(base, plain_http)
        named = {origin_of(self._places.of_host(host)): account for host, account in (accounts or {}).items()}
        self._credentials = Credentials(outbound, named)

    async def find(self, reference: Reference, *, who: Principal | None = None, origin: Origin | None = None) -> Release:
        errand, (base, repository) = Errand(who, origin), self._places.of(reference)
        found = await self._get(base, repository, f"manifests/{reference.tag}", _MANIFEST_LIMIT, errand, accept=_MANIFESTS)
        if found.status == 404:
            raise NotFound(_missing(reference, found.host))
        if found.status != 200:
            raise InvalidRequest(f"{found.host} answered with status {found.status} when it was asked for '{reference}'.")
        manifest = read_manifest(found.body, found.host)
        texts: dict[str, bytes] = {}
        for layer in texts_of(manifest):
            texts[layer.sha256] = await self._text(base, repository, layer, errand)
        return release_of(
            reference,
            manifest,
            texts,
            version=sha256_of(found.body),
            source=f"{found.host}/{repository}:{reference.tag}",
            where=lambda layer: f"{base}/v2/{repository}/blobs/sha256:{layer.sha256}",
        )

    async def variants(self, reference: Reference, *, who: Principal | None = None, origin: Origin | None = None) -> Sequence[Variant]:
        """None: a tag is one model, and Ollama's registry does not list its tags."""
        return ()

    async def headers(self, part: Part, *, renew: bool = False) -> Mapping[str, str]:
        base, _, path = part.url.partition("/v2/")
        repository, _, digest = path.rpartition("/blobs/")
        if not repository:
            return {}
        if not renew:
            return self._credentials.headers(base, repository)
        # What is asked for is known to exist; this only has the registry say once more whom it lets in.
        asked = await ask(self._outbound, f"{base}/v2/{repository}/blobs/{digest}", method="HEAD", limit=0)
        if asked.status == 401 and asked.origin == origin_of(base):
            return await self._credentials.meet(base, repository, asked.headers.get("WWW-Authenticate", ""))
        if asked.status in {401, 403}:
            raise NotAllowed(f"{asked.host} does not let this server read '{repository}'.")
        return {}

    async def _get(self, base: str, repository: str, path: str, limit: int, errand: Errand, *, accept: str = "*/*") -> Document:
        url = f"{base}/v2/{repository}/{path}"
        headers = {"Accept": accept, **self._credentials.headers(base, repository)}
        found = await ask(self._outbound, url, limit=limit, headers=headers, errand=errand)
        # A host that the registry redirected to is not answered: it could name a place of its own to send the account to.
        if found.status == 401 and found.origin == origin_of(base):
            challenge = found.headers.get("WWW-Authenticate", "")
            fresh = await self._credentials.meet(base, repository, challenge, errand)
            found = await ask(self._outbound, url, limit=limit, headers={"Accept": accept, **fresh}, errand=errand)
        if found.status in {401, 403}:
            raise NotAllowed(f"{found.host} does not let this server read '{repository}'; see [registries.\"{found.host}\"] in hausgeist.toml.")
        return found

    async def _text(self, base: str, repository: str, layer: Layer, errand: Errand) -> bytes:
        found = await self._get(base, repository, f"blobs/sha256:{layer.sha256}", layer.size, errand)
        if found.status != 200:
            raise InvalidRequest(f"{found.host} has no {layer.kind} for '{repository}' (status {found.status}), although its manifest names one.")
        if sha256_of(found.body) != layer.sha256:
            raise InvalidRequest(
                f"The {layer.kind} from {found.host} is not the one that the manifest names: its digest differs; nothing was installed."
            )
        return found.body


def _missing(reference: Reference, host: str) -> str:
    hint = ""
    if not reference.host and reference.path.startswith("library/"):
        hint = f" All its tags are listed at https://ollama.com/{reference.path}/tags."
    elif not reference.host:
        hint = f" If a repository of the hub is meant, write hf.co/{reference.path}."
    return f"{host} has no model '{reference}'.{hint}"
