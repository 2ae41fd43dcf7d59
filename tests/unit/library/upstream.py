"""A place that models come from, within the test: what it has, how it fails, and a downloader that counts what it is asked for."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from hausgeist.errors import NotFound, Unavailable
from hausgeist.library.reference import Reference
from hausgeist.library.sources.base import Part, Release, Role, Source, Variant
from hausgeist.library.transfer import Progress
from hausgeist.store.blobs import Blobs


@dataclass
class Upstream:
    """A `Source`, and the `Fetching` that brings its files."""

    blobs: Blobs
    releases: dict[str, Release] = field(default_factory=dict)
    content: dict[str, bytes] = field(default_factory=dict)
    fetched: list[str] = field(default_factory=list)
    recorded: list[set[str] | None] = field(default_factory=list)
    """What each fetch was given, in which the downloader notes the hosts that have their row in the audit table."""
    fail: Exception | None = None
    gate: asyncio.Event | None = None
    """While it is there and not set, fetching waits in the middle of a file."""
    reached: asyncio.Event = field(default_factory=asyncio.Event)
    space: Callable[[Sequence[Part]], None] = lambda parts: None

    def offer(self, name: str, files: Sequence[tuple[Role, bytes]], **more: Any) -> Release:
        """Have `name` stand for these files from now on."""
        parts = []
        for role, content in files:
            digest = hashlib.sha256(content).hexdigest()
            self.content[f"https://up.example/{digest}"] = content
            parts.append(Part(role=role, url=f"https://up.example/{digest}", filename=f"{role}.gguf", size=len(content), sha256=digest))
        reference = Reference.parse(name)
        version = hashlib.sha256("".join(part.sha256 for part in parts).encode() + repr(sorted(more.items())).encode()).hexdigest()
        release = Release(reference=reference, version=version, parts=tuple(parts), source=f"up.example/{name}", **more)
        self.releases[reference.key] = release
        return release

    def of(self, reference: Reference) -> Source:
        return self

    async def find(self, reference: Reference, *, who: Any = None, origin: Any = None) -> Release:
        await asyncio.sleep(0)
        if self.fail is not None:
            raise self.fail
        try:
            return self.releases[reference.key]
        except KeyError:
            raise NotFound(f"up.example has no '{reference}'.") from None

    async def variants(self, reference: Reference, *, who: Any = None, origin: Any = None) -> Sequence[Variant]:
        return ()

    async def headers(self, part: Part, *, renew: bool = False) -> Mapping[str, str]:
        return {}

    async def fetch(
        self,
        part: Part,
        source: Source,
        *,
        progress: Callable[[Progress], None] | None = None,
        who: Any = None,
        origin: Any = None,
        recorded: set[str] | None = None,
        anew: bool = False,
    ) -> str:
        assert progress is not None
        if part.sha256 and self.blobs.has(part.sha256) and not anew:
            return part.sha256
        self.fetched.append(part.filename)
        self.recorded.append(recorded)
        content = self.content[part.url]
        half = len(content) // 2

        async def chunks() -> AsyncIterator[bytes]:
            yield content[:half]
            progress(Progress(stage="downloading", done=half, total=len(content)))
            self.reached.set()
            if self.gate is not None:
                await self.gate.wait()
            if self.fail is not None:
                raise self.fail
            yield content[half:]

        if not anew:
            return await self.blobs.add(chunks(), expected=part.sha256)
        whole = b"".join([chunk async for chunk in chunks()])
        partial = self.blobs.folder / ".download-anew"
        partial.write_bytes(whole)
        self.blobs.publish(partial, hashlib.sha256(whole).hexdigest(), anew=True)
        return part.sha256

    async def missing(self, parts: Sequence[Part]) -> int:
        return sum(part.size for part in parts if not self.blobs.has(part.sha256))

    async def check_space(self, parts: Sequence[Part]) -> None:
        self.space(parts)


GONE = Unavailable("up.example cannot be reached.")
