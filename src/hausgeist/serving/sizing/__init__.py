"""Sizing: from names, files and what this machine has to plans. Composes the library's headers, the planner's arithmetic, the engine's fit pass and
what was measured, so that the command and the route answer alike; `planner` itself knows none of these."""

from hausgeist.serving.sizing.answer import Answer, Choice
from hausgeist.serving.sizing.glance import Glance, Glances, Unknown
from hausgeist.serving.sizing.question import Question
from hausgeist.serving.sizing.sheet import Pace, Place, Sheet
from hausgeist.serving.sizing.sizing import Sizing

__all__ = ["Answer", "Choice", "Glance", "Glances", "Pace", "Place", "Question", "Sheet", "Sizing", "Unknown"]
