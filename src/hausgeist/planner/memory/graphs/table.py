"""Which module builds the graph of which architecture."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Final

from hausgeist.planner.memory.graphs.altup import altup
from hausgeist.planner.memory.graphs.decoder import DECODERS, decoder, parallel
from hausgeist.planner.memory.graphs.encoder import encoder, pool
from hausgeist.planner.memory.graphs.gemma import gemma
from hausgeist.planner.memory.graphs.latent import latent
from hausgeist.planner.memory.graphs.recurrent import recurrent
from hausgeist.planner.memory.operations import Builder

__all__ = ["GRAPHS", "build"]

GRAPHS: Final[Mapping[str, Callable[[Builder], None]]] = {
    **dict.fromkeys(DECODERS, decoder),
    **dict.fromkeys(("command-r", "cohere2", "falcon", "gptneox", "phi2"), parallel),
    **dict.fromkeys(("deepseek2", "deepseek32", "glm-dsa", "mistral4"), latent),
    **dict.fromkeys(("mamba", "mamba2", "jamba", "granitehybrid", "falcon-h1", "nemotron_h", "nemotron_h_moe", "lfm2", "lfm2moe",
                     "qwen35", "qwen35moe", "qwen3next", "kimi-linear"),
                    recurrent),
    **dict.fromkeys(("bert", "nomic-bert", "nomic-bert-moe", "jina-bert-v2", "jina-bert-v3"), encoder),
    "gemma3n": altup,
    "gemma4": gemma,
}  # fmt: skip
"""Architecture -> what builds its graph."""


def build(builder: Builder) -> bool:
    """Add all nodes. False: the architecture has no graph here and is built like Llama or DeepSeek-V2, as its tensors suggest: an estimate."""
    make = GRAPHS.get(builder.header.architecture)
    (make or (latent if builder.header.latent else decoder))(builder)
    pool(builder)
    return make is not None
