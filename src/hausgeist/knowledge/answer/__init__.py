"""Answers from passages, with citations that are checked."""

__all__ = ()
