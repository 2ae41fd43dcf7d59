"""How well search finds: sets of questions whose passages are known, what is measured on them, and whether a change made a difference."""

from hausgeist.knowledge.evaluation.measures import Comparison, Figures, compare, figures
from hausgeist.knowledge.evaluation.questions import Question, Questions, Text
from hausgeist.knowledge.evaluation.retrieval import Run, evaluate
from hausgeist.knowledge.evaluation.sets import load

__all__ = ["Comparison", "Figures", "Question", "Questions", "Run", "Text", "compare", "evaluate", "figures", "load"]
