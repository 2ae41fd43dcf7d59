"""A model that lies on a server: its head is read there, some megabytes, and nothing of its weights.

Nobody is asked but whom the name itself names: a name without a host may be private.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import replace
from typing import TYPE_CHECKING

from hausgeist.errors import InvalidRequest
from hausgeist.library.reference import Reference, public
from hausgeist.library.sources.base import Part, Role, Source
from hausgeist.library.sources.remote_header import Outbound, read_remote_header
from hausgeist.planner.memory import projector
from hausgeist.serving.sizing.subjects import Subject, header_of, of_headers

if TYPE_CHECKING:
    from hausgeist.settings import Settings
    from hausgeist.store.database import Database

__all__ = ["Distant", "address_of", "asking", "read_afar"]


Distant = Callable[[Reference], Awaitable[Subject]]
"""Reads what an address stands for. Raises `NotFound`, `NotAllowed`, `InvalidRequest`, `Unavailable`, `EgressRefused`."""


def address_of(name: str, precision: str = "") -> Reference | None:
    """Of a name that says which host to ask; of a repository's precisions the one that is wanted."""
    try:
        reference = Reference.parse(name)
    except InvalidRequest:
        return None
    if reference.kind == "hub" and precision and not reference.tag:
        return replace(reference, tag=precision)
    return reference if reference.kind in ("hub", "url") or (reference.kind == "registry" and reference.host) else None


async def read_afar(address: Reference, source: Source, outbound: Outbound) -> Subject:
    """Of weights in several files the head of each."""
    release = await source.find(address)

    def parts(role: Role) -> list[Part]:
        return [part for part in release.parts if part.role == role]

    if not (weights := parts("weights")):
        raise InvalidRequest(f"'{public(str(address))}' has no weights to plan by.", param="model")
    headers = [await read_remote_header(part, source, outbound) for part in weights]
    address = release.reference
    name = public(str(address))
    found = await asyncio.to_thread(of_headers, headers, name)
    seen = [await read_remote_header(part, source, outbound) for part in parts("projector")]
    return replace(
        found,
        projector_bytes=sum(projector(header_of((header,))).total for header in seen),
        adapter_bytes=sum(part.size for part in parts("adapter")),
        install=name if name == str(address) else "",  # an address with a key in it is not to be printed
    )


def asking(settings: Settings, database: Callable[[], Database]) -> Distant:
    """Over the one outbound client, which keeps to the settings and writes down whom it asked. `database`: opened when it is needed."""

    async def ask(address: Reference) -> Subject:
        from hausgeist.governance.egress import Egress
        from hausgeist.governance.service import Governor
        from hausgeist.library.sources.table import Sources

        governor = Governor(database())
        egress = Egress(settings, governor)
        try:
            return await read_afar(address, Sources(settings, egress)(address), egress)
        finally:
            await egress.close()
            await governor.flush()

    return ask
