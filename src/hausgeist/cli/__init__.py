"""The terminal: one module per command group. It prints what others decided; `main` takes the arguments and returns the exit code."""

from hausgeist.cli.entry import main

__all__ = ["main"]
