"""The network of the guide: a Llama of a few million parameters, as llama.cpp computes it, so that what was trained is what runs.

Sizes of tensors are (batch, tokens, ...).
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional

__all__ = ["Guide", "Shape"]


@dataclass(frozen=True)
class Shape:
    """What is not learnt. All rows are multiples of 32, the block of Q8_0."""

    vocabulary: int
    width: int = 320
    layers: int = 8
    heads: int = 5
    hidden: int = 864
    context: int = 2048
    rope_base: float = 10_000.0
    epsilon: float = 1e-5

    @property
    def head(self) -> int:
        return self.width // self.heads


class _Norm(nn.Module):
    """Root mean square (Zhang and Sennrich, 2019)."""

    def __init__(self, width: int, epsilon: float) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(width))
        self.epsilon = epsilon

    def forward(self, x: Tensor) -> Tensor:
        return functional.rms_norm(x, (x.size(-1),), self.weight.to(x.dtype), self.epsilon)


class _Block(nn.Module):
    def __init__(self, shape: Shape, dropout: float) -> None:
        super().__init__()
        width, hidden = shape.width, shape.hidden
        self.shape = shape
        self.attention_norm = _Norm(width, shape.epsilon)
        self.qkv = nn.Linear(width, 3 * width, bias=False)
        self.out = nn.Linear(width, width, bias=False)
        self.feed_norm = _Norm(width, shape.epsilon)
        self.gate_up = nn.Linear(width, 2 * hidden, bias=False)
        self.down = nn.Linear(hidden, width, bias=False)
        self.dropout = nn.Dropout(dropout)

    def forward(self, x: Tensor, turn: Tensor) -> Tensor:
        batch, tokens, width = x.shape
        q, k, v = self.qkv(self.attention_norm(x)).view(batch, tokens, 3, self.shape.heads, self.shape.head).permute(2, 0, 3, 1, 4)
        mixed = functional.scaled_dot_product_attention(_turned(q, turn), _turned(k, turn), v, is_causal=True)
        x = x + self.dropout(self.out(mixed.transpose(1, 2).reshape(batch, tokens, width)))
        gate, up = self.gate_up(self.feed_norm(x)).chunk(2, dim=-1)
        return x + self.dropout(self.down(functional.silu(gate) * up))


class Guide(nn.Module):
    """Tokens (batch, tokens) to what follows each of them: `hidden` (batch, tokens, width), and the logits of chosen ones by `logits`."""

    def __init__(self, shape: Shape, *, dropout: float = 0.0) -> None:
        super().__init__()
        self.shape = shape
        self.embedding = nn.Embedding(shape.vocabulary, shape.width)
        self.blocks = nn.ModuleList(_Block(shape, dropout) for _ in range(shape.layers))
        self.norm = _Norm(shape.width, shape.epsilon)
        self.output = nn.Linear(shape.width, shape.vocabulary, bias=False)
        self.dropout = nn.Dropout(dropout)
        # Pairs of neighbouring numbers are turned, as llama.cpp does for the architecture `llama`.
        frequency = shape.rope_base ** (-torch.arange(0, shape.head, 2) / shape.head)
        angle = torch.outer(torch.arange(shape.context), frequency)
        self.register_buffer("turn", torch.stack((angle.cos(), angle.sin())), persistent=False)
        for name, parameter in self.named_parameters():
            if parameter.dim() == 2:
                scale = 0.02 / (2 * shape.layers) ** 0.5 if name.endswith(("out.weight", "down.weight")) else 0.02
                nn.init.normal_(parameter, std=scale)

    def forward(self, tokens: Tensor) -> Tensor:
        turn = self.turn[:, : tokens.size(1)]
        x = self.dropout(self.embedding(tokens))
        for block in self.blocks:
            x = block(x, turn)
        return self.norm(x)

    def logits(self, hidden: Tensor) -> Tensor:
        return self.output(hidden)

    @property
    def size(self) -> int:
        """Parameters."""
        return sum(parameter.numel() for parameter in self.parameters())


def _turned(x: Tensor, turn: Tensor) -> Tensor:
    """Rotary positions (Su et al., 2021): the pair (2i, 2i + 1) of each head, by position times the i-th frequency."""
    even, odd = x[..., 0::2], x[..., 1::2]
    cos, sin = turn[0].to(x.dtype), turn[1].to(x.dtype)
    return torch.stack((even * cos - odd * sin, even * sin + odd * cos), dim=-1).flatten(-2)
