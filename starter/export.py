"""Writes what was trained as the file that the package carries: `python -m starter.export FOLDER guide.gguf`. Matrices as Q8_0, norms as F32."""

from __future__ import annotations

import argparse
from pathlib import Path

import gguf
import numpy
import torch
from gguf.quants import quantize
from tokenizers import Tokenizer

from starter.examples import END, FIM_MIDDLE, FIM_PREFIX, FIM_SUFFIX, START, TEXT_END
from starter.network import Shape
from starter.tokens import PRE_TOKENIZER

__all__ = ["main"]

_TEMPLATE = (
    "{%- for message in messages -%}"
    "{{- '" + START + "' + ('system' if message.role == 'developer' else message.role) + '\\n' -}}"
    "{%- if message.content is string -%}{{- message.content -}}"
    "{%- else -%}{%- for part in message.content or [] if part.type == 'text' -%}{{- part.text -}}{%- endfor -%}{%- endif -%}"
    "{{- '" + END + "\\n' -}}"
    "{%- endfor -%}"
    "{%- if add_generation_prompt -%}{{- '" + START + "assistant\\n' -}}{%- endif -%}"
)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("file", type=Path)
    options = parser.parse_args()
    torch.serialization.add_safe_globals([Shape])
    kept = torch.load(options.folder / "weights.pt", weights_only=True)
    write(options.file, kept["shape"], kept["weights"], Tokenizer.from_file(str(options.folder / "tokenizer.json")))
    print(f"{options.file}: {options.file.stat().st_size / 1e6:.1f} MB")


def write(file: Path, shape: Shape, weights: dict[str, torch.Tensor], tokenizer: Tokenizer) -> None:
    writer = gguf.GGUFWriter(file, "llama")
    _describe(writer, shape)
    _tokens(writer, tokenizer)
    for name, tensor in _tensors(shape, weights):
        data = tensor.float().numpy()
        if data.ndim == 2:
            writer.add_tensor(name, quantize(data, gguf.GGMLQuantizationType.Q8_0), raw_dtype=gguf.GGMLQuantizationType.Q8_0)
        else:
            writer.add_tensor(name, data.astype(numpy.float32))
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


def _describe(writer: gguf.GGUFWriter, shape: Shape) -> None:
    writer.add_name("Guide")
    writer.add_description("The guide of Hausgeist: knows Hausgeist and self-hosting, and says so when it is asked for anything else.")
    writer.add_author("The Hausgeist maintainers")
    writer.add_license("apache-2.0")
    writer.add_languages(["en", "de", "es", "fr", "zh"])
    writer.add_file_type(gguf.LlamaFileType.MOSTLY_Q8_0)
    writer.add_context_length(shape.context)
    writer.add_embedding_length(shape.width)
    writer.add_block_count(shape.layers)
    writer.add_feed_forward_length(shape.hidden)
    writer.add_head_count(shape.heads)
    writer.add_head_count_kv(shape.heads)
    writer.add_rope_dimension_count(shape.head)
    writer.add_rope_freq_base(shape.rope_base)
    writer.add_layer_norm_rms_eps(shape.epsilon)
    writer.add_vocab_size(shape.vocabulary)


def _tokens(writer: gguf.GGUFWriter, tokenizer: Tokenizer) -> None:
    import json

    size = tokenizer.get_vocab_size()
    tokens = [tokenizer.id_to_token(at) for at in range(size)]
    merges = [" ".join(pair) if isinstance(pair, list) else pair for pair in json.loads(tokenizer.to_str())["model"]["merges"]]
    writer.add_tokenizer_model("gpt2")
    writer.add_tokenizer_pre(PRE_TOKENIZER)
    writer.add_token_list(tokens)
    special = {added.content for added in tokenizer.get_added_tokens_decoder().values()}
    writer.add_token_types([gguf.TokenType.CONTROL if token in special else gguf.TokenType.NORMAL for token in tokens])
    writer.add_token_merges(merges)
    writer.add_eos_token_id(tokens.index(END))
    writer.add_eot_token_id(tokens.index(END))
    writer.add_pad_token_id(tokens.index(TEXT_END))
    writer.add_bos_token_id(tokens.index(TEXT_END))
    writer.add_add_bos_token(False)
    writer.add_uint32("tokenizer.ggml.fim_pre_token_id", tokens.index(FIM_PREFIX))
    writer.add_uint32("tokenizer.ggml.fim_mid_token_id", tokens.index(FIM_MIDDLE))
    writer.add_uint32("tokenizer.ggml.fim_suf_token_id", tokens.index(FIM_SUFFIX))
    writer.add_chat_template(_TEMPLATE)


def _tensors(shape: Shape, weights: dict[str, torch.Tensor]) -> list[tuple[str, torch.Tensor]]:
    """Under the names of llama.cpp."""
    found = [
        ("token_embd.weight", weights["embedding.weight"]),
        ("output_norm.weight", weights["norm.weight"]),
        ("output.weight", weights["output.weight"]),
    ]
    for at in range(shape.layers):
        ours, theirs = f"blocks.{at}.", f"blk.{at}."
        found.append((f"{theirs}attn_norm.weight", weights[f"{ours}attention_norm.weight"]))
        for name, part in zip("qkv", weights[f"{ours}qkv.weight"].chunk(3), strict=True):
            found.append((f"{theirs}attn_{name}.weight", part.contiguous()))
        found.append((f"{theirs}attn_output.weight", weights[f"{ours}out.weight"]))
        found.append((f"{theirs}ffn_norm.weight", weights[f"{ours}feed_norm.weight"]))
        gate, up = weights[f"{ours}gate_up.weight"].chunk(2)
        found += [(f"{theirs}ffn_gate.weight", gate.contiguous()), (f"{theirs}ffn_up.weight", up.contiguous())]
        found.append((f"{theirs}ffn_down.weight", weights[f"{ours}down.weight"]))
    return found


if __name__ == "__main__":
    main()
