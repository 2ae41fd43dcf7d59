"""Which language a text is in, and what its words are for search."""

__all__ = ()
