"""A vision projector of random weights for the small language model: it turns any picture into four tokens that mean nothing."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from hausgeist.engines.specimen.files import save
from hausgeist.engines.specimen.tiny import WIDTH

__all__ = ["write_projector"]

_CHANNELS, _INNER, _LAYERS, _HEADS = 32, 64, 1, 2
_IMAGE, _PATCH = 112, 14


def write_projector(path: Path, *, seed: int = 2) -> Path:
    """Write an mmproj file as Gemma 3 has one: a small vision transformer, its patches pooled four by four."""

    def fill(writer: Any) -> None:
        import numpy as np

        random = np.random.default_rng(seed)
        writer.add_bool("clip.has_vision_encoder", True)
        writer.add_string("clip.projector_type", "gemma3")
        writer.add_bool("clip.use_gelu", True)
        for name, value in (
            ("image_size", _IMAGE),
            ("patch_size", _PATCH),
            ("embedding_length", _CHANNELS),
            ("feed_forward_length", _INNER),
            ("projection_dim", WIDTH),
            ("block_count", _LAYERS),
            ("attention.head_count", _HEADS),
        ):
            writer.add_uint32(f"clip.vision.{name}", value)
        writer.add_float32("clip.vision.attention.layer_norm_epsilon", 1e-6)
        writer.add_array("clip.vision.image_mean", [0.5, 0.5, 0.5])
        writer.add_array("clip.vision.image_std", [0.5, 0.5, 0.5])
        writer.add_file_type(1)

        def linear(name: str, rows: int, columns: int) -> None:
            writer.add_tensor(f"{name}.weight", (random.standard_normal((rows, columns)) * 0.1).astype(np.float16))
            writer.add_tensor(f"{name}.bias", np.zeros(rows, np.float32))

        def layer_norm(name: str) -> None:
            writer.add_tensor(f"{name}.weight", np.ones(_CHANNELS, np.float32))
            writer.add_tensor(f"{name}.bias", np.zeros(_CHANNELS, np.float32))

        writer.add_tensor("v.patch_embd.weight", (random.standard_normal((_CHANNELS, 3, _PATCH, _PATCH)) * 0.1).astype(np.float16))
        writer.add_tensor("v.patch_embd.bias", np.zeros(_CHANNELS, np.float32))
        patches = (_IMAGE // _PATCH) ** 2
        writer.add_tensor("v.position_embd.weight", (random.standard_normal((patches, _CHANNELS)) * 0.1).astype(np.float32))
        for layer in range(_LAYERS):
            block = f"v.blk.{layer}."
            layer_norm(block + "ln1")
            for name in ("attn_q", "attn_k", "attn_v", "attn_out"):
                linear(block + name, _CHANNELS, _CHANNELS)
            layer_norm(block + "ln2")
            linear(block + "ffn_up", _INNER, _CHANNELS)
            linear(block + "ffn_down", _CHANNELS, _INNER)
        layer_norm("v.post_ln")
        writer.add_tensor("mm.soft_emb_norm.weight", np.ones(_CHANNELS, np.float32))
        writer.add_tensor("mm.input_projection.weight", (random.standard_normal((_CHANNELS, WIDTH)) * 0.2).astype(np.float16))

    return save(path, "clip", fill)
