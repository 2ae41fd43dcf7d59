"""Files become `Parsed`: what a file is, is found in its content, and the reader of its format is loaded on use."""

__all__ = ()
