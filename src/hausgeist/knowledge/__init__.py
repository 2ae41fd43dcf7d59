"""Documents and what they answer: files become passages, passages are found, answers quote them, and quotations are checked.

Every store belongs to a project, and what a search may see is decided before an index is asked.
"""

__all__ = ()
