"""What is text already: paragraphs, Markdown, tables, data, source code."""

__all__ = ()
