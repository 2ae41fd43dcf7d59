"""Which embedder made which vectors: found again by name as long as its model is there at those bytes."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from hausgeist.errors import ModelNotFound
from hausgeist.identity import Principal
from hausgeist.knowledge.assembly import Embedders
from hausgeist.knowledge.embed.installed import Installed
from hausgeist.knowledge.embed.library import FromLibrary
from hausgeist.model import InstalledModel, Shape
from hausgeist.settings import Settings


class Door:
    """A library with models of some digests."""

    def __init__(self, **digests: str) -> None:
        self.digests = digests

    def model(self, who: Principal, name: str) -> InstalledModel:
        if name not in self.digests:
            raise ModelNotFound(name)
        return InstalledModel(
            id=name, engine="fake", path=None, digest=self.digests[name] * 64, modified=0, shape=Shape(embedding_length=8), tasks=("embed",)
        )


def embedders(home: Path, door: Any, wanted: str = "") -> Embedders:
    return Embedders(Settings(home=home, embedding_model=wanted), door)


def test_a_former_one_is_found_whichever_is_wanted_now(tmp_path: Path) -> None:
    door = Door(first="a", second="b")
    before = embedders(tmp_path, door, "first").current().name
    now = embedders(tmp_path, door, "second")
    assert now.current().name == "second@bbbbbbbbbbbb"
    former = now.named(before)
    assert isinstance(former, FromLibrary)
    assert former.name == before == "first@aaaaaaaaaaaa"
    installed = now.named(Installed().name)
    assert isinstance(installed, Installed)
    assert embedders(tmp_path, door).named(before) is not None


def test_other_bytes_under_the_same_name_are_another_embedder(tmp_path: Path) -> None:
    before = embedders(tmp_path, Door(first="a"), "first").current().name
    assert embedders(tmp_path, Door(first="c"), "first").named(before) is None
    assert embedders(tmp_path, Door(), "first").named(before) is None
    assert embedders(tmp_path, Door(first="a"), "first").named("") is None
