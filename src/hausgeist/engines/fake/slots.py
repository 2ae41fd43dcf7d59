"""The slots of a fake worker: who computes where, who waits, and what each slot still has in its cache."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, field

from hausgeist.engines.base import SlotState

__all__ = ["Slots"]


@dataclass(slots=True)
class _Slot:
    id: int
    busy: bool = False
    used: int = 0
    """When it was last taken; the least recently used one goes first."""
    text: Sequence[str] = ()
    """Tokens whose state it holds."""


@dataclass(slots=True)
class _Waiter:
    count: int
    wanted: int
    prompt: Sequence[str]
    granted: asyncio.Future[list[_Slot]] = field(default_factory=lambda: asyncio.get_running_loop().create_future())


class Slots:
    """First come, first served; as in llama-server a prompt goes to the slot that shares the longest prefix with it, unless it names one."""

    def __init__(self, count: int) -> None:
        self._slots = [_Slot(index) for index in range(count)]
        self._waiting: list[_Waiter] = []
        self._clock = 0

    def __len__(self) -> int:
        return len(self._slots)

    def states(self) -> list[SlotState]:
        return [SlotState(slot.id, slot.busy, len(slot.text) if slot.busy else 0, len(slot.text) if slot.busy else 0) for slot in self._slots]

    async def take(self, count: int, wanted: int, prompt: Sequence[str]) -> list[int]:
        """Wait for `count` slots, the first of them being `wanted` unless that is negative. Cancelling leaves nothing taken."""
        waiter = _Waiter(count, wanted % len(self._slots) if wanted >= 0 else -1, prompt)
        self._waiting.append(waiter)
        self._grant()
        try:
            slots = await waiter.granted
        except asyncio.CancelledError:
            if waiter in self._waiting:
                self._waiting.remove(waiter)
            elif not waiter.granted.cancelled():
                self.give([slot.id for slot in waiter.granted.result()])
            raise
        return [slot.id for slot in slots]

    def cached(self, slot: int, prompt: Sequence[str]) -> int:
        """How many tokens of this prompt the slot already has; the last one is always computed anew. From here on it holds the prompt."""
        shared = 0
        for ours, theirs in zip(self._slots[slot].text, prompt, strict=False):
            if ours != theirs:
                break
            shared += 1
        self._slots[slot].text = prompt
        return max(0, min(shared, len(prompt) - 1))

    def give(self, slots: Sequence[int]) -> None:
        for index in slots:
            self._slots[index].busy = False
        self._grant()

    def _grant(self) -> None:
        for waiter in list(self._waiting):
            free = [slot for slot in self._slots if not slot.busy]
            if len(free) < waiter.count and waiter.wanted < 0:
                return
            chosen = self._choose(waiter, free)
            if not chosen:
                continue
            self._waiting.remove(waiter)
            for slot in chosen:
                self._clock += 1
                slot.busy, slot.used = True, self._clock
            if waiter.granted.cancelled():
                self.give([slot.id for slot in chosen])
            else:
                waiter.granted.set_result(chosen)

    def _choose(self, waiter: _Waiter, free: list[_Slot]) -> list[_Slot]:
        if waiter.wanted >= 0:
            named = [slot for slot in free if slot.id == waiter.wanted]
            others = [slot for slot in free if slot.id != waiter.wanted]
            return [*named, *others][: waiter.count] if named and len(free) >= waiter.count else []
        ranked = sorted(free, key=lambda slot: (-_shared(slot.text, waiter.prompt), slot.used))
        return ranked[: waiter.count]


def _shared(one: Sequence[str], other: Sequence[str]) -> int:
    """Shared prefix in steps of 16 tokens: enough to choose by, and cheap."""
    length = 0
    while length < min(len(one), len(other)) and one[length : length + 16] == other[length : length + 16]:
        length += 16
    return length
