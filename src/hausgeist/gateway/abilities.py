"""What a model can do, as far as its file tells: `None` where only the engine knows (remote and fake models, files without a template)."""

from __future__ import annotations

import re

from hausgeist.errors import InvalidRequest, NotSupported
from hausgeist.model import InstalledModel

__all__ = ["calls_tools", "demand_thinking", "demand_tools", "effort_levels", "sees", "thinks"]

_THINKING = re.compile(r"think|reasoning", re.IGNORECASE)
_TOOLS = re.compile(r"\btools\b")


def sees(model: InstalledModel) -> bool | None:
    """Whether images can be shown to it."""
    if model.engine != "llamacpp":
        return None
    return model.options.projector is not None or model.shape.vision


def thinks(model: InstalledModel) -> bool | None:
    """Whether its template knows of thinking before the answer."""
    template = _template(model)
    return None if template is None else bool(_THINKING.search(template))


def effort_levels(model: InstalledModel) -> bool | None:
    """Whether its template takes a level of effort (`reasoning_effort`)."""
    template = _template(model)
    return None if template is None else "reasoning_effort" in template


def calls_tools(model: InstalledModel) -> bool | None:
    """Whether its template shows it tools. The engine has a way to teach them to every model; this tells which were trained for it."""
    template = _template(model)
    return None if template is None else bool(_TOOLS.search(template))


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


def _template(model: InstalledModel) -> str | None:
    if model.engine != "llamacpp":
        return None
    return model.template or model.shape.chat_template or None
