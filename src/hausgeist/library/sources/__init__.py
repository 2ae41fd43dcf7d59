"""Where models come from, one file each; see `base` for the port."""

from __future__ import annotations

from hausgeist.library.sources.base import Part, Release, Role, Source, Variant

__all__ = ["Part", "Release", "Role", "Source", "Variant"]
