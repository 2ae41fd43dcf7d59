"""Which precision of a repository is pulled: heads read from a hub, over the real outbound client, for machines of several sizes."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from hausgeist.engines.specimen.sparse import write_sparse
from hausgeist.governance import Egress, Governor
from hausgeist.library.catalog import load
from hausgeist.library.reference import Reference
from hausgeist.library.sources import Release
from hausgeist.library.sources.table import Sources
from hausgeist.planner.devices.known import load as load_devices
from hausgeist.planner.target import Target, target
from hausgeist.serving.sizing.choosing import choosing
from hausgeist.serving.sizing.subjects import of_entry
from hausgeist.settings import Settings
from hausgeist.store.database import Database
from tests.hub import Hub

REPOSITORY = "hf.co/owner/seven-GGUF"
PRECISIONS = ("Q8_0", "Q6_K", "Q4_K_M", "Q2_K")
DEVICES = load_devices()


def machine_called(name: str) -> Target:
    if name != "small":
        return target(DEVICES, name)
    there = target(DEVICES, "DDR4-3200 8GB")
    return replace(there, host=replace(there.host, memory_bytes=int(7.5 * 2**30)))


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """A 7B's, without weights, each as long as the real one. One is called as those who publish call theirs, which no rule of ours makes."""
    folder, found = tmp_path_factory.mktemp("seven"), {}
    entry = load().find("llama2:7b")
    assert entry is not None
    for precision in PRECISIONS:
        header = of_entry(entry, precision).header
        name = "UD-Q4_K_XL" if precision == "Q4_K_M" else precision
        found[f"seven-{name}.gguf"] = write_sparse(
            folder / f"{name}.gguf", {**header.metadata, "llama.context_length": 4096}, header.tensors.values()
        )
    return found


@pytest.fixture
def hub(files: dict[str, Path]) -> Iterator[Hub]:
    with Hub() as hub:
        digests = {path: f"{number:064x}" for number, path in enumerate(files, 1)}
        hub.add("owner/seven-GGUF", {**files}, sha256=digests)
        yield hub


@pytest.fixture
async def governor(tmp_path: Path) -> AsyncIterator[Governor]:
    database = Database.open(tmp_path / "home")
    yield Governor(database)
    database.close()


async def found(hub: Hub, governor: Governor, there: Target, reference: str = REPOSITORY) -> Release:
    settings = Settings(home=Path("/nonexistent"), hf_endpoint=hub.url, allow=["localhost"])
    egress = Egress(settings, governor)
    try:
        wanted = Reference.parse(reference)
        return await Sources(settings, egress, choose=choosing(lambda: there, lambda: None))(wanted).find(wanted)
    finally:
        await egress.close()


@pytest.mark.parametrize(
    ("machine", "precision", "says"),
    [
        ("RTX 3090", "Q8_0", "with room to spare"),
        ("RTX 3060 12GB", "Q6_K", "finer ones would leave too little room"),
        ("RTX 3060 Ti", "UD-Q4_K_XL", "would leave too little room there or be slow"),
        ("small", "Q2_K", "lose noticeably"),
    ],
)
async def test_the_machine_decides(hub: Hub, governor: Governor, machine: str, precision: str, says: str) -> None:
    release = await found(hub, governor, machine_called(machine))
    assert (release.parts[0].filename, release.reference.tag) == (f"seven-{precision}.gguf", precision)
    assert release.choice.startswith(f"{precision}: ")
    assert says in release.choice
    # The usual one's head and that of the one that is taken; of the rest sizes are enough.
    read = {one.path for one in hub.requests("cdn")}
    assert len(read) <= 3


async def test_whoever_names_one_gets_it_and_no_head_is_read(hub: Hub, governor: Governor) -> None:
    release = await found(hub, governor, target(DEVICES, "RTX 3090"), f"{REPOSITORY}:Q2_K")
    assert (release.parts[0].filename, release.choice) == ("seven-Q2_K.gguf", "")
    assert not hub.requests("cdn")


async def test_where_heads_cannot_be_read_the_usual_one_is_taken(hub: Hub, governor: Governor) -> None:
    for _ in range(20):
        hub.fault("status", where="cdn", status=500)
    release = await found(hub, governor, target(DEVICES, "RTX 3090"))
    assert release.parts[0].filename == "seven-UD-Q4_K_XL.gguf"
    assert "the usual precision" in release.choice


async def test_files_that_say_no_precision_are_not_guessed_about(hub: Hub, governor: Governor, files: dict[str, Path]) -> None:
    two = list(files.values())[:2]
    hub.add("owner/odd", {"7b-base.gguf": two[0], "7b-chat.gguf": two[1]}, sha256={"7b-base.gguf": "a" * 64, "7b-chat.gguf": "b" * 64})
    release = await found(hub, governor, target(DEVICES, "RTX 3090"), "hf.co/owner/odd")
    assert release.choice == ""
    assert not hub.requests("cdn")
