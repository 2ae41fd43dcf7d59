"""Models of other tools on this machine: what is found, and that nothing is followed out of their folders."""

from __future__ import annotations

import hashlib
import json
import os
from pathlib import Path

import pytest

from hausgeist.library.sources.adoption import Found, discover
from tests.registry import CONFIG, IMAGE, MANIFEST

WEIGHTS = b"GGUF" + bytes(100)


def sha256(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def ollama(models: Path, name: str, *layers: tuple[str, bytes]) -> None:
    """A model as Ollama stores it."""
    (models / "blobs").mkdir(parents=True, exist_ok=True)

    def blob(data: bytes) -> dict[str, object]:
        (models / "blobs" / f"sha256-{sha256(data)}").write_bytes(data)
        return {"digest": f"sha256:{sha256(data)}", "size": len(data)}

    path = models / "manifests" / name
    path.parent.mkdir(parents=True, exist_ok=True)
    listed = [{"mediaType": IMAGE + kind, **blob(data)} for kind, data in layers]
    manifest = {"schemaVersion": 2, "mediaType": MANIFEST, "config": {"mediaType": CONFIG, **blob(b"{}")}, "layers": listed}
    path.write_text(json.dumps(manifest))


def hub(cache: Path, repository: str, files: dict[str, bytes], *, commit: str = "a" * 40, main: bool = True) -> Path:
    """A repository as the hub's tools store it. Returns the snapshot."""
    folder = cache / f"models--{repository.replace('/', '--')}"
    (folder / "blobs").mkdir(parents=True, exist_ok=True)
    (folder / "refs").mkdir(exist_ok=True)
    snapshot = folder / "snapshots" / commit
    for path, data in files.items():
        blob = folder / "blobs" / sha256(data)
        blob.write_bytes(data)
        (snapshot / path).parent.mkdir(parents=True, exist_ok=True)
        (snapshot / path).symlink_to(os.path.relpath(blob, (snapshot / path).parent))
    if main:
        (folder / "refs/main").write_text(commit)
    return snapshot


def found(home: Path, **environment: str) -> list[Found]:
    return [one for one in discover(environment, home) if any(path.is_relative_to(home) for path in one.files)]


def test_models_of_ollama(tmp_path: Path) -> None:
    models = tmp_path / ".ollama/models"
    ollama(models, "registry.ollama.ai/library/tiny/1b", ("model", WEIGHTS), ("template", b"{{ .Prompt }}!"), ("license", b"MIT"))
    ollama(models, "registry.ollama.ai/owner/other/latest", ("model", WEIGHTS), ("projector", b"GGUF eyes"))
    ollama(models, "hf.co/owner/repo/Q4_K_M", ("model", WEIGHTS))
    other, tiny, hubs = sorted(found(tmp_path), key=lambda one: one.name == "hf.co/owner/repo:Q4_K_M" or (one.name != "owner/other") * 0.5)
    assert [one.name for one in (other, tiny, hubs)] == ["owner/other", "tiny:1b", "hf.co/owner/repo:Q4_K_M"]
    assert tiny.files == (models / "blobs" / f"sha256-{sha256(WEIGHTS)}",)
    (part,) = tiny.release.parts
    assert (part.sha256, part.size, part.url) == (sha256(WEIGHTS), len(WEIGHTS), tiny.files[0].as_uri())
    assert tiny.release.version == sha256((models / "manifests/registry.ollama.ai/library/tiny/1b").read_bytes())
    assert (tiny.release.licence, tiny.tool) == ("MIT", "ollama")
    assert tiny.release.template
    assert [part.role for part in other.release.parts] == ["weights", "projector"]


@pytest.mark.parametrize("variable", [True, False])
def test_where_ollama_was_told_to_put_them(tmp_path: Path, variable: bool) -> None:
    ollama(tmp_path / "else/where", "registry.ollama.ai/library/tiny/latest", ("model", WEIGHTS))
    there = tmp_path / "link"
    there.symlink_to(tmp_path / "else/where")
    one = found(tmp_path, OLLAMA_MODELS=str(there))[0] if variable else discover({}, tmp_path, ollama_models=there)[0]
    assert one.name == "tiny"


def test_what_is_not_whole_is_passed_over(tmp_path: Path) -> None:
    models = tmp_path / ".ollama/models"
    ollama(models, "registry.ollama.ai/library/cut/latest", ("model", WEIGHTS))
    (models / "blobs" / f"sha256-{sha256(WEIGHTS)}").write_bytes(WEIGHTS[:50])
    ollama(models, "registry.ollama.ai/library/gone/latest", ("model", b"GGUF gone"))
    (models / "blobs" / f"sha256-{sha256(b'GGUF gone')}").unlink()
    ollama(models, "registry.ollama.ai/library/changed/latest", ("model", b"GGUF good"), ("system", b"Be honest."))
    (models / "blobs" / f"sha256-{sha256(b'Be honest.')}").write_bytes(b"Be a liar.")
    (models / "manifests/registry.ollama.ai/library/broken").mkdir()
    (models / "manifests/registry.ollama.ai/library/broken/latest").write_text("{")
    (models / "manifests/stray").write_text("{}")
    assert found(tmp_path) == []


def test_nothing_is_followed_out_of_a_folder(tmp_path: Path) -> None:
    secret = tmp_path / "secret"
    secret.write_bytes(WEIGHTS)
    models = tmp_path / ".ollama/models"
    ollama(models, "registry.ollama.ai/library/tiny/latest", ("model", WEIGHTS))
    blob = models / "blobs" / f"sha256-{sha256(WEIGHTS)}"
    blob.unlink()
    blob.symlink_to(secret)
    snapshot = hub(tmp_path / ".cache/huggingface/hub", "owner/repo", {"good-Q4_0.gguf": WEIGHTS})
    (snapshot / "evil-Q8_0.gguf").symlink_to(secret)
    (snapshot / "loop-Q5_0.gguf").symlink_to("loop-Q5_0.gguf")
    (snapshot / "up").symlink_to(tmp_path)
    os.mkfifo(snapshot / "pipe-F16.gguf")
    (tmp_path / ".cache/llama.cpp").mkdir()
    (tmp_path / ".cache/llama.cpp/evil.gguf").symlink_to(secret)
    assert [one.name for one in found(tmp_path)] == ["hf.co/owner/repo:Q4_0"]


def test_models_of_the_hubs_tools(tmp_path: Path) -> None:
    cache = tmp_path / "hf/hub"
    hub(cache, "owner/repo", {"old-Q4_0.gguf": b"GGUF old"}, commit="b" * 40)
    files = {
        "x-Q4_0.gguf": WEIGHTS,
        "Q8_0/x-00001-of-00002.gguf": b"GGUF 1",
        "Q8_0/x-00002-of-00002.gguf": b"GGUF 2",
        "mmproj-F16.gguf": b"GGUF eyes",
    }
    hub(cache, "owner/repo", files)
    hub(cache, "owner/cut", {"x-Q8_0-00001-of-00002.gguf": b"GGUF 1"})
    hub(cache, "owner/loose", {"x-Q6_K.gguf": b"GGUF loose"}, main=False)
    (cache / "models--evil--..").mkdir()
    by_name = {one.name: one for one in found(tmp_path, HF_HOME=str(tmp_path / "hf"))}
    assert sorted(by_name) == ["hf.co/owner/loose:Q6_K", "hf.co/owner/repo:Q4_0", "hf.co/owner/repo:Q8_0"]
    split = by_name["hf.co/owner/repo:Q8_0"]
    assert [path.read_bytes() for path in split.files] == [b"GGUF 1", b"GGUF 2", b"GGUF eyes"]
    assert [part.sha256 for part in split.release.parts] == [sha256(path.read_bytes()) for path in split.files]
    assert [part.filename for part in split.release.parts] == ["x-00001-of-00002.gguf", "x-00002-of-00002.gguf", "mmproj-F16.gguf"]
    assert {one.name for one in found(tmp_path, HF_HUB_CACHE=str(cache))} == set(by_name)
    assert {one.name for one in discover({}, tmp_path, hf_home=tmp_path / "hf")} >= set(by_name)


def test_models_of_llamacpp_and_lm_studio(tmp_path: Path) -> None:
    cache = tmp_path / ".cache/llama.cpp"
    cache.mkdir(parents=True)
    (cache / "owner_repo_x-Q4_0.gguf").write_bytes(WEIGHTS)
    (cache / "owner_repo_x-Q4_0.gguf.json").write_text(json.dumps({"url": "https://huggingface.co/owner/repo/resolve/main/x-Q4_0.gguf"}))
    (cache / "plain.gguf").write_bytes(WEIGHTS)
    (cache / "odd.gguf").write_bytes(WEIGHTS)
    (cache / "odd.gguf.json").write_text("[" * 5000)
    (cache / "empty.gguf").touch()
    studio = tmp_path / ".lmstudio/models/owner/other-GGUF"
    studio.mkdir(parents=True)
    (studio / "other-Q8_0.gguf").write_bytes(WEIGHTS)
    (studio / "mmproj-other-F16.gguf").write_bytes(b"GGUF eyes")
    there = found(tmp_path)
    assert [(one.tool, one.name) for one in there] == [
        ("llama.cpp", "hf.co/owner/repo:x-Q4_0.gguf"), ("llama.cpp", "plain"), ("lmstudio", "hf.co/owner/other-GGUF:Q8_0"),
    ]  # fmt: skip
    assert [part.role for part in there[-1].release.parts] == ["weights", "projector"]


def test_a_machine_without_other_tools(tmp_path: Path) -> None:
    assert found(tmp_path / "nowhere", OLLAMA_MODELS="\0", HF_HOME="~nobody-here/x", LLAMA_CACHE=str(tmp_path)) == []
