"""HTML and what is made of it: web pages and books."""

__all__ = ()
