"""Vector stores: what they hold, how files come into them, how they are searched and how they go."""

__all__ = ()
