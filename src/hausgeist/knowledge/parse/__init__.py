"""Files become text with structure and places on pages, in a process of its own that has no network."""

__all__ = ()
