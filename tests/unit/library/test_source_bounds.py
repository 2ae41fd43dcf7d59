"""What sources take from whoever answers: how much, how many values, and how often they ask."""

from __future__ import annotations

import json
import tracemalloc
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from types import SimpleNamespace
from typing import Any
from urllib.parse import urlsplit

import pytest
from yarl import URL

from hausgeist.errors import InvalidRequest
from hausgeist.library.reference import Reference
from hausgeist.library.sources.base import Release
from hausgeist.library.sources.huggingface import HuggingFace
from hausgeist.library.sources.ollama import Ollama
from hausgeist.library.sources.outbound import parse_json
from hausgeist.library.sources.url import Url


class Net:
    """An outbound client that answers everything with `body`, and writes rows as the real one does."""

    def __init__(self, body: bytes = b"") -> None:
        self.body = body
        self.asked: list[str] = []
        self.rows: list[str] = []
        self.read = 0

    @asynccontextmanager
    async def request(self, method: str, url: str, *, recorded: set[str] | None = None, **more: Any) -> AsyncIterator[Any]:
        self.asked.append(url)
        host = urlsplit(url).netloc
        if recorded is None or host not in recorded:
            self.rows.append(host)
            if recorded is not None:
                recorded.add(host)
        yield SimpleNamespace(status=200, headers={"Content-Length": "7", "ETag": "x"}, url=URL(url), content=self)

    async def iter_chunked(self, size: int) -> AsyncIterator[bytes]:
        for start in range(0, len(self.body), size):
            self.read += size
            yield self.body[start : start + size]


async def of_url(net: Net, count: int) -> Release:
    reference = Reference.parse(f"https://files.example/m-00001-of-{count:05d}.gguf")
    return await Url(net).find(reference)


async def test_many_parts_leave_one_row() -> None:
    net = Net()
    assert len((await of_url(net, 256)).parts) == len(net.asked) == 256
    assert net.rows == ["files.example"]
    await of_url(net, 2)
    assert len(net.rows) == 2, "another pull, another row"


async def test_very_many_parts_are_not_asked_for() -> None:
    net = Net()
    with pytest.raises(InvalidRequest, match="at most 256"):
        await of_url(net, 257)
    assert net.asked == []


def listing(files: int, filler: int = 0) -> bytes:
    siblings = [{"rfilename": f"quantised/{one:08d}.gguf", "size": 7, "lfs": {"sha256": "0" * 64, "size": 7}} for one in range(files)]
    return json.dumps({"sha": "a" * 40, "siblings": siblings, "cardData": {"license": "mit", "text": "x" * filler}}).encode()


async def described(net: Net) -> int:
    return len(await HuggingFace(net, "https://hub.example").variants(Reference.parse("hf.co/owner/repo")))


async def test_a_listing_of_the_hub_has_its_bounds() -> None:
    assert await described(Net(listing(20_000))) == 20_000
    net = Net(listing(1, filler=9 << 20))
    with pytest.raises(InvalidRequest, match="more than 8388608 bytes"):
        await described(net)
    assert net.read < 9 << 20
    with pytest.raises(InvalidRequest, match="does not list the files"):
        await described(Net(listing(25_001)))


@pytest.mark.parametrize("unit", [b"{},", b"[],", b"0,", b'{"a":[{}]},'])
async def test_documents_of_very_many_values_are_not_read(unit: bytes) -> None:
    body = b"[" + unit * ((8 << 20) // len(unit) - 1) + b"0]"
    tracemalloc.start()
    try:
        with pytest.raises(InvalidRequest, match="more than 400000 values"):
            parse_json(body, "listing")
        assert tracemalloc.get_traced_memory()[1] < 1 << 20
    finally:
        tracemalloc.stop()


async def test_a_manifest_has_its_bounds() -> None:
    manifest = json.dumps({"schemaVersion": 2, "layers": [], "annotations": {"x": "x" * (1 << 20)}}).encode()
    with pytest.raises(InvalidRequest, match="more than 1048576 bytes"):
        await Ollama(Net(manifest), "https://registry.example").find(Reference.parse("tiny"))
