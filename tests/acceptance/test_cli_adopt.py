"""`hausgeist adopt` with stores as other tools leave them: Ollama's folder, and the cache that the hub's own client has filled."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from hausgeist.engines.specimen import write_specimen
from tests.acceptance.test_cli_commands import data, hausgeist
from tests.hub import Hub
from tests.unit.library.test_adoption import ollama

HUBS = "hf.co/owner/model:Q4_K_M"
Run = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture(scope="module")
def weights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_specimen(tmp_path_factory.mktemp("weights") / "tiny-Q4_K_M.gguf")


@pytest.fixture
def user(tmp_path: Path, weights: Path) -> Path:
    """The home folder of somebody who has used other tools."""
    user = tmp_path / "user"
    ollama(user / ".ollama/models", "registry.ollama.ai/library/tiny/1b", ("model", weights.read_bytes()), ("license", b"MIT License"))
    with Hub() as hub:
        hub.add("owner/model", {"tiny-Q4_K_M.gguf": weights})
        variables = {"HF_ENDPOINT": hub.url, "HF_HOME": str(user / ".cache/huggingface"), "HF_HUB_DISABLE_XET": "1", "HF_HUB_DISABLE_TELEMETRY": "1"}
        code = "from huggingface_hub import snapshot_download; snapshot_download('owner/model')"
        subprocess.run([sys.executable, "-c", code], env={"PATH": "/usr/bin:/bin", **variables}, capture_output=True, timeout=60, check=True)
    return user


@pytest.fixture
def run(tmp_path: Path, user: Path) -> Run:
    """Offline, as the user. What the machine of the tests has itself does not count."""
    more = {"HOME": str(user), "XDG_CACHE_HOME": str(user / ".cache"), "OLLAMA_MODELS": str(user / ".ollama/models"), "HAUSGEIST_OFFLINE": "1"}
    return lambda *arguments, **other: hausgeist(tmp_path / "home", *arguments, **{"HF_HOME": str(user / ".cache/huggingface"), **more, **other})


def test_from_the_list_to_an_answer(run: Run, user: Path, weights: Path, tmp_path: Path) -> None:
    listed = run("adopt")
    assert "tiny:1b" in listed.stdout
    assert HUBS in listed.stdout
    assert "hausgeist adopt --all" in listed.stderr
    there = {one["model"]: one for one in data(run("adopt", "--json"))["models"]}
    assert (there["tiny:1b"]["tool"], there["tiny:1b"]["installed"], there["tiny:1b"]["size"]) == ("ollama", False, weights.stat().st_size)
    adopted = run("adopt", "tiny:1b")
    assert adopted.returncode == 0, adopted.stderr
    assert "adopted tiny:1b: " in adopted.stderr
    assert "shared, verified" in adopted.stderr
    told = [json.loads(line) for line in run("adopt", HUBS, "--json").stdout.splitlines()]
    assert (told[-1]["stage"], told[-1]["name"], told[-1]["in_place"]) == ("done", HUBS, False)
    (blob,) = (tmp_path / "home/blobs").glob("sha256-*")
    assert blob.samefile(user / f".ollama/models/blobs/{blob.name}")
    assert "all of them are installed" in run("adopt", "--all").stderr
    assert "MIT License" in run("show", "tiny:1b").stdout
    assert "is sound" in run("verify", "--all").stderr
    answered = run("run", "tiny:1b", "hello", "--max-tokens", "3")
    assert answered.returncode == 0, answered.stderr
    assert run("rm", "--yes", "tiny:1b", HUBS).returncode == 0
    assert (user / f".ollama/models/blobs/{blob.name}").read_bytes() == weights.read_bytes()


def test_all(run: Run, user: Path) -> None:
    (broken,) = (user / ".cache/huggingface/hub").glob("*/blobs/*")
    content = bytearray(broken.read_bytes())
    content[-1] ^= 1
    broken.chmod(0o644)
    broken.write_bytes(content)
    done = run("adopt", "--all")
    assert done.returncode == 1
    assert "adopted tiny:1b" in done.stderr
    assert f"{HUBS}: The file 'tiny-Q4_K_M.gguf' is not what its name says" in done.stderr
    assert [model["name"] for model in data(run("list", "--json", HAUSGEIST_FAKE=""))["models"]] == ["tiny:1b"]


@pytest.mark.parametrize("command", [("list",), ("pull", "gemma3:4b"), ("run", "gemma3:4b", "hello")])
def test_whoever_has_no_model_hears_of_it(run: Run, command: tuple[str, ...]) -> None:
    done = run(*command, HAUSGEIST_FAKE="")
    assert "2 models of Ollama and Hugging Face can be used with no download: hausgeist adopt" in done.stderr


def test_nothing_to_adopt(run: Run, tmp_path: Path) -> None:
    (tmp_path / "nobody").mkdir()
    bare = {name: str(tmp_path / "nobody") for name in ("HOME", "XDG_CACHE_HOME", "OLLAMA_MODELS", "HF_HOME")}
    assert "hausgeist adopt" not in run("list", HAUSGEIST_FAKE="", **bare).stderr
    assert "no other tool has a model" in run("adopt", **bare).stderr
    assert data(run("adopt", "--json", **bare)) == {"models": []}


def test_what_cannot_be_adopted(run: Run, user: Path) -> None:
    assert run("adopt", "tiny:1b", "--all").returncode == 2
    for name in ("nothing", str(next((user / ".ollama/models/blobs").iterdir())), "../tiny:1b"):
        done = run("adopt", name)
        assert done.returncode in {1, 2, 3}, done
        assert "Traceback" not in done.stderr


def test_in_place_files_that_are_gone_are_said_to_be(run: Run, user: Path, weights: Path) -> None:
    file = user / ".lmstudio/models/owner/other/tiny-Q8_0.gguf"
    file.parent.mkdir(parents=True)
    file.write_bytes(weights.read_bytes())
    name = "hf.co/owner/other:Q8_0"
    adopted: Any = run("adopt", name)
    assert "used where it lies" in adopted.stderr
    file.unlink()
    asked = run("run", name, "hello", "--max-tokens", "3")
    assert asked.returncode != 0
    assert f"{file} cannot be opened: No such file" in asked.stderr
    assert "Traceback" not in asked.stderr
