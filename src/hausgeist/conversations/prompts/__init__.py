"""What people write once and use often: personas (named instructions with settings) and prompts with gaps; their own, and those of their project."""

from hausgeist.conversations.prompts.library import Prompts
from hausgeist.conversations.prompts.personas import Personas
from hausgeist.conversations.prompts.records import Persona, Prompt
from hausgeist.conversations.prompts.shelf import Listed

__all__ = ["Listed", "Persona", "Personas", "Prompt", "Prompts"]
