"""What a model says against what the documents say: quotations letter by letter, claims by their words, nothing that could act."""

__all__ = ()
