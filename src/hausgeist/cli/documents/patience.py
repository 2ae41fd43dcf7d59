"""Ctrl-C between two steps rather than in the middle of one: what the server has made is known here, and nothing is left there that nobody knows."""

from __future__ import annotations

import signal
import threading
from types import FrameType
from typing import Any

__all__ = ["Patience"]


class Patience:
    """Within the block the first Ctrl-C waits for `pause`, and the second does not. Elsewhere than in the main thread it changes nothing."""

    def __init__(self) -> None:
        self._asked = False
        self._before: Any = None

    def __enter__(self) -> Patience:
        if threading.current_thread() is threading.main_thread():
            self._before = signal.signal(signal.SIGINT, self._handle)
        return self

    def __exit__(self, kind: type[BaseException] | None, *rest: object) -> None:
        if self._before is not None:
            signal.signal(signal.SIGINT, self._before)
        if kind is None:
            self.pause()  # nobody has asked since

    def pause(self) -> None:
        """Raises `KeyboardInterrupt` where that was asked for."""
        if self._asked:
            raise KeyboardInterrupt

    def _handle(self, number: int, frame: FrameType | None) -> None:
        if self._asked:
            raise KeyboardInterrupt
        self._asked = True
