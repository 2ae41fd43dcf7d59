"""The pages: server-rendered, made alive by ES modules from this origin, and doing all they do through the public API."""

from hausgeist.web.pages.entrance import endpoints

__all__ = ["endpoints"]
