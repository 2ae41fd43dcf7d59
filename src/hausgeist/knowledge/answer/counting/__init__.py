"""Questions that count or add up: what is asked, what the documents say to it, and telling it with how many were read."""

__all__ = ()
