"""What can be said of a running transfer: values that the terminal, `/api/pull` and the pages show."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

__all__ = ["Progress", "Stage"]

Stage = Literal["resolving", "downloading", "verifying", "installing", "uploading", "publishing", "done"]
"""Pulls download, verify and install; pushes verify what lies in place, upload, and publish the manifest."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Progress:
    """How far a pull or push is. Bytes; `rate` in bytes per second over the last seconds; `left` in seconds."""

    stage: Stage
    name: str = ""
    """The file that is being worked on, as upstream calls it."""
    digest: str = ""
    """Its sha256 in hex, where it is known."""
    done: int = 0
    total: int = 0
    """0: not known."""
    rate: float = 0.0
    left: float | None = None
    note: str = ""
    """What people should know at this point, in a sentence."""
