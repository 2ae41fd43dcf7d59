"""What a GGUF file is taken for, and what is read out of it."""

from __future__ import annotations

import shutil
import tracemalloc
from pathlib import Path

import gguf as reference
import pytest

from hausgeist.engines.specimen import write_adapter, write_specimen
from hausgeist.errors import InvalidRequest
from hausgeist.library.gguf.contents import inspect, read_shape, stem, tasks
from hausgeist.library.gguf.quantization import FILE_TYPES, REMOVED_TYPES, TENSOR_TYPES
from hausgeist.model import Shape
from tests.unit.library.gguf_builder import Gguf, adapter, model, projector, split


def test_shape_of_a_model(tmp_path: Path) -> None:
    path = model().write(tmp_path / "m.gguf")
    assert read_shape(path) == Shape(
        architecture="llama",
        parameters=256 * 64 + 256,
        context_length=4096,
        embedding_length=256,
        block_count=2,
        head_count=8,
        head_count_kv=4,
        quantization="Q4_K_M",
        size=path.stat().st_size,
        chat_template="{% for m in messages %}{{ m.content }}{% endfor %}",
        licence="apache-2.0",
        pooling="",
        vision=False,
    )


def test_specimens_of_each_task(tmp_path: Path) -> None:
    """Files by the real writer, which the real engine loads."""
    for task in ("generate", "embed", "rerank"):
        path = tmp_path / f"{task}.gguf"
        write_specimen(path, task=task)
        assert tasks(read_shape(path))[0] == task
    write_adapter(tmp_path / "lora.gguf")
    with pytest.raises(InvalidRequest, match="an adapter"):
        read_shape(tmp_path / "lora.gguf")


def test_quantization_without_a_file_type_is_that_of_most_weights(tmp_path: Path) -> None:
    assert read_shape(model(file_type=None).write(tmp_path / "a.gguf")).quantization == "Q4_K"
    assert read_shape(model(file_type=9999).write(tmp_path / "b.gguf")).quantization == "Q4_K"
    assert read_shape(model(file_type=1024 + 7).write(tmp_path / "c.gguf")).quantization == "Q8_0"


def test_key_value_heads_default_to_heads(tmp_path: Path) -> None:
    file = model()
    file.pairs = [pair for pair in file.pairs if pair[0] != "llama.attention.head_count_kv"]
    assert read_shape(file.write(tmp_path / "m.gguf")).head_count_kv == 8


@pytest.mark.parametrize(
    ("architecture", "pooling", "expected"),
    [
        ("llama", None, ("generate", "embed")),
        ("llama", 0, ("generate", "embed")),
        ("qwen3", 3, ("embed",)),
        ("qwen3", 4, ("rerank",)),
        ("bert", None, ("embed",)),
        ("bert", 2, ("embed",)),
        ("bert", 4, ("rerank",)),
        ("nomic-bert", 1, ("embed",)),
        ("jina-bert-v2", 1, ("embed",)),
        ("gemma-embedding", 1, ("embed",)),
        ("llama", 77, ("generate", "embed")),
    ],
)
def test_tasks(tmp_path: Path, architecture: str, pooling: int | None, expected: tuple[str, ...]) -> None:
    extra = [(f"{architecture}.pooling_type", "u32", pooling)] if pooling is not None else []
    assert tasks(read_shape(model(architecture, *extra).write(tmp_path / "m.gguf"))) == expected


@pytest.mark.parametrize(
    ("file", "kind", "hint"),
    [
        (projector(), "projector", "projector (mmproj)"),
        (adapter(), "adapter", "under 'adapters'"),
        (Gguf(model().pairs), "other", "a vocabulary without weights"),
        (Gguf([("general.type", "string", "imatrix")]), "other", "of the type 'imatrix'"),
        (model("controlvector"), "other", "control vector"),
        (model("eagle3"), "draft", "draft model"),
    ],
)
def test_what_is_no_model(tmp_path: Path, file: Gguf, kind: str, hint: str) -> None:
    path = file.write(tmp_path / "x.gguf")
    assert inspect(path).kind == kind
    with pytest.raises(InvalidRequest) as caught:
        read_shape(path)
    assert hint in caught.value.message
    assert str(path) in caught.value.message


def test_a_projector_sees(tmp_path: Path) -> None:
    assert inspect(projector().write(tmp_path / "mmproj.gguf")).shape.vision


@pytest.mark.parametrize("architecture", [None, "", "ll ama", "x" * 65, "../x", "a\nb"])
def test_no_architecture(tmp_path: Path, architecture: str | None) -> None:
    file = model()
    file.pairs = [pair for pair in file.pairs if pair[0] != "general.architecture"]
    if architecture is not None:
        file.pairs.append(("general.architecture", "string", architecture))
    with pytest.raises(InvalidRequest, match="which architecture"):
        read_shape(file.write(tmp_path / "m.gguf"))


def test_split_models(tmp_path: Path) -> None:
    parts = split(tmp_path, "big-Q4_K_M", 3)
    contents = inspect(parts[0])
    assert contents.parts == tuple(parts)
    assert contents.shape.parameters == 3 * 512
    assert contents.shape.size == sum(part.stat().st_size for part in parts)
    assert stem(parts[0]) == "big-Q4_K_M"
    with pytest.raises(InvalidRequest, match=r"part 2 of 3; give the first part, big-Q4_K_M-00001-of-00003\.gguf"):
        inspect(parts[1])
    (tmp_path / "moved").mkdir()
    shutil.copy(parts[0], tmp_path / "moved" / "renamed.gguf")
    with pytest.raises(InvalidRequest, match="not named"):
        inspect(tmp_path / "moved" / "renamed.gguf")
    shutil.copy(parts[1], parts[2])
    with pytest.raises(InvalidRequest, match="is not part 3 of 3"):
        inspect(parts[0])
    parts[2].unlink()
    with pytest.raises(InvalidRequest, match=r"00003-of-00003\.gguf cannot be found"):
        inspect(parts[0])


def test_split_count_that_lies(tmp_path: Path) -> None:
    for count in (2000, 65535):
        path = model("llama", ("split.count", "u16", count), ("split.no", "u16", 0)).write(tmp_path / f"m-00001-of-{count:05d}.gguf")
        with pytest.raises(InvalidRequest, match="accepted"):
            inspect(path)


def test_stems() -> None:
    assert stem(Path("/a/gemma-3.Q4.gguf")) == "gemma-3.Q4"
    assert stem(Path("/a/X.GGUF")) == "X"
    assert stem(Path("/a/sha256-abc.def")) == "sha256-abc.def"


def test_tables_agree_with_the_reference() -> None:
    for kind in reference.GGMLQuantizationType:
        block, nbytes = reference.GGML_QUANT_SIZES[kind]
        if kind.name == "Q8_1":
            # The package says 40 (two floats); ggml.h has had two halves since 2024.
            nbytes = 36
        assert TENSOR_TYPES[kind.value] == (kind.name, block, nbytes)
    for file_type in reference.LlamaFileType:
        if file_type.name == "GUESSED":
            continue
        assert FILE_TYPES[file_type.value] == file_type.name.removeprefix("MOSTLY_").removeprefix("ALL_").removesuffix("_MOE")
    assert not set(REMOVED_TYPES) & set(TENSOR_TYPES)


def test_one_file_as_all_parts_is_not_read_again_and_again(tmp_path: Path) -> None:
    """A manifest may name one layer a thousand times; its metadata must not be in memory as often."""
    first = model("llama", ("split.no", "u16", 0), ("split.count", "u16", 200), ("long", "string", "x" * 2**20))
    path = first.write(tmp_path / "m-00001-of-00200.gguf")
    for number in range(2, 201):
        path.with_name(f"m-{number:05d}-of-00200.gguf").hardlink_to(path)
    tracemalloc.start()
    try:
        with pytest.raises(InvalidRequest, match="is not part 2 of 200"):
            inspect(path)
        assert tracemalloc.get_traced_memory()[1] < 20 * 2**20
    finally:
        tracemalloc.stop()
