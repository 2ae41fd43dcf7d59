"""Which slot of a worker a request gets, so that prompts processed before are found again, but only within one project.

A slot keeps the KV cache of its last request, and the engine reuses the part of it that a new prompt begins with. Between
projects that would show, in time and in `cached_tokens`, what others asked; so a slot changes projects only with its cache ignored.
"""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

__all__ = ["SlotTable", "fingerprint"]

_BLOCK = 512


def fingerprint(body: Mapping[str, Any]) -> tuple[int, ...]:
    """One hash per message (or per block of a plain prompt): as many as two requests share at the start, they share as prefix."""
    parts: list[int] = [hash(repr(body.get("system"))), hash(repr(body.get("tools")))]
    messages = body.get("messages")
    if isinstance(messages, Sequence) and not isinstance(messages, str):
        return (*parts, *(hash(repr(message)) for message in messages))
    prompt = body.get("prompt", body.get("input_prefix", ""))
    text = prompt if isinstance(prompt, str) else repr(prompt)
    return (*parts, *(hash(text[start : start + _BLOCK]) for start in range(0, len(text), _BLOCK)))


@dataclass(eq=False, slots=True)
class _Slot:
    id: int
    busy: bool = False
    project: str | None = None
    prefix: tuple[int, ...] = ()
    used: float = 0.0


class SlotTable:
    """The slots of one worker; lives and dies with it."""

    def __init__(self, count: int) -> None:
        self._slots = [_Slot(number) for number in range(count)]

    @property
    def free(self) -> int:
        return sum(not slot.busy for slot in self._slots)

    def take(self, project: str, prefix: tuple[int, ...], share: int = 1) -> tuple[list[int], bool]:
        """Ids of `share` free slots, best first, and whether the cache of the first may be used. The caller was admitted, so they are there."""
        free = [slot for slot in self._slots if not slot.busy]
        free.sort(key=lambda slot: (-_common(slot.prefix, prefix) if slot.project == project else 0, slot.used))
        taken = free[:share]
        if len(taken) < share:
            raise RuntimeError("more requests were admitted than the worker has slots")
        reuse = share == 1 and taken[0].project == project
        if share > 1:
            # Of several answers the engine chooses all slots but the first by itself: what any free slot holds is unknown from here on.
            for slot in free:
                slot.project, slot.prefix = None, ()
        for slot in taken:
            slot.busy, slot.used = True, time.monotonic()
            if share == 1:
                slot.project, slot.prefix = project, prefix
        return [slot.id for slot in taken], reuse

    def give(self, ids: Sequence[int]) -> None:
        for number in ids:
            self._slots[number].busy = False


def _common(left: tuple[int, ...], right: tuple[int, ...]) -> int:
    """Length of the common beginning; the two leading hashes (system, tools) count only together with a message."""
    length = 0
    for one, other in zip(left, right, strict=False):
        if one != other:
            break
        length += 1
    return length if length > 2 else 0
