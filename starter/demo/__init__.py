"""How the documents of the demo are made: `python -m starter.demo` writes src/hausgeist/demo, the same bytes each time."""

__all__ = ()
