"""Which models there are in the world and what they are made of: the data beside this file, and how it is read and searched.

Nothing here asks a network. What is installed is `library.service`'s, what fits a machine is not decided here either.
"""

from hausgeist.library.catalog.entry import USES, Entry, Use
from hausgeist.library.catalog.mix import DEFAULT_PRECISION, MIXES
from hausgeist.library.catalog.question import Question, bytes_of, facts
from hausgeist.library.catalog.reader import Catalog, load

__all__ = ["DEFAULT_PRECISION", "MIXES", "USES", "Catalog", "Entry", "Question", "Use", "bytes_of", "facts", "load"]
