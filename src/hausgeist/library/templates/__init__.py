"""Chat templates in Go's language, as Ollama's models carry them, as Jinja that does the same.

`translate` is all or nothing: what it returns renders the text that Ollama would send to the model, but for the blanks in JSON; for the rest there
is `Untranslatable`. Nothing is rendered here: templates are foreign programs, and only the worker's sandbox runs them.
"""

from __future__ import annotations

from hausgeist.library.templates.jinja import translate
from hausgeist.library.templates.tree import Untranslatable, is_go

__all__ = ["Untranslatable", "is_go", "translate"]
