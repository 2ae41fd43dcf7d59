"""What to take: which model on a machine, which machine for a use, and what the rules of thumb are worth."""

__all__ = ()
