"""Office files that are ZIP archives of XML: Word, PowerPoint, Excel and OpenDocument."""

__all__ = ()
