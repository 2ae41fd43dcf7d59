"""What a text of any length becomes before a model reads it: windows of word pieces that end where sentences do, and batches of them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

__all__ = ["batches", "windows"]

_BATCH_PIECES = 256
"""A batch of more is slower for each text: what passes between the layers leaves the core's cache."""
_WASTE = 1.15
"""Texts go together when no more than a seventh of what is computed is padding."""


def windows(encoding: Any, text: str, most: int) -> list[list[int]]:
    """The pieces of `text`, as `tokenizers` has encoded it without markers, in windows of at most `most`, of about the same length. A window ends
    behind a sentence where one ends in its second half, else behind a word where it can."""
    ids: list[int] = encoding.ids
    if len(ids) <= most:
        return [ids]
    places: list[tuple[int, int]] = encoding.offsets
    words: list[int | None] = encoding.word_ids
    found, start = [], 0
    while len(ids) - start > most:
        left = len(ids) - start
        even = -(-left // -(-left // most))
        end = _break(text, places, words, start, start + min(most, even + even // 8))
        found.append(ids[start:end])
        start = end
    found.append(ids[start:])
    return found


def _break(text: str, places: Sequence[tuple[int, int]], words: Sequence[int | None], start: int, limit: int) -> int:
    """Where a window from `start` ends: not behind `limit`."""
    for end in range(limit, start + (limit - start) // 2, -1):
        before, after = places[end - 1][1], places[end][0]
        gap = text[before:after]
        if gap and gap.isspace() and (text[before - 1] in ".!?…\"'”)" or "\n" in gap):
            return end
    for end in range(limit, start + (limit - start) // 2, -1):
        if words[end - 1] != words[end]:
            return end
    return limit


def batches(lengths: Sequence[int]) -> Iterator[list[int]]:
    """Positions that are read together, of about the same length, the longest first."""
    order = sorted(range(len(lengths)), key=lambda position: -lengths[position])
    batch: list[int] = []
    for position in order:
        longest = lengths[batch[0]] if batch else 0
        if batch and (longest * (len(batch) + 1) > _BATCH_PIECES or longest > _WASTE * lengths[position] + 4):
            yield batch
            batch = []
        batch.append(position)
    if batch:
        yield batch
