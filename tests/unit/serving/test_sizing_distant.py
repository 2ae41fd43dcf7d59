"""Models that lie elsewhere: planned from their heads, and only where the name says whom to ask."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import pytest
from aiohttp import web

from hausgeist.engines.specimen.sparse import write_sparse
from hausgeist.errors import NotFound
from hausgeist.library.catalog import load
from hausgeist.library.reference import Reference
from hausgeist.library.sources import Part, Release, Variant
from hausgeist.serving.sizing import Question
from hausgeist.serving.sizing.distant import address_of, read_afar
from hausgeist.serving.sizing.subjects import Subject, of_entry
from tests.unit.library.test_remote_header import of, serving
from tests.unit.serving.test_sizing import PARTS, sizing


class Elsewhere:
    """A source with one model in one file."""

    def __init__(self, url: str) -> None:
        self.url = url

    async def find(self, reference: Reference, **asker: object) -> Release:
        part = Part(role="weights", url=self.url, filename="model.gguf")
        return Release(reference=reference, version="1", parts=(part,))

    async def variants(self, reference: Reference, **asker: object) -> Sequence[Variant]:
        return ()

    async def headers(self, part: Part, *, renew: bool = False) -> Mapping[str, str]:
        return {}


@pytest.fixture
def file(tmp_path: Path) -> Path:
    entry = load().find("smollm2:135m")
    assert entry is not None
    header = of_entry(entry, "Q8_0").header
    return write_sparse(tmp_path / "model.gguf", header.metadata, header.tensors.values())


async def test_a_head_says_all(file: Path) -> None:
    asked: list[str] = []

    async def answer(request: web.Request) -> web.StreamResponse:
        asked.append(request.headers["Range"])
        return await of(file)(request)

    async with serving(answer) as (url, client):

        async def distant(address: Reference) -> Subject:
            assert str(address) == "hf.co/somebody/some-model-GGUF:Q8_0"
            return await read_afar(address, Elsewhere(url), client)

        where = sizing()
        where._distant = distant
        told = (await where.answer(Question(models=("hf.co/somebody/some-model-GGUF:Q8_0",)))).json()
    known = (await sizing().answer(Question(models=("smollm2:135m",), precision="Q8_0"))).json()
    assert [told[part] for part in PARTS] == [known[part] for part in PARTS]
    assert told["model"] == "hf.co/somebody/some-model-GGUF:Q8_0"
    assert len(asked) < 4


async def test_nobody_is_asked_for_a_bare_name() -> None:
    async def distant(address: Reference) -> Subject:
        raise AssertionError(f"{address} was asked for")

    where = sizing()
    where._distant = distant
    for name in ("our-secret-project:7b", "somebody/private:7b", "gema3:4b"):
        with pytest.raises(NotFound):
            await where.answer(Question(models=(name,)))


async def test_what_the_catalogue_knows_is_not_asked_for() -> None:
    async def distant(address: Reference) -> Subject:
        raise AssertionError(f"{address} was asked for")

    entry = next(one for one in load() if one.install[0].startswith("hf.co/") and one.served)
    where = sizing(memory=4096)
    where._distant = distant
    assert (await where.answer(Question(models=(entry.install[0],)))).json()["model"] == entry.name


@pytest.mark.parametrize(
    ("name", "precision", "address"),
    [
        ("hf.co/a/b", "", "hf.co/a/b"),
        ("hf.co/a/b", "Q8_0", "hf.co/a/b:Q8_0"),
        ("hf.co/a/b:Q4_0", "Q8_0", "hf.co/a/b:Q4_0"),
        ("https://example.org/m.gguf", "", "https://example.org/m.gguf"),
        ("registry.example.org/a/b:7b", "", "registry.example.org/a/b:7b"),
        ("a/b:7b", "", None),
        ("gemma3:4b", "", None),
        ("./m.gguf", "", None),
        ("\x00", "", None),
    ],
)
def test_addresses(name: str, precision: str, address: str | None) -> None:
    found = address_of(name, precision)
    assert (None if found is None else str(found)) == address
