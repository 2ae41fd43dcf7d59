"""How plans look: on the terminal, and as a page with charts that can be mailed. What they say is `serving.sizing`'s."""

from hausgeist.cli.planning.page import print_accuracy, print_answer
from hausgeist.cli.planning.report import accuracy_report, report, truth

__all__ = ["accuracy_report", "print_accuracy", "print_answer", "report", "truth"]
