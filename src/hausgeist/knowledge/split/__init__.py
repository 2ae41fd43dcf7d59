"""Text is cut into passages along its structure, and into sentences."""

__all__ = ()
