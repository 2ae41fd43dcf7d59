"""The port of sources: what a name stands for upstream, and where its bytes are. Fetching, verifying and installing them is done elsewhere.

A source reads small documents (manifests, lists of files) and no weights. It opens no connection of its own: it is handed the one outbound client.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, Protocol

from hausgeist.identity import Origin, Principal
from hausgeist.library.reference import Reference

__all__ = ["Part", "Release", "Role", "Source", "Variant"]

Role = Literal["weights", "projector", "adapter"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Part:
    """One file of a release."""

    role: Role
    url: str
    """Where it is asked for; redirects may follow. Holds no credential."""
    filename: str
    """What it is called upstream, without folders."""
    size: int = 0
    """Bytes; 0: the source does not tell before the download."""
    sha256: str = ""
    """In hex; empty: the source does not tell (it is computed while downloading, and kept from then on)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Release:
    """What a name stands for upstream at this moment: the files, and the texts that came with them."""

    reference: Reference
    version: str
    """Names these very bytes: the digest of a manifest, of the digests of the files, or in a URL. Equal versions need no download.
    Empty: the source cannot tell, and nothing is equal to that."""
    parts: tuple[Part, ...]
    """Weights in the order of their split, then projector, then adapters."""
    template: str = ""
    """A chat template in Jinja that replaces the one in the weights; empty: that one is used."""
    go_template: str = ""
    """The same in Go's language, where it came in that: for registries to which the model is pushed."""
    system: str = ""
    parameters: Mapping[str, Any] = field(default_factory=dict)
    """In Ollama's names."""
    messages: tuple[Mapping[str, str], ...] = ()
    """Examples that begin every conversation: role and content."""
    licence: str = ""
    source: str = ""
    """For people: where this came from."""
    notice: str = ""
    """What whoever installs this should know, in a sentence."""
    choice: str = ""
    """Why these weights and no others of the same model, in a sentence; empty: there was no choice."""

    @property
    def size(self) -> int:
        """Bytes of all parts, as far as they are known; shared parts are counted each time."""
        return sum(part.size for part in self.parts)


@dataclass(frozen=True, slots=True, kw_only=True)
class Variant:
    """One of several precisions that a source has of the same model. `name` is what stands after the colon: Q4_K_M."""

    name: str
    size: int
    """Bytes of all its files."""


class Source(Protocol):
    """A place that models come from."""

    async def find(self, reference: Reference, *, who: Principal | None = None, origin: Origin | None = None) -> Release:
        """What the reference stands for now.

        Raises `NotFound` (with what is there instead, where that is known), `NotAllowed` when a token or the acceptance of a licence is
        needed, `InvalidRequest` for an answer that makes no sense, `Unavailable`, `EgressRefused`.
        """

    async def variants(self, reference: Reference, *, who: Principal | None = None, origin: Origin | None = None) -> Sequence[Variant]:
        """The precisions that can be had; empty where the source cannot list them."""

    async def headers(self, part: Part, *, renew: bool = False) -> Mapping[str, str]:
        """What to send with a request for a part (credentials, if any). `renew`: the ones given before were refused (401, 403).

        Raises `NotAllowed` when it is known that no others will do.
        """
