"""Answers in the documents' own sentences."""

__all__ = ()
