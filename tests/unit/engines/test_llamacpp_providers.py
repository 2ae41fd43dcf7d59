"""Which llama.cpp runs: what the settings say, else what was chosen, else the wheel."""

import json
from pathlib import Path

import pytest

from hausgeist.engines.llamacpp.providers import Provider, choose, provider, providers
from hausgeist.errors import InvalidRequest, NotFound, StoreError
from hausgeist.settings import Settings

SERVER = """#!/bin/sh
case "$1" in
--version) echo 'version: 4711 (abcdef)' >&2;;
--list-devices) echo 'Available devices:'; echo '  CUDA0: NVIDIA H200 (143771 MiB, 143000 MiB free)'; echo '  Vulkan0: x (1 MiB, 1 MiB free)';;
esac
"""


@pytest.fixture
def binary(tmp_path: Path) -> Path:
    path = tmp_path / "llama-server"
    path.write_text(SERVER)
    path.chmod(0o755)
    return path


def test_the_wheel_unless_something_else_was_chosen(tmp_path: Path) -> None:
    found = provider(Settings(home=tmp_path))
    assert (found.name, found.binary) == ("wheel", None)
    assert found.version
    assert "cpu" in found.backends


def test_a_fingerprint_names_engine_and_version() -> None:
    assert Provider("wheel", None, "2026.10.1", ("cpu",)).fingerprint == "xllamacpp-2026.10.1"
    assert Provider("built", None, 'b6000 "x"\n', ("cpu",)).fingerprint == "llama.cpp-b6000-x"


def test_a_llama_server_of_ones_own(tmp_path: Path, binary: Path) -> None:
    found = provider(Settings(home=tmp_path, engine="binary", engine_binary=binary))
    assert found == Provider("binary", binary, "4711 (abcdef)", ("cpu", "cuda", "vulkan"))
    assert found.accelerated


def test_a_choice_is_remembered(tmp_path: Path, binary: Path) -> None:
    home = tmp_path / "home"
    choose(home, "binary", binary)
    assert provider(Settings(home=home)).binary == binary
    assert json.loads((home / "engine.json").read_text())["engine"] == "binary"
    choose(home, "wheel")
    assert provider(Settings(home=home)).name == "wheel"
    assert provider(Settings(home=home, engine="binary")).binary == binary, "its path is still known"
    assert [path.name for path in home.iterdir()] == ["engine.json"]


def test_what_is_not_there_cannot_be_used(tmp_path: Path) -> None:
    with pytest.raises(InvalidRequest, match="wheel, built, binary"):
        choose(tmp_path, "vllm")
    with pytest.raises(NotFound, match="hausgeist engine build"):
        choose(tmp_path, "built")
    with pytest.raises(NotFound, match="hausgeist engine build"):
        provider(Settings(home=tmp_path, engine="built"))
    with pytest.raises(NotFound, match="engine_binary"):
        provider(Settings(home=tmp_path, engine="binary"))
    with pytest.raises(NotFound, match="not an executable"):
        provider(Settings(home=tmp_path, engine="binary", engine_binary=tmp_path / "nothing"))
    assert [found.name for found in providers(Settings(home=tmp_path))] == ["wheel"]


@pytest.mark.parametrize("content", ["", "{", "[]", '{"engine": "vllm"}', '{"engine": 7, "binary": []}'])
def test_a_damaged_choice_is_the_wheel(tmp_path: Path, content: str) -> None:
    (tmp_path / "engine.json").write_text(content)
    assert provider(Settings(home=tmp_path)).name == "wheel"


def test_a_home_that_cannot_be_written_is_said_so(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(StoreError, match=r"engine\.json cannot be written"):
        choose(tmp_path / "file", "wheel")
