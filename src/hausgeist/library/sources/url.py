"""A GGUF file at an address, with the digest that it must have behind `#sha256=`.

Over https the digest may be missing: then the first download says what the file is. Over http it may not, but on this machine.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Final
from urllib.parse import unquote, urlsplit

from hausgeist.errors import InvalidRequest, NotAllowed, NotFound
from hausgeist.identity import Origin, Principal
from hausgeist.library.reference import Reference, public
from hausgeist.library.sources.base import Part, Release, Variant
from hausgeist.library.sources.outbound import Document, Errand, Outbound, ask, is_loopback, sha256_of

__all__ = ["Url"]

_SPLIT: Final = re.compile(r"(?P<stem>.+)-(?P<number>\d{5})-of-(?P<count>\d{5})(?P<end>\.gguf)", re.IGNORECASE)
_LENGTH: Final = re.compile(r"[0-9]{1,14}")
_MOST_PARTS: Final = 256
"""Each is asked for before the first is fetched."""


class Url:
    """Needs no settings: which hosts may be asked is for the outbound client to decide."""

    def __init__(self, outbound: Outbound) -> None:
        self._outbound = outbound

    async def find(self, reference: Reference, *, who: Principal | None = None, origin: Origin | None = None) -> Release:
        parts = urlsplit(reference.path)
        urls = _all_parts(reference.path)
        if parts.scheme == "http" and not is_loopback(parts.netloc) and (not reference.sha256 or len(urls) > 1):
            raise InvalidRequest(
                f"Over http anybody on the way could change the file '{public(reference.path)}': "
                "use https, or add the digest it must have: #sha256=...",
                param="model",
            )
        files, marks, errand = [], [], Errand(who, origin)
        for url in urls:
            found = await self._looked_at(url, errand)
            size = found.headers.get("Content-Length", "")
            files.append(
                Part(
                    role="weights",
                    url=url,
                    filename=unquote(urlsplit(url).path).rpartition("/")[2],
                    size=int(size) if found.status == 200 and _LENGTH.fullmatch(size) and "Content-Encoding" not in found.headers else 0,
                    sha256=reference.sha256 if url == reference.path else "",
                )
            )
            marks.append(found.headers.get("ETag") or found.headers.get("Last-Modified") or "")
        told = all(file.sha256 for file in files)
        return Release(
            reference=reference,
            version=reference.sha256 if told else (sha256_of("\n".join([*urls, *marks]).encode()) if all(marks) else ""),
            parts=tuple(files),
            source=reference.path.partition("?")[0],
            notice="" if told else "No digest was given for this address, so what came is trusted as it came; from now on its own digest is kept.",
        )

    async def variants(self, reference: Reference, *, who: Principal | None = None, origin: Origin | None = None) -> Sequence[Variant]:
        return ()

    async def headers(self, part: Part, *, renew: bool = False) -> Mapping[str, str]:
        return {}

    async def _looked_at(self, url: str, errand: Errand) -> Document:
        """What a server says of a file before it is fetched. One that does not know HEAD says nothing, which is no error."""
        found = await ask(self._outbound, url, method="HEAD", limit=0, headers={"Accept-Encoding": "identity"}, errand=errand)
        if found.status in {404, 410}:
            raise NotFound(f"{found.host} has no such file (status {found.status}).")
        if found.status == 401:
            raise NotAllowed(f"{found.host} gives this file only to its users (status {found.status}).")
        return found


def _all_parts(url: str) -> list[str]:
    """The addresses of all parts of a split model, given its first."""
    address, question, query = url.partition("?")
    folder, slash, name = address.rpartition("/")
    part = _SPLIT.fullmatch(name)
    if part is None or int(part["count"]) < 2:
        return [url]
    if int(part["number"]) != 1 or int(part["count"]) > _MOST_PARTS:
        raise InvalidRequest(f"'{unquote(name)}' is not the first part of at most {_MOST_PARTS}; give the address of that one.", param="model")
    numbered = (f"{part['stem']}-{number:05d}-of-{part['count']}{part['end']}" for number in range(1, int(part["count"]) + 1))
    return [f"{folder}{slash}{one}{question}{query}" for one in numbered]
