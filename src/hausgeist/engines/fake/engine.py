"""The fake engine: models for tests of clients, with nothing behind them. In this process; the only file it ever reads is a script of replies."""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Sequence
from hashlib import sha256
from pathlib import Path

from hausgeist.engines.fake.manners import MANNERS, Manner
from hausgeist.engines.fake.script import read_script
from hausgeist.engines.fake.text import DIMENSIONS
from hausgeist.engines.fake.worker import FakeWorker
from hausgeist.errors import LoadFailed
from hausgeist.model import Footprint, InstalledModel, LaunchPlan, Shape

__all__ = ["Fake"]

_PREFIX = "fake:"
_RATE = re.compile(r"@(\d{1,6}(?:\.\d{1,6})?)$")
_CONTEXT = 131_072


class Fake:
    """Brings `fake:echo|obeys|misquotes|invents|stalls|dies`, and on demand `fake:FILE`; `@50` after a name: 50 tokens per second and stream.

    A relative FILE is looked for in HOME/fake, then where the server was started. `rate`: the pace of names that give none; 0: no pace.
    """

    def __init__(self, *, home: Path | None = None, rate: float = 0) -> None:
        self._home = home
        self._rate = rate
        self._started = time.time()

    @property
    def name(self) -> str:
        return "fake"

    async def models(self) -> Sequence[InstalledModel]:
        return [self._bring(_PREFIX + manner, manner.encode()) for manner in MANNERS]

    def model(self, name: str) -> InstalledModel | None:
        """The model of that name, if it is one of ours: also those with a rate, and those that a file of replies makes."""
        if not name.startswith(_PREFIX):
            return None
        manner, _ = self._split(name)
        if manner in MANNERS:
            return self._bring(name, manner.encode())
        file = self._file(manner)
        if file is None:
            return None
        state = file.stat()
        return self._bring(name, f"{file} {state.st_size} {state.st_mtime_ns}".encode(), modified=state.st_mtime, source=str(file))

    async def fit(self, plan: LaunchPlan) -> Footprint:
        self._manner(plan.model.id)
        return Footprint(host=0)

    async def load(self, plan: LaunchPlan, progress: Callable[[float], None] | None = None) -> FakeWorker:
        manner = self._manner(plan.model.id)
        if progress is not None:
            progress(1.0)
        return FakeWorker(plan, manner, self._split(plan.model.id)[1])

    async def close(self) -> None:
        pass

    def _manner(self, name: str) -> Manner:
        manner, _ = self._split(name)
        if manner in MANNERS:
            return MANNERS[manner]
        file = self._file(manner)
        if file is None:
            raise LoadFailed(f"'{name}' is no fake model: there are {', '.join(MANNERS)}, and files of replies (JSON lines).")
        return read_script(file)

    def _split(self, name: str) -> tuple[str, float]:
        """("echo", 50.0) of "fake:echo@50"."""
        rest = name.removeprefix(_PREFIX)
        match = _RATE.search(rest)
        return (rest[: match.start()], float(match[1])) if match else (rest, self._rate)

    def _file(self, name: str) -> Path | None:
        if not name or "\0" in name:
            return None
        places = [Path(name)] if self._home is None else [self._home / "fake" / name, Path(name)]
        try:
            return next((place.absolute() for place in places if place.is_file()), None)
        except OSError:
            return None

    def _bring(self, name: str, what: bytes, *, modified: float | None = None, source: str = "") -> InstalledModel:
        return InstalledModel(
            id=name,
            engine="fake",
            path=None,
            digest=sha256(b"fake " + what).hexdigest(),
            modified=self._started if modified is None else modified,
            shape=Shape(architecture="fake", context_length=_CONTEXT, embedding_length=DIMENSIONS),
            tasks=("generate", "embed", "rerank"),
            source=source or "comes with Hausgeist",
            notice="a fake, for tests of clients: nothing thinks here",
            removable=False,
        )
