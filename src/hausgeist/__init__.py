"""Hausgeist: the private AI server in one Python package."""

__all__ = ["__version__"]

__version__ = "0.1.0"
