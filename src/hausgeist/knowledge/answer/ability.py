"""Which models are given passages to answer from: what the catalogue says of them, or their size, and the context that they are run with."""

from __future__ import annotations

import re
from typing import Final

from hausgeist.identity import Principal
from hausgeist.knowledge.answer.tool import Ability
from hausgeist.library.catalog.reader import load
from hausgeist.library.guide import is_guide
from hausgeist.model import InstalledModel
from hausgeist.serving.door import Door
from hausgeist.serving.planning import launch_plan
from hausgeist.settings import Settings

__all__ = ["Abilities"]

_LEAST: Final = 300_000_000
"""Parameters of a model that no catalogue knows."""
_TOOLS: Final = re.compile(r"\btools\b")


class Abilities:
    """What the models behind a door can be trusted with."""

    def __init__(self, door: Door, settings: Settings) -> None:
        self._door = door
        self._settings = settings

    def __call__(self, who: Principal, name: str, context: int | None) -> Ability:
        """Raises `ModelNotFound`."""
        model = self._door.model(who, name)
        plan = launch_plan(model, "generate", self._settings, context=context)
        template = model.template or model.shape.chat_template
        return Ability(reads=_reads(model), context=plan.context, calls=bool(_TOOLS.search(template)) or model.engine == "fake")


def _reads(model: InstalledModel) -> bool:
    if is_guide(model.id) or "generate" not in model.tasks:
        return False
    if model.engine != "llamacpp":
        return True  # remote ones are somebody's choice
    if (entry := load().find(model.id)) is not None:
        return entry.reads
    return model.shape.parameters >= _LEAST
