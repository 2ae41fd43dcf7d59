"""Refuses what a model cannot do. What it can, `library.abilities` tells from its file."""

from __future__ import annotations

from hausgeist.errors import InvalidRequest, NotSupported
from hausgeist.library.abilities import calls_tools, effort_levels, sees, thinks
from hausgeist.model import InstalledModel

__all__ = ["calls_tools", "demand_thinking", "demand_tools", "effort_levels", "sees", "thinks"]


def demand_thinking(model: InstalledModel, *, effort: bool = False, param: str) -> None:
    """Raise InvalidRequest when this model cannot be asked to think, or not at a level of effort."""
    if thinks(model) is False:
        raise InvalidRequest(f"The model '{model.id}' does not support thinking; leave '{param}' out.", param=param)
    if effort and effort_levels(model) is False:
        raise InvalidRequest(f"The model '{model.id}' has no levels of effort; leave '{param}' out.", param=param)


def demand_tools(model: InstalledModel) -> None:
    """Raise NotSupported when this model was not made to call tools."""
    if calls_tools(model) is False:
        raise NotSupported(
            f"The model '{model.id}' cannot call tools: its chat template has no place for them. Use a model that was trained for it.", param="tools"
        )
