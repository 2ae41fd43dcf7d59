"""PDF files: their text in reading order with its structure and places, and their pages as pictures. PDFium does the decoding."""

__all__ = ()
