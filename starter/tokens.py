"""The tokenizer: byte-level BPE over the corpus, cut beforehand as llama.cpp's `qwen2` does, so that both cut alike."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path

from tokenizers import Regex, Tokenizer, decoders, models, pre_tokenizers, trainers

from starter.examples import Part

__all__ = ["Cutter", "learn"]

PRE_TOKENIZER = "qwen2"
_CUTS = r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"


def learn(texts: Iterable[str], size: int, special: Sequence[str]) -> Tokenizer:
    """A vocabulary of `size` tokens, the special ones first."""
    tokenizer = _bare(models.BPE())
    tokenizer.train_from_iterator(
        texts,
        trainers.BpeTrainer(vocab_size=size, special_tokens=list(special), initial_alphabet=pre_tokenizers.ByteLevel.alphabet(), show_progress=False),
    )
    return tokenizer


class Cutter:
    """Text to tokens. Unusual cuts (BPE dropout: Provilkov et al., 2020) let the network cope with words it never saw whole."""

    def __init__(self, tokenizer: Tokenizer, *, dropout: float = 0.12) -> None:
        self.tokenizer = tokenizer
        self._loose = Tokenizer.from_str(tokenizer.to_str())
        self._loose.model.dropout = dropout

    def cut(self, text: str, *, loose: bool = False) -> list[int]:
        return list((self._loose if loose else self.tokenizer).encode(text, add_special_tokens=False).ids)

    def example(self, parts: Sequence[Part], *, loose: bool) -> tuple[list[int], list[bool]]:
        """Tokens, and which of them the network shall say."""
        tokens: list[int] = []
        learnt: list[bool] = []
        for part in parts:
            cut = self.cut(part.text, loose=loose and part.loose)
            tokens += cut
            learnt += [part.learnt] * len(cut)
        return tokens, learnt


def load(path: Path) -> Tokenizer:
    return Tokenizer.from_file(str(path))


def _bare(model: models.BPE) -> Tokenizer:
    tokenizer = Tokenizer(model)
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [pre_tokenizers.Split(Regex(_CUTS), "isolated"), pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)]
    )
    tokenizer.decoder = decoders.ByteLevel()
    return tokenizer
