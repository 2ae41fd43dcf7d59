"""What fits, how fast it runs, what it costs: arithmetic over values, no I/O."""

__all__ = ()
