"""The embedder that is part of the installation: all-MiniLM-L6-v2 (Apache-2.0, English) in int8 on onnxruntime.

Nothing is loaded before the first text, and what was loaded is given back when nothing was asked for a while. Texts are read by threads of one core
each, which is faster than many cores at one text; those that read in the background have a low priority where the system lets a thread have one of
its own (Linux), and leave a core free elsewhere. A question never waits behind a batch: it has a thread for itself.
"""

from __future__ import annotations

import asyncio
import contextlib
import ctypes
import gc
import os
import sys
import threading
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hausgeist.errors import StoreError
from hausgeist.knowledge.embed.windows import batches, windows

__all__ = ["DIMENSION", "MODEL", "TOKENIZER", "Installed"]

MODEL = Path(__file__).with_name("model") / "model.onnx"
"""Made by `python -m starter.embedder`, which says how."""
TOKENIZER = MODEL.with_name("tokenizer.json")
RECIPE = "int8-1"
"""How the file was made; changes when its vectors do."""
DIMENSION = 384
WINDOW = 190
"""Word pieces that are read at once, without the two markers. On XQuAD en 190 find .893 of the paragraphs first, 126 and 254 find .882."""
_MARKERS = (101, 102)
"""[CLS] and [SEP] of its tokenizer."""
_SLICE = 32
"""Texts that one turn of a thread takes: a cancelled call ends after the turns that have begun."""
_IDLE_SECONDS = 300.0
_NICE = 10
"""How much lower the priority of threads in the background is. Not more: for moments such a thread holds the interpreter's lock, and others wait
until it gets its turn."""


class Installed:
    """See `Embedder`. `threads`: cores that may read at once; `idle`: seconds after which memory is given back. Raises `StoreError` when it is asked
    and its files are missing or damaged."""

    def __init__(self, *, threads: int | None = None, idle: float = _IDLE_SECONDS, window: int = WINDOW) -> None:
        cores = os.cpu_count() or 1
        self._idle = idle
        self._window = window
        self._threads = threads or min(cores, 16)
        self._background_threads = self._threads if sys.platform == "linux" else max(1, self._threads - 1)
        self._lock = threading.Lock()
        self._reader: _Reader | None = None
        self._pools: dict[str, ThreadPoolExecutor] = {}
        self._busy = 0
        self._timer: asyncio.TimerHandle | None = None

    @property
    def name(self) -> str:
        return f"all-MiniLM-L6-v2@{RECIPE}-{self._window}"

    @property
    def dimension(self) -> int:
        return DIMENSION

    @property
    def languages(self) -> frozenset[str]:
        """What it was trained on. It takes any text, but elsewhere words alone find more: its recall@1 on XQuAD is .89 in English, .52 in German."""
        return frozenset({"en"})

    async def passages(self, texts: Sequence[str], *, background: bool = False) -> NDArray[np.float32]:
        found = np.empty((len(texts), DIMENSION), np.float32)
        # Neighbours in length go together, so that what a thread takes can be batched.
        order = sorted(range(len(texts)), key=lambda position: -len(texts[position]))
        parts = [order[start : start + _SLICE] for start in range(0, len(order), _SLICE)]
        room = asyncio.Semaphore(self._background_threads if background else self._threads)

        async def read(part: list[int]) -> None:
            async with room:
                found[part] = await self._run("background" if background else "passages", [texts[position] for position in part])

        async with asyncio.TaskGroup() as group:
            for part in parts:
                group.create_task(read(part))
        return found

    async def query(self, text: str) -> NDArray[np.float32]:
        vectors = await self._run("query", [text])
        row: NDArray[np.float32] = vectors[0]
        return row

    async def close(self) -> None:
        """Give everything back. It may be used again afterwards."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        await asyncio.to_thread(self._release, self._taken())

    async def _run(self, pool: str, texts: list[str]) -> NDArray[np.float32]:
        loop = asyncio.get_running_loop()
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        self._busy += 1
        try:
            return await loop.run_in_executor(self._pool(pool), self._read, texts)
        finally:
            self._busy -= 1
            if not self._busy:
                self._timer = loop.call_later(self._idle, self._rest, loop)

    def _pool(self, name: str) -> ThreadPoolExecutor:
        if name not in self._pools:
            size = {"query": 1, "passages": self._threads, "background": self._background_threads}[name]
            start = _step_back if name == "background" else None
            self._pools[name] = ThreadPoolExecutor(size, thread_name_prefix=f"embed-{name}", initializer=start)
        return self._pools[name]

    def _read(self, texts: list[str]) -> NDArray[np.float32]:
        with self._lock:
            if self._reader is None:
                self._reader = _Reader(self._window)
            reader = self._reader
        return reader.read(texts)

    def _rest(self, loop: asyncio.AbstractEventLoop) -> None:
        self._timer = None
        if not self._busy:
            loop.run_in_executor(None, self._release, self._taken())

    def _taken(self) -> list[ThreadPoolExecutor]:
        """The threads; whoever comes now gets new ones."""
        pools, self._pools = list(self._pools.values()), {}
        return pools

    def _release(self, pools: list[ThreadPoolExecutor]) -> None:
        for pool in pools:
            pool.shutdown()
        with self._lock:
            self._reader = None
        gc.collect()
        if sys.platform == "linux":
            # The allocator keeps freed memory for later, of which there is none.
            with contextlib.suppress(OSError, AttributeError):
                ctypes.CDLL(None).malloc_trim(0)


class _Reader:
    """The loaded model. Any number of threads may read."""

    def __init__(self, window: int) -> None:
        from onnxruntime import InferenceSession, SessionOptions  # type: ignore[attr-defined]  # which it does not list
        from tokenizers import Tokenizer

        self._window = window
        options = SessionOptions()
        options.intra_op_num_threads = options.inter_op_num_threads = 1
        # What the arena keeps grows with the longest batch of each thread and is never given back.
        options.enable_cpu_mem_arena = False
        options.log_severity_level = 3
        try:
            self._tokenizer = Tokenizer.from_file(str(TOKENIZER))
            self._session: Any = InferenceSession(MODEL, options, providers=["CPUExecutionProvider"])
        except Exception as error:  # both raise what their other languages make of it
            raise StoreError(f"The embedding model in the installation is missing or damaged ({error}). Install Hausgeist anew.") from error
        self._tokenizer.no_truncation()
        self._tokenizer.no_padding()

    def read(self, texts: Sequence[str]) -> NDArray[np.float32]:
        pieces: list[list[int]] = []
        owner: list[int] = []
        for number, text in enumerate(texts):
            # One by one: a batch would start threads of its own.
            for window in windows(self._tokenizer.encode(text, add_special_tokens=False), text, self._window):
                pieces.append([_MARKERS[0], *window, _MARKERS[1]])
                owner.append(number)
        vectors = np.empty((len(pieces), DIMENSION), np.float32)
        for batch in batches([len(one) for one in pieces]):
            vectors[batch] = self._vectors([pieces[position] for position in batch])
        if len(pieces) == len(texts):
            return vectors
        found = np.zeros((len(texts), DIMENSION), np.float32)
        np.add.at(found, owner, vectors)
        found /= np.maximum(np.linalg.norm(found, axis=1, keepdims=True), 1e-9)
        return found

    def _vectors(self, pieces: Sequence[Sequence[int]]) -> NDArray[np.float32]:
        ids = np.zeros((len(pieces), len(pieces[0])), np.int64)
        mask = np.zeros_like(ids)
        for number, one in enumerate(pieces):
            ids[number, : len(one)] = one
            mask[number, : len(one)] = 1
        vectors: NDArray[np.float32] = self._session.run(None, {"input_ids": ids, "mask": mask})[0]
        return vectors


def _step_back() -> None:
    """Let threads of others go first. On Linux, priority is a thread's own; elsewhere it would be the whole server's."""
    if sys.platform == "linux":
        thread = threading.get_native_id()
        os.setpriority(os.PRIO_PROCESS, thread, min(19, os.getpriority(os.PRIO_PROCESS, thread) + _NICE))
