"""What a model can do, as far as its file tells: `None` where only the engine knows (remote and fake models, files without a template)."""

from __future__ import annotations

import re

from hausgeist.model import InstalledModel

__all__ = ["abilities", "calls_tools", "effort_levels", "sees", "thinks"]

_THINKING = re.compile(r"think|reasoning", re.IGNORECASE)
_TOOLS = re.compile(r"\btools\b")


def abilities(model: InstalledModel) -> list[str]:
    """All of them, in the words of Ollama's API: completion, tools, vision, thinking, embedding; and rerank. Where only the engine knows, tools
    are promised and the rest is not."""
    found = []
    if "generate" in model.tasks:
        found.append("completion")
        if calls_tools(model) is not False:
            found.append("tools")
        found += [name for name, known in (("vision", sees(model)), ("thinking", thinks(model))) if known]
    return found + [name for name, task in (("embedding", "embed"), ("rerank", "rerank")) if model.tasks[0] == task]


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


def _template(model: InstalledModel) -> str | None:
    if model.engine != "llamacpp":
        return None
    return model.template or model.shape.chat_template or None
