"""Specimens: the same for the same seed, of the size that real models have, whole or not there."""

import math
import re
from pathlib import Path

import pytest
from gguf import GGUFReader

from benchmarks import random_model
from hausgeist.engines.specimen import NAME, SHAPES, ModelShape, write_adapter, write_projector, write_shaped, write_specimen
from hausgeist.engines.specimen import tokenizer as tokens

SMALL = ModelShape(architecture="llama", layers=8, width=256, inner=512, heads=4, kv_heads=2, head=64, vocabulary=1000, context=512, rope_base=1e4)

PARAMETERS = {
    "gemma-3-270m": 268_098_176,
    "qwen2.5-0.5b": 494_032_768,
    "qwen3-0.6b": 596_049_920,
    "llama-3.2-1b": 1_235_814_400,
    "llama-3.2-3b": 3_212_749_824,
    "gemma-3-4b": 3_880_263_168,
    "qwen2.5-7b": 7_615_616_512,
    "llama-3.1-8b": 8_030_261_248,
    "llama-3.3-70b": 70_553_706_496,
}
"""As the models' makers count them."""

FILES = {("llama-3.2-1b", "Q4_K_M"): 807_694_464, ("llama-3.1-8b", "Q4_K_M"): 4_920_734_944, ("qwen2.5-0.5b", "Q8_0"): 531_068_096}
"""Bytes of files that are published."""


def field(path: Path, name: str) -> object:
    return GGUFReader(path).fields[name].contents()


def test_a_specimen_is_the_same_for_the_same_seed(tmp_path: Path) -> None:
    one, same, other = (write_specimen(tmp_path / f"{name}.gguf", seed=seed) for name, seed in (("a", 1), ("b", 1), ("c", 2)))
    assert one.read_bytes() == same.read_bytes() != other.read_bytes()
    assert one.stat().st_size < 400_000


@pytest.mark.parametrize("task", ["generate", "embed", "rerank"])
def test_a_specimen_says_what_it_is(tmp_path: Path, task) -> None:
    path = write_specimen(tmp_path / "x.gguf", task=task)
    assert field(path, "general.name") == NAME == "random weights"
    assert field(path, "tokenizer.ggml.model") == "gpt2"


def test_adapter_and_projector_are_written(tmp_path: Path) -> None:
    assert field(write_adapter(tmp_path / "lora.gguf"), "adapter.type") == "lora"
    assert field(write_projector(tmp_path / "mmproj.gguf"), "clip.has_vision_encoder") is True


def test_the_tokenizer_is_learnt_and_whole() -> None:
    learnt = tokens.learn()
    assert len(set(learnt.tokens)) == len(learnt.tokens) == len(learnt.types) == len(learnt.weights)
    known = set(learnt.tokens)
    merges = learnt.metadata["tokenizer.ggml.merges"]
    assert len(merges) == 320
    assert all("".join(merge.split(" ")) in known for merge in merges)
    assert {"<|im_start|>", "<|fim_prefix|>", "<tool_call>", "Ġthe"} <= known
    assert learnt.tokens[learnt.metadata["tokenizer.ggml.eos_token_id"]] == "<|im_end|>"


def test_a_tokenizer_is_filled_up_but_never_cut() -> None:
    padded = tokens.learn().padded(1000)
    assert len(padded.tokens) == len(set(padded.tokens)) == len(padded.types) == 1000
    with pytest.raises(ValueError, match="more than the 100"):
        tokens.learn().padded(100)


def test_a_tokenizer_can_be_taken_from_a_file(tmp_path: Path) -> None:
    source = write_specimen(tmp_path / "vocabulary.gguf")
    learnt, read = tokens.learn(), tokens.read(source)
    assert list(read.tokens) == list(learnt.tokens)
    assert read.metadata == learnt.metadata
    path = write_shaped(tmp_path / "model.gguf", SMALL, "Q8_0", vocabulary=source)
    assert field(path, "tokenizer.ggml.merges") == learnt.metadata["tokenizer.ggml.merges"]
    assert len(field(path, "tokenizer.ggml.tokens")) == 1000


@pytest.mark.parametrize("shape", SHAPES)
def test_shapes_have_as_many_parameters_as_the_real_models(tmp_path: Path, shape: str) -> None:
    form = SHAPES[shape]
    few = ModelShape(**{name: getattr(form, name) for name in form.__dataclass_fields__} | {"vocabulary": 1000})
    reader = GGUFReader(write_shaped(tmp_path / "x.gguf", few, "F16", sparse=True))
    counted = sum(math.prod(int(length) for length in tensor.shape) for tensor in reader.tensors if "rope_freqs" not in tensor.name)
    matrices = 1 if form.tied else 2
    assert counted + (form.vocabulary - 1000) * form.width * matrices == PARAMETERS[shape]


@pytest.mark.parametrize(("shape", "precision"), FILES)
def test_files_are_as_large_as_published_ones(tmp_path: Path, shape: str, precision) -> None:
    path = write_shaped(tmp_path / "x.gguf", shape, precision, sparse=True)
    assert path.stat().st_size == pytest.approx(FILES[shape, precision], rel=0.01)
    assert path.stat().st_blocks * 512 < 20_000_000


@pytest.mark.parametrize("precision", ["F16", "Q8_0", "Q4_0", "Q4_K_M"])
def test_random_weights_are_as_large_as_trained_ones(tmp_path: Path, precision) -> None:
    from gguf.quants import dequantize

    reader = GGUFReader(write_shaped(tmp_path / "x.gguf", SMALL, precision))
    kinds = set()
    for tensor in reader.tensors:
        if len(tensor.shape) == 2:
            kinds.add(tensor.tensor_type.name)
            values = dequantize(tensor.data, tensor.tensor_type)
            assert abs(values.mean()) < 0.003
            assert 0.015 < values.std() < 0.025
    expected = {"F16": {"F16"}, "Q8_0": {"Q8_0"}, "Q4_0": {"Q4_0", "Q6_K"}, "Q4_K_M": {"Q4_K", "Q6_K"}}
    assert kinds == expected[precision]


def test_a_failed_write_leaves_nothing(tmp_path: Path) -> None:
    def stop(done: int, total: int) -> None:
        raise OSError(28, "No space left on device")

    target = tmp_path / "x.gguf"
    target.write_bytes(b"what was there before")
    with pytest.raises(OSError, match="No space"):
        write_shaped(target, SMALL, "F16", progress=stop)
    assert [path.name for path in tmp_path.iterdir()] == ["x.gguf"]
    assert target.read_bytes() == b"what was there before"


def test_the_generator_writes_and_complains_on_the_command_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    random_model.main(["qwen2.5-0.5b", str(tmp_path / "new" / "x.gguf"), "--precision", "Q4_0", "--sparse"])
    assert re.search(r"qwen2\.5-0\.5b, Q4_0, random weights, 0\.3\d GB", capsys.readouterr().out)
    junk = tmp_path / "junk.gguf"
    junk.write_bytes(b"no gguf")
    with pytest.raises(SystemExit, match="1"):
        random_model.main(["qwen2.5-0.5b", str(tmp_path / "x.gguf"), "--vocabulary", str(junk)])
    assert not (tmp_path / "x.gguf").exists()
