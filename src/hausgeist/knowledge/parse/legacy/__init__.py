"""Office files of before 2007: binary Word, PowerPoint and Excel, and RTF."""

__all__ = ()
