"""What engines have in memory of prompts that were put to them, and how it goes: with the worker that holds it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from hausgeist.governance.erasure import Erased, Eraser, Subject
from hausgeist.serving.pool import Pool
from hausgeist.store.jobs import Handler, Task

__all__ = ["JOB", "eraser", "handler"]

JOB: Final = "caches.forget"
"""Payload: `user`, `project`. For processes other than the server, which have no workers: the command line."""


def eraser(pool: Pool) -> Eraser:
    """For `governance.erasure`."""

    async def erase(subject: Subject) -> Erased:
        left, busy = await pool.forget(project=subject.project, user=subject.user)
        remains = [f"The model '{model}' still answers somebody; what it remembers goes as soon as it has." for model in busy]
        return Erased({"workers": len(left)}, remains)

    return erase


def handler(pool: Pool) -> Handler:
    """For the queue."""

    async def forget(task: Task) -> Mapping[str, Any]:
        user, project = task.payload.get("user"), task.payload.get("project")
        left, busy = await pool.forget(user=user, project=project)
        return {"left": left, "busy": busy}

    return forget
